"""Add an agent to the inventory and run site.yml only for it, while another agent's machine is off."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.fleet import proof
from tests.harness.machines import make
from tests.system.fleet import SCALE_OUT, Fleet, last_run, playbook, wait_for
from tests.system.jobs import accepted, completed, of_epoch, submitted

WITHIN = 420
OTHERS = (("node-1", "prover-node"), ("node-1", "prover-broker"), ("agent-2", "prover-agent"))


@dataclass(frozen=True)
class Joined:
    """The run for the new agent, the report of its remote calls, and the others' containers before it."""

    run: subprocess.CompletedProcess[str]
    report: Path
    before: dict[str, tuple[str, str]]


def others(fleet: Fleet) -> dict[str, tuple[str, str]]:
    """Return id and start time of the other running containers. A recreated or restarted container has other values."""
    found = {f"{service} on {name}": fleet.container(name, service) for name, service in OTHERS}
    return {which: (container["Id"], container["State"]["StartedAt"]) for which, container in found.items()}


@pytest.fixture(scope="module")
def joined(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Joined]:
    """Turn agent-1 off, add agent-3 and run site.yml for it. At the end, turn agent-1 on and agent-3 off."""
    make(["agent-3"], [SCALE_OUT]).close()
    before = others(fleet)
    fleet.stop_machine("agent-1")
    report = tmp_path_factory.mktemp("joined") / "calls.jsonl"
    run = playbook("playbooks/site.yml", "-i", str(SCALE_OUT), "--limit", "agent-3", report=report)
    yield Joined(run, report, before)
    fleet.stop_machine("agent-3")
    fleet.start_machine("agent-1")


def test_site_for_only_the_new_agent(fleet: Fleet, joined: Joined) -> None:
    """The run succeeds although another agent is down, and the new agent is healthy."""
    assert joined.run.returncode == 0, joined.run.stdout[-4000:] + joined.run.stderr
    assert "unreachable=1" not in joined.run.stdout
    fleet.wait_until_healthy("agent-3", "prover-agent")


@pytest.mark.usefixtures("joined")
def test_new_agent_works(fleet: Fleet) -> None:
    """The new agent completes jobs, the broker accepts them, and the L1 accepts an epoch with its jobs."""
    block = proof.block_number(fleet.settings)

    def proven() -> list[int]:
        shared = completed(fleet, "agent-3") & accepted(fleet)
        on_l1 = {one.checkpoint for one in proof.proofs(fleet.settings, block)}
        return [epoch for epoch, last in submitted(fleet).items() if last in on_l1 and of_epoch(shared, epoch)]

    assert wait_for("an accepted epoch with jobs of agent-3", proven, WITHIN)


def test_others_are_not_restarted(fleet: Fleet, joined: Joined) -> None:
    """None of the other containers is recreated or restarted."""
    assert others(fleet) == joined.before


def test_others_are_not_contacted(joined: Joined) -> None:
    """Of the other hosts, only the broker's is contacted, to admit the new agent."""
    calls = last_run(joined.report)["calls"]
    assert calls.pop("agent-3")
    assert list(calls) == ["node-1"]
    assert [call.rsplit(": ", 1)[-1] for call in calls["node-1"]] == ["aztec_ops.prover.port_guard"]
