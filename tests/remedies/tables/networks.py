"""Problems of Docker's networks on a host: a row is (a part of the line, the host with it, the host after it).

`agent(networks...)` is the host agent-1 with these Docker networks, `bare()` the same without an engine. The
fleet's addresses, the options of daemon.json and the component's settings are named.
"""

from __future__ import annotations

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.docker_network_checks import (
    docker_network_problems,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_settings import (
    ComponentSettings,
    EngineSettings,
)

from tests.remedies.case import Lines, cases, problem_lines
from tests.remedies.tables.hosts import but_for
from tests.unit.plugins.plugin_utils.preflight.test_docker_network_checks import (
    AT_17,
    AT_18,
    AWAY,
    BARE,
    DEFAULT,
    DOCKER0,
    FLEET,
    NARROW,
    fleet_of,
    network,
    route,
    serves,
)


def seen(host_info: dict, fleet: dict, options: dict | None = None, **setting: object) -> Lines:
    """Return what checks the networks of agent-1. options: of daemon.json; setting: of its component."""
    settings = {"prover_agent": ComponentSettings(docker_network="aztec-prover", docker_bridge="aztec0", **setting)}
    return lambda: problem_lines(
        docker_network_problems("agent-1", host_info, settings, EngineSettings(options=options or {}), fleet)
    )


def agent(*networks: dict, fleet: dict = AWAY, options: dict | None = None, **setting: object) -> Lines:
    """Return what checks a host with the role's own engine and these networks."""
    return seen(serves(*networks), fleet, options, **setting)


def bare(fleet: dict, options: dict | None = None, **setting: object) -> Lines:
    """Return what checks a host without an engine."""
    return seen(BARE, fleet, options, **setting)


def theirs(*networks: dict, fleet: dict, pools: list | None = None) -> Lines:
    """Return what checks a host with an engine of somebody else's. pools: those of its daemon.json."""
    return seen(serves(*networks, managed=False, pools=pools), fleet)


def with_mtu(mtu: int, wanted: int = 0) -> Lines:
    """Return what checks a host whose uplink has an MTU of 1400. mtu: of the fleet's network, 0 where there is none."""
    there = [network("aztec-prover", "10.201.0.0/24", bridge="aztec0", mtu=mtu)] if mtu else []
    return seen(serves(*there, routes=(NARROW,)), AWAY, docker_mtu=wanted)


def without_pools(lines: Lines) -> Lines:
    """Return the same without the warning on Docker's address pools, which has a remedy of its own."""
    return but_for(lines, "Docker's address pools contain")


BIP = {"bip": "10.200.0.1/24"}
POOLS = {"default-address-pools": [{"base": "10.201.0.0/16", "size": 24}]}
MOVED = network("bridge", "10.200.0.0/24", bridge="docker0")
OTHER = network("x", "172.19.0.0/16")
AT_19 = fleet_of("172.19.0.10")
TAKEN = fleet_of("10.9.0.10")
NO_POOL = {"default-address-pools": [{"base": "10.9.0.0/24", "size": 24}], **BIP}
MADE_AGAIN = network("aztec-prover", "10.201.0.0/24", bridge="aztec0")
# Routes that leave no place for a network, and the same made narrower.
FULL = [route(one, "eth1") for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
NARROWER = (DEFAULT, route("10.0.0.0/9", "eth1"))
NARROW_IT = ": narrow or remove routes of the host"
# Summary routes by gateways, which leave 10.0.0.0/8.
SUMMARY = (DEFAULT, *(route(one, "eth1", "192.0.2.9") for one in ("172.16.0.0/12", "192.168.0.0/16")))
ON_18, SET = {"docker_ipv4_subnet": "172.18.0.0/16"}, {"docker_ipv4_subnet": "10.201.0.0/24"}
ON_202 = {"docker_ipv4_subnet": "10.202.0.0/24"}

NETWORKS = cases(
    # Docker's own bridge
    (
        "docker0 gets 172.17.0.0/16, which contains 172.17.0.10 (broker-1): set docker_engine_daemon_options",
        bare(AT_17),
        without_pools(bare(AT_17, BIP)),
    ),
    (
        'set docker_engine_daemon_options: {bip: "10.200.0.1/24"}, and stop the host\'s containers',
        agent(DOCKER0, FLEET, fleet=AT_17),
        without_pools(agent(MOVED, FLEET, fleet=AT_17, options=BIP)),
    ),
    (
        "this run then restarts Docker with the bip that is set",
        agent(DOCKER0, FLEET, fleet=AT_17, options=BIP),
        without_pools(agent(MOVED, FLEET, fleet=AT_17, options=BIP)),
    ),
    (
        'set "bip": "10.200.0.1/24" in /etc/docker/daemon.json',
        theirs(DOCKER0, FLEET, fleet=AT_17),
        without_pools(theirs(MOVED, FLEET, fleet=AT_17)),
    ),
    # what a network that is created later can get
    (
        "set docker_engine_daemon_options: {default-address-pools: [{base: 10.201.0.0/16, size: 24}]}",
        bare(AT_18),
        bare(AT_18, POOLS),
        agent(MOVED, fleet=AT_18, options=POOLS),
    ),
    (
        'set "default-address-pools": [{"base": "10.201.0.0/16", "size": 24}] in /etc/docker/daemon.json',
        theirs(DOCKER0, fleet=AT_18),
        theirs(DOCKER0, fleet=AT_18, pools=[{"Base": "10.201.0.0/16", "Size": 24}]),
    ),
    # an unmanaged network
    (
        "or create it with another --subnet",
        agent(DOCKER0, OTHER, fleet=AT_19),
        without_pools(agent(DOCKER0, fleet=AT_19)),
        without_pools(agent(DOCKER0, network("x", "10.202.0.0/24"), fleet=AT_19)),
    ),
    # the fleet's network; tests/integration/test_compose_stack.py runs the commands of these lines
    (
        "has 172.18.0.0/16, not 10.201.0.0/24: on the host, run docker ps",
        agent(DOCKER0, FLEET, **SET),
        agent(DOCKER0, **SET),
        agent(DOCKER0, MADE_AGAIN, **SET),
    ),
    (
        "which contains 172.18.0.10 (broker-1): on the host, run docker ps",
        agent(DOCKER0, FLEET, fleet=AT_18),
        without_pools(agent(DOCKER0, fleet=AT_18)),
        without_pools(agent(DOCKER0, network("aztec-prover", "172.19.0.0/16", bridge="aztec0"), fleet=AT_18)),
    ),
    (
        "set aztec_docker_ipv4_subnet to 10.201.0.0/24; on the host, run docker ps",
        agent(DOCKER0, FLEET, fleet=AT_18, **ON_18),
        without_pools(agent(DOCKER0, fleet=AT_18, **SET)),
        without_pools(agent(DOCKER0, MADE_AGAIN, fleet=AT_18, **SET)),
    ),
    (
        "10.0.0.0/24 contains 10.0.0.10 (broker-1), 10.0.0.22 (agent-2): set aztec_docker_ipv4_subnet to another",
        bare(AWAY, docker_ipv4_subnet="10.0.0.0/24"),
        bare(AWAY, **SET),
    ),
    (
        "set aztec_docker_ipv4_subnet to another subnet, such as 10.201.0.0/24",
        seen(serves(routes=(DEFAULT, route("10.202.0.0/16", "eth1"))), AWAY, docker_ipv4_subnet="10.202.0.0/24"),
        seen(serves(routes=(DEFAULT, route("10.202.0.0/16", "eth1"))), AWAY, **SET),
    ),
    (
        "overlaps the Docker network x: set aztec_docker_ipv4_subnet to another subnet, such as 10.201.0.0/24",
        agent(DOCKER0, network("x", "10.202.0.0/16"), docker_ipv4_subnet="10.202.0.0/24"),
        agent(DOCKER0, network("x", "10.202.0.0/16"), **SET),
    ),
    (
        "set aztec_docker_ipv4_subnet to a free subnet, such as 10.201.0.0/24",
        bare(TAKEN, NO_POOL),
        without_pools(bare(TAKEN, NO_POOL, docker_ipv4_subnet="10.202.0.0/24")),
    ),
    # summary routes of a private network
    (
        "10.202.0.0/24 overlaps the route 10.202.0.0/16 by eth1: set aztec_docker_ipv4_subnet to another subnet",
        seen(serves(routes=(DEFAULT, route("10.202.0.0/16", "eth1", "192.0.2.9"))), AWAY, **ON_202),
        seen(serves(routes=(DEFAULT, route("10.202.0.0/16", "eth1", "192.0.2.9"))), AWAY, **SET),
    ),
    (
        "which overlaps the route 172.16.0.0/12 by eth1: set aztec_docker_ipv4_subnet to 10.201.0.0/24; on the host",
        seen(serves(FLEET, routes=SUMMARY), AWAY),
        but_for(seen(serves(routes=SUMMARY), AWAY, **SET), "Docker's address pools overlap"),
        but_for(seen(serves(MADE_AGAIN, routes=SUMMARY), AWAY, **SET), "Docker's address pools overlap"),
    ),
    # routes that leave no place
    (
        f"docker0 has 172.17.0.0/16, which overlaps the route 172.16.0.0/12 by eth1{NARROW_IT}",
        seen(serves(DOCKER0, routes=(DEFAULT, *FULL)), AWAY),
        seen(serves(DOCKER0, routes=NARROWER), AWAY),
    ),
    (
        f"aztec-prover has 172.18.0.0/16, which overlaps the route 172.16.0.0/12 by eth1{NARROW_IT}",
        seen(serves(FLEET, routes=(DEFAULT, *FULL)), AWAY),
        seen(serves(FLEET, routes=NARROWER), AWAY),
    ),
    (
        f"10.202.0.0/24 overlaps the route 10.0.0.0/8 by eth1{NARROW_IT}",
        seen(serves(routes=(DEFAULT, *FULL)), AWAY, **ON_202),
        seen(serves(routes=NARROWER), AWAY, **ON_202),
    ),
    (
        f"overlaps a route of the host or an address of the fleet{NARROW_IT}",
        seen({**BARE, "routes": [DEFAULT, *FULL]}, TAKEN, NO_POOL),
        seen({**BARE, "routes": NARROWER}, TAKEN, NO_POOL, **ON_202),
    ),
    # its MTU
    ("1500 is more than the MTU of eth0, which is 1400", with_mtu(0, 1500), with_mtu(0), with_mtu(0, 1400)),
    ("has MTU 1500, not 1400: on the host, run", with_mtu(1500, 1400), with_mtu(0, 1400), with_mtu(1400, 1400)),
    ("has MTU 1500 and eth0 has 1400: large packets", with_mtu(1500), with_mtu(0), with_mtu(1400)),
)
