# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The first line of a project's files, which names the inventory that manages the project."""

from __future__ import annotations

import posixpath
import re

HEADER = re.compile(r"# Managed by Ansible \(aztec_ops\.prover(?:, inventory ([A-Za-z0-9._-]+))?\):[^\n]*\n?")


def inventory_name(name: str | None, directory: str | None = "") -> str:
    """Return the name of an inventory: the one that is set, else that of its directory, '' if it has none."""
    return name or re.sub(r"[^A-Za-z0-9._-]+", "-", posixpath.basename(posixpath.normpath(directory or "/")))


def inventory_of(text: str | None) -> str:
    """Return the inventory that the first line of a file names, '' if it names none."""
    found = HEADER.match(text or "")
    return (found.group(1) if found else None) or ""


def without_header(text: str | None) -> str | None:
    """Return a file's text without its first line if that is the header, which is not part of the desired state."""
    found = HEADER.match(text or "")
    return text[found.end() :] if text and found else text


def other_inventory(names: list, inventory: str) -> tuple | None:
    """Return what is wrong and what to do if another inventory manages a project, else None.

    names: the inventories that the project's files on the host name. inventory: the name of this one.
    """
    others = [name for name in names if name not in ("", inventory)]
    if not others:
        return None
    wrong = f"is managed by the inventory {others[0]}, and this one is {inventory or 'without a name'}"
    remedy = f"use that inventory, set aztec_instance for a second prover, or set aztec_inventory_name: {others[0]} "
    return wrong, f"{remedy}if this is the same inventory under a new name"
