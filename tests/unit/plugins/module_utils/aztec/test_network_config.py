# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading network_config.json over HTTP and from the copy that the program keeps, and comparing versions."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec import network_config as nc

REGISTRY = "0x35b22e09Ee0390539439E24f06Da43D83f90e298"
MAINNET = {"bootnodes": [], "snapshots": [], "registryAddress": REGISTRY, "l1ChainId": 1, "nodeVersion": "6.0.0"}
DOCUMENT = {"mainnet": MAINNET}


@pytest.mark.parametrize(
    ("location", "wanted"),
    [
        ("", list(nc.DEFAULT_URLS)),
        ("https://lan.example/x.json", ["https://lan.example/x.json"]),
        ("http://[fd31::1]:8545/x.json", ["http://[fd31::1]:8545/x.json"]),
        ("/etc/network_config.json", []),
        ("file:///etc/network_config.json", []),
        ("ftp://lan.example/x.json", []),
        ("https://", []),
        ("https://lan.example:port/x.json", []),
        ("https://lan.example:0/x.json", []),
        ("https://lan.example:1/x.json", ["https://lan.example:1/x.json"]),
        ("https://[lan/x.json", []),
    ],
)
def test_urls(location: str, wanted: list) -> None:
    assert nc.config_urls(location) == wanted


@pytest.mark.parametrize("data", ["/opt/aztec/prover-node/data", "/opt/aztec/prover-node/data/"])
def test_cached_path(data: str) -> None:
    assert nc.cached_path(data, "testnet") == "/opt/aztec/prover-node/data/cache/testnet/network_config.json"


@pytest.mark.parametrize(
    ("own", "network", "wanted"),
    [
        ("6.0.0", "6.0.0", "same"),
        ("v6.0.0", "6.0.0", "same"),
        ("6.1.0", "6.0.3", "newer"),
        ("6.0.10", "6.0.9", "newer"),
        ("6.0.0", "6.0.1", "older"),
        ("6.0.9", "6.1.0", "older"),
        ("6.0.0-rc.1", "6.0.0", "older"),
        ("6.0.0", "6.0.0-rc.1", "newer"),
        ("6.0.0-rc.2", "6.0.0-rc.10", "older"),
        ("6.0.0-rc.1", "6.0.0-rc", "newer"),
        ("6.0.0-rc.1", "6.0.0-rc.x", "older"),
        ("4.0.0-nightly.20260107", "4.0.0-nightly.20260108", "older"),
        ("5.2.1", "6.0.0", "line behind"),
        ("2.1.11", "10.0.0", "line behind"),
        ("6.0.0", "5.2.1", "line ahead"),
        ("6.0.0-rc.1", "5.9.9", "line ahead"),
    ],
)
def test_compare(own: str, network: str, wanted: str) -> None:
    assert nc.compare(own, network) == wanted


@pytest.mark.parametrize(
    "text", ["", "6", "6.0", "6.0.0\n", " 6.0.0", "6.0.0-", "6.0.0-" + "a" * 65, "latest", "6.0.1234567", "\u0666.0.0"]
)
def test_what_is_not_version(text: str) -> None:
    assert nc.precedence(text) is None
    for pair in ((text, "6.0.0"), ("6.0.0", text)):
        assert nc.compare(*pair) == ""


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, {"version": "6.0.0", "registry": REGISTRY}),
        ({"nodeVersion": "v6.0.0"}, {"version": "6.0.0", "registry": REGISTRY}),
        ({"nodeVersion": None}, {"version": None, "registry": REGISTRY}),
        ({"registryAddress": ""}, {"version": "6.0.0", "registry": None}),
        ({"registryAddress": REGISTRY + "0"}, {"version": "6.0.0", "registry": None}),
        ({"registryAddress": 1}, {"version": "6.0.0", "registry": None}),
        ({"unknown": ["field"]}, {"version": "6.0.0", "registry": REGISTRY}),
    ],
)
def test_entry(changes: dict, wanted: dict) -> None:
    assert nc.entry_of({"mainnet": {**MAINNET, **changes}}, "mainnet") == wanted


def test_entry_without_a_version() -> None:
    entry = {name: value for name, value in MAINNET.items() if name != "nodeVersion"}
    assert nc.entry_of({"mainnet": entry}, "mainnet")["version"] is None


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ({}, "does not contain network mainnet"),
        ([], "does not contain network mainnet"),
        ({"mainnet": "S3cret"}, "does not contain network mainnet"),
        ({"mainnet": {"nodeVersion": 6}}, "has a nodeVersion that is not a version"),
        ({"mainnet": {"nodeVersion": "S3cret"}}, "has a nodeVersion that is not a version"),
        ({"mainnet": {"nodeVersion": ""}}, "has a nodeVersion that is not a version"),
    ],
)
def test_entry_that_is_not_usable(document: object, line: str) -> None:
    with pytest.raises(ValueError) as caught:
        nc.entry_of(document, "mainnet")
    assert str(caught.value) == line


