# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Questions to the L1 from a host: what execution and consensus clients say of themselves, whether they trace
transactions, and what a signer signs for.

Nothing is judged here.

URLs and headers may hold API keys. An answer names none of them, and what a server says passes through the masker.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Callable
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import (
    LONGEST,
    ProxyRefused,
    TooLong,
    basic,
    connection_to,
    number,
    parse_json,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.redaction import MASK, SHORTEST, Redactor
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.network import error_text

# Of blobs, 128 KiB each, and of traces, which may be megabytes, only the beginning is read.
BEGIN = 4096
SHOWN = 160
# Slots that are looked at for one with blobs: most blocks have some.
BLOB_SLOTS = 4
# Blobs' first path is the one that Aztec asks; clients after Fusaka may have the second alone.
BLOB_ROUTES = ("blob_sidecars", "blobs")
# How far back traces must reach, in blocks: 12 hours, by "L1 RPC requirements" of Aztec's operator documentation. At
# its start Aztec itself tries a transaction of 512 blocks ago (archiver/src/l1/validate_trace.ts).
TRACED_BLOCKS = 3600
# In how many blocks a transaction to trace is looked for, from there on and from the newest block back; Aztec looks at
# ten. On Ethereum the first block has some.
TRACE_SEARCH = 10
# The two ways to ask for a trace, in the order in which they are tried, each with what follows the transaction's hash.
TRACE_METHODS = {"trace_transaction": (), "debug_traceTransaction": ({"tracer": "callTracer"},)}
# How an answer with a trace begins: a list of calls, or one call with its sender. An empty list is not a trace, and
# neither is the list of opcodes ("structLogs") of clients that do not know callTracer.
TRACE_BEGINS = {
    "trace_transaction": re.compile(rb'"result"\s*:\s*\[\s*\{'),
    "debug_traceTransaction": re.compile(rb'"result"\s*:\s*\{[^{}\[\]]*"from"\s*:\s*"0x'),
}
# Blocks whose priority fees are asked for, and the percentile of them: HISTORICAL_BLOCK_COUNT and rewardPercentiles of
# Aztec's strategy (ethereum/src/l1_tx_utils/fee-strategies/p75_competitive.ts, read in aztec-node of 2026-08).
FEE_BLOCKS, FEE_PERCENTILE = 5, 75
# Bits of an amount of wei: all ETH has 87.
WEI_BITS = 128
# What can be asked; debug is an execution client that is asked for traces alone.
KINDS = ("execution", "consensus", "signer", "debug")
# Faults after which a target need not be asked anything more.
LOST = ("timeout", "connect", "tls", "url", "proxy")


class Fault(Exception):
    """A question without an answer: kind says to the judge what it is, the text to a person."""

    def __init__(self, kind: str, text: str) -> None:
        """Take kind and text."""
        super().__init__(text)
        self.kind, self.text = kind, text


class Refused(Exception):
    """A question that the server understood and does not answer; the text is the server's."""


def origin(url: str) -> str:
    """Take a URL, give the part of it that is no secret: scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def secret_texts(target: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(secrets, those of them that are too short for the masker) of a target's URL and headers."""
    parts = urlsplit(target["url"])
    alone = [parts.password or "", *(value for _name, value in parse_qsl(parts.query)), *target["headers"].values()]
    secrets = [target["url"], *target["headers"].values()]
    return secrets, [unquote(text) for text in alone if 0 < len(text) < SHORTEST]


class Quiet:
    """Makes what servers say fit to be shown: on one line, short, with no secret of any target in it."""

    def __init__(self, targets: list[dict[str, Any]]) -> None:
        """Take all targets that are asked."""
        secrets: dict[str, str] = {}
        self.short: list[str] = []
        for target in targets:
            for text in secret_texts(target)[0]:
                secrets[f"secret {len(secrets)}"] = text
            self.short += secret_texts(target)[1]
        self.masker = Redactor(secrets)

    def __call__(self, text: str) -> str:
        """Take a text, give what may be shown of it."""
        # Hidden before and after: an escape sequence may part a secret.
        shown = self.masker(printable(self.masker(text)))
        if any(re.search(rf"(?<![A-Za-z0-9]){re.escape(short)}(?![A-Za-z0-9])", shown) for short in self.short):
            return MASK
        return shown if len(shown) <= SHOWN else shown[:SHOWN] + "..."


class Client:
    """One URL that is asked several times over one connection, until its time is over."""

    def __init__(
        self, target: dict[str, Any], seconds: float, quiet: Callable[[str], str], proxies: bool = False
    ) -> None:
        """Take a target (url, headers), the seconds for all of its answers together, and what masks texts.

        proxies: whether the environment's proxies are used.
        """
        self.parts = urlsplit(target["url"])
        self.seconds = seconds
        self.quiet = quiet
        self.headers = {"Accept": "application/json", "User-Agent": "aztec-ops-prover", **target["headers"]}
        self.headers.update(basic("Authorization", self.parts))
        try:
            self.connection = connection_to(target["url"], seconds, proxies)
        except http.client.InvalidURL as error:
            raise self.fault(error) from None

    def close(self) -> None:
        """End the connection."""
        self.connection.close()

    def path(self, below: str, query: str) -> str:
        """A path below the URL's own, with the URL's query and one more."""
        own = self.parts.path.rstrip("/") + below if below else self.parts.path or "/"
        asked = "&".join(part for part in (self.parts.query, query) if part)
        # A browser's and Node's way: what may not stand in a request is written with %.
        return quote(own + ("?" + asked if asked else ""), safe="%/:=&?~#+!$,;'@()*[]")

    def exchange(self, method: str, path: str, body: str | None, longest: int, whole: bool) -> tuple[int, str, bytes]:
        """(status, where a redirect leads, body) of a request; of a longer body only the beginning, or TooLong."""
        headers = {**self.headers, "Content-Type": "application/json"} if body is not None else self.headers
        answered = self.connection.ask(method, path, body, headers, longest, whole)
        return answered.status, answered.headers.get("location", ""), answered.body

    def request(
        self,
        method: str,
        below: str = "",
        query: str = "",
        body: str | None = None,
        longest: int = LONGEST,
        whole: bool = True,
    ) -> tuple[int, str, bytes]:
        """What exchange gives, with a second try where a connection was kept that the server has closed."""
        kept = self.connection.kept
        try:
            try:
                return self.exchange(method, self.path(below, query), body, longest, whole)
            except (http.client.RemoteDisconnected, ConnectionError, BrokenPipeError):
                if not kept:
                    raise
                return self.exchange(method, self.path(below, query), body, longest, whole)
        except (OSError, http.client.HTTPException, ValueError) as error:
            # Without its cause, whose text may hold the URL.
            raise self.fault(error) from None

    def fault(self, error: Exception) -> Fault:
        """What an error of the way there or back is."""
        if isinstance(error, (socket.timeout, TimeoutError)):
            return Fault("timeout", f"gives no answer within {self.seconds:g} s")
        if isinstance(error, ssl.SSLCertVerificationError):
            return Fault("tls", f"its certificate is not trusted: {self.quiet(error.verify_message)}")
        if isinstance(error, ssl.SSLError):
            reason = getattr(error, "reason", None) or "failed"
            return Fault("tls", f"no TLS with it: {reason.lower().replace('_', ' ')}")
        if isinstance(error, socket.gaierror):
            return Fault("connect", "its name does not resolve here")
        if isinstance(error, http.client.RemoteDisconnected):
            return Fault("connect", "closes the connection without an answer")
        if isinstance(error, OSError):
            return Fault("connect", f"cannot be reached: {self.quiet(error_text(error))}")
        if isinstance(error, TooLong):
            return Fault("other", f"answers with {error}")
        if isinstance(error, http.client.IncompleteRead):
            return Fault("connect", "closes the connection before the end of its answer")
        if isinstance(error, ProxyRefused):
            return Fault("proxy", f"cannot be asked: {error}")
        if isinstance(error, (http.client.InvalidURL, ValueError)):
            return Fault("url", "cannot be asked: URL or API key holds characters that no request may have")
        return Fault("other", "answers with something that is no HTTP")

    def json(self, method: str, below: str = "", query: str = "", body: str | None = None) -> tuple[int, dict]:
        """(status, document) of an answer that is a JSON object; Fault for any other."""
        status, leads, got = self.request(method, below, query, body)
        self.refuse(status, leads, got)
        return status, self.document(status, got)

    def document(self, status: int, got: bytes) -> dict:
        """Return the JSON object that an answer's body holds; raise Fault for any other body."""
        wrong = "something other and not with JSON"
        try:
            found = parse_json(got)
        except ValueError as error:
            found, wrong = None, str(error)
        if isinstance(found, dict):
            return found
        if status != 200:
            raise Fault("http", f"answers {status} {http.client.responses.get(status, '')}".strip())
        begins = got.lstrip()[:1]
        what = "nothing" if not begins else "HTML" if begins == b"<" else ""
        raise Fault("other", f"answers with {what} and not with JSON" if what else f"answers with {wrong}")

    def refuse(self, status: int, leads: str, got: bytes) -> None:
        """Raise Fault for the answers that are the same to every question."""
        if status in (401, 403, 407):
            raise Fault("key", f"answers {status} {http.client.responses[status]}{self.said(got)}")
        if status == 429:
            raise Fault("limit", f"answers 429 {http.client.responses[status]}{self.said(got)}")
        if 300 <= status < 400:
            where = origin(leads) if "://" in leads else "another path of it"
            raise Fault("redirect", f"answers {status}, a redirect to {self.quiet(where)}")

    def said(self, got: bytes) -> str:
        """What the body of an answer says, as ': text', or ''."""
        try:
            found = parse_json(got)
        except ValueError:
            return ""
        error = found.get("error", found) if isinstance(found, dict) else found
        text = error.get("message") if isinstance(error, dict) else error
        return f": {self.quiet(text)}" if isinstance(text, str) and text.strip() else ""

    def rpc(self, method: str, *params: Any) -> Any:
        """The result of a JSON-RPC call; Refused where the server gives an error."""
        status, found = self.json("POST", body=call(method, *params))
        if found.get("error"):
            raise Refused(f"refuses {method}{self.said(json.dumps(found).encode())}")
        if status != 200 or "result" not in found:
            raise Fault("http" if status != 200 else "other", f"answers {status} without a result")
        return found["result"]

    def traces(self, method: str, transaction: str) -> bool:
        """Return whether a method of TRACE_METHODS is answered with a trace, by the beginning of the answer.

        Raise Refused where the server answers with an error, Fault where there is no JSON-RPC answer.
        """
        body = call(method, transaction, *TRACE_METHODS[method])
        status, leads, got = self.request("POST", body=body, longest=BEGIN, whole=False)
        self.refuse(status, leads, got)
        if status == 200 and TRACE_BEGINS[method].search(got):
            return True
        found = self.document(status, got)
        if found.get("error"):
            raise Refused(f"refuses {method}{self.said(got)}")
        return False

    def get(self, below: str, query: str = "") -> Any:
        """The data of a Beacon API answer; Refused with the status where it gives an error."""
        status, found = self.json("GET", below, query)
        if status != 200 or "data" not in found:
            raise Refused(f"answers {status} at {below}{self.said(json.dumps(found).encode())}")
        return found["data"]


def call(method: str, *params: Any) -> str:
    """Return the body of a JSON-RPC call."""
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})


