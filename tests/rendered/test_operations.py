"""What the roles pass to compose_stack to stop, start and restart a component."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.rendered.fleets import HOST_INFO
from tests.rendered.render import ROOT, ansible_playbook
from tests.rendered.settings import tasks_of

STATES = {"stop": "stopped", "start": "started", "restart": "restarted"}


@pytest.mark.parametrize("component", ["prover_node", "prover_broker", "prover_agent"])
@pytest.mark.parametrize("file", STATES)
def test_a_role_operates_its_own_project(component: str, file: str) -> None:
    """The last task is that of the role component, which has the only arguments. Before it, a stop waits for the node."""
    *before, task = tasks_of(component, f"{file}.yml")
    assert task["module"] == "aztec_ops.prover.compose_stack"
    assert task["vars"]["component_operation"] == STATES[file]
    assert task["vars"]["component_desired"] == "{{ __%s_desired }}" % component
    assert bool(before) == (file != "start" and component != "prover_agent")


# (variables, drain_timeout, drain_method)
DRAINS = {
    "default": ({}, 900, "agent_getStatus"),
    "another time-out": ({"prover_agent_drain_timeout": 60}, 60, "agent_getStatus"),
    "no drain": ({"aztec_drain": False}, 0, "agent_getStatus"),
    "no drain, by -e": ({"aztec_drain": "false"}, 0, "agent_getStatus"),
}


def test_how_long_an_agent_is_drained(tmp_path: Path) -> None:
    tasks = [
        {
            "name": name,
            "ansible.builtin.assert": {
                "that": [
                    f"__prover_agent_desired.drain_timeout | int == {timeout}",
                    f"__prover_agent_desired.drain_method == '{method}'",
                ],
                "quiet": True,
            },
            "vars": {**variables, "preflight_host_info": HOST_INFO, "component_roles_path": str(ROOT / "roles")},
        }
        for name, (variables, timeout, method) in DRAINS.items()
    ]
    role = ROOT / "roles/prover_agent"
    files = [str(role / folder / "main.yml") for folder in ("defaults", "vars")]
    play = {"hosts": "localhost", "gather_facts": False, "vars_files": files, "tasks": tasks}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    ansible_playbook(tmp_path / "play.yml", "-i", "localhost,", "-c", "local")
