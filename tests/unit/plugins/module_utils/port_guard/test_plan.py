# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The actions of the module port_guard, derived from facts of the host."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.port_guard import guard_facts
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import daemon as guard_daemon
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import nft as guard
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import plan
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.plan import guard_actions

from tests.unit.plugins.module_utils.port_guard.test_host import Machine

# Arguments of the module.
BROKER = {"section": "prover_broker", "ports": [{"port": 8080, "sources": ["10.0.0.11"]}], "bridges": ["aztec0"]}
MORE = {**BROKER, "ports": [{"port": 8080, "sources": ["10.0.0.11", "10.0.0.14"]}]}
NODE = {"section": "prover_node", "ports": [{"port": 8880}], "bridges": ["aztec0"], "required_by_docker": False}
AGENT = {
    "section": "prover_agent",
    "bridges": ["aztec1"],
    "containers": [{"mac_address": "02:a2:7e:c0:00:02", "ports": [8880]}],
}

BROKER_FILE, NODE_FILE, AGENT_FILE = (
    f"/etc/aztec-port-guard/{name}.json" for name in ("prover_broker", "prover_node", "prover_agent")
)
PROGRAM = inspect.getsource(guard_daemon)
PYTHON, NFT = "/usr/bin/python3", "/usr/sbin/nft"
BARE = {"section_texts": {}, "files": {}, "unit": {}, "daemon": None, "nft_path": "", "python_path": PYTHON}
WRITE = [
    f"write {path}"
    for path in (
        "/etc/aztec-port-guard/table.nft",
        "/usr/local/lib/aztec-port-guard/daemon.py",
        "/etc/systemd/system/aztec-port-guard.service",
        "/etc/systemd/system/docker.service.d/aztec-port-guard.conf",
    )
]
WRITE_TABLE, WRITE_PROGRAM, WRITE_UNIT, WRITE_DROP_IN = WRITE
FIRST = ["reload systemd", "enable the unit", "start the guard"]


def section_of(given: dict) -> guard.Section:
    """Return the section of the module's arguments."""
    options = {key: value for key, value in given.items() if key not in ("section", "keep_existing")}
    return guard.section_of(given["section"], **{"ports": [], "bridges": [], **options})


def facts(*given: dict, **changes: object) -> dict:
    """Return the facts of a host on which the sections are applied; changes: facts that differ, None for no file."""
    sections = [section_of(one) for one in given]
    required = any(section.required_by_docker for section in sections)
    files = {
        guard.TABLE_FILE: guard.table(sections),
        guard.PROGRAM_FILE: PROGRAM,
        guard.UNIT_FILE: guard.unit(PYTHON),
        **({guard.DOCKER_FILE: guard.docker_drop_in(NFT)} if required else {}),
    }
    digests = {path: guard_daemon.digest(text) for path, text in files.items()}
    whole = {
        "section_texts": {section.name: guard.section_to_text(section) for section in sections},
        "files": digests,
        "unit": {"ActiveState": "active", "UnitFileState": "enabled", "NeedDaemonReload": "no"},
        "daemon": {"program": digests[guard.PROGRAM_FILE], "digest": digests[guard.TABLE_FILE], "intact": True},
        "nft_path": NFT,
        "python_path": PYTHON,
    }
    for name, value in changes.items():
        whole[name] = {**whole[name], **value} if isinstance(value, dict) else value
    for name in ("files", "section_texts", "unit"):
        whole[name] = {key: value for key, value in whole[name].items() if value is not None}
    return whole