def inside(document: Any, *path: Any) -> Any:
    """What lies at a path of keys and positions in a document, or None."""
    for step in path:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def blobs_begin(got: bytes) -> bool | None:
    """Whether the beginning of an answer shows blobs, none (False), or something else (None)."""
    match = re.search(rb'"data"\s*:\s*\[\s*(["{\]])', got)
    return None if match is None else match.group(1) != b"]"


def empty(target: dict[str, Any]) -> dict[str, Any]:
    """What is known of a target before it has answered."""
    return {"where": origin(target["url"]), "fault": None, "refused": {}, "seconds": None, "time": time.time()}


def answer(found: dict[str, Any], name: str, question: Callable, *words: Any) -> Any:
    """What a question brings; None and a note in `refused` where this question alone is not answered."""
    try:
        return question(*words)
    except Refused as refused:
        found["refused"][name] = str(refused)
    except Fault as fault:
        if fault.kind in LOST:
            raise
        found["refused"][name] = fault.text
    return None


def ask_execution(
    client: Client, found: dict[str, Any], registry: str, addresses: list[str], with_fees: bool = False
) -> None:
    """Fill in what an execution client says: chain, head, whether it syncs, the registry's code, balances in wei.

    with_fees: also what a transaction costs, in wei for each gas.
    """
    found.update(chain_id=None, head=None, timestamp=None, syncing=None, code_bytes=None, balances={}, fees=None)
    try:
        found["chain_id"] = number(client.rpc("eth_chainId"))
    except Refused as refused:
        found["refused"]["chain_id"] = str(refused)
        return

    def ask(name: str, method: str, *params: Any) -> Any:
        return answer(found, name, client.rpc, method, *params)

    syncing = ask("syncing", "eth_syncing")
    if isinstance(syncing, dict):
        current, highest = number(syncing.get("currentBlock")), number(syncing.get("highestBlock"))
        found["syncing"] = {"current": current, "highest": highest}
    elif syncing is False:
        found["syncing"] = False
    block = ask("head", "eth_getBlockByNumber", "latest", False)
    found["head"], found["timestamp"] = number(inside(block, "number")), number(inside(block, "timestamp"))
    found["time"] = time.time()
    if registry:
        code = ask("code", "eth_getCode", registry, "latest")
        found["code_bytes"] = (len(code) - 2) // 2 if isinstance(code, str) else None
    for address in addresses:
        balance = number(ask("balance", "eth_getBalance", address, "latest"), WEI_BITS)
        if balance is not None:
            # Wei do not fit into what JSON readers take for a number.
            found["balances"][address] = str(balance)
    if with_fees:
        rewards = inside(ask("fees", "eth_feeHistory", hex(FEE_BLOCKS), "latest", [FEE_PERCENTILE]), "reward")
        listed = [number(inside(one, 0)) for one in rewards] if isinstance(rewards, list) else []
        found["fees"] = {
            "base": in_text(number(inside(block, "baseFeePerGas"))),
            "priority": in_text(number(ask("fees", "eth_maxPriorityFeePerGas"))),
            "rewards": [str(one) for one in listed if one],
        }


