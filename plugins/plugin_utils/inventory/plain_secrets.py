# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Search for secrets in clear text in the sources of a run's variables: files, and the command line.

The search reads the bytes of the files, so it also finds a secret that a template takes from another variable.
Decrypted and looked-up values are not in these files.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.vault_file import shown

# Shorter text is only searched for after its name, because it also occurs in text that is not secret.
SHORTEST = 8
_LARGEST = 1024 * 1024
_ENCRYPTED = b"$ANSIBLE_VAULT;"
_HEX = re.compile(r"(?:0[xX])?([0-9A-Fa-f]{32,})")
_SECRET_NAME = re.compile(r"key|token|secret|auth|pass|sig", re.IGNORECASE)
# Names of HTTP headers, which are set next to the keys that the headers contain.
_NO_SECRETS = ("L1_CONSENSUS_HOST_API_KEY_HEADERS",)


@dataclass(frozen=True)
class Text:
    """A source of variables. name: its name in messages, '' for the command line."""

    name: str
    content: str = field(repr=False)


@dataclass(frozen=True)
class Secret:
    """One secret. label: the part of its variable, '' for the whole. name: the key or variable that precedes it."""

    label: str
    name: str
    text: str = field(repr=False)


def _walk(folder: Path) -> Iterable[Path]:
    """Return every file below a folder that is not hidden, in order; follow links."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def variable_files(inventories: Iterable, folders: Iterable = ()) -> list[Path]:
    """Return the files of inventories (folders or files), and the variable files next to them and in other folders."""
    files: list[Path] = []
    places = list(folders)
    for inventory in map(Path, inventories):
        if inventory.is_dir():
            files += _walk(inventory)
        elif inventory.is_file():
            files.append(inventory)
            places.append(inventory.parent)
    for place in places:
        for kind in ("group_vars", "host_vars"):
            files += _walk(Path(place, kind))
    return list({os.path.realpath(file): file for file in reversed(files)}.values())[::-1]


def read(files: Iterable[Path]) -> list[Text]:
    """Read the files that are not encrypted and not too large for variables."""
    found = []
    for file in files:
        try:
            about = file.stat()
            # Reading a pipe would not end.
            content = file.read_bytes() if stat.S_ISREG(about.st_mode) and about.st_size <= _LARGEST else b""
        except OSError:
            continue
        if content and not content.startswith(_ENCRYPTED):
            found.append(Text(shown(Path(os.path.abspath(file))), content.decode("utf-8", "replace")))
    return found


def url_keys(url: str) -> list[str]:
    """Return the parts of a URL that look like a key: password, long random segments, and parameters such as token.

    A short part is returned with its surroundings.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return []
    user = parts.netloc.rpartition("@")[0]
    password = user.partition(":")[2] or user
    found = [password if len(password) >= SHORTEST else f"{user}@"] if user else []
    found += [segment for segment in parts.path.split("/") if _looks_random(segment)]
    for pair in (pair for rest in (parts.query, parts.fragment) for pair in rest.split("&")):
        name, _equals, value = pair.partition("=")
        if (_SECRET_NAME.search(name) and value) or _looks_random(value or name):
            found.append(value if len(value) >= SHORTEST else pair)
    return found


def _looks_random(text: str) -> bool:
    """Return whether text looks random."""
    return len(text) >= 16 and bool(re.search("[0-9]", text)) and bool(re.fullmatch("[A-Za-z0-9_=.~-]+", unquote(text)))


def holds_secret(name: str, option: Mapping) -> bool:
    """Return whether a variable with this specification can contain a secret."""
    return bool(option.get("no_log")) or name.endswith(("_secret_environment", "_url", "_urls"))


def secrets_of(name: str, option: Mapping, value: object) -> list[Secret]:
    """Return the secrets in the value of a variable with this specification."""
    if name.endswith(("_url", "_urls")):
        urls = list(enumerate(value, 1)) if isinstance(value, (list, tuple)) else [(0, value)]
        return [
            Secret(f"the key in entry {number}" if number else "the key in it", "", key)
            for number, url in urls
            if isinstance(url, str)
            for key in dict.fromkeys(url_keys(url))
        ]
    if holds_secret(name, option):
        return list(_leaves("", name, value))
    return []


def _leaves(label: str, name: str, value: object) -> Iterable[Secret]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key not in _NO_SECRETS:
                yield from _leaves(str(key) if re.fullmatch(r"\w{1,60}", str(key)) else "an entry", str(key), item)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value, 1):
            yield from _leaves(label or f"entry {number}", name, item)
    elif isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip():
        yield Secret(label, name, str(value).strip())


def _pattern(secret: Secret) -> re.Pattern:
    """Return a pattern that finds a secret as YAML, JSON, INI, and shell arguments write it."""
    text = secret.text
    digits = _HEX.fullmatch(text)
    if digits:
        return re.compile(re.escape(digits.group(1)), re.IGNORECASE)
    escaped = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], text.replace("'", "''")}
    written = "|".join(r"\s+".join(re.escape(word) for word in form.split()) for form in sorted(escaped))
    if len(text) >= SHORTEST or not secret.name:
        return re.compile(written)
    return re.compile(rf"\b{re.escape(secret.name)}[\"']?\s*[:=]\s*[\"']?(?:{written})(?![A-Za-z0-9])")


COMMAND_LINE = "on the command line, which every user of this machine can read"


def search_in(texts: Sequence[Text]) -> Callable[[Secret], str | None]:
    """Return a function that returns where a secret is in clear text, for a message, or None."""

    @cache
    def search(secret: Secret) -> str | None:
        pattern = _pattern(secret)
        for text in texts:
            match = pattern.search(text.content)
            if match:
                line = text.content.count("\n", 0, match.start()) + 1
                return f"in clear text in {text.name}, line {line}" if text.name else COMMAND_LINE
        return None

    return search


def plain_problem(secrets: Iterable[Secret], search) -> tuple | None:
    """Return what is wrong if secrets of one variable are in clear text."""
    places: dict = {}
    for secret in secrets:
        places.setdefault(search(secret), {})[secret.label] = None
    places.pop(None, None)
    wrong = []
    for where, labels in places.items():
        named = list(filter(None, labels))
        wrong.append(f"{', '.join(named)} {'are' if len(named) > 1 else 'is'} {where}".lstrip())
    return (", and ".join(wrong), "encrypt it with ansible-vault, or use a lookup: docs/secrets.md") if wrong else None
