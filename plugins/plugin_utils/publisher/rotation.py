# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a publisher is replaced: which of the vault's keys the node gets, what the vault becomes after that, and what has
to be true of the accounts before, as pure functions. An account is known here by its address; no key comes here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_queries import L1Settings
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.units import WEI_PER_ETH, ether

# The three keys that a vault file may hold: each with its mnemonic, where it has one.
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

COMMAND = "playbooks/rotate_key.yml"

# ETH that is not worth its own way to another account.
TRIFLE = Decimal("0.001")


@dataclass(frozen=True)
class Plan:
    """What a run does.

    what: stage (a new key is made first), rotate, rollback, confirm, or done where nothing is left to be done.
    place: which of the vault's keys the node gets. moves: place -> where that key goes afterwards, None for out.
    """

    what: str
    place: str
    moves: Mapping

    def names(self) -> dict:
        """Give the vault's names that change: name -> its new name, None for one that is taken out."""
        return {
            named[place]: named[to] if to else None for place, to in self.moves.items() for named in (KEYS, MNEMONICS)
        }


def plan_of(addresses: Mapping, file: str, confirm: bool = False, rollback: bool = False) -> Plan:
    """Choose what a run does by the keys that are there. ValueError where nothing sensible can be done.

    addresses: place -> the account's address. Where a run was killed, the same command finds here what it had left:
    what is written down in the vault at once is the last step, so that all before it is done again.
    """
    seen: dict = {}
    for place in (CURRENT, NEXT, PREVIOUS):
        if place in addresses and addresses[place] in seen:
            other = KEYS[seen[addresses[place]]]
            raise ValueError(f"{KEYS[place]} in {file} is the same key as {other}: take it out of the file")
        if place in addresses:
            seen[addresses[place]] = place
    if confirm and rollback:
        raise ValueError("rotate_key_confirm and rotate_key_rollback are both set: leave one of them")
    staged, kept = NEXT in addresses, PREVIOUS in addresses
    if staged and kept:
        raise ValueError(
            f"{file} has both {KEYS[NEXT]} and {KEYS[PREVIOUS]}, and a rotation knows one of them: "
            "take out the one that nobody needs"
        )
    if confirm:
        if staged:
            raise ValueError(f"the new key in {file}, of {addresses[NEXT]}, is not in use yet: run {COMMAND} first")
        return Plan("confirm", CURRENT, {PREVIOUS: None}) if kept else Plan("done", CURRENT, {})
    if rollback:
        if kept:
            return Plan("rollback", PREVIOUS, {CURRENT: NEXT, PREVIOUS: CURRENT})
        if staged:
            return Plan("done", CURRENT, {})
        raise ValueError(f"there is no {KEYS[PREVIOUS]} in {file} to go back to")
    if staged:
        return Plan("rotate", NEXT, {CURRENT: PREVIOUS, NEXT: CURRENT})
    return Plan("done", CURRENT, {}) if kept else Plan("stage", NEXT, {CURRENT: PREVIOUS, NEXT: CURRENT})


def told(answers: Sequence, what: str, chain_id: int | None) -> dict:
    """Give each address's balance, or its number of transactions, as the client tells it that is furthest.

    answers: those of execution clients. One of another chain than chain_id is not listened to.
    """
    good = [one for one in answers if one.get(what) and (chain_id is None or one.get("chain_id") == chain_id)]
    found: dict = {}
    for answer in sorted(good, key=lambda one: one.get("head") or 0):
        found.update(answer[what])
    return found


def lacking(address: str, balances: Mapping, settings: L1Settings, cost: int = 0) -> str:
    """Return why an account cannot pay for submitting proofs, by the thresholds of the preflight; '' where it can.

    cost: wei of one submission at the fees of this moment, 0 where they are not known.
    """
    if address not in balances:
        return f"no execution client told the balance of {address}: mend the L1's clients"
    if Decimal(balances[address]) / WEI_PER_ETH > settings.balance_fail:
        if settings.needs_balance and int(balances[address]) < cost:
            short = f"{address} has {ether(balances[address])}, not enough to submit one proof now ({ether(cost)})"
            return f"{short}: send ETH to it, or wait for lower fees"
        return ""
    least = f" (aztec_l1_balance_fail is {settings.balance_fail})" if settings.balance_fail else ""
    has = ether(balances[address])
    return f"{address} has {has}{least} and cannot pay for submitting proofs: send ETH to it"


def scanty(address: str, balances: Mapping, settings: L1Settings) -> str:
    """Say that an account will not pay for long, by the threshold of the preflight; '' where it will."""
    if Decimal(balances[address]) / WEI_PER_ETH >= settings.balance_warn:
        return ""
    return f"{address} has {ether(balances[address])}, below aztec_l1_balance_warn, {settings.balance_warn}: send more"


def unconfirmed(
    new: str, old: str, balances: Mapping, sent: Mapping, prover_id: str, rewards_moved: bool = False
) -> list[str]:
    """Say why the old key had better stay in the vault, each reason in a line; none where it may go.

    prover_id: where rewards go now. rewards_moved: whether somebody says that those of the old address are elsewhere.
    Which address earlier proofs were for is not asked of the L1: clients that keep no old logs cannot tell.
    """
    why = []
    if int(sent.get(new, 0)) == 0:
        why.append(
            f"{new} has not sent a transaction yet, so that nobody knows whether it can: wait for its first proof"
        )
    if old not in balances:
        why.append(f"no execution client told what {old} still holds: mend the L1's clients")
    elif Decimal(balances[old]) / WEI_PER_ETH >= TRIFLE:
        why.append(
            f"{old} still holds {ether(balances[old])}, which without its key nobody can take: send it away first"
        )
    if prover_id == old:
        why.append(
            f"rewards still go to {old}, which is PROVER_ID: set prover_node_prover_id to another address and run "
            "playbooks/site.yml"
        )
    if not rewards_moved:
        why.append(
            f"rewards of proofs that were sent for {old} can be moved with its key alone: claim and move them, "
            "then say so with -e rotate_key_rewards_moved=true"
        )
    return why


def mismatch(given: str, plan: Plan, addresses: Mapping, file: str) -> str:
    """Say why a key that is given is not taken, with a plan that needs none; '' where it is the plan's own."""
    own = addresses[plan.place]
    if given == own:
        return ""
    if given == addresses.get(PREVIOUS):
        return f"the given key is the one before, of {given}: -e rotate_key_rollback=true goes back to it"
    if plan.place == NEXT:
        return (
            f"the given key is of {given}, and {KEYS[NEXT]} in {file} of {own}: take that one out with "
            "ansible-vault edit, or leave the options of the given one away"
        )
    return (
        f"the given key is of {given}, and the rotation to {own} is not confirmed yet: confirm it first with "
        "-e rotate_key_confirm=true, or go back with -e rotate_key_rollback=true"
    )


def account_rows(addresses: Mapping, balances: Mapping, sent: Mapping) -> list:
    """Give the accounts, place -> address, as rows of the table that shows what was seen of them."""
    return [
        (
            place,
            address,
            ether(balances[address]) if address in balances else "unknown",
            str(sent.get(address, "unknown")),
        )
        for place, address in addresses.items()
    ]
