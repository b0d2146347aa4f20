# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters for Ethereum keys and addresses."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.filter.filter_errors import filter_errors
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import ethereum

NAMES = ("ethereum_address", "ethereum_checksum", "keystore", "publisher_environment")


class FilterModule:
    """The filters of this file. Each is documented in the YAML file with its name."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {name: filter_errors(getattr(ethereum, name), AnsibleFilterError) for name in NAMES}
