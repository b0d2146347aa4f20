# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare Docker's networks on a host, and those that it would create, with the host's routes and the fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import BROKER
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem

# What is proposed for docker0, apart from what SPARE_POOLS has first for the fleet's network, so that both lines can be
# followed at a time.
BRIDGE_POOLS = (("10.200.0.0/16", 24), ("192.168.248.0/21", 24), ("172.31.248.0/21", 24), *SPARE_POOLS)
# What is proposed as an address pool, a large one where there is room for it.
POOL_SIZES = (16, 20)
STOP = "stop the host's containers (docker ps -q | xargs -r docker stop), as docker0 changes only while none runs"
NO_ROOM = (
    "narrow or remove routes of the host, as no part of 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16 is free of routes "
    "and known addresses"
)


@dataclass(frozen=True)
class Host:
    """What is compared on a host.

    names: addresses of the fleet's other hosts, and whose they are. needed: those that this host has to reach.
    routes: the host's that a subnet can be placed beside, without those of Docker's own bridges.
    own: the engine is one that docker_engine configures. options: what its daemon.json gets then.
    """

    name: str
    look: Mapping
    names: Mapping
    needed: frozenset
    routes: Sequence
    own: bool
    options: Mapping

    @property
    def networks(self) -> list[Mapping]:
        """Docker's bridge networks."""
        return list(self.look.get("networks") or [])

    @property
    def subnets(self) -> list[str]:
        """The subnets of Docker's bridge networks."""
        return [subnet for network in self.networks for subnet in network.get("subnets") or []]

    @property
    def pools(self) -> list[tuple]:
        """What Docker takes subnets from, in this run."""
        wanted = self.options.get("default-address-pools") if self.own else None
        return pools_of(wanted or self.look["engine"].get("address_pools"))

    @property
    def bip(self) -> str:
        """The subnet that this run sets for Docker's own bridge, '' where it sets none."""
        return str(subnet_of(self.options.get("bip")) or "") if self.own else ""

    @property
    def used(self) -> list[str]:
        """The networks and addresses that are known here."""
        return [*self.subnets, *self.names, *(route["network"] for route in self.routes), self.bip]

    def spare(self, pools: Sequence) -> str:
        """Return a subnet that overlaps nothing that is known here, to propose it; '' where there is none."""
        return free_subnet(pools, self.used)

    def overlaps(self, subnets: Sequence) -> tuple[str, str]:
        """Return what subnets overlap, in words, and of which level that is; ('', '') for nothing."""
        hits = list(dict.fromkeys(one for subnet in subnets for one in overlapping(subnet, self.names)))
        if hits:
            return f"holds {self.named(hits)}", "error" if self.needed & set(hits) else "warning"
        ways = [route for subnet in subnets for route in self.routes if overlapping(subnet, [route["network"]])]
        return (over(ways[0]), "warning") if ways else ("", "")

    def overlaps_wanted(self, wanted: str) -> tuple[str, str]:
        """Return the same of a subnet that is set, which is an error also over what the host reaches by itself."""
        words, level = self.overlaps([wanted])
        if level == "error":
            return words, level
        near = [route for route in self.routes if not route["gateway"] and overlapping(wanted, [route["network"]])]
        networks = [*self.networks, {"name": "bridge", "subnets": [self.bip]}]
        beside = [net["name"] for net in networks if overlapping(wanted, net.get("subnets") or [])]
        if near or beside:
            return over(near[0]) if near else f"overlaps the Docker network {beside[0]}", "error"
        return words, level

    def named(self, addresses: Sequence) -> str:
        """Return addresses with the hosts that they belong to, three at most."""
        more = f" and {len(addresses) - 3} more" if len(addresses) > 3 else ""
        return ", ".join(f"{one} ({self.names[one]})" for one in addresses[:3]) + more


def over(route: Mapping) -> str:
    """Return that something overlaps a route, in words."""
    return f"overlaps the route {route['network']} by {route['interface']}"


