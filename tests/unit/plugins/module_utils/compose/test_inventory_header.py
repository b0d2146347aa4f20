# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The first line of a project's files, and which inventory may change the project."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.inventory_header import (
    inventory_name,
    inventory_of,
    other_inventory,
    without_header,
)

NAMED = "# Managed by Ansible (aztec_ops.prover, inventory lab): changes made here are overwritten."
UNNAMED = "# Managed by Ansible (aztec_ops.prover): changes made here are overwritten."


@pytest.mark.parametrize(
    ("name", "directory", "found"),
    [
        ("mine", "/home/ops/inventories/prod", "mine"),
        ("", "/home/ops/inventories/prod", "prod"),
        ("", "/home/ops/inventories/prod/", "prod"),
        ("", "/home/ops/our prover (new)", "our-prover-new-"),
        ("", "/", ""),
        ("", "", ""),
        ("", None, ""),
    ],
)
def test_inventory_name(name: str, directory: str | None, found: str) -> None:
    assert inventory_name(name, directory) == found


@pytest.mark.parametrize(
    ("text", "inventory", "rest"),
    [
        (f"{NAMED}\nname: x\n", "lab", "name: x\n"),
        (f"{UNNAMED}\nname: x\n", "", "name: x\n"),
        (NAMED, "lab", ""),
        ("# mine\nname: x\n", "", "# mine\nname: x\n"),
        # Only the first line is the header.
        (f"name: x\n{NAMED}\n", "", f"name: x\n{NAMED}\n"),
        ("", "", ""),
        (None, "", None),
    ],
)
def test_header_of_a_file(text: str | None, inventory: str, rest: str | None) -> None:
    assert inventory_of(text) == inventory
    assert without_header(text) == rest


@pytest.mark.parametrize(
    ("names", "inventory", "wrong"),
    [
        ([], "prod", None),
        ([""], "prod", None),
        (["prod"], "prod", None),
        (["prod"], "", "is managed by the inventory prod, and this one is without a name"),
        (["lab"], "prod", "is managed by the inventory lab, and this one is prod"),
        (["lab", "prod"], "prod", "is managed by the inventory lab, and this one is prod"),
    ],
)
def test_other_inventory(names: list, inventory: str, wrong: str | None) -> None:
    found = other_inventory(names, inventory)
    assert (found[0] if found else None) == wrong
    if found:
        assert f"set aztec_inventory_name: {names[0]} if" in found[1]
