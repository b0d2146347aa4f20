# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stop.yml, start.yml, restart.yml and reboot.yml do, and what they refuse before anything is touched."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.containers import container as docker_container
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import component_list
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.differences import plan_text
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.operations import (
    OPERATIONS,
    component_state,
    engine_restart_problems,
    operation_groups,
    operation_plan,
)

NODE, BROKER, AGENT, MONITOR = "prover_node", "prover_broker", "prover_agent", "prover_monitor"
FLEET: dict[str, Any] = {
    "inventory": "lab",
    "broker": {"host": "node-1"},
    "node": {"host": "node-1"},
    "hosts": {
        "node-1": {"components": [NODE, BROKER]},
        "agent-1": {"components": [AGENT]},
        "agent-2": {"components": [AGENT]},
    },
}


def project(state: str = "running", *, stopped: bool = False, inventory: str = "lab") -> dict[str, Any]:
    """Return a project as host_info returns it. state: that of its container, '' for a project that does not exist."""
    containers = [{"state": state, "service": "s"}] if state else []
    compared = {"files": {"compose.yml": "x"} if state else {}, "stopped": stopped}
    return {"containers": containers, "compared": compared, "inventories": [inventory]}


def container(status: str, exit_code: int = 0, policy: str = "unless-stopped") -> dict[str, Any]:
    """Return a container as `compared` of host_info has it."""
    found = docker_container({
        "Id": status, "State": {"Status": status, "ExitCode": exit_code},
        "HostConfig": {"RestartPolicy": {"Name": policy}},
    })
    return asdict(found)


def agents(*containers: dict[str, Any], stopped: bool = False) -> dict[str, Any]:
    """Return a project with several containers."""
    found = project(stopped=stopped)
    found["containers"] = [{"state": one["status"], "service": "s"} for one in containers]
    found["compared"]["containers"] = list(containers)
    return found


def info(*components: str, **changes: Any) -> dict[str, Any]:
    """Return host info with running components. changes: to the info, or to a project by its component."""
    projects = {f"aztec-{one.replace('_', '-')}": project() for one in components}
    own = [one for one in (NODE, BROKER, AGENT, MONITOR) if one in changes]
    projects |= {f"aztec-{one.replace('_', '-')}": changes.pop(one) for one in own}
    found = {"engine": {"serves": True}, "connect": [], "busy_projects": [], "projects": projects}
    return {**found, **changes}


def hosts(**changes: Any) -> dict[str, Any]:
    """Return the host info of a running fleet. Changes by host, with _ for -."""
    found = {"node-1": info(NODE, BROKER), "agent-1": info(AGENT), "agent-2": info(AGENT)}
    return {**found, **{name.replace("_", "-"): one for name, one in changes.items()}}


def lines(operation: str, chosen: tuple[str, ...] = (), **changes: Any) -> list[str]:
    """Return the problems of an operation, each as 'level host variable: wrong: remedy'."""
    plan = operation_plan(operation, chosen, hosts(**changes), FLEET)
    return [f"{one.level} {one.host} {one.variable}: {one.wrong}: {one.remedy}" for one in plan.problems]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([], []),
        ("", []),
        ("prover_agent", [AGENT]),
        ("prover_node, prover_agent", [NODE, AGENT]),
        ([NODE, AGENT], [NODE, AGENT]),
    ],
)
def test_the_components_of_an_operation(given: object, found: list[str]) -> None:
    """aztec_components is a list, or text with commas."""
    assert component_list(given) == found


@pytest.mark.parametrize(
    ("given", "state"),
    [
        (project(), "running"),
        (project("exited"), "ended"),
        (project(stopped=True), "runs again"),
        (project("exited", stopped=True), "stopped"),
        (project(""), "absent"),
        (agents(container("running"), container("running")), "running"),
        (agents(container("running"), container("exited", 1)), "partly running"),
        (agents(container("running"), container("exited")), "partly running"),
        (agents(container("running"), container("paused")), "partly running"),
        (agents(container("running"), container("restarting", 1)), "running"),
        (agents(container("running"), container("exited", policy="no")), "running"),
        (agents(container("exited"), container("exited", 1)), "ended"),
        (agents(container("running"), container("exited"), stopped=True), "runs again"),
        ({"containers": []}, "absent"),
        ({"containers": [], "compared": {"files": {"compose.yml": "x"}}}, "no containers"),
        ({"containers": [], "compared": {"files": {"compose.yml": "x"}, "stopped": True}}, "no containers"),
    ],
)
def test_component_state(given: dict, state: str) -> None:
    assert component_state(given) == state


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_on_a_running_fleet(operation: str) -> None:
    """There is nothing to start. The others work on all components, agents first."""
    plan = operation_plan(operation, (), hosts(), FLEET)
    assert plan.problems == []
    expected = {"node-1": [NODE, BROKER], "agent-1": [AGENT], "agent-2": [AGENT]}
    assert plan.operated == ({host: [] for host in expected} if operation == "start" else expected)


