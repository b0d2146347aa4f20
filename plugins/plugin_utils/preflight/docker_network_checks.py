# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare the Docker networks of a host, existing and to be created, with the host's routes and the fleet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_networks import (
    SPARE_POOLS,
    choose_subnet,
    free_subnet,
    on_link,
    overlapping,
    path_mtu,
    pool_subnets,
    pools_of,
    recreation_steps,
    specific_routes,
    subnet_of,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import BROKER, MONITOR
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem

# The proposals for docker0. They differ from the first of SPARE_POOLS, which is the proposal for the fleet's network:
# both can be applied.
BRIDGE_POOLS = (("10.200.0.0/16", 24), ("192.168.248.0/21", 24), ("172.31.248.0/21", 24), *SPARE_POOLS)
# The sizes of a proposed address pool, a large one first.
POOL_SIZES = (16, 20)
STOP = (
    "stop the host's containers (docker ps -q | xargs -r docker stop), because docker0 only changes while no container "
    "runs"
)
NO_ROOM = (
    "narrow or remove routes of the host, because no part of 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16 is free of "
    "routes and known addresses"
)


@dataclass(frozen=True)
class HostNetworks:
    """What is compared on a host.

    fleet_addresses: the addresses of the other hosts, with these hosts. required: those that this host must reach.
    routes: the host's routes that a subnet can avoid, without those of Docker's bridges. managed: whether
    docker_engine configures the engine. options: those of its daemon.json in this case.
    """

    name: str
    host_info: Mapping
    fleet_addresses: Mapping
    required: frozenset
    routes: Sequence
    managed: bool
    options: Mapping

    @property
    def networks(self) -> list[Mapping]:
        """Return Docker's bridge networks."""
        return list(self.host_info.get("networks") or [])

    def network(self, name: str) -> Mapping | None:
        """Return the bridge network with a name, or None."""
        return next((network for network in self.networks if network["name"] == name), None)

    @property
    def subnets(self) -> list[str]:
        """Return the subnets of Docker's bridge networks."""
        return [subnet for network in self.networks for subnet in network.get("subnets") or []]

    @property
    def pools(self) -> list[tuple]:
        """Return the address pools of the engine in this run."""
        pools = self.options.get("default-address-pools") if self.managed else None
        return pools_of(pools or self.host_info["engine"].get("address_pools"))

    @property
    def bip(self) -> str:
        """Return the subnet that this run sets for docker0, or ''."""
        return str(subnet_of(self.options.get("bip")) or "") if self.managed else ""

    @property
    def used(self) -> list[str]:
        """Return the known networks and addresses."""
        return [*self.subnets, *self.fleet_addresses, *(route["network"] for route in self.routes), self.bip]

    def proposed_subnet(self, pools: Sequence) -> str:
        """Return a subnet that does not overlap a known network or address, or ''."""
        return free_subnet(pools, self.used)

    def overlap(self, subnets: Sequence) -> tuple[str, str]:
        """Return (description, level) of what subnets overlap, ('', '') for nothing."""
        addresses = [one for subnet in subnets for one in overlapping(subnet, self.fleet_addresses)]
        if addresses:
            level = "error" if self.required & set(addresses) else "warning"
            return f"contains {self.with_hosts(list(dict.fromkeys(addresses)))}", level
        routes = [route for subnet in subnets for route in self.routes if overlapping(subnet, [route["network"]])]
        return (overlaps_route(routes[0]), "warning") if routes else ("", "")

    def overlap_of_setting(self, wanted: str) -> tuple[str, str]:
        """Return the same of a subnet that is set. An overlap with a network of the host is an error as well."""
        description, level = self.overlap([wanted])
        if level == "error":
            return description, level
        near = [route for route in self.routes if not route["gateway"] and overlapping(wanted, [route["network"]])]
        if near:
            return overlaps_route(near[0]), "error"
        networks = [*self.networks, {"name": "bridge", "subnets": [self.bip]}]
        names = [network["name"] for network in networks if overlapping(wanted, network.get("subnets") or [])]
        return (f"overlaps the Docker network {names[0]}", "error") if names else (description, level)

    def with_hosts(self, addresses: Sequence) -> str:
        """Return up to three addresses with their hosts."""
        more = f" and {len(addresses) - 3} more" if len(addresses) > 3 else ""
        return ", ".join(f"{one} ({self.fleet_addresses[one]})" for one in addresses[:3]) + more


