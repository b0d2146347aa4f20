# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validate a whole inventory, or the arguments of one role, without contacting a host."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import COMPONENTS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.addresses import resolve
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import FLEET_ROLES, Specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks import (
    addresses,
    host_resources,
    monitor,
    publishers,
    releases,
    reserved_settings,
    variables,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.context import Context
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import (
    AGENT,
    ALL_COMPONENTS,
    BROKER,
    MONITOR,
    NODE,
    members_of,
)

# The checks of a fleet and of a single role, in the order in which they add problems.
COMMON_CHECKS = (
    variables.check_types,
    releases.check_versions,
    host_resources.check_ports,
    host_resources.check_directories,
    host_resources.check_engine,
    reserved_settings.check_reserved,
    releases.check_environments,
    host_resources.check_networks,
    releases.check_snapshots,
    publishers.check_publisher,
    publishers.check_funding,
    publishers.check_admin_key,
    addresses.check_urls,
    addresses.check_broker_hosts,
    addresses.check_sources,
    host_resources.check_crs,
    host_resources.check_drain,
)
FLEET_CHECKS = (
    host_resources.check_instance,
    publishers.check_registry,
    addresses.check_addresses,
    host_resources.check_subnets,
    addresses.check_broker,
    addresses.check_publish_addresses,
    addresses.check_routes,
    publishers.check_rotation,
    addresses.check_p2p,
)


def check_groups(context: Context, groups: Mapping, group_names: Mapping) -> None:
    """Check that the inventory has exactly one node and one broker, and that no misspelled group hides hosts."""
    wanted = {component: group_names.get(component, component) for component in COMPONENTS}
    others = [name for name in groups if groups[name] and name not in wanted.values()]
    for component, group in wanted.items():
        found = len(context.members[component])
        near = difflib.get_close_matches(group, others, n=1, cutoff=0.9)
        # A group of the operator may have any name if its hosts are in the fleet anyway.
        if near and (found == 0 or not set(groups[near[0]]) <= set(context.hosts)):
            wrong = "is not a group of the fleet, so its hosts are ignored"
            context.add("the inventory", near[0], (wrong, f"did you mean {group}?"))
        elif component != AGENT and found == 0:
            context.add("the inventory", group, ("this group has no host", "put one host in it"))
        elif component == AGENT and group != component and group not in groups:
            context.add("the inventory", group, ("this group does not exist", "correct preflight_agent_group"))
        elif component != AGENT and found > 1:
            context.add("the inventory", group, (f"this group has {found} hosts", "keep one host in it"))


def check_inventory(
    hosts: Mapping,
    groups: Mapping,
    specs: Specs,
    group_names: Mapping | None = None,
    resolve_one=resolve,
    keys: Mapping | None = None,
    search=None,
    run: Collection | None = None,
) -> tuple:
    """Check a whole inventory. Return (problems, the fleet's values or None if a problem is an error).

    hosts, keys: from resolve_inventory. resolve_one: returns the addresses of a host name or raises ValueError.
    search: returns where a secret is in clear text, or None. run: the hosts of the run, by default all.

    A problem of an agent leaves the agent out of the run, unless no agent would remain. A problem of a host outside the
    run counts only if values of the fleet depend on it: as an error for node and broker, as a warning for an agent.
    """
    members = members_of(groups, group_names)
    fleet_hosts = list(dict.fromkeys(host for some in members.values() for host in some))
    if run is not None:
        # Of two hosts with the same address, the later one gets the problem.
        core_hosts = {*members[NODE], *members[BROKER]}
        fleet_hosts.sort(key=lambda host: host not in core_hosts and host not in run)
    context = Context({host: hosts[host] for host in fleet_hosts}, members, specs, run=run)
    context.resolve(resolve_one)
    check_groups(context, groups, group_names or {})
    variables.check_names(context)
    for check in COMMON_CHECKS:
        check(context)
    publishers.check_other_users(context, keys or {}, groups)
    monitor.check_monitor(context, hosts, groups, resolve_one, search, run)
    for check in FLEET_CHECKS:
        check(context)
    if search:
        variables.check_secrets(context, search)
    problems = context.problems_of_run()
    if any(problem.level == "error" for problem in problems):
        return problems, None
    faulty = {problem.host: problem for problem in reversed(context.problems) if problem.level == "error"}
    values = fleet(
        {**hosts, **{host: context.usable(host) for host in faulty if host in context.hosts}},
        groups,
        group_names,
        context.resolved,
        {host: f"{one.variable} {one.wrong}" for host, one in faulty.items() if host not in context.core_hosts},
        context.without_address(),
        bool(context.unknown_sources()),
    )
    values["registry"] = _registry_query(context, values)
    return problems, values


def _registry_query(context: Context, values: Mapping) -> dict:
    """Return which host of a run queries the registry, for which images, and at which mirrors."""
    hosts = [
        host
        for host in [values["broker"]["host"], values["node"]["host"], *context.hosts]
        if host in context.run and not values["hosts"][host].get("left_out")
    ]
    if not hosts:
        return {"host": "", "images": [], "mirrors": []}
    mirrors = context.usable(hosts[0]).get("docker_engine_registry_mirrors") or []
    monitor = values["monitor"].get("host")
    queried = [*hosts, *([monitor] if monitor in context.run else [])]
    images = {image for host in queried for image in values["hosts"][host]["images"]}
    return {"host": hosts[0], "images": sorted(images), "mirrors": list(mirrors)}


def check_role_arguments(role: str, host: str, values: Mapping, specs: Specs) -> list:
    """Check the arguments of a role on a host that is used without a fleet. Return the problems.

    values: the host's variables without the role's own defaults, templated, UnresolvedValue where that failed.
    """

    def resolve_none(name: str) -> list:
        raise ValueError(f"{name} is not resolved")

    # The arguments that count are the role's own, and those of the roles that it calls.
    roles = (*FLEET_ROLES, role) if role in ALL_COMPONENTS else (role,)
    members = {component: [host] if component == role else [] for component in COMPONENTS}
    own = {name: value for name, value in values.items() if specs.owner(name) in (None, *roles)}
    context = Context({host: own}, members, specs, standalone=True)
    context.resolve(resolve_none)
    variables.check_names(context, tuple(f"{one}_" for one in roles if one != "preflight"))
    if role == MONITOR:
        monitor.check_settings(context, host, own)
    for check in (*COMMON_CHECKS, addresses.check_p2p):
        check(context)
    variables.check_required(context, role)
    return context.problems
