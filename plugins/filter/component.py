# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters with which the component roles render their Compose projects."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import component, inventory_header
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.dotenv import dotenv
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.yaml_text import yaml_scalar
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec import crs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.filter.filter_errors import filter_errors


class FilterModule:
    """The filters of this file; each is documented in the YAML file of its name."""

    def filters(self) -> dict:
        """Return the filters by name."""
        functions = (
            component.agent_layout,
            component.component_names,
            component.container_environment,
            component.guard_section,
            component.image_reference,
            component.unreachable_broker,
            crs.crs_delivery,
            crs.crs_to_copy,
            inventory_header.inventory_name,
            inventory_header.other_inventory,
            dotenv,
            yaml_scalar,
        )
        return {function.__name__: filter_errors(function, AnsibleFilterError) for function in functions}
