# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A replacement for a module: write the module's arguments to a file on the controller."""

from __future__ import annotations

import json
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Writes all arguments as JSON to the file in `__file__`."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write the arguments, templated by Ansible as for any module."""
        arguments = dict(self._task.args)
        with open(arguments.pop("__file"), "w", encoding="utf-8") as file:
            json.dump(arguments, file)
        return {"changed": False}
