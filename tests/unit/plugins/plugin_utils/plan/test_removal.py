# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What remove.yml and reset.yml remove, and what they refuse before anything is touched."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.differences import plan_text
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.removal import (
    RemovalPlan,
    Request,
    remaining_sources,
    remains,
    removal_groups,
    removal_plan,
)

NODE, BROKER, AGENT = "prover_node", "prover_broker", "prover_agent"
FLEET: dict[str, Any] = {
    "inventory": "lab",
    "broker": {
        "host": "node-1",
        "admitted": ["10.0.0.1/32", "10.0.0.11/32", "10.0.0.12/32", "10.9.0.0/16"],
        "other_sources": ["10.9.0.0/16"],
    },
    "node": {"host": "node-1"},
    "hosts": {
        "node-1": {"components": [NODE, BROKER], "addresses": ["10.0.0.1"]},
        "agent-1": {"components": [AGENT], "addresses": ["10.0.0.11"]},
        "agent-2": {"components": [AGENT], "addresses": ["10.0.0.12"]},
    },
}
DATA = {NODE: "data", BROKER: "data", AGENT: "crs"}


def component(name: str) -> dict[str, Any]:
    """Return the arguments that remove a component."""
    directory = f"/opt/aztec/{name.replace('_', '-')}"
    return {
        "project": f"aztec-{name.replace('_', '-')}",
        "directory": directory,
        "directories": [f"{directory}/{DATA[name]}"],
        "guard_section": name,
    }


COMPONENTS = {name: component(name) for name in (AGENT, NODE, BROKER)}


def info(*names: str, data: bool = True, **changes: Any) -> dict[str, Any]:
    """Return the host info of a host with components. changes: to the engine, or to the whole."""
    own = [component(name) for name in names]
    projects = {
        one["project"]: {
            "containers": [{"name": one["project"][6:]}],
            "inventories": ["lab"],
            "compared": {"files": {"compose.yml": "x"}},
        }
        for one in own
    }
    directories = [one["directory"] for one in own] + [path for one in own for path in one["directories"] if data]
    engine = {"serves": True, "managed": True, "source": "docker.io", "volumes": []}
    engine.update(root="/var/lib/docker", containerd_root="/var/lib/containerd")
    engine["containers"] = [{"name": one["project"][6:], "project": one["project"]} for one in own]
    engine.update({name: changes.pop(name) for name in list(changes) if name in engine})
    found = {
        "projects": projects, "directories": directories, "engine": engine, "busy_projects": [],
        "guard": {"section_texts": dict.fromkeys(names, "{}")},
    }
    return {**found, **changes}


def hosts(*names: str, **changes: Any) -> dict[str, Any]:
    """Return the host info of the hosts of a run, by default of the whole fleet. Changes by host, with _ for -."""
    found = {"node-1": info(NODE, BROKER), "agent-1": info(AGENT), "agent-2": info(AGENT)}
    found = {name: found[name] for name in names or found}
    return {**found, **{name.replace("_", "-"): one for name, one in changes.items()}}


def planned(found: dict, **words: Any) -> RemovalPlan:
    return removal_plan(Request(**words), found, dict.fromkeys(found, COMPONENTS), FLEET)


def lines(found: dict, **words: Any) -> list[str]:
    """Return the problems of a removal, each as 'level host variable: wrong: remedy'."""
    problems = planned(found, **words).problems
    return [f"{one.level} {one.host} {one.variable}: {one.wrong}: {one.remedy}" for one in problems]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, {"containers": ["prover-agent"], "files": ["/opt/aztec/prover-agent"], "guard": [AGENT],
              "data": ["/opt/aztec/prover-agent/crs"]}),
        ({"data": False}, {"containers": ["prover-agent"], "files": ["/opt/aztec/prover-agent"], "guard": [AGENT],
                           "data": []}),
        ({"projects": {}}, {"containers": [], "files": [], "guard": [AGENT], "data": ["/opt/aztec/prover-agent/crs"]}),
        ({"projects": {"aztec-prover-agent": {"compared": {"files": {}, "directories": ["/opt/aztec/x/.stack"]}}}},
         {"containers": [], "files": ["/opt/aztec/prover-agent"], "guard": [AGENT],
          "data": ["/opt/aztec/prover-agent/crs"]}),
        ({"guard": {"section_texts": {BROKER: "{}"}}, "directories": []},
         {"containers": ["prover-agent"], "files": [], "guard": [], "data": []}),
    ],
)
def test_what_remains_of_a_component(changes: dict, found: dict) -> None:
    assert remains(info(AGENT, **changes), COMPONENTS[AGENT]) == found


