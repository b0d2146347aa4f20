# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is said of hosts that were looked at."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.action.check_fleet import ROLES, read_specs
from ansible_collections.aztec_ops.prover.plugins.action.check_hosts import engine_of, settings_of
from ansible_collections.aztec_ops.prover.plugins.module_utils.host_checks import (
    Engine,
    Settings,
    check_hosts,
    hardware_table,
    ipv6_problems,
    port_problems,
)

TB, GIB = 1000**4, 1024**3

FLEET = {
    "line": "4",
    "hosts": {
        "node-1": {
            "components": ["prover_node", "prover_broker"],
            "addresses": ["10.0.0.10"],
            "paths": {},
            "docker_ipv6_subnet": "",
        },
        "agent-1": {"components": ["prover_agent"], "addresses": ["10.0.0.21"], "paths": {}, "docker_ipv6_subnet": ""},
    },
}
NODE_PORTS = (
    ("prover_node_port", "tcp", 8081, True),
    ("prover_node_p2p_port", "tcp", 40400, False),
    ("prover_node_p2p_port", "udp", 40400, False),
)
SETTINGS = {
    "node-1": {
        "prover_node": Settings(NODE_PORTS),
        "prover_broker": Settings((("prover_broker_port", "tcp", 8080, False),)),
    },
    "agent-1": {"prover_agent": Settings(count="auto")},
}

ENGINES = {"node-1": Engine(), "agent-1": Engine()}


def system(name: str, version: str, apt: bool = True) -> dict:
    return {"id": name, "version_id": version, "codename": "", "apt": apt}


def engine(**seen) -> dict:
    """Give the look at no engine at all, with these changes."""
    bare = {"serves": False, "error": "", "source": "none", "compose": None, "ours": False, "pin": ""}
    return {**bare, "apt_sources": [], **seen}


SERVES = {"serves": True, "source": "other", "compose": "2.30.0"}
REPOSITORY = "https://download.docker.com/linux/debian"
OLD_SOURCE = {"path": "/etc/apt/docker.list", "uri": REPOSITORY, "suite": "", "signed_by": ""}
FEDORA = {"os": system("fedora", "41", apt=False)}


def look(name: str, address: str, vcpus: int = 256, memory: int = 512 * GIB, **more) -> dict:
    """Give the look of a host on which nothing is wrong, with these changes."""
    disk = {"size_bytes": 4 * TB, "free_bytes": 3 * TB, "kind": "nvme", "device": "/dev/a"}
    return {
        "hostname": name,
        "addresses": [address],
        "os": system("debian", "13"),
        "hardware": {"vcpus": vcpus, "cores": 1, "memory_bytes": memory, "link_mbps": None, "disks": {"/": disk}},
        "engine": engine(),
        "nft": {"installed": False},
        "listening": [],
        "projects": {},
        **more,
    }


def listens(port: int, process: str, protocol: str = "tcp", address: str = "0.0.0.0") -> dict:
    return {"listening": [{"protocol": protocol, "address": address, "port": port, "process": process}]}


def runs(project: str, state: str = "running") -> dict:
    return {"projects": {project: {"containers": [{"state": state}]}}}


def lines(looks: dict, settings: dict | None = None, wanted: Engine | None = None) -> list:
    """Give the problems of these looks as texts; hosts left out have nothing wrong."""
    every = {"node-1": look("node-1", "10.0.0.10"), "agent-1": look("agent-1", "10.0.0.21"), **looks}
    engines = {**ENGINES, **({"node-1": wanted} if wanted else {})}
    found = check_hosts(every, FLEET, {**SETTINGS, **(settings or {})}, engines)
    return [" | ".join((one.level, one.host, one.variable, one.wrong, one.remedy)) for one in found.problems]


