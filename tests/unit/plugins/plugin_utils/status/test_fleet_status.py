# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The problems and notes of a fleet, and states that are not a problem."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import RELEASES
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.fleet_status import (
    HEADS,
    duration,
    fleet_report,
    report_table,
)
from eth_utils import keccak

NOW = 1795405649.0
DIGEST = "aztecprotocol/aztec@sha256:d240b4af35189421c515ae0b12b670427ced177fcc16bfcc48c59b1e73a25600"
HEADERS = {
    "x-aztec-packageversion": "4.1.2",
    "x-aztec-l2circuitsvktreeroot": "0x1dd2644a",
    "x-aztec-l2protocolcontractshash": "0x2672340d",
}
FLEET = {
    "version": "4.1.2",
    "line": "4",
    "hosts": {
        "node-1": {"components": ["prover_node", "prover_broker"], "images": ["aztecprotocol/aztec:4.1.2"]},
        "agent-1": {
            "components": ["prover_agent"],
            "images": ["aztecprotocol/aztec:4.1.2"],
            "agents": {"count": 1, "separate": False},
        },
    },
}


def container(service, **more):
    """Return a container of a service as host_info returns a healthy one."""
    shown = {
        "service": service,
        "name": service,
        "id": "1",
        "image": "aztecprotocol/aztec:4.1.2",
        "image_id": "sha256:aa",
        "image_digests": [DIGEST],
        "state": "running",
        "health": "healthy",
        "restarts": 0,
        "started_at": "2026-11-23T02:46:32.051416319Z",
        "exit_code": 0,
        "oom_killed": False,
        "log_error": "",
        "status": {"code": 200, "body": "OK", "headers": dict(HEADERS), "error": ""},
        "rpc": {},
    }
    if service == "prover-node":
        shown["rpc"] = {"node_getL2Tips": {}}
        shown["tips"] = {"block": 14, "proven_block": 2, "checkpoint": 14, "proven_checkpoint": 2}
        shown["l1"] = {"block": 123, "unit": "checkpoint", "pending": 14, "proven": 2, "error": ""}
        shown["synced"] = 14
    if service.startswith("prover-agent"):
        shown["rpc"] = {"agent_getStatus": {"status": "proving"}}
        shown["broker_contact"] = {
            "at": NOW - 1,
            "seconds_ago": 1.0,
            "source": "connection",
            "state": "ok",
            "error": "",
            "host": "10.0.0.1",
            "port": 8080,
        }
    shown.update(more)
    return shown


def host_info(components, *containers):
    """Return the host info of a host with these components and containers."""
    projects = {f"aztec-{name}": {"containers": []} for name in ("prover-node", "prover-broker", "prover-agent")}
    for item in containers:
        projects[f"aztec-{item['service'].rstrip('-0123456789')}"]["containers"].append(item)
    return {
        "time": NOW,
        "hardware": {"vcpus": 128, "memory_bytes": 256 * 1000**3},
        "engine": {"serves": True, "error": "", "rules": True},
        "guard": {
            **{"installed": True, "loaded": True, "enabled": True, "sections": list(components), "owner": "guard"},
            **{"outdated": False, "problems": [], "saved_rulesets": [], "table_problem": ""},
        },
        "projects": projects,
    }


def fleet(node=None, broker=None, agent=None):
    """Return the host info of a whole fleet, with these changes to its containers."""
    return {
        "node-1": host_info(
            ["prover_node", "prover_broker"],
            container("prover-node", **(node or {})),
            container("prover-broker", **(broker or {})),
        ),
        "agent-1": host_info(["prover_agent"], container("prover-agent", **(agent or {}))),
    }


NO_ANSWER = {"code": None, "body": "", "headers": {}, "error": "connection refused"}
OLD = "2026-11-22T03:46:29Z"
JUST_NOW = "2026-11-23T03:46:29Z"


def test_healthy_fleet():
    """A healthy fleet has neither problems nor notes, and its table names all components."""
    report = fleet_report(fleet(), FLEET)
    assert (report.problems, report.notes) == ([], [])
    text = report_table(report)
    for word in ("node-1", "prover_broker", "aztec:4.1.2 d240b4af3518", "14 of 14, 2 proven", "1 s ago", "proving"):
        assert word in text


LOST = {
    "at": NOW - 300,
    "seconds_ago": 300.0,
    "source": "connection",
    "state": "lost",
    "error": "ECONNREFUSED",
    "host": "10.0.0.1",
    "port": 8080,
}


