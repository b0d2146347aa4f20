# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run compose_stack with one remote call when nothing is to be done, otherwise as a job whose progress is shown."""

from __future__ import annotations

import json
import posixpath
import secrets
import time

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

# Seconds that a job may take besides its waiting: pulling several gigabytes over a slow line is the longest part.
JOB_LIMIT = 7200
POLL_FIRST = 1.0
POLL_LONGEST = 5.0
# Seconds without a sign of life after which a job counts as dead. Before it takes the lock, and from giving it up until
# its result is written, a job that lives gives none either, and on a busy host both take a while.
SILENT_SECONDS = 120


def as_json_text(value: object) -> object:
    """Take the value of an option that holds a JSON object, give its text; None for an empty one.

    An empty object's text would have Ansible hide every `{}` in the output.
    """
    if isinstance(value, dict):
        value = json.dumps(value)
    if isinstance(value, str) and value.strip() in ("", "{}"):
        return None
    return value


class ActionModule(ActionBase):
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
            # A pull may take an hour, for which a job's arguments lie in a file on the host: no secret among them.
            arguments = {key: value for key, value in arguments.items() if key not in ("secrets", "files")}
        found = self._execute_module(module_args={**arguments, "_phase": "look"}, task_vars=task_vars)
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
        limit = JOB_LIMIT + 2 * int(arguments.get("wait_timeout") or 120)
        began = self._task.async_val
        self._task.async_val = limit
        try:
            started = self._execute_module(
                module_args={**arguments, "_phase": "apply", "_job": job}, task_vars=task_vars, wrap_async=True
            )
        finally:
            self._task.async_val = began
        if started.get("failed") or "ansible_job_id" not in started:
            return {**started, "failed": True, "msg": started.get("msg") or "the job could not be started on the host"}
        try:
            return self._follow(started, arguments, job, limit, task_vars)
        finally:
            self._status(started, "cleanup", task_vars)

    def _status(self, started: dict, mode: str, task_vars: dict | None) -> dict:
        arguments = {
            "jid": started["ansible_job_id"],
            "mode": mode,
            "_async_dir": posixpath.dirname(started["results_file"]),
        }
        return self._execute_module(
            module_name="ansible.legacy.async_status", module_args=arguments, task_vars=task_vars
        )

    def _follow(self, started: dict, arguments: dict, job: str, limit: int, task_vars: dict | None) -> dict:
        """Take a job, show what it does until it ends, give its result."""
        host = (task_vars or {}).get("inventory_hostname", "")
        asked = {key: arguments[key] for key in ("project", "directory")}
        pause, shown, alive_at = POLL_FIRST, "", time.monotonic()
        end = alive_at + limit
        while time.monotonic() < min(end, alive_at + SILENT_SECONDS):
            time.sleep(pause)
            pause = min(pause * 1.5, POLL_LONGEST)
            now = self._execute_module(
                module_args={**asked, "state": "absent", "_phase": "progress", "_job": job}, task_vars=task_vars
            )
            if now.get("unreachable"):
                return now
            if now.get("text") and now["text"] != shown:
                shown = now["text"]
                display.display(f"  {host}: {arguments['project']}: {shown}")
            if now.get("alive"):
                alive_at = time.monotonic()
                continue
            status = self._status(started, "status", task_vars)
            if status.get("finished"):
                return self._ended(status)
        return {
            "failed": True,
            "changed": True,
            "msg": f"the work on {arguments['project']} broke off on the host: run the same again",
        }

    @staticmethod
    def _ended(status: dict) -> dict:
        """Take what async_status gives of a job that ended, give the module's own result."""
        for key in (
            "started",
            "finished",
            "ansible_job_id",
            "results_file",
            "stdout",
            "stderr",
            "stdout_lines",
            "stderr_lines",
        ):
            status.pop(key, None)
        return status
