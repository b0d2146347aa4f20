# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stop.yml, start.yml, restart.yml and reboot.yml do on each host, and why they cannot."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.actions import startable
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import project_name
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.containers import Container
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.inventory_header import other_inventory
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import COMPOSE_FILE
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project_directory import STOPPED_FILE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import AGENT, BROKER, MONITOR, NODE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import (
    LEFT_OUT,
    Problem,
    is_optional,
    leave_out_agents,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.differences import HOST

STOP, START, RESTART, REBOOT = "stop", "start", "restart", "reboot"
OPERATIONS = (STOP, START, RESTART, REBOOT)
# The order in which the components of a host stop. They start in the opposite order.
STOP_ORDER = (AGENT, MONITOR, NODE, BROKER)
# The states of a component: its files do not exist, only they exist, stop.yml stopped it, stop.yml stopped it
# but a container runs, its containers run, some of them run and others ended or are paused, none runs.
ABSENT, BARE, STOPPED, RUNS_AGAIN = "absent", "no containers", "stopped", "runs again"
RUNNING, PARTLY, ENDED = "running", "partly running", "ended"
# The states in which an operation works on a component. What was stopped stays stopped until it is started.
OPERATED = {
    STOP: (RUNNING, PARTLY, ENDED, RUNS_AGAIN),
    START: (STOPPED, PARTLY, ENDED, RUNS_AGAIN),
    RESTART: (RUNNING, PARTLY, ENDED),
    REBOOT: (RUNNING, PARTLY, ENDED),
}
# The groups of the hosts that the plays work on: one for each component, and those of reboot.yml.
GROUPS = {component: f"aztec_operation_{component}" for component in STOP_ORDER}
REBOOT_GROUP, REBOOT_AGENTS_GROUP = "aztec_operation_reboot", "aztec_operation_reboot_agents"

# The Compose projects of the roles, also with an instance name.
_PROJECTS = re.compile(r"aztec-([a-z][a-z0-9]{0,8}-)?prover-(node|broker|agent|monitor)")

LIMIT_AGAIN = "include it with --limit, or start it first with start.yml"


@dataclass
class OperationPlan:
    """The plan of an operation.

    operated: host -> its components to work on, in STOP_ORDER; for a reboot each host that reboots. lines: host -> part
    -> lines, for plan_text. absent: host -> why it does not take part.
    """

    problems: list[Problem] = field(default_factory=list)
    operated: dict[str, list[str]] = field(default_factory=dict)
    lines: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def component_state(project: Mapping) -> str:
    """Return the state of a component. project: that of host_info."""
    compared, containers = project.get("compared") or {}, project.get("containers") or []
    if not containers:
        return BARE if COMPOSE_FILE in (compared.get("files") or {}) else ABSENT
    runs = any(one["state"] == "running" for one in containers)
    if compared.get("stopped"):
        return RUNS_AGAIN if runs else STOPPED
    starts = startable([Container(**one) for one in compared.get("containers") or []])
    return (PARTLY if starts else RUNNING) if runs else ENDED


def operation_plan(
    operation: str, chosen: Collection[str], host_infos: Mapping[str, Mapping | None], fleet: Mapping
) -> OperationPlan:
    """Return what an operation does on the hosts of a run, and the problems that end it before anything is touched.

    chosen: components, empty for all. host_infos: host -> host info, None if it is unreachable.
    """
    plan = OperationPlan()
    if operation == REBOOT and chosen:
        wrong = "has no effect on a reboot, which is one of all components of a host"
        plan.problems.append(Problem("the run", "aztec_components", wrong, "remove it", fleet=True))
        return plan
    wanted = {
        host: [one for one in STOP_ORDER if one in fleet["hosts"][host]["components"] and (not chosen or one in chosen)]
        for host in host_infos
    }
    if not any(wanted.values()):
        wrong = "no host of this run has one of these components"
        plan.problems.append(Problem("the run", "aztec_components", wrong, "correct it, or --limit", fleet=True))
    states = {
        host: {one: component_state(_project(info, one, fleet)) for one in STOP_ORDER}
        for host, info in host_infos.items()
        if info
    }
    problems: list[Problem] = []
    for host, components in wanted.items():
        info = host_infos[host]
        if fleet["hosts"][host].get("left_out"):
            plan.absent[host] = fleet["hosts"][host]["left_out"]
        elif info is None and components:
            problems.append(Problem(host, "ansible_host", "is unreachable", "see the error above, then run again"))
            plan.absent[host] = "is unreachable"
        elif info is not None:
            problems += _host_problems(operation, host, components, info, states[host], fleet)
            # A reboot without Docker, such as because it hangs, does not stop components.
            serves = info["engine"]["serves"]
            plan.operated[host] = [one for one in components if serves and states[host][one] in OPERATED[operation]]
    agents = [host for host, found in wanted.items() if AGENT in found and not fleet["hosts"][host].get("left_out")]
    optional = [host for host in wanted if is_optional(fleet["hosts"][host]["components"])]
    plan.problems += leave_out_agents(problems, agents, optional)
    plan.absent.update({one.host: one.wrong for one in plan.problems if one.level == LEFT_OUT})
    plan.operated = {host: found for host, found in plan.operated.items() if host not in plan.absent}
    if operation in (START, RESTART):
        plan.problems += _broker_problems(operation, plan.operated, states, host_infos, fleet)
    for host, components in plan.operated.items():
        plan.lines[host] = operation_lines(operation, components)
        if operation != START:
            plan.problems += [
                Problem(host, one, "is stopped already, and stays so", "run start.yml to start it", "note")
                for one in wanted[host]
                if states[host][one] == STOPPED
            ]
    return plan


def operation_lines(operation: str, components: Sequence[str]) -> dict[str, list[str]]:
    """Return what an operation does on a host, as lines by part for plan_text."""
    if operation != REBOOT:
        return {one: [operation] for one in components}
    return {HOST: ["reboot"], **{one: ["stop before, start after"] for one in components}}


def operation_groups(operation: str, operated: Mapping[str, Sequence[str]], fleet: Mapping) -> list[dict]:
    """Return {host, groups} for each host on which the plays of an operation work."""
    found = []
    for host, components in operated.items():
        groups = [GROUPS[one] for one in components]
        if operation == REBOOT:
            agents_only = fleet["hosts"][host]["components"] == [AGENT]
            groups = [REBOOT_AGENTS_GROUP if agents_only else REBOOT_GROUP]
        found += [{"host": host, "groups": groups}] if groups else []
    return found


def _project(info: Mapping, component: str, fleet: Mapping) -> Mapping:
    return info["projects"].get(project_name(component, fleet.get("instance", "")), {})


def other_provers(info: Mapping, components: Sequence[str], fleet: Mapping) -> list[str]:
    """Return the running Compose projects of the roles on a host, other than those of these components."""
    own = [project_name(component, fleet.get("instance", "")) for component in components]
    return [one for one in info.get("running_projects") or [] if _PROJECTS.fullmatch(one) and one not in own]


def engine_restart_problems(
    host: str, info: Mapping, components: Sequence[str], fleet: Mapping
) -> Iterator[Problem]:
    """Yield a warning if another prover runs on a host whose containers stop with Docker in this run."""
    others = other_provers(info, components, fleet)
    if others:
        wrong = f"changes, which ends {', '.join(others)} as well, without draining"
        remedy = "if that is not intended, stop it with its own inventory first"
        yield Problem(host, "Docker", wrong, remedy, "warning")


def _host_problems(
    operation: str, host: str, components: Sequence[str], info: Mapping, states: Mapping[str, str], fleet: Mapping
) -> list[Problem]:
    """Return why an operation cannot work on the components of a host."""
    found = []
    if components and operation != REBOOT and not info["engine"]["serves"]:
        found.append(Problem(host, "Docker", "is not usable on this host", "start it, then run the same command again"))
        return found
    if components and not info["engine"]["serves"]:
        wrong = "is not usable on this host, so that its components are not stopped before the reboot"
        remedy = "if that is not intended, start Docker, then run the same command again"
        found.append(Problem(host, "Docker", wrong, remedy, "warning"))
    others = other_provers(info, components, fleet)
    if operation == REBOOT and others:
        wrong = f"runs {', '.join(others)} as well, which the reboot ends without draining"
        remedy = "if that is not intended, stop it with its own inventory first"
        found.append(Problem(host, "the host", wrong, remedy, "warning"))
    for component in components:
        if states[component] == ABSENT and operation != REBOOT:
            found.append(Problem(host, component, "is not deployed on this host", "run site.yml first"))
        project = _project(info, component, fleet)
        if states[component] == BARE and operation in (START, RESTART):
            # site.yml leaves what stop.yml stopped as it is.
            stopped = (project.get("compared") or {}).get("stopped")
            mark = f"delete {STOPPED_FILE} in its directory on the host, then run site.yml"
            found.append(Problem(host, component, "has no containers", mark if stopped else "run site.yml first"))
        other = other_inventory(project.get("inventories", []), fleet.get("inventory", ""))
        if other:
            found.append(Problem(host, component, *other))
        if project_name(component, fleet.get("instance", "")) in (info.get("busy_projects") or []):
            found.append(Problem(host, component, "another run is changing it", "run again after that run ends"))
    return found


def _broker_problems(
    operation: str, operated: Mapping[str, Sequence[str]], states: Mapping, host_infos: Mapping, fleet: Mapping
) -> list[Problem]:
    """Return where node or agents would start without a broker."""
    broker = fleet["broker"]["host"]
    if broker in states:
        runs = states[broker][BROKER] in (RUNNING, PARTLY, RUNS_AGAIN) or BROKER in operated.get(broker, ())
        without = [] if runs else list(operated)
        wrong = f"needs the broker on {broker}, which does not run"
        remedy = "start it with the same command, or before: run start.yml with -e aztec_components=prover_broker"
    else:
        infos = {host: host_infos[host] or {} for host in operated}
        without = [host for host, info in infos.items() if not all(one["ok"] for one in info.get("connect") or [])]
        wrong = f"needs the broker on {broker}, which does not respond and is not in this run"
        remedy = LIMIT_AGAIN
    return [
        Problem(host, component, wrong, remedy, fleet=True)
        for host in without
        for component in operated[host]
        if component not in (BROKER, MONITOR)
    ]
