# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Send JSON-RPC calls and signed transactions to the L1 clients of a host.

URLs and headers can contain API keys. No result contains one, and texts from servers are redacted.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Callable

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.api_client import (
    ApiClient,
    RequestError,
    rpc_body,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.redaction import Redactor, origin

# Connections at the same time to one client, and calls on each.
CONNECTIONS, CALLS = 8, 25
# Seconds between two queries for a receipt.
POLL_SECONDS = 1.0
# Characters of an error's data that are returned: a selector and some arguments.
DATA_CHARACTERS = 1000


def rpc_outcome(client: ApiClient, method: str, *params: Any) -> dict[str, Any]:
    """Return {result} of a JSON-RPC call, or {error, data} where the client rejects it. Raise RequestError.

    error: the message. data: what a contract returned with its error, 0x and hex digits, '' for nothing.
    """
    status, found = client.json("POST", body=rpc_body(method, *params))
    error = found.get("error")
    if error:
        data = error.get("data") if isinstance(error, dict) else None
        return {
            "error": f"rejects {method}{client.reason(json.dumps(found).encode())}",
            "data": data[:DATA_CHARACTERS] if isinstance(data, str) and data.startswith("0x") else "",
        }
    if status != 200 or "result" not in found:
        raise RequestError("http" if status != 200 else "other", f"returns {status} without a result")
    return {"result": found["result"]}


class Caller:
    """Sends calls to one client. seconds: the time limit of each connection."""

    def __init__(self, target: dict[str, Any], seconds: float, redact: Callable) -> None:
        """Set the client, by url and headers."""
        self.target, self.seconds, self.redact = target, seconds, redact

    def sequence(self, calls: list[list]) -> list[dict[str, Any]]:
        """Return the outcomes of calls on one connection. Raise RequestError."""
        with closing(ApiClient(self.target["url"], self.seconds, self.target["headers"], self.redact)) as client:
            return [rpc_outcome(client, *call) for call in calls]

    def all(self, calls: list[list]) -> list[dict[str, Any]]:
        """Return the outcomes of calls in their order, on several connections. Raise RequestError."""
        groups = [calls[start:start + CALLS] for start in range(0, len(calls), CALLS)]
        with ThreadPoolExecutor(max_workers=CONNECTIONS) as pool:
            return [outcome for outcomes in pool.map(self.sequence, groups) for outcome in outcomes]

    def send(self, raw: str, transaction: str, wait: float) -> dict[str, Any]:
        """Send a signed transaction and wait for its receipt. Return receipt (None for none), refused and lost.

        raw: the signed transaction. transaction: its hash. wait: seconds. refused: why the client did not accept it.
        lost: why its acceptance or its receipt is not known, although it can have been accepted.
        """
        end, lost = time.monotonic() + wait, ""
        try:
            (outcome,) = self.sequence([["eth_sendRawTransaction", raw]])
            if "error" in outcome:
                return {"receipt": None, "refused": outcome["error"], "lost": ""}
        except RequestError as error:
            lost = error.text
        while True:
            try:
                (outcome,) = self.sequence([["eth_getTransactionReceipt", transaction]])
                receipt = outcome.get("result")
                if isinstance(receipt, dict) and receipt.get("blockNumber"):
                    return {"receipt": receipt, "refused": "", "lost": ""}
                lost = outcome.get("error") or lost
            except RequestError as error:
                lost = error.text
            if time.monotonic() >= end:
                return {"receipt": None, "refused": "", "lost": lost or f"has no receipt after {wait:g} s"}
            time.sleep(min(POLL_SECONDS, max(0.0, end - time.monotonic())))


def query_calls(query: dict[str, Any]) -> dict[str, Any]:
    """Send calls to the first client that responds to all of them, then a transaction to the same client.

    query: targets (with url and headers), seconds for each connection, calls ([method, parameter...] each), and
    optionally transaction (the arguments of Caller.send). Return target (its index, None where none responds), where,
    outcomes (in the order of the calls), faults (where and text of each client that does not respond), and sent (of
    Caller.send).
    """
    redact = Redactor.of_targets(query["targets"]).line
    found: dict[str, Any] = {"target": None, "where": "", "outcomes": [], "faults": [], "sent": None}
    for index, target in enumerate(query["targets"]):
        where = origin(target["url"])
        try:
            caller = Caller(target, float(query["seconds"]), redact)
            outcomes = caller.all(query["calls"])
        except RequestError as error:
            found["faults"].append({"where": where, "text": error.text})
            continue
        except (AttributeError, TypeError, KeyError, ValueError, RecursionError) as error:
            # A document of an unexpected shape. A traceback could contain the URL.
            text = f"returns an unexpected response ({type(error).__name__})"
            found["faults"].append({"where": where, "text": text})
            continue
        found.update(target=index, where=where, outcomes=outcomes)
        if query.get("transaction"):
            found["sent"] = caller.send(**query["transaction"])
        return found
    return found
