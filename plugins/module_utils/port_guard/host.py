# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply sections of the port guard on a host."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.files import write_atomically
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import daemon as guard_daemon
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import nft as guard
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import plan

# Seconds to wait for the daemon to respond after it starts.
START_TIMEOUT = 10
SYSTEM_PYTHON = "/usr/bin/python3"
# Where a module searches for nft in addition to PATH.
NFT_DIRECTORIES = ("/usr/sbin", "/sbin")
# The verb of systemctl for each action of the unit. `restart` also starts a unit that waits for its next automatic
# restart.
VERBS = {plan.ENABLE: "enable", plan.START: "restart", plan.RESTART: "restart", plan.LOAD: "reload"}


def python_path() -> str:
    """Return the path of the interpreter that runs the daemon on this host."""
    return SYSTEM_PYTHON if Path(SYSTEM_PYTHON).exists() else sys.executable


class Failed(Exception):
    """An error that ends the module. The text is its message."""


class Service:
    """The guard's unit, over systemctl, and its daemon, over its control socket."""

    def __init__(self, command: Callable) -> None:
        self.command = command

    def properties(self) -> dict[str, str]:
        """Return systemd's properties of the unit. NeedDaemonReload also covers the drop-in of docker.service.

        Properties that systemctl does not print are absent. Raise Failed where it fails.
        """
        names = "ActiveState,UnitFileState,NeedDaemonReload"
        # One block for each unit, separated by an empty line.
        output = self.command("systemctl", "show", "--property", names, guard.UNIT, "docker.service")
        own, *others = (
            dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in output.split("\n\n")
        )
        if any(other.get("NeedDaemonReload") == "yes" for other in others):
            own["NeedDaemonReload"] = "yes"
        return own

    def do(self, verb: str) -> None:
        """Start, stop, restart, reload, enable or disable the unit."""
        self.command("systemctl", verb, "--quiet", guard.UNIT)

    def daemon_reload(self) -> None:
        """Reload systemd's unit files."""
        self.command("systemctl", "daemon-reload")

    def state(self) -> dict | None:
        """Return the daemon's state of the tables, None where no daemon responds."""
        return guard_daemon.send_command("state")

    def owners(self) -> dict[str, int]:
        """Return the PID of the owner of each existing table by family, 0 for none."""
        found = {family: guard_daemon.owner_of(family) for family in guard_daemon.FAMILIES}
        return {family: pid for family, pid in found.items() if pid is not None}


