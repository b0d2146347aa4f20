# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Problems of hosts, by their host info."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.action.validate_inventory import ROLES, read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.hardware_checks import (
    HARDWARE_HEADS,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_checks import (
    bridge_problems,
    check_hosts,
    guard_problems,
    ipv6_problems,
    moved_component_problems,
    port_problems,
    publish_problems,
    unmanaged_engine_problems,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_settings import (
    ComponentSettings,
    EngineSettings,
    component_settings,
    engine_settings,
)

TB, GIB = 1000**4, 1024**3

FLEET = {
    "line": "4",
    "broker": {"publish": ["10.0.0.10"]},
    "node": {"host": "node-1"},
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
        "prover_node": ComponentSettings(NODE_PORTS),
        "prover_broker": ComponentSettings((("prover_broker_port", "tcp", 8080, False),)),
    },
    "agent-1": {"prover_agent": ComponentSettings(count="auto")},
}

ENGINES = {"node-1": EngineSettings(), "agent-1": EngineSettings()}


def system(name: str, version: str, apt: bool = True) -> dict:
    return {"id": name, "version_id": version, "codename": "", "apt": apt}


def engine(**seen) -> dict:
    """Return the info of a missing engine, with these changes."""
    bare = {"serves": False, "error": "", "source": "none", "compose": None, "managed": False, "pin": ""}
    bare["rules"] = True
    usable = {"systemd": True, "snap": False, "desktop": False, "security": [], "selinux_enforcing": False}
    bare.update(usable, packages={}, command=["/usr/bin/dockerd", "-H", "fd://"], daemon_json_names=[])
    return {**bare, "apt_sources": [], **seen}


SERVES = {"serves": True, "source": "other", "compose": "2.30.0"}
REPOSITORY = "https://download.docker.com/linux/debian"
OLD_SOURCE = {"path": "/etc/apt/docker.list", "uri": REPOSITORY, "suite": "", "signed_by": ""}
FEDORA = {"os": system("fedora", "41", apt=False)}


def host_info(name: str, address: str, vcpus: int = 256, memory: int = 512 * GIB, **more) -> dict:
    """Return the host info of a host without problems, with these changes."""
    disk = {"size_bytes": 4 * TB, "free_bytes": 3 * TB, "kind": "nvme", "device": "/dev/a"}
    return {
        "hostname": name,
        "addresses": [address],
        "os": system("debian", "13"),
        "hardware": {"vcpus": vcpus, "cores": 1, "memory_bytes": memory, "link_mbps": None, "disks": {"/": disk}},
        "engine": engine(),
        "nft": {"installed": False},
        "guard": {"installed": False, "owner": "", "problems": [], "saved_rulesets": []},
        "interfaces": ["lo", "eth0"],
        "networks": [],
        "listening": [],
        "projects": {},
        **more,
    }


GUARD = {"installed": False, "owner": "", "problems": [], "saved_rulesets": []}


def listens(port: int, process: str, protocol: str = "tcp", address: str = "0.0.0.0") -> dict:
    return {"listening": [{"protocol": protocol, "address": address, "port": port, "process": process}]}


def runs(project: str, state: str = "running") -> dict:
    return {"projects": {project: {"containers": [{"state": state}]}}}


