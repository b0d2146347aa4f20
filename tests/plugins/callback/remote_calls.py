# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Count the remote calls of each host: every module and command that goes over a connection."""

from __future__ import annotations

import functools
import importlib
import json
import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, Callable

from ansible import context
from ansible.executor.task_executor import TaskExecutor
from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: remote_calls
type: aggregate
short_description: Counts the remote calls of a run, by host
description:
  - Counts each module and each command when it is sent to a host. The sum includes fact gathering, retries, polls of
    asynchronous tasks, loops, delegated tasks and calls made inside action plugins.
  - A delegated call is counted for the host that it reaches.
  - The report also contains whether the run was in check mode, and where the collection was loaded from.
requirements: [none]
options:
  report:
    description: File to which the run's counts are added, one JSON object a line.
    env: [{name: REMOTE_CALLS_REPORT}]
    type: str
  count_local:
    description: Count calls over the local connection too.
    env: [{name: REMOTE_CALLS_COUNT_LOCAL}]
    type: bool
    default: false
"""


class _Journal:
    """The file in which the worker processes, forks of this one, record each call."""

    def __init__(self) -> None:
        descriptor, self.path = tempfile.mkstemp(prefix="remote-calls-")
        os.close(descriptor)
        self.host = ""
        self.depth = 0
        self.count_local = False

    def note(self, action: ActionBase, what: str) -> None:
        """Record a call, unless it is part of another one or stays on the controller."""
        if self.depth or (action._connection.transport == "local" and not self.count_local):
            return
        host = action._task.delegate_to or self.host
        line = json.dumps({"host": str(host), "task": action._task.get_name(), "call": what}) + "\n"
        with open(self.path, "a", encoding="utf-8") as journal:
            journal.write(line)

    def counting(
        self, method: Callable[..., Any], name: Callable[[ActionBase, tuple, dict], str | None]
    ) -> Callable[..., Any]:
        """Return `method`, wrapped to record each outermost call for which `name` returns a name."""

        @functools.wraps(method)
        def counted(action: ActionBase, *args: Any, **kwargs: Any) -> Any:
            what = name(action, args, kwargs)
            if what:
                self.note(action, what)
            self.depth += 1
            try:
                return method(action, *args, **kwargs)
            finally:
                self.depth -= 1

        return counted

    def naming(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return TaskExecutor.run, wrapped so that the worker knows the host of its task."""

        @functools.wraps(method)
        def named(executor: TaskExecutor, *args: Any, **kwargs: Any) -> Any:
            self.host = executor._host.name
            return method(executor, *args, **kwargs)

        return named

    def take(self) -> list[dict[str, str]]:
        """Return all calls of the run and remove the journal."""
        path = Path(self.path)
        calls = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        path.unlink()
        return calls


def _module_name(action: ActionBase, args: tuple, kwargs: dict) -> str:
    return str(kwargs.get("module_name") or (args[0] if args else None) or action._task.action)


def _command_name(action: ActionBase, args: tuple, kwargs: dict) -> str:
    return "command"


def _housekeeping(action: ActionBase, args: tuple, kwargs: dict) -> None:
    """Return None: a module's temporary directory is part of the call of that module."""


def _collection() -> str:
    """Return the directory from which this run loaded the collection, '' if it did not."""
    try:
        return os.path.realpath(importlib.import_module("ansible_collections.aztec_ops.prover").__path__[0])
    except ModuleNotFoundError:
        return ""


class CallbackModule(CallbackBase):
    """Shows the counts at the end of the run and adds them to the report."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "remote_calls"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.playbook = ""
        self.journal = _Journal()
        ActionBase._execute_module = self.journal.counting(ActionBase._execute_module, _module_name)
        ActionBase._low_level_execute_command = self.journal.counting(
            ActionBase._low_level_execute_command, _command_name
        )
        ActionBase._make_tmp_path = self.journal.counting(ActionBase._make_tmp_path, _housekeeping)
        ActionBase._remove_tmp_path = self.journal.counting(ActionBase._remove_tmp_path, _housekeeping)
        TaskExecutor.run = self.journal.naming(TaskExecutor.run)

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Read the options, which are available from now on."""
        self.playbook = os.path.basename(playbook._file_name)
        self.journal.count_local = self.get_option("count_local")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Show and report the counts."""
        calls: dict[str, list[str]] = defaultdict(list)
        for call in self.journal.take():
            calls[call["host"]].append(f"{call['task']}: {call['call']}")
        summaries = {host: stats.summarize(host) for host in stats.processed}
        self._display.banner("REMOTE CALLS")
        for host in sorted(calls):
            self._display.display(f"{host:26} : calls={len(calls[host])}")
            for call in calls[host]:
                self._display.display(f"    {call}")
        report = self.get_option("report")
        if report:
            with open(report, "a", encoding="utf-8") as lines:
                run = {
                    "playbook": self.playbook,
                    "check": bool(context.CLIARGS["check"]),
                    "collection": _collection(),
                    "calls": calls,
                    "stats": summaries,
                }
                lines.write(json.dumps(run) + "\n")
