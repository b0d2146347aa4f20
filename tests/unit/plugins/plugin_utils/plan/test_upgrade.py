# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which components change their version, and downgrades."""

from __future__ import annotations

import json

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan import upgrade as up
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.upgrade import UPGRADE_AGENTS_GROUP, UPGRADE_GROUP

NODE, BROKER, AGENT = "prover_node", "prover_broker", "prover_agent"
FLEET = {"node": {"host": "node-1"}, "broker": {"host": "broker-1"}, "agents": ["agent-1", "agent-2"]}
ALL = ("node-1", "broker-1", "agent-1", "agent-2")


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("aztecprotocol/aztec:4.1.2", "4.1.2"),
        ("registry.test:5000/aztec:v4.1.2", "4.1.2"),
        ("registry.test:5000/aztec:5.0.0-rc.1@sha256:" + "a" * 64, "5.0.0-rc.1"),
        ("registry.test:5000/aztec", ""),
        ("aztec:latest", ""),
        ("aztec@sha256:" + "a" * 64, ""),
        ("sha256:" + "a" * 64, ""),
        ("", ""),
    ],
)
def test_image_version(reference: str, version: str) -> None:
    assert up.image_version(reference) == version


def test_order_of_versions() -> None:
    ordered = ["2.1.11", "4.1.2", "4.1.10", "5.0.0-rc.2", "5.0.0-rc.10", "5.0.0", "5.0.1"]
    assert sorted(reversed(ordered), key=up.version_key) == ordered
    # Texts and numbers can be compared.
    assert up.version_key("5.0.0-nightly.20260101") != up.version_key("5.0.0-1.rc")


def container(version: str, state: str = "running") -> dict:
    return {"image": f"aztec:{version}", "state": state}


def project(
    *containers: dict, good: str = "", schemas: dict | None = None, recorded: dict | None = None, path: str = "/data"
) -> dict:
    state = {"services": {"prover-node": {"image": f"aztec:{good}"}}} if good else {}
    data = {"path": path, "schemas": schemas or {}, "recorded": recorded or {}}
    return {"containers": list(containers), "compared": {"state": state}, "data": data}


@pytest.mark.parametrize(
    ("found", "version"),
    [
        pytest.param({}, "", id="not queried"),
        pytest.param(project(), "", id="new"),
        pytest.param(project(container("4.1.2"), good="4.1.2"), "4.1.2", id="running"),
        pytest.param(project(good="4.1.2"), "4.1.2", id="containers were removed"),
        pytest.param(project(container("4.1.3", "exited"), good="4.1.2"), "4.1.3", id="the new one failed"),
        pytest.param(project(container("latest")), "", id="not a version"),
    ],
)
def test_opened_version(found: dict, version: str) -> None:
    assert up.opened_version(found) == version


@pytest.mark.parametrize(
    ("containers", "changed"),
    [
        pytest.param([container("4.1.2")], [NODE], id="another version"),
        pytest.param([container("4.1.3")], [], id="the same version"),
        pytest.param([container("4.1.2", "exited")], [], id="not running"),
        pytest.param([], [], id="new"),
    ],
)
def test_changed_components(containers: list, changed: list) -> None:
    host_info = {"projects": {"aztec-prover-node": {"containers": containers}}}
    assert up.changed_components({NODE: "aztec:4.1.3"}, host_info, "") == changed
    host_info = {"projects": {"aztec-two-prover-node": {"containers": containers}}}
    assert up.changed_components({NODE: "aztec:4.1.3"}, host_info, "two") == changed
    assert up.changed_components({NODE: "aztec:4.1.3"}, host_info, "") == []


STORES = {"archiver": 5, "world_state": 2}
REFUSED = "/data was opened by 4.1.3, but aztec_version is the older 4.1.2"
CHANGED = "4.1.3 has changed archiver in /data, which 4.1.2 would delete and synchronize again"
UNKNOWN = "it is the first run of 4.1.2 here: what it cannot read in /data, it deletes and synchronizes again"


