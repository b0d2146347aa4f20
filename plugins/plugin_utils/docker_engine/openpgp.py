# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An OpenPGP public key, checked by its fingerprint and encoded again (RFC 4880, RFC 9580).

Programs differ in the armor and the packets that they read or ignore. Therefore the result is not the checked text, but
what this parser read from it.
"""

from __future__ import annotations

import base64
import hashlib
import re

BEGIN, END = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"
HEADER = re.compile(r"[A-Za-z]+:( .*)?")
CHECKSUM = re.compile(r"=[A-Za-z0-9+/]{4}")
LINE_WIDTH = 64

PUBLIC_KEY = 6
SECRET_KEYS = (5, 7)
# Signature, public key, user ID, public subkey, user attribute: RFC 9580, 10.1
CERTIFICATE_TAGS = (2, PUBLIC_KEY, 13, 14, 17)


def dearmor(text: str) -> bytes:
    """Return the bytes of the one armored public key block that the text consists of.

    The checksum is not compared, since the fingerprint is. Raise ValueError for anything but one block and blanks.
    """
    lines = [line.strip() for line in text.strip().split("\n")]
    if (lines[0], lines[-1]) != (BEGIN, END) or sum(line.startswith("-----") for line in lines) != 2:
        raise ValueError("it is not exactly one armored OpenPGP public key block")
    body = lines[1:-1]
    while body and HEADER.fullmatch(body[0]):
        del body[0]
    if body and CHECKSUM.fullmatch(body[-1]):
        del body[-1]
    try:
        return base64.b64decode("".join(body), validate=True)
    except ValueError as error:
        raise ValueError("its armor is broken") from error


def armor(data: bytes) -> str:
    """Return the armored public key block of these bytes, as GnuPG writes it: 64 columns and a checksum."""
    text = base64.b64encode(data).decode()
    lines = [text[start:start + LINE_WIDTH] for start in range(0, len(text), LINE_WIDTH)]
    checksum = base64.b64encode(crc24(data).to_bytes(3, "big")).decode()
    return "\n".join([BEGIN, "", *lines, f"={checksum}", END, ""])


def crc24(data: bytes) -> int:
    """Return the checksum of armor: RFC 4880, 6.1."""
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _bit in range(8):
            crc = crc << 1 ^ (0x1864CFB if crc & 0x800000 else 0)
    return crc


def packets(data: bytes) -> list[tuple[int, bytes]]:
    """Return (tag, body) of each OpenPGP packet. Raise ValueError if one is cut off or has no fixed length."""
    found, at = [], 0
    while at < len(data):
        head = data[at]
        at += 1
        if not head & 0x80:
            raise ValueError("it holds something that is not an OpenPGP packet")
        if head & 0x40:
            tag, first = head & 0x3F, data[at:at + 1]
            if not first:
                raise ValueError("it is cut off")
            if first[0] < 192:
                length, at = first[0], at + 1
            elif first[0] < 224:
                length, at = ((first[0] - 192) << 8) + int.from_bytes(data[at + 1:at + 2], "big") + 192, at + 2
            elif first[0] == 255:
                length, at = int.from_bytes(data[at + 1:at + 5], "big"), at + 5
            else:
                raise ValueError("it has a packet of partial length")
        else:
            tag, kind = (head >> 2) & 0x0F, head & 3
            if kind == 3:
                raise ValueError("it has a packet of unknown length")
            size = 1 << kind
            length, at = int.from_bytes(data[at:at + size], "big"), at + size
        if at + length > len(data):
            raise ValueError("it is cut off")
        found.append((tag, data[at:at + length]))
        at += length
    return found


def packet(tag: int, body: bytes) -> bytes:
    """Return an OpenPGP packet. For tags below 16 its header is GnuPG's: of the old format, as short as possible."""
    length = len(body)
    if tag > 15:
        return bytes([0xC0 | tag, 255]) + length.to_bytes(4, "big") + body
    kind = 0 if length < 1 << 8 else 1 if length < 1 << 16 else 2
    return bytes([0x80 | tag << 2 | kind]) + length.to_bytes(1 << kind, "big") + body


def key_fingerprint(body: bytes) -> str:
    """Return the fingerprint of a public key packet, 40 capital hex digits.

    Raise ValueError if its version is not 4, or if it is longer than the 65,535 bytes that this version can have.
    """
    if body[:1] != b"\x04" or len(body) >= 1 << 16:
        raise ValueError("it is not a key of version 4")
    return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False).hexdigest().upper()


def trusted_key(text: str, fingerprint: str) -> str:
    """Return the key with this fingerprint as an armored block with nothing else.

    text: the fetched text, which must be exactly that key. fingerprint: 40 hex digits. Blanks and case are ignored.
    Its subkeys are kept: a verifier accepts a subkey only if the primary key has signed it. Packets that do not belong
    to a public key are omitted. Raise ValueError for everything else. Its text continues "the key is rejected: ...".
    """
    found = packets(dearmor(text))
    if any(tag in SECRET_KEYS for tag, _body in found):
        raise ValueError("it holds a secret key")
    kept = [(tag, body) for tag, body in found if tag in CERTIFICATE_TAGS]
    if [tag for tag, _body in kept].count(PUBLIC_KEY) != 1 or kept[0][0] != PUBLIC_KEY:
        raise ValueError("it does not hold exactly one primary key")
    actual, wanted = key_fingerprint(kept[0][1]), re.sub(r"\s", "", fingerprint).upper()
    if actual != wanted:
        raise ValueError(f"its fingerprint is {actual}, not {wanted}")
    return armor(b"".join(packet(tag, body) for tag, body in kept))


def checked_key(text: str, fingerprint: str) -> dict[str, str]:
    """Return {key, problem} of trusted_key: the armored key, or '' and the reason, in one line, why it is rejected."""
    try:
        return {"key": trusted_key(text, fingerprint), "problem": ""}
    except ValueError as error:
        return {"key": "", "problem": str(error)}
