# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that say how agents come by the CRS."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec import crs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.filter.filter_errors import filter_errors


class FilterModule:
    """The filters of this file; each is documented in the YAML file of its name."""

    def filters(self) -> dict:
        """Give the filters by name."""
        return {
            name: filter_errors(getattr(crs, name), AnsibleFilterError)
            for name in ("crs_to_copy", "crs_delivery", "with_crs_seed")
        }