def lines(host_infos: dict, settings: dict | None = None, wanted: EngineSettings | None = None) -> list:
    """Return the problems of these hosts as texts. Other hosts do not have problems."""
    every = {"node-1": host_info("node-1", "10.0.0.10"), "agent-1": host_info("agent-1", "10.0.0.21"), **host_infos}
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
            "error | node-1 | prover_node_cpu_limit | 256.5 CPUs exceed the host's 256, and Docker rejects the "
            "container | set at most 256, or 0 for no limit",
        ),
        (
            {"memory_limit": "513G"},
            "warning | node-1 | prover_node_memory_limit | 513G exceeds the host's 549.8 GB and has no effect | "
            "set a lower value, or leave it empty",
        ),
        ({"cpu_limit": 256, "memory_limit": "512gb"}, None),
        ({"memory_limit": "524288m"}, None),
    ],
)
def test_limits_above_the_hardware(limits: dict, line: str | None) -> None:
    node = {
        "prover_node": ComponentSettings(NODE_PORTS, **limits),
        "prover_broker": SETTINGS["node-1"]["prover_broker"],
    }
    assert lines({}, {"node-1": node}) == ([line] if line else [])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            listens(8080, "nginx"),
            "error | node-1 | prover_broker_port | tcp port 8080 is in use by nginx | stop it, or set",
        ),
        (
            listens(8080, "docker-proxy"),
            "error | node-1 | prover_broker_port | tcp port 8080 is in use by another container",
        ),
        (listens(8080, ""), "error | node-1 | prover_broker_port | tcp port 8080 is in use by another process"),
        (
            listens(8080, "nginx", address="127.0.0.1"),
            "error | node-1 | prover_broker_port | tcp port 8080 is in use by nginx",
        ),
        (listens(40400, "geth", "udp"), "error | node-1 | prover_node_p2p_port | udp port 40400 is in use by geth"),
        (listens(8081, "x", address="::"), "error | node-1 | prover_node_port | tcp port 8081 is in use by x"),
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
            "error | node-1 | operating system | fedora 41 is not supported | install nftables manually",
        ),
        (
            {**FEDORA, "engine": engine(**SERVES), "nft": {"installed": True}},
            "warning | node-1 | operating system | fedora 41 is not supported | the run uses the installed software",
        ),
        (
            {"os": system("debian", "11"), "engine": engine(**SERVES)},
            "warning | node-1 | operating system | debian 11 is not supported | the run uses the installed software",
        ),
        (
            {"os": system("debian", "")},
            "error | node-1 | operating system | debian is not supported with Docker's repository | use 12 or 13, set",
        ),
        (
            {"engine": engine(source="podman-docker", **{"serves": True})},
            "error | node-1 | container engine | podman-docker provides the docker command | remove it (apt-get remove",
        ),
        (
            {"engine": engine(**{**SERVES, "compose": "1.29.2"})},
            "error | node-1 | container engine | Compose is 1.29.2, but 2.20 or later is required: its Docker is "
            "not from a package | install Compose 2.20",
        ),
        (
            {"engine": engine(apt_sources=[OLD_SOURCE])},
            "warning | node-1 | container engine | /etc/apt/docker.list also has Docker's repository | docker_engine "
            "renames it to /etc/apt/docker.list.disabled, which apt ignores",
        ),
        (
            {"engine": engine(apt_sources=[OLD_SOURCE, {**OLD_SOURCE, "uri": "https://other.example"}])},
            f"error | node-1 | container engine | /etc/apt/docker.list has {REPOSITORY} with another key (none), "
            "and other repositories | remove that entry",
        ),
        (
            {"engine": engine(source="docker.io")},
            "error | node-1 | container engine | docker.io is installed but does not respond | start it, or remove it",
        ),
        (
            {"guard": {**GUARD, "owner": "none"}},
            "error | node-1 | port guard | the nftables table aztec_prover exists, but the port guard",
        ),
        (
            {"engine": engine(**SERVES, rules=False)},
            "warning | node-1 | container engine | Docker's firewall rules are missing, so that containers",
        ),
    ],
)
def test_one_thing_wrong_with_the_node(changes: dict, line: str) -> None:
    found = lines({"node-1": host_info("node-1", "10.0.0.10", **changes)})
    assert len(found) == 1
    assert found[0].startswith(line)