def in_text(value: int | None) -> str | None:
    """Return an amount of wei as a text, which JSON readers keep as it is; None stays None."""
    return None if value is None else str(value)


def transaction_of(client: Client, blocks: range) -> tuple[int, str] | None:
    """Return (block, hash) of a transaction of the first of these blocks that has one, None where none of them has.

    It is the block's last one: on Ethereum that is most often a plain transfer, which costs the client least.
    """
    for block in blocks:
        hashes = inside(client.rpc("eth_getBlockByNumber", hex(block), False), "transactions")
        if isinstance(hashes, list) and hashes and isinstance(hashes[-1], str):
            return block, hashes[-1]
    return None


def traced_by(client: Client, transaction: str) -> tuple[str, list[str]]:
    """Return (the first method that traces a transaction, '' for none, and what was said to the others)."""
    said = []
    for method in TRACE_METHODS:
        try:
            if client.traces(method, transaction):
                return method, said
            said.append(f"answers {method} without a trace")
        except Refused as refused:
            said.append(str(refused))
        except Fault as fault:
            said.append(f"{fault.text} to {method}")
    return "", said


def ask_traces(client: Client, found: dict[str, Any]) -> None:
    """Fill in `traces`: whether a transaction of TRACED_BLOCKS ago is traced, or of the oldest block that has one.

    `block` is that transaction's block, None where the blocks that were looked at have no transaction; `method` is how
    it is traced, '' for not at all. In that case `recent` is how a transaction of the newest blocks is traced, and
    `refused` holds what was said.
    """
    found["traces"] = None
    head = found["head"]
    if head is None:
        return
    first = max(1, head - TRACED_BLOCKS)
    newest = range(head, max(0, head - TRACE_SEARCH), -1)
    try:
        traced = transaction_of(client, range(first, min(first + TRACE_SEARCH, head + 1)))
        traced = traced or transaction_of(client, newest)
        if traced is None:
            found["traces"] = {"block": None, "method": "", "recent": ""}
            return
        method, said = traced_by(client, traced[1])
        newer = None
        if not method:
            found["refused"]["traces"] = "; ".join(said)
            newer = transaction_of(client, newest)
        recent = traced_by(client, newer[1])[0] if newer and newer != traced else ""
        found["traces"] = {"block": traced[0], "method": method, "recent": recent}
    except (Refused, Fault) as error:
        # This is asked last: what was answered before it counts all the same.
        found["refused"].setdefault("traces", str(error))


