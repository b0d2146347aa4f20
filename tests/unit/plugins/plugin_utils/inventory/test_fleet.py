# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fleet's values, derived only from the inventory."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.aztec_ops.prover.plugins.filter.filters import FilterModule
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory import addresses
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory import fleet as fleet_module
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.addresses import (
    publications,
    published_addresses,
    resolve_all,
    url_host,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import default_value
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet, set_broker_hosts

KEY = "0x" + "ab" * 32
ID = "0xe239cdc5fbe977a8a141B72194D3CF8c41bC5BC6"
ROLES = Path(__file__).resolve().parents[5] / "roles"


def inventory(node: dict | None = None, agents: dict | None = None, broker: dict | None = None, **everywhere) -> tuple:
    """Return hostvars and groups; a broker of its own where one is given."""
    hosts = {"node-1": {"aztec_address": "10.0.0.10", "prover_node_publisher_private_key": KEY, **(node or {})}}
    hosts.update(agents if agents is not None else {"agent-1": {"aztec_address": "10.0.0.21"}})
    groups = {"prover_node": ["node-1"], "prover_broker": ["node-1"]}
    groups["prover_agent"] = [name for name in hosts if name.startswith("agent")]
    if broker is not None:
        hosts["broker-1"] = broker
        groups["prover_broker"] = ["broker-1"]
    return {name: {**everywhere, **values} for name, values in hosts.items()}, groups


def test_node_and_broker_on_one_host() -> None:
    found = fleet(*inventory(aztec_version="4.1.2"))
    assert found["broker"]["admitted"] == ["10.0.0.10/32", "10.0.0.21/32"]
    assert found["broker"]["guard"] == {
        "section": "prover_broker",
        "ports": [{"port": 8080, "sources": ["10.0.0.10/32", "10.0.0.21/32"]}],
        "containers": [{"mac_address": "02:a2:7e:01:00:01", "ports": [8880]}],
        "bridges": ["aztec0"],
        "required_by_docker": True,
        "keep_existing": False,
    }
    assert found["broker"]["publish"] == ["10.0.0.10"]
    assert found["hosts"]["node-1"]["broker_host"] == "prover-broker"
    assert found["hosts"]["node-1"]["components"] == ["prover_node", "prover_broker"]
    assert found["hosts"]["agent-1"]["broker_host"] == "10.0.0.10"
    assert (found["version"], found["line"], found["network"]) == ("4.1.2", "4", "testnet")
    assert found["projects"] == [f"aztec-prover-{name}" for name in ("node", "broker", "agent", "monitor")]
    assert (found["prover_id"], found["publishers"], found["agents"]) == (ID, [ID], ["agent-1"])


def test_an_instance_is_part_of_all_names() -> None:
    found = fleet(*inventory(aztec_version="4.1.2", aztec_instance="main2", inventory_dir="/ops/inventories/prod"))
    assert (found["instance"], found["inventory"]) == ("main2", "prod")
    assert found["projects"] == [f"aztec-main2-prover-{name}" for name in ("node", "broker", "agent", "monitor")]
    guard = found["broker"]["guard"]
    assert (guard["section"], guard["bridges"]) == ("main2_prover_broker", ["aztec-main2"])
    assert found["hosts"]["node-1"]["broker_host"] == "prover-broker"
    assert found["hosts"]["agent-1"]["paths"] == {"prover_agent": "/opt/aztec/main2/prover-agent/crs"}
    assert found["hosts"]["node-1"]["project_directories"] == {
        "aztec-main2-prover-node": "/opt/aztec/main2/prover-node",
        "aztec-main2-prover-broker": "/opt/aztec/main2/prover-broker",
    }


def test_names_that_are_set_are_not_those_of_the_instance() -> None:
    own = {"aztec_docker_bridge": "own0", "prover_node_directory": "/srv/node", "aztec_inventory_name": "mainnet"}
    found = fleet(*inventory(aztec_instance="main2", inventory_dir="/ops/inventories/prod", **own))
    assert (found["inventory"], found["broker"]["guard"]["bridges"]) == ("mainnet", ["own0"])
    assert found["hosts"]["node-1"]["project_directories"]["aztec-main2-prover-node"] == "/srv/node"


def test_instances_have_ipv6_subnets_of_their_own() -> None:
    ipv6 = {"aztec_address": "fd00::10"}
    found = [
        fleet(*inventory(ipv6, agents={"agent-1": {"aztec_address": "fd00::21"}}, aztec_instance=instance))["hosts"]
        for instance in ("", "main2", "main3")
    ]
    subnets = [hosts["agent-1"]["docker_ipv6_subnet"] for hosts in found]
    assert subnets[0] == "fd61:7a74:6563::/64"
    assert len(set(subnets)) == 3
    assert all(ip_network(subnet).subnet_of(ip_network("fd61:7a74:6563::/48")) for subnet in subnets)


def test_broker_on_its_own_host_and_another_port() -> None:
    found = fleet(*inventory(broker={"aztec_address": "10.0.0.11", "prover_broker_port": "9090"}))
    assert {host["broker_address"] for host in found["hosts"].values()} == {"10.0.0.11"}
    assert {name: host["broker_host"] for name, host in found["hosts"].items()} == {
        "node-1": "10.0.0.11",
        "agent-1": "10.0.0.11",
        "broker-1": "prover-broker",
    }
    assert found["broker"]["admitted"] == ["10.0.0.10/32", "10.0.0.21/32"]


def test_an_agent_on_the_broker_s_host_uses_the_docker_network() -> None:
    hosts, groups = inventory(agents={})
    groups["prover_agent"] = ["node-1"]
    assert fleet(hosts, groups)["hosts"]["node-1"]["broker_host"] == "prover-broker"


@pytest.mark.parametrize(
    ("variables", "agents"),
    [
        ({}, {"count": 1, "separate": False}),
        ({"prover_agent_count": "auto"}, {"count": "auto", "separate": False}),
        ({"prover_agent_count": 2, "prover_agent_separate_containers": "true"}, {"count": 2, "separate": True}),
    ],
)
def test_agents_of_a_host(variables: dict, agents: dict) -> None:
    hosts = fleet(*inventory(agents={"agent-1": {"aztec_address": "10.0.0.21", **variables}}))["hosts"]
    assert hosts["agent-1"]["agents"] == agents
    assert "agents" not in hosts["node-1"]


def test_ipv6() -> None:
    found = fleet(*inventory({"aztec_address": "fd00::10"}, {"agent-1": {"aztec_address": "[fd00::21]"}}))
    assert found["hosts"]["agent-1"]["broker_host"] == "fd00::10"
    assert found["broker"]["admitted"] == ["fd00::10/128", "fd00::21/128"]


BOTH = {"dual.lan": ["10.0.0.11", "fd00::11"]}


@pytest.mark.parametrize(
    "broker",
    [
        pytest.param({"aztec_address": "10.0.0.11", "aztec_address6": "fd00::11"}, id="two addresses"),
        pytest.param({"aztec_address": "dual.lan"}, id="a name with both"),
        pytest.param({"ansible_host": "10.0.0.11", "aztec_address6": "[FD00::11]"}, id="with ansible_host"),
    ],
)
def test_each_host_reaches_the_broker_by_a_family_that_it_has(broker: dict) -> None:
    agents = {
        "agent-4": {"aztec_address": "10.0.0.24"},
        "agent-6": {"aztec_address": "fd00::26"},
        "agent-46": {"aztec_address": "10.0.0.25", "aztec_address6": "fd00::25"},
        "agent-64": {"aztec_address": "fd00::27", "aztec_address6": "fd00::28"},
    }
    hosts, groups = inventory({}, agents, broker)
    known = {values[name]: [values[name]] for values in hosts.values() for name in values if name.endswith("_address")}
    found = fleet(hosts, groups, None, {**known, "10.0.0.11": ["10.0.0.11"], **BOTH})
    here = found["hosts"]
    four, six = "10.0.0.11", "fd00::11"
    assert {name: here[name]["broker_host"] for name in ["node-1", *agents]} == {
        "node-1": four, "agent-4": four, "agent-6": six, "agent-46": four, "agent-64": six
    }  # fmt: skip
    assert (here["agent-4"]["broker_address"], here["agent-6"]["broker_address"]) == ("10.0.0.11", "fd00::11")
    assert here["agent-46"]["addresses"] == ["10.0.0.25", "fd00::25"]
    assert found["broker"]["admitted"] == [
        "10.0.0.10/32", "10.0.0.24/32", "10.0.0.25/32", "fd00::25/128", "fd00::26/128", "fd00::27/128", "fd00::28/128"
    ]  # fmt: skip
    assert [name for name, host in here.items() if host["docker_ipv6_subnet"]] == ["agent-6", "agent-64"]


@pytest.mark.parametrize(
    ("node", "agent", "wanted"),
    [
        pytest.param({}, {}, [], id="IPv4"),
        pytest.param({"aztec_address": "fd00::10"}, {"aztec_address": "fd00::21"}, ["node-1", "agent-1"], id="IPv6"),
        pytest.param({}, {"prover_agent_broker_host": "fd00::10"}, ["agent-1"], id="a URL in the inventory"),
        pytest.param(
            {"aztec_address": "fd00::10", "aztec_docker_ipv6_subnet": "fd01::/64"},
            {"aztec_address": "fd00::21", "prover_agent_docker_ipv6_subnet": ""},
            [],
            id="subnets in the inventory",
        ),
    ],
)
def test_containers_get_ipv6_where_they_need_it(node: dict, agent: dict, wanted: list) -> None:
    here = fleet(*inventory(node, {"agent-1": {"aztec_address": "10.0.0.21", **agent}}))["hosts"]
    assert [name for name, host in here.items() if host["docker_ipv6_subnet"]] == wanted


def test_extra_sources_of_any_host_are_admitted_once() -> None:
    agents = {"agent-1": {"aztec_address": "10.0.0.21", "aztec_admit": ["10.0.9.0/24", "fd00::/64", "10.1.1.1"]}}
    hosts, groups = inventory(None, agents, aztec_admit=["10.0.9.0/24"])
    assert fleet(hosts, groups)["broker"]["admitted"] == [
        "10.0.0.10/32",
        "10.0.0.21/32",
        "10.0.9.0/24",
        "10.1.1.1/32",
        "fd00::/64",
    ]


def test_names_are_resolved_to_all_their_addresses() -> None:
    hosts, groups = inventory({"aztec_address": "node.lan"}, {"agent-1": {"ansible_host": "agent.lan"}})
    known = {"node.lan": ["10.0.0.10"], "agent.lan": ["10.0.0.21", "fd00::21"]}
    found = fleet(hosts, groups, None, known)
    assert found["hosts"]["agent-1"]["broker_host"] == "10.0.0.10"
    assert found["broker"]["admitted"] == ["10.0.0.10/32", "10.0.0.21/32", "fd00::21/128"]
    with pytest.raises(ValueError, match=r"agent-1: the address agent\.lan does not resolve"):
        fleet(hosts, groups, None, {**known, "agent.lan": ValueError("no")})


@pytest.mark.parametrize(
    ("node", "announced"),
    [
        ({"prover_node_p2p_ip": "9.9.9.9", "aztec_public_address": "8.8.8.8"}, "9.9.9.9"),
        ({"aztec_public_address": "8.8.8.8", "ansible_host": "1.1.1.1"}, "8.8.8.8"),
        ({"ansible_host": "1.1.1.1"}, "1.1.1.1"),
    ],
)
def test_announced_address(node: dict, announced: str) -> None:
    assert fleet(*inventory(node))["node"]["p2p_ip"] == announced


def test_inventory_values_take_precedence() -> None:
    cold = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
    hosts, groups = inventory(
        {"prover_node_prover_id": cold.lower(), "prover_broker_version": "5.2.0"}, aztec_version="4.1.2"
    )
    found = fleet(hosts, groups)
    assert (found["prover_id"], found["version"], found["line"]) == (cold, "5.2.0", "5")
    assert found["publishers"] == [ID]


@pytest.mark.parametrize(
    ("given", "required"), [(False, False), ("false", False), ("no", False), (True, True), ("true", True)]
)
def test_the_guard_is_required_as_the_broker_s_role_sets(given: object, required: bool) -> None:
    broker = {
        "aztec_address": "10.0.0.11",
        "prover_broker_admitted": ["10.9.0.0/16"],
        "prover_broker_docker_bridge": "own0",
        "port_guard_required_by_docker": given,
    }
    found = fleet(*inventory(broker=broker, aztec_docker_bridge="fleet0", aztec_admit=["10.1.1.1"]))["broker"]
    assert found["admitted"] == found["guard"]["ports"][0]["sources"] == ["10.9.0.0/16"]
    assert found["guard"]["bridges"] == ["own0"]
    assert found["guard"]["required_by_docker"] is required


@pytest.mark.parametrize(
    ("broker", "agent", "publish"),
    [
        pytest.param({}, {}, ["10.0.0.11"], id="its_address"),
        pytest.param({"aztec_address6": "fd00::11"}, {}, ["10.0.0.11", "fd00::11"], id="both_families"),
        pytest.param(
            {},
            {"prover_agent_broker_host": "192.168.0.11"},
            ["10.0.0.11", "192.168.0.11"],
            id="a_URL_in_the_inventory",
        ),
        pytest.param(
            {},
            {"prover_agent_broker_host": "fd00::99", "prover_node_broker_host": "10.0.0.11"},
            ["10.0.0.11", "fd00::99"],
            id="URLs_of_both_components",
        ),
        pytest.param({}, {"prover_agent_broker_host": "known.lan"}, ["10.0.0.11", "10.9.0.1"], id="a_name"),
        pytest.param({}, {"prover_agent_broker_host": "unknown.lan"}, ["10.0.0.11"], id="a_name_of_nothing"),
        pytest.param({"prover_node_broker_host": "192.168.0.11"}, {}, ["10.0.0.11"], id="on_its_own_host"),
    ],
)
def test_addresses_at_which_the_broker_is_used(
    monkeypatch: pytest.MonkeyPatch, broker: dict, agent: dict, publish: list
) -> None:
    def resolve(name: str) -> list:
        if name != "known.lan":
            raise ValueError("no")
        return ["10.9.0.1"]

    def resolve_by(names: list, one=resolve) -> dict:
        return resolve_all(names, one)

    monkeypatch.setattr(fleet_module, "resolve_all", resolve_by)
    agents = {"agent-1": {"aztec_address": "10.0.0.21", **agent}}
    found = fleet(*inventory(None, agents, {"aztec_address": "10.0.0.11", **broker}))
    assert found["broker"]["publish"] == publish


def test_a_host_of_two_components_is_read_once() -> None:
    hosts, groups = inventory(broker={"aztec_address": "10.0.0.11"}, prover_node_broker_host="10.0.0.12")
    groups["prover_agent"] = ["node-1", "broker-1"]
    assert fleet(hosts, groups)["broker"]["publish"] == ["10.0.0.11", "10.0.0.12"]


def test_names_that_are_known_already_are_not_resolved_again(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"10.0.0.10": ["10.0.0.10"], "10.0.0.21": ["10.0.0.21"], "a.lan": ["10.0.0.10"]}
    queried = []
    monkeypatch.setattr(fleet_module, "resolve_all", lambda names: queried.extend(names) or {})
    agents = {"agent-1": {"aztec_address": "10.0.0.21", "prover_agent_broker_host": "a.lan"}}
    fleet(*inventory(None, agents), None, known)
    assert (queried, sorted(known)) == ([], ["10.0.0.10", "10.0.0.21", "a.lan"])


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({}, []),
        ({"prover_node_broker_host": "a.lan", "prover_agent_broker_host": "::1"}, ["a.lan", "::1"]),
        ({"prover_agent_broker_host": ["a.lan"], "prover_node_broker_host": None}, []),
        ({"prover_broker_broker_host": "a.lan"}, []),
    ],
)
def test_broker_hosts_that_variables_set(variables: dict, names: list) -> None:
    assert set_broker_hosts(variables) == names