def test_a_translated_address_is_reported_for_fleet_and_broker() -> None:
    found = lines({"node-1": host_info("node-1", "10.0.0.11")})
    assert [line.split(" (")[0] for line in found] == [
        "warning | node-1 | prover_broker_publish_addresses | no interface has 10.0.0.10",
        "warning | node-1 | aztec_address | the host does not have the address 10.0.0.10",
    ]
    found = lines({"agent-1": host_info("agent-1", "10.0.0.22")})
    assert [line.split(" | ")[1:3] for line in found] == [["agent-1", "aztec_address"]]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"os": system("debian", "")}, EngineSettings("distribution")),
        ({"os": system("ubuntu", "25.10")}, EngineSettings("distribution")),
        ({"os": system("ubuntu", "24.04")}, EngineSettings("docker", "28.5.2")),
        # Debian 12 has no Compose v2 of its own, and here needs none.
        ({"os": system("debian", "12"), "engine": engine(**SERVES)}, EngineSettings("distribution")),
        ({"os": system("debian", ""), "engine": engine(**SERVES)}, EngineSettings()),
        (
            {"engine": engine(apt_sources=[OLD_SOURCE, {**OLD_SOURCE, "uri": "https://other.example"}])},
            EngineSettings(apt_url="https://mirror.lan/linux/"),
        ),
    ],
)
def test_engines_that_can_be_had(changes: dict, wanted: EngineSettings) -> None:
    assert lines({"node-1": host_info("node-1", "10.0.0.10", **changes)}, None, wanted) == []


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
    assert lines({"node-1": host_info("node-1", "10.0.0.10", **changes)}) == []


def test_a_port_of_another_instance_is_taken_by_a_container_with_a_name() -> None:
    """Also while the own container runs and has another port."""
    seen = {
        **listens(8080, "docker-proxy"),
        **runs("aztec-prover-broker"),
        "published": [{"protocol": "tcp", "port": 8080, "container": "main2-prover-broker", "project": "main2"}],
    }
    (problem,) = port_problems("node-1", seen, SETTINGS["node-1"])
    assert (problem.variable, problem.wrong) == (
        "prover_broker_port",
        "tcp port 8080 is in use by the container main2-prover-broker",
    )
    assert port_problems("node-1", {**seen, "published": [{**seen["published"][0], "project": "aztec-prover-broker"}]},
                         SETTINGS["node-1"]) == []
    own = {**seen, **runs("aztec-main2-prover-broker"), "published": []}
    assert port_problems("node-1", own, SETTINGS["node-1"], "main2") == []
    assert len(port_problems("node-1", own, SETTINGS["node-1"])) == 1


@pytest.mark.parametrize(
    ("host", "project", "instance", "refused"),
    [
        ("node-1", "aztec-prover-broker", "", True),
        ("agent-1", "aztec-prover-agent", "", True),
        # A component that is not part of this run is not checked.
        ("agent-1", "aztec-prover-node", "", False),
        ("node-1", "aztec-prover-broker", "main2", False),
        ("node-1", "aztec-main2-prover-node", "main2", True),
    ],
)
def test_a_project_of_another_inventory_ends_the_run(host: str, project: str, instance: str, refused: bool) -> None:
    def found(inventories: list) -> list:
        here = host_info(host, FLEET["hosts"][host]["addresses"][0], projects={project: {"inventories": inventories}})
        fleet = {**FLEET, "inventory": "prod", "instance": instance}
        return check_hosts({host: here}, fleet, SETTINGS, ENGINES).problems

    assert found([]) == found(["prod"]) == []
    wrong = f"{project} is managed by the inventory lab, and this one is prod"
    assert [(one.host, one.variable, one.level, one.fleet, one.wrong) for one in found(["lab"])] == [
        (host, "aztec_inventory_name", "error", True, wrong)
    ] * refused


def test_a_port_of_a_container_that_another_run_replaces_is_not_taken() -> None:
    """Its container may not be running at this moment. The port of the other component counts anyway."""
    seen = {"listening": listens(8080, "docker-proxy")["listening"] + listens(8081, "nginx")["listening"]}
    assert len(port_problems("node-1", seen, SETTINGS["node-1"])) == 2
    seen["busy_projects"] = ["aztec-prover-broker"]
    (problem,) = port_problems("node-1", seen, SETTINGS["node-1"])
    assert problem.variable == "prover_node_port"


