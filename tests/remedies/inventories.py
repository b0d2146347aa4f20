"""Check a wrong inventory of tests/bad_input/tables as site.yml would, in this process and without hosts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import COMPONENTS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import ROLES, read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import resolve_inventory
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.plain_secrets import (
    read,
    search_in,
    variable_files,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import problem_table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_inventory

from tests.bad_input.harness import KEY, Endpoint, play, table_of, write_inventory

SPECS = read_specs(ROLES)


def problems(row: dict, folder: Path, resolve_one: Callable | None = None) -> list:
    """Return the problems of the inventory that a row of the tables describes. FOLDER in it is a folder of its own.

    resolve_one: what answers for names, the controller's resolver where it is not given.
    """
    own = folder / "own"
    own.mkdir()
    (own / "bn254_g1.dat").write_bytes(b"points")
    texts = {key: text.replace("FOLDER", str(own)) if isinstance(text, str) else text for key, text in row.items()}
    place = write_inventory(folder, Endpoint(folder), texts)
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(place)])
    manager = VariableManager(loader=loader, inventory=inventory)
    hostvars = HostVars(inventory, manager, loader)
    groups = inventory.get_groups_dict()
    names = {component: row.get("group_names", {}).get(component, component) for component in COMPONENTS}
    hosts, keys, _written = resolve_inventory(hostvars, groups, names, SPECS)
    search = search_in(read(variable_files([str(place)])))
    resolver = {"resolve_one": resolve_one} if resolve_one else {}
    return check_inventory(hosts, groups, SPECS, names, keys=keys, search=search, **resolver)[0]


def shown(row: dict, folder: Path) -> list[str]:
    """Return the lines of the table that the operator sees of a row's inventory, sorted, with single spaces."""
    if "lookup(" in str(row):
        # Lookup plugins are only found in a process of Ansible itself.
        text = play(write_inventory(folder, Endpoint(folder), row), playbook="preflight.yml", THE_KEY=KEY).stdout
        return table_of(text) if " WHAT IS WRONG" in text else []
    table = problem_table(problems(row, folder), ["node-1", "agent-1", "agent-2"]).splitlines()[2:]
    return sorted(" ".join(line.split()) for line in table)
