"""Take other machines' addresses by forged ARP, and speak from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.system.fleet import Fleet, wait_for

# argv: the MAC address and the IPv4 address of the machine that is deceived; the addresses that are claimed.
# Sends it ARP replies, and nobody else, until it is ended.
CLAIM = """
import socket, sys, time
victim, told, *claimed = sys.argv[1:]
own = bytes.fromhex(open("/sys/class/net/eth0/address").read().strip().replace(":", ""))
victim = bytes.fromhex(victim.replace(":", ""))
head = victim + own + bytes.fromhex("0806" "0001080006040002")
frames = [head + own + socket.inet_aton(one) + victim + socket.inet_aton(told) for one in claimed]
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("eth0", 0))
while True:
    for frame in frames:
        wire.send(frame)
    time.sleep(0.05)
"""

# argv: source, destination, port, seconds to wait. Prints what an HTTP client at the source gets (the status of the
# answer, `refused` or `none`) and how many packets came back, TCP and ICMP, on a socket that sees them all.
SPEAK = """
import json, socket, struct, sys
source, destination, port, patience = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
wire.bind(("eth0", 0x0800))
client = socket.socket()
client.settimeout(patience)
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
    # An error holds the head of the packet that it is about.
    about = packet[begin + 8:] if packet[9] == 1 else b""
    refused = len(about) > 23 and about[9] == 6 and struct.unpack_from(">H", about, (about[0] & 15) * 4 + 2)[0] == port
    answered = packet[9] == 6 and struct.unpack_from(">H", packet, begin)[0] == port
    packets += kind != socket.PACKET_OUTGOING and (answered or refused)
print(json.dumps([output, packets]))
"""


def mac_address(fleet: Fleet, name: str) -> str:
    """Return the MAC address of a machine on the lab's network."""
    return fleet.execute(name, ["cat", "/sys/class/net/eth0/address"]).out.strip()


def believed(fleet: Fleet, name: str, address: str) -> str:
    """Return the MAC address under which a machine knows an address at this moment, or ''."""
    words = fleet.execute(name, ["ip", "neigh", "show", address, "dev", "eth0"]).out.split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else ""


@contextmanager
def forging(fleet: Fleet, liar: str, victim: tuple[str, str], taken: list[str], claimed: list[str]) -> Iterator[None]:
    """Let a machine take addresses, and deceive the victim, a name and an address, with ARP for the claimed ones."""
    name, told = victim
    program = [CLAIM, mac_address(fleet, name), told, *claimed]
    for address in taken:
        fleet.execute(liar, ["ip", "address", "add", f"{address}/32", "dev", "eth0"])
    fleet.execute(liar, ["systemd-run", "--quiet", "--collect", "--unit=forging", "python3", "-c", *program])
    try:
        own = mac_address(fleet, liar)
        for address in claimed:
            wait_for(f"{name} to believe in {address}", lambda one=address: believed(fleet, name, one) == own, 10, 0.1)
        yield
    finally:
        fleet.execute(liar, ["systemctl", "stop", "forging"])
        for address in taken:
            fleet.execute(liar, ["ip", "address", "del", f"{address}/32", "dev", "eth0"])


def speak(fleet: Fleet, name: str, source: str, destination: str, port: int = 8080) -> tuple[str, int]:
    """Ask for /status from an address; return what came of it and how many packets came back on eth0 in clear."""
    output = fleet.execute(name, ["python3", "-c", SPEAK, source, destination, str(port), "2"]).out
    answer, packets = json.loads(output)
    return answer, packets
