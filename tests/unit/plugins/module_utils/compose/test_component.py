# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Compose model and the environment of a component."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import (
    agent_layout,
    compose_project,
    container_environment,
    guard_section,
    image_reference,
    is_service_of,
    mac_address,
    merged,
    reached,
    unreachable_broker,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.nft import section_of

RELEASE = {"entrypoint": ["node", "start"], "start_flags": {"prover_agent": ["--prover-agent"]}}


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


def test_merged_leaves_its_arguments_alone():
    base = {"a": {"b": [1], "c": 2}}
    assert merged(base, {"a": {"b": [3]}}) == {"a": {"b": [3], "c": 2}}
    assert base == {"a": {"b": [1], "c": 2}}


def test_compose_project_joins_common_own_and_extra_keys():
    project = compose_project(
        {"image": "aztec:1", "volumes": ["a:b"]}, "prover_agent", RELEASE, "testnet", 8082, "net", {"mem_limit": "1g"}
    )
    service = project["services"]["prover-agent"]
    assert project["name"] == "aztec-prover-agent"
    assert project["networks"] == {"fleet": {"name": "net", "external": True}}
    assert service["entrypoint"] == ["node", "start", "--prover-agent", "--network", "testnet"]
    assert service["image"] == "aztec:1"
    assert service["mem_limit"] == "1g"
    assert service["ulimits"] == {"core": 0}
    assert "http://localhost:8082/status" in service["healthcheck"]["test"]


@pytest.mark.parametrize("nothing", ["", 0, 0.0, None])
def test_empty_keys_of_a_service_are_left_out(nothing):
    project = compose_project({"image": "a:1", "mem_limit": nothing}, "prover_agent", RELEASE, "testnet", 8082, "net")
    assert "mem_limit" not in project["services"]["prover-agent"]


def test_services_that_are_alike():
    names = ["prover-agent-1", "prover-agent-2"]
    project = compose_project({"image": "a:1"}, "prover_agent", RELEASE, "testnet", 8082, "net", {}, names)
    services = project["services"]
    assert {name: service.pop("container_name") for name, service in services.items()} == dict(zip(names, names))
    assert [service.pop("mac_address") for service in services.values()] == ["02:a2:7e:02:00:01", "02:a2:7e:02:00:02"]
    assert services["prover-agent-1"] == services["prover-agent-2"]


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


@pytest.mark.parametrize(("component", "name"), [("prover_node", "prover-node"), ("prover_broker", "prover-broker")])
def test_a_service_has_the_mac_address_that_the_guard_knows(component: str, name: str) -> None:
    release = {"entrypoint": [], "start_flags": {component: []}}
    service = compose_project({"image": "a:1"}, component, release, "testnet", 8080, "net")["services"][name]
    (container,) = guard_section(component, 8080)["containers"]
    assert service["mac_address"] == container["mac_address"] == mac_address(component)


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


SIZE = {"max-size": "100m"}
LOGGING = {"driver": "json-file", "options": SIZE}


@pytest.mark.parametrize(
    ("extra", "logging"),
    [
        ({}, LOGGING),
        ({"logging": {"options": {"mode": "x"}}}, {"driver": "json-file", "options": {**SIZE, "mode": "x"}}),
        # journald takes none of json-file's options.
        ({"logging": {"driver": "journald"}}, {"driver": "journald"}),
    ],
)
def test_logging(extra, logging):
    own = {"image": "a:1", "logging": LOGGING}
    project = compose_project(own, "prover_agent", RELEASE, "testnet", 8082, "net", extra)
    assert project["services"]["prover-agent"]["logging"] == logging


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
    ("source", "admits", "parts"),
    [
        ("10.0.0.9", ["10.0.0.21/32", "10.0.9.0/24"], ["from 10.0.0.9", "admits 10.0.0.21/32, 10.0.9.0/24", "admit"]),
        (None, [], ["no address of its own", "admits (unknown)", "give this host a route"]),
        ("10.0.9.9", ["10.0.9.0/24"], ["from 10.0.9.9", "if a router translates this address (NAT), add the one that"]),
        ("fd00::9%eth0", ["10.0.9.0/24", "fd00::/64"], ["NAT"]),
        ("10.0.9.9", ["a name"], ["correct aztec_address of this host, or add the source to aztec_admit"]),
    ],
)
def test_unreachable_broker_names_source_and_admitted(source, admits, parts):
    line = unreachable_broker({"host": "10.0.0.10", "port": 8080, "source": source, "error": "timed out"}, admits)
    assert "\n" not in line
    assert all(part in line for part in ["10.0.0.10 port 8080", "timed out", *parts])


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("connection refused", "run site.yml for the broker's host, or correct prover_broker_port or prover_agent"),
        ("answers 503 at /status", "see docker logs prover-broker on the broker's host, and run this again once it is"),
        ("name does not resolve", "correct prover_agent_broker_host, or aztec_address of the broker's host"),
    ],
)
def test_a_broker_is_reached_by_admitting_somebody_only_where_nobody_answers(error, remedy):
    line = unreachable_broker({"host": "10.0.0.10", "port": 8080, "source": "10.0.9.9", "error": error}, [])
    assert f": {remedy}" in line and "aztec_admit" not in line


@pytest.mark.parametrize(
    ("attempts", "answered"),
    [
        ([], False),
        ([{"host": "10.0.0.10", "port": 8080, "ok": True}], True),
        ([{"host": "10.0.0.10", "port": 8080, "ok": False}], False),
        ([{"host": "10.0.0.10", "port": 8081, "ok": True}], False),
        ([{"host": "10.0.0.11", "port": 8080, "ok": True}], False),
    ],
)
def test_reached_asks_for_host_and_port(attempts, answered):
    assert reached({"connect": attempts}, {"host": "10.0.0.10", "port": "8080"}) is answered


def test_container_environment_refuses_a_dictionary():
    with pytest.raises(ValueError, match="KEY is a dictionary"):
        container_environment([{"KEY": {"secret": "s"}}])
