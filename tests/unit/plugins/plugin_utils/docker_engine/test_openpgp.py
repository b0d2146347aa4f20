# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys of GnuPG stay as they are, and no form of armor or packet adds a second key."""

from __future__ import annotations

import base64
import zlib

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.openpgp import (
    armor,
    checked_key,
    packet,
    packets,
    trusted_key,
)

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


BEGIN, END = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"
MARKED = "\N{ZERO WIDTH NO-BREAK SPACE}"


def data_of(text: str) -> bytes:
    """Return the bytes of a key of this file."""
    return base64.b64decode("".join(text.splitlines()[2:-2]))


ONE_DATA, TWO_DATA = data_of(ONE_KEY), data_of(TWO_KEY)
ONE_BODY = packets(ONE_DATA)[0][1]


def new_packet(tag: int, body: bytes) -> bytes:
    """Return a packet of the new format with the shortest header."""
    length = len(body)
    if length < 192:
        header = bytes([length])
    elif length < 8384:
        header = bytes([((length - 192) >> 8) + 192, (length - 192) & 0xFF])
    else:
        header = b"\xff" + length.to_bytes(4, "big")
    return bytes([0xC0 | tag]) + header + body


def five_octets(tag: int, body: bytes) -> bytes:
    """Return a packet of the new format with the longest header."""
    return bytes([0xC0 | tag, 0xFF]) + len(body).to_bytes(4, "big") + body


def rewritten(data: bytes, write) -> bytes:
    """Return the same packets with other headers."""
    return b"".join(write(tag, body) for tag, body in packets(data))


