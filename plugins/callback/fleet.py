# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Display only what a run changes, what fails, and one line with the verdict."""

from __future__ import annotations

DOCUMENTATION = """
name: fleet
type: stdout
author:
  - Aztec Ops (@aztec-ops)
short_description: Display only changes, failures and a verdict
version_added: 1.0.0
description:
  - Displays what a run changes, what fails, messages of M(ansible.builtin.debug), warnings, and one last line with the
    verdict. Does not display results that are ok or skipped, names of tasks without displayed results, and the recap.
    To use it, set C(stdout_callback = aztec_ops.prover.fleet) in the section C([defaults]) of C(ansible.cfg).
  - Tasks that can take minutes display their name when they start.
  - On a terminal that is narrower than a table of this collection's actions, the cells of the table are wrapped. If its
    columns would become too narrow, each row is displayed as a block of lines, one for each column.
  - With C(-v), the output is that of P(ansible.builtin.default#callback). Only then, O(display_ok_hosts),
    O(display_skipped_hosts), O(show_custom_stats) and O(show_task_path_on_failure) have an effect.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as stdout in configuration
"""

import functools
import os
import re
import shutil
import sys

from ansible import constants as C
from ansible import context
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as DefaultCallback
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable, printable_lines
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.fit_tables import fit_tables
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.run_output import (
    cut,
    reason,
    verdict,
    what_changed,
)

BUILTIN = "ansible.builtin."
COLLECTION = "aztec_ops.prover."
# Actions that can take minutes.
LONG = {
    *("apt", f"{BUILTIN}apt", "systemd_service", f"{BUILTIN}systemd_service"),
    *("compose_stack", f"{COLLECTION}compose_stack"),
}
# Actions that check all hosts of a run. Their result can contain the verdict.
CHECK_NAMES = (
    *("check_hosts", "fleet_logs", "fleet_status", "plan_operation", "plan_removal", "prove_again", "rewards"),
    "validate_inventory",
)
CHECKS = {f"{COLLECTION}{name}" for name in CHECK_NAMES}
# The message of a failed action that displayed its problems as a table.
IN_TABLE = re.compile(r"\bin the table above\b", re.IGNORECASE)


def terminal_width():
    """Return the number of columns of the terminal that displays the output, or None if it is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def concise(method):
    """Make a method apply only without -v. With -v, the default callback's method of the same name runs."""

    @functools.wraps(method)
    def chosen(self, *args, **kwargs):
        if self._display.verbosity:
            return getattr(super(CallbackModule, self), method.__name__)(*args, **kwargs)
        return method(self, *args, **kwargs)

    return chosen


def silent(name):
    """Return a method of this name that displays nothing without -v."""

    def nothing(self, *args, **kwargs):
        """Display nothing."""

    nothing.__name__ = name
    return concise(nothing)


