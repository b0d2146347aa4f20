# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The epochs of a rollup on the L1: which of the last ones were proven, and by whom."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.api_client import ErrorResponse
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import number

# L2ProofVerified(uint256 indexed checkpointNumber, address indexed proverId): one for each accepted proof, in every
# release line (core/libraries/rollup/EpochProofLib.sol of 2.1 to 6).
PROOF_VERIFIED = "0x034dd13d657aeb14f8dec7291c4a8ddb3b20d40cf2412714e72f97f19c735609"
GENESIS_TIME, EPOCH_SLOTS, SLOT_SECONDS = "0x723d8e96", "0x5d3ea8f1", "0xc4014c12"
SUBMISSION_EPOCHS = "0x25b22366"
# getEpochForCheckpoint(uint256) and getEpochForBlock(uint256), by the unit of the rollup's tips.
EPOCH_OF = {"checkpoint": "0x483315b3", "block": "0x80edb5bd"}
# Blocks of one query. Many L1 providers refuse larger ranges.
LOG_BLOCKS = 1000
# Seconds between the blocks of Ethereum, ETHEREUM_SLOT_DURATION by default.
L1_SLOT_SECONDS = 12


class Rollup:
    """The view functions of a rollup. rpc: sends a JSON-RPC call, and raises ErrorResponse or RequestError."""

    def __init__(self, rpc: Callable, address: str, unit: str) -> None:
        """Set the rollup. unit: that of its tips, checkpoint or block."""
        self.rpc, self.address, self.unit = rpc, address, unit

    def view(self, selector: str, *arguments: int) -> int:
        """Return the number that a view function returns. Raise ErrorResponse where it returns no number."""
        data = selector + "".join(f"{argument:064x}" for argument in arguments)
        found = number(self.rpc("eth_call", {"to": self.address, "data": data}, "latest"), 256)
        if found is None:
            raise ErrorResponse("returns no number for eth_call")
        return found

    def epoch_of(self, tip: int | None) -> int | None:
        """Return the epoch of a checkpoint or block, None for none and where the rollup no longer has it."""
        try:
            return self.view(EPOCH_OF[self.unit], tip) if tip else None
        except ErrorResponse:
            return None

    def events(self, first: int, last: int) -> list[dict[str, Any]]:
        """Return the logs of accepted proofs in these blocks of the L1."""
        found: list = []
        for start in range(first, last + 1, LOG_BLOCKS):
            end = min(start + LOG_BLOCKS - 1, last)
            query = {"address": self.address, "topics": [PROOF_VERIFIED], "fromBlock": hex(start), "toBlock": hex(end)}
            logs = self.rpc("eth_getLogs", query)
            if not isinstance(logs, list) or not all(isinstance(one, dict) for one in logs):
                raise ErrorResponse("returns no list for eth_getLogs")
            found += logs
        return found


def parse_event(log: dict[str, Any]) -> dict[str, Any] | None:
    """Return tip, prover, block and transaction of the log of an accepted proof, None where it is something else."""
    topics = log.get("topics")
    if not isinstance(topics, list) or len(topics) != 3 or topics[0] != PROOF_VERIFIED:
        return None
    tip, prover, block = number(topics[1], 256), number(topics[2], 256), number(log.get("blockNumber"))
    transaction = number(log.get("transactionHash"), 256)
    if None in (tip, prover, block, transaction):
        return None
    return {"tip": tip, "prover": f"0x{prover % 2**160:040x}", "block": block, "transaction": f"0x{transaction:064x}"}


def block_of(rpc: Callable, block: str) -> tuple[int, int]:
    """Return number and time of a block of the L1. Raise ErrorResponse where it is not known."""
    found = rpc("eth_getBlockByNumber", block, False)
    values = [number(found.get(name)) if isinstance(found, dict) else None for name in ("number", "timestamp")]
    if None in values:
        raise ErrorResponse(f"returns no block for {block}")
    return values[0], values[1]


def read_proofs(
    rpc: Callable, rollup: dict[str, Any], prover: str, epochs: int, l1_slot_seconds: int = L1_SLOT_SECONDS
) -> dict[str, Any]:
    """Return the accepted proofs of the last epochs of a rollup.

    rpc: sends a JSON-RPC call. rollup: rollup, unit, pending and proven of health.l1_tips. prover: PROVER_ID. epochs:
    how many of the last ended ones. Return time (of the newest L1 block), epoch (the current one), epoch_starts (the
    time at which epoch 0 began), epoch_seconds, submission_epochs, pending_epoch and proven_epoch (of the tips, None
    where there are none), accepted (epoch and prover of each proof), and last (epoch, time and transaction of the
    newest proof of this prover, None for none). Raise ErrorResponse or RequestError.
    """
    contract = Rollup(rpc, rollup["rollup"], rollup["unit"])
    latest, now = block_of(rpc, "latest")
    genesis, slots, seconds = (contract.view(one) for one in (GENESIS_TIME, EPOCH_SLOTS, SLOT_SECONDS))
    length = slots * seconds
    if not length:
        raise ErrorResponse("returns epochs without a duration")
    current = max(0, now - genesis) // length
    first_time = genesis + max(0, current - epochs) * length
    # L1 blocks can be missing, so that the first one is not after this time.
    first = max(0, latest - max(0, now - first_time) // max(1, l1_slot_seconds) - 1)
    events = [one for one in map(parse_event, contract.events(first, latest)) if one]
    epoch_of = {tip: contract.epoch_of(tip) for tip in {one["tip"] for one in events}}
    own = [one for one in events if one["prover"] == prover.lower()]
    last = None
    if own:
        newest = max(own, key=lambda one: one["block"])
        at = block_of(rpc, hex(newest["block"]))[1]
        last = {"epoch": epoch_of[newest["tip"]], "time": at, "transaction": newest["transaction"]}
    return {
        "time": now,
        "epoch": current,
        "epoch_starts": genesis,
        "epoch_seconds": length,
        "submission_epochs": contract.view(SUBMISSION_EPOCHS),
        "pending_epoch": contract.epoch_of(rollup["pending"]),
        "proven_epoch": contract.epoch_of(rollup["proven"]),
        "accepted": [
            {"epoch": epoch_of[one["tip"]], "prover": one["prover"]}
            for one in events
            if epoch_of[one["tip"]] is not None
        ],
        "last": last,
    }
