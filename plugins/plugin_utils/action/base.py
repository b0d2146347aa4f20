# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Base class of the action plugins."""

from __future__ import annotations

from ansible.plugins.action import ActionBase


class CollectionActionBase(ActionBase):
    """An action that works on the controller and supports check mode.

    A subclass sets `argument_spec` and implements `execute`.
    """

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    # The options that the action validates. None: a module validates them.
    argument_spec: dict | None = None

    def run(self, tmp: str | None = None, task_vars: dict | None = None) -> dict:
        """Validate the options, execute the action, and return its result."""
        del tmp
        result = super().run(task_vars=task_vars)
        arguments = dict(self._task.args)
        if self.argument_spec is not None:
            _validated, arguments = self.validate_argument_spec(self.argument_spec)
        return {**result, "changed": False, **self.execute(arguments, task_vars)}

    def execute(self, arguments: dict, task_vars: dict | None) -> dict:
        """Do the work of the task and return its result."""
        raise NotImplementedError