def ask_debug(client: Client, found: dict[str, Any]) -> None:
    """Fill in what an execution client says that is asked for traces alone: chain, head and traces."""
    found.update(chain_id=None, head=None, traces=None)
    try:
        found["chain_id"] = number(client.rpc("eth_chainId"))
    except Refused as refused:
        found["refused"]["chain_id"] = str(refused)
        return
    found["head"] = number(answer(found, "head", client.rpc, "eth_blockNumber"))
    ask_traces(client, found)


def ask_sent(client: Client, found: dict[str, Any], addresses: list[str]) -> None:
    """Fill in how many transactions each of these addresses has sent; asked where the questions have such a list."""
    found["sent"] = {}
    for address in addresses:
        sent = number(answer(found, "sent", client.rpc, "eth_getTransactionCount", address, "latest"))
        if sent is not None:
            found["sent"][address] = sent


def ask_blobs(client: Client, found: dict[str, Any], head: int) -> None:
    """Fill in whether blobs are served: the route that serves them and whether any were seen, or what is said."""
    for route in BLOB_ROUTES:
        for slot in range(head, max(-1, head - BLOB_SLOTS), -1):
            below = f"/eth/v1/beacon/{route}/{slot}"
            query = "indices=0" if route == "blob_sidecars" else ""
            status, leads, got = client.request("GET", below, query, longest=BEGIN, whole=False)
            client.refuse(status, leads, got)
            seen = blobs_begin(got) if status == 200 else None
            if seen is not None:
                found["blobs"] = {"route": route, "seen": seen}
                if seen:
                    break
            elif status != 404 or re.search(rb"column|custod", got):
                # 404 is a slot without a block, or all of the route; Prysm says it of blobs that it does not keep.
                found["blobs"] = None
                found["refused"]["blobs"] = f"answers {status} at {below}{client.said(got)}"
                break
        if found["blobs"]:
            found["refused"].pop("blobs", None)
            return
    found["refused"].setdefault("blobs", f"answers 404 for the last {BLOB_SLOTS} slots")


