# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The variables of the inventory's hosts, templated on the controller, and why a value cannot be resolved."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from ansible import context
from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import FACTS, Specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import (
    ALL_COMPONENTS,
    BROKER,
    MONITOR,
    NODE,
    members_of,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.plain_secrets import (
    Text,
    holds_secret,
    read,
    variable_files,
)

# Variables of Ansible that the checks read.
CONNECTION_NAMES = ("ansible_host", "ansible_port")

# Names of variables that can contain a key which sends transactions, including variables of other software.
KEY_NAMES = re.compile(r"key|publisher|sequencer|validator|attester|signer|mnemonic|wallet", re.IGNORECASE)

# Fleet-wide settings that can contain API keys, and the components that read them.
FLEET_URLS = {
    "aztec_l1_execution_urls": (NODE, BROKER),
    "aztec_l1_consensus_urls": (NODE,),
    "aztec_l1_debug_urls": (NODE,),
}

_UNDEFINED = re.compile(r"'([A-Za-z_][A-Za-z0-9_]*)' is undefined")

_FROM_ENVIRONMENT = re.compile(
    r"""\{\{-?\s*lookup\(\s*['"](?:ansible\.builtin\.)?env['"]\s*,\s*['"]([A-Za-z_][A-Za-z0-9_]*)['"]\s*\)\s*-?\}\}"""
)
_LOOKUP = re.compile(r"The lookup plugin '([A-Za-z0-9_.]{1,80})' (failed|was not found)")

# By collection: names of errors, what they mean, what to do.
_LOOKUP_FAULTS = {
    "community.sops": (
        (
            {"FileNotFoundError", "PermissionError"},
            "the program sops is not installed",
            "install it, or set sops_binary",
        ),
        (
            {"SopsError"},
            "sops cannot decrypt",
            "set its key, for example with SOPS_AGE_KEY_FILE; sops decrypt FILE prints details",
        ),
        ({"AnsibleTemplatePluginError"}, "the file does not exist", "correct its path"),
    ),
    "community.hashi_vault": (
        ({"ImportError"}, "the controller's Python does not have hvac", f"run {sys.executable} -m pip install hvac"),
        ({"Forbidden"}, "the server rejects the token or the path", "log in again, or let its policy read the path"),
        ({"InvalidPath"}, "the server has no such secret", "correct path and mount point, or store the secret"),
        ({"InvalidRequest", "Unauthorized"}, "the server rejects the login", "correct role_id and secret_id"),
        ({"VaultDown"}, "the server is sealed", "unseal it"),
        ({"SSLError"}, "the server's certificate is not trusted", "set VAULT_CACERT, or correct the URL"),
        ({"OSError"}, "the server does not answer", "start it, or correct ansible_hashi_vault_url (VAULT_ADDR)"),
        ({"HashiVaultValueError"}, "it has no credentials", "set a token (VAULT_TOKEN) or another auth_method"),
    ),
}


@dataclass(frozen=True)
class UnresolvedValue:
    """A value whose template failed. reason: why, without any part of the value."""

    reason: str
    remedy: str = "correct its template, lookup or vault password"


def unresolved_value(error: BaseException) -> UnresolvedValue:
    """Return why a value cannot be resolved, from the type of an error only: its message can contain secrets."""
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    for one in chain:
        if isinstance(one, AnsibleUndefinedVariable) or type(one).__name__ == "UndefinedError":
            name = _UNDEFINED.search(str(one))
            what = f"'{name.group(1)}'" if name else "something"
            return UnresolvedValue(f"uses {what}, which is not defined", "define it, or correct the template")
        plugin = _LOOKUP.match(str(one)) if isinstance(one, AnsibleError) else None
        if plugin:
            return _failed_lookup(plugin.group(1), plugin.group(2) == "failed", chain)
    if any("Vault" in type(one).__name__ for one in chain):
        return UnresolvedValue(
            "cannot be decrypted", "pass its vault password: --ask-vault-pass or --vault-password-file"
        )
    return UnresolvedValue(f"cannot be resolved ({type(chain[-1]).__name__})", "correct its template or lookup")


def _failed_lookup(plugin: str, found: bool, chain: Sequence) -> UnresolvedValue:
    """Return why a lookup failed, with details for the lookups of docs/secrets.md."""
    collection = plugin.rpartition(".")[0]
    if not found:
        installed = f"ansible-galaxy collection install {collection}" if "." in collection else "correct its name"
        return UnresolvedValue(f"its lookup {plugin} is not installed", installed)
    kinds = [type(one).__name__ for one in chain]
    for known, reason, remedy in _LOOKUP_FAULTS.get(collection, ()):
        if known & {*kinds, *(base.__name__ for base in type(chain[-1]).__mro__)}:
            return UnresolvedValue(f"its lookup {plugin} failed: {reason}", remedy)
    return UnresolvedValue(f"its lookup {plugin} failed ({kinds[-1]})", "correct the lookup or its source")


def to_builtin(value: object) -> object:
    """Return a templated value with built-in types only, so that nothing in it is templated later."""
    if isinstance(value, Mapping):
        return {str(key): to_builtin(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_builtin(item) for item in value]
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    return str(value)


def _text(value: object) -> str:
    """Return all text in a value."""
    if isinstance(value, (Mapping, list, tuple)):
        return "\n".join(map(_text, value.values() if isinstance(value, Mapping) else value))
    return value if isinstance(value, str) else ""


def missing_environment(written: Mapping, specs: Specs) -> dict:
    """Return a host's secrets that come from an environment variable which is not set, and would be empty."""
    found = {}
    for name, value in written.items():
        owner = specs.owner(name)
        if owner and holds_secret(name, specs.options[owner][name]):
            for variable in _FROM_ENVIRONMENT.findall(_text(value)):
                if not os.environ.get(variable):
                    reason = f"reads the environment variable {variable}, which is not set"
                    found.setdefault(name, UnresolvedValue(reason, "export it before the run: docs/secrets.md"))
    return found


def unused_variables(written: Mapping, specs: Specs, components: Sequence) -> set:
    """Return the names of a host's variables that none of its components reads, and that are not resolved for it.

    A key that the whole inventory has is looked up only for the node, not again for each agent. A literal value is
    resolved for every host, because this costs nothing and shows its problems.
    """
    names = set()
    for name, value in written.items():
        owner = specs.owner(name)
        of_component = owner in ALL_COMPONENTS
        readers = (owner,) if of_component else FLEET_URLS.get(name)
        template = of_component or "{{" in _text(value) or "{%" in _text(value)
        if readers and template and not set(readers) & set(components):
            names.add(name)
    return names


def resolve_variables(variables: Mapping, specs: Specs, left_out: Set = frozenset(), template=to_builtin) -> dict:
    """Return a host's variables for the checks: the resolved ones of the collection, and the names of all others.

    template: resolves a value, for variables that are not resolved on access.
    """
    prefixes, values = specs.prefixes(), {}
    for name in variables:
        if name.startswith("_") or name in FACTS or name in left_out:
            continue
        # The name of the inventory follows from its directory.
        if not name.startswith(prefixes) and name not in (*CONNECTION_NAMES, "inventory_dir"):
            values[name] = ""
            continue
        try:
            values[name] = to_builtin(template(variables[name]))
        except Exception as error:  # lookups raise any exception
            values[name] = unresolved_value(error)
    return values


def key_variables(variables: Mapping) -> dict:
    """Return a host's variables that can contain a key, as they are written: no template of other software is run.

    If one is a template, the variable from which it takes the key is found too.
    """
    values = {}
    for name, value in variables.items():
        if KEY_NAMES.search(name) and not name.startswith(("_", "ansible_")):
            try:
                values[name] = to_builtin(value)
            except AnsibleError as error:
                values[name] = unresolved_value(error)
    return values


def variable_texts(task_vars: Mapping) -> list:
    """Return the sources of a run's variables: the command line, and files that are not encrypted."""
    given = [str(one) for one in context.CLIARGS.get("extra_vars") or ()]
    files = [Path(one[1:]) for one in given if one.startswith("@")]
    files += variable_files(task_vars.get("ansible_inventory_sources") or (), [task_vars["playbook_dir"]])
    return [Text("", one) for one in given if not one.startswith("@")] + read(files)


def resolve_inventory(hostvars, groups: Mapping, group_names: Mapping, specs: Specs) -> tuple:
    """Return three dicts by host: resolved variables, variables that can contain a key, and variables as written.

    The first contains only the hosts of the fleet and the monitor, each without the variables that it does not use.
    """
    written = {host: hostvars.raw_get(host) for host in groups["all"]}
    members, hosts = {**members_of(groups, group_names), MONITOR: list(groups.get(MONITOR) or [])}, {}
    for host in dict.fromkeys(host for some in members.values() for host in some):
        unused = unused_variables(written[host], specs, [one for one in members if host in members[one]])
        missing = missing_environment(written[host], specs)
        hosts[host] = resolve_variables(hostvars[host], specs, unused)
        hosts[host].update({name: missing[name] for name in missing if name not in unused})
    return hosts, {host: key_variables(variables) for host, variables in written.items()}, written
