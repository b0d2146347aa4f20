# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which epochs are queried and claimed, how they are split, and how they are displayed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards.epochs import (
    EpochReward,
    Rollup,
    claim_errors,
    epoch_reward,
    epochs_to_query,
    parse_epochs,
    range_text,
    report_verdict,
    rewards_table,
    split_by_gas,
    sums,
)

# Mainnet's times. An epoch takes 2304 seconds.
ROLLUP = Rollup(
    address="0x322813Fd9A801c5507c9de605d63CEA4f2CE6c44",
    version=7,
    canonical=True,
    token="0xBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBb",
    symbol="AZTEC",
    decimals=18,
    enabled=True,
    current_epoch=2000,
    submission_epochs=1,
    genesis=1_700_000_000,
    epoch_seconds=2304,
    proven_epoch=1999,
)
FORMER = replace(ROLLUP, address="0xCcCcCcCcCcCcCcCcCcCcCcCcCcCcCcCcCcCcCcCc", canonical=False)
TOKEN = 10**18


@pytest.mark.parametrize(
    ("given", "epochs"),
    [("7", (7,)), (7, (7,)), ("9, 7,9", (7, 9)), ([3, "2"], (2, 3)), ("0", (0,))],
)
def test_epochs_of_the_operator(given, epochs) -> None:
    assert parse_epochs(given) == epochs


@pytest.mark.parametrize("given", ["", "7-9", "-1", "seven", "7,,8", [1.5], "1" * 19, {"a": 1}, True])
def test_texts_that_do_not_name_epochs(given) -> None:
    with pytest.raises(ValueError, match="rewards_epochs is not a list of epochs: write it as 7 or 7,9,12"):
        parse_epochs(given)


@pytest.mark.parametrize(
    ("rollup", "epochs", "first", "queried"),
    [
        (ROLLUP, (), None, range(1000, 2000)),
        (ROLLUP, (), 0, range(2000)),
        (ROLLUP, (), 1998, range(1998, 2000)),
        (ROLLUP, (), 5000, ()),
        (ROLLUP, (7, 2000, 2001), None, (7, 2000)),
        (replace(ROLLUP, proven_epoch=0), (), None, (0,)),
        (replace(ROLLUP, proven_epoch=None), (), None, ()),
        (replace(ROLLUP, proven_epoch=None), (), 0, ()),
    ],
)
def test_which_epochs_are_queried(rollup, epochs, first, queried) -> None:
    assert epochs_to_query(rollup, epochs, first) == list(queried)


@pytest.mark.parametrize(
    ("epoch", "amount", "claimed", "enabled", "state"),
    [
        (1998, TOKEN, False, True, "claimable"),
        (1998, TOKEN, False, None, "claimable"),
        (1998, TOKEN, False, False, "disabled"),
        (1999, TOKEN, False, True, "open"),
        (1999, TOKEN, False, False, "open"),
        (1998, 0, False, True, "nothing"),
        (1998, 0, True, True, "claimed"),
        # A contract that does not return 0 for a claimed epoch, and one that does not tell.
        (1998, TOKEN, True, True, "claimed"),
        (1998, TOKEN, None, True, "claimable"),
    ],
)
def test_states(epoch, amount, claimed, enabled, state) -> None:
    found = epoch_reward(replace(ROLLUP, enabled=enabled), epoch, amount, claimed)
    assert found == EpochReward(epoch, 0 if state == "claimed" else amount, state)


def test_times() -> None:
    # Epoch 1998 begins with second 4603392 after the genesis, and proofs of it are accepted in the epoch after it.
    assert ROLLUP.deadline(1998) == 2000
    assert ROLLUP.deadline_time(1998) == "2024-01-07 06:13 UTC"


def test_errors_of_a_claim() -> None:
    rewards = [
        EpochReward(1, 0, "claimed"),
        EpochReward(2, 0, "nothing"),
        EpochReward(3, TOKEN, "claimable"),
        EpochReward(1999, TOKEN, "open"),
        EpochReward(4, TOKEN, "disabled"),
        EpochReward(5, TOKEN, "disabled"),
    ]
    assert claim_errors(ROLLUP, (1, 2, 3, 1999, 2001, 4, 5), rewards, "0xP") == [
        "epoch 1 is already claimed: remove it from rewards_epochs",
        "epoch 2 brought 0xP nothing: remove it from rewards_epochs",
        f"proofs of epoch 1999 are still accepted: claim it after {ROLLUP.deadline_time(1999)}",
        "epoch 2001 is in the future, the current epoch is 2000: name an epoch of the table",
        f"the rollup {ROLLUP.name} does not allow claims yet: run again when its owner enables them",
    ]
    assert claim_errors(ROLLUP, (), rewards, "0xP") == []


