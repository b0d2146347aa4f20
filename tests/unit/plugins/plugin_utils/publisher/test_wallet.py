# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts from keys, mnemonics and key stores: published vectors, what is refused, no secret in a message."""

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import wallet
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.ethereum import ethereum_address

# Keys with their addresses in Ethereum's own tests (keyaddrtest): Keccak-256 of "cow" and "horse".
KEYS = [
    ("c85ef7d79691fe79573b1a7064c19c1a9819ebdbd1faaab1a8ec92344438aaf4", "cd2a3d9f938e13cd947ec05abc7fe734df8dd826"),
    ("c87f65ff3f271bf5dc8643484f66b200109caffe4bf98c4cb393dc35740b28c0", "13978aee95f38490e9769c39b2773ed763d9cd5f"),
]

JUNK = "test test test test test test test test test test test junk"
TAG = "tag volcano eight thank tide danger coast health above argue embrace heavy"
ABANDON = "abandon " * 11 + "about"
ART = "abandon " * 23 + "art"

# Mnemonics with their addresses at m/44'/60'/0'/0/INDEX, as published with anvil and with go-ethereum-hdwallet, and of
# BIP-39's first vectors.
MNEMONICS = [
    (JUNK, 0, "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    (JUNK, 1, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    (JUNK, 2, "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
    (TAG, 0, "0xC49926C4124cEe1cbA0Ea94Ea31a6c12318df947"),
    (TAG, 1, "0x8230645aC28A4EdD1b0B53E7Cd8019744E9dD559"),
    (ABANDON, 0, "0x9858EfFD232B4033E47d90003D41EC34EcaEda94"),
    (ART, 0, "0xF278cF59F82eDcf871d630F28EcC8056f25C1cdb"),
]

# BIP-39's own test vectors (all zeros, ones, 0x7f, 0x80 and at random), of 12, 18 and 24 words.
BIP39 = [
    ABANDON,
    "legal winner thank year wave sausage worth useful legal winner thank yellow",
    "letter advice cage absurd amount doctor acoustic avoid letter advice cage above",
    "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong",
    "abandon " * 17 + "agent",
    "zoo " * 17 + "when",
    ART,
    "zoo " * 23 + "vote",
    "letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor acoustic avoid "
    "letter advice cage absurd amount doctor acoustic bless",
    "disagree tomato unique attend aspect runway solid violin witness scrap armed daring favorite warm decade perfect "
    "target kid grant play early wide cigar night",
    "glow void ketchup thunder digital clock sport half six nice open artefact",
    "much youth advance kitchen lens exile salt cram goose enter alert raise milk muscle profit cousin system faint "
    "mouse price reveal cause series long",
]


def store(kdf: str, cipher: tuple, parameters: dict) -> str:
    """Return the text of a key store of version 3. cipher: vector, text and check sum."""
    vector, text, mac = cipher
    crypto = {"cipher": "aes-128-ctr", "cipherparams": {"iv": vector}, "ciphertext": text, "mac": mac}
    return json.dumps({"crypto": {**crypto, "kdf": kdf, "kdfparams": parameters}, "id": "3198bc9c", "version": 3})


# The two test vectors of the Web3 Secret Storage definition, and geth's of keys that begin with zeros.
SCRYPT = store(
    "scrypt",
    (
        "83dbcc02d8ccb40e466191a123791e0e",
        "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
        "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
    ),
    {
        "dklen": 32,
        "n": 262144,
        "r": 1,
        "p": 8,
        "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19",
    },
)
PBKDF2 = store(
    "pbkdf2",
    (
        "6087dab2f9fdbbfaddc31a909735c1e6",
        "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
    ),
    {
        "c": 262144,
        "dklen": 32,
        "prf": "hmac-sha256",
        "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
    },
)
BYTES_31 = store(
    "scrypt",
    (
        "e0c41130a323adc1446fc82f724bca2f",
        "9517cd5bdbe69076f9bf5057248c6c050141e970efa36ce53692d5d59a3984",
        "d5e116151c6aa71470e67a7d42c9620c75c4d23229847dcc127794f0732b0db5",
    ),
    {
        "dklen": 32,
        "n": 2,
        "r": 8,
        "p": 1,
        "salt": "711f816911c92d649fb4c84b047915679933555030b3552c1212609b38208c63",
    },
)
BYTES_30 = store(
    "scrypt",
    (
        "3ca92af36ad7c2cd92454c59cea5ef00",
        "108b7d34f3442fc26ab1ab90ca91476ba6bfa8c00975a49ef9051dc675aa",
        "75d0e6759f7b3cefa319c3be41680ab6beea7d8328653474bd06706d4cc67420",
    ),
    {
        "dklen": 32,
        "n": 2,
        "r": 8,
        "p": 1,
        "salt": "d0769e608fb86cda848065642a9c6fa046845c928175662b8e356c77f914cd3b",
    },
)
STORED = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"
STORES = [
    (SCRYPT, b"testpassword", STORED),
    (PBKDF2, b"testpassword", STORED),
    (BYTES_31, b"foo", "00fa7b3db73dc7dfdf8c5fbdb796d741e4488628c41fc4febd9160a866ba0f35"),
    (BYTES_30, b"foo", "000081c29e8142bb6a81bef5a92bda7a8328a5c85bb2f9542e76f9b0f94fc018"),
]
OWNER = "008aeeda4d805471df9b2a5b0f38a0c3bcba786b"


def changed(text: str, **changes: object) -> str:
    """Return a key store's text with some of its fields changed."""
    return json.dumps({**copy.deepcopy(json.loads(text)), **changes})


def refusal(function, *arguments: object) -> str:
    """Return the message that a function refuses with: one line, with nothing before it that could be shown too."""
    with pytest.raises(ValueError) as caught:
        function(*arguments)
    assert caught.type is ValueError
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("key", "address"), KEYS)
def test_published_keys(key: str, address: str) -> None:
    account = wallet.from_private_key(f" 0x{key.upper()}\n")
    assert account.address.lower() == f"0x{address}"
    assert account.address == ethereum_address(key)
    assert (account.key, account.mnemonic, account.path) == (f"0x{key}", "", "")


