# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ethereum accounts, generated or imported from a key, a mnemonic or a key store, on the controller.

No message of this module contains a secret or a part of one. Messages of eth-account quote words, so they are replaced.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass, field

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.ethereum import (
    MISSING,
    ethereum_address,
    ethereum_private_key,
)

try:
    from eth_account.hdaccount import Mnemonic, key_from_seed
    from eth_account.types import Language
    from eth_keyfile import decode_keyfile_json
except ImportError:  # the controller's Python, not the hosts'
    Mnemonic = Language = key_from_seed = decode_keyfile_json = None

# BIP-44: Ethereum's coin type, first account, external chain. The index of the address follows.
PATH = "m/44'/60'/0'/0/"

WORDS = 24
_WORD_COUNTS = (12, 15, 18, 21, 24)
_LAST_INDEX = 2**31 - 1


@dataclass(frozen=True)
class Account:
    """An account with its secrets, which its repr omits. mnemonic and path are empty if there is no mnemonic."""

    address: str
    key: str = field(repr=False)
    mnemonic: str = field(default="", repr=False)
    path: str = ""


def _require() -> None:
    if Mnemonic is None:
        raise ValueError(MISSING)


def from_private_key(key: object) -> Account:
    """Return the account of a private key, hex text with or without 0x."""
    key = ethereum_private_key(key.strip() if isinstance(key, str) else key)
    return Account(ethereum_address(key), key)


def new_account() -> Account:
    """Generate an account with a mnemonic of 24 English words, at the first address."""
    _require()
    return from_mnemonic(Mnemonic(Language.ENGLISH).generate(WORDS))


def from_mnemonic(mnemonic: str, index: int = 0) -> Account:
    """Return the account of a BIP-39 mnemonic without a passphrase, at an index of the standard derivation path."""
    _require()
    if not 0 <= index <= _LAST_INDEX:
        raise ValueError(f"the index of the address is out of range: give a number from 0 to {_LAST_INDEX}")
    words = unicodedata.normalize("NFKD", mnemonic).lower().split()
    if len(words) not in _WORD_COUNTS:
        counts = ", ".join(str(count) for count in _WORD_COUNTS)
        raise ValueError(f"the mnemonic has {len(words)} words: give one of {counts} words")
    phrase = " ".join(words)
    if not any(list_of_words.is_mnemonic_valid(phrase) for list_of_words in map(Mnemonic, Language)):
        raise ValueError(_wrong_words(words))
    path = f"{PATH}{index}"
    account = from_private_key(key_from_seed(Mnemonic.to_seed(phrase), path).hex())
    return Account(account.address, account.key, phrase, path)


def _wrong_words(words: list) -> str:
    """Return what is wrong with a mnemonic, by the positions of its words, for the language that fits best."""
    word_lists = [set(Mnemonic(language).wordlist) for language in Language]
    unknown = min(
        ([str(number) for number, word in enumerate(words, 1) if word not in listed] for listed in word_lists), key=len
    )
    if not unknown:
        return "the mnemonic's words do not match their checksum: one of them is wrong or in the wrong place"
    if len(unknown) == len(words):
        return "the mnemonic's words are in no BIP-39 word list: give only the words"
    which = f"word {unknown[0]} is" if len(unknown) == 1 else f"words {', '.join(unknown)} are"
    return f"the mnemonic's {which} not in the BIP-39 word list, counted from 1: correct the spelling"


def from_keystore(text: str, password: bytes) -> Account:
    """Return the account in a JSON V3 key store (Web3 Secret Storage), as geth and most wallets write it."""
    _require()
    invalid = ValueError("not a JSON V3 key store: give the file that a wallet or geth wrote")
    try:
        content = json.loads(text)
        version = {name.lower(): value for name, value in content.items()}["version"]
    except (ValueError, AttributeError, KeyError):
        raise invalid from None
    if version != 3:
        raise ValueError("the key store is not of version 3: give one of an account, version 4 is for validators")
    try:
        secret = bytes(decode_keyfile_json(content, password))
    except ValueError as error:
        wrong_password = ValueError("the password does not open the key store: give the password of this key store")
        raise (wrong_password if "MAC mismatch" in str(error) else invalid) from None
    except (TypeError, KeyError, AttributeError, AssertionError):
        raise invalid from None
    # Old versions of geth omitted the leading zeros of keys.
    account = from_private_key(secret.rjust(32, b"\0").hex())
    named = str(content.get("address") or account.address).lower()
    if named.replace("0x", "", 1) != account.address[2:].lower():
        raise ValueError(
            "the address in the key store is not the address of its key: export the whole file from its wallet again"
        )
    return account
