# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the inventory of the whole fleet on the controller, with no connection to any host."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

import yaml
from ansible import context
from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible.plugins.action import ActionBase
from ansible_collections.aztec_ops.prover.plugins.module_utils.fleet import BROKER, NODE, members_of
from ansible_collections.aztec_ops.prover.plugins.module_utils.inventory_checks import (
    CONNECTION_NAMES,
    KEY_NAMES,
    Broken,
    Specs,
    check_inventory,
    counted,
    problem_table,
    together,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.plain_secrets import Search, Text, read, variable_files
from ansible_collections.aztec_ops.prover.plugins.module_utils.releases import COMPONENTS

# Settings of the whole fleet that may hold keys, and which components read them.
FLEET_URLS = {"aztec_l1_execution_urls": (NODE, BROKER), "aztec_l1_consensus_urls": (NODE,)}

_UNDEFINED = re.compile(r"'([A-Za-z_][A-Za-z0-9_]*)' is undefined")


def read_specs(roles: Path) -> Specs:
    """Read the argument_specs and the defaults of every role in a directory."""
    options, defaults = {}, {}
    for path in sorted(roles.glob("*/meta/argument_specs.yml")):
        role = path.parents[1].name
        specs = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        options[role] = ((specs.get("argument_specs") or {}).get("main") or {}).get("options") or {}
        beside = path.parents[1] / "defaults" / "main.yml"
        found = yaml.safe_load(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
        defaults[role] = found or {}
    return Specs(options, defaults)


def why_broken(error: BaseException) -> Broken:
    """Say in a line why a value cannot be had, from the kind of error alone: its message may hold secrets."""
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    for one in chain:
        if isinstance(one, AnsibleUndefinedVariable) or type(one).__name__ == "UndefinedError":
            name = _UNDEFINED.search(str(one))
            what = f"'{name.group(1)}'" if name else "something"
            return Broken(f"uses {what}, which is not defined", "define it, or mend the template")
    if any("Vault" in type(one).__name__ for one in chain):
        return Broken("cannot be decrypted", "give its vault password: --ask-vault-pass or --vault-password-file")
    return Broken(f"cannot be worked out ({type(chain[-1]).__name__})", "mend its template or look-up")


def plain(value: object) -> object:
    """Give a templated value as Python's own types, so that nothing in it is worked out later."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    return str(value)


def holds_template(value: object) -> bool:
    """Tell whether a value, as it is written, has something in it to be worked out."""
    if isinstance(value, Mapping):
        return any(holds_template(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(holds_template(item) for item in value)
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def unused(written: Mapping, specs: Specs, components: Sequence) -> set:
    """Give the names of a host's variables that no component of it reads, and that are not worked out for it.

    A key that the whole inventory has is looked up for the node alone, not once more for each agent.
    """
    names = set()
    for name, value in written.items():
        owner = specs.owner(name) if isinstance(name, str) else None
        readers = FLEET_URLS.get(name, (owner,) if owner in COMPONENTS else components)
        if owner and not set(readers) & set(components) and (owner in COMPONENTS or holds_template(value)):
            names.add(name)
    return names


def host_values(variables: Mapping, specs: Specs, left_out: Set = frozenset()) -> dict:
    """Give a host's variables for the check: those of the collection worked out, of all others the names alone."""
    prefixes, values = specs.prefixes(), {}
    for name in variables:
        if name.startswith("_") or name in left_out:
            continue
        if not name.startswith(prefixes) and name not in CONNECTION_NAMES:
            values[name] = ""
            continue
        try:
            values[name] = plain(variables[name])
        except Exception as error:  # look-ups raise what they like
            values[name] = why_broken(error)
    return values


ROLES = Path(__file__).resolve().parents[2] / "roles"


def host_keys(variables: Mapping) -> dict:
    """Give a host's variables that may hold a key, anybody's, as they are written: no template of others is run.

    Where one is a template, the variable that it takes the key from is there too. What no password opens stays shut.
    """
    values = {}
    for name, value in variables.items():
        if KEY_NAMES.search(name) and not name.startswith(("_", "ansible_")):
            try:
                values[name] = plain(value)
            except AnsibleError as error:
                values[name] = why_broken(error)
    return values


def plain_texts(task_vars: Mapping) -> list:
    """Give the texts that a run takes its variables from: the command line's, then files that are not encrypted."""
    given = [str(one) for one in context.CLIARGS.get("extra_vars") or ()]
    files = [Path(one[1:]) for one in given if one.startswith("@")]
    files += variable_files(task_vars.get("ansible_inventory_sources") or (), [task_vars["playbook_dir"]])
    return [Text("", one) for one in given if not one.startswith("@")] + read(files)


class ActionModule(ActionBase):
    """Run once for all hosts; shows all problems as one table and fails with one line."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Check the inventory; the result holds the fleet's values."""
        result = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec({"groups": {"type": "dict", "default": {}}})
        group_names = arguments["groups"]
        unknown = sorted(set(group_names) - set(COMPONENTS))
        if unknown:
            raise AnsibleError(f"check_fleet: groups has {', '.join(unknown)}, but there are {', '.join(COMPONENTS)}")
        for component, name in group_names.items():
            if not isinstance(name, str) or not name:
                raise AnsibleError(f"check_fleet: groups.{component} is no name of a group: write one text, in quotes")
        groups = {name: list(hosts) for name, hosts in task_vars["groups"].items()}
        names = {component: group_names.get(component, component) for component in COMPONENTS}
        everybody = list(dict.fromkeys(host for name in names.values() for host in groups.get(name, [])))
        specs = read_specs(ROLES)
        hostvars = task_vars["hostvars"]
        written = {host: hostvars.raw_get(host) for host in groups["all"]}
        members = members_of(groups, names)
        hosts = {}
        for host in everybody:
            components = [component for component in COMPONENTS if host in members[component]]
            hosts[host] = host_values(hostvars[host], specs, unused(written[host], specs, components))
        keys = {host: host_keys(variables) for host, variables in written.items()}

        problems, fleet = check_inventory(hosts, groups, specs, names, keys=keys, search=Search(plain_texts(task_vars)))
        result["changed"] = False
        if problems:
            self._display.display(problem_table(problems, everybody), color="red" if fleet is None else "yellow")
        if fleet is None:
            what = counted(sum(problem.level == "error" for problem in together(problems, everybody)))
            result.update(failed=True, msg=f"{what} in the inventory, in the table above; no host was contacted.")
        else:
            result["fleet"] = fleet
        return result