def test_an_agent_is_removed() -> None:
    plan = planned(hosts("agent-1"))
    assert plan.removed == {"agent-1": [AGENT]}
    assert plan.lines == {"agent-1": {AGENT: [
        "remove prover-agent", "remove the files in /opt/aztec/prover-agent", "remove its section of the port guard",
        "remove the data in /opt/aztec/prover-agent/crs",
    ]}}
    assert (plan.confirmation, plan.problems) == ("agent-1", [])
    assert remaining_sources(FLEET, plan.removed) == ["10.0.0.1/32", "10.0.0.12/32", "10.9.0.0/16"]


@pytest.mark.parametrize(
    ("names", "words", "confirmation"),
    [
        (("agent-1",), {"keep_data": True}, ""),
        (("node-1",), {"keep_data": True, "components": [BROKER]}, ""),
        (("node-1",), {"keep_data": True}, "node-1"),
        (("agent-1", "agent-2"), {}, "lab"),
        ((), {"reset": True, "limited": False}, "lab"),
        (("agent-1",), {"reset": True}, "lab"),
        (("agent-1",), {"confirm": "agent-1"}, "agent-1"),
    ],
)
def test_what_confirms_a_removal(names: tuple, words: dict, confirmation: str) -> None:
    """Key store and data directories need one. The name of a single host, else that of the inventory."""
    assert planned(hosts(*names), **words).confirmation == confirmation


def test_without_data_nothing_is_confirmed() -> None:
    assert planned({"agent-1": info(AGENT, data=False)}).confirmation == ""
    assert planned({"agent-1": info()}).confirmation == ""


def test_kept_data_is_not_removed_again() -> None:
    """After a removal that kept the data, there is nothing more to do."""
    left = info(AGENT, projects={}, guard={"section_texts": {}})
    plan = planned({"agent-1": left}, keep_data=True)
    assert (plan.removed, plan.lines) == ({"agent-1": []}, {})
    assert planned({"agent-1": left}).lines == {"agent-1": {AGENT: ["remove the data in /opt/aztec/prover-agent/crs"]}}


def test_a_component_of_a_host_that_left_its_group() -> None:
    """The broker of the fleet stays admitted, and a host outside of the groups needs no broker."""
    plan = planned({"old": info(BROKER)}, components=[BROKER])
    assert plan.removed == {"old": [BROKER]}
    assert plan.problems == []
    assert remaining_sources(FLEET, plan.removed) is None


def test_reset_removes_agents_node_and_broker() -> None:
    plan = planned(hosts(agent_1=info(AGENT, managed=False)), reset=True, limited=False, engine=True)
    assert [one.level for one in plan.problems] == ["note"]
    assert plan.removed == {"node-1": [NODE, BROKER], "agent-1": [AGENT], "agent-2": [AGENT]}
    assert plan.lines["agent-2"]["engine"] == ["remove Docker, its settings, images and package sources"]
    assert remaining_sources(FLEET, plan.removed) is None
    groups = {one["host"]: one["groups"] for one in removal_groups(plan)}
    assert groups == {
        "node-1": ["aztec_removal_prover_node", "aztec_removal_prover_broker", "aztec_removal_wait",
                   "aztec_removal_admission", "aztec_removal_engine"],
        "agent-1": ["aztec_removal_prover_agent", "aztec_removal_admission"],
        "agent-2": ["aztec_removal_prover_agent", "aztec_removal_admission", "aztec_removal_engine"],
    }


def test_the_nodes_wait_covers_that_of_a_broker_on_another_host() -> None:
    plan = RemovalPlan(removed={"b": [BROKER], "n": [NODE]}, lines={"b": {BROKER: ["x"]}, "n": {NODE: ["x"]}})
    groups = {one["host"]: one["groups"] for one in removal_groups(plan)}
    assert "aztec_removal_wait" not in groups["b"]
    assert "aztec_removal_wait" in groups["n"]
    only_broker = RemovalPlan(removed={"b": [BROKER]}, lines={"b": {BROKER: ["x"]}})
    assert removal_groups(only_broker) == [
        {"host": "b", "groups": ["aztec_removal_prover_broker", "aztec_removal_wait"]}
    ]


