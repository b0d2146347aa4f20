"""Problems of stop.yml, start.yml, restart.yml, reboot.yml: (a part of the line, the run, the run after the remedy)."""

from __future__ import annotations

from typing import Any

from ansible_collections.aztec_ops.prover.plugins.action.fleet_status import run_problems
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.operations import (
    engine_restart_problems,
    operation_plan,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.fleet_status import fleet_report

from tests.remedies.case import Lines, cases, problem_lines
from tests.unit.plugins.plugin_utils.plan.test_operations import AGENT, BROKER, DOWN, FLEET, hosts, info, project
from tests.unit.plugins.plugin_utils.status.test_fleet_status import FLEET as RUNNING_FLEET
from tests.unit.plugins.plugin_utils.status.test_fleet_status import fleet

STOPPED = project("exited", stopped=True)
BARE = {**project(), "containers": []}
BARE_STOPPED = {**STOPPED, "containers": []}
WITHOUT_BROKER = {"node_1": info(prover_node=STOPPED, prover_broker=STOPPED), "agent_1": info(prover_agent=STOPPED)}
ONE_AGENT = {"agent-1": info(prover_agent=STOPPED, connect=[DOWN])}


def run(operation: str, *chosen: str, infos: dict | None = None, **changes: Any) -> Lines:
    """Return what plans an operation. infos: the hosts of the run, by default those of `hosts` with these changes."""
    return lambda: problem_lines(
        operation_plan(operation, chosen, hosts(**changes) if infos is None else infos, FLEET).problems
    )


def engine(*projects: str) -> Lines:
    """Return what checks an agent's host, whose Docker restarts, with these running projects."""
    infos = info(AGENT, running_projects=["aztec-prover-agent", *projects])
    return lambda: problem_lines(engine_restart_problems("agent-1", infos, [AGENT], FLEET))


def status(*, stopped: bool, state: str) -> Lines:
    """Return what reports a fleet whose agent has this mark and this state of its container."""

    def lines() -> list[str]:
        infos = fleet(agent={"state": state})
        infos["agent-1"]["projects"]["aztec-prover-agent"]["compared"] = {"stopped": stopped}
        return [text for _host, _component, text in fleet_report(infos, RUNNING_FLEET).problems]

    return lines


def ended(failed: list[str], unchanged: list[str]) -> Lines:
    """Return what reports a run that failed on some hosts and left others as they are."""
    return lambda: [text for _hosts, _component, text in run_problems(failed, unchanged)]


OPERATIONS = cases(
    ("as well, without draining", engine("aztec-main2-prover-agent"), engine()),
    (
        "needs the broker on node-1, which does not run",
        run("start", AGENT, **WITHOUT_BROKER),
        run("start", **WITHOUT_BROKER),
        run("start", BROKER, **WITHOUT_BROKER),
    ),
    (
        "which does not respond and is not in this run",
        run("start", infos=ONE_AGENT),
        run("start", infos={**hosts(node_1=WITHOUT_BROKER["node_1"]), **ONE_AGENT}),
        run("start", infos={"agent-1": info(prover_agent=STOPPED, connect=[{**DOWN, "ok": True}])}),
    ),
    ("has no effect on a reboot", run("reboot", AGENT), run("reboot")),
    (
        "no host of this run has one of these components",
        run("stop", BROKER, infos={"agent-1": info(AGENT)}),
        run("stop", AGENT, infos={"agent-1": info(AGENT)}),
        run("stop", BROKER),
    ),
    (
        "is not usable on this host: start it, then run the same command again",
        run("stop", agent_1=info(AGENT, engine={"serves": False})),
        run("stop"),
    ),
    (
        "so that its components are not stopped before the reboot",
        run("reboot", agent_1=info(AGENT, engine={"serves": False})),
        run("reboot"),
    ),
    (
        "which the reboot ends without draining",
        run("reboot", agent_1=info(AGENT, running_projects=["aztec-main2-prover-agent"])),
        run("reboot"),
    ),
    (
        "is stopped already, and stays so",
        run("restart", AGENT, agent_1=info(prover_agent=STOPPED)),
        run("start", AGENT, agent_1=info(prover_agent=STOPPED)),
    ),
    ("has no containers: run site.yml first", run("start", agent_1=info(prover_agent=BARE)), run("start")),
    ("has no containers: delete", run("start", agent_1=info(prover_agent=BARE_STOPPED)), run("start")),
    ("is not deployed on this host", run("start", agent_1=info(prover_agent=project(""))), run("start")),
    (
        "another run is changing it: run again after that run ends",
        run("stop", agent_1=info(AGENT, busy_projects=["aztec-prover-agent"])),
        run("stop"),
    ),
    (
        "runs, although stop.yml stopped it",
        status(stopped=True, state="running"),
        status(stopped=True, state="exited"),
        status(stopped=False, state="running"),
    ),
    ("not changed, because agent-1 failed", ended(["agent-1"], ["agent-2"]), ended([], [])),
)
