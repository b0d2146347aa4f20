# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses, routes and listening sockets of a host, and test connections from it."""

from __future__ import annotations

import array
import fcntl
import ipaddress
import os
import socket
import struct
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.files import read_text
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import (
    REQUEST_ERRORS,
    Connection,
    error_text,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable

SIOCGIFCONF = 0x8912
TCP_STATES = {1: "established", 2: "syn_sent", 3: "syn_recv", 4: "fin_wait1", 5: "fin_wait2", 6: "time_wait",
              7: "close", 8: "close_wait", 9: "last_ack", 10: "listen", 11: "closing"}
TIMER_HZ = 100
# Characters of a header that are kept.
MAX_HEADER = 200
# The result of query_status without a response.
NO_STATUS = {"code": None, "body": "", "headers": {}, "error": "", "source": ""}
# Written by prover_broker, so that Docker can publish ports on an address that is added later.
NONLOCAL_BIND_FILE = "etc/sysctl.d/60-aztec-prover.conf"


def decode_address(text: str) -> tuple[str, int]:
    """Return address and port of a field such as 0100007F:1F90 in /proc/net/tcp. Mapped IPv4 is returned as IPv4."""
    host, port = text.split(":")
    words = [int(host[i:i + 8], 16) for i in range(0, len(host), 8)]
    raw = b"".join(struct.pack("<I" if sys.byteorder == "little" else ">I", word) for word in words)
    address = ipaddress.ip_address(raw)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address), int(port, 16)


def parse_sockets(text: str) -> list[dict[str, Any]]:
    """Return the rows of a /proc/net/{tcp,tcp6,udp,udp6} table.

    Local and remote address and port, state, unacknowledged bytes, timer in seconds, retransmits, inode.
    """
    rows = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10:
            continue
        local, remote = decode_address(fields[1]), decode_address(fields[2])
        rows.append({
            "address": local[0], "port": local[1], "remote_address": remote[0], "remote_port": remote[1],
            "state": TCP_STATES.get(int(fields[3], 16), "unknown"),
            "unsent": int(fields[4].split(":")[0], 16),
            "timer": int(fields[5].split(":")[1], 16) / TIMER_HZ,
            "retransmits": int(fields[6], 16),
            "inode": int(fields[9]),
        })
    return rows


def socket_owners(proc: Path, inodes: set[int]) -> dict[int, str]:
    """Return the names of the processes with sockets of these inodes, as far as this user can see them."""
    owners: dict[int, str] = {}
    wanted = {f"socket:[{inode}]": inode for inode in inodes if inode}
    for process in proc.iterdir() if wanted else ():
        if not process.name.isdigit():
            continue
        try:
            links = [os.readlink(entry.path) for entry in os.scandir(process / "fd")]
        except OSError:
            continue
        for link in links:
            if link in wanted:
                owners.setdefault(wanted[link], read_text(process / "comm").strip())
        if len(owners) == len(wanted):
            break
    return owners


def listening(root: Path) -> list[dict[str, Any]]:
    """Return the listening sockets, each with the name of its process ('' where it is not visible)."""
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        protocol = table[:3]
        for row in parse_sockets(read_text(root / "proc/net" / table)):
            # An unconnected UDP socket has state 7 (close).
            if row["state"] == ("listen" if protocol == "tcp" else "close"):
                found.append(dict(row, protocol=protocol))
    owners = socket_owners(root / "proc", {row["inode"] for row in found})
    unique = {(row["protocol"], row["port"], row["address"]): owners.get(row["inode"], "") for row in found}
    return [
        {"protocol": key[0], "address": key[2], "port": key[1], "process": process}
        for key, process in sorted(unique.items())
    ]


def interface_addresses() -> list[tuple[str, str]]:
    """Return (interface, IPv4 address) of every interface that is up."""
    size = 128 * 40
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        buffer = array.array("B", b"\0" * size)
        request = struct.pack("iL", size, buffer.buffer_info()[0])
        length = struct.unpack("iL", fcntl.ioctl(sock.fileno(), SIOCGIFCONF, request))[0]
    raw = buffer.tobytes()[:length]
    step = 40 if struct.calcsize("P") == 8 else 32
    return [
        (raw[i:i + 16].split(b"\0", 1)[0].decode(), socket.inet_ntoa(raw[i + 20:i + 24]))
        for i in range(0, length, step)
    ]


def parse_if_inet6(text: str) -> list[str]:
    """Return the global IPv6 addresses in /proc/net/if_inet6, without those of lo and tentative or failed ones."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 6 and fields[3] == "00" and fields[5] != "lo" and not int(fields[4], 16) & 0x48:
            found.append(str(ipaddress.IPv6Address(int(fields[0], 16))))
    return found


def addresses(root: Path) -> list[str]:
    """Return the host's addresses, IPv4 first, without loopback and link-local ones."""
    try:
        v4 = [address for name, address in interface_addresses() if name != "lo"]
    except OSError:
        v4 = []
    kept = [address for address in v4 if not ipaddress.ip_address(address).is_link_local]
    return list(dict.fromkeys(kept + parse_if_inet6(read_text(root / "proc/net/if_inet6"))))