SAME = {
    "as GnuPG writes it": ONE_KEY,
    "CRLF": ONE_KEY.replace("\n", "\r\n"),
    "blanks around": f"\n\n  {ONE_KEY}\n \n",
    "no newline at the end": ONE_KEY.rstrip(),
    "indented": "".join(f"  {line} \t\n" for line in ONE_KEY.splitlines()),
    "headers": ONE_KEY.replace("\n\n", "\nVersion: GnuPG v2\nComment:\n\n"),
    "no blank line": ONE_KEY.replace("\n\n", "\n"),
    "no checksum": ONE_KEY.replace("=HeGV\n", ""),
    "wrong checksum": ONE_KEY.replace("=HeGV\n", "=AAAA\n"),
    "one line": f"{BEGIN}\n\n{base64.b64encode(ONE_DATA).decode()}\n{END}",
    "headers of the new format": armor(rewritten(ONE_DATA, new_packet)),
    "headers of five octets": armor(rewritten(ONE_DATA, five_octets)),
    "marker before": armor(packet(10, b"PGP") + ONE_DATA),
    "padding after": armor(ONE_DATA + packet(21, bytes(300))),
    "trust packets": armor(ONE_DATA + packet(12, b"\x00\x00")),
    # Other programs read the keys in these.
    "second key compressed": armor(ONE_DATA + packet(8, b"\x02" + zlib.compress(TWO_DATA))),
    "second key compressed before": armor(packet(8, b"\x00" + TWO_DATA) + ONE_DATA),
    "second key in literal data": armor(ONE_DATA + packet(11, b"b\x00\x00\x00\x00\x00" + TWO_DATA)),
    "second key in an unknown packet": armor(ONE_DATA + packet(60, TWO_DATA)),
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_the_result_is_only_the_key(text: str) -> None:
    """In any form and with anything next to it: byte for byte what GnuPG exports of only this key."""
    assert trusted_key(text, ONE) == ONE_KEY


@pytest.mark.parametrize("length", [191, 192, 255, 256, 8383, 8384, 65535, 65536])
def test_packets_of_all_lengths(length: int) -> None:
    """User attributes, which may be pictures, are complete with each form of header."""
    for tag, writes in ((17, (new_packet, five_octets)), (13, (packet, new_packet, five_octets))):
        for write in writes:
            text = trusted_key(armor(packet(6, ONE_BODY) + write(tag, b"x" * length)), ONE)
            assert packets(base64.b64decode("".join(text.splitlines()[2:-2]))) == [(6, ONE_BODY), (tag, b"x" * length)]


@pytest.mark.parametrize(
    ("tag", "length", "header"),
    [
        (13, 255, b"\xb4\xff"),
        (13, 256, b"\xb5\x01\x00"),
        (13, 65535, b"\xb5\xff\xff"),
        (13, 65536, b"\xb6\x00\x01\x00\x00"),
        (15, 1, b"\xbc\x01"),
        (17, 1, b"\xd1\xff\x00\x00\x00\x01"),
    ],
)
def test_headers(tag: int, length: int, header: bytes) -> None:
    """Use the shortest old format, or the new one if the old one does not have the tag."""
    assert packet(tag, bytes(length)) == header + bytes(length)


NOT_ONE, BROKEN, NOT_PRIMARY = "not exactly one armored", "armor is broken", "exactly one primary key"
REFUSED = {
    "nothing": ("", NOT_ONE),
    "a page": ("<html>404</html>", NOT_ONE),
    "binary": (ONE_DATA.decode("latin-1"), NOT_ONE),
    "cut": (ONE_KEY[:200], NOT_ONE),
    "words before": (f"some words\n{ONE_KEY}", NOT_ONE),
    "words after": (f"{ONE_KEY}some words\n", NOT_ONE),
    "invisible word before": (MARKED + ONE_KEY, NOT_ONE),
    "same key twice": (ONE_KEY * 2, NOT_ONE),
    "another kind of block": (ONE_KEY.replace("PUBLIC KEY BLOCK", "MESSAGE"), NOT_ONE),
    "lower case": (ONE_KEY.replace("BEGIN", "begin"), NOT_ONE),
    "four dashes": (ONE_KEY.replace(BEGIN, BEGIN[1:]), NOT_ONE),
    "words behind the dashes": (ONE_KEY.replace(BEGIN, f"{BEGIN} x"), NOT_ONE),
    "quoted": (ONE_KEY.replace("\n", "\n> ").replace(BEGIN, f"> {BEGIN}"), NOT_ONE),
    "line that is not base64": (ONE_KEY.replace("\n", "\n!", 3), BROKEN),
    "line of other letters": (ONE_KEY.replace("=HeGV", "\N{CYRILLIC SMALL LETTER A}"), BROKEN),
    "checksum in the middle": (ONE_KEY.replace("\nIsyj", "\n=AAAA\nIsyj"), BROKEN),
    "header in the middle": (ONE_KEY.replace("\nIsyj", "\nComment: x\nIsyj"), BROKEN),
    "packet without length": (armor(b"\x98"), "cut off"),
    "packet without body": (armor(b"\x98\x33\x04"), "cut off"),
    "new packet without length": (armor(b"\xc6"), "cut off"),
    "new packet without body": (armor(b"\xc6\x33\x04"), "cut off"),
    "last packet cut": (armor(ONE_DATA[:-1]), "cut off"),
    "no packet": (armor(b"\x00\x01"), "not an OpenPGP packet"),
    "partial length": (armor(bytes([0xC6, 225]) + b"\x04"), "partial length"),
    "one byte of partial length": (armor(bytes([0xC6, 224]) + b"\x04"), "partial length"),
    "unknown length": (armor(bytes([0x9B]) + b"\x04"), "unknown length"),
    "empty block": (armor(b""), NOT_PRIMARY),
    "only a user ID": (armor(packet(13, b"somebody")), NOT_PRIMARY),
    "user ID before the key": (armor(packet(13, b"somebody") + ONE_DATA), NOT_PRIMARY),
    "second primary key": (armor(ONE_DATA + TWO_DATA), NOT_PRIMARY),
    "second primary key before": (armor(TWO_DATA + ONE_DATA), NOT_PRIMARY),
    "same primary key twice": (armor(ONE_DATA * 2), NOT_PRIMARY),
    "secret key": (armor(packet(5, b"\x04secret")), "secret key"),
    "secret subkey": (armor(ONE_DATA + packet(7, b"\x04secret")), "secret key"),
    "version 6": (armor(packet(6, b"\x06new")), "version 4"),
    "version 3": (armor(packet(6, b"\x03old")), "version 4"),
    "no version": (armor(packet(6, b"")), "version 4"),
    "too long": (armor(packet(6, b"\x04" + bytes(1 << 16))), "version 4"),
    "other key": (TWO_KEY, f"its fingerprint is {TWO}, not {ONE}"),
    "key with one bit changed": (armor(packet(6, ONE_BODY[:-1] + b"\xb4")), "its fingerprint is"),
}


@pytest.mark.parametrize(("text", "word"), REFUSED.values(), ids=REFUSED)
def test_refused(text: str, word: str) -> None:
    """Anything else is rejected with one line, without a result."""
    with pytest.raises(ValueError, match=word):
        trusted_key(text, ONE)
    checked = checked_key(text, ONE)
    assert checked["key"] == ""
    assert word in checked["problem"]
    assert "\n" not in checked["problem"]


# Forms of a block that some verifiers of apt read, as the test with the real apt shows.
HIDDEN = {
    "blank behind the dashes": TWO_KEY.replace(BEGIN, f"{BEGIN} "),
    "tab behind the dashes": TWO_KEY.replace(BEGIN, f"{BEGIN}\t"),
    "word behind the dashes": TWO_KEY.replace(BEGIN, f"{BEGIN} x"),
    "blank before the dashes": TWO_KEY.replace(BEGIN, f" {BEGIN}"),
    "blank before the last dashes": TWO_KEY.replace(END, f" {END}"),
    "six dashes": TWO_KEY.replace(BEGIN, f"-{BEGIN}-"),
    "four dashes": TWO_KEY.replace(BEGIN, BEGIN[:-1]),
    "message": TWO_KEY.replace("PUBLIC KEY BLOCK", "MESSAGE"),
    "private key": TWO_KEY.replace("PUBLIC", "PRIVATE"),
    "some other block": TWO_KEY.replace("PGP PUBLIC KEY BLOCK", "X"),
    "no end": TWO_KEY.replace(END, ""),
    "other end": TWO_KEY.replace(END, "-----END X-----"),
    "carriage returns": TWO_KEY.replace("\n", "\r"),
}


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("place", ["before", "after", "inside"])
def test_hidden_second_key(hidden: str, place: str) -> None:
    """Reject a second key before, after or inside the block of the right one, in each of these forms."""
    text = {
        "before": hidden + ONE_KEY,
        "after": ONE_KEY + hidden,
        "inside": ONE_KEY.replace("\n\n", f"\n{hidden}\n"),
    }[place]
    with pytest.raises(ValueError, match=f"{NOT_ONE}|{BROKEN}"):
        trusted_key(text, ONE)


@pytest.mark.parametrize(
    ("fingerprint", "accepted"),
    [
        (ONE, True),
        (ONE.lower(), True),
        (" ".join(ONE[i:i + 4] for i in range(0, 40, 4)), True),
        (TWO, False),
        (ONE[-16:], False),
        (ONE[:-1], False),
        ("", False),
    ],
)
def test_fingerprint(fingerprint: str, accepted: bool) -> None:
    """The whole fingerprint counts; blanks and case do not."""
    checked = checked_key(ONE_KEY, fingerprint)
    assert (checked["key"] == ONE_KEY) is accepted
    assert (checked["problem"] == "") is accepted
