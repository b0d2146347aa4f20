# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""QR codes for the terminal, where the controller's Python has segno."""

from __future__ import annotations

import io
import sys

try:
    import segno
except ImportError:  # it is not needed for anything else
    segno = None

MISSING = f"the controller's Python has no segno: run {sys.executable} -m pip install segno"


def qr_lines(text: str) -> list:
    """Give the QR code of a text as lines of half blocks, of which each character is two modules, light on dark."""
    if segno is None:
        raise ValueError(MISSING)
    out = io.StringIO()
    segno.make(text, micro=False, error="m").terminal(out, compact=True)
    return out.getvalue().splitlines()


def payment_uri(address: str) -> str:
    """Give the URI of a payment to an address (EIP-681), which wallets read from a QR code."""
    return f"ethereum:{address}"
