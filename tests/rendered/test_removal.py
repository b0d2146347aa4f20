# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the removal of a component leaves to other instances on its host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.rendered.render import ansible_playbook
from tests.rendered.test_upgrade import task_of


@pytest.mark.parametrize(
    ("sections", "stays"),
    [
        pytest.param([], False, id="the only component"),
        pytest.param(["prover_node", "two_prover_agent"], False, id="other components"),
        pytest.param(["two_prover_broker"], True, id="the broker of another instance"),
        pytest.param(["prover_broker", "prover_node"], True, id="the broker without an instance name"),
    ],
)
def test_kernel_settings_stay_for_another_broker(sections: list, stays: bool, tmp_path: Path) -> None:
    """Without them, that broker does not start at boot before its address exists."""
    settings = tmp_path / "60-aztec-prover.conf"
    settings.write_text("")
    variables = {"__prover_broker_kernel_settings": str(settings), "component_guard": {"sections": sections}}
    task = task_of("roles/prover_broker/tasks/remove.yml", "Remove the kernel settings")
    play = [{"hosts": "host", "connection": "local", "gather_facts": False, "vars": variables, "tasks": [task]}]
    (tmp_path / "play.json").write_text(json.dumps(play))
    ansible_playbook(tmp_path / "play.json", "-i", "host,")
    assert settings.exists() is stays
