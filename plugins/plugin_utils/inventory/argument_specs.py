# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The argument_specs and the defaults of the collection's roles."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ansible.module_utils.common.yaml import yaml_load

ROLES = Path(__file__).resolve().parents[3] / "roles"

# Facts that the role preflight sets: its README describes them.
FACTS = ("preflight_fleet", "preflight_host_info")

# Variables that most inventories set, preferred to similar ones as the meaning of an unknown name.
COMMON = ("prover_node_publisher_private_key",)

# Roles whose variables may be set on any host. Variables of a component count only on its own hosts.
FLEET_ROLES = ("preflight", "docker_engine", "port_guard", "host_metrics")


@dataclass(frozen=True)
class Specs:
    """The roles' argument_specs, role -> option -> specification, and their defaults without templating."""

    options: Mapping
    defaults: Mapping

    def owner(self, name: str) -> str | None:
        """Return the role that declares a variable, or None."""
        return next((role for role, options in self.options.items() if name in options), None)

    def default(self, component: str, option: str):
        """Return the declared default of a component's option."""
        return self.options.get(component, {}).get(f"{component}_{option}", {}).get("default")

    def prefixes(self) -> tuple:
        """Return the prefixes that the collection reserves for its variables."""
        own = {role + "_" for role in self.options}
        return tuple(sorted(own | ({"aztec_", "prover_"} if "preflight" in self.options else set())))

    def names(self) -> list:
        """Return every declared variable."""
        return sorted(name for options in self.options.values() for name in options)


@cache
def read_specs(roles: Path) -> Specs:
    """Read the argument_specs and the defaults of every role in a directory."""
    options, defaults = {}, {}
    for path in sorted(roles.glob("*/meta/argument_specs.yml")):
        role = path.parents[1]
        specs = yaml_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]
        options[role.name] = specs.get("options") or {}
        defaults[role.name] = yaml_load((role / "defaults" / "main.yml").read_text(encoding="utf-8")) or {}
    return Specs(options, defaults)


def default_value(name: str):
    """Return the declared default of a variable, or None."""
    specs = read_specs(ROLES)
    role = specs.owner(name)
    return specs.options[role][name].get("default") if role else None


def nearest_name(name: str, known: Iterable) -> str | None:
    """Return the known name that an unknown one most likely means, None for none.

    If a name lacks the words by which several names differ, such as prover_private_key, it means the common one.
    """
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.6)

    def covered(one: str) -> int:
        return sum(block.size for block in difflib.SequenceMatcher(None, name, one).get_matching_blocks())

    usual = [one for one in near if one in COMMON and covered(one) >= covered(near[0])]
    return next(iter([*usual, *near]), None)


def unknown_variables(names: Iterable, specs: Specs, prefixes: tuple | None = None) -> dict:
    """Return the unknown names that look like variables of the collection, each with the nearest known name or None.

    prefixes: the reserved prefixes, by default all prefixes of the collection.
    """
    known, prefixes = specs.names(), specs.prefixes() if prefixes is None else prefixes
    unknown: dict = {}
    for name in names:
        if specs.owner(name) or name in FACTS or name.startswith(("_", "ansible_")):
            continue
        if name.startswith(prefixes):
            unknown[name] = nearest_name(name, known)
            continue
        # A typo in the prefix itself. A variable of the operator, such as vault_prover_id, is not a near match.
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.9)
        if near and near[0].count("_") == name.count("_"):
            unknown[name] = near[0]
    return unknown
