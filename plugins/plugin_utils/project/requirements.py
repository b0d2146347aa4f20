# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The collection's own version, and the version that the requirements.yml of an operator's folder requires."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from operator import eq, ge, gt, le, lt, ne
from pathlib import Path

import yaml
from ansible.utils.version import SemanticVersion

COLLECTION = "aztec_ops.prover"
ROOT = Path(__file__).resolve().parents[3]
REQUIREMENTS = "requirements.yml"

_OPERATORS: dict[str, Callable] = {"": eq, "=": eq, "==": eq, "!=": ne, ">=": ge, "<=": le, ">": gt, "<": lt}
_CONDITION = re.compile(r"(|=|==|!=|>=|<=|>|<)\s*([0-9]\S*)")


def is_installed(root: Path = ROOT) -> bool:
    """Return whether the collection is installed. In a clone, a requirements.yml does not set its version."""
    return (root / "MANIFEST.json").is_file()


@cache
def own_version(root: Path = ROOT) -> str:
    """Return the version of the collection: from MANIFEST.json where it is installed, from galaxy.yml in a clone."""
    if is_installed(root):
        manifest = json.loads((root / "MANIFEST.json").read_text(encoding="utf-8"))
        return str(manifest["collection_info"]["version"])
    return str(yaml.safe_load((root / "galaxy.yml").read_text(encoding="utf-8"))["version"])


def required_version(text: str) -> str | None:
    """Return the version that a requirements.yml requires of this collection, or None if it does not name it.

    Empty without a version, or if the collection comes from a file or a repository.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    entries = content.get("collections") if isinstance(content, dict) else None
    for entry in entries if isinstance(entries, list) else []:
        name, version, kind = entry, "", "galaxy"
        if isinstance(entry, dict):
            name, version, kind = (entry.get(key, default) for key, default in _KEYS.items())
        if kind != "galaxy" or "/" in str(name):
            if _names_collection(str(name)):
                return ""
            continue
        name, _colon, inline = str(name).partition(":")
        if name == COLLECTION:
            return str(version or inline or "").strip()
    return None


_KEYS = {"name": "", "version": "", "type": "galaxy"}


def _names_collection(source: str) -> bool:
    """Return whether the path of a file or the URL of a repository is one of this collection."""
    return "aztec_ops-prover-" in source or "ansible-collection-prover" in source


def satisfies(version: str, required: str) -> bool:
    """Return whether a version meets all conditions, such as `>=1.0.0,<2.0.0`. `*` accepts any version.

    Raise ValueError for a condition that is not one.
    """
    for condition in (part.strip() for part in required.split(",")):
        if condition in ("", "*"):
            continue
        parsed = _CONDITION.fullmatch(condition)
        if parsed is None:
            raise ValueError(condition)
        try:
            wanted = SemanticVersion(parsed[2])
        except ValueError:
            raise ValueError(condition) from None
        if not _OPERATORS[parsed[1]](SemanticVersion(version), wanted):
            return False
    return True


def requirements_problem(folder: Path, version: str) -> str:
    """Return the line for a folder whose requirements.yml requires another version, or an empty text."""
    path = folder / REQUIREMENTS
    if not path.is_file():
        return ""
    required = required_version(path.read_text(encoding="utf-8", errors="replace"))
    try:
        if not required or satisfies(version, required):
            return ""
    except ValueError:
        return f"the version of {COLLECTION} in {path} is not valid: write one such as 1.0.0 or >=1.0.0"
    wrong = f"{path} requires {COLLECTION} {required}, and this run uses {version}"
    return f"{wrong}: run ansible-galaxy collection install --upgrade -r {path}, or change the version in it"
