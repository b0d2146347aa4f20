# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The mark of an upgrade on the node's host: which run has it, and whether that run still exists."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable


@dataclass(frozen=True)
class Owner:
    """A run: the version that it upgrades to, its controller and process, and until when it can last (Unix time)."""

    version: str
    controller: str
    process: int
    until: int

    def text(self) -> str:
        """Return what the mark contains."""
        return f"{self.version} {self.controller} {self.process} {self.until}"


def parse_owner(text: str) -> Owner | None:
    """Return the run that a mark names, None if it is not one of this collection."""
    words = text.split()
    if len(words) != 4 or not words[2].isdecimal() or not words[3].isdecimal():
        return None
    return Owner(printable(words[0], 60), printable(words[1], 100), int(words[2]), int(words[3]))


def is_stale(owner: Owner | None, controller: str, now: float, lives: Callable[[int], bool]) -> bool:
    """Return whether the run that has a mark has ended. lives: whether a process of this controller exists."""
    if owner is None or owner.until < now:
        return True
    return owner.controller == controller and not lives(owner.process)


def conflict(host: str, path: str, owner: Owner) -> str:
    """Return the line for the second of two upgrades."""
    until = time.strftime("%H:%M", time.gmtime(owner.until))
    wrong = f"another run changes the fleet to {owner.version} (process {owner.process} on {owner.controller})"
    return f"{wrong}: wait for its end, or, if it has ended, delete {path} on {host}, which applies until {until} UTC"
