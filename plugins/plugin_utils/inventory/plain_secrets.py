# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a secret's value stands in clear text where a run takes its variables from: files, and the command line.

It goes by the bytes of those files and not by how a variable came to its value, so that a template which takes the
secret from another variable hides nothing. What is decrypted or looked up stands in none of them.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.vault_file import shown

# Shorter texts stand in too much that is no secret: they are looked for behind their name alone.
SHORTEST = 8
_LARGEST = 1024 * 1024
_ENCRYPTED = b"$ANSIBLE_VAULT;"
_HEX = re.compile(r"(?:0[xX])?([0-9A-Fa-f]{32,})")
_TELLING = re.compile(r"key|token|secret|auth|pass|sig", re.IGNORECASE)
# Names of headers, which stand beside the keys that the headers carry.
_NO_SECRETS = ("L1_CONSENSUS_HOST_API_KEY_HEADERS",)


@dataclass(frozen=True)
class Text:
    """A text that a run takes variables from. name: what a message calls it; '' for the command line."""

    name: str
    content: str = field(repr=False)


@dataclass(frozen=True)
class Secret:
    """One secret text. label: which part of its variable it is, '' for the whole; name: what it is written behind."""

    label: str
    name: str
    text: str = field(repr=False)


def _walk(folder: Path) -> Iterable[Path]:
    """Give every file below a folder that is not hidden, in order, links followed."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def variable_files(inventories: Iterable, beside: Iterable = ()) -> list[Path]:
    """Give the files of inventories (folders or files), and those of the variables beside them and in other folders."""
    files: list[Path] = []
    places = list(beside)
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
    """Read the files that are neither encrypted nor too large for variables."""
    found = []
    for file in files:
        try:
            about = file.stat()
            # A pipe would never end.
            content = file.read_bytes() if stat.S_ISREG(about.st_mode) and about.st_size <= _LARGEST else b""
        except OSError:
            continue
        if content and not content.startswith(_ENCRYPTED):
            found.append(Text(shown(Path(os.path.abspath(file))), content.decode("utf-8", "replace")))
    return found


def url_keys(url: str) -> list[str]:
    """Give the parts of a URL that are a key by their look: password, long mixed segments, telling queries.

    A short part comes with what stands around it.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return []
    user = parts.netloc.rpartition("@")[0]
    password = user.partition(":")[2] or user
    found = [password if len(password) >= SHORTEST else f"{user}@"] if user else []
    found += [segment for segment in parts.path.split("/") if _looks_drawn(segment)]
    for pair in (pair for rest in (parts.query, parts.fragment) for pair in rest.split("&")):
        name, _equals, value = pair.partition("=")
        if (_TELLING.search(name) and value) or _looks_drawn(value or name):
            found.append(value if len(value) >= SHORTEST else pair)
    return found


def _looks_drawn(text: str) -> bool:
    """Tell whether a text is one that a machine drew and no word that a person chose."""
    return len(text) >= 16 and bool(re.search("[0-9]", text)) and bool(re.fullmatch("[A-Za-z0-9_=.~-]+", unquote(text)))


def holds_secret(name: str, option: Mapping) -> bool:
    """Tell whether a variable that is declared with an option may hold a secret."""
    return bool(option.get("no_log")) or name.endswith(("_secret_environment", "_url", "_urls"))


def secrets_of(name: str, option: Mapping, value: object) -> list[Secret]:
    """Give the secrets in the value of a variable that is declared with an option; none where it is for no secret."""
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
    """Give what finds a secret in the ways that YAML, JSON, INI and a shell's arguments write it."""
    text = secret.text
    digits = _HEX.fullmatch(text)
    if digits:
        return re.compile(re.escape(digits.group(1)), re.IGNORECASE)
    escaped = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], text.replace("'", "''")}
    written = "|".join(r"\s+".join(re.escape(word) for word in form.split()) for form in sorted(escaped))
    if len(text) >= SHORTEST or not secret.name:
        return re.compile(written)
    return re.compile(rf"\b{re.escape(secret.name)}[\"']?\s*[:=]\s*[\"']?(?:{written})(?![A-Za-z0-9])")


class Search:
    """Looks for secrets in texts; each is looked for once, however many hosts have it."""

    def __init__(self, texts: Sequence[Text]) -> None:
        self._texts = texts
        self._found: dict = {}

    def __call__(self, secret: Secret) -> str | None:
        """Give where a secret stands in clear text, for a message, or None."""
        if secret not in self._found:
            self._found[secret] = self._where(_pattern(secret))
        return self._found[secret]

    def _where(self, pattern: re.Pattern) -> str | None:
        for text in self._texts:
            match = pattern.search(text.content)
            if match and not text.name:
                return COMMAND_LINE
            if match:
                line = text.content.count("\n", 0, match.start()) + 1
                return f"in clear text in {text.name}, line {line}"
        return None


COMMAND_LINE = "on the command line, which every user of this machine can read"


def plain_problem(secrets: Iterable[Secret], search) -> tuple | None:
    """Give (what is wrong, what to do) where secrets of one variable stand in clear text."""
    places: dict = {}
    for secret in secrets:
        where = search(secret)
        if where:
            places.setdefault(where, []).append(secret.label)
    if not places:
        return None
    said = []
    for where, labels in places.items():
        named = list(dict.fromkeys(label for label in labels if label))
        verb = "stand" if len(named) > 1 else "stands"
        said.append(" ".join([*([", ".join(named)] if named else []), verb, where]))
    return ", and ".join(said), "encrypt it with ansible-vault, or look it up: docs/secrets.md"
