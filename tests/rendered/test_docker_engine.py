# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The services that the role docker_engine restarts, by the settings in their files and those that they run with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rendered.operated import copy, run_play, write_roles
from tests.rendered.render import ROOT, ansible_playbook
from tests.rendered.settings import FACTS

ROLE = ROOT / "roles/docker_engine"
DROPIN = "[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/containerd\n"
RUNS = {"XDG_RUNTIME_DIR": "/run/containerd"}
OTHER = hashlib.sha256(b"x").hexdigest()

# (facts about the engine, whether to restart containerd, whether to restart Docker)
CASES: dict[str, tuple[dict[str, Any], bool, bool]] = {
    "all settings are loaded": ({}, False, False),
    "engine of an earlier release": ({"containerd_conf": "", "containerd_environment": {}}, True, False),
    "drop-in not loaded, or containerd stopped": ({"containerd_environment": {}}, True, False),
    "another value loaded": ({"containerd_environment": {"XDG_RUNTIME_DIR": "/tmp"}}, True, False),
    "drop-in loaded and then removed": ({"containerd_conf": ""}, True, False),
    "drop-in changed manually": ({"containerd_conf": OTHER}, True, False),
    "environment unknown": ({"containerd_environment": None}, False, False),
    "environment unknown and no drop-in": ({"containerd_environment": None, "containerd_conf": ""}, True, False),
    "daemon.json changed manually": ({"daemon_json": OTHER}, False, True),
    "daemon.json not loaded": ({"daemon_json_loaded": OTHER}, False, True),
    "other options": ({"daemon_json": OTHER, "daemon_json_loaded": OTHER}, False, True),
    "both": ({"daemon_json_loaded": "", "containerd_environment": {}}, True, True),
    "firewall rules deleted": ({"rules": False}, False, True),
    "engine that the role does not manage": ({"managed": False, "rules": False, "daemon_json": OTHER}, False, False),
}


def digest(text: str) -> str:
    """Return the SHA-256 digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def loaded_engine() -> dict[str, Any]:
    """Return facts about an engine that runs with the role's default settings."""
    settings = {"live-restore": True, "log-driver": "json-file", "log-opts": {"max-file": "3", "max-size": "100m"}}
    daemon_json = digest(json.dumps(settings, indent=4, sort_keys=True) + "\n")
    return {
        "managed": True, "serves": True, "source": "docker-ce", "compose": "2.40.0", "version": "28.5.2", "rules": True,
        "daemon_json": daemon_json, "daemon_json_loaded": daemon_json, "containerd_conf": digest(DROPIN),
        "containerd_environment": RUNS,
    }  # fmt: skip


def run_with_variables(tmp_path: Path, tasks: list[dict[str, Any]]) -> None:
    """Run tasks on this machine with the defaults and vars of the role."""
    files = [str(ROLE / folder / "main.yml") for folder in ("defaults", "vars")]
    variables = {"preflight_fleet": {"hosts": {"localhost": {}}}}
    play = {"hosts": "localhost", "gather_facts": False, "vars_files": files, "vars": variables, "tasks": tasks}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    ansible_playbook(tmp_path / "play.yml", "-i", "localhost,", "-c", "local")


def test_services_to_restart(tmp_path: Path) -> None:
    host_info = FACTS["preflight_host_info"]
    loaded = loaded_engine()
    found = "[__docker_engine_restart_containerd, __docker_engine_restart_docker]"
    tasks = [
        {
            "name": name,
            "ansible.builtin.assert": {"that": f"{found} == {[containerd, docker]}", "quiet": True},
            "vars": {"preflight_host_info": {**host_info, "engine": {**host_info["engine"], **loaded, **engine}}},
        }
        for name, (engine, containerd, docker) in CASES.items()
    ]
    run_with_variables(tmp_path, tasks)


# (facts about the engine, options of daemon.json, whether running containers stop with it)
STOPS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "live-restore before and after": ({"daemon_json_loaded": OTHER, "live_restore": True}, {}, False),
    "live-restore only after the restart": ({"daemon_json_loaded": OTHER, "live_restore": False}, {}, True),
    "live-restore only before it": ({"daemon_json_loaded": OTHER, "live_restore": True}, {"live-restore": False}, True),
    "no restart": ({"live_restore": False}, {}, False),
    "no engine": ({"serves": False, "source": "none", "daemon_json": "", "live_restore": False}, {}, False),
}


