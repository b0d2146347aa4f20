# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fingerprints of OpenPGP public keys, computed as RFC 9580 says: a key is checked before anything trusts it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

PUBLIC_KEY = 6
SECRET_KEYS = (5, 7)
BLOCK = re.compile(
    r"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(.*?)\r?\n-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL
)


def dearmor(text: str) -> list[bytes]:
    """Give the bytes of each armoured public key block of a text. ValueError where there is none or one is broken."""
    blocks = []
    for match in BLOCK.finditer(text):
        _headers, sep, body = match.group(1).replace("\r", "").partition("\n\n")
        lines = [line.strip() for line in (body if sep else match.group(1)).splitlines()]
        data = "".join(line for line in lines if not re.match(r"=[A-Za-z0-9+/]{4}$", line))
        try:
            blocks.append(base64.b64decode(data, validate=True))
        except binascii.Error as error:
            raise ValueError("the key's armour is broken") from error
    if not blocks:
        raise ValueError("it holds no OpenPGP public key block")
    return blocks


def packets(data: bytes) -> list[tuple[int, bytes]]:
    """Give (tag, body) of each OpenPGP packet. ValueError for what is cut off, or of a length not used in keys."""
    found, at = [], 0
    while at < len(data):
        head = data[at]
        at += 1
        if not head & 0x80:
            raise ValueError("it is no OpenPGP packet")
        if head & 0x40:
            tag, first = head & 0x3F, data[at:at + 1]
            if not first:
                raise ValueError("the key is cut off")
            if first[0] < 192:
                length, at = first[0], at + 1
            elif first[0] < 224:
                length, at = ((first[0] - 192) << 8) + int.from_bytes(data[at + 1:at + 2], "big") + 192, at + 2
            elif first[0] == 255:
                length, at = int.from_bytes(data[at + 1:at + 5], "big"), at + 5
            else:
                raise ValueError("the key has a packet of partial length")
        else:
            tag, kind = (head >> 2) & 0x0F, head & 3
            if kind == 3:
                raise ValueError("the key has a packet of unknown length")
            size = 1 << kind
            length, at = int.from_bytes(data[at:at + size], "big"), at + size
        if at + length > len(data):
            raise ValueError("the key is cut off")
        found.append((tag, data[at:at + length]))
        at += length
    return found


def openpgp_fingerprints(text: str) -> list[str]:
    """Give the fingerprints of all primary keys in an armoured text, in capitals, as many as there are.

    Subkeys are left out: what trusts them is a signature of their primary key. ValueError where the text holds no key,
    one that is broken, a secret one, or one of a version other than 4.
    """
    found = []
    for block in dearmor(text):
        for tag, body in packets(block):
            if tag in SECRET_KEYS:
                raise ValueError("it holds a secret key")
            if tag != PUBLIC_KEY:
                continue
            if body[:1] != b"\x04":
                raise ValueError("it holds a key of a version other than 4")
            digest = hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False)
            found.append(digest.hexdigest().upper())
    if not found:
        raise ValueError("it holds no primary key")
    return found


def is_key_of(text: str, fingerprint: str) -> bool:
    """Whether the text is the one key of this fingerprint (spaces and case do not matter) and of no other."""
    wanted = re.sub(r"\s", "", fingerprint).upper()
    try:
        return set(openpgp_fingerprints(text)) == {wanted}
    except ValueError:
        return False
