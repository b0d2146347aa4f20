# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the arguments of one role on its host, on the controller, without a connection to the host."""

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


class TemplatedVariables(Mapping):
    """The variables of a task, each templated on access."""

    def __init__(self, variables: Mapping, templar) -> None:
        self._variables, self._templar = variables, templar

    def __getitem__(self, name: str):
        return self._templar.template(self._variables[name])

    def __iter__(self) -> Iterator:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


class ActionModule(ActionBase):
    """The first step of a role. Show all problems as one table and fail with one line."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Check the arguments of the role on the host of the task."""
        result = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec({"role": {"type": "str", "required": True}})
        role, specs = arguments["role"], read_specs(ROLES)
        if role not in specs.options:
            roles = ", ".join(specs.options)
            raise AnsibleError(
                f"validate_role_arguments: '{role}' is not a role of this collection: choose from {roles}"
            )
        # The role's own defaults are not settings of the operator.
        defaults = specs.defaults[role]
        values = {
            name: value
            for name, value in resolve_variables(TemplatedVariables(task_vars, self._templar), specs).items()
            if name not in defaults or isinstance(value, UnresolvedValue) or task_vars[name] != defaults[name]
        }
        problems = check_role_arguments(role, task_vars["inventory_hostname"], values, specs)
        result["changed"] = False
        if problems:
            self._display.display(problem_table(problems), color="red")
            result["failed"] = True
            result["msg"] = (
                f"{count_problems(len(problems))} in the settings of {role}, in the table above; nothing was changed."
            )
        return result
