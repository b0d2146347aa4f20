#!/usr/bin/env python3
"""The lab's L1 on one port: anvil with Aztec's contracts, and the consensus client API that an Aztec node uses.

Runs in the lab's `l1` container: starts anvil with the saved state, forwards JSON-RPC (POST) to it, answers the Beacon
API GETs of Aztec's blob client and of the preflight, and serves the network configuration that Aztec reads from
NETWORK_CONFIG_LOCATION.

anvil's blocks have a zero parentBeaconBlockRoot. Here, block N has the root N-1 (as a 32-byte number), and the beacon
header of root R has slot R. The client then requests the sidecars of slot N, which are the blobs of anvil's block N.
"""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

HERE = Path(__file__).parent
ANVIL = "http://127.0.0.1:8546"
PARAMETERS = json.loads((HERE / "l1.json").read_text())


def post(body: bytes) -> bytes:
    request = urllib.request.Request(ANVIL, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def rpc(method: str, *params: Any) -> Any:
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    return json.loads(post(json.dumps(call).encode())).get("result")


def with_beacon_roots(document: Any) -> Any:
    """Set the beacon root that this front can resolve in every block of a JSON-RPC response (or batch)."""
    for answer in document if isinstance(document, list) else [document]:
        block = answer.get("result") if isinstance(answer, dict) else None
        if isinstance(block, dict) and block.get("parentBeaconBlockRoot") and block.get("number"):
            block["parentBeaconBlockRoot"] = f"0x{max(0, int(block['number'], 16) - 1):064x}"
    return document


def network_config() -> dict[str, Any]:
    return {
        "testnet": {
            "bootnodes": [],
            "snapshots": [],
            "registryAddress": PARAMETERS["registryAddress"],
            "l1ChainId": PARAMETERS["chainId"],
        }
    }


def head() -> int:
    return int(rpc("eth_blockNumber"), 16)


def beacon_header(which: str | None) -> dict[str, Any]:
    slot = head() if which in (None, "head") else int(which, 0)
    header = {
        "root": f"0x{slot:064x}",
        "canonical": True,
        "header": {"message": {"slot": str(slot)}, "signature": "0x"},
    }
    return {"execution_optimistic": False, "finalized": False, "data": [header] if which is None else header}


def blobs_of(which: str) -> list[dict[str, str]] | None:
    """Return the sidecars of a slot, or None if the chain has not reached it."""
    slot = head() if which == "head" else int(which, 0)
    if not 0 <= slot <= head():
        return None
    found = rpc("anvil_getBlobSidecarsByBlockId", hex(slot)) or {}
    parts = zip(found.get("blobs", []), found.get("commitments", []), found.get("proofs", []))
    return [
        {"index": str(index), "blob": blob, "kzg_commitment": commitment, "kzg_proof": proof}
        for index, (blob, commitment, proof) in enumerate(parts)
    ]


def blob_sidecars(which: str, indices: list[str]) -> dict[str, Any] | None:
    found = blobs_of(which)
    wanted = {index for part in indices for index in part.split(",")}
    return None if found is None else {"data": [one for one in found if not wanted or one["index"] in wanted]}


def blobs(which: str) -> dict[str, Any] | None:
    found = blobs_of(which)
    return None if found is None else {"data": [one["blob"] for one in found]}


def syncing() -> dict[str, Any]:
    state = {"is_syncing": False, "is_optimistic": False, "el_offline": False}
    return {"data": {"head_slot": str(head()), "sync_distance": "0", **state}}


def deposit_contract() -> dict[str, Any]:
    return {"data": {"chain_id": str(int(rpc("eth_chainId"), 16)), "address": "0x" + "00" * 20}}


def identity() -> dict[str, Any]:
    return {"data": {"peer_id": "", "enr": "", "metadata": {"seq_number": "0", "custody_group_count": "128"}}}


class Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, code: int, body: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            data = post(body)
        except (OSError, urllib.error.URLError) as error:
            return self.answer(502, {"error": str(error)})
        if b"parentBeaconBlockRoot" in data:
            return self.answer(200, with_beacon_roots(json.loads(data)))
        return self.answer(200, data)

    def do_GET(self) -> None:
        below, _mark, query = self.path.partition("?")
        path = below.strip("/").split("/")
        if path == ["network_config.json"]:
            return self.answer(200, network_config())
        if path == ["l1.json"]:
            return self.answer(200, PARAMETERS)
        if path == ["eth", "v1", "node", "health"]:
            return self.answer(200, {})
        if path[:4] == ["eth", "v1", "beacon", "headers"]:
            return self.answer(200, beacon_header(path[4] if len(path) > 4 else None))
        plain = {"node/syncing": syncing, "node/identity": identity, "config/deposit_contract": deposit_contract}
        if path[:2] == ["eth", "v1"] and "/".join(path[2:]) in plain:
            return self.answer(200, plain["/".join(path[2:])]())
        found = None
        if path[:4] == ["eth", "v1", "beacon", "blob_sidecars"] and len(path) > 4:
            found = blob_sidecars(path[4], parse_qs(query).get("indices", []))
        elif path[:4] == ["eth", "v1", "beacon", "blobs"] and len(path) > 4:
            found = blobs(path[4])
        return self.answer(404, {"code": 404, "message": "not found"}) if found is None else self.answer(200, found)


class Server(ThreadingHTTPServer):
    """Serves IPv4 too: Linux accepts it on an IPv6 socket."""

    address_family = socket.AF_INET6


def start_anvil() -> subprocess.Popen[bytes]:
    state = Path("/tmp/state.json")
    with gzip.open(HERE / "state.json.gz") as packed, state.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    command = ["anvil", "--silent", "--host", "127.0.0.1", "--port", "8546", "--load-state", str(state)]
    # A block is final 64 blocks later, as on Ethereum. A node that reads a final block before it reads its proof stores
    # tips that it cannot start with again: "Block hash not found for block number N".
    command += ["--chain-id", str(PARAMETERS["chainId"]), "--slots-in-an-epoch", "32"]
    command += ["--block-time", str(PARAMETERS["ethereumSlotDuration"])]
    return subprocess.Popen(command)


def main() -> int:
    anvil = start_anvil()
    server = Server(("::", 8545), Front)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return anvil.wait()


if __name__ == "__main__":
    sys.exit(main())
