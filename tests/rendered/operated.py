# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the tasks of operations with Ansible. Modules that would touch a host return results that a test states."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.bad_input.commands import ROOT, run

OPERATE = {"stop": "stopped", "start": "started", "restart": "restarted"}
# The modules that are replaced, and the roles that the copies include.
REPLACED = {
    "aztec_ops.prover.compose_stack:": "scripted_result:",
    "ansible.builtin.reboot:": "scripted_result:",
    "aztec_ops.prover.validate_role_arguments:": "scripted_result:",
    "aztec_ops.prover.{{ __": "{{ __",
    "aztec_ops.prover.component": "component",
    "aztec_ops.prover.prover_agent": "prover_agent",
    "aztec_ops.prover.preflight": "preflight",
}
DESIRED = {"directory": "/d", "header": "", "wait_timeout": 1}


@dataclass
class Run:
    """What a run did: the calls in their order, the groups with their hosts, the output and the exit status."""

    calls: list[str]
    groups: dict[str, list[str]]
    output: str
    status: int


def copy(source: str, target: Path) -> None:
    """Copy a file of tasks with the replacements."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(replaced((ROOT / source).read_text(encoding="utf-8")), encoding="utf-8")


def replaced(text: str) -> str:
    """Return the text of tasks with the replacements."""
    for old, new in REPLACED.items():
        text = text.replace(old, new)
    return text


def write_roles(where: Path) -> None:
    """Write roles of the components that stop and start with the tasks of the role component."""
    copy("roles/component/tasks/operate.yml", where / "roles/component/tasks/operate.yml")
    for component in ("prover_node", "prover_broker", "prover_agent"):
        tasks = where / "roles" / component / "tasks"
        tasks.mkdir(parents=True)
        for name, state in OPERATE.items():
            variables = {"component_operation": state, "component_desired": {**DESIRED, "project": component}}
            include = {"name": "component", "tasks_from": "operate"}
            task = {"name": name, "ansible.builtin.include_role": include, "vars": variables}
            (tasks / f"{name}.yml").write_text(yaml.safe_dump([task]))


def run_play(where: Path, play: dict[str, Any], results: dict[str, dict]) -> Run:
    """Run a play on the host `host`. results: result by call, see the action plugin scripted_result."""
    calls, groups = where / "calls", where / "groups.json"
    calls.write_text("")
    own = {"hosts": "host", "connection": "local", "gather_facts": False, "ignore_unreachable": True}
    end = {"hosts": "host", "gather_facts": False, "connection": "local"}
    end["tasks"] = [{"write_arguments": {"groups": "{{ groups }}", "__file": str(groups)}}]
    (where / "play.yml").write_text(yaml.safe_dump([{**own, **play}, end]))
    variables = {"script_calls": str(calls), "script_results": results, "ansible_python_interpreter": sys.executable}
    shown = run("ansible-playbook", str(where / "play.yml"), "-i", "host,", "-e", json.dumps(variables))
    found = json.loads(groups.read_text())["groups"] if groups.exists() else {}
    return Run(calls.read_text().splitlines(), found, shown.stdout, shown.returncode)
