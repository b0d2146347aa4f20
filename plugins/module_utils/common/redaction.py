# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Remove secrets from text that is shown: messages, logs, diffs.

A known secret is hidden in every form in which programs print it (quoted for JSON or a URL, in base64). User, password,
path and query of a secret URL are hidden separately too. Scheme, host and port are kept, because an operator needs them
to find a failure.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable, printable_lines

MASK = "***"
# Shorter texts occur in too much that is not secret ("8080", "true"): they are hidden only as KEY=value.
SHORTEST = 5
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S", re.ASCII)
_HEX = re.compile(r"(?:0[xX])?[0-9A-Fa-f]{32,}\Z")
# A URL in a text: its credentials; scheme, host and port, and the rest.
_CREDENTIALS = re.compile(r"\b((?:https?|wss?)://)[^\s/\"']*@")
_ORIGIN = re.compile(r"\b((?:https?|wss?)://(?:\[[0-9a-fA-F:.]+\]|[^\s/\"'?#:]+)(?::\d+)?)([^\s\"']*)")
_PRIVATE_KEY = re.compile(r"\b0x[0-9a-fA-F]{64}\b")


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, which are not secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def url_parts(url: str) -> set[str]:
    """Return the parts of a URL that may be secret: credentials, path and its segments, query and its values."""
    try:
        parts = urlsplit(url)
        user, password = parts.username or "", parts.password or ""
    except ValueError:
        return {url}
    found = {user, password, parts.netloc.rpartition("@")[0]}
    if user and password:
        pair = f"{unquote(user)}:{unquote(password)}"
        found.update((pair, base64.b64encode(pair.encode("utf-8", "surrogateescape")).decode("ascii")))
    path = parts.path.strip("/")
    if path:
        found.update((parts.path, path))
        # Short segments ("v3", "rpc", "eth") are the same for every user.
        found.update(segment for segment in path.split("/") if len(segment) > 7)
    for rest in (parts.query, parts.fragment):
        found.add(rest)
        found.update(pair.partition("=")[2] for pair in rest.split("&") if "=" in pair)
    found.update({unquote(part) for part in found})
    return {part for part in found if part.strip("/")}


def pieces(value: str) -> set[str]:
    """Return every part of a secret that must be hidden: the whole, its lines, members of a list, parts of URLs."""
    value = value.strip("\n")
    members = {value, *(line.strip() for line in value.splitlines())}
    members |= {member.strip() for text in set(members) if "," in text for member in text.split(",")}
    found: set[str] = set()
    for member in members:
        urls = [part.strip() for part in member.split(",") if part.strip()]
        if urls and all(map(_URL.match, urls)):
            found.update(*map(url_parts, urls))
        elif member:
            found.add(member)
    return found


def json_strings(text: str) -> set[str]:
    """Return the strings in a JSON text, such as the keys in a keystore. Return an empty set for any other text."""
    try:
        todo = [json.loads(text)]
    except ValueError:
        return set()
    found = set()
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)
        elif isinstance(item, str):
            found.add(item)
    return found


def forms(piece: str) -> set[str]:
    """Return a text in the forms in which programs write it."""
    raw = piece.encode("utf-8", "surrogateescape")
    found = {
        piece,
        json.dumps(piece)[1:-1],
        json.dumps(piece, ensure_ascii=False)[1:-1],
        quote(raw, safe=""),
        quote(raw),
        quote_plus(raw),
        piece.replace("$", "$$"),
        base64.b64encode(raw).decode("ascii").rstrip("="),
        base64.urlsafe_b64encode(raw).decode("ascii").rstrip("="),
    }
    if _HEX.match(piece):
        digits = piece[2:] if piece[:2] in ("0x", "0X") else piece
        found.update((digits, digits.lower(), digits.upper()))
    return found


def redact_patterns(text: str) -> str:
    """Hide what has the form of a secret: credentials, path and query of URLs, and 32-byte hex numbers."""
    text = _CREDENTIALS.sub(r"\1", text)
    text = _ORIGIN.sub(lambda match: match.group(1) + (f"/{MASK}" if len(match.group(2)) > 1 else match.group(2)), text)
    return _PRIVATE_KEY.sub(f"0x{MASK}", text)


class Redactor:
    """Hides known secrets in texts."""

    def __init__(
        self,
        secrets: Mapping[str, str] | None = None,
        documents: Iterable[str] = (),
        short_secrets: Iterable[str] = (),
    ) -> None:
        """Set the secrets by name (values of variables), and documents (whole files that are secret).

        short_secrets: texts that are too short to be replaced. `line` hides a text that contains one.
        """
        self._named = {name: value for name, value in (secrets or {}).items() if len(value) < SHORTEST}
        self._short = list(short_secrets)
        values = {piece for value in (secrets or {}).values() for piece in pieces(value)}
        for document in documents:
            values.update(*map(pieces, json_strings(document) or {document}))
        self.plain = {value for value in values if len(value) >= SHORTEST and not value.isspace()}
        everything = {form for value in self.plain for form in forms(value) if len(form) >= SHORTEST}
        ordered = sorted(everything, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(re.escape(form) for form in ordered)) if ordered else None

    @classmethod
    def of_targets(cls, targets: Iterable[Mapping[str, Any]]) -> Redactor:
        """Return the redactor for URLs and HTTP headers. A target has `url` and, optionally, `headers`."""
        secrets, short = [], []
        for target in targets:
            parts, values = urlsplit(target["url"]), list((target.get("headers") or {}).values())
            secrets += [target["url"], *values]
            short += [parts.password or "", *(value for _name, value in parse_qsl(parts.query)), *values]
        named = {f"secret {number}": text for number, text in enumerate(secrets)}
        return cls(named, short_secrets=[unquote(text) for text in short if 0 < len(text) < SHORTEST])

    def __call__(self, text: str) -> str:
        """Return a text with every secret hidden."""
        for name, value in self._named.items():
            text = re.sub(
                rf"(\b{re.escape(name)}[\"']?\s*[=:]\s*[\"']?){re.escape(value)}(?![A-Za-z0-9])", rf"\g<1>{MASK}", text
            )
        return self._pattern.sub(MASK, text) if self._pattern else text

    def lines(self, text: str) -> list[str]:
        """Return the lines of a text, printable and with every secret hidden, also those that span several lines."""
        # A secret can contain unprintable characters, and an escape sequence can split one: redact before and after.
        return self(printable_lines(self(text))).splitlines()

    def line(self, text: str, limit: int = 160) -> str:
        """Return a text on one line, printable, shortened to limit, and with every secret hidden."""
        shown = self(printable(self(text)))
        if any(re.search(rf"(?<![A-Za-z0-9]){re.escape(short)}(?![A-Za-z0-9])", shown) for short in self._short):
            return MASK
        return shown if len(shown) <= limit else shown[:limit] + "..."