@pytest.mark.parametrize(("mnemonic", "index", "address"), MNEMONICS)
def test_published_mnemonics(mnemonic: str, index: int, address: str) -> None:
    account = wallet.from_mnemonic(mnemonic, index)
    assert account.address == address == ethereum_address(account.key)
    assert account.path == f"m/44'/60'/0'/0/{index}"


@pytest.mark.parametrize("mnemonic", BIP39)
def test_bip39_words_are_taken_and_no_word_of_them_can_be_swapped(mnemonic: str) -> None:
    words = mnemonic.split()
    assert wallet.from_mnemonic("  " + "\n".join(words).upper() + "\n").mnemonic == " ".join(words)
    swapped = [*words[1:], words[0]]
    assert "do not match their checksum" in refusal(wallet.from_mnemonic, " ".join(swapped))


def test_every_language_of_bip39() -> None:
    for language in wallet.Language:
        phrase = wallet.Mnemonic(language).to_mnemonic(bytes(range(32)))
        account = wallet.from_mnemonic(phrase)
        seed = wallet.Mnemonic.to_seed(phrase)
        assert account.key == "0x" + wallet.key_from_seed(seed, "m/44'/60'/0'/0/0").hex()


def test_a_new_account() -> None:
    one, other = wallet.new_account(), wallet.new_account()
    assert len(one.mnemonic.split()) == 24
    assert wallet.from_mnemonic(one.mnemonic) == one
    assert one.key != other.key
    assert one.path == "m/44'/60'/0'/0/0"


def test_an_account_does_not_show_its_secrets() -> None:
    account = wallet.from_mnemonic(TAG)
    assert account.key[2:] not in repr(account) and "volcano" not in repr(account)
    assert account.address in repr(account)


