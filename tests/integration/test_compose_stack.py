"""compose_stack against a real engine and a real Compose.

Requires a running engine on this machine (DOCKER_HOST or the default socket), and busybox-static for the images of the
tests. The projects, networks and images of the tests have unique names and are removed at the end.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import random
import re
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.action.compose_stack import compose_model
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import dotenv
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import agent_layout, guard_section
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.job import JOB_KEPT, job_limit
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import docker_networks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAME = f"cs{os.getpid()}"
OLD, NEW, BAD = (f"{NAME}/{tag}:1" for tag in ("old", "new", "bad"))
RUNNER = """
import sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = "legacy"
from ansible_collections.aztec_ops.prover.plugins.modules import compose_stack
compose_stack.main()
"""
SERVE = "mkdir -p /www; echo ok >/www/status; httpd -p 8080 -h /www; exec sleep 100000"


def docker(*arguments: str, check: bool = True) -> str:
    """Run the docker command and return its output."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def inspect(name: str) -> dict:
    """Return what `docker inspect` prints for a container."""
    return json.loads(docker("container", "inspect", name))[0]


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> None:
    """Create the images, all with busybox and a file that contains the image's name."""
    busybox = shutil.which("busybox")
    assert busybox, "install busybox-static"
    root = tmp_path_factory.mktemp("image")
    binary = root / "bin"
    binary.mkdir()
    shutil.copy(busybox, binary / "busybox")
    applets = ("sh", "sleep", "cat", "env", "wget", "httpd", "mkdir", "touch", "rm", "test", "kill", "true", "nc")
    for applet in applets:
        (binary / applet).symlink_to("busybox")
    for reference in (OLD, NEW, BAD):
        (root / "version").write_text(reference)
        archive = root.parent / "root.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(root, arcname=".")
        docker("import", "--change", 'CMD ["sleep", "100000"]', str(archive), reference)
    yield
    docker("image", "rm", "--force", OLD, NEW, BAD, check=False)


def passed(arguments: dict) -> dict:
    """Return the arguments of the action plugin, with texts instead of the model and variables of a test."""
    arguments = dict(arguments)
    variables, secret = arguments.pop("environment", None), arguments.pop("secrets", None)
    if "env" not in arguments and (variables is not None or secret is not None):
        lines = [*(variables or {}).items(), *(secret or {}).items()]
        arguments["env"] = "# A header\n" + "".join(f"{name}={dotenv.dotenv(value)}\n" for name, value in lines)
        arguments["secret_variables"] = list(secret or {})
    if isinstance(arguments.get("compose"), dict):
        arguments["compose"] = "# A header\n" + json.dumps(arguments["compose"])
    return arguments


def to_module(arguments: dict) -> dict:
    """Return what the action plugin makes of its arguments."""
    model = {"_model": compose_model(arguments["compose"])} if arguments.get("compose") else {}
    return {**arguments, **model}


class Project:
    """One project on the engine, and methods to run the module for it."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.extra: dict = {}
        self.calls: list[list[str]] = []

    def service(self, **changes) -> dict:
        """Return a service that serves /status."""
        service = {
            "image": OLD,
            "env_file": [".env"],
            "restart": "unless-stopped",
            "stop_signal": "SIGKILL",
            "command": ["sh", "-c", SERVE],
            "volumes": ["./data:/data", "./keys:/keys:ro"],
            "healthcheck": {
                "test": ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/status"],
                "interval": "1s",
                "timeout": "2s",
                "retries": 2,
                "start_period": "30s",
            },
        }
        service.update(changes)
        return {key: value for key, value in service.items() if value is not None}

    def arguments(self, service: dict | None = None, **changes) -> dict:
        arguments = {
            "project": self.name,
            "directory": str(self.directory),
            "compose": {"services": {"s": service or self.service()}},
            "environment": {"A": "a"},
            "secrets": {"URL": "https://user:hunter2secret@l1.example/v3/pathsecret9?key=querysecret7"},
            "files": json.dumps({"keys/k.json": json.dumps({"prover": {"publisher": "0x" + "ab" * 32}})}),
            "directories": ["data"],
            "wait_timeout": 25,
            **changes,
        }
        return {key: value for key, value in arguments.items() if value is not None}

    def start(self, arguments: dict, check: bool = False, diff: bool = False, path: str | None = None):
        """Start the module with these arguments and return its process."""
        given = to_module(passed(arguments))
        text = json.dumps({"ANSIBLE_MODULE_ARGS": {**given, "_ansible_check_mode": check, "_ansible_diff": diff}})
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
        if path is not None:
            environment["PATH"] = path
        process = subprocess.Popen(
            [sys.executable, "-c", RUNNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
        return process

    def run(self, arguments: dict | None = None, check: bool = False, diff: bool = False, **other) -> dict:
        """Run the module with these arguments and return its result."""
        process = self.start(arguments or self.arguments(), check, diff, **other)
        out, err = process.communicate(timeout=180)
        result = json.loads(out)
        # ansible-core 2.19.0 adds the location of fail_json to every failure. The controller does not show it.
        result.pop("exception", None)
        assert "Traceback" not in json.dumps(result) + err, out + err
        return result

    def again(self, arguments: dict | None = None) -> dict:
        """Return the result of the phase inspect, which finds nothing to do after a complete run."""
        return self.run({**(arguments or self.arguments()), "_phase": "inspect"})

    def container(self, name: str = "s") -> dict:
        return inspect(f"{self.name}-{name}-1")

    def tree(self) -> dict:
        """Return the texts and modes of the project's files, without those of the module itself."""
        found = {}
        for path in sorted(self.directory.rglob("*")):
            relative = str(path.relative_to(self.directory))
            if not relative.startswith((".stack", "data")):
                text = path.read_text() if path.is_file() else ""
                found[relative] = (text, stat.S_IMODE(path.lstat().st_mode))
        return found


@pytest.fixture
def project(images, tmp_path, request):
    """Return a project with a unique name and directory. Remove it at the end."""
    name = f"{NAME}-{abs(hash(request.node.name)) % 10**8}"
    made = Project(name, tmp_path / "stack")
    yield made
    docker("compose", "-p", name, "down", "-t", "0", "--volumes", "--remove-orphans", check=False)


def good(result: dict) -> dict:
    assert not result.get("failed"), result
    return result


# --- successful runs ----------------------------------------------------------------------------------------------


def test_second_run_changes_nothing(project):
    first = good(project.run())
    assert first["changed"]
    assert first["status"]["s"]["state"] == "running"
    assert first["status"]["s"]["health"] == "healthy"
    assert stat.S_IMODE(project.directory.stat().st_mode) == 0o700
    modes = {name: mode for name, (dummy, mode) in project.tree().items()}
    files = (".env", "compose.override.yml", "compose.yml", "keys/k.json")
    assert modes == {**dict.fromkeys(files, 0o600), "keys": 0o700}
    begun = time.monotonic()
    second = good(project.again())
    took = time.monotonic() - begun
    assert (second["changed"], second["actions"], second["_todo"]) == (False, [], False)
    assert took < 5, took


def test_check_mode_reports_and_changes_nothing(project):
    result = good(project.run(check=True, diff=True))
    assert result["changed"]
    assert not project.directory.exists()
    assert not docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={project.name}")
    shown = json.dumps(result)
    for secret in ("hunter2secret", "pathsecret9", "querysecret7", "ab" * 16):
        assert secret not in shown
    assert "URL=***" in shown
    good(project.run())
    assert not good(project.run(check=True))["changed"]


def test_check_mode_on_a_host_without_docker(project, tmp_path):
    empty = tmp_path / "bin"
    empty.mkdir()
    result = good(project.run(check=True, path=str(empty)))
    assert result["changed"]
    refused = project.run(path=str(empty))
    assert refused["failed"] and "Docker does not serve on this host" in refused["msg"]


