# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The HTTP client for every question to a peer, with limits on total time, size and numbers.

Runs on hosts. A peer is not trusted: it can answer one byte at a time, without an end, or with numbers that no program
can work with.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import socket
import ssl
import threading
import time
from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Callable
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment

# Bytes of a body. The longest answer that is asked for here is a block with some thousand transaction hashes.
LONGEST = 2**20
# Bytes of the status line and the headers together.
LONGEST_HEAD = 2**18
# Digits of a number in JSON: 256 bits have 78.
DIGITS = 80
REDIRECTS = 5
_PIECE = 2**16
_NUMBER = re.compile(r"(?:0x[0-9a-fA-F]+|[0-9]+)\Z")


class TooLong(http.client.HTTPException):
    """An answer that is longer than its limit."""


class ProxyRefused(http.client.InvalidURL):
    """A proxy of the environment that nothing can be asked by; the text names its variable."""


class RedirectRefused(http.client.HTTPException):
    """A redirect that is not followed."""


@dataclass(frozen=True)
class Answer:
    """What a peer has answered."""

    status: int
    headers: dict[str, str]
    body: bytes


def resolve(host: str, port: int, seconds: float) -> list:
    """Return socket.getaddrinfo's addresses of a host; raise OSError, socket.timeout after so many seconds."""
    found: list = []

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as error:
            found.append(error)

    # The C library's look-up takes no time limit; a daemon does not keep the program from ending.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise socket.timeout("the look-up of the name timed out")
    if isinstance(found[0], UnicodeError):
        raise socket.gaierror(socket.EAI_NONAME, "the name cannot be looked up")
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


class _Wire:
    """A connected socket of which every read and write ends at the deadline. left: returns the seconds until then.

    It takes the place of a socket in http.client. Like one, it stays open until everything made of it is closed.
    """

    def __init__(self, sock: socket.socket, left: Callable[[], float]) -> None:
        self.sock, self.left = sock, left
        self.readers, self.closing = 0, False
        # Bytes that may still come, None for any number: what is read of a body is counted elsewhere.
        self.allowed: int | None = LONGEST_HEAD

    def sendall(self, data: bytes) -> None:
        """Send all data by the deadline."""
        self.sock.settimeout(self.left())
        self.sock.sendall(data)

    def makefile(self, *_mode: Any) -> io.BufferedReader:
        """Return what http.client reads an answer from."""
        self.readers += 1
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Close the socket, after its readers."""
        self.closing = True
        if not self.readers:
            self.sock.close()


class _Reader(io.RawIOBase):
    """The bytes that come over a wire; raises TooLong after those that the wire allows."""

    def __init__(self, wire: _Wire) -> None:
        super().__init__()
        self.wire = wire

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read once, by the deadline."""
        wire = self.wire
        wire.sock.settimeout(wire.left())
        count = wire.sock.recv_into(buffer)
        if wire.allowed is not None:
            wire.allowed -= count
            if wire.allowed < 0:
                raise TooLong(f"headers of more than {LONGEST_HEAD} bytes")
        return count

    def close(self) -> None:
        """Let go of the wire."""
        if not self.closed:
            self.wire.readers -= 1
            if self.wire.closing:
                self.wire.close()
        super().close()


class _Http(http.client.HTTPConnection):
    """http.client's connection, made by a function of its own."""

    def __init__(self, host: str, port: int, wire: Callable[[], _Wire], encrypted: Callable[[_Wire], _Wire]) -> None:
        super().__init__(host, port)
        self._wire, self._encrypted = wire, encrypted

    def connect(self) -> None:
        self.sock = self._wire()
        host = getattr(self, "_tunnel_host", None)
        if host:
            # Python writes an IPv6 address with brackets in CONNECT only from 3.12 on.
            self._tunnel_host = bracketed(host)
            try:
                self._tunnel()
            finally:
                self._tunnel_host = host
        self.sock = self._encrypted(self.sock)


