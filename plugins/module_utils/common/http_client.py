# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTTP client with limits on total time, response size and number size. All HTTP requests of the collection use it.

Runs on hosts. A server is not trusted: it can send one byte at a time, an endless response, or numbers too large to
process.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import re
import socket
import ssl
import threading
import time
from base64 import b64encode
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Callable
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable

# Bytes of a body. The longest expected response is a block with some thousand transaction hashes.
MAX_BODY = 2**20
# Bytes of the status line and the headers together.
MAX_HEAD = 2**18
# Digits of a number in JSON: 256 bits have 78.
MAX_DIGITS = 80
MAX_REDIRECTS = 5
USER_AGENT = "aztec-ops-prover"
# Raised for a request that fails. ValueError: the URL or a header contains characters that are not allowed.
REQUEST_ERRORS = (OSError, http.client.HTTPException, ValueError)
_NUMBER = re.compile(r"(?:0x[0-9a-fA-F]+|[0-9]+)\Z")


class ResponseTooLong(http.client.HTTPException):
    """A response that is longer than its limit."""


class FetchRefused(http.client.HTTPException):
    """A redirect that is not followed, or a proxy of the environment that is not supported."""


@dataclass(frozen=True)
class Response:
    """The response to a request. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def error_text(error: Exception) -> str:
    """Return the reason of a failed request in a few words, without the URL."""
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "timed out"
    if isinstance(error, socket.gaierror):
        return "name does not resolve"
    if isinstance(error, (FetchRefused, ResponseTooLong)):
        return str(error)
    if isinstance(error, (http.client.InvalidURL, ValueError)) and not isinstance(error, OSError):
        return "the URL or a header is not valid"
    # The text of an HTTP error can quote what the server sent.
    return printable(getattr(error, "strerror", None) or str(error) or type(error).__name__, 200).lower()


def resolve(host: str, port: int, seconds: float) -> list:
    """Return the addresses of a host as socket.getaddrinfo does. Raise OSError, or socket.timeout after seconds."""
    found: list = []

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as error:
            found.append(error)

    # getaddrinfo has no time limit. A daemon thread does not keep the program running.
    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise socket.timeout("name resolution timed out")
    if isinstance(found[0], UnicodeError):
        raise socket.gaierror(socket.EAI_NONAME, "the name is not valid")
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


class _Timed:
    """A socket whose reads and writes end at a deadline, and that receives a limited number of bytes."""

    # Returns the seconds until the deadline.
    remaining: Callable[[], float]
    # Bytes that may still be received, None for no limit: the body is counted elsewhere.
    allowed: int | None = MAX_HEAD

    def sendall(self, *arguments: Any) -> None:
        """Send all data before the deadline."""
        self.settimeout(self.remaining())
        super().sendall(*arguments)

    def recv_into(self, *arguments: Any) -> int:
        """Receive once, before the deadline."""
        self.settimeout(self.remaining())
        count = super().recv_into(*arguments)
        if self.allowed is not None:
            self.allowed -= count
            if self.allowed < 0:
                raise ResponseTooLong(f"headers of more than {MAX_HEAD} bytes")
        return count


class _TimedSocket(_Timed, socket.socket):
    """A plain socket with a deadline."""


class _TimedTlsSocket(_Timed, ssl.SSLSocket):
    """A TLS socket with a deadline."""


def bracketed(host: str) -> str:
    """Return a host as it is written in URLs: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


