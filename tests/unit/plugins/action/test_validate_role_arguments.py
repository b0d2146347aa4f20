# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wrong settings of a role that is used by itself, without a fleet: each with the line that it gets."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import ROLES, read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import UnresolvedValue
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_role_arguments

SPECS = read_specs(ROLES)
KEY = "0x" + "ab" * 32
GONE = object()  # as a value: the variable is removed

GOOD = {
    "docker_engine": {},
    "port_guard": {"port_guard_section": "my_service"},
    "prover_node": {
        "prover_node_broker_host": "10.0.0.11",
        "prover_node_l1_execution_urls": ["https://rpc.mine.net/S3cret"],
        "prover_node_l1_consensus_urls": ["https://rpc.mine.net/S3cret"],
        "prover_node_publisher_private_key": KEY,
        "prover_node_p2p_ip": "9.9.9.9",
    },
    "prover_broker": {"prover_broker_l1_execution_urls": ["https://rpc.mine.net/S3cret"]},
    "prover_agent": {"prover_agent_broker_host": "10.0.0.11"},
}


def lines(role: str, changes: dict) -> list:
    """Return the lines for a role with good settings and these changes."""
    values = {name: value for name, value in {**GOOD[role], **changes}.items() if value is not GONE}
    found = [
        " | ".join((one.host, one.variable, one.wrong, one.remedy))
        for one in check_role_arguments(role, "h", values, SPECS)
    ]
    assert not any(secret in line for line in found for secret in ("S3cret", "abab"))
    return found


@pytest.mark.parametrize("role", GOOD)
def test_the_good_ones(role: str) -> None:
    assert lines(role, {}) == []


WRONG = [
    (
        "docker_engine",
        {"docker_engine_version": "28"},
        "docker_engine_version | '28' is not a version of Docker Engine",
    ),
    ("docker_engine", {"docker_engine_source": "snap"}, "docker_engine_source | 'snap' is not a choice"),
    ("docker_engine", {"docker_engine_apt_url": "mirror.lan"}, "docker_engine_apt_url | has no scheme"),
    ("docker_engine", {"docker_engine_lock_timeout": -1}, "docker_engine_lock_timeout | -1 is below 0"),
    (
        "docker_engine",
        {"docker_engine_sorce": 1},
        "docker_engine_sorce | is an unknown variable | did you mean dock",
    ),
    ("port_guard", {"port_guard_section": GONE}, "port_guard_section | is not set"),
    (
        "port_guard",
        {"port_guard_section": "My-Service"},
        "port_guard_section | 'My-Service' is not a name of a section",
    ),
    ("port_guard", {"port_guard_ports": [{}]}, "port_guard_ports | entry 1 has no port | set it"),
    ("port_guard", {"port_guard_ports": [{"prot": 1}]}, "port_guard_ports | entry 1 has the unknown key 'prot'"),
    ("port_guard", {"port_guard_ports": [80]}, "port_guard_ports | entry 1 is a number, not a dict"),
    (
        "port_guard",
        {"port_guard_ports": [{"port": 1}, {"port": 70000}]},
        "port_guard_ports | entry 2 has an invalid port: 70000 is not a port",
    ),
    (
        "port_guard",
        {"port_guard_ports": [{"port": 1, "protocol": "icmp"}]},
        "port_guard_ports | entry 1 has an invalid protocol: 'icmp' is not a choice | choose one of tcp, udp",
    ),
    (
        "port_guard",
        {"port_guard_ports": [{"port": 1, "sources": ["10.0.0.0/33"]}]},
        "port_guard_ports | entry 1 has an invalid sources: entry 1, '10.0.0.0/33' is not an address",
    ),
    ("port_guard", {"port_guard_bridges": ["br-*"]}, "port_guard_bridges | entry 1, 'br-*' is not a name of a bridge"),
    ("prover_node", {"prover_node_publisher_private_key": GONE}, "prover_node_publisher_private_key | is not set"),
    (
        "prover_node",
        {"prover_node_publisher_private_key": "abab"},
        "prover_node_publisher_private_key | the private key",
    ),
    ("prover_node", {"prover_node_l1_execution_urls": GONE}, "prover_node_l1_execution_urls | has no URL"),
    (
        "prover_node",
        {"aztec_l1_consensus_urls": ["x"], "prover_node_l1_consensus_urls": GONE},
        "aztec_l1_consensus_urls | e",
    ),
    ("prover_node", {"prover_node_broker_host": ""}, "prover_node_broker_host | is not set | set it"),
    ("prover_node", {"prover_node_broker_host": "http://b:1/S3cret"}, "prover_node_broker_host | is a URL"),
    ("prover_node", {"prover_node_p2p_ip": GONE}, "prover_node_p2p_ip | is not set | set the address"),
    (
        "prover_node",
        {"prover_node_p2p_query_for_ip": True},
        "prover_node_p2p_ip | is set, and so is prover_node_p2p_query_for_ip, which ignores it | remove one of the two",
    ),
    ("prover_agent", {"prover_agent_version": "7.0.0"}, "prover_agent_version | the release line 7.0 is not known"),
    (
        "prover_agent",
        {"prover_agent_release_line": "7", "prover_agent_version": "7.0.0"},
        "prover_agent_release_line | '7' is not a known release line | choose one of 2.1, 4, 5, 6",
    ),
    (
        "prover_agent",
        {"prover_agent_environment": {"ACVM_BINARY_PATH": "/x"}},
        "prover_agent_environment | contains ACVM_BINARY_PATH, which release line 6 does not read",
    ),
    ("prover_node", {"prover_node_p2p_ip": GONE, "ansible_host": "9.9.9.9"}, "prover_node_p2p_ip | is not set"),
    ("prover_node", {"prover_node_p2p_ip": "10.0.0.1"}, "prover_node_p2p_ip | the node would announce 10.0.0.1"),
    ("prover_node", {"prover_node_p2p_ip": "node.lan"}, "prover_node_p2p_ip | is not an IP address"),
    ("prover_node", {"prover_node_port": 40400}, "prover_node_p2p_port | port 40400 is used twice"),
    ("prover_node", {"prover_node_prover_id": "0x12"}, "prover_node_prover_id | not an Ethereum address"),
    ("prover_node", {"prover_node_network": "goerli"}, "prover_node_network | 'goerli' is an unknown network"),
    (
        "prover_node",
        {"prover_node_environment": {"A-B": 1}},
        "prover_node_environment | the name of entry 1 is not a name",
    ),
    ("prover_broker", {"prover_broker_l1_execution_urls": []}, "prover_broker_l1_execution_urls | has no URL"),
    ("prover_broker", {"prover_broker_admitted": ["::/0"]}, "prover_broker_admitted | entry 1 admits all addresses"),
    ("prover_broker", {"prover_broker_port": 8880}, "prover_broker_port | port 8880 is used twice"),
    (
        "prover_broker",
        {"docker_engine_version": "28"},
        "docker_engine_version | '28' is not a version of Docker Engine",
    ),
    ("prover_broker", {"port_guard_lock_timeout": "x"}, "port_guard_lock_timeout | is not a whole number"),
    ("prover_agent", {"prover_agent_broker_host": GONE}, "prover_agent_broker_host | is not set | set it"),
    ("prover_agent", {"aztec_version": "latest"}, 'aztec_version | the version is "latest"'),
    (
        "prover_agent",
        {"aztec_verison": "2.1.5"},
        "aztec_verison | is an unknown variable | did you mean aztec_version?",
    ),
    (
        "prover_agent",
        {"prover_agent_count": UnresolvedValue("cannot be decrypted")},
        "prover_agent_count | cannot be decrypted",
    ),
    ("prover_agent", {"prover_agent_stop_grace_period": 60}, "prover_agent_stop_grace_period | 60 is not a duration"),
]


