# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Modules whose arguments are secret: they go to the host through the module's input, and lie in no file on the way."""

from __future__ import annotations

from ansible.plugins.action import ActionBase


class PipelinedActionBase(ActionBase):
    """An action whose own calls are pipelined wherever the connection can do that, whatever the settings say."""

    def can_pipeline(self) -> bool:
        """Tell whether connection and become method can pass a module through its input."""
        connection = self._connection
        return bool(connection.has_pipelining and (not connection.become or connection.become.pipelining))

    def _is_pipelining_enabled(self, module_style: str, wrap_async: bool = False) -> bool:
        return module_style == "new" and not wrap_async and self.can_pipeline()

    def refusal(self, secret: bool) -> dict | None:
        """Take whether a call has secrets, give the result that refuses it, or None where it may be made."""
        if not secret or self.can_pipeline():
            return None
        become = self._connection.become
        if self._connection.has_pipelining:
            wrong = f"the become method {become.name} would leave secrets in a file on the host: "
            wrong += "set ansible_become_method: sudo"
        else:
            wrong = f"the connection {self._connection.transport} would leave secrets in a file on the host: "
            wrong += "set ansible_connection: ssh"
        return {"failed": True, "changed": False, "msg": f"{self._task.action.rpartition('.')[2]}: {wrong}"}