def overlaps_route(route: Mapping) -> str:
    """Return the description of an overlap with a route."""
    return f"overlaps the route {route['network']} by {route['interface']}"


def without_wide_routes(host: HostNetworks) -> HostNetworks:
    """Return a host without the widest routes by gateways, if these leave no subnet free.

    Summary routes, such as one to all private networks, cannot be avoided.
    """
    sizes = sorted({subnet_of(route["network"]).prefixlen for route in host.routes if route["gateway"]})
    for size in sizes:
        if host.proposed_subnet([(base, POOL_SIZES[-1]) for base, _size in SPARE_POOLS]):
            break
        kept = [one for one in host.routes if not one["gateway"] or subnet_of(one["network"]).prefixlen > size]
        host = replace(host, routes=kept)
    return host


def host_networks(name: str, host_info: Mapping, options: Mapping, fleet: Mapping) -> HostNetworks:
    """Return what is compared on a host. options: those of its daemon.json."""
    engine, hosts, here = host_info["engine"], fleet["hosts"], fleet["hosts"][name]
    own = set(here["addresses"])
    addresses = {one: other for other, values in hosts.items() for one in values["addresses"] if one not in own}
    required = {one for one, other in addresses.items() if BROKER in (*here["components"], *hosts[other]["components"])}
    # The bridge of a stopped engine still exists.
    bridges = {network.get("interface") for network in host_info.get("networks") or []} | {"docker0"}
    routes = [route for route in specific_routes(host_info.get("routes") or []) if route["interface"] not in bridges]
    managed = engine["managed"] or not engine["serves"]
    host = HostNetworks(name, host_info, addresses, frozenset(required), routes, managed, options)
    return without_wide_routes(host)


def default_bridge_problems(host: HostNetworks) -> list[Problem]:
    """Return the problem of docker0: of its subnet, or of the one that it gets when Docker starts."""
    found = host.network("bridge")
    if not found and host.host_info["engine"]["serves"]:
        return []
    planned = host.bip or free_subnet(host.pools, on_link(host.routes))
    subnets = found.get("subnets") or [] if found else [planned]
    description, level = host.overlap(subnets)
    if not description:
        return []
    wrong = f"Docker's default bridge docker0 {'has' if found else 'gets'} {', '.join(subnets)}, which {description}"
    address = host.proposed_subnet(BRIDGE_POOLS).replace(".0/", ".1/")
    if found and host.managed and host.bip and not host.overlap([planned])[0]:
        level = "warning"
        remedy = f"{STOP}; this run then restarts Docker with the bip that is set"
    elif not address:
        remedy = NO_ROOM
    elif not found:
        remedy = f'set docker_engine_daemon_options: {{bip: "{address}"}}'
    elif not host.managed:
        remedy = f'set "bip": "{address}" in /etc/docker/daemon.json, {STOP}, then run systemctl restart docker'
    else:
        remedy = f'set docker_engine_daemon_options: {{bip: "{address}"}}, and {STOP}'
    return [Problem(host.name, "container engine", wrong, remedy, level)]


def pool_problems(host: HostNetworks) -> list[Problem]:
    """Return a warning if Docker could assign a subnet of the fleet or of a route to a new network."""
    near = on_link(host.routes)
    taken = [one for subnet in host.subnets for one in overlapping(subnet, host.fleet_addresses)]
    possible = {one: pool_subnets(host.pools, one) for one in host.fleet_addresses if one not in taken}
    hits = [one for one, subnets in possible.items() if any(not overlapping(subnet, near) for subnet in subnets)]
    bases = [base for base, _size in host.pools]
    routes = [route for route in host.routes if route["gateway"] and overlapping(route["network"], bases)]
    if hits:
        description = f"contain {host.with_hosts(hits)}"
    elif routes:
        description = overlaps_route(routes[0]).replace("overlaps", "overlap", 1)
    else:
        return []
    wrong = f"Docker's address pools {description}: a network that is created later can get it"
    base = host.proposed_subnet([(pool, size) for size in POOL_SIZES for pool, _size in SPARE_POOLS])
    if not base:
        return []
    if host.managed:
        remedy = f"set docker_engine_daemon_options: {{default-address-pools: [{{base: {base}, size: 24}}]}}"
    else:
        pools = f'"default-address-pools": [{{"base": "{base}", "size": 24}}]'
        remedy = f"set {pools} in /etc/docker/daemon.json and run systemctl restart docker"
    return [Problem(host.name, "container engine", wrong, remedy, "warning")]


