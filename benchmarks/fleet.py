"""The benchmark's fleet: inventories, machines, and the desired state that pyinfra and the ssh script receive."""

from __future__ import annotations

import base64
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
import yaml

from lab.fleet import engine, hosts, registry
from lab.fleet.images import Images
from lab.fleet.settings import ROOT, Settings, load, members, read_inventory

WORK = ROOT / ".lab/benchmark"
LAB = ROOT / "inventories/lab"
# Agents after the tenth run a small image in place of Aztec: the machine does not have the memory for more.
WITH_AZTEC = 10
SMALL_IMAGE = "benchmark/agent"
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INSTANCES_OF_A_HOST = 20
PACKAGES = "docker.io docker-cli docker-compose"
# What makes up the state of a host, apart from packages, images and the Docker network
PATHS = (
    "/etc/docker/daemon.json /etc/docker/.aztec_ops_prover /etc/systemd/system/containerd.service.d/aztec.conf "
    "/etc/aztec-port-guard /usr/local/lib/aztec-port-guard/daemon.py /etc/systemd/system/aztec-port-guard.service "
    "/etc/systemd/system/docker.service.d/aztec-port-guard.conf /etc/sysctl.d/60-aztec-prover.conf /opt/aztec"
)
READ_FILES = f"ls -d {PATHS} 2>/dev/null | tar -cf - --exclude=.stack --exclude='*/data/*' -T - 2>/dev/null | base64"
READ_NETWORKS = "docker network inspect $(docker network ls -q --filter label=aztec_ops.prover)"


def agent_names(count: int) -> list[str]:
    """Return the names of the first agents."""
    return [f"agent-{number}" for number in range(1, count + 1)]


def inventory_of(agents: int, lab: dict[str, Any]) -> dict[str, Any]:
    """Return an inventory of the lab's node, its stranger and this number of agents, each on its own host.

    lab: the lab's own inventory. The agents have the addresses from 101.
    """

    def address(number: int) -> dict[str, str]:
        # The lab's networks are 172.31.77.0/24 and fd31:77::/64.
        return {"ansible_host": f"172.31.77.{100 + number}", "lab_address6": f"fd31:77::{100 + number}"}

    group = {name: address(number) for number, name in enumerate(agent_names(agents), 1)}
    for number, variables in enumerate(group.values(), 1):
        if number > WITH_AZTEC:
            variables["prover_agent_image"] = SMALL_IMAGE
    return {**lab, "prover_agent": {"hosts": group}}


def write_inventory(agents: int) -> Path:
    """Write the inventory for this number of agents below .lab, with the lab's group variables. Return its path."""
    path = WORK / f"inventory-{agents}"
    variables = path / "group_vars/all"
    shutil.rmtree(path, ignore_errors=True)
    variables.mkdir(parents=True)
    for file in (LAB / "group_vars/all").iterdir():
        (variables / file.name).symlink_to(file)
    # The lab finds its root by the inventory's path.
    (variables / "root.yml").write_text(yaml.safe_dump({"lab_root": str(ROOT)}))
    lab = yaml.safe_load((LAB / "hosts.yml").read_text())
    (path / "hosts.yml").write_text(yaml.safe_dump(inventory_of(agents, lab), sort_keys=False))
    return path


def network_options(inspected: dict[str, Any]) -> str:
    """Return the options of `docker network create` for a network that the engine describes."""
    words = ["--driver", inspected["Driver"]]
    for kind in ("Options", "Labels"):
        for name, value in sorted((inspected[kind] or {}).items()):
            words += ["--opt" if kind == "Options" else "--label", f"{name}={value}"]
    words += ["--ipv6"] if inspected["EnableIPv6"] else []
    for pool in inspected["IPAM"]["Config"]:
        words += ["--subnet", pool["Subnet"]]
    return shlex.join(words)


def settings_text(values: dict[str, str]) -> str:
    """Return a file of assignments for sh."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def ssh_config(settings: Settings) -> str:
    """Return the configuration with which ssh reaches the machines."""
    lines = [f"Host {one.name}\n  HostName {one.address}\n  User {one.user}" for one in settings.machines]
    lines.append(
        f"Host *\n  IdentityFile {settings.ssh_key}\n  IdentitiesOnly yes\n  BatchMode yes\n"
        f"  UserKnownHostsFile {settings.known_hosts}\n  StrictHostKeyChecking yes"
    )
    return "\n".join(lines) + "\n"


@contextmanager
def inotify_instances(count: int) -> Iterator[None]:
    """Raise the machine's limit of inotify instances if the hosts of the fleet need more. Restore it at the end."""
    before = INOTIFY.read_text()
    needed = INSTANCES_OF_A_HOST * count
    try:
        if needed > int(before):
            INOTIFY.write_text(str(needed))
        yield
    finally:
        INOTIFY.write_text(before)


