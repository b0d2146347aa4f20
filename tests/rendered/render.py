"""Render what a component's role hands to compose_stack, with Ansible's own templating and without a host."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.bad_input.commands import ROOT, run
from tests.rendered.fleets import COMPONENTS, FLEETS, HOST_INFO, host_of

MODULE = "aztec_ops.prover.compose_stack"


def project_task(component: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of the task that applies the component's Compose project, and the variables at the task."""
    (include,) = yaml.safe_load((ROOT / f"roles/{component}/tasks/project.yml").read_text())
    (task,) = yaml.safe_load((ROOT / "roles/component/tasks/project.yml").read_text())
    return task[MODULE], {**include["vars"], "component_roles_path": str(ROOT / "roles")}


def play(fleet: str, component: str, where: Path) -> dict[str, Any]:
    """Return a play that writes the arguments of the role's compose_stack task to a file instead of running it."""
    arguments, variables = project_task(component)
    role = ROOT / "roles" / component
    return {
        "hosts": host_of(fleet, component),
        "connection": "local",
        "gather_facts": False,
        "vars_files": [
            str(role / "defaults/main.yml"),
            str(role / "vars/main.yml"),
            str(ROOT / "roles/component/vars/main.yml"),
            str(where / "given.json"),
        ],
        "tasks": [{"write_arguments": {**arguments, "__file": str(where / f"{component}.json")}, "vars": variables}],
    }


def ansible_playbook(playbook: Path, *arguments: str) -> str:
    """Return the output of a playbook, with the tests' own action plugins. Fail where it fails or warns."""
    shown = run("ansible-playbook", str(playbook), *arguments)
    assert shown.returncode == 0, shown.stdout
    assert "WARNING]" not in shown.stdout, shown.stdout
    return shown.stdout


def render(fleet: str, where: Path) -> dict[str, dict[str, Any]]:
    """Return the arguments of compose_stack for each component of a fleet; `where` is a scratch directory."""
    chosen = FLEETS[fleet]
    groups = {name: {"hosts": hosts} for name, hosts in chosen["groups"].items()}
    # What is given beats a role's defaults, as an inventory does; so its file is last.
    (where / "given.json").write_text(json.dumps(chosen["vars"]))
    inventory, playbook = where / "inventory.json", where / "play.json"
    inventory.write_text(json.dumps({"all": {"children": groups, "vars": chosen["vars"]}}))
    facts = {
        "preflight_host_info": HOST_INFO,
        "preflight_fleet": "{{ hostvars | aztec_ops.prover.fleet(groups) }}",
        "ansible_python_interpreter": sys.executable,
    }
    (where / "facts.json").write_text(json.dumps(facts))
    playbook.write_text(json.dumps([play(fleet, component, where) for component in COMPONENTS]))
    ansible_playbook(playbook, "-i", str(inventory), "-e", f"@{where / 'facts.json'}")
    return {component: json.loads((where / f"{component}.json").read_text()) for component in COMPONENTS}
