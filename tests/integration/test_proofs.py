# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What status.yml reads of Aztec's contracts on a real anvil: the epochs, their proofs and the prover's own."""

from __future__ import annotations

import time

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.health import l1_proofs, l1_tips
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.proofs import PROOF_VERIFIED
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.earning import epoch_states

from tests.integration.rewards_chain import REGISTRY, ROLLUP, Chain

PROVER, OTHER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC", "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
SENDER = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"


@pytest.fixture(name="chain")
def fixture_chain(tmp_path):
    """Return an anvil with the lab's L1, whose epochs begin now. Checkpoint 1 is proven, and in epoch 7."""
    chain = Chain(tmp_path)
    # A transaction, because the newest block of the state is old.
    chain.enable()
    chain.begin()
    chain.reward(PROVER, {7: 10**18})
    yield chain
    chain.end()


def begin_epoch(chain: Chain, epoch: int) -> None:
    """Move the time to the begin of an epoch."""
    names = ("getGenesisTime", "getEpochDuration", "getSlotDuration")
    genesis, slots, seconds = (chain.value(f"{name}()", "uint256", ROLLUP) for name in names)
    chain.rpc("evm_setNextBlockTimestamp", genesis + epoch * slots * seconds)
    chain.rpc("anvil_mine", "0x1")


def accept(chain: Chain, prover: str, checkpoint: int) -> str:
    """Emit the rollup's event for an accepted proof from its address. Return the transaction."""
    own = chain.rpc("eth_getCode", ROLLUP, "latest")
    topics = f"7f{int(prover, 16):064x}7f{checkpoint:064x}7f{PROOF_VERIFIED[2:]}"
    chain.rpc("anvil_setCode", ROLLUP, f"0x{topics}60006000a300")
    sent = chain.rpc("eth_sendTransaction", {"from": SENDER, "to": ROLLUP, "gas": hex(100_000)})
    end = time.monotonic() + 10
    while not chain.rpc("eth_getTransactionReceipt", sent):
        assert time.monotonic() < end
        time.sleep(0.05)
    chain.rpc("anvil_setCode", ROLLUP, own)
    return sent


def read(chain: Chain, epochs: int = 3) -> dict:
    """Return the proofs as the node's host reads them."""
    return l1_proofs([chain.url], l1_tips([chain.url], REGISTRY), PROVER, epochs, 1)


def test_epochs_and_their_proofs(chain) -> None:
    """Before a proof, after that of another prover, after the own one, and when it is too old to count."""
    begin_epoch(chain, 9)
    found = read(chain)
    assert (found["error"], found["epoch"], found["accepted"], found["last"]) == ("", 9, [], None)
    assert (found["pending_epoch"], found["proven_epoch"]) == (7, 7)
    assert (found["epoch_seconds"], found["submission_epochs"]) == (48, 1000)
    assert epoch_states(found, PROVER, 3) == {6: "empty", 7: "empty", 8: "empty"}

    accept(chain, OTHER, 1)
    found = read(chain)
    assert found["accepted"] == [{"epoch": 7, "prover": OTHER.lower()}]
    assert epoch_states(found, PROVER, 3) == {6: "empty", 7: "others", 8: "empty"}

    transaction = accept(chain, PROVER, 1)
    found = read(chain)
    block = chain.rpc("eth_getBlockByNumber", "latest", False)
    assert found["last"] == {"epoch": 7, "time": int(block["timestamp"], 16), "transaction": transaction}
    assert epoch_states(found, PROVER, 3) == {6: "empty", 7: "own", 8: "empty"}

    begin_epoch(chain, 30)
    chain.rpc("anvil_mine", "0x3")
    found = read(chain)
    assert (found["epoch"], epoch_states(found, PROVER, 3)) == (30, {27: "empty", 28: "empty", 29: "empty"})


def test_an_epoch_that_is_not_proven(chain) -> None:
    """Checkpoint 2 is pending. The rollup no longer knows a checkpoint that it does not have."""
    slots = chain.value("getEpochDuration()", "uint256", ROLLUP)
    chain.add_checkpoint(2, 8 * slots)
    begin_epoch(chain, 9)
    found = read(chain)
    assert (found["pending_epoch"], found["proven_epoch"]) == (8, 7)
    assert epoch_states(found, PROVER, 3) == {6: "empty", 7: "empty", 8: "open"}
    accept(chain, PROVER, 99)
    found = read(chain)
    assert (found["error"], found["accepted"], found["last"]["epoch"]) == ("", [], None)
