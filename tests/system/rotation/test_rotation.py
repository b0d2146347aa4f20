"""The key of a new user: two commands to a funded key, and its rotation: stage, fund, use and confirm a new one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from eth_account import Account

from lab.fleet import proof
from lab.fleet.l1 import SEQUENCER_ADDRESS, rpc
from tests.system.fleet import ROOT, Fleet, wait_for

NODE, SERVICE = "node-1", "prover-node"
KEY, NEXT, PREVIOUS = (f"prover_node_{place}publisher_private_key" for place in ("", "next_", "previous_"))
VAULT = "group_vars/all/vault.yml"
TOOLS = Path(sys.executable).parent
WITHIN = 420
FIRST = "run aztec_ops.prover.site first"


@dataclass
class User:
    """A new user with a vault password and a separate inventory of the lab's hosts, without a key."""

    folder: Path

    @property
    def inventory(self) -> Path:
        return self.folder / "inventories/mine"

    def given(self) -> list[str]:
        """Return the options of each command."""
        return ["-i", str(self.inventory), "--vault-password-file", str(self.folder / "password")]

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command of the checkout."""
        environment = {**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"}
        environment["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)

    def run(self, *command: str, code: int = 0) -> list[str]:
        """Run a command of the checkout, assert its exit code, and return the lines of its output."""
        return self.end(self.start(*command, *self.given()), code)

    @staticmethod
    def end(process: subprocess.Popen[str], code: int = 0) -> list[str]:
        """Wait for a command's end, assert its exit code, and return the lines of its output."""
        output, _none = process.communicate(timeout=600)
        assert process.returncode == code, output
        assert "WARNING]" not in output
        return [" ".join(line.split()) for line in output.splitlines()]

    def playbook(self, name: str, *arguments: str, code: int = 0) -> list[str]:
        """Run a playbook."""
        return self.run("ansible-playbook", f"playbooks/{name}", *arguments, code=code)

    def keys(self) -> dict[str, str]:
        """Return the keys in the vault file."""
        command = ["ansible-vault", "view", "--vault-password-file", str(self.folder / "password")]
        content = yaml.safe_load("\n".join(self.end(self.start(*command, str(self.inventory / VAULT)))))
        return {name: value for name, value in content.items() if name.endswith("_key")}

    def addresses(self) -> dict[str, str]:
        """Return the accounts of the keys in the vault file."""
        return {name: Account.from_key(key).address for name, key in self.keys().items()}


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> User:
    """Return a new user, whose inventory differs from the lab's by the missing key."""
    made = User(tmp_path_factory.mktemp("user"))
    (made.folder / "password").write_text("a password of the test\n")
    shutil.copytree(ROOT / "inventories/lab", made.inventory)
    for name in ("lab", ".lab"):
        (made.folder / name).symlink_to(ROOT / name)
    main = made.inventory / "group_vars/all/main.yml"
    lines = [line for line in main.read_text().splitlines(keepends=True) if not line.startswith(KEY)]
    main.write_text("".join(lines))
    return made


def container(fleet: Fleet) -> tuple[str, str]:
    """Return id and start time of the node's container. A recreation changes both, a restart only the second."""
    found = fleet.container(NODE, SERVICE)
    return found["Id"], found["State"]["StartedAt"]


def publishers(fleet: Fleet) -> list[str]:
    """Return the accounts of the keys on the node's host."""
    store = json.loads(fleet.execute(NODE, "cat /opt/aztec/prover-node/keys/prover.json").out)
    return [Account.from_key(key).address for key in store["prover"]["publisher"]]


def recreated(fleet: Fleet, since: float) -> int:
    """Count how many containers of the node were started since then."""
    command = (
        f"docker events --since {since:.0f} --until {time.time():.0f} --filter event=start --format '{{{{json .}}}}'"
    )
    events = map(json.loads, fleet.execute(NODE, command).out.splitlines())
    return sum(one["Actor"]["Attributes"]["com.docker.compose.service"] == SERVICE for one in events)


