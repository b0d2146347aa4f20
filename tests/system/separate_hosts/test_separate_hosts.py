"""Each component on its own host: DNS names, other ports for ssh and broker, an agent without IPv4."""

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
# Ports inside the containers of each host
INSIDE = {
    NODE: {"prover-node": (8081, 8880)},
    BROKER: {"prover-broker": (PORT,)},
    FOUR: {"prover-agent": (8082,)},
    SIX: {"prover-agent": (8082,)},
}


def test_nothing_is_left_to_change() -> None:
    """Molecule's second run and the following check mode run change nothing on any host."""
    nothing = dict.fromkeys(HOSTS, 0)
    assert changes("separate_hosts") == {"again": nothing, "check mode": nothing}


def test_an_epoch_is_proven_with_jobs_of_both_agents(fleet: Fleet) -> None:
    """Agents receive jobs over IPv4 and IPv6, and their proofs reach the L1."""
    prove(fleet, NODE, BROKER, [(FOUR, "prover-agent"), (SIX, "prover-agent")])


def test_hosts_use_an_address_family_that_they_have(fleet: Fleet) -> None:
    """The broker's name has both kinds of addresses. Hosts with IPv4 use IPv4."""
    four, six = f"http://{fleet.machines[BROKER].address}:{PORT}", f"http://[{fleet.machines[BROKER].address6}]:{PORT}"
    services = {NODE: "prover-node", FOUR: "prover-agent", SIX: "prover-agent"}
    found = {name: fleet.environment(name, service)["PROVER_BROKER_HOST"] for name, service in services.items()}
    assert found == {NODE: four, FOUR: four, SIX: six}


def test_the_host_without_ipv4(fleet: Fleet) -> None:
    """The host has no IPv4 address except for its own bridges, and its containers have IPv6 automatically."""
    assert fleet.execute(SIX, "ip -4 -o address show dev eth0").out == ""
    assert fleet.reach(SIX, fleet.settings.l1_address, 8545) == "filtered"
    assert fleet.container_addresses(SIX, "prover-agent")["v6"][1] == "fd61:7a74:6563::/64"
    assert "v6" not in fleet.container_addresses(FOUR, "prover-agent")


def test_two_agents_in_one_process(fleet: Fleet) -> None:
    """Each agent reports its own status."""
    for agent in (0, 1):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": f"agent{agent}_getStatus", "params": []})
        request = ["curl", "-s", "-H", "content-type: application/json", "-d", body, "http://localhost:8082"]
        answer = json.loads(fleet.execute(FOUR, ["docker", "exec", "prover-agent", *request]).out)
        assert answer["result"]["status"] in ("running", "proving")


def test_ssh_port_and_sudo(fleet: Fleet) -> None:
    """sshd listens only on the other port, and the user's sudo needs a password."""
    user = fleet.machines[NODE].user
    for name in HOSTS:
        assert fleet.reach("stranger", fleet.machines[name].address6 or fleet.machines[name].address, 22) != "open"
        assert fleet.execute(name, f"id -u {user}").out.strip() != "0"
        result = fleet.execute(name, ["su", user, "-c", "sudo -n true"], check=False)
        assert result.code != 0 and "password is required" in result.err


def test_other_hosts_do_not_reach_the_broker(fleet: Fleet) -> None:
    """The stranger is filtered on both families, and connects without the guard. The default port is not used."""
    endpoints = published(fleet, BROKER, PORT)
    assert len(endpoints) == 2
    assert_all(probe(fleet, endpoints), "filtered")
    with no_guard(fleet, BROKER):
        assert_all(probe(fleet, endpoints), "open")
    assert_all(probe(fleet, endpoints), "filtered")
    assert_all(probe(fleet, published(fleet, BROKER, 8080)), "refused")


def test_the_fleet_reaches_the_broker(fleet: Fleet) -> None:
    """The hosts reach the broker only at the addresses that they use."""
    four, six = published(fleet, BROKER, PORT)
    assert_all(probe(fleet, [four], NODE) | probe(fleet, [six], NODE), "open")
    assert_all(probe(fleet, [four], FOUR), "open")
    assert_all(probe(fleet, [six], SIX), "open")
    # The lab's engine also assigns an IPv6 address, which is not in the inventory.
    assert_all(probe(fleet, [six], FOUR), "filtered")


@pytest.mark.parametrize("name", HOSTS)
def test_containers_are_not_reachable_by_a_route(fleet: Fleet, name: str) -> None:
    """A route to a host's container network does not help the stranger, unless the guard is removed."""
    service = next(iter(INSIDE[name]))
    with routes(fleet, name, service), forwarding(fleet, name):
        families = addresses(fleet, name)
        endpoints = [one for one in routed(fleet, name, INSIDE[name]) if one.label.split()[-1] in families]
        assert endpoints
        assert_all(probe(fleet, endpoints), "filtered")
        with no_guard(fleet, name):
            assert_all(probe(fleet, endpoints), "open")


def test_admin_port_is_closed(fleet: Fleet) -> None:
    """No component publishes the admin port on the hosts' own addresses."""
    endpoints = [Endpoint("admin", address, 8880) for name in HOSTS for address in addresses(fleet, name).values()]
    answers = probe(fleet, endpoints)
    assert "open" not in answers.values() and len(answers) == 6
