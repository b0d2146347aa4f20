# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The epochs that a node works on, and how long an upgrade waits for them."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.aztec_ops.prover.plugins.module_utils.host.node_jobs import ENDED


def epochs_in_work(host_info: Mapping, project: str) -> dict[int, str] | None:
    """Return epoch -> state of the jobs that have not ended, None if the node does not report them."""
    containers = ((host_info.get("projects") or {}).get(project) or {}).get("containers") or []
    reported = [one["epoch_jobs"] for one in containers if "epoch_jobs" in one]
    if not reported:
        return None
    return {job["epoch"]: job["state"] for jobs in reported for job in jobs if job["state"] not in ENDED}


def runs(host_info: Mapping, project: str) -> bool:
    """Return whether a container of the node runs, so that a query without an answer can be repeated."""
    containers = ((host_info.get("projects") or {}).get(project) or {}).get("containers") or []
    return any(one.get("state") == "running" for one in containers)


def awaited(first: Mapping[int, str], now: Mapping[int, str]) -> dict[int, str]:
    """Return the epochs that were in work at the start and still are. Those that began later are not waited for."""
    return {epoch: state for epoch, state in now.items() if epoch in first}


def in_words(epochs: Mapping[int, str]) -> str:
    """Return epochs with their states in words."""
    return ", ".join(f"epoch {epoch} ({state})" for epoch, state in sorted(epochs.items()))