def changed(lines: list[str]) -> dict[str, int]:
    """Return how many tasks changed each host, from the recap."""
    recap = lines[next(number for number, line in enumerate(lines) if line.startswith("PLAY RECAP")) + 1 :]
    return {line.split()[0]: int(line.split("changed=")[1].split()[0]) for line in recap if "changed=" in line}


def error(lines: list[str]) -> str:
    """Return the last error that a run ended with."""
    return [line for line in lines if line.startswith("[ERROR]")][-1].split("Action failed: ")[-1]


def assert_line(check: Callable[[str], Any], lines: list[str]) -> None:
    """Assert that a function returns true for one of the lines."""
    assert any(check(line) for line in lines), "\n".join(lines)


def test_two_commands_from_nothing_to_a_funded_key(user: User) -> None:
    """The first command creates the key and prints the next steps. The second one funds it and shows its balance."""
    made = user.playbook("keys.yml")
    address = user.addresses()[KEY]
    assert address in made
    assert_line(lambda line: "aztec_ops.prover.preflight shows its balance" in line, made)

    verified = user.run("lab/fund", address)
    assert_line(re.compile(rf"{NODE} {address} 1 ETH \d+ proofs$").match, verified)
    assert set(changed(verified)) == {NODE, "agent-1", "agent-2"} and set(changed(verified).values()) == {0}
    # The same without the address, which the inventory knows.
    assert_line(re.compile(rf"{NODE} {address} 1.5 ETH \d+ proofs$").match, user.run("lab/fund", "--ether", "0.5"))


@pytest.fixture(scope="module")
def old(fleet: Fleet, user: User) -> str:
    """Run the fleet with the user's key, and return its address."""
    if not (user.inventory / VAULT).exists():
        user.playbook("keys.yml")
    address = user.addresses()[KEY]
    user.run("lab/fund", address)
    user.playbook("site.yml")
    fleet.wait_until_healthy(NODE, SERVICE)
    assert publishers(fleet) == [address]
    return address


@pytest.fixture(scope="module")
def new(fleet: Fleet, user: User, old: str) -> str:
    """Start a rotation, which stops because the new key is not funded. Return its address."""
    before, keys = container(fleet), user.keys()
    lines = user.playbook("rotate_key.yml", code=2)
    assert user.keys() == {**keys, NEXT: user.keys()[NEXT]}
    address = user.addresses()[NEXT]
    assert error(lines) == (
        f"{address} has 0 ETH and cannot pay for submitting proofs: send ETH to it, then run the same command "
        f"again (or have it wait: -e rotate_key_wait=1800); the node still runs with {old}"
    )
    assert f"next {address} 0 ETH 0" in lines
    remedy = f'prover_node_prover_id: "{old}"'
    assert_line(lambda line: f"changes from {old} to {address}; to keep it, set {remedy}." in line, lines)
    assert (container(fleet), publishers(fleet)) == (before, [old])
    # The remedy in the message.
    (user.inventory / "group_vars/all/rewards.yml").write_text(f"---\n{remedy}\n")
    return address


def test_other_changes_than_the_key_are_rejected(fleet: Fleet, user: User, new: str) -> None:
    """A pending change for site.yml is not applied with the key. The run stops before it waits for ETH."""
    vault, before = (user.inventory / VAULT).read_bytes(), container(fleet)
    pending = json.dumps({"prover_node_environment": {"NOT_YET": "there"}})
    lines = user.playbook("rotate_key.yml", "-e", pending, "-e", "rotate_key_wait=120", code=2)
    assert error(lines).startswith(f"{NODE}: more than the key would change on this host: {FIRST}")
    assert not any(line.endswith("s left") for line in lines)
    assert ((user.inventory / VAULT).read_bytes(), container(fleet)) == (vault, before)
    assert new in user.addresses().values()


def kill_the_next_one(fleet: Fleet, process: subprocess.Popen[str]) -> None:
    """Kill the container with which a run replaces the node's."""
    before = container(fleet)[0]
    running = f"docker ps --quiet --no-trunc --filter label=com.docker.compose.service={SERVICE}"

    def other() -> str:
        assert process.poll() is None, process.communicate()[0]
        return next((one for one in fleet.execute(NODE, running).out.split() if one != before), "")

    fleet.execute(NODE, f"docker kill {wait_for('the next container', other, 90, 0.1)}")


