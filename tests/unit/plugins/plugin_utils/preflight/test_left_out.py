# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a fault affects: only an agent, the fleet, or a host outside the run."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import UnresolvedValue
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import (
    LEFT_OUT,
    Problem,
    leave_out_agents,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_inventory

SPECS = read_specs(Path(__file__).resolve().parents[5] / "roles")
KEY = "0x" + "ab" * 32
NODE, FIRST, SECOND = "10.0.0.10/32", "10.0.0.21/32", "10.0.0.22/32"


def resolve_one(name: str) -> list:
    """Raise ValueError, as for a name without a DNS record."""
    raise ValueError("does not resolve")


def good() -> tuple:
    """Return an inventory with nothing wrong: node and broker on one host, two agents."""
    wide = {
        "aztec_version": "4.1.2",
        "aztec_l1_execution_urls": ["http://10.0.0.5:8545"],
        "aztec_l1_consensus_urls": ["http://10.0.0.5:5052"],
        "prover_node_publisher_private_key": KEY,
    }
    addresses = {"node-1": "10.0.0.10", "agent-1": "10.0.0.21", "agent-2": "10.0.0.22"}
    hosts = {
        host: {**wide, "ansible_host": f"9.9.9.{number}", "aztec_address": address}
        for number, (host, address) in enumerate(addresses.items(), 1)
    }
    return hosts, {"prover_node": ["node-1"], "prover_broker": ["node-1"], "prover_agent": ["agent-1", "agent-2"]}


def found(changes: dict, run: list | None = None, keys: dict | None = None) -> tuple:
    """Return (host and level of each problem, the fleet's values) for the good inventory with changes by host."""
    hosts, groups = good()
    for host, variables in changes.items():
        hosts[host].update(variables)
    problems, fleet = check_inventory(hosts, groups, SPECS, None, resolve_one, keys=keys, run=run)
    return [(one.host, one.level) for one in problems], fleet


# Variables of agent-1, whether its address is admitted by the broker, and whether the broker keeps its current list.
OWN = [
    ({"aztec_address": "gone.lan"}, False, True),
    ({"aztec_address": "10.0.0.21/24"}, False, True),
    ({"aztec_address": "127.0.0.1"}, False, True),
    ({"aztec_address": UnresolvedValue("uses 'lan', which is not defined")}, False, True),
    ({"aztec_address": "", "ansible_host": "gone.lan"}, False, True),
    ({"aztec_address": "203.0.113.9"}, False, True),
    ({"aztec_address6": "10.0.0.21"}, True, True),
    ({"aztec_address6": "::1"}, True, True),
    ({"aztec_admit": ["10.9.0.0/16", "10.9.0.0/33"]}, True, True),
    ({"ansible_host": "172.31.77.300"}, True, False),
    ({"prover_agent_count": 0}, True, False),
    ({"aztec_netwrok": "x"}, True, False),
    ({"aztec_version": "5.2.0"}, True, False),
    ({"prover_agent_broker_host": "10.0.0.300"}, True, False),
    ({"prover_agent_image": UnresolvedValue("cannot be decrypted")}, True, False),
]


@pytest.mark.parametrize(("variables", "admitted", "keep"), OWN)
def test_an_agent_s_own_fault(variables: dict, admitted: bool, keep: bool) -> None:
    problems, fleet = found({"agent-1": variables})
    assert problems == [("agent-1", LEFT_OUT)]
    assert fleet["agents"] == ["agent-2"]
    assert fleet["hosts"]["agent-1"]["left_out"]
    assert "left_out" not in fleet["hosts"]["agent-2"]
    assert fleet["broker"]["admitted"] == ([NODE, FIRST, SECOND] if admitted else [NODE, SECOND])
    assert fleet["broker"]["guard"]["keep_existing"] is keep


@pytest.mark.parametrize("run", [["node-1"], ["node-1", "agent-2"], ["agent-2"]])
@pytest.mark.parametrize(("variables", "admitted", "keep"), OWN)
def test_an_agent_s_own_fault_outside_the_run(variables: dict, admitted: bool, keep: bool, run: list) -> None:
    problems, fleet = found({"agent-1": variables}, run)
    assert problems == ([("agent-1", "warning")] if keep else [])
    assert fleet["broker"]["admitted"] == ([NODE, FIRST, SECOND] if admitted else [NODE, SECOND])
    assert fleet["broker"]["guard"]["keep_existing"] is keep


def test_no_agent_outside_the_run_resolves() -> None:
    """The broker gets no new list and keeps its current one. With a list in the inventory nothing is unknown."""
    gone = {host: {"aztec_address": f"{host}.lan"} for host in ("agent-1", "agent-2")}
    problems, fleet = found(gone, ["node-1"])
    assert problems == [("agent-1", "warning"), ("agent-2", "warning")]
    assert fleet["broker"]["admitted"] == [NODE]
    assert fleet["broker"]["guard"]["keep_existing"] is True
    problems, fleet = found({**gone, "node-1": {"prover_broker_admitted": [FIRST]}}, ["node-1"])
    assert problems == []
    assert fleet["broker"]["admitted"] == [FIRST]
    assert fleet["broker"]["guard"]["keep_existing"] is False


def test_an_agent_outside_the_run_is_admitted() -> None:
    for run in (["node-1"], ["agent-2"]):
        assert found({}, run)[1]["broker"]["admitted"] == [NODE, FIRST, SECOND]


def test_two_agents_with_one_address() -> None:
    """The second is left out. One outside of the run does not affect one in it."""
    same = {"agent-2": {"aztec_address": "10.0.0.21"}}
    problems, fleet = found(same)
    assert problems == [("agent-2", LEFT_OUT)]
    assert fleet["broker"]["admitted"] == [NODE, FIRST]
    for host, other in (("agent-1", "agent-2"), ("agent-2", "agent-1")):
        problems, fleet = found(same, ["node-1", host])
        assert problems == [(other, "warning")]
        assert fleet["broker"]["guard"]["keep_existing"] is True


@pytest.mark.parametrize(
    "changes",
    [
        {"agent-1": {"aztec_address": "10.0.0.10"}},
        {"agent-1": {"prover_agent_count": 0}, "agent-2": {"prover_agent_count": 0}},
        # With all faults, no agent would remain.
        {"agent-1": {"prover_agent_count": 0}, "agent-2": {"prover_agent_count": -1}},
        {"agent-1": {"aztec_address": "gone.lan"}, "agent-2": {"aztec_netwrok": "x"}},
        {"node-1": {"aztec_address": "gone.lan"}},
        {"node-1": {"aztec_netwrok": "x"}, "agent-1": {"prover_agent_count": 0}},
    ],
)
def test_a_fault_of_the_fleet(changes: dict) -> None:
    problems, fleet = found(changes)
    assert "error" in [level for _host, level in problems]
    assert fleet is None


@pytest.mark.parametrize("run", [["agent-1"], ["node-1", "agent-1"]])
@pytest.mark.parametrize("variables", [{"prover_agent_count": 0}, {"aztec_address": "gone.lan"}])
def test_a_run_whose_only_agent_has_a_fault(variables: dict, run: list) -> None:
    assert found({"agent-1": variables}, run) == ([("agent-1", "error")], None)


def test_an_agent_on_the_node_s_host_remains() -> None:
    hosts, groups = good()
    hosts["agent-2"]["prover_agent_count"] = 0
    groups["prover_agent"] = ["node-1", "agent-2"]
    problems, fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
    assert [(one.host, one.level) for one in problems] == [("agent-2", LEFT_OUT)]
    assert fleet["agents"] == ["node-1"]


@pytest.mark.parametrize(
    ("node", "run", "level"),
    [
        ({}, None, "error"),
        ({}, ["node-1"], "error"),
        ({}, ["node-1", "agent-2"], "error"),
        # The broker stays as it is published.
        ({}, ["agent-1", "agent-2"], None),
        ({"prover_broker_publish_addresses": ["10.0.0.10"]}, None, None),
    ],
)
def test_the_broker_is_not_published_at_less_addresses(node: dict, run: list | None, level: str | None) -> None:
    changes = {"agent-1": {"prover_agent_broker_host": "broker.vpn.lan"}, "node-1": node}
    problems, fleet = found(changes, run)
    assert problems == ([("agent-1", level)] if level else [])
    assert (fleet is None) == bool(level)


def test_a_key_on_a_second_host_is_the_fleet_s() -> None:
    keys = {"agent-1": {"sequencer_key": KEY}}
    assert found({}, None, keys) == ([("agent-1", "error")], None)
    assert found({}, ["node-1"], keys) == ([("agent-1", "error")], None)
    assert found({}, ["agent-1"], keys)[0] == []


@pytest.mark.parametrize(
    ("variables", "reported"),
    [
        ({"prover_node_port": 99999}, False),
        ({"aztec_docker_network": "host"}, False),
        ({"aztec_netwrok": "x"}, False),
        ({"prover_broker_memory_limit": UnresolvedValue("cannot be decrypted")}, False),
        ({"aztec_address": "gone.lan"}, True),
        ({"prover_broker_port": 99999}, True),
        ({"aztec_version": "latest"}, True),
        ({"prover_node_publisher_private_key": UnresolvedValue("cannot be decrypted")}, True),
    ],
)
def test_node_and_broker_outside_the_run(variables: dict, reported: bool) -> None:
    problems, fleet = found({"node-1": variables}, ["agent-1"])
    assert (fleet is None) == reported
    assert {host for host, level in problems if level == "error"} <= {"node-1"}
    if not reported:
        assert problems == []
        assert fleet["broker"]["admitted"] == [NODE, FIRST, SECOND]


@pytest.mark.parametrize(
    ("run", "changes", "querier"),
    [
        (None, {}, "node-1"),
        (["agent-1", "agent-2"], {}, "agent-1"),
        (["agent-1", "agent-2"], {"agent-1": {"prover_agent_count": 0}}, "agent-2"),
    ],
)
def test_one_host_queries_the_registry(run: list | None, changes: dict, querier: str) -> None:
    mirrors = {host: {"docker_engine_registry_mirrors": ["http://m.lan"]} for host in ("node-1", "agent-1", "agent-2")}
    question = found({host: {**mirrors[host], **changes.get(host, {})} for host in mirrors}, run)[1]["registry"]
    assert question["host"] == querier
    assert bool(question["images"]) == bool(question["mirrors"]) == bool(querier)


SHORT, FEW, WARNING, NODES = (
    Problem("agent-1", "vCPUs", "found 2", "more"),
    Problem("agent-2", "disk", "found 3 GB", "more"),
    Problem("agent-1", "CPU", "old", "new", "warning"),
    Problem("node-1", "vCPUs", "found 2", "more"),
)


@pytest.mark.parametrize(
    ("problems", "agents", "levels"),
    [
        ([SHORT], ["agent-1", "agent-2"], [LEFT_OUT]),
        ([SHORT, FEW, WARNING], ["agent-1", "agent-2", "agent-3"], [LEFT_OUT, LEFT_OUT, "warning"]),
        # An agent on the node's host remains.
        ([SHORT, FEW], ["agent-1", "agent-2", "node-1"], [LEFT_OUT, LEFT_OUT]),
        ([SHORT, NODES], ["agent-1", "agent-2"], [LEFT_OUT, "error"]),
        # No agent would remain.
        ([SHORT], ["agent-1"], ["error"]),
        ([SHORT, FEW], ["agent-1", "agent-2"], ["error", "error"]),
        ([SHORT, WARNING], ["agent-1"], ["error", "warning"]),
        ([WARNING], ["agent-1"], ["warning"]),
        ([NODES], [], ["error"]),
    ],
)
def test_faults_that_were_seen_on_hosts(problems: list, agents: list, levels: list) -> None:
    apart = [host for host in agents if host != "node-1"]
    assert [one.level for one in leave_out_agents(problems, agents, apart)] == levels
