"""The role preflight by itself: it reports all problems, and changes nothing on a host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.fleet import ROOT, Fleet
from tests.system.single_role import Applied, play, problems, traces

HOST = "prover-1"
GROUPS = {
    "preflight_node_group": "custom_node",
    "preflight_broker_group": "custom_broker",
    "preflight_agent_group": "custom_agents",
}


def preflight(**variables: Any) -> Applied:
    """Apply the role over the inventory with additional variables."""
    roles = [{"role": "aztec_ops.prover.preflight", **GROUPS}]
    content = [{"hosts": ":".join(GROUPS.values()), "gather_facts": False, "become": True, "roles": roles}]
    return play(content, "-e", json.dumps(variables), inventory=ROOT / "tests/inventories/custom_groups")


def rows(applied: Applied) -> list[str]:
    """Return the lines of the output with single spaces."""
    return [" ".join(line.split()) for line in applied.output.splitlines()]


def test_check_mode_and_second_run_change_nothing() -> None:
    """Not even the first run changes anything, because the role only reads."""
    assert problems("preflight", [HOST], recreated=[]) == []


@pytest.fixture
def untouched(fleet: Fleet) -> Iterator[None]:
    """Assert that the test does not change the host."""
    before = traces(fleet, HOST)
    yield
    assert traces(fleet, HOST) == before


@pytest.mark.usefixtures("untouched")
def test_nothing_wrong() -> None:
    """The role contacts the host once, and shows its hardware in a table."""
    applied = preflight()
    assert (applied.code, applied.changed(HOST)) == (0, 0)
    assert len(applied.run["calls"][HOST]) == 1
    assert "HOST COMPONENTS VCPUS MEMORY DISK LINK" in rows(applied)


@pytest.mark.usefixtures("untouched")
def test_wrong_inventory() -> None:
    """All problems are in one table, and the host is not contacted."""
    applied = preflight(aztec_netwrok="mainnet", aztec_version="latest", prover_broker_port=99999)
    assert (applied.code, applied.run["calls"]) == (2, {})
    assert "3 problems in the inventory, in the table above; no host was contacted." in applied.output
    assert f"{HOST} aztec_netwrok is an unknown variable did you mean aztec_network?" in rows(applied)
    assert f"{HOST} prover_broker_port 99999 is not a port set a number from 1 to 65535" in rows(applied)


@pytest.mark.usefixtures("untouched")
def test_wrong_host() -> None:
    """The host's problems are in one table, after one call."""
    applied = preflight(aztec_requirements="fail", prover_broker_port=7001)
    assert (applied.code, len(applied.run["calls"][HOST])) == (2, 1)
    taken = "tcp port 7001 is in use by python3 stop it, or set prover_broker_port to a free port"
    assert f"{HOST} prover_broker_port {taken}" in rows(applied)
    assert any(row.startswith(f"{HOST} vCPUs found ") for row in rows(applied))
    assert "problems on the hosts, in the table above; nothing was changed." in applied.output


def test_custom_groups_need_the_options() -> None:
    """With its default group names, the role finds no fleet in this inventory."""
    roles = [{"role": "aztec_ops.prover.preflight"}]
    content = [{"hosts": HOST, "gather_facts": False, "become": True, "roles": roles}]
    applied = play(content, inventory=ROOT / "tests/inventories/custom_groups")
    assert (applied.code, applied.run["calls"]) == (2, {})
    assert "prover_node" in applied.output
