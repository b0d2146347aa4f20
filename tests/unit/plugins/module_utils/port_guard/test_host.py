# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The port guard is applied on a host, with given responses of nft, systemctl and the daemon."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import daemon as guard_daemon
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import host as guard_host
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import nft as guard
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.host import Failed, Host, Service

BROKER = guard.section_of("prover_broker", [{"port": 8080, "sources": ["10.0.0.11"]}], ["aztec0"])
NODE = guard.section_of("prover_node", [{"port": 8880}], ["aztec0"], required_by_docker=False)
PID = 7


class Machine:
    """Respond to commands as a host where systemd starts the daemon and the daemon loads the file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "etc").mkdir(parents=True)
        self.active, self.enabled, self.stale, self.refuses = "inactive", "", "", ""
        # What the kernel has and who owns it, what the daemon loaded, the program that it runs.
        self.owners: dict[str, int] = {}
        self.text: str | None = None
        self.program = ""
        self.intact, self.answers, self.loads = True, True, True
        self.commands: list[list[str]] = []

    def file(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def load(self) -> None:
        """Load the file, as the daemon does."""
        if self.loads:
            self.text, self.intact = self.file(guard.TABLE_FILE).read_text(), True
            self.owners = dict.fromkeys(guard_daemon.FAMILIES, PID)

    def state(self) -> dict | None:
        """Return what the daemon answers."""
        if self.text is None or not self.answers:
            return None
        found = {"pid": PID, "mechanism": "owner", "intact": self.intact}
        return {**found, "program": guard_daemon.digest(self.program), "digest": guard_daemon.digest(self.text)}

    def run(self, command: list) -> tuple[int, str, str]:
        self.commands.append(command)
        if command[0] == "unshare":
            assert Path(command[-1]).read_text().startswith("add table inet aztec_prover\nadd table bridge")
            return (1, "", self.refuses) if self.refuses else (0, "", "")
        if command[0] == "nft":
            assert command[1] == "; ".join(f"delete table {family} aztec_prover" for family in self.owners)
            self.owners = {}
            return 0, "", ""
        verb = command[1]
        if verb == "show":
            return 0, "\n".join(self.properties(unit) for unit in command[4:]), ""
        if verb == "restart":
            self.active, self.answers = "active", True
            self.program = self.file(guard.PROGRAM_FILE).read_text()
            self.load()
        elif verb == "reload":
            self.load()
        elif verb == "stop":
            self.active, self.text, self.owners = "inactive", None, dict.fromkeys(self.owners, 0)
        elif verb == "daemon-reload":
            self.stale = ""
        else:
            self.enabled = {"enable": "enabled", "disable": "disabled"}[verb]
        return 0, "", ""

    def properties(self, unit: str) -> str:
        """Return what systemctl shows of a unit."""
        own = unit == guard.UNIT
        return (
            f"ActiveState={self.active if own else 'inactive'}\n"
            f"UnitFileState={self.enabled if own else ''}\n"
            f"NeedDaemonReload={'yes' if unit == self.stale else 'no'}\n"
        )

    def host(self, nft: str | None = "nft", check: bool = False, run=None) -> Host:
        """Return the host, whose daemon and kernel are this machine's."""
        host = Host(run or self.run, nft=nft, root=str(self.root), check=check)
        host.service = Local(host.command, self)
        return host

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())


class Local(Service):
    """Return the unit from the machine's systemctl, and daemon and kernel from the machine's state."""

    def __init__(self, command, machine: Machine) -> None:
        super().__init__(command)
        self.machine = machine

    def state(self) -> dict | None:
        return self.machine.state()

    def owners(self) -> dict[str, int]:
        return self.machine.owners


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(guard_host, "START_TIMEOUT", 0)
    return Machine(tmp_path / "root")


def test_first_section(machine: Machine) -> None:
    host = machine.host()
    text, sections = host.apply(BROKER, present=True)
    assert (text, sections) == (machine.text, ["prover_broker"])
    assert text == guard.table([BROKER])
    assert host.actions == [
        "write /etc/aztec-port-guard/prover_broker.json",
        "write /etc/aztec-port-guard/table.nft",
        "write /usr/local/lib/aztec-port-guard/daemon.py",
        "write /etc/systemd/system/aztec-port-guard.service",
        "write /etc/systemd/system/docker.service.d/aztec-port-guard.conf",
        "reload systemd",
        "enable the unit",
        "start the guard",
    ]
    assert machine.program == inspect.getsource(guard_daemon)
    assert [command[:2] for command in machine.commands if command[1] != "show"] == [
        ["unshare", "--net"],
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable"],
        ["systemctl", "restart"],
    ]


