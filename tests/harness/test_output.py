"""The operator's commands use the collection's callback, the tests use Ansible's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def last_line(environment: dict[str, str]) -> str:
    """Return the last line of a run of site.yml without an inventory."""
    program = str(Path(sys.executable).parent / "ansible-playbook")
    environment = {**environment, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    command = [program, "playbooks/site.yml", "-i", "localhost,"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 2, run.stdout + run.stderr
    return run.stdout.rstrip().splitlines()[-1]


def test_callback() -> None:
    """ansible.cfg sets the callback. conftest.py sets the default callback for all tests."""
    others = {name: value for name, value in os.environ.items() if name != "ANSIBLE_STDOUT_CALLBACK"}
    assert last_line(others) == "1 host, 0 changed, 1 failed, 0 unreachable"
    assert last_line(dict(os.environ)).startswith("localhost ")
