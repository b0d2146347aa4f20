"""Problems of hosts: a row is (a part of the line, the host with the problem, the host after the remedy).

`host(**changes)` is the host info of the broker's and node's host, without problems except for the changes; `settings`
and `wanted` are its settings. Add a host for each action of the remedy.
"""

from __future__ import annotations

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_checks import (
    check_hosts,
    ipv6_problems,
    publish_problems,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_settings import (
    ComponentSettings,
    EngineSettings,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.unreachable_broker import unreachable_broker

from tests.remedies.case import Lines, cases, problem_lines, returned
from tests.unit.plugins.plugin_utils.preflight.test_host_checks import (
    FLEET,
    GIB,
    NODE_PORTS,
    SERVES,
    SETTINGS,
    engine,
    host_info,
    listens,
    system,
)

DOCKER_LIST = "/etc/apt/sources.list.d/docker.list"


def host(
    settings: dict | None = None, wanted: EngineSettings | None = None, addresses: list | None = None, **changes: object
) -> Lines:
    """Return what checks a host with these changes. addresses: those of the fleet's values."""

    def lines() -> list[str]:
        here = {**FLEET["hosts"]["node-1"], **({"addresses": addresses} if addresses else {})}
        fleet = {**FLEET, "hosts": {"node-1": here}}
        seen = host_info("node-1", "10.0.0.10", **changes)
        own = {"node-1": {**SETTINGS["node-1"], **(settings or {})}}
        return problem_lines(check_hosts({"node-1": seen}, fleet, own, {"node-1": wanted or EngineSettings()}).problems)

    return lines


def agent(settings: ComponentSettings | None = None, **changes: object) -> Lines:
    """Return what checks an agent's host with these changes."""

    def lines() -> list[str]:
        fleet = {**FLEET, "line": "6", "hosts": {"agent-1": FLEET["hosts"]["agent-1"]}}
        own = {"agent-1": {"prover_agent": settings or ComponentSettings()}}
        return problem_lines(
            check_hosts(
                {"agent-1": host_info("agent-1", "10.0.0.21", **changes)}, fleet, own, {"agent-1": EngineSettings()}
            ).problems
        )

    return lines


def fleet_of(host_infos: dict) -> Lines:
    """Return what checks a fleet with the host info of these hosts."""

    def lines() -> list[str]:
        good = {"node-1": host_info("node-1", "10.0.0.10"), "agent-1": host_info("agent-1", "10.0.0.21")}
        engines = {"node-1": EngineSettings(), "agent-1": EngineSettings()}
        return problem_lines(check_hosts({**good, **host_infos}, FLEET, SETTINGS, engines).problems)

    return lines


def but_for(lines: Lines, part: str) -> Lines:
    """Return the same without one line, on a problem that the operator may accept."""

    def others() -> list[str]:
        found = list(lines())
        assert sum(part in one for one in found) == 1, found
        return [one for one in found if part not in one]

    return others


def debian(version: str, name: str = "debian", wanted: str = "docker", **seen: object) -> Lines:
    """Return what checks a host of a distribution. wanted: docker_engine_source."""
    return host(
        os=system(name, version, apt=name in ("debian", "ubuntu")), wanted=EngineSettings(wanted), engine=engine(**seen)
    )


def guarded(**guard: object) -> Lines:
    """Return what checks a host with this state of the port guard."""
    return host(guard={"installed": True, "owner": "guard", "problems": [], "saved_rulesets": [], **guard})


def managed(by: str, inventory: str = "prod", instance: str = "") -> Lines:
    """Return what checks a host whose node is managed by an inventory, for a run with another inventory."""

    def lines() -> list[str]:
        seen = host_info("node-1", "10.0.0.10", projects={"aztec-prover-node": {"containers": [], "inventories": [by]}})
        fleet = {**FLEET, "hosts": {"node-1": FLEET["hosts"]["node-1"]}, "inventory": inventory, "instance": instance}
        return problem_lines(check_hosts({"node-1": seen}, fleet, SETTINGS, {"node-1": EngineSettings()}).problems)

    return lines


def cpu(*flags: str) -> dict:
    """Return the hardware of a host with these features of its processor."""
    return {
        "os": {**system("debian", "13"), "architecture": "x86_64"},
        "hardware": {**host_info("a", "b")["hardware"], "cpu_flags": list(flags)},
    }


def sources(*entries: tuple) -> Lines:
    """Return what checks a host whose apt has these sources: (path, URL, key)."""
    seen = [{"path": path, "uri": uri, "suite": "", "signed_by": key} for path, uri, key in entries]
    return host(engine=engine(apt_sources=seen))


def broker(error: str, source: str | None, *admits: str) -> Lines:
    """Return what an agent's run reports on the connection to the broker, and nothing without an error."""
    attempt = {"host": "10.0.0.10", "port": 8080, "source": source, "error": error}
    return returned(unreachable_broker, attempt, list(admits)) if error else list


def published(configured: tuple | None) -> Lines:
    """Return what checks the addresses of a broker behind a router that translates 9.9.9.9."""
    own = {"addresses": ["192.168.1.4"]}
    return lambda: problem_lines(
        publish_problems("node-1", own, ComponentSettings(publish_addresses=configured), ["9.9.9.9"])
    )


def ipv6(wanted: EngineSettings | None = None, **seen: object) -> Lines:
    """Return what checks a host whose containers need IPv6."""
    good = {"serves": True, "version": "26.1.5", "translates_ipv6": False, "managed": False, "source": "docker-ce"}
    return lambda: problem_lines(
        ipv6_problems("node-1", {"engine": {**good, **seen}}, "fd00::/64", wanted or EngineSettings())
    )


URL = "https://download.docker.com/linux/debian"
READY = {**SERVES, "managed": False}
NFT = {"installed": True}
WARNED = "the run uses the installed software unchanged"
BROKER = SETTINGS["node-1"]["prover_broker"]
NETWORK = {"docker_network": "aztec-prover", "docker_bridge": "aztec0"}

HOSTS = cases(
    # the inventory
    (
        "is managed by the inventory lab, and this one is prod: use that inventory, set aztec_instance",
        managed("lab"),
        managed("lab", inventory="lab"),
        managed("lab", instance="main2"),
    ),
    # the engine
    (
        "fedora 41 is not supported: use Debian or Ubuntu",
        debian("41", "fedora"),
        debian("13"),
        debian("24.04", "ubuntu"),
        but_for(host(os=system("fedora", "41", apt=False), nft=NFT, engine=engine(**READY)), WARNED),
    ),
    ("has only Compose v1", debian("12", wanted="distribution"), debian("12")),
    (
        "ubuntu 20.04 does not have Compose v2",
        debian("20.04", "ubuntu", wanted="distribution"),
        debian("22.04", "ubuntu", wanted="distribution"),
        but_for(debian("20.04", "ubuntu", wanted="distribution", **READY), WARNED),
    ),
    (
        "debian 11 does not have Compose v2",
        debian("11", wanted="distribution"),
        debian("13", wanted="distribution"),
        but_for(debian("11", wanted="distribution", **READY), WARNED),
    ),
    (
        "debian 11 is not supported with Docker's repository: use 12 or 13, or install",
        debian("11"),
        debian("12"),
        debian("13"),
        but_for(debian("11", **READY), WARNED),
    ),
    (
        "set docker_engine_source to distribution",
        debian("26.04", "ubuntu"),
        debian("24.04", "ubuntu"),
        debian("26.04", "ubuntu", wanted="distribution"),
        debian("26.04", "ubuntu", **READY),
    ),
    ("podman-docker provides", host(engine=engine(source="podman-docker")), host()),
    ("run with become", host(engine=engine(error="permission denied")), host()),
    (
        "docker.io is installed but does not respond",
        host(engine=engine(source="docker.io")),
        host(engine=engine(**{**READY, "source": "docker.io"})),
        host(),
    ),
    (
        "its Docker is not from a package",
        host(engine=engine(**{**READY, "compose": None})),
        host(engine=engine(**READY)),
    ),
    (
        "debian 12 does not have a package of it for docker.io: install Compose 2.20 or later as its plugin, or remove",
        debian("12", **{**READY, "source": "docker.io", "compose": None}),
        debian("12", **{**READY, "source": "docker.io"}),
        debian("12"),
    ),
    (
        "or set docker_engine_source to docker, remove docker.io",
        debian("12", wanted="distribution", **{**READY, "source": "docker.io", "compose": None}),
        debian("12", wanted="distribution", **{**READY, "source": "docker.io"}),
        debian("12"),
    ),
    (
        "ubuntu 20.04 does not have a package of it for docker.io",
        debian("20.04", "ubuntu", **{**READY, "source": "docker.io", "compose": "1.29.2"}),
        but_for(debian("20.04", "ubuntu", **{**READY, "source": "docker.io"}), WARNED),
    ),
    (
        "remove that entry, the role writes its own",
        sources((DOCKER_LIST, URL, "/other.gpg"), (DOCKER_LIST, "https://other.lan", "")),
        sources((DOCKER_LIST, "https://other.lan", "")),
    ),
    ("also has Docker's repository", sources((DOCKER_LIST, URL, "/other.gpg")), sources()),
    (
        "fedora 41 is not supported: the run uses the installed software",
        host(os=system("fedora", "41", apt=False), nft=NFT, engine=engine(**READY)),
        host(nft=NFT, engine=engine(**READY)),
        host(os=system("ubuntu", "22.04"), nft=NFT, engine=engine(**READY)),
    ),
    (
        "install nftables manually",
        host(os=system("fedora", "41", apt=False), engine=engine(**READY)),
        but_for(host(os=system("fedora", "41", apt=False), nft=NFT, engine=engine(**READY)), WARNED),
    ),
    (
        "set docker_engine_daemon_options: {experimental: true",
        ipv6(managed=True),
        ipv6(EngineSettings(options={"experimental": True, "ip6tables": True}), managed=True),
        ipv6(EngineSettings(version="27.0.1"), managed=True),
    ),
    (
        "set docker_engine_daemon_options: {experimental: true",
        ipv6(managed=True, source="docker.io"),
        ipv6(EngineSettings(options={"experimental": True, "ip6tables": True}), managed=True, source="docker.io"),
    ),
    ("in its daemon.json", ipv6(), ipv6(version="27.0.0", translates_ipv6=True), ipv6(translates_ipv6=True)),
    (
        "was the ruleset flushed?",
        host(engine=engine(**READY, rules=False)),
        host(engine=engine(**READY)),
    ),
    # hardware and limits
    (
        "use a larger host, or set prover_agent_requirements: warn",
        agent(vcpus=1),
        agent(),
        but_for(agent(ComponentSettings(requirements="warn"), vcpus=1), "prover_agent_requirements: ignore"),
        agent(ComponentSettings(requirements="ignore"), vcpus=1),
    ),
    (
        "or set aztec_requirements: warn",
        host(vcpus=1),
        host(),
        but_for(
            host(
                {
                    "prover_node": ComponentSettings(NODE_PORTS, "warn"),
                    "prover_broker": ComponentSettings(requirements="warn"),
                },
                vcpus=1,
            ),
            "aztec_requirements: ignore",
        ),
    ),
    (
        "the CPU does not have",
        agent(**cpu("sse2")),
        agent(**cpu("sse2", "avx2", "bmi2", "adx")),
        agent(ComponentSettings(requirements="ignore"), **cpu("sse2")),
    ),
    (
        "256.5 CPUs exceed",
        host({"prover_node": ComponentSettings(NODE_PORTS, cpu_limit=256.5)}),
        host({"prover_node": ComponentSettings(NODE_PORTS, cpu_limit=256)}),
        host({"prover_node": ComponentSettings(NODE_PORTS, cpu_limit=0)}),
    ),
    (
        "and has no effect",
        host({"prover_node": ComponentSettings(NODE_PORTS, memory_limit="513G")}),
        host({"prover_node": ComponentSettings(NODE_PORTS, memory_limit="16G")}),
        host({"prover_node": ComponentSettings(NODE_PORTS)}),
    ),
    # ports, bridges, addresses
    (
        "tcp port 8080 is in use by nginx",
        host(**listens(8080, "nginx")),
        host(listening=[]),
        host(
            {"prover_broker": ComponentSettings((("prover_broker_port", "tcp", 8090, False),))},
            **listens(8080, "nginx"),
        ),
    ),
    (
        "is the bridge of the Docker network other",
        host(
            {"prover_node": ComponentSettings(NODE_PORTS, **NETWORK)}, networks=[{"name": "other", "bridge": "aztec0"}]
        ),
        host(
            {"prover_node": ComponentSettings(NODE_PORTS, docker_network="aztec-prover", docker_bridge="aztec1")},
            networks=[{"name": "other", "bridge": "aztec0"}],
        ),
    ),
    (
        "is an interface of the host that does not belong to a Docker network",
        host({"prover_node": ComponentSettings(NODE_PORTS, **NETWORK)}, interfaces=["aztec0"], engine=engine(**READY)),
        host(
            {"prover_node": ComponentSettings(NODE_PORTS, docker_network="aztec-prover", docker_bridge="aztec1")},
            interfaces=["aztec0"],
            engine=engine(**READY),
        ),
    ),
    (
        "(NAT?): the broker is published on all",
        published(None),
        published(("192.168.1.4",)),
        published(("0.0.0.0",)),
    ),
    (
        "no interface has 10.0.0.99: set it to one of",
        host({"prover_broker": ComponentSettings(BROKER.ports, publish_addresses=("10.0.0.99",))}),
        host({"prover_broker": ComponentSettings(BROKER.ports, publish_addresses=("10.0.0.10",))}),
        host({"prover_broker": ComponentSettings(BROKER.ports, publish_addresses=("0.0.0.0",))}),
    ),
    ("the host does not have the address", host(addresses=["10.0.0.9"]), host(addresses=["10.0.0.10"])),
    (
        "is the same machine as node-1",
        fleet_of({"agent-1": host_info("node-1", "10.0.0.10", memory=512 * GIB)}),
        fleet_of({}),
    ),
    ("without its prover_broker and prover_node the run stops", fleet_of({"node-1": None}), fleet_of({})),
    ("the run continues without it", fleet_of({"agent-1": None}), fleet_of({})),
    # the port guard
    (
        "delete it (rm /etc/aztec-port-guard/x.json)",
        guarded(problems=["/etc/aztec-port-guard/x.json was changed by somebody else"]),
        guarded(),
    ),
    ("belongs to process 9 (x)", guarded(owner="process 9 (x)"), guarded(owner="")),
    ("the port guard did not create it", guarded(owner="none", installed=False), guarded(owner="", installed=False)),
    ("contains the port guard's table", guarded(saved_rulesets=["/etc/nftables.conf"]), guarded()),
    # the connection to the broker
    ("run site.yml for the broker's host", broker("Connection refused", "10.0.0.9", "10.0.0.9/32"), broker("", None)),
    ("see docker logs prover-broker", broker("answers 503 at /status", "10.0.0.9"), broker("", "10.0.0.9")),
    ("correct prover_agent_broker_host, or aztec", broker("name does not resolve", ""), broker("", "10.0.0.9")),
    ("give this host a route to it", broker("Network is unreachable", None, "10.0.0.9/32"), broker("", "10.0.0.9")),
    (
        "correct aztec_address of this host, or add",
        broker("timed out", "10.0.0.9", "10.0.0.21/32"),
        broker("", "10.0.0.21", "10.0.0.21/32"),
        broker("", "10.0.0.9", "10.0.0.21/32", "10.0.0.9/32"),
    ),
    (
        "if a router translates this address (NAT)",
        broker("timed out", "192.168.1.10", "192.168.1.10/32"),
        broker("", "192.168.1.10", "192.168.1.10/32", "198.51.100.7/32"),
    ),
)
