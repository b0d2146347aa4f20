# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What follows from the inventory alone: who the broker is, where it is reached, who may reach it.

hostvars hold no role defaults, so the few that are needed here stand in DEFAULTS; a test compares them with the roles'.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import (
    guard_section,
    image_reference,
    project_name,
    service_name,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.nft import network_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import COMPONENTS, Release, release_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.ethereum import (
    ethereum_address,
    ethereum_checksum,
)

NODE, BROKER, AGENT = COMPONENTS

DEFAULTS = {
    "aztec_version": "6.0.0",
    "aztec_release_line": "",
    "aztec_network": "testnet",
    "aztec_docker_bridge": "aztec0",
    "aztec_image": "",
    "aztec_image_digest": "",
    "aztec_directory": "/opt/aztec",
    "prover_broker_port": 8080,
    "prover_agent_count": 1,
    "prover_agent_separate_containers": False,
    "aztec_l1_checks": "fail",
    "aztec_l1_needed": "all",
    "aztec_l1_chain_id": 0,
    "aztec_l1_registry": "",
    "aztec_l1_timeout": 10,
    "aztec_l1_max_head_age": 300,
    "aztec_l1_balance_warn": 0.1,
    "aztec_l1_balance_fail": 0,
    "aztec_l1_submission_gas": 3500000,
    "prover_node_key_source": "keystore",
}

# The name of the broker's Compose service, by which its neighbours on the shared Docker network reach it.
BROKER_SERVICE = "prover-broker"

# The names of the services that containers of one Docker network connect to.
NEIGHBOURS = (service_name(NODE), BROKER_SERVICE)

LOOPBACK = "127.0.0.1"

# What the Docker network gets where its containers cannot do without IPv6: a subnet that is nobody else's (RFC 4193).
DOCKER_IPV6_SUBNET = "fd61:7a74:6563::/64"

# A name of a host whose last part is a number would be read as a part of an IPv4 address, be it octal or hexadecimal.
_NUMERIC = re.compile(r"(?:\A|\.)(?:[0-9]+|0x[0-9a-f]*)\.?\Z", re.IGNORECASE)

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def ip_of(text: object):
    """Give an address object for the text of an IP address, brackets and zone taken off, or None."""
    try:
        return ipaddress.ip_address(str(text).strip("[]").split("%", 1)[0])
    except ValueError:
        return None


def is_numeric(name: object) -> bool:
    """Return whether a text is made like an IPv4 address, as 10.0.0.300 or 10.1: none of these names a host."""
    return bool(_NUMERIC.search(str(name)))


def in_url(address: str) -> str:
    """Give an address as it stands in a URL: IPv6 in brackets."""
    found = ip_of(address)
    return f"[{found}]" if found is not None and found.version == 6 else address


def resolve(name: str) -> list[str]:
    """Give the addresses of a host name as the controller sees them, IPv4 first. ValueError where there is none."""
    found = ip_of(name)
    if found is not None:
        return [str(found)]
    if is_numeric(name):
        raise ValueError("is not an IP address")
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ValueError("does not resolve") from error
    addresses = dict.fromkeys(str(answer[4][0]).split("%", 1)[0] for answer in answers)
    return sorted(addresses, key=lambda address: ip_of(address).version)


def resolve_all(names: list, one=resolve) -> dict:
    """Resolve many names at a time: name -> its addresses, or the ValueError that it ended with."""

    def attempt(name: str):
        try:
            return one(name)
        except ValueError as error:
            return error

    unique = list(dict.fromkeys(names))
    distant = [name for name in unique if ip_of(name) is None]
    answers = {name: [str(ip_of(name))] for name in unique if ip_of(name) is not None}
    if distant:
        with ThreadPoolExecutor(max_workers=min(32, len(distant))) as pool:
            answers.update(zip(distant, pool.map(attempt, distant)))
    return answers