PLACES = {
    "node": ("node-1", "prover_node"),
    "broker": ("node-1", "prover_broker"),
    "agent": ("agent-1", "prover_agent"),
}


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        ("agent", {"state": "exited", "exit_code": 1, "log_error": "no host"}, "see its last log lines): no host"),
        ("agent", {"state": "exited", "exit_code": 79}, "update needed"),
        ("agent", {"state": "exited", "exit_code": 137, "oom_killed": True}, "out of memory"),
        ("agent", {"state": "restarting", "exit_code": 1}, "is restarting"),
        ("broker", {"restarts": 3, "started_at": JUST_NOW}, "restarted 3 times, last 60 s ago"),
        ("broker", {"health": "unhealthy"}, "is unhealthy"),
        ("broker", {"status": {**NO_ANSWER, "code": 500, "error": ""}}, "responds with 500"),
        ("broker", {"status": NO_ANSWER}, "does not respond at /status (connection refused)"),
        ("agent", {"health": "starting", "status": NO_ANSWER}, "does not respond"),
        ("agent", {"health": "", "status": {**NO_ANSWER, "error": "timed out"}, "started_at": OLD}, "does not respond"),
        ("agent", {"image": "aztecprotocol/aztec:4.1.1"}, "run site.yml"),
        ("agent", {"image_digests": ["aztecprotocol/aztec@sha256:ff"]}, "another image than on node-1"),
        ("agent", {"rpc": {"agent_getStatus": {"status": "stopped"}}}, "an agent in it is stopped"),
        ("agent", {"rpc": {"agent0_getStatus": "running", "agent1_getStatus": {"error": "x"}}}, "does not respond"),
        ("agent", {"broker_contact": LOST}, "last seen 5 min ago (ECONNREFUSED)"),
        ("agent", {"broker_contact": {**LOST, "at": None, "seconds_ago": None, "error": ""}}, "never seen"),
        ("agent", {"broker_contact": None}, "does not have a broker"),
        ("node", {"l1": {"pending": None, "proven": None, "error": "URL 1: timed out"}}, "queried: URL 1: timed out"),
        ("node", {"rpc": {"node_getL2Tips": {"error": "refused"}}}, "does not report its tips"),
        ("node", {"health": "unhealthy", "status": NO_ANSWER, "synced": None}, "is unhealthy"),
    ],
)
def test_problems(part, changes, words):
    """Report one fault where it is, in one line, and nothing on other components."""
    report = fleet_report(fleet(**{part: changes}), FLEET)
    assert {item[:2] for item in report.problems} == {PLACES[part]}
    assert any(words in item[2] for item in report.problems), report.problems
    assert all("\n" not in item[2] for item in report.problems)


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        (
            {"node": {"health": "starting", "status": NO_ANSWER, "tips": {}, "rpc": {}, "synced": 5}},
            "node is syncing, checkpoint 5 of 14",
        ),
        (
            {"node": {"health": "unhealthy", "status": NO_ANSWER, "tips": {}, "rpc": {}, "synced": 5}},
            "node is syncing, checkpoint 5 of 14",
        ),
        (
            {"node": {"health": "starting", "status": NO_ANSWER, "tips": {}, "rpc": {}, "synced": None}},
            "node is syncing, checkpoint ? of 14",
        ),
        ({"node": {"tips": {"block": 30, "checkpoint": 4}}}, "node is syncing, checkpoint 4 of 14"),
        (
            {
                "node": {
                    "tips": {"block": 8, "checkpoint": None},
                    "l1": {"block": 1, "unit": "block", "pending": 90, "proven": 2, "error": ""},
                }
            },
            "node is syncing, block 8 of 90",
        ),
        (
            {"agent": {"health": "starting", "status": NO_ANSWER, "started_at": JUST_NOW, "broker_contact": LOST}},
            "is starting, for 60 s now",
        ),
        ({"node": {"tips": {"block": 13, "checkpoint": 13}}}, None),
        (
            {"agent": {"status": {**NO_ANSWER, "error": "timed out"}, "rpc": {}}},
            "is healthy, but too busy to respond at /status",
        ),
        ({"agent": {"rpc": {"agent_getStatus": {"error": "timed out"}}}}, None),
        ({"node": {"rpc": {"node_getL2Tips": {"error": "timed out"}}}}, "is busy and did not report its tips"),
        ({"broker": {"restarts": 3}}, None),
        ({"agent": {"image_digests": [], "image_id": "sha256:own"}}, None),
    ],
)
def test_no_problems(changes, note):
    """Work that takes time, or a fault that is over, is not a problem."""
    report = fleet_report(fleet(**changes), FLEET)
    assert report.problems == []
    assert [item[2] for item in report.notes] == ([note] if note else [])


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_versions_differ(name):
    """If the versions of an agent and the broker differ, report the agent."""
    headers = {**HEADERS, name: "0x9"}
    report = fleet_report(fleet(agent={"status": {"code": 200, "body": "OK", "headers": headers, "error": ""}}), FLEET)
    assert [item[:2] for item in report.problems] == [("agent-1", "prover_agent")]
    assert name in report.problems[0][2]


RESTART = "run systemctl restart aztec-port-guard on the host"
FILE = "/etc/aztec-port-guard/x.json was changed by somebody else"
SAVED = {"saved_rulesets": ["/etc/nftables.conf"]}