def foreign_network_problems(host: HostNetworks, own: set) -> Iterator[Problem]:
    """Yield a problem for each overlapping network that does not belong to the fleet. own: names of the fleet's."""
    for network in host.networks:
        name, (description, level) = network["name"], host.overlap(network.get("subnets") or [])
        if description and name not in {"bridge", *own}:
            wrong = f"the Docker network {name} has {', '.join(network['subnets'])}, which {description}"
            remedy = f"remove it (stop its containers, docker network rm {name}), or create it with another --subnet"
            yield Problem(host.name, "container engine", wrong, remedy, level)


def subnet_problems(host: HostNetworks, component: str, name: str, wanted: str) -> list[Problem]:
    """Return the problem of the subnet of the fleet's network: of its subnet, or of the one that it gets."""
    option, network = f"{component}_docker_ipv4_subnet", host.network(name)
    found, proposed = (network or {}).get("subnets") or [], host.proposed_subnet(SPARE_POOLS)
    if network and wanted and found and wanted not in found:
        wrong = f"the Docker network {name} has {', '.join(found)}, not {wanted}"
        return [Problem(host.name, option, wrong, recreation_steps(name))]
    if network:
        description, level = host.overlap(found)
        wrong = f"the Docker network {name} has {', '.join(found)}, which {description}"
        # Without this setting, the next run would create the network with the same overlap.
        set_first = bool(wanted) or not free_subnet(host.pools, host.used)
        change = f"set aztec_docker_ipv4_subnet to {proposed}; " if set_first else ""
        remedy = change + recreation_steps(name) if proposed or not set_first else NO_ROOM
        return [Problem(host.name, option, wrong, remedy, level)] if description else []
    if wanted:
        description, level = host.overlap_of_setting(wanted)
        remedy = f"set aztec_docker_ipv4_subnet to another subnet, such as {proposed}" if proposed else NO_ROOM
        return [Problem(host.name, option, f"{wanted} {description}", remedy, level)] if description else []
    try:
        choose_subnet(host.pools, host.routes, host.fleet_addresses, host.subnets)
    except ValueError as error:
        remedy = f"set aztec_docker_ipv4_subnet to a free subnet, such as {proposed}" if proposed else NO_ROOM
        return [Problem(host.name, option, str(error), remedy)]
    return []


def mtu_problems(host: HostNetworks, component: str, name: str, wanted: int) -> Iterator[Problem]:
    """Yield the problems of the MTU of the fleet's network: of its MTU, or of the one that is set."""
    option, mtu = f"{component}_docker_mtu", (host.network(name) or {}).get("mtu")
    limit, interface = path_mtu(host.host_info.get("routes") or [], host.fleet_addresses, 65535)
    if wanted and limit and wanted > limit:
        wrong = f"{wanted} is more than the MTU of {interface}, which is {limit}: large packets can be lost"
        yield Problem(host.name, option, wrong, f"remove it, or set at most {limit}", "warning")
    if mtu and wanted and mtu != wanted:
        wrong = f"the Docker network {name} has MTU {mtu}, not {wanted}"
        yield Problem(host.name, option, wrong, recreation_steps(name))
    elif mtu and not wanted and limit and mtu > limit:
        wrong = f"the Docker network {name} has MTU {mtu} and {interface} has {limit}: large packets can be lost"
        yield Problem(host.name, option, wrong, recreation_steps(name), "warning")


def docker_network_problems(name: str, host_info: Mapping, settings: Mapping, engine, fleet: Mapping) -> list[Problem]:
    """Return a problem for each Docker network, existing or to be created, that does not fit the host or the fleet.

    An overlap is an error if the host must reach the address: all hosts reach the broker, and the broker all hosts.
    settings and engine: those of the host, as in check_hosts.
    """
    host = host_networks(name, host_info, engine.options, fleet)
    own = {setting.docker_network for setting in settings.values() if setting.docker_network}
    problems = [*default_bridge_problems(host), *pool_problems(host), *foreign_network_problems(host, own)]
    for component, setting in settings.items():
        # The monitor's containers are in the host's network.
        if component == MONITOR:
            continue
        problems += subnet_problems(host, component, setting.docker_network, setting.docker_ipv4_subnet)
        problems += mtu_problems(host, component, setting.docker_network, setting.docker_mtu)
    # The components of a host share one network.
    first = {problem.wrong: problem for problem in reversed(problems)}
    return [problem for problem in problems if problem is first[problem.wrong]]
