"""A second run of site.yml changes nothing and needs few remote calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.system.fleet import OUTPUT, last_run, playbook, runs

# Exact values, so that one additional task is detected. The limits are 4 and 7.
COSTS = {"agent-1": 4, "agent-2": 4, "node-1": 6}


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
