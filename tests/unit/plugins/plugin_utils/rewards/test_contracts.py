# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The calls of Aztec's contracts, by the selectors of their published ABI, and what they return."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards import contracts

PROVER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
ROLLUP = "0x322813fd9a801c5507c9de605d63cea4f2ce6c44"
TOKEN = "0xa513e6e4b8f2a923d98304ec87f64353c4d5c853"


@pytest.mark.parametrize(
    ("function", "arguments", "selector"),
    [
        (contracts.VERSION_COUNT, (), "5a4ce7ba"),
        (contracts.VERSION, (0,), "b88da759"),
        (contracts.ROLLUP, (0,), "dd1583c2"),
        (contracts.CANONICAL, (), "971b0e6b"),
        (contracts.FEE_ASSET, (), "850bee35"),
        (contracts.ENABLED, (), "fcb3f6ba"),
        (contracts.CURRENT_EPOCH, (), "b97dd9e2"),
        (contracts.SUBMISSION_EPOCHS, (), "25b22366"),
        (contracts.GENESIS, (), "723d8e96"),
        (contracts.EPOCH_SLOTS, (), "5d3ea8f1"),
        (contracts.SLOT_SECONDS, (), "c4014c12"),
        (contracts.REWARD, (7, PROVER), "68faa778"),
        (contracts.CLAIMED, (PROVER, 7), "28e07ac3"),
        (contracts.CLAIM, (PROVER, [7]), "d768df6e"),
        (contracts.PROVEN[0], (), "1f8352e9"),
        (contracts.PROVEN[1], (), "b67d057b"),
        (contracts.EPOCH_OF[0], (1,), "483315b3"),
    ],
)
def test_selectors(function, arguments, selector) -> None:
    assert function.data(*arguments)[2:10] == selector


def test_a_call() -> None:
    method, transaction, block = contracts.CLAIM.call(ROLLUP, PROVER, [7, 9], sender=PROVER)
    words = [PROVER[2:].lower(), "40", "2", "7", "9"]
    assert (method, block) == ("eth_call", "latest")
    assert transaction == {
        "from": PROVER,
        "to": ROLLUP,
        "data": "0xd768df6e" + "".join(word.rjust(64, "0") for word in words),
    }
    assert "from" not in contracts.FEE_ASSET.call(ROLLUP)[1]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("uint256", "0x" + "0" * 63 + "7", 7),
        ("bool", "0x" + "0" * 63 + "1", True),
        ("address", "0x" + "0" * 24 + PROVER[2:], PROVER.lower()),
        # No contract, no function, and what is not ABI.
        ("uint256", "0x", None),
        ("uint256", "0x07", None),
        ("uint256", None, None),
        ("uint256", "0xzz", None),
        ("uint256", {"a": 1}, None),
        ("bool", "0x" + "0" * 63 + "2", None),
        ("address", "0x" + "f" * 64, None),
        ("string", "0x" + "f" * 64, None),
    ],
)
def test_values(kind, text, value) -> None:
    assert contracts.decoded(kind, text) == value


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        ({"error": "rejects eth_call: reverted", "data": "0xe8b9b951"}, "this rollup does not allow claims yet"),
        ({"error": "rejects eth_call: reverted", "data": "0x12345678"}, "rejects eth_call: reverted"),
        ({"error": "rejects eth_call: reverted", "data": ""}, "rejects eth_call: reverted"),
        ({"error": "x", "data": "0xe450d38c" + "0" * 192}, "the rollup does not hold enough of the token"),
        ({"result": "0x"}, "the contract returns no amount"),
    ],
)
def test_reasons(outcome, reason) -> None:
    assert contracts.reverted(outcome) == reason


def log(token: str = TOKEN, sender: str = ROLLUP, recipient: str = PROVER, amount: str = "0x" + "0" * 63 + "5") -> dict:
    topic = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    topics = [topic, *("0x" + "0" * 24 + one[2:] for one in (sender, recipient))]
    return {"address": token, "topics": topics, "data": amount}


@pytest.mark.parametrize(
    ("logs", "amount"),
    [
        ([], 0),
        (None, 0),
        ([log()], 5),
        ([log(), log()], 10),
        ([log(token=TOKEN.upper().replace("X", "x"))], 5),
        ([log(token=ROLLUP)], 0),
        ([log(sender=TOKEN)], 0),
        ([log(recipient=TOKEN)], 0),
        ([log(amount="0x")], 0),
        ([{**log(), "topics": []}], 0),
    ],
)
def test_what_a_receipt_shows(logs, amount) -> None:
    assert contracts.transferred({"logs": logs}, TOKEN, ROLLUP, PROVER) == amount


def test_without_the_libraries(monkeypatch) -> None:
    contracts.require_libraries()
    monkeypatch.setattr(contracts, "encode", None)
    with pytest.raises(ValueError, match="the controller's Python does not have eth_account: run "):
        contracts.require_libraries()