def test_a_node_that_does_not_start_gets_its_old_key_back(fleet: Fleet, user: User, old: str, new: str) -> None:
    """The run waits for the ETH and fails. The node runs with its old key, and the vault does not change."""
    vault = (user.inventory / VAULT).read_bytes()
    command = ["ansible-playbook", "playbooks/rotate_key.yml", *user.given(), "-e", "rotate_key_wait=120"]
    began = time.monotonic()
    process = user.start(*command)
    time.sleep(8)
    assert process.poll() is None
    user.end(user.start("lab/fund", new, *user.given()))
    kill_the_next_one(fleet, process)
    lines = user.end(process, code=2)
    assert time.monotonic() - began < 115
    assert_line(
        lambda line: line.startswith(f"{NODE}: {new} has 0 ETH and cannot pay") and line.endswith("s left"), lines
    )
    assert_line(lambda line: "The last good files and images are back and run" in line, lines)
    assert error(lines).startswith(f"The node did not start with the key of {new}, see the error above.")
    assert (user.inventory / VAULT).read_bytes() == vault
    assert publishers(fleet) == [old]
    fleet.wait_until_healthy(NODE, SERVICE)


def test_changes_of_others_during_the_wait_are_kept(fleet: Fleet, user: User, old: str, new: str) -> None:
    """The run detects that the host changed during the wait, and stops."""
    rpc(fleet.settings.l1_url, "anvil_setBalance", new, "0x0")
    vault, before = (user.inventory / VAULT).read_bytes(), container(fleet)
    environment = "/opt/aztec/prover-node/.env"
    process = user.start("ansible-playbook", "playbooks/rotate_key.yml", *user.given(), "-e", "rotate_key_wait=120")
    time.sleep(8)
    assert process.poll() is None
    fleet.execute(NODE, f"cp -p {environment} /root/kept && echo 'FROM_OTHERS=1' >> {environment}")
    try:
        user.end(user.start("lab/fund", new, *user.given()))
        lines = user.end(process, code=2)
    finally:
        fleet.execute(NODE, f"mv /root/kept {environment}")
    assert error(lines).startswith(f"{NODE}: more than the key would change on this host: {FIRST}")
    assert ((user.inventory / VAULT).read_bytes(), container(fleet)) == (vault, before)
    assert publishers(fleet) == [old]


@pytest.fixture(scope="module")
def rotated(fleet: Fleet, user: User, old: str, new: str) -> int:
    """Run the same command again, and return the L1's block at its end."""
    if int(rpc(fleet.settings.l1_url, "eth_getBalance", new, "latest"), 16) == 0:
        user.run("lab/fund", new)
    before, keys, began = container(fleet), user.keys(), time.time()
    lines = user.playbook("rotate_key.yml")
    assert user.keys() == {PREVIOUS: keys[KEY], KEY: keys[NEXT]}
    assert_line(
        lambda line: line.startswith(f"The node runs with the key of {new}, which is the publisher's key in "), lines
    )
    assert publishers(fleet) == [new]
    assert container(fleet)[0] != before[0]
    assert fleet.container(NODE, SERVICE)["RestartCount"] == 0, fleet.log(NODE, SERVICE)[-5000:]
    assert recreated(fleet, began) == 1
    assert fleet.environment(NODE, SERVICE)["PROVER_ID"] == old
    return proof.block_number(fleet.settings)


def test_nothing_is_left_to_change(fleet: Fleet, user: User, rotated: int) -> None:
    """Neither site.yml, which also looks at hosts outside of the groups, nor the same command changes anything."""
    before = container(fleet)
    assert changed(user.playbook("site.yml")) == {NODE: 0, "agent-1": 0, "agent-2": 0, "stranger": 0}
    assert changed(user.playbook("rotate_key.yml")) == {NODE: 0}
    assert container(fleet) == before


