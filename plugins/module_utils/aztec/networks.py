# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is published about Aztec's networks: the L1's chain, the registry contract on it, and consensus values.

A network of the release table that is missing here has no published values. None is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Network:
    """The L1 of a network: its chain id, and the address of Aztec's registry on it in lower case.

    consensus: values that every program of the network shares, by the name of their environment variable.
    """

    chain_id: int
    registry: str
    consensus: Mapping[str, int] = field(default_factory=dict)


# spartan/environments/network-defaults.yml of upstream's v6 source: what mainnet and testnet have in common.
_CONSENSUS = {
    "ETHEREUM_SLOT_DURATION": 12,
    "AZTEC_SLOT_DURATION": 72,
    "AZTEC_EPOCH_DURATION": 32,
    "AZTEC_PROOF_SUBMISSION_EPOCHS": 1,
    "AZTEC_TARGET_COMMITTEE_SIZE": 48,
}
_MAINNET, _SEPOLIA = 1, 11155111

# Registries: docs.aztec.network/networks, and network_config.json of AztecProtocol/networks.
NETWORKS = {
    "mainnet": Network(_MAINNET, "0x35b22e09ee0390539439e24f06da43d83f90e298", {"L1_CHAIN_ID": _MAINNET, **_CONSENSUS}),
    "testnet": Network(_SEPOLIA, "0xa0bfb1b494fb49041e5c6e8c2c1be09cd171c6ba", {"L1_CHAIN_ID": _SEPOLIA, **_CONSENSUS}),
    "devnet": Network(_SEPOLIA, "0x548ed380440c3eef42f222ceda1d6770b8999f8c", {"L1_CHAIN_ID": _SEPOLIA}),
    "staging-ignition": Network(_SEPOLIA, "0x1b3827e3ebe2a047c65432b1d117d1475eda7870"),
    "v4-devnet-1": Network(_SEPOLIA, "0x0049fad5be616aaf33c173b4c4c29b1c79f063f5"),
    "v4-devnet-2": Network(_SEPOLIA, "0x52945c29d2788ccb076e910509c0449bfcbe29e6"),
    "v4-devnet-3": Network(_SEPOLIA, "0xb7573d051331593e82062159552719d0f8dfb7e6"),
}
