# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run compose_stack with one remote call when nothing is to be done, otherwise as a job whose progress is shown."""

from __future__ import annotations

import json
import secrets
import time

from ansible.utils.display import Display
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import job_limit
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.unwritten import Unwritten

display = Display()

POLL_FIRST = 1.0
POLL_LONGEST = 5.0


def as_json_text(value: object) -> object:
    """Take the value of an option that holds a JSON object, give its text; None for an empty one.

    An empty object's text would have Ansible hide every `{}` in the output.
    """
    if isinstance(value, dict):
        value = json.dumps(value)
    if isinstance(value, str) and value.strip() in ("", "{}"):
        return None
    return value


class ActionModule(Unwritten):
    """Looks first; applies, with progress, only when there is something to do."""

    _supports_check_mode = True
    _supports_diff = True
    _supports_async = False
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict | None = None) -> dict:
        result = super().run(tmp, task_vars)
        del tmp
        arguments = dict(self._task.args)
        for option in ("secrets", "files"):
            if option in arguments:
                arguments[option] = as_json_text(arguments[option])
        if arguments.get("state") == "pulled":
            # What a job is given stays in its memory, and a pull may take an hour: no secret among it.
            arguments = {key: value for key, value in arguments.items() if key not in ("secrets", "files")}
        refused = self.refusal(any(arguments.get(option) for option in ("secrets", "files")))
        found = refused or self._execute_module(module_args={**arguments, "_phase": "look"}, task_vars=task_vars)
        todo = found.pop("_todo", False)
        if found.get("failed") or not todo or self._task.check_mode:
            result.update(found)
            return result
        diff = found.get("diff")
        done = self._apply(arguments, task_vars)
        if diff and "diff" not in done:
            done["diff"] = diff
        result.update(done)
        return result

    def _apply(self, arguments: dict, task_vars: dict | None) -> dict:
        """Take the module's arguments, run it as a job on the host to its end, give its result."""
        job = secrets.token_hex(8)
        started = self._execute_module(module_args={**arguments, "_phase": "start", "_job": job}, task_vars=task_vars)
        if started.get("failed") or not started.get("started"):
            return {**started, "failed": True, "msg": started.get("msg") or "the job could not be started on the host"}
        try:
            return self._follow(arguments, job, task_vars)
        finally:
            self._ask("forget", arguments, job, task_vars)

    def _ask(self, phase: str, arguments: dict, job: str, task_vars: dict | None) -> dict:
        """Call the module for a job that is under way; no secret is in these calls."""
        asked = {key: arguments[key] for key in ("project", "directory")}
        return self._execute_module(
            module_args={**asked, "state": "absent", "_phase": phase, "_job": job}, task_vars=task_vars
        )

    def _follow(self, arguments: dict, job: str, task_vars: dict | None) -> dict:
        """Take a job, show what it does until it ends, give its result."""
        host = (task_vars or {}).get("inventory_hostname", "")
        pause, shown = POLL_FIRST, ""
        end = time.monotonic() + job_limit(int(arguments.get("wait_timeout") or 120))
        while time.monotonic() < end:
            time.sleep(pause)
            pause = min(pause * 1.5, POLL_LONGEST)
            now = self._ask("progress", arguments, job, task_vars)
            if now.get("unreachable") or now.get("failed"):
                return now
            if now.get("result"):
                return now["result"]
            if now.get("text") and now["text"] != shown:
                shown = now["text"]
                display.display(f"  {host}: {arguments['project']}: {shown}")
            if not now.get("alive"):
                break
        return {
            "failed": True,
            "changed": True,
            "msg": f"the work on {arguments['project']} broke off on the host: run the same again",
        }