class CallbackModule(DefaultCallback):
    """The default callback with less output."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "aztec_ops.prover.fleet"

    def __init__(self):
        super().__init__()
        self._play_heading = self._last_play_heading = self._reported = self._last_text = ""
        self._explained = False
        self._implicit_hosts = set()
        self._write = self._display.display
        self._display.display = self._display_or_discard

    def set_options(self, task_keys=None, var_options=None, direct=None):
        """Read the options. Without -v, the default callback does not display ok and skipped results."""
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)
        if not self._display.verbosity:
            self._plugin_options.update(display_ok_hosts=False, display_skipped_hosts=False)

    def _display_or_discard(self, msg, color=None, stderr=False, *args, **kwargs):
        """Display a text, as Display.display does. If the reader of the output ended, as of `| head -1`, discard it.

        Otherwise, the error would stop Ansible's thread for results and for texts of actions, and the run would hang.
        Tables are made to fit the terminal here, because the processes of actions do not have one.
        """
        width = None if stderr else terminal_width()
        msg = msg if width is None else fit_tables(msg, width)
        stream = sys.stderr if stderr else sys.stdout
        try:
            self._write(msg, color, stderr, *args, **kwargs)
            # Through a pipe, output would otherwise arrive only at the end of the run.
            stream.flush()
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        self._last_text = self._last_text if stderr else msg

    def _space(self):
        """Display an empty line, except at the start and after another one."""
        if self._last_text and not self._last_text.endswith("\n"):
            self._show("")

    def _show(self, text, color=None, *, stderr=False, whole=False):
        """Display a text. Unless whole, cut it to the width of the terminal."""
        self._display.display(cut(text, None if whole else terminal_width()), color=color, stderr=stderr)

    def _heading(self, task):
        if self._last_task_banner != task._uuid:
            self._print_task_banner(task)

    def _marked(self, text, task_or_play):
        return text + " [CHECK MODE]" * bool(task_or_play.check_mode and self.get_option("check_mode_markers"))

    @concise
    def _print_task_banner(self, task):
        if self._play_heading != self._last_play_heading:
            self._space()
            self._show(self._play_heading)
            self._last_play_heading = self._play_heading
        name = printable(self._last_task_name or task.get_name())
        self._show(self._marked(f"{self._task_type_cache.get(task._uuid, 'TASK')} [{name}]", task))
        self._last_task_banner = task._uuid

    @concise
    def _task_start(self, task, prefix=None):
        super()._task_start(task, prefix)
        if task.action in LONG:
            self._heading(task)

    @concise
    def v2_playbook_on_play_start(self, play):
        self._play = play
        self._play_heading = self._marked(f"PLAY [{printable(play.get_name())}]", play)

    @concise
    def v2_runner_on_start(self, host, task):
        if host.implicit:
            self._implicit_hosts.add(host.name)
        super().v2_runner_on_start(host, task)

    def _succeeded(self, result, label=""):
        """Display a result or item that is changed or a message."""
        values, message = result.result, result.task.action in C._ACTION_DEBUG
        self._handle_warnings(values)
        state = "changed" if values.get("changed") else "ok"
        if state == "ok" and not message:
            return
        text = what_changed(values)
        self._heading(result.task)
        if message:
            self._clean_results(values, result.task.action)
            msg = values.get("msg")
            text = printable_lines(msg) if isinstance(msg, str) else f"=> {self._dump_results(values)}"
        text = f"{label}: {text}" if label and text else label or text
        color = C.COLOR_CHANGED if state == "changed" else C.COLOR_OK
        self._show(f"{state}: [{self.host_label(result)}] {text}".rstrip(), color, whole=message)

    def _failed(self, result, ignored, label="", state="failed"):
        """Display a failed result or item: one line, and the logs and differences that it contains."""
        values, stderr = result.result, self.get_option("display_failed_stderr")
        self._handle_warnings(values)
        color = C.COLOR_WARN if ignored else C.COLOR_ERROR if state == "failed" else C.COLOR_UNREACHABLE
        what = [printable(result.task_name), label] if state == "failed" else [label]
        text = ": ".join([*filter(None, what), reason(values)])
        self._heading(result.task)
        shown = f"{state}, ignored" if ignored and state == "failed" else state
        self._show(f"{shown}: [{self.host_label(result)}] {text}", color, stderr=stderr, whole=True)
        logs = values.get("logs") or []
        for line in logs.splitlines() if isinstance(logs, str) else logs:
            self._show(f"    {printable_lines(str(line))}", color, stderr=stderr, whole=True)
        if values.get("diff") and result.task.diff:
            self._show(self._get_diff(values["diff"]), stderr=stderr, whole=True)

    def _note_verdict(self, result, *, stale, failed=False, default=""):
        """Store the verdict of a result, or else the default. stale: the result makes an earlier verdict obsolete."""
        text = result.result.get("verdict") if result.task.action in CHECKS else None
        text = text if isinstance(text, str) and text else default
        if text or stale:
            self._reported, self._explained = printable(text), bool(text and failed)

    @concise
    def v2_runner_on_ok(self, result):
        self._note_verdict(result, stale=result.result.get("changed"))
        if isinstance(result.task, TaskInclude) or (result.task.loop and "results" in result.result):
            self._handle_warnings(result.result)
        else:
            self._succeeded(result)

    @concise
    def v2_runner_item_on_ok(self, result):
        if not isinstance(result.task, TaskInclude):
            self._succeeded(result, printable(str(self._get_item_label(result.result))))

    @concise
    def v2_runner_on_failed(self, result, ignore_errors=False):
        values = result.result
        in_table = not ignore_errors and IN_TABLE.search(str(values.get("msg")))
        self._note_verdict(
            result, stale=not ignore_errors, failed=not ignore_errors, default=reason(values) if in_table else ""
        )
        items = values.get("results") if result.task.loop else None
        if in_table or (items and any(isinstance(item, dict) and item.get("failed") for item in items)):
            self._handle_warnings(values)
        else:
            self._failed(result, ignore_errors)

    @concise
    def v2_runner_item_on_failed(self, result):
        ignored = bool(result.task_fields.get("ignore_errors"))
        self._failed(result, ignored, printable(str(self._get_item_label(result.result))))

    @concise
    def v2_runner_on_unreachable(self, result):
        ignored = bool(result.task.ignore_unreachable)
        self._note_verdict(result, stale=not ignored)
        self._failed(result, ignored, state="unreachable")

    @concise
    def v2_runner_retry(self, result):
        self._heading(result.task)
        left = result.result["retries"] - result.result["attempts"]
        name = printable(result.task_name)
        self._show(f"retrying: [{self.host_label(result)}] {name}: {left} left", C.COLOR_DEBUG)

    v2_playbook_on_include = silent("v2_playbook_on_include")
    v2_playbook_on_no_hosts_matched = silent("v2_playbook_on_no_hosts_matched")
    v2_playbook_on_no_hosts_remaining = silent("v2_playbook_on_no_hosts_remaining")
    v2_runner_on_async_poll = silent("v2_runner_on_async_poll")
    v2_runner_on_async_ok = silent("v2_runner_on_async_ok")
    v2_runner_on_async_failed = silent("v2_runner_on_async_failed")

    @concise
    def v2_playbook_on_stats(self, stats):
        """Display the verdict."""
        hosts = set(stats.processed)
        counts = [sum(map(bool, of.values())) for of in (stats.changed, stats.failures, stats.dark)]
        text = verdict(
            self._reported,
            len(hosts - self._implicit_hosts or hosts),
            *counts,
            explained=self._explained,
            check=context.CLIARGS["check"],
        )
        color = C.COLOR_ERROR if any(counts[1:]) else C.COLOR_OK
        self._space()
        self._show(text, color, whole=True)
