# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of problems."""

from __future__ import annotations

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import (
    Problem,
    merge_problems,
    problem_table,
)


def test_many_hosts_are_counted() -> None:
    problems = [Problem(f"agent-{number}", "v", "w", "r") for number in range(9)]
    assert merge_problems(problems)[0].host == "agent-0, agent-1, agent-2 and 6 more"
    assert merge_problems(problems, [problem.host for problem in problems])[0].host == "all 9 hosts"


def test_no_line_breaks_in_a_row() -> None:
    rows = problem_table([Problem("a", "b", "c\nd", "e")]).splitlines()
    assert len(rows) == 3
    assert rows[2].split() == ["a", "b", "c", "d", "e"]