def test_a_port_taken_on_several_addresses_is_one_line() -> None:
    seen = {"listening": listens(8080, "nginx")["listening"] + listens(8080, "nginx", address="::")["listening"]}
    assert len(port_problems("node-1", seen, SETTINGS["node-1"])) == 1


def test_short_hardware_by_enforcement() -> None:
    small = {"node-1": host_info("node-1", "10.0.0.10", 16)}

    def found(node: str, broker: str) -> list:
        modes = {"prover_node": ComponentSettings((), node), "prover_broker": ComponentSettings((), broker)}
        return lines(small, {"node-1": modes})

    need = "node-1 | vCPUs | found 16 (1 cores), needed 48 (24 cores) | use a larger host, or set"
    both = "(or, where they are set, prover_node_requirements and prover_broker_requirements)"
    assert found("fail", "fail") == [f"error | {need} aztec_requirements: warn {both}"]
    assert found("fail", "warn") == [f"error | {need} prover_node_requirements: warn"]
    assert found("warn", "warn") == [f"warning | {need} aztec_requirements: ignore {both}"]
    assert found("ignore", "fail") == []
    assert found("ignore", "ignore") == []


def test_count_of_agents_decides() -> None:
    assert lines({}, {"agent-1": {"prover_agent": ComponentSettings(count=4)}}) == []
    found = lines({}, {"agent-1": {"prover_agent": ComponentSettings(count=5)}})
    assert found[0].startswith(
        "error | agent-1 | vCPUs | found 256 (1 cores), needed 320 (160 cores) | use a larger host"
    )


def test_an_agent_that_is_gone_is_a_warning_and_the_node_an_error() -> None:
    assert lines({"agent-1": None}) == [
        "warning | agent-1 | ansible_host | is unreachable, or host_info failed on it | "
        "see its error above; the run continues without it"
    ]
    assert lines({"node-1": None})[0].startswith("error | node-1 | ansible_host | is unreachable, or host_info failed")


def test_one_machine_under_two_names() -> None:
    found = lines({"agent-1": host_info("node-1", "10.0.0.10")})
    assert "error | agent-1 | ansible_host | is the same machine as node-1 | give each host its own address" in found


def test_the_table_shows_found_and_needed() -> None:
    found = check_hosts({"agent-1": host_info("agent-1", "10.0.0.21", 200)}, FLEET, SETTINGS, ENGINES)
    text = table(found.hardware, HARDWARE_HEADS).splitlines()
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
    found = component_settings(values, ["prover_broker", "prover_agent"], specs)
    here = {"docker_network": "aztec-prover", "docker_bridge": "aztec0"}
    assert found["prover_broker"] == ComponentSettings((("prover_broker_port", "tcp", 9090, False),), "warn", 1, **here)
    assert found["prover_agent"] == ComponentSettings((), "ignore", 1, "16g", 3.5, **here)
    assert engine_settings({}, specs) == EngineSettings()
    assert engine_settings({"docker_engine_source": "distribution"}, specs) == EngineSettings("distribution")


NAMES = {
    "prover_node": "prover_node_requirements",
    "prover_broker": "prover_broker_requirements",
    "prover_agent": "prover_agent_requirements",
}


@pytest.mark.parametrize("component", NAMES)
def test_each_component_has_its_own_requirements(component: str) -> None:
    found = component_settings(
        {"aztec_requirements": "warn", NAMES[component]: "ignore"}, list(NAMES), read_specs(ROLES)
    )
    assert {name: setting.requirements for name, setting in found.items()} == {
        name: "ignore" if name == component else "warn" for name in NAMES
    }


