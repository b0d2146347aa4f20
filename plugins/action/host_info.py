# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run host_info so that the URLs it is given, which may hold API keys, lie in no file on the host."""

from __future__ import annotations

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.pipelined_action import PipelinedActionBase


class ActionModule(PipelinedActionBase):
    """One call of the module."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict | None = None) -> dict:
        """Look at the host, unless it takes no part in the run: it then counts as one that cannot be reached."""
        result = super().run(tmp, task_vars)
        del tmp
        reason = self._task.args.get("left_out")
        if reason:
            return {**result, "unreachable": True, "changed": False, "msg": f"left out of this run: {reason}"}
        refused = self.refusal(bool(self._task.args.get("l1") or self._task.args.get("l1_urls")))
        result.update(refused or self._execute_module(task_vars=task_vars))
        return result
