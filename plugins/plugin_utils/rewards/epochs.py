# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the epochs of a rollup brought a prover, which of them can be claimed, and the table of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Context, Decimal

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import table

# The newest epochs that are queried by default, 26 days on mainnet.
NEWEST = 1000
# States of an epoch.
CLAIMABLE, CLAIMED, OPEN, DISABLED, NOTHING = "claimable", "claimed", "open", "disabled", "nothing"
_EXACT = Context(prec=80)


@dataclass(frozen=True)
class Rollup:
    """A rollup of the network's registry.

    token, symbol, decimals: the token in which it pays. enabled: its switch for claims, None without one.
    current_epoch: by its clock. submission_epochs: for how many epochs after its end an epoch's proofs are accepted.
    genesis: Unix time. epoch_seconds: length of an epoch. proven_epoch: the newest proven one, None for none.
    """

    address: str
    version: int
    canonical: bool
    token: str
    symbol: str
    decimals: int
    enabled: bool | None
    current_epoch: int
    submission_epochs: int
    genesis: int
    epoch_seconds: int
    proven_epoch: int | None

    @property
    def name(self) -> str:
        """Return how lines name the rollup."""
        return f"{self.address} ({'canonical' if self.canonical else 'former'})"

    def deadline(self, epoch: int) -> int:
        """Return the first epoch in which no proof of this epoch is accepted, and its reward can be claimed."""
        return epoch + self.submission_epochs + 1

    def deadline_time(self, epoch: int) -> str:
        """Return the start of that epoch as text, in UTC."""
        at = datetime.fromtimestamp(self.genesis + self.deadline(epoch) * self.epoch_seconds, timezone.utc)
        return f"{at:%Y-%m-%d %H:%M} UTC"

    def amount(self, units: int) -> str:
        """Return an amount of the token, exact: 1500000000000000000 -> 1.5 AZTEC."""
        text = f"{Decimal(units).scaleb(-self.decimals, _EXACT):f}"
        return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {self.symbol}"


@dataclass(frozen=True)
class EpochReward:
    """What an epoch brought: amount in the token's smallest unit, 0 if nothing or claimed. state: see above."""

    epoch: int
    amount: int
    state: str


def parse_epochs(given: object) -> tuple:
    """Return epochs from a number, a list of numbers, or text with commas. Raise ValueError for anything else."""
    members = given if isinstance(given, (list, tuple)) else str(given).split(",")
    texts = [str(one).strip() for one in members]
    if not all(text.isascii() and text.isdigit() and len(text) <= 18 for text in texts):
        raise ValueError("rewards_epochs is not a list of epochs: write it as 7 or 7,9,12")
    return tuple(sorted(set(map(int, texts))))


def epochs_to_query(rollup: Rollup, epochs: Sequence, first: int | None) -> list[int]:
    """Return the epochs of a rollup whose rewards are queried.

    epochs: those that the operator named, of which future ones are not queried. first: the first of all epochs up to
    the newest proven one, by default that of the NEWEST ones.
    """
    if epochs:
        return [one for one in epochs if one <= rollup.current_epoch]
    if rollup.proven_epoch is None:
        return []
    start = max(0, rollup.proven_epoch - NEWEST + 1) if first is None else first
    return list(range(start, rollup.proven_epoch + 1))


def epoch_reward(rollup: Rollup, epoch: int, amount: int, claimed: bool) -> EpochReward:
    """Return what an epoch brought, with its state."""
    if claimed:
        return EpochReward(epoch, 0, CLAIMED)
    if not amount:
        return EpochReward(epoch, 0, NOTHING)
    if rollup.current_epoch < rollup.deadline(epoch):
        return EpochReward(epoch, amount, OPEN)
    return EpochReward(epoch, amount, DISABLED if rollup.enabled is False else CLAIMABLE)


