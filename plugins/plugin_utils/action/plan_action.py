# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Base class for actions that plan what a run does on its hosts, by their host info."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.base import CollectionActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import to_builtin
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import count_errors, problem_table

# The variable in which the role preflight registers the result of each host.
GATHERED = "__preflight_gathered"


class PlanActionBase(CollectionActionBase):
    """An action that runs once for all hosts, after their host info was gathered."""

    def host_info(self, task_vars: Mapping, host: str) -> dict | None:
        """Return the host info of a host, None if it is unreachable."""
        return (to_builtin(task_vars["hostvars"][host].get(GATHERED)) or {}).get("host_info")

    def failure_of(self, problems: Sequence, hosts: Sequence[str]) -> dict | None:
        """Display problems as a table. Return the result of a failure if one is an error, else None."""
        errors = any(one.level == "error" for one in problems)
        if problems:
            self._display.display(f"\n{problem_table(problems, hosts)}", color="red" if errors else "yellow")
        if not errors:
            return None
        msg = f"{count_errors(problems, hosts)} on the hosts, in the table above; nothing was changed."
        return {"selected": [], "failed": True, "msg": msg}