@pytest.mark.parametrize(
    ("sections", "given", "actions"),
    [
        pytest.param([], BARE, [], id="no_section"),
        pytest.param([BROKER], BARE, [f"write {BROKER_FILE}", *WRITE, *FIRST], id="bare"),
        pytest.param([NODE], BARE, [f"write {NODE_FILE}", *WRITE[:3], *FIRST], id="bare_without_drop_in"),
        pytest.param(
            [BROKER, NODE],
            BARE,
            [
                *[f"write {BROKER_FILE}", *WRITE, *FIRST],
                *[f"write {NODE_FILE}", WRITE_TABLE, "load the rules"],
            ],
            id="bare_and_two_sections",
        ),
        pytest.param(
            [NODE, BROKER],
            BARE,
            [
                *[f"write {NODE_FILE}", *WRITE[:3], *FIRST],
                *[f"write {BROKER_FILE}", WRITE_TABLE, WRITE_DROP_IN, "reload systemd", "load the rules"],
            ],
            id="the_second_needs_the_drop_in",
        ),
        pytest.param([BROKER], facts(BROKER), [], id="equal"),
        pytest.param([BROKER, NODE, AGENT], facts(BROKER, NODE, AGENT), [], id="three_equal"),
        pytest.param([BROKER], facts(AGENT, BROKER, NODE), [], id="equal_with_other_sections"),
        pytest.param([NODE], facts(NODE), [], id="equal_without_drop_in"),
        pytest.param(
            [NODE],
            facts(NODE, files={guard.DOCKER_FILE: "f00"}),
            [f"remove {guard.DOCKER_FILE}", "reload systemd"],
            id="drop_in_of_no_section",
        ),
        pytest.param([MORE], facts(BROKER), [f"write {BROKER_FILE}", WRITE_TABLE, "load the rules"], id="source_added"),
        pytest.param(
            [BROKER], facts(MORE), [f"write {BROKER_FILE}", WRITE_TABLE, "load the rules"], id="source_removed"
        ),
        pytest.param([{**BROKER, "keep_existing": True}], facts(MORE), [], id="source_kept"),
        pytest.param([{**MORE, "keep_existing": True}], facts(MORE), [], id="nothing_to_keep"),
        pytest.param(
            [NODE],
            facts(BROKER),
            [f"write {NODE_FILE}", WRITE_TABLE, "load the rules"],
            id="section_of_another_component",
        ),
        pytest.param(
            [AGENT],
            facts(NODE),
            [f"write {AGENT_FILE}", WRITE_TABLE, WRITE_DROP_IN, "reload systemd", "load the rules"],
            id="first_that_needs_the_drop_in",
        ),
        pytest.param(
            [BROKER], facts(BROKER, section_texts={"prover_broker": "x"}), [f"write {BROKER_FILE}"], id="damaged"
        ),
        pytest.param(
            [BROKER], facts(BROKER, section_texts={"prover_broker": ""}), [f"write {BROKER_FILE}"], id="empty"
        ),
        pytest.param(
            [BROKER],
            facts(BROKER, section_texts={"prover_broker": guard.section_to_text(section_of(BROKER)) + "\n"}),
            [f"write {BROKER_FILE}"],
            id="edited",
        ),
        pytest.param([BROKER], facts(BROKER, section_texts={"old": "{}"}), [], id="another_is_damaged"),
        pytest.param([BROKER], facts(BROKER, files={guard.TABLE_FILE: "f00"}), [WRITE_TABLE], id="table"),
        pytest.param(
            [BROKER],
            facts(BROKER, files={guard.PROGRAM_FILE: "f00"}),
            [WRITE_PROGRAM, "restart the guard"],
            id="program",
        ),
        pytest.param(
            [BROKER],
            facts(BROKER, files={guard.UNIT_FILE: None}),
            [WRITE_UNIT, "reload systemd", "restart the guard"],
            id="unit_missing",
        ),
        pytest.param(
            [BROKER], facts(BROKER, files={guard.DOCKER_FILE: None}), [WRITE_DROP_IN, "reload systemd"], id="drop_in"
        ),
        pytest.param(
            [BROKER],
            facts(BROKER, python_path="/opt/python"),
            [WRITE_UNIT, "reload systemd", "restart the guard"],
            id="another_python",
        ),
        pytest.param([BROKER], facts(BROKER, nft_path="/opt/nft"), [WRITE_DROP_IN, "reload systemd"], id="another_nft"),
        pytest.param([BROKER], facts(BROKER, nft_path=""), [], id="nft_is_not_installed"),
        pytest.param([BROKER], facts(BROKER, unit={"NeedDaemonReload": "yes"}), ["reload systemd"], id="stale"),
        pytest.param(
            [BROKER, NODE],
            facts(BROKER, NODE, unit={"NeedDaemonReload": "yes"}),
            ["reload systemd"],
            id="stale_is_corrected_once",
        ),
        pytest.param([BROKER], facts(BROKER, unit={"UnitFileState": "disabled"}), ["enable the unit"], id="disabled"),
        pytest.param([BROKER], facts(BROKER, unit={"UnitFileState": ""}), ["enable the unit"], id="no_unit_file"),
        pytest.param([BROKER], facts(BROKER, unit={"ActiveState": "failed"}), ["start the guard"], id="inactive"),
        pytest.param(
            [BROKER],
            facts(BROKER, unit={"ActiveState": "inactive", "UnitFileState": "disabled"}, daemon=None),
            ["enable the unit", "start the guard"],
            id="inactive_and_disabled",
        ),
        pytest.param(
            [BROKER],
            facts(BROKER, unit={"ActiveState": None, "UnitFileState": None, "NeedDaemonReload": None}),
            ["enable the unit", "start the guard"],
            id="no_systemctl",
        ),
        pytest.param([BROKER], facts(BROKER, daemon=None), ["restart the guard"], id="no_response"),
        pytest.param([BROKER], facts(BROKER, daemon={"program": "f00"}), ["restart the guard"], id="older_program"),
        pytest.param([BROKER], facts(BROKER, daemon={"program": None}), ["restart the guard"], id="older_daemon"),
        pytest.param([BROKER], facts(BROKER, daemon={"digest": "f00"}), ["load the rules"], id="older_rules"),
        pytest.param([BROKER], facts(BROKER, daemon={"intact": False}), ["load the rules"], id="changed_rules"),
        pytest.param(
            [BROKER, NODE], facts(BROKER, NODE, daemon={"intact": False}), ["load the rules"], id="loaded_once"
        ),
    ],
)
def test_actions(sections: list[dict], given: dict, actions: list[str]) -> None:
    before = json.dumps(given)
    assert guard_actions(sections, given) == actions
    assert json.dumps(given) == before