def bracketed(host: str) -> str:
    """Return a host as URLs have it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


class Connection:
    """A connection to one peer, for one or several questions that have one time limit together.

    OSError (socket.timeout for the time limit) or http.client.HTTPException (TooLong for the size limit) is raised
    where there is no answer; ValueError where URL or headers hold characters that no request can have.
    """

    def __init__(
        self,
        host: str,
        port: int | None,
        seconds: float,
        tls: bool = False,
        proxy: str = "",
        socket_path: str = "",
    ) -> None:
        """Take the peer and the seconds for everything, from the look-up of its name to the last byte.

        proxy: the URL of a proxy, '' for none: loopback and the fleet's own addresses are asked without one. As with
        urllib, a request to http goes to a proxy of https over TLS, and one to https over a CONNECT without.
        socket_path: a Unix socket to connect to in place of the host.
        """
        self.seconds, self.end = seconds, time.monotonic() + seconds
        self.peer = (host, port or (443 if tls else 80))
        self.tls, self.socket_path, self.source = tls, socket_path, ""
        self.response: http.client.HTTPResponse | None = None
        self.proxy = urlsplit(proxy) if proxy and not socket_path else None
        self.proxy_tls = bool(self.proxy) and self.proxy.scheme == "https"
        self.http = _Http(*self.peer, self._connected, self._encrypted)
        if tls:
            # No port in the header Host where it is the scheme's own.
            self.http.default_port = 443
        if self.proxy and tls:
            self.http.set_tunnel(*self.peer, headers=basic("Proxy-Authorization", self.proxy))

    def left(self) -> float:
        """Return the seconds that are left; raise socket.timeout where there are none."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        return left

    @property
    def kept(self) -> bool:
        """Whether the connection is open from an earlier question."""
        return self.http.sock is not None

    def connect(self) -> None:
        """Connect, which the first request does otherwise."""
        self.http.connect()

    def close(self) -> None:
        """End the connection."""
        self.http.close()
        if self.response is not None:
            self.response.close()
            self.response = None

    def _connected(self) -> _Wire:
        if self.socket_path:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._connect(sock, self.socket_path, 1)
            return _Wire(sock, self.left)
        host, port = self.peer
        if self.proxy:
            host, port = self.proxy.hostname, self.proxy.port or (443 if self.proxy_tls else 80)
        addresses = resolve(host, port, self.left())
        error: OSError = OSError("no address")
        for number, (family, kind, protocol, _name, address) in enumerate(addresses):
            try:
                sock = socket.socket(family, kind, protocol)
                self._connect(sock, address, len(addresses) - number)
            except OSError as caught:
                error = caught
                continue
            self.source = sock.getsockname()[0]
            return _Wire(sock, self.left)
        raise error

    def _connect(self, sock: socket.socket, address: Any, share: int) -> None:
        """Connect within a share of the time that is left, so that the next address has its own."""
        try:
            sock.settimeout(self.left() / share)
            sock.connect(address)
        except OSError:
            sock.close()
            raise

    def _encrypted(self, wire: _Wire) -> _Wire:
        if not self.tls and not self.proxy_tls:
            return wire
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        # With the time limit that the socket has at this moment, for the handshake as a whole.
        wire.sock.settimeout(self.left())
        try:
            name = self.peer[0] if self.tls else self.proxy.hostname
            sock = context.wrap_socket(wire.sock, server_hostname=name)
        except BaseException:
            wire.close()
            raise
        return _Wire(sock, self.left)

    def _begin(self, method: str, path: str, body: str | bytes | None, headers: dict) -> http.client.HTTPResponse:
        if self.proxy and not self.tls:
            path = f"http://{bracketed(self.peer[0])}:{self.peer[1]}{path}"
            headers = {**headers, **basic("Proxy-Authorization", self.proxy)}
        if self.http.sock is None:
            self.connect()
        # http.client lets go of the wire with the headers where the peer ends the connection after its answer.
        wire = self.http.sock
        wire.allowed = LONGEST_HEAD
        self.http.request(method, path, body, headers)
        self.response = self.http.getresponse()
        wire.allowed = None
        return self.response

    @staticmethod
    def _read(response: http.client.HTTPResponse, longest: int) -> bytes:
        """Return the first bytes of a body."""
        pieces, missing = [], longest
        while missing:
            piece = response.read(min(_PIECE, missing))
            if not piece and response.length:
                raise http.client.IncompleteRead(b"", response.length)
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def ask(
        self,
        method: str,
        path: str,
        body: str | bytes | None = None,
        headers: dict | None = None,
        longest: int = LONGEST,
        whole: bool = True,
    ) -> Answer:
        """Return the answer to a request; raise TooLong where its body is longer than longest.

        whole: False cuts a longer body off. Redirects are answers: nobody is asked whom the caller did not name.
        """
        try:
            response = self._begin(method, path, body, headers or {})
            got = self._read(response, longest + whole)
            if len(got) > longest:
                raise TooLong(f"more than {longest} bytes")
        except BaseException:
            self.close()
            raise
        if not whole and len(got) == longest:
            self.close()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, got)


