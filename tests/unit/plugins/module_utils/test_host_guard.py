# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a look at a host sees the port guard as it is."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils import host_guard, nft

BROKER = nft.section_of("prover_broker", [{"port": 8080, "sources": ["10.0.0.21"]}], ["aztec0"])
NODE = nft.section_of("prover_node", [{"port": 8081, "sources": []}], ["aztec0"])
TEXT = nft.table([BROKER, NODE])
RULES = TEXT[TEXT.index("chain prerouting") :]
WITHOUT_NODE = "\n".join(line for line in RULES.splitlines() if "shut_prover_node" not in line)


@pytest.mark.parametrize(
    ("code", "listing", "loaded"),
    [
        pytest.param(0, RULES, True, id="both_sections"),
        pytest.param(0, WITHOUT_NODE, False, id="one"),
        pytest.param(0, "table inet aztec_prover { chain prerouting { } }", False, id="flushed"),
        pytest.param(1, "", False, id="no_table"),
    ],
)
def test_loaded_means_a_rule_for_each_section(tmp_path, code, listing, loaded):
    directory = tmp_path / nft.DIRECTORY.lstrip("/")
    directory.mkdir(parents=True)
    for name in ("prover_broker", "prover_node"):
        (directory / f"{name}.json").write_text("{}")
    facts = host_guard.guard_facts(lambda command: (code, listing, ""), tmp_path, True)
    assert (facts["loaded"], facts["sections"]) == (loaded, ["prover_broker", "prover_node"])
