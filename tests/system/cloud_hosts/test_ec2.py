"""The inventory of docs/cloud_inventories.md for Amazon EC2: moto's instances are the lab's machines.

Needs CLOUD_PYTHON, an interpreter with ansible-core, boto3 and moto, and CLOUD_COLLECTIONS, the path of amazon.aws.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab.fleet.settings import Settings
from tests.clouds.ec2 import serve
from tests.harness.readme import ROOT
from tests.system.fleet import Fleet
from tests.system.readme_to_proof import MAIN, connection, lab_values

PYTHON = Path(os.environ["CLOUD_PYTHON"])
TAGS = {
    "node-1": {"prover_node": "true", "prover_broker": "true"},
    "agent-1": {"prover_agent": "true"},
    "agent-2": {"prover_agent": "true"},
    # Of another fleet
    "stranger": {"aztec_fleet": "testnet", "prover_agent": "true"},
}
PAGE = (ROOT / "docs/cloud_inventories.md").read_text(encoding="utf-8")


def environment(**more: str) -> dict[str, str]:
    """Return the environment of Ansible's commands."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "AWS_"))}
    kept |= {"ANSIBLE_COLLECTIONS_PATH": f"{ROOT}/collections:{os.environ['CLOUD_COLLECTIONS']}", "COLUMNS": "300"}
    return {**kept, "ANSIBLE_NOCOLOR": "1", "PATH": f"{PYTHON.parent}:{kept['PATH']}", **more}


def run(folder: Path, *command: str, **more: str) -> str:
    """Run a command and return its output. Fail with it if the command fails."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    given = {"cwd": folder, "env": environment(**more), "text": True, "check": False, "timeout": 300}
    done = subprocess.run(command, **pipes, **given)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout[-8000:]}"
    return done.stdout


def settings_of(settings: Settings) -> dict:
    """Return the variables of main.yml: those of the lab, whose inventory may have provisioned the machines."""
    values = lab_values(settings, connection(settings.ssh_key, settings.known_hosts))
    lab = yaml.safe_load(MAIN.read_text(encoding="utf-8"))
    names = ("aztec_inventory_name", "aztec_plain_secrets", "prover_node_publisher_private_key")
    return {**values.settings, **values.more, **{name: lab[name] for name in names}}


@pytest.fixture
def ec2(fleet: Fleet) -> Iterator[str]:
    """Serve moto's EC2 with the lab's machines, and return its URL."""
    with serve(PYTHON.parent / "moto_server") as url:
        machines = [
            {"name": one.name, "address": one.address, "tags": {"aztec_fleet": "prod", **TAGS[one.name]}}
            for one in fleet.settings.machines
        ]
        program = ROOT / "tests/clouds/start_machines.py"
        run(ROOT, str(PYTHON), str(program), url, json.dumps(machines), fleet.settings.ipv4_network)
        yield url


def test_a_preflight_of_instances(fleet: Fleet, ec2: str, tmp_path: Path) -> None:
    """The page's file without changes: groups from tags, private addresses, and checks of the real machines."""
    run(tmp_path, "ansible-playbook", "aztec_ops.prover.init", "-e", "dest=.")
    inventory = tmp_path / "inventories/prod"
    (inventory / "hosts.yml").unlink()
    (text,) = re.findall(r"^## aws_ec2\.yml\n.*?```yaml\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
    (inventory / "aws_ec2.yml").write_text(text, encoding="utf-8")
    (inventory / "group_vars/all/main.yml").write_text(yaml.safe_dump(settings_of(fleet.settings)), encoding="utf-8")
    cloud = {"AWS_ENDPOINT_URL": ec2, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    graph = run(tmp_path, "ansible-inventory", "-i", "inventories/prod", "--graph", **cloud)
    (agents,) = re.findall(r"@prover_agent:\n((?:  \|  \|--.*\n)+)", graph)
    assert sorted(re.findall(r"[a-z]+-\d", agents)) == ["agent-1", "agent-2"], graph
    shown = run(tmp_path, "ansible-playbook", "aztec_ops.prover.preflight", "-i", "inventories/prod", **cloud)
    assert re.search(r"^3 hosts, no errors$", shown, re.MULTILINE), shown
