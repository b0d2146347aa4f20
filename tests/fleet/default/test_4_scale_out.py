"""One agent more: added to the inventory, site.yml run for it alone, while another agent's machine is off."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from lab.fleet import proof
from tests.fleet.fleet import SCALE_OUT, Fleet, playbook, wait_for
from tests.fleet.jobs import accepted, completed, of_epoch, submitted
from tests.harness.machines import make

WITHIN = 420


@pytest.fixture(scope="module")
def joined(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.CompletedProcess[str]]:
    """Turn agent-1 off, add agent-3 and run site.yml for it; afterwards turn agent-1 on again."""
    make(["agent-3"], [SCALE_OUT]).close()
    fleet.stop_machine("agent-1")
    report = tmp_path_factory.mktemp("joined") / "calls.jsonl"
    yield playbook("playbooks/site.yml", "-i", str(SCALE_OUT), "--limit", "agent-3", report=report)
    fleet.start_machine("agent-1")


def test_site_for_the_new_agent_alone(fleet: Fleet, joined: subprocess.CompletedProcess[str]) -> None:
    """The run ends well with a dead peer, and the new agent is up."""
    assert joined.returncode == 0, joined.stdout[-4000:] + joined.stderr
    assert "unreachable=1" not in joined.stdout
    fleet.wait_until_healthy("agent-3", "prover-agent")


def test_new_agent_works(fleet: Fleet, joined: subprocess.CompletedProcess[str]) -> None:
    """It completes jobs, the broker takes them, and an epoch that it worked on is accepted by the L1."""
    block = proof.block_number(fleet.settings)

    def proven() -> list[int]:
        shared = completed(fleet, "agent-3") & accepted(fleet)
        on_l1 = {one.checkpoint for one in proof.proofs(fleet.settings, block)}
        return [epoch for epoch, last in submitted(fleet).items() if last in on_l1 and of_epoch(shared, epoch)]

    assert wait_for("an accepted epoch with jobs of agent-3", proven, WITHIN)


def test_others_were_left_alone(fleet: Fleet, joined: subprocess.CompletedProcess[str]) -> None:
    """Nothing was restarted for it."""
    for name, service in (("node-1", "prover-node"), ("node-1", "prover-broker"), ("agent-2", "prover-agent")):
        assert fleet.container(name, service)["RestartCount"] == 0
