# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""QR codes in the terminal, read back by a decoder that has nothing to do with their maker."""

from __future__ import annotations

import pytest
import zxingcpp
from ansible_collections.aztec_ops.prover.plugins.action import publisher_key

ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"

# Which of its two modules, one above the other, a character draws in the light colour.
LIGHT = {" ": (0, 0), "▀": (255, 0), "▄": (0, 255), "█": (255, 255)}


def scanned(lines: list, scale: int = 4) -> list:
    """Return the texts of the QR codes that a scanner sees on a dark terminal with these lines."""
    rows = []
    for line in lines:
        for half in (0, 1):
            row = bytes(LIGHT[character][half] for character in line for _times in range(scale))
            rows += [row] * scale
    image = memoryview(b"".join(rows)).cast("B", shape=[len(rows), len(rows[0])])
    return [code.text for code in zxingcpp.read_barcodes(image, try_invert=False)]


@pytest.mark.parametrize("text", [ADDRESS, f"ethereum:{ADDRESS}"])
def test_a_code_is_read_back(text: str) -> None:
    lines = publisher_key.qr_lines(text)
    assert scanned(lines) == [text]
    assert all(len(line) == len(lines[0]) <= 79 for line in lines)


def test_another_picture_is_not_a_code() -> None:
    assert scanned([line[::-1].replace("█", " ") for line in publisher_key.qr_lines(ADDRESS)]) == []


def test_without_segno(monkeypatch) -> None:
    monkeypatch.setattr(publisher_key, "segno", None)
    with pytest.raises(
        ValueError, match=r"^the controller's Python does not have segno: run /\S+ -m pip install segno$"
    ):
        publisher_key.qr_lines(ADDRESS)
