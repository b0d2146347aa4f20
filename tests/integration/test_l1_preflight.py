# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The L1 checks of the preflight with real anvils and the lab's front, as functions and in real playbook runs."""

from __future__ import annotations

import gzip
import ipaddress
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tarfile
import threading
import time
import urllib.request
from base64 import b64encode
from datetime import datetime, timedelta, timezone
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.redaction import forms
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import project_name
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1 import client as l1_probe
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.client import query_l1
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_checks import (
    CLIENT_HEADS,
    PUBLISHER_HEADS,
    check_l1,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_queries import (
    client_queries,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab import signer
from lab.l1 import front
from tests.bad_input import commands
from tests.harness.parts import bridge_address
from tests.integration.machine import python_of_a_host

ROOT = Path(__file__).resolve().parents[2]
NO_BLOBS = "does not serve blobs:"
REGISTRY = front.PARAMETERS["registryAddress"]
# The servers of these tests use an address that containers would reach as well, since loopback addresses are rejected.
# The machine's own outer address may be one of those that examples are written with, which are rejected too.
ADDRESS = bridge_address()
GONE = f"http://{ADDRESS}:1"
# Account 2 of anvil's public test mnemonic, to which anvil gives 10000 ETH, and an account without a balance.
KEY = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"
PUBLISHER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
EMPTY_KEY = "0x" + "5ec2e7ab" * 8
SECRETS = {name: f"S3cret-{name}/ä%+ 1" for name in ("user", "password", "path", "query", "key", "header")}


def free_port() -> int:
    with socket.create_server((ADDRESS, 0)) as taken:
        return taken.getsockname()[1]


def rpc(url: str, method: str, *params):
    """Call a JSON-RPC method of an anvil and return the result. Raise OSError while the anvil does not serve."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())["result"]


class Anvils:
    """Starts anvils, waits until they serve, and ends them."""

    def __init__(self) -> None:
        self.running: list = []

    def start(self, *arguments: str) -> str:
        port = free_port()
        command = [os.environ["ANVIL"], "--silent", "--host", ADDRESS, "--port", str(port), *arguments]
        self.running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        url, end = f"http://{ADDRESS}:{port}", time.monotonic() + 30
        while True:
            try:
                rpc(url, "eth_chainId")
                return url
            except OSError:
                assert time.monotonic() < end, "anvil does not serve"
                time.sleep(0.1)

    def end(self) -> None:
        for process in self.running:
            process.terminate()
            process.wait()


@pytest.fixture(name="anvils", scope="module")
def fixture_anvils():
    """Return an object that starts anvils."""
    made = Anvils()
    yield made
    made.end()


@pytest.fixture(name="chain", scope="module")
def fixture_chain(anvils, tmp_path_factory):
    """Return the URL of an anvil with the lab's L1 and Aztec's contracts. The front queries it too."""
    state = tmp_path_factory.mktemp("chain") / "state.json"
    with gzip.open(ROOT / "lab/l1/state.json.gz") as packed, state.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    url = anvils.start(
        "--load-state", str(state), "--chain-id", "31337", "--block-time", "1", "--slots-in-an-epoch", "1"
    )
    end = time.monotonic() + 30
    # The state's newest block is as old as the state.
    while time.time() - int(rpc(url, "eth_getBlockByNumber", "latest", False)["timestamp"], 16) > 60:
        assert time.monotonic() < end
        time.sleep(0.2)
    # anvil reports that others paid 50 gwei in its first block: mine until that block is not considered anymore.
    rpc(url, "anvil_mine", hex(l1_probe.FEE_BLOCKS), "0x0")
    before, front.ANVIL = front.ANVIL, url
    yield url
    front.ANVIL = before


class Endpoint(front.Front):
    """The lab's front with a record of the requests, a required key, and responses of faulty clients."""

    required_header = ("", "")
    required_path = ""
    required_query = ("", "")
    required_user = ""
    rewritten: dict = {}
    requests: list = []

    def refused(self) -> bool:
        """Return 401 for a request without the key, with the given key in the response, as some servers do."""
        parts = urlsplit(self.path)
        name, value = self.required_header
        query, expected = self.required_query
        given = self.headers.get("authorization", "")
        good = (
            (not name or self.headers.get(name) == value)
            and parts.path.startswith(self.required_path)
            and (not query or parse_qs(parts.query).get(query) == [expected])
            and (not self.required_user or given == self.required_user)
        )
        self.requests.append(self.path)
        if not good:
            seen = " ".join([self.path, given, *(value for key, value in self.headers.items() if key != "Host")])
            self.answer(401, {"error": {"code": -32000, "message": f"wrong key: {seen}"}})
        self.path = self.path[len(self.required_path) :] or "/"
        return not good

    def do_POST(self) -> None:
        if not self.refused():
            super().do_POST()

    def do_GET(self) -> None:
        below = urlsplit(self.path).path
        if self.refused():
            return
        for begins, (code, document) in self.rewritten.items():
            if below.startswith(begins):
                self.answer(code, document)
                return
        super().do_GET()


class Syncing(Endpoint):
    """An execution client that responds like a geth that syncs, which anvil never does."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        call = json.loads(body)
        if call["method"] == "eth_syncing":
            state = {"currentBlock": "0x10", "highestBlock": "0x2000", "startingBlock": "0x0"}
            return self.answer(200, {"jsonrpc": "2.0", "id": call["id"], "result": state})
        return self.answer(200, front.post(body))


class Untracing(Endpoint):
    """A client that rejects these methods, like a geth whose debug and trace interfaces are off."""

    refuses: tuple = ()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        call = json.loads(body)
        self.requests.append(call["method"])
        if call["method"] in self.refuses:
            error = {"code": -32601, "message": f"the method {call['method']} does not exist/is not available"}
            return self.answer(200, {"jsonrpc": "2.0", "id": call["id"], "error": error})
        return self.answer(200, front.post(body))


class Page(front.Front):
    """A web server that is not an L1 client."""

    def do_POST(self) -> None:
        self.answer(200, b"<!doctype html><title>welcome</title>")

    do_GET = do_POST


class Redirect(front.Front):
    """A server that redirects every request, with the key in the target."""

    def do_POST(self) -> None:
        self.send_response(301)
        self.send_header("location", f"http://127.0.0.1:9{self.path}")
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST


@pytest.fixture(name="serve")
def fixture_serve():
    """Return a function that starts a server with a handler and returns its URL. The servers end with the test."""
    servers = []

    def serve(handler: type, context: ssl.SSLContext | None = None, **settings) -> str:
        made = type("Made", (handler,), {"requests": [], **settings})
        server = ThreadingHTTPServer((ADDRESS, 0), made)
        # A client may disconnect before it has read everything, which is not an error here.
        server.handle_error = lambda *_: None
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        serve.handlers.append(made)
        return f"{'https' if context else 'http'}://{ADDRESS}:{server.server_port}"

    serve.handlers = []
    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(name="certificate", scope="module")
def fixture_certificate(tmp_path_factory):
    """Return the file of a self-signed certificate of this machine, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ADDRESS)])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ADDRESS))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "crt.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "crt.pem", folder / "key.pem")
    return folder / "crt.pem", context


