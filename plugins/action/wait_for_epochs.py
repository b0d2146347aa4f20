# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wait until the epochs that a node works on have ended, with the module host_info on the node's host."""

from __future__ import annotations

import time

from ansible.utils.display import Display
from ansible_collections.aztec_ops.prover.plugins.action.host_info import MODULE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.pipelined_action import PipelinedActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.epochs import (
    awaited,
    epochs_in_work,
    in_words,
    runs,
)

display = Display()

POLL_FIRST = 3.0
POLL_LONGEST = 15.0
WITHOUT_KEY = "without prover_node_admin_api_key (keys.yml -e admin_api_key=true), the node does not report its epochs"
# After that many queries in a row without an answer, the wait ends.
MOST_MISSES = 5


class ActionModule(PipelinedActionBase):
    """Wait for the epochs that are in work at the start, and show for which. The wait is bounded."""

    argument_spec = {
        "project": {"type": "str", "required": True},
        "rpc": {"type": "dict", "required": True},
        "admin_key": {"type": "str", "default": "", "no_log": True},
        "seconds": {"type": "int", "required": True},
    }

    def execute(self, arguments: dict, task_vars: dict | None) -> dict:
        """Return the epochs that have ended, and those that are still in work."""
        here = (task_vars or {}).get("inventory_hostname", "")
        rpc, key = arguments["rpc"], arguments["admin_key"]
        if not any(rpc.values()):
            # From release line 5 on.
            display.display(f"  {here}: {WITHOUT_KEY}, so the run does not wait")
            return {"ended": [], "in_work": [], "known": False}
        failure = self.pipelining_failure(bool(key))
        if failure:
            return failure
        module_args = {"projects": [arguments["project"]], "probe": True, "rpc": rpc, "admin_key": key}
        end, pause, misses = time.monotonic() + arguments["seconds"], POLL_FIRST, 0
        first: dict | None = None
        left: dict = {}
        while True:
            result = self._execute_module(module_name=MODULE, module_args=module_args, task_vars=task_vars)
            if "host_info" not in result:
                return result
            found = epochs_in_work(result["host_info"], arguments["project"])
            misses = misses + 1 if found is None else 0
            if found is not None:
                first = found if first is None else first
                left = awaited(first, found)
            seconds = end - time.monotonic()
            unknown = first is None and not runs(result["host_info"], arguments["project"])
            if seconds <= 0 or unknown or misses >= MOST_MISSES or not (misses or left):
                break
            if misses:
                display.display(f"  {here}: the node does not report its epochs now, query {misses} of {MOST_MISSES}")
            else:
                display.display(f"  {here}: waiting for the end of {in_words(left)}, for {seconds:.0f} s at most")
            time.sleep(min(pause, seconds))
            pause = min(pause * 1.3, POLL_LONGEST)
        if first is None:
            display.display(f"  {here}: the node does not report its epochs now, so the run does not wait")
            return {"ended": [], "in_work": [], "known": False}
        if left and seconds > 0:
            display.warning(f"{here}: the node no longer reports its epochs, and {in_words(left)} is interrupted")
        elif left:
            display.warning(f"{here}: {in_words(left)} did not end within {arguments['seconds']} s, and is interrupted")
        return {"ended": sorted(set(first) - set(left)), "in_work": sorted(left), "known": True}
