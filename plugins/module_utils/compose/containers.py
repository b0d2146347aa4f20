# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The containers of a Compose project: their states, when waiting for them ends, and what has to be done about them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import LABEL_CONFIG, names_of

LABEL_SERVICE = "com.docker.compose.service"
LABEL_ONEOFF = "com.docker.compose.oneoff"
LABEL_HASH = "com.docker.compose.config-hash"

# Seconds after which a running process without a health check counts as started.
SETTLED = 10.0
# Seconds after which a start is not part of a restart loop that is in progress.
LOOP_AGE = 300.0

_MEANINGS = {
    0: "it ended by itself, without an error",
    1: "the program gave up, see its last log lines",
    2: "the program was called with wrong arguments",
    78: "update needed: the network has a new rollup",
    79: "update needed: the network requires a newer version",
    125: "Docker could not start the container",
    126: "the entrypoint exists but cannot be run",
    127: "the entrypoint is not in the image",
    130: "it was interrupted (SIGINT)",
    132: "the processor lacks an instruction that the program needs (SIGILL)",
    134: "the program aborted (SIGABRT)",
    137: "it was killed (SIGKILL): memory ran out on the host, or it did not stop in time",
    139: "the program crashed (SIGSEGV)",
    143: "it was terminated (SIGTERM)",
}
# A retry does not help with these.
_DEFINITE = (78, 79, 125, 126, 127)


def meaning(exit_code: int, oom_killed: bool = False, error: str = "") -> str:
    """Return in words what the end of a container means."""
    if oom_killed:
        text = "the kernel killed it because it ran out of memory"
    elif exit_code in _MEANINGS:
        text = _MEANINGS[exit_code]
    elif 128 < exit_code < 160:
        text = f"it was ended by signal {exit_code - 128}"
    else:
        text = "the program failed, see its last log lines"
    return f"{text} ({printable(error, 400)})" if error else text


