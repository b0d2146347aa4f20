"""Render what all roles hand to modules and to each other, for many hosts that differ in one setting, in one run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.openpgp import PUBLIC_KEY, armor, packet
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet

from tests.rendered.fleets import KEY, LOOK
from tests.rendered.render import ansible_playbook

ROOT = Path(__file__).parents[2]
ROLES = ("preflight", "docker_engine", "port_guard", "prover_node", "prover_broker", "prover_agent")
COMPONENTS = ("prover_node", "prover_broker", "prover_agent")
HOST = "machine"

# A host that is node, broker and agent, with nothing set but what must be.
GIVEN: dict[str, Any] = {
    "ansible_host": "9.9.9.10",
    "aztec_address": "10.0.0.10",
    "aztec_l1_execution_urls": ["https://l1.example/v3/one"],
    "aztec_l1_consensus_urls": ["https://beacon.example"],
    "prover_node_publisher_private_key": KEY,
    "port_guard_section": "mine",
}

# What a bare machine tells of itself, and what the roles' tasks would have registered.
FACTS: dict[str, Any] = {
    "preflight_host_info": {
        **LOOK,
        "connect": [],
        "os": {"id": "debian", "codename": "trixie", "version_id": "13", "apt": True},
        "engine": {
            **{"serves": False, "version": "", "compose": "", "source": "none", "error": "", "managed": False},
            **{"pin": "", "packages": {}, "apt_sources": [], "daemon_json": "", "daemon_json_loaded": "",
               "containerd_conf": "", "containerd_environment": None},
            **{"systemd": True, "snap": False, "desktop": False, "security": [], "selinux_enforcing": False,
               "command": ["/usr/bin/dockerd", "-H", "fd://"], "daemon_json_names": []},
        },
    },
    "__preflight_validation": {"fleet": {}},
    "__docker_engine_key": {"host_info": {"repository_key": armor(packet(PUBLIC_KEY, b"\x04key"))}},
    "__prover_agent_broker_check": {
        "host_info": {"connect": [{"host": "h", "port": 1, "ok": False, "error": "e", "source": "s"}]}
    },
}


def tasks_of(role: str, file: str) -> Iterator[dict[str, Any]]:
    """Give the tasks of a role's file, those of the files that it includes in their place."""
    tasks = yaml.safe_load((ROOT / "roles" / role / "tasks" / file).read_text())
    # What rescues a block has no arguments before something failed.
    for task in (one for given in tasks for one in given.get("block", [given])):
        (module,) = (key for key in task if "." in key)
        if module.endswith(("import_tasks", "include_tasks")):
            inner = task[module]["file"] if isinstance(task[module], dict) else task[module]
            for one in tasks_of(role, inner):
                yield {**one, "vars": {**task.get("vars", {}), **one["vars"]}}
        else:
            # What a loop goes over says all that its turns do.
            arguments = {"loop": task["loop"]} if "loop" in task else task[module]
            yield {"name": task["name"], "module": module, "arguments": arguments, "vars": task.get("vars", {})}


def asked_of(role: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give what a role's tasks hand over, by the task's name, and the variables that stand at the tasks."""
    asked, scope = {}, {}
    for task in tasks_of(role, "validate_inventory.yml" if role == "preflight" else "main.yml"):
        if task["module"].endswith("include_role"):
            # To another role of the collection a task hands variables; which role that is, is no setting.
            if task["arguments"]["name"].endswith(".port_guard"):
                asked[task["name"]] = task["vars"]
        else:
            asked[task["name"]] = task["arguments"]
            scope.update(task["vars"])
    return asked, scope


def render(cases: dict[str, dict[str, Any]], where: Path) -> dict[str, dict[str, Any]]:
    """Give what the roles hand over, case -> path -> value. cases: case -> variables; where: a scratch directory."""
    asked, defaults, fixed = {}, {}, {}
    for role in ROLES:
        asked[role], scope = asked_of(role)
        for part, together in (("defaults", defaults), ("vars", fixed)):
            file = ROOT / "roles" / role / part / "main.yml"
            together.update(yaml.safe_load(file.read_text()) if file.is_file() else {})
        fixed.update(scope)
    scopes = {}
    for case, variables in cases.items():
        given = {**GIVEN, **variables}
        facts = {**FACTS, "preflight_fleet": fleet({HOST: given}, {component: [HOST] for component in COMPONENTS})}
        # As Ansible ranks them: a role's variables over those of the inventory over the role's defaults.
        scopes[case] = {**defaults, **given, **fixed, **facts}
    files = {name: str(where / f"{name}.json") for name in ("asked", "cases", "to")}
    Path(files["asked"]).write_text(json.dumps(asked))
    Path(files["cases"]).write_text(json.dumps(scopes))
    play = {"hosts": HOST, "gather_facts": False, "tasks": [{"name": "Render", "render_cases": files}]}
    (where / "play.json").write_text(json.dumps([play]))
    ansible_playbook(where / "play.json", "-i", f"{HOST},")
    return {case: dict(flat(found)) for case, found in json.loads(Path(files["to"]).read_text()).items()}


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Give each value inside of a value by its path; texts that hold JSON are looked into."""
    if isinstance(value, str) and value.startswith(("{", "[")):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if not value or not isinstance(value, (dict, list)):
        yield path, value
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from flat(item, f"{path} / {key}" if path else str(key))


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Give what differs: path -> the new value, None where there is none any more."""
    return {
        path: after.get(path) for path in sorted({**before, **after}) if before.get(path, ...) != after.get(path, ...)
    }
