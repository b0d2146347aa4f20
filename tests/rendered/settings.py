"""Render what all roles hand to modules and to each other, for many hosts that differ in one setting, in one run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.aztec_ops.prover.plugins.action.compose_stack import compose_model
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import dotenv
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.openpgp import PUBLIC_KEY, armor, packet
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet

from tests.rendered.fleets import HOST_INFO, KEY
from tests.rendered.render import ansible_playbook

ROOT = Path(__file__).parents[2]
ROLES = ("preflight", "docker_engine", "port_guard", "prover_node", "prover_broker", "prover_agent")
COMPONENTS = ("prover_node", "prover_broker", "prover_agent")
HOST = "machine"

# A host that is node, broker and agent, with only the required settings.
GIVEN: dict[str, Any] = {
    "ansible_host": "9.9.9.10",
    "aztec_address": "10.0.0.10",
    "aztec_l1_execution_urls": ["https://l1.example/v3/one"],
    "aztec_l1_consensus_urls": ["https://beacon.example"],
    "prover_node_publisher_private_key": KEY,
    "port_guard_section": "mine",
}

# The host info of a bare machine, and what the roles' tasks would have registered.
FACTS: dict[str, Any] = {
    "preflight_host_info": {
        **HOST_INFO,
        "connect": [],
        "os": {"id": "debian", "codename": "trixie", "version_id": "13", "apt": True},
        "engine": {
            **{"serves": False, "version": "", "compose": "", "source": "none", "error": "", "managed": False},
            **{"rules": True, "pin": "", "packages": {}, "apt_sources": [], "daemon_json": "", "daemon_json_loaded": "",
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
    """Yield the tasks of a role's file, and those of the files that it includes at that position."""
    tasks = yaml.safe_load((ROOT / "roles" / role / "tasks" / file).read_text())
    # The tasks in rescue have no arguments before a failure.
    for task in (one for given in tasks for one in [*given.get("block", [given]), *given.get("always", [])]):
        (module,) = (key for key in task if "." in key)
        if module.endswith("include_role") and task[module]["name"].endswith(".component"):
            for one in tasks_of("component", f"{task[module]['tasks_from']}.yml"):
                shared = yaml.safe_load((ROOT / "roles/component/vars/main.yml").read_text())
                path = {"component_roles_path": str(ROOT / "roles")}
                yield {**one, "vars": {**shared, **task["vars"], **one["vars"], **path}}
        elif module.endswith(("import_tasks", "include_tasks")):
            inner = task[module]["file"] if isinstance(task[module], dict) else task[module]
            for one in tasks_of(role, inner):
                yield {**one, "vars": {**task.get("vars", {}), **one["vars"]}}
        else:
            # The list of a loop stands for all of its iterations.
            arguments = {"loop": task["loop"]} if "loop" in task else task[module]
            yield {"name": task["name"], "module": module, "arguments": arguments, "vars": task.get("vars", {})}


def arguments_of(role: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of a role's tasks, by task name, and the variables of the tasks."""
    arguments, scope = {}, {}
    for task in tasks_of(role, "validate_inventory.yml" if role == "preflight" else "main.yml"):
        if task["module"].endswith("include_role"):
            # The arguments for another role of the collection are variables. The name of that role is not a setting.
            if task["arguments"].get("name", "").endswith(".port_guard"):
                handed = {name for name in task["vars"] if name.startswith("port_guard_")}
                arguments[task["name"]] = {name: task["vars"][name] for name in sorted(handed)}
                scope.update({name: task["vars"][name] for name in task["vars"].keys() - handed})
        else:
            arguments[task["name"]] = task["arguments"]
            scope.update(task["vars"])
    return arguments, scope


def render(cases: dict[str, dict[str, Any]], where: Path) -> dict[str, dict[str, Any]]:
    """Return what the roles hand over, case -> path -> value. cases: case -> variables; where: a scratch directory."""
    arguments, scopes_of_roles, defaults, fixed = {}, {}, {}, {}
    for role in ROLES:
        arguments[role], scopes_of_roles[role] = arguments_of(role)
        for part, together in (("defaults", defaults), ("vars", fixed)):
            file = ROOT / "roles" / role / part / "main.yml"
            together.update(yaml.safe_load(file.read_text()) if file.is_file() else {})
    scopes = {}
    for case, variables in cases.items():
        given = {**GIVEN, **variables}
        facts = {**FACTS, "preflight_fleet": fleet({HOST: given}, {component: [HOST] for component in COMPONENTS})}
        # As Ansible ranks them: a role's variables over those of the inventory over the role's defaults.
        scopes[case] = {**defaults, **given, **fixed, **facts}
    files = {name: str(where / f"{name}.json") for name in ("arguments", "scopes", "cases", "to")}
    Path(files["arguments"]).write_text(json.dumps(arguments))
    Path(files["scopes"]).write_text(json.dumps(scopes_of_roles))
    Path(files["cases"]).write_text(json.dumps(scopes))
    play = {"hosts": HOST, "gather_facts": False, "tasks": [{"name": "Render", "render_cases": files}]}
    (where / "play.json").write_text(json.dumps([play]))
    ansible_playbook(where / "play.json", "-i", f"{HOST},")
    return {case: dict(flat(found)) for case, found in json.loads(Path(files["to"]).read_text()).items()}


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value inside of a value by its path; texts that contain JSON are parsed."""
    if isinstance(value, str) and value.startswith(("{", "[")):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if path.endswith(" / compose"):
        value = compose_model(value)
    if path.endswith(" / env"):
        value = dotenv.parse(value)
    if not value or not isinstance(value, (dict, list)):
        yield path, value
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from flat(item, f"{path} / {key}" if path else str(key))


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return what differs: path -> the new value, None if it was removed."""
    return {
        path: after.get(path) for path in sorted({**before, **after}) if before.get(path, ...) != after.get(path, ...)
    }
