# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which of several places of an inventory applies, over inventories on disk and Ansible's own reading of them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.variable_places import (
    Places,
    is_static,
    precedence_notes,
)

SPECS = read_specs(Path(__file__).resolve().parents[5] / "roles")
OPTIONS = {name: one for role in SPECS.options.values() for name, one in role.items()}
KEY = "prover_node_publisher_private_key"

HOSTS = """\
prover_agent: {hosts: {agent-1: %s, agent-2: }}
dc1: {hosts: {agent-1: }, vars: {%s}}
dc2: {hosts: {agent-1: }, vars: {%s}}
"""


def notes(folder: Path, hosts: str, files: dict, extra: dict | None = None) -> list[str]:
    """Return the notes on agent-1 and agent-2 of an inventory, with the values that Ansible gives the hosts."""
    inventory, playbooks = folder / "inventory", folder / "playbooks"
    playbooks.mkdir()
    for name, text in {"inventory/hosts.yml": hosts, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    loader = DataLoader()
    loader.set_basedir(str(playbooks))
    manager = InventoryManager(loader=loader, sources=[str(inventory)])
    variables = VariableManager(loader=loader, inventory=manager)
    written = {name: {**variables.get_vars(host=host), **(extra or {})} for name, host in manager.hosts.items()}
    places = Places(loader, [str(inventory)], str(playbooks), OPTIONS.__contains__)
    found = precedence_notes(places, list(manager.hosts), written, OPTIONS)
    assert all(one.level == "note" for one in found)
    return [f"{one.host} | {one.variable} | {one.wrong} | {one.remedy}" for one in found]


ONE, FOUR = "prover_agent_count: 1", "prover_agent_count: 4"
SEVERAL = "agent-1 | {} | is set in several places: {} | {}"
ONCE = "set it in one of these places only"
TABLE = [
    pytest.param(
        HOSTS % ("", "prover_agent_count: 4", ""),
        {"inventory/group_vars/all.yml": "prover_agent_count: 1"},
        "1 in group_vars/all applies, and not 4 in the inventory's group dc1",
        "set it in group_vars/dc1, which takes precedence over group_vars/all, or in one place only",
        id="a group of the inventory file and group_vars/all",
    ),
    pytest.param(
        HOSTS % ("", "prover_agent_count: 4", "prover_agent_count: 2"),
        {},
        "2 in the inventory's group dc2 applies, and not 4 in the inventory's group dc1",
        ONCE,
        id="two groups of one depth",
    ),
    pytest.param(
        HOSTS % ("", "", ""),
        {"inventory/group_vars/dc1.yml": FOUR, "playbooks/group_vars/all.yml": ONE},
        None,
        None,
        id="a group replaces what is for all",
    ),
    pytest.param(
        HOSTS % ("", "prover_agent_count: 4", ""),
        {"playbooks/group_vars/all.yml": "prover_agent_count: 1"},
        "1 in group_vars/all next to the playbook applies, and not 4 in the inventory's group dc1",
        "set it in group_vars/dc1, which takes precedence over group_vars/all next to the playbook, or in one place "
        "only",
        id="next to the playbook",
    ),
    pytest.param(
        HOSTS % ("{prover_agent_count: 3}", "", ""),
        {"inventory/host_vars/agent-1.yml": "prover_agent_count: 5"},
        "host_vars of the host applies, and not the inventory's line of the host",
        ONCE,
        id="a host's own twice",
    ),
    pytest.param(
        HOSTS % ("{prover_agent_count: 3}", "", ""),
        {"inventory/group_vars/prover_agent/a.yml": "prover_agent_count: 5"},
        None,
        None,
        id="a host's own line replaces a group's",
    ),
    pytest.param(
        HOSTS % ("{prover_agent_count: 3}", FOUR, "prover_agent_count: 2"),
        {"inventory/group_vars/all.yml": ONE},
        None,
        None,
        id="a host's own line replaces all",
    ),
    pytest.param(
        HOSTS % ("", FOUR, ""),
        {"inventory/host_vars/agent-1.yml": "prover_agent_count: 5"},
        None,
        None,
        id="host_vars replace a group's",
    ),
    pytest.param(
        HOSTS % ("", FOUR, ""),
        {"inventory/host_vars/agent-1.yml": "prover_agent_count: 5", "playbooks/host_vars/agent-1.yml": ONE},
        "host_vars of the host next to the playbook applies, and not host_vars of the host",
        ONCE,
        id="host_vars twice",
    ),
    pytest.param(
        "all: {vars: {prover_agent_count: 2}}\n" + HOSTS % ("", "", ""),
        {"inventory/group_vars/all/a.yml": "prover_agent_count: 5"},
        "5 in group_vars/all applies, and not 2 in the inventory's group all",
        ONCE,
        id="all hosts twice",
    ),
    pytest.param(
        HOSTS % ("", "prover_agent_count: 4", ""),
        {"inventory/group_vars/all.yml": "prover_agent_count: 4"},
        None,
        None,
        id="the same value",
    ),
    pytest.param(
        HOSTS % ("", "my_own: 4", ""),
        {"inventory/group_vars/all.yml": "my_own: 1"},
        None,
        None,
        id="not of the collection",
    ),
]


@pytest.mark.parametrize(("hosts", "files", "wrong", "remedy"), TABLE)
def test_places(hosts: str, files: dict, wrong: str | None, remedy: str | None, tmp_path: Path) -> None:
    found = [line for line in notes(tmp_path, hosts, files) if line.startswith("agent-1")]
    assert found == ([SEVERAL.format("prover_agent_count", wrong, remedy)] if wrong else [])


def test_the_place_that_is_named_comes_after(tmp_path: Path) -> None:
    files = {"inventory/group_vars/all.yml": ONE, "inventory/group_vars/dc1.yml": FOUR}
    assert notes(tmp_path, HOSTS % ("", "", ""), files) == []


def test_a_value_of_the_command_line_has_no_note(tmp_path: Path) -> None:
    files = {"inventory/group_vars/all.yml": "prover_agent_count: 1"}
    hosts = HOSTS % ("", "prover_agent_count: 4", "")
    assert notes(tmp_path, hosts, files, {"prover_agent_count": 9}) == []


def test_no_secret_is_shown(tmp_path: Path) -> None:
    files = {"inventory/group_vars/all.yml": f"{KEY}: S3cret\naztec_l1_execution_urls: [http://S3cret]"}
    hosts = HOSTS % ("", f"{KEY}: S3cret2, aztec_l1_execution_urls: [http://x]", "")
    found = notes(tmp_path, hosts, files)
    assert len(found) == 2
    assert "S3cret" not in "".join(found)
    assert f"{KEY} | is set in several places: group_vars/all applies, and not the inventory's group dc1 |" in found[0]


def test_sources_that_run_programs_are_not_read(tmp_path: Path) -> None:
    script, plugin, plain = tmp_path / "a.py", tmp_path / "b.yml", tmp_path / "c.yml"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    plugin.write_text("plugin: amazon.aws.aws_ec2\n")
    plain.write_text("all: {hosts: {a: }}\n")
    assert [is_static(str(one)) for one in (script, plugin, plain, tmp_path)] == [False, False, True, False]
    assert is_static("a,b,")


def test_an_inventory_that_is_not_read_again_has_no_places(tmp_path: Path, capfd) -> None:
    plugin = tmp_path / "b.yml"
    plugin.write_text("plugin: amazon.aws.aws_ec2\n")
    assert Places(DataLoader(), [str(plugin)], str(tmp_path), OPTIONS.__contains__).layers("agent-1") == []
    assert "No inventory was parsed" not in "".join(capfd.readouterr())


def test_two_hundred_hosts_take_a_moment(tmp_path: Path) -> None:
    hosts = "prover_agent:\n  vars: {prover_agent_count: 2}\n  hosts:\n"
    hosts += "".join(f"    agent-{number}: {{aztec_address: 10.0.1.{number}}}\n" for number in range(200))
    files = {"inventory/group_vars/all.yml": "prover_agent_count: 1"}
    files.update({f"inventory/host_vars/agent-{number}.yml": "aztec_log_level: debug" for number in range(0, 200, 4)})
    start = time.process_time()
    assert len(notes(tmp_path, hosts, files)) == 200
    assert time.process_time() - start < 4
