"""Render what the role prover_monitor hands to compose_stack and port_guard, without a host."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.rendered.fleets import FLEETS, HOST_INFO
from tests.rendered.render import ROOT, ansible_playbook

FLEET = "4.1.2"
PASSWORD = "correct-horse-battery"
GROUPS: dict[str, Any] = {
    **FLEETS[FLEET]["groups"],
    "prover_monitor": {"monitor-1": {"ansible_host": "203.0.113.40", "aztec_address": "10.0.0.40"}},
}


def evaluate(where: Path, given: dict[str, Any], expressions: dict[str, str]) -> dict[str, Any]:
    """Return the values of expressions on the monitor's host, with its roles. where: a scratch directory."""
    variables = {**FLEETS[FLEET]["vars"], "prover_monitor_grafana_admin_password": PASSWORD, **given}
    (where / "given.json").write_text(json.dumps(variables))
    inventory, playbook = where / "inventory.json", where / "play.json"
    children = {name: {"hosts": hosts} for name, hosts in GROUPS.items()}
    inventory.write_text(json.dumps({"all": {"children": children, "vars": variables}}))
    facts = {
        "preflight_host_info": HOST_INFO,
        "preflight_fleet": "{{ hostvars | aztec_ops.prover.fleet(groups) }}",
        "ansible_python_interpreter": sys.executable,
        "component_roles_path": str(ROOT / "roles"),
        "role_path": str(ROOT / "roles/preflight"),
    }
    (where / "facts.json").write_text(json.dumps(facts))
    tasks = [
        {"write_arguments": {"found": f"{{{{ {expression} }}}}", "__file": str(where / f"{output}.json")}}
        for output, expression in expressions.items()
    ]
    roles = ("prover_monitor", "host_metrics")
    files = [ROOT / f"roles/{role}/{part}/main.yml" for role in roles for part in ("defaults", "vars")]
    play = {
        "hosts": "monitor-1",
        "connection": "local",
        "gather_facts": False,
        "vars_files": [*map(str, files), str(ROOT / "roles/component/vars/main.yml"), str(where / "given.json")],
        "tasks": tasks,
    }
    playbook.write_text(json.dumps([play]))
    ansible_playbook(playbook, "-i", str(inventory), "-e", f"@{where / 'facts.json'}")
    return {output: json.loads((where / f"{output}.json").read_text())["found"] for output in expressions}


def render(where: Path, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the arguments of compose_stack, those of port_guard, and the files by path. where: a scratch directory."""
    found = evaluate(where, given, {"project": "__prover_monitor_desired", "guard": "__prover_monitor_desired_guard"})
    files = found["project"]["files"]
    return found["project"], found["guard"], json.loads(files) if isinstance(files, str) else files
