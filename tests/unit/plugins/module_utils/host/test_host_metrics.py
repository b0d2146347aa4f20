# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Metrics of a host from what host_info finds."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.host_metrics import (
    component_samples,
    guard_sample,
    text,
)

GUARD = {"loaded": True, "outdated": False, "problems": [], "owner": "guard"}


def container(**values: Any) -> dict[str, Any]:
    return {"service": "prover-node", "state": "running", "restarts": 0, "rpc": {}, **values}


def values(component: str, containers: list, agents: int = 0, wanted: int = 1) -> dict[str, float]:
    samples = component_samples(component, {"containers": wanted, "agents": agents}, containers)
    return {name[len("aztec_ops_") :]: value for name, _labels, value in samples}


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({}, 1),
        ({"owner": "watch"}, 1),
        ({"owner": "none"}, 0),
        ({"loaded": False}, 0),
        ({"outdated": True}, 0),
        ({"problems": ["x"]}, 0),
    ],
)
def test_guard(change: dict, value: int) -> None:
    assert guard_sample({**GUARD, **change}) == ("aztec_ops_guard_loaded", {}, value)


def test_a_component_without_containers() -> None:
    assert values("prover_broker", []) == {"containers_expected": 1, "containers_running": 0}


def test_an_exited_container_does_not_run() -> None:
    found = values("prover_broker", [container(state="exited", restarts=3)])
    assert found == {"containers_expected": 1, "containers_running": 0, "container_restarts": 3}


@pytest.mark.parametrize(("waiting", "value"), [(None, 0), ({"kind": "standby"}, 1), ({"kind": "soft shutdown"}, 1)])
def test_waiting(waiting: dict | None, value: int) -> None:
    assert values("prover_node", [container(waiting=waiting)])["container_waiting"] == value


@pytest.mark.parametrize(
    ("own", "canonical", "pinned", "value"),
    [
        ("0xAB", "0xab", False, 0),
        ("0xab", "0xcd", False, 1),
        ("0xab", "0xcd", True, None),
        ("", "0xcd", False, None),
        ("0xab", "", False, None),
    ],
)
def test_rollup(own: str, canonical: str, pinned: bool, value: int | None) -> None:
    headers = {"x-aztec-l1rollupaddress": own} if own else {}
    one = container(status={"headers": headers}, pinned=pinned, l1={"rollup": canonical, "block": 5})
    found = values("prover_node", [one])
    assert found.get("rollup_mismatch") == value and found["l1_reachable"] == 1


def test_an_l1_that_does_not_respond() -> None:
    assert values("prover_node", [container(l1={"rollup": "", "block": None})])["l1_reachable"] == 0


def agent(statuses: list, contact: str = "ok") -> dict[str, Any]:
    answers = {f"agent{number}_getStatus": status for number, status in enumerate(statuses)}
    return container(service="prover-agent", rpc=answers, broker_contact={"state": contact})


@pytest.mark.parametrize(
    ("containers", "running", "idle"),
    [
        ([agent([{"status": "proving"}, {"status": "running"}])], 2, 1),
        ([agent([{"status": "proving"}]), agent([{"status": "stopped"}])], 1, 0),
        ([agent([{"status": "running"}], "lost")], 0, 1),
        ([agent([{"error": "timed out"}])], 0, 0),
        ([], 0, 0),
    ],
)
def test_agents(containers: list, running: int, idle: int) -> None:
    found = values("prover_agent", containers, agents=2)
    assert (found["agents_expected"], found["agents_running"], found["agents_idle"]) == (2, running, idle)


def test_text_format() -> None:
    samples = [
        ("aztec_ops_engine_up", {}, 1.0),
        ("aztec_ops_container_restarts", {"service": 'a"b\\c', "component": "x"}, 2),
        ("aztec_ops_container_restarts", {"service": 'a"b\\c', "component": "x"}, 1),
    ]
    assert text(samples).splitlines() == [
        "# HELP aztec_ops_engine_up Whether the container engine responds.",
        "# TYPE aztec_ops_engine_up gauge",
        "aztec_ops_engine_up 1.0",
        "# HELP aztec_ops_container_restarts Restarts of a container since it was created.",
        "# TYPE aztec_ops_container_restarts gauge",
        r'aztec_ops_container_restarts{component="x",service="a\"b\\c"} 2.0',
    ]
