"""Playbook runs with their own secrets, and the collection of everything that a run leaves behind."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project_directory import held
from eth_account import Account

from lab.fleet import hosts
from lab.fleet.l1 import rpc
from tests.harness.leaks import Sampler, Secrets, host_temporary
from tests.system.fleet import ROOT, Fleet, wait_for

NODE = "node-1"
WATCHED = (NODE, "agent-1")
# Seconds until a run is considered hanging. Not a measurement, so with a margin for a busy machine.
LONGEST = 420
JOBS = "/run/aztec-compose-stack"
# A program that replaces the node's. It is healthy while a file exists.
FRAIL, HEALTHY = "frail", "/opt/aztec/prover-node/data/healthy"


def token() -> str:
    """Return a new, unique text."""
    return secrets.token_hex(14)


def awkward() -> str:
    """Return a secret with special characters of shells, Compose, YAML and JSON."""
    return f"{token()}$a'b\"c${{D}}\\e#f {token()}"


def planted() -> dict[str, str]:
    """Return new secrets of all kinds in an inventory, by name."""
    Account.enable_unaudited_hdwallet_features()
    account, mnemonic = Account.create_with_mnemonic(num_words=24)
    other, words = Account.create_with_mnemonic(num_words=24)
    return {
        "publisher key": f"0x{bytes(account.key).hex()}",
        "mnemonic": mnemonic,
        "next key": f"0x{bytes(other.key).hex()}",
        "next mnemonic": words,
        "L1 path": token(),
        "L1 user": token(),
        "L1 password": token(),
        "consensus key": token(),
        "awkward": awkward(),
        "vault password": token(),
        "sudo password": token(),
    }


@dataclass(frozen=True)
class Ran:
    """The result of a run: exit code, output, and the directory with everything that it left on the controller."""

    code: int
    output: str
    directory: Path


class Bench:
    """An inventory with secrets in addition to the lab's, and methods to run playbooks with it."""

    def __init__(self, fleet: Fleet, private: Path, open_: Path) -> None:
        """private: a directory that is never searched. open_: one that is searched."""
        self.fleet, self.private, self.open = fleet, private, open_
        self.values = planted()
        self.secrets = Secrets(self.values, private)
        self.roots = {name: self._root(name) for name in WATCHED}
        # The address of the L1 that rejects all requests, once it runs.
        self.echo = ""
        self.l1 = fleet.settings.l1_url.replace("http://", "")
        self.l1_url = f"http://{self.l1}/v3/{self.values['L1 path']}"
        self.password_file = private / "vault-password"
        self.password_file.write_text(self.values["vault password"])
        self.inventory = private / "inventory"
        self.write_inventory()
        self.sampler = Sampler(self.secrets, self.places)
        for directory in ("home", "tmp"):
            (open_ / directory).mkdir()

    def _root(self, name: str) -> Path:
        return Path(f"/proc/{hosts.container_of(self.fleet.client, name).attrs['State']['Pid']}/root")

    def places(self) -> list[Path]:
        """Return all places for temporary files, on the hosts and on this machine."""
        return [place for root in self.roots.values() for place in host_temporary(root)] + [self.open]

    def main(self) -> dict[str, Any]:
        """Return the variables that hold secrets, as an operator writes them into the vault."""
        return {
            "ansible_become_password": self.values["sudo password"],
            "aztec_l1_execution_urls": [self.l1_url],
            "prover_node_publisher_private_key": self.values["publisher key"],
            "prover_node_publisher_mnemonic": self.values["mnemonic"],
            "prover_node_secret_environment": {
                "L1_CONSENSUS_HOST_API_KEYS": self.values["consensus key"],
                "L1_CONSENSUS_HOST_API_KEY_HEADERS": "x-api-key",
                "AWKWARD": self.values["awkward"],
            },
        }

    def write_inventory(self) -> None:
        """Write the inventory, its secrets in a vault."""
        directory = self.inventory / "group_vars/all"
        directory.mkdir(parents=True)
        (self.inventory / "hosts.yml").write_text(f"prover_node: {{hosts: {{{NODE}: }}}}\n")
        vault = directory / "vault.yml"
        vault.write_text(yaml.safe_dump(self.main()))
        tool = str(Path(sys.executable).with_name("ansible-vault"))
        command = [tool, "encrypt", "--vault-password-file", str(self.password_file), str(vault)]
        subprocess.run(command, check=True, capture_output=True)

    def merged_inventory(self) -> Path:
        """Return a directory with the lab's inventory and this one, for playbooks that write into an inventory."""
        inventory = self.private / "merged/inventories/merged"
        if not inventory.exists():
            shutil.copytree(ROOT / "inventories/lab", inventory)
            for name in ("lab", ".lab"):
                (self.private / "merged" / name).symlink_to(ROOT / name)
            main = inventory / "group_vars/all/main.yml"
            plain = re.sub("^prover_node_publisher_private_key:.*\n", "", main.read_text(), flags=re.MULTILINE)
            main.write_text(plain)
            shutil.copy(self.inventory / "group_vars/all/vault.yml", main.with_name("vault.yml"))
        return inventory

    def overlay(self, name: str, text: str) -> list[str]:
        """Write the settings of one run as an additional inventory. Return the arguments that use it."""
        directory = self.private / "rows" / name
        (directory / "host_vars" / NODE).mkdir(parents=True)
        (directory / "hosts.yml").write_text(f"prover_node: {{hosts: {{{NODE}: }}}}\n")
        (directory / "host_vars" / NODE / "row.yml").write_text(text)
        return ["-i", str(directory)]

    def command(
        self, name: str, playbook: str, *arguments: str, settings: str = "", inventory: tuple[str, ...] | None = None
    ) -> list[str]:
        """Return the command of one run."""
        if inventory is None:
            inventory = ("-i", "inventories/lab", "-i", str(self.inventory))
        more = self.overlay(name, settings) if settings else []
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        return [program, *inventory, *more, "-vvvv", "--diff", *arguments, playbook]

    def environment(self, directory: Path) -> dict[str, str]:
        """Return the environment of one run: it writes all files to searched directories."""
        return {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOME": str(self.open / "home"),
            "TMPDIR": str(self.open / "tmp"),
            "ANSIBLE_LOG_PATH": str(directory / "log"),
            "ANSIBLE_CACHE_PLUGIN": "jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(directory / "facts"),
            "ANSIBLE_RETRY_FILES_ENABLED": "1",
            "ANSIBLE_RETRY_FILES_SAVE_PATH": str(directory / "retry"),
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/plugins/callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "dump_results",
            "DUMP_RESULTS_REPORT": str(directory / "results.jsonl"),
        }

    def run(
        self,
        name: str,
        playbook: str,
        *arguments: str,
        password: Path | None = None,
        meanwhile: Callable[[subprocess.Popen], None] | None = None,
        environment: dict[str, str] | None = None,
        **more: Any,
    ) -> Ran:
        """Run a playbook to its end. `meanwhile` is called while it runs."""
        directory = self.open / "runs" / name
        directory.mkdir(parents=True)
        vault = ["--vault-password-file", str(password or self.password_file)]
        command = self.command(name, playbook, *vault, *arguments, **more)
        run_environment = {**self.environment(directory), **(environment or {})}
        with (directory / "output").open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=run_environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                if meanwhile:
                    meanwhile(process)
                code = process.wait(LONGEST)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return Ran(code, (directory / "output").read_text(errors="replace"), directory)

    # --- events during a run ----------------------------------------------------------------------------------

    def wait_for_job(self) -> None:
        """Wait until a job runs on the host."""
        place = self.roots[NODE] / JOBS.lstrip("/")
        # The notes of an interrupted run remain there.
        wait_for("a job on the host", lambda: any(held(str(alive)) for alive in place.glob("*/alive")), 120, 0.05)
        time.sleep(1)

    def signal_job(self, name: str) -> None:
        """Send a signal to the job on the host."""
        script = f"""
            for process in /proc/[0-9]*; do
                if ls -l $process/fd 2> /dev/null | grep -q {JOBS}; then kill -{name} ${{process#/proc/}}; echo sent; fi
            done
        """
        assert "sent" in self.fleet.execute(NODE, script).out

    def kill_job(self, process: subprocess.Popen) -> None:
        """Kill the job on the host."""
        self.wait_for_job()
        self.signal_job("KILL")

    def await_frail(self, what: str, *filters: str) -> None:
        """Wait until the frail program's container exists."""
        seen = ["docker", "ps", "--quiet", f"--filter=label={FRAIL}", *filters]
        wait_for(what, lambda: self.fleet.execute(NODE, seen).out, 60, 0.2)

    def lose_health(self, process: subprocess.Popen) -> None:
        """Start the new container and make it unhealthy while the job waits for it.

        The job is stopped meanwhile, because it ends as soon as it finds a healthy container.
        """
        self.wait_for_job()
        self.await_frail("the new container")
        self.signal_job("STOP")
        try:
            for command, health in (("touch", "healthy"), ("rm", "unhealthy")):
                self.fleet.execute(NODE, [command, HEALTHY])
                self.await_frail(health, f"--filter=health={health}")
        finally:
            self.signal_job("CONT")

    def cut_connection(self, process: subprocess.Popen) -> None:
        """Close all connections to the host, and accept no new one."""
        self.wait_for_job()
        self.fleet.execute(NODE, "systemctl stop ssh.service && pkill -KILL sshd-session")

    def lose_connection_briefly(self, process: subprocess.Popen) -> None:
        """Close all connections to the host, and accept no new one for a while."""
        self.cut_connection(process)
        time.sleep(12)
        self.fleet.execute(NODE, "systemctl start ssh.service")

    def interrupt(self, process: subprocess.Popen) -> None:
        """Interrupt the run as Ctrl-C does in a terminal."""
        self.wait_for_job()
        os.killpg(process.pid, signal.SIGINT)


def fund(fleet: Fleet, key: str) -> None:
    """Set the balance of a key's account."""
    address = Account.from_key(key).address
    rpc(fleet.settings.l1_url, "anvil_setBalance", address, hex(10**19))


class Echo(BaseHTTPRequestHandler):
    """An L1 that rejects all requests, with the whole request in its response."""

    def _refuse(self) -> None:
        body = json.dumps({"error": f"no access: {self.path}", "headers": dict(self.headers)}).encode()
        self.send_response(401, f"no access {self.path}")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _refuse

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def serve_echo(address: str) -> ThreadingHTTPServer:
    """Serve the L1 that rejects requests, on a free port."""
    server = ThreadingHTTPServer((address, 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
