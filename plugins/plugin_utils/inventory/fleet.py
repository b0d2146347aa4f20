# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The values of a fleet that follow from the inventory: where the broker is, how to reach it, and who may reach it."""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Collection, Mapping

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import (
    guard_section,
    service_name,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.inventory_header import inventory_name
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.nft import network_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.addresses import (
    address_name,
    addresses_of,
    families,
    ip_of,
    resolve_all,
    route_to_host,
    url_host,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import default_value
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import (
    AGENT,
    ALL_COMPONENTS,
    BROKER,
    MONITOR,
    NODE,
    agents_of,
    as_bool,
    directories,
    image_of,
    members_of,
    names_of,
    option_value,
    option_variable,
    release_on,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.images import monitor_images
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.otlp import PATH
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.prover_id import (
    funding_account,
    node_prover_id,
    publisher_addresses,
)

# The port of node_exporter.
EXPORTER_PORT = 9100
# The IPv6 subnet of a Docker network whose containers need IPv6: a unique local prefix (RFC 4193).
DOCKER_IPV6_SUBNET = "fd61:7a74:6563::/64"


def broker_hosts(variables: Mapping, components: list, host: str = "") -> dict:
    """Return component -> the broker's host as it is set for the component, else the given one."""
    return {one: variables.get(f"{one}_broker_host") or host for one in components if one != BROKER}


def set_broker_hosts(variables: Mapping) -> list[str]:
    """Return the names or addresses of the broker that variables of a host set."""
    found = broker_hosts(variables, [NODE, AGENT]).values()
    return [one for one in found if isinstance(one, str) and one]


def needs_ipv6(addresses: list[str], broker_names: Collection) -> bool:
    """Return whether the containers of a host need IPv6: it has no IPv4 address, or the broker has an IPv6 address."""
    found = [ip_of(name) for name in broker_names]
    return families(addresses) == {6} or any(one is not None and one.version == 6 for one in found)


def docker_ipv6_subnet(instance: str) -> str:
    """Return the default IPv6 subnet of an instance's Docker network."""
    number = f":{zlib.crc32(instance.encode()) % 0xFFFF + 1:x}" if instance else ""
    return DOCKER_IPV6_SUBNET.replace("::", f"{number}::")


def admitted_networks(hostvars: dict, members: dict, addresses: dict) -> list[str]:
    """Return who may reach the broker: the addresses of node and agents and every aztec_admit, as sorted CIDRs.

    addresses: host -> its addresses. A host without addresses is not admitted.
    """
    networks = set()
    for host in dict.fromkeys([*members[NODE], *members[AGENT]]):
        networks.update(map(ipaddress.ip_network, addresses.get(host, ())))
    return sorted_networks([*networks, *map(ipaddress.ip_network, other_sources(hostvars, members))])


def other_sources(hostvars: dict, members: dict) -> list[str]:
    """Return every aztec_admit of the fleet, as sorted CIDRs."""
    hosts = {host for some in members.values() for host in some}
    return sorted_networks([network_of(one) for host in hosts for one in hostvars[host].get("aztec_admit") or []])


def sorted_networks(networks: Collection) -> list[str]:
    """Return networks as sorted CIDRs, each once."""
    ordered = sorted(set(networks), key=lambda network: (network.version, network.network_address, network.prefixlen))
    return [str(network) for network in ordered]


def p2p_address(host: str, variables: dict) -> str:
    """Return the name or address that the node announces to its peers, not yet resolved."""
    options = ("prover_node_p2p_ip", "aztec_public_address", "ansible_host")
    return next((str(variables[option]) for option in options if variables.get(option)), host)


def fleet_problem(found: Mapping) -> str | None:
    """Return what is wrong with a task's argument `fleet`, or None."""
    hosts = found.get("hosts")
    complete = isinstance(hosts, Mapping) and all(
        isinstance(one, Mapping) and {"components", "paths", "addresses"} <= set(one) for one in hosts.values()
    )
    if not complete or not {"line", "broker", "node"} <= set(found):
        return "fleet does not contain the values of a fleet: pass the fleet that validate_inventory returns"
    return None


def monitor_values(host: str, variables: Mapping, own: list[str], hosts: dict) -> dict:
    """Return the values of the monitor, and add the endpoint for metrics to the values of each host.

    own: the monitor's addresses. hosts: host -> its values, of which addresses is read. admitted: who may send metrics.
    targets: where Prometheus queries node_exporter.
    """
    port, targets, sources = option_value(variables, MONITOR, "otlp_port"), [], set()
    for name, values in hosts.items():
        sources.update(map(ipaddress.ip_network, values["addresses"]))
        # By an IP version that the host has itself.
        address = route_to_host(own, values["addresses"]) or own[0]
        values["otlp_endpoint"] = f"http://{url_host(address)}:{int(port)}{PATH}"
        back = "127.0.0.1" if name == host else route_to_host(values["addresses"], own)
        if back:
            target = f"{url_host(back)}:{EXPORTER_PORT}"
            targets.append({"host": name, "address": back, "target": target})
    ordered = sorted(sources, key=lambda network: (network.version, network.network_address, network.prefixlen))
    return {"host": host, "addresses": own, "admitted": [str(network) for network in ordered], "targets": targets}


def monitor_image_set(variables: Mapping, components: Collection) -> set[str]:
    """Return the images of the monitor on its host, none on another host."""
    return set(monitor_images(variables.get(f"{MONITOR}_images") or {}).values()) if MONITOR in components else set()


def fleet(
    hostvars: dict,
    groups: Mapping,
    group_names: Mapping | None = None,
    resolved: dict | None = None,
    left_out: Mapping | None = None,
    without_address: Collection = (),
    keep_existing: bool = False,
) -> dict:
    """Compute the fleet's values from the inventory: hostvars (host -> variables) and groups (group -> hosts).

    group_names: the names of the components' groups, where they differ. resolved: the result of resolve_all, if known.
    left_out: agent's host -> why it is not in the run. without_address: agents whose address is unknown or wrong.
    keep_existing: the broker's guard keeps the sources that it admits. Raise ValueError if the inventory has no fleet.
    """
    members = members_of(groups, group_names)
    for component in (NODE, BROKER):
        count = len(members[component])
        if count != 1:
            raise ValueError(f"the group of {component} has {count} hosts: put exactly one host in it")
    left_out = left_out or {}
    running: dict = {}
    for component, hosts in members.items():
        for host in hosts:
            running.setdefault(host, []).append(component)
    monitor = next(iter(groups.get(MONITOR) or []), None)
    if monitor:
        running.setdefault(monitor, []).append(MONITOR)
    node, broker = members[NODE][0], members[BROKER][0]
    announced = p2p_address(node, hostvars[node])
    names = {host: address_name(host, hostvars[host]) for host in running if host not in without_address}
    set_names = [name for host in running if host != broker for name in set_broker_hosts(hostvars[host])]
    if resolved is None:
        resolved = resolve_all([*names.values(), announced, *set_names])
    addresses = {host: addresses_of(host, hostvars[host], resolved) for host in names}
    for host, found in addresses.items():
        if found is None:
            raise ValueError(f"{host}: the address {names[host]} does not resolve: set aztec_address")
    port, instance = int(option_value(hostvars[broker], BROKER, "port")), hostvars[node].get("aztec_instance", "")
    if "prover_broker_admitted" in hostvars[broker]:
        sources = others = [str(source) for source in hostvars[broker]["prover_broker_admitted"]]
    else:
        sources, others = admitted_networks(hostvars, members, addresses), other_sources(hostvars, members)
    p2p_ip = resolved.get(announced)
    set_addresses = [one for name in set_names if isinstance(resolved.get(name), list) for one in resolved[name]]
    # What hosts and their containers reach without a proxy, in addition to loopback. Agents are not included, so a new
    # agent changes no container of another host.
    direct = [service_name(NODE), service_name(BROKER), names[broker], names[node]]
    direct += [*addresses[broker], *addresses[node]]
    hosts = {}
    for host, components in running.items():
        values = hostvars[host]
        aztec = [one for one in components if one != MONITOR]
        # A host reaches the broker by an IP version that it has itself.
        address = route_to_host(addresses[broker], addresses.get(host, [])) or addresses[broker][0]
        # On the broker's host, components use the Docker network, which the port guard does not filter.
        broker_host = service_name(BROKER) if host == broker else address
        hosts[host] = {
            "addresses": addresses.get(host, []),
            "broker_address": address,
            "broker_host": broker_host,
            "docker_ipv6_subnet": "",
            "components": components,
            "images": [],
            "paths": {},
            "project_directories": {},
        }
        if host in left_out:
            hosts[host]["left_out"] = left_out[host]
            continue
        needs_subnet = needs_ipv6(addresses[host], broker_hosts(values, aztec, broker_host).values())
        is_set = all(option_variable(values, one, "docker_ipv6_subnet") for one in aztec)
        hosts[host].update(
            {
                "no_proxy": list(dict.fromkeys([*direct, *set_broker_hosts(values)])),
                "docker_ipv6_subnet": docker_ipv6_subnet(instance) if needs_subnet and not is_set else "",
                # What host_info has to inspect on the host.
                "images": sorted({image_of(values, one) for one in aztec} | monitor_image_set(values, components)),
                "paths": {component: list(directories(values, component).values())[-1] for component in components},
                "project_directories": {
                    names_of(values, component)["project"]: directories(values, component)[f"{component}_directory"]
                    for component in components
                },
                **({"agents": agents_of(values)} if AGENT in components else {}),
            }
        )
    monitored = monitor_values(monitor, hostvars[monitor], addresses[monitor], hosts) if monitor else {}
    return {
        "version": option_value(hostvars[broker], BROKER, "version"),
        "network": option_value(hostvars[broker], BROKER, "network"),
        "line": release_on(hostvars[broker], BROKER).line,
        "inventory": inventory_name(hostvars[node].get("aztec_inventory_name"), hostvars[node].get("inventory_dir")),
        "instance": instance,
        "projects": [names_of(hostvars[node], component)["project"] for component in ALL_COMPONENTS],
        "broker": {
            "host": broker,
            "port": port,
            "admitted": sources,
            # Those of the admitted that do not depend on which hosts are in the groups.
            "other_sources": others,
            "publish": list(dict.fromkeys([*addresses[broker], *set_addresses])),
            # The broker's section of the port guard, which a run without the broker's host applies too.
            "guard": {
                "section": names_of(hostvars[broker], BROKER)["guard_section"],
                **guard_section(BROKER, port, sources=sources),
                "bridges": [option_value(hostvars[broker], BROKER, "docker_bridge")],
                "required_by_docker": as_bool(hostvars[broker].get("port_guard_required_by_docker", True)) is not False,
                "keep_existing": keep_existing,
            },
        },
        "agents_at_once": str(hostvars[broker].get("aztec_agents_at_once", default_value("aztec_agents_at_once"))),
        "node": {"host": node, "p2p_ip": p2p_ip[0] if isinstance(p2p_ip, list) else announced},
        "monitor": monitored,
        "agents": [host for host in members[AGENT] if host not in left_out],
        "prover_id": node_prover_id(hostvars[node]),
        "publishers": publisher_addresses(hostvars[node]),
        "funder": funding_account(hostvars[node]),
        "hosts": hosts,
    }
