# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of an inventory that name an inventory plugin, and whether this plugin is installed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from ansible.plugins.loader import inventory_loader

# As ansible.builtin.auto, which reads these files.
SUFFIXES = (".yml", ".yaml")
VARIABLES = ("group_vars", "host_vars")

# The value is a word: a group with the name "plugin" has a mapping.
_PLUGIN = re.compile(r"""^plugin[ \t]*:[ \t]+(['"]?)([A-Za-z0-9_.]+)\1[ \t]*(?:#.*)?$""", re.MULTILINE)


def plugin_of(text: str) -> str:
    """Return the inventory plugin that an inventory file names, or an empty text."""
    found = _PLUGIN.search(text)
    return found[2] if found else ""


def is_installed(plugin: str) -> bool:
    """Return whether Ansible finds an inventory plugin by its name."""
    parts = plugin.split(".")
    if len(parts) > 2:
        # The loader would display a warning for a collection that is not installed.
        try:
            if find_spec(f"ansible_collections.{parts[0]}.{parts[1]}") is None:
                return False
        except ModuleNotFoundError:
            return False
    return bool(inventory_loader.find_plugin_with_context(plugin).resolved)


def source_files(source: str) -> Iterator[Path]:
    """Yield the YAML files of an inventory source, which is a file, a folder or a list of hosts."""
    path = Path(source)
    if path.is_dir():
        for one in sorted(path.iterdir()):
            if one.name not in VARIABLES and not one.name.startswith("."):
                yield from source_files(str(one))
    elif path.suffix in SUFFIXES and path.is_file():
        yield path


def missing_plugin(path: Path, installed: Callable[[str], bool] = is_installed) -> str:
    """Return the line for a file whose inventory plugin is not installed, or an empty text."""
    if path.suffix not in SUFFIXES:
        return ""
    plugin = plugin_of(path.read_text(encoding="utf-8", errors="replace"))
    if not plugin or installed(plugin):
        return ""
    wrong = f"{path} uses the inventory plugin {plugin}, which is not installed"
    collection = plugin.rpartition(".")[0]
    if "." not in collection or collection.startswith("ansible."):
        return f"{wrong}: write its full name with the collection, such as amazon.aws.aws_ec2"
    return f"{wrong}: run ansible-galaxy collection install {collection}, or correct the name"


def first_missing_plugin(sources: Iterable[str], installed: Callable[[str], bool] = is_installed) -> str:
    """Return the line for the first file with a plugin that is not installed, or an empty text."""
    lines = (missing_plugin(path, installed) for source in sources for path in source_files(source))
    return next((line for line in lines if line), "")
