# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the groups of the inventory: one node, one broker, and no misspelled group name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import COMPONENTS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.context import Context
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import AGENT

INVENTORY = "the inventory"


def check_groups(context: Context, groups: Mapping, group_names: Mapping) -> None:
    """Check that the inventory has exactly one node and one broker, and that no misspelled group hides hosts."""
    wanted = {component: group_names.get(component, component) for component in COMPONENTS}
    others = [name for name in groups if groups[name] and name not in wanted.values()]
    for component, group in wanted.items():
        found = len(context.members[component])
        near = difflib.get_close_matches(group, others, n=1, cutoff=0.9)
        # A group of the operator may have any name if its hosts are in the fleet anyway.
        if near and (found == 0 or not set(groups[near[0]]) <= set(context.hosts)):
            wrong = "is not a group of the fleet, so its hosts are ignored"
            context.add(INVENTORY, near[0], (wrong, f"did you mean {group}?"))
        elif component != AGENT and found == 0:
            context.add(INVENTORY, group, ("this group has no host", "put one host in it"))
        elif component == AGENT and group != component and group not in groups:
            context.add(INVENTORY, group, ("this group does not exist", "correct preflight_agent_group"))
        elif component != AGENT and found > 1:
            context.add(INVENTORY, group, (f"this group has {found} hosts", "keep one host in it"))
