# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who pays for a claim, what it costs, and how its receipt is read."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import UnresolvedValue
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards import claims
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards.claims import (
    CLAIM_KEY,
    Claim,
    Fees,
    Payer,
    account_errors,
    balance_error,
    claims_table,
    payer_of,
    receipt_error,
    signed,
    spent,
)
from eth_account import Account

from tests.unit.plugins.plugin_utils.rewards.test_contracts import PROVER, log
from tests.unit.plugins.plugin_utils.rewards.test_epochs import ROLLUP

KEY, OTHER_KEY = "0x" + "01" * 32, "0x" + "02" * 32
PAYER = Payer(Account.from_key(KEY).address, KEY)
GWEI = 10**9
FEES = Fees(10 * GWEI, GWEI)
CLAIM = Claim(ROLLUP, [5, 7, 8], 5, "0xd768df6e", 100_000)
HASH = "0x" + "ab" * 32


def test_the_account_that_pays() -> None:
    values = {"prover_node_publisher_private_key": OTHER_KEY, CLAIM_KEY: KEY}
    assert payer_of(values, False) == PAYER
    publisher = payer_of(values, True)
    assert (publisher.key, publisher.publisher) == (OTHER_KEY, True)
    several = {"prover_node_publisher_private_keys": [KEY, OTHER_KEY]}
    assert payer_of(several, True) == Payer(PAYER.address, KEY, publisher=True)
    assert KEY not in repr(PAYER)
    with pytest.raises(ValueError, match=f"{CLAIM_KEY} cannot be decrypted: pass its vault password"):
        payer_of({**values, CLAIM_KEY: UnresolvedValue("cannot be decrypted", "pass its vault password")}, False)


def test_without_eth_account(monkeypatch) -> None:
    monkeypatch.setattr(claims, "Account", None)
    with pytest.raises(ValueError, match="the controller's Python does not have eth_account: run "):
        payer_of({CLAIM_KEY: KEY}, False)


@pytest.mark.parametrize(
    ("publisher", "latest", "pending", "node", "lines"),
    [
        (False, 3, 3, None, []),
        (False, 3, 4, None, [f"a transaction of {PAYER.address} is pending: run again when it is mined"]),
        (
            *(False, None, 3, None),
            [f"the L1 client does not return the transactions of {PAYER.address}: use another L1 client"],
        ),
        (True, 3, 3, {"running": 1, "states": ["awaiting-prover"], "error": ""}, []),
        (True, 3, 3, {"running": 0, "states": [], "error": ""}, []),
        (
            *(True, 3, 3, {"running": 1, "states": ["publishing-proof"], "error": ""}),
            ["the node is submitting a proof: run again when it is proven"],
        ),
        (
            *(True, 3, 3, None),
            [
                "whether the node is submitting a proof is not known (not queried): "
                f"set {CLAIM_KEY} and remove rewards_use_publisher"
            ],
        ),
    ],
)
def test_accounts_that_cannot_send(publisher, latest, pending, node, lines) -> None:
    assert account_errors(Payer(PAYER.address, KEY, publisher), latest, pending, node) == lines


def test_what_claims_cost() -> None:
    # 100000 gas at 10 + 1 gwei, and 120000 gas at 2 x 10 + 1 gwei.
    assert FEES.expected([CLAIM]) == 11 * 10**14
    assert FEES.most([CLAIM, CLAIM]) == 2 * 252 * 10**13
    assert claims_table([CLAIM], FEES).splitlines()[-1].split("  ") == [
        *(ROLLUP.name, "5, 7-8", "0.000000000000000005 AZTEC", "100000", "0.0011 ETH", "0.00252 ETH")
    ]
    assert balance_error(PAYER, 252 * 10**13, [CLAIM], FEES) == ""
    low = f"{PAYER.address} has 0.002519 ETH, the gas can cost up to 0.00252 ETH: send ETH to it"
    assert balance_error(PAYER, 252 * 10**13 - 1, [CLAIM], FEES) == low
    unknown = f"the L1 client does not return the balance of {PAYER.address}: use another L1 client"
    assert balance_error(PAYER, None, [CLAIM], FEES) == unknown


def test_a_signed_transaction() -> None:
    raw, transaction = signed(CLAIM, PAYER, FEES, 1, 7)
    assert Account.recover_transaction(raw) == PAYER.address
    assert transaction.startswith("0x")
    assert len(transaction) == 66


def sent(receipt: dict | None = None, refused: str = "", lost: str = "") -> dict:
    return {"receipt": receipt, "refused": refused, "lost": lost}


def receipt(**changed) -> dict:
    token = log(token=ROLLUP.token, sender=ROLLUP.address)
    cost = {"gasUsed": hex(90_000), "effectiveGasPrice": hex(10 * GWEI)}
    return {"transactionHash": HASH, "status": "0x1", "logs": [token], **cost, **changed}


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (sent(receipt()), ""),
        (sent(receipt(transactionHash=HASH.upper().replace("X", "x"))), ""),
        (
            sent(refused="rejects eth_sendRawTransaction: nonce too low"),
            "the L1 client rejects eth_sendRawTransaction: nonce too low, nothing was sent: "
            "correct the cause, then run again",
        ),
        (
            sent(lost="does not respond within 10 s"),
            f"the receipt of {HASH} is missing (does not respond within 10 s): run again when it is mined",
        ),
        (
            sent(receipt(transactionHash="0x12")),
            f"the L1 client returns another receipt than that of {HASH}: use another L1 client",
        ),
        (
            sent(receipt(status="0x0")),
            f"{HASH} was reverted and paid nothing, its gas cost 0.0009 ETH: run again to see why",
        ),
        (
            sent(receipt(status=None)),
            f"{HASH} was reverted and paid nothing, its gas cost 0.0009 ETH: run again to see why",
        ),
        (
            sent(receipt(logs=[])),
            f"{HASH} paid 0 AZTEC instead of 0.000000000000000005 AZTEC: compare it with a block explorer",
        ),
    ],
)
def test_the_receipt_decides(found, line) -> None:
    assert receipt_error(CLAIM, PROVER, HASH, found) == line


def test_gas_of_an_unknown_price() -> None:
    assert spent(receipt()) == "0.0009 ETH"
    assert spent(receipt(effectiveGasPrice=None)) == "an unknown amount"