class Connection(http.client.HTTPConnection):
    """A connection to one server, for one or several requests with one common time limit.

    A failed request raises one of REQUEST_ERRORS: OSError (socket.timeout for the time limit),
    http.client.HTTPException (ResponseTooLong for the size limit), or ValueError.
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
        """Set the server and the time limit, which covers everything from name resolution to the last byte.

        proxy: URL of a proxy, '' for none. As with urllib, a request to http is sent to an https proxy over TLS, and a
        request to https over a CONNECT without TLS.
        socket_path: a Unix socket to connect to instead of the host.
        """
        super().__init__(host, port or (443 if tls else 80))
        self.end = time.monotonic() + seconds
        self.server = (host, self.port)
        self.tls, self.socket_path, self.source = tls, socket_path, ""
        self.response: http.client.HTTPResponse | None = None
        self.proxy = urlsplit(proxy) if proxy and not socket_path else None
        self.proxy_tls = bool(self.proxy) and self.proxy.scheme == "https"
        if tls:
            # The Host header contains no port where it is the default of the scheme.
            self.default_port = 443
        if self.proxy and tls:
            self.set_tunnel(*self.server, headers=basic("Proxy-Authorization", self.proxy))

    def remaining(self) -> float:
        """Return the seconds until the time limit. Raise socket.timeout after it."""
        seconds = self.end - time.monotonic()
        if seconds <= 0:
            raise socket.timeout("timed out")
        return seconds

    def connect(self) -> None:
        """Connect. Otherwise the first request does."""
        self.sock = self._open()
        host = getattr(self, "_tunnel_host", None)
        if host:
            # Before 3.12, Python does not put an IPv6 address in brackets in CONNECT.
            self._tunnel_host = bracketed(host)
            try:
                self._tunnel()
            finally:
                self._tunnel_host = host
        if self.tls or self.proxy_tls:
            self._encrypt()

    def close(self) -> None:
        """Close the connection."""
        super().close()
        if getattr(self, "response", None) is not None:
            self.response.close()
            self.response = None

    def _open(self) -> _TimedSocket:
        if self.socket_path:
            return self._connected(self.socket_path, 1, socket.AF_UNIX, socket.SOCK_STREAM)
        host, port = self.server
        if self.proxy:
            host, port = self.proxy.hostname, self.proxy.port or (443 if self.proxy_tls else 80)
        addresses = resolve(host, port, self.remaining())
        error: OSError = OSError("no address")
        for number, (family, kind, protocol, _name, address) in enumerate(addresses):
            try:
                sock = self._connected(address, len(addresses) - number, family, kind, protocol)
            except OSError as caught:
                error = caught
                continue
            self.source = sock.getsockname()[0]
            return sock
        raise error

    def _connected(self, address: Any, share: int, *arguments: int) -> _TimedSocket:
        """Connect within a share of the remaining time, so that time is left for the next addresses."""
        sock = _TimedSocket(*arguments)
        sock.remaining = self.remaining
        try:
            sock.settimeout(self.remaining() / share)
            sock.connect(address)
        except OSError:
            sock.close()
            raise
        return sock

    def _encrypt(self) -> None:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        context.sslsocket_class = _TimedTlsSocket
        # The timeout of the socket applies to the handshake as a whole.
        self.sock.settimeout(self.remaining())
        self.sock = context.wrap_socket(self.sock, server_hostname=self.server[0] if self.tls else self.proxy.hostname)
        self.sock.remaining = self.remaining

    def _begin(self, method: str, path: str, body: str | bytes | None, headers: dict) -> http.client.HTTPResponse:
        if self.proxy and not self.tls:
            path = f"http://{bracketed(self.server[0])}:{self.server[1]}{path}"
            headers = {**headers, **basic("Proxy-Authorization", self.proxy)}
        if self.sock is None:
            self.connect()
        # http.client drops its socket after the headers where the server closes the connection after its response.
        sock = self.sock
        sock.allowed = MAX_HEAD
        super().request(method, path, body, headers)
        self.response = self.getresponse()
        sock.allowed = None
        return self.response

    def request(
        self,
        method: str,
        url: str,
        body: str | bytes | None = None,
        headers: dict | None = None,
        limit: int = MAX_BODY,
        truncate: bool = False,
    ) -> Response:
        """Return the response to a request. A redirect is returned, not followed. url: the path on the server.

        limit: bytes of the body. truncate: cut off a longer body instead of raising ResponseTooLong.
        """
        try:
            response = self._begin(method, url, body, headers or {})
            wanted = limit if truncate else limit + 1
            content = response.read(wanted)
            if len(content) < wanted and response.length:
                raise http.client.IncompleteRead(b"", response.length)
            if len(content) > limit:
                raise ResponseTooLong(f"more than {limit} bytes")
        except BaseException:
            self.close()
            raise
        if truncate and len(content) == limit:
            self.close()
        return Response(response.status, {name.lower(): value for name, value in response.getheaders()}, content)


def basic(name: str, parts: Any) -> dict[str, str]:
    """Return the header with the user and password of a split URL, {} where it has none."""
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {name: "Basic " + b64encode(pair.encode()).decode()}


def is_http_url(url: str) -> bool:
    """Return whether a text is an http or https URL."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def environment_proxy(parts: Any) -> str:
    """Return the proxy that the environment sets for a split URL, '' for none and for hosts in NO_PROXY.

    Raise FetchRefused for a proxy that is not an http or https URL.
    """
    proxy = getproxies_environment().get(parts.scheme, "")
    if not proxy or proxy_bypass_environment(parts.hostname or ""):
        return ""
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not is_http_url(proxy):
        # The lower-case variable has precedence.
        variable = max(name for name in os.environ if name.lower() == f"{parts.scheme}_proxy")
        raise FetchRefused(f"the proxy in {variable} is not an http or https URL")
    return proxy