def test_nothing_wrong() -> None:
    assert lines({}) == []


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        (
            {"cpu_limit": 256.5},
            "error | node-1 | prover_node_cpu_limit | 256.5 CPUs are more than the host's 256, and Docker refuses the "
            "container | give at most 256, or 0 for no limit",
        ),
        (
            {"memory_limit": "513G"},
            "warning | node-1 | prover_node_memory_limit | 513G is more than the host's 549.8 GB and limits nothing | "
            "give less, or leave it empty",
        ),
        ({"cpu_limit": 256, "memory_limit": "512gb"}, None),
        ({"memory_limit": "524288m"}, None),
    ],
)
def test_limits_above_the_hardware(limits: dict, line: str | None) -> None:
    node = {"prover_node": Settings(NODE_PORTS, **limits), "prover_broker": SETTINGS["node-1"]["prover_broker"]}
    assert lines({}, {"node-1": node}) == ([line] if line else [])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            listens(8080, "nginx"),
            "error | node-1 | prover_broker_port | tcp port 8080 is taken by nginx | stop it, or set",
        ),
        (
            listens(8080, "docker-proxy"),
            "error | node-1 | prover_broker_port | tcp port 8080 is taken by another container",
        ),
        (listens(8080, ""), "error | node-1 | prover_broker_port | tcp port 8080 is taken by another process"),
        (
            listens(8080, "nginx", address="127.0.0.1"),
            "error | node-1 | prover_broker_port | tcp port 8080 is taken by nginx",
        ),
        (listens(40400, "geth", "udp"), "error | node-1 | prover_node_p2p_port | udp port 40400 is taken by geth"),
        (listens(8081, "x", address="::"), "error | node-1 | prover_node_port | tcp port 8081 is taken by x"),
        (
            {**listens(8080, "nginx"), **runs("aztec-prover-broker")},
            "error | node-1 | prover_broker_port | tcp port 8080 is",
        ),
        (
            {**listens(8080, "docker-proxy"), **runs("aztec-prover-broker", "exited")},
            "error | node-1 | prover_broker_port |",
        ),
        (
            FEDORA,
            "error | node-1 | operating system | fedora 41 is not supported | use Debian or Ubuntu, or install Docker",
        ),
        (
            {**FEDORA, "engine": engine(**SERVES)},
            "error | node-1 | operating system | fedora 41 is not supported | install nftables yourself",
        ),
        (
            {**FEDORA, "engine": engine(**SERVES), "nft": {"installed": True}},
            "warning | node-1 | operating system | fedora 41 is not supported | what is there is used as it is",
        ),
        (
            {"os": system("debian", "11"), "engine": engine(**SERVES)},
            "warning | node-1 | operating system | debian 11 is not supported | what is there is used as it is",
        ),
        (
            {"os": system("debian", "")},
            "error | node-1 | operating system | debian is not supported with Docker's repository | use 12 or 13, set",
        ),
        (
            {"engine": engine(source="podman-docker", **{"serves": True})},
            "error | node-1 | container engine | podman-docker stands in Docker's place | remove it (apt-get remove",
        ),
        (
            {"engine": engine(**{**SERVES, "compose": "1.29.2"})},
            "error | node-1 | container engine | Compose here is 1.29.2, 2.20 or later is needed: its Docker is from "
            "no package | install Compose 2.20",
        ),
        (
            {"engine": engine(apt_sources=[OLD_SOURCE])},
            "warning | node-1 | container engine | /etc/apt/docker.list names Docker's repository too | docker_engine "
            "moves it to /etc/apt/docker.list.disabled, which apt ignores",
        ),
        (
            {"engine": engine(apt_sources=[OLD_SOURCE, {**OLD_SOURCE, "uri": "https://other.example"}])},
            f"error | node-1 | container engine | /etc/apt/docker.list names {REPOSITORY} with another key (none), "
            "among other sources | take that entry out",
        ),
        (
            {"engine": engine(source="docker.io")},
            "error | node-1 | container engine | docker.io is installed and does not serve | start it, or remove it",
        ),
        (
            {"addresses": ["10.0.0.11"]},
            "warning | node-1 | aztec_address | 10.0.0.10 is none of the host's own addresses (10",
        ),
    ],
)
def test_one_thing_wrong_with_the_node(changes: dict, line: str) -> None:
    found = lines({"node-1": look("node-1", "10.0.0.10", **changes)})
    assert len(found) == 1
    assert found[0].startswith(line)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"os": system("debian", "")}, Engine("distribution")),
        ({"os": system("ubuntu", "25.10")}, Engine("distribution")),
        ({"os": system("ubuntu", "24.04")}, Engine("docker", "28.5.2")),
        # Debian 12 has no Compose v2 of its own, and here needs none.
        ({"os": system("debian", "12"), "engine": engine(**SERVES)}, Engine("distribution")),
        ({"os": system("debian", ""), "engine": engine(**SERVES)}, Engine()),
        (
            {"engine": engine(apt_sources=[OLD_SOURCE, {**OLD_SOURCE, "uri": "https://other.example"}])},
            Engine(apt_url="https://mirror.lan/linux/"),
        ),
    ],
)
def test_engines_that_can_be_had(changes: dict, wanted: Engine) -> None:
    assert lines({"node-1": look("node-1", "10.0.0.10", **changes)}, None, wanted) == []


@pytest.mark.parametrize(
    "changes",
    [
        {**listens(8080, "docker-proxy"), **runs("aztec-prover-broker")},
        {**listens(8080, ""), **runs("aztec-prover-broker")},
        listens(8081, "x", address="10.0.0.10"),
        listens(8082, "nginx"),
        listens(40400, "x", "sctp"),
    ],
)
def test_ports_that_are_free_or_our_own(changes: dict) -> None:
    assert lines({"node-1": look("node-1", "10.0.0.10", **changes)}) == []


def test_a_port_taken_on_several_addresses_is_one_line() -> None:
    seen = {"listening": listens(8080, "nginx")["listening"] + listens(8080, "nginx", address="::")["listening"]}
    assert len(port_problems("node-1", seen, SETTINGS["node-1"])) == 1


