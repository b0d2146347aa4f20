"""Proofs on the L1: the proven checkpoint, and the transaction that proved it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from lab.fleet.l1 import rpc
from lab.fleet.progress import say
from lab.fleet.settings import LabError, Settings

# getProvenCheckpointNumber() and getPendingCheckpointNumber() of the rollup contract
PROVEN = "0x1f8352e9"
PENDING = "0x9891be8e"
# keccak of L2ProofVerified(uint256,address): the checkpoint and the prover, both indexed
PROOF_TOPIC = "0x034dd13d657aeb14f8dec7291c4a8ddb3b20d40cf2412714e72f97f19c735609"


@dataclass(frozen=True)
class Proof:
    """An epoch proof that the rollup contract accepted."""

    checkpoint: int
    prover: str
    transaction: str
    block: int


def query_rollup(settings: Settings, selector: str) -> int:
    return int(rpc(settings.l1_url, "eth_call", {"to": settings.rollup, "data": selector}, "latest"), 16)


def proven_checkpoint(settings: Settings) -> int:
    """Return the number of the newest proven checkpoint of the rollup contract."""
    return query_rollup(settings, PROVEN)


def pending_checkpoint(settings: Settings) -> int:
    """Return the number of the newest checkpoint that the sequencer has submitted to the rollup contract."""
    return query_rollup(settings, PENDING)


def proofs(settings: Settings, after_block: int = 0) -> list[Proof]:
    """Return the proofs that the rollup contract accepted after that L1 block, oldest first."""
    wanted = {
        "address": settings.rollup,
        "topics": [PROOF_TOPIC],
        "fromBlock": hex(after_block + 1),
        "toBlock": "latest",
    }
    return [
        Proof(
            checkpoint=int(log["topics"][1], 16),
            prover="0x" + log["topics"][2][-40:],
            transaction=log["transactionHash"],
            block=int(log["blockNumber"], 16),
        )
        for log in rpc(settings.l1_url, "eth_getLogs", wanted)
    ]


def block_number(settings: Settings) -> int:
    return int(rpc(settings.l1_url, "eth_blockNumber"), 16)


def wait_for_proof(settings: Settings, beyond: int, after_block: int = 0, seconds: float = 420) -> Proof:
    """Wait until the proven checkpoint exceeds the given one. Return the newest proof after the block."""
    deadline = time.monotonic() + seconds
    shown_pending = -1
    while time.monotonic() < deadline:
        proven, pending = proven_checkpoint(settings), pending_checkpoint(settings)
        if proven > beyond:
            found = proofs(settings, after_block)
            if found:
                return found[-1]
        if pending != shown_pending:
            say(f"rollup contract: checkpoint {pending} pending, {proven} proven")
            shown_pending = pending
        time.sleep(1)
    raise LabError(
        f"no epoch proof was accepted in {seconds:.0f} s (proven checkpoint {proven_checkpoint(settings)}); "
        "read the logs of prover-node and prover-agent with lab/shell"
    )
