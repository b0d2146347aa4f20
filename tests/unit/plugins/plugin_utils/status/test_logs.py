# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The logs of a fleet as text."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.logs import (
    chosen_components,
    host_projects,
    lines_problem,
    log_blocks,
)

ALL = ["prover_node", "prover_broker", "prover_agent", "prover_monitor"]
SERVES = {"serves": True, "error": ""}
PROJECTS = {"aztec-prover-agent": "prover_agent"}
FLEET = {"instance": "", "hosts": {"node-1": {"components": ["prover_node", "prover_broker"]}}}


def agent(**changes: object) -> dict:
    container = {
        "name": "aztec-prover-agent-prover-agent-1",
        "image": "registry.test/aztec:4.1.2",
        "state": "running",
        "exit_code": 0,
        "log": {"lines": [(1795405649.0, "INFO: prover-agent started")], "error": ""},
        **changes,
    }
    return {"engine": SERVES, "projects": {"aztec-prover-agent": {"containers": [container]}}}


@pytest.mark.parametrize("lines", [1, "50", 10000])
def test_numbers_of_lines(lines: object) -> None:
    assert lines_problem(lines) is None


@pytest.mark.parametrize("lines", [0, -1, 10001, "all", "", "1.5", True, "5\n"])
def test_other_numbers_of_lines(lines: object) -> None:
    assert "is not a number of lines: set a number from 1 to 10000" in str(lines_problem(lines))


@pytest.mark.parametrize(
    ("value", "components"),
    [
        ("", ALL),
        (None, ALL),
        ([], ALL),
        ("prover_agent", ["prover_agent"]),
        ("prover_agent, prover_node", ["prover_node", "prover_agent"]),
        (["prover_broker"], ["prover_broker"]),
        ("prover_monitor", ["prover_monitor"]),
    ],
)
def test_chosen_components(value: object, components: list) -> None:
    assert chosen_components(value) == components


def test_projects_of_a_host() -> None:
    assert host_projects("node-1", FLEET, ALL) == {
        "aztec-prover-node": "prover_node",
        "aztec-prover-broker": "prover_broker",
    }
    assert host_projects("node-1", FLEET, ["prover_agent"]) == {}


@pytest.mark.parametrize(
    ("host_info", "blocks"),
    [
        pytest.param(
            agent(),
            [
                [
                    "=== agent-1: prover_agent, aztec-prover-agent-prover-agent-1 (aztec:4.1.2), running",
                    "2026-11-23 03:47:29Z INFO: prover-agent started",
                ]
            ],
            id="running",
        ),
        pytest.param(
            agent(state="exited", exit_code=1, log={"lines": [], "error": ""}),
            [
                [
                    "=== agent-1: prover_agent, aztec-prover-agent-prover-agent-1 (aztec:4.1.2), exited with code 1",
                    "(the log is empty)",
                ]
            ],
            id="exited, without lines",
        ),
        pytest.param(
            agent(log={"lines": [], "error": "the engine returns 501"}),
            [
                [
                    "=== agent-1: prover_agent, aztec-prover-agent-prover-agent-1 (aztec:4.1.2), running",
                    "(the log cannot be read: the engine returns 501)",
                ]
            ],
            id="engine without logs",
        ),
        pytest.param(
            {"engine": SERVES, "projects": {"aztec-prover-agent": {"containers": []}}},
            [["agent-1: prover_agent: no container: run site.yml, or see verify.yml"]],
            id="not deployed",
        ),
        pytest.param(
            {"engine": {"serves": False, "error": "connection refused"}, "projects": {}},
            [["agent-1: Docker does not respond (connection refused): see verify.yml"]],
            id="engine stopped",
        ),
        pytest.param("is unreachable", [["agent-1: is unreachable"]], id="gone"),
    ],
)
def test_log_blocks(host_info: object, blocks: list) -> None:
    assert log_blocks("agent-1", host_info, PROJECTS) == blocks