def test_check_mode_with_an_engine_that_is_down(project, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    assert good(project.run(check=True))["changed"]
    refused = project.run()
    assert refused["failed"] and "\n" not in refused["msg"]


# --- drift --------------------------------------------------------------------------------------------------------


def _edit(project, name: str) -> None:
    path = project.directory / name
    path.write_text(path.read_text() + "# edited\n")


DRIFT = {
    "stopped": lambda project: docker("stop", "-t", "0", f"{project.name}-s-1"),
    "removed": lambda project: docker("rm", "-f", f"{project.name}-s-1"),
    "paused": lambda project: docker("pause", f"{project.name}-s-1"),
    "compose.yml": lambda project: _edit(project, "compose.yml"),
    "compose.override.yml": lambda project: _edit(project, "compose.override.yml"),
    "compose.override.yml is gone": lambda project: (project.directory / "compose.override.yml").unlink(),
    ".env": lambda project: _edit(project, ".env"),
    "key file": lambda project: _edit(project, "keys/k.json"),
    "mode": lambda project: (project.directory / ".env").chmod(0o644),
    "mode of the directory": lambda project: project.directory.chmod(0o755),
    "renamed": lambda project: docker("rename", f"{project.name}-s-1", f"{project.name}-other"),
    "disconnected": lambda project: docker("network", "disconnect", f"{project.name}_default", f"{project.name}-s-1"),
    "another image by the same name": lambda project: docker("tag", NEW, OLD),
    "created from other files": lambda project: _create_manually(project),
}


def _create_manually(project) -> None:
    other = project.directory / "other.yml"
    other.write_text((project.directory / "compose.yml").read_text().replace("sleep 100000", "sleep 90000"))
    docker("compose", "-p", project.name, "-f", str(other), "up", "-d", "-t", "0")
    other.unlink()


@pytest.mark.parametrize("drift", DRIFT)
def test_drift_is_detected_and_corrected(project, drift):
    before = docker("image", "inspect", "--format", "{{.Id}}", OLD)
    try:
        good(project.run())
        files = project.tree()
        DRIFT[drift](project)
        assert good(project.again())["changed"]
        corrected = good(project.run())
        assert corrected["changed"]
        assert corrected["status"]["s"]["state"] == "running"
        assert project.container()["State"]["Status"] == "running"
        assert project.tree() == files
        assert not good(project.again())["_todo"]
    finally:
        docker("tag", before, OLD)


# --- changes that recreate a container ----------------------------------------------------------------------------


CHANGES = {
    "key file": {"files": json.dumps({"keys/k.json": "{}"})},
    "another key file": {"files": json.dumps({"keys/k.json": "{}", "keys/l.json": "{}"})},
    "secret": {"secrets": {"URL": "https://l1.example/other"}},
    "environment": {"environment": {"A": "b"}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_container_is_recreated_only_after_a_change(project, change):
    good(project.run())
    first = project.container()["Id"]
    keys = (project.directory / "keys").stat().st_ino
    good(project.run())
    assert project.container()["Id"] == first
    changed = project.arguments(**CHANGES[change])
    assert good(project.run(changed))["changed"]
    assert project.container()["Id"] != first
    assert (project.directory / "keys").stat().st_ino == keys
    seen = docker("exec", f"{project.name}-s-1", "cat", "/keys/k.json")
    assert seen == json.loads(changed["files"])["keys/k.json"]


def test_key_file_that_is_no_longer_given_is_removed(project):
    good(project.run(project.arguments(files=json.dumps({"keys/k.json": "a", "keys/l.json": "b"}))))
    assert (project.directory / "keys/l.json").exists()
    good(project.run(project.arguments(files=json.dumps({"keys/k.json": "a"}))))
    assert not (project.directory / "keys/l.json").exists()


def test_service_that_is_no_longer_given_is_removed(project):
    both = {"services": {"s": project.service(), "t": project.service()}}
    good(project.run(project.arguments(compose=both)))
    assert good(project.run())["changed"]
    assert docker("ps", "-a", "--format", "{{.Names}}", "--filter", f"name={project.name}") == f"{project.name}-s-1"


# --- keys of the user ---------------------------------------------------------------------------------------------


def test_override_is_merged_and_removed(project):
    keys = {"mem_limit": "64m", "environment": ["B=b"], "labels": ["mine=1"], "ulimits": {"nofile": 99}}
    keys["dns"] = ["9.9.9.9"]
    base = project.service(labels={"role": "2"}, environment={"C": "c"}, ulimits={"core": 0}, dns=["1.1.1.1"])
    arguments = project.arguments(base, override={"services": {"s": keys}}, header="Managed")
    good(project.run(arguments))
    found = project.container()
    assert found["HostConfig"]["Memory"] == 64 * 1024**2
    assert sorted(limit["Name"] for limit in found["HostConfig"]["Ulimits"]) == ["core", "nofile"]
    assert found["HostConfig"]["Dns"] == ["1.1.1.1", "9.9.9.9"]
    assert {"B=b", "C=c", "A=a"} < set(found["Config"]["Env"])
    assert (found["Config"]["Labels"]["mine"], found["Config"]["Labels"]["role"]) == ("1", "2")
    text = (project.directory / "compose.override.yml").read_text()
    assert text.startswith("# Managed\nservices:\n  s:\n") and '    mem_limit: "64m"\n' in text
    assert not good(project.again(arguments))["_todo"]
    good(project.run(project.arguments(base)))
    assert project.container()["HostConfig"]["Memory"] == 0
    assert (project.directory / "compose.override.yml").read_text().startswith("services:\n  s:\n    labels: {")


def test_compose_up_in_the_directory_changes_nothing(project):
    """Compose reads both files and .env by itself."""
    arguments = project.arguments(override={"services": {"s": {"mem_limit": "64m"}}})
    good(project.run(arguments))
    first = project.container()["Id"]
    command = ["docker", "compose", "-p", project.name, "up", "--detach"]
    subprocess.run(command, cwd=project.directory, check=True, capture_output=True)
    assert project.container()["Id"] == first
    assert not good(project.again(arguments))["_todo"]


def test_failed_override_is_rolled_back(project):
    arguments = project.arguments(override={"services": {"s": {"mem_limit": "64m"}}})
    good(project.run(arguments))
    files = project.tree()
    bad = {"services": {"s": {"command": ["sh", "-c", "exit 3"]}}}
    result = project.run(project.arguments(override=bad))
    assert result["failed"] and result["rolled_back"], result
    assert project.tree() == files
    assert project.container()["HostConfig"]["Memory"] == 64 * 1024**2
    assert not good(project.again(arguments))["_todo"]


def test_changed_header_does_not_recreate_the_container(project):
    good(project.run())
    first = project.container()["Id"]
    given = passed(project.arguments())
    changed = {**given, "header": "Another"}
    changed.update({key: given[key].replace("# A header", "# Another") for key in ("env", "compose")})
    assert good(project.run(changed))["changed"]
    assert project.container()["Id"] == first
    assert (project.directory / ".env").read_text().startswith("# Another\n")
    assert not good(project.again(changed))["_todo"]


def headed(arguments: dict, inventory: str) -> dict:
    """Return arguments whose header is that of the roles for an inventory."""
    header = f"Managed by Ansible (aztec_ops.prover{inventory}): changes made here are overwritten."
    given = {**passed(arguments), "header": header}
    return {**given, **{key: given[key].replace("# A header", f"# {header}") for key in ("env", "compose")}}


def test_a_header_of_the_roles_comes_with_the_next_change(project):
    """By itself it is not a change, neither for a run nor for `differs`."""
    good(project.run(headed(project.arguments(), "")))
    first, before = project.container()["Id"], project.tree()
    named = headed(project.arguments(), ", inventory lab")
    assert not good(project.run(named))["changed"]
    planned = good(project.run(named, check=True, diff=True))
    assert (planned["differs"], planned["diff"]) == (False, [])
    assert (project.container()["Id"], project.tree()) == (first, before)
    changed = headed(project.arguments(environment={"A": "b"}), ", inventory lab")
    assert good(project.run(changed))["changed"]
    for name in (".env", "compose.yml", "compose.override.yml"):
        first = (project.directory / name).read_text().partition("\n")[0]
        assert first.startswith("# Managed by Ansible (aztec_ops.prover, inventory lab): ")
    assert not good(project.again(changed))["_todo"]


@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_project_of_another_inventory_is_left_as_it_is(project, state):
    good(project.run(headed(project.arguments(), ", inventory lab")))
    first, before = project.container()["Id"], project.tree()
    refused = project.run({**headed(project.arguments(environment={"A": "b"}), ", inventory other"), "state": state})
    assert refused["msg"].startswith(f"{project.name} is managed by the inventory lab, and this one is other: ")
    assert (project.container()["Id"], project.tree()) == (first, before)


# --- failing ------------------------------------------------------------------------------------------------------

FAIL = {
    "exits immediately": ({"command": ["sh", "-c", "echo key hunter2secret; exit 1"]}, "exit code 1"),
    "exits after a while": ({"command": ["sh", "-c", "sleep 1; exit 1"]}, "restarts"),
    "requires another version": ({"command": ["sh", "-c", "exit 79"], "restart": "no"}, "newer version"),
    "requires another version repeatedly": ({"command": ["sh", "-c", "exit 78"]}, "new rollup"),
    "no such program": ({"command": ["nothing-here"]}, "nothing-here"),
    "killed": ({"command": ["sh", "-c", "exit 137"], "restart": "no"}, "killed"),
    "health lost": (
        {"command": ["sh", "-c", f"{SERVE.replace('exec sleep 100000', 'sleep 4; rm /www/status; exec sleep 1000')}"],
         "healthcheck": {"test": ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/status"],
                         "interval": "1s", "retries": 1, "start_period": "1s"}},
        "no longer",
    ),
    "no such mount": ({"volumes": ["type=nothing:/x/../..:bad"]}, "Compose rejects"),
}  # fmt: skip


@pytest.mark.parametrize("case", [case for case in FAIL if case != "health lost"])
def test_failed_project_is_rolled_back(project, case):
    changes, expected = FAIL[case]
    good(project.run())
    files = project.tree()
    command = project.container()["Config"]["Cmd"]
    result = project.run(project.arguments(project.service(**changes), environment={"A": "new"}))
    assert result["failed"]
    assert expected in result["msg"] and "\n" not in result["msg"]
    assert "hunter2secret" not in json.dumps(result)
    assert project.tree() == files
    after = project.container()
    assert (after["State"]["Status"], after["Config"]["Cmd"]) == ("running", command)
    if not expected.startswith("Compose rejects"):
        assert result["rolled_back"]
    if case == "exits immediately":
        assert "key ***" in result["logs"]
    assert not good(project.again())["_todo"]


def test_failed_first_start_is_not_rolled_back(project):
    result = project.run(project.arguments(project.service(command=["sh", "-c", "exit 3"])))
    assert result["failed"] and not result["rolled_back"]
    assert "no earlier state" in result["msg"]
    assert good(project.run())["status"]["s"]["state"] == "running"
    assert not good(project.again())["_todo"]


def test_lost_health_is_a_failure(project):
    changes, expected = FAIL["health lost"]
    first = project.run(project.arguments(project.service(**changes), wait_timeout=20))
    assert good(first)["status"]["s"]["health"] == "healthy"
    arguments = project.arguments(project.service(**changes), wait_timeout=5)
    end = time.monotonic() + 30
    while project.container()["State"]["Health"]["Status"] != "unhealthy" and time.monotonic() < end:
        time.sleep(0.5)
    found = project.again(arguments)
    assert found["_todo"] and found["status"]["s"]["state"] == "failed"
    result = project.run(arguments)
    assert result["failed"] and expected in result["msg"] and not result["rolled_back"] and not result["changed"]


def test_running_container_that_is_not_healthy_yet_is_starting(project):
    never = {"test": ["CMD", "false"], "interval": "1s", "retries": 1, "start_period": "0s"}
    arguments = project.arguments(project.service(healthcheck=never), wait_timeout=5)
    result = good(project.run(arguments))
    assert project.container()["State"]["Health"]["Status"] == "unhealthy"
    assert result["status"]["s"]["state"] == "starting"
    assert not good(project.again(arguments))["_todo"]


def test_insufficient_memory_is_reported(project):
    eat = ["sh", "-c", "x=x; while true; do x=$$x$$x; done"]
    changes = {"command": eat, "restart": "no", "mem_limit": "20m", "memswap_limit": "20m"}
    result = project.run(project.arguments(project.service(**changes)))
    assert result["failed"] and result["status"]["s"]["exit_code"] == 137
    assert "memory" in result["msg"]


def test_one_restart_is_not_a_failure(project):
    once = "test -e /data/once && exec sleep 1000; touch /data/once; exit 1"
    arguments = project.arguments(project.service(command=["sh", "-c", once], healthcheck=None))
    result = good(project.run(arguments))
    assert result["status"]["s"]["restarts"] == 1


def test_service_that_succeeds_is_exited(project):
    seed = project.service(command=["true"], restart="no", healthcheck=None)
    arguments = project.arguments(compose={"services": {"s": project.service(), "seed": seed}})
    result = good(project.run(arguments))
    assert result["status"]["seed"]["state"] == "exited"
    assert not good(project.again(arguments))["_todo"]


def test_failed_dependency_is_reported(project):
    seed = project.service(command=["sh", "-c", "echo the CRS is incomplete; exit 3"], restart="no", healthcheck=None)
    waiting = project.service(depends_on={"seed": {"condition": "service_completed_successfully"}})
    result = project.run(project.arguments(compose={"services": {"seed": seed, "s": waiting}}))
    assert result["failed"] and "\n" not in result["msg"]
    assert f"{project.name}-seed-1 is exited with exit code 3" in result["msg"]
    assert "last log line: the CRS is incomplete" in result["msg"]
    assert "never started" not in result["msg"]


# --- data that a newer version has opened -------------------------------------------------------------------------


def test_rollback_to_an_older_image_with_unchanged_data(project):
    good(project.run(project.arguments(data_directory="data")))
    newer = project.service(image=NEW, command=["sh", "-c", "cat /data/x; exit 1"])
    result = project.run(project.arguments(newer, data_directory="data"))
    assert result["rolled_back"], result
    assert project.container()["Config"]["Image"] == OLD


@pytest.mark.parametrize("touch", ["touch /data/x", "mkdir /data/db", "cat /version >/data/old"])
def test_no_rollback_after_the_data_was_changed(project, touch):
    good(project.run(project.arguments(data_directory="data")))
    (project.directory / "data/old").write_text("old")
    newer = project.service(image=NEW, command=["sh", "-c", f"{touch}; exit 1"])
    arguments = project.arguments(newer, data_directory="data")
    for dummy in range(2):
        result = project.run(arguments)
        assert result["failed"] and not result["rolled_back"]
        assert "has opened" in result["msg"]
        assert project.container()["Config"]["Image"] == NEW
    # The remedy in the message.
    assert good(project.run(project.arguments(data_directory="data")))["status"]["s"]["state"] == "running"


def test_rollback_to_the_same_image_after_the_data_was_changed(project):
    good(project.run(project.arguments(data_directory="data")))
    other = project.service(command=["sh", "-c", "touch /data/x; exit 1"])
    assert project.run(project.arguments(other, data_directory="data"))["rolled_back"]


def test_rollback_restores_the_image_of_a_tag(project):
    good(project.run())
    before = docker("image", "inspect", "--format", "{{.Id}}", OLD)
    try:
        docker("tag", NEW, OLD)
        result = project.run(project.arguments(project.service(command=["sh", "-c", "exit 1"])))
        assert result["rolled_back"], result
        assert project.container()["Image"] == before
        assert not good(project.again())["_todo"]
    finally:
        docker("tag", before, OLD)


# --- interrupted --------------------------------------------------------------------------------------------------


def end_state(project) -> tuple:
    found = project.container()
    state = json.loads((project.directory / ".stack/state.json").read_text())
    labels = {key: value for key, value in found["Config"]["Labels"].items() if "aztec" in key}
    own = sorted(path.name for path in (project.directory / ".stack").iterdir() if not path.name.startswith("good-"))
    return (
        project.tree(),
        found["Name"],
        found["Image"],
        sorted(found["Config"]["Env"]),
        labels,
        found["State"]["Status"],
        state["files"],
        state["secret_keys"],
        own,
        len(list((project.directory / ".stack").glob("good-*"))),
    )


def test_next_run_completes_an_interrupted_run(project):
    project.directory.parent.mkdir(exist_ok=True)
    old = project.arguments(data_directory="data")
    new = project.arguments(
        project.service(image=NEW),
        environment={"A": "b"},
        files=json.dumps({"keys/other.json": "{}"}),
        data_directory="data",
    )
    good(project.run(old))
    begun = time.monotonic()
    good(project.run(new))
    whole = time.monotonic() - begun
    expected = end_state(project)
    random.seed(7)
    for turn in range(6):
        good(project.run(old))
        process = project.start(new)
        time.sleep(whole * (turn + random.random()) / 6)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        good(project.run(new))
        assert end_state(project) == expected, turn
        assert not good(project.again(new))["_todo"]


def _locked(project) -> bool:
    with open(project.directory / ".stack/lock", "rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_run_waits_for_the_commands_of_a_killed_run(project):
    slow = project.service(stop_signal="SIGTERM", stop_grace_period="6s")
    good(project.run(project.arguments(slow)))
    process = project.start(project.arguments(slow, environment={"A": "b"}))
    progress = project.directory / ".stack/progress.json"
    end = time.monotonic() + 60
    while "starting" not in progress.read_text() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert _locked(project)
    good(project.run(project.arguments(slow, environment={"A": "b"})))
    assert not _locked(project)
    assert environment_of(f"{project.name}-s-1")["A"] == "b"


def test_only_one_of_two_simultaneous_runs_changes_anything(project):
    one, two = project.start(project.arguments()), project.start(project.arguments())
    results = [json.loads(process.communicate(timeout=180)[0]) for process in (one, two)]
    assert sorted(good(result)["changed"] for result in results) == [False, True]


# A docker command that fails after one of its calls has had a certain argument.
ENGINE = """#!/bin/sh
for word; do if [ "$word" = {word} ]; then touch {gone}; fi; done
if [ -e {gone} ]; then echo 'Cannot connect to the Docker daemon' >&2; exit 1; fi
exec {docker} "$@"
"""


@pytest.mark.parametrize(("word", "known"), [("config", True), ("up", False)])
def test_failure_reports_whether_the_state_is_known(project, tmp_path, word, known):
    path = tmp_path / "bin"
    path.mkdir()
    command = path / "docker"
    command.write_text(ENGINE.format(word=word, gone=tmp_path / "gone", docker=shutil.which("docker")))
    command.chmod(0o755)
    result = project.run(path=f"{path}:{os.environ['PATH']}")
    assert result["failed"] and "Cannot connect" in result["msg"]
    assert (result["changed"], result.get("known", True)) == (not known, known)


def test_labels_of_equal_secrets_differ_between_projects(project, images, tmp_path):
    """Anybody who reads a label could otherwise test guesses of a secret."""
    other = Project(f"{project.name}-other", tmp_path / "other")
    try:
        for one in (project, other):
            good(one.run())
            assert not good(one.again())["_todo"]
        texts = [(one.directory / "compose.override.yml").read_text() for one in (project, other)]
        digests = [re.findall(r"\b[0-9a-f]{32}\b", text) for text in texts]
        assert len(digests[0]) == len(digests[1]) > 0
        assert not set(digests[0]) & set(digests[1])
        salt = project.directory / ".stack/salt"
        assert stat.S_IMODE(salt.stat().st_mode) == 0o600
        salt.unlink()
        assert {action.partition(":")[0] for action in good(project.run())["actions"]} >= {"recreate s"}
        assert not good(project.again())["_todo"]
    finally:
        docker("compose", "-p", other.name, "down", "-t", "0", "--volumes", check=False)


# --- as a job -----------------------------------------------------------------------------------------------------

JOB, OTHER = secrets.token_hex(8), secrets.token_hex(8)
JOBS = Path("/run/aztec-compose-stack")


def query_job(project, phase: str, job: str = JOB) -> dict:
    """Return the module's result for a job, called as by the action plugin: without secrets."""
    arguments = {"project": project.name, "directory": str(project.directory), "state": "absent"}
    return good(project.run({**arguments, "_phase": phase, "_job": job}))


def ended(project, job: str = JOB) -> dict:
    """Wait for the end of a job and return its progress then."""
    end = time.monotonic() + 60
    while (progress := query_job(project, "progress", job))["alive"] and time.monotonic() < end:
        time.sleep(0.3)
    return progress


def job_processes(job: str = JOB) -> list[int]:
    """Return the processes that have a job's file `alive` open."""
    held = str(JOBS / job / "alive")
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found += [int(process.name) for fd in (process / "fd").iterdir() if os.readlink(fd) == held]
        except OSError:
            continue
    return found


@pytest.fixture
def job(project):
    yield JOB
    for name in (JOB, OTHER):
        shutil.rmtree(JOBS / name, ignore_errors=True)


def test_job_continues_after_the_module_has_ended(project, job):
    begun = time.monotonic()
    assert good(project.run(project.arguments(_phase="start", _job=job)))["started"]
    assert time.monotonic() - begun < 5
    running = query_job(project, "progress")
    assert (running["alive"], running["result"]) == (True, None)
    (process,) = job_processes()
    assert os.getsid(process) != os.getsid(0)
    result = ended(project)["result"]
    assert result["status"]["s"]["state"] == "running" and result["changed"]
    assert not good(project.again())["_todo"]
    query_job(project, "forget")
    assert not (JOBS / job).exists()


def test_state_and_arguments_of_a_job_contain_no_secret(project, job):
    good(project.run(project.arguments(_phase="start", _job=job)))
    held = []
    while query_job(project, "progress")["alive"]:
        held += [path for path in (JOBS / job).iterdir() if "secret" in path.read_text()]
        held += [path for path in Path("/proc").glob("[0-9]*/cmdline") if _holds(path, b"hunter2secret")]
    assert held == []
    assert stat.S_IMODE(JOBS.stat().st_mode) == stat.S_IMODE((JOBS / job).stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (JOBS / job).iterdir()} == {0o600}


def _holds(path: Path, text: bytes) -> bool:
    try:
        return text in path.read_bytes()
    except OSError:
        return False


def test_failed_job_reports_its_error_without_secrets(project, job):
    service = project.service(command=["sh", "-c", "echo key hunter2secret; exit 1"])
    good(project.run(project.arguments(service, _phase="start", _job=job)))
    result = ended(project)["result"]
    assert result["failed"] and "exit code 1" in result["msg"] and "key ***" in result["logs"]
    assert "hunter2secret" not in (JOBS / job / "result.json").read_text()


def test_killed_job_has_no_result(project, job):
    good(project.run(project.arguments(_phase="start", _job=job)))
    for process in job_processes():
        os.kill(process, signal.SIGKILL)
    assert {key: ended(project)[key] for key in ("alive", "result")} == {"alive": False, "result": None}
    good(project.run())


def test_result_of_a_job_is_kept_until_it_expires(project, job):
    good(project.run(project.arguments(_phase="start", _job=job)))
    assert ended(project)["result"]["changed"] is True
    over = (JOBS / job / "alive").stat().st_mtime
    longest = job_limit(25) + JOB_KEPT
    for age, kept in ((0, True), (longest - 60, True), (longest, False)):
        os.utime(JOBS / job / "alive", (over - age, over - age))
        # Only a job that has work to do starts, and removes what has expired.
        good(project.run(project.arguments(_phase="start", _job=OTHER, environment={"A": str(age)})))
        assert (JOBS / job).exists() is kept
        assert ended(project, OTHER)["result"]["changed"] is True
        query_job(project, "forget", OTHER)


# --- lost connections ---------------------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[2]
# Replaces ssh, so that this machine is the host. A file contains how the connection fails.
SSH = """#!/bin/sh
if [ -e {cut} ]; then . {cut}; fi
for command; do :; done
exec sh -c "$command"
"""
CUTS = {
    "refused": "echo 'connect to host h port 22: Connection refused' >&2; exit 255",
    "killed": "kill -9 $$",
    "closed during the response": "cat >/dev/null; echo 'Connection closed' >&2; exit 255",
    "disk full": "echo 'No space left on device' >&2; exit 1",
}
AWAY = "no progress for now: "


class Played:
    """A run of the real ansible-playbook with one task, over a connection that can be cut."""

    def __init__(self, project, folder: Path) -> None:
        self.project, self.cut, ssh = project, folder / "cut", folder / "ssh"
        ssh.write_text(SSH.format(cut=self.cut))
        ssh.chmod(0o755)
        # It starts slowly, so that there is progress to show, and another query begins after the connection is cut: the
        # one that is under way then can wait for 4 s on the host.
        arguments = project.arguments(project.service(command=["sh", "-c", f"sleep 16; {SERVE}"]), wait_timeout=60)
        task = {"aztec_ops.prover.compose_stack": passed(arguments)}
        host = {"ansible_ssh_executable": str(ssh), "ansible_python_interpreter": sys.executable}
        play = folder / "play.json"
        play.write_text(json.dumps([{"hosts": "h", "gather_facts": False, "tasks": [task]}]))
        inventory = folder / "hosts.json"
        inventory.write_text(json.dumps({"all": {"hosts": {"h": host}}}))
        self.output = folder / "output"
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "500",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory), str(play)],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + 60
        while text not in self.output.read_text():
            assert time.monotonic() < end and self.process.poll() is None, self.output.read_text()
            time.sleep(0.1)

    def end(self) -> tuple[int, str]:
        code = self.process.wait(180)
        return code, self.output.read_text()

    def job_directory(self) -> Path:
        """Return the directory of the job."""
        return JOBS / json.loads((self.project.directory / ".stack/progress.json").read_text())["job"]

    def job_result(self) -> dict:
        """Wait for the end of the job and return its result."""
        place, end = self.job_directory() / "result.json", time.monotonic() + 120
        while not place.exists() and time.monotonic() < end:
            time.sleep(0.2)
        return json.loads(place.read_text())


@pytest.fixture
def played(project, tmp_path):
    made = Played(project, tmp_path)
    made.wait_for("waiting: s is starting")
    yield made
    made.process.kill()
    made.process.wait()
    shutil.rmtree(made.job_directory(), ignore_errors=True)


@pytest.mark.parametrize("cut", CUTS)
def test_run_succeeds_after_a_temporary_connection_loss(played, cut):
    played.cut.write_text(CUTS[cut])
    played.wait_for(AWAY)
    time.sleep(6)
    played.cut.unlink()
    code, output = played.end()
    assert code == 0 and "changed=1" in output, output
    assert output.count(AWAY) == 1
    assert not played.job_directory().exists()


# A shell that is killed breaks the pipe to it, or its output ends without a result. For Ansible, either the host is
# unreachable, or the task has failed.
@pytest.mark.parametrize(
    ("cut", "recaps"), [("refused", {4: "unreachable=1"}), ("killed", {4: "unreachable=1", 2: "failed=1"})]
)
def test_job_continues_on_the_host_after_a_permanent_connection_loss(played, cut, recaps):
    played.cut.write_text(CUTS[cut])
    found, output = played.end()
    assert output.count(AWAY) == 1 and found in recaps, output
    recap = recaps[found]
    assert recap in output and "the result of the work on" in output and "hunter2secret" not in output
    # No run has fetched the result, so it still exists, and the project runs.
    assert played.job_result()["status"]["s"]["state"] == "running"


# --- pulled, absent, network --------------------------------------------------------------------------------------


def test_failed_pull_is_reported_and_changes_nothing(project):
    assert not good(project.run(project.arguments(state="pulled")))["changed"]
    good(project.run())
    files = project.tree()
    missing = project.service(image="127.0.0.1:9/none/none:1")
    for state in ("pulled", "present"):
        result = project.run(project.arguments(missing, state=state))
        assert result["failed"] and "Pulling 127.0.0.1:9/none/none:1 failed" in result["msg"]
        assert "\n" not in result["msg"]
        assert project.tree() == files
        assert project.container()["State"]["Status"] == "running"


def test_absent_keeps_data(project):
    good(project.run())
    (project.directory / "data/precious").write_text("x")
    gone = {"project": project.name, "directory": str(project.directory), "state": "absent"}
    assert good(project.run(gone, check=True))["changed"]
    assert good(project.run(gone))["changed"]
    assert not docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={project.name}")
    assert [path.name for path in project.directory.rglob("*")] == ["data", "precious"]
    assert not good(project.run(gone))["changed"]


REMOVED = f"{NAME}/removed"


def removal(project, **changes) -> dict:
    """Return the arguments that remove a project with all that only it uses."""
    return {
        "project": project.name, "directory": str(project.directory), "directories": ["data", "keys"],
        "state": "absent", "remove_network": True, "remove_images": [REMOVED], "remove_data": True, **changes,
    }


def networked(project, network) -> dict:
    """Return a Compose model with an image and a network that only it uses."""
    docker("tag", OLD, f"{REMOVED}:1")
    return {
        "services": {"s": project.service(image=f"{REMOVED}:1", networks=["shared"])},
        "networks": {"shared": {"external": True, "name": network["name"]}},
    }


def test_absent_removes_all_that_only_the_project_uses(project, network):
    """Network, images in all versions, data and empty directories above it. A second removal has nothing to do."""
    files = json.dumps({"keys/a.json": "{}"})
    good(project.run(project.arguments(compose=networked(project, network), network=network, files=files)))
    docker("tag", OLD, f"{REMOVED}:2")
    (project.directory / "data/precious").write_text("x")
    (project.directory / "data/link").symlink_to("/etc")
    gone = removal(project, network=network)
    checked = good(project.run(gone, check=True))
    actions = good(project.run(gone))["actions"]
    assert checked["actions"] == actions
    assert {
        f"remove image {REMOVED}:1", f"remove image {REMOVED}:2", f"remove network {network['name']}",
        f"remove data {project.directory}/data",
    } <= set(actions)
    assert docker("image", "ls", "--quiet", REMOVED) == ""
    assert docker("network", "ls", "--quiet", "--filter", f"name={network['name']}") == ""
    assert not project.directory.exists()
    assert Path("/etc/passwd").exists()
    assert not good(project.run(gone))["changed"]


def test_absent_keeps_what_another_project_uses(project, network):
    """A stopped container is enough. What is kept is removed when nothing uses it any more."""
    good(project.run(project.arguments(compose=networked(project, network), network=network)))
    other, data, image = f"{NAME}-other", project.directory / "data", f"{REMOVED}:1"
    docker("run", "--detach", "--name", other, "--network", network["name"], "--volume", f"{data}:/data", image)
    docker("stop", "--time", "0", other)
    gone = removal(project, network=network)
    try:
        result = good(project.run(gone))
        kept = (f"remove image {image}", f"remove network {network['name']}", f"remove data {data}")
        assert not set(kept) & set(result["actions"])
        (warning,) = result["warnings"]
        assert f"{data} is kept, because the container {other} uses it: remove it after" in json.dumps(warning)
        assert docker("image", "inspect", image) and docker("network", "inspect", network["name"]) and data.is_dir()
    finally:
        docker("rm", "--force", other)
    assert set(kept) <= set(good(project.run(gone))["actions"])
    assert not data.exists()
    assert not project.directory.exists()


@pytest.fixture
def network():
    name = f"{NAME}-net"
    yield {"name": name, "bridge": f"b{os.getpid()}", "ipv6_subnet": "fd5a:77::/64", "ipv4_subnet": "10.213.7.0/24"}
    docker("network", "rm", name, check=False)


def test_network_is_created_and_a_wrong_one_is_rejected(project, network):
    model = {
        "services": {"s": project.service(networks=["shared"])},
        "networks": {"shared": {"external": True, "name": network["name"]}},
    }
    arguments = project.arguments(compose=model, network=network)
    good(project.run(arguments))
    made = json.loads(docker("network", "inspect", network["name"]))[0]
    assert made["Options"]["com.docker.network.bridge.name"] == network["bridge"]
    assert Path("/sys/class/net").joinpath(network["bridge"]).exists() or os.environ.get("DOCKER_HOST", "").startswith(
        "tcp"
    )
    assert {item["Subnet"] for item in made["IPAM"]["Config"]} == {"10.213.7.0/24", "fd5a:77::/64"}
    assert not good(project.again(arguments))["_todo"]
    for change in ({"bridge": "other0"}, {"ipv4_subnet": "10.9.9.0/24"}):
        for check in (True, False):
            result = project.run({**arguments, "network": {**network, **change}}, check=check)
            assert result["failed"] and network["name"] in result["msg"] and "\n" not in result["msg"]
    # The remedy in the message.
    follow(result["msg"])
    changed = {**network, "bridge": f"c{os.getpid()}", "ipv4_subnet": "10.213.8.0/24"}
    good(project.run({**arguments, "network": changed}))
    made = json.loads(docker("network", "inspect", network["name"]))[0]
    assert made["Options"]["com.docker.network.bridge.name"] == changed["bridge"]
    docker("compose", "-p", project.name, "down", "-t", "0")


def follow(line: str) -> None:
    """Run the commands in the remedy of an error about a network."""
    remedy = re.search(r"on the host, run (.+); then run site\.yml", line)
    assert remedy, line
    subprocess.run(["sh", "-c", remedy.group(1)], check=True, capture_output=True)


def test_missing_free_subnet_is_reported(project, network):
    """The addresses to avoid are in all of the engine's address pools."""
    pools = docker_networks.pools_of(json.loads(docker("info", "--format", "{{json .DefaultAddressPools}}")))
    wanted = {"name": network["name"], "bridge": network["bridge"], "avoid": [base for base, _size in pools]}
    model = {
        "services": {"s": project.service(networks=["shared"])},
        "networks": {"shared": {"external": True, "name": network["name"]}},
    }
    refused = project.run(project.arguments(compose=model, network=wanted))
    assert refused["failed"] and refused["msg"].endswith(": set aztec_docker_ipv4_subnet to a subnet that is free")
    given = {**wanted, "ipv4_subnet": network["ipv4_subnet"]}
    good(project.run(project.arguments(compose=model, network=given)))
    docker("compose", "-p", project.name, "down", "-t", "0")


def test_network_fits_the_host_and_the_fleet(project, network):
    """No subnet contains an address to avoid. A different MTU of an existing network is rejected. The remedy works."""
    avoid = ["172.18.0.10", "172.19.0.10", "172.20.0.10", "192.168.0.10"]
    wanted = {"name": network["name"], "bridge": network["bridge"], "mtu": 1400, "avoid": avoid}
    model = {
        "services": {"s": project.service(networks=["shared"])},
        "networks": {"shared": {"external": True, "name": network["name"]}},
    }
    good(project.run(project.arguments(compose=model, network=wanted)))
    made = json.loads(docker("network", "inspect", network["name"]))[0]
    assert made["Options"]["com.docker.network.driver.mtu"] == "1400"
    (subnet,) = [ipaddress.ip_network(item["Subnet"]) for item in made["IPAM"]["Config"]]
    assert not [address for address in avoid if ipaddress.ip_address(address) in subnet]
    # Derived values apply only to a new network. An existing network does not change.
    derived = project.arguments(compose=model, network={**wanted, "mtu": 0, "avoid": [str(subnet[10])]})
    assert not good(project.again(derived))["_todo"]
    other = project.arguments(compose=model, network={**wanted, "mtu": 1300})
    refused = project.run(other)
    assert refused["failed"] and f"network {network['name']} has MTU 1400, not 1300: " in refused["msg"]
    follow(refused["msg"])
    good(project.run(other))
    made = json.loads(docker("network", "inspect", network["name"]))[0]
    assert made["Options"]["com.docker.network.driver.mtu"] == "1300"
    docker("compose", "-p", project.name, "down", "-t", "0")


def test_network_has_the_mtu_of_a_narrow_uplink(project, network):
    """By default, the MTU is that of the default route's interface if it is below Docker's 1500."""
    wanted = {"name": network["name"], "bridge": network["bridge"]}
    model = {
        "services": {"s": project.service(networks=["shared"])},
        "networks": {"shared": {"external": True, "name": network["name"]}},
    }
    good(project.run(project.arguments(compose=model, network=wanted)))
    shown = subprocess.run(["ip", "-j", "route", "show", "default"], capture_output=True, check=True).stdout
    device = min(json.loads(shown), key=lambda route: route.get("metric", 0))["dev"]
    uplink = int(Path("/sys/class/net", device, "mtu").read_text())
    made = json.loads(docker("network", "inspect", network["name"]))[0]
    expected = str(uplink) if uplink < 1500 else None
    assert made["Options"].get("com.docker.network.driver.mtu") == expected
    docker("compose", "-p", project.name, "down", "-t", "0")


def test_proxies_are_bypassed_inside_the_fleet(project, tmp_path, monkeypatch):
    """The container gets the proxies of the CLI's config.json, and NO_PROXY with the addresses of the fleet."""
    before = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    proxies = {"default": {"httpProxy": "http://127.0.0.1:9", "noProxy": "corp.lan"}}
    plugins = {"cliPluginsExtraDirs": [str(before / "cli-plugins")]}
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.json").write_text(json.dumps({"proxies": proxies, **plugins}))
    local = "localhost,127.0.0.1,::1,[::1]"
    arguments = project.arguments(no_proxy=["broker.lan"])
    good(project.run(arguments))
    assert "PROXY" not in str(project.container()["Config"]["Env"]).upper()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    service = project.service(healthcheck=None)
    arguments = project.arguments(service, no_proxy=["broker.lan"])
    good(project.run(arguments))
    seen = dict(entry.split("=", 1) for entry in project.container()["Config"]["Env"])
    bypassed = dict.fromkeys(("NO_PROXY", "no_proxy"), f"corp.lan,{local},broker.lan")
    assert {key: value for key, value in seen.items() if key.lower().endswith("_proxy")} == {
        "HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", **bypassed
    }  # fmt: skip
    assert not good(project.again(arguments))["_todo"]


# --- stopped, started, restarted -----------------------------------------------------------------------------------


def run_state(project, state: str, **more) -> dict:
    """Return arguments that need only the project and its directory."""
    return {"project": project.name, "directory": str(project.directory), "state": state, "wait_timeout": 25, **more}


def test_what_was_stopped_stays_stopped_until_it_is_started(project):
    good(project.run())
    first = project.container()["Id"]
    stopped = good(project.run(run_state(project, "stopped")))
    assert stopped["changed"] and stopped["actions"] == ["stop s: it was requested", "keep it stopped"]
    assert project.container()["State"]["Status"] == "exited"
    for again in (
        run_state(project, "stopped"),
        run_state(project, "restarted"),
        project.arguments(),
        project.arguments(environment={"A": "b"}),
    ):
        left = good(project.run(again))
        assert (left["changed"], left["actions"], left["stopped"]) == (False, [], True)
    assert project.container()["State"]["Status"] == "exited"
    started = good(project.run(run_state(project, "started")))
    assert started["actions"] == ["no longer keep it stopped", "start s: it was exited"]
    assert started["status"]["s"]["health"] == "healthy" and project.container()["Id"] == first
    assert not good(project.again())["_todo"] and not good(project.run(run_state(project, "started")))["changed"]


def test_a_stop_that_the_next_run_ends(project):
    good(project.run())
    stopped = good(project.run(run_state(project, "stopped", stay_stopped=False)))
    assert stopped["actions"] == ["stop s: it was requested"]
    assert good(project.run())["changed"] and project.container()["State"]["Status"] == "running"


def test_restart(project):
    good(project.run())
    before = project.container()
    assert good(project.run(run_state(project, "restarted")))["changed"]
    after = project.container()
    assert before["Id"] == after["Id"] and before["State"]["StartedAt"] < after["State"]["StartedAt"]
    assert not good(project.again())["_todo"]


def test_a_restart_starts_what_has_ended(project):
    good(project.run())
    docker("stop", "-t", "0", f"{project.name}-s-1")
    assert good(project.run(run_state(project, "restarted")))["actions"] == ["start s: it was exited"]
    assert project.container()["State"]["Status"] == "running"


def test_images_of_a_stopped_project_are_pulled(project):
    good(project.run())
    good(project.run(run_state(project, "stopped")))
    missing = project.arguments(project.service(image=f"{NAME}/missing:1"), state="pulled")
    assert "Pulling" in project.run(missing)["msg"]


def test_paused_containers_are_stopped_and_started(project):
    good(project.run())
    docker("pause", f"{project.name}-s-1")
    good(project.run(run_state(project, "stopped")))
    assert project.container()["State"]["Status"] == "exited"
    good(project.run(run_state(project, "started")))
    docker("pause", f"{project.name}-s-1")
    assert good(project.run(run_state(project, "started")))["changed"]
    assert project.container()["State"]["Status"] == "running"


def test_a_start_that_fails_is_reported_with_its_log(project):
    service = project.service(command=["sh", "-c", f"test -e /data/broken && exit 3; {SERVE}"])
    good(project.run(project.arguments(service)))
    good(project.run(run_state(project, "stopped")))
    (project.directory / "data" / "broken").touch()
    failed = project.run(run_state(project, "started"))
    assert failed["failed"] and "exit code 3" in failed["msg"] and "Its files were not changed" in failed["msg"]


@pytest.mark.parametrize("state", ["stopped", "started", "restarted"])
def test_a_project_that_is_not_deployed(project, state):
    refused = project.run(run_state(project, state))
    assert refused["msg"] == f"{project.name} is not deployed on this host: run site.yml first"
    assert refused["failed"] and not refused["changed"] and not project.directory.exists()
    good(project.run())
    good(project.run(run_state(project, state)))


@pytest.mark.parametrize("state", ["stopped", "started", "restarted"])
def test_a_project_of_another_inventory_is_not_stopped(project, state):
    header = "Managed by Ansible (aztec_ops.prover, inventory {}): changes made here are overwritten."
    lines = [f"# {header.format('a')}", json.dumps({"services": {"s": project.service()}})]
    good(project.run(project.arguments(compose="\n".join(lines), header=header.format("a"))))
    refused = project.run(run_state(project, state, header=header.format("b")))
    assert refused["failed"] and "inventory a" in refused["msg"]
    assert project.container()["State"]["Status"] == "running"


# --- drained --------------------------------------------------------------------------------------------------------

# Responds to each request with the text of a file, as an agent that reports its work.
ANSWER = """#!/bin/sh
while read -r line && [ "${#line}" -gt 1 ]; do
  case $line in Content-Length:*) length=${line#*: } ;; esac
done
read -r -n "${length%?}" request
body=$(cat /data/work)
printf 'HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %s\\r\\n\\r\\n%s' "${#body}" "$body"
"""
DRAINED = {"drain_method": "agent_getStatus", "drain_timeout": 60}


def report(project, number: int, job: str = "") -> None:
    """Set the work that an agent reports: a job that has just begun, or none."""
    work = {"status": "proving", "jobId": job, "proofType": "A"} if job else {"status": "running"}
    file = project.directory / f"data{number}" / "work"
    file.with_suffix(".new").write_text(json.dumps({"jsonrpc": "2.0", "id": 1, "result": work}))
    file.with_suffix(".new").rename(file)


@pytest.fixture(name="agents")
def fixture_agents(project):
    """Return the arguments of a project with two agents that work on a job, and run it."""
    services = {}
    for number in (1, 2):
        data = project.directory / f"data{number}"
        data.mkdir(parents=True)
        (data / "answer").write_text(ANSWER)
        (data / "answer").chmod(0o755)
        report(project, number, "first")
        command = ["nc", "-ll", "-p", "8080", "-e", "/data/answer"]
        volumes = [f"./data{number}:/data"]
        services[f"prover-agent-{number}"] = project.service(command=command, healthcheck=None, volumes=volumes)
    arguments = project.arguments(None, compose={"services": services}, directories=[], **DRAINED)
    good(project.run(arguments))
    return arguments


def status(project, number: int) -> str:
    return project.container(f"prover-agent-{number}")["State"]["Status"]


def wait_until(condition) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("change", ["stopped", "restarted", "absent", "present"])
def test_each_agent_is_stopped_at_its_next_job(project, agents, change):
    first = [project.container(f"prover-agent-{number}")["Id"] for number in (1, 2)]
    wanted = {"present": {**agents, "environment": {"A": "b"}}}.get(change, run_state(project, change, **DRAINED))
    process = project.start(wanted)
    time.sleep(3)
    assert process.poll() is None and [status(project, number) for number in (1, 2)] == ["running"] * 2
    report(project, 2, "second")
    wait_until(lambda: status(project, 2) == "exited")
    assert status(project, 1) == "running"
    report(project, 1)
    result = good(json.loads(process.communicate(timeout=60)[0]))
    drained = [line for line in result["actions"] if "of proving time lost" in line]
    assert [line.partition(",")[0] for line in drained] == [f"stop {project.name}-prover-agent-{n}-1" for n in (2, 1)]
    assert [float(line.split()[2]) for line in drained][1] == 0 <= float(drained[0].split()[2]) <= 1
    assert not result.get("warnings")
    if change == "present":
        assert not {*first} & {project.container(f"prover-agent-{number}")["Id"] for number in (1, 2)}


def test_agents_run_again_if_a_change_fails_after_their_drain(project, agents):
    first = [project.container(f"prover-agent-{number}")["Id"] for number in (1, 2)]
    for number in (1, 2):
        report(project, number)
    (project.directory / ".env").unlink()
    (project.directory / ".env").mkdir()
    failed = project.run({**agents, "environment": {"A": "b"}})
    assert failed["failed"] and "is a directory and must be a file" in failed["msg"]
    assert failed["actions"][-1] == "start the drained containers again"
    assert [project.container(f"prover-agent-{number}")["Id"] for number in (1, 2)] == first
    assert [status(project, number) for number in (1, 2)] == ["running"] * 2


def test_an_agent_that_never_ends_its_job_is_stopped_after_the_timeout(project, agents):
    begun = time.monotonic()
    result = good(project.run(run_state(project, "stopped", **{**DRAINED, "drain_timeout": 4})))
    assert 4 <= time.monotonic() - begun < 20
    warnings = [json.dumps(one) for one in result["warnings"]]
    assert len(warnings) == 2 and all("drain timeout of 4 s" in one and "job first (A)" in one for one in warnings)


@pytest.mark.parametrize("without", [{"drain_timeout": 0}, {"drain_method": ""}])
def test_without_a_drain_no_agent_is_waited_for(project, agents, without):
    begun = time.monotonic()
    result = good(project.run(run_state(project, "stopped", **{**DRAINED, **without})))
    assert time.monotonic() - begun < 15 and "warnings" not in result


def test_what_does_not_end_an_agent_does_not_wait(project, agents):
    docker("kill", f"{project.name}-prover-agent-1-1")
    begun = time.monotonic()
    good(project.run(agents))
    assert time.monotonic() - begun < 25 and [status(project, number) for number in (1, 2)] == ["running"] * 2


# --- agents in separate containers --------------------------------------------------------------------------------


def agents(project, network: dict, count: int, separate: bool) -> dict:
    """Return the arguments for agents in the containers of the role, with a program that serves instead of Aztec."""
    layout = agent_layout(count, separate)
    addresses = [each["mac_address"] for each in guard_section("prover_agent", 8080, count=count)["containers"]]
    service = {**project.service(), "entrypoint": ["sh", "-c", SERVE], "networks": ["fleet"], "mem_limit": "64m"}
    service = {key: value for key, value in service.items() if key not in ("command", "volumes")}
    services = {
        name: {"container_name": name, "mac_address": address, **service}
        for name, address in zip(layout["services"], addresses)
    }
    model = {"services": services, "networks": {"fleet": {"name": network["name"], "external": True}}}
    override = {"services": {name: {"cpus": 0.5} for name in services}}
    environment = {"PROVER_AGENT_COUNT": str(layout["agents"])}
    given = {"environment": environment, "secrets": None, "files": None, "network": network}
    return project.arguments(compose=model, override=override, **given)


def test_agents_move_between_layouts_and_numbers(project, network):
    layouts = [
        ((2, True), ["prover-agent-1", "prover-agent-2"]),
        ((3, True), ["prover-agent-1", "prover-agent-2", "prover-agent-3"]),
        ((1, True), ["prover-agent-1"]),
        ((2, False), ["prover-agent"]),
        ((2, True), ["prover-agent-1", "prover-agent-2"]),
    ]
    before: dict = {}
    for (count, separate), names in layouts:
        arguments = agents(project, network, count, separate)
        result = good(project.run(arguments))
        assert result["changed"] and sorted(result["status"]) == names
        filters = ["--filter", f"label=com.docker.compose.project={project.name}"]
        assert sorted(docker("ps", "-a", "--format", "{{.Names}}", *filters).split()) == names
        found = {name: inspect(name) for name in names}
        # The containers of unchanged agents are not recreated.
        assert {name: found[name]["Id"] for name in names if name in before} == {
            name: before[name] for name in names if name in before
        }
        before = {name: each["Id"] for name, each in found.items()}
        for each in found.values():
            assert each["State"]["Health"]["Status"] == "healthy"
            assert (each["HostConfig"]["Memory"], each["HostConfig"]["NanoCpus"]) == (64 * 1024**2, 5 * 10**8)
        again = good(project.again(arguments))
        assert (again["changed"], again["actions"], again["_todo"]) == (False, [], False)
    docker("compose", "-p", project.name, "down", "-t", "0")


# --- bad input ----------------------------------------------------------------------------------------------------

WRONG = {
    "empty value": ({"env": "A=\n"}, "A is empty"),
    "bad name": ({"env": "A-B=hunter2secret\n"}, "line 1 of env is not NAME=value"),
    "not encoded": ({"env": "A=hunter2secret $x\n"}, "line 1 of env is not NAME=value"),
    "twice": ({"environment": {"URL": "x"}}, "URL is set more than once in env"),
    "override without services": ({"override": {"services": []}}, "override does not have services"),
    "override of another service": ({"override": {"services": {"t": {}}}}, "service t in compose does not have"),
    "JSON list": ({"files": '["hunter2secret"]'}, "files must be the text of a JSON object"),
    "file outside": ({"files": '{"../x": "y"}'}, "'../x'"),
    "absolute file": ({"files": '{"/etc/x": "y"}'}, "'/etc/x'"),
    "the project's own file": ({"files": '{".env": "y"}'}, "'.env'"),
    "file that is not text": ({"files": '{"k": {}}'}, "content of k must be a text"),
    "no services": ({"compose": {"services": {}}}, "compose does not have services"),
    "no image": ({"compose": {"services": {"s": {}}}}, "service s in compose does not have an image"),
    "relative directory": ({"directory": "here"}, "absolute path"),
    "bad project": ({"project": "Upper"}, "project 'Upper'"),
    "no compose": ({"compose": None}, "compose"),
    "unknown key": ({"compose": {"services": {"s": {"image": OLD, "imagee": 1}}}}, "imagee"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("check", [True, False])
def test_wrong_arguments_are_one_line_and_touch_nothing(project, case, check):
    changes, expected = WRONG[case]
    result = project.run(project.arguments(**changes), check=check)
    assert result["failed"] and expected in result["msg"] and "\n" not in result["msg"], result
    assert "hunter2secret" not in json.dumps(result)
    assert not project.directory.joinpath("compose.yml").exists()


KEYS = {
    "unknown": {"memory": "1g"},
    "of the wrong type": {"cpus": {"limit": 2}},
    "of the wrong form": {"mem_limit": "lots"},
    "in conflict with another": {"mem_limit": "1g", "deploy": {"resources": {"limits": {"memory": "2g"}}}},
}


@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize("check", [True, False])
def test_rejected_keys_are_reported_with_their_variable(project, keys, check):
    given = {"override": {"services": {"s": KEYS[keys]}}, "override_variable": "prover_agent_compose"}
    result = project.run(project.arguments(**given), check=check)
    assert result["failed"] and "\n" not in result["msg"]
    assert result["msg"].startswith(f"Compose rejects the files of {project.name}: ")
    assert result["msg"].endswith(": correct prover_agent_compose")
    assert not project.directory.joinpath("compose.yml").exists()
    given["override"]["services"]["s"] = {"mem_limit": "64m"}
    good(project.run(project.arguments(**given), check=True))


# --- values with special characters -------------------------------------------------------------------------------

SPECIAL = {
    "DOLLAR": "a$b$$c${d}$",
    "HASH": "a #b # c",
    "LEADING_HASH": "#x",
    "QUOTES": "'a' \"b\" `c`",
    "BACKSLASHES": "\\ \\\\ \\n \\$ \\\" \\' \\042 a\\",
    "ENDS_WITH_BACKSLASH": "x\\",
    "SPACES": "  a  b  ",
    "PERCENT": "%20 %s %%",
    "NON_ASCII": "žluťoučký 猫 🐈",
    "NEWLINES": "a\nb\r\nc\r",
    "TRAILING_NEWLINE": "a\n",
    "ONLY_NEWLINE": "\n",
    "CONTROL": "\x01\x07\x08\x0b\x0c\x1b\x7f\x85\u2028\ufeff",
    "EXPORT": "export A=b",
    "YAML": "{a: [b, c]}",
    "INTERPOLATED": "${A:-b} $A ${A:?no}",
}
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=40)
nasty = st.text(st.sampled_from("$\\\"'`#{}=: \n\r\t%0179nae;~!"), min_size=1, max_size=20)


def env_text(values: dict) -> str:
    return "".join(f"{name}={dotenv.dotenv(value)}\n" for name, value in values.items())


def environment_of(container: str) -> dict:
    found = inspect(container)["Config"]["Env"]
    return dict(item.partition("=")[::2] for item in found)


def process_environment(container: str) -> dict:
    """Return the environment of a running container's process."""
    cat = ["docker", "exec", container, "cat", "/proc/1/environ"]
    raw = subprocess.run(cat, capture_output=True, check=True).stdout
    return dict(item.decode("utf-8", "surrogateescape").partition("=")[::2] for item in raw.split(b"\0") if item)


def test_values_reach_the_process_byte_for_byte(project):
    arguments = project.arguments(environment=SPECIAL)
    good(project.run(arguments))
    seen = environment_of(f"{project.name}-s-1")
    assert {key: seen.get(key) for key in SPECIAL} == SPECIAL
    process = process_environment(f"{project.name}-s-1")
    assert {key: process.get(key) for key in SPECIAL} == SPECIAL


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.one_of(texts, nasty), min_size=1, max_size=30))
def test_compose_reads_any_value_unchanged(tmp_path, values):
    wanted = {f"K{number}": value for number, value in enumerate(values)}
    (tmp_path / ".env").write_bytes(env_text(wanted).encode())
    (tmp_path / "compose.yml").write_text("services: {s: {image: x, env_file: [.env]}}")
    done = subprocess.run(
        ["docker", "compose", "--project-directory", str(tmp_path), "-f", str(tmp_path / "compose.yml"),
         "config", "--format", "json"], capture_output=True, check=True,
    )  # fmt: skip
    seen = json.loads(done.stdout)["services"]["s"]["environment"]
    assert seen == {key: value.replace("$", "$$") for key, value in wanted.items()}


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.one_of(texts, nasty), min_size=20, max_size=60))
def test_any_value_reaches_the_process_unchanged(project, values):
    wanted = {f"K{number}": value for number, value in enumerate(values)}
    project.directory.mkdir(exist_ok=True)
    (project.directory / ".env").write_bytes(env_text(wanted).encode())
    service = f"{{image: '{OLD}', env_file: [.env], stop_signal: SIGKILL}}"
    (project.directory / "compose.yml").write_text(f"services: {{s: {service}}}")
    docker("compose", "--project-directory", str(project.directory), "-p", project.name, "up", "--detach")
    seen = process_environment(f"{project.name}-s-1")
    assert {key: seen[key] for key in wanted} == wanted
