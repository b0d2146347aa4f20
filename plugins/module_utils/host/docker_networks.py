# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare subnets and MTU of Docker networks with the routes of a host and the addresses of the fleet.

Networks and addresses are texts. A route has network, gateway ('' for none), interface and mtu (0 for unknown). Routes
are sorted by preference.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

OPTION_BRIDGE = "com.docker.network.bridge.name"
OPTION_MTU = "com.docker.network.driver.mtu"
DEFAULT_MTU = 1500

# Docker's default address pools (libnetwork, ipamutils): base, and prefix length of a subnet.
DEFAULT_POOLS = (
    ("172.17.0.0/16", 16), ("172.18.0.0/16", 16), ("172.19.0.0/16", 16), ("172.20.0.0/14", 16), ("172.24.0.0/14", 16),
    ("172.28.0.0/14", 16), ("192.168.0.0/16", 20),
)  # fmt: skip
# Address pools to propose instead.
SPARE_POOLS = (("10.201.0.0/16", 24), ("192.168.0.0/16", 24), ("172.16.0.0/12", 24), ("10.0.0.0/8", 24))
# Routes with a shorter prefix are default routes, or parts of one.
WIDEST = 8


def bridge_network(inspected: Mapping) -> dict[str, Any]:
    """Return the properties of a bridge network that the engine returned.

    name, bridge (the name of the bridge where it is set), interface (the name of the bridge in any case), subnets, mtu.
    """
    options = inspected.get("Options") or {}
    bridge, mtu = options.get(OPTION_BRIDGE, ""), str(options.get(OPTION_MTU, ""))
    subnets = [config.get("Subnet") for config in (inspected.get("IPAM") or {}).get("Config") or []]
    return {
        "name": inspected["Name"],
        "bridge": bridge,
        "interface": bridge or f"br-{inspected.get('Id', '')[:12]}",
        "subnets": [subnet for subnet in subnets if subnet],
        "mtu": int(mtu) if mtu.isdigit() else DEFAULT_MTU,
    }


def subnet_of(text: object):
    """Return the network of an address in CIDR notation, None for any other text."""
    return _parsed(str(text))


@lru_cache(maxsize=4096)
def _parsed(text: str):
    # Cached: each host is compared with the addresses of the whole fleet, several times.
    try:
        return ipaddress.ip_interface(text).network
    except ValueError:
        return None


def pools_of(entries: object) -> list[tuple]:
    """Return the address pools in daemon.json or in the engine's info, the default pools where there are none."""
    found = []
    for entry in entries if isinstance(entries, list) else []:
        keys = {str(key).lower(): value for key, value in entry.items()} if isinstance(entry, Mapping) else {}
        base, size = subnet_of(keys.get("base")), keys.get("size")
        if base is not None and base.version == 4 and str(size).isdigit() and base.prefixlen <= int(size) <= 32:
            found.append((str(base), int(size)))
    return found or list(DEFAULT_POOLS)


def overlapping(subnet: object, others: Iterable) -> list[str]:
    """Return the networks and addresses among others that overlap a subnet."""
    own = subnet_of(subnet)
    if own is None:
        return []
    found = [(one, subnet_of(one)) for one in others]
    return [one for one, other in found if other is not None and own.version == other.version and own.overlaps(other)]


def free_subnet(pools: Iterable, taken: Iterable) -> str:
    """Return the first subnet of pools that does not overlap a taken network, '' for none."""
    networks = [one for one in map(subnet_of, taken) if one is not None and one.version == 4]
    used = sorted({(int(one.network_address), int(one.broadcast_address)) for one in networks})
    for base, size in pools:
        pool, step = ipaddress.ip_network(base), 2 ** (32 - size)
        start = int(pool.network_address)
        for first, last in used:
            if first >= start + step:
                break
            if last >= start:
                # The first subnet after the network that overlaps.
                start = (last // step + 1) * step
        if start <= int(pool.broadcast_address):
            return f"{ipaddress.ip_address(start)}/{size}"
    return ""


def specific_routes(routes: Iterable) -> list[Mapping]:
    """Return the routes to specific networks, without default routes."""
    return [route for route in routes if subnet_of(route["network"]).prefixlen >= WIDEST]


def on_link(routes: Iterable) -> list[str]:
    """Return the networks that Docker avoids: those that the host reaches without a gateway."""
    return [route["network"] for route in specific_routes(routes) if not route["gateway"]]


def pool_subnets(pools: Iterable, address: str) -> list[str]:
    """Return the subnets of pools that contain an address."""
    sizes = [size for base, size in pools if overlapping(base, [address])]
    return [str(ipaddress.ip_network(f"{address}/{size}", strict=False)) for size in sizes]


def choose_subnet(pools: Iterable, routes: Iterable, avoid: Iterable, taken: Iterable) -> str:
    """Return the subnet for a new network, '' where Docker's own choice is safe. Raise ValueError where none is free.

    avoid: addresses that the host's containers must reach. taken: subnets of other Docker networks, name servers.
    """
    routes = list(routes)
    used = [*avoid, *(route["network"] for route in specific_routes(routes))]
    unseen = set(used) - set(on_link(routes))
    if not any(overlapping(base, unseen) for base, _size in pools):
        return ""
    # A wide route can cover all pools. In that case, avoid only known addresses and networks.
    found = free_subnet(pools, [*used, *taken]) or free_subnet(pools, [*avoid, *on_link(routes), *taken])
    if not found:
        raise ValueError(
            "each subnet of Docker's address pools overlaps a route of the host or an address of the fleet"
        )
    return found


def route_to(routes: Iterable, address: str) -> Mapping | None:
    """Return the route to an address: the one with the longest prefix, None for none."""
    fitting = [route for route in routes if overlapping(route["network"], [address])]
    return max(fitting, key=lambda route: subnet_of(route["network"]).prefixlen, default=None)


def path_mtu(routes: Iterable, addresses: Iterable, limit: int = DEFAULT_MTU) -> tuple[int, str]:
    """Return the lowest MTU of the default route and the routes to addresses, and its interface.

    limit: the highest value to return. Return (0, '') where no MTU is known.
    """
    routes = list(routes)
    default = next((route for route in routes if subnet_of(route["network"]).prefixlen == 0), None)
    chosen = [default, *(route_to(routes, address) for address in addresses)]
    known = [(min(route["mtu"], limit), route["interface"]) for route in chosen if route and route["mtu"]]
    return min(known, key=lambda one: one[0], default=(0, ""))


def recreation_steps(name: str) -> str:
    """Return the commands that remove a Docker network with its containers. The next run creates them again."""
    containers = f"docker ps -aq --filter network={name}"
    return (
        f"on the host, run {containers} | xargs -r docker stop; {containers} | xargs -r docker rm; "
        f"docker network rm {name}; then run site.yml, which creates them again"
    )
