# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stopping and starting the containers of a Compose project, without a change of its files."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.agent_status import agent_methods, query_work
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import bracketed, number
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import containers as states
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.actions import describe
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import is_service_of
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.drain import (
    LATE,
    POLL_SECONDS,
    QUERY_SECONDS,
    STOP,
    Drain,
    describe_work,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project_directory import STOPPED_FILE
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_engine import container_address, environment

# Seconds until a container that did not respond is queried again.
SILENT_SECONDS = 10.0


@dataclass
class Target:
    """A container with agents that has to be stopped.

    methods: the JSON-RPC method for the status of each agent. next_query: monotonic time.
    """

    id: str
    name: str
    url: str
    methods: list[str]
    drain: Drain
    text: str = ""
    next_query: float = 0.0


def targets(stack: Any, containers: list[states.Container]) -> list[Target]:
    """Return the containers whose agents can be queried, [] if no wait is required."""
    method, timeout = stack.module.params["drain_method"], stack.module.params["drain_timeout"]
    running = (each for each in containers if each.status == "running")
    agents = [each.id for each in running if is_service_of(each.service, "prover_agent")]
    if not method or timeout <= 0:
        return []
    found = []
    for inspected in stack.inspect_containers(agents):
        env, address = environment(inspected), container_address(inspected)
        port, count = number(env.get("AZTEC_PORT"), 16) or 8080, number(env.get("PROVER_AGENT_COUNT", "1"), 16)
        if address:
            url, methods = f"http://{bracketed(address)}:{port}/", agent_methods(method, count or 1)
            found.append(Target(inspected["Id"], inspected["Name"].lstrip("/"), url, methods, Drain(timeout)))
    return found


def drain(stack: Any, containers: list[states.Container]) -> None:
    """Stop each container with agents at the moment when the least proving time is lost. Leave the others running."""
    waiting, begun = targets(stack, containers), time.monotonic()
    while waiting:
        due = [one for one in waiting if _is_due(stack, one, time.monotonic() - begun)]
        if due:
            stack.drained += [one.id for one in due]
            words = ("stop", *(one.id for one in due))
            stack.run_checked(f"Stopping {', '.join(one.name for one in due)}", *words, seconds=stack.work_seconds())
            waiting = [one for one in waiting if one not in due]
        else:
            text = f"draining {', '.join(one.name for one in waiting)}"
            stack.report_progress(text, "; ".join(one.text for one in waiting))
            time.sleep(POLL_SECONDS)


def _is_due(stack: Any, target: Target, waited: float) -> bool:
    """Return whether a container is stopped now, and record how much proving time that loses."""
    if waited < target.drain.timeout and time.monotonic() < target.next_query:
        return False
    work = query_work(target.url, target.methods, QUERY_SECONDS)
    # The others are not queried while this one does not respond.
    target.next_query = time.monotonic() + (SILENT_SECONDS if None in work else 0)
    now = time.time()
    decision, loss = target.drain.decide(work, waited, now), target.drain.loss
    target.text = describe_work(work, now)
    if decision == STOP:
        stack.record(f"stop {target.name}, {loss:.1f} s of proving time lost")
    if decision == LATE:
        lost = f"{loss:.0f} s" if math.isfinite(loss) else "an unknown amount"
        stack.record(f"stop {target.name}, {lost} of proving time lost")
        stack.warnings.append(
            f"{target.name} was stopped in the middle of its work ({target.text}), as the drain timeout of "
            f"{target.drain.timeout:.0f} s is over: other agents repeat this work"
        )
    return decision in (STOP, LATE)


def start_drained(stack: Any) -> None:
    """Start the containers again that a drain stopped and that still exist."""
    ended = [each["Id"] for each in stack.inspect_containers(stack.drained) if not each["State"]["Running"]]
    if ended:
        stack.record("start the drained containers again")
        stack.run_checked("Starting the drained containers again", "start", *ended)


def apply_run_state(stack: Any, actions: list[dict], containers: list[states.Container]) -> dict:
    """Stop, start or restart the containers of a project, and return the result."""
    desired = stack.desired
    stack.touched = True
    stack.done += [describe(action) for action in actions]
    if desired.state != "started":
        _stop(stack, containers)
    if any(action["do"] == "keep" for action in actions):
        stack.storage.write(STOPPED_FILE, "")
    if desired.state == "stopped":
        return {"changed": True, "actions": stack.done, "status": states.status_of(stack.containers())}
    stack.storage.forget("stopped")
    return _start(stack)


def _stop(stack: Any, containers: list[states.Container]) -> None:
    for each in containers:
        stack.unpause(each)
    drain(stack, containers)
    stack.report_progress(f"stopping {stack.desired.project}")
    words = ("compose", "--project-name", stack.desired.project, "stop")
    stack.run_checked(f"Stopping {stack.desired.project}", *words, seconds=stack.work_seconds())


def _start(stack: Any) -> dict:
    desired = stack.desired
    found = stack.containers()
    restarts = {each.id: each.restarts for each in found if each.status == "running"}
    for each in found:
        stack.unpause(each)
    stack.report_progress(f"starting {desired.project}")
    words = (*stack.compose_words(desired.directory), "start")
    stack.run_checked(f"Starting {desired.project}", *words, seconds=stack.work_seconds())
    verdict, failed, containers = stack.watch(restarts, desired.timeout)
    state = stack.storage.load("state.json")
    if verdict != "ok":
        return {**stack.failed(state, containers, failed, {}, "", True), "changed": True}
    if state:
        stack.storage.save("state.json", {**state, "healthy": states.healthy_starts(containers)})
    return {"changed": True, "actions": stack.done, "status": states.status_of(containers)}
