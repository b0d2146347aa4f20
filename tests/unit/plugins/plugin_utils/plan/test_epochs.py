# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Epochs that an upgrade waits for."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.epochs import awaited, epochs_in_work, in_words

PROJECT = "aztec-prover-node"


def node(*jobs: tuple) -> dict:
    found = [{"epoch": epoch, "state": state} for epoch, state in jobs]
    return {"projects": {PROJECT: {"containers": [{"service": "prover-node", "epoch_jobs": found}]}}}


@pytest.mark.parametrize(
    ("host_info", "epochs"),
    [
        (node(), {}),
        (node((7, "completed"), (8, "failed"), (9, "stopped"), (10, "timed-out"), (11, "reorg")), {}),
        (node((7, "completed"), (8, "processing"), (9, "initialized")), {8: "processing", 9: "initialized"}),
        (node((8, "awaiting-prover"), (7, "publishing-proof")), {8: "awaiting-prover", 7: "publishing-proof"}),
        ({"projects": {PROJECT: {"containers": [{"service": "prover-node"}]}}}, None),
        ({"projects": {PROJECT: {"containers": []}}}, None),
        ({"projects": {}}, None),
    ],
)
def test_epochs_in_work(host_info: dict, epochs: dict | None) -> None:
    assert epochs_in_work(host_info, PROJECT) == epochs


def test_epochs_that_begin_later_are_not_awaited() -> None:
    assert awaited({7: "processing"}, {7: "publishing-proof", 8: "processing"}) == {7: "publishing-proof"}
    assert awaited({7: "processing"}, {8: "processing"}) == {}
    assert awaited({}, {8: "processing"}) == {}


def test_in_words() -> None:
    assert in_words({8: "processing", 7: "publishing-proof"}) == "epoch 7 (publishing-proof), epoch 8 (processing)"
