# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the preflight reports on Docker's networks of a host that overlap addresses of the fleet or routes."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_networks import recreation_steps
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.docker_network_checks import (
    docker_network_problems,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_settings import (
    ComponentSettings,
    EngineSettings,
)

OPTIONS, DAEMON = "docker_engine_daemon_options", "/etc/docker/daemon.json"


def fleet_of(broker: str = "10.0.0.10", agent: str = "10.0.0.21", other: str = "10.0.0.22") -> dict:
    return {
        "hosts": {
            "broker-1": {"components": ["prover_broker"], "addresses": [broker]},
            "agent-1": {"components": ["prover_agent"], "addresses": [agent]},
            "agent-2": {"components": ["prover_agent"], "addresses": [other]},
        }
    }


def route(network: str, interface: str = "eth0", gateway: str = "", mtu: int = 1500) -> dict:
    return {"network": network, "gateway": gateway, "interface": interface, "mtu": mtu}


def network(name: str, *subnets: str, bridge: str = "", mtu: int = 1500) -> dict:
    return {"name": name, "bridge": bridge, "interface": bridge or "br-1", "subnets": list(subnets), "mtu": mtu}


DEFAULT = route("0.0.0.0/0", gateway="192.0.2.1")
DOCKER0 = network("bridge", "172.17.0.0/16", bridge="docker0")
FLEET = network("aztec-prover", "172.18.0.0/16", bridge="aztec0")
BARE = {"engine": {"serves": False, "managed": False}, "networks": [], "routes": [DEFAULT]}


def serves(*networks: dict, managed: bool = True, routes: tuple = (DEFAULT,), pools: list | None = None) -> dict:
    engine = {"serves": True, "managed": managed, "address_pools": pools or []}
    return {"engine": engine, "networks": list(networks), "routes": list(routes)}


def lines(
    host_info: dict, fleet: dict, host: str = "agent-1", options: dict | None = None, **setting: object
) -> list[str]:
    wanted = {"docker_network": "aztec-prover", "docker_bridge": "aztec0", **setting}
    settings = {fleet["hosts"][host]["components"][0]: ComponentSettings(**wanted)}
    found = docker_network_problems(host, host_info, settings, EngineSettings(options=options or {}), fleet)
    assert all("\n" not in one.wrong + one.remedy for one in found)
    return [f"{one.level} | {one.variable} | {one.wrong} | {one.remedy}" for one in found]


AWAY = fleet_of()
AT_17, AT_18, AT_192 = fleet_of("172.17.0.10"), fleet_of("172.18.0.10"), fleet_of("192.168.50.10")
POOL = (
    "warning | container engine | Docker's address pools contain {}: a network that is created later can get it | "
    "set docker_engine_daemon_options: {{default-address-pools: [{{base: 10.201.0.0/16, size: 24}}]}}"
)


@pytest.mark.parametrize(
    "host_info",
    [
        pytest.param(BARE, id="no engine"),
        pytest.param(serves(DOCKER0, FLEET), id="an engine"),
        pytest.param({"engine": {"serves": True, "managed": False}}, id="host info without networks and routes"),
        pytest.param(
            serves(
                DOCKER0, FLEET, routes=(DEFAULT, route("172.17.0.0/16", "docker0"), route("172.18.0.0/16", "aztec0"))
            ),
            id="the routes of Docker's own bridges",
        ),
    ],
)
def test_nothing_overlaps(host_info: dict) -> None:
    for host in AWAY["hosts"]:
        assert lines(host_info, AWAY, host) == []


@pytest.mark.parametrize("fleet", [fleet_of("172.31.77.11", "172.31.77.21"), fleet_of("192.168.1.10", "192.168.1.21")])
def test_hosts_of_one_subnet_that_docker_sees(fleet: dict) -> None:
    """Docker does not use a network that the host is in."""
    near = fleet["hosts"]["broker-1"]["addresses"][0].rpartition(".")[0]
    assert lines(serves(DOCKER0, FLEET, routes=(DEFAULT, route(f"{near}.0/24"))), fleet) == []


@pytest.mark.parametrize(
    ("fleet", "named"),
    [(AT_18, "172.18.0.10 (broker-1)"), (AT_192, "192.168.50.10 (broker-1)")],
)
def test_an_address_in_docker_s_pools(fleet: dict, named: str) -> None:
    """The broker at an address that Docker would give to a network."""
    assert lines(BARE, fleet) == [POOL.format(named)]
    other = 'set "default-address-pools": [{"base": "10.201.0.0/16", "size": 24}] in /etc/docker/daemon.json'
    (line,) = lines(serves(DOCKER0, managed=False), fleet)
    assert line.endswith(f"{other} and run systemctl restart docker")
    # The remedy of the line.
    pools = [{"base": "10.201.0.0/16", "size": 24}]
    assert lines(BARE, fleet, options={"default-address-pools": pools}) == []
    assert lines(serves(DOCKER0), fleet, options={"default-address-pools": pools}) == []
    assert lines(serves(DOCKER0, managed=False, pools=[{"Base": "10.201.0.0/16", "Size": 24}]), fleet) == []


def test_many_addresses_are_one_line() -> None:
    fleet = fleet_of("172.18.0.10", "10.0.0.21", "172.18.0.22")
    fleet["hosts"] |= {
        f"agent-{number}": {"components": ["prover_agent"], "addresses": [f"172.18.0.{number}"]} for number in (3, 4, 5)
    }
    named = "172.18.0.10 (broker-1), 172.18.0.22 (agent-2), 172.18.0.3 (agent-3) and 2 more"
    assert lines(BARE, fleet) == [POOL.format(named)]


def test_a_route_by_a_gateway_in_docker_s_pools() -> None:
    (line,) = lines(serves(routes=(DEFAULT, route("172.20.0.0/16", "eth1", "10.0.0.1"))), AWAY)
    assert line.startswith(
        "warning | container engine | Docker's address pools overlap the route 172.20.0.0/16 by eth1: a network"
    )


STOP = (
    "stop the host's containers (docker ps -q | xargs -r docker stop), because docker0 only changes while no container "
    "runs"
)


def test_the_default_bridge_that_a_bare_host_would_get() -> None:
    found = lines(BARE, AT_17)
    assert found[0] == (
        "error | container engine | Docker's default bridge docker0 gets 172.17.0.0/16, which contains 172.17.0.10 "
        '(broker-1) | set docker_engine_daemon_options: {bip: "10.200.0.1/24"}'
    )
    assert [line.split(" | ")[0] for line in found] == ["error", "warning"]
    # Either of the two remedies is enough for the error.
    assert lines(BARE, AT_17, options={"bip": "10.200.0.1/24"}) == found[1:]
    assert lines(BARE, AT_17, options={"default-address-pools": [{"base": "10.201.0.0/16", "size": 24}]}) == []


def test_the_default_bridge_that_is_there() -> None:
    wrong = "Docker's default bridge docker0 has 172.17.0.0/16, which contains 172.17.0.10 (broker-1)"
    managed, foreign = serves(DOCKER0, FLEET), serves(DOCKER0, FLEET, managed=False)
    assert lines(managed, AT_17) == [
        f'error | container engine | {wrong} | set docker_engine_daemon_options: {{bip: "10.200.0.1/24"}}, and {STOP}'
    ]
    assert lines(foreign, AT_17) == [
        f'error | container engine | {wrong} | set "bip": "10.200.0.1/24" in /etc/docker/daemon.json, {STOP}, then run '
        "systemctl restart docker"
    ]
    # bip is set, and this run restarts the engine with it.
    assert lines(managed, AT_17, options={"bip": "10.200.0.1/24"}) == [
        f"warning | container engine | {wrong} | {STOP}; this run then restarts Docker with the bip that is set"
    ]
    assert lines(managed, AT_17, options={"bip": "172.17.128.1/16"})[0].startswith("error")
    moved = network("bridge", "10.201.0.0/24", bridge="docker0")
    assert [line.split(" | ")[0] for line in lines(serves(moved, FLEET), AT_17)] == ["warning"]


@pytest.mark.parametrize(("host", "level"), [("agent-1", "warning"), ("broker-1", "error")])
def test_an_overlap_is_an_error_for_who_has_to_reach_the_address(host: str, level: str) -> None:
    """An agent does not connect to other agents; the broker's host answers all of them."""
    found = lines(serves(DOCKER0, network("x", "172.19.0.0/16")), fleet_of(other="172.19.0.22"), host)
    assert found == [
        f"{level} | container engine | the Docker network x has 172.19.0.0/16, which contains 172.19.0.22 (agent-2) | "
        "remove it (stop its containers, docker network rm x), or create it with another --subnet"
    ]


def test_the_fleet_s_network() -> None:
    holds = "the Docker network aztec-prover has 172.18.0.0/16, which contains 172.18.0.10 (broker-1)"
    assert lines(serves(DOCKER0, FLEET), AT_18) == [
        f"error | prover_agent_docker_ipv4_subnet | {holds} | {recreation_steps('aztec-prover')}"
    ]
    (line,) = lines(serves(DOCKER0, FLEET), AT_18, docker_ipv4_subnet="172.18.0.0/16")
    assert line.endswith(f"| set aztec_docker_ipv4_subnet to 10.201.0.0/24; {recreation_steps('aztec-prover')}")
    # With the network removed, as in the remedy, the next one avoids the address. A warning on the pools remains.
    assert [line.split(" | ")[0] for line in lines(serves(DOCKER0), AT_18)] == ["warning"]


def test_an_ipv6_subnet() -> None:
    six = network("aztec-prover", "172.18.0.0/16", "fd00::/64", bridge="aztec0")
    (line,) = lines(serves(DOCKER0, six), fleet_of("fd00::10", "fd00::21", "fd00::22"))
    assert "which contains fd00::10 (broker-1), fd00::22 (agent-2)" in line
    (line,) = lines(serves(DOCKER0, six, routes=(DEFAULT, route("fd00::/48", "eth1"))), AWAY)
    assert line.startswith("warning") and "which overlaps the route fd00::/48 by eth1" in line


@pytest.mark.parametrize("name", ["bridge", "x", "aztec-prover"])
def test_a_network_over_a_route(name: str) -> None:
    """The range of a VPN or of another bridge that contains Docker's network."""
    bridge = {"bridge": "docker0", "aztec-prover": "aztec0"}.get(name, "")
    seen = serves(network(name, "10.8.0.0/16", bridge=bridge), routes=(DEFAULT, route("10.8.3.0/24", "wg0")))
    (line,) = lines(seen, AWAY)
    assert line.startswith("warning") and "10.8.0.0/16, which overlaps the route 10.8.3.0/24 by wg0" in line


@pytest.mark.parametrize(
    ("host_info", "subnet", "wrong"),
    [
        pytest.param(BARE, "10.202.0.0/24", "", id="free"),
        pytest.param(serves(DOCKER0, FLEET), "172.18.0.0/16", "", id="there"),
        pytest.param(
            serves(DOCKER0, FLEET), "10.202.0.0/24",
            "the Docker network aztec-prover has 172.18.0.0/16, not 10.202.0.0/24",
            id="another is there",
        ),
        pytest.param(
            BARE, "10.0.0.0/24", "10.0.0.0/24 contains 10.0.0.10 (broker-1), 10.0.0.22 (agent-2)", id="the fleet"
        ),
        pytest.param(
            serves(routes=(DEFAULT, route("10.202.0.0/16", "eth1"))), "10.202.0.0/24",
            "10.202.0.0/24 overlaps the route 10.202.0.0/16 by eth1", id="a route",
        ),
        pytest.param(
            serves(DOCKER0, network("x", "10.202.0.0/16")), "10.202.0.0/24",
            "10.202.0.0/24 overlaps the Docker network x", id="another network",
        ),
    ],
)  # fmt: skip
def test_a_subnet_that_is_set(host_info: dict, subnet: str, wrong: str) -> None:
    found = lines(host_info, AWAY, docker_ipv4_subnet=subnet)
    assert [line.split(" | ")[:3] for line in found] == (
        [["error", "prover_agent_docker_ipv4_subnet", wrong]] if wrong else []
    )


def behind(*networks: str) -> tuple:
    """Return the default route and routes to networks by a gateway."""
    return (DEFAULT, *(route(one, "eth1", "192.0.2.9") for one in networks))


PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
ANOTHER = "set aztec_docker_ipv4_subnet to another subnet, such as {}"


@pytest.mark.parametrize(
    ("routes", "subnet", "found"),
    [
        pytest.param(behind(*PRIVATE), "10.202.0.0/24", None, id="all private networks"),
        pytest.param(behind(*PRIVATE, "10.202.0.0/20"), "10.202.0.0/24", ("warning", "10.201.0.0/24"), id="and one"),
        pytest.param(behind(*PRIVATE), "172.30.0.0/24", ("warning", "10.201.0.0/24"), id="overlaps the widest"),
        pytest.param(behind("10.0.0.0/8"), "10.202.0.0/24", ("warning", "192.168.0.0/24"), id="room elsewhere"),
        pytest.param(behind("10.202.0.0/16"), "10.202.0.0/24", ("warning", "10.201.0.0/24"), id="one network"),
        pytest.param(behind("10.202.0.16/28"), "10.202.0.0/24", ("warning", "10.201.0.0/24"), id="inside"),
        pytest.param(
            (*behind(*PRIVATE), route("10.202.0.0/16")), "10.202.0.0/24", ("error", "10.201.0.0/24"), id="on link"
        ),
    ],
)  # fmt: skip
def test_a_subnet_that_is_set_over_routes_by_gateways(routes: tuple, subnet: str, found: tuple | None) -> None:
    """Expect at most a warning, whose proposal is a working remedy."""
    seen = serves(routes=routes, pools=[{"base": "198.18.0.0/16", "size": 24}])
    reported = lines(seen, AWAY, docker_ipv4_subnet=subnet)
    if found is None:
        assert reported == []
        return
    level, other = found
    (line,) = reported
    assert line.startswith(f"{level} | prover_agent_docker_ipv4_subnet | {subnet} overlaps the route ")
    assert line.endswith(f"| {ANOTHER.format(other)}")
    assert lines(seen, AWAY, docker_ipv4_subnet=other) == []


@pytest.mark.parametrize(("host", "level"), [("agent-1", "warning"), ("broker-1", "error")])
def test_a_subnet_that_is_set_over_an_address(host: str, level: str) -> None:
    (line,) = lines(BARE, fleet_of(other="10.202.0.22"), host, docker_ipv4_subnet="10.202.0.0/24")
    assert line.startswith(f"{level} | ") and "10.202.0.0/24 contains 10.202.0.22 (agent-2) | " in line


def test_a_subnet_that_is_set_over_an_address_and_a_route_of_the_host() -> None:
    """The error is reported and not the warning."""
    seen = serves(routes=(DEFAULT, route("10.202.0.0/16")))
    (line,) = lines(seen, fleet_of(other="10.202.0.22"), docker_ipv4_subnet="10.202.0.0/24")
    assert line.startswith("error | ") and "10.202.0.0/24 overlaps the route 10.202.0.0/16 by eth0 | " in line


def test_the_remedies_with_summary_routes_work() -> None:
    """Those on Docker's own bridge, its pools and the fleet's network together."""
    routes = behind(*PRIVATE)
    found = lines(serves(DOCKER0, FLEET, routes=routes), AWAY)
    assert [line.split(" | ")[0] for line in found] == ["warning"] * 3
    bridge, pools, own = (line.split(" | ", 3)[3] for line in found)
    assert bridge.startswith('set docker_engine_daemon_options: {bip: "10.200.0.1/24"}')
    assert pools == "set docker_engine_daemon_options: {default-address-pools: [{base: 10.201.0.0/16, size: 24}]}"
    assert own == f"set aztec_docker_ipv4_subnet to 10.201.0.0/24; {recreation_steps('aztec-prover')}"
    options = {"bip": "10.200.0.1/24", "default-address-pools": [{"base": "10.201.0.0/16", "size": 24}]}
    moved = network("bridge", "10.200.0.0/24", bridge="docker0")
    made = network("aztec-prover", "10.201.0.0/24", bridge="aztec0")
    for there in ([moved], [moved, made]):
        assert lines(serves(*there, routes=routes), AWAY, options=options, docker_ipv4_subnet="10.201.0.0/24") == []


def test_proposals_with_a_summary_route_of_one_private_network_do_not_overlap() -> None:
    both = fleet_of("172.17.0.10", "10.0.0.21", "172.18.0.22")
    seen = serves(DOCKER0, FLEET, routes=behind("10.0.0.0/8"))
    bridge, own = lines(seen, both, docker_ipv4_subnet="172.18.0.0/16")
    assert 'bip: "192.168.248.1/24"' in bridge
    assert "set aztec_docker_ipv4_subnet to 192.168.0.0/24;" in own


def test_a_small_pool_where_there_is_no_room_for_a_large_one() -> None:
    seen = {**BARE, "routes": [*behind("10.0.0.0/8", "172.16.0.0/12"), route("192.168.1.0/24")]}
    assert lines(seen, AWAY)[-1].endswith("{default-address-pools: [{base: 192.168.16.0/20, size: 24}]}")


def test_what_is_proposed_for_the_bridge_and_for_the_network_go_together() -> None:
    """Docker does not create a network in the subnet of docker0, even if docker0 does not exist yet."""
    both = fleet_of("172.17.0.10", "10.0.0.21", "172.18.0.22")
    seen = serves(DOCKER0, FLEET)
    bridge, network_line = lines(seen, both, docker_ipv4_subnet="172.18.0.0/16")
    assert 'bip: "10.200.0.1/24"' in bridge
    assert "| set aztec_docker_ipv4_subnet to 10.201.0.0/24; on the host" in network_line
    options = {"bip": "10.201.0.1/24"}
    *_others, network_line = lines(seen, both, options=options, docker_ipv4_subnet="172.18.0.0/16")
    assert "| set aztec_docker_ipv4_subnet to 10.201.1.0/24; on the host" in network_line
    assert lines(BARE, AWAY, options=options, docker_ipv4_subnet="10.201.0.0/24") == [
        "error | prover_agent_docker_ipv4_subnet | 10.201.0.0/24 overlaps the Docker network bridge | "
        "set aztec_docker_ipv4_subnet to another subnet, such as 10.201.1.0/24"
    ]
    assert lines(BARE, AWAY, options=options, docker_ipv4_subnet="10.201.1.0/24") == []


def test_pools_without_a_free_subnet() -> None:
    pools = [{"base": "10.9.0.0/24", "size": 24}]
    found = lines(BARE, fleet_of("10.9.0.10"), options={"default-address-pools": pools, "bip": "10.200.0.1/24"})
    assert found[-1].startswith(
        "error | prover_agent_docker_ipv4_subnet | each subnet of Docker's address pools overlaps"
    )
    assert found[-1].endswith("set aztec_docker_ipv4_subnet to a free subnet, such as 10.201.0.0/24")


NARROW = {**DEFAULT, "mtu": 1400}
WG = route("10.0.0.0/24", "wg0", mtu=1420)
HAS = "the Docker network aztec-prover has MTU"


@pytest.mark.parametrize(
    ("mtu", "routes", "wanted", "found"),
    [
        pytest.param(1500, (DEFAULT,), 0, [], id="fits"),
        pytest.param(1400, (NARROW,), 0, [], id="fits a specific_routes uplink"),
        pytest.param(1400, (DEFAULT,), 0, [], id="smaller than need be"),
        pytest.param(1500, ({**DEFAULT, "mtu": 9001},), 0, [], id="jumbo frames"),
        pytest.param(1500, (NARROW,), 0, [f"warning | {HAS} 1500 and eth0 has 1400: large packets"], id="uplink"),
        pytest.param(1500, (DEFAULT, WG), 0, [f"warning | {HAS} 1500 and wg0 has 1420: large packets"], id="tunnel"),
        pytest.param(1500, (NARROW,), 1400, [f"error | {HAS} 1500, not 1400"], id="set and there"),
        pytest.param(1400, (NARROW,), 1400, [], id="set and the same"),
        pytest.param(None, (NARROW,), 1400, [], id="set"),
        pytest.param(None, (NARROW,), 0, [], id="not there yet"),
        pytest.param(
            None, (NARROW,), 1500, ["warning | 1500 is more than the MTU of eth0, which is 1400"], id="set too large"
        ),
        pytest.param(None, ({**DEFAULT, "mtu": 9001},), 9001, [], id="set for jumbo frames"),
        pytest.param(1500, (), 0, [], id="no routes"),
    ],
)
def test_the_mtu(mtu: int | None, routes: tuple, wanted: int, found: list[str]) -> None:
    there = [network("aztec-prover", "10.201.0.0/24", bridge="aztec0", mtu=mtu)] if mtu else []
    seen = lines(serves(*there, routes=routes), AWAY, docker_mtu=wanted)
    shown = [line.replace("prover_agent_docker_mtu | ", "") for line in seen]
    assert [line[: len(start)] for line, start in zip(shown, found)] == found
    assert len(shown) == len(found)


def test_components_of_a_host_share_a_line() -> None:
    fleet = fleet_of("172.18.0.10")
    fleet["hosts"]["agent-1"]["components"] = ["prover_node", "prover_agent"]
    settings = dict.fromkeys(("prover_node", "prover_agent"), ComponentSettings(docker_network="aztec-prover"))
    assert len(docker_network_problems("agent-1", serves(DOCKER0, FLEET), settings, EngineSettings(), fleet)) == 1
