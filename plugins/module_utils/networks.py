# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is known of the networks that Aztec runs: the L1's chain and the registry contract on it.

Networks that stand in the release table and not here have values that were never published in one place: they are not
guessed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """The L1 of a network: its chain id, and the address of Aztec's registry on it in lower case."""

    chain_id: int
    registry: str


NETWORKS = {
    "mainnet": Network(1, "0x35b22e09ee0390539439e24f06da43d83f90e298"),
    "testnet": Network(11155111, "0xa0bfb1b494fb49041e5c6e8c2c1be09cd171c6ba"),
}
