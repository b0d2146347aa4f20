"""Jobs and epochs as the components' own logs count them."""

from __future__ import annotations

import re

from tests.fleet.fleet import Fleet

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
DONE_BY_AGENT = re.compile(r"Job id=(\S+) type=\S+ completed")
TAKEN_BY_BROKER = re.compile(r"Proving job complete id=(\S+)")
SUBMITTED = re.compile(r"Submitted proof for epoch (\d+) \(checkpoints \d+ to (\d+)\)")


def _found(pattern: re.Pattern[str], fleet: Fleet, name: str, service: str) -> list:
    return pattern.findall(COLOUR.sub("", fleet.log(name, service)))


def completed(fleet: Fleet, name: str) -> set[str]:
    """Give the ids of the jobs that an agent says it has completed."""
    return set(_found(DONE_BY_AGENT, fleet, name, "prover-agent"))


def accepted(fleet: Fleet) -> set[str]:
    """Give the ids of the jobs whose results the broker has taken."""
    return set(_found(TAKEN_BY_BROKER, fleet, "node-1", "prover-broker"))


def submitted(fleet: Fleet) -> dict[int, int]:
    """Give the epochs whose proof the node has brought to the L1, each with the last checkpoint that it proves."""
    found = _found(SUBMITTED, fleet, "node-1", "prover-node")
    return {int(epoch): int(checkpoint) for epoch, checkpoint in found}


def of_epoch(jobs: set[str], epoch: int) -> set[str]:
    """Give the jobs of one epoch."""
    return {job for job in jobs if job.startswith(f"{epoch}:")}
