# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which components change their version, and whether their data directories permit it."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import project_name
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.data_schemas import SCHEMAS_FILE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import parse_version, release_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import AGENT, BROKER, NODE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem

# The group of the hosts whose broker or node changes its version, and that of the hosts whose agents stop for it.
UPGRADE_GROUP = "aztec_plan_upgrade"
UPGRADE_AGENTS_GROUP = "aztec_plan_upgrade_agents"


def image_version(reference: str) -> str:
    """Return the version in the reference of an image, its tag, '' if the tag is not a version."""
    tag = reference.partition("@")[0].rpartition("/")[2].partition(":")[2]
    try:
        parse_version(tag)
    except ValueError:
        return ""
    return tag.removeprefix("v")


def version_key(version: str) -> tuple:
    """Return what versions are compared by. A pre-release is older than its release; its numbers count as numbers."""
    _numbers, _dash, pre = version.partition("-")
    parts = [(int(one), "") if one.isdecimal() else (-1, one) for one in re.findall(r"[0-9]+|[^0-9.-]+", pre)]
    return parse_version(version), not pre, parts


def project_of(host_info: Mapping, component: str, instance: str) -> Mapping:
    """Return a component's project in the host info, {} if it was not queried."""
    return (host_info.get("projects") or {}).get(project_name(component, instance)) or {}


def opened_version(project: Mapping) -> str:
    """Return the newest version that has opened the data of a project: its last good state, or existing containers."""
    compared = project.get("compared") or {}
    good = ((compared.get("state") or {}).get("services") or {}).values()
    references = [one.get("image") or "" for one in [*good, *(project.get("containers") or [])]]
    versions = [version for version in map(image_version, references) if version]
    return max(versions, key=version_key, default="")


def other_version(running: str, desired: str) -> bool:
    """Return whether two references of images can be of different versions. Without a version in the tags, they can."""
    versions = image_version(running), image_version(desired)
    return running != desired and (versions[0] != versions[1] or not versions[0])


def changed_components(images: Mapping[str, str], host_info: Mapping, instance: str) -> list[str]:
    """Return the components of a host whose running containers have another version than the desired one.

    images: the reference of each component's image. A component that does not run does not change its version.
    """
    found = []
    for component, image in images.items():
        containers = project_of(host_info, component, instance).get("containers") or []
        if any(one["state"] == "running" and other_version(one["image"], image) for one in containers):
            found.append(component)
    return found


def newer_stores(schemas: Mapping[str, int], known: Mapping[str, int]) -> list[str]:
    """Return the stores whose schema is newer than the one that another version used."""
    return [name for name, schema in schemas.items() if schema > known.get(name, schema)]


def downgrade_problems(
    host: str, component: str, image: str, project: Mapping, allowed: bool
) -> Iterator[Problem]:
    """Yield the problem of a version that is older than the one that has opened the data directory.

    project: the component's project in the host info. allowed: the value of aztec_allow_downgrade.
    """
    data, own, opened = project.get("data") or {}, image_version(image), opened_version(project)
    if not data.get("schemas") or not own or not opened or version_key(own) >= version_key(opened):
        return
    path, known = data["path"], data["recorded"].get(own)
    back = f"set aztec_version to {opened}"
    empty = f"set {component}_data_directory to an empty directory"
    if _line(own) != _line(opened):
        wrong = f"{path} was opened by {opened}, which is of another release line than {own}"
        yield Problem(host, "aztec_version", wrong, f"{back}, or {empty}", fleet=True)
        return
    changed = newer_stores(data["schemas"], known or {})
    if changed:
        wrong = f"{opened} has changed {', '.join(changed)} in {path}, which {own} would delete and synchronize again"
        yield Problem(host, "aztec_version", wrong, f"{back}, restore a backup of {path}, or {empty}", fleet=True)
    elif not allowed:
        wrong = f"{path} was opened by {opened}, but aztec_version is the older {own}"
        remedy = f"{back}, or add -e aztec_allow_downgrade=true to go back"
        yield Problem(host, "aztec_version", wrong, remedy, fleet=True)
    elif known is None:
        wrong = f"it is the first run of {own} here: what it cannot read in {path}, it deletes and synchronizes again"
        yield Problem(host, "aztec_version", wrong, f"continue if this is acceptable, otherwise {back}", "warning")


