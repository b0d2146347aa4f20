# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decide whether the proof of an epoch can be started again, and explain why not."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.publishers import ADMIN_KEY

# Of how many of the last epochs the proofs are read. Networks accept proofs for one epoch.
EPOCHS = 25
NODE_PROBLEMS = {
    "missing": "the node is not in this run: include its host in --limit",
    "down": "the node does not run: see verify.yml",
    "stopped": "the node is stopped: run start.yml",
    "starting": "the node is starting: run again when it has started",
}


def parse_epoch(value: object) -> int:
    """Return the epoch that -e passes as text. Raise ValueError if it is not one."""
    if value in (None, ""):
        raise ValueError("epoch is not set: add -e epoch=NUMBER")
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,15}", str(value).strip()):
        raise ValueError(f"epoch {printable(str(value), 40)} is not an epoch: set a number from 0")
    return int(value)


def node_problem(state: str, inactive: str) -> str:
    """Return why a node does not start proofs, '' if it does. state and inactive: as in earning.Facts."""
    if inactive:
        return f"the node is in {inactive}: see verify.yml"
    return NODE_PROBLEMS.get(state, "")


def epoch_problem(epoch: int, proofs: Mapping, prover: str) -> str:
    """Return why a proof would not be accepted, '' if it would. proofs: of host_info. prover: PROVER_ID."""
    if proofs["error"]:
        wrong = f"the epochs on the L1 are not known, because {proofs['error']}"
        return f"{wrong}: use an L1 client that returns logs"
    current = proofs["epoch"]
    last, first = current - 1, max(0, current - proofs["submission_epochs"])
    possible = f"name an epoch of {first} to {last}"
    if epoch >= current:
        remedy = possible if last >= first else "run again when an epoch has ended"
        return f"epoch {epoch} has not ended, the current one is {current}: {remedy}"
    if epoch < first:
        return f"proofs of epoch {epoch} are no longer accepted, the current one is {current}: {possible}"
    if any(one["epoch"] == epoch and one["prover"] == prover.lower() for one in proofs["accepted"]):
        return f"epoch {epoch} has a proof of this prover, and a second one is not accepted: name another epoch"
    return ""


def key_problem(admin: bool, key: str, disabled: bool) -> str:
    """Return why the admin API cannot be used, '' if it can. disabled: whether it requires no key."""
    if admin and not key and not disabled:
        remedy = "run keys.yml -e admin_api_key=true, then site.yml"
        return f"{ADMIN_KEY} is not set, and this release starts proofs only with the admin API: {remedy}"
    return ""


def start_problem(epoch: int, found: Mapping) -> str:
    """Return why the node did not start the proof, '' if it did. found: the result of the module start_proof."""
    if found["before"]:
        return f"the node works on epoch {epoch} ({found['before']}): wait for the result, which status.yml displays"
    if found["kind"] == "key":
        return f"the node refuses the key in {ADMIN_KEY}: set the node's key, or run site.yml to give it this one"
    if found["kind"] == "down":
        return NODE_PROBLEMS["down"]
    if found["kind"] == "rejected":
        return f"the node does not prove epoch {epoch}, it {found['error']}: see its log with logs.yml"
    if found["error"]:
        return f"the node did not start the proof of epoch {epoch}, it {found['error']}: see its log with logs.yml"
    return ""


def started(epoch: int, state: str) -> str:
    """Return the verdict after a start. state: that of the job, '' if it has ended already."""
    return f"the proof of epoch {epoch} has started" + (f" ({state})" if state else "")