@pytest.mark.parametrize(("role", "changes", "line"), WRONG)
def test_one_fault_gives_one_line(role: str, changes: dict, line: str) -> None:
    found = lines(role, changes)
    assert [one[: len(f"h | {line}")] for one in found] == [f"h | {line}"], found


FINE = [
    # The other variables of the host belong to the operator, or to another role.
    ("prover_agent", {"aztec_data_root": "/x", "prover_host": "y", "prover_node_port": "x", "prover_broker_x": 1}),
    ("docker_engine", {"prover_node_port": "x", "port_guard_section": "X", "aztec_version": "latest"}),
    ("prover_node", {"prover_node_p2p_ip": GONE, "aztec_public_address": "9.9.9.9"}),
    ("prover_node", {"prover_node_p2p_ip": GONE, "prover_node_p2p_query_for_ip": True}),
    ("prover_agent", {"prover_agent_version": "7.0.0", "prover_agent_release_line": "6"}),
    ("prover_node", {"prover_node_p2p_ip": "10.0.0.1", "prover_node_allow_private_p2p_ip": True}),
    ("prover_node", {"prover_node_l1_execution_urls": GONE, "aztec_l1_execution_urls": ["http://rpc.lan:8545"]}),
    ("prover_broker", {"prover_broker_admitted": ["::/0"], "aztec_allow_public_broker": True}),
    ("prover_broker", {"ansible_host": "9.9.9.9"}),
    ("port_guard", {"port_guard_ports": [{"port": 80, "sources": ["::/0"]}, {"port": "81", "protocol": "udp"}]}),
]


@pytest.mark.parametrize(("role", "changes"), FINE)
def test_fine(role: str, changes: dict) -> None:
    assert lines(role, changes) == []


def test_all_at_once() -> None:
    assert (
        len(lines("prover_node", {"prover_node_port": 0, "prover_node_p2p_prot": 1, "prover_node_p2p_ip": GONE})) == 3
    )