def test_sources_that_another_host_shares_stay() -> None:
    shared = {**FLEET, "hosts": {**FLEET["hosts"], "agent-2": {"components": [AGENT], "addresses": ["10.0.0.11"]}}}
    assert "10.0.0.11/32" in (remaining_sources(shared, {"agent-1": [AGENT]}) or [])
    assert "10.0.0.11/32" not in (remaining_sources(shared, {"agent-1": [AGENT], "agent-2": [AGENT]}) or [])
    manual = {**FLEET, "broker": {**FLEET["broker"], "other_sources": FLEET["broker"]["admitted"]}}
    assert remaining_sources(manual, {"agent-1": [AGENT]}) == FLEET["broker"]["admitted"]


BUSY = info(AGENT, busy_projects=["aztec-prover-agent"])
OTHER = info(AGENT)
OTHER["projects"]["aztec-prover-agent"]["inventories"] = ["prod"]
FOREIGN = info(AGENT, volumes=["v"])
FOREIGN["engine"]["containers"].append({"name": "web", "project": ""})


@pytest.mark.parametrize(
    ("found", "words", "expected"),
    [
        (hosts(), {"limited": False},
         ["error the run --limit: is not set: name the hosts to remove, or run reset.yml to remove the whole fleet"]),
        (hosts("node-1"), {},
         ["error node-1 prover_broker: is the broker of agent-1, agent-2: remove these as well, or move the broker to "
          "another host of the inventory first"]),
        (hosts("node-1"), {"components": [BROKER]},
         ["error node-1 prover_broker: is the broker of node-1, agent-1, agent-2: remove these as well, or move the "
          "broker to another host of the inventory first"]),
        (hosts("node-1"), {"components": [NODE]}, []),
        (hosts("agent-1", "agent-2"), {},
         ["warning the fleet prover_agent: no agent remains, so that no epoch is proven: add an agent and run "
          "site.yml"]),
        (hosts("agent-1"), {"confirm": "agent-2"},
         ["error the run confirm: does not match, because the run removes data of 1 host: check the hosts in the plan, "
          "then set confirm=agent-1"]),
        (hosts("agent-1"), {"confirm": "agent-2", "keep_data": True}, []),
        (hosts("agent-1", agent_2=None), {},
         ["left out agent-2 the host: is unreachable: run again when it is reachable; if the machine is lost, "
          "delete it from the inventory and run site.yml, which ends its admission at the broker"]),
        ({"agent-2": None}, {},
         ["error agent-2 the host: is unreachable: run again when it is reachable; if the machine is lost, "
          "delete it from the inventory and run site.yml, which ends its admission at the broker"]),
        ({"agent-1": BUSY}, {},
         ["error agent-1 prover_agent: another run is changing it: run again after that run ends"]),
        ({"agent-1": OTHER}, {},
         ["error agent-1 prover_agent: is managed by the inventory prod, and this one is lab: use that inventory, set "
          "aztec_instance for a second prover, or set aztec_inventory_name: prod if this is the same inventory under a "
          "new name"]),
        ({"agent-1": info(AGENT, serves=False)}, {},
         ["error agent-1 Docker: is not usable on this host: start it, then run the same command again"]),
        ({"agent-1": info(AGENT, serves=False, source="none")}, {}, []),
        ({"agent-1": FOREIGN}, {"engine": True},
         ["error agent-1 remove_engine: Docker is still needed for container web, volume v: remove them, or run "
          "without remove_engine"]),
        ({"agent-1": FOREIGN}, {}, []),
        ({"node-1": info(NODE, BROKER)}, {"engine": True, "components": [NODE]},
         ["error node-1 remove_engine: Docker is still needed for container prover-broker: remove them, or run without "
          "remove_engine"]),
        ({"agent-1": info(AGENT, managed=False)}, {"engine": True},
         ["note agent-1 remove_engine: has no effect, because this collection did not install Docker on this host: "
          "remove Docker there yourself if you do not need it"]),
        ({"agent-1": info()}, {}, ["note agent-1 the host: nothing to remove: delete it from the inventory"]),
        ({"spare": info()}, {}, ["note spare the host: has nothing of the fleet: delete it from the inventory"]),
        ({"agent-1": info()}, {"engine": True}, []),
        (hosts(), {"components": [AGENT], "reset": True},
         ["warning the fleet prover_agent: no agent remains, so that no epoch is proven: add an agent and run "
          "site.yml"]),
    ],
)
def test_problems(found: dict, words: dict, expected: list) -> None:
    """A removal with an error touches nothing. One dead agent does not block the others."""
    assert lines(found, **words) == expected


