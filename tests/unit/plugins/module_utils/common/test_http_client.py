"""The HTTP client: redirects, proxies, numbers, JSON, and text that controls a terminal."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.common import http_client as client
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable, printable_lines
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.redaction import Redactor
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_engine import fetch_key


class Handler(BaseHTTPRequestHandler):
    """/loop redirects to itself, /N to /N-1, /long and /slow never end. The requests are recorded."""

    protocol_version = "HTTP/1.1"
    queried: list

    def log_message(self, *_words) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        """Answer."""
        self.queried.append((self.path, self.headers.get("host"), self.headers.get("authorization")))
        name = self.path.rpartition("/")[2]
        leads = {"loop": "/loop", "away": "ftp://elsewhere.lan/"}.get(name)
        if name.isdigit() and int(name):
            leads = f"/{int(name) - 1}"
        self.send_response(302 if leads else 404 if name == "none" else 200)
        if leads:
            self.send_header("location", leads)
        self.send_header("content-length", "100000000" if name in ("long", "slow") else "2")
        self.end_headers()
        if name == "slow":
            while True:
                time.sleep(0.05)
                self.wfile.write(b" ")
        self.wfile.write(b" " * 5000000 if name == "long" else b"OK")

    def do_CONNECT(self) -> None:
        """Refuse."""
        self.queried.append((self.path, None, self.headers.get("proxy-authorization")))
        self.send_response(403)
        self.send_header("content-length", "0")
        self.end_headers()


@pytest.fixture(name="server")
def fixture_server():
    """Return a server of Handler's answers."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_words) -> None:
            """Log nothing of clients that go away."""

    server = Quiet(("127.0.0.1", 0), type("Own", (Handler,), {"queried": []}))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.queried = server.RequestHandlerClass.queried
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def usual_recursion():
    """Python's own limit of nesting, which other tests' libraries raise."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    """Start without the proxies of the user who runs the tests."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("path", "text", "error"),
    [
        ("/key", "OK", ""),
        (f"/{client.MAX_REDIRECTS}", "OK", ""),
        (f"/{client.MAX_REDIRECTS + 1}", "", "more than 5 redirects"),
        ("/loop", "", "more than 5 redirects"),
        ("/none", "", "returns 404"),
        ("/long", "", "more than 1048576 bytes"),
        ("/away", "", "the URL or a header is not valid"),
    ],
)
def test_key_of_a_repository(server, path: str, text: str, error: str) -> None:
    assert fetch_key(server.url + path, 30) == {"text": text, "error": error}


def test_key_that_never_ends_takes_no_longer_than_the_limit(server) -> None:
    begun = time.monotonic()
    assert fetch_key(server.url + "/slow", 0.5) == {"text": "", "error": "timed out"}
    assert time.monotonic() - begun < 10


def test_key_of_a_closed_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://me:S3cret@127.0.0.1:{listening.getsockname()[1]}/"
    assert fetch_key(url, 1)["error"] == "connection refused"


def test_user_and_password_are_a_header(server) -> None:
    fetch_key(server.url.replace("//", "//me:S3cret@") + "/key")
    assert server.queried == [("/key", server.url[7:], "Basic bWU6UzNjcmV0")]


def test_proxies_are_used_where_they_are_queried_for(server, monkeypatch) -> None:
    """By default no proxy is used. NO_PROXY applies."""
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:S3cret@"))
    monkeypatch.setenv("https_proxy", server.url)
    assert client.fetch("GET", "http://key.lan:81/key?a", 1, proxies=True).body == b"OK"
    with pytest.raises(OSError, match="Tunnel connection failed: 403"):
        client.fetch("GET", "https://key.lan/key", 1, proxies=True)
    assert server.queried == [("http://key.lan:81/key?a", "key.lan:81", None), ("key.lan:443", None, None)]
    server.queried.clear()
    client.fetch("GET", f"{server.url}/direct", 1)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    client.fetch("GET", f"{server.url}/direct", 1, proxies=True)
    assert [path for path, _host, _user in server.queried] == ["/direct", "/direct"]


