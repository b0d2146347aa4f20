"""Every component on a host of its own: names, another port for ssh and broker, an agent without IPv4."""

from __future__ import annotations

import json

import pytest

from tests.system.endpoints import (
    Endpoint,
    addresses,
    assert_all,
    forwarding,
    no_guard,
    probe,
    published,
    routed,
    routes,
)
from tests.system.fleet import Fleet, changes
from tests.system.jobs import prove

NODE, BROKER, FOUR, SIX = "node.lab.test", "broker.lab.test", "agent-4", "agent-6"
HOSTS = (NODE, BROKER, FOUR, SIX)
PORT = 9090
# What listens inside the containers of each host
INSIDE = {
    NODE: {"prover-node": (8081, 8880)},
    BROKER: {"prover-broker": (PORT,)},
    FOUR: {"prover-agent": (8082,)},
    SIX: {"prover-agent": (8082,)},
}


def test_nothing_is_left_to_change() -> None:
    """Molecule's second run, and its run in check mode after that, change nothing on any host."""
    nothing = dict.fromkeys(HOSTS, 0)
    assert changes("apart") == {"again": nothing, "check mode": nothing}


def test_an_epoch_is_proven_with_jobs_of_both_agents(fleet: Fleet) -> None:
    """Over IPv4 and over IPv6 jobs come to the agents, and their proofs to the L1."""
    prove(fleet, NODE, BROKER, [(FOUR, "prover-agent"), (SIX, "prover-agent")])


def test_each_reaches_the_broker_by_a_family_that_it_has(fleet: Fleet) -> None:
    """The broker's name has both kinds of addresses; who has IPv4 takes that."""
    four, six = f"http://{fleet.machines[BROKER].address}:{PORT}", f"http://[{fleet.machines[BROKER].address6}]:{PORT}"
    services = {NODE: "prover-node", FOUR: "prover-agent", SIX: "prover-agent"}
    found = {name: fleet.environment(name, service)["PROVER_BROKER_HOST"] for name, service in services.items()}
    assert found == {NODE: four, FOUR: four, SIX: six}


def test_the_host_without_ipv4(fleet: Fleet) -> None:
    """It has no IPv4 address but those of its own bridges, and its containers have IPv6 without anybody's asking."""
    assert fleet.execute(SIX, "ip -4 -o address show dev eth0").out == ""
    assert fleet.reach(SIX, fleet.settings.l1_address, 8545) == "shut"
    assert fleet.container_addresses(SIX, "prover-agent")["v6"][1] == "fd61:7a74:6563::/64"
    assert "v6" not in fleet.container_addresses(FOUR, "prover-agent")


def test_two_agents_in_one_process(fleet: Fleet) -> None:
    """Each of them answers for itself."""
    for agent in (0, 1):
        question = json.dumps({"jsonrpc": "2.0", "id": 1, "method": f"agent{agent}_getStatus", "params": []})
        ask = ["curl", "-s", "-H", "content-type: application/json", "-d", question, "http://localhost:8082"]
        answer = json.loads(fleet.execute(FOUR, ["docker", "exec", "prover-agent", *ask]).out)
        assert answer["result"]["status"] in ("running", "proving")


def test_how_the_hosts_were_reached(fleet: Fleet) -> None:
    """sshd listens on the other port alone, and the user is an ordinary one whose sudo asks for a password."""
    user = fleet.machines[NODE].user
    for name in HOSTS:
        assert fleet.reach("stranger", fleet.machines[name].address6 or fleet.machines[name].address, 22) != "in"
        assert fleet.execute(name, f"id -u {user}").out.strip() != "0"
        asked = fleet.execute(name, ["su", user, "-c", "sudo -n true"], check=False)
        assert asked.code != 0 and "password is required" in asked.err


def test_nobody_else_reaches_the_broker(fleet: Fleet) -> None:
    """The stranger is out on both families, in without the guard; the default port serves nobody."""
    endpoints = published(fleet, BROKER, PORT)
    assert len(endpoints) == 2
    assert_all(probe(fleet, endpoints), "shut")
    with no_guard(fleet, BROKER):
        assert_all(probe(fleet, endpoints), "in")
    assert_all(probe(fleet, endpoints), "shut")
    assert_all(probe(fleet, published(fleet, BROKER, 8080)), "refused")


def test_the_fleet_reaches_the_broker(fleet: Fleet) -> None:
    """By the addresses that their names lead to, and by no other."""
    four, six = published(fleet, BROKER, PORT)
    assert_all(probe(fleet, [four], NODE) | probe(fleet, [six], NODE), "in")
    assert_all(probe(fleet, [four], FOUR), "in")
    assert_all(probe(fleet, [six], SIX), "in")
    # The engine under the lab has given it an IPv6 address of which its name knows nothing
    assert_all(probe(fleet, [six], FOUR), "shut")


@pytest.mark.parametrize("name", HOSTS)
def test_no_way_to_the_containers(fleet: Fleet, name: str) -> None:
    """Nor does a route to a host's container network help the stranger, unless the guard is unloaded."""
    service = next(iter(INSIDE[name]))
    with routes(fleet, name, service), forwarding(fleet, name):
        families = addresses(fleet, name)
        endpoints = [one for one in routed(fleet, name, INSIDE[name]) if one.label.split()[-1] in families]
        assert endpoints
        assert_all(probe(fleet, endpoints), "shut")
        with no_guard(fleet, name):
            assert_all(probe(fleet, endpoints), "in")


def test_the_admin_port_is_shut(fleet: Fleet) -> None:
    """At the hosts' own addresses, where no component publishes it."""
    endpoints = [Endpoint("admin", address, 8880) for name in HOSTS for address in addresses(fleet, name).values()]
    answers = probe(fleet, endpoints)
    assert "in" not in answers.values() and len(answers) == 6
