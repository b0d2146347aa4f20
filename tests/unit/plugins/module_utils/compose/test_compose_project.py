# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How ComposeProject handles answers of the docker command that are late, missing or errors."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import compose_project, containers
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import Problem

GONE = "Error response from daemon: No such {}: {}"
DOWN = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
EXITED = {"Id": "a1", "Name": "/s-1", "State": {"Status": "exited", "ExitCode": 1}, "RestartCount": 0}
LOOPS = {"Id": "a1", "Name": "/s-1", "State": {"Status": "running"}, "RestartCount": 3}


class Module:
    """Runs commands as AnsibleModule does, with a docker command of the test's own."""

    def __init__(self, docker: Path, text: str) -> None:
        docker.write_text(f"#!/bin/sh\n{text}\n")
        docker.chmod(0o755)
        self.docker = str(docker)
        self.params = {"wait_timeout": 1, "drain_method": "", "drain_timeout": 0, "_job": ""}

    def get_bin_path(self, name: str, **_words) -> str:
        return self.docker if name == "docker" else f"/usr/bin/{name}"

    def run_command(self, words: list, **_more) -> tuple:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr


class Stack(compose_project.ComposeProject):
    """A stack that rolls back at once."""

    def roll_back(self, *_words) -> tuple:
        return "The last good files and images are back and run", True


@pytest.fixture(name="stack")
def fixture_stack(tmp_path: Path):
    """Return what makes a stack whose docker command is the text of a shell program."""

    def make(text: str) -> Stack:
        wanted = {
            "project": "s", "directory": str(tmp_path / "stack"), "state": "absent",
            "env": "", "header": "", "secret_variables": [], "files": "",
            "network": None, "wait_timeout": 1, "data_directory": "", "directories": [],
        }
        return Stack(Module(tmp_path / "docker", text), compose_project.DesiredState(wanted))

    return make


@pytest.mark.parametrize(
    ("text", "logs"),
    [
        pytest.param("sleep 30", [], id="everything hangs"),
        pytest.param(f"echo '{DOWN}' >&2; exit 1", [], id="everything fails"),
        pytest.param('case "$1 $4" in "logs a1") echo one;; *) sleep 30;; esac', ["one"], id="the second log hangs"),
    ],
)
@pytest.mark.parametrize("found", [EXITED, LOOPS], ids=["exited", "in a loop"])
def test_what_is_reported_of_a_failure_does_not_keep_it_from_going_back(
    stack, monkeypatch, text: str, logs: list, found: dict
) -> None:
    monkeypatch.setattr(compose_project, "REPORT_TIMEOUT", 1, raising=False)
    monkeypatch.setattr(compose_project, "QUERY_TIMEOUT", 1)
    both = [containers.container({**found, "Id": name}) for name in ("a1", "b2")]
    result = stack(text).failed({}, both, both, {}, "", False)
    assert (result["rolled_back"], result["logs"]) == (True, logs)


@pytest.mark.parametrize("code", [124, 137, -9, -15])
def test_each_code_of_a_command_that_took_too_long(stack, monkeypatch, code: int) -> None:
    """With KILL, timeout ends itself too."""
    monkeypatch.setattr(compose_project, "QUERY_TIMEOUT", 0)
    there = stack("")
    there.module.run_command = lambda *_words, **_more: (code, "", "")
    with pytest.raises(Problem, match=r"docker image inspect did not end within 0 s"):
        there.image_ids(["a:1"])


@pytest.mark.parametrize(
    ("out", "err", "code", "found"),
    [
        ([{"Id": "a"}, {"Id": "b"}], "", 0, ["a", "b"]),
        ([{"Id": "a"}], GONE.format("container", "b"), 1, ["a"]),
        ([], "Error: No such container: a\nError: No such container: b", 1, []),
        ([], DOWN, 1, None),
        ([{"Id": "a"}], "Error response from daemon: i/o timeout", 1, None),
        ([], "", -9, None),
    ],
)
def test_containers_are_gone_only_if_docker_reports_it(
    stack, tmp_path, out: list, err: str, code: int, found: list | None
) -> None:
    (tmp_path / "out").write_text(json.dumps(out))
    (tmp_path / "err").write_text(err)
    ends = "kill -KILL $$" if code < 0 else f"exit {code}"
    there = stack(f"cat {tmp_path}/out; cat {tmp_path}/err >&2; {ends}")
    if found is None:
        with pytest.raises(Problem, match=r"^Querying Docker for containers failed: "):
            there.inspect_containers(["a", "b"])
    else:
        assert [one["Id"] for one in there.inspect_containers(["a", "b"])] == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("echo sha256:1", {"a:1": "sha256:1"}),
        (f"echo '{GONE.format('image', 'a:1')}' >&2; exit 1", {}),
        (f"echo '{DOWN}' >&2; exit 1", None),
        ("exit 1", None),
    ],
)
def test_images_are_missing_only_if_docker_reports_it(stack, text: str, found: dict | None) -> None:
    if found is None:
        with pytest.raises(Problem, match=r"^Querying Docker for image a:1 failed: "):
            stack(text).image_ids(["a:1"])
    else:
        assert stack(text).image_ids(["a:1"]) == found


HEADER = "Managed by Ansible (aztec_ops.prover, inventory {}): changes made here are overwritten."


@pytest.mark.parametrize(
    ("there", "inventory", "refused"),
    [("lab", "prod", True), ("prod", "prod", False), ("", "prod", False), ("lab", "", True)],
)
@pytest.mark.parametrize("state", ["present", "pulled", "absent"])
def test_a_project_of_another_inventory_is_left_as_it_is(
    tmp_path: Path, there: str, inventory: str, refused: bool, state: str
) -> None:
    """No docker command runs. The case without a refusal shows that it would fail."""
    directory = tmp_path / "stack"
    directory.mkdir()
    (directory / "compose.yml").write_text(f"# {HEADER.format(there)}\nservices: {{}}\n" if there else "services: {}\n")
    wanted = {
        **{"project": "s", "directory": str(directory), "state": state, "wait_timeout": 1, "env": "", "files": ""},
        **{"secret_variables": [], "network": None, "data_directory": "", "directories": [], "no_proxy": []},
        **{"header": HEADER.format(inventory) if inventory else "", "override": {}, "override_variable": ""},
        **{"compose": "services: {s: {image: 'a:1'}}", "_model": {"services": {"s": {"image": "a:1"}}}},
    }
    module = Module(tmp_path / "docker", "exit 1")
    module.check_mode = False
    stack = compose_project.ComposeProject(module, compose_project.DesiredState(wanted))
    before = (directory / "compose.yml").read_text()
    with pytest.raises(Problem) as error:
        stack.inspect()
    assert str(error.value).startswith("s is managed by the inventory lab" if refused else "Docker does not serve")
    assert (directory / "compose.yml").read_text() == before
    assert list(directory.iterdir()) == [directory / "compose.yml"]