@pytest.fixture(name="usual_recursion")
def fixture_usual_recursion():
    """Python's own limit of nesting, which other tests' libraries raise."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("usual_recursion")
@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "there is no cached copy"),
        (b"{", "the cached copy is not JSON"),
        (b"\xff\xfe\xfa", "the cached copy is not JSON"),
        (b"[" * 5000, "the cached copy is not JSON"),
        (b'{"a": "' + b"x" * nc.MAX_FILE + b'"}', "the cached copy is too long"),
    ],
)
def test_cached_copy_that_is_not_usable(tmp_path, content: bytes | None, line: str) -> None:
    if content is not None:
        (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(ValueError) as caught:
        nc.read_cached(str(tmp_path / "c.json"))
    assert str(caught.value) == line


def test_cached_copy_of_the_longest_length(tmp_path) -> None:
    text = json.dumps(DOCUMENT)
    (tmp_path / "c.json").write_text(text + " " * (nc.MAX_FILE - len(text)))
    assert nc.read_cached(str(tmp_path / "c.json"))[0] == DOCUMENT


@pytest.fixture(name="serve")
def fixture_serve():
    """Return a function that serves (status, body, headers) on loopback and returns its URL."""
    servers = []

    def start(status: int, body: bytes, **headers: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_args) -> None:
                pass

            def do_GET(self) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/network_config.json"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def question(*urls: str, cache: object = "/no/such/file", seconds: float = 2) -> dict:
    """Return a question for mainnet."""
    return {"name": "mainnet", "urls": list(urls), "cache": str(cache), "seconds": seconds}


GOOD = json.dumps(DOCUMENT).encode()


def test_the_first_url_that_knows_the_network_answers(serve) -> None:
    down, other, good = "http://127.0.0.1:1/x", serve(200, b'{"testnet": {}}'), serve(200, GOOD)
    found = nc.query_network(question(down, other, good, serve(500, b"")))
    assert (found["where"], found["version"], found["registry"]) == (nc.origin(good), "6.0.0", REGISTRY)
    assert found["cached"] is None
    assert found["errors"] == [
        "http://127.0.0.1:1 is not reachable: connection refused",
        f"{nc.origin(other)} does not contain network mainnet",
    ]


@pytest.mark.usefixtures("usual_recursion")
@pytest.mark.parametrize(
    ("status", "body", "line"),
    [
        (404, b"not found", "returns 404 Not Found"),
        (500, GOOD, "returns 500"),
        (200, b"<!doctype html>", "returns HTML instead of JSON"),
        (200, b"[1]", "returns something other than a JSON object"),
        (200, b'{"a":' * 5000, "returns JSON that is nested too deeply"),
        (302, b"", "returns 302, a redirect to http://elsewhere.lan"),
    ],
)
def test_answers_that_are_not_usable(serve, status: int, body: bytes, line: str) -> None:
    url = serve(status, body, location="http://elsewhere.lan/S3cret")
    found = nc.query_network(question(url))
    assert found["errors"] == [f"{nc.origin(url)} {line}", "there is no cached copy"]
    assert (found["where"], found["version"], found["registry"], found["cached"]) == ("", None, None, None)


def test_the_cached_copy_answers_last(serve, tmp_path) -> None:
    (tmp_path / "c.json").write_bytes(GOOD)
    found = nc.query_network(question("http://127.0.0.1:1/x", cache=tmp_path / "c.json"))
    assert (found["where"], found["version"]) == ("", "6.0.0")
    assert abs(found["cached"] - time.time()) < 60
    newer = json.dumps({"mainnet": {**MAINNET, "nodeVersion": "6.1.0"}}).encode()
    found = nc.query_network(question(serve(200, newer), cache=tmp_path / "c.json"))
    assert (found["version"], found["cached"]) == ("6.1.0", None)


def test_what_a_location_holds_is_not_shown(serve) -> None:
    url = serve(401, b'{"error": "wrong key S3cret0123"}').replace("http://", "http://me:S3cret0123@")
    found = nc.query_network(question(url + "?key=S3cret0123"))
    assert found["errors"][0].endswith("returns 401 Unauthorized: wrong key ***")
    assert "S3cret" not in json.dumps(found)


def test_a_server_that_does_not_answer_costs_a_bounded_time() -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
    started = time.monotonic()
    found = nc.query_network(question(url, url, seconds=0.5))
    assert time.monotonic() - started < 10
    assert found["errors"][:2] == [f"{nc.origin(url)} does not respond within 0.5 s"] * 2
    silent.close()


def test_a_name_resolution_that_hangs_costs_a_bounded_time(monkeypatch) -> None:
    """The resolver has no time limit of its own."""

    def hang(*_args, **_more):
        time.sleep(30)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    started = time.monotonic()
    found = nc.query_network(question("http://hangs.lan/x", seconds=0.2))
    assert time.monotonic() - started < 10
    assert found["errors"] == ["http://hangs.lan does not respond within 0.2 s", "there is no cached copy"]
    assert "done" not in found
