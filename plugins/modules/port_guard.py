# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply one component's section of the port guard in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: port_guard
short_description: Say which sources reach which ports of a host and its containers
description:
  - Keeps two nftables tables of its own, C(inet aztec_prover) and C(bridge aztec_prover). The hook of the first one
    runs before Docker's address translation, so that it holds for published ports and for services of the host itself.
    IPv4 and IPv6.
  - A call states the section of one component whole and leaves the sections of others alone. All rules are rendered to
    C(/etc/aztec-port-guard/table.nft) and loaded in one transaction by C(aztec-port-guard.service), which starts before
    C(docker.service).
  - Where the kernel accepts the table flags C(owner) and C(persist) (6.9 and later), the tables belong to that service.
    Nobody else can remove or change them, C(nft flush ruleset) included, and they stay when the service stops. On an
    older kernel the service watches the tables and loads them again when somebody has changed them.
  - A listed port is shut for packets to this host. All packets from outside that would be routed to one of the
    section's bridges are dropped, whatever their port, except answers in connections that a container began.
  - Any other traffic passes, and so do C(lo) and the section's bridges. A port that no section lists is not touched,
    and neither is any rule that this module did not write.
  - Every packet from outside is checked, not only the first of a connection, so that a source that is taken off the
    list loses the connections that it has.
  - Packets are dropped, not rejected. A scan then learns nothing, and the host answers no forged source.
  - The drops are counted. C(nft list table inet aztec_prover) shows them.
  - A source that is taken off a list is remembered in the section's file. The sets C(denied_v4) and C(denied_v6) hold
    those of them that tried to reach the port within the last 2 minutes.
options:
  section:
    description: Name of the component whose section this is. Lower-case letters, digits and underscores.
    type: str
    required: true
  ports:
    description: The ports that the section guards, all of them. A port that is left out is no longer guarded by it.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: The port that a packet carries when it reaches the host, which is the published port.
        type: int
        required: true
      protocol:
        description: Protocol of the port.
        type: str
        choices: [tcp, udp]
        default: tcp
      sources:
        description:
          - Addresses and CIDRs that reach the port at the host's own addresses. IPv4 and IPv6.
          - The empty list leaves C(lo) and the section's bridges. C(0.0.0.0/0) and C(::/0) let everybody in.
          - When several sections list the same port, it is open to the sources of all of them.
        type: list
        elements: str
        default: []
      addresses:
        description:
          - Addresses and CIDRs of the host at which the port is guarded. The empty list stands for all of them.
          - At the host's other addresses the port is not touched.
        type: list
        elements: str
        default: []
  bridges:
    description: Exact names of the section's bridges. They need not exist yet. No patterns.
    type: list
    elements: str
    default: []
  containers:
    description:
      - Containers with ports that other containers of the section's bridges do not reach. The host itself does.
    type: list
    elements: dict
    default: []
    suboptions:
      mac_address:
        description: The container's MAC address, as its Compose service sets it.
        type: str
        required: true
      ports:
        description: TCP ports inside the container.
        type: list
        elements: int
        required: true
  keep_existing:
    description:
      - Whether the sources that the section's ports have on the host stay admitted besides those of O(ports). For a
        call that does not know all of them, such as while the name of one does not resolve.
      - C(0.0.0.0/0) and C(::/0) are not kept.
    type: bool
    default: false
  required_by_docker:
    description:
      - Whether C(docker.service) refuses to start while the table is not loaded.
      - It does as long as one section of the host asks for it.
    type: bool
    default: true
  state:
    description:
      - V(absent) takes the section away, and with the last one the tables, the unit and all files.
    type: str
    choices: [present, absent]
    default: present
requirements:
  - nftables 1.0.2 or later, systemd and util-linux on the host
author:
  - Aztec Ops (@aztec-ops)
attributes:
  check_mode:
    support: full
    description: Predicts the change, on a host without nftables too.
  diff_mode:
    support: full
    description: Shows each file's text.
"""

EXAMPLES = r"""
- name: Let the agents reach the broker
  aztec_ops.prover.port_guard:
    section: prover_broker
    ports:
      - port: 8080
        sources: [10.0.0.11, 10.0.0.12, "fd00:10::/64"]
    bridges: [aztec0]
    containers:
      - mac_address: "02:a2:7e:c0:00:02"
        ports: [8880]

