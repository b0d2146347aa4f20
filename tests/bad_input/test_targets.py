"""Runs that exclude hosts: runs without work are refused, and a host outside of the run does not end it."""

from __future__ import annotations

import json

import pytest

from tests.bad_input.commands import run
from tests.bad_input.harness import ROOT, assert_clean, play, table_of, write_inventory

GROUPS = "prover_node, prover_broker, prover_agent"
REMEDY = "pass the inventory with -i, such as -i inventories/prod, and add hosts to these groups"
UNKNOWN = "aztec_address the host name spot-7.nowhere.test does not resolve"
GONE = "aztec_address: spot-7.nowhere.test"
KEPT = "the broker keeps admitting the addresses that it admits now"


@pytest.mark.parametrize(
    ("playbook", "groups"),
    [
        *((f"{name}.yml", GROUPS) for name in ("site", "preflight", "verify", "status")),
        *((f"{name}.yml", GROUPS) for name in ("stop", "start", "restart", "reboot")),
        *((f"{name}.yml", "prover_node") for name in ("rotate_key", "rewards", "prove_again")),
        ("alert_test.yml", "prover_monitor"),
    ],
)
def test_no_inventory(playbook: str, groups: str) -> None:
    shown = run("ansible-playbook", str(ROOT / "playbooks" / playbook))
    assert shown.returncode == 2, shown.stdout
    assert f"The inventory does not have a host in {groups}: {REMEDY}" in shown.stdout


@pytest.mark.parametrize("groups", ["web: {hosts: {node-1: }}", "prover_node: {hosts: {}}"])
def test_an_inventory_without_hosts_of_the_groups(groups: str, tmp_path, endpoint) -> None:
    shown = play(write_inventory(tmp_path, endpoint, {"groups": groups}))
    assert shown.returncode == 2, shown.stdout
    assert f"The inventory does not have a host in {GROUPS}: {REMEDY}" in shown.stdout
    assert endpoint.connections == []
    # With hosts in the groups, the run reaches them.
    play(write_inventory(tmp_path, endpoint, {}))
    assert sorted(endpoint.connections) == ["127.0.0.10 22", "127.0.0.21 22", "127.0.0.22 22"]


def test_a_limit_that_leaves_no_host(tmp_path, endpoint) -> None:
    groups = "prover_node: {hosts: {node-1: }}\nprover_broker: {hosts: {node-1: }}\nweb: {hosts: {web-1: }}\n"
    inventory = write_inventory(tmp_path, endpoint, {"groups": groups})
    shown = play(inventory, "--limit", "web-1")
    assert shown.returncode == 2, shown.stdout
    remedy = "include one of these groups, or one of their hosts"
    assert f"--limit excludes all hosts of {GROUPS}: {remedy}" in shown.stdout
    assert endpoint.connections == []
    for number, included in enumerate(("web-1,prover_node", "web-1,node-1"), 1):
        play(inventory, "--limit", included)
        assert endpoint.connections == ["127.0.0.10 22"] * number


@pytest.mark.parametrize("fault", ["prover_agent_count: 0", "ansible_port: x", "aztec_netwrok: x"])
def test_a_fault_of_an_agent_outside_the_limit(fault: str, tmp_path, endpoint) -> None:
    shown = play(write_inventory(tmp_path, endpoint, {"agent-1": fault}), "-vvv", "--limit", "!agent-1")
    assert shown.returncode == 2, shown.stdout
    assert_clean(shown.stdout)
    assert table_of(shown.stdout) == []
    assert sorted(endpoint.connections) == ["127.0.0.10 22", "127.0.0.22 22"]


@pytest.mark.parametrize("limit", ["!agent-1", "node-1"])
@pytest.mark.parametrize("fault", [GONE, "aztec_address: 10.0.0.22", "aztec_admit: [10.9.0.0/33]"])
def test_an_agent_outside_the_limit_whose_addresses_are_unknown(fault: str, limit: str, tmp_path, endpoint) -> None:
    """The run continues with a warning: the broker's guard keeps the addresses that it admits."""
    shown = play(write_inventory(tmp_path, endpoint, {"agent-1": fault}), "--limit", limit)
    assert shown.returncode == 2, shown.stdout
    assert_clean(shown.stdout)
    (line,) = table_of(shown.stdout)
    # If two hosts have the same address, the line is about the host outside of the limit.
    host = "agent-2" if (limit, fault) == ("node-1", "aztec_address: 10.0.0.22") else "agent-1"
    assert line.startswith(f"{host} {fault.partition(':')[0]} (warning) "), line
    assert (KEPT in line) == (fault == GONE)
    assert sorted(endpoint.connections) == ["127.0.0.10 22"] + ["127.0.0.22 22"] * (limit != "node-1")


