# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fingerprints of keys that GnuPG made, and everything that must not pass for a key."""

from __future__ import annotations

import base64

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.openpgp import is_key_of, openpgp_fingerprints

# gpg --quick-gen-key 'Test key one' ed25519
ONE = "B5D1D084E25088E7A1960FAEBE5CDEDFE095E660"
ONE_KEY = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawO6bhYJKwYBBAHaRw8BAQdAlCCalbIc0Va/hqbSXKD7tuDHMpNiYs8Kmn76
IsyjMSW0HlRlc3Qga2V5IG9uZSA8b25lQGV4YW1wbGUub3JnPoiQBBMWCAA4FiEE
tdHQhOJQiOehlg+uvlze3+CV5mAFAmsDum4CGwMFCwkIBwIGFQoJCAsCBBYCAwEC
HgECF4AACgkQvlze3+CV5mC77QEAmx1s7HstoLa7r0Aiya64hUeMtPHIiFye/dzT
RxSNY+QBAMFMMU2Pc9ciNEptEejJTwQiOCHc96/nG/JwiPM+pwoCuDgEawO6bxIK
KwYBBAGXVQEFAQEHQErGUkjYxJWMGqglsaCAt24jxQ+Fus52DcEMa9obiw5aAwEI
B4h4BBgWCAAgFiEEtdHQhOJQiOehlg+uvlze3+CV5mAFAmsDum8CGwwACgkQvlze
3+CV5mDpjwEAiLRtj53/ofqWqvILiVE0YfnnmzTCeW/RMEoXOosB/zwBALOaMKFo
iAY3tElcUhGkQfigxYOwct4JMBfEk4d3kU8J
=HeGV
-----END PGP PUBLIC KEY BLOCK-----
"""
# gpg --quick-gen-key 'Test key two' ed25519
TWO = "53FE996454E4C050CD715D44A17083859652F8D1"
TWO_KEY = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawO6bhYJKwYBBAHaRw8BAQdAWyQU1/yOhsssojE5ci2cDDPoJBa3jgXx7Qhi
dwpFT9m0HlRlc3Qga2V5IHR3byA8dHdvQGV4YW1wbGUub3JnPoiQBBMWCAA4FiEE
U/6ZZFTkwFDNcV1EoXCDhZZS+NEFAmsDum4CGwMFCwkIBwIGFQoJCAsCBBYCAwEC
HgECF4AACgkQoXCDhZZS+NHRRQD/dPriInTSjghDphTyrDrRSMRlaS8iqBMwIHVY
hKhWJ64BAK3IJZ2FDmqX1PjJrkcCeP9T7VFoSWKvk6yJs4+yNXIB
=eE/L
-----END PGP PUBLIC KEY BLOCK-----
"""


def armour(*packets: bytes) -> str:
    """Give packets as an armoured public key block."""
    body = base64.encodebytes(b"".join(packets)).decode()
    return f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{body}-----END PGP PUBLIC KEY BLOCK-----\n"


def packet(tag: int, body: bytes) -> bytes:
    """Give a packet of the new format."""
    return bytes([0xC0 | tag, len(body)]) + body


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (ONE_KEY, [ONE]),
        (TWO_KEY, [TWO]),
        (ONE_KEY + TWO_KEY, [ONE, TWO]),
        (ONE_KEY.replace("\n", "\r\n"), [ONE]),
        ("some words\n" + ONE_KEY + "more words", [ONE]),
        (ONE_KEY.replace("BLOCK-----\n\n", "BLOCK-----\nComment: made up\n\n", 1), [ONE]),
    ],
)
def test_fingerprints(text, wanted):
    """As GnuPG tells them; subkeys do not count."""
    assert openpgp_fingerprints(text) == wanted


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no OpenPGP"),
        ("<html>404</html>", "no OpenPGP"),
        (ONE_KEY[:200], "no OpenPGP"),
        (ONE_KEY.replace("\n", "\n!", 3), "broken"),
        (armour(b"\x98"), "cut off"),
        (armour(b"\x98\x33\x04"), "cut off"),
        (armour(b"\xc6"), "cut off"),
        (armour(b"\x00\x01"), "no OpenPGP packet"),
        (armour(packet(13, b"somebody")), "no primary key"),
        (armour(packet(5, b"\x04secret")), "secret key"),
        (armour(packet(6, b"\x06new")), "version other than 4"),
        (armour(packet(6, b"\x03old")), "version other than 4"),
        (armour(bytes([0xC6, 225]) + b"\x04"), "partial length"),
        (armour(bytes([0x9B]) + b"\x04"), "unknown length"),
    ],
)
def test_no_key(text, word):
    """What is no whole public key is told in one line, and is never the key that was asked for."""
    with pytest.raises(ValueError, match=word):
        openpgp_fingerprints(text)
    assert not is_key_of(text, ONE)


@pytest.mark.parametrize(
    ("text", "fingerprint", "wanted"),
    [
        (ONE_KEY, ONE, True),
        (ONE_KEY, ONE.lower(), True),
        (ONE_KEY, " ".join(ONE[i:i + 4] for i in range(0, 40, 4)), True),
        (ONE_KEY + ONE_KEY, ONE, True),
        (ONE_KEY, TWO, False),
        # A second key beside the right one would be trusted as much.
        (ONE_KEY + TWO_KEY, ONE, False),
        (ONE_KEY, ONE[-16:], False),
        (ONE_KEY, "", False),
    ],
)
def test_is_key_of(text, fingerprint, wanted):
    """The one key and no other, by its whole fingerprint."""
    assert is_key_of(text, fingerprint) is wanted
