# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""IP addresses and host names: how the controller resolves them, and which of several addresses is used."""

from __future__ import annotations

import ipaddress
import re
import socket
from concurrent.futures import ThreadPoolExecutor

LOOPBACK = "127.0.0.1"

# A host name whose last label is a number is read as an IPv4 address, including octal and hexadecimal notation.
_NUMERIC = re.compile(r"(?:\A|\.)(?:[0-9]+|0x[0-9a-f]*)\.?\Z", re.IGNORECASE)


def ip_of(text: object):
    """Return the address object of an IP address, without brackets and zone, or None for other text."""
    try:
        return ipaddress.ip_address(str(text).strip("[]").split("%", 1)[0])
    except ValueError:
        return None


def is_numeric(name: object) -> bool:
    """Return whether text has the form of an IPv4 address, such as 10.0.0.300 or 10.1, and so is not a host name."""
    return bool(_NUMERIC.search(str(name)))


def url_host(host: str) -> str:
    """Return a host as it is written in a URL: an IPv6 address in brackets."""
    found = ip_of(host)
    return f"[{found}]" if found is not None and found.version == 6 else host


def broker_url(host: str, port: int) -> str:
    """Return the URL of a broker."""
    return f"http://{url_host(str(host))}:{int(port)}"


def resolve(name: str) -> list[str]:
    """Return the addresses of a host name, IPv4 first. Raise ValueError if it does not resolve on the controller."""
    found = ip_of(name)
    if found is not None:
        return [str(found)]
    if is_numeric(name):
        raise ValueError("is not an IP address")
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ValueError("does not resolve") from error
    addresses = dict.fromkeys(str(answer[4][0]).split("%", 1)[0] for answer in answers)
    return sorted(addresses, key=lambda address: ip_of(address).version)


def resolve_all(names: list, resolve_one=resolve) -> dict:
    """Resolve names in parallel. Return name -> its addresses, or the ValueError of its resolution."""

    def attempt(name: str):
        found = ip_of(name)
        try:
            return [str(found)] if found else resolve_one(name)
        except ValueError as error:
            return error

    names = list(dict.fromkeys(names))
    with ThreadPoolExecutor(max_workers=32) as pool:
        return dict(zip(names, pool.map(attempt, names)))


def address_name(host: str, variables: dict) -> str:
    """Return the name or address by which the fleet reaches a host: aztec_address, ansible_host, or its own name."""
    return str(variables.get("aztec_address") or variables.get("ansible_host") or host)


def addresses_of(host: str, variables: dict, resolved: dict) -> list[str] | None:
    """Return the addresses of a host, aztec_address6 last, or None if its name does not resolve."""
    found = resolved.get(address_name(host, variables))
    if not isinstance(found, list):
        return None
    six = ip_of(variables.get("aztec_address6"))
    return list(dict.fromkeys([*found, *([str(six)] if six else [])]))


def families(addresses: list[str]) -> set[int]:
    """Return the IP versions of addresses."""
    return {ip_of(one).version for one in addresses}


def route_to_host(addresses: list[str], source: list[str]) -> str | None:
    """Return the first of a host's addresses whose IP version the source also has, or None."""
    return next((one for one in addresses if families([one]) <= families(source)), None)


def published_addresses(wanted: list, own: list) -> list[str]:
    """Return the addresses at which the broker's port is published, loopback first, or [] for all addresses.

    wanted: addresses, or names that the controller resolves. own: the addresses of the host's interfaces. The port is
    published at all addresses if wanted is empty, if it contains 0.0.0.0 or ::, or if none of its addresses is on an
    interface, as with NAT. Raise ValueError for a name that does not resolve.
    """
    try:
        found = [ip_of(address) for name in wanted for address in resolve(str(name))]
    except ValueError as error:
        raise ValueError("a publish address does not resolve on the controller: use an IP address") from error
    if any(address.is_unspecified for address in found):
        return []
    interfaces = {ip_of(address) for address in own}
    bound = [str(address) for address in found if address.is_loopback or address in interfaces]
    return list(dict.fromkeys([LOOPBACK, *bound])) if bound else []


def publications(port: int, wanted: list, own: list) -> list[str]:
    """Return Compose's `ports` of the broker: the port at each of published_addresses."""
    addresses = published_addresses(wanted, own)
    return [f"{url_host(address)}:{port}:{port}" for address in addresses] or [f"{port}:{port}"]