@pytest.mark.parametrize(
    ("mnemonic", "index", "message"),
    [
        ("", 0, "the mnemonic has 0 words: give one of 12, 15, 18, 21, 24 words"),
        (TAG + " heavy", 0, "the mnemonic has 13 words"),
        (TAG[:-6], 0, "the mnemonic has 11 words"),
        ("0x" + KEYS[0][0], 0, "the mnemonic has 1 words"),
        (TAG.replace("coast", "coost"), 0, "the mnemonic's word 7 is not in the BIP-39 word list, counted from 1"),
        (
            TAG.replace("coast", "coost").replace("tag", "teg"),
            0,
            "the mnemonic's words 1, 7 are not in the BIP-39 word",
        ),
        ("S3cret " * 12, 0, "the mnemonic's words are in no BIP-39 word list"),
        (TAG.replace("heavy", "health"), 0, "the mnemonic's words do not match their checksum"),
        (TAG, -1, "the index of the address is out of range: give a number from 0 to 2147483647"),
        (TAG, 2**31, "the index of the address is out of range"),
    ],
)
def test_wrong_mnemonics(mnemonic: str, index: int, message: str) -> None:
    text = refusal(wallet.from_mnemonic, mnemonic, index)
    assert message in text
    assert not any(word in text for word in ("volcano", "coost", "teg", "S3cret", KEYS[0][0][:12]))


@pytest.mark.parametrize(("text", "password", "key"), STORES)
def test_published_key_stores(text: str, password: bytes, key: str) -> None:
    account = wallet.from_keystore(text, password)
    assert account.key == f"0x{key}"
    assert account.address == ethereum_address(key)
    assert account.mnemonic == ""
    if key == STORED:
        assert account.address.lower() == f"0x{OWNER}"


def test_the_address_that_a_key_store_names() -> None:
    for named in (OWNER, OWNER.upper(), f"0x{OWNER}", ""):
        assert wallet.from_keystore(changed(PBKDF2, address=named), b"testpassword").key == f"0x{STORED}"
    text = refusal(wallet.from_keystore, changed(PBKDF2, address=KEYS[0][1]), b"testpassword")
    assert text.startswith("the address in the key store is not the address of its key: ")


NO_STORE = "not a JSON V3 key store: "


@pytest.mark.parametrize(
    ("text", "password", "message"),
    [
        (PBKDF2, b"wrong-S3cret", "the password does not open the key store: "),
        (PBKDF2, b"", "the password does not open the key store: "),
        (BYTES_31, b"foo\n", "the password does not open the key store: "),
        (changed(PBKDF2, version=4), b"testpassword", "the key store is not of version 3: "),
        (changed(PBKDF2, version=1), b"testpassword", "the key store is not of version 3: "),
        ("", b"", NO_STORE),
        ("0x" + KEYS[0][0], b"", NO_STORE),
        ("[3]", b"", NO_STORE),
        ("{}", b"", NO_STORE),
        ('{"version": 3}', b"", NO_STORE),
        (changed(PBKDF2, crypto={}), b"", NO_STORE),
        (changed(PBKDF2, crypto="S3cret"), b"", NO_STORE),
        (PBKDF2.replace("hmac-sha256", "md5"), b"testpassword", NO_STORE),
        (PBKDF2.replace("pbkdf2", "argon2"), b"testpassword", NO_STORE),
        (PBKDF2.replace('"ciphertext": "53', '"ciphertext": "zz'), b"testpassword", NO_STORE),
    ],
)
def test_wrong_key_stores(text: str, password: bytes, message: str) -> None:
    found = refusal(wallet.from_keystore, text, password)
    assert found.startswith(message)
    assert "S3cret" not in found and KEYS[0][0][:12] not in found


@pytest.mark.parametrize("key", ["", "0x", KEYS[0][0][:-1], "0x" + "0" * 64, "f" * 64, None, 7])
def test_wrong_keys(key: object) -> None:
    assert "the private key is " in refusal(wallet.from_private_key, key)


def test_without_eth_account(monkeypatch) -> None:
    monkeypatch.setattr(wallet, "Mnemonic", None)
    for function, arguments in (
        (wallet.new_account, ()),
        (wallet.from_mnemonic, (TAG,)),
        (wallet.from_keystore, (PBKDF2, b"testpassword")),
    ):
        assert " -m pip install eth-account" in refusal(function, *arguments)
