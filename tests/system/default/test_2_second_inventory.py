"""A second inventory for the machines of the first: refused, or with an instance name planned under other names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.system.fleet import Fleet, playbook

SERVICES = {"node-1": ("prover-node", "prover-broker"), "agent-1": ("prover-agent",), "agent-2": ("prover-agent",)}
# Two instances on one host cannot have the same ports.
INSTANCE = {
    **{"aztec_inventory_name": "other", "aztec_instance": "two"},
    **{"prover_node_port": 9081, "prover_node_p2p_port": 40500, "prover_broker_port": 9080},
}


def state(fleet: Fleet) -> dict[str, Any]:
    """Return the containers, files and guard sections of each host."""
    found: dict[str, Any] = {}
    for host, services in SERVICES.items():
        containers = [fleet.container(host, service) for service in services]
        files = fleet.execute(host, ["sh", "-c", "cat /opt/aztec/*/compose.yml /etc/aztec-port-guard/*.json"]).out
        directories = fleet.execute(host, ["ls", "/opt/aztec"]).out
        found[host] = ([(one["Id"], one["State"]["StartedAt"]) for one in containers], files, directories)
    return found


def test_files_name_the_inventory(fleet: Fleet) -> None:
    for host, services in SERVICES.items():
        for service in services:
            first = fleet.execute(host, ["head", "-n", "1", f"/opt/aztec/{service}/compose.yml"]).out
            assert first.startswith("# Managed by Ansible (aztec_ops.prover, inventory lab): ")


@pytest.mark.parametrize("name", ["preflight", "site"])
def test_a_second_inventory_is_refused(fleet: Fleet, name: str) -> None:
    """One line for each host, for the agents as well, and nothing is changed on any host."""
    before = state(fleet)
    run = playbook(f"playbooks/{name}.yml", "-e", "aztec_inventory_name=other")
    assert run.returncode == 2, run.stdout[-4000:] + run.stderr
    for host, services in SERVICES.items():
        for service in services:
            wrong = f"aztec-{service} is managed by the inventory lab"
            lines = [line for line in run.stdout.splitlines() if wrong in line]
            assert any(host in line.split("aztec_inventory_name")[0] for line in lines), run.stdout[-4000:]
    assert "and this one is other" in run.stdout
    assert "nothing was changed" in run.stdout
    assert state(fleet) == before


def test_a_second_instance_has_names_of_its_own(fleet: Fleet) -> None:
    before = state(fleet)
    run = playbook("playbooks/site.yml", "--check", "--diff", "-e", json.dumps(INSTANCE))
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    for service in ("prover-node", "prover-broker", "prover-agent"):
        for words in (f"name: aztec-two-{service}", f"container_name: two-{service}", f"/opt/aztec/two/{service}/"):
            assert words in run.stdout, words
    for words in ("aztec-prover-two", "two_prover_broker", "aztec-two", "inventory other)"):
        assert words in run.stdout, words
    assert state(fleet) == before
