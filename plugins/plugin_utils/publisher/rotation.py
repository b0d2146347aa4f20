# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rotation of a publisher's key, as pure functions: which key the node gets, how the vault changes, and which
conditions the accounts must meet. Accounts are identified by their addresses. This module does not handle keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_queries import L1Settings
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.units import WEI_PER_ETH, ether

# The slots for keys in a vault file. Each has a variable for the key and one for its mnemonic.
CURRENT, NEXT, PREVIOUS = "current", "next", "previous"
KEYS = {
    CURRENT: "prover_node_publisher_private_key",
    NEXT: "prover_node_next_publisher_private_key",
    PREVIOUS: "prover_node_previous_publisher_private_key",
}
MNEMONICS = {
    CURRENT: "prover_node_publisher_mnemonic",
    NEXT: "prover_node_next_publisher_mnemonic",
    PREVIOUS: "prover_node_previous_publisher_mnemonic",
}

# ETH below which an account counts as empty.
DUST = Decimal("0.001")


@dataclass(frozen=True)
class Plan:
    """The steps of a run.

    action: stage (make a new key first), rotate, rollback, confirm, or done (nothing to do).
    slot: the slot of the key that the node gets. moves: slot -> its new slot afterwards, None to remove the key.
    """

    action: str
    slot: str
    moves: Mapping

    def renames(self) -> dict:
        """Return the changes of variables in the vault: name -> new name, None to remove the variable."""
        return {names[slot]: names.get(to) for slot, to in self.moves.items() for names in (KEYS, MNEMONICS)}


def plan_of(addresses: Mapping, file: str, confirm: bool = False, rollback: bool = False) -> Plan:
    """Return the plan for the keys in the vault, addresses by slot. Raise ValueError if they do not allow one.

    The vault changes in one write, in the last step. A run that follows an interrupted one repeats the other steps.
    """
    for slot, address in addresses.items():
        other = next(one for one in KEYS if addresses.get(one) == address)
        if other != slot:
            raise ValueError(f"{KEYS[slot]} in {file} is the same key as {KEYS[other]}: remove it from the file")
    if confirm and rollback:
        raise ValueError("rotate_key_confirm and rotate_key_rollback are both set: set only one of them")
    staged, kept = NEXT in addresses, PREVIOUS in addresses
    if staged and kept:
        raise ValueError(f"{file} has both {KEYS[NEXT]} and {KEYS[PREVIOUS]}: remove the one that is not needed")
    if confirm and staged:
        raise ValueError(
            f"the new key in {file}, of {addresses[NEXT]}, is not in use yet: run aztec_ops.prover.rotate_key first"
        )
    if confirm and kept:
        return Plan("confirm", CURRENT, {PREVIOUS: None})
    if rollback and kept:
        return Plan("rollback", PREVIOUS, {CURRENT: NEXT, PREVIOUS: CURRENT})
    if rollback and not staged:
        raise ValueError(f"{file} does not have {KEYS[PREVIOUS]}, so a rollback is not possible")
    if confirm or rollback or kept:
        return Plan("done", CURRENT, {})
    return Plan("rotate" if staged else "stage", NEXT, {CURRENT: PREVIOUS, NEXT: CURRENT})


def insufficient_balance(address: str, balances: Mapping, settings: L1Settings, cost: int = 0) -> str:
    """Return why an account cannot pay for submitting proofs, by the preflight's thresholds, or ''.

    cost: wei of one submission at current fees, 0 if unknown.
    """
    if address not in balances:
        return f"no execution client returned the balance of {address}: fix the L1 clients"
    balance = ether(balances[address])
    if Decimal(balances[address]) / WEI_PER_ETH <= settings.balance_fail:
        least = f" (aztec_l1_balance_fail is {settings.balance_fail})" if settings.balance_fail else ""
        return f"{address} has {balance}{least} and cannot pay for submitting proofs: send ETH to it"
    if settings.needs_balance and int(balances[address]) < cost:
        short = f"{address} has {balance}, not enough to submit one proof now ({ether(cost)})"
        return f"{short}: send ETH to it, or wait for lower fees"
    return ""


def low_balance(address: str, balances: Mapping, settings: L1Settings) -> str:
    """Return a warning if an account's balance is below the preflight's threshold, or ''."""
    if Decimal(balances[address]) / WEI_PER_ETH >= settings.balance_warn:
        return ""
    return f"{address} has {ether(balances[address])}, below aztec_l1_balance_warn, {settings.balance_warn}: send more"


def reasons_to_keep(
    new: str, old: str, balances: Mapping, sent: Mapping, prover_id: str, rewards_moved: bool = False
) -> list[str]:
    """Return the reasons to keep the old key in the vault, a line each.

    prover_id: the address that rewards go to now. rewards_moved: the operator confirms that no rewards are left for
    the old address. The L1 is not queried for them, since clients without old logs do not know.
    """
    reasons = []
    if int(sent.get(new, 0)) == 0:
        reasons.append(f"{new} did not send a transaction yet: wait for its first proof")
    if old not in balances:
        reasons.append(f"no execution client returned the balance of {old}: fix the L1 clients")
    elif Decimal(balances[old]) / WEI_PER_ETH >= DUST:
        reasons.append(f"{old} still has {ether(balances[old])}, which is lost without its key: transfer it first")
    if prover_id == old:
        reasons.append(
            f"rewards still go to {old}, which is PROVER_ID: set prover_node_prover_id to another address and run "
            "aztec_ops.prover.site"
        )
    if not rewards_moved:
        reasons.append(
            f"only the key of {old} can move the rewards of its proofs: claim and move them, then add "
            "-e rotate_key_rewards_moved=true"
        )
    return reasons


def key_mismatch(given: str, plan: Plan, addresses: Mapping, file: str) -> str:
    """Return why a given key does not fit a plan that does not need a new one, or ''."""
    planned = addresses[plan.slot]
    if given == planned:
        return ""
    if given == addresses.get(PREVIOUS):
        return f"the given key is the previous one, of {given}: add -e rotate_key_rollback=true to go back to it"
    if plan.slot == NEXT:
        return (
            f"the given key is of {given}, and {KEYS[NEXT]} in {file} of {planned}: remove that one with "
            "ansible-vault edit, or omit the options of the given one"
        )
    return (
        f"the given key is of {given}, and the rotation to {planned} is not confirmed yet: confirm it first with "
        "-e rotate_key_confirm=true, or go back with -e rotate_key_rollback=true"
    )


def account_rows(addresses: Mapping, balances: Mapping, sent: Mapping) -> list:
    """Return the rows (slot, address, balance, transactions) of the table of accounts."""
    return [
        (slot, one, ether(balances[one]) if one in balances else "unknown", str(sent.get(one, "unknown")))
        for slot, one in addresses.items()
    ]
