# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inventories that pass, and all problems in one table."""

from __future__ import annotations

import time

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import (
    problem_table,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_inventory

from tests.unit.plugins.plugin_utils.inventory.inventories import (
    ID,
    KEY,
    OWNER,
    P2P,
    PRIVATE_KEY,
    SPECS,
    checked,
    good,
    resolve_one,
)


def test_the_good_one() -> None:
    assert checked() == []


FINE = [
    {"prover_agent_count": "auto"},
    {"prover_agent_count": 2},
    {"prover_agent_count": "2"},
    {"aztec_version": "v4.1.2"},
    {"prover_node_p2p_port": "40401"},
    {P2P: "10.0.0.10", "prover_node_allow_private_p2p_ip": True},
    {P2P: "10.0.0.10", "prover_node_allow_private_p2p_ip": "true"},
    {"aztec_address": "8.8.8.8", "aztec_allow_public_broker": True},
    {"aztec_address": "node.lan"},
    {"aztec_address6": "[fd00::10]"},
    {"aztec_address6": "fd00::10", "aztec_docker_ipv6_subnet": ""},
    {"aztec_admit": ["0.0.0.0/0"], "aztec_allow_public_broker": True},
    {"aztec_admit": ["10.0.9.0/24", "fd00::/64", "10.0.0.7"]},
    {"aztec_image": "registry.lan:5000/aztec"},
    {"aztec_image_digest": "sha256:" + "0a" * 32},
    {PRIVATE_KEY: KEY[2:]},
    {ID: OWNER.lower()},
    {ID: ""},
    {"prover_node_restart_policy": "no"},
    {"aztec_environment": {"A": 1, "B": True, "_C": "x"}},
    {"prover_node_broker_host": "broker.lan", "prover_node_broker_port": 8443},
    {"aztec_docker_ipv6_subnet": "fd00:1::/64"},
    {"preflight_fleet": {}, "ansible_user": "me"},
    {"vault_aztec_version": "1", "our_prover_agent_count": 3},
]


@pytest.mark.parametrize("changes", FINE)
def test_fine(changes: dict) -> None:
    assert checked(node=changes) == []


def test_all_at_once_and_alike_ones_in_one_line() -> None:
    hosts, groups = good()
    for values in hosts.values():
        values.update({"aztec_netwrok": "x", "prover_agent_count": 0})
    hosts["node-1"][PRIVATE_KEY] = "short"
    problems, _fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
    lines = problem_table(problems, list(hosts)).splitlines()
    assert len(lines) == 2 + 3
    assert any(line.startswith("all 3 hosts") and "aztec_netwrok" in line for line in lines)
    assert any(line.startswith("agent-1, agent-2 ") and "prover_agent_count" in line for line in lines)


def test_two_hundred_agents_take_a_moment() -> None:
    hosts, groups = good()
    for number in range(200):
        hosts[f"agent-{number}"] = {**hosts["agent-1"], "aztec_address": f"10.0.{1 + number // 250}.{number % 250}"}
    groups["prover_agent"] = [name for name in hosts if name.startswith("agent")]
    start = time.process_time()
    problems, fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
    assert problems == []
    assert len(fleet["agents"]) == 200
    assert time.process_time() - start < 3
