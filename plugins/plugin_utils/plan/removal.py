# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What remove.yml and reset.yml remove from each host, and why they cannot."""

from __future__ import annotations

import ipaddress
import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.inventory_header import other_inventory
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import AGENT, BROKER, MONITOR, NODE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import (
    LEFT_OUT,
    Problem,
    count_hosts,
    is_optional,
    leave_out_agents,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.differences import ENGINE, METRICS, join_hosts

# What is removed from a host, in this order. The metrics are removed with everything else.
PARTS = (AGENT, NODE, BROKER, MONITOR, METRICS)
# The groups of the hosts that the plays work on.
GROUPS = {part: f"aztec_removal_{part}" for part in PARTS}
WAIT_GROUP, ADMISSION_GROUP, ENGINE_GROUP = "aztec_removal_wait", "aztec_removal_admission", "aztec_removal_engine"

DELETE = "if the machine is lost, delete it from the inventory and run site.yml, which ends its admission at the broker"


@dataclass(frozen=True)
class Request:
    """What an operator has requested to remove.

    components: empty for all. limited: whether the run has a --limit. reset: the run is reset.yml. confirm: what was
    passed to confirm, '' for nothing. keep_data: data directories stay. engine: Docker is removed as well.
    """

    components: Collection[str] = ()
    limited: bool = True
    reset: bool = False
    confirm: str = ""
    keep_data: bool = False
    engine: bool = False


@dataclass
class RemovalPlan:
    """The plan of a removal.

    removed: host -> its components to remove, in the order of PARTS. lines: host -> part -> lines, for plan_text.
    absent: host -> why it does not take part. confirmation: what has to be typed, '' if nothing has to be.
    """

    problems: list[Problem] = field(default_factory=list)
    removed: dict[str, list[str]] = field(default_factory=dict)
    lines: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    confirmation: str = ""


def remains(info: Mapping, component: Mapping) -> dict[str, list[str]]:
    """Return what exists of a component on a host, by kind: containers, files, guard and data.

    info: its host info. component: the arguments of compose_stack that remove it, with guard_section.
    """
    project = info["projects"].get(component["project"], {})
    compared = project.get("compared") or {}
    here = component["directory"] in info["directories"] and (compared.get("files") or compared.get("directories"))
    return {
        "containers": [one["name"] for one in project.get("containers") or []],
        "files": [component["directory"]] if here else [],
        "guard": [one for one in [component["guard_section"]] if one in info["guard"]["section_texts"]],
        "data": [path for path in component["directories"] if path in info["directories"]],
    }


def removal_plan(
    request: Request,
    host_infos: Mapping[str, Mapping | None],
    components: Mapping[str, Mapping[str, Mapping]],
    fleet: Mapping,
) -> RemovalPlan:
    """Return what is removed from the hosts of a run, and the problems that end it before anything is touched.

    host_infos: host -> host info, None if it is unreachable. components: host -> component -> arguments for `remains`.
    """
    plan = RemovalPlan()
    if not request.limited and not request.reset:
        wrong, remedy = "is not set", "name the hosts to remove, or run reset.yml to remove the whole fleet"
        plan.problems.append(Problem("the run", "--limit", wrong, remedy, fleet=True))
        return plan
    problems, data = [], False
    for host, info in host_infos.items():
        groups = fleet["hosts"].get(host, {}).get("components", [])
        left_out = fleet["hosts"].get(host, {}).get("left_out")
        if left_out:
            problems.append(Problem(host, "the host", left_out, f"correct it and run again; {DELETE}"))
            continue
        if info is None:
            problems.append(Problem(host, "the host", "is unreachable", f"run again when it is reachable; {DELETE}"))
            continue
        found = {one: remains(info, components[host][one]) for one in PARTS if one in components[host]}
        found = {component: parts for component, parts in found.items() if any(parts.values())}
        existing = {one: parts for one, parts in found.items() if not request.components or one in request.components}
        if existing and set(found) - set(existing) == {METRICS}:
            # The metrics of a host are removed with its last component.
            existing[METRICS] = found[METRICS]
        problems += _host_problems(request, host, existing, components[host], info, fleet)
        plan.removed[host] = list(existing)
        for component, parts in existing.items():
            lines = _lines(request, parts)
            if request.keep_data and set(lines) <= {_keep(path) for path in parts["data"]}:
                plan.removed[host].remove(component)
                continue
            plan.lines.setdefault(host, {})[component] = lines
            # The key store is in the node's directory.
            data |= (bool(parts["data"]) and not request.keep_data) or component == NODE
        if request.engine and info["engine"]["managed"]:
            plan.lines.setdefault(host, {})[ENGINE] = ["remove Docker, its settings, images and package sources"]
        # A host with other components than the requested ones is still needed.
        if not found and not (request.engine and info["engine"]["managed"]):
            wrong = "nothing to remove" if groups else "has nothing of the fleet"
            plan.problems.append(Problem(host, "the host", wrong, "delete it from the inventory", "note"))
    optional = [host for host in host_infos if is_optional(fleet["hosts"].get(host, {}).get("components", []))]
    plan.problems += leave_out_agents(problems, list(host_infos), optional)
    plan.absent = {one.host: one.wrong for one in plan.problems if one.level == LEFT_OUT}
    plan.removed = {host: found for host, found in plan.removed.items() if host not in plan.absent}
    plan.lines = {host: found for host, found in plan.lines.items() if host not in plan.absent}
    plan.problems += _fleet_problems(request, host_infos, plan, fleet)
    if data and plan.lines:
        hosts = list(plan.lines)
        plan.confirmation = hosts[0] if len(hosts) == 1 and not request.reset else fleet["inventory"] or "remove"
    if request.confirm and plan.confirmation and request.confirm != plan.confirmation:
        wrong = f"does not match, because the run removes data of {count_hosts(len(plan.lines))}"
        remedy = f"check the hosts in the plan, then set confirm={plan.confirmation}"
        plan.problems.append(Problem("the run", "confirm", wrong, remedy, fleet=True))
    return plan


def _keep(path: str) -> str:
    return f"keep the data in {path}"


def _lines(request: Request, parts: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what happens to a component, one line each."""
    lines = [f"remove {', '.join(parts['containers'])}"] if parts["containers"] else []
    lines += [f"remove the files in {path}" for path in parts["files"]]
    lines += ["remove its section of the port guard"] if parts["guard"] else []
    return lines + [_keep(path) if request.keep_data else f"remove the data in {path}" for path in parts["data"]]


def _host_problems(
    request: Request, host: str, existing: Mapping, components: Mapping, info: Mapping, fleet: Mapping
) -> list[Problem]:
    """Return why the components of a host cannot be removed."""
    found, engine = [], info["engine"]
    if existing and not engine["serves"] and engine["source"] != "none":
        found.append(Problem(host, "Docker", "is not usable on this host", "start it, then run the same command again"))
    for component in existing:
        project = components[component]["project"]
        other = other_inventory(info["projects"].get(project, {}).get("inventories", []), fleet.get("inventory", ""))
        if other:
            found.append(Problem(host, component, *other))
        if project in (info.get("busy_projects") or []):
            found.append(Problem(host, component, "another run is changing it", "run again after that run ends"))
    if request.engine and not engine["managed"]:
        wrong = "has no effect, because this collection did not install Docker on this host"
        remedy = "remove Docker there yourself if you do not need it"
        found.append(Problem(host, "remove_engine", wrong, remedy, "note"))
    elif request.engine:
        own = {components[component]["project"] for component in existing}
        others = [f"container {one['name']}" for one in engine["containers"] if one["project"] not in own]
        others += [f"volume {name}" for name in engine["volumes"]]
        if others:
            wrong = f"Docker is still needed for {join_hosts(others)}"
            found.append(Problem(host, "remove_engine", wrong, "remove them, or run without remove_engine"))
        for root, path in _kept_in_engine(request, existing, components, info):
            wrong = f"removes {root} of Docker, which contains {path}, and that is kept"
            found.append(Problem(host, "remove_engine", wrong, f"move {path} away, or run without remove_engine"))
    return found


def _kept_in_engine(
    request: Request, existing: Mapping, components: Mapping, info: Mapping
) -> Iterator[tuple[str, str]]:
    """Yield (root of the engine, path) of each directory of a component that is kept and would be removed with Docker.

    existing: the components that are removed.
    """
    for name, component in components.items():
        kept = component["directories"] if request.keep_data or name not in existing else []
        kept = [*kept, *([component["directory"]] if name not in existing else [])]
        for path in [path for path in kept if path in info["directories"]]:
            for root in (info["engine"]["root"], info["engine"]["containerd_root"]):
                if posixpath.normpath(path).startswith(f"{posixpath.normpath(root)}/"):
                    yield root, path


def _fleet_problems(
    request: Request, host_infos: Mapping, plan: RemovalPlan, fleet: Mapping
) -> list[Problem]:
    """Return what the removal does to the rest of the fleet."""
    broker = fleet["broker"]["host"]
    # Those of the run that have nothing to remove do not need the broker.
    done = {host for host in host_infos if host not in plan.absent}
    chosen = request.components or PARTS
    kept = {
        component: [
            host
            for host, here in fleet["hosts"].items()
            if component in here["components"] and (host not in done or component not in chosen)
        ]
        for component in (AGENT, NODE)
    }
    found = []
    if BROKER in plan.removed.get(broker, []) and any(kept.values()):
        hosts = list(dict.fromkeys([*kept[NODE], *kept[AGENT]]))
        wrong = f"is the broker of {join_hosts(hosts)}"
        remedy = "remove these as well, or move the broker to another host of the inventory first"
        found.append(Problem(broker, BROKER, wrong, remedy, fleet=True))
    removed = [host for host, names in plan.removed.items() if AGENT in names]
    if removed and not kept[AGENT] and kept[NODE]:
        wrong = "no agent remains, so that no epoch is proven"
        found.append(Problem("the fleet", AGENT, wrong, "add an agent and run site.yml", "warning"))
    return found


def removal_groups(plan: RemovalPlan) -> list[dict]:
    """Return {host, groups} for each host on which the plays of a removal work."""
    found = []
    for host in plan.lines:
        components = plan.removed.get(host, [])
        groups = [GROUPS[one] for one in components]
        groups += [WAIT_GROUP] if {NODE, BROKER} & set(components) else []
        groups += [ADMISSION_GROUP] if {NODE, AGENT} & set(components) else []
        groups += [ENGINE_GROUP] if ENGINE in plan.lines[host] else []
        found.append({"host": host, "groups": groups})
    # The node's own wait covers that of its broker.
    waiting = [one for one in found if WAIT_GROUP in one["groups"]]
    nodes = [one for one in waiting if GROUPS[NODE] in one["groups"]]
    for one in waiting:
        if nodes and one not in nodes:
            one["groups"].remove(WAIT_GROUP)
    return found


def remaining_sources(fleet: Mapping, removed: Mapping[str, Collection[str]]) -> list[str] | None:
    """Return the sources that the broker admits after a removal, None if its guard stays as it is.

    removed: host -> its components to remove. The guard of a broker that is removed is removed with it.
    """
    broker = fleet["broker"]
    leaving = {host for host, components in removed.items() if {NODE, AGENT} & set(components)}
    if not leaving or BROKER in removed.get(broker["host"], ()):
        return None
    kept = set(broker["other_sources"])
    for host, here in fleet["hosts"].items():
        if {NODE, AGENT} & set(here["components"]) - set(removed.get(host, ())):
            kept |= {str(ipaddress.ip_network(one)) for one in here["addresses"]}
    return [one for one in broker["admitted"] if one in kept]