def test_the_options_have_the_defaults_of_the_module() -> None:
    empty = {"ports": [], "bridges": [], "containers": [], "required_by_docker": True, "keep_existing": False}
    assert guard_actions([{"section": "own"}], facts({"section": "own", **empty})) == []
    assert guard_actions([{"section": "own", **empty}], facts({"section": "own"})) == []


def test_arguments_that_are_not_valid() -> None:
    with pytest.raises(guard.InvalidSection, match="port 0/tcp: the port is out of range"):
        guard_actions([{"section": "own", "ports": [{"port": 0}]}], BARE)


@pytest.mark.parametrize("name", ["prover_broker", "prover_node"])
def test_the_file_of_a_section_that_is_removed(name: str) -> None:
    texts = plan.desired_files(name, [section_of(BROKER)], PYTHON, None)
    assert list(texts) == [
        f"/etc/aztec-port-guard/{name}.json",
        guard.TABLE_FILE,
        guard.PROGRAM_FILE,
        guard.UNIT_FILE,
        guard.DOCKER_FILE,
    ]
    text = guard.section_to_text(section_of(BROKER)) if name == "prover_broker" else ""
    assert next(iter(texts.values())) == text


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "root")


def machine_facts(machine: Machine, nft: str | None = NFT) -> dict:
    """Return the guard's facts of a machine, as the controller receives them."""

    def send_command(command: str) -> dict | None:
        assert command == "state"
        return machine.state()

    found = guard_facts(machine.run, machine.root, nft, send_command=send_command, owner_of=machine.owners.get)
    return json.loads(json.dumps(found))


def apply(machine: Machine, given: dict, **options: object) -> list[str]:
    """Apply a section to a machine and return the actions."""
    host = machine.host(**{"nft": NFT, **options})
    host.apply(section_of(given), present=True, keep_existing=given.get("keep_existing", False))
    return host.actions


def edit(name: str, text: str | bytes = "another\n") -> Callable:
    """Return what replaces a file."""
    return lambda machine: machine.file(name).write_bytes(text if isinstance(text, bytes) else text.encode())


def line_ends(name: str) -> Callable:
    """Return what replaces the line ends of a file by those of Windows."""

    def change(machine: Machine) -> None:
        path = machine.file(name)
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    return change


def remove(name: str) -> Callable:
    """Return what removes a file."""
    return lambda machine: machine.file(name).unlink()


def become(**values: object) -> Callable:
    """Return what changes the state of systemd or the daemon."""
    return lambda machine: vars(machine).update(values)


FILES = [BROKER_FILE, guard.TABLE_FILE, guard.PROGRAM_FILE, guard.UNIT_FILE, guard.DOCKER_FILE]


