"""Paths and settings of the lab, from the environment and the lab's inventory."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SSH_PORT = 22
ROOT = Path(__file__).resolve().parents[2]
L1_PARAMETERS: dict[str, Any] = json.loads((ROOT / "lab/l1/l1.json").read_text())


class LabError(Exception):
    """An error that stops the lab, in one line: what is wrong and what to do."""


@dataclass(frozen=True)
class Machine:
    """A host of the inventory that the lab creates."""

    name: str
    address: str | None
    address6: str | None = None
    ssh_name: str = ""
    ssh_port: int = SSH_PORT
    user: str = "admin"
    sudo_password: str | None = None
    engine: bool = False
    suite: str = ""

    @property
    def known_as(self) -> str:
        """Return the host name in known_hosts."""
        return self.ssh_name if self.ssh_port == SSH_PORT else f"[{self.ssh_name}]:{self.ssh_port}"


@dataclass(frozen=True)
class Settings:
    """All settings of the lab."""

    root: Path
    state: Path
    cache: Path
    inventory: Path
    suite: str
    mirror: str | None
    base_image: str | None
    ipv4_network: str
    ipv6_network: str
    l1_address: str
    l1_address6: str | None
    registry_address: str
    registry_address6: str | None
    sequencer_address: str
    dns_address: str | None
    aztec_image: str
    aztec_version: str
    machines: tuple[Machine, ...]
    components: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def l1_url(self) -> str:
        return f"http://{self.l1_address}:8545"

    @property
    def rollup(self) -> str:
        return str(L1_PARAMETERS["rollupAddress"])

    @property
    def aztec_reference(self) -> str:
        return f"{self.aztec_image}:{self.aztec_version}"

    @property
    def ssh_key(self) -> Path:
        return self.state / "ssh" / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.state / "ssh" / "known_hosts"

    @property
    def resolv_conf(self) -> Path:
        """Return the path of a resolv.conf for the lab's DNS server."""
        return self.state / "resolv.conf"

    @property
    def run_directory(self) -> Path:
        """Return the directory of sockets. The checkout's path can be too long for the name of a socket."""
        return Path("/run") / f"aztec-lab-{hashlib.sha256(str(self.root).encode()).hexdigest()[:8]}"


def cache_directory() -> Path:
    """Return the directory of all downloads. The environment can change it."""
    given = os.environ.get("AZTEC_LAB_CACHE")
    if given:
        return Path(given).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "aztec-ops-prover"


def debian_mirror(sources: list[str], os_release: str) -> str | None:
    """Return the Debian mirror in this machine's apt sources, or None for the tools' default."""
    found = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    codename = found.get("VERSION_CODENAME", "").strip('"')
    if found.get("ID", "").strip('"') != "debian" or not codename:
        return None
    for text in sources:
        for stanza in re.split(r"\n\s*\n", text):
            fields = dict(re.findall(r"^(URIs|Suites|Types):\s*(.+)$", stanza, re.MULTILINE))
            if "deb" in fields.get("Types", "").split() and codename in fields.get("Suites", "").split():
                return fields["URIs"].split()[0].rstrip("/")
        line = re.search(rf"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+{codename}\s", text, re.MULTILINE)
        if line:
            return line.group(1).rstrip("/")
    return None


def apt_sources(directory: Path = Path("/etc/apt")) -> list[str]:
    files = [directory / "sources.list", *sorted((directory / "sources.list.d").glob("*"))]
    return [path.read_text() for path in files if path.is_file() and path.suffix in (".list", ".sources")]


def read_inventory(path: Path, root: Path = ROOT) -> dict[str, Any]:
    """Return the inventory as Ansible reads it (ansible-inventory --list)."""
    program = Path(sys.executable).with_name("ansible-inventory")
    command = [str(program), "-i", str(path), "--list"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{path}: ansible-inventory cannot read it: {done.stderr.strip().splitlines()[-1:]}")
    return dict(json.loads(done.stdout))


def members(inventory: dict[str, Any], group: str) -> list[str]:
    """Return all hosts of a group, including those of its children."""
    entry = inventory.get(group, {})
    found = list(entry.get("hosts", []))
    for child in entry.get("children", []):
        found += [host for host in members(inventory, child) if host not in found]
    return found


def ip_version(text: object) -> int | None:
    """Return the version of an IP address, or None if the text is not an address."""
    try:
        return ipaddress.ip_address(str(text)).version
    except ValueError:
        return None


def machine_of(name: str, variables: dict[str, Any]) -> Machine:
    """Return a machine from its host's variables: its address for ssh, and what the lab creates for it."""
    ssh_name = str(variables.get("ansible_host") or name)
    by_version = {ip_version(ssh_name): ssh_name}
    address = variables.get("lab_address", by_version.get(4))
    address6 = variables.get("lab_address6", by_version.get(6))
    if not address and not address6:
        raise LabError(f"{name}: the lab's inventory gives it no address: set ansible_host or lab_address")
    return Machine(
        name,
        address,
        address6,
        ssh_name,
        int(variables.get("ansible_port", SSH_PORT)),
        str(variables.get("ansible_user", "admin")),
        variables.get("ansible_become_password"),
        bool(variables.get("lab_engine", False)),
        str(variables.get("lab_suite", "")),
    )


def machines_of(inventory: dict[str, Any]) -> tuple[Machine, ...]:
    """Return the hosts of the inventory that have an address on the lab's network."""
    variables = inventory["_meta"]["hostvars"]
    return tuple(machine_of(name, variables.get(name, {})) for name in members(inventory, "all"))


def load(inventory: Path | None = None) -> Settings:
    """Return the settings of this machine's lab."""
    chosen = inventory or Path(os.environ.get("AZTEC_LAB_INVENTORY") or ROOT / "inventories/lab")
    found = read_inventory(chosen)
    machines = machines_of(found)
    shared = found["_meta"]["hostvars"][machines[0].name]
    groups = ("prover_node", "prover_broker", "prover_agent")
    os_release = Path("/etc/os-release")
    return Settings(
        root=ROOT,
        state=ROOT / ".lab",
        cache=cache_directory(),
        inventory=chosen,
        suite=os.environ.get("AZTEC_LAB_SUITE") or "trixie",
        mirror=os.environ.get("AZTEC_LAB_MIRROR") or debian_mirror(apt_sources(), os_release.read_text()),
        base_image=os.environ.get("AZTEC_LAB_BASE_IMAGE") or None,
        ipv4_network=shared["lab_ipv4_network"],
        ipv6_network=shared["lab_ipv6_network"],
        l1_address=shared["lab_l1_address"],
        l1_address6=shared.get("lab_l1_address6"),
        registry_address=shared["lab_registry_address"],
        registry_address6=shared.get("lab_registry_address6"),
        sequencer_address=shared["lab_sequencer_address"],
        dns_address=shared.get("lab_dns_address"),
        aztec_image=shared.get("aztec_image", "aztecprotocol/aztec"),
        aztec_version=str(shared["aztec_version"]),
        machines=machines,
        components={group: tuple(members(found, group)) for group in groups},
    )