def with_room(host: Host) -> Host:
    """Return a host without the widest routes by gateways where those leave no subnet free.

    Summary routes such as those to all private networks cannot be avoided, only what is known to lie behind them.
    """
    sizes = sorted({subnet_of(route["network"]).prefixlen for route in host.routes if route["gateway"]})
    for size in sizes:
        if host.spare([(base, POOL_SIZES[-1]) for base, _size in SPARE_POOLS]):
            break
        left = [one for one in host.routes if not one["gateway"] or subnet_of(one["network"]).prefixlen > size]
        host = replace(host, routes=left)
    return host


def host_of(name: str, look: Mapping, options: Mapping, fleet: Mapping) -> Host:
    """Return what is compared on a host, from its look, the options of its engine's daemon.json and the fleet."""
    engine, others = look["engine"], {other: here for other, here in fleet["hosts"].items() if other != name}
    own = set(fleet["hosts"][name]["addresses"])
    names = {one: other for other, here in others.items() for one in here["addresses"] if one not in own}
    broker = BROKER in fleet["hosts"][name]["components"]
    needed = (one for one, other in names.items() if broker or BROKER in others[other]["components"])
    # The bridge of an engine that is stopped is still there.
    bridges = {network.get("interface") for network in look.get("networks") or []} | {"docker0"}
    routes = [route for route in specific_routes(look.get("routes") or []) if route["interface"] not in bridges]
    configured = engine["managed"] or not engine["serves"]
    return with_room(Host(name, look, names, frozenset(needed), routes, configured, options))


def default_bridge_problem(host: Host) -> list[Problem]:
    """Return the problem of Docker's own bridge: the subnet that it has, or gets when Docker starts."""
    there = next((network for network in host.networks if network["name"] == "bridge"), None)
    coming = host.bip or free_subnet(host.pools, on_link(host.routes))
    subnets = there.get("subnets") or [] if there else [coming]
    words, level = host.overlaps(subnets)
    if not words or (not there and host.look["engine"]["serves"]):
        return []
    wrong = f"Docker's default bridge docker0 {'has' if there else 'gets'} {', '.join(subnets)}, which {words}"
    address = host.spare(BRIDGE_POOLS).replace(".0/", ".1/")
    if there and host.own and host.bip and not host.overlaps([coming])[0]:
        level = "warning"
        remedy = f"{STOP}; this run then restarts Docker with the bip that is set"
    elif not address:
        remedy = NO_ROOM
    elif not there:
        remedy = f'set docker_engine_daemon_options: {{bip: "{address}"}}'
    elif not host.own:
        remedy = f'set "bip": "{address}" in /etc/docker/daemon.json, {STOP}, then run systemctl restart docker'
    else:
        remedy = f'set docker_engine_daemon_options: {{bip: "{address}"}}, and {STOP}'
    return [Problem(host.name, "container engine", wrong, remedy, level)]


def pool_problem(host: Host) -> list[Problem]:
    """Return a warning where Docker could give a network that anybody creates a subnet of the fleet or of a route."""
    near = on_link(host.routes)
    taken = [one for subnet in host.subnets for one in overlapping(subnet, host.names)]
    left = {one: pool_subnets(host.pools, one) for one in host.names if one not in taken}
    hits = [one for one, subnets in left.items() if any(not overlapping(subnet, near) for subnet in subnets)]
    bases = [base for base, _size in host.pools]
    ways = [route for route in host.routes if route["gateway"] and overlapping(route["network"], bases)]
    if hits:
        words = f"hold {host.named(hits)}"
    elif ways:
        words = over(ways[0]).replace("overlaps", "overlap", 1)
    else:
        return []
    wrong = f"Docker's address pools {words}: a network that is created here later can take it"
    base = host.spare([(pool, size) for size in POOL_SIZES for pool, _size in SPARE_POOLS])
    if not base:
        return []
    if host.own:
        remedy = f"set docker_engine_daemon_options: {{default-address-pools: [{{base: {base}, size: 24}}]}}"
    else:
        pools = f'"default-address-pools": [{{"base": "{base}", "size": 24}}]'
        remedy = f"set {pools} in /etc/docker/daemon.json and run systemctl restart docker"
    return [Problem(host.name, "container engine", wrong, remedy, "warning")]