def ask_consensus(client: Client, found: dict[str, Any]) -> None:
    """Fill in what a consensus client says: head, sync, chain, blobs, and how many custody groups it keeps."""
    found.update(head=None, sync=None, chain_id=None, blobs=None, custody_groups=None)
    # Aztec asks the same at its start, and ends when no consensus client answers it.
    try:
        headers = client.get("/eth/v1/beacon/headers")
    except Refused as refused:
        found["refused"]["head"] = str(refused)
        return
    found["head"] = number(inside(headers, 0, "header", "message", "slot"))
    if found["head"] is None:
        return

    def ask(name: str, below: str) -> Any:
        return answer(found, name, client.get, below)

    sync = ask("sync", "/eth/v1/node/syncing")
    if isinstance(sync, dict):
        found["sync"] = {
            "distance": number(sync.get("sync_distance")),
            **{name: sync.get(name) is True for name in ("is_syncing", "is_optimistic", "el_offline")},
        }
    found["chain_id"] = number(inside(ask("chain_id", "/eth/v1/config/deposit_contract"), "chain_id"))
    answer(found, "blobs", ask_blobs, client, found, found["head"])
    if not inside(found["blobs"], "seen"):
        identity = ask("custody_groups", "/eth/v1/node/identity")
        found["custody_groups"] = number(inside(identity, "metadata", "custody_group_count"))


