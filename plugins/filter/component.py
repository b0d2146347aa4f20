# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that the component roles render their stacks with."""

from __future__ import annotations

from ansible_collections.aztec_ops.prover.plugins.module_utils.component import (
    compose_project,
    container_environment,
    guarded_ports,
    image_reference,
    unreachable_broker,
)


class FilterModule:
    """The filters of this file; each is documented in the YAML file of its name."""

    def filters(self) -> dict:
        """Give the filters by name."""
        return {
            "compose_project": compose_project,
            "container_environment": container_environment,
            "guarded_ports": guarded_ports,
            "image_reference": image_reference,
            "unreachable_broker": unreachable_broker,
        }
