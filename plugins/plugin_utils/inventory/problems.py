# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Problems of an inventory or of hosts, and the tables in which the operator reads them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import BROKER, NODE

# The level of a problem that excludes an agent from the run, and the prefix of each level in the table.
LEFT_OUT = "left out"
LEVELS = {"error": "", "warning": "(warning) ", LEFT_OUT: "(warning, left out of this run) ", "note": "(note) "}


@dataclass(frozen=True)
class Problem:
    """One problem: the host, the variable, what is wrong, and what to do. level: a key of LEVELS.

    fleet: the problem concerns the whole fleet. It stays an error even if its host has only an agent.
    """

    host: str
    variable: str
    wrong: str
    remedy: str
    level: str = "error"
    fleet: bool = False


def is_optional(components: Collection) -> bool:
    """Return whether a run can continue without a host with these components: it has neither node nor broker."""
    return not {NODE, BROKER} & set(components)


def leave_out_agents(problems: Sequence, agents: Collection, optional: Collection) -> list:
    """Return problems with the errors of optional hosts at level LEFT_OUT, which does not end the run.

    agents: hosts of the run that have an agent. optional: see is_optional. If no agent would remain, the errors stay
    errors, because a run that changes no agent must not change node and broker.
    """
    own = [one for one in problems if one.level == "error" and one.host in optional and not one.fleet]
    if set(agents) <= {one.host for one in own}:
        return list(problems)
    return [replace(one, level=LEFT_OUT) if one in own else one for one in problems]


def count_problems(number: int) -> str:
    """Return "1 problem", "2 problems" and so on."""
    return "1 problem" if number == 1 else f"{number} problems"


def count_hosts(number: int) -> str:
    """Return "1 host", "2 hosts" and so on."""
    return "1 host" if number == 1 else f"{number} hosts"


def count_errors(problems: Iterable, all_hosts: Sequence) -> str:
    """Return the number of errors in the table of these problems, in words."""
    return count_problems(sum(one.level == "error" for one in merge_problems(problems, all_hosts)))


def merge_problems(problems: Iterable, all_hosts: Sequence = ()) -> list:
    """Merge equal problems of several hosts into one that names or counts the hosts; return errors first."""
    hosts: dict = {}
    for problem in problems:
        hosts.setdefault(replace(problem, host="", fleet=False), []).append(problem.host)
    merged = []
    for problem, names in hosts.items():
        if len(names) > 1 and len(names) == len(all_hosts):
            where = f"all {len(names)} hosts"
        else:
            where = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        merged.append(replace(problem, host=where))
    return sorted(merged, key=lambda problem: problem.level != "error")


def table(rows: Sequence, heads: Sequence) -> str:
    """Return rows of text as a table with a header, one line for each row."""
    texts = [heads, *([printable(str(cell)) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts)]
    texts.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(map(str.ljust, cells, widths)).rstrip() for cells in texts)


def problem_table(problems: Sequence, all_hosts: Sequence = ()) -> str:
    """Return the table of problems that the operator reads."""
    rows = [
        (problem.host, problem.variable, f"{LEVELS[problem.level]}{problem.wrong}", problem.remedy)
        for problem in merge_problems(problems, all_hosts)
    ]
    return table(rows, ("HOST", "VARIABLE", "WHAT IS WRONG", "WHAT TO DO"))
