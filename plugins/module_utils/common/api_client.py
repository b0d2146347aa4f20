# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Client of HTTP APIs that return JSON: JSON-RPC and Beacon API.

URLs and headers can contain API keys. No error text contains one, and texts from the server are redacted.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import (
    MAX_BODY,
    REQUEST_ERRORS,
    USER_AGENT,
    Response,
    ResponseTooLong,
    basic,
    connection_to,
    error_text,
    parse_json,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.redaction import Redactor, origin

# Other errors of the HTTP client: types, kind and text of the RequestError.
_ERRORS = (
    (socket.gaierror, "connect", "does not resolve on this host"),
    (http.client.RemoteDisconnected, "connect", "closes the connection without a response"),
    (OSError, "connect", "is not reachable: {reason}"),
    (ResponseTooLong, "other", "returns {reason}"),
    (http.client.IncompleteRead, "connect", "closes the connection before the end of its response"),
    (
        (http.client.InvalidURL, ValueError),
        "url",
        "is not queried: URL or API key contain characters that are not allowed",
    ),
)


class RequestError(Exception):
    """A request without a usable response. kind: its category, for checks. text: what is wrong, without its subject."""

    def __init__(self, kind: str, text: str) -> None:
        """Set kind and text."""
        super().__init__(text)
        self.kind, self.text = kind, text


class ErrorResponse(Exception):
    """A request that the server understood and rejected. The text contains the reason that the server gives."""


class ApiClient:
    """A client of one URL. All requests use one connection and have one common time limit."""

    def __init__(
        self,
        url: str,
        seconds: float,
        headers: Mapping[str, str] | None = None,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        """Set URL, time limit and headers. Raise RequestError where the URL cannot be used.

        redact: makes a text of the server printable and removes secrets; by default those in URL and headers.
        """
        self.seconds = seconds
        self.redact = redact or printable
        try:
            self.redact = redact or Redactor.of_targets([{"url": url, "headers": headers}]).line
            self.parts = urlsplit(url)
            self.connection = connection_to(url, seconds)
        except (http.client.InvalidURL, ValueError) as error:
            raise self.request_error(error) from None
        self.headers = {"Accept": "application/json", "User-Agent": USER_AGENT, **(headers or {})}
        self.headers.update(basic("Authorization", self.parts))

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def path(self, below: str, query: str) -> str:
        """Return a path below that of the URL, with the query of the URL and another one."""
        path = self.parts.path.rstrip("/") + below if below else self.parts.path or "/"
        queries = "&".join(part for part in (self.parts.query, query) if part)
        # As browsers and Node.js do, encode characters that are not allowed in a request.
        return quote(path + ("?" + queries if queries else ""), safe="%/:=&?~#+!$,;'@()*[]")

    def request(
        self,
        method: str,
        below: str = "",
        query: str = "",
        body: str | None = None,
        limit: int = MAX_BODY,
        truncate: bool = False,
    ) -> Response:
        """Return the response to a request. Repeat it where the server has closed the connection since the last one."""
        headers = {**self.headers, "Content-Type": "application/json"} if body is not None else self.headers
        arguments = (method, self.path(below, query), body, headers, limit, truncate)
        reused = self.connection.sock is not None
        try:
            try:
                return self.connection.request(*arguments)
            except (http.client.RemoteDisconnected, ConnectionError):
                if not reused:
                    raise
                return self.connection.request(*arguments)
        except REQUEST_ERRORS as error:
            # The text of the cause can contain the URL.
            raise self.request_error(error) from None

    def request_error(self, error: Exception) -> RequestError:
        """Return the RequestError for an error of the HTTP client."""
        if isinstance(error, (socket.timeout, TimeoutError)):
            return RequestError("timeout", f"does not respond within {self.seconds:g} s")
        if isinstance(error, ssl.SSLCertVerificationError):
            return RequestError("tls", f"has a certificate that is not trusted: {self.redact(error.verify_message)}")
        if isinstance(error, ssl.SSLError):
            reason = getattr(error, "reason", None) or "failed"
            return RequestError("tls", f"fails the TLS handshake: {reason.lower().replace('_', ' ')}")
        for kinds, kind, text in _ERRORS:
            if isinstance(error, kinds):
                return RequestError(kind, text.format(reason=self.redact(error_text(error))))
        return RequestError("other", "does not return HTTP")

    def json(self, method: str, below: str = "", query: str = "", body: str | None = None) -> tuple[int, dict]:
        """Return (status, JSON object) of a response. Raise RequestError for any other response."""
        response = self.request(method, below, query, body)
        self.check_status(response)
        return response.status, self.document(response)

    def document(self, response: Response) -> dict:
        """Return the JSON object in the body of a response. Raise RequestError for any other body."""
        begin = response.body.lstrip()[:1]
        wrong = "something other than a JSON object"
        try:
            found = parse_json(response.body)
        except ValueError as error:
            found = None
            wrong = {b"": "an empty response instead of JSON", b"<": "HTML instead of JSON"}.get(begin, str(error))
        if isinstance(found, dict):
            return found
        if response.status != 200:
            reason = http.client.responses.get(response.status, "")
            raise RequestError("http", f"returns {response.status} {reason}".strip())
        raise RequestError("other", f"returns {wrong}")

    def check_status(self, response: Response) -> None:
        """Raise RequestError for a status that means the same for every request."""
        status, location = response.status, response.headers.get("location", "")
        if status in (401, 403, 407, 429):
            text = f"returns {status} {http.client.responses[status]}{self.reason(response.body)}"
            raise RequestError("limit" if status == 429 else "key", text)
        if 300 <= status < 400:
            try:
                target = self.redact(origin(location)) if "://" in location else "another path on the same server"
            except ValueError:
                target = "an invalid URL"
            raise RequestError("redirect", f"returns {status}, a redirect to {target}")

    def reason(self, body: bytes) -> str:
        """Return the error message in a body as ': text', '' for none."""
        try:
            found = parse_json(body)
        except ValueError:
            return ""
        error = found.get("error", found) if isinstance(found, dict) else found
        text = error.get("message") if isinstance(error, dict) else error
        return f": {self.redact(text)}" if isinstance(text, str) and text.strip() else ""

    def rpc(self, method: str, *params: Any) -> Any:
        """Return the result of a JSON-RPC call. Raise ErrorResponse where the server returns an error."""
        status, found = self.json("POST", body=rpc_body(method, *params))
        if found.get("error"):
            raise ErrorResponse(f"rejects {method}{self.reason(json.dumps(found).encode())}")
        if status != 200 or "result" not in found:
            raise RequestError("http" if status != 200 else "other", f"returns {status} without a result")
        return found["result"]


def rpc_body(method: str, *params: Any) -> str:
    """Return the body of a JSON-RPC call."""
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