- name: Take the broker's section away
  aztec_ops.prover.port_guard:
    section: prover_broker
    state: absent
"""

RETURN = r"""
table:
  description: Text of all rules as rendered, empty when no section is left.
  returned: success
  type: str
sections:
  description: Names of the sections that the host has after the call.
  returned: success
  type: list
  elements: str
actions:
  description: What was done, or would be done in check mode, one line each.
  returned: success
  type: list
  elements: str
"""

import contextlib
import fcntl
import inspect
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.files import write_atomically
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import daemon as guard_daemon
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import nft as guard

Run = Callable[[list], tuple[int, str, str]]
# Seconds within which a daemon that was just started answers.
PATIENCE = 10
SYSTEM_PYTHON = "/usr/bin/python3"


class Failed(Exception):
    """What stops the module; its text is the error line."""


class Service:
    """The guard's unit, by systemctl, and its daemon, by its control socket."""

    def __init__(self, command: Callable) -> None:
        self.command = command

    def properties(self) -> dict[str, str]:
        """Return systemd's view of the unit; NeedDaemonReload is yes too when docker's drop-in waits for a reload."""
        wanted = "ActiveState,UnitFileState,NeedDaemonReload"
        # The blocks come in the order of the units, with an empty line between them.
        output = self.command("systemctl", "show", "--property", wanted, guard.UNIT, "docker.service")
        own, docker = (dict(line.split("=", 1) for line in block.splitlines()) for block in output.split("\n\n"))
        if docker.get("NeedDaemonReload") == "yes":
            own["NeedDaemonReload"] = "yes"
        return own

    def do(self, verb: str) -> None:
        """Start, stop, restart, reload, enable or disable the unit."""
        self.command("systemctl", verb, "--quiet", guard.UNIT)

    def daemon_reload(self) -> None:
        """Let systemd read its files again."""
        self.command("systemctl", "daemon-reload")

    def state(self) -> dict | None:
        """Return what the daemon says of the tables, or None where no daemon answers."""
        return guard_daemon.ask("state")

    def owners(self) -> dict[str, int]:
        """Return who owns the tables that are there: family -> PID, 0 for nobody."""
        found = {family: guard_daemon.owner_of(family) for family in guard_daemon.FAMILIES}
        return {family: pid for family, pid in found.items() if pid is not None}


