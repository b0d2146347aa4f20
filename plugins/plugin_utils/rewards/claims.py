# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Claims as transactions: who pays, what they cost, how they are signed, and what their receipts say.

No message of this module contains a key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import number
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.client import WEI_BITS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import UnresolvedValue
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.units import ether
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.ethereum import (
    MISSING,
    ethereum_address,
    ethereum_private_key,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.prover_id import (
    has_remote_signer,
    publisher_addresses,
    publisher_variable,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards.contracts import transferred
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards.epochs import Rollup, range_text

try:
    from eth_account import Account
except ImportError:  # the controller's Python, not the hosts'
    Account = None

CLAIM_KEY = "prover_node_claim_private_key"
# Of the estimate. Between estimate and transaction, others can change the contract's state.
GAS_PERCENT = 120
# The state of a job that is submitting its proof (stdlib/interfaces/prover-node.ts of 4.1.2).
SUBMITTING = "publishing-proof"


@dataclass(frozen=True)
class Payer:
    """The account that pays for the gas. publisher: it is a publisher of the node."""

    address: str
    key: str = field(repr=False)
    publisher: bool = False


@dataclass(frozen=True)
class Claim:
    """One transaction: the rollup, its epochs, their sum, the call's data, and the estimated gas."""

    rollup: Rollup
    epochs: Sequence[int]
    amount: int
    data: str
    gas: int

    @property
    def gas_limit(self) -> int:
        """Return the gas limit of the transaction."""
        return self.gas * GAS_PERCENT // 100


@dataclass(frozen=True)
class Fees:
    """Wei for each unit of gas: the base fee of the newest block, and the priority fee."""

    base: int
    priority: int

    @property
    def maximum(self) -> int:
        """Return the most that a transaction pays. The base fee at most doubles within six blocks."""
        return 2 * self.base + self.priority

    def expected(self, claims: Sequence[Claim]) -> int:
        """Return what claims cost at the current fees."""
        return sum(one.gas for one in claims) * (self.base + self.priority)

    def most(self, claims: Sequence[Claim]) -> int:
        """Return what claims cost at most."""
        return sum(one.gas_limit for one in claims) * self.maximum


def payer_of(values: Mapping, use_publisher: bool) -> Payer:
    """Return the account that pays. Raise ValueError if none is set, or if it must not pay.

    values: the variables of the node's host.
    """
    if Account is None:
        raise ValueError(MISSING)
    publishers = [one.lower() for one in publisher_addresses(values)]
    if not use_publisher:
        key = values.get(CLAIM_KEY)
        if isinstance(key, UnresolvedValue):
            raise ValueError(f"{CLAIM_KEY} {key.reason}: {key.remedy}")
        if not key:
            raise ValueError(
                f"no account pays for the gas: set {CLAIM_KEY} in the vault to the key of an account with some ETH"
            )
        payer = Payer(_address(CLAIM_KEY, key), ethereum_private_key(key))
        if payer.address.lower() in publishers:
            raise ValueError(
                f"{CLAIM_KEY} is the key of a publisher, whose proofs a claim can block: "
                "set that of another account, or add -e rewards_use_publisher=true"
            )
        return payer
    if has_remote_signer(values):
        raise ValueError(
            f"the publisher's key is in a web3signer: set {CLAIM_KEY} and remove rewards_use_publisher"
        )
    given = values.get(publisher_variable(values))
    key = given[0] if isinstance(given, list) else given
    return Payer(_address(publisher_variable(values), key), ethereum_private_key(key), publisher=True)


def _address(variable: str, key: object) -> str:
    try:
        return ethereum_address(key)
    except ValueError as error:
        raise ValueError(f"{variable}: {error}") from None


def account_errors(payer: Payer, latest: int | None, pending: int | None, node: Mapping | None) -> list[str]:
    """Return why an account cannot send a transaction now.

    latest, pending: its numbers of transactions, None if unknown. node: the jobs of the node (host/node_jobs.py), which
    are required for a publisher.
    """
    lines = []
    if latest is None or pending is None:
        lines.append(f"the L1 client does not return the transactions of {payer.address}: use another L1 client")
    elif latest != pending:
        lines.append(f"a transaction of {payer.address} is pending: run again when it is mined")
    if payer.publisher:
        node = node or {"running": 0, "states": [], "error": "not queried"}
        if node["error"]:
            reason = f"whether the node is submitting a proof is not known ({node['error']})"
            lines.append(f"{reason}: set {CLAIM_KEY} and remove rewards_use_publisher")
        elif SUBMITTING in node["states"]:
            lines.append("the node is submitting a proof: run again when it is proven")
    return lines


def balance_error(payer: Payer, balance: int | None, claims: Sequence[Claim], fees: Fees) -> str:
    """Return why the balance of an account does not pay for claims, '' if it does."""
    most = fees.most(claims)
    if balance is None:
        return f"the L1 client does not return the balance of {payer.address}: use another L1 client"
    if balance < most:
        return f"{payer.address} has {ether(balance)}, the gas can cost up to {ether(most)}: send ETH to it"
    return ""


def claims_table(claims: Sequence[Claim], fees: Fees) -> str:
    """Return the table of the transactions."""
    rows = [
        (
            one.rollup.name,
            range_text(one.epochs),
            one.rollup.amount(one.amount),
            one.gas,
            ether(fees.expected([one])),
            ether(fees.most([one])),
        )
        for one in claims
    ]
    return table(rows, ("ROLLUP", "EPOCHS", "SUM", "GAS", "COSTS", "AT MOST"))


def signed(claim: Claim, payer: Payer, fees: Fees, chain_id: int, nonce: int) -> tuple[str, str]:
    """Return (the signed transaction, its hash), each as 0x and hex digits."""
    transaction = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "to": claim.rollup.address,
        "value": 0,
        "data": claim.data,
        "gas": claim.gas_limit,
        "maxFeePerGas": fees.maximum,
        "maxPriorityFeePerGas": fees.priority,
    }
    made = Account.sign_transaction(transaction, payer.key)
    return f"0x{bytes(made.raw_transaction).hex()}", f"0x{bytes(made.hash).hex()}"


def receipt_error(claim: Claim, prover: str, transaction: str, sent: Mapping) -> str:
    """Return what is wrong with a transaction that was sent, '' if its receipt shows the sum of the claim.

    sent: as Caller.send returns it.
    """
    receipt = sent["receipt"]
    if sent["refused"]:
        return f"the L1 client {sent['refused']}, nothing was sent: correct the cause, then run again"
    if receipt is None:
        return f"the receipt of {transaction} is missing ({sent['lost']}): run again when it is mined"
    if str(receipt.get("transactionHash")).lower() != transaction:
        return f"the L1 client returns another receipt than that of {transaction}: use another L1 client"
    if number(receipt.get("status")) != 1:
        return f"{transaction} was reverted and paid nothing, its gas cost {spent(receipt)}: run again to see why"
    paid = transferred(receipt, claim.rollup.token, claim.rollup.address, prover)
    if paid != claim.amount:
        amounts = f"paid {claim.rollup.amount(paid)} instead of {claim.rollup.amount(claim.amount)}"
        return f"{transaction} {amounts}: compare it with a block explorer"
    return ""


def spent(receipt: Mapping) -> str:
    """Return what the gas of a transaction cost."""
    gas, price = (number(receipt.get(name), WEI_BITS) for name in ("gasUsed", "effectiveGasPrice"))
    return "an unknown amount" if gas is None or price is None else ether(gas * price)
