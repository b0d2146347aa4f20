# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Query the L1 from a host: state of execution and consensus clients, whether they trace transactions, and the accounts
of a signer. The results are evaluated elsewhere.

URLs and headers can contain API keys. No result contains one, and texts from servers are redacted.
"""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Callable

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.api_client import (
    ApiClient,
    ErrorResponse,
    RequestError,
    rpc_body,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import number
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.redaction import Redactor, origin

# Bytes to read of blobs (128 KiB each) and of traces (up to megabytes).
PREFIX_BYTES = 4096
# Slots to search for one with blobs: most blocks have some.
BLOB_SLOTS = 4
# Aztec uses the first route. Clients after Fusaka may serve only the second.
BLOB_ROUTES = ("blob_sidecars", "blobs")
# How far back traces must reach, in blocks: 12 hours, by "L1 RPC requirements" of Aztec's operator documentation. At
# its start Aztec itself traces a transaction of 512 blocks ago (archiver/src/l1/validate_trace.ts).
TRACED_BLOCKS = 3600
# In how many blocks to search for a transaction to trace, from there on and from the newest block back. Aztec searches
# ten. On Ethereum the first block has some.
TRACE_SEARCH = 10
# The methods that return a trace, in the order in which they are tried, with the parameters after the transaction hash.
TRACE_METHODS = {"trace_transaction": (), "debug_traceTransaction": ({"tracer": "callTracer"},)}
# How a response with a trace begins: a list of calls, or one call with its sender. An empty list is not a trace, and
# neither is the list of opcodes ("structLogs") of clients that do not support callTracer.
TRACE_PREFIXES = {
    "trace_transaction": re.compile(rb'"result"\s*:\s*\[\s*\{'),
    "debug_traceTransaction": re.compile(rb'"result"\s*:\s*\{[^{}\[\]]*"from"\s*:\s*"0x'),
}
# Blocks whose priority fees are queried, and their percentile: HISTORICAL_BLOCK_COUNT and rewardPercentiles of Aztec's
# strategy (ethereum/src/l1_tx_utils/fee-strategies/p75_competitive.ts, read in aztec-node of 2026-08).
FEE_BLOCKS, FEE_PERCENTILE = 5, 75
# Bits of an amount of wei: all ETH has 87.
WEI_BITS = 128
# Kinds of targets. debug is an execution client that is queried only for traces.
KINDS = ("execution", "consensus", "signer", "debug")
# Errors after which a target is not queried any further.
FATAL_ERRORS = ("timeout", "connect", "tls", "url")


def inside(document: Any, *path: Any) -> Any:
    """Return the value at a path of keys and indexes in a document, None for none."""
    for step in path:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def has_blobs(prefix: bytes) -> bool | None:
    """Return whether the beginning of a response contains blobs, None where it is something else."""
    match = re.search(rb'"data"\s*:\s*\[\s*(["{\]])', prefix)
    return None if match is None else match.group(1) != b"]"


def beacon_data(client: ApiClient, path: str) -> Any:
    """Return the data of a Beacon API response. Raise ErrorResponse where the client returns an error."""
    status, found = client.json("GET", path)
    if status != 200 or "data" not in found:
        raise ErrorResponse(f"returns {status} for {path}{client.reason(json.dumps(found).encode())}")
    return found["data"]


def returns_trace(client: ApiClient, method: str, transaction: str) -> bool:
    """Return whether a method of TRACE_METHODS returns a trace, by the beginning of the response.

    Raise ErrorResponse where the client returns an error, RequestError where the response is not JSON-RPC.
    """
    body = rpc_body(method, transaction, *TRACE_METHODS[method])
    response = client.request("POST", body=body, limit=PREFIX_BYTES, truncate=True)
    client.check_status(response)
    if response.status == 200 and TRACE_PREFIXES[method].search(response.body):
        return True
    if client.document(response).get("error"):
        raise ErrorResponse(f"rejects {method}{client.reason(response.body)}")
    return False


def query(found: dict[str, Any], name: str, function: Callable, *arguments: Any) -> Any:
    """Return what a function returns. Where only this query fails, return None and note the reason in `refused`."""
    try:
        return function(*arguments)
    except ErrorResponse as error:
        found["refused"][name] = str(error)
    except RequestError as error:
        if error.kind in FATAL_ERRORS:
            raise
        found["refused"][name] = error.text
    return None


def query_chain(client: ApiClient, found: dict[str, Any]) -> bool:
    """Set the chain ID of an execution client. Return False where the client rejects the query."""
    found["chain_id"] = None
    try:
        found["chain_id"] = number(client.rpc("eth_chainId"))
    except ErrorResponse as error:
        found["refused"]["chain_id"] = str(error)
        return False
    return True


def query_execution(client: ApiClient, found: dict[str, Any], queries: dict[str, Any]) -> None:
    """Set the state of an execution client: chain, head, sync, size of the registry's code, balances in wei.

    With `fees` in queries, also set what a transaction costs, in wei per gas.
    """
    found.update(head=None, timestamp=None, syncing=None, code_bytes=None, balances={}, fees=None)
    if not query_chain(client, found):
        return

    def call(name: str, method: str, *params: Any) -> Any:
        return query(found, name, client.rpc, method, *params)

    syncing = call("syncing", "eth_syncing")
    if isinstance(syncing, dict):
        current, highest = number(syncing.get("currentBlock")), number(syncing.get("highestBlock"))
        found["syncing"] = {"current": current, "highest": highest}
    elif syncing is False:
        found["syncing"] = False
    block = call("head", "eth_getBlockByNumber", "latest", False)
    found["head"], found["timestamp"] = number(inside(block, "number")), number(inside(block, "timestamp"))
    found["time"] = time.time()
    if queries["registry"]:
        code = call("code", "eth_getCode", queries["registry"], "latest")
        found["code_bytes"] = (len(code) - 2) // 2 if isinstance(code, str) else None
    for address in queries["addresses"]:
        balance = number(call("balance", "eth_getBalance", address, "latest"), WEI_BITS)
        if balance is not None:
            # As text: JSON readers round large numbers.
            found["balances"][address] = str(balance)
    if queries.get("fees"):
        rewards = inside(call("fees", "eth_feeHistory", hex(FEE_BLOCKS), "latest", [FEE_PERCENTILE]), "reward")
        listed = [number(inside(one, 0)) for one in rewards] if isinstance(rewards, list) else []
        fees = {"base": inside(block, "baseFeePerGas"), "priority": call("fees", "eth_maxPriorityFeePerGas")}
        values = {name: number(fee) for name, fee in fees.items()}
        found["fees"] = {name: None if value is None else str(value) for name, value in values.items()}
        found["fees"]["rewards"] = [str(one) for one in listed if one]


def find_transaction(client: ApiClient, blocks: range) -> tuple[int, str] | None:
    """Return (block, hash) of a transaction in the first of these blocks that has one, None where none of them has.

    Use the last transaction of the block: on Ethereum it is usually a plain transfer, which is cheap to trace.
    """
    for block in blocks:
        hashes = inside(client.rpc("eth_getBlockByNumber", hex(block), False), "transactions")
        if isinstance(hashes, list) and hashes and isinstance(hashes[-1], str):
            return block, hashes[-1]
    return None


def trace_method(client: ApiClient, transaction: str) -> tuple[str, list[str]]:
    """Return (the first method that traces a transaction, '' for none, and the errors of the others)."""
    errors = []
    for method in TRACE_METHODS:
        try:
            if returns_trace(client, method, transaction):
                return method, errors
            errors.append(f"returns no trace for {method}")
        except ErrorResponse as error:
            errors.append(str(error))
        except RequestError as error:
            errors.append(f"{error.text} for {method}")
    return "", errors


def query_traces(client: ApiClient, found: dict[str, Any]) -> None:
    """Set `traces`: whether a transaction of TRACED_BLOCKS ago is traced, or of the oldest block that has one.

    block: the block of that transaction, None where the searched blocks have no transaction. method: the method that
    traces it, '' for none. In that case, recent: the method that traces a transaction of the newest blocks, and
    `refused` contains the errors.
    """
    found["traces"] = None
    head = found["head"]
    if head is None:
        return
    first = max(1, head - TRACED_BLOCKS)
    newest = range(head, max(0, head - TRACE_SEARCH), -1)
    try:
        traced = find_transaction(client, range(first, min(first + TRACE_SEARCH, head + 1)))
        traced = traced or find_transaction(client, newest)
        if traced is None:
            found["traces"] = {"block": None, "method": "", "recent": ""}
            return
        method, errors = trace_method(client, traced[1])
        newer = None
        if not method:
            found["refused"]["traces"] = "; ".join(errors)
            newer = find_transaction(client, newest)
        recent = trace_method(client, newer[1])[0] if newer and newer != traced else ""
        found["traces"] = {"block": traced[0], "method": method, "recent": recent}
    except (ErrorResponse, RequestError) as error:
        # This is the last query: the earlier results stay valid.
        found["refused"].setdefault("traces", str(error))


def query_debug(client: ApiClient, found: dict[str, Any]) -> None:
    """Set chain, head and traces of an execution client that is queried only for traces."""
    found.update(head=None, traces=None)
    if query_chain(client, found):
        found["head"] = number(query(found, "head", client.rpc, "eth_blockNumber"))
        query_traces(client, found)


def query_sent(client: ApiClient, found: dict[str, Any], addresses: list[str]) -> None:
    """Set the number of transactions that each of these addresses has sent."""
    found["sent"] = {}
    for address in addresses:
        sent = number(query(found, "sent", client.rpc, "eth_getTransactionCount", address, "latest"))
        if sent is not None:
            found["sent"][address] = sent


def query_blobs(client: ApiClient, found: dict[str, Any], head: int) -> None:
    """Set `blobs`: the route that serves blobs and whether any were found. Otherwise note the reason in `refused`."""
    for route in BLOB_ROUTES:
        for slot in range(head, max(-1, head - BLOB_SLOTS), -1):
            path = f"/eth/v1/beacon/{route}/{slot}"
            parameters = "indices=0" if route == "blob_sidecars" else ""
            response = client.request("GET", path, parameters, limit=PREFIX_BYTES, truncate=True)
            client.check_status(response)
            seen = has_blobs(response.body) if response.status == 200 else None
            if seen is not None:
                found["blobs"] = {"route": route, "seen": seen}
                if seen:
                    break
            elif response.status != 404 or re.search(rb"column|custod", response.body):
                # 404: a slot without a block, or a missing route. Prysm returns it for blobs that it does not keep.
                found["blobs"] = None
                found["refused"]["blobs"] = f"returns {response.status} for {path}{client.reason(response.body)}"
                break
        if found["blobs"]:
            found["refused"].pop("blobs", None)
            return
    found["refused"].setdefault("blobs", f"returns 404 for the last {BLOB_SLOTS} slots")


def query_consensus(client: ApiClient, found: dict[str, Any]) -> None:
    """Set the state of a consensus client: head, sync, chain, blobs, and the number of its custody groups."""
    found.update(head=None, sync=None, chain_id=None, blobs=None, custody_groups=None)
    # Aztec sends the same query at its start, and ends when no consensus client answers it.
    try:
        headers = beacon_data(client, "/eth/v1/beacon/headers")
    except ErrorResponse as error:
        found["refused"]["head"] = str(error)
        return
    found["head"] = number(inside(headers, 0, "header", "message", "slot"))
    if found["head"] is None:
        return

    def get(name: str, path: str) -> Any:
        return query(found, name, beacon_data, client, path)

    sync = get("sync", "/eth/v1/node/syncing")
    if isinstance(sync, dict):
        found["sync"] = {
            "distance": number(sync.get("sync_distance")),
            **{name: sync.get(name) is True for name in ("is_syncing", "is_optimistic", "el_offline")},
        }
    found["chain_id"] = number(inside(get("chain_id", "/eth/v1/config/deposit_contract"), "chain_id"))
    query(found, "blobs", query_blobs, client, found, found["head"])
    if not inside(found["blobs"], "seen"):
        identity = get("custody_groups", "/eth/v1/node/identity")
        found["custody_groups"] = number(inside(identity, "metadata", "custody_group_count"))


def query_signer(client: ApiClient, found: dict[str, Any], addresses: list[str]) -> None:
    """Set `known`: the addresses that a Web3Signer signs for. Where it does not list them, set `up`: whether it is a
    Web3Signer.
    """
    found.update(known=None, up=None)
    # Aztec sends the same query at its start, and ends where an address is missing in the response.
    try:
        accounts = client.rpc("eth_accounts")
    except ErrorResponse as error:
        accounts, found["refused"]["accounts"] = None, str(error)
    except RequestError as error:
        if error.kind not in ("http", "other"):
            raise
        accounts, found["refused"]["accounts"] = None, error.text
    if isinstance(accounts, list):
        listed = {one.lower() for one in accounts if isinstance(one, str)}
        found["known"] = [address for address in addresses if address.lower() in listed]
        return
    found["refused"].setdefault("accounts", "does not return a list of addresses for eth_accounts")
    response = client.request("GET", "/upcheck")
    found["up"] = response.status == 200 and response.body.strip() == b"OK"


def query_target(kind: str, target: dict[str, Any], queries: dict[str, Any], redact: Callable) -> dict[str, Any]:
    """Return the state of one target, with `fault` where it cannot be queried."""
    found = {"where": origin(target["url"]), "fault": None, "refused": {}, "seconds": None, "time": time.time()}
    started = time.monotonic()
    try:
        with closing(ApiClient(target["url"], float(queries["seconds"]), target["headers"], redact)) as client:
            if kind == "execution":
                if queries.get("sent"):
                    query_sent(client, found, queries["sent"])
                query_execution(client, found, queries)
                if target.get("traces"):
                    query_traces(client, found)
            elif kind == "debug":
                query_debug(client, found)
            elif kind == "consensus":
                query_consensus(client, found)
            else:
                query_signer(client, found, queries["addresses"])
    except RequestError as error:
        found["fault"] = {"kind": error.kind, "text": error.text}
    except (AttributeError, TypeError, KeyError, ValueError, RecursionError) as error:
        # A document of an unexpected shape. A traceback could contain the URL.
        found["fault"] = {"kind": "other", "text": f"returns an unexpected response ({type(error).__name__})"}
    found["seconds"] = round(time.monotonic() - started, 3)
    return found


def query_l1(queries: dict[str, Any]) -> dict[str, Any]:
    """Query all targets in parallel. Return each kind of KINDS with the results of its targets, in the same order.

    queries: execution, consensus, signer and debug (lists of targets with url and headers, those of execution clients
    with traces where these are queried), registry, addresses, seconds for each target, and optionally sent (addresses
    whose transactions are counted) and fees (whether fees are queried).
    """
    targets = [(kind, target) for kind in KINDS for target in queries.get(kind, [])]
    redact = Redactor.of_targets([target for _kind, target in targets]).line
    with ThreadPoolExecutor(max_workers=max(1, len(targets))) as pool:
        results = [(kind, pool.submit(query_target, kind, target, queries, redact)) for kind, target in targets]
    return {kind: [result.result() for one, result in results if one == kind] for kind in KINDS}