def address_name(name: str, variables: dict) -> str:
    """Give the name or address under which the fleet reaches a host: aztec_address, ansible_host or its name."""
    return str(variables.get("aztec_address") or variables.get("ansible_host") or name)


def addresses_of(name: str, variables: dict, answers: dict) -> list[str] | None:
    """Give a host's addresses, those of its name before aztec_address6; None where its name does not resolve."""
    found = answers.get(address_name(name, variables))
    if not isinstance(found, list):
        return None
    six = ip_of(variables.get("aztec_address6"))
    return list(dict.fromkeys([*found, *([str(six)] if six else [])]))


def families(addresses: list[str]) -> set[int]:
    """Give the IP versions of addresses."""
    return {ip_of(one).version for one in addresses}


def route_to_host(addresses: list[str], source: list[str]) -> str | None:
    """Give the first of a host's addresses that is of a family which the source has too, or None."""
    return next((one for one in addresses if families([one]) <= families(source)), None)


def broker_urls(variables: Mapping, components: list, url: str) -> dict:
    """Give the broker's URL of each component here that asks the broker: what is set by hand, or the given one."""
    return {one: variables.get(f"{one}_broker_url") or url for one in components if one != BROKER}


def needs_ipv6(addresses: list[str], urls: dict) -> bool:
    """Tell whether a host's containers cannot do without IPv6: it has nothing else, or the broker is reached by it."""
    asked = (ip_of(urlsplit(str(url)).hostname) for url in urls.values())
    return families(addresses) == {6} or any(one is not None and one.version == 6 for one in asked)


def published_addresses(wanted: list, own: list) -> list[str]:
    """Return the host's addresses at which the broker is published, loopback first; [] for all of them.

    wanted: addresses, or names that the controller resolves. own: those on the host's interfaces. All where nothing is
    wanted, where 0.0.0.0 or :: is, and where none of the wanted ones is on an interface, as behind a translation of
    addresses (NAT). Raises ValueError for a name that does not resolve.
    """
    try:
        found = [ip_of(address) for name in wanted for address in resolve(str(name))]
    except ValueError as error:
        raise ValueError("a publish address does not resolve on the controller: use an IP address") from error
    if any(address.is_unspecified for address in found):
        return []
    here = {ip_of(address) for address in own}
    bound = [str(address) for address in found if address.is_loopback or address in here]
    return list(dict.fromkeys([LOOPBACK, *bound])) if bound else []


def publications(port: int, wanted: list, own: list) -> list[str]:
    """Return Compose's `ports` for the broker's port, by published_addresses."""
    addresses = published_addresses(wanted, own)
    return [f"{in_url(address)}:{port}:{port}" for address in addresses] or [f"{port}:{port}"]


def broker_addresses(hostvars: dict, members: dict, addresses: dict, answers: dict) -> list[str]:
    """Return the addresses at which the fleet uses the broker: its host's own, and those of URLs set by hand."""
    broker = members[BROKER][0]
    found = list(addresses[broker])
    for host in dict.fromkeys([*members[NODE], *members[AGENT]]):
        for name in url_hosts(hostvars[host]) if host != broker else ():
            found += answers[name] if isinstance(answers.get(name), list) else []
    return list(dict.fromkeys(found))


def url_hosts(variables: Mapping) -> list[str]:
    """Return the host of each broker URL that is set by hand on a host, without those that cannot be read."""
    found = []
    for component in (NODE, AGENT):
        url = variables.get(f"{component}_broker_url")
        with contextlib.suppress(ValueError):
            found.append(urlsplit(url).hostname if isinstance(url, str) else None)
    return [name for name in found if name]


def no_proxy(variables: Mapping, names: list[str], addresses: list[str]) -> list[str]:
    """Return what a host and its containers reach without a proxy, besides loopback.

    names, addresses: those of node and broker, the only hosts of the fleet that others connect to. No agent is among
    them, so that one more agent changes no container of another host.
    """
    return list(dict.fromkeys([*NEIGHBOURS, *names, *addresses, *url_hosts(variables)]))