@pytest.mark.parametrize(
    ("own", "schemas", "recorded", "allowed", "level", "wrong"),
    [
        pytest.param("4.1.3", STORES, {}, False, "", "", id="the same version"),
        pytest.param("4.1.4", STORES, {}, False, "", "", id="a newer version"),
        pytest.param("4.1.2", {}, {}, False, "", "", id="an empty directory"),
        pytest.param("4.1.2", STORES, {"4.1.2": STORES}, False, "error", REFUSED, id="not allowed"),
        pytest.param("4.1.2", STORES, {"4.1.2": STORES}, True, "", "", id="equal schemas"),
        pytest.param("4.1.2", {**STORES, "p2p": 1}, {"4.1.2": STORES}, True, "", "", id="a new store"),
        pytest.param("4.1.2", STORES, {"4.1.2": {"archiver": 4}}, True, "error", CHANGED, id="a changed schema"),
        pytest.param("4.1.2", STORES, {"4.1.2": {"archiver": 4}}, False, "error", CHANGED, id="changed, not allowed"),
        pytest.param("4.1.2", STORES, {"4.1.2": {"archiver": 6}}, True, "", "", id="an older schema, from a backup"),
        pytest.param("4.1.2", STORES, {}, True, "warning", UNKNOWN, id="a version that never ran"),
        pytest.param("4.1.2", STORES, {}, False, "error", REFUSED, id="never ran, not allowed"),
        pytest.param(
            "2.1.11", STORES, {"2.1.11": STORES}, True, "error",
            "/data was opened by 4.1.3, which is of another release line than 2.1.11", id="another line",
        ),
    ],
)
def test_downgrades(own: str, schemas: dict, recorded: dict, allowed: bool, level: str, wrong: str) -> None:
    """allowed: aztec_allow_downgrade."""
    found = project(container("4.1.3"), good="4.1.3", schemas=schemas, recorded=recorded)
    problems = list(up.downgrade_problems("node-1", NODE, f"aztec:{own}", found, allowed))
    assert [(one.level, one.wrong) for one in problems] == ([(level, wrong)] if wrong else [])


def test_the_whole_way_back() -> None:
    """What an upgrade records permits the way back."""
    before = project(container("4.1.2"), good="4.1.2", schemas=STORES, recorded={"4.1.1": {"archiver": 4}})
    host_info = {"projects": {"aztec-prover-node": before, "aztec-prover-broker": project(container("4.1.2"))}}
    directories = {"aztec-prover-node": "/opt/node", "aztec-prover-broker": "/opt/broker"}
    (record,) = up.schema_records([NODE, BROKER, AGENT], host_info, "", directories)
    assert record["path"] == "/opt/node/.stack/schemas.json"
    recorded = json.loads(record["content"])
    assert recorded == {"4.1.1": {"archiver": 4}, "4.1.2": STORES}
    after = project(container("4.1.3"), good="4.1.3", schemas=STORES, recorded=recorded)
    assert list(up.downgrade_problems("node-1", NODE, "aztec:4.1.2", after, True)) == []
    assert [one.level for one in up.downgrade_problems("node-1", NODE, "aztec:4.1.1", after, True)] == ["error"]


@pytest.mark.parametrize(
    ("changed", "hosts", "wrong"),
    [
        pytest.param({"node-1": [NODE], "broker-1": [BROKER], "agent-1": [AGENT]}, ALL, [], id="all"),
        pytest.param(
            {"node-1": [NODE]}, ("node-1",), ["the node changes its version, but the broker is not part of this run"],
            id="only the node",
        ),
        pytest.param(
            {"broker-1": [BROKER]}, ("broker-1", "agent-1"),
            ["the broker changes its version, but the node is not part of this run"], id="only the broker",
        ),
        pytest.param(
            {"node-1": [NODE], "broker-1": [BROKER]}, ("node-1", "broker-1"),
            ["the broker changes its version, but 2 agents are not part of this run"], id="no agent",
        ),
        pytest.param(
            {"node-1": [NODE]}, ("node-1", "broker-1", "agent-1"),
            ["the node changes its version, but the agent on agent-2 is not part of this run"], id="not all agents",
        ),
        pytest.param({"agent-1": [AGENT]}, ("agent-1", "broker-1"), [], id="an agent that was not reachable before"),
        pytest.param(
            {"agent-1": [AGENT], "agent-2": []}, ("agent-1", "agent-2"),
            ["a running agent changes its version, but the broker is not part of this run"], id="only an agent",
        ),
        pytest.param({"agent-2": []}, ("agent-2",), [], id="a new agent"),
        pytest.param({}, ("agent-1",), [], id="nothing"),
    ],
)
def test_a_limit_that_divides_the_fleet(changed: dict, hosts: tuple, wrong: list) -> None:
    assert [one.wrong for one in up.split_problems(changed, hosts, FLEET)] == wrong


