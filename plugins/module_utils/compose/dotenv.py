# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write a `.env` file whose values reach the process byte for byte through `env_file` of Docker Compose.

Compose reads the file with a parser of its own, whose handling of backslashes and quotes changed between its releases
(compose-go before 2023-07, before 2023-12, and after). The encoding here holds no quote and no backslash that any of
them reads in another way: quotes and backslashes are written as octal escapes, which all of them know.
"""

from __future__ import annotations

import re

KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PLAIN = re.compile(r"[A-Za-z0-9_./:,@%+=?&~\[\]{};!^*-]+\Z")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "$": "$$"}


def _escape(character: str) -> str:
    """Take one character, give what stands for it between double quotes."""
    if character in _NAMED:
        return _NAMED[character]
    # Four digits always: a shorter escape would swallow a digit that follows it.
    if character in '"\\' or ord(character) < 0x20 or ord(character) == 0x7F:
        return f"\\0{ord(character):03o}"
    return character


def problem(key: str, value: object) -> str | None:
    """Take a name and a value, give one line on why they cannot be an environment variable, or None.

    The line names the key and never the value.
    """
    if not isinstance(key, str) or not KEY.match(key):
        return f"{key!r} is no name of an environment variable: use letters, digits and underscores"
    if value is None or value == "":
        return f"{key} is empty: give it a value or leave it out, an empty variable counts as set"
    if not isinstance(value, (str, bool, int, float)):
        return f"{key} is a {type(value).__name__}: an environment variable is one text, join lists with commas"
    text = as_text(value)
    if "\0" in text:
        return f"{key} holds a NUL character: no environment variable can carry it"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return f"{key} is not valid UTF-8: Compose reads its files as UTF-8"
    return None


def as_text(value: str | bool | int | float) -> str:
    """Take a scalar, give the text that programs expect: true and false in lower case."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def encode_value(value: str) -> str:
    """Take a value, give it as it is to stand after `KEY=`."""
    if _PLAIN.match(value):
        return value
    return '"' + "".join(_escape(character) for character in value) + '"'


def encode(values: dict[str, str]) -> str:
    """Take names and values, give the text of a `.env` file: one line for each, sorted by name."""
    return "".join(f"{key}={encode_value(values[key])}\n" for key in sorted(values))


def lines_by_key(text: str) -> dict[str, str]:
    """Take the text of a `.env` file, give each key's whole line; for comparing, not for reading values."""
    found = {}
    for line in text.splitlines():
        key, equals, dummy = line.partition("=")
        if equals and KEY.match(key.strip()):
            found[key.strip()] = line
    return found