@pytest.mark.parametrize(("there", "python"), [(True, "/usr/bin/python3"), (False, "/opt/venv/bin/python")])
def test_the_system_s_python_runs_the_daemon(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: bool, python: str
) -> None:
    system = "/usr/bin/python3" if there else str(tmp_path / "python3")
    monkeypatch.setattr(guard_host, "SYSTEM_PYTHON", system)
    monkeypatch.setattr(guard_host.sys, "executable", "/opt/venv/bin/python")
    machine.host().apply(BROKER, present=True)
    assert machine.file(guard.UNIT_FILE).read_text() == guard.unit(python)


def test_no_change(machine: Machine) -> None:
    machine.host().apply(BROKER, present=True)
    machine.commands.clear()
    again = machine.host()
    assert again.apply(BROKER, present=True) == (machine.text, ["prover_broker"])
    assert (again.actions, again.diff) == ([], [])
    assert {tuple(command[:2]) for command in machine.commands} == {("systemctl", "show")}


@pytest.mark.parametrize(
    ("harm", "actions"),
    [
        pytest.param({"intact": False}, ["load the rules"], id="changed"),
        pytest.param({"text": "another"}, ["load the rules"], id="older_rules"),
        pytest.param({"active": "inactive", "text": None}, ["start the guard"], id="stopped"),
        pytest.param({"active": "failed", "text": None}, ["start the guard"], id="failed"),
        pytest.param({"active": "activating", "text": None}, ["start the guard"], id="waits_for_its_next_start"),
        pytest.param({"answers": False}, ["restart the guard"], id="silent"),
        pytest.param({"program": "older"}, ["restart the guard"], id="runs_another_program"),
        pytest.param({"enabled": "disabled"}, ["enable the unit"], id="disabled"),
        pytest.param({"stale": guard.UNIT}, ["reload systemd"], id="interrupted_before_daemon_reload"),
        pytest.param({"stale": "docker.service"}, ["reload systemd"], id="interrupted_after_a_drop_in"),
    ],
)
def test_what_was_harmed_is_corrected(machine: Machine, harm: dict, actions: list[str]) -> None:
    text, _sections = machine.host().apply(BROKER, present=True)
    vars(machine).update(harm)
    again = machine.host()
    again.apply(BROKER, present=True)
    assert again.actions == actions
    assert (machine.text, machine.intact, machine.active) == (text, True, "active")


@pytest.mark.parametrize(
    ("name", "actions"),
    [
        (guard.TABLE_FILE, []),
        (guard.PROGRAM_FILE, ["restart the guard"]),
        (guard.UNIT_FILE, ["reload systemd", "restart the guard"]),
        (guard.DOCKER_FILE, ["reload systemd"]),
    ],
)
@pytest.mark.parametrize("harm", [lambda path: path.write_text("another"), Path.unlink], ids=["changed", "removed"])
def test_files_are_written_again(machine: Machine, harm, name: str, actions: list[str]) -> None:
    machine.host().apply(BROKER, present=True)
    files = machine.files()
    harm(machine.file(name))
    again = machine.host()
    again.apply(BROKER, present=True)
    assert again.actions == [f"write {name}", *actions]
    assert machine.files() == files


def test_a_change_of_sources_does_not_reload_systemd(machine: Machine) -> None:
    machine.host().apply(BROKER, present=True)
    again = machine.host()
    more = guard.section_of("prover_broker", [{"port": 8080, "sources": ["10.0.0.11", "10.0.0.14"]}], ["aztec0"])
    again.apply(more, present=True)
    assert [line for line in again.actions if not line.startswith("write")] == ["load the rules"]
    assert "10.0.0.14" in machine.text


def test_rules_that_do_not_arrive_in_the_kernel(machine: Machine) -> None:
    machine.loads = False
    with pytest.raises(Failed, match=r"does not load /etc/aztec-port-guard/table.nft: see journalctl -u aztec-port-"):
        machine.host().apply(BROKER, present=True)


