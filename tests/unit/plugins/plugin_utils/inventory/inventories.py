# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A correct inventory with the real specifications of the roles, and the problems after changes to it."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import (
    read_specs,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import (
    problem_table,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_inventory

SPECS = read_specs(Path(__file__).resolve().parents[5] / "roles")


KEY = "0x" + "ab" * 32


OWNER = "0xe239cdc5fbe977a8a141B72194D3CF8c41bC5BC6"


GONE = object()  # as a value: the variable is removed


NAMES = {"node.lan": ["10.0.0.10"], "both.lan": ["10.0.0.21", "fd00::21"], "loop.lan": ["127.0.0.1"]}


def resolve_one(name: str) -> list:
    """Return what DNS would, without a query."""
    if name not in NAMES:
        raise ValueError("does not resolve")
    return NAMES[name]


def good() -> tuple:
    """Return an inventory with nothing wrong: node and broker on one host, two agents."""
    wide = {
        "aztec_version": "4.1.2",
        "aztec_network": "testnet",
        "aztec_l1_execution_urls": ["https://user:S3cretPass@rpc.mine.net/v3/S3cretPath?key=S3cretQuery"],
        "aztec_l1_consensus_urls": ["http://10.0.0.5:5052"],
        "prover_node_publisher_private_key": KEY,
        "my_own_variable": 1,
        "vault_prover_node_publisher_private_key": KEY,
    }
    hosts = {
        "node-1": {**wide, "ansible_host": "9.9.9.9", "aztec_address": "10.0.0.10"},
        "agent-1": {**wide, "ansible_host": "9.9.9.21", "aztec_address": "10.0.0.21"},
        "agent-2": {**wide, "ansible_host": "9.9.9.22", "aztec_address": "10.0.0.22"},
    }
    groups = {"prover_node": ["node-1"], "prover_broker": ["node-1"], "prover_agent": ["agent-1", "agent-2"]}
    return hosts, groups


def checked(node: dict | None = None, agent: dict | None = None, groups: dict | None = None) -> list:
    """Return the lines for the good inventory with these changes to node-1, to agent-1 and to the groups."""
    hosts, inventory_groups = good()
    for host, changes in (("node-1", node), ("agent-1", agent)):
        hosts[host].update(changes or {})
        hosts[host] = {name: value for name, value in hosts[host].items() if value is not GONE}
    inventory_groups.update(groups or {})
    problems, fleet = check_inventory(hosts, inventory_groups, SPECS, None, resolve_one)
    assert (fleet is None) == bool(problems)
    text = problem_table(problems)
    for secret in ("S3cret", KEY[2:20], KEY[-12:], str(int(KEY, 16))[:12]):
        assert secret not in text
    return [" | ".join((problem.host, problem.variable, problem.wrong, problem.remedy)) for problem in problems]


PRIVATE_KEY, ID, P2P = "prover_node_publisher_private_key", "prover_node_prover_id", "prover_node_p2p_ip"


def everywhere(**changes) -> list:
    """Return each (level, variable, wrong, remedy) once for the good inventory with these changes on every host."""
    hosts, groups = good()
    for values in hosts.values():
        values.update(changes)
    problems, _fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
    assert not any("S3cret" in one.wrong + one.remedy for one in problems)
    return list(dict.fromkeys((one.level, one.variable, one.wrong, one.remedy) for one in problems))


EVERYBODY = ["node-1", "agent-1", "agent-2", "guest"]


def other_users(keys: dict, node: dict | None = None, groups: dict | None = None) -> tuple:
    """Return (problems, fleet) where these hosts of the inventory have these variables with names of keys."""
    hosts, inventory_groups = good()
    hosts["node-1"].update(node or {})
    every = {**inventory_groups, "all": EVERYBODY, "guests": ["guest"], **(groups or {})}
    own = {host: {PRIVATE_KEY: values[PRIVATE_KEY]} for host, values in hosts.items()}
    problems, fleet = check_inventory(hosts, every, SPECS, None, resolve_one, {**own, "guest": {}, **keys})
    assert KEY[2:20] not in problem_table(problems)
    return [(one.level, one.host, one.variable, one.wrong) for one in problems], fleet


SEVERAL = {PRIVATE_KEY: "", "prover_node_publisher_private_keys": ["0x" + "cd" * 32, KEY]}


SIGNED = {
    PRIVATE_KEY: "",
    "prover_node_key_source": "web3signer",
    "prover_node_web3signer_url": "http://10.0.0.5:9000/S3cretToken",
    "prover_node_publisher_addresses": ["0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359", OWNER.lower()],
}