@pytest.mark.parametrize(
    ("operation", "operated"), [("stop", []), ("start", [AGENT]), ("restart", []), ("reboot", [])]
)
def test_what_was_stopped_stays_stopped_until_it_is_started(operation: str, operated: list[str]) -> None:
    stopped = {"agent_1": info(prover_agent=project("exited", stopped=True))}
    plan = operation_plan(operation, (), hosts(**stopped), FLEET)
    assert plan.operated["agent-1"] == operated
    note = "note agent-1 prover_agent: is stopped already, and stays so: run start.yml to start it"
    assert lines(operation, **stopped) == ([] if operation == "start" else [note])


def test_a_container_that_someone_started_after_a_stop_is_stopped_or_started_again() -> None:
    again = {"agent_1": info(prover_agent=project(stopped=True))}
    operated = {one: operation_plan(one, (), hosts(**again), FLEET).operated["agent-1"] for one in OPERATIONS}
    assert operated == {"stop": [AGENT], "start": [AGENT], "restart": [], "reboot": []}


def test_a_start_starts_the_agents_of_a_host_that_ended() -> None:
    """The service that fills the CRS directory has ended as intended."""
    crs = container("exited", policy="no")
    found = {
        "agent_1": info(prover_agent=agents(crs, container("running"), container("exited", 137))),
        "agent_2": info(prover_agent=agents(crs, container("running"), container("running"))),
    }
    operated = {one: operation_plan(one, (), hosts(**found), FLEET).operated for one in OPERATIONS}
    assert {one: operated[one]["agent-1"] for one in OPERATIONS} == {one: [AGENT] for one in OPERATIONS}
    assert operated["start"]["agent-2"] == []


STOPPED_BROKER = info(NODE, prover_broker=project("exited", stopped=True))
DOWN = {"host": "10.0.0.10", "port": 8080, "ok": False}
NEEDS = "needs the broker on node-1, which does not run"
REMEDY = "start it with the same command, or before: run start.yml with -e aztec_components=prover_broker"


def test_agents_do_not_start_while_the_broker_is_stopped() -> None:
    ended = {f"agent_{number}": info(prover_agent=project("exited", stopped=True)) for number in (1, 2)}
    assert lines("start", (AGENT,), node_1=STOPPED_BROKER, **ended) == [
        f"error agent-{number} prover_agent: {NEEDS}: {REMEDY}" for number in (1, 2)
    ]
    assert lines("start", (AGENT, BROKER), node_1=STOPPED_BROKER, **ended) == []
    assert lines("start", (AGENT,), **ended) == []
    assert f"error node-1 prover_node: {NEEDS}: {REMEDY}" in lines("restart", (NODE,), node_1=STOPPED_BROKER)
    assert lines("stop", (AGENT,), node_1=STOPPED_BROKER) == []


def test_a_restart_starts_what_crashed() -> None:
    """A broker that crashed starts before the agents if it is part of the run."""
    crashed = {"node_1": info(NODE, prover_broker=project("exited")), "agent_1": info(prover_agent=project("exited"))}
    plan = operation_plan("restart", (), hosts(**crashed), FLEET)
    assert plan.problems == []
    assert plan.operated == {"node-1": [NODE, BROKER], "agent-1": [AGENT], "agent-2": [AGENT]}
    needs = [f"error agent-{number} prover_agent: {NEEDS}: {REMEDY}" for number in (1, 2)]
    assert lines("restart", (AGENT,), **crashed) == needs


def test_a_limit_that_leaves_out_the_broker_needs_a_broker_that_responds() -> None:
    stopped = project("exited", stopped=True)
    for connect, wanted in (
        ([{**DOWN, "ok": True}], []),
        ([DOWN], [("agent-1", "needs the broker on node-1, which does not respond and is not in this run")]),
    ):
        plan = operation_plan("start", (), {"agent-1": info(prover_agent=stopped, connect=connect)}, FLEET)
        assert [(one.host, one.wrong) for one in plan.problems] == wanted
        assert {one.remedy for one in plan.problems} <= {"include it with --limit, or start it first with start.yml"}


