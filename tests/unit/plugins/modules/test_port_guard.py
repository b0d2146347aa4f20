# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the port guard does on a host, with the answers of nft and systemctl given."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils import nft as guard
from ansible_collections.aztec_ops.prover.plugins.modules.port_guard import Failed, Host

BROKER = guard.section_of("prover_broker", [{"port": 8080, "sources": ["10.0.0.11"]}], ["aztec0"])
NODE = guard.section_of("prover_node", [{"port": 8880}], ["aztec0"], required_by_docker=False)


class Machine:
    """Answers commands as a host does whose nft lists a table just as it was written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "etc").mkdir(parents=True)
        self.table, self.active, self.enabled, self.stale, self.refuses = "", "inactive", "", "", ""
        self.commands: list[list[str]] = []

    def file(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def load(self) -> None:
        self.table = self.file(guard.TABLE_FILE).read_text()

    def run(self, command: list) -> tuple[int, str, str]:
        self.commands.append(command)
        if command[0] == "unshare":
            return (1, "", self.refuses) if self.refuses else (0, Path(command[-2]).read_text(), "")
        if command[0] == "nft":
            if "list" in command:
                return (0, self.table, "") if self.table else (1, "", "No such file or directory")
            self.table = ""
            return 0, "", ""
        verb = command[1]
        if verb == "show":
            blocks = [
                f"ActiveState={self.active if unit == guard.UNIT else 'inactive'}\n"
                f"UnitFileState={self.enabled if unit == guard.UNIT else ''}\n"
                f"NeedDaemonReload={'yes' if unit == self.stale else 'no'}\n"
                for unit in command[4:]
            ]
            return 0, "\n".join(blocks), ""
        if verb in ("start", "reload"):
            self.load()
            self.active = "active"
        elif verb == "stop":
            self.table, self.active = "", "inactive"
        elif verb == "daemon-reload":
            self.stale = ""
        else:
            self.enabled = {"enable": "enabled", "disable": "disabled"}[verb]
        return 0, "", ""

    def host(self, nft: str | None = "nft", check: bool = False) -> Host:
        return Host(self.run, nft=nft, root=str(self.root), check=check)

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "root")


def test_first_section(machine: Machine) -> None:
    host = machine.host()
    text, sections = host.apply(BROKER, present=True)
    assert (text, sections) == (machine.table, ["prover_broker"])
    assert host.actions == [
        "write /etc/aztec-port-guard/prover_broker.json",
        "write /etc/aztec-port-guard/table.nft",
        "write /etc/systemd/system/aztec-port-guard.service",
        "write /etc/systemd/system/nftables.service.d/aztec-port-guard.conf",
        "write /etc/systemd/system/docker.service.d/aztec-port-guard.conf",
        "reload systemd",
        "enable the unit",
        "load the table",
    ]


def test_no_change(machine: Machine) -> None:
    machine.host().apply(BROKER, present=True)
    machine.commands.clear()
    again = machine.host()
    again.apply(BROKER, present=True)
    assert (again.actions, again.diff) == ([], [])
    assert not [command for command in machine.commands if command[:2] == ["systemctl", "daemon-reload"]]


@pytest.mark.parametrize(
    ("harm", "actions"),
    [
        pytest.param({"table": ""}, ["load the table"], id="flushed"),
        pytest.param({"table": "another"}, ["load the table"], id="changed_by_hand"),
        pytest.param({"active": "inactive"}, ["load the table"], id="stopped"),
        pytest.param({"active": "failed", "table": ""}, ["load the table"], id="failed"),
        pytest.param({"enabled": "disabled"}, ["enable the unit"], id="disabled"),
        pytest.param({"stale": guard.UNIT}, ["reload systemd"], id="broken_off_before_daemon_reload"),
        pytest.param({"stale": "docker.service"}, ["reload systemd"], id="broken_off_after_a_drop_in"),
    ],
)
def test_what_was_harmed_is_mended(machine: Machine, harm: dict, actions: list[str]) -> None:
    machine.host().apply(BROKER, present=True)
    vars(machine).update(harm)
    again = machine.host()
    again.apply(BROKER, present=True)
    assert again.actions == actions


def test_a_change_of_sources_does_not_reload_systemd(machine: Machine) -> None:
    machine.host().apply(BROKER, present=True)
    again = machine.host()
    more = guard.section_of("prover_broker", [{"port": 8080, "sources": ["10.0.0.11", "10.0.0.14"]}], ["aztec0"])
    again.apply(more, present=True)
    assert [line for line in again.actions if not line.startswith("write")] == ["load the table"]
    assert "10.0.0.14" in machine.table


@pytest.mark.parametrize(
    ("sections", "there"),
    [([NODE], False), ([BROKER], True), ([BROKER, NODE], True), ([NODE, BROKER], True)],
)
def test_docker_waits_as_long_as_one_section_asks_for_it(
    machine: Machine, sections: list[guard.Section], there: bool
) -> None:
    for section in sections:
        machine.host().apply(section, present=True)
    assert machine.file(guard.DOCKER_FILE).exists() is there


def test_sections_are_taken_away_one_by_one(machine: Machine) -> None:
    machine.host().apply(BROKER, present=True)
    machine.host().apply(NODE, present=True)
    text, sections = machine.host().apply(BROKER, present=False)
    assert sections == ["prover_node"] and "8080" not in text
    assert not machine.file(guard.DOCKER_FILE).parent.exists()
    text, sections = machine.host().apply(NODE, present=False)
    assert (text, sections, machine.table, machine.files()) == ("", [], "", [])
    assert (machine.active, machine.enabled) == ("inactive", "disabled")
    again = machine.host()
    again.apply(NODE, present=False)
    assert again.actions == []


def test_anothers_drop_in_directory_stays(machine: Machine) -> None:
    other = machine.file(guard.DOCKER_FILE).with_name("other.conf")
    other.parent.mkdir(parents=True)
    other.write_text("[Service]\n")
    machine.host().apply(BROKER, present=True)
    machine.host().apply(BROKER, present=False)
    assert machine.files() == ["etc/systemd/system/docker.service.d/other.conf"]


@pytest.mark.parametrize("nft", ["nft", None], ids=["nft", "no_nft"])
def test_check_mode_predicts_and_does_nothing(machine: Machine, nft: str | None) -> None:
    host = machine.host(nft=nft, check=True)
    host.apply(BROKER, present=True)
    assert "load the table" in host.actions
    assert (machine.files(), machine.table, machine.enabled) == ([], "", "")
    assert {command[0] for command in machine.commands} <= {"systemctl", "unshare", "nft"}
    assert all(command[1] == "show" for command in machine.commands if command[0] == "systemctl")


def test_check_mode_of_the_last_removal(machine: Machine) -> None:
    machine.host().apply(BROKER, present=True)
    host = machine.host(check=True)
    host.apply(BROKER, present=False)
    predicted = host.actions
    assert machine.table and machine.active == "active"
    real = machine.host()
    real.apply(BROKER, present=False)
    assert predicted == real.actions


def test_without_nft_nothing_is_written(machine: Machine) -> None:
    with pytest.raises(Failed, match="install the package nftables"):
        machine.host(nft=None).apply(BROKER, present=True)
    assert machine.files() == []


def test_a_table_that_nft_refuses_changes_nothing(machine: Machine) -> None:
    machine.refuses = "syntax\n error"
    with pytest.raises(Failed, match="syntax error"):
        machine.host().apply(BROKER, present=True)
    assert machine.files() == []


@pytest.mark.parametrize("breaks_at", ["daemon-reload", "enable", "start"])
def test_a_run_that_broke_off_is_finished_by_the_next(machine: Machine, breaks_at: str) -> None:
    whole = machine.run

    def breaks(command: list) -> tuple[int, str, str]:
        if breaks_at in command:
            machine.stale = guard.UNIT if breaks_at == "daemon-reload" else machine.stale
            return 1, "", "killed"
        return whole(command)

    with pytest.raises(Failed, match="killed"):
        Host(breaks, nft="nft", root=str(machine.root)).apply(BROKER, present=True)
    machine.host().apply(BROKER, present=True)
    assert (machine.active, machine.enabled, machine.stale) == ("active", "enabled", "")
    assert machine.table == machine.file(guard.TABLE_FILE).read_text()
    last = machine.host()
    last.apply(BROKER, present=True)
    assert last.actions == []


def test_diff_shows_the_rules(machine: Machine) -> None:
    host = machine.host()
    host.apply(BROKER, present=True)
    (table,) = [part for part in host.diff if part["after_header"] == guard.TABLE_FILE]
    assert table["before"] == "" and "10.0.0.11" in table["after"]