def through(server, monkeypatch, url: str, **variables: str) -> tuple:
    """Return (the status or an error's text, what the server, a proxy, was queried) for a URL with these variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    try:
        return client.fetch("GET", url, 2, proxies=True).status, server.queried
    except OSError as error:
        return str(error), server.queried


@pytest.mark.parametrize("scheme", ["http://", "https://", "HTTPS://", ""])
def test_a_proxy_s_own_scheme_does_not_matter_for_a_tunnel(server, monkeypatch, scheme: str) -> None:
    """As with urllib, which requests a tunnel from either proxy without TLS."""
    reported = through(server, monkeypatch, "https://key.lan/key", https_proxy=scheme + server.url[7:])
    assert reported == ("Tunnel connection failed: 403 Forbidden", [("key.lan:443", None, None)])


@pytest.mark.parametrize(("host", "queried"), [("[fd00::1]", "[fd00::1]:443"), ("[fd00::1]:8443", "[fd00::1]:8443")])
def test_a_tunnel_to_an_ipv6_address_has_brackets(server, monkeypatch, host: str, queried: str) -> None:
    reported = through(server, monkeypatch, f"https://{host}/key", https_proxy=server.url)
    assert reported == ("Tunnel connection failed: 403 Forbidden", [(queried, None, None)])


def test_a_proxy_of_https_is_queried_over_tls(server, monkeypatch, tmp_path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
         "-out", certificate, "-days", "2", "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    proxy = {"http_proxy": server.url.replace("http:", "https:"), "SSL_CERT_FILE": str(certificate)}
    assert through(server, monkeypatch, "http://key.lan/key", **proxy) == (
        200, [("http://key.lan:80/key", "key.lan:80", None)],
    )  # fmt: skip


@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:1080", "http://", "https://:3128", "http://p.lan:x", "http://[p", "http://p.lan:0"]
)
@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY"])
def test_a_proxy_that_cannot_be_queried_is_named_by_its_variable(monkeypatch, proxy: str, variable: str) -> None:
    monkeypatch.setenv(variable, proxy)
    wrong = f"the proxy in {variable} is not an http or https URL"
    assert fetch_key("https://key.lan/key", 1) == {"text": "", "error": wrong}
    monkeypatch.setenv("NO_PROXY", "key.lan")
    assert client.environment_proxy(urlsplit("https://key.lan")) == ""


def test_look_up_of_a_name_takes_no_longer_than_the_limit(monkeypatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_words, **_more: time.sleep(30))
    begun = time.monotonic()
    with pytest.raises(socket.timeout):
        client.fetch("GET", "http://hangs.lan/", 0.2)
    assert time.monotonic() - begun < 10


def test_each_address_of_a_name_has_its_share_of_the_time(server, monkeypatch) -> None:
    """An address that does not respond does not use the time of the next one."""
    full = socket.create_server(("127.0.0.2", 0), backlog=0)
    waiting = [socket.socket() for _number in range(3)]
    for sock in waiting:
        sock.setblocking(False)
        sock.connect_ex(full.getsockname())
    both = [(2, 1, 6, "", full.getsockname()), (2, 1, 6, "", ("127.0.0.1", server.server_port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_words, **_more: both)
    assert client.fetch("GET", "http://two.lan/key", 1).body == b"OK"
    for sock in (full, *waiting):
        sock.close()


@pytest.mark.parametrize(
    ("text", "bits", "value"),
    [
        ("0x10", 64, 16),
        ("10", 64, 10),
        ("0x" + "f" * 16, 64, 2**64 - 1),
        ("0x1" + "0" * 16, 64, None),
        ("0x" + "f" * 64, 256, 2**256 - 1),
        ("1" * 81, 256, None),
        ("1_0", 64, None),
        (" 1", 64, None),
        ("1\n", 64, None),
        ("-1", 64, None),
        ("٣", 64, None),
        (1, 64, None),
        (None, 64, None),
    ],
)
def test_number(text: object, bits: int, value: int | None) -> None:
    assert client.number(text, bits) == value


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('{"a": 1.5e3, "b": -7}', ""),
        ('{"a": ' + "7" * 81 + "}", "a number that is out of range"),
        ('{"a": 1.' + "7" * 81 + "}", "a number that is out of range"),
        ('{"a": -1e400}', "a number that is out of range"),
        ('{"a": NaN}', "a number that is out of range"),
        ("[" * 100000, "JSON that is nested too deeply"),
        ("S3cret", "something other than JSON"),
        (b"\xff\xfe\xfd", "something other than JSON"),
    ],
    ids=range(8),
)
def test_json(text: str | bytes, wrong: str) -> None:
    if not wrong:
        assert client.parse_json(text) == {"a": 1500.0, "b": -7}
        return
    with pytest.raises(ValueError, match=f"^{wrong}$"):
        client.parse_json(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain  text\n of two lines", "plain text of two lines"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdevice\x1b\\text", "text"),
        ("\x1b]0;no end\nnext", "next"),
        ("\x1b]0;no end\r\nnext\x07", "next?"),
        ("\x9d0;no end\rnext", "next"),
        ("\x1bPno end\n\x1b[0mnext", "next"),
        ("\x1bcreset", "reset"),
        ("good\rbad", "good bad"),
        ("a\x08\x00\x7fb", "a???b"),
        ("user\u202egpj.exe\u2066\u200f\u061c", "user?gpj.exe???"),
        ("a\u200bb\ufeffc\u00adc", "a?b?c?c"),
        ("\udc80", "?"),
        ("größe 東京 ✓", "größe 東京 ✓"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_printable_is_shortened_and_keeps_lines_where_there_are_some() -> None:
    assert printable("a" * 50, 10) == "aaaaaaa..."
    assert printable_lines("a:\n\t\x1b[31m b\r\nc\rd\n") == "a:\n\t b\nc?d\n"
    assert printable_lines("a\x1b]0;no end\nb\x1b_no end\r\nc") == "a\nb\nc"


def test_an_escape_sequence_does_not_part_a_secret() -> None:
    assert Redactor({"KEY": "hunter2secret"}).lines("key hunter2\x1b[0msecret\x1b[31m\nx\x07") == ["key ***", "x?"]
