# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""QR codes for the terminal. Requires segno on the controller."""

from __future__ import annotations

import io
import sys

try:
    import segno
except ImportError:  # optional
    segno = None

MISSING = f"the controller's Python does not have segno: run {sys.executable} -m pip install segno"


def qr_lines(text: str) -> list:
    """Return the QR code of a text as lines of half blocks: two modules for each character, light on dark."""
    if segno is None:
        raise ValueError(MISSING)
    out = io.StringIO()
    segno.make(text, micro=False, error="m").terminal(out, compact=True)
    return out.getvalue().splitlines()


def payment_uri(address: str) -> str:
    """Return the payment URI of an address (EIP-681), which wallets read from a QR code."""
    return f"ethereum:{address}"