@pytest.mark.parametrize(
    ("present", "harm", "section"),
    [
        pytest.param([], become(), BROKER, id="bare"),
        pytest.param([], become(), NODE, id="bare_without_drop_in"),
        pytest.param([BROKER], become(), BROKER, id="equal"),
        pytest.param([BROKER], become(), MORE, id="source_added"),
        pytest.param([MORE], become(), BROKER, id="source_removed"),
        pytest.param([MORE], become(), {**BROKER, "keep_existing": True}, id="source_kept"),
        pytest.param([BROKER], become(), {**MORE, "keep_existing": True}, id="source_added_and_kept"),
        pytest.param([BROKER], become(), {**BROKER, "required_by_docker": False}, id="drop_in_not_required"),
        pytest.param([NODE], become(), AGENT, id="drop_in_required"),
        pytest.param([NODE], become(), BROKER, id="section_of_another_component"),
        pytest.param([BROKER, NODE], become(), MORE, id="source_added_next_to_another_component"),
        pytest.param([BROKER, NODE], become(), NODE, id="equal_next_to_another_component"),
        pytest.param([BROKER], become(active="inactive", text=None), BROKER, id="inactive"),
        pytest.param([BROKER], become(active="failed", text=None), MORE, id="failed"),
        pytest.param([BROKER], become(enabled="disabled"), BROKER, id="not_enabled"),
        pytest.param([BROKER], become(enabled="disabled", active="inactive"), BROKER, id="not_enabled_and_inactive"),
        pytest.param([BROKER], become(stale=guard.UNIT), BROKER, id="stale"),
        pytest.param([BROKER], become(stale="docker.service"), MORE, id="stale_drop_in"),
        pytest.param([BROKER], become(program="older"), BROKER, id="program_outdated"),
        pytest.param([BROKER], become(answers=False), BROKER, id="silent"),
        pytest.param([BROKER], become(intact=False), BROKER, id="not_intact"),
        pytest.param([BROKER], become(text="another"), BROKER, id="other_rules"),
        *(pytest.param([BROKER], remove(name), BROKER, id=f"removed_{Path(name).name}") for name in FILES),
        *(pytest.param([BROKER], edit(name), BROKER, id=f"edited_{Path(name).name}") for name in FILES),
        *(pytest.param([BROKER], edit(name, ""), BROKER, id=f"empty_{Path(name).name}") for name in FILES),
        *(pytest.param([BROKER], edit(name, b"\xff"), BROKER, id=f"binary_{Path(name).name}") for name in FILES),
        *(pytest.param([BROKER], line_ends(name), BROKER, id=f"line_ends_{Path(name).name}") for name in FILES),
        pytest.param([NODE], edit(guard.TABLE_FILE), MORE, id="edited_and_source_added"),
    ],
)
@pytest.mark.parametrize("nft", [NFT, "/opt/nft", None], ids=["nft", "another_nft", "no_nft"])
def test_the_facts_predict_what_the_module_does(
    machine: Machine, present: list[dict], harm: Callable, section: dict, nft: str | None
) -> None:
    for one in present:
        apply(machine, one)
    harm(machine)
    predicted = guard_actions([section], machine_facts(machine, nft))
    assert predicted == apply(machine, section, nft=nft, check=True)
    if nft:
        assert predicted == apply(machine, section, nft=nft)
        assert guard_actions([section], machine_facts(machine, nft)) == []


@pytest.mark.parametrize(
    ("present", "sections"),
    [
        ([], [BROKER, NODE, AGENT]),
        ([], [NODE, BROKER]),
        ([BROKER], [NODE, MORE]),
        ([BROKER, NODE, AGENT], [AGENT, NODE, BROKER]),
        ([MORE, NODE], [BROKER, {**BROKER, "keep_existing": True}, MORE]),
        ([BROKER], [{**BROKER, "required_by_docker": False}, AGENT]),
    ],
)
@pytest.mark.parametrize("harm", [become(), become(stale=guard.UNIT), become(active="inactive", enabled="disabled")])
def test_sections_in_turn(machine: Machine, present: list[dict], sections: list[dict], harm: Callable) -> None:
    for one in present:
        apply(machine, one)
    harm(machine)
    predicted = guard_actions(sections, machine_facts(machine))
    assert predicted == [action for one in sections for action in apply(machine, one)]
    assert guard_actions(sections[-1:], machine_facts(machine)) == []