def parse_time(text: str) -> float:
    """Return the Unix time of the engine's RFC 3339 time, 0 for none."""
    match = re.match(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?", text)
    if not match or match.group(1).startswith("0001"):
        return 0.0
    zone = (match.group(3) or "Z").replace("Z", "+00:00")
    return datetime.fromisoformat(match.group(1) + zone).timestamp() + float("0." + (match.group(2) or "0"))


@dataclass(frozen=True)
class Container:
    """The state of one container."""

    id: str
    name: str
    service: str
    image: str
    image_id: str
    status: str
    health: str
    restarts: int
    exit_code: int
    oom_killed: bool
    error: str
    started_at: str
    policy: str
    config: str
    config_hash: str
    networks: tuple
    was_healthy: bool = False

    def running_for(self, now: float) -> float:
        """Return the seconds since the last start, 0 if the container was never started."""
        started = parse_time(self.started_at)
        return now - started if started else 0.0

    @property
    def state(self) -> str:
        """running, starting, failed, or exited (ended successfully, as intended)."""
        if self.status == "running":
            if self.health in ("healthy", "none"):
                return "running"
            # Docker reports a node that still syncs as unhealthy, too: only health that is lost is a failure.
            return "failed" if self.health == "unhealthy" and self.was_healthy else "starting"
        if self.status == "exited" and self.exit_code == 0 and self.policy in ("no", "", "on-failure"):
            return "exited"
        return "failed"

    @property
    def meaning(self) -> str:
        """What the state means, in words. Empty for a container that has not failed."""
        if self.state != "failed" or self.status == "running":
            return "it was healthy and is no longer" if self.state == "failed" else ""
        if self.status == "created":
            return "it was never started" + (f" ({printable(self.error, 400)})" if self.error else "")
        if self.status == "paused":
            return "it was paused manually"
        return meaning(self.exit_code, self.oom_killed, self.error)

    @property
    def definite(self) -> bool:
        """Whether a retry by Docker does not happen or does not help."""
        return self.status not in ("running", "restarting") or self.exit_code in _DEFINITE


def container(found: dict, was_healthy: bool = False) -> Container:
    """Return the state of a container from an item of `docker inspect`."""
    state = found.get("State") or {}
    config = found.get("Config") or {}
    labels = config.get("Labels") or {}
    health = state.get("Health") or {}
    checks = health.get("Log") or []
    return Container(
        id=found["Id"],
        name=(found.get("Name") or "").lstrip("/"),
        service=labels.get(LABEL_SERVICE, ""),
        image=config.get("Image", ""),
        image_id=found.get("Image", ""),
        status=state.get("Status", ""),
        health=health.get("Status") or "none",
        restarts=int(found.get("RestartCount") or 0),
        exit_code=int(state.get("ExitCode") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        error=state.get("Error") or "",
        started_at=state.get("StartedAt") or "",
        policy=((found.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no",
        config=labels.get(LABEL_CONFIG, ""),
        config_hash=labels.get(LABEL_HASH, ""),
        networks=tuple(sorted((found.get("NetworkSettings") or {}).get("Networks") or {})),
        was_healthy=was_healthy or any(check.get("ExitCode") == 0 for check in checks),
    )


def healthy_starts(containers: list[Container]) -> dict[str, str]:
    """Return when each container that was healthy was started, by id."""
    return {each.id: each.started_at for each in containers if each.was_healthy}


_ORDER = ("failed", "starting", "running", "exited")


def status_of(containers: list[Container]) -> dict[str, dict]:
    """Return the state of each service: the worst of its containers."""
    found: dict[str, dict] = {}
    for each in sorted(containers, key=lambda item: (_ORDER.index(item.state), item.name), reverse=True):
        found[each.service] = {
            "state": each.state,
            "health": each.health,
            "image": each.image,
            "image_id": each.image_id,
            "restarts": each.restarts,
            "exit_code": None if each.status == "running" else each.exit_code,
            "meaning": each.meaning,
        }
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Watched:
    """One container during the wait for it."""

    now: Container
    restarts_before: int
    running_for: float
    seen_healthy: bool = False


def verdict(watched: list[Watched], waited: float, timeout: float) -> tuple[str, list[Watched]]:
    """Return `ok`, `wait` or `failed`, and the containers that have failed.

    One restart is tolerated, since a program may start before the services that it needs; two are a loop. Health that
    was lost before the wait began may return during the wait.
    """
    failed, open_ = [], False
    over = waited >= timeout
    for each in watched:
        again = each.now.restarts - each.restarts_before
        if each.now.state == "failed":
            lost = each.now.status == "running"
            if over or again >= 2 or (each.seen_healthy if lost else each.now.definite):
                failed.append(each)
            else:
                open_ = True
        elif each.now.state in ("running", "starting") and each.now.health != "healthy":
            if again >= 2 or (again and over):
                failed.append(each)
            elif each.now.health != "none" or each.running_for < SETTLED:
                open_ = True
    if failed:
        return "failed", failed
    return ("wait" if open_ and not over else "ok"), []


def container_actions(
    project: str, model: dict, existing: list[Container], images: dict, memory: dict, running_for: dict
) -> list[dict]:
    """Return what has to be done about the existing containers, each as {do, service, why}.

    model: the merged model with labels. images: the ids of the images that the engine has, by reference.
    memory: {service: {hashes, networks}} from the last successful start.
    running_for: seconds since each container started, by id.
    """
    actions = []
    known = model["services"]
    for each in existing:
        if each.service not in known:
            actions.append({"do": "remove", "service": each.service, "why": "it is no longer a service of the project"})
    for name, service in known.items():
        containers = [each for each in existing if each.service == name]
        wanted = names_of(project, name, service)
        if len(containers) < len(wanted):
            actions.append({"do": "create", "service": name, "why": "it does not exist"})
        misnamed = [each.name for each in containers if each.name not in wanted]
        if misnamed:
            actions.append({"do": "replace", "service": name, "why": f"{', '.join(misnamed)} is not its name"})
        last_good = memory.get(name) or {}
        for each in containers:
            why = _why_recreate(each, service, images, last_good)
            if why:
                actions.append({"do": "recreate", "service": name, "why": why[0], "force": why[1]})
            elif each.status == "paused":
                actions.append({"do": "start", "service": name, "why": "it was paused"})
            elif each.state == "failed" and each.status in ("exited", "created", "dead"):
                actions.append({"do": "start", "service": name, "why": f"it was {each.status}"})
            elif each.state == "failed":
                actions.append({"do": "wait", "service": name, "why": f"it is {each.status}, {each.health}"})
            elif each.state == "starting" and each.restarts and running_for.get(each.id, 0.0) < LOOP_AGE:
                actions.append({"do": "wait", "service": name, "why": f"it was restarted {each.restarts} times"})
    return [action for number, action in enumerate(actions) if action not in actions[:number]]


_IMAGE_CHANGED = "its image changed"


def differs(actions: list[dict]) -> bool:
    """Return whether the actions do more than create or start containers from existing files, images and network."""
    return any(
        ("service" not in action and action["do"] != "finish") or action.get("why") == _IMAGE_CHANGED
        for action in actions
    )


def _why_recreate(each: Container, service: dict, images: dict, last_good: dict) -> tuple[str, bool] | None:
    """Return why a container must be recreated and whether Compose must be forced to do so, or None."""
    if each.config != service["labels"][LABEL_CONFIG]:
        return "its configuration changed", False
    if each.image_id != images.get(service["image"], each.image_id):
        return _IMAGE_CHANGED, False
    if last_good.get("hashes") and each.config_hash not in last_good["hashes"]:
        return "it was created from other files", True
    if last_good.get("networks") and each.status == "running" and list(each.networks) != last_good["networks"]:
        return "its networks were changed", True
    return None
