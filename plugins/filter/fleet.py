# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters for values that are derived from the inventory."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.filter.filter_errors import filter_errors
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.addresses import broker_url, publications
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.prover_id import prover_id


class FilterModule:
    """The filters of this file. Each is documented in the YAML file of its name."""

    def filters(self) -> dict:
        """Return the filters by name."""
        functions = (broker_url, fleet, prover_id, publications)
        return {one.__name__: filter_errors(one, AnsibleFilterError) for one in functions}