OWN = ["10.0.0.10", "FD00::10", "192.168.1.4"]


@pytest.mark.parametrize(
    ("wanted", "own", "addresses"),
    [
        pytest.param(["10.0.0.10"], OWN, ["127.0.0.1", "10.0.0.10"], id="one"),
        pytest.param(["fd00::10", "10.0.0.10"], OWN, ["127.0.0.1", "fd00::10", "10.0.0.10"], id="both_families"),
        pytest.param(["10.0.0.10", "9.9.9.9"], OWN, ["127.0.0.1", "10.0.0.10"], id="one_on_no_interface"),
        pytest.param(["10.0.0.10", "10.0.0.10"], OWN, ["127.0.0.1", "10.0.0.10"], id="twice"),
        pytest.param(["127.0.0.1"], OWN, ["127.0.0.1"], id="loopback"),
        pytest.param(["::1", "127.0.0.2"], [], ["127.0.0.1", "::1", "127.0.0.2"], id="other_loopback"),
        pytest.param(["9.9.9.9"], OWN, [], id="none_on_an_interface"),
        pytest.param([], OWN, [], id="nothing_wanted"),
        pytest.param(["10.0.0.10", "0.0.0.0"], OWN, [], id="all_IPv4"),
        pytest.param(["::", "10.0.0.10"], OWN, [], id="all_IPv6"),
        pytest.param(["10.0.0.10"], [], [], id="addresses_are_not_known"),
    ],
)
def test_published_addresses(wanted: list, own: list, addresses: list) -> None:
    assert published_addresses(wanted, own) == addresses
    ports = {"127.0.0.1": "127.0.0.1:80:80", "fd00::10": "[fd00::10]:80:80", "::1": "[::1]:80:80"}
    published = [ports.get(address, f"{address}:80:80") for address in addresses]
    assert publications(80, wanted, own) == (published or ["80:80"])