@dataclass(frozen=True)
class Fleet:
    """Node, broker and a number of agents, on machines of the lab."""

    agents: int
    inventory: Path

    @classmethod
    def up(cls, agents: int) -> Fleet:
        """Create what is missing: inventory, machines, and the image of hosts without Aztec. Provision nothing."""
        fleet = cls(agents, write_inventory(agents))
        command = [sys.executable, "-m", "lab.fleet", "up", "--machines", "--inventory", str(fleet.inventory)]
        subprocess.run(command, cwd=ROOT, check=True)
        if agents > WITH_AZTEC:
            image = f"aztec-lab/{SMALL_IMAGE.replace('/', '-')}:latest"
            base = Images(fleet.client, fleet.settings).base()
            fleet.client.images.build(
                path=str(ROOT / "benchmarks/agent"), tag=image, buildargs={"BASE": base}, rm=True, forcerm=True
            )
            registry.publish(fleet.client, fleet.settings, image, SMALL_IMAGE, fleet.settings.aztec_version)
        return fleet

    @cached_property
    def settings(self) -> Settings:
        return load(self.inventory)

    @cached_property
    def client(self) -> docker.DockerClient:
        return engine.start_engine(self.settings)

    @cached_property
    def hosts(self) -> list[str]:
        """Return the names of the hosts that run a component."""
        found = read_inventory(self.inventory)
        groups = ("prover_node", "prover_broker", "prover_agent")
        return list(dict.fromkeys(name for group in groups for name in members(found, group)))

    def recreate(self, names: list[str]) -> None:
        """Replace machines by new ones, on which nothing is installed."""
        for name in names:
            hosts.container_of(self.client, name).remove(force=True, v=True)
        Fleet.up(self.agents)

    def save_state(self, name: str) -> Path:
        """Save what the hosts have now as the desired state of pyinfra and the ssh script. Return its directory.

        They receive the files that the collection rendered: all tools set up the same state, byte for byte.
        """
        state = WORK / "states" / name
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir(parents=True, mode=0o700)
        (state / "ssh_config").write_text(ssh_config(self.settings))
        for host in self.hosts:
            packed = base64.b64decode(hosts.execute(self.client, host, READ_FILES).out)
            (state / host / "root").mkdir(parents=True)
            subprocess.run(["tar", "-C", str(state / host / "root"), "-xpf", "-"], input=packed, check=True)
            (one,) = json.loads(hosts.execute(self.client, host, READ_NETWORKS).out)
            images = {container["Config"]["Image"] for container in hosts.containers_on(self.client, host)}
            values = {
                "PACKAGES": PACKAGES,
                "IMAGES": " ".join(sorted(map(str, images))),
                "NETWORK": one["Name"],
                "NETWORK_OPTIONS": network_options(one),
            }
            (state / host / "settings").write_text(settings_text(values))
        return state

    def restarts(self, since: float) -> dict[str, float]:
        """Return for each agent's host the seconds from the old container's stop to the new one's health."""
        options = "--until $(date +%s) --filter type=container --format '{{json .}}'"
        command = f"docker events --since {since:.0f} {options}"
        return {
            name: seconds
            for name in agent_names(self.agents)
            if (seconds := restart_seconds(hosts.execute(self.client, name, command).out)) is not None
        }


def restart_seconds(events: str) -> float | None:
    """Return the seconds from the first stop of a container to the last report of its health, None without both.

    events: the lines of `docker events` as JSON.
    """
    found = [json.loads(line) for line in events.splitlines()]
    times = {
        kind: [one["timeNano"] / 1e9 for one in found if one["Action"].startswith(kind)]
        for kind in ("kill", "health_status: healthy")
    }
    stopped, healthy = times.values()
    if not stopped or not healthy or max(healthy) < min(stopped):
        return None
    return max(healthy) - min(stopped)
