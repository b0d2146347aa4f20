"""The endpoints that the stranger tries to reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from lab.fleet import hosts
from tests.system.fleet import Fleet

STRANGER = "stranger"
NODE = "node-1"
# Ports inside the containers of node and broker. Only the broker's 8080 is published on addresses other than loopback.
INSIDE = {"prover-broker": (8080,), "prover-node": (8081, 8880)}


@dataclass(frozen=True)
class Endpoint:
    """An address and a port."""

    label: str
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.label} [{self.address}]:{self.port}"


def addresses(fleet: Fleet, name: str) -> dict[str, str]:
    """Return a machine's addresses by family."""
    machine = fleet.machines[name]
    both = {"v4": machine.address, "v6": machine.address6}
    return {family: address for family, address in both.items() if address is not None}


def published(fleet: Fleet, name: str = NODE, port: int = 8080) -> list[Endpoint]:
    """Return the broker's published port on its host's own addresses."""
    return [Endpoint(f"published {family}", address, port) for family, address in addresses(fleet, name).items()]


def routed(fleet: Fleet, name: str = NODE, inside: Mapping[str, tuple[int, ...]] = INSIDE) -> list[Endpoint]:
    """Return the ports of the containers at the containers' own addresses, by service."""
    return [
        Endpoint(f"route to {service} {family}", address, port)
        for service, ports in inside.items()
        for family, (address, _subnet) in fleet.container_addresses(name, service).items()
        for port in ports
    ]


@contextmanager
def routes(fleet: Fleet, name: str = NODE, service: str = "prover-broker") -> Iterator[None]:
    """Add routes through the host to its container network on the stranger, as an attacker would."""
    via = addresses(fleet, name)
    found = fleet.container_addresses(name, service)
    subnets = {family: subnet for family, (_, subnet) in found.items() if family in via}
    for family, subnet in subnets.items():
        hosts.add_route(fleet.client, STRANGER, subnet, via[family])
    try:
        yield
    finally:
        for subnet in subnets.values():
            hosts.drop_route(fleet.client, STRANGER, subnet)


@contextmanager
def forwarding(fleet: Fleet, name: str) -> Iterator[None]:
    """Forward IPv6 packets on a host by default. Engines with IPv6 rules drop them, others do not."""
    fleet.execute(name, "ip6tables -P FORWARD ACCEPT")
    try:
        yield
    finally:
        fleet.execute(name, "ip6tables -P FORWARD DROP")


@contextmanager
def no_guard(fleet: Fleet, name: str = NODE) -> Iterator[None]:
    """Remove a host's guard temporarily, as root can."""
    tables = "; ".join(f"delete table {family} aztec_prover" for family in ("inet", "bridge"))
    fleet.execute(name, f"systemctl stop aztec-port-guard && nft '{tables}'")
    try:
        yield
    finally:
        fleet.execute(name, "systemctl start aztec-port-guard")


def probe(fleet: Fleet, endpoints: list[Endpoint], source: str = STRANGER) -> dict[str, str]:
    """Try each endpoint from a machine, and return the results."""
    return {str(endpoint): fleet.reach(source, endpoint.address, endpoint.port) for endpoint in endpoints}


def assert_all(answers: dict[str, str], wanted: str) -> None:
    """Assert that all results are the expected one."""
    assert answers
    assert {endpoint: answer for endpoint, answer in answers.items() if answer != wanted} == {}