def docker_ipv6_subnet(variables: Mapping, components: list, addresses: list[str], url: str) -> str:
    """Give the Docker network's IPv6 subnet where containers need one and nobody set it, else ''."""
    by_hand = all(option_variable(variables, one, "docker_ipv6_subnet") for one in components)
    needed = needs_ipv6(addresses, broker_urls(variables, components, url))
    return DOCKER_IPV6_SUBNET if needed and not by_hand else ""


def as_bool(value: object) -> bool | None:
    """Give the boolean that a value stands for (-e makes texts of them), or None where it is none."""
    if isinstance(value, bool):
        return value
    text = str(value).lower() if isinstance(value, (str, int)) else ""
    return True if text in _TRUE else False if text in _FALSE else None


def option_variable(variables: Mapping, component: str, option: str) -> str | None:
    """Give the variable that decides a component's option on a host: its own, the fleet's, or None for the default.

    One that is there decides, be it empty, as for the roles' defaults.
    """
    return next((name for name in (f"{component}_{option}", f"aztec_{option}") if name in variables), None)


def option_value(variables: Mapping, component: str, option: str):
    """Give what a component's option comes to on a host: its own variable, the fleet's, or the default."""
    name = option_variable(variables, component, option)
    if name is not None:
        return variables[name]
    return DEFAULTS.get(f"{component}_{option}", DEFAULTS.get(f"aztec_{option}"))


def directories(variables: Mapping, component: str) -> dict:
    """Give a component's directories on a host, its own and the one that it fills, by the variables that decide."""
    option, leaf = ("crs_directory", "crs") if component == AGENT else ("data_directory", "data")
    wide = variables.get("aztec_directory", DEFAULTS["aztec_directory"])
    own = variables.get(f"{component}_directory", f"{wide}/{service_name(component)}")
    return {
        f"{component}_directory": own,
        f"{component}_{option}": variables.get(f"{component}_{option}", f"{own}/{leaf}"),
    }


def data_path(variables: Mapping, component: str) -> str:
    """Give the directory that a component fills on a host: its data, or an agent's CRS."""
    return list(directories(variables, component).values())[-1]


def agents_of(variables: Mapping) -> dict:
    """Give how many agents a host's variables ask for, which may be auto, and whether in containers of their own."""
    count, separate = (option_value(variables, AGENT, option) for option in ("count", "separate_containers"))
    return {"count": count, "separate": as_bool(separate) is True}


def release_on(variables: Mapping, component: str) -> Release:
    """Return the release line of a component on a host. Raise ValueError where there is none."""
    return release_of(option_value(variables, component, "version"), option_value(variables, component, "release_line"))


def image_of(variables: dict, component: str) -> str:
    """Return the reference of a component's image on a host: the one that is set, else its release line's."""
    image, version, digest = (
        option_value(variables, component, option) for option in ("image", "version", "image_digest")
    )
    return image_reference(image or release_on(variables, component).image, version, digest or "")


def environment_of(values: Mapping, component: str) -> dict:
    """Return the environment that the operator adds to a component: all layers, later ones over earlier ones."""
    wide = "aztec_environment" if f"{component}_fleet_environment" not in values else f"{component}_fleet_environment"
    together: dict = {}
    for name in (wide, f"{component}_environment", f"{component}_secret_environment"):
        layer = values.get(name)
        together.update(layer if isinstance(layer, Mapping) else {})
    return together


def members_of(groups: dict, group_names: dict | None = None) -> dict:
    """Give the hosts of each component: {"prover_node": ["node-1"], ...}, by the names that its groups have."""
    names = group_names or {}
    return {component: list(groups.get(names.get(component, component)) or []) for component in COMPONENTS}


