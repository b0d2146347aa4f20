# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What differs on a host, and the plan of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.containers import Container
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.desired_state import DesiredState
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.inventory_header import without_header
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import (
    LABEL_CONFIG,
    PROJECT_FILES,
    Problem,
    digest,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.differences import (
    by_part,
    ends_running,
    guard_differences,
    plan_rows,
    plan_text,
    project_differences,
    running_services,
    selected_hosts,
    with_consequences,
)

from tests.unit.plugins.module_utils.port_guard.test_plan import facts

SALT = "0a1b"
IMAGE = "aztec:1"
MODEL = {"services": {"s": {"image": IMAGE, "env_file": [".env"]}}}
DESIRED = {
    **{"project": "p", "directory": "/opt/p", "compose": "services: {}\n", "override": {}, "override_variable": ""},
    **{"header": "Managed by Ansible (aztec_ops.prover, inventory lab): changes made here are overwritten."},
    **{"env": "A=secret\n", "secret_variables": ["A"], "files": '{"keys/k.json": "key"}', "directories": ["/data"]},
    **{"data_directory": "/data", "no_proxy": ["broker"], "wait_timeout": 5},
    "network": {"name": "n", "bridge": "br", "ipv4_subnet": None, "ipv6_subnet": None, "mtu": 0, "avoid": []},
}


def host(**changes: Any) -> dict[str, Any]:
    """Return the host info of a host that has the desired state, and then these changes of what is compared."""
    desired = DesiredState({**DESIRED, "state": "present", "_model": MODEL}, {})
    desired.use_salt(SALT)
    container = Container(
        **{"id": "c", "name": "p-s-1", "service": "s", "image": IMAGE, "image_id": "i", "status": "running"},
        **{"health": "healthy", "restarts": 0, "exit_code": 0, "oom_killed": False, "error": "", "policy": "always"},
        **{"started_at": "2026-01-01T00:00:00Z", "config_hash": "h", "networks": ("n",)},
        config=desired.model["services"]["s"]["labels"][LABEL_CONFIG],
    )
    files = {name: digest(SALT, without_header(text) or "") for name, text in desired.contents.items()}
    compared = {
        **{"state": {"files": ["keys/k.json"]}, "salt": SALT, "inventory": "lab", "files": files},
        **{"secure": ["", "keys", *files], "directories": ["/opt/p/keys"], "pending": False, "busy": False},
        "containers": [asdict(container)],
    }
    return {
        "projects": {"p": {"compared": {**compared, **changes}}},
        "engine": {"serves": True},
        "images": {IMAGE: {"id": "i"}},
        "networks": [{"name": "n", "interface": "br", "subnets": [], "mtu": 1500}],
        "directories": ["/data"],
        "proxies": {},
        "time": 1.8e9,
    }


def test_nothing_differs() -> None:
    assert project_differences(DESIRED, MODEL, host()) == []


@pytest.mark.parametrize("name", [*PROJECT_FILES, "keys/k.json"])
def test_a_file_that_differs_is_written(name: str) -> None:
    files = host()["projects"]["p"]["compared"]["files"]
    for changed in ({**files, name: digest(SALT, "other")}, {one: files[one] for one in files if one != name}):
        assert project_differences(DESIRED, MODEL, host(files=changed)) == [{"do": "write", "what": name}]


@pytest.mark.parametrize(
    ("changes", "actions"),
    [
        ({"secure": ["", "keys", *PROJECT_FILES]}, [{"do": "write", "what": "keys/k.json"}]),
        ({"secure": ["keys", *PROJECT_FILES, "keys/k.json"]}, [{"do": "directory", "what": "/opt/p"}]),
        ({"secure": ["", *PROJECT_FILES, "keys/k.json"]}, [{"do": "directory", "what": "/opt/p/keys"}]),
        ({"pending": True}, [{"do": "finish", "what": "an earlier run that was interrupted"}]),
        ({"busy": True}, [{"do": "wait", "service": "p", "why": "another run works on it"}]),
        ({"containers": []}, [{"do": "create", "service": "s", "why": "it does not exist"}]),
    ],
)
def test_differences(changes: dict, actions: list) -> None:
    assert project_differences(DESIRED, MODEL, host(**changes)) == actions


@pytest.mark.parametrize("given", [{"wait_timeout": 300}, {"mtu": 0}, {"mtu": 1500}, {"mtu": 1400}])
def test_a_number_of_the_command_line_is_text(given: dict) -> None:
    """-e sets a variable to text: it is compared as the number."""

    def found(changes: dict) -> list | str:
        network = {**DESIRED["network"], "mtu": changes.get("mtu", 0)}
        try:
            return project_differences({**DESIRED, **changes, "network": network}, MODEL, host())
        except Problem as problem:
            return str(problem)

    assert found({name: str(value) for name, value in given.items()}) == found(given)


def test_a_file_that_is_not_desired_is_removed() -> None:
    compared = host()["projects"]["p"]["compared"]
    changes = {"state": {"files": ["keys/k.json", "old"]}, "files": {**compared["files"], "old": "x"}}
    assert project_differences(DESIRED, MODEL, host(**changes)) == [{"do": "unlink", "what": "old"}]


def test_another_salt_changes_the_labels_of_the_container() -> None:
    """A lost salt makes each digest differ, so everything is written and recreated once."""
    done = {action["do"] for action in project_differences(DESIRED, MODEL, host(salt="ff"))}
    assert done == {"write", "recreate"}


@pytest.mark.parametrize(
    ("given", "actions"),
    [
        ({"images": {}}, [{"do": "pull", "what": IMAGE}]),
        ({"networks": []}, [{"do": "network", "what": "n"}]),
        ({"directories": []}, [{"do": "directory", "what": "/data"}]),
    ],
)
def test_what_the_engine_and_the_disk_lack(given: dict, actions: list) -> None:
    assert project_differences(DESIRED, MODEL, {**host(), **given}) == actions


def test_a_proxy_of_the_host_is_part_of_the_desired_state() -> None:
    done = project_differences(DESIRED, MODEL, {**host(), "proxies": {"http_proxy": "set", "HTTP_PROXY": "set"}})
    assert [action["what"] for action in done if action["do"] == "write"] == ["compose.override.yml"]


@pytest.mark.parametrize(
    ("host_info", "words"),
    [
        (host(inventory="prod"), "p is managed by the inventory prod, and this one is lab"),
        ({**host(), "networks": [{"name": "n", "interface": "other", "subnets": [], "mtu": 1500}]}, "has bridge other"),
    ],
)
def test_what_compose_stack_would_refuse(host_info: dict, words: str) -> None:
    with pytest.raises(Problem, match=words):
        project_differences(DESIRED, MODEL, host_info)


@pytest.mark.parametrize(
    ("actions", "parts"),
    [
        ([], {}),
        ([{"do": "pull", "what": "a:1"}], {"images": ["pull a:1"]}),
        ([{"do": "write", "what": ".env"}], {"prover_node": ["write .env"]}),
        (
            [{"do": "directory", "what": "/opt/p"}, {"do": "pull", "what": "a:1"}, {"do": "write", "what": ".env"}],
            {"images": ["pull a:1"], "prover_node": ["set up /opt/p"]},
        ),
    ],
)
def test_by_part(actions: list, parts: dict) -> None:
    assert by_part("prover_node", "/opt/p", actions) == parts


def test_a_host_without_nftables_gets_it() -> None:
    assert guard_differences([], {"nft": {"installed": False}}) == ["install nftables and the port guard"]


@pytest.mark.parametrize(("given", "value"), [("false", False), ("no", False), ("true", True), (False, False)])
def test_a_boolean_of_the_command_line_is_text(given: object, value: bool) -> None:
    """The module makes a boolean of it, so that the section on the host has one."""
    section = {"section": "own", "required_by_docker": given}
    guard = {**facts({"section": "own", "required_by_docker": value}), "installed": True}
    assert guard_differences([section], {"nft": {"installed": True}, "guard": guard}) == []


@pytest.mark.parametrize(
    ("differences", "found"),
    [
        ({}, {}),
        ({"engine": [], "prover_node": ["x"]}, {"prover_node": ["x"]}),
        ({"images": ["pull a", "pull a"]}, {"images": ["pull a"]}),
        (
            {"engine": ["restart"]},
            {"engine": ["restart"], "prover_node": ["check again after the change of Docker"]},
        ),
    ],
)
def test_with_consequences(differences: dict, found: dict) -> None:
    assert with_consequences(differences, ["prover_node"]) == found


FLEET = {"broker": {"host": "b"}, "node": {"host": "n"}}
STATUS = "aztec_plan_status"


@pytest.mark.parametrize(
    ("differences", "selected"),
    [
        ({"b": {}, "n": {}, "a": {}}, {}),
        ({"b": {}, "n": {}, "a": {"guard": ["x"]}}, {"a": ["aztec_plan_prepare", STATUS]}),
        ({"b": {}, "a": {"prover_agent": ["x"]}}, {"a": ["aztec_plan_agents_and_node", STATUS]}),
        ({"b": {"prover_broker": ["x"]}, "a": {}}, {"b": ["aztec_plan_broker", STATUS], "a": [STATUS]}),
        (
            {"n": {"images": ["x"], "prover_node": ["y"]}, "a": {}},
            {"n": ["aztec_plan_prepare", "aztec_plan_agents_and_node", STATUS], "a": [STATUS]},
        ),
        ({"b": {}, "a": {"metrics": ["x"]}}, {"a": ["aztec_plan_metrics", STATUS]}),
        ({"b": {}, "m": {"prover_monitor": ["x"]}}, {"m": ["aztec_plan_monitor", STATUS]}),
    ],
)
def test_selected_hosts(differences: dict, selected: dict) -> None:
    assert {one["host"]: one["groups"] for one in selected_hosts(differences, FLEET)} == selected


@pytest.mark.parametrize(
    ("differences", "stops", "groups"),
    [
        ({"prover_agent": ["x"]}, {"components": ["prover_agent"], "engine": False}, ["aztec_plan_replace"]),
        ({"prover_agent": ["x"]}, {"components": [], "engine": False}, ["aztec_plan_agents_and_node"]),
        (
            {"engine": ["x"], "prover_agent": ["y"]},
            {"components": ["prover_agent"], "engine": True},
            ["aztec_plan_prepare", "aztec_plan_replace", "aztec_plan_engine"],
        ),
        # stop.yml has stopped all components, so that the engine can restart at once.
        ({"engine": ["x"]}, {"components": [], "engine": True}, ["aztec_plan_prepare"]),
        (
            {"prover_node": ["x"], "prover_agent": ["y"]},
            {"components": ["prover_agent", "prover_node"], "engine": False},
            ["aztec_plan_agents_and_node", "aztec_plan_replace"],
        ),
    ],
)
def test_running_agents_that_stop_are_replaced_in_batches(differences: dict, stops: dict, groups: list) -> None:
    (found,) = selected_hosts({"a": differences}, FLEET, {"a": stops})
    assert found["groups"] == [*groups, STATUS]


@pytest.mark.parametrize(
    ("actions", "running", "ends"),
    [
        ([], ["s"], False),
        ([{"do": "recreate", "service": "s", "why": "x"}], ["s"], True),
        ([{"do": "recreate", "service": "s", "why": "x"}], [], False),
        ([{"do": "remove", "service": "t", "why": "x"}], ["s"], False),
        ([{"do": "create", "service": "s", "why": "x"}, {"do": "write", "what": ".env"}], ["s"], False),
        ([{"do": "finish", "what": "an earlier run"}], ["s"], True),
        ([{"do": "finish", "what": "an earlier run"}], [], False),
    ],
)
def test_ends_running(actions: list, running: list, ends: bool) -> None:
    assert ends_running(actions, running) is ends


def test_running_services() -> None:
    assert running_services(host()["projects"]["p"]["compared"]) == {"s"}
    assert running_services({"problem": "a file is not JSON"}) == set()


def test_a_stopped_project_does_not_differ() -> None:
    assert project_differences(DESIRED, MODEL, host(stopped=True, files={}, containers=[])) == []


def test_the_plan_of_200_hosts_has_one_row_for_equal_changes() -> None:
    change = {"prover_agent": ["write .env", "recreate it"]}
    differences = {**{f"agent-{number}": change for number in range(1, 201)}, "node": {"guard": ["load the rules"]}}
    assert plan_rows(differences) == [
        ("node", "port guard", "load the rules"),
        ("agent-1, agent-2, agent-3 and 197 more", "agent", "write .env"),
        ("", "", "recreate it"),
    ]


def test_plan_text() -> None:
    assert plan_text({"a": {"guard": ["load the rules"]}}).splitlines() == [
        "HOST  PART        CHANGE",
        "----  ----------  --------------",
        "a     port guard  load the rules",
    ]