@pytest.mark.parametrize("operation", ["stop", "start", "restart"])
@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (info(prover_agent=project("")), "agent-1 prover_agent: is not deployed on this host: run site.yml first"),
        (
            info(AGENT, engine={"serves": False}),
            "agent-1 Docker: is not usable on this host: start it, then run the same command again",
        ),
        (
            info(AGENT, busy_projects=["aztec-prover-agent"]),
            "agent-1 prover_agent: another run is changing it: run again after that run ends",
        ),
        (None, "agent-1 ansible_host: is unreachable: see the error above, then run again"),
    ],
)
def test_an_agent_with_a_problem_is_left_out(operation: str, changed: dict | None, line: str) -> None:
    assert lines(operation, agent_1=changed) == [f"left out {line}"]
    plan = operation_plan(operation, (), hosts(agent_1=changed), FLEET)
    assert "agent-1" not in plan.operated
    assert "agent-1" in plan.absent
    # If no agent remains, it is an error.
    found = operation_plan(operation, (AGENT,), {"node-1": hosts()["node-1"], "agent-1": changed}, FLEET)
    assert [one.level for one in found.problems] == ["error"]


def test_a_problem_of_the_node_ends_the_run() -> None:
    line = "error node-1 prover_node: is not deployed on this host: run site.yml first"
    assert lines("start", node_1=info(BROKER, prover_node=project(""))) == [line]
    line = "error node-1 ansible_host: is unreachable: see the error above, then run again"
    assert lines("stop", node_1=None) == [line]
    # It does not concern a run without its components.
    assert lines("stop", (AGENT,), node_1=None) == []


def test_files_without_containers() -> None:
    """Someone removed the containers. There is nothing to stop; to start, site.yml has to create them."""
    bare = {**project(), "containers": []}
    node = {"node_1": info(BROKER, prover_node=bare)}
    for operation in ("start", "restart"):
        assert lines(operation, **node) == ["error node-1 prover_node: has no containers: run site.yml first"]
    for operation in ("stop", "reboot"):
        assert lines(operation, **node) == []
        assert operation_plan(operation, (), hosts(**node), FLEET).operated["node-1"] == [BROKER]
    stopped = {"node_1": info(BROKER, prover_node={**project(stopped=True), "containers": []})}
    remedy = "delete .stack/stopped in its directory on the host, then run site.yml"
    assert lines("start", **stopped) == [f"error node-1 prover_node: has no containers: {remedy}"]


def test_another_inventory_manages_the_component() -> None:
    (line,) = lines("stop", (AGENT,), agent_1=info(prover_agent=project(inventory="prod")))
    assert line.startswith("left out agent-1 prover_agent: is managed by the inventory prod")


def test_a_run_without_one_of_the_components() -> None:
    plan = operation_plan("stop", (BROKER,), {"agent-1": info(AGENT)}, FLEET)
    assert [(one.variable, one.wrong, one.remedy) for one in plan.problems] == [
        ("aztec_components", "no host of this run has one of these components", "correct it, or --limit")
    ]


def test_a_reboot_takes_no_components() -> None:
    wrong = "has no effect on a reboot, which is one of all components of a host: remove it"
    assert lines("reboot", (AGENT,)) == [f"error the run aztec_components: {wrong}"]
    assert lines("reboot", agent_1=info(prover_agent=project(""))) == []
    assert operation_plan("reboot", (), hosts(agent_1=info(prover_agent=project(""))), FLEET).operated["agent-1"] == []


def test_a_host_whose_docker_does_not_serve_reboots_without_its_components() -> None:
    """Also with its containers known: a hung engine is a reason for the reboot."""
    hung = {"agent_1": info(AGENT, engine={"serves": False})}
    wrong = "is not usable on this host, so that its components are not stopped before the reboot"
    remedy = "if that is not intended, start Docker, then run the same command again"
    assert lines("reboot", **hung) == [f"warning agent-1 Docker: {wrong}: {remedy}"]
    plan = operation_plan("reboot", (), hosts(**hung), FLEET)
    assert plan.operated["agent-1"] == []
    assert plan.absent == {}
    assert plan.lines["agent-1"] == {"host": ["reboot"]}


def test_a_reboot_warns_of_components_that_it_does_not_drain() -> None:
    """Of another instance, or of this one where the inventory no longer has them on the host."""
    running = ["aztec-main2-prover-agent", "aztec-prover-agent", "aztec-prover-node", "web", "aztec-tools"]
    shared = {"agent_1": info(AGENT, running_projects=running)}
    wrong = "runs aztec-main2-prover-agent, aztec-prover-node as well, which the reboot ends without draining"
    remedy = "if that is not intended, stop it with its own inventory first"
    assert lines("reboot", **shared) == [f"warning agent-1 the host: {wrong}: {remedy}"]
    assert operation_plan("reboot", (), hosts(**shared), FLEET).operated["agent-1"] == [AGENT]
    assert lines("restart", **shared) == []
    assert lines("reboot", agent_1=info(AGENT, running_projects=["aztec-prover-agent", "web"])) == []


