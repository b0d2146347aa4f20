# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The variables of the inventory's hosts, templated on the controller, and why a value cannot be resolved."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from ansible import context
from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import COMPONENTS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import FACTS, Specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import BROKER, NODE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.plain_secrets import (
    Text,
    holds_secret,
    read,
    variable_files,
)

# Ansible's own variables that are read here.
CONNECTION_NAMES = ("ansible_host", "ansible_port")

# Names of variables, anybody's, that a key which sends transactions may stand under.
KEY_NAMES = re.compile(r"key|publisher|sequencer|validator|attester|signer|mnemonic|wallet", re.IGNORECASE)

# Settings of the whole fleet that may hold keys, and which components read them.
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

# By collection: names of errors, what one of them means, what to do.
_LOOKUP_FAULTS = {
    "community.sops": (
        ({"FileNotFoundError", "PermissionError"}, "there is no program sops", "install it, or set sops_binary"),
        ({"SopsError"}, "sops cannot decrypt", "give it its key, as SOPS_AGE_KEY_FILE; sops decrypt FILE says more"),
        ({"AnsibleTemplatePluginError"}, "there is no such file", "correct its path"),
    ),
    "community.hashi_vault": (
        ({"ImportError"}, "the controller's Python has no hvac", f"run {sys.executable} -m pip install hvac"),
        ({"Forbidden"}, "the server refuses token or path", "log in anew, or have its policy read the path"),
        ({"InvalidPath"}, "the server has nothing there", "correct path and mount point, or put the secret there"),
        ({"InvalidRequest", "Unauthorized"}, "the server refuses the log-in", "correct role_id and secret_id"),
        ({"VaultDown"}, "the server is sealed", "unseal it"),
        ({"SSLError"}, "the server's certificate is not trusted", "set VAULT_CACERT, or correct the URL"),
        ({"OSError"}, "the server does not answer", "start it, or correct ansible_hashi_vault_url (VAULT_ADDR)"),
        (
            {"HashiVaultValueError"},
            "it has nothing to log in with",
            "give a token (VAULT_TOKEN) or another auth_method",
        ),
    ),
}


@dataclass(frozen=True)
class UnresolvedValue:
    """Stands for a value whose template failed; reason says why and holds nothing of the value."""

    reason: str
    remedy: str = "mend its template, look-up or vault password"


def unresolved_value(error: BaseException) -> UnresolvedValue:
    """Say in a line why a value cannot be had, from the kind of error alone: its message may hold secrets."""
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    for one in chain:
        if isinstance(one, AnsibleUndefinedVariable) or type(one).__name__ == "UndefinedError":
            name = _UNDEFINED.search(str(one))
            what = f"'{name.group(1)}'" if name else "something"
            return UnresolvedValue(f"uses {what}, which is not defined", "define it, or mend the template")
        plugin = _LOOKUP.match(str(one)) if isinstance(one, AnsibleError) else None
        if plugin:
            return _failed_lookup(plugin.group(1), plugin.group(2) == "failed", chain)
    if any("Vault" in type(one).__name__ for one in chain):
        return UnresolvedValue(
            "cannot be decrypted", "give its vault password: --ask-vault-pass or --vault-password-file"
        )
    return UnresolvedValue(f"cannot be worked out ({type(chain[-1]).__name__})", "mend its template or look-up")


def _failed_lookup(plugin: str, found: bool, chain: Sequence) -> UnresolvedValue:
    """Say why a look-up failed, for those of docs/secrets.md in their own words."""
    collection = plugin.rpartition(".")[0]
    if not found:
        installed = f"ansible-galaxy collection install {collection}" if "." in collection else "correct its name"
        return UnresolvedValue(f"its look-up {plugin} is not installed", installed)
    kinds = [type(one).__name__ for one in chain]
    for known, reason, remedy in _LOOKUP_FAULTS.get(collection, ()):
        if known & {*kinds, *(base.__name__ for base in type(chain[-1]).__mro__)}:
            return UnresolvedValue(f"its look-up {plugin} failed: {reason}", remedy)
    return UnresolvedValue(f"its look-up {plugin} failed ({kinds[-1]})", "mend the look-up, or what it asks")


def to_builtin(value: object) -> object:
    """Give a templated value as Python's own types, so that nothing in it is worked out later."""
    if isinstance(value, Mapping):
        return {str(key): to_builtin(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_builtin(item) for item in value]
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    return str(value)


def texts_in(value: object) -> Iterator:
    """Give each text in a value as it is written."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from texts_in(item)
    elif isinstance(value, str):
        yield value


def missing_environment(written: Mapping, specs: Specs) -> dict:
    """Give a host's secrets that are to come from an environment variable which is not there, and would be empty."""
    found = {}
    for name, value in written.items():
        owner = specs.owner(name)
        if owner and holds_secret(name, specs.options[owner][name]):
            for variable in (one for text in texts_in(value) for one in _FROM_ENVIRONMENT.findall(text)):
                if not os.environ.get(variable):
                    reason = f"takes the environment variable {variable}, which is not set"
                    found.setdefault(name, UnresolvedValue(reason, "export it before the run: docs/secrets.md"))
    return found


def unused_variables(written: Mapping, specs: Specs, components: Sequence) -> set:
    """Give the names of a host's variables that no component of it reads, and that are not worked out for it.

    A key that the whole inventory has is looked up for the node alone, not once more for each agent.
    """
    names = set()
    for name, value in written.items():
        owner = specs.owner(name)
        if owner in COMPONENTS:
            left_out = owner not in components
        else:
            # One that is written out costs nothing, and a fault in it is shown for every host that has it.
            template = any("{{" in text or "{%" in text for text in texts_in(value))
            left_out = name in FLEET_URLS and template and not set(FLEET_URLS[name]) & set(components)
        if left_out:
            names.add(name)
    return names


def resolve_variables(variables: Mapping, specs: Specs, left_out: Set = frozenset()) -> dict:
    """Give a host's variables for the check: those of the collection worked out, of all others the names alone."""
    prefixes, values = specs.prefixes(), {}
    for name in variables:
        if name.startswith("_") or name in FACTS or name in left_out:
            continue
        if not name.startswith(prefixes) and name not in CONNECTION_NAMES:
            values[name] = ""
            continue
        try:
            values[name] = to_builtin(variables[name])
        except Exception as error:  # look-ups raise what they like
            values[name] = unresolved_value(error)
    return values


def key_variables(variables: Mapping) -> dict:
    """Give a host's variables that may hold a key, anybody's, as they are written: no template of others is run.

    Where one is a template, the variable that it takes the key from is there too. What no password opens stays shut.
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
    """Give the texts that a run takes its variables from: the command line's, then files that are not encrypted."""
    given = [str(one) for one in context.CLIARGS.get("extra_vars") or ()]
    files = [Path(one[1:]) for one in given if one.startswith("@")]
    files += variable_files(task_vars.get("ansible_inventory_sources") or (), [task_vars["playbook_dir"]])
    return [Text("", one) for one in given if not one.startswith("@")] + read(files)


def resolve_fleet_variables(hostvars, written: dict, members: dict, specs: Specs) -> dict:
    """Give host -> what its variables come to, for the hosts of members; what a host does not use is not worked out."""
    hosts: dict = {}
    for host in dict.fromkeys(host for some in members.values() for host in some):
        components = [component for component in COMPONENTS if host in members[component]]
        left_out = unused_variables(written[host], specs, components)
        hosts[host] = resolve_variables(hostvars[host], specs, left_out)
        hosts[host].update(
            {name: one for name, one in missing_environment(written[host], specs).items() if name not in left_out}
        )
    return hosts