FLEET = {"network": "testnet", "publishers": [PUBLISHER], "hosts": {"node-1": {"components": ["prover_node"]}}}
# On a release line that needs traces, and on one that does not.
SIX, FIVE = {**FLEET, "line": "6"}, {**FLEET, "line": "5"}
TRACE, DEBUG = "trace_transaction", "debug_traceTransaction"
LAB = {"aztec_l1_chain_id": 31337, "aztec_l1_registry": REGISTRY, "aztec_l1_timeout": 5}


def checked(execution: list, consensus: list, fleet: dict = FLEET, starts: bool = False, **values):
    """Query these clients as a host does, and return the result of the checks."""
    every = {**LAB, "aztec_l1_execution_urls": execution, "aztec_l1_consensus_urls": consensus, **values}
    return check_l1("node-1", every, fleet, query_l1(client_queries(every, fleet, "node-1")), starts)


def lines(execution: list, consensus: list, fleet: dict = FLEET, starts: bool = False, **values) -> list:
    """Return the problems with these clients as texts."""
    return [f"{one.level}: {one.wrong}" for one in checked(execution, consensus, fleet, starts, **values).problems]


def test_the_lab_s_l1_has_no_problems(chain, serve) -> None:
    url = serve(Endpoint)
    assert lines([chain, url + "/"], [url, url + "/"]) == []
    found = checked([chain], [url])
    seen = f"{table(found.clients, CLIENT_HEADS)}\n\n{table(found.publishers, PUBLISHER_HEADS)}"
    assert re.search(r"execution 1 .* 31337 +block [1-9]\d* .* registry, traces .* ok$", seen, re.MULTILINE)
    assert re.search(rf"{PUBLISHER} +10000 ETH +[1-9]\d+ proofs$", seen, re.MULTILINE)


def test_blobs_that_are_there(chain, serve) -> None:
    """The saved L1 has no block with blobs near its head, so the responses of both routes are recorded ones."""
    sidecar = {"index": "0", "blob": "0x" + "00" * 131072, "kzg_commitment": "0x", "kzg_proof": "0x"}
    old = serve(Endpoint, rewritten={"/eth/v1/beacon/blob_sidecars/": (200, {"version": "deneb", "data": [sidecar]})})
    new = serve(Endpoint, rewritten={
        "/eth/v1/beacon/blob_sidecars/": (410, {"code": 410, "message": "gone"}),
        "/eth/v1/beacon/blobs/": (200, {"execution_optimistic": False, "data": ["0x" + "00" * 131072]}),
    })  # fmt: skip
    assert lines([chain], [old]) == []
    assert [one.partition(") ")[2] for one in lines([chain], [new])] == ["serves blobs only at /eth/v1/beacon/blobs"]
    assert all("blobs" in row for row in checked([chain], [old, new]).clients[1:])


