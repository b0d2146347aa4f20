# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Format numbers with their units."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

GB = 1000**3
GWEI = 10**9
WEI_PER_ETH = Decimal(10) ** 18


def plural(number: int, noun: str) -> str:
    """Return a number with a noun: 1 proof, 2 proofs."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def gigabytes(count: int) -> str:
    """Return a number of bytes in GB: 16750372454 -> 16.8 GB."""
    return f"{count / GB:.1f} GB"


def size_in_bytes(size: str) -> int:
    """Return the bytes of a size in Docker's notation, with powers of 1024: 16g, 500m, 64kb."""
    text = size.lower().removesuffix("b")
    return int(text[:-1]) * 1024 ** (1 + "kmg".index(text[-1]))


def duration(seconds: float) -> str:
    """Return a time span in the largest unit of which it has at least two: 45 s, 90 min, 3 h, 90 d."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def _round_down(amount: Decimal, step: str) -> str:
    text = f"{amount.quantize(Decimal(step), ROUND_DOWN):f}"
    return text.rstrip("0").rstrip(".")


def ether(wei: object) -> str:
    """Return wei as ETH, rounded down to six places, so that a value below a threshold is not displayed as it."""
    amount = Decimal(str(wei)) / WEI_PER_ETH
    if 0 < amount < Decimal("0.000001"):
        return "less than 0.000001 ETH"
    return f"{_round_down(amount, '0.000001')} ETH"


def gwei(wei: int) -> str:
    """Return wei as gwei, rounded down to three places: 1.5 gwei."""
    return f"{_round_down(Decimal(wei) / GWEI, '0.001')} gwei"
