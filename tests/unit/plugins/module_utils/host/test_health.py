# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How sockets, logs and responses of real containers are parsed. Recorded with 4.1.2 unless noted otherwise."""

from __future__ import annotations

import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import product

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.networks import NETWORKS
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.api_client import RequestError
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import MAX_BODY
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.redaction import redact_patterns
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import health as hp
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.network import parse_sockets
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1 import proofs as hp_proofs

NOW = 1795405649.0
HOST, PORT = "172.31.77.51", 8080

SS = """\
TIME-WAIT 0    0      172.18.0.2:60731 172.31.77.51:8080 timer:(timewait,54sec,0)
ESTAB 0      0      172.18.0.2:60732 172.31.77.51:8080
\t bbr wscale:10,10 rto:204 rtt:1.856/1.791 bytes_sent:684147 bytes_acked:684148 bytes_received:1181290 segs_out:1036 \
lastsnd:756 lastrcv:756 lastack:756 pacing_rate 3009576600bps
ESTAB 0      0      172.18.0.2:60733 172.31.77.52:8080
\t bbr bytes_sent:10 bytes_received:10 lastsnd:5 lastrcv:5 lastack:5
ESTAB 0      7      172.18.0.2:60734 172.31.77.51:8080
\t bbr bytes_sent:10 lastsnd:5 lastrcv:9000 lastack:5
"""
TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   1: 020012AC:DEBC 334D1FAC:1F90 06 00000000:00000000 03:000012B7 00000000     0        0 0 3 0
   2: 020012AC:DEBD 334D1FAC:1F90 06 00000000:00000000 03:00000100 00000000     0        0 0 3 0
   3: 020012AC:DEBE 024D1FAC:2161 06 00000000:00000000 03:00001770 00000000     0        0 0 3 0
   4: 020012AC:DEBF 334D1FAC:1F90 01 00000005:00000000 01:00000100 00000004     0        0 9 3 0
   5: 020012AC:DEC0 334D1FAC:1F90 02 00000001:00000000 01:00000100 00000002     0        0 9 3 0
"""
REFUSED = (
    "2026-11-23T03:47:25.000000000Z [03:47:25.527] ERROR: foundation:retry Error while retrying JsonRpcClient request "
    "to http://172.31.77.22:8080: Error: Error fetching from host http://172.31.77.22:8080: Error: connect "
    "ECONNREFUSED 172.31.77.22:8080"
)
WORKED = (
    "2026-11-23T03:47:04.566000000Z \x1b[32m[03:47:04.566]\x1b[0m INFO: prover-client:proving-agent Job "
    "id=326460:PARITY_BASE:a6aefed1 type=PARITY_BASE completed outputUri=data:application/json"
)
TIPS_4 = {
    "proposed": {"number": 15, "hash": "0x27"},
    "checkpointed": {"block": {"number": 14, "hash": "0x27"}, "checkpoint": {"number": 13, "hash": "0x00"}},
    "proven": {"block": {"number": 2, "hash": "0x11"}, "checkpoint": {"number": 1, "hash": "0x00"}},
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-11-23T03:47:29Z", NOW),
        ("2026-11-23T03:47:29.500000000Z", NOW + 0.5),
        ("2026-11-23T04:47:29+01:00", NOW),
        ("0001-01-01T00:00:00Z", 0),
        ("", 0),
        ("yesterday", 0),
    ],
)
def test_parse_time(text, wanted):
    """The engine's times; its zero is none."""
    assert hp.parse_time(text) == wanted


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        # By name any address may be the broker's: the newest counts.
        ("prover-broker", NOW - 0.005),
        (HOST, NOW - 0.756),
        ("172.31.77.99", 0.0),
    ],
)
def test_contact_by_ss(host, wanted):
    """Use the kernel's time of the last data. A connection without data does not prove anything."""
    assert hp.latest_connection(SS, host, PORT, NOW)[0] == pytest.approx(wanted)


@pytest.mark.parametrize(("received", "wanted"), [(1187482, NOW - 9.044), (1, 0.0), (0, 0.0)])
def test_contact_of_a_busy_agent(received, wanted):
    """The broker closes a connection after 5 s without a request, and a busy agent does not close it yet."""
    text = f"CLOSE-WAIT 1  0  172.18.0.2:51474 {HOST}:{PORT}\n\t bytes_received:{received} lastsnd:9048 lastrcv:9044\n"
    assert hp.latest_connection(text, HOST, PORT, NOW)[0] == pytest.approx(wanted)


