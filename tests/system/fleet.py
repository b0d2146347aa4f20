"""The fleet of the tests: the lab creates and reaches machines, testinfra inspects them over ssh."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import testinfra
from testinfra.host import Host

from lab.fleet import engine, hosts, network
from lab.fleet.settings import Machine, load
from tests.harness.machines import known_machines

ROOT = Path(__file__).parents[2]
SCALE_OUT = ROOT / "tests/inventories/scale_out"
SINGLE_ROLE = ROOT / "tests/inventories/single_role"
BARE_HOSTS = ROOT / "tests/inventories/bare_hosts"
MONITOR = ROOT / "tests/inventories/monitor"
MOVED_BROKER = ROOT / "tests/inventories/moved_broker"
# The inventories with machines that the lab's own does not contain.
OTHERS = [SCALE_OUT, SINGLE_ROLE, BARE_HOSTS, MOVED_BROKER, MONITOR]
OUTPUT = ROOT / "tests/output"
HEALTHY_WITHIN = 180
# What ansible-core prints for a prompt in a run without a terminal.
NO_TERMINAL = "Not waiting for response to prompt as stdin is not interactive"


def wait_for(what: str, ready: Callable[[], Any], seconds: float, pause: float = 2) -> Any:
    """Call a function until its result is true, and return the result. Fail after the time limit."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ready()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"timeout after {seconds:.0f} s: {what}"
        time.sleep(pause)


class Fleet:
    """The machines of this run."""

    def __init__(self) -> None:
        self.settings = load()
        self.client = engine.start_engine(self.settings)
        self.machines: dict[str, Machine] = {
            machine.name: machine for machine in known_machines(self.settings, OTHERS)
        }
        self._hosts: dict[str, Host] = {}

    def host(self, name: str) -> Host:
        """Return testinfra's connection to a machine, as root over ssh."""
        if name not in self._hosts:
            self._hosts[name] = testinfra.get_host(
                f"ssh://{self.machines[name].user}@{self.machines[name].address}",
                ssh_identity_file=str(self.settings.ssh_key),
                ssh_extra_args=f"-o UserKnownHostsFile={self.settings.known_hosts} -o IdentitiesOnly=yes",
                sudo=True,
            )
        return self._hosts[name]

    def execute(self, name: str, command: str | list[str], *, check: bool = True) -> hosts.Result:
        """Run a command as root on a machine through the outer engine, which no guard can block."""
        return hosts.execute(self.client, name, command, check=check)

    def reach(self, source: str, address: str, port: int) -> str:
        """Try a TCP connection from one machine. Return open, refused or filtered."""
        return hosts.reachable(self.client, source, address, port)

    def container(self, name: str, service: str) -> dict[str, Any]:
        """Return the `docker inspect` data of a service's only container."""
        found = [
            container
            for container in hosts.containers_on(self.client, name)
            if container["Config"]["Labels"].get("com.docker.compose.service") == service
        ]
        assert len(found) == 1, f"{name} has {len(found)} containers of {service}"
        return found[0]

    def healthy(self, name: str, service: str) -> bool:
        """Return whether a service's container runs and is healthy."""
        state = self.container(name, service)["State"]
        return state["Running"] and state["Health"]["Status"] == "healthy"

    def wait_until_healthy(self, name: str, service: str) -> None:
        """Wait until a service is healthy."""
        wait_for(f"{service} on {name} to be healthy", lambda: self.healthy(name, service), HEALTHY_WITHIN)

    def environment(self, name: str, service: str) -> dict[str, str]:
        """Return the environment of a service's container."""
        return dict(entry.split("=", 1) for entry in self.container(name, service)["Config"]["Env"])

    def log(self, name: str, service: str, since: str = "1h") -> str:
        """Return the log of a service."""
        container = self.container(name, service)["Name"].strip("/")
        result = self.execute(name, ["docker", "logs", "--since", since, container])
        return result.out + result.err

    def container_addresses(self, name: str, service: str) -> dict[str, tuple[str, str]]:
        """Return the address and subnet of a service's container, by family."""
        (attached,) = self.container(name, service)["NetworkSettings"]["Networks"].items()
        shown = json.loads(self.execute(name, ["docker", "network", "inspect", attached[0]]).out)[0]
        found = {}
        for pool in shown["IPAM"]["Config"]:
            family, key = ("v6", "GlobalIPv6Address") if ":" in pool["Subnet"] else ("v4", "IPAddress")
            found[family] = (attached[1][key], pool["Subnet"])
        return found

    def stop_machine(self, name: str) -> None:
        """Turn a machine off."""
        found = network.find(self.client, name)
        assert found is not None
        found.stop(timeout=60)

    def machine_process(self, name: str) -> int:
        """Return the process number of a machine's systemd on the machine that runs the lab."""
        found = network.find(self.client, name)
        assert found is not None
        return int(found.attrs["State"]["Pid"])

    def start_machine(self, name: str) -> None:
        """Turn a machine on and wait until it has booted."""
        found = network.find(self.client, name)
        assert found is not None
        found.start()
        hosts.wait_for_boot(self.client, name)

    def lose_power(self, name: str) -> None:
        """Turn a machine off without a shutdown, and on again."""
        found = network.find(self.client, name)
        assert found is not None
        found.kill()
        self.start_machine(name)

    def reboot(self, name: str) -> None:
        """Shut a machine down and boot it again."""
        hosts.reboot(self.client, name)


def playbook(path: str, *arguments: str, report: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a playbook of the checkout over the lab's inventory. Write its remote calls to the report, if there is one.

    Assert that ansible-core prints no warning.
    """
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    if report is not None:
        report.unlink(missing_ok=True)
        environment |= {
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/plugins/callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "remote_calls",
            "REMOTE_CALLS_REPORT": str(report),
        }
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    inventory = os.environ.get("AZTEC_LAB_INVENTORY") or "inventories/lab"
    command = [program, "-i", inventory, *arguments, path]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    warnings = [line for line in (run.stdout + run.stderr).splitlines() if "WARNING]" in line]
    assert [line for line in warnings if NO_TERMINAL not in line] == []
    return run


def runs(report: Path) -> list[dict[str, Any]]:
    """Return the entries of a report of remote calls, the newest last."""
    return [json.loads(line) for line in report.read_text().splitlines()]


def last_run(report: Path) -> dict[str, Any]:
    """Return the newest entry of a report of remote calls."""
    return runs(report)[-1]


def changes(scenario: str) -> dict[str, dict[str, int]]:
    """Return the changed tasks of each host in Molecule's last two runs: the second run and check mode."""
    second, checked = runs(OUTPUT / f"calls-{scenario}.jsonl")[-2:]
    return {
        what: {host: of["changed"] for host, of in run["stats"].items()}
        for what, run in (("again", second), ("check mode", checked))
    }