def test_faulty_execution_clients(chain, anvils, serve, certificate) -> None:
    endpoint = serve(Endpoint)
    _file, context = certificate
    silent = socket.create_server((ADDRESS, 0))
    old = anvils.start("--chain-id", "31337", "--timestamp", str(int(time.time()) - 7300))
    cases = [
        (anvils.start("--chain-id", "1"), "is on chain 1 (mainnet), but testnet is on chain 31337"),
        (GONE, "is not reachable: connection refused"),
        ("http://no-such-host.invalid", "does not resolve on this host"),
        (f"http://{ADDRESS}:{silent.getsockname()[1]}", "does not respond within 2 s"),
        (old, "its latest block, 0, is 2 h old (limit: 5 min)"),
        (old, f"does not have a contract at {REGISTRY}, the address of the registry"),
        (serve(Syncing), "is syncing, block 16 of 8192"),
        (serve(Page), "returns HTML instead of JSON"),
        (serve(Redirect), "returns 301, a redirect to http://127.0.0.1:9"),
        (serve(front.Front, context=context), "has a certificate that is not trusted: self-signed certificate"),
        (endpoint.replace("http", "https"), "fails the TLS handshake: "),
        (serve(Endpoint, required_path="/key"), "returns 401 Unauthorized: wrong key: "),
    ]
    started = time.monotonic()
    found = lines([url for url, _line in cases], [endpoint], aztec_l1_timeout=2)
    assert time.monotonic() - started < 4
    for url, line in cases:
        where = f"error: entry {[one for one, _line in cases].index(url) + 1} ({url}) {line}"
        assert [one for one in found if one.startswith(where)], (where, found)
    assert len(found) == len(cases)
    silent.close()


def test_faulty_consensus_clients(chain, serve) -> None:
    syncing = {"head_slot": "1", "sync_distance": "900", "is_syncing": True, "is_optimistic": True, "el_offline": False}
    columns = "Insufficient data columns to reconstruct blobs: required 64, but only 4 were found."
    custody = "Not found: the node does not custody enough data columns to reconstruct blobs"
    identity = {"data": {"metadata": {"custody_group_count": "4"}}}

    def rewriting(below: str, code: int, document: dict) -> str:
        return serve(Endpoint, rewritten={below: (code, document)})

    def error(code: int, message: str) -> tuple:
        return code, {"code": code, "message": message}

    syncs, blobs = "/eth/v1/node/syncing", "/eth/v1/beacon/blob"
    other_chain = {"data": {"chain_id": "1", "address": "0x"}}
    cases = [
        (rewriting(syncs, 200, {"data": syncing}), "error", "is syncing, 900 slots behind"),
        (rewriting("/eth/v1/config/", 200, other_chain), "error", "is on chain 1 (mainnet)"),
        # The responses of Lighthouse and Prysm since Fusaka, if they are not supernodes.
        (rewriting(blobs, *error(500, columns)), "error", f"{NO_BLOBS} returns 500 for /eth/v1/beacon/blobs/"),
        (rewriting(blobs, *error(404, custody)), "error", f"{NO_BLOBS} returns 404 for /eth/v1/beacon/blobs/"),
        (rewriting(blobs, *error(404, "not found")), "error", "does not serve blobs: returns 404 for the last 4 slots"),
        (rewriting("/eth/v1/node/identity", 200, identity), "warning", "keeps 4 of 128 data columns"),
        (
            rewriting(syncs, *error(403, "no")),
            "warning",
            "returns 403 Forbidden: no: its sync state is unknown",
        ),
        (chain, "error", "returns 404 Not Found"),
        (GONE, "error", "is not reachable: connection refused"),
        (serve(Page), "error", "returns HTML instead of JSON"),
        (serve(Redirect), "error", "returns 301, a redirect to http://127.0.0.1:9"),
    ]
    found = lines([chain], [url for url, _level, _line in cases])
    assert len(found) == len(cases), found
    for number, ((url, level, line), text) in enumerate(zip(cases, found), 1):
        assert text.startswith(f"{level}: entry {number} ({url}) {line}"), text
    assert columns in found[2]