def claim_errors(rollup: Rollup, epochs: Sequence, rewards: Iterable[EpochReward], prover: str) -> list[str]:
    """Return why the epochs that the operator named cannot be claimed, one line for each."""
    found = {one.epoch: one for one in rewards}
    lines = []
    for epoch in epochs:
        if epoch > rollup.current_epoch:
            now = f"the current epoch is {rollup.current_epoch}"
            lines.append(f"epoch {epoch} is in the future, {now}: name an epoch of the table")
        elif found[epoch].state == CLAIMED:
            lines.append(f"epoch {epoch} is already claimed: remove it from rewards_epochs")
        elif found[epoch].state == NOTHING:
            lines.append(f"epoch {epoch} brought {prover} nothing: remove it from rewards_epochs")
        elif found[epoch].state == OPEN:
            lines.append(f"proofs of epoch {epoch} are still accepted: claim it after {rollup.deadline_time(epoch)}")
        elif found[epoch].state == DISABLED:
            lines.append(f"the rollup {rollup.name} does not allow claims yet: run again when its owner enables them")
    return list(dict.fromkeys(lines))


def split_by_gas(epochs: Sequence[int], gas: int, limit: int, base: int) -> list[list[int]]:
    """Split epochs into groups of about the same size, each for one transaction with about so much gas.

    gas: the estimate for all of them. base: the part that each transaction needs again. A group has at least one epoch.
    There are at least two groups if the estimate is above the limit and there are at least two epochs.
    """
    count = len(epochs)
    if gas <= limit or count == 1:
        return [list(epochs)]
    each = max(1, -(-(gas - base) // count))
    most = max(1, min(count - 1, (limit - base) // each))
    groups = -(-count // most)
    size = -(-count // groups)
    return [list(epochs[start : start + size]) for start in range(0, count, size)]


def _ranges(epochs: Sequence[int]) -> list[str]:
    """Return consecutive epochs as ranges: [1, 2, 3, 7] -> ["1-3", "7"]."""
    groups: list[list[int]] = []
    for epoch in epochs:
        if groups and groups[-1][-1] == epoch - 1:
            groups[-1].append(epoch)
        else:
            groups.append([epoch])
    return [str(group[0]) if len(group) == 1 else f"{group[0]}-{group[-1]}" for group in groups]


def range_text(epochs: Sequence[int]) -> str:
    """Return epochs as text: 1-3, 7."""
    return ", ".join(_ranges(epochs))


def rewards_table(rollups: Sequence[tuple[Rollup, Sequence[EpochReward]]]) -> str:
    """Return the table of all epochs with a reward. Consecutive claimed epochs share a row."""
    rows = []
    for rollup, rewards in rollups:
        about = {
            CLAIMABLE: lambda _epoch: "claimable",
            DISABLED: lambda _epoch: "this rollup does not allow claims yet",
            OPEN: lambda epoch, rollup=rollup: f"claimable after {rollup.deadline_time(epoch)}",
        }
        claimed = _ranges([one.epoch for one in rewards if one.state == CLAIMED])
        rows += [(rollup.name, epochs, "", "claimed") for epochs in claimed]
        rows += [
            (rollup.name, one.epoch, rollup.amount(one.amount), about[one.state](one.epoch))
            for one in rewards
            if one.state in about
        ]
        if not claimed and not any(one.state in about for one in rewards):
            rows.append((rollup.name, "", "", "no rewards"))
    return table(rows, ("ROLLUP", "EPOCH", "REWARD", "STATE"))


def sums(rollups: Sequence[tuple[Rollup, Sequence[EpochReward]]], state: str) -> str:
    """Return the sum of the rewards in a state, for each token: 1.5 AZTEC, '' for none."""
    totals: dict = {}
    for rollup, rewards in rollups:
        found = [one.amount for one in rewards if one.state == state]
        if found:
            first, total = totals.get(rollup.token.lower(), (rollup, 0))
            totals[rollup.token.lower()] = (first, total + sum(found))
    return " and ".join(rollup.amount(total) for rollup, total in totals.values())


def report_verdict(rollups: Sequence[tuple[Rollup, Sequence[EpochReward]]]) -> str:
    """Return the result of a report on one line."""
    parts = [(CLAIMABLE, "can be claimed"), (OPEN, "can be claimed later"), (DISABLED, "cannot be claimed yet")]
    found = [f"{total} {what}" for state, what in parts if (total := sums(rollups, state))]
    return ", ".join(found) or "nothing can be claimed"