@pytest.mark.parametrize(
    ("guard", "problem", "cell"),
    [
        pytest.param({}, "", "owned", id="owned"),
        pytest.param({"owner": "watch"}, "", "watched", id="watched"),
        pytest.param(SAVED, "", "owned", id="in_a_saved_ruleset"),
        pytest.param({"sections": ["other", "prover_agent"]}, "", "owned", id="with_another_section"),
        pytest.param(
            {"installed": False, "loaded": False, "enabled": False, "sections": [], "owner": ""},
            "the port guard is not installed: run site.yml",
            "NOT LOADED",
            id="nothing",
        ),
        pytest.param(
            {"loaded": False, "owner": "", "table_problem": "it is refused"},
            "the state of the port guard is unknown: it is refused",
            "NOT LOADED",
            id="the_kernel_does_not_answer",
        ),
        pytest.param(
            {"loaded": False, "owner": ""},
            f"the port guard's tables are missing: {RESTART}",
            "NOT LOADED",
            id="no_table",
        ),
        pytest.param(
            {"owner": "none"},
            f"the port guard's tables do not have an owner, so that a flush would remove them: {RESTART}",
            "NO OWNER",
            id="no_owner",
        ),
        pytest.param(
            {"owner": "process 9 (x)"},
            f"the port guard's table belongs to process 9 (x): end that process, then {RESTART}",
            "FOREIGN",
            id="another_owner",
        ),
        pytest.param(
            {"problems": [FILE, "y"]}, f"{FILE}: delete the file, then run site.yml", "OUTDATED", id="no_section_file"
        ),
        pytest.param(
            {"sections": ["prover_node"]},
            "the port guard does not have a section for this component: run site.yml",
            "NO SECTION",
            id="no_section",
        ),
        pytest.param(
            {"outdated": True},
            "the port guard's rules differ from its sections: run site.yml",
            "OUTDATED",
            id="other_rules",
        ),
        pytest.param(
            {"enabled": False},
            "the port guard is not enabled and does not start after a reboot: run site.yml",
            "owned",
            id="not_enabled",
        ),
    ],
)
def test_guard(guard, problem, cell):
    """Each reason why ports are open, now or after a reboot, and its word in the table."""
    host_infos = fleet()
    host_infos["agent-1"]["guard"].update(guard)
    report = fleet_report(host_infos, FLEET)
    assert report.problems == ([("agent-1", "prover_agent", problem)] if problem else [])
    assert [row[HEADS.index("GUARD")] for row in report.rows] == ["owned", "owned", cell]


def test_an_engine_without_its_rules():
    """Containers of an engine whose rules were flushed reach nothing, and are healthy otherwise."""
    host_infos = fleet()
    host_infos["agent-1"]["engine"]["rules"] = False
    (problem,) = fleet_report(host_infos, FLEET).problems
    assert problem[:2] == ("agent-1", "prover_agent")
    assert problem[2].startswith("Docker's firewall rules are missing")


def test_lost_host():
    """A host without host info has a row and a problem."""
    host_infos = {**fleet(), "agent-1": "could not be reached"}
    report = fleet_report(host_infos, FLEET)
    assert report.problems == [("agent-1", "prover_agent", "could not be reached")]
    assert "UNREACHABLE" in report_table(report)


@pytest.mark.parametrize(
    ("serves", "words"), [(True, "does not have a container"), (False, "does not respond (no response)")]
)
def test_missing(serves, words):
    """No container: of the engine or of the component."""
    host_infos = fleet()
    host_infos["agent-1"] = host_info(["prover_agent"])
    host_infos["agent-1"]["engine"]["serves"] = serves
    report = fleet_report(host_infos, FLEET)
    assert [item[0] for item in report.problems] == ["agent-1"]
    assert words in report.problems[0][2]
    assert "MISSING" in report_table(report)


def test_left_over():
    """Name a component that runs on a host where the inventory no longer has it, with the remedy."""
    host_infos = fleet()
    host_infos["agent-1"]["projects"]["aztec-prover-broker"]["containers"].append(container("prover-broker"))
    report = fleet_report(host_infos, FLEET)
    assert [item[:2] for item in report.problems] == [("agent-1", "prover_broker")]
    assert report.problems[0][2] == (
        "runs on a host that is not in its group: run remove.yml --limit agent-1 -e aztec_components=prover_broker, or "
        "add the host to the group"
    )
    assert ("agent-1", "prover_broker") in [row[:2] for row in report.rows]


def test_left_over_without_a_container():
    """Its section of the port guard is enough. Another prover's section is not left over from this one."""
    host_infos = fleet()
    sections = ("prover_broker", "prover_agent", "b_prover_node")
    host_infos["agent-1"]["guard"]["section_texts"] = dict.fromkeys(sections, "{}")
    report = fleet_report(host_infos, FLEET)
    assert [item[:2] for item in report.problems] == [("agent-1", "prover_broker")]
    assert report.problems[0][2].startswith("was not removed from the host: run remove.yml --limit agent-1 ")


def test_hosts_outside_of_the_groups():
    """Those that still have something of this prover are a note with the command that removes it."""
    old = host_info(["prover_agent"])
    old["projects"]["aztec-prover-agent"]["containers"].append(container("prover-agent"))
    section = {**host_info([]), "guard": {"section_texts": {"prover_node": "{}", "prover_agent": "{}"}}}
    clean = {**host_info([]), "guard": {"section_texts": {"b_prover_agent": "{}"}}}
    report = fleet_report(fleet(), FLEET, {"old": old, "half": section, "clean": clean})
    text = "not in a group of the fleet any more, but not removed: run remove.yml --limit"
    assert report.problems == []
    assert report.notes == [
        ("old", "prover_agent", f"{text} old"), ("half", "prover_node, prover_agent", f"{text} half"),
    ]


