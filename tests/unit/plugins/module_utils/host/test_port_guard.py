# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state of the port guard in host info, with given responses of kernel and daemon."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import port_guard as host_guard
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import daemon as guard_daemon
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import host as guard_host
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import nft

BROKER = nft.section_of("prover_broker", [{"port": 8080, "sources": ["10.0.0.21"]}], ["aztec0"])
NODE = nft.section_of("prover_node", [{"port": 8081, "sources": []}], ["aztec0"])
TEXT = nft.table([BROKER, NODE])
STATE = MappingProxyType(
    {"pid": 7, "mechanism": "owner", "digest": guard_daemon.digest(TEXT), "intact": True, "problem": ""}
)
GONE = {"inet": None, "bridge": None}


def write(root: Path, name: str, text: str) -> Path:
    """Write a file of the host."""
    path = root / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the root of a host on which the guard is as it should be."""
    for section in (NODE, BROKER):
        write(tmp_path, f"{nft.DIRECTORY}/{section.name}.json", nft.section_to_text(section))
    write(tmp_path, nft.TABLE_FILE, TEXT)
    unit = write(tmp_path, nft.UNIT_FILE, nft.unit("python3"))
    link = unit.parent / "sysinit.target.wants" / nft.UNIT
    link.parent.mkdir()
    link.symlink_to(unit)
    return tmp_path


def all_facts(
    root: Path, state: Mapping | None = STATE, owners: dict | None = None, run=None, nft_path: str | None = "/sbin/nft"
) -> dict:
    """Return all facts of the guard; owners: family -> PID, 0 for none, None for no table."""
    seen = owners or {"inet": 7, "bridge": 7}
    run = run or (lambda command: (0, SHOWN.format("no", "no"), ""))
    return host_guard.guard_facts(
        run, root, nft_path, send_command={"state": state}.__getitem__, owner_of=seen.__getitem__
    )


def facts(root: Path, state: Mapping | None = STATE, owners: dict | None = None) -> dict:
    """Return the facts of the guard, without those that guard_actions compares."""
    found = all_facts(root, state, owners)
    assert set(found) == {*WELL, *COMPARED}
    return {name: found[name] for name in WELL}


# What systemctl prints of the guard's unit and of docker.service.
SHOWN = (
    "ActiveState=active\nUnitFileState=enabled\nNeedDaemonReload={}\n\n"
    "ActiveState=inactive\nUnitFileState=\nNeedDaemonReload={}\n"
)
COMPARED = ("section_texts", "files", "unit", "daemon", "nft_path", "python_path")
WELL = {
    "installed": True,
    "enabled": True,
    "loaded": True,
    "owner": "guard",
    "outdated": False,
    "sections": ["prover_broker", "prover_node"],
    "problems": [],
    "saved_rulesets": [],
    "denied": [],
    "table_problem": "",
}


def test_well(root: Path) -> None:
    assert facts(root) == WELL


def test_no_guard(tmp_path: Path) -> None:
    nothing = {"installed": False, "enabled": False, "loaded": False, "owner": "", "sections": []}
    assert facts(tmp_path, None, GONE) == {**WELL, **nothing}


WATCHED = {**STATE, "mechanism": "watch"}


@pytest.mark.parametrize(
    ("state", "owners", "owner", "loaded"),
    [
        pytest.param(STATE, {"inet": 7, "bridge": 7}, "guard", True, id="has_owner"),
        pytest.param(WATCHED, {"inet": 0, "bridge": 0}, "watch", True, id="watched"),
        pytest.param(STATE, GONE, "", False, id="no_table"),
        pytest.param(STATE, {"inet": None, "bridge": 7}, "guard", False, id="inet_missing"),
        pytest.param(STATE, {"inet": 7, "bridge": None}, "guard", False, id="bridge_missing"),
        pytest.param(WATCHED, {"inet": 0, "bridge": None}, "watch", False, id="one_watched"),
        pytest.param(None, {"inet": 0, "bridge": 0}, "none", True, id="ended"),
        pytest.param(STATE, {"inet": 0, "bridge": 0}, "none", True, id="daemon_without_tables"),
        pytest.param(STATE, {"inet": 7, "bridge": 0}, "none", True, id="one_has_owner"),
        pytest.param(None, {"inet": 9, "bridge": 9}, "process 9", True, id="another"),
        pytest.param(STATE, {"inet": 7, "bridge": 9}, "process 9", True, id="one_is_another_s"),
        pytest.param(STATE, {"inet": 12, "bridge": 9}, "process 9", True, id="two_others"),
        pytest.param(STATE, {"inet": 0, "bridge": 9}, "process 9", True, id="another_and_none"),
        pytest.param(WATCHED, {"inet": 9, "bridge": 9}, "process 9", True, id="another_while_watching"),
        pytest.param(WATCHED, {"inet": 0, "bridge": 9}, "process 9", True, id="another_and_watched"),
    ],
)
def test_owner(root: Path, state: dict | None, owners: dict, owner: str, loaded: bool) -> None:
    assert facts(root, state, owners) == {**WELL, "owner": owner, "loaded": loaded}


@pytest.mark.parametrize(("name", "shown"), [("nft\n", "process 9 (nft)"), ("\n", "process 9")])
def test_another_owner_is_named(root: Path, name: str, shown: str) -> None:
    write(root, "proc/9/comm", name)
    assert facts(root, None, {"inet": 9, "bridge": 9})["owner"] == shown


@pytest.mark.parametrize(
    ("state", "outdated"),
    [
        pytest.param(STATE, False, id="fresh"),
        pytest.param(None, False, id="no_daemon"),
        pytest.param({**STATE, "intact": False}, True, id="changed"),
        pytest.param({**STATE, "digest": guard_daemon.digest("")}, True, id="older_rules"),
    ],
)
def test_rules_that_are_loaded(root: Path, state: dict | None, outdated: bool) -> None:
    assert facts(root, state)["outdated"] is outdated


@pytest.mark.parametrize("state", [STATE, None], ids=["daemon", "no_daemon"])
def test_rules_of_other_sections_are_outdated(root: Path, state: dict | None) -> None:
    (root / nft.DIRECTORY.lstrip("/") / "prover_node.json").unlink()
    found = facts(root, state)
    assert (found["sections"], found["outdated"]) == (["prover_broker"], True)


def test_a_missing_file_of_rules_is_outdated(root: Path) -> None:
    (root / nft.TABLE_FILE.lstrip("/")).unlink()
    assert facts(root, None)["outdated"] is True


def test_files_that_hold_no_section(root: Path) -> None:
    write(root, f"{nft.DIRECTORY}/prover_broker.json", nft.section_to_text(BROKER).replace("8080", "8081"))
    write(root, f"{nft.DIRECTORY}/prover_node.json", nft.section_to_text(NODE) + "\n")
    write(root, f"{nft.DIRECTORY}/old.json", '{"ports": []}')
    write(root, f"{nft.DIRECTORY}/notes.txt", "nothing")
    found = facts(root)
    assert found["sections"] == ["prover_broker"]
    assert found["problems"] == [
        "/etc/aztec-port-guard/old.json was written by another version of the collection (1, this one writes 2)",
        "/etc/aztec-port-guard/prover_node.json was changed by another program",
    ]
    assert found["outdated"] is True


@pytest.mark.parametrize("kind", ["requires", "requires"])
@pytest.mark.parametrize(
    ("make", "enabled"),
    [
        pytest.param(lambda link: link.symlink_to("../nowhere"), True, id="link"),
        pytest.param(lambda link: link.write_text(""), True, id="file"),
        pytest.param(lambda link: None, False, id="none"),
    ],
)
def test_enabled(tmp_path: Path, kind: str, make, enabled: bool) -> None:
    folder = tmp_path / f"etc/systemd/system/some.target.{kind}"
    folder.mkdir(parents=True)
    (folder / "another.service").write_text("")
    make(folder / nft.UNIT)
    assert host_guard.enabled(tmp_path) is enabled


@pytest.mark.parametrize("name", ["etc/nftables.conf", "etc/nftables.d/50-more.nft", "etc/nftables/main.nft"])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("table inet aztec_prover {\n}\n", True, id="inet"),
        pytest.param("flush ruleset\n  table  bridge  aztec_prover {\n}\n", True, id="bridge"),
        pytest.param("add table inet aztec_prover\n", True, id="command"),
        pytest.param("# table inet aztec_prover\n", False, id="comment"),
        pytest.param("table inet aztec_prover_2 {\n}\n", False, id="another_name"),
        pytest.param("table ip aztec_prover {\n}\n", False, id="another_family"),
        pytest.param('include "/etc/x" table inet aztec_prover\n', False, id="in_the_middle_of_a_line"),
        pytest.param("", False, id="empty"),
    ],
)
def test_saved_rulesets(tmp_path: Path, name: str, text: str, found: bool) -> None:
    write(tmp_path, name, text)
    assert host_guard.saved_rulesets(tmp_path) == ([f"/{name}"] if found else [])


def test_saved_rulesets_are_all_named(root: Path) -> None:
    names = ["etc/nftables.conf", "etc/nftables.d/a.nft", "etc/nftables.d/b.nft"]
    for name in reversed(names):
        write(root, name, "table inet aztec_prover {\n}\n")
    (root / "etc/nftables.d/folder").mkdir()
    (root / "etc/nftables.d/c.nft").write_bytes(b"\xff\xfe")
    assert facts(root) == {**WELL, "saved_rulesets": [f"/{name}" for name in names]}


@pytest.mark.parametrize(
    "error", [guard_daemon.Failed("it is\nrefused"), PermissionError(1, "Operation not permitted")]
)
def test_a_kernel_that_does_not_answer(root: Path, error: Exception) -> None:
    def owner_of(family: str) -> int:
        if family == "bridge":
            raise error
        return 7

    found = host_guard.guard_facts(
        lambda command: (1, "", ""), root, None, send_command=lambda command: STATE, owner_of=owner_of
    )
    assert {name: found[name] for name in WELL} == {**WELL, "owner": "", "loaded": False, "table_problem": str(error)}


@pytest.mark.parametrize("folder", ["usr/sbin", "sbin", "usr/local/sbin"])
def test_nft_and_its_version(tmp_path: Path, folder: str) -> None:
    assert host_guard.nft_facts(lambda command: pytest.fail("was run"), tmp_path) == {"installed": False, "version": ""}
    write(tmp_path, f"{folder}/nft", "")
    answers = [(0, "nftables v1.1.3 (Commodore Bullmoose #4)\n", ""), (127, "", "not found")]
    found = [host_guard.nft_facts(lambda command, answer=answer: answer, tmp_path) for answer in answers]
    assert found == [{"installed": True, "version": "1.1.3"}, {"installed": True, "version": ""}]


def test_those_who_try_are_named(root: Path) -> None:
    assert facts(root, {**STATE, "denied": ["10.0.0.9"]}) == {**WELL, "denied": ["10.0.0.9"]}
    # The daemon of an earlier version does not report it.
    assert facts(root)["denied"] == []


def test_what_is_compared(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_host, "SYSTEM_PYTHON", str(root))
    commands = []

    def run(command: list) -> tuple[int, str, str]:
        commands.append(command)
        return 0, SHOWN.format("no", "no"), ""

    found = all_facts(root, {**STATE, "program": "f00", "denied": ["10.0.0.9"]}, run=run)
    assert {name: found[name] for name in COMPARED} == {
        "section_texts": {section.name: nft.section_to_text(section) for section in (BROKER, NODE)},
        "files": {
            nft.TABLE_FILE: guard_daemon.digest(TEXT),
            nft.UNIT_FILE: guard_daemon.digest(nft.unit("python3")),
        },
        "unit": {"ActiveState": "active", "UnitFileState": "enabled", "NeedDaemonReload": "no"},
        "daemon": {"program": "f00", "digest": STATE["digest"], "intact": True},
        "nft_path": "/sbin/nft",
        "python_path": str(root),
    }
    assert json.loads(json.dumps(found)) == found
    assert [command[:2] for command in commands] == [["systemctl", "show"]]


@pytest.mark.parametrize("name", [nft.TABLE_FILE, nft.PROGRAM_FILE, nft.UNIT_FILE, nft.DOCKER_FILE])
def test_the_digest_is_that_of_the_bytes(tmp_path: Path, name: str) -> None:
    assert all_facts(tmp_path, None, GONE)["files"] == {}
    write(tmp_path, name, "").write_bytes(b"\xff\r\n")
    assert all_facts(tmp_path, None, GONE)["files"] == {name: hashlib.sha256(b"\xff\r\n").hexdigest()}


def test_a_file_that_cannot_be_read_has_no_digest(root: Path) -> None:
    (root / nft.DOCKER_FILE.lstrip("/")).mkdir(parents=True)
    assert set(all_facts(root)["files"]) == {nft.TABLE_FILE, nft.UNIT_FILE}


def test_a_section_that_is_not_valid_has_a_text(root: Path) -> None:
    write(root, f"{nft.DIRECTORY}/old.json", "").write_bytes(b"\xff\r\n")
    write(root, f"{nft.DIRECTORY}/notes.txt", "nothing")
    found = all_facts(root)
    assert list(found["section_texts"]) == ["old", "prover_broker", "prover_node"]
    assert found["section_texts"]["old"] == "\ufffd\r\n"
    assert found["sections"] == ["prover_broker", "prover_node"]


@pytest.mark.parametrize(
    ("code", "output", "unit"),
    [
        pytest.param(0, SHOWN.format("yes", "no"), "yes", id="unit"),
        pytest.param(0, SHOWN.format("no", "yes"), "yes", id="drop_in"),
        pytest.param(0, SHOWN.format("no", "no"), "no", id="fresh"),
        pytest.param(0, "", None, id="nothing"),
        pytest.param(0, "not systemd", None, id="another_program"),
        pytest.param(1, SHOWN.format("no", "no"), None, id="fails"),
        pytest.param(127, "", None, id="missing"),
    ],
)
def test_units_that_systemd_must_read_again(root: Path, code: int, output: str, unit: str | None) -> None:
    found = all_facts(root, run=lambda command: (code, output, "error"))["unit"]
    properties = {"ActiveState": "active", "UnitFileState": "enabled", "NeedDaemonReload": unit}
    assert found == (properties if unit else {})


def test_a_host_without_daemon_and_nft(root: Path) -> None:
    found = all_facts(root, None, nft_path=None)
    assert (found["daemon"], found["nft_path"]) == (None, "")


def test_a_daemon_that_does_not_report_its_program(root: Path) -> None:
    assert all_facts(root)["daemon"] == {"program": None, "digest": STATE["digest"], "intact": True}
