# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make text of hosts, logs and servers safe to print: no terminal control, no change of the reading order."""

from __future__ import annotations

import re

# Escape sequences of terminals: operating system commands (titles, links), control sequences (colours, cursor), others.
# An unterminated sequence ends with its line.
_SEQUENCES = re.compile(
    r"(?:\x1b[\]P^_X]|[\x9d\x90\x9e\x9f\x98])[^\x07\x1b\x9c\r\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)


def printable(text: str, limit: int | None = None) -> str:
    """Return a text on one line without escape sequences, shortened to limit.

    Characters that cannot be printed are replaced by ?, also those that reverse or hide text (bidirectional overrides,
    zero width).
    """
    line = " ".join(_SEQUENCES.sub("", text).split())
    # Surrogates, which represent bytes that are not UTF-8, cannot be printed either.
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if limit is None or len(line) <= limit else line[: limit - 3] + "..."


def printable_lines(text: str) -> str:
    """Return a text of several lines without escape sequences. Line breaks, tabs and spaces are kept."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else "?"
        for character in _SEQUENCES.sub("", text.replace("\r\n", "\n"))
    )