def test_a_fault_of_the_node_s_own_outside_the_limit(tmp_path, endpoint) -> None:
    shown = play(write_inventory(tmp_path, endpoint, {"node-1": "prover_node_port: 99999"}), "--limit", "agent-1")
    assert shown.returncode == 2, shown.stdout
    assert table_of(shown.stdout) == []
    assert endpoint.connections == ["127.0.0.21 22"]


@pytest.mark.parametrize("fault", ["aztec_address: node.nowhere.test", "prover_broker_port: 99999"])
def test_what_the_agents_need_of_the_broker_is_right_whatever_the_limit(fault: str, tmp_path, endpoint) -> None:
    shown = play(write_inventory(tmp_path, endpoint, {"node-1": fault}), "--limit", "agent-1")
    assert shown.returncode == 2, shown.stdout
    (line,) = table_of(shown.stdout)
    assert line.startswith(f"node-1 {fault.partition(':')[0]} ")
    assert endpoint.connections == []


@pytest.mark.parametrize("playbook", ["site.yml", "preflight.yml", "verify.yml"])
@pytest.mark.parametrize("limit", ["agent-1", "node-1,agent-1"])
def test_a_run_whose_only_agent_has_a_fault(playbook: str, limit: str, tmp_path, endpoint) -> None:
    """The run would change node and broker, but not the agent."""
    inventory = write_inventory(tmp_path, endpoint, {"agent-1": GONE})
    shown = play(inventory, "--limit", limit, playbook=playbook)
    assert shown.returncode == 2, shown.stdout
    (line,) = table_of(shown.stdout)
    assert line.startswith(f"agent-1 {UNKNOWN}")
    assert "1 problem in the inventory, in the table above; no host was contacted." in shown.stdout
    assert endpoint.connections == []


def test_verify_shows_who_was_left_out(tmp_path, endpoint) -> None:
    shown = play(write_inventory(tmp_path, endpoint, {"agent-1": GONE}), playbook="verify.yml")
    assert shown.returncode == 2, shown.stdout
    rows = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "agent-1 prover_agent - LEFT OUT" in rows
    assert "agent-2 prover_agent - UNREACHABLE" in rows
    wrong = f"was left out of this run: {UNKNOWN} on the controller: correct it, then run again"
    assert f"agent-1 prover_agent {wrong}" in rows


def test_a_prover_whose_hosts_are_unreachable_does_not_earn(tmp_path, endpoint) -> None:
    """The table tells it, and its state adds no line. In JSON, it is one line of the output."""
    inventory = write_inventory(tmp_path, endpoint, {})
    shown = play(inventory, playbook="status.yml")
    assert shown.returncode == 2, shown.stdout
    rows = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "node-1 prover_node - UNREACHABLE" in rows
    assert "STATE down: node or broker do not run" in rows
    assert "AGENTS 0 proving, 0 idle" in rows
    problems = "3 problems in the fleet, in the table above."
    assert problems in shown.stdout
    shown = play(inventory, "-e", "status_format=json", playbook="status.yml")
    assert shown.returncode == 2, shown.stdout
    (line,) = [line for line in shown.stdout.splitlines() if line.startswith("{")]
    found = json.loads(line)
    assert (found["earning"]["state"], found["earning"]["good"]) == ("down", False)
    assert {one["state"] for one in found["components"]} == {"UNREACHABLE"}
    assert len(found["problems"]) == 3
    # Without the node's host, only the table of the components tells something.
    shown = play(inventory, "--limit", "agent-1", playbook="status.yml")
    assert "agent-1 prover_agent is unreachable" in " ".join(shown.stdout.split())
    assert "is not earning, the node is not in this run: include its host in --limit" in " ".join(shown.stdout.split())
