# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check all hosts of remove.yml or reset.yml, and plan the removal, on the controller."""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.plan_action import PlanActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet_problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import to_builtin
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import count_hosts
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import component_list
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.differences import plan_text
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.removal import (
    Request,
    remaining_sources,
    removal_groups,
    removal_plan,
)


class ActionModule(PlanActionBase):
    """Run once for all hosts. Display problems and plan as tables, and fail with one line if there is an error."""

    argument_spec = {
        "fleet": {"type": "dict", "required": True},
        "removed": {"type": "dict", "required": True},
        "components": {"type": "raw", "default": []},
        "limited": {"type": "bool", "required": True},
        "reset": {"type": "bool", "default": False},
        "confirm": {"type": "str", "default": ""},
        "keep_data": {"type": "bool", "default": False},
        "engine": {"type": "bool", "default": False},
    }

    def execute(self, arguments, task_vars):
        """Check the hosts of the play. The result contains those to work on, with their groups."""
        fleet, removed = to_builtin(arguments["fleet"]), to_builtin(arguments["removed"])
        wrong = fleet_problem(fleet)
        if wrong:
            raise AnsibleError(f"plan_removal: {wrong}")
        hosts = list(removed)
        host_infos = {host: self.host_info(task_vars, host) for host in hosts}
        words = {name: arguments[name] for name in ("limited", "reset", "confirm", "keep_data", "engine")}
        request = Request(components=component_list(to_builtin(arguments["components"])), **words)
        plan = removal_plan(request, host_infos, removed, fleet)
        if plan.lines:
            self._display.display(f"\n{plan_text(plan.lines)}")
        failure = self.failure_of(plan.problems, hosts)
        if failure:
            return failure
        return {
            "absent": plan.absent,
            "selected": removal_groups(plan),
            "confirmation": plan.confirmation,
            "sources": remaining_sources(fleet, plan.removed),
            "in_groups": [host for host in plan.lines if fleet["hosts"].get(host, {}).get("components")],
            "verdict": f"{count_hosts(len(hosts))}, {len(plan.lines) or 'nothing'} to remove",
        }
