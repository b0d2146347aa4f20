"""Tools for the tables of wrong inputs: an inventory to change, the real commands, a recorder of ssh connections."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.bad_input.commands import ROOT, run

TABLES = Path(__file__).parent / "tables"
TOOLS = Path(sys.executable).parent

# Secrets of the changed inventory, in every form in which they could be shown.
KEY = "0x" + "5ec2e7ab" * 8
SECRETS = ("5ec2e7ab", "5EC2E7AB", str(int(KEY, 16))[:20], "S3cret", "LookupS3cret")

# Texts that no run may show.
CRASHES = ("Traceback (most recent call last)", "MODULE FAILURE", "Unexpected failure", "No start of json")

GROUPS = """\
prover_node: {hosts: {node-1: }}
prover_broker: {hosts: {node-1: }}
prover_agent: {hosts: {agent-1: , agent-2: }}
"""
HOSTS = {
    "node-1": {"ansible_host": "127.0.0.10", "aztec_address": "10.0.0.10", "prover_node_p2p_ip": "9.9.9.9"},
    "agent-1": {"ansible_host": "127.0.0.21", "aztec_address": "10.0.0.21"},
    "agent-2": {"ansible_host": "127.0.0.22", "aztec_address": "10.0.0.22"},
}
EVERYWHERE = {
    "aztec_version": "4.1.2",
    "aztec_network": "testnet",
    "aztec_l1_execution_urls": ["https://me:S3cret@rpc.lan/S3cret?key=S3cret"],
    "aztec_l1_consensus_urls": ["https://rpc.lan/S3cret"],
    "prover_node_publisher_private_key": KEY,
    "aztec_plain_secrets": "ignore",
}


class Endpoint:
    """Receives every ssh connection of a run, whatever its host and port: records the target, then closes it."""

    def __init__(self, folder: Path) -> None:
        self._notes = folder / "connections"
        self.program = folder / "endpoint"
        self.program.write_text(f'#!/bin/sh\necho "$@" >>"{self._notes}"\nexit 1\n', encoding="utf-8")
        self.program.chmod(0o755)

    @property
    def connections(self) -> list[str]:
        """Return the recorded targets, "host port" each."""
        return self._notes.read_text(encoding="utf-8").splitlines() if self._notes.exists() else []

    def variables(self) -> dict[str, str]:
        """Return the variables that redirect a host's ssh connections to this endpoint."""
        return {"ansible_ssh_common_args": f"-o ConnectTimeout=5 -o ProxyCommand='{self.program} %h %p'"}


