"""What happens between the plan and the changes: a host stops responding, a host is changed, another run starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from lab.fleet import network
from tests.system.fleet import ROOT, Fleet, playbook, wait_for

ENV = "/opt/aztec/prover-agent/.env"
EDIT = f"sed -i s/LOG_LEVEL=.*/LOG_LEVEL=edited/ {ENV}"


@pytest.fixture
def edited(fleet: Fleet) -> Iterator[None]:
    """Change a file of both agents, so that the plan contains both."""
    for agent in ("agent-1", "agent-2"):
        fleet.execute(agent, EDIT)
    yield
    assert playbook("playbooks/site.yml").returncode == 0


def run_between(monkeypatch: pytest.MonkeyPatch, folder: Path, act: Callable[[], Any]) -> CompletedProcess[str]:
    """Run site.yml, and act before the agents are changed: the run waits for that."""
    begun, done = folder / "begun", folder / "done"
    monkeypatch.setenv("ANSIBLE_CALLBACK_PLUGINS", str(ROOT / "tests/plugins/callback"))
    monkeypatch.setenv("ANSIBLE_CALLBACKS_ENABLED", "between")
    monkeypatch.setenv("BETWEEN_PLAY", "Deploy new agents and the node")
    monkeypatch.setenv("BETWEEN_COMMAND", f"touch {begun}; timeout 60 sh -c 'until [ -e {done} ]; do sleep 0.1; done'")
    monkeypatch.setenv("ANSIBLE_STDOUT_CALLBACK", "aztec_ops.prover.fleet")
    with ThreadPoolExecutor() as pool:
        run = pool.submit(playbook, "playbooks/site.yml")
        wait_for("the play of the agents", lambda: begun.exists() or run.done(), 120, pause=0.1)
        act()
        done.touch()
        return run.result()


def test_a_host_that_stops_responding(fleet: Fleet, edited: None, monkeypatch, tmp_path: Path) -> None:
    """The other agent gets its change, and the last line reports the problem."""
    machine = network.find(fleet.client, "agent-2")
    assert machine is not None
    try:
        run = run_between(monkeypatch, tmp_path, machine.pause)
    finally:
        machine.unpause()
    assert run.returncode != 0
    assert "unreachable: [agent-2] " in run.stdout
    assert "LOG_LEVEL=edited" not in fleet.execute("agent-1", ["cat", ENV]).out
    assert "agent-2  prover_agent  failed earlier in this run: see the error above" in run.stdout
    assert re.search(r"^1 problem, see above", run.stdout, re.MULTILINE), run.stdout


def test_a_host_that_is_changed(fleet: Fleet, edited: None, monkeypatch, tmp_path: Path) -> None:
    """The host is compared again: what somebody has already restored is not applied, what differs is."""
    container = fleet.container("agent-2", "prover-agent")["Id"]
    restore = ["sed", "-i", "s/LOG_LEVEL=.*/LOG_LEVEL=info/", ENV]
    run = run_between(monkeypatch, tmp_path, lambda: fleet.execute("agent-2", restore))
    assert run.returncode == 0, run.stdout
    assert "changed: [agent-1] " in run.stdout
    assert "changed: [agent-2]" not in run.stdout
    assert fleet.container("agent-2", "prover-agent")["Id"] == container


def test_two_runs_at_once(fleet: Fleet) -> None:
    """Both runs succeed, one after the other where they work on the same project."""
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(playbook, "playbooks/site.yml", "-e", "prover_agent_log_level=debug") for _ in range(2)]
        runs = [run.result() for run in both]
    assert [run.returncode for run in runs] == [0, 0], "\n".join(run.stdout for run in runs)
    assert fleet.environment("agent-1", "prover-agent")["LOG_LEVEL"] == "debug"
    run = playbook("playbooks/site.yml")
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr
    assert fleet.environment("agent-1", "prover-agent")["LOG_LEVEL"] == "info"
