# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wrong addresses, each with its line."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_inventory

from tests.unit.plugins.plugin_utils.inventory.inventories import P2P, SPECS, checked, good, resolve_one


def test_a_broker_with_only_ipv6() -> None:
    """Agents with only IPv4 do not reach it."""
    found = checked(node={"aztec_address": "fd00::10"})
    assert [line.split(" | ")[0] for line in found] == ["agent-1", "agent-2"]
    wrong, remedy = found[0].split(" | ")[2:]
    assert wrong == "has no IPv6 address, and the broker on node-1 has no other"
    assert remedy == "set aztec_address6 of this host, or set an IPv4 address in aztec_address of node-1"


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ([], None),
        (["10.0.0.10", "fd00::10", "0.0.0.0", "both.lan"], None),
        (["node.lan", "nowhere.lan"], "the host name nowhere.lan does not resolve on the controller"),
        (["nowhere.lan", "unknown.lan"], "the host name nowhere.lan does not resolve on the controller"),
        ([10], "entry 1 is written without quotes, which YAML makes a number"),
        ("10.0.0.10", "is a text, not a list"),
    ],
)
def test_names_under_which_the_broker_is_published(value: object, wrong: str | None) -> None:
    name = "prover_broker_publish_addresses"
    found = [line.split(" | ")[:3] for line in checked({name: value})]
    assert found == ([["node-1", name, wrong]] if wrong else [])


def test_a_host_without_the_broker_publishes_nothing() -> None:
    assert checked({}, {"prover_broker_publish_addresses": ["nowhere.lan"]}) == []


def test_a_broker_s_url_of_a_name_is_resolved_once() -> None:
    queried = []

    def resolve_and_note(name: str) -> list:
        queried.append(name)
        return resolve_one(name)

    hosts, groups = good()
    hosts["agent-1"]["prover_agent_broker_host"] = hosts["agent-2"]["prover_agent_broker_host"] = "node.lan"
    hosts["node-1"]["prover_broker_publish_addresses"] = ["node.lan", "10.0.0.10"]
    problems, fleet = check_inventory(hosts, groups, SPECS, None, resolve_and_note)
    assert (problems, queried) == ([], ["node.lan"])
    assert fleet["broker"]["publish"] == ["10.0.0.10"]


def test_a_node_that_queries_its_address() -> None:
    """Its private address is not announced. An address in the inventory contradicts the option."""
    hosts, groups = good()
    hosts["node-1"].update(ansible_host="10.0.0.10", prover_node_p2p_query_for_ip=True)
    assert check_inventory(hosts, groups, SPECS, None, resolve_one)[0] == []
    assert checked(node={"prover_node_p2p_query_for_ip": True, P2P: "9.9.9.9"}) == [
        f"node-1 | {P2P} | is set, and so is prover_node_p2p_query_for_ip, which ignores it | remove one of the two"
    ]


NO_NAME = "is neither an IP address nor a host name"


@pytest.mark.parametrize(
    ("value", "with_address", "without_address"),
    [
        ("root@203.0.113.7", None, "'root@203.0.113.7' contains a user"),
        ("me@spot.lan", None, "'me@spot.lan' contains a user"),
        ("spot+1/eu", None, f"'spot+1/eu' {NO_NAME}"),
        ("-prover-1", None, f"'-prover-1' {NO_NAME}"),
        ("prover.1", None, f"'prover.1' {NO_NAME}"),
        ("0x7f.1", None, f"'0x7f.1' {NO_NAME}"),
        ("node.lan", None, None),
        ("both.lan", None, None),
        ("172.31.77.300", f"'172.31.77.300' {NO_NAME}", f"'172.31.77.300' {NO_NAME}"),
        ("root@172.31.77.300", f"'root@172.31.77.300' {NO_NAME}", "'root@172.31.77.300' contains a user"),
        ("10.0.0.21/24", "'10.0.0.21/24' has a prefix length", "'10.0.0.21/24' has a prefix length"),
        ("10.0.0.0/24", "'10.0.0.0/24' is a network", "'10.0.0.0/24' is a network"),
        ("spot.lan:22", "'spot.lan:22' has a port", "'spot.lan:22' has a port"),
        ("http://10.0.0.21", "is a URL", "is a URL"),
    ],
)
def test_what_ansible_connects_to(value: str, with_address: str | None, without_address: str | None) -> None:
    """Check ansible_host with aztec_address set, and without it, where the fleet uses ansible_host itself."""
    for address, wrong in (("10.0.0.9", with_address), ("", without_address)):
        hosts, groups = good()
        hosts["agent-1"].update(ansible_host=value, aztec_address=address)
        # The node has that name.
        hosts["node-1"]["aztec_address"] = "10.0.0.11"
        problems, _fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
        assert [(one.host, one.variable, one.wrong) for one in problems] == (
            [("agent-1", "ansible_host", wrong)] if wrong else []
        )


def test_an_alias_is_not_announced() -> None:
    hosts, groups = good()
    hosts["node-1"]["ansible_host"] = "root@9.9.9.9"
    (problem,) = check_inventory(hosts, groups, SPECS, None, resolve_one)[0]
    assert (problem.host, problem.variable) == ("node-1", P2P)
    hosts["node-1"][P2P] = "9.9.9.9"
    problems, fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
    assert (problems, fleet["node"]["p2p_ip"]) == ([], "9.9.9.9")