def test_contact_by_table():
    """Count a connection that closed 12 s ago, but not those that hang or go to other peers."""
    at, source = hp.latest_table_entry(parse_sockets(TABLE), HOST, PORT, NOW)
    assert at == pytest.approx(NOW - 60 + 47.91)
    assert source == "connection"


@pytest.mark.parametrize(
    ("address", "host", "wanted"),
    [
        ("172.31.77.51", "172.31.77.51", True),
        ("[::ffff:172.31.77.51]", "172.31.77.51", True),
        ("172.31.77.5", "172.31.77.51", False),
        ("[fd31:77::11]", "fd31:77::11", True),
        ("10.0.0.1", "broker.example", True),
    ],
)
def test_is_broker(address, host, wanted):
    """By address where the broker has one."""
    assert hp.is_broker(address, host) is wanted


@pytest.mark.parametrize(
    ("connection_age", "log", "poll", "state", "error"),
    [
        (0.2, "", "1000", "ok", ""),
        (20.0, "", "10000", "ok", ""),
        (80.0, "", "10000", "ok", ""),
        (100.0, "", "10000", "lost", ""),
        (None, "", "1000", "lost", ""),
        (None, WORKED, "1000", "ok", ""),
        (29.6, REFUSED, "10000", "lost", "ECONNREFUSED"),
        (None, REFUSED, "10000", "lost", "ECONNREFUSED"),
        (None, WORKED + "\n" + REFUSED, "1000", "lost", "ECONNREFUSED"),
        # It was lost and came back.
        (1.0, REFUSED, "1000", "ok", ""),
    ],
)
def test_broker_contact(connection_age, log, poll, state, error):
    """A broker is lost if it was not seen for long, or failed after it was seen."""
    seen = (0.0, "") if connection_age is None else (NOW - connection_age, "connection")
    found = hp.broker_contact(seen, hp.split_log(log), PORT, {"PROVER_AGENT_POLL_INTERVAL_MS": poll}, NOW)
    assert (found["state"], found["error"]) == (state, error)


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (TIPS_4, (15, 2, 13, 1)),
        # 2.1 by its source
        ({"latest": {"number": 7, "hash": "0x"}, "proven": {"number": 3}}, (7, 3, None, None)),
        ({"latest": {"number": "7"}}, (7, None, None, None)),
        ({"error": "refused"}, (None, None, None, None)),
        (None, (None, None, None, None)),
        ([1], (None, None, None, None)),
    ],
)
def test_tips(answer, wanted):
    """Blocks and checkpoints of any line's answer."""
    tips = hp.node_tips(answer)
    assert (tips["block"], tips["proven_block"], tips["checkpoint"], tips["proven_checkpoint"]) == wanted


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (["[03:47:01.973] INFO: archiver:l1-sync Downloaded checkpoint 12 {\"x\":1}", "other"], 12),
        (["INFO: archiver Downloaded L2 block 7 {}"], 7),
        (["INFO: world_state World state updated with L2 block 12 {}"], 12),
        (["INFO: p2p Starting p2p client from block 11 with empty mempools"], None),
        ([], None),
    ],
)
def test_progress(lines, wanted):
    """The last block that the log reports as synchronized."""
    assert hp.sync_progress([(NOW, line) for line in lines]) == wanted


@pytest.mark.parametrize(
    ("text", "secrets", "wanted"),
    [
        ("to http://172.31.77.22:8080: Error", [], "to http://172.31.77.22:8080: Error"),
        ("at https://u:p@rpc.example:8545/v3/KEY?x=1 now", [], "at https://rpc.example:8545/*** now"),
        ("at https://u:p@ss@rpc.example/v3", [], "at https://rpc.example/***"),
        ("at wss://rpc.example?key=1", [], "at wss://rpc.example/***"),
        ("at http://[fd31::1]:8080/a", [], "at http://[fd31::1]:8080/***"),
        ("host abc123.rpc.example down", ["abc123.rpc.example"], "host *** down"),
        ("key 0x" + "ab" * 32 + " bad", [], "key 0x*** bad"),
        ("short a stays", ["a"], "short a stays"),
    ],
)
def test_mask(text, secrets, wanted):
    """Show only the host of a URL, and nothing of an L1 URL."""
    redactor = hp.environment_redactor({f"API_KEY_{number}": secret for number, secret in enumerate(secrets)})
    assert redact_patterns(redactor(text)) == wanted