def ask_signer(client: Client, found: dict[str, Any], addresses: list[str]) -> None:
    """Fill in what a Web3Signer says: which of these addresses it signs for, and where it does not tell, whether it is
    one at all.
    """
    found.update(known=None, up=None)
    # Aztec asks the same at its start, and ends where an address is missing in the answer.
    try:
        accounts = client.rpc("eth_accounts")
    except Refused as refused:
        accounts, found["refused"]["accounts"] = None, str(refused)
    except Fault as fault:
        if fault.kind not in ("http", "other"):
            raise
        accounts, found["refused"]["accounts"] = None, fault.text
    if isinstance(accounts, list):
        there = {one.lower() for one in accounts if isinstance(one, str)}
        found["known"] = [address for address in addresses if address.lower() in there]
        return
    found["refused"].setdefault("accounts", "answers eth_accounts with no list of addresses")
    status, _leads, got = client.request("GET", "/upcheck")
    found["up"] = status == 200 and got.strip() == b"OK"


def query_l1(questions: dict[str, Any]) -> dict[str, Any]:
    """Ask all targets at a time. questions: execution, consensus, signer and debug (lists of url and headers, and of
    execution clients traces, where they are to be asked for traces too), registry, addresses, seconds for each target,
    and, where given, sent: addresses whose transactions are counted, and fees: whether fees are asked for. Gives all
    kinds, an answer for each target, in the same order.
    """
    targets = [(kind, one) for kind in KINDS for one in questions.get(kind, [])]
    seconds = float(questions["seconds"])
    quiet = Quiet([target for _kind, target in targets])
    answers = [empty(target) for _kind, target in targets]

    def ask(kind: str, target: dict[str, Any], found: dict[str, Any]) -> None:
        started = time.monotonic()
        try:
            with closing(Client(target, seconds, quiet)) as client:
                if kind == "execution" and questions.get("sent"):
                    ask_sent(client, found, questions["sent"])
                if kind == "execution":
                    ask_execution(
                        client, found, questions["registry"], questions["addresses"], bool(questions.get("fees"))
                    )
                    if target.get("traces"):
                        ask_traces(client, found)
                elif kind == "debug":
                    ask_debug(client, found)
                elif kind == "consensus":
                    ask_consensus(client, found)
                else:
                    ask_signer(client, found, questions["addresses"])
        except Fault as fault:
            found["fault"] = {"kind": fault.kind, "text": fault.text}
        except (AttributeError, TypeError, KeyError, ValueError, RecursionError) as error:
            # A document of another shape than anybody foresaw; a traceback might show the URL.
            found["fault"] = {"kind": "other", "text": f"answers with what nobody understands ({type(error).__name__})"}
        found["seconds"] = round(time.monotonic() - started, 3)

    with ThreadPoolExecutor(max_workers=max(1, len(targets))) as pool:
        asked = [pool.submit(ask, kind, target, found) for (kind, target), found in zip(targets, answers)]
    for one in asked:
        one.result()
    result: dict[str, Any] = {kind: [] for kind in KINDS}
    for (kind, _target), found in zip(targets, answers):
        result[kind].append(found)
    return result
