# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check what one role is used with on its host, on the controller, with no connection to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import ROLES, read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import (
    UnresolvedValue,
    resolve_variables,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import count_problems, problem_table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_role_arguments


class Templated(Mapping):
    """Variables of a task, each worked out when it is asked for."""

    def __init__(self, variables: Mapping, templar) -> None:
        self._variables, self._templar = variables, templar

    def __getitem__(self, name: str):
        return self._templar.template(self._variables[name])

    def __iter__(self) -> Iterator:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


class ActionModule(ActionBase):
    """Run as a role's first step; shows all problems as one table and fails with one line."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Check the settings of the role on the task's host."""
        result = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec({"role": {"type": "str", "required": True}})
        role, specs = arguments["role"], read_specs(ROLES)
        if role not in specs.options:
            raise AnsibleError(
                f"validate_role_arguments: there is no role '{role}', but there are {', '.join(specs.options)}"
            )
        # What the role's own defaults give is no setting of anybody's.
        defaults = specs.defaults[role]
        values = {
            name: value
            for name, value in resolve_variables(Templated(task_vars, self._templar), specs).items()
            if name not in defaults or isinstance(value, UnresolvedValue) or task_vars[name] != defaults[name]
        }
        host = task_vars["inventory_hostname"]
        problems = check_role_arguments(role, host, values, specs)
        result["changed"] = False
        if problems:
            self._display.display(problem_table(problems), color="red")
            what = count_problems(len(problems))
            result.update(
                failed=True, msg=f"{what} in the settings of {role}, in the table above; nothing was touched."
            )
        return result