def test_secrets_of_an_environment():
    """Keys and L1 URLs with their hosts; nothing harmless that occurs everywhere in a log."""
    redactor = hp.environment_redactor({
        "ETHEREUM_HOSTS": "https://one.example/k1,https://u:p@two.example:81/pathsecret",
        "PROVER_PUBLISHER_PRIVATE_KEY": "0xabc",
        "LOG_LEVEL": "info", "PROVER_BROKER_HOST": "http://10.0.0.1:8080", "L1_CHAIN_ID": "1", "API_KEY": "",
    })
    assert redactor.plain == {"one.example", "two.example:81", "/pathsecret", "pathsecret", "0xabc"}


@pytest.mark.parametrize(
    ("env", "arguments", "files", "wanted"),
    [
        ({"REGISTRY_CONTRACT_ADDRESS": "0x1"}, [], {}, "0x1"),
        ({}, ["start", "--network", "mainnet"], {}, NETWORKS["mainnet"].registry),
        ({"NETWORK": "testnet"}, [], {}, NETWORKS["testnet"].registry),
        ({"NETWORK": "other"}, [], {}, ""),
        ({}, ["--network"], {}, ""),
        (
            {"DATA_DIRECTORY": "/var/lib/data"}, ["--network", "testnet"],
            {"var/lib/data/cache/testnet/network_config.json": {"testnet": {"registryAddress": "0x2"}}}, "0x2",
        ),
        (
            {"NETWORK_CONFIG_LOCATION": "file:///etc/net.json", "DATA_DIRECTORY": "/d"}, ["--network", "testnet"],
            {"etc/net.json": {"testnet": {"registryAddress": "0x3"}}, "d/cache/testnet/network_config.json": {}},
            "0x3",
        ),
    ],
)
def test_registry(tmp_path, env, arguments, files, wanted):
    """Find it as the node does."""
    for path, content in files.items():
        target = tmp_path / "proc/42/root" / path
        target.parent.mkdir(parents=True)
        target.write_text(json.dumps(content))
    inspected = {"State": {"Pid": 42}, "Path": "node", "Args": arguments}
    assert hp.registry_address(env, inspected, tmp_path) == wanted


@pytest.fixture(name="rpc_server")
def fixture_rpc_server():
    """Return a function that starts a JSON-RPC server with answers by method and returns its URL."""
    servers = []

    def start(answers: dict) -> str:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_args):
                """Log nothing."""

            def do_POST(self):
                """Answer by method, and of eth_call by its data."""
                call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                name = call["params"][0]["data"] if call["method"] == "eth_call" else call["method"]
                name = call["params"][1] if call["method"] == "eth_getStorageAt" else name
                known = name in answers
                error = {"code": -32601, "message": "S3cretPath is wrong"}
                body = {"result": answers.get(name)} if known else {"error": error}
                data = json.dumps({"jsonrpc": "2.0", "id": 1, **body}).encode()
                self.send_response(200 if known else 400)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()


def word(number: int) -> str:
    """Return a number as an eth_call's answer."""
    return f"0x{number:064x}"


ROLLUP = {"eth_blockNumber": "0x7b", hp.CANONICAL_ROLLUP: word(0x322813FD9A801C5507C9DE605D63CEA4F2CE6C44)}


@pytest.mark.parametrize(
    ("answers", "registry", "wanted"),
    [
        ({**ROLLUP, "0x9891be8e": word(14), "0x1f8352e9": word(1)}, "0x1", (123, "checkpoint", 14, 1, "")),
        ({**ROLLUP, "0x48b9e57b": word(9), "0xb67d057b": word(4)}, "0x1", (123, "block", 9, 4, "")),
        (ROLLUP, "0x1", (123, None, None, None, "the rollup does not return its tips")),
        (ROLLUP, "", (123, None, None, None, "the address of the registry is not known")),
        ({}, "0x1", (None, None, None, None, "L1 URL 1 rejects eth_blockNumber: *** is wrong")),
    ],
)
def test_l1_tips(rpc_server, answers, registry, wanted):
    """Return checkpoints if the rollup has them, and blocks for 2.1. An error contains no part of the URL."""
    found = hp.l1_tips([rpc_server(answers) + "S3cretPath"], registry)
    assert (found["block"], found["unit"], found["pending"], found["proven"], found["error"]) == wanted


