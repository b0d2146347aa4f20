# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Subnets and MTU of Docker networks, compared with a host's routes and with the addresses of the fleet.

Networks, addresses and routes are texts, as looks and variables hold them. A route: network, gateway ('' for none),
interface and mtu (0 where it is not known), in the kernel's order of preference.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache

OPTION_MTU = "com.docker.network.driver.mtu"
DEFAULT_MTU = 1500

# What Docker takes subnets from where nothing else is set (libnetwork, ipamutils): base, and the prefix of a subnet.
DEFAULT_POOLS = (
    ("172.17.0.0/16", 16), ("172.18.0.0/16", 16), ("172.19.0.0/16", 16), ("172.20.0.0/14", 16), ("172.24.0.0/14", 16),
    ("172.28.0.0/14", 16), ("192.168.0.0/16", 20),
)  # fmt: skip
# What is proposed in their place.
SPARE_POOLS = (("10.201.0.0/16", 24), ("192.168.0.0/16", 24), ("172.16.0.0/12", 24), ("10.0.0.0/8", 24))
# Routes above this size stand for everything that has no other route.
WIDEST = 8


def subnet_of(text: object):
    """Return the network that a text in CIDR form lies in, or None where it is none."""
    return _parsed(str(text))


@lru_cache(maxsize=4096)
def _parsed(text: str):
    # Each host is compared with the addresses of the whole fleet, several times.
    try:
        return ipaddress.ip_interface(text).network
    except ValueError:
        return None


def pools_of(entries: object) -> list[tuple]:
    """Return the address pools of daemon.json or of the engine's answer, Docker's own where there are none."""
    found = []
    for entry in entries if isinstance(entries, list) else []:
        keys = {str(key).lower(): value for key, value in entry.items()} if isinstance(entry, Mapping) else {}
        base, size = subnet_of(keys.get("base")), keys.get("size")
        if base is not None and base.version == 4 and str(size).isdigit() and base.prefixlen <= int(size) <= 32:
            found.append((str(base), int(size)))
    return found or list(DEFAULT_POOLS)


def overlapping(subnet: object, others: Iterable) -> list[str]:
    """Return those of other networks and addresses that have an address in common with a subnet."""
    own = subnet_of(subnet)
    if own is None:
        return []
    found = [(one, subnet_of(one)) for one in others]
    return [one for one, other in found if other is not None and own.version == other.version and own.overlaps(other)]


def free_subnet(pools: Iterable, taken: Iterable) -> str:
    """Return the first subnet of pools that overlaps nothing of what is taken, or ''."""
    networks = [one for one in map(subnet_of, taken) if one is not None and one.version == 4]
    used = sorted({(int(one.network_address), int(one.broadcast_address)) for one in networks})
    for base, size in pools:
        pool, step = ipaddress.ip_network(base), 2 ** (32 - size)
        start = int(pool.network_address)
        for first, last in used:
            if first >= start + step:
                break
            if last >= start:
                # The first subnet behind the one that is in its way.
                start = (last // step + 1) * step
        if start <= int(pool.broadcast_address):
            return f"{ipaddress.ip_address(start)}/{size}"
    return ""


def specific_routes(routes: Iterable) -> list[Mapping]:
    """Return the routes that stand for a network of their own and not for all the rest."""
    return [route for route in routes if subnet_of(route["network"]).prefixlen >= WIDEST]


def on_link(routes: Iterable) -> list[str]:
    """Return the networks that Docker avoids by itself: those that the host reaches without a gateway."""
    return [route["network"] for route in specific_routes(routes) if not route["gateway"]]


def pool_subnets(pools: Iterable, address: str) -> list[str]:
    """Return the subnets of pools that hold an address."""
    sizes = [size for base, size in pools if overlapping(base, [address])]
    return [str(ipaddress.ip_network(f"{address}/{size}", strict=False)) for size in sizes]


def choose_subnet(pools: Iterable, routes: Iterable, avoid: Iterable, taken: Iterable) -> str:
    """Return the subnet to ask Docker for, '' where its own choice cannot be wrong. Raise ValueError without any.

    avoid: addresses that the host's containers have to reach. taken: subnets of other Docker networks, name servers.
    """
    routes = list(routes)
    used = [*avoid, *(route["network"] for route in specific_routes(routes))]
    unseen = set(used) - set(on_link(routes))
    if not any(overlapping(base, unseen) for base, _size in pools):
        return ""
    # A wide route by a gateway may cover all pools: then only addresses and networks that are known have to be free.
    found = free_subnet(pools, [*used, *taken]) or free_subnet(pools, [*avoid, *on_link(routes), *taken])
    if not found:
        raise ValueError(
            "each subnet of Docker's address pools overlaps a route of the host or an address of the fleet"
        )
    return found


def route_to(routes: Iterable, address: str) -> Mapping | None:
    """Return the route by which a host reaches an address: the one of the longest prefix, or None."""
    fitting = [route for route in routes if overlapping(route["network"], [address])]
    return max(fitting, key=lambda route: subnet_of(route["network"]).prefixlen, default=None)


def path_mtu(routes: Iterable, addresses: Iterable, limit: int = DEFAULT_MTU) -> tuple[int, str]:
    """Return the largest MTU that passes the default route and the routes to addresses, and the interface it is of.

    limit: return no more than that, by default what passes the internet. (0, '') where no route tells.
    """
    routes = list(routes)
    default = next((route for route in routes if subnet_of(route["network"]).prefixlen == 0), None)
    chosen = [default, *(route_to(routes, address) for address in addresses)]
    known = [(min(route["mtu"], limit), route["interface"]) for route in chosen if route and route["mtu"]]
    return min(known, key=lambda one: one[0], default=(0, ""))


def recreation_steps(name: str) -> str:
    """Return how to remove a Docker network with its containers, which the next run creates again; data stays."""
    containers = f"docker ps -aq --filter network={name}"
    return (
        f"on the host, run {containers} | xargs -r docker stop; {containers} | xargs -r docker rm; "
        f"docker network rm {name}; then run site.yml, which creates them again"
    )
