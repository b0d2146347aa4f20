# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The mark of an upgrade."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.upgrade_lock import (
    Owner,
    conflict,
    is_stale,
    parse_owner,
)

OTHER = Owner("4.1.3", "ctrl-1", 4711, 1795405649)


def test_text() -> None:
    assert parse_owner(OTHER.text()) == OTHER


@pytest.mark.parametrize("text", ["", "4.1.3 ctrl-1 x 1", "4.1.3 ctrl-1 1 y", "/etc/passwd", "a b 1 2 3", "a b -1 2"])
def test_other_texts(text: str) -> None:
    assert parse_owner(text) is None


@pytest.mark.parametrize(
    ("owner", "controller", "now", "alive", "stale"),
    [
        pytest.param(OTHER, "ctrl-1", 1795405000, True, False, id="it runs here"),
        pytest.param(OTHER, "ctrl-1", 1795405000, False, True, id="it has ended here"),
        pytest.param(OTHER, "ctrl-2", 1795405000, False, False, id="of another controller"),
        pytest.param(OTHER, "ctrl-2", 1795405650, False, True, id="it has expired"),
        pytest.param(None, "ctrl-1", 0, True, True, id="not of this collection"),
    ],
)
def test_is_stale(owner: Owner | None, controller: str, now: int, alive: bool, stale: bool) -> None:
    assert is_stale(owner, controller, now, lambda process: alive and process == 4711) is stale


def test_conflict() -> None:
    assert conflict("node-1", "/run/aztec-prover-node.upgrade", OTHER) == (
        "another run changes the fleet to 4.1.3 (process 4711 on ctrl-1): wait for its end, or, if it has ended, "
        "delete /run/aztec-prover-node.upgrade on node-1, which applies until 03:47 UTC"
    )