# (root, containerd_root, components of the host, options, the directories that would be removed with Docker)
CRS = "/opt/aztec/prover-agent/crs"
ROOTS = [
    ("/opt", "/x", (AGENT,), {}, []),
    ("/opt", "/x", (AGENT,), {"keep_data": True}, [("/opt", CRS)]),
    ("/x", "/opt/aztec/", (AGENT,), {"keep_data": True}, [("/opt/aztec/", CRS)]),
    ("/op", "/opt/aztec/prover-agent/crs/x", (AGENT,), {"keep_data": True}, []),
    ("/opt", "/x", (AGENT,), {"components": [NODE]}, [("/opt", CRS), ("/opt", "/opt/aztec/prover-agent")]),
]


@pytest.mark.parametrize(("root", "containerd", "names", "words", "kept"), ROOTS)
def test_docker_is_not_removed_with_data_that_is_kept(
    root: str, containerd: str, names: tuple, words: dict, kept: list
) -> None:
    """Its directories are removed with all of their content."""
    found = info(*names, root=root, containerd_root=containerd)
    found["engine"]["containers"] = []
    problems = planned({**hosts("node-1"), "agent-1": found}, engine=True, **words).problems
    assert [one.wrong for one in problems if one.host == "agent-1" and "of Docker, which" in one.wrong] == [
        f"removes {one} of Docker, which contains {path}, and that is kept" for one, path in kept
    ]


def test_a_host_that_is_left_out_has_no_part() -> None:
    plan = planned(hosts("agent-1", agent_2=BUSY))
    assert plan.absent == {"agent-2": "another run is changing it"}
    assert list(plan.removed) == list(plan.lines) == ["agent-1"]
    fleet = {**FLEET, "hosts": {**FLEET["hosts"], "agent-2": {**FLEET["hosts"]["agent-2"], "left_out": "x is wrong"}}}
    found = hosts("agent-1", "agent-2")
    plan = removal_plan(Request(), found, dict.fromkeys(found, COMPONENTS), fleet)
    assert plan.absent == {"agent-2": "x is wrong"}


def shared_with_monitor() -> tuple[dict, dict]:
    """Return the host info of an agent's host with a monitor and metrics, and the components of each host."""
    monitor = {
        "project": "aztec-prover-monitor",
        "directory": "/opt/aztec/prover-monitor",
        "directories": ["/opt/aztec/prover-monitor/data"],
        "guard_section": "prover_monitor",
    }
    metrics = {"project": "x", "directory": "/usr/local/lib/x", "directories": [], "guard_section": "host_metrics"}
    found = info(AGENT)
    found["projects"]["aztec-prover-monitor"] = {"containers": [{"name": "prover-monitor-grafana"}]}
    found["guard"]["section_texts"].update(prover_monitor="{}", host_metrics="{}")
    found["directories"] += ["/opt/aztec/prover-monitor", "/opt/aztec/prover-monitor/data"]
    components = {"agent-1": {**COMPONENTS, "prover_monitor": monitor, "metrics": metrics}}
    return found, {host: components["agent-1"] for host in FLEET["hosts"]}


def test_a_monitor_and_the_metrics_are_removed_with_their_host() -> None:
    """The metrics have no project: their guard section shows that they exist."""
    found, components = shared_with_monitor()
    plan = removal_plan(Request(), {"agent-1": found}, components, FLEET)
    assert plan.removed == {"agent-1": [AGENT, "prover_monitor", "metrics"]}
    assert plan.lines["agent-1"]["metrics"] == ["remove its section of the port guard"]
    assert "remove prover-monitor-grafana" in plan.lines["agent-1"]["prover_monitor"]
    assert plan_text(plan.lines)
    plan = removal_plan(Request(components=[AGENT]), {"agent-1": found}, components, FLEET)
    assert plan.removed == {"agent-1": [AGENT]}


@pytest.mark.parametrize(
    ("chosen", "removed"),
    [((AGENT,), [AGENT]), ((AGENT, "prover_monitor"), [AGENT, "prover_monitor", "metrics"]), ((NODE,), [])],
)
def test_the_metrics_are_removed_with_the_last_component(chosen: tuple[str, ...], removed: list[str]) -> None:
    found, components = shared_with_monitor()
    plan = removal_plan(Request(components=chosen), {**hosts(), "agent-1": found}, components, FLEET)
    assert plan.removed["agent-1"] == removed


def test_an_unreachable_monitor_does_not_end_a_removal() -> None:
    fleet = {**FLEET, "hosts": {**FLEET["hosts"], "monitor-1": {"components": ["prover_monitor"], "addresses": []}}}
    infos = {**hosts("agent-1"), "monitor-1": None}
    plan = removal_plan(Request(), infos, {host: COMPONENTS for host in infos}, fleet)
    assert [(one.level, one.host) for one in plan.problems] == [("left out", "monitor-1")]