@pytest.mark.parametrize("count", [2, "auto"])
@pytest.mark.parametrize(
    ("services", "problems"),
    [
        (["prover-agent-1", "prover-agent-2"], []),
        (["prover-agent-2"], [("prover_agent 1", "does not have a container: run site.yml")]),
        (
            ["prover-agent-1", "prover-agent-2", "prover-agent-3"],
            [("prover_agent 3", "is not in the inventory: run site.yml")],
        ),
        (
            ["prover-agent"],
            [
                ("prover_agent 1", "does not have a container: run site.yml"),
                ("prover_agent 2", "does not have a container: run site.yml"),
                ("prover_agent", "is not in the inventory: run site.yml"),
            ],
        ),
    ],
)
def test_agents_in_containers_of_their_own(count, services, problems):
    """Each has a row of its own, and the inventory defines the expected ones."""
    wanted = copy.deepcopy(FLEET)
    wanted["hosts"]["agent-1"]["agents"] = {"count": count, "separate": True}
    host_infos = {"agent-1": host_info(["prover_agent"], *(container(service) for service in services))}
    report = fleet_report(host_infos, wanted)
    assert report.problems == [("agent-1", *problem) for problem in problems]
    names = {row[1] for row in report.rows}
    assert names >= {"prover_agent 1", "prover_agent 2"} and len(names) == len(report.rows)


@pytest.mark.parametrize(
    ("state", "notes", "problem"),
    [
        ({"state": "exited"}, [], ""),
        ({"state": "running"}, ["waits for the CRS, which is being fetched"], ""),
        ({"state": "exited", "exit_code": 1}, [], "prover-agent-crs that fetches the CRS is exited with exit code 1"),
        ({"state": "created"}, [], "prover-agent-crs that fetches the CRS is created"),
    ],
)
def test_seed(state, notes, problem):
    """The container that downloads the CRS does not have a row. It is named if it blocks the agents."""
    host_infos = fleet()
    seed = container("prover-agent-crs", health="", **state)
    host_infos["agent-1"]["projects"]["aztec-prover-agent"]["containers"].append(seed)
    report = fleet_report(host_infos, FLEET)
    assert [note[2] for note in report.notes] == notes
    assert [problem in item[2] for item in report.problems] == ([True] if problem else [])
    assert len(report.rows) == 3


@pytest.mark.parametrize("body", ["OK", '{"status":"ok","checks":{}}', ""])
def test_any_body_of_a_status_is_accepted(body):
    """Release lines differ in what /status returns with 200."""
    status = {"code": 200, "body": body, "headers": dict(HEADERS), "error": ""}
    report = fleet_report(fleet(broker={"status": status}), FLEET)
    assert (report.problems, report.notes) == ([], [])


def test_versions_differ_in_one_of_several_containers():
    """The line names the container."""
    wanted = copy.deepcopy(FLEET)
    wanted["hosts"]["agent-1"]["agents"] = {"count": 2, "separate": True}
    headers = {**HEADERS, "x-aztec-packageversion": "9"}
    other = container("prover-agent-2", status={"code": 200, "body": "OK", "headers": headers, "error": ""})
    report = fleet_report({"agent-1": host_info(["prover_agent"], container("prover-agent-1"), other)}, wanted)
    assert [item[:2] for item in report.problems] == [("agent-1", "prover_agent 2")]


def test_part_of_the_fleet():
    """With a limit, only hosts of the run are compared."""
    host_infos = {"agent-1": copy.deepcopy(fleet()["agent-1"])}
    assert fleet_report(host_infos, FLEET).problems == []


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        (-1, "0 s"),
        (0.4, "0 s"),
        (59, "59 s"),
        (61, "61 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7300, "2 h"),
        (90000, "25 h"),
        (180000, "2 d"),
    ],
)
def test_age(seconds, wanted):
    """In the largest unit of which there are at least two."""
    assert duration(seconds) == wanted


ROLLUP, NEXT = "0x" + "32" * 20, "0x" + "99" * 20
ROOTS = {name: HEADERS[name] for name in sorted(HEADERS) if name != "x-aztec-packageversion"}
L1 = {"block": 123, "unit": "checkpoint", "pending": 14, "proven": 2, "error": "", "rollup": ROLLUP, "roots": ROOTS}
NAMED = {**HEADERS, "x-aztec-l1rollupaddress": ROLLUP}
SAME = (
    "compare 4.1.2 with docs.aztec.network/networks (the node's copy of the network's configuration also contains it): "
    "the network may have upgraded, or may not have upgraded yet"
)
CHANGE = "set aztec_version to what the network runs, with new data directories, and run site.yml"
EARLY = "; if it was started ahead of a hard fork, wait"


def answers(headers=None, **more):
    """Return a /status of 200 with these headers."""
    return {"code": 200, "body": "OK", "headers": headers or {}, "error": "", **more}


def rollup_cells(report) -> dict:
    """Return the cell on the rollup of each component."""
    return {row[1]: row[HEADS.index("ROLLUP")] for row in report.rows}


@pytest.mark.parametrize(
    ("node", "l1", "cells"),
    [
        (NAMED, L1, ("ok", "ok")),
        ({**NAMED, "x-aztec-l1rollupaddress": ROLLUP.upper().replace("0X", "0x")}, L1, ("ok", "ok")),
        # A line whose storage is not known: the node names its rollup, the broker names nothing.
        (NAMED, {**L1, "roots": {}}, ("ok", "not checked")),
        # A line that does not name the rollup, whose storage is known.
        (HEADERS, L1, ("ok", "ok")),
        (HEADERS, {**L1, "roots": {}}, ("not checked", "not checked")),
        (NAMED, {**L1, "rollup": "", "roots": {}}, ("not checked", "not checked")),
    ],
)
def test_rollup_is_the_canonical_one(node, l1, cells):
    """The table shows what was checked. What was not checked is not a problem."""
    report = fleet_report(fleet(node={"status": answers(dict(node)), "l1": l1}), FLEET)
    assert (report.problems, report.notes) == ([], [])
    assert rollup_cells(report) == {"prover_node": cells[0], "prover_broker": cells[1], "prover_agent": "-"}
    assert "ROLLUP" in report_table(report)