def test_short_hardware_by_enforcement() -> None:
    small = {"node-1": look("node-1", "10.0.0.10", 16)}

    def found(node: str, broker: str) -> list:
        modes = {"prover_node": Settings((), node), "prover_broker": Settings((), broker)}
        return lines(small, {"node-1": modes})

    need = "node-1 | vCPUs | found 16 (1 cores), needed 48 (24 cores) | give the host more, or set"
    assert found("fail", "fail") == [f"error | {need} aztec_requirements: warn"]
    assert found("fail", "warn") == [f"error | {need} prover_node_requirements: warn"]
    assert found("warn", "warn") == [f"warning | {need} aztec_requirements: ignore"]
    assert found("ignore", "fail") == []
    assert found("ignore", "ignore") == []


def test_count_of_agents_decides() -> None:
    assert lines({}, {"agent-1": {"prover_agent": Settings(count=4)}}) == []
    found = lines({}, {"agent-1": {"prover_agent": Settings(count=5)}})
    assert found[0].startswith(
        "error | agent-1 | vCPUs | found 256 (1 cores), needed 320 (160 cores) | give the host more"
    )


def test_an_agent_that_is_gone_is_a_warning_and_the_node_an_error() -> None:
    assert lines({"agent-1": None}) == [
        "warning | agent-1 | ansible_host | could not be looked at: unreachable, or the look failed | "
        "see its line above; the run goes on without it"
    ]
    assert lines({"node-1": None})[0].startswith("error | node-1 | ansible_host | could not be looked at")


def test_one_machine_under_two_names() -> None:
    found = lines({"agent-1": look("node-1", "10.0.0.10")})
    assert "error | agent-1 | ansible_host | is the same machine as node-1 | give each host its own address" in found


def test_the_table_shows_found_and_needed() -> None:
    found = check_hosts({"agent-1": look("agent-1", "10.0.0.21", 200)}, FLEET, SETTINGS, ENGINES)
    text = hardware_table(found.hardware).splitlines()
    assert len(text) == 3
    assert "prover_agent x 3" in text[2]
    assert "200 (1 cores) of 192 (96 cores)" in text[2]


def test_settings_are_the_host_s_or_the_roles_defaults() -> None:
    specs = read_specs(ROLES)
    values = {
        "aztec_requirements": "warn",
        "prover_agent_requirements": "ignore",
        "prover_broker_port": "9090",
        "prover_agent_memory_limit": "16g",
        "prover_agent_cpu_limit": "3.5",
    }
    found = settings_of(values, ["prover_broker", "prover_agent"], specs)
    assert found["prover_broker"] == Settings((("prover_broker_port", "tcp", 9090, False),), "warn", 1)
    assert found["prover_agent"] == Settings((), "ignore", 1, "16g", 3.5)
    assert engine_of({}, specs) == Engine()
    assert engine_of({"docker_engine_source": "distribution"}, specs) == Engine("distribution")


NAMES = {
    "prover_node": "prover_node_requirements",
    "prover_broker": "prover_broker_requirements",
    "prover_agent": "prover_agent_requirements",
}


@pytest.mark.parametrize("component", NAMES)
def test_each_component_has_its_own_requirements(component: str) -> None:
    found = settings_of({"aztec_requirements": "warn", NAMES[component]: "ignore"}, list(NAMES), read_specs(ROLES))
    assert {name: setting.requirements for name, setting in found.items()} == {
        name: "ignore" if name == component else "warn" for name in NAMES
    }


@pytest.mark.parametrize(
    ("subnet", "seen", "words"),
    [
        pytest.param(
            "fd00::/64", {"translates_ipv6": False}, "Docker 26.1.5 gives containers no way to IPv6", id="no way"
        ),
        pytest.param("fd00::/64", {"translates_ipv6": True}, "", id="translates"),
        pytest.param("", {"translates_ipv6": False}, "", id="not needed"),
        pytest.param("fd00::/64", {"serves": False}, "", id="no engine yet"),
    ],
)
def test_ipv6_of_containers(subnet: str, seen: dict, words: str) -> None:
    seen = {**SERVES, "version": "26.1.5", **seen}
    assert [one.wrong for one in ipv6_problems("agent-1", {"engine": engine(**seen)}, subnet)] == (
        [f"{words} here, and the host's need one"] if words else []
    )


def test_ipv6_is_part_of_the_check() -> None:
    fleet = {**FLEET, "hosts": {"agent-1": {**FLEET["hosts"]["agent-1"], "docker_ipv6_subnet": "fd00::/64"}}}
    seen = look("a", "10.0.0.21", engine=engine(**SERVES, version="26.1.5", translates_ipv6=False))
    found = check_hosts({"agent-1": seen}, fleet, SETTINGS, ENGINES)
    assert [one.variable for one in found.problems] == ["container engine"]
