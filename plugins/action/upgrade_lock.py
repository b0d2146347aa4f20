# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mark on the node's host that a run upgrades the fleet, so that a second one stops. The mark is a symbolic link.

Its creation is atomic, and /run is empty after a reboot. A run of the same controller that has ended does not block.
"""

from __future__ import annotations

import os
import platform
import time

from ansible.errors import AnsibleError
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.pipelined_action import PipelinedActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.upgrade_lock import (
    Owner,
    conflict,
    is_stale,
    parse_owner,
)

COMMAND = "ansible.builtin.command"


def lives(process: int) -> bool:
    """Return whether a process of this machine exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class ActionModule(PipelinedActionBase):
    """Create the mark of this run, or remove it."""

    argument_spec = {
        "path": {"type": "path", "required": True},
        "version": {"type": "str", "required": True},
        "seconds": {"type": "int", "required": True},
        "state": {"type": "str", "choices": ["taken", "released"], "default": "taken"},
    }

    def execute(self, arguments: dict, task_vars: dict) -> dict:
        """Create or remove the mark. Fail with one line if another run has it."""
        path = arguments["path"]
        controller = "".join((platform.node() or "controller").split())
        # The action runs in a process of its own, which ansible-playbook has started.
        process, until = os.getppid(), int(time.time()) + arguments["seconds"]
        own = Owner(arguments["version"], controller, process, until)
        if arguments["state"] == "released":
            held = self._held(path, task_vars)
            if held and (held.controller, held.process) == (own.controller, own.process):
                self._command(["rm", "-f", path], task_vars)
            return {}
        for _attempt in range(2):
            if self._command(["ln", "-sT", own.text(), path], task_vars, check=False).get("rc") == 0:
                return {}
            held = self._held(path, task_vars)
            if not is_stale(held, controller, time.time(), lives):
                raise AnsibleError(conflict(task_vars["inventory_hostname"], path, held))
            self._command(["rm", "-f", path], task_vars)
        raise AnsibleError(f"another run began an upgrade at this moment ({path}): wait for its end, then run again")

    def _held(self, path: str, task_vars: dict) -> Owner | None:
        """Return the run that has the mark, None for none."""
        return parse_owner(str(self._command(["readlink", path], task_vars, check=False).get("stdout") or ""))

    def _command(self, argv: list, task_vars: dict, *, check: bool = True) -> dict:
        """Run a command on the host. Raise AnsibleError if the host does not run it, or with check if it fails."""
        result = self._execute_module(module_name=COMMAND, module_args={"argv": argv}, task_vars=task_vars)
        if result.get("unreachable") or "rc" not in result or (check and result["rc"] != 0):
            raise AnsibleError(f"{argv[0]} {argv[-1]} failed on the host: {result.get('msg') or 'no message'}")
        return result
