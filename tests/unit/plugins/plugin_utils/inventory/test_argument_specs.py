# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The specifications of the roles."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import (
    unknown_variables,
)

from tests.unit.plugins.plugin_utils.inventory.inventories import SPECS


def test_every_real_name_is_known() -> None:
    assert unknown_variables(SPECS.names(), SPECS) == {}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("prover_privatekey", "prover_node_publisher_private_key"),
        ("prover_node_private_key", "prover_node_publisher_private_key"),
        ("prover_publisher_privatekey", "prover_node_publisher_private_key"),
        ("prover_node_publisher_private_keyz", "prover_node_publisher_private_key"),
        ("prover_node_publisher_privatekeys", "prover_node_publisher_private_keys"),
        ("prover_node_clam_private_key", "prover_node_claim_private_key"),
        ("prover_claim_privatekey", "prover_node_claim_private_key"),
        ("prover_node_funding_private_key", "prover_node_funding_account_private_key"),
        ("prover_agent_cuont", "prover_agent_count"),
        ("aztec_verison", "aztec_version"),
        ("aztec_qqqqqqqqqqqqqq", None),
    ],
)
def test_nearest_name(name: str, near: str | None) -> None:
    """The first of these is closest to prover_node_claim_private_key, which is the shortest of the keys' names."""
    assert unknown_variables([name], SPECS) == {name: near}