def test_a_publish_address_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(name: str) -> list:
        raise ValueError(name)

    monkeypatch.setattr(addresses, "resolve", resolve)
    with pytest.raises(AnsibleFilterError, match="a publish address does not resolve on the controller: use an IP"):
        FilterModule().filters()["publications"](80, ["broker.lan"], OWN)


def test_an_empty_list_in_the_inventory_admits_no_source() -> None:
    found = fleet(*inventory({"prover_broker_admitted": []}))["broker"]
    assert found["admitted"] == found["guard"]["ports"][0]["sources"] == []


def test_empty_inventory_values_take_precedence_too() -> None:
    found = fleet(*inventory({"prover_broker_image_digest": ""}, aztec_image_digest="sha256:1"))["hosts"]
    assert found["node-1"]["images"] == ["azteclabs/aztec:6.0.0", "azteclabs/aztec:6.0.0@sha256:1"]


def test_what_the_host_info_queries() -> None:
    node = {
        "prover_node_data_directory": "/data",
        "prover_broker_directory": "/srv/b",
        "aztec_image_digest": "sha256:1",
    }
    here = fleet(*inventory(node, aztec_directory="/opt/x"))["hosts"]
    assert here["node-1"]["paths"] == {"prover_node": "/data", "prover_broker": "/srv/b/data"}
    assert here["node-1"]["images"] == ["azteclabs/aztec:6.0.0@sha256:1"]
    assert here["agent-1"]["paths"] == {"prover_agent": "/opt/x/prover-agent/crs"}