def test_l1_tries_the_next(rpc_server):
    """A URL that is down is skipped."""
    good = rpc_server({**ROLLUP, "0x9891be8e": word(14), "0x1f8352e9": word(1)})
    assert hp.l1_tips(["http://127.0.0.1:1/", good], "0x1")["pending"] == 14
    assert hp.l1_tips(["http://127.0.0.1:1/secret"], "0x1")["error"] == "L1 URL 1 is not reachable: connection refused"


def test_error_code():
    """The error code."""
    assert hp.error_code(REFUSED) == "ECONNREFUSED"
    assert hp.error_code("ERROR: x TypeError: fetch failed") == "fetch failed"
    assert hp.error_code("ERROR: x UND_ERR_CONNECT_TIMEOUT") == "UND_ERR_CONNECT_TIMEOUT"
    assert hp.error_code("") == ""


JSON_LINE = '{"level":50,"time":1795712179937,"module":"prover-client:x","msg":"fetch failed: E\\n    at x"}'


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        # As 4.1.2 writes them with LOG_JSON=1.
        (JSON_LINE, "ERROR: prover-client:x fetch failed: E\n    at x"),
        ('{"level":30,"time":1,"module":"a","n":1,"msg":"Starting job id=1:2"}', "INFO: a Starting job id=1:2"),
        ('{"level":35,"msg":"m"}', "INFO:  m"),
        ('{"level":60}', "FATAL:  "),
        ('{"level":[1],"msg":"m"}', "INFO:  m"),
        ('{"level":{},"msg":{}}', "INFO:  {}"),
        ('{"level":30', '{"level":30'),
        ("ERROR: prover-client:x fetch failed", "ERROR: prover-client:x fetch failed"),
        ("", ""),
    ],
)
def test_a_log_in_json_is_read_as_one_in_text(line: str, plain: str) -> None:
    assert hp.plain_line(line) == plain


def test_broker_and_errors_in_a_json_log() -> None:
    log = hp.split_log(f"2026-11-26T10:00:00.5Z {JSON_LINE}")
    (at, line) = hp.last_match(log, hp.BROKER_ERROR)
    assert at > 0
    assert re.search(r"\bERROR\b", line)


# 4.1.2's own lines, seen on an L1 whose rollup was changed.
AT = "2026-11-26T16:57:33.000000000Z"
OWN, OTHERS = f"0x{0x1DD2644A:064x}", "0x" + "11" * 32
REASON = f"VK tree root (expected {OWN}, got {OTHERS})"
RAN_OUT = f"0x322813fd9a801c5507c9de605d63cea4f2ce6c44: {REASON}"
ENTERS = f"{AT} Rollup at {RAN_OUT.replace(': ', ' is incompatible: ', 1)}. Entering standby mode. Will poll..."
STILL = f"{AT} Still waiting. Rollup at {RAN_OUT}; genesis archive root (expected 0x1, got 0x2)."
LEAVES = f"{AT} Compatible rollup found at 0x322813fd9a801c5507c9de605d63cea4f2ce6c44. Exiting standby mode."
# By the source of 6; not seen running.
STOPS = f"{AT} INFO: auto_shutdown Canonical rollup upgrade detected: stopping subsystems, health server stays up."
STOPPED = f"{AT} INFO: auto_shutdown Subsystems stopped due to rollup upgrade. Health server remains active."
VK = {"what": "VK tree root", "expected": OWN, "got": OTHERS}


@pytest.mark.parametrize(
    ("lines", "kind", "mismatches"),
    [
        ([], None, []),
        ([f"{AT} something else"], None, []),
        ([ENTERS, f"{AT} Standby status server listening on port 8080"], "standby", [VK]),
        ([ENTERS, STILL], "standby", [VK, {"what": "genesis archive root", "expected": "0x1", "got": "0x2"}]),
        ([f'{AT} {{"level":30,"msg":"{ENTERS.partition(" ")[2]}"}}'], "standby", [VK]),
        ([ENTERS, LEAVES, f"{AT} Proving Broker started"], None, []),
        ([LEAVES, ENTERS], "standby", [VK]),
        ([STOPS], "soft shutdown", []),
        ([STOPS, STOPPED, f"{AT} something else"], "soft shutdown", []),
    ],
)
def test_waiting(lines: list, kind: str | None, mismatches: list) -> None:
    """The last line on it decides."""
    found = hp.waiting_state(hp.split_log("\n".join(lines)), 0)
    assert (found or {}).get("kind") == kind
    assert (found or {}).get("mismatches", []) == mismatches
    if kind == "standby":
        assert found["rollup"] == "0x322813fd9a801c5507c9de605d63cea4f2ce6c44"


