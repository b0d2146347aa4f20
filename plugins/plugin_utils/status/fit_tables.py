# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make the tables in a text fit the operator's terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

GAP = "  "
# The line below the heads of a table. Its dashes give the widths of the columns.
RULER = re.compile(rf"-+(?:{GAP}-+)+")
# A column does not become narrower than this number of characters by wrapping.
MIN_COLUMN = 8
# Before all lines of a wrapped cell except the first one, so that they do not look like another row.
INDENT = "  "


def fit_tables(text: str, width: int) -> str:
    """Return a text in which each table wider than width, in characters, has wrapped cells or is a list of blocks.

    Tables are those of problems.table. All other lines are returned as they are. A word that is longer than width stays
    whole: the terminal breaks it, so that a URL or digest can still be copied.
    """
    lines, shown, at = text.split("\n"), [], 0
    while at < len(lines):
        rows = table_at(lines, at)
        if rows and len(lines[at + 1]) > width:
            shown += fit_rows(rows, width)
            at += len(rows) + 1
        else:
            shown.append(lines[at])
            at += 1
    return "\n".join(shown)


def table_at(lines: Sequence[str], start: int) -> list[list[str]]:
    """Return the heads and the rows of the table whose heads are in the line at start, or [] without a table there."""
    if start + 1 == len(lines) or not RULER.fullmatch(lines[start + 1]):
        return []
    columns = [found.span() for found in re.finditer("-+", lines[start + 1])]
    rows = []
    for line in (lines[start], *lines[start + 2 :]):
        cells = [line[first:end].strip() for first, end in columns]
        if not line or line != join_cells(cells, [end - first for first, end in columns]):
            break
        rows.append(cells)
    return rows if rows and all(rows[0]) else []


def join_cells(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return a line of a table."""
    return GAP.join(map(str.ljust, cells, widths)).rstrip()


def fit_rows(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the lines of a table for this width. rows: the heads and the rows."""
    widths = column_widths(rows, width - len(GAP) * (len(rows[0]) - 1))
    return wrapped_table(rows, widths) if widths else blocks(rows, width)


def min_width(cell: str) -> int:
    """Return the number of characters at which wrap_cell breaks no word."""
    words = cell.split()
    return max([len(word) for word in words[:1]] + [len(INDENT + word) for word in words[1:]], default=0)


def column_widths(rows: Sequence[Sequence[str]], available: int) -> list[int]:
    """Return the widths of wrapped columns, which become narrower from the widest on, or [] if they do not fit."""
    full = [max(map(len, column)) for column in zip(*rows)]
    least = [max(MIN_COLUMN, *map(min_width, column)) for column in zip(*rows)]
    for limit in range(available, 0, -1):
        widths = [min(own, max(limit, small)) for own, small in zip(full, least)]
        if sum(widths) <= available:
            return widths
    return []


def wrap_cell(cell: str, width: int) -> list[str]:
    """Return the lines of a cell, at least one."""
    if len(cell) <= width:
        return [cell]
    indent = INDENT if min_width(cell) <= width else ""
    return textwrap.wrap(cell, max(width, 1), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def wrapped_table(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    """Return the lines of a table with columns of these widths."""
    heads, *others = (
        [join_cells(cells, widths) for cells in zip_longest(*map(wrap_cell, row, widths), fillvalue="")] for row in rows
    )
    return [*heads, GAP.join("-" * width for width in widths), *(line for row in others for line in row)]


def blocks(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the lines of blocks, one for each row with the rows below it that have an empty first cell."""
    heads, *others = rows
    joined: list[list[list[str]]] = []
    for row in others or [[""] * len(heads)]:
        if row[0] or not joined:
            joined.append([[] for _head in heads])
        for values, cell in zip(joined[-1], row):
            values += [cell] if cell else []
    label = max(map(len, heads))
    shown: list[str] = []
    for block in joined:
        shown += [""] if shown else []
        for head, values in zip(heads, block):
            shown += block_entry(head, values, label, width)
    return shown


def block_entry(head: str, values: Sequence[str], label: int, width: int) -> list[str]:
    """Return the lines of a head and its values: next to each other, or below each other if a word needs the width.

    label: the number of characters of the longest head.
    """
    room, least = width - label - len(GAP), max(map(min_width, values), default=0)
    if room >= max(MIN_COLUMN, least):
        lines = [line for value in values for line in wrap_cell(value, room)]
        return [join_cells(cells, [label, 0]) for cells in zip_longest([head], lines or [""], fillvalue="")]
    indent = INDENT if len(INDENT) + least <= width else ""
    lines = [indent + line for value in values for line in wrap_cell(value, width - len(indent))]
    return [*wrap_cell(head, width), *lines]
