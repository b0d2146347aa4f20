"""The stranger reaches no guarded port, also after a reboot, and reaches all of them without the guard."""

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


def assert_stranger_is_filtered(fleet: Fleet) -> None:
    """Check that the stranger reaches no guarded endpoint."""
    with routes(fleet):
        assert_all(probe(fleet, published(fleet) + routed(fleet)), "filtered")


def test_guard_filters_the_stranger(fleet: Fleet) -> None:
    """Published ports and routes are filtered with the guard and open without it, over IPv4 and IPv6."""
    with routes(fleet):
        endpoints = published(fleet) + routed(fleet)
        assert len(endpoints) == 8
        assert_all(probe(fleet, endpoints), "filtered")
        with no_guard(fleet):
            assert_all(probe(fleet, endpoints), "open")
        assert_all(probe(fleet, endpoints), "filtered")


def test_agents_are_admitted(fleet: Fleet) -> None:
    """The agents reach the broker's published port."""
    answers = probe(fleet, published(fleet)[:1], "agent-1")
    assert_all(answers, "open")


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("port", [8081, 8880])
def test_rpc_and_admin_are_not_published(fleet: Fleet, family: str, port: int) -> None:
    """Nothing listens on the RPC and admin ports at the host's own addresses, not even for agents."""
    for source in (STRANGER, "agent-1"):
        assert fleet.reach(source, addresses(fleet, NODE)[family], port) != "open"


def test_rpc_answers_on_loopback(fleet: Fleet) -> None:
    """The host itself reaches the RPC."""
    assert fleet.reach(NODE, "127.0.0.1", 8081) == "open"


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_p2p_is_open(fleet: Fleet, family: str) -> None:
    """Every host reaches 40400, TCP and UDP."""
    address = addresses(fleet, NODE)[family]
    assert fleet.reach(STRANGER, address, 40400) == "open"
    before = datagrams(fleet)
    fleet.execute(STRANGER, ["python3", "-c", SEND_UDP, address])
    # A busy machine can lose some of the twenty. If the port is filtered, none arrives.
    wait_for("the datagrams to arrive", lambda: datagrams(fleet) >= before + 10, 15)


def datagrams(fleet: Fleet) -> int:
    """Return the number of UDP datagrams that the node's container has received, over both families."""
    container = fleet.container(NODE, "prover-node")["Name"].strip("/")
    snmp = fleet.execute(NODE, ["docker", "exec", container, "cat", "/proc/net/snmp", "/proc/net/snmp6"]).out
    lines = [line.split() for line in snmp.splitlines()]
    names, values = [line for line in lines if line[0] == "Udp:"]
    six = {line[0]: int(line[1]) for line in lines if len(line) == 2}
    four = {name: int(value) for name, value in zip(names[1:], values[1:])}
    return sum(four[key] + six[f"Udp6{key}"] for key in ("InDatagrams", "InErrors", "NoPorts"))


def test_after_a_reboot(fleet: Fleet) -> None:
    """After a reboot, containers and guard start again, and the same hosts are admitted."""
    fleet.reboot(NODE)
    for service in ("prover-broker", "prover-node"):
        fleet.wait_until_healthy(NODE, service)
    assert fleet.host(NODE).service("aztec-port-guard").is_running
    assert_stranger_is_filtered(fleet)
    test_agents_are_admitted(fleet)
    for family in ("v4", "v6"):
        assert fleet.reach(STRANGER, addresses(fleet, NODE)[family], 40400) == "open"