def test_waiting_before_the_last_start_does_not_count() -> None:
    """The engine keeps the log of a container's earlier runs."""
    log = hp.split_log("\n".join([ENTERS]))
    assert hp.waiting_state(log, hp.parse_time(AT))["kind"] == "standby"
    assert hp.waiting_state(log, hp.parse_time(AT) + 1) is None


@pytest.mark.parametrize(
    ("env", "arguments", "wanted"),
    [
        ({}, [], False),
        ({"ROLLUP_VERSION": ""}, [], False),
        ({"ROLLUP_VERSION": "canonical"}, [], False),
        ({"ROLLUP_VERSION": "2521180740"}, [], True),
        ({}, ["start", "--rollup-version", "1"], True),
    ],
)
def test_pinned(env: dict, arguments: list, wanted: bool) -> None:
    assert hp.is_pinned(env, {"Args": arguments}) is wanted
    assert hp.is_pinned({}, {"Args": None}) is False


def test_value_of_the_network(tmp_path) -> None:
    """Any value of the file, by the network's name from the arguments or the environment."""
    path = tmp_path / "proc/42/root/d/cache/mainnet/network_config.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"mainnet": {"nodeVersion": "6.0.0"}}))
    inspected = {"State": {"Pid": 42}, "Path": "node", "Args": ["start", "--network", "mainnet"]}
    assert hp.network_value({"DATA_DIRECTORY": "/d"}, inspected, tmp_path, "nodeVersion") == "6.0.0"
    assert hp.network_value({"DATA_DIRECTORY": "/d"}, inspected, tmp_path, "none") is None
    by_name = {"State": {"Pid": 42}, "Path": "node", "Args": []}
    env = {"DATA_DIRECTORY": "/d", "NETWORK": "mainnet"}
    assert hp.network_value(env, by_name, tmp_path, "nodeVersion") == "6.0.0"


SLOTS = {"x-aztec-l2circuitsvktreeroot": "0x93", "x-aztec-l2protocolcontractshash": "0x94"}


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ({"0x93": "0x1dd2", "0x94": word(7)}, [word(0x1DD2), word(7)]),
        ({"0x93": word(0), "0x94": word(7)}, [None, word(7)]),
        ({"0x94": word(7)}, [None, word(7)]),
        ({"0x93": None, "0x94": "S3cret"}, [None, None]),
    ],
)
def test_roots_of_the_rollup(rpc_server, answers: dict, wanted: list) -> None:
    """An empty slot and an answer that is not a number are left out."""
    found = hp.rollup_roots(rpc_server(answers), "0x1", SLOTS, float("inf"))
    assert [found.get(name) for name in SLOTS] == wanted


def test_l1_tips_name_the_rollup(rpc_server) -> None:
    """Its address and its roots are next to the tips, even if it does not report its blocks."""
    answers = {**ROLLUP, "0x93": word(5)}
    found = hp.l1_tips([rpc_server(answers)], "0x1", SLOTS)
    assert found["rollup"] == "0x322813fd9a801c5507c9de605d63cea4f2ce6c44"
    assert found["roots"] == {"x-aztec-l2circuitsvktreeroot": word(5)}
    assert hp.l1_tips([rpc_server(answers)], "0x1")["roots"] == {}
    assert hp.l1_tips([rpc_server({**ROLLUP, hp.CANONICAL_ROLLUP: "0x"})], "0x1", SLOTS)["rollup"] == ""