def test_node_of_another_rollup():
    """The node that runs names another rollup than the registry; its headers are not compared as well."""
    headers = {**NAMED, "x-aztec-l1rollupaddress": NEXT, "x-aztec-l2circuitsvktreeroot": "0x9"}
    report = fleet_report(fleet(node={"status": answers(headers), "l1": L1}), FLEET)
    (line,) = [item for item in report.problems if "rollup" in item[2]]
    assert line == (
        "node-1",
        "prover_node",
        f"follows the rollup {NEXT}, but the canonical one of the registry is {ROLLUP}: {CHANGE}",
    )
    assert rollup_cells(report)["prover_node"] == "OTHER"


@pytest.mark.parametrize("name", sorted(ROOTS))
def test_running_program_does_not_match_the_storage(name):
    """Node and broker are compared with the rollup, one line each; of long values the beginning is shown."""
    own, theirs = "0x" + "12" * 32, "0x" + "34" * 32
    node, broker = answers({**NAMED, name: own}), answers({**HEADERS, name: own})
    host_infos = fleet(node={"status": node, "l1": {**L1, "roots": {**ROOTS, name: theirs}}}, broker={"status": broker})
    report = fleet_report({"node-1": host_infos["node-1"]}, FLEET)
    wrong = f"{name} is {own[:18]}, but in the canonical rollup {ROLLUP} it is {theirs[:18]}: {CHANGE}"
    assert report.problems == [("node-1", "prover_node", wrong), ("node-1", "prover_broker", wrong)]
    assert rollup_cells(report) == {"prover_node": "OTHER", "prover_broker": "OTHER"}


def test_broker_on_a_host_of_its_own():
    """The node's host queries the L1. With a limit to the broker's host it is not queried."""
    host_infos = fleet(node={"status": answers(dict(NAMED)), "l1": L1}, broker={"status": answers({**HEADERS})})
    broker = host_infos["node-1"]["projects"]["aztec-prover-broker"]["containers"][0]
    apart = {
        "node-1": host_info(["prover_node"], host_infos["node-1"]["projects"]["aztec-prover-node"]["containers"][0]),
        "broker-1": host_info(["prover_broker"], broker),
    }
    wanted = copy.deepcopy(FLEET)
    wanted["hosts"]["node-1"]["components"] = ["prover_node"]
    wanted["hosts"]["broker-1"] = {"components": ["prover_broker"], "images": ["aztecprotocol/aztec:4.1.2"]}
    report = fleet_report(apart, wanted)
    assert (report.problems, rollup_cells(report)["prover_broker"]) == ([], "ok")
    limited = fleet_report({"broker-1": apart["broker-1"], "node-1": "could not be reached"}, wanted)
    assert rollup_cells(limited)["prover_broker"] == "not checked"


def test_pinned_to_a_rollup():
    """A node that is pinned to a rollup follows another one than the canonical."""
    changes = {"status": answers({**NAMED, "x-aztec-l1rollupaddress": NEXT}), "l1": L1, "pinned": True}
    report = fleet_report(fleet(node=changes), FLEET)
    assert (report.problems, rollup_cells(report)["prover_node"]) == ([], "pinned")


MISMATCH = {"what": "VK tree root", "expected": "0x" + "1d" * 32, "got": "0x" + "11" * 32}
STANDBY = {
    "status": answers(post=404),
    "waiting": {"kind": "standby", "rollup": ROLLUP, "mismatches": [MISMATCH]},
    "rpc": {"node_getL2Tips": {"error": "the answer is not JSON"}},
    "tips": {},
    "l1": L1,
}
DIFFERS = (
    f"is in standby and does not work, because the rollup {ROLLUP} differs in VK tree root (its own "
    "0x1d1d1d1d1d1d1d1d, "
    "the rollup's 0x1111111111111111): "
)


@pytest.mark.parametrize("part", ["node", "broker"])
@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, f"{DIFFERS}{CHANGE}{EARLY}"),
        ({"network_version": "4.1.2"}, f"{DIFFERS}{SAME}"),
        ({"network_version": "no version"}, f"{DIFFERS}{CHANGE}{EARLY}"),
        (
            {"network_version": "6.0.0"},
            f"{DIFFERS}set aztec_version to 6.0.0, with new data directories, and run site.yml",
        ),
        (
            {"network_version": "4.2.0"},
            f"{DIFFERS}set aztec_version to 4.2.0, with new data directories, and run site.yml",
        ),
        (
            {"network_version": "2.1.11"},
            f"{DIFFERS}wait until the network, which runs 2.1.11, upgrades to 4.1.2, or set aztec_version to 2.1.11",
        ),
        (
            {"network_version": "4.1.1"},
            f"{DIFFERS}wait until the network, which runs 4.1.1, upgrades to 4.1.2, or set aztec_version to 4.1.1",
        ),
        (
            {"waiting": None},
            "is in standby and does not work, because the rollup is not its own (its log no longer has the reason): "
            f"{CHANGE}{EARLY}",
        ),
    ],
)
def test_standby(part, changes, line):
    """It reports healthy. It is a problem with its remedy, in one line, and a state in the table."""
    report = fleet_report(fleet(**{part: {**STANDBY, **changes}}), FLEET)
    assert report.problems == [(*PLACES[part], line)]
    row = next(row for row in report.rows if row[1] == f"prover_{part}")
    assert (row[3], row[HEADS.index("ROLLUP")], row[HEADS.index("HEALTH")]) == ("STANDBY", "OTHER", "healthy")


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (answers(post=404), "2.1"),
        # A server that is not in standby for one of its three signs.
        (answers(post=400), "4"),
        (answers(post=None), "4"),
        (answers({"x-aztec-packageversion": "4.1.2"}, post=404), "4"),
        ({**answers(post=404), "code": 500}, "4"),
    ],
)
def test_what_is_not_standby(status, line):
    """2.1 has no standby. In the other lines all signs must be there, whatever the log contains."""
    report = fleet_report(fleet(broker={**STANDBY, "status": status}), {**FLEET, "line": line})
    assert [item for item in report.problems if "standby" in item[2]] == []
    assert "STANDBY" not in report_table(report)