def interfaces(root: Path) -> list[str]:
    """Return the names of the host's network interfaces."""
    return sorted(entry.name for entry in (root / "sys/class/net").glob("*"))


def parse_routes(text: str) -> list[dict[str, Any]]:
    """Return the routes in /proc/net/route, sorted by preference, without those that reject packets."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[0] == "*":
            continue
        network, gateway, mask = (decode_address(f"{fields[index]}:0")[0] for index in (1, 2, 7))
        network = str(ipaddress.ip_network(f"{network}/{mask}", strict=False))
        route = {"network": network, "gateway": "" if gateway == "0.0.0.0" else gateway, "interface": fields[0]}
        found.append((int(fields[6]), route))
    return [route for _metric, route in sorted(found, key=lambda one: one[0])]


def parse_ipv6_routes(text: str) -> list[dict[str, Any]]:
    """Return the routes in /proc/net/ipv6_route, without those to hosts, link-local and multicast addresses."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 10 or fields[9] == "lo" or int(fields[1], 16) > 127:
            continue
        network = ipaddress.IPv6Network((int(fields[0], 16), int(fields[1], 16)), strict=False)
        if network.is_link_local or network.is_multicast:
            continue
        gateway = ipaddress.IPv6Address(int(fields[4], 16))
        route = {"network": str(network), "gateway": str(gateway) if int(gateway) else "", "interface": fields[9]}
        found.append((int(fields[5], 16), route))
    return [route for _metric, route in sorted(found, key=lambda one: one[0])]


def interface_mtu(root: Path, interface: str) -> int:
    """Return the MTU of an interface, 0 for unknown."""
    text = read_text(root / "sys/class/net" / interface / "mtu").strip()
    return int(text) if text.isdigit() else 0


def routes(root: Path) -> list[dict[str, Any]]:
    """Return the host's routes, IPv4 first: network, gateway ('' for none), interface and its mtu (0 for unknown)."""
    found = parse_routes(read_text(root / "proc/net/route"))
    found += parse_ipv6_routes(read_text(root / "proc/net/ipv6_route"))
    return [{**route, "mtu": interface_mtu(root, route["interface"])} for route in found]


def name_servers(root: Path) -> list[str]:
    """Return the addresses of the host's name servers, including those of systemd-resolved."""
    files = ("etc/resolv.conf", "run/systemd/resolve/resolv.conf")
    lines = [line.split() for file in files for line in read_text(root / file).splitlines()]
    return list(dict.fromkeys(line[1] for line in lines if len(line) > 1 and line[0] == "nameserver"))


def nonlocal_bind(root: Path) -> bool:
    """Return whether sockets can bind to addresses that the host does not have, now and after a reboot."""
    settings = [root / f"proc/sys/net/{family}/ip_nonlocal_bind" for family in ("ipv4", "ipv6")]
    now = all(read_text(setting).strip() == "1" for setting in settings if setting.exists())
    return now and (root / NONLOCAL_BIND_FILE).is_file()


def source_address(host: str, port: int = 9) -> str:
    """Return the source address for connections to a host, '' without a route. Send nothing."""
    try:
        family, kind, _proto, _name, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as sock:
            sock.connect(target)
            return sock.getsockname()[0]
    except OSError:
        return ""


def default_address() -> str:
    """Return the source address of the default route, IPv4 before IPv6, '' for none."""
    return source_address("192.0.2.1") or source_address("2001:db8::1")


def query_status(host: str, port: int, seconds: float) -> dict[str, Any]:
    """Return the response to GET /status: code (None without a response), beginning of the body, headers, error.

    headers: only x-aztec-*. source: the local address of the connection.
    """
    with closing(Connection(host, port, seconds)) as connection:
        try:
            response = connection.request("GET", "/status", limit=2000, truncate=True)
        except REQUEST_ERRORS as error:
            return {**NO_STATUS, "error": error_text(error), "source": connection.source}
    headers = {name: value for name, value in response.headers.items() if name.startswith("x-aztec-")}
    return {
        "code": response.status,
        "body": printable(response.body.decode(errors="replace"), 300),
        "headers": {name: printable(value[:MAX_HEADER]) for name, value in headers.items()},
        "error": "",
        "source": connection.source,
    }


def try_connection(host: str, port: int, seconds: float) -> dict[str, Any]:
    """Connect to a port, send GET /status, and return whether the status is 200, with the local address (source)."""
    host = host.strip("[]")
    found = query_status(host, port, seconds)
    status = found["code"]
    return {
        "host": host,
        "port": port,
        "ok": status == 200,
        "status": status,
        "source": found["source"] or source_address(host, port),
        "error": found["error"] or ("" if status == 200 else f"returns {status} for /status"),
    }
