"""Jobs and epochs in the components' logs."""

from __future__ import annotations

import re

from lab.fleet import proof
from tests.system.fleet import Fleet, wait_for

WITHIN = 420
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
DONE_BY_AGENT = re.compile(r"Job id=(\S+) type=\S+ completed")
TAKEN_BY_BROKER = re.compile(r"Proving job complete id=(\S+)")
SUBMITTED = re.compile(r"Submitted proof for epoch (\d+) \(checkpoints \d+ to (\d+)\)")


def _found(pattern: re.Pattern[str], fleet: Fleet, name: str, service: str) -> list:
    return pattern.findall(COLOUR.sub("", fleet.log(name, service)))


def completed(fleet: Fleet, name: str, service: str = "prover-agent") -> set[str]:
    """Return the ids of the jobs that an agent has completed."""
    return set(_found(DONE_BY_AGENT, fleet, name, service))


def accepted(fleet: Fleet, broker: str = "node-1") -> set[str]:
    """Return the ids of the jobs whose results the broker has accepted."""
    return set(_found(TAKEN_BY_BROKER, fleet, broker, "prover-broker"))


def submitted(fleet: Fleet, node: str = "node-1") -> dict[int, int]:
    """Return the epochs whose proof the node has submitted to the L1, with the last checkpoint of each."""
    found = _found(SUBMITTED, fleet, node, "prover-node")
    return {int(epoch): int(checkpoint) for epoch, checkpoint in found}


def of_epoch(jobs: set[str], epoch: int) -> set[str]:
    """Return the jobs of one epoch."""
    return {job for job in jobs if job.startswith(f"{epoch}:")}


def prove(fleet: Fleet, node: str, broker: str, agents: list[tuple[str, str]]) -> None:
    """Wait until the L1 has accepted an epoch of the node, and the broker jobs of every agent (host and service)."""
    block = proof.block_number(fleet.settings)

    def proven() -> bool:
        on_l1 = {one.checkpoint for one in proof.proofs(fleet.settings, block)}
        taken = accepted(fleet, broker)
        idle = [agent for agent in agents if not completed(fleet, *agent) & taken]
        return bool(on_l1 & set(submitted(fleet, node).values())) and not idle

    wait_for(f"an accepted epoch, with jobs of {agents}", proven, WITHIN)
