# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lines that the operator reads during a run and at its end."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.run_output import (
    cut,
    reason,
    verdict,
    what_changed,
)


@pytest.mark.parametrize(
    ("reported", "counts", "flags", "shown"),
    [
        ("", (1, 0, 0, 0), {}, "1 host, 0 changed, 0 failed, 0 unreachable"),
        ("", (3, 2, 1, 1), {}, "3 hosts, 2 changed, 1 failed, 1 unreachable"),
        ("", (3, 2, 0, 0), {"check": True}, "3 hosts, 2 would change, 0 failed, 0 unreachable"),
        ("", (0, 0, 0, 0), {}, "0 hosts, 0 changed, 0 failed, 0 unreachable"),
        ("3 hosts, nothing to change", (3, 0, 0, 0), {}, "3 hosts, nothing to change"),
        ("3 hosts, 2 changes", (3, 2, 0, 0), {"check": True}, "3 hosts, 2 changes"),
        ("all healthy", (3, 0, 1, 0), {}, "all healthy, 1 failed"),
        ("all healthy", (3, 0, 0, 2), {}, "all healthy, 2 unreachable"),
        ("all healthy", (3, 0, 1, 2), {}, "all healthy, 1 failed, 2 unreachable"),
        ("2 problems, see above", (3, 0, 1, 2), {"explained": True}, "2 problems, see above"),
    ],
)
def test_verdict(reported: str, counts: tuple[int, int, int, int], flags: dict[str, bool], shown: str) -> None:
    assert verdict(reported, *counts, **flags) == shown


@pytest.mark.parametrize(
    ("width", "shown"),
    [(None, "changed"), (8, "changed"), (7, "changed"), (6, "cha..."), (3, "..."), (2, ".."), (1, "."), (0, "")],
)
def test_cut(width: int | None, shown: str) -> None:
    assert cut("changed", width) == shown


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        pytest.param({"msg": "it failed:\n  do this"}, "it failed: do this", id="one line"),
        pytest.param({"msg": "Task failed: Action failed: wrong"}, "wrong", id="prefixes of ansible-core"),
        pytest.param({"msg": "Task failed: Module failed: wrong"}, "wrong", id="prefixes of a module"),
        pytest.param({"msg": "Task failed: wrong"}, "wrong", id="one prefix"),
        pytest.param({"msg": "rc 1", "stderr": "first\nlast\n"}, "rc 1: last", id="last line of stderr"),
        pytest.param({"msg": "rc 1: last", "stderr": "first\nlast\n"}, "rc 1: last", id="not twice"),
        pytest.param({"msg": "rc 1", "stderr": "\n"}, "rc 1", id="no stderr"),
        pytest.param({"msg": "lost", "module_stderr": "killed"}, "lost: killed", id="a module that crashed"),
        pytest.param({"msg": "\x1b[31mred\x1b[0m"}, "red", id="no terminal control"),
        pytest.param({"censored": "hidden"}, "hidden", id="no_log"),
        pytest.param({}, "the task returned no message: run again with -v", id="no message"),
    ],
)
def test_reason(result: dict, shown: str) -> None:
    assert reason(result) == shown


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ({}, ""),
        ({"actions": []}, ""),
        ({"actions": "not a list"}, ""),
        ({"actions": ["create network"]}, "create network"),
        ({"actions": ["create network", "start\nnode"]}, "create network; start node"),
    ],
)
def test_what_changed(result: dict, shown: str) -> None:
    assert what_changed(result) == shown
