# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has to be done about a Compose project: its desired state compared with what is on the host.

The host compares before it applies, and the controller does so with the result of host_info, to make its plan.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import containers as states
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import project as files
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.desired_state import DesiredState
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.inventory_header import (
    other_inventory,
    without_header,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import Problem
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project_directory import STOPPED_FILE
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import docker_networks

# States of a project that need its containers, and none of its desired files.
RUN_STATES = ("stopped", "started", "restarted")
# Statuses of a container that a start changes.
STARTABLE = ("exited", "created", "dead", "paused")


@dataclass
class OnHost:
    """What is on the host of a project, without a secret.

    engine: whether the engine serves. The other values of the engine are empty if it does not.
    containers: the project's containers. images: the ids of existing images, by reference.
    network: the project's network, an element of host_info's `networks`, None if it does not exist.
    directories: existing directories, by their absolute paths. unused: what only this project uses, to remove.
    The rest is ProjectDirectory.summary.
    """

    state: dict
    salt: str
    inventory: str
    files: dict[str, str]
    secure: list[str]
    pending: bool
    busy: bool
    stopped: bool = False
    engine: bool = False
    containers: list[states.Container] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)
    network: dict[str, Any] | None = None
    directories: list[str] = field(default_factory=list)
    unused: list[dict] = field(default_factory=list)


def project_actions(desired: DesiredState, found: OnHost, now: float) -> list[dict]:
    """Return the actions that bring a project to its desired state, in order, [] if nothing differs.

    Each is {do, what} or {do, service, why}, with force if Compose must be forced. now: the host's time in seconds.
    A project that stays stopped is left as it is until it is started.
    Raise Problem if another inventory manages the project, if its network has other settings, or if a project has to be
    stopped or started that is not deployed.
    """
    if desired.state == "present":
        desired.use_salt(found.salt)
    check_inventory(desired, found)
    actions: list[dict] = []
    if desired.state == "absent":
        actions += _absent_actions(desired, found)
    elif desired.state in RUN_STATES:
        actions += _run_actions(desired, found)
    elif found.stopped and desired.state == "present":
        return []
    else:
        missing = sorted(set(desired.images.values()) - set(found.images))
        actions += [{"do": "pull", "what": reference} for reference in missing]
    if desired.state == "present":
        if desired.network and not network_exists(desired.network, found.network):
            actions.append({"do": "network", "what": desired.network["name"]})
        actions += _file_actions(desired, found)
        if found.engine and found.pending:
            actions.append({"do": "finish", "what": "an earlier run that was interrupted"})
        running_for = {each.id: each.running_for(now) for each in found.containers}
        memory = found.state.get("services", {})
        actions += states.container_actions(
            desired.project, desired.model, found.containers, found.images, memory, running_for
        )
    if found.busy:
        actions.append({"do": "wait", "service": desired.project, "why": "another run works on it"})
    return actions


def check_inventory(desired: DesiredState, found: OnHost) -> None:
    """Raise Problem if another inventory manages the project."""
    other = other_inventory([found.inventory], desired.inventory)
    if other:
        raise Problem(f"{desired.project} {': '.join(other)}")


def network_exists(desired: dict, found: dict | None) -> bool:
    """Return whether the network exists. Raise Problem if it has other settings."""
    if found is None:
        return False
    for kind, seen, key in (
        ("bridge ", [found["interface"]], "bridge"),
        ("", found["subnets"], "ipv4_subnet"),
        ("", found["subnets"], "ipv6_subnet"),
        ("MTU ", [found["mtu"]], "mtu"),
    ):
        if desired.get(key) and desired[key] not in seen:
            wrong = f"network {desired['name']} has {kind}{', '.join(map(str, seen))}, not {desired[key]}"
            raise Problem(f"{wrong}: {docker_networks.recreation_steps(desired['name'])}")
    return True


def _file_actions(desired: DesiredState, found: OnHost) -> list:
    actions = []
    if "" not in found.secure:
        actions.append({"do": "directory", "what": desired.directory})
    missing = [path for path in desired.directories if path not in found.directories]
    actions += [{"do": "directory", "what": path} for path in missing]
    actions += [{"do": "write", "what": name} for name in outdated_files(desired.contents, found)]
    for parent in sorted({posixpath.dirname(name) for name in desired.files} - {""}):
        path = posixpath.join(desired.directory, parent)
        if path in found.directories and parent not in found.secure:
            actions.append({"do": "directory", "what": path})
    unknown = [name for name in found.state.get("files", []) if name not in desired.files and name in found.files]
    return [*actions, *({"do": "unlink", "what": name} for name in unknown)]


def startable(containers: Iterable[states.Container]) -> list[states.Container]:
    """Return the containers that a start of their project starts: they ended, were never started, or are paused."""
    return [each for each in containers if each.state == "failed" and each.status in STARTABLE]


def _run_actions(desired: DesiredState, found: OnHost) -> list:
    """Return the actions that stop, start or restart the containers that exist."""
    if not found.containers:
        raise Problem(f"{desired.project} is not deployed on this host: run site.yml first")
    running = [each for each in found.containers if each.status in ("running", "restarting", "paused")]
    ended = startable(found.containers)
    starts = [{"do": "start", "service": each.service, "why": f"it was {each.status}"} for each in ended]
    if desired.state == "started":
        return [*([{"do": "release", "what": STOPPED_FILE}] if found.stopped else []), *starts]
    if desired.state == "restarted":
        # What was stopped stays stopped.
        restarts = [{"do": "restart", "service": each.service, "why": "it was requested"} for each in running]
        starts = [one for one, each in zip(starts, ended) if each not in running]
        return [] if found.stopped else [*restarts, *starts]
    actions = [{"do": "stop", "service": each.service, "why": "it was requested"} for each in running]
    keep = desired.stay_stopped and not found.stopped
    return [*actions, *([{"do": "keep", "what": STOPPED_FILE}] if keep else [])]


def outdated_files(contents: dict, found: OnHost) -> list:
    """Return the names of the files that do not have this content, apart from the header, or not mode 0600."""
    return [
        name
        for name, text in contents.items()
        if found.files.get(name) != files.digest(found.salt, without_header(text) or "") or name not in found.secure
    ]


def _absent_actions(desired: DesiredState, found: OnHost) -> list:
    actions = [{"do": "remove", "service": each.service, "why": each.name} for each in found.containers]
    names = dict.fromkeys([*files.PROJECT_FILES, *found.state.get("files", []), *desired.files])
    actions += [{"do": "unlink", "what": name} for name in names if name in found.files]
    own = posixpath.join(desired.directory, ".stack")
    actions += [{"do": "unlink", "what": ".stack"}] if own in found.directories else []
    return [*actions, *found.unused]


def describe(action: dict) -> str:
    """Return an action in words."""
    if "service" in action:
        return f"{action['do']} {action['service']}: {action['why']}"
    if action["do"] in ("keep", "release"):
        return "keep it stopped" if action["do"] == "keep" else "no longer keep it stopped"
    words = {"directory": "create directory", "unlink": "remove", "network": "create network",
             "remove_network": "remove network", "remove_image": "remove image", "remove_data": "remove data"}
    return f"{words.get(action['do'], action['do'])} {action['what']}"
