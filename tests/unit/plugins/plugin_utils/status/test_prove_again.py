# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the proof of an epoch can be started again."""

from __future__ import annotations

import re

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status import prove_again

from tests.unit.plugins.plugin_utils.status.test_earning import OTHER, US, proofs


@pytest.mark.parametrize(("value", "epoch"), [("7", 7), (0, 0), (" 12 ", 12)])
def test_epoch(value: object, epoch: int) -> None:
    assert prove_again.parse_epoch(value) == epoch


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("", "epoch is not set: add -e epoch=NUMBER"),
        (None, "epoch is not set: add -e epoch=NUMBER"),
        ("-1", "epoch -1 is not an epoch: set a number from 0"),
        ("7,8", "epoch 7,8 is not an epoch: set a number from 0"),
        ("last", "epoch last is not an epoch: set a number from 0"),
        (True, "epoch True is not an epoch: set a number from 0"),
        ([7], "epoch [7] is not an epoch: set a number from 0"),
        ("9" * 20, f"epoch {'9' * 20} is not an epoch: set a number from 0"),
    ],
)
def test_what_is_not_an_epoch(value: object, line: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        prove_again.parse_epoch(value)


@pytest.mark.parametrize(
    ("state", "inactive", "line"),
    [
        ("running", "", ""),
        ("down", "", "the node does not run: see verify.yml"),
        ("stopped", "", "the node is stopped: run start.yml"),
        ("starting", "", "the node is starting: run again when it has started"),
        ("missing", "", "the node is not in this run: include its host in --limit"),
        ("running", "standby", "the node is in standby: see verify.yml"),
    ],
)
def test_node(state: str, inactive: str, line: str) -> None:
    assert prove_again.node_problem(state, inactive) == line


POSSIBLE = "name an epoch of 9 to 9"


@pytest.mark.parametrize(
    ("epoch", "found", "line"),
    [
        (9, proofs([]), ""),
        (9, proofs([(9, OTHER), (8, US.lower())]), ""),
        (3, proofs([], more=20), ""),
        (10, proofs([]), f"epoch 10 has not ended, the current one is 10: {POSSIBLE}"),
        (99, proofs([]), f"epoch 99 has not ended, the current one is 10: {POSSIBLE}"),
        (8, proofs([]), f"proofs of epoch 8 are no longer accepted, the current one is 10: {POSSIBLE}"),
        (0, proofs([], epoch=0), "epoch 0 has not ended, the current one is 0: run again when an epoch has ended"),
        (
            9,
            proofs([(9, US.lower())]),
            "epoch 9 has a proof of this prover, and a second one is not accepted: name another epoch",
        ),
        (
            9,
            {"error": "L1 URL 1 x"},
            "the epochs on the L1 are not known, because L1 URL 1 x: use an L1 client that returns logs",
        ),
    ],
)
def test_epoch_on_the_l1(epoch: int, found: dict, line: str) -> None:
    assert prove_again.epoch_problem(epoch, found, US) == line


@pytest.mark.parametrize(
    ("admin", "key", "disabled", "problem"),
    [(False, "", False, False), (True, "k", False, False), (True, "", True, False), (True, "", False, True)],
)
def test_key(admin: bool, key: str, disabled: bool, problem: bool) -> None:
    line = (
        "prover_node_admin_api_key is not set, and this release starts proofs only with the admin API: run keys.yml "
    )
    line += "-e admin_api_key=true, then site.yml"
    assert prove_again.key_problem(admin, key, disabled) == (line if problem else "")


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ({}, ""),
        (
            {"before": "processing"},
            "the node works on epoch 7 (processing): wait for the result, which status.yml displays",
        ),
        (
            {"kind": "key", "error": "x"},
            "the node refuses the key in prover_node_admin_api_key: set the node's key, or "
            "run site.yml to give it this one",
        ),
        ({"kind": "down", "error": "x"}, "the node does not run: see verify.yml"),
        (
            {"kind": "rejected", "error": "rejects m: No blocks"},
            "the node does not prove epoch 7, it rejects m: No blocks: see its log with logs.yml",
        ),
        (
            {"kind": "timeout", "error": "does not respond within 10 s"},
            "the node did not start the proof of epoch 7, it does not respond within 10 s: see its log with logs.yml",
        ),
    ],
)
def test_start(found: dict, line: str) -> None:
    assert prove_again.start_problem(7, {"before": "", "after": "", "kind": "", "error": "", **found}) == line


def test_verdict() -> None:
    assert prove_again.started(7, "initialized") == "the proof of epoch 7 has started (initialized)"
    assert prove_again.started(7, "") == "the proof of epoch 7 has started"
