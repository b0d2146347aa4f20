# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The publishers of a node, and the rule for PROVER_ID, the address that receives the rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import NODE, option_value
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.ethereum import (
    ethereum_address,
    ethereum_checksum,
)

REMOTE_SIGNER = "web3signer"
_OPTIONS = ("key_source", "publisher_private_key", "publisher_private_keys", "publisher_addresses")


def prover_id(
    given: str,
    key_source: str = "keystore",
    private_key: str = "",
    private_keys: Sequence = (),
    addresses: Sequence = (),
) -> str:
    """Return PROVER_ID: the given address, or else the address of the first publisher.

    The publishers are the addresses if a remote signer holds the keys, else the private keys, else the one private key.
    Raise ValueError for an invalid address or key.
    """
    if given:
        return ethereum_checksum(given)
    if key_source == REMOTE_SIGNER:
        return ethereum_checksum(next(iter(addresses), None))
    return ethereum_address(next(iter(private_keys or [private_key]), None))


def node_prover_id(variables: Mapping) -> str:
    """Return PROVER_ID from the variables of the node's host."""
    return prover_id(variables.get("prover_node_prover_id"), *(option_value(variables, NODE, one) for one in _OPTIONS))


def has_remote_signer(variables: Mapping) -> bool:
    """Return whether a Web3Signer holds the publishers' keys."""
    return option_value(variables, NODE, "key_source") == REMOTE_SIGNER


def publisher_variable(variables: Mapping) -> str:
    """Return the variable that names the publishers."""
    if has_remote_signer(variables):
        return "prover_node_publisher_addresses"
    several = variables.get("prover_node_publisher_private_keys")
    return "prover_node_publisher_private_keys" if several else "prover_node_publisher_private_key"


def publisher_addresses(variables: Mapping) -> list[str]:
    """Return the addresses that pay for the submission of proofs. Raise ValueError for an invalid address or key."""
    given = variables.get(publisher_variable(variables))
    publishers = given if isinstance(given, list) else [given] if given else []
    address = ethereum_checksum if has_remote_signer(variables) else ethereum_address
    return list(dict.fromkeys(map(address, publishers)))


def funding_account(variables: Mapping) -> str:
    """Return the address of the account that tops up the publishers, or ''. Raise ValueError for an invalid one."""
    if has_remote_signer(variables):
        address = variables.get("prover_node_funding_account_address")
        return ethereum_checksum(address) if address else ""
    key = variables.get("prover_node_funding_account_private_key")
    return ethereum_address(key) if key else ""
