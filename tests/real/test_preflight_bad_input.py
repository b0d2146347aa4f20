"""Wrong inventories through the real ansible-playbook: one table, no host contacted, no secret shown."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
KEY = "0x" + "5ec2e7ab" * 8
SECRETS = ("5ec2e7ab", str(int(KEY, 16))[:20], "S3cret", "LookupS3cret")


class Door:
    """A port on loopback where the inventory says that ssh listens; counts who knocks, and answers nobody."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.knocks = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            try:
                connection, _address = self.socket.accept()
            except OSError:
                return
            self.knocks += 1
            connection.close()


@pytest.fixture
def door():
    """Give a door that is shut afterwards."""
    opened = Door()
    yield opened
    opened.socket.close()


def write_inventory(folder: Path, door: Door, everywhere: dict, hosts: dict | None = None) -> Path:
    """Write an inventory with nothing wrong but these changes; None as a value takes a variable out."""
    variables = {
        "ansible_port": door.port,
        "ansible_host": "127.0.0.1",
        "ansible_ssh_common_args": "-o ConnectTimeout=5 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
        "aztec_version": "4.1.2",
        "aztec_network": "testnet",
        "aztec_l1_execution_urls": ["https://me:S3cret@rpc.lan/S3cret?key=S3cret"],
        "aztec_l1_consensus_urls": ["https://rpc.lan/S3cret"],
        "prover_node_p2p_ip": "9.9.9.9",
        "prover_node_publisher_private_key": KEY,
        **everywhere,
    }
    addresses = {"node-1": "10.0.0.10", "agent-1": "10.0.0.21", "agent-2": "10.0.0.22"}
    each = {name: {"aztec_address": address, **(hosts or {}).get(name, {})} for name, address in addresses.items()}
    inventory = {
        "all": {"vars": {name: value for name, value in variables.items() if value is not None}},
        "prover_node": {"hosts": {"node-1": each["node-1"]}},
        "prover_broker": {"hosts": {"node-1": None}},
        "prover_agent": {"hosts": {name: each[name] for name in ("agent-1", "agent-2")}},
    }
    path = folder / "hosts.yml"
    path.write_text(yaml.safe_dump(inventory), encoding="utf-8")
    return path


def play(inventory: Path, *arguments: str, playbook: str = "site.yml") -> subprocess.CompletedProcess:
    """Run a playbook of the collection; stdout and stderr together."""
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "500"}
    environment["PATH"] = f"{TOOLS}:{environment['PATH']}"
    return subprocess.run(
        ["ansible-playbook", "-i", str(inventory), str(ROOT / "playbooks" / playbook), *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
    )


def assert_stopped(run: subprocess.CompletedProcess, door: Door, count: int) -> list:
    """Assert that a run ended at the inventory's table; give the table's rows with single spaces."""
    assert run.returncode == 2, run.stdout
    assert door.knocks == 0
    what = "1 problem" if count == 1 else f"{count} problems"
    assert f"{what} in the inventory, in the table above; no host was contacted." in run.stdout, run.stdout
    assert "Look at the host" not in run.stdout
    assert len(re.findall(r"^PLAY \[", run.stdout, re.MULTILINE)) == 1
    assert_no_secret(run.stdout)
    lines = run.stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("HOST "))
    return [" ".join(line.split()) for line in lines[start + 2 : start + 2 + count]]


def assert_no_secret(text: str) -> None:
    for secret in SECRETS:
        assert secret not in text, f"{secret} is shown"


BROKEN = {
    "aztec_version": 5.2,
    "prover_node_publisher_private_key": int(KEY, 16),
    "aztec_l1_execution_urls": ["rpc.lan/S3cret"],
    "aztec_netwrok": "mainnet",
    "prover_node_prover_id": "{{ nobody_set_this }}",
    "aztec_environment": {"A": "{{ lookup('ansible.builtin.file', '/nowhere/LookupS3cret') }}"},
}


def test_all_faults_at_once_and_no_host_contacted(tmp_path, door) -> None:
    inventory = write_inventory(tmp_path, door, BROKEN, {"agent-1": {"prover_agent_count": 0}})
    rows = assert_stopped(play(inventory, "-vvv"), door, 7)
    quoted = "is written without quotes, which YAML makes a number put it in quotes"
    assert f"node-1 prover_node_publisher_private_key {quoted}" in rows
    assert f"all 3 hosts aztec_version {quoted}" in rows
    assert "node-1 aztec_l1_execution_urls entry 1 has no scheme begin it with http:// or https://" in rows
    assert "all 3 hosts aztec_netwrok there is no such variable did you mean aztec_network?" in rows
    assert (
        "node-1 prover_node_prover_id uses 'nobody_set_this', which is not defined define it, or mend the template"
        in rows
    )
    assert any(row.startswith("all 3 hosts aztec_environment cannot be worked out (") for row in rows)
    assert any(row.startswith("agent-1 prover_agent_count 0 is neither auto nor a number from 1") for row in rows)