def test_a_restart_of_docker_warns_of_another_prover_on_the_host() -> None:
    running = ["aztec-main2-prover-agent", "aztec-prover-agent", "web"]
    (problem,) = engine_restart_problems("agent-1", info(AGENT, running_projects=running), [AGENT], FLEET)
    assert (problem.level, problem.variable) == ("warning", "Docker")
    assert problem.wrong == "changes, which ends aztec-main2-prover-agent as well, without draining"
    assert list(engine_restart_problems("agent-1", info(AGENT, running_projects=running[1:]), [AGENT], FLEET)) == []
    second = {**FLEET, "instance": "main2"}
    (problem,) = engine_restart_problems("agent-1", info(AGENT, running_projects=running), [AGENT], second)
    assert problem.wrong == "changes, which ends aztec-prover-agent as well, without draining"


def test_groups_and_plan() -> None:
    plan = operation_plan("reboot", (), hosts(), FLEET)
    groups = {one["host"]: one["groups"] for one in operation_groups("reboot", plan.operated, FLEET)}
    agents = {host: ["aztec_operation_reboot_agents"] for host in ("agent-1", "agent-2")}
    assert groups == {"node-1": ["aztec_operation_reboot"], **agents}
    assert plan_text(plan.lines).splitlines()[2:] == [
        "node-1, agent-1, agent-2  host    reboot",
        "node-1                    broker  stop before, start after",
        "agent-1, agent-2          agent   stop before, start after",
        "node-1                    node    stop before, start after",
    ]
    plan = operation_plan("stop", (AGENT,), hosts(), FLEET)
    groups = {one["host"]: one["groups"] for one in operation_groups("stop", plan.operated, FLEET)}
    assert groups == {host: ["aztec_operation_prover_agent"] for host in ("agent-1", "agent-2")}


MONITORED = {
    **FLEET,
    "hosts": {
        "node-1": FLEET["hosts"]["node-1"],
        "agent-1": {"components": [AGENT, MONITOR]},
        "agent-2": FLEET["hosts"]["agent-2"],
        "monitor-1": {"components": [MONITOR]},
    },
}


def monitored(**changes: Any) -> dict[str, Any]:
    """Return the host info of a running fleet with monitors on an agent's host and on a host of its own."""
    return hosts(**{"agent_1": info(AGENT, MONITOR), "monitor_1": info(MONITOR), **changes})


@pytest.mark.parametrize(("operation", "word"), [("stop", "stop"), ("restart", "restart"), ("reboot", "reboot")])
def test_a_monitor_is_operated_like_the_other_components(operation: str, word: str) -> None:
    """Agents of its host stop before it, and start after it. Its host is not one of those with agents only."""
    plan = operation_plan(operation, (), monitored(), MONITORED)
    assert plan.problems == []
    assert plan.operated["monitor-1"] == [MONITOR]
    assert plan.operated["agent-1"] == [AGENT, MONITOR]
    groups = {one["host"]: one["groups"] for one in operation_groups(operation, plan.operated, MONITORED)}
    own = f"aztec_operation_{MONITOR}"
    assert groups["monitor-1"] == ["aztec_operation_reboot" if word == "reboot" else own]
    assert groups["agent-1"] == (
        ["aztec_operation_reboot"] if word == "reboot" else [f"aztec_operation_{AGENT}", own]
    )


def test_only_the_monitor() -> None:
    plan = operation_plan("stop", (MONITOR,), monitored(), MONITORED)
    assert {host: found for host, found in plan.operated.items() if found} == {
        "agent-1": [MONITOR],
        "monitor-1": [MONITOR],
    }


def test_a_monitor_starts_without_the_broker() -> None:
    """It does not connect to it."""
    stopped = {"monitor_1": info(prover_monitor=project("exited", stopped=True)), "node_1": STOPPED_BROKER}
    plan = operation_plan("start", (MONITOR,), monitored(**stopped), MONITORED)
    assert (plan.problems, plan.operated["monitor-1"]) == ([], [MONITOR])
    limited = {"monitor-1": {**stopped["monitor_1"], "connect": [DOWN]}}
    assert operation_plan("start", (), limited, MONITORED).problems == []


def test_a_monitor_with_a_problem_does_not_end_an_operation() -> None:
    plan = operation_plan("restart", (), monitored(monitor_1=None), MONITORED)
    assert [(one.level, one.host, one.wrong) for one in plan.problems] == [
        ("left out", "monitor-1", "is unreachable")
    ]
    assert "monitor-1" not in plan.operated
    # If it is the only host of the run, it is an error.
    assert [one.level for one in operation_plan("stop", (), {"monitor-1": None}, MONITORED).problems] == ["error"]


def test_a_reboot_warns_of_a_monitor_that_left_its_group() -> None:
    running = ["aztec-prover-agent", "aztec-prover-monitor"]
    assert "runs aztec-prover-monitor as well" in lines("reboot", agent_1=info(AGENT, running_projects=running))[0]
