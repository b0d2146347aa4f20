# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ethereum keys and addresses, on the controller. No message of this module contains a key or a part of one."""

from __future__ import annotations

import json
import re
import sys
from functools import cache

try:
    from eth_keys import keys as eth_keys
    from eth_utils import to_checksum_address
except ImportError:  # the controller's Python, not the hosts'
    eth_keys = to_checksum_address = None

# The pip of another Python would install it elsewhere.
INSTALL = f"run {sys.executable} -m pip install eth-account"
MISSING = f"the controller's Python does not have eth_account: {INSTALL}"

_KEY = re.compile(r"(?:0[xX])?([0-9a-fA-F]{64})\Z")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}\Z")

# The order of secp256k1: a key is a number from 1 to one below it.
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def _require() -> None:
    if eth_keys is None:
        raise ValueError(MISSING)


def ethereum_private_key(key: object) -> str:
    """Return a private key as Aztec expects it: 0x and 64 lower-case hex digits. Raise ValueError if it is invalid."""
    if isinstance(key, (int, float)) and not isinstance(key, bool):
        raise ValueError("the private key is written without quotes, which YAML makes a number: put it in quotes")
    match = _KEY.match(key) if isinstance(key, str) else None
    if not match:
        raise ValueError("the private key is not 32 bytes of hex: give 0x and 64 hex digits")
    digits = match.group(1).lower()
    if not 0 < int(digits, 16) < _ORDER:
        raise ValueError("the private key is out of the range of Ethereum keys: make a new one")
    return f"0x{digits}"


def ethereum_address(key: object) -> str:
    """Return the EIP-55 address of a private key (hex text, with or without 0x)."""
    _require()
    return _address_of(bytes.fromhex(ethereum_private_key(key)[2:]))


@cache
def _address_of(secret: bytes) -> str:
    """Return the address of a key. Several checks of an inventory need it."""
    return eth_keys.PrivateKey(secret).public_key.to_checksum_address()


def ethereum_checksum(address: object) -> str:
    """Return an address with its EIP-55 checksum. Raise ValueError if it is invalid or its mixed case is wrong."""
    if isinstance(address, (int, float)) and not isinstance(address, bool):
        raise ValueError("the address is written without quotes, which YAML makes a number: put it in quotes")
    if not isinstance(address, str) or not _ADDRESS.match(address):
        raise ValueError("not an Ethereum address: give 0x and 40 hex digits")
    _require()
    checksummed = to_checksum_address(address.lower())
    digits = address[2:]
    if address != checksummed and digits not in (digits.lower(), digits.upper()):
        raise ValueError("the address's capitals do not match its EIP-55 checksum: copy it again, a digit is wrong")
    return checksummed


def publisher_environment(private_keys: object) -> dict:
    """Return the environment variable with the publishers' keys: one name for a single key, another for several.

    All release lines read PRIVATE_KEYS, separated by commas without spaces, and PRIVATE_KEY if it is not set.
    """
    keys = [ethereum_private_key(key) for key in private_keys]
    return {"PROVER_PUBLISHER_PRIVATE_KEYS" if len(keys) > 1 else "PROVER_PUBLISHER_PRIVATE_KEY": ",".join(keys)}


def keystore(publishers: object, prover_id: str = "", remote_signer: str = "", funding: str = "") -> str:
    """Return Aztec's key store (schema 1) as JSON text, for one publisher or a list of them.

    publishers, funding: private keys, or with the URL of a remote signer the addresses of its keys.
    """
    listed = list(publishers) if isinstance(publishers, (list, tuple)) else [publishers]
    if not listed:
        raise ValueError("no publisher key is given: set one")
    account = ethereum_checksum if remote_signer else ethereum_private_key
    listed = [account(one) for one in listed]
    first = listed[0] if remote_signer else ethereum_address(listed[0])
    prover = {"id": ethereum_checksum(prover_id) if prover_id else first, "publisher": listed}
    signer = {"remoteSigner": remote_signer} if remote_signer else {}
    funder = {"fundingAccount": account(funding)} if funding else {}
    return json.dumps({"schemaVersion": 1, **signer, "prover": prover, **funder}, indent=2) + "\n"
