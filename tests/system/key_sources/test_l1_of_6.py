"""An L1 that release line 6 does not start with: the preflight reports it from the lab's hosts and changes nothing."""

from __future__ import annotations

import ipaddress
import json
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from eth_account import Account

from lab.fleet.l1 import rpc
from tests.system.fleet import Fleet, playbook

NODE = "node-1"
TRACES = ("trace_transaction", "debug_traceTransaction")
# More than nothing, but not enough for a submission with anvil's priority fee of 1 gwei.
FUNDS = 10**15


@pytest.fixture(name="untracing")
def fixture_untracing(fleet: Fleet) -> Iterator[str]:
    """Yield the URL of a client of the lab's L1, at an address that the hosts reach, whose trace methods are off."""

    class Client(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            call = json.loads(body)
            if call["method"] in TRACES:
                error = {"code": -32601, "message": f"the method {call['method']} does not exist/is not available"}
                answer = json.dumps({"jsonrpc": "2.0", "id": call["id"], "error": error}).encode()
            else:
                request = urllib.request.Request(fleet.settings.l1_url, body, {"content-type": "application/json"})
                with urllib.request.urlopen(request, timeout=30) as got:
                    answer = got.read()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments: object) -> None:
            """Log nothing."""

    address = str(ipaddress.ip_network(fleet.settings.ipv4_network)[1])
    server = ThreadingHTTPServer((address, 0), Client)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://{address}:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def preflight(where: Path, values: dict) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the preflight with these variables. Return the run, and the lines of its output with single spaces."""
    (where / "given.json").write_text(json.dumps(values))
    run = playbook("playbooks/preflight.yml", "-e", f"@{where / 'given.json'}")
    return run, [" ".join(line.split()) for line in run.stdout.splitlines()]


def test_what_6_does_not_start_with(fleet: Fleet, untracing: str, tmp_path: Path) -> None:
    """No traces and a publisher that cannot pay for one proof: failures on 6, warnings on the release that runs."""
    account = Account.create()
    rpc(fleet.settings.l1_url, "anvil_setBalance", account.address, hex(FUNDS))
    values = {
        "aztec_l1_debug_urls": [untracing],
        "aztec_l1_balance_warn": 0,
        "prover_node_publisher_private_key": account.key.hex(),
    }
    before = fleet.container(NODE, "prover-node")["Id"]

    run, lines = preflight(tmp_path, {**values, "aztec_version": "6.0.0"})
    assert run.returncode == 2, run.stdout
    traces = f"{NODE} aztec_l1_debug_urls entry 1 ({untracing}) does not trace transactions"
    funds = f"{NODE} prover_node_publisher_private_key the publisher {account.address} has 0.001 ETH, not enough to "
    for line in (traces, funds):
        assert [one for one in lines if one.startswith(line)], run.stdout
    seen = [one for one in lines if f" {untracing} " in one and one.endswith("FAILED")]
    assert [one for one in seen if "NO TRACES" in one], run.stdout
    assert [one for one in lines if f"{account.address} 0.001 ETH 0 proofs" in one], run.stdout

    run, lines = preflight(tmp_path, values)
    assert run.returncode == 0, run.stdout
    for line in (traces, funds):
        where, _space, what = line.partition(" ")
        variable, _space, what = what.partition(" ")
        assert [one for one in lines if one.startswith(f"{where} {variable} (warning) {what}")], run.stdout

    assert fleet.container(NODE, "prover-node")["Id"] == before
