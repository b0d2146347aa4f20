"""The role docker_engine with settings that a service does not start with, with another /etc.

Requires root. systemctl and journalctl are scripts: a service starts unless its file contains a word.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.rendered.settings import FACTS

OLD_CONF, OLD_JSON = "[Service]\nEnvironment=OLD=1\n", '{"old": true}\n'
DROP_IN = "etc/systemd/system/containerd.service.d"
SYSTEMCTL = """#!/bin/sh
echo "$*" >>"$LOG"
refused() { if grep -qs "$WORD" "$1"; then echo "Job for $2 failed." >&2; exit 1; fi; }
case "$*" in
show*) printf 'LoadState=loaded\\nActiveState=active\\nUnitFileState=enabled\\n' ;;
is-enabled*) echo enabled ;;
"restart containerd.service") refused /etc/systemd/system/containerd.service.d/aztec.conf containerd.service ;;
"restart docker.service" | "start docker.service") refused /etc/docker/daemon.json docker.service ;;
esac
"""
JOURNALCTL = """#!/bin/sh
case "$*" in
*containerd.service*) echo 'containerd: mkdir /refused: read-only file system' ;;
*) echo 'failed to start daemon: x is refused' ;;
esac
"""
CONTAINERD_LINE = (
    "containerd did not start with the new settings of containerd (containerd: mkdir /refused: read-only file system), "
    "and both run with the previous ones: correct docker_engine_containerd_root and run again"
)
DOCKER_LINE = (
    "the engine did not start with the new daemon.json (failed to start daemon: x is refused) and runs with the "
    "previous one: correct docker_engine_daemon_options and run again"
)


def configured(
    folder: Path, files: dict[str, str], values: dict[str, object], word: str = "refused"
) -> tuple[str, dict[str, str], list[str]]:
    """Return the role's output, the files that it left, and the calls of systemctl.

    word: a service does not start if its file contains it.
    """
    etc = folder / "etc"
    subprocess.run(["cp", "-a", "/etc", etc], check=True)
    subprocess.run(["rm", "-rf", etc / "docker", folder / DROP_IN], check=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name, text in (("systemctl", SYSTEMCTL), ("journalctl", JOURNALCTL)):
        (folder / "bin").mkdir(exist_ok=True)
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    engine = {
        **FACTS["preflight_host_info"]["engine"],
        "managed": True,
        "serves": True,
        "version": "20.10.24",
        "rules": True,
        "daemon_json": "x" if "etc/docker/daemon.json" in files else "",
        "containerd_conf": "x" if f"{DROP_IN}/aztec.conf" in files else "",
    }
    role = "aztec_ops.prover.docker_engine"
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {**FACTS, **values, "preflight_host_info": {**FACTS["preflight_host_info"], "engine": engine}},
        "tasks": [
            {"ansible.builtin.include_role": {"name": role, "tasks_from": file}} for file in ("configure", "start")
        ],
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', etc, "ansible-playbook",
         "-i", "localhost,", "-c", "local", folder / "play.yml"],
        check=False, capture_output=True, text=True,
        env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "LOG": str(folder / "log"), "WORD": word},
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    places = [*(etc / "docker").iterdir(), *(folder / DROP_IN).iterdir()]
    left = {str(one.relative_to(folder)): one.read_text() for one in places if one.name != ".aztec_ops_prover"}
    calls = [line for line in (folder / "log").read_text().splitlines() if not line.startswith(("show", "is-"))]
    return " ".join(done.stdout.split()), left, calls


BEFORE = {"etc/docker/daemon.json": OLD_JSON, f"{DROP_IN}/aztec.conf": OLD_CONF}
ROOT, OPTIONS = {"docker_engine_containerd_root": "/refused"}, {"docker_engine_daemon_options": {"x": "refused"}}


@pytest.mark.parametrize(
    ("before", "values", "line"),
    [
        pytest.param(BEFORE, ROOT, CONTAINERD_LINE, id="containerd"),
        pytest.param(BEFORE, OPTIONS, DOCKER_LINE, id="docker"),
        pytest.param({}, {**ROOT, **OPTIONS}, CONTAINERD_LINE, id="both, and nothing before"),
    ],
)
def test_previous_settings_of_both_services_are_restored(tmp_path: Path, before: dict, values: dict, line: str) -> None:
    # A file of an administrator next to the role's.
    mine = {"etc/docker/daemon.json.previous": "mine"}
    output, left, calls = configured(tmp_path, {**before, **mine}, values)
    assert f"localhost: {line}" in output
    assert left == {**before, **mine}
    restarts = [one for one in calls if one.startswith(("restart", "start", "reset-failed"))]
    failed = ["restart containerd.service", *(["restart docker.service"] if line == DOCKER_LINE else [])]
    reset = "reset-failed containerd.s* docker.s*"
    docker = ["restart docker.service"] if line == DOCKER_LINE else []
    assert restarts == [reset, *failed, reset, "restart containerd.service", *docker]
    assert calls[calls.index(reset, 1) + 1] == "daemon-reload"


def test_service_that_does_not_start_with_the_previous_settings(tmp_path: Path) -> None:
    output, left, _calls = configured(tmp_path, BEFORE, ROOT, word="Service")
    fault = "containerd: mkdir /refused: read-only file system"
    assert f"localhost: containerd does not start ({fault}): see journalctl -u containerd.service" in output
    assert left == BEFORE