def test_agents_have_no_standby():
    report = fleet_report(fleet(agent={**STANDBY, "rpc": {"agent_getStatus": {"status": "running"}}}), FLEET)
    assert [item for item in report.problems if "standby" in item[2]] == []


def test_a_container_that_has_ended_is_not_in_standby():
    report = fleet_report(fleet(broker={**STANDBY, "state": "exited"}), FLEET)
    assert [item[2] for item in report.problems if "standby" in item[2]] == []
    assert report.problems[0][2].startswith("is exited")


@pytest.mark.parametrize(("runs", "wanted"), [("", "what the network runs"), ("6.0.0", "6.0.0"), ("4.1.0", None)])
def test_soft_shutdown(runs, wanted):
    """The status and its headers are those of a node that works. Its log shows that it has stopped."""
    waiting = {"kind": "soft shutdown", "rollup": "", "mismatches": []}
    changes = {"status": answers(dict(NAMED)), "waiting": waiting, "network_version": runs, "l1": L1}
    report = fleet_report(fleet(node=changes), {**FLEET, "line": "5"})
    wrong = "has stopped working, because its rollup is no longer that of the network (soft shutdown): "
    change = f"set aztec_version to {wanted or 'what the network runs'}, with new data directories, and run site.yml"
    assert report.problems == [("node-1", "prover_node", wrong + change)]
    assert next(row for row in report.rows if row[1] == "prover_node")[3] == "SOFT SHUTDOWN"


def test_slots_of_the_rollup():
    """The slots are those that 4.1.2 reads. Other lines do not have any."""
    first = int.from_bytes(keccak(b"aztec.stf.storage"), "big")
    assert RELEASES["4"].rollup_slots == {
        "x-aztec-l2circuitsvktreeroot": hex(first + 3),
        "x-aztec-l2protocolcontractshash": hex(first + 4),
    }
    assert [line for line, release in RELEASES.items() if release.rollup_slots] == ["4"]
    assert [line for line, release in RELEASES.items() if not release.standby] == ["2.1"]


@pytest.mark.parametrize(
    "agent",
    [
        {"state": "exited", "exit_code": 137},
        {"state": "created", "status": {**NO_ANSWER}},
        {"health": "unhealthy"},
        {"restarts": 3, "started_at": JUST_NOW},
        {"image": "aztecprotocol/aztec:4.1.1"},
        None,
    ],
    ids=range(6),
)
def test_a_container_that_another_run_replaces_is_not_a_problem(agent) -> None:
    """It is a note, and only on that component. Without the run it is a problem."""
    host_infos = fleet(agent=agent)
    if agent is None:
        host_infos["agent-1"]["projects"]["aztec-prover-agent"]["containers"] = []
    assert fleet_report(host_infos, FLEET).problems
    host_infos["agent-1"]["busy_projects"] = ["aztec-prover-node"]
    assert fleet_report(host_infos, FLEET).problems
    host_infos["agent-1"]["busy_projects"] = ["aztec-prover-agent"]
    report = fleet_report(host_infos, FLEET)
    assert report.problems == []
    note = "another run is changing it: run verify.yml again after that run ends"
    assert ("agent-1", "prover_agent", note) in report.notes


@pytest.mark.parametrize("status", ["\x1b[31mproving\x1b[0m", "proving\r", "proving\n"])
def test_the_status_of_an_agent_is_printable(status: str) -> None:
    """It also fits the width of a table."""
    text = report_table(fleet_report(fleet(agent={"rpc": {"agent_getStatus": {"status": status}}}), FLEET))
    assert "proving" in text and "\x1b" not in text and "\r" not in text
    text = report_table(fleet_report(fleet(agent={"rpc": {"agent_getStatus": {"status": "x" * 5000}}}), FLEET))
    assert max(map(len, text.splitlines())) < 400


ADMITTING = {
    **FLEET,
    "broker": {"host": "node-1", "admitted": ["10.0.0.0/24", "fd00::1/128"]},
    "hosts": {
        "node-1": {**FLEET["hosts"]["node-1"], "addresses": ["10.0.0.1", "fd00::1"]},
        "agent-1": {**FLEET["hosts"]["agent-1"], "addresses": ["10.0.0.2"]},
    },
}


