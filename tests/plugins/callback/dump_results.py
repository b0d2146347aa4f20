# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Record every result of a run, as a registered variable or another callback receives it."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: dump_results
type: aggregate
short_description: Writes every result of a run to a file
description:
  - Writes the result of every task, whether it succeeds, fails, is skipped, or its host is unreachable.
requirements: [none]
options:
  report:
    description: File that the results are added to.
    env: [{name: DUMP_RESULTS_REPORT}]
    type: str
    required: true
"""


class CallbackModule(CallbackBase):
    """Records what every other callback receives."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "dump_results"
    CALLBACK_NEEDS_ENABLED = True

    def _note(self, how: str, result: Any) -> None:
        whole = {"how": how, "host": result._host.get_name(), "task": result._task.get_name(), "result": result._result}
        # Read here, because the tests set the variable for a process that loaded its plugins earlier.
        with open(os.environ["DUMP_RESULTS_REPORT"], "a", encoding="utf-8") as report:
            report.write(json.dumps(whole, default=str) + "\n")

    def v2_runner_on_ok(self, result: Any) -> None:
        self._note("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._note("failed", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._note("skipped", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._note("unreachable", result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._note("item ok", result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._note("item failed", result)
