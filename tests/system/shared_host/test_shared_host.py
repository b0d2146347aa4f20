"""Node, broker and agent on one host, two agents on another, and an agent outside of the fleet."""

from __future__ import annotations

from tests.system.endpoints import assert_all, forwarding, no_guard, probe, published, routed, routes
from tests.system.fleet import Fleet, changes, playbook
from tests.system.jobs import prove

SMALL, PAIR, OUTSIDE = "small", "pair", "outside"
AGENTS = [(SMALL, "prover-agent"), (PAIR, "prover-agent-1"), (PAIR, "prover-agent-2"), (OUTSIDE, "prover-agent")]
INSIDE = {"prover-broker": (8080,), "prover-node": (8081, 8880), "prover-agent": (8082,)}


def test_nothing_is_left_to_change() -> None:
    """Molecule's second run and the following check mode run change nothing on any host."""
    nothing = dict.fromkeys((SMALL, PAIR, OUTSIDE), 0)
    assert changes("shared_host") == {"again": nothing, "check mode": nothing}


def test_an_epoch_is_proven_with_jobs_of_all_agents(fleet: Fleet) -> None:
    """The agent on the broker's host, those on another host, and the one outside all complete jobs."""
    prove(fleet, SMALL, SMALL, AGENTS)


def test_broker_host_uses_the_docker_network(fleet: Fleet) -> None:
    """Node and agent on the broker's host use its service name, the others its address."""
    for service in ("prover-node", "prover-agent"):
        assert fleet.environment(SMALL, service)["PROVER_BROKER_HOST"] == "http://prover-broker:8080"
    for name, service in AGENTS[1:]:
        assert fleet.environment(name, service)["PROVER_BROKER_HOST"] == f"http://{fleet.machines[SMALL].address}:8080"


def test_admitted_networks(fleet: Fleet) -> None:
    """aztec_admit admits its network on both families. The stranger is filtered, unless the guard is removed."""
    endpoints = published(fleet, SMALL)
    assert len(endpoints) == 2
    assert_all(probe(fleet, endpoints, OUTSIDE), "open")
    assert_all(probe(fleet, endpoints[:1], PAIR), "open")
    assert_all(probe(fleet, endpoints), "filtered")
    with no_guard(fleet, SMALL):
        assert_all(probe(fleet, endpoints), "open")
    assert_all(probe(fleet, endpoints), "filtered")


def test_containers_are_not_reachable_by_a_route(fleet: Fleet) -> None:
    """A route does not help the stranger on either family, unless the guard is removed."""
    with routes(fleet, SMALL), forwarding(fleet, SMALL):
        endpoints = routed(fleet, SMALL, INSIDE)
        assert len(endpoints) == 8
        assert_all(probe(fleet, endpoints), "filtered")
        with no_guard(fleet, SMALL):
            assert_all(probe(fleet, endpoints), "open")


def test_agent_in_an_admitted_network_is_reported(fleet: Fleet) -> None:
    """This is how a removed agent in an admitted network appears. It is not an error of the fleet."""
    run = playbook("playbooks/verify.yml")
    assert run.returncode == 0, run.stdout
    (line,) = (one for one in run.stdout.splitlines() if "admitted by aztec_admit, and using the broker" in one)
    assert str(fleet.machines[OUTSIDE].address) in line
    assert str(fleet.machines[PAIR].address) not in line