@cache
def written(table: str) -> list[dict]:
    """Return the rows of a table, with `expected` as a list of lines, each as it is written there.

    then: replacements for the row's other keys, one for each remedy in the lines. tests/remedies uses them.
    """
    found = yaml.load((TABLES / f"{table}.yml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    for row in found:
        row["expected"] = row["expected"] if isinstance(row["expected"], list) else [row["expected"]]
    return found


def rows(table: str) -> list[dict]:
    """Return the rows of a table, with `expected` as a list of lines, each as the run shows it."""
    return [{**row, "expected": [plain(line) for line in row["expected"]]} for row in written(table)]


def parameters(*tables: str) -> list:
    """Return a pytest parameter for each row of the tables, named by its input."""
    return [
        pytest.param(table, row, id=f"{table}-{number}-{row_name(row)}")
        for table in tables
        for number, row in enumerate(rows(table), 1)
    ]


def row_name(row: dict) -> str:
    """Return a row's wrong input on one short line."""
    given = row.get("name") or next(value for key, value in row.items() if key != "expected")
    text = given if isinstance(given, str) else json.dumps(given)
    return re.sub(r"[^A-Za-z0-9_.:/@{} -]", "", " ".join(text.split()))[:60]


def write_inventory(folder: Path, endpoint: Endpoint, row: dict) -> Path:
    """Write an inventory that is correct except for the row, each part as text that an operator would write.

    all, node-1, agent-1, agent-2: additional variables; without: omitted variables; groups: the groups.
    """
    everywhere = {**EVERYWHERE, **endpoint.variables()}
    taken = set(row.get("without", ()))
    place = folder / "inventory"
    texts = {"hosts.yml": row.get("groups", GROUPS), "group_vars/all/1.yml": _variables(everywhere, taken)}
    texts["group_vars/all/2.yml"] = row.get("all", "")
    for host, variables in HOSTS.items():
        texts[f"host_vars/{host}/1.yml"] = _variables(variables, taken)
        texts[f"host_vars/{host}/2.yml"] = row.get(host, "")
    for name, text in texts.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return place


def _variables(values: dict, without: set) -> str:
    kept = {name: value for name, value in values.items() if name not in without}
    return yaml.safe_dump(kept) if kept else ""


def play(
    inventory: Path, *arguments: str, playbook: str = "site.yml", **environment: str
) -> subprocess.CompletedProcess:
    """Run a playbook of the collection."""
    command = ("ansible-playbook", "-i", str(inventory), str(ROOT / "playbooks" / playbook))
    return run(*command, *arguments, **environment)


def assert_clean(text: str, secrets: tuple = SECRETS) -> None:
    """Assert that nothing crashed and no secret is shown."""
    for crash in CRASHES:
        assert crash not in text, text
    for secret in secrets:
        assert secret not in text, f"{secret} is shown"


def assert_refused(shown: subprocess.CompletedProcess, endpoint: Endpoint, lines: list[str]) -> None:
    """Assert that a run ended at the inventory's table, with these lines and no other, and contacted no host."""
    assert shown.returncode == 2, shown.stdout
    assert_clean(shown.stdout)
    assert '"how": "failed"' in shown.stderr
    assert_clean(shown.stderr)
    assert table_of(shown.stdout) == sorted(plain(line) for line in lines), shown.stdout
    what = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    assert f"{what} in the inventory, in the table above; no host was contacted." in shown.stdout
    assert len(re.findall(r"^PLAY \[", shown.stdout, re.MULTILINE)) == 2
    assert endpoint.connections == []


LEFT_OUT = "(warning, left out of this run)"


def assert_left_out(shown: subprocess.CompletedProcess, endpoint: Endpoint, lines: list[str]) -> None:
    """Assert that a run showed these lines on an agent, continued on the other hosts, and did not contact the agent."""
    assert shown.returncode == 2, shown.stdout
    assert_clean(shown.stdout)
    assert_clean(shown.stderr)
    assert table_of(shown.stdout) == sorted(plain(line) for line in lines), shown.stdout
    agents = {line.split()[0] for line in lines}
    for agent in agents:
        # Ansible itself fails if it cannot set up the connection.
        gone = rf"\[{re.escape(agent)}\]: (UNREACHABLE!.*(\n.*)*left out of this run: |FAILED!)"
        assert re.search(gone, shown.stdout), shown.stdout
    others = [variables["ansible_host"] for host, variables in HOSTS.items() if host not in agents]
    assert sorted(endpoint.connections) == sorted(f"{address} 22" for address in others)


UNREACHABLE = "is unreachable, or host_info failed on it"


def table_of(text: str) -> list[str]:
    """Return the lines of the first table of problems in a run's output, sorted, with single spaces.

    Without those of unreachable hosts, because no host of these inventories exists.
    """
    lines = iter(text.splitlines())
    assert any(line.split()[:2] == ["HOST", "VARIABLE"] for line in lines), text
    assert next(lines).startswith("----")
    found = []
    for line in lines:
        if not line or re.match(r"\[ERROR\]|fatal: |ok: |task path: ", line):
            break
        found += [" ".join(line.split())] if UNREACHABLE not in line else []
    return sorted(found)


def plain(line: str) -> str:
    """Return a line of a table of rows (columns separated by |) as the run shows it."""
    return " ".join(line.replace(" | ", " ").split())