@pytest.mark.parametrize(
    ("count", "gas", "limit", "sizes"),
    [
        (1, 100, 100, [1]),
        (1, 900, 100, [1]),
        (10, 1000, 1000, [10]),
        (10, 1001, 1000, [5, 5]),
        (10, 1050, 550, [5, 5]),
        (10, 1050, 549, [4, 4, 2]),
        (3, 350, 149, [1, 1, 1]),
        # Less than one epoch fits, or less than the part of every transaction.
        (3, 350, 120, [1, 1, 1]),
        (3, 350, 10, [1, 1, 1]),
        (2, 40, 30, [1, 1]),
        (100, 12_000_000, 10_000_000, [50, 50]),
    ],
)
def test_a_claim_is_split(count, gas, limit, sizes) -> None:
    epochs = list(range(7, 7 + count))
    groups = split_by_gas(epochs, gas, limit, 50)
    assert [len(group) for group in groups] == sizes
    assert [epoch for group in groups for epoch in group] == epochs


@pytest.mark.parametrize(
    ("epochs", "text"), [([], ""), ([7], "7"), ([1, 2, 3, 7], "1-3, 7"), ([1, 3, 4], "1, 3-4")]
)
def test_ranges(epochs, text) -> None:
    assert range_text(epochs) == text


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [
        (0, 18, "0 AZTEC"),
        (1, 18, "0.000000000000000001 AZTEC"),
        (15 * 10**17, 18, "1.5 AZTEC"),
        (100 * TOKEN, 18, "100 AZTEC"),
        (10**40 + 1, 18, "10000000000000000000000.000000000000000001 AZTEC"),
        (100, 0, "100 AZTEC"),
    ],
)
def test_amounts_are_exact(units, decimals, text) -> None:
    assert replace(ROLLUP, decimals=decimals).amount(units) == text


FOUND = [
    (
        ROLLUP,
        [
            *(EpochReward(epoch, 0, "claimed") for epoch in (1, 2, 3, 9)),
            EpochReward(4, 0, "nothing"),
            EpochReward(5, 3 * TOKEN // 2, "claimable"),
            EpochReward(1999, TOKEN, "open"),
        ],
    ),
    (FORMER, [EpochReward(6, TOKEN, "claimable"), EpochReward(7, 2 * TOKEN, "disabled")]),
    (replace(FORMER, address="0xDdDdDdDdDdDdDdDdDdDdDdDdDdDdDdDdDdDdDdDd"), []),
]


def test_the_table() -> None:
    a, c, d = (rollup.address for rollup, _rewards in FOUND)
    assert [line.rstrip() for line in rewards_table(FOUND).splitlines()[2:]] == [
        f"{a} (canonical)  1-3               claimed",
        f"{a} (canonical)  9                 claimed",
        f"{a} (canonical)  5      1.5 AZTEC  claimable",
        f"{a} (canonical)  1999   1 AZTEC    claimable after {ROLLUP.deadline_time(1999)}",
        f"{c} (former)     6      1 AZTEC    claimable",
        f"{c} (former)     7      2 AZTEC    this rollup does not allow claims yet",
        f"{d} (former)                       no rewards",
    ]


def test_sums_and_verdicts() -> None:
    assert sums(FOUND, "claimable") == "2.5 AZTEC"
    assert report_verdict(FOUND) == (
        "2.5 AZTEC can be claimed, 1 AZTEC can be claimed later, 2 AZTEC cannot be claimed yet"
    )
    assert report_verdict(FOUND[2:]) == "nothing can be claimed"
    other = replace(FORMER, token="0xEeEeEeEeEeEeEeEeEeEeEeEeEeEeEeEeEeEeEeEe", symbol="FEE", decimals=6)
    assert sums([*FOUND, (other, [EpochReward(1, 10**6, "claimable")])], "claimable") == "2.5 AZTEC and 1 FEE"