def basic(name: str, parts: Any) -> dict[str, str]:
    """Return the header that carries a split URL's user and password, {} where it has none."""
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {name: "Basic " + b64encode(pair.encode()).decode()}


def environment_proxy(parts: Any) -> str:
    """Return the proxy that the environment sets for a split URL, '' for none and for what NO_PROXY names.

    Raise ProxyRefused where it is of another kind than http and https.
    """
    proxy = getproxies_environment().get(parts.scheme, "")
    if not proxy or proxy_bypass_environment(parts.hostname or ""):
        return ""
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        found = urlsplit(proxy)
        usable = found.scheme in ("http", "https") and bool(found.hostname) and found.port != 0
    except ValueError:
        usable = False
    if not usable:
        # The one in lower case has precedence.
        variable = max(name for name in os.environ if name.lower() == f"{parts.scheme}_proxy")
        raise ProxyRefused(f"the proxy in {variable} is not a URL of http or https")
    return proxy


def connection_to(url: str, seconds: float, proxies: bool = False) -> Connection:
    """Return a connection to a URL's host; raise http.client.InvalidURL where it is not a URL of http or https.

    proxies: whether the environment's proxies are used; ProxyRefused is raised where one cannot be.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise http.client.InvalidURL("not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise http.client.InvalidURL("not a URL of http or https")
    proxy = environment_proxy(parts) if proxies else ""
    return Connection(parts.hostname, port, seconds, parts.scheme == "https", proxy)


def get(url: str, seconds: float, proxies: bool = False, longest: int = LONGEST) -> Answer:
    """Return the answer to a GET of a URL, after at most REDIRECTS redirects; the time limit is for all of them."""
    end = time.monotonic() + seconds
    for _number in range(REDIRECTS + 1):
        parts = urlsplit(url)
        connection = connection_to(url, end - time.monotonic(), proxies)
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = {"User-Agent": "aztec-ops-prover", **basic("Authorization", parts)}
            answer = connection.ask("GET", path, None, headers, longest)
        finally:
            connection.close()
        if answer.status not in (301, 302, 303, 307, 308) or not answer.headers.get("location"):
            return answer
        leads = urljoin(url, answer.headers["location"])
        if parts.scheme == "https" and urlsplit(leads).scheme != "https":
            raise RedirectRefused("a redirect from https to another scheme")
        url = leads
    raise RedirectRefused(f"more than {REDIRECTS} redirects")


def parse_json(body: str | bytes) -> Any:
    """Return the document in a JSON text; raise ValueError, whose text goes on "answers with" and quotes nothing of it.

    A number of more than DIGITS digits, and one that is not finite, is refused.
    """

    def whole(text: str) -> int:
        if len(text) > DIGITS:
            raise OverflowError
        return int(text)

    def real(text: str) -> float:
        value = float(text) if len(text) <= DIGITS else float("inf")
        if value in (float("inf"), float("-inf")):
            raise OverflowError
        return value

    def constant(_text: str) -> None:
        raise OverflowError

    try:
        return json.loads(body, parse_int=whole, parse_float=real, parse_constant=constant)
    except OverflowError:
        raise ValueError("a number that is out of range") from None
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None
    except ValueError:
        raise ValueError("something other and not with JSON") from None


def number(text: Any, bits: int = 64) -> int | None:
    """Return the number in a hex or decimal text, or None for anything else and for a number of more bits."""
    if not isinstance(text, str) or len(text) > DIGITS or not _NUMBER.match(text):
        return None
    found = int(text, 16 if text.startswith("0x") else 10)
    return found if found < 2**bits else None
