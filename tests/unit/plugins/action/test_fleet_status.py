# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What fleet_status judges of each host of a play, and what it says of those without a look."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.aztec_ops.prover.plugins.action.fleet_status import GONE, LEFT, LEFT_OUT, looks_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.fleet_status import fleet_report

from tests.unit.plugins.plugin_utils.status.test_fleet_status import FLEET, fleet

WHY = "vCPUs found 2, needed 32"


@pytest.mark.parametrize(
    ("result", "by_inventory", "by_host", "state", "text"),
    [
        pytest.param({}, "", "", "UNREACHABLE", GONE, id="not reached now"),
        pytest.param(None, "", "", "UNREACHABLE", LEFT, id="lost earlier"),
        pytest.param({}, WHY, "", "LEFT OUT", LEFT_OUT.format(WHY), id="left out for its inventory"),
        pytest.param(None, "", WHY, "LEFT OUT", LEFT_OUT.format(WHY), id="left out for what was seen"),
    ],
)
def test_a_host_without_a_look(result: dict | None, by_inventory: str, by_host: str, state: str, text: str) -> None:
    values = copy.deepcopy(FLEET)
    if by_inventory:
        values["hosts"]["agent-1"]["left_out"] = by_inventory
    results = {**{host: {"host_info": look} for host, look in fleet().items()}, "agent-1": result}
    looks = looks_of(results, values, {"agent-1": by_host} if by_host else {})
    assert looks["agent-1"] == text
    report = fleet_report(looks, values)
    assert [row[3] for row in report.rows if row[0] == "agent-1"] == [state]
    assert report.problems == [("agent-1", "prover_agent", text)]
