# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply one component's section of the port guard in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: port_guard
short_description: Say which sources reach which ports of a host and its containers
description:
  - Keeps one nftables table of its own, C(inet aztec_prover), whose prerouting hook runs before Docker's address
    translation, so that it holds for published ports, for services of the host itself, and for the containers' own
    ports reached by a route. IPv4 and IPv6.
  - A call states the section of one component whole and leaves the sections of others alone. The whole table is
    rendered to C(/etc/aztec-port-guard/table.nft) and loaded in one transaction, by C(aztec-port-guard.service) at boot
    too, before C(docker.service).
  - A listed port is shut for packets to this host and for packets that would be routed to one of the section's bridges.
    Any other traffic passes, whatever its port, and so do C(lo) and the section's bridges. A port that no section
    lists is not touched, and neither is any rule that this module did not write.
  - Every packet from outside is checked, not only the first of a connection, so that a source that is taken off the
    list loses the connections that it has.
  - Packets are dropped, not rejected. A scan then learns nothing, and the host answers no forged source.
  - The drops are counted per section and port. C(nft list table inet aztec_prover) shows them.
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
        description:
          - The port that a packet carries when it reaches the host, which is the published port.
          - For a packet that is routed straight to a container it is the port inside the container.
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
          - Nobody but the section's bridges reaches a listed port at a container's own address.
        type: list
        elements: str
        default: []
  bridges:
    description: Exact names of the section's bridges. They need not exist yet. No patterns.
    type: list
    elements: str
    default: []
  required_by_docker:
    description:
      - Whether C(docker.service) refuses to start while the table is not loaded.
      - It does as long as one section of the host asks for it.
    type: bool
    default: true
  state:
    description:
      - C(absent) takes the section away, and with the last one the table, the unit and all files.
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
    description: Shows each file's text, and the loaded table when only that differs.
"""

EXAMPLES = r"""
- name: Let the agents reach the broker
  aztec_ops.prover.port_guard:
    section: prover_broker
    ports:
      - port: 8080
        sources: [10.0.0.11, 10.0.0.12, "fd00:10::/64"]
      - port: 8880
    bridges: [aztec0]

- name: Take the broker's section away
  aztec_ops.prover.port_guard:
    section: prover_broker
    state: absent
"""

RETURN = r"""
table:
  description: Text of the whole table as rendered, empty when no section is left.
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
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aztec_ops.prover.plugins.module_utils import nft as guard

Run = Callable[[list], tuple[int, str, str]]


class Failed(Exception):
    """What stops the module; its text is the error line."""


