# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Encode the values of a `.env` file so that they reach the process byte for byte through Compose's `env_file`.

Compose reads the file with its own parser, whose handling of backslashes and quotes changed between releases
(compose-go before 2023-07, before 2023-12, and after). The encoding uses only escapes that all of them read alike:
quotes and backslashes are written as octal escapes.
"""

from __future__ import annotations

import re

KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PLAIN = re.compile(r"[A-Za-z0-9_./:,@%+=?&~\[\]{};!^*-]+\Z")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "$": "$$"}
_ESCAPE = re.compile(r"\\0([0-7]{3})|\\[nrt]|\$\$")


def check_variable(key: object, value: str) -> None:
    """Raise ValueError if a name and a value cannot be an environment variable. The value is never quoted."""
    if not isinstance(key, str) or not KEY.match(key):
        raise ValueError(f"{key!r} is not a name of an environment variable: use letters, digits and underscores")
    if "\0" in value:
        raise ValueError(f"{key} contains a NUL character: remove it, an environment variable cannot contain one")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as wrong:
        raise ValueError(f"{key} is not valid UTF-8: Compose reads its files as UTF-8") from wrong


def _escape(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    # Always four digits: a shorter escape would include a digit that follows it.
    if character in '"\\' or ord(character) < 0x20 or ord(character) == 0x7F:
        return f"\\0{ord(character):03o}"
    return character


def _unescape(found: re.Match) -> str:
    return chr(int(found[1], 8)) if found[1] else {"\\n": "\n", "\\r": "\r", "\\t": "\t", "$$": "$"}[found[0]]


def dotenv(value: str) -> str:
    """Return a value in the form in which it follows `NAME=` in a `.env` file."""
    if _PLAIN.match(value):
        return value
    return '"' + "".join(_escape(character) for character in value) + '"'


def parse(text: str) -> dict[str, str]:
    """Return the variables of a `.env` file whose values are encoded by `dotenv`.

    Raise ValueError if a line is not encoded that way, is empty after the name, or repeats a name.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        name, equals, written = line.partition("=")
        value = _ESCAPE.sub(_unescape, written[1:-1]) if written[:1] == '"' else written
        if not equals or not KEY.match(name) or (written and dotenv(value) != written):
            raise ValueError(f"line {number} of env is not NAME=value: encode each value with the filter dotenv")
        if name in values:
            raise ValueError(f"{name} is set more than once in env: remove all but one")
        if not value:
            raise ValueError(f"{name} is empty in env: set a value or omit it, an empty variable counts as set")
        check_variable(name, value)
        values[name] = value
    return values


def lines_by_key(text: str) -> dict[str, str]:
    """Return the line of each variable in a `.env` file, for comparisons."""
    pairs = ((line.partition("=")[0].strip(), line) for line in text.split("\n") if "=" in line)
    return {key: line for key, line in pairs if KEY.match(key)}
