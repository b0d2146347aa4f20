# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters for the fleet's derived values."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.filter.filter_errors import filter_errors
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet, publications


class FilterModule:
    """The filters of this file; each is documented in the YAML file of its name."""

    def filters(self) -> dict:
        """Give the filters by name."""
        return {one.__name__: filter_errors(one, AnsibleFilterError) for one in (fleet, publications)}
