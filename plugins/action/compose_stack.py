# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run compose_stack with one remote call if nothing has to be done, otherwise as a job whose progress is shown."""

from __future__ import annotations

import json
import secrets
import time

import yaml
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.utils.display import Display
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.job import job_limit
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.pipelined_action import PipelinedActionBase

display = Display()

YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Seconds that a query waits on the host for the end of a job. Its progress is shown in this interval.
WAIT_SECONDS = 4.0
# Queries that may fail in a row, and the seconds between them: a minute, for a restart of sshd or a lost connection.
MAX_FAILURES = 12
FAILURE_SECONDS = 5.0


def as_json_text(value: object) -> object:
    """Return an option that holds a JSON object as text, None for an empty one.

    Ansible would hide every `{}` in the output because of the text of an empty object.
    """
    if isinstance(value, dict):
        value = json.dumps(value)
    if isinstance(value, str) and value.strip() in ("", "{}"):
        return None
    return value


def compose_model(text: object) -> dict:
    """Return the content of a Compose file, {} if it is not a mapping. Raise ValueError if it is not YAML."""
    try:
        # Through JSON, which has only the types that a module can be passed.
        found = json.loads(json.dumps(yaml.load(str(text), Loader=YAML_LOADER), default=str))
    except (yaml.YAMLError, TypeError, ValueError) as wrong:
        mark = getattr(wrong, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise ValueError(f"compose is not YAML{where}: correct the template") from wrong
    return found if isinstance(found, dict) else {}


class ActionModule(PipelinedActionBase):
    """Inspects the host, and applies changes, with progress, only if there are any."""

    _supports_async = False

    def execute(self, arguments: dict, task_vars: dict | None) -> dict:
        if "files" in arguments:
            arguments["files"] = as_json_text(arguments["files"])
        if arguments.get("state") == "pulled":
            # A pull may take an hour, and a job keeps its arguments in memory: leave the secrets out.
            arguments = {key: value for key, value in arguments.items() if key not in ("env", "files")}
        secret = arguments.get("files") or (arguments.get("env") and arguments.get("secret_variables"))
        refused = self.pipelining_failure(bool(secret))
        if not refused and arguments.get("compose"):
            try:
                arguments["_model"] = compose_model(arguments["compose"])
            except ValueError as wrong:
                refused = {"failed": True, "changed": False, "msg": str(wrong)}
        if refused or self._task.check_mode:
            inspect = {**arguments, "_phase": "inspect"}
            found = refused or self._execute_module(module_args=inspect, task_vars=task_vars)
            found.pop("_todo", None)
            return found
        return self._apply(arguments, task_vars)

    def _apply(self, arguments: dict, task_vars: dict | None) -> dict:
        """Run the module as a job on the host until it ends, and return its result. Without work, no job is started."""
        job = secrets.token_hex(8)
        started = self._call({**arguments, "_phase": "start", "_job": job}, task_vars)
        if started.get("started"):
            done = self._follow(arguments, job, task_vars)
            return {**({"diff": started["diff"]} if "diff" in started else {}), **done}
        if not is_lost(started):
            return started
        wrong = f"it is unknown whether the work on {arguments['project']} has begun ({trouble(started)})"
        return unknown(f"{wrong}: run the same command again", started)

    def _call(self, arguments: dict, task_vars: dict | None) -> dict:
        """Return the module's result. A lost connection is a result too."""
        try:
            return self._execute_module(module_args=arguments, task_vars=task_vars)
        except AnsibleConnectionFailure as wrong:
            return {"unreachable": True, "msg": str(wrong)}
        except AnsibleError as wrong:
            return {"failed": True, "msg": str(wrong), "module_stderr": ""}

    def _query(self, phase: str, arguments: dict, job: str, task_vars: dict | None) -> dict:
        """Call the module for a running job. These calls do not contain secrets."""
        project = {key: arguments[key] for key in ("project", "directory")}
        phase_of_job = {"_phase": phase, "_job": job, "_wait": WAIT_SECONDS if phase == "progress" else 0.0}
        return self._call({**project, "state": "absent", **phase_of_job}, task_vars)

    def _follow(self, arguments: dict, job: str, task_vars: dict | None) -> dict:
        """Show the progress of a job until it ends, and return its result."""
        project = arguments["project"]
        here = f"{(task_vars or {}).get('inventory_hostname', '')}: {project}"
        shown, failures = "", 0
        limit = job_limit(int(arguments.get("wait_timeout") or 120), int(arguments.get("drain_timeout") or 0))
        # The job ends at its own limit. Wait longer than that, to see its result.
        end = time.monotonic() + limit + MAX_FAILURES * FAILURE_SECONDS
        while time.monotonic() < end:
            now = self._query("progress", arguments, job, task_vars)
            wrong = trouble(now)
            if wrong:
                shown, failures = "", failures + 1
                if failures == 1:
                    display.display(f"  {here}: no progress for now: {wrong}")
                if failures < MAX_FAILURES:
                    time.sleep(FAILURE_SECONDS)
                    continue
                what = f"the result of the work on {project} is unknown, as the host does not respond ({wrong})"
                return unknown(f"{what}: it continues there, run the same command again", now)
            failures = 0
            if now.get("result") or not now.get("alive"):
                # Only after the job has ended: otherwise its result would be lost.
                wrong = trouble(self._query("forget", arguments, job, task_vars))
                if wrong:
                    left = "the state of its job stays on the host until a later run removes it"
                    display.warning(f"{here}: {left}: {wrong}")
                interrupted = f"the work on {project} was interrupted on the host: run the same command again"
                return now.get("result") or unknown(interrupted)
            text, detail = (printable(str(now.get(key) or ""), 200) for key in ("text", "detail"))
            if text and (text != shown or detail):
                shown = text
                display.display(f"  {here}: {shown}{detail and f', {detail}'}")
        hangs = f"the work on {project} continues after its limit of {limit} s"
        return unknown(f"{hangs}: check what hangs on the host, then run the same command again")


def is_lost(answer: dict) -> bool:
    """Return whether a result is not one of the module: the host did not answer, or only with another text."""
    own = "msg" in answer and not {"module_stderr", "module_stdout"} & set(answer)
    return bool(answer.get("unreachable")) or bool(answer.get("failed") and not own)


def trouble(answer: dict) -> str:
    """Return on one line why a result of the module does not describe the job, '' if it does."""
    if not answer.get("failed") and not answer.get("unreachable"):
        return ""
    # Without a result of the module, ssh prints why. A traceback is not one line.
    errors = str(answer.get("module_stderr") or "")
    reason = "" if "Traceback" in errors else printable(errors, 200)
    return reason or printable(str(answer.get("msg") or ""), 200) or "no error output"


def unknown(message: str, answer: dict | None = None) -> dict:
    """Return the result if the state of the project is unknown. answer: the last result of the module."""
    kind = "unreachable" if (answer or {}).get("unreachable") else "failed"
    return {kind: True, "changed": True, "known": False, "msg": message}