@pytest.fixture(name="plain_server")
def fixture_plain_server():
    """A server that answers with (status, body, headers), a POST with another status where one is given; gives a
    starter, which gives a port.
    """
    servers = []

    def start(status: int, body: bytes = b"", post: int = 0, **headers: str) -> int:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_args):
                """Log nothing."""

            def do_POST(self):
                """Answer."""
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(post if post and self.command == "POST" else status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_code_of_a_post(plain_server) -> None:
    assert hp.post_status("127.0.0.1", plain_server(404, b"Not Found")) == 404
    assert hp.post_status("127.0.0.1", 1) is None


@pytest.fixture(name="usual_recursion")
def fixture_usual_recursion():
    """Python's own limit of nesting, which other tests' libraries raise."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("usual_recursion")
def test_what_peers_say_is_bounded(plain_server) -> None:
    """A long answer is refused, and of a long header the beginning is kept."""
    long = b'{"result": "' + b"x" * MAX_BODY + b'"}'
    with pytest.raises(RequestError, match="returns more than 1048576 bytes"):
        hp.call(f"http://127.0.0.1:{plain_server(200, long)}/", "m")
    with pytest.raises(RequestError, match="returns JSON that is nested too deeply"):
        hp.call(f"http://127.0.0.1:{plain_server(200, b'[' * 5000)}/", "m")
    status = hp.query_status("127.0.0.1", plain_server(200, b"OK", x_aztec_a="y" * 5000, other="z"), 5)
    assert status["headers"] == {"x-aztec-a": "y" * 200}


class LogEngine:
    """The engine's log of one container."""

    def __init__(self, *lines: str) -> None:
        self.lines, self.since = lines, []

    def get(self, _path: str, **query: str) -> bytes:
        """Return the log, and keep from when on it was queried."""
        self.since.append(query["since"])
        return "\n".join(self.lines).encode()


@pytest.mark.parametrize(
    ("service", "headers", "rpc", "kind", "post"),
    [
        ("prover-broker", {}, {}, "standby", 404),
        ("prover-node", {}, {}, "standby", 404),
        # A program that answers as one that works is not queried anything more, and its log is not searched.
        ("prover-broker", {"x_aztec_packageversion": "4.1.2"}, {}, None, None),
        # A node that rejects queries: its log shows whether it has stopped its work.
        ("prover-node", {"x_aztec_packageversion": "4.1.2"}, {"l2_tips": "node_getL2Tips"}, "standby", None),
    ],
)
def test_probe_of_a_waiting_program(plain_server, tmp_path, service, headers, rpc, kind, post) -> None:
    """A node and a broker alike; the log is searched from the container's start on, however long ago that was."""
    port = plain_server(200, b"OK", 404, **headers)
    engine = LogEngine(ENTERS)
    inspected = {
        "Id": "1",
        "Config": {"Env": [f"AZTEC_PORT={port}", "NETWORK=testnet"], "Tty": True},
        "State": {"Status": "running", "Pid": 0, "StartedAt": "2026-11-26T16:57:20Z"},
        "NetworkSettings": {"Networks": {"one": {"IPAddress": "127.0.0.1"}}},
    }
    prober = hp.Prober(engine, None, rpc, ["http://127.0.0.1:1/"], tmp_path, NOW)
    found = prober.probe(service, inspected)
    assert (found["waiting"] or {}).get("kind") == kind
    assert found["status"].get("post") == post
    assert engine.since[1:] == (["0"] if kind else [])
    assert (found["pinned"], found["network_version"]) == (False, "")


CLIENTS = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   1: 020012AC:1F90 0B00000A:DEBC 01 00000000:00000000 00:00000000 00000000     0        0 1 3 0
   2: 020012AC:1F90 0C00000A:DEBC 06 00000000:00000000 03:000012B7 00000000     0        0 0 3 0
   3: 020012AC:1F90 0B00000A:DEBD 01 00000000:00000000 00:00000000 00000000     0        0 2 3 0
   4: 020012AC:1F90 030012AC:DEBC 01 00000000:00000000 00:00000000 00000000     0        0 3 3 0
   5: 0100007F:1F90 0100007F:DEBC 06 00000000:00000000 03:000012B7 00000000     0        0 0 3 0
   6: 020012AC:DEBC 0D00000A:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4 3 0
   7: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5 3 0
   8: 020012AC:1F90 0E00000A:DEBC 03 00000000:00000000 01:00000100 00000000     0        0 0 3 0
"""
# Made up: an agent over IPv6, and one over IPv4 by a socket that takes both.
CLIENTS_6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when
   1: 000080FE000000000000000002000000:1F90 000000FD00000000000000000B000000:DEBC 01 00000000:00000000 00:0 0 0 0 1
   2: 0000000000000000FFFF0000020012AC:1F90 0000000000000000FFFF00000F00000A:DEBC 01 00000000:00000000 00:0 0 0 0 1
"""
INSPECTED = {
    "State": {"Pid": 7},
    "NetworkSettings": {"Networks": {
        "aztec0": {"IPAddress": "172.18.0.2", "IPPrefixLen": 16, "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0},
        "other": {"IPAddress": "", "IPPrefixLen": 0, "GlobalIPv6Address": "fd31::2", "GlobalIPv6PrefixLen": 64},
    }},
}


def test_clients_of_a_broker(tmp_path) -> None:
    """Return each outside address with a connection once, without neighbours and its own servers."""
    folder = tmp_path / "proc/7/net"
    folder.mkdir(parents=True)
    (folder / "tcp").write_text(CLIENTS)
    (folder / "tcp6").write_text(CLIENTS_6)
    prober = hp.Prober(None, None, {}, [], tmp_path, NOW)
    clients = [hp.remote_clients(prober.sockets(pid), 8080, hp.container_subnets(INSPECTED)) for pid in (7, 0, 8)]
    assert clients == [["10.0.0.11", "10.0.0.12", "10.0.0.15", "fd00::b"], [], []]


def test_subnets_of_a_container() -> None:
    """Return both families. A network without an address of a family has none."""
    assert [str(one) for one in hp.container_subnets(INSPECTED)] == ["172.18.0.0/16", "fd31::/64"]
    assert hp.container_subnets({}) == []


@pytest.mark.parametrize(
    ("answer", "jobs"),
    [
        ([], []),
        ({"error": "timed out"}, []),
        (None, []),
        (
            [{"status": "publishing-proof", "epochNumber": 7}, {"status": "completed", "epochNumber": "6"}, 1],
            [{"epoch": 7, "state": "publishing-proof"}, {"epoch": 6, "state": "completed"}],
        ),
        ([{"status": "x\x1b[1my"}], [{"epoch": None, "state": "xy"}]),
    ],
)
def test_epoch_jobs(answer, jobs) -> None:
    """The answer of prover_getJobs, also from a program that is none of Aztec's."""
    assert hp.epoch_jobs(answer) == jobs


@pytest.mark.parametrize(
    ("result", "count"),
    [
        ([], 0),
        ([{"status": "connected", "id": "a"}, {"status": "dialing"}, {"status": "connected"}, 1, None], 2),
        ({"error": "timed out"}, None),
        (None, None),
    ],
)
def test_connected_peers(result, count) -> None:
    assert hp.connected_peers(result) == count


US = "0x" + "ab" * 20
TIPS = {"rollup": "0x" + "11" * 20, "unit": "checkpoint", "pending": 3, "proven": 2, "error": ""}
# Epochs of 2 slots of 24 s. The newest block is in epoch 5.
PROOFS = {
    "eth_getBlockByNumber": {"number": "0x50", "timestamp": hex(1000 + 5 * 48)},
    "0x723d8e96": word(1000), "0x5d3ea8f1": word(2), "0xc4014c12": word(24), "0x25b22366": word(1),
    "eth_getLogs": [{
        "topics": [hp_proofs.PROOF_VERIFIED, word(2), "0x" + "0" * 24 + "ab" * 20], "blockNumber": "0x4f",
        "transactionHash": "0x" + "5e" * 32,
    }],
    "0x483315b3" + "0" * 63 + "2": word(4), "0x483315b3" + "0" * 63 + "3": word(4),
}


def test_proofs_on_the_l1(rpc_server) -> None:
    """They come from the first URL that responds. No error contains a part of a URL."""
    found = hp.l1_proofs(["http://127.0.0.1:1/", rpc_server(PROOFS)], TIPS, US, 3, 12)
    assert (found["error"], found["epoch"], found["accepted"]) == ("", 5, [{"epoch": 4, "prover": US}])
    refused = {name: answer for name, answer in PROOFS.items() if name != "eth_getLogs"}
    found = hp.l1_proofs([rpc_server(refused) + "S3cretPath"], TIPS, US, 3, 12)
    assert found == {"error": "L1 URL 1 rejects eth_getLogs: *** is wrong"}
    assert hp.l1_proofs(["http://127.0.0.1:1/"], {**TIPS, "error": "x"}, US, 3, 12) == {"error": "x"}
    assert hp.l1_proofs([], TIPS, US, 3, 12) == {"error": "no L1 URL is known"}


def test_probe_of_what_earns(rpc_server, plain_server, tmp_path, monkeypatch) -> None:
    """A node's peers and proofs, and a broker's jobs, are queried only if that is requested."""
    url = rpc_server({**ROLLUP, "0x9891be8e": word(3), "0x1f8352e9": word(2), **PROOFS})
    monkeypatch.setattr(hp, "query_status", lambda *_arguments: {**hp.NO_STATUS, "code": 200, "headers": {"x": "y"}})
    inspected = {
        "Id": "1",
        "Config": {"Env": [f"AZTEC_PORT={url.rpartition(':')[2].strip('/')}", "REGISTRY_CONTRACT_ADDRESS=0x1"]},
        "State": {"Status": "running", "Pid": 0},
        "NetworkSettings": {"Networks": {"one": {"IPAddress": "127.0.0.1"}}},
    }
    engine = LogEngine("2026-11-26T16:57:20Z INFO: New proving job id=4:ROOT_ROLLUP:aa epochNumber=4")
    inspected["Config"]["Tty"] = True
    for earning in ({}, {"prover_id": US, "epochs": 3}):
        prober = hp.Prober(engine, None, {"peers": "p2p_getPeers"}, [url], tmp_path, NOW, {}, earning)
        node, broker = (prober.probe(service, inspected) for service in ("prover-node", "prover-broker"))
        assert ("proofs" in node, "peers" in node, "open_jobs" in broker) == (bool(earning),) * 3
    assert (node["peers"], node["proofs"]["last"]["epoch"], broker["open_jobs"]) == (None, 4, 1)


@pytest.mark.parametrize(
    ("answers", "jobs", "error"),
    [
        ({"prover_getJobs": [{"epochNumber": 7, "status": "processing"}]}, [{"epoch": 7, "state": "processing"}], ""),
        ({}, None, "rejects prover_getJobs: S3cretPath is wrong"),
    ],
)
def test_jobs_of_the_admin_api(rpc_server, tmp_path, monkeypatch, answers, jobs, error) -> None:
    """They are queried with the other queries on earning, and with a key."""
    monkeypatch.setattr(hp, "query_status", lambda *_arguments: {**hp.NO_STATUS, "code": 200, "headers": {"x": "y"}})
    port = rpc_server(answers).rpartition(":")[2].strip("/")
    inspected = {
        "Id": "1",
        "Config": {"Env": ["AZTEC_PORT=1", f"AZTEC_ADMIN_PORT={port}"], "Tty": True},
        "State": {"Status": "running", "Pid": 0},
        "NetworkSettings": {"Networks": {"one": {"IPAddress": "127.0.0.1"}}},
    }
    own = {"prover_id": US, "epochs": 3}
    for method, earning, key in product(("", "prover_getJobs"), ({}, own), ("", "a-key")):
        rpc = {"epoch_jobs": method, "admin_jobs": "prover_getJobs"}
        prober = hp.Prober(LogEngine(), None, rpc, [], tmp_path, NOW, {}, earning, key)
        found = prober.probe("prover-node", inspected)
        queried = bool(earning or key)
        assert found.get("epoch_jobs") == (jobs if queried else None)
        assert found.get("jobs_error") == (error if queried else None)
        assert "a-key" not in repr(prober)


def test_jobs_at_the_rpc_port(rpc_server, tmp_path, monkeypatch) -> None:
    """The admin port of a node that reports them at the RPC port is not queried."""
    monkeypatch.setattr(hp, "query_status", lambda *_arguments: {**hp.NO_STATUS, "code": 200, "headers": {"x": "y"}})
    port = rpc_server({"prover_getJobs": [{"epochNumber": 7, "status": "processing"}]}).rpartition(":")[2].strip("/")
    inspected = {
        "Id": "1",
        "Config": {"Env": [f"AZTEC_PORT={port}", "AZTEC_ADMIN_PORT=1"], "Tty": True},
        "State": {"Status": "running", "Pid": 0},
        "NetworkSettings": {"Networks": {"one": {"IPAddress": "127.0.0.1"}}},
    }
    rpc = {"epoch_jobs": "prover_getJobs", "admin_jobs": "prover_getJobs"}
    found = hp.Prober(LogEngine(), None, rpc, [], tmp_path, NOW, admin_key="key").probe("prover-node", inspected)
    assert (found["epoch_jobs"], found.get("jobs_error")) == ([{"epoch": 7, "state": "processing"}], None)
