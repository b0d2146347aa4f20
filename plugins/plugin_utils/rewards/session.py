# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the rewards of a prover from the L1, prepare claims, and send them, over a function that queries the L1."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import number
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.client import WEI_BITS, inside
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.ethereum import ethereum_checksum
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards import contracts
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards.claims import (
    GAS_PERCENT,
    Claim,
    Fees,
    Payer,
    account_errors,
    balance_error,
    receipt_error,
    signed,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards.epochs import (
    CLAIMABLE,
    EpochReward,
    Rollup,
    claim_errors,
    epoch_reward,
    epochs_to_query,
    range_text,
    split_by_gas,
)

# The most epochs whose claim is estimated at once: their gas is below the limits of L1 clients for a call.
GROUP = 100
# Gas that each transaction needs in addition to that of its epochs, rounded up.
BASE_GAS = 60_000


@dataclass(frozen=True)
class Network:
    """The network's name, its L1's chain ID, and the registry of its rollups."""

    name: str
    chain_id: int
    registry: str


@dataclass(frozen=True)
class Wanted:
    """What to report or claim. rollup: only this one, '' for all. epochs, first: as epochs_to_query."""

    prover: str
    rollup: str = ""
    epochs: tuple = ()
    first: int | None = None


@dataclass(frozen=True)
class Found:
    """The rewards of each rollup. errors: lines that prevent a claim. skipped: lines about what was not queried."""

    rollups: Sequence[tuple[Rollup, Sequence[EpochReward]]]
    errors: Sequence[str]
    skipped: Sequence[str] = ()


@dataclass(frozen=True)
class Plan:
    """The transactions of a claim, their fees and the nonce of the first one. errors: lines that prevent it."""

    claims: Sequence[Claim]
    fees: Fees
    nonce: int
    errors: Sequence[str]


class Session:
    """Queries one L1 client. send_query: sends a query of module_utils/l1/calls.py from the node's host.

    send_query(query, with_node) returns (what query_calls returns, the node's jobs or None).
    """

    def __init__(self, send_query: Callable, targets: Sequence[Mapping], seconds: float, network: Network) -> None:
        """Set the L1 clients, by url and headers."""
        self.send_query, self.targets, self.seconds, self.network = send_query, list(targets), seconds, network

    def query(self, calls: Sequence[list], *, node: bool = False, transaction: Mapping | None = None) -> tuple:
        """Return (outcomes of calls, result of the transaction, the node's jobs), all from the same client.

        Raise ValueError if no client responds.
        """
        query = {"targets": self.targets, "seconds": self.seconds, "calls": list(calls)}
        found, jobs = self.send_query({**query, **({"transaction": transaction} if transaction else {})}, node)
        if found["target"] is None:
            faults = "; ".join(f"{one['where']} {one['text']}" for one in found["faults"])
            raise ValueError(f"no L1 client of the node responds ({faults}): correct prover_node_l1_execution_urls")
        self.targets = [self.targets[found["target"]]]
        return found["outcomes"], found["sent"], jobs

    def values(self, calls: Sequence[tuple]) -> list:
        """Return what calls of contracts return, each given as (function, contract, arguments...)."""
        if not calls:
            return []
        outcomes = self.query([function.call(contract, *rest) for function, contract, *rest in calls])[0]
        return contracts.values([one[0] for one in calls], outcomes)

    def rollup_addresses(self) -> list[tuple[int, str, bool]]:
        """Return (version, address, whether it is canonical) of the registry's rollups, the newest first.

        Raise ValueError for a wrong chain, or where the registry does not list them.
        """
        registry, network = self.network.registry, self.network
        calls = [contracts.VERSION_COUNT.call(registry), contracts.CANONICAL.call(registry)]
        chain, *outcomes = self.query([["eth_chainId"], *calls])[0]
        chain_id = number(chain.get("result"))
        if chain_id != network.chain_id:
            raise ValueError(
                f"the L1 client is on chain {chain_id}, but {network.name} is on chain {network.chain_id}: "
                "correct prover_node_l1_execution_urls"
            )
        count, canonical = contracts.values([contracts.VERSION_COUNT, contracts.CANONICAL], outcomes)
        if not count or not canonical:
            raise ValueError(f"{registry} is not the registry of {network.name}: correct aztec_l1_registry")
        versions = self.values([(contracts.VERSION, registry, index) for index in range(count)])
        addresses = self.values([(contracts.ROLLUP, registry, version or 0) for version in versions])
        if None in versions or None in addresses:
            raise ValueError("the L1 client does not return all rollups of the registry: use another L1 client")
        found = {
            address.lower(): (version, ethereum_checksum(address), address.lower() == canonical.lower())
            for version, address in zip(versions, addresses)
        }
        return list(reversed(list(found.values())))

    def rollups(self, only: str) -> tuple[list[Rollup], list[str]]:
        """Return the rollups of the registry, and a line for each former one that cannot be read.

        only: the address of the only one to read, '' for all. Raise ValueError if the registry does not list it, or if
        it or the canonical one cannot be read.
        """
        listed = self.rollup_addresses()
        if only and only.lower() not in [address.lower() for _version, address, _canonical in listed]:
            known = ", ".join(address for _version, address, _canonical in listed)
            raise ValueError(f"the registry does not know the rollup {only}: set rewards_rollup to one of {known}")
        found, skipped = [], []
        for version, address, canonical in listed:
            if not only or only.lower() == address.lower():
                rollup = self.rollup(version, address, canonical)
                if rollup is not None:
                    found.append(rollup)
                    continue
                line = f"{address} does not have the functions of a rollup of release 2.1 to 6: use another program"
                if only or canonical:
                    raise ValueError(line)
                skipped.append(line)
        return found, skipped

    def rollup(self, version: int, address: str, canonical: bool) -> Rollup | None:
        """Return a rollup, None if a required function is missing."""
        names = ("FEE_ASSET", "CURRENT_EPOCH", "SUBMISSION_EPOCHS", "GENESIS", "EPOCH_SLOTS", "SLOT_SECONDS", "ENABLED")
        functions = [*(getattr(contracts, name) for name in names), *contracts.PROVEN]
        calls = [(contracts.REWARD, address, 0, address), *((function, address) for function in functions)]
        _reward, *required, enabled, checkpoint, block = found = self.values(calls)
        if None in found[: 1 + len(required)]:
            return None
        token, current, submission, genesis, slots, slot_seconds = required
        epoch_of, proven = contracts.EPOCH_OF[checkpoint is None], block if checkpoint is None else checkpoint
        symbol, decimals, epoch = self.values(
            [(contracts.SYMBOL, token), (contracts.DECIMALS, token), (epoch_of, address, proven or 0)]
        )
        return Rollup(
            address=address,
            version=version,
            canonical=canonical,
            token=ethereum_checksum(token),
            symbol=symbol or "of the fee asset",
            decimals=18 if decimals is None else decimals,
            enabled=enabled,
            current_epoch=current,
            submission_epochs=submission,
            genesis=genesis,
            epoch_seconds=slots * slot_seconds,
            proven_epoch=epoch if proven else None,
        )

    def rewards(self, wanted: Wanted) -> Found:
        """Return what the epochs brought. Raise ValueError if the registry's rollups cannot be read."""
        rollups, skipped = self.rollups(wanted.rollup)
        if wanted.epochs and not wanted.rollup:
            # Each rollup counts its epochs from 0.
            rollups = [one for one in rollups if one.canonical]
        found = []
        for rollup in rollups:
            epochs = epochs_to_query(rollup, wanted.epochs, wanted.first)
            if epochs and epochs[0] > 0 and not wanted.epochs and wanted.first is None:
                remedy = "add -e rewards_from_epoch=0 for them as well"
                skipped.append(f"epochs before {epochs[0]} of {rollup.name} were not queried: {remedy}")
            calls = [(contracts.REWARD, rollup.address, epoch, wanted.prover) for epoch in epochs]
            calls += [(contracts.CLAIMED, rollup.address, wanted.prover, epoch) for epoch in epochs]
            values = self.values(calls)
            if None in values[: len(epochs)]:
                raise ValueError(f"the L1 client does not return all rewards of {rollup.name}: use another L1 client")
            rows = zip(epochs, values, values[len(epochs) :])
            found.append((rollup, [epoch_reward(rollup, epoch, amount, claimed) for epoch, amount, claimed in rows]))
        errors = [line for one, listed in found for line in claim_errors(one, wanted.epochs, listed, wanted.prover)]
        return Found(found, errors, skipped)

    def plan(self, found: Found, wanted: Wanted, payer: Payer, gas_limit: int) -> Plan:
        """Simulate the claim of everything that can be claimed, split by gas, and return its transactions."""
        outcomes, _sent, node = self.query(
            [
                ["eth_getBlockByNumber", "latest", False],
                ["eth_maxPriorityFeePerGas"],
                *(["eth_getTransactionCount", payer.address, block] for block in ("latest", "pending")),
                ["eth_getBalance", payer.address, "latest"],
            ],
            node=payer.publisher,
        )
        block, *rest = [one.get("result") for one in outcomes]
        priority, latest, pending, balance = [number(one, WEI_BITS) for one in rest]
        base = number(inside(block, "baseFeePerGas"), WEI_BITS)
        errors = account_errors(payer, latest, pending, node)
        if base is None or priority is None:
            errors.append("the L1 client does not return the fees for gas: use another L1 client")
        fees = Fees(base or 0, priority or 0)
        claims: list[Claim] = []
        limit = gas_limit * 100 // GAS_PERCENT
        for rollup, listed in found.rollups:
            amounts = {one.epoch: one.amount for one in listed if one.state == CLAIMABLE}
            epochs = list(amounts)
            groups = [epochs[start : start + GROUP] for start in range(0, len(epochs), GROUP)]
            while groups:
                made, wrong = self.estimate(rollup, groups, amounts, wanted.prover, payer)
                errors += wrong
                claims += [one for one in made if one.gas <= limit]
                above = [one for one in made if one.gas > limit]
                errors += [
                    f"a claim of epoch {one.epochs[0]} needs {one.gas_limit} gas: increase rewards_gas_limit"
                    for one in above
                    if len(one.epochs) == 1
                ]
                divisible = [one for one in above if len(one.epochs) > 1]
                groups = [part for one in divisible for part in split_by_gas(one.epochs, one.gas, limit, BASE_GAS)]
        if claims and not errors:
            errors += filter(None, [balance_error(payer, balance, claims, fees)])
        return Plan(claims, fees, latest or 0, errors)

    def estimate(
        self, rollup: Rollup, groups: Sequence[Sequence[int]], amounts: Mapping, prover: str, payer: Payer
    ) -> tuple[list[Claim], list[str]]:
        """Simulate a claim of each group of epochs. Return those that pay the sum of their rewards, and errors."""
        function, calls = contracts.CLAIM, []
        for epochs in groups:
            call = function.call(rollup.address, prover, epochs, sender=payer.address)
            calls += [call, ["eth_estimateGas", call[1]]]
        outcomes = self.query(calls)[0] if calls else []
        claims, errors = [], []
        for epochs, simulated, estimated in zip(groups, outcomes[::2], outcomes[1::2]):
            amount, gas = sum(amounts[epoch] for epoch in epochs), number(estimated.get("result"))
            paid = function.value(simulated)
            which = f"epochs {range_text(epochs)} of {rollup.name}"
            if paid == 0 and payer.address.lower() != prover.lower():
                errors.append(
                    f"{rollup.name} pays the sender of a claim: "
                    f"pay the gas with the key of {prover}, or set rewards_rollup to another rollup"
                )
            elif paid is None:
                reason = contracts.reverted(simulated)
                errors.append(f"a simulated claim of {which} fails ({reason}): run again when that is corrected")
            elif paid != amount:
                amounts_text = f"{rollup.amount(paid)} instead of {rollup.amount(amount)}"
                errors.append(f"a simulated claim of {which} pays {amounts_text}: use another L1 client")
            elif gas is None:
                reason = contracts.reverted(estimated)
                errors.append(f"the gas of a claim of {which} cannot be estimated ({reason}): use another L1 client")
            else:
                claims.append(Claim(rollup, epochs, amount, function.data(prover, epochs), gas))
        return claims, list(dict.fromkeys(errors))

    def send(self, plan: Plan, index: int, prover: str, payer: Payer, wait: int) -> tuple[str, Mapping | None, str]:
        """Send one transaction of a plan and wait for its receipt. Return (its hash, the receipt, what is wrong).

        Nothing is sent if the account has a transaction that is not of this plan, or if the node submits a proof.
        """
        claim, nonce = plan.claims[index], plan.nonce + index
        counts = [["eth_getTransactionCount", payer.address, block] for block in ("latest", "pending")]
        outcomes, _sent, node = self.query(counts, node=payer.publisher)
        latest, pending = [number(one.get("result")) for one in outcomes]
        errors = account_errors(payer, latest, pending, node)
        if not errors and latest < nonce:
            errors = ["the L1 client does not know the transaction before this one yet: run again"]
        if not errors and latest > nonce:
            errors = [f"another program sent a transaction of {payer.address}: end it, then run again"]
        if errors:
            return "", None, errors[0]
        raw, transaction = signed(claim, payer, plan.fees, self.network.chain_id, nonce)
        sent = self.query([], transaction={"raw": raw, "transaction": transaction, "wait": wait})[1]
        return transaction, sent["receipt"], receipt_error(claim, prover, transaction, sent)
