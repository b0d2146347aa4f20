# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that derive values from the inventory, the host info, and the release line."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import release_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.filter.filter_errors import filter_errors
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.hardware_checks import agent_count
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.network_version_checks import l1_queries


def release(version: str, line: str = "") -> dict:
    """Return the release line of a version. line: the release line that applies to an unknown version."""
    return release_of(version, line).as_dict()


class FilterModule:
    """The filters of this file. The YAML file of the same name documents each filter."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {
            function.__name__: filter_errors(function, AnsibleFilterError)
            for function in (agent_count, l1_queries, release)
        }