def test_a_daemon_that_loads_after_a_while(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            machine.loads = True
            machine.load()

    monkeypatch.setattr(guard_host, "START_TIMEOUT", 10)
    monkeypatch.setattr(guard_host.time, "sleep", wait)
    machine.loads = False
    machine.host().apply(BROKER, present=True)
    assert len(waits) == 3


@pytest.mark.parametrize(
    ("sections", "there"),
    [([NODE], False), ([BROKER], True), ([BROKER, NODE], True), ([NODE, BROKER], True)],
)
def test_docker_waits_as_long_as_one_section_queries_for_it(
    machine: Machine, sections: list[guard.Section], there: bool
) -> None:
    for section in sections:
        machine.host().apply(section, present=True)
    assert machine.file(guard.DOCKER_FILE).exists() is there


def test_sections_are_removed_one_by_one(machine: Machine) -> None:
    machine.host().apply(BROKER, present=True)
    machine.host().apply(NODE, present=True)
    text, sections = machine.host().apply(BROKER, present=False)
    assert sections == ["prover_node"] and "8080" not in text
    assert text == machine.text
    assert not machine.file(guard.DOCKER_FILE).parent.exists()
    last = machine.host()
    text, sections = last.apply(NODE, present=False)
    assert last.actions == [
        "disable the unit",
        "stop the guard",
        "remove the tables",
        "remove /etc/systemd/system/aztec-port-guard.service",
        "remove /usr/local/lib/aztec-port-guard/daemon.py",
        "reload systemd",
        "remove /etc/aztec-port-guard/table.nft",
        "remove /etc/aztec-port-guard/prover_node.json",
    ]
    assert (text, sections, machine.text, machine.owners, machine.files()) == ("", [], None, {}, [])
    assert (machine.active, machine.enabled) == ("inactive", "disabled")
    assert not machine.file(guard.DIRECTORY).exists() and not machine.file(guard.PROGRAM_FILE).parent.exists()
    again = machine.host()
    again.apply(NODE, present=False)
    assert again.actions == []


@pytest.mark.parametrize("active", ["failed", "activating"])
def test_a_guard_that_does_not_run_is_removed(machine: Machine, active: str) -> None:
    machine.host().apply(BROKER, present=True)
    machine.active = active
    host = machine.host()
    host.apply(BROKER, present=False)
    assert "stop the guard" in host.actions
    assert (machine.owners, machine.files()) == ({}, [])


def test_one_table_that_is_left_is_removed(machine: Machine) -> None:
    machine.host().apply(BROKER, present=True)
    machine.owners = {"bridge": 0}
    machine.host().apply(BROKER, present=False)
    assert ["nft", "delete table bridge aztec_prover"] in machine.commands


@pytest.mark.parametrize("changes", [{"owners": {}}, {"nft": None}], ids=["no_tables", "no_nft"])
def test_tables_that_cannot_be_removed_are_left_out(machine: Machine, changes: dict) -> None:
    machine.host().apply(BROKER, present=True)
    machine.owners = changes.get("owners", machine.owners)
    host = machine.host(nft=changes.get("nft", "nft"))
    host.apply(BROKER, present=False)
    assert "remove the tables" not in host.actions
    assert machine.files() == []


def test_a_guard_whose_unit_was_deleted_is_removed(machine: Machine) -> None:
    machine.host().apply(BROKER, present=True)
    machine.file(guard.UNIT_FILE).unlink()
    machine.host().apply(BROKER, present=False)
    assert (machine.active, machine.owners, machine.files()) == ("inactive", {}, [])


def test_tables_of_somebody_else_are_not_removed(machine: Machine) -> None:
    machine.owners = {"inet": 0}
    host = machine.host()
    host.apply(BROKER, present=False)
    assert (host.actions, machine.owners) == ([], {"inet": 0})


@pytest.mark.parametrize("name", [guard.DOCKER_FILE, guard.PROGRAM_FILE])
def test_a_directory_with_other_files_stays(machine: Machine, name: str) -> None:
    other = machine.file(name).with_name("other.conf")
    other.parent.mkdir(parents=True)
    other.write_text("[Service]\n")
    machine.host().apply(BROKER, present=True)
    machine.host().apply(BROKER, present=False)
    assert machine.files() == [str(other.relative_to(machine.root))]


@pytest.mark.parametrize("nft", ["nft", None], ids=["nft", "no_nft"])
def test_check_mode_predicts_and_does_nothing(machine: Machine, nft: str | None) -> None:
    host = machine.host(nft=nft, check=True)
    text, sections = host.apply(BROKER, present=True)
    assert (text, sections) == (guard.table([BROKER]), ["prover_broker"])
    predicted = host.actions
    assert (machine.files(), machine.text, machine.enabled) == ([], None, "")
    assert {command[0] for command in machine.commands} == ({"systemctl", "unshare"} if nft else {"systemctl"})
    assert all(command[1] == "show" for command in machine.commands if command[0] == "systemctl")
    real = machine.host()
    real.apply(BROKER, present=True)
    assert predicted == real.actions


def test_check_mode_of_a_change(machine: Machine) -> None:
    machine.host().apply(BROKER, present=True)
    before = machine.text
    host = machine.host(check=True)
    host.apply(NODE, present=True)
    assert host.actions == [
        "write /etc/aztec-port-guard/prover_node.json",
        "write /etc/aztec-port-guard/table.nft",
        "load the rules",
    ]
    assert machine.text == before


def test_check_mode_of_the_last_removal(machine: Machine) -> None:
    machine.host().apply(BROKER, present=True)
    host = machine.host(check=True)
    host.apply(BROKER, present=False)
    predicted = host.actions
    assert machine.text and machine.owners and machine.active == "active"
    real = machine.host()
    real.apply(BROKER, present=False)
    assert predicted == real.actions


def test_without_nft_nothing_is_written(machine: Machine) -> None:
    with pytest.raises(Failed, match="install the package nftables"):
        machine.host(nft=None).apply(BROKER, present=True)
    assert machine.files() == []


def test_rules_that_nft_refuses_change_nothing(machine: Machine) -> None:
    machine.refuses = "syntax\n error"
    with pytest.raises(Failed, match=r"^unshare --net nft -f \S+ failed on this host: syntax error$"):
        machine.host().apply(BROKER, present=True)
    assert machine.files() == []


@pytest.mark.parametrize(
    ("owners", "line"),
    [
        ({"inet": 0}, "table inet aztec_prover exists and was not created by this module: remove it with nft delete "
         "table inet aztec_prover, and from /etc/nftables.conf if it is there"),
        ({"bridge": 0}, "table bridge aztec_prover exists and was not created by this module: remove it with nft "
         "delete table bridge aztec_prover, and from /etc/nftables.conf if it is there"),
        ({"inet": 9, "bridge": 9}, "table inet aztec_prover belongs to process 9, which is not the guard: end that "
         "process"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("check", [False, True], ids=["run", "check"])
def test_tables_of_somebody_else(machine: Machine, owners: dict, line: str, check: bool) -> None:
    machine.owners = owners
    with pytest.raises(Failed) as refused:
        machine.host(check=check).apply(BROKER, present=True)
    assert str(refused.value) == line
    assert (machine.files(), machine.owners) == ([], owners)


OLD = '{"bridges": [], "ports": [], "required_by_docker": true}'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param(OLD, "was written by another version of the collection (1, this one writes 2)", id="version"),
        pytest.param(guard.section_to_text(NODE) + " ", "was changed by another program", id="changed"),
        pytest.param("{", "is damaged (Expecting", id="cut_off"),
    ],
)
def test_a_section_of_another_that_cannot_be_read(machine: Machine, text: str, line: str) -> None:
    path = machine.file(f"{guard.DIRECTORY}/prover_node.json")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(Failed) as refused:
        machine.host().apply(BROKER, present=True)
    assert str(refused.value).startswith(f"{path} {line}")
    assert str(refused.value).endswith(": delete it and run the role of prover_node again")
    machine.host().apply(NODE, present=True)
    assert path.read_text() == guard.section_to_text(NODE)


@pytest.mark.parametrize("breaks_at", ["daemon-reload", "enable", "restart"])
def test_a_run_that_was_interrupted_is_finished_by_the_next(machine: Machine, breaks_at: str) -> None:
    whole = machine.run

    def breaks(command: list) -> tuple[int, str, str]:
        if breaks_at in command:
            machine.stale = guard.UNIT if breaks_at == "daemon-reload" else machine.stale
            return 1, "", "killed"
        return whole(command)

    with pytest.raises(Failed, match="killed"):
        machine.host(run=breaks).apply(BROKER, present=True)
    machine.host().apply(BROKER, present=True)
    assert (machine.active, machine.enabled, machine.stale) == ("active", "enabled", "")
    assert machine.text == machine.file(guard.TABLE_FILE).read_text()
    last = machine.host()
    last.apply(BROKER, present=True)
    assert last.actions == []


def test_diff_shows_the_rules(machine: Machine) -> None:
    host = machine.host()
    host.apply(BROKER, present=True)
    (table,) = [part for part in host.diff if part["after_header"] == guard.TABLE_FILE]
    assert table["before"] == "" and "10.0.0.11" in table["after"]


def test_files_are_readable_and_not_writable_by_others(machine: Machine) -> None:
    machine.host().apply(BROKER, present=True)
    assert {machine.file(name).stat().st_mode & 0o777 for name in machine.files()} == {0o644}
    assert not [name for name in machine.files() if name.rsplit("/", 1)[1].startswith(".")]


def test_the_drop_in_has_the_path_of_nft(machine: Machine) -> None:
    machine.host(nft="/opt/nft").apply(BROKER, present=True)
    assert machine.file(guard.DOCKER_FILE).read_text() == guard.docker_drop_in("/opt/nft")
    host = machine.host(nft=None, check=True)
    host.apply(BROKER, present=True)
    assert host.diff[-1]["after"] == guard.docker_drop_in("/usr/sbin/nft")


def test_a_host_changes_things_and_has_a_service_of_its_own() -> None:
    service = Service(print)
    assert Host(print, nft=None, service=service).service is service
    host = Host(lambda command: (0, "", ""), nft=None)
    assert (host.check, type(host.service)) == (False, Service)


def test_owners_are_those_of_the_tables_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_daemon, "owner_of", {"inet": None, "bridge": 0}.__getitem__)
    assert Service(print).owners() == {"bridge": 0}
    monkeypatch.setattr(guard_daemon, "owner_of", {"inet": 7, "bridge": 9}.__getitem__)
    assert Service(print).owners() == {"inet": 7, "bridge": 9}


def test_the_daemon_is_queried_for_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_daemon, "send_command", {"state": {"pid": 7}}.__getitem__)
    assert Service(print).state() == {"pid": 7}


