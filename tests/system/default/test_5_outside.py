"""The stranger gets in nowhere, after a reboot too, and on each of those ways when the guard is unloaded."""

from __future__ import annotations

import pytest

from tests.system.endpoints import NODE, STRANGER, addresses, assert_all, no_guard, probe, published, routed, routes
from tests.system.fleet import Fleet, wait_for

SEND_UDP = """
import socket, sys
out = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(20):
    out.sendto(b"x" * 64, (sys.argv[1], 40400))
"""


def the_stranger_is_out(fleet: Fleet) -> None:
    """Try every guarded endpoint from the stranger."""
    with routes(fleet):
        assert_all(probe(fleet, published(fleet) + routed(fleet)), "shut")


def test_guarded_and_not(fleet: Fleet) -> None:
    """Shut with the guard, open without it, shut with it again: published ports and routes, IPv4 and IPv6."""
    with routes(fleet):
        endpoints = published(fleet) + routed(fleet)
        assert len(endpoints) == 8
        assert_all(probe(fleet, endpoints), "shut")
        with no_guard(fleet):
            assert_all(probe(fleet, endpoints), "in")
        assert_all(probe(fleet, endpoints), "shut")


def test_agents_are_let_in(fleet: Fleet) -> None:
    """The agents reach the broker's published port."""
    answers = probe(fleet, published(fleet)[:1], "agent-1")
    assert_all(answers, "in")


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("port", [8081, 8880])
def test_rpc_and_admin_are_not_published(fleet: Fleet, family: str, port: int) -> None:
    """Nothing answers for the node's RPC and admin ports at the host's own addresses, for agents neither."""
    for source in (STRANGER, "agent-1"):
        assert fleet.reach(source, addresses(fleet, NODE)[family], port) != "in"


def test_rpc_answers_on_loopback(fleet: Fleet) -> None:
    """The host itself reaches the RPC."""
    assert fleet.reach(NODE, "127.0.0.1", 8081) == "in"


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_p2p_is_open(fleet: Fleet, family: str) -> None:
    """Anybody reaches 40400, TCP and UDP."""
    address = addresses(fleet, NODE)[family]
    assert fleet.reach(STRANGER, address, 40400) == "in"
    before = datagrams(fleet)
    fleet.execute(STRANGER, ["python3", "-c", SEND_UDP, address])
    # A busy machine may lose some of the twenty; of none that is shut out does one arrive.
    wait_for("the datagrams to arrive", lambda: datagrams(fleet) >= before + 10, 15)


def datagrams(fleet: Fleet) -> int:
    """Return how many UDP datagrams the node's container has received, over both families."""
    container = fleet.container(NODE, "prover-node")["Name"].strip("/")
    snmp = fleet.execute(NODE, ["docker", "exec", container, "cat", "/proc/net/snmp", "/proc/net/snmp6"]).out
    lines = [line.split() for line in snmp.splitlines()]
    names, values = [line for line in lines if line[0] == "Udp:"]
    six = {line[0]: int(line[1]) for line in lines if len(line) == 2}
    four = {name: int(value) for name, value in zip(names[1:], values[1:])}
    return sum(four[key] + six[f"Udp6{key}"] for key in ("InDatagrams", "InErrors", "NoPorts"))


def test_after_a_reboot(fleet: Fleet) -> None:
    """After a reboot of the host everything comes back by itself: containers, guard, and who gets in where."""
    fleet.reboot(NODE)
    for service in ("prover-broker", "prover-node"):
        fleet.wait_until_healthy(NODE, service)
    assert fleet.host(NODE).service("aztec-port-guard").is_running
    the_stranger_is_out(fleet)
    test_agents_are_let_in(fleet)
    for family in ("v4", "v6"):
        assert fleet.reach(STRANGER, addresses(fleet, NODE)[family], 40400) == "in"
