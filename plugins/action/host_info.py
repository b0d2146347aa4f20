# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the module host_info without writing its arguments, which may contain API keys, to a file on the host."""

from __future__ import annotations

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.pipelined_action import PipelinedActionBase

MODULE = "aztec_ops.prover.host_info"


class ActionModule(PipelinedActionBase):
    """Make one call of the module."""

    def execute(self, arguments: dict, task_vars: dict | None) -> dict:
        """Return what the module returns. A host that is left out of the run counts as unreachable."""
        reason = arguments.get("left_out")
        if reason:
            return {"unreachable": True, "msg": f"left out of this run: {reason}"}
        failure = self.pipelining_failure(any(map(arguments.get, ("l1", "l1_urls", "admin_key"))))
        return failure or self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