def connection_to(url: str, seconds: float, proxies: bool = False) -> Connection:
    """Return a connection to the host of a URL. Raise http.client.InvalidURL where it is not an http or https URL.

    proxies: use the proxies of the environment; raise FetchRefused where one is not valid.
    """
    if not is_http_url(url):
        raise http.client.InvalidURL("not an http or https URL")
    parts = urlsplit(url)
    proxy = environment_proxy(parts) if proxies else ""
    return Connection(parts.hostname, parts.port, seconds, parts.scheme == "https", proxy)


def fetch(
    method: str,
    url: str,
    seconds: float,
    headers: dict | None = None,
    proxies: bool = False,
    limit: int = MAX_BODY,
    redirects: int = 0,
) -> Response:
    """Return the response to a request to a URL, after at most so many redirects. The time limit covers all of them."""
    end = time.monotonic() + seconds
    for remaining in range(redirects, -1, -1):
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent = {"User-Agent": USER_AGENT, **basic("Authorization", parts), **(headers or {})}
        with closing(connection_to(url, end - time.monotonic(), proxies)) as connection:
            response = connection.request(method, path, None, sent, limit)
        location = response.headers.get("location")
        if not redirects or response.status not in (301, 302, 303, 307, 308) or not location:
            return response
        if not remaining:
            break
        target = urljoin(url, location)
        if parts.scheme == "https" and urlsplit(target).scheme != "https":
            raise FetchRefused("a redirect from https to another scheme")
        url = target
    raise FetchRefused(f"more than {redirects} redirects")


def parse_json(body: str | bytes) -> Any:
    """Return the document in a JSON text.

    Raise ValueError for any other text and for a number with more than MAX_DIGITS digits or without a finite value.
    The text of the error names what the body is and quotes nothing of it.
    """

    def parse_integer(text: str) -> int:
        if len(text) > MAX_DIGITS:
            raise OverflowError
        return int(text)

    def parse_float(text: str) -> float:
        if len(text) > MAX_DIGITS or not math.isfinite(float(text)):
            raise OverflowError
        return float(text)

    try:
        return json.loads(body, parse_int=parse_integer, parse_float=parse_float, parse_constant=parse_float)
    except OverflowError:
        raise ValueError("a number that is out of range") from None
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None
    except ValueError:
        raise ValueError("something other than JSON") from None


def number(text: Any, bits: int = 64) -> int | None:
    """Return the number in a hex or decimal text, None for anything else and for a number of more bits."""
    if not isinstance(text, str) or len(text) > MAX_DIGITS or not _NUMBER.match(text):
        return None
    value = int(text, 16 if text.startswith("0x") else 10)
    return value if value < 2**bits else None
