# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Subnets and MTU of Docker networks next to routes and the fleet's addresses, and routes as kernels print them."""

from __future__ import annotations

import itertools
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import network as net
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_networks import (
    DEFAULT_POOLS,
    SPARE_POOLS,
    choose_subnet,
    free_subnet,
    overlapping,
    path_mtu,
    pool_subnets,
    pools_of,
    route_to,
)

ROUTES = """\
Iface Destination Gateway  Flags RefCnt Use Metric Mask  MTU Window IRTT
wlan0 00000000 0101A8C0 0003 0 0 600 00000000 0 0 0
eth0 00000000 010200C0 0003 0 0 100 00000000 0 0 0
docker0 000011AC 00000000 0001 0 0 0 0000FFFF 0 0 0
eth0 000200C0 00000000 0001 0 0 100 00FFFFFF 0 0 0
eth0 000010AC FE0200C0 0003 0 0 0 0000F0FF 0 0 0
* 0000A8C0 00000000 0200 0 0 0 0000FFFF 0 0 0
"""
ZERO = "0" * 32
IPV6_ROUTES = f"""\
fe800000000000000000000000000000 40 {ZERO} 00 {ZERO} 00000100 00000001 00000000 00000001 eth0
fd310077000000000000000000000000 40 {ZERO} 00 {ZERO} 00000100 00000001 00000000 00000001 eth0
fd310077000000000000000000000011 80 {ZERO} 00 {ZERO} 00000000 00000001 00000000 80200001 eth0
{ZERO} 00 {ZERO} 00 fd310077000000000000000000000001 00000400 00000001 00000000 00000003 eth0
{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200 lo
"""


def route(network: str, interface: str = "eth0", gateway: str = "", mtu: int = 1500) -> dict:
    return {"network": network, "gateway": gateway, "interface": interface, "mtu": mtu}


ANYWHERE = route("0.0.0.0/0", gateway="192.0.2.1")


def test_the_host_s_routes(tmp_path: Path) -> None:
    """The default route of the lowest metric first; reject routes, links, hosts and loopback are left out."""
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/route").write_text(ROUTES)
    (tmp_path / "proc/net/ipv6_route").write_text(IPV6_ROUTES)
    for interface, mtu in (("eth0", "1400\n"), ("docker0", "1500\n")):
        (tmp_path / "sys/class/net" / interface).mkdir(parents=True)
        (tmp_path / "sys/class/net" / interface / "mtu").write_text(mtu)
    assert net.routes(tmp_path) == [
        route("172.17.0.0/16", "docker0"),
        route("172.16.0.0/12", gateway="192.0.2.254", mtu=1400),
        route("0.0.0.0/0", gateway="192.0.2.1", mtu=1400),
        route("192.0.2.0/24", mtu=1400),
        route("0.0.0.0/0", "wlan0", "192.168.1.1", 0),
        route("fd31:77::/64", mtu=1400),
        route("::/0", gateway="fd31:77::1", mtu=1400),
    ]


def test_a_host_without_routes(tmp_path: Path) -> None:
    assert net.routes(tmp_path) == []