def test_a_server_that_sends_single_bytes_does_not_delay_the_others(chain, serve) -> None:
    def drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(20):
            self.wfile.write(b" ")
            time.sleep(0.5)

    url = serve(front.Front, do_POST=drip, do_GET=drip)
    started = time.monotonic()
    found = lines([url, chain], [url], aztec_l1_timeout=2)
    assert time.monotonic() - started < 4
    assert [one.partition(") ")[2] for one in found] == ["does not respond within 2 s"] * 2


def test_a_certificate_that_is_trusted(chain, serve, certificate, monkeypatch) -> None:
    file, context = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    url = serve(front.Front, context=context)
    assert lines([url], [url]) == []


def test_balances_of_real_accounts(chain, serve) -> None:
    endpoint = serve(Endpoint)
    rpc(chain, "anvil_setBalance", PUBLISHER, hex(5 * 10**16))
    assert [one.partition(PUBLISHER)[2] for one in lines([chain], [endpoint])] == [
        " has 0.05 ETH, below aztec_l1_balance_warn, 0.1"
    ]
    assert lines([chain], [endpoint], aztec_l1_balance_fail=0.05)[0].startswith("error: the publisher")
    assert lines([chain], [endpoint], aztec_l1_balance_warn=0.05) == []
    rpc(chain, "anvil_setBalance", PUBLISHER, "0x0")
    assert lines([chain], [endpoint]) == [
        f"error: the publisher {PUBLISHER} has 0 ETH and cannot pay for submitting proofs"
    ]
    rpc(chain, "anvil_setBalance", PUBLISHER, hex(10**22))


NOTHING_TRACED = f"rejects {TRACE}: the method {TRACE} does not exist/is not available"


def test_traces_of_real_transactions(chain, anvils, serve) -> None:
    """anvil traces all transactions with one method, and only those since its start with the other one.

    The oldest transaction of the saved chain is in block 1, and is older than the anvil.
    """
    beacon = serve(Endpoint)
    assert lines([chain], [beacon], SIX) == []
    assert checked([chain], [beacon], SIX).clients[0][7] == "registry, traces (of block 1: chain too short)"

    # One method is enough. The second one is called only if the first one fails.
    one = serve(Untracing, refuses=(DEBUG,))
    assert lines([one], [beacon], SIX) == []
    assert serve.handlers[-1].requests.count(TRACE) == 1
    assert DEBUG not in serve.handlers[-1].requests

    # With the second method, anvil traces only new transactions, like a client without an archive.
    new = serve(Untracing, refuses=(TRACE,))
    sent = {"from": rpc(chain, "eth_accounts")[0], "to": PUBLISHER, "value": "0x1"}
    rpc(chain, "eth_sendTransaction", sent)
    rpc(chain, "anvil_mine", "0x1", "0x0")
    assert [one.partition(") ")[2].partition(",")[0] for one in lines([new], [beacon], SIX)] == [
        "traces recent transactions"
    ]
    assert lines([new], [beacon], SIX)[0].startswith("warning: entry 1 ")
    rpc(chain, "anvil_mine", hex(l1_probe.TRACE_SEARCH), "0x0")
    assert lines([new], [beacon], SIX)[0].startswith("error: entry 1 ")

    # A transaction since the start of the anvil is traced with the second method, too.
    fresh = anvils.start("--chain-id", "31337")
    sent["from"] = rpc(fresh, "eth_accounts")[0]
    rpc(fresh, "eth_sendTransaction", sent)
    before, front.ANVIL = front.ANVIL, fresh
    result = checked([], [beacon], SIX, aztec_l1_registry="", aztec_l1_debug_urls=[new])
    front.ANVIL = before
    assert result.clients[-1][2:4] == ("debug 1", new)
    assert result.clients[-1][7] == "traces (of block 1: chain too short)"


def test_clients_that_do_not_trace(chain, serve) -> None:
    beacon, none = serve(Endpoint), serve(Untracing, refuses=(TRACE, DEBUG))
    line = f"entry 1 ({none}) does not trace transactions (of block 1, "
    for fleet, level in ((SIX, "error"), (FIVE, "warning"), (FLEET, "warning")):
        (found,) = lines([none], [beacon], fleet)
        assert found.startswith(f"{level}: {line}")
        assert f"): {NOTHING_TRACED}; rejects {DEBUG}: the method {DEBUG} does not exist" in found
    row = checked([none], [beacon], SIX).clients[0]
    assert (row[7], row[-1]) == ("registry, NO TRACES", "FAILED")
    allowed = {"prover_node_environment": {"ETHEREUM_ALLOW_NO_DEBUG_HOSTS": True}}
    assert lines([none], [beacon], SIX, **allowed) == []
    # Another client only for traces, and the same URL in two settings, which is queried once.
    assert lines([none], [beacon], SIX, aztec_l1_debug_urls=[chain]) == []
    assert TRACE not in serve.handlers[-1].requests[-10:]
    (found,) = lines([none], [beacon], SIX, aztec_l1_debug_urls=[none, chain])
    assert found.startswith(f"warning: {line}")
    assert len(checked([none], [beacon], SIX, aztec_l1_debug_urls=[none, chain]).clients) == 3
    found = lines([chain], [beacon], SIX, aztec_l1_debug_urls=[GONE])
    assert found == [f"error: entry 1 ({GONE}) is not reachable: connection refused"]


