# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lines that the operator reads during a run and at its end."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable

# Added to messages by ansible-core. The heading names the task.
PREFIX = re.compile(r"^(Task failed: )?((Action|Module) failed: )?")


def cut(text: str, width: int | None) -> str:
    """Return a text shortened to width columns. None: as it is."""
    return text if width is None or len(text) <= width else f"{text[: max(width - 3, 0)]}..."[:width]


def verdict(
    reported: str,
    hosts: int,
    changed: int,
    failed: int,
    unreachable: int,
    *,
    explained: bool = False,
    check: bool = False,
) -> str:
    """Return the last line of a run.

    reported: the verdict of an action, or ''. hosts, changed, failed, unreachable: numbers of hosts. explained: the
    reported verdict is that of a failed action, which knows the failures. check: the run was in check mode.
    """
    if not reported:
        what = f"{changed} would change" if check else f"{changed} changed"
        return f"{hosts} {'host' if hosts == 1 else 'hosts'}, {what}, {failed} failed, {unreachable} unreachable"
    others = () if explained else ((failed, "failed"), (unreachable, "unreachable"))
    return ", ".join([reported, *(f"{number} {state}" for number, state in others if number)])


def reason(result: dict[str, Any]) -> str:
    """Return on one line why a task failed, from its result."""
    text = result.get("msg") or result.get("censored") or "the task returned no message: run again with -v"
    errors = str(result.get("stderr") or result.get("module_stderr") or "").strip().splitlines()
    last = errors[-1] if errors and errors[-1].strip() not in str(text) else ""
    return printable(": ".join(filter(None, (PREFIX.sub("", str(text)), last))))


def what_changed(result: dict[str, Any]) -> str:
    """Return a result's actions on one line, or ''."""
    actions = result.get("actions")
    return printable("; ".join(map(str, actions))) if isinstance(actions, list) else ""