@pytest.mark.parametrize(
    ("subnet", "seen", "words"),
    [
        pytest.param(
            "fd00::/64", {"translates_ipv6": False}, "Docker 26.1.5 does not translate IPv6 addresses", id="no way"
        ),
        pytest.param("fd00::/64", {"translates_ipv6": True}, "", id="translates"),
        pytest.param("", {"translates_ipv6": False}, "", id="not needed"),
        pytest.param("fd00::/64", {"serves": False}, "", id="no engine yet"),
    ],
)
def test_ipv6_of_containers(subnet: str, seen: dict, words: str) -> None:
    seen = {**SERVES, "version": "26.1.5", **seen}
    assert [one.wrong for one in ipv6_problems("agent-1", {"engine": engine(**seen)}, subnet, EngineSettings())] == (
        [f"{words}, but the host's containers require IPv6"] if words else []
    )


BY_OPTIONS = "set docker_engine_daemon_options: {experimental: true, ip6tables: true}"


@pytest.mark.parametrize(
    ("source", "wanted", "remedy"),
    [
        ("docker-ce", EngineSettings(), f"{BY_OPTIONS}, or docker_engine_version to 27 or later"),
        ("docker.io", EngineSettings("distribution"), BY_OPTIONS),
        ("docker.io", EngineSettings("distribution", options={"experimental": True, "ip6tables": "yes"}), ""),
        ("docker.io", EngineSettings("distribution", options={"ip6tables": True}), BY_OPTIONS),
        ("docker.io", EngineSettings("distribution", version="28.5.2"), BY_OPTIONS),
        ("docker-ce", EngineSettings(version="28.5.2"), ""),
        ("docker-ce", EngineSettings(version="26.1.5"), f"{BY_OPTIONS}, or docker_engine_version to 27 or later"),
    ],
)
def test_ipv6_of_an_engine_whose_settings_the_role_writes(source: str, wanted: EngineSettings, remedy: str) -> None:
    """Edits on the host do not remain. Settings are applied by the run that passes the check."""
    seen = {**SERVES, "version": "26.1.5", "source": source, "managed": True, "translates_ipv6": False}
    found = ipv6_problems("agent-1", {"engine": engine(**seen)}, "fd00::/64", wanted)
    assert [one.remedy for one in found] == ([remedy] if remedy else [])


def test_ipv6_is_part_of_the_check() -> None:
    fleet = {**FLEET, "hosts": {"agent-1": {**FLEET["hosts"]["agent-1"], "docker_ipv6_subnet": "fd00::/64"}}}
    seen = host_info("a", "10.0.0.21", engine=engine(**SERVES, version="26.1.5", translates_ipv6=False))
    found = check_hosts({"agent-1": seen}, fleet, SETTINGS, ENGINES)
    assert [one.variable for one in found.problems] == ["container engine"]


@pytest.mark.parametrize(
    ("values", "network", "bridge"),
    [
        ({"aztec_docker_network": "own", "aztec_docker_bridge": "own0"}, "own", "own0"),
        ({"aztec_docker_bridge": "own0", "prover_broker_docker_bridge": "mine0"}, "aztec-prover", "mine0"),
        ({"aztec_instance": "main2"}, "aztec-prover-main2", "aztec-main2"),
        ({"aztec_instance": "main2", "aztec_docker_bridge": "own0"}, "aztec-prover-main2", "own0"),
    ],
)
def test_settings_have_the_docker_network(values: dict, network: str, bridge: str) -> None:
    found = component_settings(values, ["prover_broker"], read_specs(ROLES))["prover_broker"]
    assert (found.docker_network, found.docker_bridge) == (network, bridge)


@pytest.mark.parametrize(
    ("value", "found"),
    [(["10.0.0.9", "a.lan"], ("10.0.0.9", "a.lan")), ([], ()), (None, None), ("{{ some_template }}", None)],
)
def test_only_the_broker_has_publish_addresses(value: object, found: tuple | None) -> None:
    values = {"prover_broker_publish_addresses": value}
    settings = component_settings(values, ["prover_node", "prover_broker", "prover_agent"], read_specs(ROLES))
    assert {name: setting.publish_addresses for name, setting in settings.items()} == {
        "prover_node": None, "prover_broker": found, "prover_agent": None
    }  # fmt: skip