def test_name_servers(tmp_path: Path) -> None:
    for name, text in (
        ("etc/resolv.conf", "# x\nnameserver 127.0.0.53\nsearch lan\nnameserver\n"),
        ("run/systemd/resolve/resolv.conf", "nameserver 172.18.0.2\nnameserver 127.0.0.53\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert net.name_servers(tmp_path) == ["127.0.0.53", "172.18.0.2"]


@pytest.mark.parametrize(
    ("entries", "pools"),
    [
        (None, list(DEFAULT_POOLS)),
        ([], list(DEFAULT_POOLS)),
        ([{"base": "10.1.0.0/16", "size": 24}], [("10.1.0.0/16", 24)]),
        ([{"Base": "10.1.0.0/16", "Size": 24}], [("10.1.0.0/16", 24)]),
        ([{"base": "10.1.2.3/16", "size": "24"}], [("10.1.0.0/16", 24)]),
        ([{"base": "fd00::/48", "size": 64}], list(DEFAULT_POOLS)),
        ([{"base": "10.1.0.0/16", "size": 8}, {"base": "x", "size": 24}, 7], list(DEFAULT_POOLS)),
        ("172.17.0.0/16", list(DEFAULT_POOLS)),
    ],
)
def test_pools(entries: object, pools: list) -> None:
    assert pools_of(entries) == pools


@pytest.mark.parametrize(
    ("subnet", "others", "found"),
    [
        ("172.18.0.0/16", ["172.18.0.10", "172.19.0.10", "fd00::10"], ["172.18.0.10"]),
        ("172.18.0.0/16", ["172.16.0.0/12", "172.18.5.0/24", "10.0.0.0/8"], ["172.16.0.0/12", "172.18.5.0/24"]),
        ("fd00::/64", ["fd00::10", "172.18.0.10"], ["fd00::10"]),
        ("10.0.0.0/24", ["node.lan", ""], []),
        ("", ["10.0.0.1"], []),
        ("x", ["10.0.0.1"], []),
    ],
)
def test_overlapping(subnet: str, others: list, found: list) -> None:
    assert overlapping(subnet, others) == found


@pytest.mark.parametrize(
    ("taken", "found"),
    [
        ([], "172.17.0.0/16"),
        (["172.17.0.0/16", "172.18.0.10"], "172.19.0.0/16"),
        (["172.16.0.0/12"], "192.168.0.0/20"),
        (["172.16.0.0/12", "192.168.1.0/24"], "192.168.16.0/20"),
        (["172.16.0.0/12", "192.168.0.0/16"], ""),
        (["fd00::/8"], "172.17.0.0/16"),
    ],
)
def test_free_subnet(taken: list, found: str) -> None:
    assert free_subnet(DEFAULT_POOLS, taken) == found


POOLS = (("10.9.0.0/28", 30), ("10.9.4.0/24", 26), ("255.255.255.0/24", 25))
NEAR = ["10.9.0.0", "10.9.0.4/30", "10.9.0.5", "10.9.0.8/29", "10.9.4.0/25", "10.9.4.200", "10.9.4.128", "10.0.0.0/8"]


@pytest.mark.parametrize("count", range(len(NEAR) + 1))
def test_free_subnet_is_the_first_that_overlaps_nothing(count: int) -> None:
    """In any order, with nested networks, and at the end of the address space."""
    subnets = [one for base, size in POOLS for one in ip_network(base).subnets(new_prefix=size)]
    for taken in itertools.combinations([*NEAR, "255.255.255.0/25", "255.255.255.255"], count):
        used = [ip_network(one) for one in taken]
        first = next((str(one) for one in subnets if not any(one.overlaps(other) for other in used)), "")
        assert free_subnet(POOLS, taken) == free_subnet(POOLS, reversed(taken)) == first


def test_free_subnet_with_many_peers_and_wide_routes_takes_few_steps() -> None:
    peers = [f"10.201.{number // 200}.{number % 200}" for number in range(400)]
    routes = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
    calls = itertools.count()

    def step(_frame, event: str, _argument) -> None:
        assert event != "call" or next(calls) < 100 * len(peers)

    sys.setprofile(step)
    try:
        found = free_subnet(SPARE_POOLS, [*peers, *routes]), free_subnet(SPARE_POOLS, peers)
    finally:
        sys.setprofile(None)
    assert found == ("", "10.201.2.0/24")


def test_subnets_of_pools_that_hold_an_address() -> None:
    assert pool_subnets(DEFAULT_POOLS, "172.22.3.4") == ["172.22.0.0/16"]
    assert pool_subnets(DEFAULT_POOLS, "192.168.50.10") == ["192.168.48.0/20"]
    assert pool_subnets(DEFAULT_POOLS, "10.0.0.10") == []


DOCKER0 = ["172.17.0.0/16"]


@pytest.mark.parametrize(
    ("routes", "avoid", "taken", "found"),
    [
        pytest.param([ANYWHERE], ["10.0.0.10"], DOCKER0, "", id="nothing near the pools"),
        pytest.param([ANYWHERE], ["172.18.0.10"], DOCKER0, "172.19.0.0/16", id="the broker in what Docker would take"),
        pytest.param([ANYWHERE], ["172.20.0.10"], DOCKER0, "172.18.0.0/16", id="a host in another pool"),
        pytest.param([ANYWHERE], ["fd00::10"], DOCKER0, "", id="IPv6"),
        pytest.param([route("172.18.0.0/24")], [], DOCKER0, "", id="on link, which Docker sees"),
        pytest.param(
            [route("172.18.0.0/24", gateway="10.0.0.1")], [], DOCKER0, "172.19.0.0/16", id="a route by a gateway"
        ),
        pytest.param(
            [route("172.16.0.0/12", gateway="10.0.0.1")], [], DOCKER0, "192.168.0.0/20", id="a wide route by a gateway"
        ),
        pytest.param(
            [route("172.16.0.0/12", gateway="10.0.0.1"), route("192.168.0.0/16", gateway="10.0.0.1")],
            ["172.18.0.10"],
            DOCKER0,
            "172.19.0.0/16",
            id="wide routes over all pools",
        ),
        pytest.param([ANYWHERE], ["172.18.0.10"], [*DOCKER0, "172.19.0.2"], "172.20.0.0/16", id="a name server"),
    ],
)
def test_the_chosen_subnet(routes: list, avoid: list, taken: list, found: str) -> None:
    assert choose_subnet(DEFAULT_POOLS, routes, avoid, taken) == found


def test_no_free_subnet() -> None:
    with pytest.raises(ValueError, match="address pools overlaps"):
        choose_subnet([("10.1.0.0/24", 24)], [ANYWHERE], ["10.1.0.10"], [])


WG = route("10.99.0.0/24", "wg0", mtu=1420)


@pytest.mark.parametrize(
    ("routes", "addresses", "found"),
    [
        ([], [], (0, "")),
        ([ANYWHERE], [], (1500, "eth0")),
        ([{**ANYWHERE, "mtu": 1400}], [], (1400, "eth0")),
        ([{**ANYWHERE, "mtu": 9001}], [], (1500, "eth0")),
        ([ANYWHERE, WG], ["10.0.0.10"], (1500, "eth0")),
        ([ANYWHERE, WG], ["10.99.0.1"], (1420, "wg0")),
        ([{**ANYWHERE, "mtu": 1400}, WG], ["10.99.0.1"], (1400, "eth0")),
        ([{**ANYWHERE, "mtu": 0}], [], (0, "")),
        ([route("::/0", mtu=1480)], [], (1480, "eth0")),
        ([ANYWHERE, route("0.0.0.0/0", "wlan0", mtu=1300)], [], (1500, "eth0")),
    ],
)
def test_the_mtu_that_fits(routes: list, addresses: list, found: tuple) -> None:
    assert path_mtu(routes, addresses) == found


def test_the_route_of_the_longest_prefix() -> None:
    near = route("172.18.0.0/24", "eth1")
    assert route_to([ANYWHERE, route("172.16.0.0/12", "eth2"), near], "172.18.0.10") == near
    assert route_to([WG], "10.0.0.10") is None