def admitted(hostvars: dict, members: dict, addresses: dict) -> list[str]:
    """Give what may reach the broker: the node's and agents' addresses and every aztec_admit, as sorted CIDRs.

    addresses: host -> its addresses; a host without any is not admitted.
    """
    networks = set()
    for name in dict.fromkeys([*members[NODE], *members[AGENT]]):
        networks.update(ipaddress.ip_network(one) for one in addresses.get(name, ()))
    for name in dict.fromkeys(host for hosts in members.values() for host in hosts):
        extra = hostvars[name].get("aztec_admit") or []
        networks.update(network_of(one) for one in extra)
    ordered = sorted(networks, key=lambda network: (network.version, network.network_address, network.prefixlen))
    return [str(network) for network in ordered]


def broker_guard(variables: Mapping, sources: list, keep_existing: bool) -> dict:
    """Return what is asked of the port guard for the broker, also by a run that leaves the broker's host out.

    keep_existing: the inventory does not tell all sources now, so that those which the guard has stay.
    """
    required = as_bool(variables.get("port_guard_required_by_docker", True))
    return {
        "section": BROKER,
        **guard_section(BROKER, int(option_value(variables, BROKER, "port")), sources=sources),
        "bridges": [option_value(variables, BROKER, "docker_bridge")],
        "required_by_docker": required is not False,
        "keep_existing": keep_existing,
    }


def p2p_address(name: str, variables: dict) -> str:
    """Give what the node announces to its peers, not yet resolved: what is set by hand, or where Ansible reaches it."""
    for option in ("prover_node_p2p_ip", "aztec_public_address", "ansible_host"):
        if variables.get(option):
            return str(variables[option])
    return name


def has_remote_signer(variables: Mapping) -> bool:
    """Tell whether a Web3Signer holds the publishers' keys."""
    return option_value(variables, NODE, "key_source") == "web3signer"


def publisher_variable(variables: Mapping) -> str:
    """Give the variable that says who the publishers are."""
    if has_remote_signer(variables):
        return "prover_node_publisher_addresses"
    several = variables.get("prover_node_publisher_private_keys")
    return "prover_node_publisher_private_keys" if several else "prover_node_publisher_private_key"


def publisher_id(variables: Mapping) -> str:
    """Give PROVER_ID: what is set by hand, or the first publisher's address. ValueError where neither is good."""
    given = variables.get("prover_node_prover_id")
    if given:
        return ethereum_checksum(given)
    # Without any publisher: the line for what is no key.
    return next(iter(publisher_addresses(variables)), None) or ethereum_address(None)


def fleet_problem(found: Mapping) -> str | None:
    """Give what is wrong with a task's argument that is to hold the fleet's values, or None."""
    hosts = found.get("hosts")
    whole = isinstance(hosts, Mapping) and all(
        isinstance(here, Mapping) and {"components", "paths", "addresses"} <= set(here) for here in hosts.values()
    )
    if not whole or not {"line", "broker", "node"} <= set(found):
        return "fleet does not hold a fleet's values: give it the fleet that validate_inventory returns"
    return None


def publisher_addresses(variables: Mapping) -> list[str]:
    """Give the addresses that pay for submitting proofs, wherever their keys stand. ValueError for what is none."""
    name = publisher_variable(variables)
    given = variables.get(name)
    listed = given if isinstance(given, list) else [given] if given else []
    one_address = ethereum_checksum if has_remote_signer(variables) else ethereum_address
    return list(dict.fromkeys(one_address(one) for one in listed))


def funding_account(variables: Mapping) -> str:
    """Return the address of the account that tops the publishers up, or ''. Raise ValueError for a bad one."""
    if has_remote_signer(variables):
        address = variables.get("prover_node_funding_account_address")
        return ethereum_checksum(address) if address else ""
    key = variables.get("prover_node_funding_account_private_key")
    return ethereum_address(key) if key else ""


