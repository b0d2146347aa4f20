# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take secrets out of text that a person will read: messages, logs, diffs.

A secret is hidden whole, in the forms that programs print it in (quoted for JSON, for a URL, in base64), and of a
secret that is a URL the telling parts are hidden wherever they stand: user and password, path, query. Scheme, host and
port stay, since they are what an operator looks for in a failure.
"""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote, quote_plus, unquote, urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable_lines

MASK = "***"
# Shorter texts stand in too much that is no secret ("8080", "true"): they are hidden only as KEY=value.
SHORTEST = 5
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S", re.ASCII)
_HEX = re.compile(r"(?:0[xX])?[0-9A-Fa-f]{32,}\Z")


def url_parts(url: str) -> set[str]:
    """Take a URL, give the parts of it that may be secret: user, password, path, path's segments, query, its values."""
    try:
        parts = urlsplit(url)
        user, password = parts.username or "", parts.password or ""
    except ValueError:
        return {url}
    found = {user, password, unquote(user), unquote(password)}
    if "@" in parts.netloc:
        found.add(parts.netloc.rpartition("@")[0])
    if user and password:
        pair = f"{unquote(user)}:{unquote(password)}"
        found.update((pair, base64.b64encode(pair.encode("utf-8", "surrogateescape")).decode("ascii")))
    path = parts.path.strip("/")
    if path:
        found.update((parts.path, path))
        # The short ones of a path ("v3", "rpc", "eth") are the same for everyone.
        found.update(segment for segment in path.split("/") if len(segment) > 7)
    for rest in (parts.query, parts.fragment):
        found.add(rest)
        found.update(pair.partition("=")[2] for pair in rest.split("&") if "=" in pair)
    found.update({unquote(part) for part in found})
    return {part for part in found if part.strip("/")}


def _is_url(value: str) -> bool:
    return bool(_URL.match(value))


def pieces(value: str) -> set[str]:
    """Take a secret, give every text that must not be read anywhere: itself, its lines, list members, URL parts."""
    value = value.strip("\n")
    members = {value} | {line.strip() for line in value.splitlines()}
    members |= {member.strip() for text in set(members) if "," in text for member in text.split(",")}
    found: set[str] = set()
    for member in members:
        urls = [part for part in member.split(",") if part.strip()]
        if urls and all(_is_url(part.strip()) for part in urls):
            for part in urls:
                found |= url_parts(part.strip())
        elif member:
            found.add(member)
    return found


def json_strings(text: str) -> set[str]:
    """Take a text, give the strings inside when it is JSON (a keystore's keys), or an empty set."""
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
    """Take a text, give it in the ways that programs write it."""
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


class Redactor:
    """Hides secrets in text. Made once with all of them, then called for each text."""

    def __init__(self, secrets: dict[str, str] | None = None, documents: list[str] | None = None) -> None:
        """Take secrets by name (values of variables) and documents (whole files that are secret)."""
        self._named = {}
        values: set[str] = set()
        for name, value in (secrets or {}).items():
            values |= pieces(value)
            if len(value) < SHORTEST:
                self._named[name] = value
        for document in documents or []:
            inside = json_strings(document)
            for text in inside or {document}:
                values |= pieces(text)
        self.plain = {value for value in values if len(value) >= SHORTEST and not value.isspace()}
        everything = {form for value in self.plain for form in forms(value) if len(form) >= SHORTEST}
        ordered = sorted(everything, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(re.escape(form) for form in ordered)) if ordered else None

    def __call__(self, text: str) -> str:
        """Take a text, give it with every secret hidden."""
        for name, value in self._named.items():
            text = re.sub(
                rf"(\b{re.escape(name)}[\"']?\s*[=:]\s*[\"']?){re.escape(value)}(?![A-Za-z0-9])", rf"\g<1>{MASK}", text
            )
        return self._pattern.sub(MASK, text) if self._pattern else text

    def lines(self, text: str) -> list[str]:
        """Return a text's lines, printable and with every secret hidden, those over several lines too."""
        # Hidden before, since a secret may hold what cannot be printed, and after: an escape sequence may part one.
        return self(printable_lines(self(text))).splitlines()
