"""compose_stack and host_info with the real docker command and an engine that hangs: it accepts, but does not reply."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

RUNNER = """
import sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = "legacy"
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import compose_project
from ansible_collections.aztec_ops.prover.plugins.modules import {module} as module
compose_project.QUERY_TIMEOUT = module.COMMAND_SECONDS = {limit}
module.main()
"""


@pytest.fixture(name="hung")
def fixture_hung(tmp_path, monkeypatch) -> Path:
    """Return a socket that accepts connections and never replies, like that of a daemon that hangs."""
    path = tmp_path / "docker.sock"
    server, kept = socket.socket(socket.AF_UNIX), []
    server.bind(str(path))
    server.listen()

    def accept() -> None:
        while True:
            try:
                kept.append(server.accept())
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    yield path
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    for peer, _address in kept:
        peer.close()


TEXT = "services: {s: {image: 'none.lan/none:1'}}"
MODEL = {"compose": TEXT, "_model": {"services": {"s": {"image": "none.lan/none:1"}}}}


def run(module: str, arguments: dict, seconds: float, limit: float = 2) -> dict:
    """Run a module within a number of seconds and return its result. limit: that of each query, in seconds."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", RUNNER.format(module=module, limit=limit)],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), capture_output=True, text=True, check=False,
        env=environment, timeout=60,
    )
    assert time.monotonic() - begun < seconds, done.stdout
    return json.loads(done.stdout)


@pytest.mark.usefixtures("hung")
@pytest.mark.parametrize("state", ["present", "pulled", "absent"])
@pytest.mark.parametrize("phase", ["inspect", "apply"])
def test_queries_of_a_hanging_engine_time_out(tmp_path, state: str, phase: str) -> None:
    arguments = {
        "project": "aztec-prover-agent", "directory": str(tmp_path / "stack"), "state": state, "_phase": phase,
        **MODEL,
    }
    if state == "absent":
        (tmp_path / "stack/.stack").mkdir(parents=True)
    result = run("compose_stack", arguments, 30)
    assert result["failed"] and "\n" not in result["msg"]
    assert "did not end within 2 s" in result["msg"] and "systemctl status docker" in result["msg"]


@pytest.mark.usefixtures("hung")
def test_remedy_for_a_hanging_engine_works(tmp_path, monkeypatch) -> None:
    """With this machine's own engine instead, as after a restart, the same run succeeds."""
    arguments = {
        "project": "aztec-prover-none", "directory": str(tmp_path / "stack"), "state": "absent", "_phase": "inspect",
    }
    (tmp_path / "stack/.stack").mkdir(parents=True)
    line = run("compose_stack", arguments, 30)["msg"]
    assert line.endswith(": see systemctl status docker, and if it hangs, run systemctl restart docker on the host")
    monkeypatch.undo()
    assert run("compose_stack", arguments, 60, limit=30)["engine"] is True


@pytest.mark.usefixtures("hung")
def test_host_info_of_a_hanging_engine_times_out() -> None:
    """The limits are ten seconds for the engine's socket, and `limit` for each command."""
    info = run("host_info", {"projects": ["aztec-prover-agent"], "probe": True}, 40)["host_info"]
    assert (info["engine"]["serves"], info["engine"]["error"], info["timed_out"]) == (False, "timed out", [])


def test_commands_of_host_info_that_do_not_end_are_named(tmp_path, monkeypatch) -> None:
    """A `docker` that ends too late, as on a host that is too busy, is not a missing one."""
    (tmp_path / "docker").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    info = run("host_info", {}, 20)["host_info"]
    assert (info["engine"]["compose"], info["timed_out"]) == (None, ["docker compose version --short"])
    monkeypatch.undo()
    assert run("host_info", {}, 20, limit=15)["host_info"]["timed_out"] == []


@pytest.mark.parametrize("text", ["[]", '{"services": []}', "x"])
def test_invalid_state_file_is_reported(tmp_path, text: str, monkeypatch) -> None:
    """The file is reported although no engine runs."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    path = tmp_path / "stack/.stack/state.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    arguments = {
        "project": "aztec-prover-agent", "directory": str(tmp_path / "stack"),
        **MODEL,
    }
    for more in ({"_phase": "inspect"}, {"_ansible_check_mode": True}, {"state": "absent"}):
        result = run("compose_stack", {**arguments, **more}, 20)
        assert result["failed"] and result["msg"].startswith(f"{path} was not written by this module")
        assert result["msg"].endswith(": move it away, then run again")
    path.unlink()
    assert "changed" in run("compose_stack", {**arguments, "_ansible_check_mode": True}, 20)
