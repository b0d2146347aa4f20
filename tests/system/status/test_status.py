"""Whether the prover earns: each state made for real on the fleet, its exit code, and an epoch that is proven again.

The tests run in their order, and leave the fleet as they find it. The states standby and wrong rollup are in
tests/system/key_sources/test_standby.py, which waits for them anyway.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lab.fleet import network, proof
from lab.fleet.l1 import rpc
from tests.system.fleet import Fleet, last_run, playbook, wait_for
from tests.system.jobs import COLOUR, WITHIN, prove, submitted

NODE = "node-1"
AGENTS = ("agent-1", "agent-2")
SERVICE = "prover-agent"
PUBLISHER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
FAILED = re.compile(r"Job for (\d+) exited with state failed")
STATUS = "playbooks/status.yml"


def status(*arguments: str, report: Path | None = None) -> tuple[subprocess.CompletedProcess[str], dict]:
    """Run status.yml. Return the run and what it reports on earning."""
    # An epoch of the lab takes seconds: 10 would be the last few minutes.
    run = playbook(STATUS, "-e", "status_format=json", "-e", "status_epochs=50", *arguments, report=report)
    documents = [line for line in run.stdout.splitlines() if line.startswith("{")]
    assert len(documents) == 1, run.stdout
    return run, json.loads(documents[0])["earning"]


def failures(fleet: Fleet) -> set[str]:
    """Return the epochs whose jobs on the node failed."""
    return set(FAILED.findall(COLOUR.sub("", fleet.log(NODE, "prover-node", "30m"))))


@contextmanager
def without_agents(fleet: Fleet) -> Iterator[None]:
    """Stop the containers of all agents during the block."""
    for agent in AGENTS:
        fleet.execute(agent, ["docker", "stop", "--time", "1", fleet.container(agent, SERVICE)["Id"]])
    try:
        yield
    finally:
        for agent in AGENTS:
            fleet.execute(agent, ["docker", "start", fleet.container(agent, SERVICE)["Id"]])


@contextmanager
def balance(fleet: Fleet, wei: int) -> Iterator[None]:
    """Set another balance of the publisher during the block."""
    url = fleet.settings.l1_url
    own = rpc(url, "eth_getBalance", PUBLISHER, "latest")
    rpc(url, "anvil_setBalance", PUBLISHER, hex(wei))
    try:
        yield
    finally:
        rpc(url, "anvil_setBalance", PUBLISHER, own)


@contextmanager
def without_sequencer(fleet: Fleet) -> Iterator[None]:
    """Stop the sequencer during the block, so that there are no new L2 blocks."""
    sequencer = network.find(fleet.client, "sequencer")
    assert sequencer is not None
    pending = proof.pending_checkpoint(fleet.settings)
    sequencer.stop(timeout=10)
    try:
        yield
    finally:
        sequencer.start()

    def makes_blocks() -> bool:
        return proof.pending_checkpoint(fleet.settings) > pending

    wait_for("the sequencer to make blocks again", makes_blocks, WITHIN)


@contextmanager
def another_chain(fleet: Fleet, chain_id: int) -> Iterator[None]:
    """Set another chain ID of the L1 during the block."""
    own = int(rpc(fleet.settings.l1_url, "eth_chainId"), 16)
    rpc(fleet.settings.l1_url, "anvil_setChainId", chain_id)
    try:
        yield
    finally:
        rpc(fleet.settings.l1_url, "anvil_setChainId", own)


def test_earning(fleet: Fleet, tmp_path: Path) -> None:
    """The facts are those of the L1, of the node and of the agents, with one remote call on each host."""
    prove(fleet, NODE, NODE, [(agent, SERVICE) for agent in AGENTS])
    run, found = status(report=tmp_path / "calls.jsonl")
    assert (run.returncode, found["state"], found["good"]) == (0, "earning", True), run.stdout
    calls = last_run(tmp_path / "calls.jsonl")["calls"]
    assert {host: len(of) for host, of in calls.items()} == dict.fromkeys(calls, 1)
    assert {NODE, *AGENTS} <= set(calls)
    assert found["last"]["transaction"] in {one.transaction for one in proof.proofs(fleet.settings)}
    own = {one["epoch"] for one in found["epochs"] if one["state"] == "own"}
    assert own & set(submitted(fleet)), found
    assert found["agents"]["idle"] + found["agents"]["proving"] == len(AGENTS)
    (publisher,) = found["publishers"]
    assert publisher["address"] == PUBLISHER and publisher["proofs"] > 0
    for fact in ("jobs", "open_jobs", "peers"):
        assert found[fact] is not None, fact
    shown = playbook(STATUS)
    rows = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert shown.returncode == 0, shown.stdout
    last = r"LAST PROOF epoch \d+, \d+ \w+ ago, 0x[0-9a-f]{64}"
    for row in (r"STATE earning: proved \d+ of the last 10 epochs", last):
        assert [one for one in rows if re.fullmatch(row, one)], shown.stdout


def test_no_agents_then_poor_then_proven_again(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs wait without agents. The node does not repeat a submission that an empty publisher could not pay."""
    failed_before = failures(fleet)

    def waiting() -> tuple | None:
        run, found = status()
        return (run, found) if found["open_jobs"] and found["jobs"] else None

    with ExitStack() as stack:
        with without_agents(fleet):
            run, found = wait_for("jobs in the queue", waiting, WITHIN)
            assert (run.returncode, found["state"]) == (2, "no agents"), run.stdout
            assert re.match(r"no agent works, with \d+ jobs? in the queue: ", found["text"]), found["text"]
            stack.enter_context(balance(fleet, 0))
        for agent in AGENTS:
            fleet.wait_until_healthy(agent, SERVICE)
        failed = wait_for("a failed submission", lambda: failures(fleet) - failed_before, WITHIN)
        run, found = status()
        assert (run.returncode, found["state"]) == (2, "poor"), run.stdout
        assert f"the publisher {PUBLISHER} has 0 ETH, not enough to submit one proof: send ETH to it" in found["text"]
    (epoch,) = failed
    for wrong, line in (("99999999", "epoch 99999999 has not ended"), ("next", "epoch next is not an epoch")):
        run = playbook("playbooks/prove_again.yml", "-e", f"epoch={wrong}")
        assert run.returncode == 2 and line in run.stdout, run.stdout
    # Ansible's own callback does not show the verdict.
    with monkeypatch.context() as shown:
        shown.setenv("ANSIBLE_STDOUT_CALLBACK", "aztec_ops.prover.fleet")
        run = playbook("playbooks/prove_again.yml", "-e", f"epoch={epoch}", "--check")
        assert run.returncode == 0 and f"would start the proof of epoch {epoch}" in run.stdout, run.stdout
        run = playbook("playbooks/prove_again.yml", "-e", f"epoch={epoch}")
    assert run.returncode == 0, run.stdout
    assert f"the proof of epoch {epoch} has started" in run.stdout
    wait_for(f"the proof of epoch {epoch}", lambda: int(epoch) in submitted(fleet), WITHIN)
    run = playbook("playbooks/prove_again.yml", "-e", f"epoch={epoch}")
    assert run.returncode == 2 and f"epoch {epoch} has a proof of this prover" in run.stdout, run.stdout
    run, found = status()
    assert (run.returncode, found["state"]) == (0, "earning"), run.stdout
    assert {"epoch": int(epoch), "state": "own"} in found["epochs"]


def test_wrong_chain_then_idle(fleet: Fleet) -> None:
    """Without new blocks, the prover has nothing to do: neither status.yml nor site.yml fails."""
    with without_sequencer(fleet):
        with another_chain(fleet, 1):
            run, found = status()
        assert (run.returncode, found["state"]) == (2, "wrong chain"), run.stdout
        assert found["text"].startswith("the L1 clients are on the chain 1 instead of 31337: ")

        def idle() -> dict | None:
            run, found = status("-e", "status_epochs=1")
            done = found["state"] == "idle"
            assert run.returncode == 0 or not done, run.stdout
            return found if done else None

        found = wait_for("an epoch without blocks", idle, WITHIN, 5)
        assert found["text"] == "no epoch needs a proof"
        run = playbook("playbooks/site.yml")
        assert run.returncode == 0, run.stdout