class Host:
    """The guard on one host: its files below root, the tables in the kernel, and the unit.

    run: runs a command and returns exit code, output and errors. nft: path of the program, None where it is not
    installed. service: systemd and the daemon, which tests in a network namespace replace.
    """

    def __init__(
        self, run: Callable, nft: str | None, root: str = "/", check: bool = False, service: Service | None = None
    ) -> None:
        self.run = run
        self.nft = nft
        self.root = Path(root)
        self.check = check
        self.service = service or Service(self.command)
        self.actions: list[str] = []
        self.diff: list[dict] = []

    def path(self, name: str) -> Path:
        """Return the path of a file on the host."""
        return self.root / name.lstrip("/")

    def command(self, *command: str) -> str:
        """Run a command and return its output. Raise Failed where it fails."""
        code, output, errors = self.run(list(command))
        if code:
            raise Failed(f"{' '.join(command)} failed on this host: {' '.join((errors or output).split())}")
        return output

    def read_bytes(self, name: str) -> bytes | None:
        """Return the content of a file, None where it does not exist."""
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:
            return None

    def read(self, name: str) -> str:
        """Return the text of a file without translating line ends, '' where it does not exist."""
        return (self.read_bytes(name) or b"").decode("utf-8", "replace")

    def digest(self, name: str) -> str | None:
        """Return the SHA-256 digest of a file, None where it does not exist."""
        content = self.read_bytes(name)
        return None if content is None else hashlib.sha256(content).hexdigest()

    def section_texts(self) -> dict[str, str]:
        """Return the text of each section's file by the section's name, in the order of the names."""
        names = sorted(path.stem for path in self.path(guard.DIRECTORY).glob("*.json"))
        contents = {name: self.read_bytes(plan.section_file(name)) for name in names}
        # host_info reads without the lock: a file can be removed meanwhile.
        return {name: content.decode("utf-8", "replace") for name, content in contents.items() if content is not None}

    def other_sections(self, name: str) -> list[guard.Section]:
        """Return the sections on the host except the named one."""
        found = []
        for other, text in self.section_texts().items():
            if other == name:
                continue
            try:
                found.append(guard.section_from_text(other, text))
            except ValueError as error:
                path = self.path(plan.section_file(other))
                raise Failed(f"{path} {error}: delete it and run the role of {other} again") from error
        return found

    def check_text(self, text: str) -> None:
        """Raise Failed for rules that this host's nft rejects.

        Load them into a network namespace that ends with the command, before anything is changed.
        """
        if not self.nft:
            return
        with tempfile.NamedTemporaryFile("w", suffix=".nft", encoding="utf-8") as file:
            file.write(guard.standalone(text))
            file.flush()
            self.command("unshare", "--net", self.nft, "-f", file.name)

    def installed(self) -> bool:
        """Return whether existing tables are those of this module: its unit exists, or its daemon responds."""
        return self.path(guard.UNIT_FILE).exists() or self.service.state() is not None

    def check_tables(self) -> None:
        """Raise Failed where tables exist that this module did not create."""
        if not self.nft or self.installed():
            return
        owners = self.service.owners()
        for family, pid in owners.items():
            table = f"table {family} {guard.TABLE}"
            if pid:
                raise Failed(f"{table} belongs to process {pid}, which is not the guard: end that process")
            raise Failed(
                f"{table} exists and was not created by this module: remove it with nft delete {table}, and from "
                "/etc/nftables.conf if it is there"
            )

    def act(self, line: str, action: Callable | None = None, *arguments: str) -> None:
        """Record an action and, outside check mode, execute it."""
        self.actions.append(line)
        if action and not self.check:
            action(*arguments)

    def write(self, name: str, text: str) -> bool:
        """Write a file, or remove it when the text is empty. Return whether it changed."""
        if not plan.changed_files({name: text}, {name: self.digest(name)}):
            return False
        path = self.path(name)
        self.diff.append({"before_header": name, "after_header": name, "before": self.read(name), "after": text})
        self.act(plan.file_action(name, text))
        if text and not self.check:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            write_atomically(path, text, 0o644)
        elif not self.check:
            path.unlink()
        return True

    def remove_directory(self, name: str) -> None:
        """Remove a directory if it exists and is empty."""
        path = self.path(name)
        if path.is_dir() and not self.check and not any(path.iterdir()):
            path.rmdir()

    def write_files(self, texts: dict[str, str]) -> list[str]:
        """Write the files, in the order of texts, and reload systemd. Return the paths of those that changed."""
        changed = [name for name, text in texts.items() if self.write(name, text)]
        for name in (guard.DOCKER_FILE, guard.PROGRAM_FILE):
            if not texts[name]:
                self.remove_directory(os.path.dirname(name))
        if plan.must_reload_systemd(changed, self.service.properties()):
            self.act(plan.RELOAD_SYSTEMD, self.service.daemon_reload)
        return changed

    def apply(self, section: guard.Section, present: bool, keep_existing: bool = False) -> tuple[str, list[str]]:
        """Apply or remove a section. Return the text of the rules and the names of the sections.

        keep_existing: keep admitting the sources of the section on the host.
        """
        with self.locked():
            path = plan.section_file(section.name)
            before = plan.read_section(section.name, self.read(path))
            if keep_existing and before is None and self.read(path):
                raise Failed(
                    f"{path} cannot be read, but its sources must be kept: correct the agents' addresses that the "
                    "preflight warns about, then run again"
                )
            sections = self.other_sections(section.name)
            if present:
                sections = plan.with_section(section, before, sections, keep_existing)
            if not sections:
                self.remove_guard(section)
                return "", []
            return self.update(section.name, sections), [item.name for item in sections]

    def update(self, name: str, sections: list[guard.Section]) -> str:
        """Write the files and load the rules. Return their text. name: the section that is applied or removed."""
        if not (self.nft or self.check):
            raise Failed("nft is not installed on this host: install the package nftables")
        self.check_tables()
        texts = plan.desired_files(name, sections, python_path(), self.nft)
        text = texts[guard.TABLE_FILE]
        if text != self.read(guard.TABLE_FILE):
            self.check_text(text)
        self.load(texts, self.write_files(texts))
        return text

    def load(self, texts: dict[str, str], changed: list[str]) -> None:
        """Enable the unit, and start, restart or reload the daemon where it does not have the rules.

        texts: plan.desired_files. changed: paths of those that were written.
        """
        actions = plan.load_actions(texts, changed, self.service.properties(), self.service.state())
        for action in actions:
            self.act(action, self.service.do, VERBS[action])
        if self.check or set(actions) <= {plan.ENABLE}:
            return
        deadline = time.monotonic() + START_TIMEOUT
        while not plan.is_loaded(texts[guard.TABLE_FILE], self.service.state()):
            if time.monotonic() > deadline:
                raise Failed(f"the guard does not load {guard.TABLE_FILE}: see journalctl -u {guard.UNIT}")
            time.sleep(0.1)

    def remove_guard(self, section: guard.Section) -> None:
        """Remove the guard from the host."""
        properties, installed = self.service.properties(), self.installed()
        if properties.get("UnitFileState") == "enabled":
            self.act("disable the unit", self.service.do, "disable")
        if properties.get("ActiveState") not in (None, "inactive"):
            self.act("stop the guard", self.service.do, "stop")
        if installed and self.nft and self.service.owners():
            self.act("remove the tables", self.remove_tables)
        self.write_files(dict.fromkeys((guard.DOCKER_FILE, guard.UNIT_FILE, guard.PROGRAM_FILE), ""))
        self.write(guard.TABLE_FILE, "")
        self.write(plan.section_file(section.name), "")
        self.remove_directory(guard.DIRECTORY)

    def remove_tables(self) -> None:
        """Delete the existing tables in one transaction."""
        commands = [f"delete table {family} {guard.TABLE}" for family in self.service.owners()]
        self.command(str(self.nft), "; ".join(commands))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock out other calls: several hosts of a run can delegate to this one. Leave no lock file."""
        handle = os.open(self.path("/etc"), os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
