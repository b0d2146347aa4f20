"""Peers that answer slowly, without an end, or with numbers that cannot be processed: every request to a server ends.

The servers are real sockets on loopback.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec import network_config as nc
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.api_client import RequestError
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import docker_engine as he
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import health as hp
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import network as net
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1 import client as l1

# Seconds that a query may take, and those after which the test ends it.
# In seconds. These tests also run at the lowest priority, so that only the second one tells slow from endless.
LIMIT, GIVEN_UP = 0.4, 10.0
PACE = 0.05
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def drip(peer: socket.socket, begins: bytes, byte: bytes) -> None:
    """Send a beginning, then one byte at a time."""
    peer.sendall(begins)
    while True:
        time.sleep(PACE)
        peer.sendall(byte)


def flood(peer: socket.socket, begins: bytes, piece: bytes, times: int) -> None:
    """Send a beginning, then the same piece again and again."""
    peer.sendall(begins)
    for _number in range(times):
        peer.sendall(piece)


MEGABYTE = 2**20
SLOW: dict[str, Callable] = {
    "body by bytes": lambda peer: drip(peer, OK + b"Content-Length: 100000\r\n\r\n", b" "),
    "chunks by bytes": lambda peer: drip(peer, OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "headers by bytes": lambda peer: drip(peer, OK + b"X-Long: ", b"x"),
    "status line by bytes": lambda peer: drip(peer, b"HTTP/1.1 200 ", b"x"),
    "nothing": lambda peer: time.sleep(30),
}
LARGE: dict[str, Callable] = {
    "a body of 200 MB": lambda peer: flood(peer, OK + b"Content-Length: 209715200\r\n\r\n", b" " * MEGABYTE, 200),
    "a body without an end": lambda peer: flood(peer, OK + b"\r\n", b" " * MEGABYTE, 200),
    "chunks without an end": lambda peer: flood(
        peer, OK + b"Transfer-Encoding: chunked\r\n\r\n", b"100000\r\n" + b" " * MEGABYTE + b"\r\n", 200
    ),
    "headers without an end": lambda peer: flood(peer, OK, b"X-A: " + b"y" * 60000 + b"\r\n", 3000),
    "100 Continue without an end": lambda peer: flood(peer, b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 3000),
}


@pytest.fixture(name="serve")
def fixture_serve():
    """Return a function that starts a server which treats each connection so; it returns the port."""
    servers = []

    def start(treat: Callable) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def one(peer: socket.socket) -> None:
            with peer:
                try:
                    peer.settimeout(20)
                    peer.recv(65536)
                    treat(peer)
                    # A socket that is closed with unread data is reset, which discards the data that it has sent.
                    peer.shutdown(socket.SHUT_WR)
                    while peer.recv(65536):
                        pass
                except OSError:
                    """The client went away."""

        def accept() -> None:
            while True:
                try:
                    peer, _address = server.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(peer,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return server.getsockname()[1]

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def l1_questions(port: int, **more) -> dict:
    targets = [{"url": f"http://127.0.0.1:{port}/S3cretPath", "headers": {}}]
    return {"execution": targets, "consensus": targets, "registry": "", "addresses": [], "seconds": LIMIT, **more}


def rpc(port: int, timeout: float = LIMIT):
    try:
        return hp.call(f"http://127.0.0.1:{port}/", "m", seconds=timeout)
    except RequestError as error:
        return error


def of_engine(port: int):
    try:
        return he.Engine(f"tcp://127.0.0.1:{port}", timeout=LIMIT).get("/info")
    except he.EngineError as error:
        return error


QUESTIONS: dict[str, Callable] = {
    "L1": lambda port: l1.query_l1(l1_questions(port)),
    "network": lambda port: nc.query_network(
        {"name": "testnet", "urls": [f"http://127.0.0.1:{port}/"], "cache": "/none", "seconds": LIMIT}
    ),
    "rpc": rpc,
    "status": lambda port: hp.query_status("127.0.0.1", port, LIMIT),
    "post": lambda port: hp.post_status("127.0.0.1", port, LIMIT),
    "connection": lambda port: net.try_connection("127.0.0.1", port, LIMIT),
    "engine": of_engine,
}


@pytest.mark.parametrize("fault", SLOW)
@pytest.mark.parametrize("question", QUESTIONS)
def test_slow_peers_cost_the_limit_and_no_more(serve, question: str, fault: str) -> None:
    port, done = serve(SLOW[fault]), []
    querying = threading.Thread(target=lambda: done.append(QUESTIONS[question](port)), daemon=True)
    querying.start()
    querying.join(GIVEN_UP)
    assert done, "still waiting"


def test_slow_handshakes_cost_the_limit_and_no_more(serve) -> None:
    """A TLS record of 16 KiB that comes one byte at a time."""
    port = serve(lambda peer: drip(peer, b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc", b"\x03"))
    begun = time.monotonic()
    with pytest.raises(RequestError, match=r"does not respond within 0\.4 s"):
        hp.call(f"https://127.0.0.1:{port}/", "m", seconds=LIMIT)
    assert time.monotonic() - begun < GIVEN_UP


@pytest.mark.parametrize("fault", LARGE)
@pytest.mark.parametrize("question", QUESTIONS)
def test_large_answers_take_little_memory(serve, question: str, fault: str, monkeypatch) -> None:
    monkeypatch.setattr(he, "MAX_RESPONSE", MEGABYTE)
    port, done = serve(LARGE[fault]), []
    tracemalloc.start()
    try:
        querying = threading.Thread(target=lambda: done.append(QUESTIONS[question](port)), daemon=True)
        querying.start()
        querying.join(GIVEN_UP)
        assert done, "still waiting"
        assert tracemalloc.get_traced_memory()[1] < 16 * MEGABYTE
    finally:
        tracemalloc.stop()


def answers(body: bytes) -> Callable:
    """Return the treatment of a connection that answers with one body."""
    return lambda peer: peer.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)


DIGITS = b"7" * 20000
NUMBERS = {
    "digits": b'{"result": ' + DIGITS + b', "data": ' + DIGITS + b', "testnet": ' + DIGITS + b"}",
    "digits in an error": b'{"error": {"code": ' + DIGITS + b', "message": "x"}}',
    "a text of digits": b'{"result": "' + DIGITS + b'", "data": "' + DIGITS + b'"}',
    "hex digits": b'{"result": "0x' + b"f" * 20000 + b'", "data": "0x' + b"f" * 20000 + b'"}',
    "an exponent": b'{"result": 1e999999999, "data": 1e999999999}',
    "not a number": b'{"result": NaN, "data": -Infinity}',
}


@pytest.mark.parametrize("body", NUMBERS)
def test_numbers_of_l1_clients_are_bounded(serve, body: str) -> None:
    """The result can be written as JSON by any Python, and read again."""
    found = l1.query_l1(l1_questions(serve(answers(NUMBERS[body])), seconds=5))
    assert len(json.dumps(found, allow_nan=False)) < 5000
    assert not any(digits in json.dumps(found) for digits in ("7" * 100, "f" * 100))


@pytest.mark.parametrize("body", ["digits", "an exponent", "not a number"])
def test_a_number_out_of_range_is_named(serve, body: str) -> None:
    (found,) = l1.query_l1(l1_questions(serve(answers(NUMBERS[body])), seconds=5, consensus=[]))["execution"]
    assert found["fault"] == {"kind": "other", "text": "returns a number that is out of range"}


@pytest.mark.parametrize("body", NUMBERS)
def test_numbers_of_a_node_are_bounded(serve, body: str) -> None:
    url = f"http://127.0.0.1:{serve(answers(NUMBERS[body]))}/"
    found = hp.l1_tips([url], "0x1", {"x-aztec-a": "0x1"})
    assert found["error"].startswith("L1 URL 1 re") and len(found["error"]) < 100
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("value", ["7" * 20000, 2**20000, "0x" + "f" * 20000, -1, True, 2**64], ids=range(6))
def test_tips_are_bounded(value: object) -> None:
    tips = hp.node_tips({"latest": {"number": value}, "proven": {"number": "5"}})
    assert (tips["block"], tips["proven_block"]) == (None, 5)


def test_a_log_line_with_a_long_number_is_passed_over() -> None:
    assert hp.sync_progress([(1.0, "Downloaded L2 block " + "7" * 20000)]) is None


@pytest.mark.parametrize("setting", ["7" * 20000, "²", "-1"], ids=range(3))
def test_settings_of_a_container_are_bounded(setting: str) -> None:
    assert hp.poll_seconds({"PROVER_AGENT_POLL_INTERVAL_MS": setting}) == 1.0


def test_longer_answers_are_named(serve) -> None:
    long = answers(b'{"result": "' + b"x" * 2**21 + b'"}')
    (found,) = l1.query_l1(l1_questions(serve(long), seconds=5, consensus=[]))["execution"]
    assert found["fault"] == {"kind": "other", "text": "returns more than 1048576 bytes"}


def test_cut_off_answers_are_named(serve) -> None:
    short = OK + b'Content-Length: 100\r\n\r\n{"result": "0x1"}'
    (found,) = l1.query_l1(l1_questions(serve(lambda peer: peer.sendall(short)), seconds=5, consensus=[]))["execution"]
    assert found["fault"] == {"kind": "connect", "text": "closes the connection before the end of its response"}


@pytest.mark.parametrize("url", ["ftp://S3cret", "http://[S3cret", "http://a.lan:S3cret/"])
def test_a_url_that_is_not_one_is_not_shown(url: str) -> None:
    with pytest.raises(RequestError, match=r"^is not queried: URL or API key contain characters that are not allowed$"):
        hp.call(url, "m")


# Colors, a title, a carriage return, reversed and hidden text.
CONTROLS = "a\x1b[31mred\x1b]0;title\x07\rb\u202ec\u2066d\u200be\x9b2Jf"


def test_what_peers_say_is_printable(serve) -> None:
    reported = json.dumps({"error": {"code": -1, "message": CONTROLS}}).encode()
    (found,) = l1.query_l1(l1_questions(serve(answers(reported)), seconds=5, consensus=[]))["execution"]
    assert found["refused"] == {"chain_id": "rejects eth_chainId: ared b?c?d?ef"}
    status = OK + b"X-Aztec-A: \x1b[31mred\x1b]0;title\x07\x08\r\nContent-Length: 6\r\n\r\n\x1b[2Ja\x07"
    found = hp.query_status("127.0.0.1", serve(lambda peer: peer.sendall(status)), 5)
    assert (found["headers"], found["body"]) == ({"x-aztec-a": "red?"}, "a?")
    found = net.try_connection("127.0.0.1", serve(lambda peer: peer.sendall(b"\x1b[31mSSH\x07\r\n")), 5)
    assert (found["ok"], found["error"]) == (False, "ssh?")
    (_time, line), = hp.split_log(f"2026-11-26T16:57:20Z ERROR: {CONTROLS}")
    assert line == "ERROR: ared b?c?d?ef"


def test_a_file_of_a_container_s_is_bounded(tmp_path) -> None:
    """A pipe in place of a file would be read without an end."""
    path = tmp_path / "proc/42/root/d/cache/testnet/network_config.json"
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    inspected, done = {"State": {"Pid": 42}, "Path": "node", "Args": ["--network", "testnet"]}, []
    querying = threading.Thread(
        target=lambda: done.append(hp.network_value({"DATA_DIRECTORY": "/d"}, inspected, tmp_path, "nodeVersion")),
        daemon=True,
    )
    querying.start()
    querying.join(GIVEN_UP)
    assert done == [None]


def test_http_client_s_own_errors_stay_errors(serve) -> None:
    found = rpc(serve(lambda peer: peer.sendall(b"HTTP/9.9 200\r\n\r\n")))
    assert (found.kind, found.text) == ("other", "does not return HTTP")


# How a source of the CRS answers, the shell's limit in blocks and curl's, and whether the file is taken.
SOURCES = {
    "good": (OK + b"Content-Length: 5\r\n\r\npoint", None, True),
    "larger than it may be": (
        OK + b"Content-Length: 3000000\r\n\r\n", lambda peer: flood(peer, b"", b" " * 1000000, 3), False
    ),
    "without an end": (OK + b"\r\n", lambda peer: flood(peer, b"", b" " * MEGABYTE, 200), False),
    "by bytes": (OK + b"Content-Length: 100000\r\n\r\n", lambda peer: drip(peer, b"", b" "), False),
}


# Limits of the script and the smaller ones of this test.
ROOT = Path(__file__).parents[5]
CRS_LIMITS = {
    "ulimit -f 8388608": "ulimit -f 2048",
    "cd /var/lib/crs": "cd {directory}",
    "--retry 3": "--retry 0",
    "--max-time 14400": "--max-time 3",
}


@pytest.mark.parametrize("source", SOURCES)
def test_sources_of_the_crs_are_bounded(serve, source: str, tmp_path) -> None:
    """The real script in a real shell, with small limits."""
    begins, rest, good = SOURCES[source]

    def treat(peer: socket.socket) -> None:
        peer.sendall(begins)
        if rest:
            rest(peer)

    script = (ROOT / "roles/prover_agent/files/download_crs.sh").read_text(encoding="utf-8")
    for limit, smaller in CRS_LIMITS.items():
        assert script.count(limit) == 1
        script = script.replace(limit, smaller.format(directory=tmp_path))
    given = {"CRS_DELIVERY": "url", "CRS_SOURCE": f"http://127.0.0.1:{serve(treat)}", "CRS_FILES": "a.dat"}
    given |= {"CRS_OPTIONAL": "", "CRS_DIGESTS": "", "CRS_LEAST_BYTES": "a.dat=1"}
    done = subprocess.run(
        ["sh", "-c", script, "download_crs.sh", "true"],
        env={**os.environ, **given}, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (done.returncode == 0) is good, done.stderr
    if good:
        assert [path.name for path in tmp_path.iterdir()] == ["a.dat"]
    else:
        assert "a.dat cannot be downloaded from http://127.0.0.1:" in done.stderr
        assert list(tmp_path.iterdir()) == []