def shown(problems: list) -> list[str]:
    return [" | ".join((one.level, one.host, one.variable, one.wrong, one.remedy)) for one in problems]


FOREIGN = (
    "error | node-1 | port guard | the nftables table aztec_prover exists, but the port guard did not create it | run "
    "nft "
    "delete table inet aztec_prover, nft delete table bridge aztec_prover on the host"
)
FILE = "/etc/aztec-port-guard/x.json was changed by somebody else"


@pytest.mark.parametrize(
    ("guard", "found"),
    [
        pytest.param({}, [], id="none"),
        pytest.param({"installed": True, "owner": "guard"}, [], id="owned"),
        pytest.param({"installed": True, "owner": "watch"}, [], id="watched"),
        pytest.param({"installed": True, "owner": "none"}, [], id="stopped"),
        pytest.param({"installed": False, "owner": "guard"}, [], id="its_unit_was_deleted"),
        pytest.param({"owner": "none"}, [FOREIGN], id="foreign_table"),
        pytest.param(
            {"owner": "process 9 (x)", "installed": True},
            [
                "error | node-1 | port guard | the nftables table aztec_prover belongs to process 9 (x) | end that "
                "process, then run again"
            ],
            id="another_process",
        ),
        pytest.param(
            {"installed": True, "owner": "guard", "problems": [FILE, FILE.replace("x.json", "y.json")]},
            [
                f"error | node-1 | port guard | {FILE} | "
                "delete it (rm /etc/aztec-port-guard/x.json); the run writes it again",
                "error | node-1 | port guard | /etc/aztec-port-guard/y.json was changed by somebody else | "
                "delete it (rm /etc/aztec-port-guard/y.json); the run writes it again",
            ],
            id="files_that_are_not_a_section",
        ),
        pytest.param(
            {"installed": True, "owner": "guard", "saved_rulesets": ["/etc/nftables.conf"]},
            [
                "warning | node-1 | port guard | /etc/nftables.conf contains the port guard's table aztec_prover, so "
                "nftables cannot load it while the guard runs | delete the blocks `table inet aztec_prover` and `table "
                "bridge aztec_prover` from it"
            ],
            id="saved_ruleset",
        ),
        pytest.param(
            {"owner": "none", "problems": [FILE], "saved_rulesets": ["/etc/nftables.conf"]},
            ["error | node-1 | port guard | /etc", FOREIGN, "warning | node-1 | port guard | /etc"],
            id="all_at_once",
        ),
    ],
)
def test_port_guard_of_a_host(guard: dict, found: list[str]) -> None:
    lines = shown(guard_problems("node-1", {"guard": {**GUARD, **guard}}))
    assert len(lines) == len(found)
    assert [line[: len(start)] for line, start in zip(lines, found)] == found


PROVER_BRIDGE = ComponentSettings(docker_network="aztec-prover", docker_bridge="aztec0")
TAKEN = (
    "error | node-1 | prover_node_docker_bridge | aztec0 is the bridge of the Docker network other | set "
    "aztec_docker_bridge, or prover_node_docker_bridge where that is set, to another name"
)
INTERFACE = (
    "error | node-1 | prover_node_docker_bridge | aztec0 is an interface of the host that does not belong to a Docker "
    "network | set "
    "aztec_docker_bridge, or prover_node_docker_bridge where that is set, to another name"
)


