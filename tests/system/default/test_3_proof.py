"""The rollup contract accepts proofs that the provisioned agents made."""

from __future__ import annotations

from lab.fleet import proof
from lab.fleet.l1 import rpc
from tests.system.fleet import Fleet, wait_for
from tests.system.jobs import accepted, completed, of_epoch, submitted

PROVER_ID = "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc"
WITHIN = 420


def test_agents_prove_an_epoch(fleet: Fleet) -> None:
    """The L1 accepts an epoch of this prover, and its agents completed all jobs, including the root."""
    beyond, block = proof.proven_checkpoint(fleet.settings), proof.block_number(fleet.settings)
    proof.wait_for_proof(fleet.settings, beyond, block, WITHIN)
    on_l1 = {one.checkpoint: one for one in proof.proofs(fleet.settings, block)}
    epochs = wait_for("the node's log", lambda: [e for e, last in submitted(fleet).items() if last in on_l1], 30)

    epoch = epochs[-1]
    assert on_l1[submitted(fleet)[epoch]].prover == PROVER_ID
    by_agents = of_epoch(completed(fleet, "agent-1") | completed(fleet, "agent-2"), epoch)
    assert of_epoch(accepted(fleet), epoch) <= by_agents
    assert any(":ROOT_ROLLUP:" in job for job in by_agents)


def test_l1_finalizes_blocks_as_late_as_ethereum(fleet: Fleet) -> None:
    """A node that reads a final block before it reads its proof cannot start again."""
    final = int(rpc(fleet.settings.l1_url, "eth_getBlockByNumber", "finalized", False)["number"], 16)
    assert final == 0 or final <= proof.block_number(fleet.settings) - 64