def test_a_chain_without_transactions(anvils, serve) -> None:
    empty = anvils.start("--chain-id", "31337", "--block-time", "1")
    settings = {"aztec_l1_registry": "", "aztec_l1_debug_urls": [empty]}
    rpc(empty, "anvil_mine", "0x20", "0x0")
    found = checked([empty], [], SIX, **settings)
    assert found.clients[0][7:10:2] == ("no transaction to trace", "ok")
    assert [one.wrong for one in found.problems if "trace" in one.wrong] == []


def test_what_a_balance_pays_for_at_real_fees(anvils, serve) -> None:
    """With a base fee of 100 gwei and anvil's priority fee of 1 gwei: 3.5 million gas at 112.5 + 1.2 gwei."""
    anvil = anvils.start("--chain-id", "31337", "--base-fee", "100000000000")
    own = {"aztec_l1_registry": "", "aztec_l1_balance_warn": 0}
    cost = 3_500_000 * 113_700_000_000
    each = "(0.39795 ETH each: 3500000 gas at 113.7 gwei)"

    def found(wei: int, fleet: dict = SIX, starts: bool = True, **values) -> tuple:
        rpc(anvil, "anvil_setBalance", PUBLISHER, hex(wei))
        seen = checked([anvil], [], fleet, starts, **own, **values)
        (row,) = seen.publishers
        problems = [one for one in seen.problems if PUBLISHER in one.wrong]
        return row[3], [f"{one.level}: {one.wrong.partition(PUBLISHER)[2]}" for one in problems]

    assert found(4 * cost) == ("4 proofs", [])
    assert found(4 * cost - 1) == ("3 proofs", [f"warning:  has 1.591799 ETH, enough for 3 proofs now {each}"])
    assert found(cost) == ("1 proof", [f"warning:  has 0.39795 ETH, enough for 1 proof now {each}"])
    low = f"has 0.397949 ETH, not enough to submit one proof now {each}"
    assert found(cost - 1) == ("0 proofs", [f"error:  {low}"])
    assert found(cost - 1, starts=False) == ("0 proofs", [f"warning:  {low}"])
    assert found(cost - 1, FIVE) == ("0 proofs", [f"warning:  {low}"])
    assert found(cost - 1, prover_node_max_fee_gwei=20) == ("5 proofs", [])
    assert found(cost - 1, aztec_l1_submission_gas=500_000) == ("6 proofs", [])
    assert found(cost, prover_node_priority_fee_bump_percentage=30)[0] == "0 proofs"
    # One transaction with 100 times the estimated fee does not change the median of five blocks.
    sent = {"from": rpc(anvil, "eth_accounts")[0], "to": PUBLISHER, "value": "0x1"}
    rpc(anvil, "eth_sendTransaction", {**sent, "maxPriorityFeePerGas": hex(50 * 10**9), "maxFeePerGas": hex(10**12)})
    assert checked([anvil], [], SIX, **own).publishers[0][3] == "0 proofs"


def test_fees_that_a_chain_does_not_have(anvils, serve) -> None:
    old = anvils.start("--chain-id", "31337", "--hardfork", "berlin")
    found = checked([old], [], SIX, True, aztec_l1_registry="")
    assert found.publishers == [("node-1", PUBLISHER, "10000 ETH", "not checked")]
    assert [one.wrong for one in found.problems if PUBLISHER in one.wrong] == []


# --- real playbook runs, with this machine as the host of node and broker ---

HERE = {
    "ansible_connection": "local",
    # A file inside the container, so that no test here requests the published configuration.
    "aztec_environment": {"NETWORK_CONFIG_LOCATION": "/network_config.json"},
    "ansible_host": "127.0.0.1",
    "aztec_version": "4.1.2",
    "aztec_requirements": "ignore",
    "prover_broker_port": 28080,
    "prover_node_port": 28081,
    "prover_node_p2p_port": 28400,
    "prover_node_p2p_ip": "9.9.9.9",
    "prover_node_publisher_private_key": KEY,
    **LAB,
}


