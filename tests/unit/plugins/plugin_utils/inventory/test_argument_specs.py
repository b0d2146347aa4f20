# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The specifications of the roles."""

from __future__ import annotations

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import (
    unknown_variables,
)

from tests.unit.plugins.plugin_utils.inventory.inventories import SPECS


def test_every_real_name_is_known() -> None:
    assert unknown_variables(SPECS.names(), SPECS) == {}
