# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What fleet_status reports for hosts without host info."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.aztec_ops.prover.plugins.action.fleet_status import (
    FAILED_EARLIER,
    LEFT_OUT,
    UNREACHABLE,
    host_info_or_reason,
    run_problems,
    verdict,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.fleet_status import fleet_report

from tests.unit.plugins.plugin_utils.status.test_fleet_status import FLEET, fleet

WHY = "vCPUs found 2, needed 32"


@pytest.mark.parametrize(
    ("result", "by_inventory", "by_host", "state", "text"),
    [
        pytest.param({}, "", "", "UNREACHABLE", UNREACHABLE, id="not reached now"),
        pytest.param(None, "", "", "UNREACHABLE", FAILED_EARLIER, id="lost earlier"),
        pytest.param({}, WHY, "", "LEFT OUT", LEFT_OUT.format(WHY), id="left out for its inventory"),
        pytest.param(None, "", WHY, "LEFT OUT", LEFT_OUT.format(WHY), id="left out for its host info"),
    ],
)
def test_a_host_without_host_info(result: dict | None, by_inventory: str, by_host: str, state: str, text: str) -> None:
    values = copy.deepcopy(FLEET)
    if by_inventory:
        values["hosts"]["agent-1"]["left_out"] = by_inventory
    found = host_info_or_reason(result, values["hosts"]["agent-1"], by_host)
    assert found == text
    present = fleet()
    assert host_info_or_reason({"host_info": present["node-1"]}, values["hosts"]["node-1"], "") == present["node-1"]
    report = fleet_report({**present, "agent-1": found}, values)
    assert [row[3] for row in report.rows if row[0] == "agent-1"] == [state]
    assert report.problems == [("agent-1", "prover_agent", text)]


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ((3, 0, 0, 0), "3 hosts, nothing to change, all components healthy"),
        ((1, 1, 0, 0), "1 host, 1 changed, all components healthy"),
        ((3, None, 0, 0), "3 hosts, all components healthy"),
        ((3, None, 0, 1), "3 hosts, all components healthy, 1 note above"),
        ((3, 2, 0, 2), "3 hosts, 2 changed, all components healthy, 2 notes above"),
        ((3, 2, 1, 2), "1 problem, see above"),
        ((3, None, 0, 0, 1, 4), "3 hosts, 1 component stopped, all others healthy"),
        ((3, 2, 0, 0, 4, 4), "3 hosts, 2 changed, 4 components stopped"),
    ],
)
def test_verdict(counts: tuple, text: str) -> None:
    assert verdict(*counts) == text


def test_a_host_that_failed_after_it_was_gathered_has_no_state() -> None:
    """Its host info is from before the failure, so it could still report a healthy container."""
    assert host_info_or_reason({"host_info": {"time": 1.0}}, {}, "", failed=True) == FAILED_EARLIER
    assert host_info_or_reason({"host_info": {"time": 1.0}}, {}, "", failed=False) == {"time": 1.0}


def test_a_run_that_a_failure_ended_names_the_hosts_that_it_left_as_they_are() -> None:
    why = "not changed, because b failed: correct the error above, then run again"
    assert run_problems(["b"], ["b", "c", "d", "e", "f"]) == [
        ("b", "-", FAILED_EARLIER),
        ("c, d, e and 1 more", "-", why),
    ]
    assert run_problems([], []) == []
