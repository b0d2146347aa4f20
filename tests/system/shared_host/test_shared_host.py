"""A small lab on one host, two agents on another, an agent of somebody else's outside of the fleet."""

from __future__ import annotations

from tests.system.endpoints import assert_all, forwarding, no_guard, probe, published, routed, routes
from tests.system.fleet import Fleet, changes, playbook
from tests.system.jobs import prove

SMALL, PAIR, OUTSIDE = "small", "pair", "outside"
AGENTS = [(SMALL, "prover-agent"), (PAIR, "prover-agent-1"), (PAIR, "prover-agent-2"), (OUTSIDE, "prover-agent")]
INSIDE = {"prover-broker": (8080,), "prover-node": (8081, 8880), "prover-agent": (8082,)}


def test_nothing_is_left_to_change() -> None:
    """Molecule's second run, and its run in check mode after that, change nothing on any host."""
    nothing = dict.fromkeys((SMALL, PAIR, OUTSIDE), 0)
    assert changes("together") == {"again": nothing, "check mode": nothing}


def test_an_epoch_is_proven_with_jobs_of_all_agents(fleet: Fleet) -> None:
    """The broker's neighbour, those on another host, and the one outside all take jobs."""
    prove(fleet, SMALL, SMALL, AGENTS)


def test_neighbours_of_the_broker_take_the_docker_network(fleet: Fleet) -> None:
    """Node and agent beside the broker know it by its service's name, the others by its address."""
    for service in ("prover-node", "prover-agent"):
        assert fleet.environment(SMALL, service)["PROVER_BROKER_HOST"] == "http://prover-broker:8080"
    for name, service in AGENTS[1:]:
        assert fleet.environment(name, service)["PROVER_BROKER_HOST"] == f"http://{fleet.machines[SMALL].address}:8080"


def test_who_is_admitted(fleet: Fleet) -> None:
    """The network that aztec_admit names is in, on both families; the stranger is not, unless the guard is unloaded."""
    endpoints = published(fleet, SMALL)
    assert len(endpoints) == 2
    assert_all(probe(fleet, endpoints, OUTSIDE), "in")
    assert_all(probe(fleet, endpoints[:1], PAIR), "in")
    assert_all(probe(fleet, endpoints), "shut")
    with no_guard(fleet, SMALL):
        assert_all(probe(fleet, endpoints), "in")
    assert_all(probe(fleet, endpoints), "shut")


def test_no_way_to_the_containers(fleet: Fleet) -> None:
    """The stranger finds no way by a route, on both families, unless the guard is unloaded."""
    with routes(fleet, SMALL), forwarding(fleet, SMALL):
        endpoints = routed(fleet, SMALL, INSIDE)
        assert len(endpoints) == 8
        assert_all(probe(fleet, endpoints), "shut")
        with no_guard(fleet, SMALL):
            assert_all(probe(fleet, endpoints), "in")


def test_an_agent_that_only_aztec_admit_admits_is_named(fleet: Fleet) -> None:
    """As one that was removed and is still within an admitted network would be; it is no fault of the fleet."""
    run = playbook("playbooks/verify.yml")
    assert run.returncode == 0, run.stdout
    (line,) = (one for one in run.stdout.splitlines() if "admitted by aztec_admit, and using the broker" in one)
    assert str(fleet.machines[OUTSIDE].address) in line
    assert str(fleet.machines[PAIR].address) not in line
