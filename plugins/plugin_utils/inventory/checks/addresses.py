# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check addresses: those of the hosts, of L1 clients and broker, the broker's sources, and what the node announces."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.nft import network_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.addresses import ip_of, route_to_host
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.context import Context
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import (
    DOCKER_IPV6_SUBNET,
    broker_hosts,
    needs_ipv6,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import BROKER, NODE, as_bool
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import is_dummy, url_problem

L1_URLS = {NODE: ("l1_execution_urls", "l1_consensus_urls", "l1_debug_urls"), BROKER: ("l1_execution_urls",)}


def own_host_problem(host: str | None) -> tuple | None:
    """Return what is wrong with a host that a component connects to from its container."""
    found = ip_of(host)
    if host == "localhost" or (found is not None and (found.is_loopback or found.is_unspecified)):
        return "points to the component's own container", "set the address of the machine that serves it"
    return None


def client_url_problem(url: object) -> tuple | None:
    """Return what is wrong with a URL that a component requests from its container."""
    return url_problem(url) or own_host_problem(urlsplit(url).hostname)


def display_name(name: str) -> str:
    """Return a host name for a message, without text that is not a host name."""
    return name if re.fullmatch(r"[A-Za-z0-9._:%-]{1,59}", name) else "(a text)"


def _settable(name: str) -> str:
    """Return the variable that sets a host's address in the fleet, instead of the one that only applies without it."""
    return "aztec_address" if name == "ansible_host" else name


def check_urls(context: Context) -> None:
    """Check the L1 URLs of node and broker."""
    for host, component in context.host_components():
        for option in L1_URLS.get(component, ()):
            found = context.usable_setting(host, component, option)
            if found is None:
                continue
            name, urls = found
            if not urls and option != "l1_debug_urls":
                context.add(host, name, ("has no URL", "set at least one"))
            for number, url in enumerate(urls or [], 1):
                wrong = client_url_problem(url)
                if wrong:
                    context.add(host, name, (f"entry {number} {wrong[0]}", wrong[1]))


def check_broker_hosts(context: Context) -> None:
    """Check the broker's host where a variable sets it."""
    for host, component in context.host_components():
        name = f"{component}_broker_host"
        value = context.hosts[host].get(name)
        if value == "" and not context.standalone:
            context.add(host, name, ("is empty", "set a value, or remove the line"))
        elif value and context.is_usable(host, name, value):
            example = "is still the example value", "set the address of your broker"
            found = example if is_dummy(value) else own_host_problem(value)
            if found:
                context.add(host, name, found)


def check_addresses(context: Context) -> None:
    """Check that each host has an address of its own that resolves, is not an example, and is reachable from others."""
    taken: dict = {}
    for host, values in context.hosts.items():
        for name in ("ansible_host", "aztec_address", "aztec_address6", "aztec_public_address", "prover_node_p2p_ip"):
            if is_dummy(values.get(name)):
                context.add(host, name, ("is still the example value", "set the address of your host"))
        source = next((name for name in ("aztec_address", "ansible_host") if values.get(name)), None)
        if source and not context.is_usable(host, source, values[source]):
            continue
        address = context.address_name(host)
        answer = context.resolved.get(address)
        if not isinstance(answer, list):
            kept = "" if host in context.core_hosts else "; the broker keeps admitting the addresses that it admits now"
            if source is None:
                wrong = "has no address: neither it nor ansible_host is set, and the host's name does not resolve"
                context.add(host, "aztec_address", (wrong, f"set ansible_host or aztec_address{kept}"))
            else:
                wrong = f"the host name {display_name(address)} does not resolve on the controller"
                context.add(host, source, (wrong, f"correct the name, or set aztec_address to an IP address{kept}"))
            continue
        for one in context.addresses(host) if len(context.hosts) > 1 else ():
            name = (source or "aztec_address") if one in answer else "aztec_address6"
            remedy = f"set {_settable(name)} to an address that the fleet can reach"
            if ip_of(one).is_loopback or ip_of(one).is_unspecified:
                context.add(host, name, ("points to the host itself, so no other host can reach it", remedy))
            elif ip_of(one).is_multicast or ip_of(one).is_link_local:
                context.add(host, name, ("does not identify one host in the whole fleet", remedy))
            elif taken.setdefault(one, host) != host:
                wrong = f"{one} is also the address of {taken[one]}"
                remedy = (
                    "set an address of its own for each host; add a machine with several components once, to each group"
                )
                # Of two agents the second is left out. An address of node or broker can be wrong on either host.
                shared = host in context.run and bool(context.core_hosts & {host, taken[one]})
                context.add(host, name, (wrong, remedy), fleet=shared)


def check_broker(context: Context) -> None:
    """Check that the broker, which has no authentication, is not at a global address."""
    for host in context.members[BROKER]:
        values = context.hosts[host]
        public = [one for one in context.addresses(host) or [] if ip_of(one).is_global]
        if public and not as_bool(values.get("aztec_allow_public_broker", False)):
            name = "aztec_address" if values.get("aztec_address") else "ansible_host"
            source = name if public[0] in context.resolved[context.address_name(host)] else "aztec_address6"
            wrong = "puts the broker, which has no authentication, on a public address"
            remedy = f"set {_settable(source)} to a private address, or set aztec_allow_public_broker: true"
            context.add(host, source, (wrong, remedy))


def check_publish_addresses(context: Context) -> None:
    """Check that the names at which the broker is published resolve, including those that agents and node set."""
    for broker in context.members[BROKER]:
        if broker not in context.run or "prover_broker_publish_addresses" in context.hosts[broker]:
            continue
        for host, component in context.host_components():
            name = f"{component}_broker_host"
            value = context.usable(host).get(name) if host != broker else None
            if value and not isinstance(context.resolved.get(value), list):
                # At fewer addresses, the broker would lose agents that work.
                wrong = f"the host name {display_name(str(value))} does not resolve on the controller"
                remedy = f"correct the name, or set prover_broker_publish_addresses of {broker}"
                context.add(host, name, (wrong, remedy), fleet=True)
    for host in context.members[BROKER]:
        for entry in context.publish_names(host):
            if not isinstance(context.resolved.get(entry), list):
                wrong = f"the host name {display_name(entry)} does not resolve on the controller"
                context.add(host, "prover_broker_publish_addresses", (wrong, "correct the name, or use an IP address"))


def check_sources(context: Context) -> None:
    """Check that the broker does not admit all addresses by mistake."""
    names = [(host, "aztec_admit") for host in context.hosts]
    names += [(host, "prover_broker_admitted") for host in context.members[BROKER]]
    for host, name in names:
        values = context.usable(host)
        entries = values.get(name)
        if not isinstance(entries, list) or as_bool(values.get("aztec_allow_public_broker", False)):
            continue
        for number, entry in enumerate(entries, 1):
            if network_of(entry).prefixlen == 0:
                wrong = f"entry {number} admits all addresses to the broker"
                context.add(host, name, (wrong, "set the networks, or set aztec_allow_public_broker: true"))


def check_routes(context: Context) -> None:
    """Check that each host has an IP version in common with the broker, and IPv6 in its containers if they need it."""
    broker = next(iter(context.members[BROKER]), None)
    target = context.addresses(broker) if broker else None
    for host in context.hosts:
        own, components = context.addresses(host), context.components(host)
        if not target or not own:
            continue
        values = context.usable(host)
        address = route_to_host(target, own)
        if address is None and "" in broker_hosts(values, components).values():
            wrong = f"has no IPv{ip_of(target[0]).version} address, and the broker on {broker} has no other"
            six, four = ("this host", broker) if ip_of(own[0]).version == 4 else (broker, "this host")
            remedy = f"set aztec_address6 of {six}, or set an IPv4 address in aztec_address of {four}"
            context.add(host, "aztec_address", (wrong, remedy))
            continue
        names = broker_hosts(values, components, "" if host == broker else address or target[0]).values()
        for component in components:
            name, subnet = context.setting(host, component, "docker_ipv6_subnet")
            if name in context.hosts[host] and subnet == "" and needs_ipv6(own, names):
                wrong = "is empty, but the containers of this host need IPv6 to reach the broker or the L1"
                context.add(host, name, (wrong, f"remove it, or set a subnet such as {DOCKER_IPV6_SUBNET}"))


def check_p2p(context: Context) -> None:
    """Check that the node announces an address that its peers can reach."""
    for host in context.members[NODE]:
        values = context.usable(host)
        option = "prover_node_p2p_ip"
        set_it = "set the address at which peers reach the node, or prover_node_p2p_query_for_ip: true"
        if as_bool(values.get("prover_node_p2p_query_for_ip", False)):
            if values.get(option):
                wrong = "is set, and so is prover_node_p2p_query_for_ip, which ignores it"
                context.add(host, option, (wrong, "remove one of the two"))
            continue
        name = next((one for one in (option, "aztec_public_address") if context.hosts[host].get(one)), option)
        if (host, name) in context.bad or (host, "ansible_host") in context.bad:
            continue
        announced = context.announced(host)
        answer = context.resolved.get(announced)
        network = context.setting(host, NODE, "network")[1]
        if not announced:
            context.add(host, name, ("is not set", set_it))
        elif name in values and ip_of(announced) is None:
            context.add(host, name, ("is not an IP address", "set the address at which peers reach the node"))
        elif name not in values and isinstance(answer, ValueError) and announced != context.address_name(host):
            # ansible_host can be an alias of SSH.
            wrong = "is not set, and ansible_host, else the host's name, does not resolve on the controller"
            context.add(host, name, (wrong, set_it))
        elif (
            network in ("testnet", "mainnet")
            and not as_bool(values.get("prover_node_allow_private_p2p_ip", False))
            and isinstance(answer, list)
            and not any(ip_of(one).is_global for one in answer)
        ):
            wrong = f"the node would announce {answer[0]}, which peers on {network} cannot reach"
            remedy = f"set {option} to its public address (closed network: prover_node_allow_private_p2p_ip: true)"
            context.add(host, name, (wrong, remedy))
