"""What runs of site.yml cost: remote calls, headings and lines of output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.system.fleet import OUTPUT, Fleet, last_run, playbook, runs

# The remote calls of a run that changes nothing, on each host.
COSTS = {"agent-1": 1, "agent-2": 1, "node-1": 1}
# The limit on a host where one component changes, without the polls of its progress.
CHANGED = 4
COMPONENTS = 4
HEADINGS = 5
LINES = 40


def problems(run: dict[str, Any]) -> list[str]:
    """Return the wrong counts and changes of a run that should change nothing."""
    counts = {host: len(calls) for host, calls in run["calls"].items()}
    found = [
        f"{host} took {counts.get(host, 0)} remote calls and not {COSTS[host]}: {run['calls'].get(host)}"
        for host in COSTS
        if counts.get(host, 0) != COSTS[host]
    ]
    found += [f"{host} was contacted and is not part of the run" for host in counts if host not in COSTS]
    found += [f"{host}: changed={of['changed']}" for host, of in run["stats"].items() if of["changed"]]
    return found


def test_second_run() -> None:
    """Check Molecule's idempotence run, which is the one before the check mode run."""
    run = runs(OUTPUT / "calls-default.jsonl")[-2]
    assert run["playbook"] == "converge.yml"
    assert set(run["stats"]) >= set(COSTS)
    assert problems(run) == []


@pytest.mark.parametrize("host", COSTS)
def test_additional_task_is_detected(host: str, planted: dict[str, Any]) -> None:
    """With one added task in site.yml, the same check fails for each host."""
    assert [line for line in problems(planted) if line.startswith(f"{host} took {COSTS[host] + 1} ")]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the counts of a run of site.yml with one added task."""
    report: Path = tmp_path_factory.mktemp("planted") / "calls.jsonl"
    run = playbook("molecule/default/additional_task.yml", report=report)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr
    return last_run(report)


def lines_of(text: str) -> list[str]:
    """Return the lines of an output that are not empty, without those of the callback that counts calls."""
    return [line for line in text.partition("\nREMOTE CALLS")[0].splitlines() if line.strip()]


def test_output_of_a_run_without_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of lines is independent of the number of hosts, apart from a row for each component."""
    monkeypatch.setenv("ANSIBLE_STDOUT_CALLBACK", "aztec_ops.prover.fleet")
    run = playbook("playbooks/site.yml")
    assert run.returncode == 0, run.stdout + run.stderr
    lines = lines_of(run.stdout)
    assert len(lines) <= LINES + COMPONENTS, run.stdout
    assert not [line for line in lines if line.startswith(("TASK ", "PLAY ", "ok: ", "changed: "))], run.stdout
    assert lines[-1].startswith("3 hosts, nothing to change, all components healthy"), run.stdout
    assert sum("nothing to change" in line for line in lines) == 1


def test_output_of_a_run_without_changes_with_ansible_s_callback() -> None:
    """Ansible's own callback prints two lines for each host, and few headings of tasks that run on each host."""
    run = playbook("playbooks/site.yml")
    assert run.returncode == 0, run.stdout + run.stderr
    lines = lines_of(run.stdout)
    assert len(lines) <= LINES + 2 * len(COSTS) + COMPONENTS, run.stdout
    tasks = run.stdout.split("\nTASK [")[1:]
    assert tasks and sum(all(f": [{host}]" in task for host in COSTS) for task in tasks) <= HEADINGS


def test_check_mode_shows_exactly_the_change(fleet: Fleet) -> None:
    """The plan names the component and its files, the rest of the run is left out, and nothing is touched."""
    before = fleet.execute("agent-1", "stat -c '%n %Y' /opt/aztec/prover-agent/.env; docker ps --no-trunc --quiet").out
    run = playbook("playbooks/site.yml", "--check", "-e", "prover_agent_log_level=verbose")
    assert run.returncode == 0, run.stdout + run.stderr
    start = run.stdout.index("HOST              PART")
    rows = [" ".join(line.split()) for line in run.stdout[start:].split("\n\n")[0].splitlines()[2:5]]
    assert rows == [
        "agent-1, agent-2 agent write .env",
        "write compose.override.yml",
        "recreate prover-agent: its configuration changed",
    ]
    assert "Deploy the agents\n" not in run.stdout
    after = fleet.execute("agent-1", "stat -c '%n %Y' /opt/aztec/prover-agent/.env; docker ps --no-trunc --quiet").out
    assert after == before


def test_a_change_of_one_component_needs_few_calls(fleet: Fleet, tmp_path: Path) -> None:
    """Only the changed agent is contacted again after the plan. Its progress is polled for as long as it starts."""
    fleet.execute("agent-1", "sed -i s/LOG_LEVEL=.*/LOG_LEVEL=edited/ /opt/aztec/prover-agent/.env")
    run = playbook("playbooks/site.yml", report=tmp_path / "calls.jsonl")
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr
    assert " agent  write .env" in run.stdout
    calls = last_run(tmp_path / "calls.jsonl")["calls"]
    stack = [call for call in calls["agent-1"] if "compose_stack" in call]
    others = [call for call in calls["agent-1"] if call not in stack]
    # The first call starts the job, the last one removes its state.
    assert len(others) + min(len(stack), 2) <= CHANGED, calls["agent-1"]
    assert len(stack) > 2
    assert {host: len(of) for host, of in calls.items() if host != "agent-1"} == {"agent-2": 1, "node-1": 1}
