# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A replacement for a module: note the call, and return the result that a test has written for it."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Append `state project` of the arguments, or the task's name, to the file in the variable `script_calls`.

    The result is that of the call in the variable `script_results`, by default a success.
    """

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the result of the call."""
        found, arguments = task_vars or {}, self._task.args
        call = f"{arguments['state']} {arguments['project']}" if "project" in arguments else self._task.name
        with open(found["script_calls"], "a", encoding="utf-8") as file:
            file.write(f"{call}\n")
        return {"changed": True, **found["script_results"].get(call, {})}