@pytest.mark.parametrize(
    ("networks", "interfaces", "serves", "found"),
    [
        pytest.param([], [], True, [], id="not_there_yet"),
        pytest.param([("aztec-prover", "aztec0")], ["aztec0"], True, [], id="there"),
        pytest.param([("other", "aztec0")], ["aztec0"], True, [TAKEN], id="of_another_network"),
        pytest.param([("bridge", "docker0"), ("other", "")], [], True, [], id="other_networks"),
        pytest.param([], ["lo", "aztec0"], True, [INTERFACE], id="of_the_host"),
        pytest.param([], ["lo", "aztec0"], False, [], id="the_engine_does_not_say"),
        pytest.param([("aztec-prover", "older0")], ["older0"], True, [], id="the_prover_network_has_another_bridge"),
    ],
)
def test_bridge_of_a_host(networks: list, interfaces: list, serves: bool, found: list[str]) -> None:
    seen = {
        "networks": [{"name": name, "bridge": bridge} for name, bridge in networks],
        "interfaces": interfaces,
        "engine": engine(serves=serves),
    }
    # Both components have the bridge, which is one problem.
    lines = shown(bridge_problems("node-1", seen, {"prover_node": PROVER_BRIDGE, "prover_broker": PROVER_BRIDGE}))
    assert [line[: len(start)] for line, start in zip(lines, found)] == found
    assert len(lines) == len(found)


def test_components_with_bridges_of_their_own() -> None:
    seen = {"networks": [{"name": "x", "bridge": "a0"}, {"name": "y", "bridge": "b0"}], "engine": engine(serves=True)}
    settings = {
        "prover_node": ComponentSettings(docker_network="n", docker_bridge="a0"),
        "prover_broker": ComponentSettings(docker_network="n", docker_bridge="b0"),
        "prover_agent": ComponentSettings(docker_network="n"),
    }
    found = [(one.variable, one.wrong) for one in bridge_problems("node-1", seen, settings)]
    assert found == [
        ("prover_node_docker_bridge", "a0 is the bridge of the Docker network x"),
        ("prover_broker_docker_bridge", "b0 is the bridge of the Docker network y"),
    ]


def test_host_info_without_networks_has_no_bridge_problem() -> None:
    assert bridge_problems("node-1", {"engine": engine(serves=True)}, {"prover_node": PROVER_BRIDGE}) == []


OWN = ["127.0.0.1", "10.0.0.10", "192.168.1.4", "fd00::10", "172.17.0.1"]
CHOOSE = (
    "set it to one of 127.0.0.1, 10.0.0.10, 192.168.1.4, fd00::10, or to [0.0.0.0] if addresses are translated (NAT)"
)


@pytest.mark.parametrize(
    ("configured", "derived", "own", "found"),
    [
        pytest.param(None, ["10.0.0.10"], OWN, [], id="derived"),
        pytest.param(None, ["fd00::10", "9.9.9.9"], OWN, [], id="one_derived"),
        pytest.param(
            None,
            ["9.9.9.9", "9.9.9.8"],
            OWN,
            [
                "warning | node-1 | prover_broker_publish_addresses | no interface has 9.9.9.9 or 9.9.9.8 (NAT?): "
                "the broker is published on all addresses of the host | set it to the host's own "
                "address behind the NAT, or to [0.0.0.0] for all addresses"
            ],
            id="none_derived",
        ),
        pytest.param(None, ["9.9.9.9"], [], [], id="addresses_are_not_known"),
        pytest.param((), ["9.9.9.9"], OWN, [], id="empty"),
        pytest.param(("10.0.0.10", "fd00::10"), [], OWN, [], id="configured"),
        pytest.param(("127.0.0.1", "127.0.0.9", "::1"), [], OWN, [], id="loopback"),
        pytest.param(("0.0.0.0",), [], OWN, [], id="all_IPv4"),
        pytest.param(("9.9.9.9", "::"), [], OWN, [], id="all_IPv6"),
        pytest.param(
            ("10.0.0.10", "10.0.0.11", "fd00::11"),
            [],
            OWN,
            [
                f"error | node-1 | prover_broker_publish_addresses | no interface has 10.0.0.11 | {CHOOSE}",
                f"error | node-1 | prover_broker_publish_addresses | no interface has fd00::11 | {CHOOSE}",
            ],
            id="on_no_interface",
        ),
        pytest.param(("10.0.0.11",), [], [], [], id="configured_and_addresses_are_not_known"),
    ],
)
def test_addresses_of_the_broker(configured: tuple | None, derived: list, own: list, found: list[str]) -> None:
    setting = ComponentSettings(publish_addresses=configured)
    assert shown(publish_problems("node-1", {"addresses": own}, setting, derived)) == found