def fleet(
    hostvars: dict,
    groups: dict,
    group_names: dict | None = None,
    resolved: dict | None = None,
    left_out: Mapping | None = None,
    without_address: Collection = (),
    keep_existing: bool = False,
) -> dict:
    """Compute the fleet's values from the inventory: hostvars (host -> variables) and groups (group -> hosts).

    group_names: the groups' names by component, where they differ. resolved: answers of resolve_all, to spare asking
    twice. left_out: agents that take no part in the run, and why. without_address: agents whose address is not known,
    or wrong. keep_existing: the broker's guard goes on admitting what it admits, for their sake. Raises ValueError with
    one line where the inventory does not hold a fleet.
    """
    members = members_of(groups, group_names)
    for component in (NODE, BROKER):
        if len(members[component]) != 1:
            raise ValueError(f"the group of {component} has {len(members[component])} hosts: give it one")
    left_out = left_out or {}
    everybody = list(dict.fromkeys(host for hosts in members.values() for host in hosts))
    node, broker = members[NODE][0], members[BROKER][0]
    announced = p2p_address(node, hostvars[node])
    names = {host: address_name(host, hostvars[host]) for host in everybody if host not in without_address}
    asked = [name for host in everybody if host != broker for name in url_hosts(hostvars[host])]
    answers = resolve_all([*names.values(), announced, *asked]) if resolved is None else resolved
    addresses = {host: addresses_of(host, hostvars[host], answers) for host in names}
    for host, found in addresses.items():
        if found is None:
            raise ValueError(f"{host}: the address {names[host]} does not resolve: set aztec_address")

    running = {host: [component for component in COMPONENTS if host in members[component]] for host in everybody}
    # Each host reaches the broker by a family that it has itself.
    ways = {
        host: route_to_host(addresses[broker], addresses.get(host, [])) or addresses[broker][0] for host in everybody
    }
    port = int(option_value(hostvars[broker], BROKER, "port"))
    # Beside its broker a component takes the Docker network, where the port guard has no say.
    urls = {host: f"http://{BROKER_SERVICE if host == broker else in_url(way)}:{port}" for host, way in ways.items()}
    if "prover_broker_admitted" in hostvars[broker]:
        sources = [str(source) for source in hostvars[broker]["prover_broker_admitted"]]
    else:
        sources = admitted(hostvars, members, addresses)
    version = option_value(hostvars[broker], BROKER, "version")
    p2p_ip = answers.get(announced)
    return {
        "version": version,
        "network": option_value(hostvars[broker], BROKER, "network"),
        "line": release_on(hostvars[broker], BROKER).line,
        "projects": [project_name(component) for component in COMPONENTS],
        "broker": {
            "host": broker,
            "port": port,
            "admitted": sources,
            "publish": broker_addresses(hostvars, members, addresses, answers),
            "guard": broker_guard(hostvars[broker], sources, keep_existing),
        },
        "node": {
            "host": node,
            "p2p_ip": p2p_ip[0] if isinstance(p2p_ip, list) else announced,
        },
        "agents": [host for host in members[AGENT] if host not in left_out],
        "prover_id": publisher_id(hostvars[node]),
        "publishers": publisher_addresses(hostvars[node]),
        "funder": funding_account(hostvars[node]),
        "hosts": {
            host: {
                "addresses": addresses[host],
                "broker_address": ways[host],
                "broker_url": urls[host],
                "no_proxy": no_proxy(
                    hostvars[host], [names[broker], names[node]], [*addresses[broker], *addresses[node]]
                ),
                "docker_ipv6_subnet": docker_ipv6_subnet(hostvars[host], components, addresses[host], urls[host]),
                "components": components,
                # What the one look at the host has to tell about.
                "images": sorted({image_of(hostvars[host], component) for component in components}),
                "paths": {component: data_path(hostvars[host], component) for component in components},
                **({"agents": agents_of(hostvars[host])} if AGENT in components else {}),
            }
            if host not in left_out
            else {
                "addresses": addresses.get(host, []),
                "broker_address": ways[host],
                "broker_url": urls[host],
                "docker_ipv6_subnet": "",
                "components": components,
                "images": [],
                "paths": {},
                "left_out": left_out[host],
            }
            for host, components in running.items()
        },
    }