def test_the_example_inventory_is_refused(tmp_path, door) -> None:
    copied = tmp_path / "prod"
    shutil.copytree(ROOT / "inventories" / "prod", copied)
    (copied / "group_vars/all/vault.yml.example").rename(copied / "group_vars/all/vault.yml")
    run = play(copied)
    rows = assert_stopped(run, door, 4)
    assert (
        "node-1 prover_node_publisher_private_key is still the example's put your publisher's key into the vault file"
        in rows
    )
    assert "all 3 hosts ansible_host is still the example's put your host's address there" in rows
    assert "node-1 aztec_l1_execution_urls entry 1 is still the example's put your own URL there" in rows


def test_limit_does_not_hide_faults_of_other_hosts(tmp_path, door) -> None:
    inventory = write_inventory(tmp_path, door, {}, {"node-1": {"prover_broker_port": 99999}})
    rows = assert_stopped(play(inventory, "--limit", "agent-2", playbook="preflight.yml"), door, 1)
    assert rows == ["node-1 prover_broker_port 99999 is no port give a number from 1 to 65535"]


def vaulted(folder: Path, text: str) -> str:
    """Give a text encrypted as a vault file's content, with the password in folder/password."""
    (folder / "password").write_text("vault-S3cret-password", encoding="utf-8")
    plain = folder / "plain"
    plain.write_text(text, encoding="utf-8")
    command = [str(TOOLS / "ansible-vault"), "encrypt", "--vault-password-file", str(folder / "password"), str(plain)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return plain.read_text(encoding="utf-8")


class Vaulted(str):
    """A text that YAML writes with the tag !vault."""


yaml.SafeDumper.add_representer(Vaulted, lambda dumper, text: dumper.represent_scalar("!vault", str(text), style="|"))


def test_a_vaulted_key_is_read_and_a_missing_password_is_one_line(tmp_path, door) -> None:
    name = "prover_node_publisher_private_key"
    inventory = write_inventory(tmp_path, door, {name: Vaulted(vaulted(tmp_path, KEY))})
    assert assert_stopped(play(inventory, "-vvv"), door, 1) == [
        f"node-1 {name} cannot be decrypted give its vault password: --ask-vault-pass or --vault-password-file"
    ]
    short = write_inventory(tmp_path, door, {name: Vaulted(vaulted(tmp_path, KEY[:-2]))})
    password = ("--vault-password-file", str(tmp_path / "password"))
    rows = assert_stopped(play(short, "-vvv", *password), door, 1)
    assert rows == [f"node-1 {name} the private key is not 32 bytes of hex give 0x and 64 hex digits"]


def test_a_key_looked_up_and_wrong_is_not_shown(tmp_path, door, monkeypatch) -> None:
    monkeypatch.setenv("THE_KEY", "LookupS3cret")
    name = "prover_node_publisher_private_key"
    inventory = write_inventory(tmp_path, door, {name: "{{ lookup('ansible.builtin.env', 'THE_KEY') }}"})
    rows = assert_stopped(play(inventory, "-vvv"), door, 1)
    assert rows[0].startswith(f"node-1 {name} the private key is not 32 bytes of hex")


def test_a_good_inventory_gets_to_the_hosts_and_shows_no_secret(tmp_path, door) -> None:
    run = play(write_inventory(tmp_path, door, {}), "-vvv", playbook="preflight.yml")
    assert run.returncode == 4, run.stdout
    assert door.knocks >= 3
    assert "in the inventory, in the table above" not in run.stdout
    assert_no_secret(run.stdout)


# A host that is this machine itself: nothing on it is checked that this machine may lack.
HERE = {
    "ansible_connection": "local",
    "ansible_become": False,
    "ansible_python_interpreter": sys.executable,
    "aztec_requirements": "ignore",
    "prover_broker_port": 28080,
    "prover_node_port": 28081,
    "prover_node_p2p_port": 28400,
}


def rows_of(run: subprocess.CompletedProcess) -> list:
    return [" ".join(line.split()) for line in run.stdout.splitlines()]


def test_an_agent_that_does_not_answer_leaves_the_run_alone(tmp_path, door) -> None:
    run = play(write_inventory(tmp_path, door, {}, {"node-1": HERE}), playbook="preflight.yml")
    assert run.returncode == 4, run.stdout
    line = "ansible_host (warning) could not be looked at: unreachable, or the look failed"
    assert f"agent-1, agent-2 {line} see its line above; the run goes on without it" in rows_of(run)
    assert re.search(r"^node-1 .*unreachable=0 +failed=0", run.stdout, re.MULTILINE)


def test_a_node_that_does_not_answer_stops_all(tmp_path, door) -> None:
    run = play(write_inventory(tmp_path, door, {}, {"agent-1": HERE}), playbook="preflight.yml")
    assert run.returncode != 0
    assert any(row.startswith("node-1 ansible_host could not be looked at: unreachable") for row in rows_of(run))
    assert "1 problem on the hosts, in the table above; nothing was changed." in run.stdout
    assert re.search(r"^agent-1 .*failed=1", run.stdout, re.MULTILINE)


def test_the_search_finds_a_planted_secret(tmp_path, door) -> None:
    run = play(write_inventory(tmp_path, door, {"aztec_S3cret": 1}))
    assert run.returncode == 2
    with pytest.raises(AssertionError, match="S3cret is shown"):
        assert_no_secret(run.stdout)