@pytest.mark.parametrize(
    ("changes", "image", "line"),
    [
        ({"aztec_version": "5.2.0"}, "aztecprotocol/aztec:5.2.0", "5"),
        ({"aztec_version": "6.0.1"}, "azteclabs/aztec:6.0.1", "6"),
        ({"aztec_version": "7.0.0", "aztec_release_line": "6"}, "azteclabs/aztec:7.0.0", "6"),
        ({"aztec_version": "6.0.0", "aztec_image": "registry.lan:5000/aztec"}, "registry.lan:5000/aztec:6.0.0", "6"),
        ({"aztec_version": "6.0.0", "aztec_image": ""}, "azteclabs/aztec:6.0.0", "6"),
    ],
)
def test_the_image_is_the_release_line_s(changes: dict, image: str, line: str) -> None:
    found = fleet(*inventory(**changes))
    assert found["hosts"]["agent-1"]["images"] == [image]
    assert found["line"] == line


def test_groups_of_other_names() -> None:
    hosts, groups = inventory()
    renamed = {f"my_{name}": members for name, members in groups.items()}
    names = {name: f"my_{name}" for name in groups}
    assert fleet(hosts, renamed, names) == fleet(hosts, groups)


@pytest.mark.parametrize("group", ["prover_node", "prover_broker"])
@pytest.mark.parametrize("members", [[], ["node-1", "agent-1"]])
def test_one_node_and_one_broker(group: str, members: list) -> None:
    hosts, groups = inventory()
    with pytest.raises(
        AnsibleFilterError, match=f"fleet: the group of {group} has {len(members)} hosts: put exactly one host in it"
    ):
        FilterModule().filters()["fleet"](hosts, {**groups, group: members})


@pytest.mark.parametrize(
    ("address", "text"),
    [("10.0.0.1", "10.0.0.1"), ("fd00::1", "[fd00::1]"), ("[fd00::1]", "[fd00::1]"), ("a.lan", "a.lan")],
)
def test_url_host(address: str, text: str) -> None:
    assert url_host(address) == text


def test_names_are_resolved_once() -> None:
    queried = []

    def one(name: str) -> list:
        queried.append(name)
        return ["10.0.0.1"]

    assert resolve_all(["a.lan", "b.lan", "a.lan"], one) == {"a.lan": ["10.0.0.1"], "b.lan": ["10.0.0.1"]}
    assert sorted(queried) == ["a.lan", "b.lan"]


def test_defaults_come_from_the_argument_specs() -> None:
    specs = {}
    for path in ROLES.glob("*/meta/argument_specs.yml"):
        specs.update(yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"])
    names = ("aztec_directory", "prover_broker_port", "prover_node_key_source", "aztec_l1_balance_warn")
    assert {name: default_value(name) for name in names} == {name: specs[name]["default"] for name in names}
    assert default_value("unknown") is None