def _line(version: str) -> str:
    try:
        return release_of(version).line
    except ValueError:
        return str(parse_version(version)[0])


def split_problems(changed: Mapping[str, list], hosts: Collection, fleet: Mapping) -> Iterator[Problem]:
    """Yield a problem for each component that changes its version and whose counterparts --limit leaves out.

    changed: host -> changed_components. hosts: the hosts of the run. If broker or node change, both and all agents of
    the fleet have to take part. If a running agent changes, the broker has to, so that its version is compared. An
    agent that does not run yet does not change.
    """
    parts = {"broker": (BROKER, fleet["broker"]["host"]), "node": (NODE, fleet["node"]["host"])}
    moving = [name for name, (component, host) in parts.items() if component in changed.get(host, ())]
    missing = [f"the {name} is" for name, (_component, host) in parts.items() if host not in hosts]
    agents = [host for host in fleet["agents"] if host not in hosts]
    missing += [f"the agent on {agents[0]} is" if len(agents) == 1 else f"{len(agents)} agents are"] if agents else []
    if moving and missing:
        wrong = f"the {moving[0]} changes its version, but {missing[0]} not part of this run"
        remedy = "run without --limit, since components of different versions reject each other"
        yield Problem(parts[moving[0]][1], "aztec_version", wrong, remedy, fleet=True)
    broker = fleet["broker"]["host"]
    for host in [host for host in changed if AGENT in changed[host]] if broker not in hosts and not moving else ():
        wrong = "a running agent changes its version, but the broker is not part of this run"
        remedy = f"add {broker} to --limit, since components of different versions reject each other"
        yield Problem(host, "aztec_version", wrong, remedy, fleet=True)


def engine_problems(
    changed: Mapping[str, list], restarts: Collection, host_infos: Mapping, fleet: Mapping
) -> Iterator[Problem]:
    """Yield a problem if broker or node changes its version, for each host whose containers a change of Docker stops.

    Such a host pulls the image only when its containers are stopped, which would be in the interruption of the upgrade.
    changed: host -> changed_components. restarts: these hosts. host_infos: host -> host info, None without one.
    """
    parts = ((BROKER, fleet["broker"]["host"]), (NODE, fleet["node"]["host"]))
    moving = [(component, host) for component, host in parts if component in changed.get(host, ())]
    if not moving:
        return
    component, moved = moving[0]
    containers = project_of(host_infos[moved], component, fleet.get("instance", "")).get("containers") or []
    running = [image_version(one["image"]) for one in containers if one["state"] == "running"]
    previous = max(filter(None, running), key=version_key, default="")
    back = f"aztec_version to {previous}" if previous not in ("", fleet["version"]) else "the previous image"
    for host in restarts:
        wrong = "the version changes, and a change of Docker stops containers"
        remedy = f"apply the change of Docker first: set {back}, run site.yml, then upgrade"
        yield Problem(host, "aztec_version", wrong, remedy, fleet=True)


def schema_records(components: list, host_info: Mapping, instance: str, directories: Mapping) -> list[dict]:
    """Return {path, content} of the files that record which schemas the version used that is replaced now.

    directories: the directory of each project.
    """
    found = []
    for component in components:
        project = project_of(host_info, component, instance)
        data, version = project.get("data") or {}, opened_version(project)
        directory = directories.get(project_name(component, instance))
        if directory and version and data.get("schemas"):
            content = json.dumps({**data["recorded"], version: data["schemas"]}, indent=1, sort_keys=True)
            found.append({"path": posixpath.join(directory, SCHEMAS_FILE), "content": content + "\n"})
    return found


def upgrade_groups(changed: Mapping[str, list], fleet: Mapping) -> dict[str, list[str]]:
    """Return host -> the groups of the hosts that take part in an upgrade, {} where neither broker nor node changes.

    The node's host always takes part: the lock of the upgrade is there, and the node reports the epochs in work.
    """
    node = fleet["node"]["host"]
    parts = ((BROKER, fleet["broker"]["host"]), (NODE, node))
    moving = [host for component, host in parts if component in changed.get(host, ())]
    found: dict[str, list[str]] = {}
    for host, components in changed.items() if moving else ():
        groups = [UPGRADE_GROUP] if host == node or {NODE, BROKER} & set(components) else []
        groups += [UPGRADE_AGENTS_GROUP] if AGENT in components else []
        found.update({host: groups} if groups else {})
    return found