class Host:
    """The guard on one host: its files below `root`, the kernel's tables, the unit.

    `run` takes a command and returns its exit code, output and errors. `nft` is the program's path, or None where it is
    not installed. `service` stands for systemd and the daemon; a test in a network namespace has one of its own.
    """

    def __init__(
        self, run: Run, nft: str | None, root: str = "/", check: bool = False, service: Service | None = None
    ) -> None:
        self.run = run
        self.nft = nft
        self.root = Path(root)
        self.check = check
        self.service = service or Service(self.command)
        self.actions: list[str] = []
        self.diff: list[dict] = []

    def path(self, name: str) -> Path:
        """Return where a file of the host is."""
        return self.root / name.lstrip("/")

    def command(self, *command: str) -> str:
        """Run a command that has to succeed and return its output."""
        code, output, errors = self.run(list(command))
        if code:
            raise Failed(f"{' '.join(command)} failed on this host: {' '.join((errors or output).split())}")
        return output

    # What is there

    def read(self, name: str) -> str:
        """Return a file's text, empty when there is none."""
        try:
            return self.path(name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def sections(self, leave_out: str) -> list[guard.Section]:
        """Return the sections that earlier calls left, without the one that this call states."""
        found = []
        for path in sorted(self.path(guard.DIRECTORY).glob("*.json")):
            if path.stem == leave_out:
                continue
            try:
                found.append(guard.section_from_text(path.stem, path.read_text(encoding="utf-8")))
            except ValueError as error:
                raise Failed(f"{path} {error}: delete it and run the role of {path.stem} again") from error
        return found

    def earlier(self, name: str) -> guard.Section | None:
        """Return the section that an earlier call left under a name; None where there is none that can be read."""
        try:
            return guard.section_from_text(name, self.read(f"{guard.DIRECTORY}/{name}.json"))
        except ValueError:
            return None

    def check_text(self, text: str) -> None:
        """Raise Failed for rules that this host's nft refuses.

        They are loaded into a network namespace that ends with the command, before anything is changed.
        """
        if not self.nft:
            return
        with tempfile.NamedTemporaryFile("w", suffix=".nft", encoding="utf-8") as file:
            file.write(guard.standalone(text))
            file.flush()
            self.command("unshare", "--net", self.nft, "-f", file.name)

    def installed(self) -> bool:
        """Tell whether this module made the tables that may be there: its unit is there, or its daemon answers."""
        return self.path(guard.UNIT_FILE).exists() or self.service.state() is not None

    def check_tables(self) -> None:
        """Raise Failed where the tables are there and this module did not make them."""
        if not self.nft or self.installed():
            return
        owners = self.service.owners()
        for family, pid in owners.items():
            table = f"table {family} {guard.TABLE}"
            if pid:
                raise Failed(f"{table} belongs to process {pid}, which is not the guard: end that process")
            raise Failed(
                f"{table} is there and was not made by this module: remove it with nft delete {table}, and from "
                "/etc/nftables.conf where that has it"
            )

    # What is done

    def act(self, line: str, action: Callable | None = None, *arguments: str) -> None:
        """Note an action and, outside check mode, take it."""
        self.actions.append(line)
        if action and not self.check:
            action(*arguments)

    def write(self, name: str, text: str) -> bool:
        """Bring a file to a text, or remove it when the text is empty; return whether that changed it."""
        before = self.read(name)
        path = self.path(name)
        if before == text and path.exists() == bool(text):
            return False
        self.diff.append({"before_header": name, "after_header": name, "before": before, "after": text})
        self.act(f"{'write' if text else 'remove'} {name}")
        if self.check:
            return True
        if not text:
            path.unlink()
            return True
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_atomically(path, text, 0o644)
        return True

    def remove_directory(self, name: str) -> None:
        """Remove a directory if it is there and empty."""
        path = self.path(name)
        if path.is_dir() and not self.check and not any(path.iterdir()):
            path.rmdir()

    def write_units(self, texts: dict[str, str]) -> bool:
        """Bring program, unit and drop-in to their texts, in that order; return whether the daemon's own changed."""
        changed = {name: self.write(name, text) for name, text in texts.items()}
        for name in (guard.DOCKER_FILE, guard.PROGRAM_FILE):
            if not texts[name]:
                self.remove_directory(os.path.dirname(name))
        # A run that broke off between the write and the reload left NeedDaemonReload for this one.
        stale = self.service.properties().get("NeedDaemonReload") == "yes"
        if changed[guard.UNIT_FILE] or changed[guard.DOCKER_FILE] or stale:
            self.act("reload systemd", self.service.daemon_reload)
        return changed[guard.PROGRAM_FILE] or changed[guard.UNIT_FILE]

    def apply(self, section: guard.Section, present: bool, keep_existing: bool = False) -> tuple[str, list[str]]:
        """Bring the host to the section, or to its absence; return the rules' text and the sections' names.

        keep_existing: the sources that the section on the host has are admitted as well.
        """
        with self.locked():
            before, path = self.earlier(section.name), f"{guard.DIRECTORY}/{section.name}.json"
            if keep_existing and before is None and self.read(path):
                raise Failed(
                    f"{path} cannot be read, and the sources in it are to be kept: correct the agents' addresses that "
                    "the preflight warns about, then run again"
                )
            section = guard.remember(guard.with_sources_of(section, before) if keep_existing else section, before)
            sections = self.sections(leave_out=section.name)
            if present:
                sections = sorted([*sections, section], key=lambda item: item.name)
            if not sections:
                self.take_away(section)
                return "", []
            return self.put(section, sections, present), [item.name for item in sections]

    def put(self, section: guard.Section, sections: list[guard.Section], present: bool) -> str:
        """Bring files, unit and the kernel to the sections; return the rules' text."""
        if not (self.nft or self.check):
            raise Failed("nft is not installed on this host: install the package nftables")
        self.check_tables()
        text = guard.table(sections)
        if text != self.read(guard.TABLE_FILE):
            self.check_text(text)
        self.write(f"{guard.DIRECTORY}/{section.name}.json", guard.section_to_text(section) if present else "")
        self.write(guard.TABLE_FILE, text)
        required = any(item.required_by_docker for item in sections)
        renewed = self.write_units(
            {
                guard.PROGRAM_FILE: inspect.getsource(guard_daemon),
                guard.UNIT_FILE: guard.unit(SYSTEM_PYTHON if Path(SYSTEM_PYTHON).exists() else sys.executable),
                guard.DOCKER_FILE: guard.docker_drop_in(self.nft or "/usr/sbin/nft") if required else "",
            }
        )
        self.load(text, renewed)
        return text

    def loaded(self, text: str) -> bool:
        """Tell whether the daemon says that the kernel has these rules."""
        state = self.service.state()
        return state is not None and state["intact"] and state["digest"] == guard_daemon.digest(text)

    def outdated(self) -> bool:
        """Tell whether no daemon answers, or one whose program is another, as after a run that broke off."""
        state = self.service.state()
        return state is None or state.get("program") != guard_daemon.digest(inspect.getsource(guard_daemon))

    def load(self, text: str, renewed: bool) -> None:
        """Enable the unit, and start, restart or reload the daemon where it does not have the rules."""
        properties = self.service.properties()
        if properties.get("UnitFileState") != "enabled":
            self.act("enable the unit", self.service.do, "enable")
        if properties.get("ActiveState") != "active":
            # `restart` also for a unit that waits for its next start.
            self.act("start the guard", self.service.do, "restart")
        elif renewed or self.outdated():
            self.act("restart the guard", self.service.do, "restart")
        elif not self.loaded(text):
            self.act("load the rules", self.service.do, "reload")
        else:
            return
        deadline = time.monotonic() + PATIENCE
        while not (self.check or self.loaded(text)):
            if time.monotonic() > deadline:
                raise Failed(f"the guard does not load {guard.TABLE_FILE}: see journalctl -u {guard.UNIT}")
            time.sleep(0.1)

    def take_away(self, section: guard.Section) -> None:
        """Leave nothing of the guard on the host."""
        properties, installed = self.service.properties(), self.installed()
        if properties.get("UnitFileState") == "enabled":
            self.act("disable the unit", self.service.do, "disable")
        if properties.get("ActiveState") not in (None, "inactive"):
            self.act("stop the guard", self.service.do, "stop")
        if installed and self.nft and self.service.owners():
            self.act("remove the tables", self.remove_tables)
        self.write_units(dict.fromkeys((guard.DOCKER_FILE, guard.UNIT_FILE, guard.PROGRAM_FILE), ""))
        self.write(guard.TABLE_FILE, "")
        self.write(f"{guard.DIRECTORY}/{section.name}.json", "")
        self.remove_directory(guard.DIRECTORY)

    def remove_tables(self) -> None:
        """Delete the tables that are there, in one transaction."""
        commands = [f"delete table {family} {guard.TABLE}" for family in self.service.owners()]
        self.command(str(self.nft), "; ".join(commands))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep another call out: several hosts of a run may delegate to this one at once. Leaves no lock file."""
        handle = os.open(self.path("/etc"), os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def main() -> None:
    """Read the parameters, apply them, answer."""
    port = {
        "port": {"type": "int", "required": True},
        "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
        "sources": {"type": "list", "elements": "str", "default": []},
        "addresses": {"type": "list", "elements": "str", "default": []},
    }
    container = {
        "mac_address": {"type": "str", "required": True},
        "ports": {"type": "list", "elements": "int", "required": True},
    }
    module = AnsibleModule(
        argument_spec={
            "section": {"type": "str", "required": True},
            "ports": {"type": "list", "elements": "dict", "options": port, "default": []},
            "bridges": {"type": "list", "elements": "str", "default": []},
            "containers": {"type": "list", "elements": "dict", "options": container, "default": []},
            "keep_existing": {"type": "bool", "default": False},
            "required_by_docker": {"type": "bool", "default": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    host = Host(
        run=lambda command: module.run_command(command, environ_update={"LC_ALL": "C"}),
        nft=module.get_bin_path("nft", opt_dirs=["/usr/sbin", "/sbin"]),
        check=module.check_mode,
    )
    try:
        section = guard.section_of(
            wanted["section"], wanted["ports"], wanted["bridges"], wanted["required_by_docker"], wanted["containers"]
        )
        text, sections = host.apply(section, wanted["state"] == "present", wanted["keep_existing"])
    except (guard.Refused, guard_daemon.Failed, Failed, OSError) as error:
        module.fail_json(msg=str(error), actions=host.actions)
    module.exit_json(changed=bool(host.actions), table=text, sections=sections, actions=host.actions, diff=host.diff)


if __name__ == "__main__":
    main()
