# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ethereum accounts made anew or taken from a key, a mnemonic or a key store, on the controller.

No message here holds a secret or a part of one: eth-account's own quote the words that they are about, so they are
looked at and replaced.
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

    WALLET_IMPORT_ERROR = None
except ImportError as error:  # the controller's Python, not the hosts'
    Mnemonic = Language = key_from_seed = decode_keyfile_json = None
    WALLET_IMPORT_ERROR = error

# BIP-44: Ethereum's coin type, first account, external chain. The number of the address follows.
PATH = "m/44'/60'/0'/0/"

WORDS = 24
_WORD_COUNTS = (12, 15, 18, 21, 24)
_LAST_INDEX = 2**31 - 1


@dataclass(frozen=True)
class Account:
    """An account with its secrets, which its repr leaves out; mnemonic and path are empty where there is none."""

    address: str
    key: str = field(repr=False)
    mnemonic: str = field(default="", repr=False)
    path: str = ""


def _require() -> None:
    if WALLET_IMPORT_ERROR is not None:
        raise ValueError(MISSING)


def from_private_key(key: object) -> Account:
    """Give the account of a private key, hex text with or without 0x."""
    key = ethereum_private_key(key.strip() if isinstance(key, str) else key)
    return Account(ethereum_address(key), key)


def new_account() -> Account:
    """Make an account that nobody has, with a mnemonic of 24 English words, at the first address."""
    _require()
    return from_mnemonic(Mnemonic(Language.ENGLISH).generate(WORDS))


def from_mnemonic(mnemonic: str, index: int = 0) -> Account:
    """Give the account of a BIP-39 mnemonic without a passphrase, at an address of the standard derivation path."""
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
    """Say what is wrong with a mnemonic by its words' numbers, in the language that most of them are of."""
    strangers = []
    for known in map(Mnemonic, Language):
        listed = set(known.wordlist)
        strangers.append([str(number) for number, word in enumerate(words, 1) if word not in listed])
    unknown = min(strangers, key=len)
    if not unknown:
        return "the mnemonic's words do not match their checksum: one of them is wrong or in the wrong place"
    if len(unknown) == len(words):
        return "the mnemonic's words are in no BIP-39 word list: give the words alone"
    which = f"word {unknown[0]} is" if len(unknown) == 1 else f"words {', '.join(unknown)} are"
    return f"the mnemonic's {which} not in the BIP-39 word list, counted from 1: mend the spelling"


def from_keystore(text: str, password: bytes) -> Account:
    """Give the account in a JSON V3 key store (Web3 Secret Storage), as geth and most wallets write it."""
    _require()
    none = "not a JSON V3 key store: give the file that a wallet or geth has written"
    try:
        content = json.loads(text)
        version = {name.lower(): value for name, value in content.items()}["version"]
    except (ValueError, AttributeError, KeyError):
        content, version = None, None
    if content is None:
        raise ValueError(none)
    if version != 3:
        raise ValueError("the key store is not of version 3: one of version 4 holds a validator's key, no account's")
    secret, wrong = b"", ""
    try:
        secret = bytes(decode_keyfile_json(content, password))
    except ValueError as error:
        wrong = "the password does not open the key store: give its own" if "MAC mismatch" in str(error) else none
    except (TypeError, KeyError, AttributeError, AssertionError):
        wrong = none
    if wrong:
        raise ValueError(wrong)
    # geth once wrote keys without their leading zeros.
    account = from_private_key(secret.rjust(32, b"\0").hex())
    named = str(content.get("address") or account.address).lower()
    if named.replace("0x", "", 1) != account.address[2:].lower():
        raise ValueError(
            "the key store names another address than its key has: take the whole file from its wallet again"
        )
    return account
