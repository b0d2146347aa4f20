# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check each variable against its specification: known names, types, choices, ranges, and required values."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import (
    FLEET_ROLES,
    unknown_variables,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.context import Context
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import (
    CONNECTION_NAMES,
    UnresolvedValue,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import as_bool
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.plain_secrets import plain_problem, secrets_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import (
    TOO_LONG,
    as_int,
    connection_problem,
    describe_value,
    range_problem,
    type_name,
)

# Endings of options whose values are text that can look like a number without quotes.
_QUOTED = ("_private_key", "_prover_id", "_digest", "_address", "_addresses", "_ip", "_fingerprint", "_registry")


def type_problem(name: str, option: Mapping, value: object) -> tuple | None:
    """Return (what is wrong, what to do) if a value does not have the type or choice of its option."""
    wanted = option.get("type", "str")
    found = None
    if isinstance(value, UnresolvedValue):
        return value.reason, value.remedy
    if value is None:
        return "is empty", "set a value, or remove the line"
    if wanted in ("str", "path"):
        found = _text_problem(name, wanted, value)
    elif wanted == "int" and as_int(value) is None:
        found = "is not a whole number", "set a number without a unit"
    elif wanted == "bool" and as_bool(value) is None:
        found = "is neither true nor false", "set true or false"
    elif wanted == "list":
        found = _list_problem(name, option, value)
    elif wanted == "dict":
        found = _dict_problem(name, option, value)
    choices = [str(choice) for choice in option.get("choices") or ()]
    values = value if isinstance(value, list) else [value]
    if found is None and choices and not {str(one) for one in values} <= set(choices):
        listed = ", ".join(choice or '""' for choice in choices)
        found = f"{describe_value(value, option)} is not a choice", f"choose one of {listed}"
    return found


def _text_problem(name: str, wanted: str, value: object) -> tuple | None:
    if isinstance(value, str):
        relative = wanted == "path" and value and not value.startswith("/")
        return ("is not an absolute path", "begin it with /") if relative else None
    if not isinstance(value, (int, float)):
        return f"is a {type_name(value)}, not text", "set one text in quotes"
    if isinstance(value, bool):
        return "is written without quotes, which YAML makes true or false", "put it in quotes"
    number = "is written without quotes, which YAML makes a number"
    if name.endswith("_version"):
        # Quotes by themselves would leave an incomplete version.
        return number, 'write the whole version in quotes, such as "1.2.3"'
    if isinstance(value, float) or abs(value) >= TOO_LONG or name.endswith(_QUOTED):
        return number, "put it in quotes"
    return None


def _list_problem(name: str, option: Mapping, value: object) -> tuple | None:
    if not isinstance(value, (list, tuple)):
        return f"is a {type_name(value)}, not a list", "write it as a list, [one, two]"
    element = {"type": option.get("elements", "raw"), "options": option.get("options")}
    for number, item in enumerate(value, 1):
        found = type_problem(name, element, item)
        if found:
            return f"entry {number} {found[0]}", found[1]
    return None


def _dict_problem(name: str, option: Mapping, value: object) -> tuple | None:
    if not isinstance(value, Mapping):
        return f"is a {type_name(value)}, not a dict", "write it as NAME: value lines"
    keys = option.get("options")
    if not keys:
        return None
    for key in value:
        if key not in keys:
            return f"has the unknown key {describe_value(key)}", f"choose from {', '.join(keys)}"
    for key, one in keys.items():
        if key in value:
            found = type_problem(f"{name}.{key}", one, value[key]) or range_problem(f"{name}.{key}", value[key])
            if found:
                return f"has an invalid {key}: {found[0]}", found[1]
        elif one.get("required"):
            return f"has no {key}", "set it"
    return None


def check_names(context: Context, prefixes: tuple | None = None) -> None:
    """Check that no variable has an unknown name that looks like one of the collection."""
    unknown = unknown_variables(
        sorted({name for values in context.hosts.values() for name in values}), context.specs, prefixes
    )
    for host, values in context.hosts.items():
        for name in (one for one in values if one in unknown):
            role = next((one for one in context.specs.options if name.startswith(f"{one}_")), "preflight")
            manual = f"ansible-doc -t role aztec_ops.prover.{role}"
            remedy = f"did you mean {unknown[name]}?" if unknown[name] else f"remove it; {manual} lists all variables"
            context.add(host, name, ("is an unknown variable", remedy))


def check_types(context: Context) -> None:
    """Check every variable against its specification, on the hosts that use it."""
    specs = context.specs
    for host, values in context.hosts.items():
        components = context.components(host)
        for name, value in values.items():
            role = specs.owner(name)
            if role not in (*FLEET_ROLES, *components) and name not in CONNECTION_NAMES:
                continue
            found = type_problem(name, specs.options[role][name] if role else {"type": "raw"}, value)
            if found is None and name == "ansible_host":
                found = connection_problem(value, bool(values.get("aztec_address")))
            elif found is None:
                found = range_problem(name, value)
            if found:
                context.add(host, name, found)
        # The callers of the other roles pass what these require.
        for role in components:
            for name, option in specs.options.get(role, {}).items():
                if option.get("required") and name not in values and name not in specs.defaults.get(role, ()):
                    context.add(host, name, ("is not set", "set it"))


def check_required(context: Context, role: str) -> None:
    """Check that the required options of a role that is used without a fleet are set and not empty."""
    for host in context.hosts:
        for name, option in context.specs.options[role].items():
            if option.get("required") and context.setting(host, role, name[len(role) + 1 :])[1] in (None, "", []):
                context.add(host, name, ("is not set", "set it"))


def check_secrets(context: Context, search, roles: Collection | None = None) -> None:
    """Check that no secret is in clear text in the sources of variables. search: returns where one is, or None.

    roles: those whose variables are checked, by default those of the host.
    """
    for host, values in context.hosts.items():
        mode = values.get("aztec_plain_secrets", "warn")
        for name, value in context.usable(host).items() if mode in ("warn", "fail") else ():
            role = context.specs.owner(name)
            if role in (roles or (*FLEET_ROLES, *context.components(host))):
                found = plain_problem(secrets_of(name, context.specs.options[role][name], value), search)
                if found:
                    context.add(host, name, found, "error" if mode == "fail" else "warning")
