# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the arguments of one role on its host, on the controller, without a connection to the host."""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.base import CollectionActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import ROLES, read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import (
    UnresolvedValue,
    resolve_variables,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import count_problems, problem_table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_role_arguments


class ActionModule(CollectionActionBase):
    """The first step of a role. Show all problems as one table and fail with one line."""

    argument_spec = {"role": {"type": "str", "required": True}}

    def execute(self, arguments: dict, task_vars: dict) -> dict:
        """Check the arguments of the role on the host of the task."""
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
            for name, value in resolve_variables(task_vars, specs, template=self._templar.template).items()
            if name not in defaults or isinstance(value, UnresolvedValue) or task_vars[name] != defaults[name]
        }
        problems = check_role_arguments(role, task_vars["inventory_hostname"], values, specs)
        if not problems:
            return {}
        self._display.display(problem_table(problems), color="red")
        what = f"{count_problems(len(problems))} in the settings of {role}"
        return {"failed": True, "msg": f"{what}, in the table above; nothing was changed."}