@pytest.mark.parametrize(
    ("changed", "groups"),
    [
        ({"agent-1": [AGENT], "node-1": []}, {}),
        (
            {"agent-1": [AGENT], "node-1": [NODE], "broker-1": [BROKER], "agent-2": []},
            {"agent-1": [UPGRADE_AGENTS_GROUP], "node-1": [UPGRADE_GROUP], "broker-1": [UPGRADE_GROUP]},
        ),
        ({"node-1": [], "broker-1": [BROKER]}, {"node-1": [UPGRADE_GROUP], "broker-1": [UPGRADE_GROUP]}),
        ({"node-1": [NODE], "broker-1": []}, {"node-1": [UPGRADE_GROUP]}),
        ({"node-1": [NODE, AGENT]}, {"node-1": [UPGRADE_GROUP, UPGRADE_AGENTS_GROUP]}),
    ],
)
def test_groups_of_an_upgrade(changed: dict, groups: dict) -> None:
    assert up.upgrade_groups(changed, FLEET) == groups


@pytest.mark.parametrize(
    ("image", "changed", "restarts", "set_first"),
    [
        ("aztec:4.1.2", {"broker-1": [BROKER]}, ["agent-1", "node-1"], "aztec_version to 4.1.2"),
        ("aztec:4.1.3@sha256:" + "a" * 64, {"broker-1": [BROKER]}, ["agent-1"], "the previous image"),
        ("aztec:latest", {"broker-1": [BROKER]}, ["agent-1"], "the previous image"),
        ("aztec:4.1.2", {"broker-1": [BROKER]}, [], ""),
        ("aztec:4.1.2", {"broker-1": [], "agent-1": [AGENT]}, ["agent-1"], ""),
    ],
)
def test_a_change_of_docker_in_an_upgrade(image: str, changed: dict, restarts: list, set_first: str) -> None:
    """If only an agent changes, the others are not interrupted."""
    containers = [{"image": image, "state": "running"}, {"image": "aztec:4.0.0", "state": "exited"}]
    host_infos = {"broker-1": {"projects": {"aztec-prover-broker": {"containers": containers}}}, "node-1": None}
    found = list(up.engine_problems(changed, restarts, host_infos, {**FLEET, "version": "4.1.3"}))
    assert [one.host for one in found] == restarts * bool(set_first)
    assert {one.remedy for one in found} <= {
        f"apply the change of Docker first: set {set_first}, run site.yml, then upgrade",
    }
    assert all(one.fleet for one in found)


@pytest.mark.parametrize(
    ("running", "desired", "other"),
    [
        ("aztec:4.1.2", "aztec:4.1.2", False),
        ("aztec:4.1.2", "aztec:4.1.3", True),
        ("aztec:4.1.2", "mirror.example/aztec:4.1.2", False),
        ("aztec:4.1.2@sha256:00", "aztec:4.1.2@sha256:11", False),
        ("aztec:4.1.2", "aztec@sha256:11", True),
        ("aztec@sha256:00", "aztec@sha256:11", True),
        ("aztec:nightly", "aztec:nightly", False),
        ("aztec:nightly", "aztec:other", True),
    ],
)
def test_other_version(running: str, desired: str, other: bool) -> None:
    """Another image of the same version is not an upgrade: node, broker and agents keep working together."""
    assert up.other_version(running, desired) is other