def test_containers_that_stop_with_the_engine(tmp_path: Path) -> None:
    host_info = FACTS["preflight_host_info"]
    loaded = loaded_engine()
    tasks = [
        {
            "name": name,
            "ansible.builtin.assert": {"that": f"__docker_engine_stops_containers == {stops}", "quiet": True},
            "vars": {
                "preflight_host_info": {**host_info, "engine": {**host_info["engine"], **loaded, **engine}},
                "docker_engine_daemon_options": options,
            },
        }
        for name, (engine, options, stops) in STOPS.items()
    ]
    run_with_variables(tmp_path, tasks)


def change(where: Path, serves: bool = True, **results: dict[str, Any]) -> tuple[list[str], str]:
    """Restart the engine of a host with two components. Return the calls and the output. results: by file of tasks."""
    write_roles(where)
    tasks = where / "roles/docker_engine/tasks"
    for name in ("main", "operate"):
        copy(f"roles/docker_engine/tasks/{name}.yml", tasks / f"{name}.yml")
    for name in ("configure", "install", "start"):
        (tasks / f"{name}.yml").write_text(yaml.safe_dump([{"name": name, "scripted_result": {}}]))
    info = {"ansible.builtin.set_fact": {"preflight_host_info": {"engine": {"serves": serves}}}, "name": "info"}
    (where / "roles/preflight/tasks").mkdir(parents=True)
    (where / "roles/preflight/tasks/host_info.yml").write_text(yaml.safe_dump([info]))
    names = ("installs", "restarts", "stops_containers")
    variables = {
        **{f"__docker_engine_{name}": True for name in names},
        **{"preflight_fleet": {}, "__docker_engine_dry_run": False, "docker_engine_source": "docker"},
        **{"__docker_engine_plan": {"action": ""}, "__docker_engine_running": ["prover_agent", "prover_broker"]},
    }
    role = {"name": "Change", "ansible.builtin.include_role": {"name": "docker_engine"}}
    found = run_play(where, {"vars": variables, "tasks": [role]}, results)
    assert bool(found.status) == any(one.get("failed") for one in results.values()), found.output
    return found.calls, found.output


CHANGE = ["configure", "stopped prover_agent", "stopped prover_broker", "install", "start"]
AGAIN = ["started prover_broker", "started prover_agent"]


@pytest.mark.parametrize("broken", ["", "install", "start", "stopped prover_broker"])
def test_containers_start_again_if_a_change_of_the_engine_fails(broken: str, tmp_path: Path) -> None:
    results = {broken: {"failed": True, "msg": "BROKEN"}} if broken else {}
    calls, output = change(tmp_path, **results)
    assert calls == [*(CHANGE[: CHANGE.index(broken) + 1] if broken else CHANGE), *AGAIN], output


def test_settings_that_are_rejected_stop_no_containers(tmp_path: Path) -> None:
    assert change(tmp_path, configure={"failed": True, "msg": "BROKEN"})[0] == CHANGE[:1]


def test_containers_do_not_start_where_the_engine_does_not_serve(tmp_path: Path) -> None:
    assert change(tmp_path, serves=False, start={"failed": True, "msg": "BROKEN"})[0] == CHANGE


@pytest.mark.parametrize(
    ("file", "name"), [("configure.yml", "Write daemon.json"), ("repository.yml", "Write the apt source")]
)
@pytest.mark.parametrize(("user", "shown"), [("", True), ("me:S3cret@", False)])
def test_the_diff_of_a_file_does_not_show_a_password(
    file: str, name: str, user: str, shown: bool, tmp_path: Path
) -> None:
    tasks = yaml.safe_load((ROLE / "tasks" / file).read_text(encoding="utf-8"))
    task = next(one for entry in tasks for one in entry.get("block", [entry]) if one["name"] == name)
    task["ansible.builtin.copy"] |= {"dest": str(tmp_path / "written"), "backup": False, "validate": "true %s"}
    url = f"http://{user}mirror.lan"
    variables = {
        "preflight_host_info": {"os": {"codename": "any"}}, "__docker_engine_daemon_json": url,
        "__docker_engine_plan": {"repository": url},
    }
    play = {"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": [task]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    output = ansible_playbook(tmp_path / "play.yml", "-i", "localhost,", "-c", "local", "--diff")
    assert (url in output, "S3cret" in output) == (shown, False)
    assert url in (tmp_path / "written").read_text(encoding="utf-8")
