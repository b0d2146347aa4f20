# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The environment, the guard section and the containers of a component."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import (
    agent_layout,
    component_names,
    container_environment,
    guard_section,
    image_reference,
    is_service_of,
    mac_address,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.nft import section_of


@pytest.mark.parametrize(
    ("image", "version", "digest", "reference"),
    [
        ("aztecprotocol/aztec", "2.1.5", "", "aztecprotocol/aztec:2.1.5"),
        ("host:5000/aztec", "5.2.0", "sha256:ab", "host:5000/aztec:5.2.0@sha256:ab"),
    ],
)
def test_image_reference(image, version, digest, reference):
    assert image_reference(image, version, digest) == reference


@pytest.mark.parametrize(
    ("layers", "environment"),
    [
        ([], {}),
        ([{"A": "1"}, {"A": "2"}], {"A": "2"}),
        ([{"A": 0, "B": False, "C": True}], {"A": "0", "B": "false", "C": "true"}),
        ([{"A": "", "B": None, "C": []}], {}),
        ([{"A": "set"}, {"A": ""}], {}),
        ([{"URLS": ["http://a", "http://b"]}], {"URLS": "http://a,http://b"}),
        ([None, {"A": "$x 'y'"}], {"A": "$x 'y'"}),
        # Without an exponent, which no amount of ETH may have.
        ([{"A": 0.00001, "B": 1.0, "C": 0.1}], {"A": "0.00001", "B": "1.0", "C": "0.1"}),
        ([{"A": 1e21}], {"A": "1" + "0" * 21}),
    ],
)
def test_container_environment(layers, environment):
    assert container_environment(layers) == environment


@pytest.mark.parametrize(
    ("component", "number", "address"),
    [
        ("prover_node", 1, "02:a2:7e:00:00:01"),
        ("prover_broker", 1, "02:a2:7e:01:00:01"),
        ("prover_agent", 1, "02:a2:7e:02:00:01"),
        ("prover_agent", 255, "02:a2:7e:02:00:ff"),
        ("prover_agent", 256, "02:a2:7e:02:01:00"),
        ("prover_agent", 1023, "02:a2:7e:02:03:ff"),
    ],
)
def test_mac_address(component: str, number: int, address: str) -> None:
    assert mac_address(component, number) == address


def test_the_first_container_s_mac_address_is_the_default() -> None:
    assert mac_address("prover_broker") == "02:a2:7e:01:00:01"


NODE, BROKER, AGENT = "02:a2:7e:00:00:01", "02:a2:7e:01:00:01", "02:a2:7e:02:00:01"


@pytest.mark.parametrize(
    ("arguments", "ports", "containers"),
    [
        pytest.param(
            {"component": "prover_broker", "port": "8080", "sources": ["10.0.0.1"]},
            [{"port": 8080, "sources": ["10.0.0.1"]}],
            [{"mac_address": BROKER, "ports": [8880]}],
            id="broker",
        ),
        pytest.param(
            {"component": "prover_broker", "port": 8080},
            [{"port": 8080, "sources": []}],
            [{"mac_address": BROKER, "ports": [8880]}],
            id="broker_without_sources",
        ),
        pytest.param(
            {"component": "prover_node", "port": 8081, "admin_port": "8888", "sources": ["10.0.0.1"]},
            [{"port": 8081, "addresses": ["127.0.0.0/8", "::1"]}],
            [{"mac_address": NODE, "ports": [8081, 8888]}],
            id="node",
        ),
        pytest.param(
            {"component": "prover_agent", "port": 8082},
            [],
            [{"mac_address": AGENT, "ports": [8082, 8880]}],
            id="agent",
        ),
        pytest.param(
            {"component": "prover_agent", "port": 8082, "count": "3"},
            [],
            [{"mac_address": f"{AGENT[:-1]}{number}", "ports": [8082, 8880]} for number in (1, 2, 3)],
            id="agents",
        ),
        pytest.param({"component": "prover_agent", "port": 8082, "count": 0}, [], [], id="no_containers"),
    ],
)
def test_guard_section(arguments: dict, ports: list, containers: list) -> None:
    found = guard_section(**arguments)
    assert found == {"ports": ports, "containers": containers}
    section_of("a", found["ports"], [], containers=found["containers"])


def test_guard_section_copies_the_sources() -> None:
    sources = ["10.0.0.1"]
    found = guard_section("prover_broker", 8080, sources=sources)
    found["ports"][0]["sources"].append("10.0.0.2")
    assert sources == ["10.0.0.1"]


@pytest.mark.parametrize(
    ("count", "separate", "layout"),
    [
        (1, False, {"services": ["prover-agent"], "agents": 1}),
        ("3", False, {"services": ["prover-agent"], "agents": 3}),
        (1, True, {"services": ["prover-agent-1"], "agents": 1}),
        (2, True, {"services": ["prover-agent-1", "prover-agent-2"], "agents": 1}),
    ],
)
def test_agent_layout(count, separate, layout):
    assert agent_layout(count, separate) == layout


@pytest.mark.parametrize(
    ("service", "component", "is_one"),
    [
        ("prover-agent", "prover_agent", True),
        ("prover-agent-12", "prover_agent", True),
        ("prover-agent-crs", "prover_agent", False),
        ("prover-node", "prover_agent", False),
    ],
)
def test_is_service_of(service, component, is_one):
    assert is_service_of(service, component) is is_one


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({"KEY": {"secret": "s"}}, "KEY is a dictionary"),
        ({"A-B": "x"}, "'A-B' is not a name of an environment variable"),
        ({1: "x"}, "1 is not a name"),
        ({"A": "x\0y"}, "A contains a NUL character"),
        ({"A": "\udc80"}, "A is not valid UTF-8"),
    ],
)
def test_container_environment_rejects(layer: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        container_environment([layer])


@pytest.mark.parametrize(
    ("component", "instance", "names"),
    [
        ("prover_node", "", ["aztec-prover-node", "", "prover-node", "aztec-prover", "aztec0", "prover_node"]),
        (
            "prover_broker",
            "main2",
            [
                *("aztec-main2-prover-broker", "main2-", "main2/prover-broker"),
                *("aztec-prover-main2", "aztec-main2", "main2_prover_broker"),
            ],
        ),
    ],
)
def test_component_names(component: str, instance: str, names: list) -> None:
    assert list(component_names(component, instance).values()) == names


def test_the_longest_instance_name_fits_everywhere() -> None:
    names = component_names("prover_broker", "a23456789")
    assert len(names["docker_bridge"]) <= 15
    assert section_of(names["guard_section"], [], [names["docker_bridge"]], True, []).name == names["guard_section"]


def test_no_two_instances_share_a_name() -> None:
    components, instances = ("prover_node", "prover_broker", "prover_agent"), ("", "a", "prover", "node", "main2")
    for key in ("project", "directory", "guard_section"):
        found = [component_names(component, instance)[key] for component in components for instance in instances]
        assert len(set(found)) == len(found)
    for key in ("container_prefix", "docker_network", "docker_bridge"):
        assert len({component_names("prover_node", instance)[key] for instance in instances}) == len(instances)