@pytest.mark.parametrize(
    ("clients", "tried", "gone", "used"),
    [
        pytest.param(["10.0.0.1", "10.0.0.2", "fd00:0:0::1"], [], "", "", id="the fleet's"),
        pytest.param([], ["10.9.0.3"], "10.9.0.3", "", id="tries"),
        pytest.param(["10.9.0.3"], [], "10.9.0.3", "", id="was connected"),
        pytest.param(["10.9.0.3"], ["10.9.0.3", "fd00::9"], "10.9.0.3, fd00::9", "", id="both"),
        pytest.param(["10.0.0.7"], [], "", "10.0.0.7", id="admitted by a network"),
        pytest.param(["10.0.0.7"], ["10.9.0.3"], "10.9.0.3", "10.0.0.7", id="two"),
        pytest.param([], ["10.0.0.7"], "", "", id="tried before it was admitted again"),
        pytest.param(
            [],
            [f"10.9.0.{n}" for n in range(1, 8)],
            "10.9.0.1, 10.9.0.2, 10.9.0.3, 10.9.0.4, 10.9.0.5 and 2 more",
            "",
            id="many",
        ),
        # An address of the host that is not in the inventory.
        pytest.param(["10.0.0.8"], [], "", "", id="another address of a host"),
    ],
)
def test_agents_that_were_removed(clients, tried, gone, used):
    """Name addresses outside of the inventory that use the broker or try to, with a remedy. They are not a problem."""
    host_infos = fleet(broker={"clients": clients})
    host_infos["node-1"]["guard"]["denied"] = tried
    host_infos["agent-1"]["addresses"] = ["10.0.0.8"]
    report = fleet_report(host_infos, ADMITTING)
    stop = (
        "by remove.yml if the host is in the inventory outside of the groups, otherwise with docker compose down in "
        "its directory, /opt/aztec/prover-agent by default"
    )
    wanted = []
    if gone:
        wrong = f"not in the inventory, not admitted, and still trying to reach the broker: {gone}"
        wanted.append(("node-1", "prover_broker", f"{wrong}: stop the agent there, {stop}"))
    if used:
        wrong = f"not in the inventory, admitted by aztec_admit, and using the broker: {used}"
        wanted.append(("node-1", "prover_broker", f"{wrong}: if you removed an agent there, stop it, {stop}"))
    assert (report.problems, report.notes) == ([], wanted)
    assert all(note[2] in report_table(report) for note in wanted)


@pytest.mark.parametrize(
    ("tried", "admitted", "named"),
    [
        pytest.param(["10.8.0.2"], [], [("agent-1", "10.8.0.2")], id="seen on the host"),
        pytest.param(["10.0.0.2"], ["10.0.0.1/32"], [("agent-1", "10.0.0.2")], id="of the inventory, by another list"),
        pytest.param(["10.8.0.1"], [], [("node-1", "10.8.0.1")], id="the node"),
        pytest.param(["10.8.0.2"], ["10.8.0.0/16"], [], id="admitted since"),
    ],
)
def test_hosts_of_the_inventory_that_are_not_admitted(tried: list, admitted: list, named: list) -> None:
    """The remedy is to admit them, and not to stop them."""
    host_infos = fleet()
    host_infos["node-1"]["guard"]["denied"] = tried
    host_infos["node-1"]["addresses"] = ["10.0.0.1", "10.8.0.1"]
    host_infos["agent-1"]["addresses"] = ["10.0.0.2", "10.8.0.2"]
    wanted = {**ADMITTING, "broker": {"host": "node-1", "admitted": admitted or ["10.0.0.0/24"]}}
    remedy = "correct its aztec_address, or add this address to aztec_admit, and run site.yml"
    assert fleet_report(host_infos, wanted).notes == [
        ("node-1", "prover_broker", f"{host} connects from {one}, which is not admitted: {remedy}")
        for host, one in named
    ]


@pytest.mark.parametrize(
    ("clients", "tried", "lines"),
    [
        pytest.param(["10.0.0.1"], [], [], id="the node"),
        pytest.param(["10.9.0.3"], [], ["and using the broker: 10.9.0.3"], id="kept"),
        pytest.param(["10.0.0.7"], [], ["and using the broker: 10.0.0.7"], id="admitted by a network"),
        pytest.param(
            ["10.9.0.3"],
            ["10.9.0.4", "10.9.0.3"],
            ["not admitted, and still trying to reach the broker: 10.9.0.3, 10.9.0.4"],
            id="tries",
        ),
    ],
)
def test_an_unknown_address_is_not_called_removed(clients: list, tried: list, lines: list) -> None:
    host_infos = {**fleet(broker={"clients": clients}), "agent-1": "was left out"}
    host_infos["node-1"]["guard"]["denied"] = tried
    unknown = {**ADMITTING["hosts"], "agent-1": {**FLEET["hosts"]["agent-1"], "addresses": []}}
    remedy = "correct the address of agent-1 if it is there, otherwise stop the agent there, by remove.yml if the host "
    remedy += "is in the inventory outside of the groups, otherwise with docker compose down in its directory, "
    remedy += "/opt/aztec/prover-agent by default"
    assert [note[2] for note in fleet_report(host_infos, {**ADMITTING, "hosts": unknown}).notes] == [
        f"not of a host with a known address, {line}: {remedy}" for line in lines
    ]


