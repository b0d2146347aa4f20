# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proofs of the last epochs, read from an L1 of a few blocks."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.api_client import ErrorResponse
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1 import proofs
from eth_utils import keccak

US, OTHER = "0x" + "aB" * 20, "0x" + "cd" * 20
ROLLUP = "0x" + "11" * 20
GENESIS, SLOTS, SECONDS, BLOCK_SECONDS = 1000, 2, 24, 4
EPOCH = SLOTS * SECONDS
TRANSACTION = "0x" + "5e" * 32


def event(tip: int, prover: str, block: int, **more: object) -> dict:
    """Return the log of an accepted proof."""
    topics = [proofs.PROOF_VERIFIED, f"0x{tip:064x}", "0x" + "0" * 24 + prover[2:].lower()]
    return {"topics": topics, "blockNumber": hex(block), "transactionHash": TRANSACTION, **more}


class Chain:
    """An L1 with one block each BLOCK_SECONDS since the genesis of the rollup. Checkpoint n is in epoch n // 2."""

    def __init__(self, blocks: int, logs: list, values: dict | None = None, most_blocks: int = 10**9) -> None:
        self.blocks, self.logs, self.most_blocks = blocks, logs, most_blocks
        self.values = {
            proofs.GENESIS_TIME: GENESIS,
            proofs.EPOCH_SLOTS: SLOTS,
            proofs.SLOT_SECONDS: SECONDS,
            proofs.SUBMISSION_EPOCHS: 1,
            **(values or {}),
        }
        self.ranges: list = []

    def rpc(self, method: str, *params: object) -> object:
        """Return the result of a call."""
        if method == "eth_getBlockByNumber":
            block = self.blocks if params[0] == "latest" else int(str(params[0]), 16)
            return {"number": hex(block), "timestamp": hex(GENESIS + block * BLOCK_SECONDS)}
        if method == "eth_getLogs":
            first, last = (int(params[0][name], 16) for name in ("fromBlock", "toBlock"))
            self.ranges.append((first, last))
            if last - first > self.most_blocks:
                raise ErrorResponse("rejects eth_getLogs: range is too large")
            return [one for one in self.logs if first <= int(one["blockNumber"], 16) <= last]
        assert method == "eth_call" and params[0]["to"] == ROLLUP
        data = params[0]["data"]
        if data[:10] in proofs.EPOCH_OF.values():
            tip = int(data[10:], 16)
            if tip > 900:
                raise ErrorResponse("rejects eth_call: execution reverted")
            return f"0x{tip // 2:064x}"
        return f"0x{self.values[data[:10]]:064x}"


def read(chain: Chain, pending: int = 0, proven: int = 0, epochs: int = 3) -> dict:
    rollup = {"rollup": ROLLUP, "unit": "checkpoint", "pending": pending, "proven": proven}
    return proofs.read_proofs(chain.rpc, rollup, US, epochs, BLOCK_SECONDS)


def test_selectors() -> None:
    """Signatures of the contracts, which have an indexed number and address in every release line."""
    assert f"0x{keccak(text='L2ProofVerified(uint256,address)').hex()}" == proofs.PROOF_VERIFIED
    names = {
        "getGenesisTime()": proofs.GENESIS_TIME,
        "getEpochDuration()": proofs.EPOCH_SLOTS,
        "getSlotDuration()": proofs.SLOT_SECONDS,
        "getProofSubmissionEpochs()": proofs.SUBMISSION_EPOCHS,
        "getEpochForCheckpoint(uint256)": proofs.EPOCH_OF["checkpoint"],
        "getEpochForBlock(uint256)": proofs.EPOCH_OF["block"],
    }
    assert {name: f"0x{keccak(text=name).hex()[:8]}" for name in names} == names


def test_proofs_of_the_last_epochs() -> None:
    # 12 L1 blocks an epoch: the current one is 10, the last three are 7 to 9.
    chain = Chain(125, [event(11, US, 70), event(15, OTHER, 100), event(16, US, 110), event(18, US, 121)])
    found = read(chain, pending=20, proven=18)
    assert (found["epoch"], found["epoch_seconds"], found["epoch_starts"]) == (10, EPOCH, GENESIS)
    assert (found["pending_epoch"], found["proven_epoch"], found["submission_epochs"]) == (10, 9, 1)
    accepted = [(one["epoch"], one["prover"]) for one in found["accepted"]]
    assert accepted == [(7, OTHER), (8, US.lower()), (9, US.lower())]
    assert found["last"] == {"epoch": 9, "time": GENESIS + 121 * BLOCK_SECONDS, "transaction": TRANSACTION}
    # From before the first of the three epochs to the newest block.
    assert chain.ranges == [(83, 125)]


def test_an_l1_without_proofs() -> None:
    found = read(Chain(5, []))
    assert (found["epoch"], found["accepted"], found["last"]) == (0, [], None)
    assert (found["pending_epoch"], found["proven_epoch"]) == (None, None)


def test_a_long_range_is_read_in_parts() -> None:
    chain = Chain(3000, [event(500, US, 2990)])
    found = read(chain, 500, 500, epochs=200)
    assert chain.ranges == [(599, 1598), (1599, 2598), (2599, 3000)]
    assert found["last"]["epoch"] == 250


def test_a_tip_that_the_rollup_no_longer_has() -> None:
    found = read(Chain(30, [event(901, US, 29)]), pending=901)
    assert (found["accepted"], found["pending_epoch"]) == ([], None)
    assert found["last"]["epoch"] is None


@pytest.mark.parametrize(
    ("log", "found"),
    [
        (event(7, OTHER, 3), {"tip": 7, "prover": OTHER, "block": 3, "transaction": TRANSACTION}),
        (event(7, OTHER, 3, topics=None), None),
        (event(7, OTHER, 3, topics=["0x01", "0x02", "0x03"]), None),
        (event(7, OTHER, 3, topics=[proofs.PROOF_VERIFIED, "0x02"]), None),
        (event(7, OTHER, 3, blockNumber=None), None),
        (event(7, OTHER, 3, transactionHash="?"), None),
    ],
)
def test_parse_event(log: dict, found: dict | None) -> None:
    assert proofs.parse_event(log) == found


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ({"eth_getBlockByNumber": None}, "returns no block for latest"),
        ({"eth_getLogs": {}}, "returns no list for eth_getLogs"),
        ({"eth_getLogs": ["x"]}, "returns no list for eth_getLogs"),
        ({"eth_call": "0x"}, "returns no number for eth_call"),
        ({"eth_call": "0x" + "0" * 64}, "returns epochs without a duration"),
    ],
)
def test_an_l1_that_returns_something_else(answers: dict, text: str) -> None:
    chain = Chain(30, [])

    def rpc(method: str, *params: object) -> object:
        return answers[method] if method in answers else chain.rpc(method, *params)

    rollup = {"rollup": ROLLUP, "unit": "checkpoint", "pending": 1, "proven": 1}
    with pytest.raises(ErrorResponse, match=text):
        proofs.read_proofs(rpc, rollup, US, 3, BLOCK_SECONDS)