def test_the_next_proof_is_the_new_publisher_s(fleet: Fleet, rotated: int, old: str, new: str) -> None:
    """The L1 accepts an epoch that the new account has sent, for the unchanged reward address."""
    accepted = wait_for("a proof on the L1", lambda: proof.proofs(fleet.settings, rotated), WITHIN)[0]
    sender = rpc(fleet.settings.l1_url, "eth_getTransactionByHash", accepted.transaction)["from"]
    assert (sender, accepted.prover) == (new.lower(), old.lower())


def test_a_run_that_is_killed_is_run_again(fleet: Fleet, user: User, rotated: int, old: str, new: str) -> None:
    """After a kill between the changes of node and vault, the same command completes the run without a restart."""
    for options, before, after in ((["-e", "rotate_key_rollback=true"], new, old), ([], old, new)):
        keys, began = user.addresses(), time.time()
        process = user.start("ansible-playbook", "playbooks/rotate_key.yml", *user.given(), *options)
        wait_for("the node's new key", lambda wanted=after: publishers(fleet) == [wanted], 60, 0.2)
        process.kill()
        process.communicate()
        assert user.addresses() == keys and keys[KEY] == before
        user.playbook("rotate_key.yml", *options)
        assert user.addresses()[KEY] == after and set(user.addresses().values()) == {old, new}
        assert publishers(fleet) == [after]
        assert recreated(fleet, began) == 1
    assert rotated


def send_away(fleet: Fleet, key: str) -> None:
    """Send the whole balance of an account to another one."""
    url, address = fleet.settings.l1_url, Account.from_key(key).address
    price = 2 * int(rpc(url, "eth_gasPrice"), 16)
    held = int(rpc(url, "eth_getBalance", address, "latest"), 16)
    count = int(rpc(url, "eth_getTransactionCount", address, "latest"), 16)
    paid = {"to": SEQUENCER_ADDRESS, "value": held - 21000 * price, "gas": 21000, "gasPrice": price, "nonce": count}
    signed = Account.sign_transaction({**paid, "chainId": int(rpc(url, "eth_chainId"), 16)}, key)
    sent = rpc(url, "eth_sendRawTransaction", "0x" + signed.raw_transaction.hex().removeprefix("0x"))
    wait_for("the transaction's block", lambda: rpc(url, "eth_getTransactionReceipt", sent), 60)


@pytest.mark.usefixtures("rotated")
def test_the_old_key_is_removed_once_it_is_not_needed(fleet: Fleet, user: User, old: str, new: str) -> None:
    """It is kept while its account has ETH or gets rewards, and until the user confirms that no rewards are left."""
    url, keys, confirm = fleet.settings.l1_url, user.keys(), ("-e", "rotate_key_confirm=true")
    wait_for("the new account to send", lambda: int(rpc(url, "eth_getTransactionCount", new, "latest"), 16), WITHIN)
    why = error(user.playbook("rotate_key.yml", *confirm, code=2))
    reasons = why.split("; ")
    assert [reason.split(" ")[0] for reason in reasons] == [old, "rewards", "only", "the"], why
    assert f"rewards still go to {old}, which is PROVER_ID: " in why
    assert reasons[-1] == "the old key stays in the vault (-e rotate_key_force=true removes it anyway)"
    assert user.keys() == keys
    send_away(fleet, keys[PREVIOUS])
    (user.inventory / "group_vars/all/rewards.yml").write_text(f'---\nprover_node_prover_id: "{SEQUENCER_ADDRESS}"\n')
    assert "more than the key would change" in error(user.playbook("rotate_key.yml", *confirm, code=2))
    user.playbook("site.yml")
    before = container(fleet)
    why = error(user.playbook("rotate_key.yml", *confirm, code=2))
    assert why.startswith(f"only the key of {old} can move the rewards of its proofs: ")
    assert user.keys() == keys
    lines = user.playbook("rotate_key.yml", *confirm, "-e", "rotate_key_rewards_moved=true")
    assert f"previous {old} 0 ETH" in " ".join(lines)
    assert f"The key of {old} was removed." in lines
    assert user.keys() == {KEY: keys[KEY]}
    assert container(fleet) == before