def play(folder: Path, values: dict, *arguments: str, playbook: str = "playbooks/preflight.yml", become: bool = False):
    """Run a playbook with an inventory of one host with these variables. stdout contains stderr too."""
    python = python_of_a_host(folder)
    variables = {**HERE, "ansible_python_interpreter": python, "ansible_become": become, **values}
    inventory = {
        "all": {"vars": variables},
        "prover_node": {"hosts": {"node-1": None}},
        "prover_broker": {"hosts": {"node-1": None}},
        "prover_agent": {"hosts": {}},
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
    return commands.run("ansible-playbook", "-i", str(folder / "hosts.yml"), str(ROOT / playbook), *arguments)


def quoted(text: str) -> str:
    return quote(text, safe="")


def keyed(chain_url: str, serve, right: bool) -> dict:
    """Return variables with clients that each require a key in another place. right: whether the keys are correct."""
    user, password = quoted(SECRETS["user"]), quoted(SECRETS["password"])
    basic = "Basic " + b64encode(f"{SECRETS['user']}:{SECRETS['password']}".encode()).decode()
    other = "" if right else "x"
    path = f"/v3/{quoted(SECRETS['path'])}"
    by_user = serve(Endpoint, required_user=basic + other).replace("http://", f"http://{user}:{password}@")
    by_path = serve(Endpoint, required_path=path + other) + path
    by_query = serve(Endpoint, required_query=("apikey", SECRETS["query"] + other))
    by_key = serve(Endpoint, required_query=("key", SECRETS["key"] + other))
    by_header = serve(Endpoint, required_header=("X-Api-Key", SECRETS["header"].replace("ä", "a") + other))
    return {
        "aztec_l1_execution_urls": [by_user, by_path, f"{by_query}/?apikey={quoted(SECRETS['query'])}"],
        "aztec_l1_consensus_urls": [by_path, by_key, by_header],
        "prover_node_secret_environment": {
            "L1_CONSENSUS_HOST_API_KEYS": ",".join(["", SECRETS["key"], SECRETS["header"].replace("ä", "a")]),
            "L1_CONSENSUS_HOST_API_KEY_HEADERS": ",,X-Api-Key",
        },
    }


def assert_no_secret(text: str) -> None:
    """Assert that a text does not contain a secret in any of the forms in which programs write it."""
    for name in SECRETS:
        assert f"S3cret-{name}" not in text, f"the {name} is shown"
    for secret in [*SECRETS.values(), f"{SECRETS['user']}:{SECRETS['password']}", KEY, EMPTY_KEY]:
        for form in forms(secret):
            assert form not in text, "a secret is shown in another form"


def rows_of(run) -> list:
    return [" ".join(line.split()) for line in run.stdout.splitlines()]


def test_keys_in_every_place_work_and_are_not_shown(tmp_path, chain, serve) -> None:
    run = play(tmp_path, keyed(chain, serve, right=True), "-vvv")
    assert run.returncode == 0, run.stdout
    assert "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER" in run.stdout
    seen = [row for row in rows_of(run) if row.startswith("node-1 node")]
    assert len([row for row in seen if row.endswith(" ok")]) == 6, run.stdout
    assert [row for row in rows_of(run) if "has a user in its URL, which Node's fetch refuses" in row]
    assert "4 in the L1" not in run.stdout
    assert_no_secret(run.stdout)


class SignerEndpoint(signer.Endpoint):
    """The lab's signer at a secret path. The response to any other path contains that path."""

    required_path = ""

    def do_POST(self) -> None:
        if not self.path.startswith(self.required_path):
            return self.answer(401, json.dumps({"error": f"wrong path: {self.path}"}))
        self.path = self.path[len(self.required_path) :] or "/"
        return super().do_POST()


def test_a_signer_with_a_secret_path_is_queried_and_not_shown(tmp_path, chain, serve) -> None:
    keys = signer.Signer([signer.PrivateKey(bytes.fromhex(KEY[2:]))], 31337)
    path, beacon = f"/{quoted(SECRETS['path'])}", serve(Endpoint)
    values = {
        "aztec_l1_execution_urls": [chain],
        "aztec_l1_consensus_urls": [beacon],
        "prover_node_publisher_private_key": "",
        "prover_node_key_source": "web3signer",
        "prover_node_web3signer_url": serve(SignerEndpoint, signer=keys, required_path=path) + path,
        "prover_node_publisher_addresses": [PUBLISHER],
    }
    run = play(tmp_path, values, "-vvv")
    assert run.returncode == 0, run.stdout
    seen = r"node-1 node signer http://\S+ - - - 1 of 1 accounts .* ok$"
    assert [row for row in rows_of(run) if re.match(seen, row)], run.stdout
    assert_no_secret(run.stdout)

    values["prover_node_web3signer_url"] = serve(SignerEndpoint, signer=keys, required_path=f"{path}x") + path
    values["prover_node_publisher_addresses"] = [PUBLISHER]
    run = play(tmp_path, values, "-vvv", playbook="playbooks/site.yml")
    assert run.returncode == 2, run.stdout
    where = "node-1 prover_node_web3signer_url the signer (http://"
    assert [row for row in rows_of(run) if row.startswith(where) and "returns 401 Unauthorized: wrong path: ***" in row]
    assert_no_secret(run.stdout)

    values["prover_node_web3signer_url"] = f"{GONE}{path}"
    run = play(tmp_path, values, "-vvv")
    where = f"node-1 prover_node_web3signer_url the signer ({GONE}) is not reachable: connection refused"
    assert [row for row in rows_of(run) if row.startswith(where)], run.stdout
    assert_no_secret(run.stdout)


def test_a_planted_secret_is_found(tmp_path, chain, serve) -> None:
    """The search above finds each secret that a run shows."""
    values = keyed(chain, serve, right=True)
    shows = [{
        "hosts": "prover_node",
        "gather_facts": False,
        "tasks": [{"name": "Show", "ansible.builtin.debug": {"msg": "{{ lookup('ansible.builtin.vars', item) }}"},
                   "loop": ["aztec_l1_execution_urls", "prover_node_secret_environment"]}],
    }]  # fmt: skip
    (tmp_path / "show.yml").write_text(yaml.safe_dump(shows), encoding="utf-8")
    run = play(tmp_path, values, playbook=str(tmp_path / "show.yml"))
    for name in SECRETS:
        assert f"S3cret-{name}" in run.stdout
    with pytest.raises(AssertionError, match="is shown"):
        assert_no_secret(run.stdout)


def test_all_problems_in_one_table_and_nothing_changed(tmp_path, chain, anvils, serve) -> None:
    """site.yml, with wrong keys, which the servers repeat in their responses, stops before it changes anything."""
    values = keyed(chain, serve, right=False)
    wrong_chain = anvils.start("--chain-id", "1")
    values["aztec_l1_execution_urls"] += [wrong_chain, chain, f"{serve(Redirect)}/{quoted(SECRETS['path'])}"]
    values |= {"prover_broker_l1_execution_urls": [GONE], "prover_node_publisher_private_key": EMPTY_KEY}
    run = play(tmp_path, values, "-vvv", playbook="playbooks/site.yml")
    assert run.returncode == 2, run.stdout
    assert "10 problems on the hosts, in the table above; nothing was changed." in run.stdout, run.stdout
    assert len(re.findall(r"^PLAY \[", run.stdout, re.MULTILINE)) == 2
    rows = rows_of(run)
    for number in (1, 2, 3):
        assert [
            row for row in rows if re.match(rf"node-1 aztec_l1_execution_urls entry {number} .* returns 401 Un", row)
        ]
        assert [
            row for row in rows if re.match(rf"node-1 aztec_l1_consensus_urls entry {number} .* returns 401 Un", row)
        ]
    where = "node-1 aztec_l1_execution_urls entry"
    assert [row for row in rows if row.startswith(f"{where} 4 ({wrong_chain}) is on chain 1 (mainnet)")]
    assert [row for row in rows if row.startswith(f"{where} 6 ") and "a redirect to http://127.0.0.1:9 " in row]
    assert f"node-1 prover_broker_l1_execution_urls entry 1 ({GONE}) is not reachable: connection refused" in (
        "\n".join(rows)
    )
    assert [row for row in rows if "has 0 ETH and cannot pay for submitting proofs send ETH to it" in row]
    assert_no_secret(run.stdout)


def test_warn_and_check_mode(tmp_path, chain, anvils, serve) -> None:
    values = {
        "aztec_l1_execution_urls": [anvils.start("--chain-id", "1")],
        "aztec_l1_consensus_urls": [GONE],
    }
    run = play(tmp_path, values, "--check")
    assert run.returncode == 2, run.stdout
    assert "2 problems on the hosts, in the table above; nothing was changed." in run.stdout
    run = play(tmp_path, {**values, "aztec_l1_checks": "warn"}, "--check")
    assert run.returncode == 0, run.stdout
    assert len([row for row in rows_of(run) if row.startswith("node-1 aztec_l1_") and "(warning)" in row]) == 2


def test_one_of_several_is_enough_and_all_are_reported(tmp_path, chain, serve) -> None:
    values = {"aztec_l1_execution_urls": [GONE, chain], "aztec_l1_consensus_urls": [serve(Endpoint)]}
    run = play(tmp_path, values)
    assert "1 problem on the hosts" in run.stdout, run.stdout
    run = play(tmp_path, {**values, "aztec_l1_needed": "one"})
    assert run.returncode == 0, run.stdout
    line = f"(warning) entry 1 ({GONE}) is not reachable: connection refused"
    assert [row for row in rows_of(run) if row.startswith(f"node-1 aztec_l1_execution_urls {line}")]


def test_ignore_queries_no_client(tmp_path, chain, serve) -> None:
    url = serve(Endpoint)
    values = {"aztec_l1_execution_urls": [url], "aztec_l1_consensus_urls": [url]}
    run = play(tmp_path, {**values, "aztec_l1_checks": "ignore"})
    assert run.returncode == 0, run.stdout
    assert serve.handlers[-1].requests == []
    run = play(tmp_path, values)
    assert run.returncode == 0, run.stdout
    assert len(serve.handlers[-1].requests) > 5


INSTANCE = "tracing"


@pytest.fixture(name="running_node")
def fixture_running_node(tmp_path):
    """Return the name of an image, and a function that runs it in a container like that of an instance's node.

    Other tests use the same engine at the same time, as hosts of the fleet without an instance name: a container of
    that fleet would be theirs too.
    """
    busybox = shutil.which("busybox")
    assert busybox, "install busybox-static"
    archive, image, name = tmp_path / "image.tar", "l1-preflight.test/aztec:6.0.0", f"l1-preflight-{os.getpid()}"

    def docker(*arguments: str) -> None:
        subprocess.run(["docker", *arguments], check=True, stdout=subprocess.DEVNULL, timeout=60)

    with tarfile.open(archive, "w") as made:
        made.add(busybox, "bin/busybox")
    docker("import", str(archive), image)
    label = f"com.docker.compose.project={project_name('prover_node', INSTANCE)}"
    command = ["/bin/busybox", "sleep", "600"]
    yield image.rpartition(":")[0], lambda: docker("run", "-d", "--name", name, "--label", label, image, *command)
    docker("rm", "-f", name)
    docker("rmi", image)


def test_what_release_line_6_needs(tmp_path, chain, serve, running_node) -> None:
    """Traces and ETH in real playbook runs: with neither, with both, and while a node runs already."""
    image, run_node = running_node
    secret = f"/v3/{quoted(SECRETS['path'])}"
    none = serve(Untracing, refuses=(TRACE, DEBUG), required_path=secret)
    values = {
        "aztec_version": "6.0.0",
        "aztec_instance": INSTANCE,
        "prover_node_image": image,
        "aztec_l1_execution_urls": [chain],
        "aztec_l1_consensus_urls": [serve(Endpoint)],
        "aztec_l1_debug_urls": [none + secret],
    }
    rpc(chain, "anvil_setBalance", PUBLISHER, hex(10**15))
    run = play(tmp_path, values, "-vvv")
    assert run.returncode == 2, run.stdout
    assert "2 problems on the hosts, in the table above; nothing was changed." in run.stdout, run.stdout
    rows = rows_of(run)
    wrong = f"node-1 aztec_l1_debug_urls entry 1 ({none}) does not trace transactions (of block 1, "
    assert [row for row in rows if row.startswith(wrong) and "ETHEREUM_ALLOW_NO_DEBUG_HOSTS: true" in row], run.stdout
    poor = f"node-1 prover_node_publisher_private_key the publisher {PUBLISHER} has 0.001 ETH, not enough to submit one"
    assert [row for row in rows if row.startswith(poor)], run.stdout
    assert [row for row in rows if re.match(rf"node-1 node debug 1 {none} 31337 block \d+ - NO TRACES .* FAILED$", row)]
    assert f"node-1 {PUBLISHER} 0.001 ETH 0 proofs" in rows
    assert_no_secret(run.stdout)

    # A node that runs already continues with any balance: it does not block work on agents.
    run_node()
    with_traces = serve(Endpoint, required_path=secret)
    run = play(tmp_path, {**values, "aztec_l1_debug_urls": [with_traces + secret]}, "-vvv")
    assert run.returncode == 0, run.stdout
    rows = rows_of(run)
    warned = poor.replace(" the publisher", " (warning) the publisher")
    assert [row for row in rows if row.startswith(warned)], run.stdout
    assert [row for row in rows if re.match(rf"node-1 node debug 1 {with_traces} .* traces \(of block 1: .* ok$", row)]
    assert_no_secret(run.stdout)

    # A node with another version has to be restarted.
    run = play(tmp_path, {**values, "aztec_version": "6.0.1", "aztec_l1_debug_urls": []})
    assert "1 problem on the hosts" in run.stdout, run.stdout
    rpc(chain, "anvil_setBalance", PUBLISHER, hex(10**22))


def test_few_requests_are_sent(chain, serve) -> None:
    """Providers of clients count the requests."""
    url = serve(Endpoint)
    assert lines([url], []) == []
    # Chain, sync, head, code, one balance; two for fees; a block and a trace of its transaction.
    assert len(serve.handlers[-1].requests) == 5 + 2 + 2
    url = serve(Endpoint)
    lines([chain], [url])
    assert len(serve.handlers[-1].requests) <= 4 + l1_probe.BLOB_SLOTS
