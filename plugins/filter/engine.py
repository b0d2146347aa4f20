# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the role docker_engine."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.openpgp import checked_key
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.plan import engine_plan
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.filter.filter_errors import filter_errors


class FilterModule:
    """The filters of this file. Each is documented in the YAML file with its name."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {
            function.__name__: filter_errors(function, AnsibleFilterError) for function in (checked_key, engine_plan)
        }
