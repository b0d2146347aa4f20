# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run compose_stack with one remote call when nothing is to be done, otherwise as a job whose progress is shown."""

from __future__ import annotations

import json
import secrets
import time

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.utils.display import Display
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.job import job_limit
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import one_line
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.pipelined_action import PipelinedActionBase

display = Display()

POLL_FIRST = 1.0
POLL_LONGEST = 5.0
# Answers that may fail in a row, POLL_LONGEST apart: a minute's worth, in which sshd restarts or a line comes back.
VAIN = 12


def as_json_text(value: object) -> object:
    """Take the value of an option that holds a JSON object, give its text; None for an empty one.

    An empty object's text would have Ansible hide every `{}` in the output.
    """
    if isinstance(value, dict):
        value = json.dumps(value)
    if isinstance(value, str) and value.strip() in ("", "{}"):
        return None
    return value


class ActionModule(PipelinedActionBase):
    """Looks first; applies, with progress, only when there is something to do."""

    _supports_async = False

    def execute(self, arguments: dict, task_vars: dict | None) -> dict:
        for option in ("secrets", "files"):
            if option in arguments:
                arguments[option] = as_json_text(arguments[option])
        if arguments.get("state") == "pulled":
            # What a job is given stays in its memory, and a pull may take an hour: no secret among it.
            arguments = {key: value for key, value in arguments.items() if key not in ("secrets", "files")}
        refused = self.pipelining_failure(any(arguments.get(option) for option in ("secrets", "files")))
        found = refused or self._execute_module(module_args={**arguments, "_phase": "inspect"}, task_vars=task_vars)
        todo = found.pop("_todo", False)
        if found.get("failed") or not todo or self._task.check_mode:
            return found
        diff = found.get("diff")
        done = self._apply(arguments, task_vars)
        if diff and "diff" not in done:
            done["diff"] = diff
        return done

    def _apply(self, arguments: dict, task_vars: dict | None) -> dict:
        """Take the module's arguments, run it as a job on the host to its end, give its result."""
        job = secrets.token_hex(8)
        started = self._call({**arguments, "_phase": "start", "_job": job}, task_vars)
        if started.get("started"):
            return self._follow(arguments, job, task_vars)
        if "started" in started:
            return started
        wrong = f"whether the work on {arguments['project']} has begun is not known ({trouble(started)})"
        return unknown(f"{wrong}: run the same again", started)

    def _call(self, arguments: dict, task_vars: dict | None) -> dict:
        """Call the module, give its answer; a connection that breaks is one, as it is where Ansible gives an answer."""
        try:
            return self._execute_module(module_args=arguments, task_vars=task_vars)
        except AnsibleConnectionFailure as wrong:
            return {"unreachable": True, "msg": str(wrong)}
        except AnsibleError as wrong:
            return {"failed": True, "msg": str(wrong)}

    def _ask(self, phase: str, arguments: dict, job: str, task_vars: dict | None) -> dict:
        """Call the module for a job that is under way; no secret is in these calls."""
        asked = {key: arguments[key] for key in ("project", "directory")}
        return self._call({**asked, "state": "absent", "_phase": phase, "_job": job}, task_vars)

    def _follow(self, arguments: dict, job: str, task_vars: dict | None) -> dict:
        """Take a job, show what it does until it ends, give its result."""
        project = arguments["project"]
        here = f"{(task_vars or {}).get('inventory_hostname', '')}: {project}"
        pause, shown, vain = POLL_FIRST, "", 0
        limit = job_limit(int(arguments.get("wait_timeout") or 120))
        # Its own limit ends it; that is to be seen, and not to be told from here.
        end = time.monotonic() + limit + VAIN * POLL_LONGEST
        while time.monotonic() < end:
            time.sleep(pause)
            pause = min(pause * 1.5, POLL_LONGEST)
            now = self._ask("progress", arguments, job, task_vars)
            wrong = trouble(now)
            if wrong:
                pause, shown, vain = POLL_LONGEST, "", vain + 1
                if vain == 1:
                    display.display(f"  {here}: cannot be asked just now: {wrong}")
                if vain < VAIN:
                    continue
                what = f"what became of the work on {project} is not known, as the host cannot be asked ({wrong})"
                return unknown(f"{what}: it goes on there by itself, run the same again", now)
            vain = 0
            if now.get("result") or not now.get("alive"):
                # Only of a job that has ended: another's result would be lost.
                self._forget(here, arguments, job, task_vars)
                return now.get("result") or unknown(f"the work on {project} broke off on the host: run the same again")
            text = one_line(str(now.get("text") or ""), 200)
            if text and text != shown:
                shown = text
                display.display(f"  {here}: {shown}")
        hangs = f"the work on {project} goes on after its limit of {limit} s"
        return unknown(f"{hangs}: see what hangs on the host, run the same again")

    def _forget(self, here: str, arguments: dict, job: str, task_vars: dict | None) -> None:
        """Have the host forget a job that has ended. Its result is at hand, so that a failure is no more than told."""
        wrong = trouble(self._ask("forget", arguments, job, task_vars))
        if wrong:
            display.warning(f"{here}: what is noted of its work stays on the host until a later run sweeps it: {wrong}")


def trouble(answer: dict) -> str:
    """Take an answer of the module, give on one line why it says nothing of the job; empty where it does."""
    if not answer.get("failed") and not answer.get("unreachable"):
        return ""
    # Where the module's own answer is missing, ssh says why beside it; a traceback is no one line.
    beside = str(answer.get("module_stderr") or "")
    said = "" if "Traceback" in beside else one_line(beside, 200)
    return said or one_line(str(answer.get("msg") or ""), 200) or "it said nothing"


def unknown(message: str, answer: dict | None = None) -> dict:
    """Take what is wrong and the answer that said nothing, give the result where nobody knows how it stands."""
    way = "unreachable" if (answer or {}).get("unreachable") else "failed"
    return {way: True, "changed": True, "known": False, "msg": message}
