"""Render the Compose files of components for many settings in one run of Ansible."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.aztec_ops.prover.plugins.action.compose_stack import compose_model

from tests.rendered.fleets import HOST_INFO, KEY
from tests.rendered.render import ROOT, ansible_playbook


def variables_of(component: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return all variables of a component's templates, where these are set."""
    role = ROOT / "roles" / component
    found = {
        "prover_node_publisher_private_key": KEY,
        "prover_agent_broker_host": "10.0.0.10",
        "preflight_host_info": HOST_INFO,
        "component_header": "A header",
        "component_roles_path": str(role.parent),
    }
    for part in ("defaults", "vars"):
        found = {**yaml.safe_load((role / part / "main.yml").read_text(encoding="utf-8")), **found}
    return {**found, **given}


def compose_files(cases: list[tuple[str, dict[str, Any]]], where: Path) -> list[dict[str, Any]]:
    """Return the content of the Compose file for each component and the variables set there."""
    tasks = [
        {
            "write_arguments": {
                "compose": f"{{{{ __{component}_desired.compose }}}}",
                "__file": str(where / f"{number}.json"),
            },
            "vars": variables_of(component, given),
        }
        for number, (component, given) in enumerate(cases)
    ]
    (where / "play.json").write_text(json.dumps([{"hosts": "host", "gather_facts": False, "tasks": tasks}]))
    ansible_playbook(where / "play.json", "-i", "host,")
    written = [json.loads((where / f"{number}.json").read_text(encoding="utf-8")) for number in range(len(cases))]
    return [compose_model(one["compose"]) for one in written]
