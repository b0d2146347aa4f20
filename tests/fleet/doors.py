"""The ways by which a stranger could come in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab.fleet import hosts
from tests.fleet.fleet import Fleet

STRANGER = "stranger"
NODE = "node-1"
# What listens inside the node's and the broker's containers; only the broker's 8080 is published beyond loopback.
INSIDE = {"prover-broker": (8080,), "prover-node": (8081, 8880)}


@dataclass(frozen=True)
class Door:
    """One address and port to try."""

    way: str
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.way} [{self.address}]:{self.port}"


def addresses(fleet: Fleet, name: str) -> dict[str, str]:
    """Give a machine's addresses by family."""
    machine = fleet.machines[name]
    assert machine.address6 is not None
    return {"v4": machine.address, "v6": machine.address6}


def published(fleet: Fleet) -> list[Door]:
    """Give the broker's published port on the host's own addresses."""
    return [Door(f"published {family}", address, 8080) for family, address in addresses(fleet, NODE).items()]


def routed(fleet: Fleet) -> list[Door]:
    """Give the containers' own ports at the containers' own addresses."""
    return [
        Door(f"route to {service} {family}", address, port)
        for service, ports in INSIDE.items()
        for family, (address, _subnet) in fleet.container_addresses(NODE, service).items()
        for port in ports
    ]


@contextmanager
def routes(fleet: Fleet) -> Iterator[None]:
    """Give the stranger routes to the containers' networks by way of their host, as a bad neighbour takes them."""
    via = addresses(fleet, NODE)
    subnets = {family: subnet for family, (_, subnet) in fleet.container_addresses(NODE, "prover-broker").items()}
    assert set(subnets) == {"v4", "v6"}
    for family, subnet in subnets.items():
        hosts.add_route(fleet.client, STRANGER, subnet, via[family])
    try:
        yield
    finally:
        for subnet in subnets.values():
            hosts.drop_route(fleet.client, STRANGER, subnet)


@contextmanager
def no_guard(fleet: Fleet) -> Iterator[None]:
    """Unload the guard of the node's host for a while."""
    fleet.execute(NODE, "systemctl stop aztec-port-guard")
    try:
        yield
    finally:
        fleet.execute(NODE, "systemctl start aztec-port-guard")


def tried(fleet: Fleet, doors: list[Door], source: str = STRANGER) -> dict[str, str]:
    """Try each door from a machine and give what came of it."""
    return {str(door): fleet.reach(source, door.address, door.port) for door in doors}
