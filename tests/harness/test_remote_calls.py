"""The call counter counts modules, retries, loops and delegated calls, but no work on the controller."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PING = {"name": "Ping", "ansible.builtin.ping": None}


def counts(tmp_path: Path, tasks: list[dict], gather: bool = False) -> dict[str, int]:
    """Run `tasks` on hosts a and b over the local connection. Return the counted calls of each host."""
    play = {"hosts": "a:b", "gather_facts": gather, "connection": "local", "tasks": tasks}
    playbook, report = tmp_path / "play.json", tmp_path / "report.jsonl"
    playbook.write_text(json.dumps([play]))
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/plugins/callback"),
        "ANSIBLE_CALLBACKS_ENABLED": "remote_calls",
        "REMOTE_CALLS_COUNT_LOCAL": "true",
        "REMOTE_CALLS_REPORT": str(report),
    }
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "a,b", str(playbook)]
    command += ["-e", f"ansible_python_interpreter={sys.executable}"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return {host: len(calls) for host, calls in json.loads(report.read_text())["calls"].items()}


@pytest.mark.parametrize(
    ("tasks", "gather", "expected"),
    [
        pytest.param([PING], False, {"a": 1, "b": 1}, id="one-module"),
        pytest.param([PING], True, {"a": 2, "b": 2}, id="setup-counts"),
        pytest.param([PING, PING], False, {"a": 2, "b": 2}, id="one-task-more"),
        pytest.param([{**PING, "loop": [1, 2, 3]}], False, {"a": 3, "b": 3}, id="loop"),
        pytest.param([{**PING, "delegate_to": "a"}], False, {"a": 2}, id="delegated-calls-count-where-they-go"),
        pytest.param([{**PING, "delegate_to": "a", "run_once": True}], False, {"a": 1}, id="run-once"),
        pytest.param([{**PING, "when": "inventory_hostname == 'b'"}], False, {"b": 1}, id="skipped"),
        pytest.param(
            [{**PING, "register": "r", "retries": 2, "delay": 0, "until": "r.attempts | default(1) > 1"}],
            False,
            {"a": 2, "b": 2},
            id="retries",
        ),
        pytest.param([{"ansible.builtin.debug": {"msg": "x"}}], False, {}, id="controller-only"),
        pytest.param([{"ansible.builtin.raw": "true"}], False, {"a": 1, "b": 1}, id="raw-command"),
    ],
)
def test_counts(tmp_path: Path, tasks: list[dict], gather: bool, expected: dict[str, int]) -> None:
    """Each contact with a host is one call."""
    assert counts(tmp_path, tasks, gather) == expected
