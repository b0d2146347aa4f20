# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check all hosts of stop.yml, start.yml, restart.yml or reboot.yml, and plan the operation, on the controller."""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.plan_action import PlanActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet_problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import to_builtin
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import (
    LEFT_OUT,
    count_hosts,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import component_list
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.differences import plan_text
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.operations import (
    OPERATIONS,
    operation_groups,
    operation_plan,
)


class ActionModule(PlanActionBase):
    """Run once for all hosts. Display problems and plan as tables, and fail with one line if there is an error."""

    argument_spec = {
        "fleet": {"type": "dict", "required": True},
        "operation": {"type": "str", "required": True, "choices": list(OPERATIONS)},
        "components": {"type": "raw", "default": []},
    }

    def execute(self, arguments, task_vars):
        """Check the hosts of the play. The result contains those to work on, with their groups."""
        fleet, operation = to_builtin(arguments["fleet"]), arguments["operation"]
        wrong = fleet_problem(fleet)
        if wrong:
            raise AnsibleError(f"plan_operation: {wrong}")
        taking_part = [host for host in task_vars["ansible_play_hosts_all"] if host in fleet["hosts"]]
        host_infos = {host: self.host_info(task_vars, host) for host in taking_part}
        chosen = component_list(to_builtin(arguments["components"]))
        plan = operation_plan(operation, chosen, host_infos, fleet)
        hosts = list(host_infos)
        failure = self.failure_of(plan.problems, hosts)
        if failure:
            return failure
        lines = {host: found for host, found in plan.lines.items() if found}
        if lines:
            self._display.display(f"\n{plan_text(lines)}")
        # The status reports an unreachable host by itself.
        own = [one for one in plan.problems if one.level == LEFT_OUT and host_infos[one.host]]
        left_out = {one.host: f"{one.variable} {one.wrong}" for one in own}
        change = f"{len(lines)} to {operation}" if lines else f"nothing to {operation}"
        return {
            "absent": plan.absent,
            "left_out": left_out,
            "operated": plan.operated,
            "selected": operation_groups(operation, plan.operated, fleet),
            "differing": list(lines),
            "agents_at_once": fleet["agents_at_once"],
            "verdict": f"{count_hosts(len(hosts))}, {change}",
        }
