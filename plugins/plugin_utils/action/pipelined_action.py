# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Base class of the actions that run a module whose arguments contain secrets."""

from __future__ import annotations

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.base import CollectionActionBase


class PipelinedActionBase(CollectionActionBase):
    """An action that sends its module over standard input, even where pipelining is disabled in the configuration.

    Without pipelining, Ansible writes the module's arguments to a temporary file on the host.
    """

    _requires_connection = True
    _supports_diff = True

    def can_pipeline(self) -> bool:
        """Return whether connection and become method support pipelining."""
        connection = self._connection
        return bool(connection.has_pipelining and (not connection.become or connection.become.pipelining))

    def _is_pipelining_enabled(self, module_style: str, wrap_async: bool = False) -> bool:
        return module_style == "new" and not wrap_async and self.can_pipeline()

    def pipelining_failure(self, has_secrets: bool) -> dict | None:
        """Return the failed result of a call that would write secrets to a file on the host, else None."""
        if not has_secrets or self.can_pipeline():
            return None
        become = self._connection.become
        if self._connection.has_pipelining:
            wrong = f"the become method {become.name} would leave secrets in a file on the host: "
            wrong += "set ansible_become_method: sudo"
        else:
            wrong = f"the connection {self._connection.transport} would leave secrets in a file on the host: "
            wrong += "set ansible_connection: ssh"
        return {"failed": True, "changed": False, "msg": f"{self._task.action.rpartition('.')[2]}: {wrong}"}
