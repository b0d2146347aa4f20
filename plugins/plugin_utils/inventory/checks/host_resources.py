# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check what the components of one host share: ports, directories, Docker Engine, Docker network, and CRS source."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import ADMIN_PORT
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_networks import overlapping
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.crs import crs_to_copy
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.context import Context, split_message
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import (
    AGENT,
    BROKER,
    NODE,
    as_bool,
    directories,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import as_int, describe_value

PORTS = {NODE: ("port", "admin_port", "p2p_port"), BROKER: ("port",), AGENT: ("port",)}
DOCKER_SUBNETS = ("docker_ipv4_subnet", "docker_ipv6_subnet")

# The data directories of the engine and of its containerd.
ENGINE_ROOTS = ("docker_engine_data_root", "docker_engine_containerd_root")


def check_ports(context: Context) -> None:
    """Check that no port is used twice on a host or in its containers: the port guard cannot tell processes apart."""
    for host, values in context.hosts.items():
        used: dict = {as_int(values.get("ansible_port", 22)): "ansible_port"}
        if NODE not in context.components(host):
            used[ADMIN_PORT] = "the admin port inside the containers"
        for component in context.components(host):
            for name in (f"{component}_{option}" for option in PORTS[component]):
                port = as_int(values.get(name, context.specs.default(component, name[len(component) + 1 :])))
                if port is None or not context.is_usable(host, name):
                    continue
                if port in used:
                    wrong = f"port {port} is used twice on this host, also by {used[port]}"
                    context.add(host, name, (wrong, "set another port for one of the two"))
                used.setdefault(port, name)


def check_directories(context: Context) -> None:
    """Check that no directory is used twice: each component sets the files and the owner of its directories."""
    for host in context.hosts:
        values, used = context.usable(host), {}
        places = {name: values[name] for name in ENGINE_ROOTS if values.get(name)}
        for component in context.components(host):
            places.update(directories(values, component))
        for name, path in places.items():
            other = used.setdefault(posixpath.normpath(re.sub("/+", "/", str(path))), name)
            if other != name:
                reported, other = (name, other) if name in values else (other, name)
                wrong = f"is also the directory of {other}"
                context.add(host, reported, (wrong, "set a separate directory for each"))


def check_engine(context: Context) -> None:
    """Check that no property of Docker Engine is set twice."""
    for host in context.hosts:
        values, name = context.usable(host), "docker_engine_data_root"
        options = values.get("docker_engine_daemon_options")
        if values.get(name) and isinstance(options, Mapping) and "data-root" in options:
            wrong = "is set, and so is data-root in docker_engine_daemon_options"
            context.add(host, name, (wrong, "set only one of them"))


def check_networks(context: Context) -> None:
    """Check that the components of a host set the same Docker network, by which a node reaches a broker on its host."""
    for host, values in context.hosts.items():
        first: dict = {}
        for component in context.components(host):
            for option in ("docker_network", "docker_bridge", *DOCKER_SUBNETS, "docker_mtu"):
                name, value = context.setting(host, component, option)
                other, expected = first.setdefault(option, (name, value))
                if value != expected and context.is_usable(host, name) and context.is_usable(host, other):
                    reported, other = (name, other) if name in values else (other, name)
                    wrong = f"differs from {other}, but the components of one host share one network"
                    context.add(host, reported, (wrong, f"remove it, and set aztec_{option}"))


def check_instance(context: Context) -> None:
    """Check that all hosts have the instance and the inventory name of the node's host."""
    for name in ("aztec_instance", "aztec_inventory_name"):
        for host in context.hosts:
            first = next(iter(context.members[NODE]), host)
            own, expected = (context.hosts[one].get(name, "") for one in (host, first))
            if own != expected and context.is_usable(host, name, own) and context.is_usable(first, name, expected):
                given, wanted = (describe_value(value) if value else "not set" for value in (own, expected))
                wrong = f"is {given}, and {wanted} on {first}"
                context.add(host, name, (wrong, "set one value for the whole fleet"))


def check_subnets(context: Context) -> None:
    """Check that no subnet that is set for a Docker network contains an address of a host of the fleet."""
    addresses = {one: host for host in context.hosts for one in context.addresses(host) or []}
    for host, component in context.host_components():
        for option in DOCKER_SUBNETS:
            name, subnet = context.setting(host, component, option)
            hits = overlapping(subnet, addresses) if subnet and context.is_usable(host, name) else []
            if hits:
                wrong = f"{subnet} contains {hits[0]} of {addresses[hits[0]]}, which no container could reach"
                context.add(host, name, (wrong, "set a subnet that contains no address of the fleet's hosts"))


def check_drain(context: Context) -> None:
    """Check that agents poll more often than the drain timeout: otherwise it can end before an agent takes a job."""
    name, interval = "prover_agent_drain_timeout", "prover_agent_poll_interval_ms"
    for host in context.members[AGENT]:
        seconds = as_int(context.setting(host, AGENT, "drain_timeout")[1])
        poll = as_int(context.setting(host, AGENT, "poll_interval_ms")[1])
        drains = as_bool(context.usable(host).get("aztec_drain", True))
        usable = drains and context.is_usable(host, name) and context.is_usable(host, interval)
        if usable and seconds is not None and poll is not None and seconds * 1000 < poll:
            wrong = f"{seconds} s is below the poll interval of {poll / 1000:g} s ({interval})"
            context.add(host, name, (wrong, f"set seconds from {-(-poll // 1000)}, or aztec_drain: false to not wait"))


def check_crs(context: Context) -> None:
    """Check that a directory of the controller that is the source of the CRS contains it."""
    name = "prover_agent_crs_source"
    for host in context.members[AGENT]:
        source = context.usable(host).get(name)
        if isinstance(source, str) and source.startswith("/"):
            try:
                crs_to_copy(source, "", {})
            except ValueError as error:
                context.add(host, name, split_message(error))
