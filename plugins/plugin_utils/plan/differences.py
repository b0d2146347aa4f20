# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What differs on a host from its desired state, and the plan that the operator reads before anything is changed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.actions import OnHost, describe, project_actions
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.containers import Container
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.desired_state import DesiredState
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.plan import guard_actions
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import (
    AGENT,
    BROKER,
    MONITOR,
    NODE,
    as_bool,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import table

PLAN_HEADS = ("HOST", "PART", "CHANGE")
# The parts of a host, in the order in which they are applied, and how the plan names them.
HOST, GUARD, ENGINE, IMAGES, METRICS = "host", "guard", "engine", "images", "metrics"
PARTS = {
    **{HOST: "host", GUARD: "port guard", ENGINE: "Docker", IMAGES: "images"},
    **{BROKER: "broker", AGENT: "agent", NODE: "node"},
    **{METRICS: "metrics", MONITOR: "monitor"},
}
# The groups of the hosts that the plays of site.yml work on, and the parts that put a host in it.
GROUPS = {
    "aztec_plan_prepare": (GUARD, ENGINE, IMAGES),
    "aztec_plan_broker": (BROKER,),
    "aztec_plan_agents_and_node": (AGENT, NODE),
    "aztec_plan_metrics": (METRICS,),
    "aztec_plan_monitor": (MONITOR,),
}
# The group of the hosts whose running agents stop during the change. They are changed in batches.
REPLACE_GROUP = "aztec_plan_replace"
# The group of the hosts whose containers stop when the engine restarts. They are drained before.
ENGINE_GROUP = "aztec_plan_engine"
# What is done to a container that then runs no longer.
ENDS = ("recreate", "replace", "remove", "finish")

# The group of the hosts whose status is read again at the end.
STATUS_GROUP = "aztec_plan_status"


def project_differences(desired: Mapping[str, Any], model: Mapping, host_info: Mapping) -> list[dict]:
    """Return the actions that a Compose project requires, [] for none and for a project that was stopped.

    desired: the arguments of compose_stack. model: the content of its Compose file. host_info: the result of the
    module of this name. Raise module_utils' Problem if compose_stack would refuse to work on the project.
    """
    arguments = {"state": "present", **desired, "_model": model}
    state = DesiredState(arguments, host_info["proxies"])
    compared = dict(host_info["projects"][state.project]["compared"])
    found = OnHost(**{**compared, "containers": [Container(**one) for one in compared["containers"]]})
    found.engine = bool(host_info["engine"]["serves"])
    found.images = {reference: image["id"] for reference, image in host_info["images"].items()}
    name = (state.network or {}).get("name")
    found.network = next((one for one in host_info["networks"] if one["name"] == name), None)
    found.directories = [*found.directories, *host_info["directories"]]
    return project_actions(state, found, host_info["time"])


def running_services(compared: Mapping) -> set[str]:
    """Return the services of a project that run. compared: from host_info."""
    return {one["service"] for one in compared.get("containers", []) if one["status"] == "running"}


def ends_running(actions: Sequence[Mapping], running: Collection[str]) -> bool:
    """Return whether actions of project_differences end a running container. running: from running_services."""
    ended = [one for one in actions if one["do"] in ENDS]
    return any(one.get("service") in running if "service" in one else bool(running) for one in ended)


def guard_differences(sections: Sequence[Mapping], host_info: Mapping) -> list[str]:
    """Return what port_guard changes on a host when it applies these sections, [] for nothing."""
    if not host_info["nft"]["installed"]:
        return ["install nftables and the port guard"]
    # Other than the module, the plan receives a boolean of the command line (-e) as text.
    required = [as_bool(one.get("required_by_docker", True)) is not False for one in sections]
    sections = [{**one, "required_by_docker": value} for one, value in zip(sections, required)]
    actions = guard_actions(sections, host_info["guard"])
    return actions if not actions or host_info["guard"]["installed"] else ["install the port guard"]


def file_differences(desired: Mapping[str, str | None], digests: Mapping[str, str]) -> list[str]:
    """Return what differs between files of a host and the desired ones, [] for nothing.

    desired: path -> content, None for a file of a package, whose content is not compared. digests: from host_info.
    """
    packages = [path for path, content in desired.items() if content is None and not digests[path]]
    written = [
        path
        for path, content in desired.items()
        if content is not None and digests[path] != hashlib.sha256(content.encode()).hexdigest()
    ]
    return [*(f"install {path}" for path in packages), *(f"write {path}" for path in written)]


def by_part(component: str, directory: str, actions: Sequence[dict]) -> dict[str, list[str]]:
    """Return the actions of a component's project in words, by part: pulls are a part of their own.

    directory: that of the project. A project without a directory is new, which is one line.
    """
    found: dict[str, list[str]] = {}
    new = {"do": "directory", "what": directory} in actions
    for action in actions:
        pull = action["do"] == "pull"
        line = f"set up {directory}" if new and not pull else describe(action)
        lines = found.setdefault(IMAGES if pull else component, [])
        lines += [line] if line not in lines else []
    return found


def with_consequences(differences: Mapping[str, list], components: Iterable[str]) -> dict[str, list[str]]:
    """Return the differences of a host in the order of PARTS, without empty ones.

    A change of the engine is also a change of each component: its containers may have ended with the engine.
    """
    found = {part: list(dict.fromkeys(differences.get(part) or [])) for part in PARTS}
    if found[ENGINE]:
        for component in components:
            found[component] = found[component] or ["check again after the change of Docker"]
    return {part: lines for part, lines in found.items() if lines}


def engine_ends_components(stop: Mapping) -> bool:
    """Return whether running containers of components stop with the engine. stop: `stops` of plan_host."""
    return bool(stop.get("engine") and stop.get("components"))


def selected_hosts(
    differences: Mapping[str, Mapping], fleet: Mapping, stops: Mapping[str, Mapping] | None = None
) -> list[dict]:
    """Return {host, groups} for each host that the plays of site.yml work on.

    differences: host -> with_consequences. stops: host -> {components, engine}, the components whose running containers
    stop during the change, and whether they stop with the engine. The status of all hosts is read again if broker or
    node differ, because the agents depend on them.
    """
    found: dict[str, list[str]] = {host: [] for host in differences}
    for host, parts in differences.items():
        stop = (stops or {}).get(host) or {}
        replaced = AGENT in parts and AGENT in stop.get("components", ())
        at_once = [part for part in parts if part != AGENT or not replaced]
        found[host] += [group for group, chosen in GROUPS.items() if any(part in at_once for part in chosen)]
        found[host] += [REPLACE_GROUP] if replaced else []
        found[host] += [ENGINE_GROUP] if ENGINE in parts and engine_ends_components(stop) else []
    shared = any(found.get(fleet[component]["host"]) for component in ("broker", "node"))
    for groups in found.values():
        groups += [STATUS_GROUP] if groups or shared else []
    return [{"host": host, "groups": groups} for host, groups in found.items() if groups]


def plan_rows(differences: Mapping[str, Mapping]) -> list[tuple[str, str, str]]:
    """Return the rows of the plan. Hosts with equal changes share their rows; the order is that of PARTS."""
    hosts: dict[tuple, list[str]] = {}
    for host, parts in differences.items():
        for part, lines in parts.items():
            hosts.setdefault((part, tuple(lines)), []).append(host)
    rows = []
    for (part, lines), names in sorted(hosts.items(), key=lambda item: list(PARTS).index(item[0][0])):
        rows += [(join_hosts(names), PARTS[part], lines[0]), *(("", "", line) for line in lines[1:])]
    return rows


def join_hosts(names: Sequence[str]) -> str:
    """Return up to three hosts by name, and the number of the others."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def plan_text(differences: Mapping[str, Mapping]) -> str:
    """Return the plan as a table."""
    return table(plan_rows(differences), PLAN_HEADS)
