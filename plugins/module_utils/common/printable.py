# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Text of hosts, logs and peers, as it may be shown: nothing in it controls a terminal or changes the reading order."""

from __future__ import annotations

import re

# Escape sequences of terminals: operating system commands (titles, links), control sequences (colours, cursor), others.
# One without its end goes no further than its line.
_SEQUENCES = re.compile(
    r"(?:\x1b[\]P^_X]|[\x9d\x90\x9e\x9f\x98])[^\x07\x1b\x9c\r\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)


def printable(text: str, limit: int | None = None) -> str:
    """Return a text on one line without escape sequences, shortened to limit; ? for what cannot be printed.

    Control characters, and those that reverse or hide text (bidirectional overrides, zero width), cannot be printed.
    """
    line = " ".join(_SEQUENCES.sub("", text).split())
    # Surrogates are bytes of what is not UTF-8; they cannot be written to a terminal.
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if limit is None or len(line) <= limit else line[: limit - 3] + "..."


def printable_lines(text: str) -> str:
    """Return a text of several lines without escape sequences; its line breaks, tabs and spaces stay."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else "?"
        for character in _SEQUENCES.sub("", text.replace("\r\n", "\n"))
    )
