# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make the key of the node's admin API and store it in the inventory's vault, on the controller."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from ansible_collections.aztec_ops.prover.plugins.action.publisher_key import (
    ActionModule as PublisherKey,
)
from ansible_collections.aztec_ops.prover.plugins.action.publisher_key import (
    check_names,
    inventory_of,
    message_of,
    open_vault,
    request_of,
    vault_secrets,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.publishers import (
    ADMIN_KEY,
    ADMIN_KEY_HASH,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import vault_file

# The length of the key, as Aztec's own.
BYTES = 32
COMMENT = "The key of the node's admin API. The node gets its SHA-256."


class ActionModule(PublisherKey):
    """Run once, on the controller. The key is not shown. An error is one line."""

    argument_spec = {name: {"type": "raw"} for name in ("vault_file", "vault_id", "group")}

    def execute(self, arguments: dict, task_vars: dict) -> dict:
        """Store the key in the vault. The result does not contain it."""
        try:
            return self._store(arguments, task_vars)
        except (ValueError, OSError) as error:
            return {"failed": True, "msg": f"{message_of(error)}; nothing was written."}

    def _store(self, arguments: dict, task_vars: Mapping) -> dict:
        """Store the key. Raise ValueError or OSError if nothing was written."""
        request = request_of(arguments)
        check_names([str(name) for name in task_vars])
        folder, groups, hosts = inventory_of(request.group, task_vars)
        path = vault_file.vault_path(folder, request.vault_file, groups, hosts)
        given = vault_secrets()
        vault = open_vault(path, given, request.vault_id)
        vault.with_variables({ADMIN_KEY: ("", COMMENT)})
        self._check_not_set(task_vars, folder, groups, hosts, (ADMIN_KEY, ADMIN_KEY_HASH))
        done = {"changed": True, "file": vault.file, "variables": [ADMIN_KEY]}
        if self._task.check_mode:
            return {**done, "msg": f"Would add {ADMIN_KEY} to {vault.file}."}
        if not path.exists():
            self._confirm(vault.secret, path)
        with vault_file.locked(path.parent):
            # Another process may have changed it during a prompt.
            vault = open_vault(path, given, vault.vault_id)
            vault.write(vault.with_variables({ADMIN_KEY: (secrets.token_hex(BYTES), COMMENT)}), given)
        return {**done, "msg": f"The key of the admin API is in {vault.file}. Run site.yml to give the node its hash."}