def other_network_problems(host: Host, own: set) -> list[Problem]:
    """Return a problem for each network of somebody else that overlaps."""
    problems = []
    for network in host.networks:
        words, level = host.overlaps(network.get("subnets") or [])
        if words and network["name"] not in {"bridge", *own}:
            name = network["name"]
            wrong = f"the Docker network {name} has {', '.join(network['subnets'])}, which {words}"
            remedy = f"remove it (stop its containers, docker network rm {name}), or create it with another --subnet"
            problems.append(Problem(host.name, "container engine", wrong, remedy, level))
    return problems


def subnet_problems(host: Host, component: str, name: str, wanted: str) -> list[Problem]:
    """Return what is wrong with the subnet of the fleet's network: the one that it has, or is to get."""
    option, there = f"{component}_docker_ipv4_subnet", next((net for net in host.networks if net["name"] == name), None)
    has, spare = (there or {}).get("subnets") or [], host.spare(SPARE_POOLS)
    if there and wanted and has and wanted not in has:
        wrong = f"the Docker network {name} has {', '.join(has)}, not {wanted}"
        return [Problem(host.name, option, wrong, recreation_steps(name))]
    if there:
        words, level = host.overlaps(has)
        wrong = f"the Docker network {name} has {', '.join(has)}, which {words}"
        # Without it the next run would create the network where it overlaps the same again.
        set_first = bool(wanted) or not free_subnet(host.pools, host.used)
        change = f"set aztec_docker_ipv4_subnet to {spare}; " if set_first else ""
        remedy = change + recreation_steps(name) if spare or not set_first else NO_ROOM
        return [Problem(host.name, option, wrong, remedy, level)] if words else []
    if wanted:
        words, level = host.overlaps_wanted(wanted)
        remedy = f"set aztec_docker_ipv4_subnet to another subnet, such as {spare}" if spare else NO_ROOM
        return [Problem(host.name, option, f"{wanted} {words}", remedy, level)] if words else []
    try:
        choose_subnet(host.pools, host.routes, host.names, host.subnets)
    except ValueError as error:
        remedy = f"set aztec_docker_ipv4_subnet to a subnet that is free, such as {spare}" if spare else NO_ROOM
        return [Problem(host.name, option, str(error), remedy)]
    return []


def mtu_problems(host: Host, component: str, name: str, wanted: int) -> list[Problem]:
    """Return what is wrong with the MTU of the fleet's network: the one that it has, or is to get."""
    option, there = f"{component}_docker_mtu", next((net for net in host.networks if net["name"] == name), None)
    routes = host.look.get("routes") or []
    most, interface = path_mtu(routes, host.names, 65535)
    problems = []
    if wanted and most and wanted > most:
        wrong = f"{wanted} is more than the MTU of {interface}, which is {most}: large packets can be lost"
        problems.append(Problem(host.name, option, wrong, f"remove it, or set at most {most}", "warning"))
    mtu = (there or {}).get("mtu")
    if mtu and wanted and mtu != wanted:
        wrong = f"the Docker network {name} has MTU {mtu}, not {wanted}"
        problems.append(Problem(host.name, option, wrong, recreation_steps(name)))
    elif mtu and not wanted and most and mtu > most:
        wrong = f"the Docker network {name} has MTU {mtu} and {interface} has {most}: large packets can be lost"
        problems.append(Problem(host.name, option, wrong, recreation_steps(name), "warning"))
    return problems


def docker_network_problems(host: str, look: Mapping, settings: Mapping, engine, fleet: Mapping) -> list[Problem]:
    """Return a line for each of Docker's networks on a host, there or to come, that does not fit the host or the fleet.

    An overlap is an error where the host could not reach whom it has to: the broker, and the broker everybody. settings
    and engine: the host's, as check_hosts has them.
    """
    seen = host_of(host, look, engine.options, fleet)
    own = {setting.docker_network for setting in settings.values() if setting.docker_network}
    problems = default_bridge_problem(seen) + pool_problem(seen) + other_network_problems(seen, own)
    found: dict = {}
    for component, setting in settings.items():
        name = setting.docker_network
        for problem in (
            *subnet_problems(seen, component, name, setting.docker_ipv4_subnet),
            *mtu_problems(seen, component, name, setting.docker_mtu),
        ):
            # The components of a host share one network.
            found.setdefault(problem.wrong, problem)
    return problems + list(found.values())