def test_a_source_that_is_taken_off_the_list_is_remembered(machine: Machine) -> None:
    def sources(*sources: str) -> str:
        section = guard.section_of("prover_broker", [{"port": 8080, "sources": list(sources)}], ["aztec0"])
        text, _names = machine.host().apply(section, present=True)
        host = machine.host()
        assert host.apply(section, present=True) == (text, ["prover_broker"])
        assert host.actions == []
        return text

    sources("10.0.0.11", "10.0.0.13")
    assert "elements = { 10.0.0.13 }" in sources("10.0.0.11")
    kept = machine.file(f"{guard.DIRECTORY}/prover_broker.json").read_text()
    assert '"removed": [\n        "10.0.0.13"\n      ]' in kept
    assert "removed" not in sources("10.0.0.11", "10.0.0.13")


def test_a_call_that_does_not_know_all_sources_takes_none_off(machine: Machine) -> None:
    def kept(*sources: str, keep: bool) -> list[str]:
        section = guard.section_of("prover_broker", [{"port": 8080, "sources": list(sources)}], ["aztec0"])
        machine.host().apply(section, present=True, keep_existing=keep)
        host = machine.host()
        host.apply(section, present=True, keep_existing=keep)
        assert host.actions == []
        return json.loads(machine.file(f"{guard.DIRECTORY}/prover_broker.json").read_text())["ports"][0]["sources"]

    # Nothing is there yet.
    assert kept("10.0.0.11", keep=True) == ["10.0.0.11"]
    assert kept("10.0.0.11", "10.0.0.13", keep=False) == ["10.0.0.11", "10.0.0.13"]
    assert kept("10.0.0.11", "10.0.0.15", keep=True) == ["10.0.0.11", "10.0.0.13", "10.0.0.15"]
    assert kept("10.0.0.11", "10.0.0.15", keep=False) == ["10.0.0.11", "10.0.0.15"]


def test_a_section_that_cannot_be_read_is_not_replaced_where_its_sources_must_be_kept(machine: Machine) -> None:
    machine.host().apply(BROKER, present=True)
    machine.file(f"{guard.DIRECTORY}/prover_broker.json").write_text("x")
    host = machine.host()
    with pytest.raises(Failed, match=r"prover_broker\.json cannot be read, but its sources must be kept: "):
        host.apply(BROKER, present=True, keep_existing=True)
    assert host.actions == []


def test_a_section_that_cannot_be_read_remembers_nothing(machine: Machine) -> None:
    machine.host().apply(BROKER, present=True)
    machine.file(f"{guard.DIRECTORY}/prover_broker.json").write_text("x")
    text, _names = machine.host().apply(guard.section_of("prover_broker", [{"port": 8080}], ["aztec0"]), present=True)
    assert "removed" not in text
