"""Problems of remove.yml and reset.yml, and those that they solve: (a part of the line, the run, one afterwards)."""

from __future__ import annotations

from typing import Any

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.removal import Request, removal_plan
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_checks import moved_component_problems
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.fleet_status import fleet_report

from tests.remedies.case import Lines, cases, problem_lines
from tests.unit.plugins.plugin_utils.plan.test_removal import (
    AGENT,
    BROKER,
    BUSY,
    COMPONENTS,
    FLEET,
    FOREIGN,
    NODE,
    hosts,
    info,
    planned,
)
from tests.unit.plugins.plugin_utils.preflight.test_host_checks import NODE_PROJECT, RUNS, data
from tests.unit.plugins.plugin_utils.status.test_fleet_status import FLEET as RUNNING_FLEET
from tests.unit.plugins.plugin_utils.status.test_fleet_status import container, fleet, host_info

MOVED = {"node": {"host": "node-9"}}


def run(found: dict, **words: Any) -> Lines:
    """Return what plans a removal."""
    return lambda: problem_lines(planned(found, **words).problems)


def left_out(why: str) -> Lines:
    """Return what plans the removal of an agent that the check of the inventory left out."""
    hosts_of_fleet = {**FLEET["hosts"], "agent-1": {**FLEET["hosts"]["agent-1"], "left_out": why}}
    found = hosts("agent-1")
    components = dict.fromkeys(found, COMPONENTS)
    return lambda: problem_lines(
        removal_plan(Request(), found, components, {**FLEET, "hosts": hosts_of_fleet}).problems
    )


def site(components: list[str], project: dict) -> Lines:
    """Return what checks a host with this project of a node, before site.yml changes anything."""
    infos = {"projects": {NODE_PROJECT: project}}
    return lambda: problem_lines(moved_component_problems("old", infos, components, MOVED))


def status(*, section: bool = False, outside: bool = False) -> Lines:
    """Return what reports an agent's host with a broker's guard section, and a host outside of the groups."""

    def lines() -> list[str]:
        infos, other = fleet(), host_info(["prover_agent"])
        infos["agent-1"]["guard"]["section_texts"] = {"prover_broker": "{}"} if section else {}
        other["projects"]["aztec-prover-agent"]["containers"] = [container("prover-agent")] if outside else []
        report = fleet_report(infos, RUNNING_FLEET, {"old": other})
        return [text for _host, _component, text in (*report.problems, *report.notes)]

    return lines


REMOVALS = cases(
    (
        "is not set: name the hosts to remove",
        run(hosts(), limited=False),
        run(hosts("agent-1")),
        run(hosts(), limited=False, reset=True),
    ),
    (
        "run again when it is reachable; if the machine is lost",
        run({"agent-1": None}),
        run(hosts("agent-1")),
    ),
    ("correct it and run again; if the machine is lost", left_out("x is wrong"), left_out("")),
    ("is the broker of agent-1, agent-2", run(hosts("node-1")), run(hosts()), run({"old": info(BROKER)})),
    ("no agent remains", run(hosts("agent-1", "agent-2")), run(hosts("agent-1"))),
    ("does not match", run(hosts("agent-1"), confirm="x"), run(hosts("agent-1"), confirm="agent-1")),
    ("another run is changing it", run({"agent-1": BUSY}), run(hosts("agent-1"))),
    ("is not usable on this host", run({"agent-1": info(AGENT, serves=False)}), run(hosts("agent-1"))),
    (
        "Docker is still needed for container web",
        run({"agent-1": FOREIGN}, engine=True),
        run(hosts("agent-1"), engine=True),
        run({"agent-1": FOREIGN}),
    ),
    (
        "removes /opt of Docker, which contains /opt/aztec/prover-agent/crs",
        run({"agent-1": info(AGENT, root="/opt")}, engine=True, keep_data=True),
        run(hosts("agent-1"), engine=True, keep_data=True),
        run({"agent-1": info(AGENT, root="/opt")}, keep_data=True),
    ),
    (
        "did not install Docker",
        run({"agent-1": info(AGENT, managed=False)}, engine=True),
        run({"agent-1": info(AGENT, managed=False)}),
    ),
    ("nothing to remove", run({"agent-1": info()}), run({})),
    ("has nothing of the fleet", run({"old": info()}), run({})),
    ("two nodes with one key block each other", site([], RUNS), site([], {"containers": []})),
    ("data of an earlier deployment", site([NODE], data()), site([NODE], data(data={"path": "/x", "schemas": {}}))),
    ("was not removed from the host", status(section=True), status()),
    ("not in a group of the fleet any more", status(outside=True), status()),
)
