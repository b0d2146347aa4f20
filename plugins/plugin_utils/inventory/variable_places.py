# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find the places where an inventory sets a variable, and the one that applies to a host."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.inventory.helpers import sort_groups
from ansible.inventory.manager import InventoryManager
from ansible.plugins.loader import vars_loader
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.plain_secrets import holds_secret
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import describe_value

# The rank of a place: the group all, then other groups by depth, then hosts.
ALL, HOST = 0, 1000

_DYNAMIC = re.compile(r"^\s*plugin\s*:", re.MULTILINE)


@dataclass(frozen=True)
class Layer:
    """One place of variables: its name, its rank, its variables, and for a group the place that takes precedence."""

    place: str
    rank: int
    values: Mapping
    stronger: str = ""


def is_static(source: str) -> bool:
    """Return whether an inventory source, a folder or a file, runs no program and queries no service."""
    path = Path(source)
    if path.is_dir():
        below = (one for one in sorted(path.iterdir()) if one.name not in ("group_vars", "host_vars"))
        return all(is_static(str(one)) for one in below if not one.name.startswith("."))
    if not path.is_file():
        return True  # A list of hosts on the command line.
    return not os.access(path, os.X_OK) and not _DYNAMIC.search(path.read_text(encoding="utf-8", errors="replace"))


class Places:
    """All places that set variables of a static inventory, in Ansible's order of precedence."""

    def __init__(self, loader, sources: Iterable, playbook_dir: str, wanted: Callable[[str], bool]) -> None:
        """Read the inventory's sources. wanted: returns whether a variable counts."""
        sources = [str(one) for one in sources]
        self.loader, self.wanted = loader, wanted
        static = [one for one in sources if is_static(one)]
        self.inventory = InventoryManager(loader=loader, sources=static, parse=bool(static))
        self.plugin = vars_loader.get("host_group_vars")
        folders = [one if os.path.isdir(one) else os.path.dirname(one) for one in sources if os.path.exists(one)]
        self.folders = {os.path.realpath(one): "" for one in folders}
        self.folders.setdefault(os.path.realpath(playbook_dir), " next to the playbook")
        self.known: dict = {}

    def _of_files(self, entity, kind: str, name: str, rank: int) -> list[Layer]:
        """Return the variables of a group or a host in the folders group_vars or host_vars."""
        return [
            Layer(f"{kind}{name}{suffix}", rank, self._kept(self.plugin.get_vars(self.loader, folder, [entity])))
            for folder, suffix in self.folders.items()
        ]

    def _kept(self, values: Mapping) -> dict:
        return {name: value for name, value in values.items() if self.wanted(name)}

    def _of_groups(self, groups: Sequence) -> list[Layer]:
        """Return the layers of the group all, then those of a host's other groups."""
        everybody = self.inventory.groups["all"]
        found = [Layer("the inventory's group all", ALL, self._kept(everybody.vars))]
        for group in groups:
            place, stronger = f"the inventory's group {group.name}", f"group_vars/{group.name}"
            found.append(Layer(place, group.depth, self._kept(group.vars), stronger))
        found += self._of_files(everybody, "group_vars", "/all", ALL)
        inner = [self._of_files(group, "group_vars", f"/{group.name}", group.depth) for group in groups]
        found += [layers[number] for number in range(len(self.folders)) for layers in inner]
        return [layer for layer in found if layer.values]

    def layers(self, name: str) -> list[Layer]:
        """Return the places that set variables of a host, in order of precedence; none for an unknown host."""
        host = self.inventory.get_host(name)
        if host is None or name not in self.inventory.hosts:
            return []
        groups = [group for group in sort_groups(host.get_groups()) if group.name != "all"]
        key = tuple(group.name for group in groups)
        if key not in self.known:
            self.known[key] = self._of_groups(groups)
        own = [Layer("the inventory's line of the host", HOST, self._kept(host.vars))]
        own += self._of_files(host, "host_vars", " of the host", HOST)
        return self.known[key] + [layer for layer in own if layer.values]


def same(one: object, other: object) -> bool:
    """Return whether two values are equal. A value that cannot be decrypted counts as equal."""
    try:
        return one == other
    except AnsibleError:
        return True


def overridden_settings(host: str, layers: Sequence[Layer], applied: Mapping, options: Mapping) -> list[Problem]:
    """Return a note for each setting of a host for which another place has a different value than the one that applies.

    layers: from Places. applied: the host's variables as they are written. options: specifications by variable.
    Usual exceptions are not reported, nor are variables to which none of the layers applies, as with -e.
    """
    problems = []
    for name in dict.fromkeys(name for layer in layers for name in layer.values):
        setting = [layer for layer in layers if name in layer.values]
        winner = setting[-1]
        value = winner.values[name]
        applies = name in applied and same(applied[name], value)
        overridden = [
            layer
            for layer in setting[:-1]
            # A place of a host usually overrides others, and a group the group all.
            if applies
            and not (winner.rank > layer.rank and (winner.rank == HOST or layer.rank == ALL))
            and not same(layer.values[name], value)
        ]
        if not overridden:
            continue
        hides = winner.rank >= HOST or holds_secret(name, options[name])
        places = [
            layer.place if hides else f"{describe_value(layer.values[name], options[name])} in {layer.place}"
            for layer in (winner, *overridden)
        ]
        remedy = "set it in one of these places only"
        if winner.rank == ALL and overridden[-1].stronger:
            stronger = f"{overridden[-1].stronger}, which takes precedence over {winner.place}"
            remedy = f"set it in {stronger}, or in one place only"
        wrong = f"is set in several places: {places[0]} applies, and not {' and '.join(places[1:])}"
        problems.append(Problem(host, name, wrong, remedy, "note"))
    return problems


def precedence_notes(places: Places, hosts: Collection, written: Mapping, options: Mapping) -> list[Problem]:
    """Return the notes for all hosts of a run. written: host -> its variables as they are written."""
    return [one for host in hosts for one in overridden_settings(host, places.layers(host), written[host], options)]