def test_publish_addresses_are_part_of_the_check() -> None:
    broker = {"prover_broker": ComponentSettings(publish_addresses=("10.0.0.99",))}
    assert lines({}, {"node-1": broker})[0].startswith(
        "error | node-1 | prover_broker_publish_addresses | no interface"
    )
    assert lines({}, {"agent-1": {"prover_agent": ComponentSettings(publish_addresses=("10.0.0.99",))}}) == []


def test_bridges_are_part_of_the_check() -> None:
    node = host_info("node-1", "10.0.0.10", networks=[{"name": "other", "bridge": "aztec0"}])
    assert lines({"node-1": node}, {"node-1": {"prover_node": PROVER_BRIDGE}}) == [TAKEN]


@pytest.mark.parametrize(
    ("seen", "warned"),
    [
        ({"serves": True, "rules": False}, True),
        ({"serves": True, "rules": True}, False),
        ({"serves": False, "rules": False}, False),
        ({"serves": True, "rules": False, "managed": True}, False),
    ],
)
def test_engines_without_rules(seen: dict, warned: bool) -> None:
    found = unmanaged_engine_problems("node-1", {"engine": engine(**seen)}, EngineSettings())
    assert [(one.level, one.variable) for one in found] == ([("warning", "container engine")] if warned else [])


NODE_PROJECT, BROKER_PROJECT = "aztec-prover-node", "aztec-prover-broker"
RUNS = {"containers": [{"state": "running"}]}


def data(**changes) -> dict:
    """Return a project that is not deployed, with data."""
    return {"containers": [], "data": {"path": "/opt/aztec/x/data", "schemas": {"world_state": 3}}, **changes}


@pytest.mark.parametrize(
    ("components", "projects", "found"),
    [
        ([], {NODE_PROJECT: RUNS}, ["error prover_node"]),
        (["prover_broker"], {NODE_PROJECT: RUNS}, ["error prover_node"]),
        (["prover_node"], {NODE_PROJECT: RUNS}, []),
        (["prover_agent"], {NODE_PROJECT: {"containers": [{"state": "exited"}]}}, []),
        # The status reports a broker that was left behind. It does no harm.
        (["prover_agent"], {BROKER_PROJECT: RUNS}, []),
        (["prover_agent"], {"aztec-b-prover-node": RUNS}, []),
        (["prover_node", "prover_broker"], {NODE_PROJECT: data(), BROKER_PROJECT: data()},
         ["note prover_node", "note prover_broker"]),
        (["prover_node"], {NODE_PROJECT: data(compared={"state": {}})}, ["note prover_node"]),
        (["prover_node"], {NODE_PROJECT: data(compared={"state": {"good": "good-1"}})}, []),
        (["prover_node"], {NODE_PROJECT: data(containers=[{"state": "exited"}])}, []),
        (["prover_broker"], {NODE_PROJECT: data()}, []),
        (["prover_node"], {NODE_PROJECT: data(data={"path": "/x", "schemas": {}})}, []),
        (["prover_node"], {NODE_PROJECT: {"containers": [], "data": None}}, []),
    ],
)
def test_components_that_moved(components, projects, found):
    """A node that runs twice with one key ends the run. Data that is left is only mentioned."""
    fleet = {**FLEET, "node": {"host": "node-9"}}
    problems = moved_component_problems("old", {"projects": projects}, components, fleet)
    assert [f"{one.level} {one.variable}" for one in problems] == found
    assert all(f"run remove.yml --limit old -e aztec_components={one.variable} first" in one.remedy for one in problems)


def test_a_node_that_moved_names_its_new_host():
    fleet = {**FLEET, "node": {"host": "node-9"}}
    (problem,) = moved_component_problems("old", {"projects": {NODE_PROJECT: RUNS}}, [], fleet)
    assert "the node of node-9" in problem.wrong and problem.fleet
