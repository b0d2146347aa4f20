# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings that the hosts of a fleet share."""

from __future__ import annotations

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_inventory

from tests.unit.plugins.plugin_utils.inventory.inventories import SPECS, good, resolve_one


def test_one_instance_for_the_whole_fleet() -> None:
    hosts, groups = good()
    for host in ("node-1", "agent-1"):
        hosts[host]["aztec_instance"] = "main2"
    problems, _fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
    assert [" | ".join((one.host, one.variable, one.level, one.wrong, one.remedy)) for one in problems] == [
        "agent-2 | aztec_instance | left out | is not set, and 'main2' on node-1 | set one value for the whole fleet"
    ]
