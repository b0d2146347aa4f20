# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""End a run with one line if the plugin of an inventory file is not installed."""

from __future__ import annotations

DOCUMENTATION = """
name: require_plugin
author:
  - Aztec Ops (@aztec-ops)
short_description: End a run if the plugin of an inventory file is not installed
version_added: 1.0.0
description:
  - Ends the run with one line if a YAML file of the inventory names an inventory plugin that is not installed.
    Otherwise, Ansible displays the errors of each plugin that tries to read the file, and can continue without
    its hosts.
  - Does not read any hosts. Set it as the first entry of C(enable_plugins) in the section C([inventory]) of
    C(ansible.cfg), before those of ansible-core.
"""

EXAMPLES = """
# ansible.cfg
# [inventory]
# enable_plugins = aztec_ops.prover.require_plugin, host_list, script, auto, yaml, ini, toml
"""

from pathlib import Path

from ansible.plugins.inventory import BaseInventoryPlugin
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.sources import missing_plugin


class InventoryModule(BaseInventoryPlugin):
    """Accepts only files whose plugin is not installed."""

    NAME = "aztec_ops.prover.require_plugin"

    def verify_file(self, path: str) -> bool:
        """Return whether the file names an inventory plugin that is not installed."""
        return super().verify_file(path) and bool(self._problem(path))

    def parse(self, inventory, loader, path, cache=True):
        """Display the line and end the process: after an exception, Ansible tries all other plugins."""
        self.display.error(self._problem(path), wrap_text=False)
        raise SystemExit(1)

    @staticmethod
    def _problem(path: str) -> str:
        return missing_plugin(Path(path))
