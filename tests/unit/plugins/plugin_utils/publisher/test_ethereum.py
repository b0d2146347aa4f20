# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ethereum keys and addresses: published vectors, what is refused, and that no message holds a key."""

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.aztec_ops.prover.plugins.filter.filters import FilterModule
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import ethereum

FILTERS = FilterModule().filters()

# The vectors of EIP-55 itself.
EIP55 = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]

# Known pairs: the first accounts of the mnemonic "test test ... junk", and the key 1.
PAIRS = [
    (
        "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    ),
    (
        "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
        "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    ),
    (
        "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
        "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
    ),
    ("0x" + "0" * 63 + "1", "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"),
]
KEY, ADDRESS = PAIRS[0]


@pytest.mark.parametrize("address", EIP55)
def test_eip55(address: str) -> None:
    assert FILTERS["ethereum_checksum"](address) == address
    assert FILTERS["ethereum_checksum"](address.lower()) == address
    assert FILTERS["ethereum_checksum"]("0x" + address[2:].upper()) == address


@pytest.mark.parametrize("address", EIP55[4:])
def test_one_wrong_capital_is_refused(address: str) -> None:
    place = next(number for number in range(2, 42) if address[number].isalpha())
    wrong = address[:place] + address[place].swapcase() + address[place + 1 :]
    with pytest.raises(AnsibleFilterError, match="do not match its EIP-55 checksum"):
        FILTERS["ethereum_checksum"](wrong)


@pytest.mark.parametrize(("key", "address"), PAIRS)
def test_address_of_a_key(key: str, address: str) -> None:
    assert FILTERS["ethereum_address"](key) == address
    assert FILTERS["ethereum_address"](key[2:].upper()) == address


@pytest.mark.parametrize(
    "address",
    ["", "0x", ADDRESS[2:], ADDRESS + "0", ADDRESS[:-1], "0x" + "g" * 40, KEY, None, [ADDRESS], ADDRESS + "\n"],
)
def test_no_address(address: object) -> None:
    with pytest.raises(AnsibleFilterError, match="not an Ethereum address"):
        FILTERS["ethereum_checksum"](address)


ORDER = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("", "not 32 bytes of hex"),
        (KEY[:-1], "not 32 bytes of hex"),
        (KEY + "0", "not 32 bytes of hex"),
        (KEY + "\n", "not 32 bytes of hex"),
        (" " + KEY, "not 32 bytes of hex"),
        ("0x" + "z" * 64, "not 32 bytes of hex"),
        (ADDRESS, "not 32 bytes of hex"),
        (None, "not 32 bytes of hex"),
        (int(KEY, 16), "put it in quotes"),
        (1.5e70, "put it in quotes"),
        ("0x" + "0" * 64, "out of the range"),
        (ORDER, "out of the range"),
    ],
)
@pytest.mark.parametrize("name", ["ethereum_address", "keystore"])
def test_no_key_and_no_word_of_it(name: str, key: object, message: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        FILTERS[name](key)
    assert message in str(caught.value)
    text = str(caught.value)
    assert not key or (str(key).strip() not in text and str(key)[2:14] not in text)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_last_key_is_one() -> None:
    assert ethereum.ethereum_private_key(ORDER[:-1] + "0") == "0x" + ORDER[:-1] + "0"


def test_keystore() -> None:
    text = FILTERS["keystore"]([KEY[2:].upper(), PAIRS[1][0]], EIP55[5].lower())
    assert json.loads(text) == {"schemaVersion": 1, "prover": {"id": EIP55[5], "publisher": [KEY, PAIRS[1][0]]}}
    assert json.loads(FILTERS["keystore"](KEY))["prover"]["id"] == ADDRESS
    with pytest.raises(AnsibleFilterError, match="no publisher key"):
        FILTERS["keystore"]([])


def test_without_eth_account(monkeypatch) -> None:
    monkeypatch.setattr(ethereum, "eth_keys", None)
    with pytest.raises(AnsibleFilterError, match="pip install eth-account") as caught:
        FILTERS["ethereum_address"](KEY)
    assert "\n" not in str(caught.value)