def test_an_instance_is_judged_by_its_own_names():
    """With its names everywhere the report is the same; what has names without it belongs to another prover."""
    named = copy.deepcopy(fleet())
    for here in named.values():
        here["projects"] = {name.replace("aztec-", "aztec-main2-"): one for name, one in here["projects"].items()}
        here["guard"]["sections"] = [f"main2_{name}" for name in here["guard"]["sections"]]
    assert fleet_report(named, {**FLEET, "instance": "main2"}).rows == fleet_report(fleet(), FLEET).rows
    report = fleet_report(fleet(), {**FLEET, "instance": "main2"})
    assert [row[3] for row in report.rows] == ["MISSING"] * 3


def test_what_another_inventory_manages_is_not_left_over():
    looks = fleet()
    looks["agent-1"]["projects"]["aztec-prover-broker"]["containers"].append(container("prover-broker"))
    assert len(fleet_report(looks, {**FLEET, "inventory": "prod"}).problems) == 1
    looks["agent-1"]["projects"]["aztec-prover-broker"]["inventories"] = ["lab"]
    assert fleet_report(looks, {**FLEET, "inventory": "prod"}).problems == []


def test_a_component_that_was_stopped_is_not_a_problem() -> None:
    """Its row is `stopped`, with the image of its container."""
    infos = fleet(agent={"state": "exited", "exit_code": 143})
    infos["agent-1"]["projects"]["aztec-prover-agent"]["compared"] = {"stopped": True}
    report = fleet_report(infos, FLEET)
    assert (report.problems, report.notes, report.stopped) == ([], [], 1)
    (row,) = [row for row in report.rows if row[0] == "agent-1"]
    assert row[2:5] == ("aztec:4.1.2 d240b4af3518", "stopped", "-")
    infos["agent-1"]["projects"]["aztec-prover-agent"]["containers"] = []
    assert [row[2:4] for row in fleet_report(infos, FLEET).rows if row[0] == "agent-1"] == [("-", "stopped")]


def test_a_container_that_runs_although_it_was_stopped_is_a_problem() -> None:
    infos = fleet()
    infos["agent-1"]["projects"]["aztec-prover-agent"]["compared"] = {"stopped": True}
    (problem,) = fleet_report(infos, FLEET).problems
    assert problem[2].startswith("runs, although stop.yml stopped it: ")


def monitored(compared=None, **changes):
    """Return the report of a fleet with a monitor on a host of its own, with these changes to its Prometheus."""
    names = ("prometheus", "alertmanager", "grafana", "otlp")
    services = {name: container(name, status=dict(NO_ANSWER)) for name in names}
    services["prometheus"].update(changes)
    found = {**fleet(), "monitor-1": host_info(["prover_monitor"])}
    containers = [one for one in services.values() if one["state"] != "missing"]
    project = {"containers": containers, "compared": compared or {}}
    found["monitor-1"]["projects"]["aztec-prover-monitor"] = project
    return fleet_report(found, {**FLEET, "hosts": {**FLEET["hosts"], "monitor-1": {"components": ["prover_monitor"]}}})


def test_healthy_monitor():
    """Each service of the monitor is a row. It does not respond at /status, which is not a problem."""
    report = monitored()
    assert (report.problems, report.notes) == ([], [])
    assert [row[1] for row in report.rows if row[0] == "monitor-1"] == [
        *("monitor prometheus", "monitor alertmanager", "monitor grafana", "monitor otlp")
    ]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"state": "missing"}, "does not have a container: run site.yml"),
        ({"state": "exited", "exit_code": 137}, "is exited with exit code 137"),
        ({"health": "unhealthy"}, "is unhealthy: see its log"),
    ],
)
def test_problems_of_a_monitor(changes, problem):
    """One line for a service that does not work."""
    ((host, service, text),) = monitored(**changes).problems
    assert (host, service) == ("monitor-1", "monitor prometheus") and text.startswith(problem)


def test_stopped_monitor():
    """stop.yml stopped it: its services are stopped, which is not a problem, unless one runs."""
    report = monitored(compared={"stopped": True}, state="exited")
    assert [(row[1], row[3]) for row in report.rows if row[0] == "monitor-1"] == [
        (f"monitor {name}", "stopped") for name in ("prometheus", "alertmanager", "grafana", "otlp")
    ]
    running = [name for _host, name, text in report.problems if "runs, although stop.yml stopped it" in text]
    assert running == ["monitor alertmanager", "monitor grafana", "monitor otlp"]
    assert report.stopped == 4


@pytest.mark.parametrize("host", ["agent-1", "other"])
def test_monitor_that_left_its_group(host):
    """On a host of the fleet it is a problem, on another host of the inventory a note."""
    containers = [container("grafana", status=dict(NO_ANSWER))]
    infos, others = fleet(), {"other": host_info([])}
    left = (infos if host in infos else others)[host]
    left["projects"]["aztec-prover-monitor"] = {"containers": containers}
    report = fleet_report(infos, FLEET, others)
    lines = report.problems + report.notes
    if host == "other":
        wrong = "not in a group of the fleet any more, but not removed: run remove.yml --limit other"
        assert (report.problems, lines) == ([], [(host, "prover_monitor", wrong)])
    else:
        remedy = "run remove.yml --limit agent-1 -e aztec_components=prover_monitor, or add the host to the group"
        assert lines == [(host, "prover_monitor", f"runs on a host that is not in its group: {remedy}")]