class Host:
    """The guard on one host: its files below `root`, the kernel's table, the unit.

    `run` takes a command and gives its exit code, output and errors. `nft` is the program's path, or None where it is
    not installed. With `systemd` False the table is loaded by nft itself and nothing is asked of systemctl: so a test
    can work in a network namespace of its own, which shares the machine's systemd.
    """

    def __init__(self, run: Run, nft: str | None, root: str = "/", systemd: bool = True, check: bool = False) -> None:
        self.run = run
        self.nft = nft
        self.root = Path(root)
        self.systemd = systemd
        self.check = check
        self.actions: list[str] = []
        self.diff: list[dict] = []

    def path(self, name: str) -> Path:
        """Give where a file of the host is."""
        return self.root / name.lstrip("/")

    def command(self, *command: str) -> str:
        """Run a command that has to succeed and give its output."""
        code, output, errors = self.run(list(command))
        if code:
            raise Failed(f"{' '.join(command)} failed on this host: {' '.join((errors or output).split())}")
        return output

    # What is there

    def read(self, name: str) -> str:
        """Give a file's text, empty when there is none."""
        try:
            return self.path(name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def sections(self, leave_out: str) -> list[guard.Section]:
        """Give the sections that earlier calls left, without the one that this call states."""
        found = []
        for path in sorted(self.path(guard.DIRECTORY).glob("*.json")):
            if path.stem == leave_out:
                continue
            try:
                found.append(guard.section_from_text(path.stem, path.read_text(encoding="utf-8")))
            except ValueError as error:
                raise Failed(f"{path} is damaged ({error}): delete it and run the role of {path.stem} again") from error
        return found

    def loaded(self) -> str:
        """Give the table as the kernel has it, counters left out, empty when it is not loaded."""
        if not self.nft:
            return ""
        code, output, _errors = self.run([self.nft, "--stateless", "list", "table", "inet", guard.TABLE])
        return "" if code else output

    def listing_of(self, text: str) -> str:
        """Give how the kernel would list a table text.

        Loaded into a network namespace that ends with the command: nothing else tells how this host's nft writes a
        table, and a text that it refuses is refused before anything is changed.
        """
        if not (self.nft and text):
            return ""
        with tempfile.NamedTemporaryFile("w", suffix=".nft", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            script = 'set -e; "$1" -f "$2"; "$1" --stateless list table inet "$3"'
            return self.command("unshare", "--net", "sh", "-c", script, "sh", self.nft, file.name, guard.TABLE)

    def unit_state(self) -> dict[str, str]:
        """Give systemd's view of the unit; NeedDaemonReload is yes too when a drop-in waits for a daemon-reload."""
        if not self.systemd:
            return {}
        properties = "ActiveState,UnitFileState,NeedDaemonReload"
        # The blocks come in the order of the units, with an empty line between them.
        output = self.command("systemctl", "show", "--property", properties, guard.UNIT, *guard.NEIGHBOURS)
        own, *others = (dict(line.split("=", 1) for line in block.splitlines()) for block in output.split("\n\n"))
        if any(other.get("NeedDaemonReload") == "yes" for other in others):
            own["NeedDaemonReload"] = "yes"
        return own

    # What is done

    def act(self, line: str, *command: str) -> None:
        """Note an action and, outside check mode, run its command."""
        self.actions.append(line)
        if command and not self.check:
            self.command(*command)

    def write(self, name: str, text: str) -> bool:
        """Bring a file to a text, or away when the text is empty; give whether that changed it."""
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
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        return True

    def remove_directory(self, name: str) -> None:
        """Remove a directory if it is there and empty."""
        path = self.path(name)
        if path.is_dir() and not self.check and not any(path.iterdir()):
            path.rmdir()

    def write_units(self, texts: dict[str, str]) -> None:
        """Bring the unit and the drop-ins to their texts, in that order, and let systemd know of a change."""
        changed = [self.write(name, text) for name, text in texts.items()]
        for name in (guard.NFTABLES_FILE, guard.DOCKER_FILE):
            if not texts[name]:
                self.remove_directory(os.path.dirname(name))
        # A run that broke off between the write and the reload left NeedDaemonReload for this one.
        stale = self.unit_state().get("NeedDaemonReload") == "yes"
        if self.systemd and (any(changed) or stale):
            self.act("reload systemd", "systemctl", "daemon-reload")

    def apply(self, section: guard.Section, present: bool) -> tuple[str, list[str]]:
        """Bring the host to the section, or to its absence; give the table's text and the sections' names."""
        with self.locked():
            sections = self.sections(leave_out=section.name)
            if present:
                sections = sorted([*sections, section], key=lambda item: item.name)
            if not sections:
                self.take_away(section)
                return "", []
            return self.put(section, sections, present), [item.name for item in sections]

    def put(self, section: guard.Section, sections: list[guard.Section], present: bool) -> str:
        """Bring files, units and the kernel to the sections; give the table's text."""
        if not (self.nft or self.check):
            raise Failed("nft is not installed on this host: install the package nftables")
        text = guard.table(sections)
        wanted, loaded = self.listing_of(text), self.loaded()
        self.write(f"{guard.DIRECTORY}/{section.name}.json", guard.section_to_text(section) if present else "")
        rewritten = self.write(guard.TABLE_FILE, text)
        nft = self.nft or "/usr/sbin/nft"
        required = any(item.required_by_docker for item in sections)
        self.write_units(
            {
                guard.UNIT_FILE: guard.unit(nft),
                guard.NFTABLES_FILE: guard.nftables_drop_in(nft),
                guard.DOCKER_FILE: guard.docker_drop_in(nft) if required else "",
            }
        )
        if wanted != loaded and not rewritten:
            self.diff.append({"before_header": "loaded", "after_header": "loaded", "before": loaded, "after": wanted})
        self.load(reload=wanted != loaded or not self.nft)
        if not self.check and self.loaded() != wanted:
            raise Failed(
                f"table inet {guard.TABLE} was loaded but differs from {guard.TABLE_FILE}: see what else writes to it"
            )
        return text

    def load(self, reload: bool) -> None:
        """Enable the unit and load the table through it where the kernel has another or the unit is not active."""
        if not self.systemd:
            if reload:
                self.act("load the table", str(self.nft), "-f", str(self.path(guard.TABLE_FILE)))
            return
        state = self.unit_state()
        if state.get("UnitFileState") != "enabled":
            self.act("enable the unit", "systemctl", "enable", "--quiet", guard.UNIT)
        if state.get("ActiveState") != "active":
            self.act("load the table", "systemctl", "start", guard.UNIT)
        elif reload:
            self.act("load the table", "systemctl", "reload", guard.UNIT)

    def take_away(self, section: guard.Section) -> None:
        """Leave nothing of the guard on the host: as it was found."""
        state = self.unit_state()
        if state.get("UnitFileState") == "enabled":
            self.act("disable the unit", "systemctl", "disable", "--quiet", guard.UNIT)
        stops = state.get("ActiveState") == "active"
        if stops:
            self.act("stop the unit", "systemctl", "stop", guard.UNIT)
        if self.loaded() and not (stops and self.check):
            self.act("unload the table", str(self.nft), "delete", "table", "inet", guard.TABLE)
        self.write_units(dict.fromkeys((guard.DOCKER_FILE, guard.NFTABLES_FILE, guard.UNIT_FILE), ""))
        self.write(guard.TABLE_FILE, "")
        self.write(f"{guard.DIRECTORY}/{section.name}.json", "")
        self.remove_directory(guard.DIRECTORY)

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
    }
    module = AnsibleModule(
        argument_spec={
            "section": {"type": "str", "required": True},
            "ports": {"type": "list", "elements": "dict", "options": port, "default": []},
            "bridges": {"type": "list", "elements": "str", "default": []},
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
        section = guard.section_of(wanted["section"], wanted["ports"], wanted["bridges"], wanted["required_by_docker"])
        text, sections = host.apply(section, present=wanted["state"] == "present")
    except (guard.Refused, Failed, OSError) as error:
        module.fail_json(msg=str(error), actions=host.actions)
    module.exit_json(changed=bool(host.actions), table=text, sections=sections, actions=host.actions, diff=host.diff)


if __name__ == "__main__":
    main()
