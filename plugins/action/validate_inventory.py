# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the inventory of the whole fleet on the controller, without a connection to any host."""

from __future__ import annotations

from pathlib import Path

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.base import CollectionActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import COMPONENTS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import (
    FLEET_ROLES,
    ROLES,
    read_specs,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import (
    resolve_inventory,
    variable_texts,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import MONITOR, members_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.plain_secrets import search_in
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import count_errors, problem_table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.sources import first_missing_plugin
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_inventory
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.variable_places import Places, precedence_notes
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.project.requirements import (
    is_installed,
    own_version,
    requirements_problem,
)


class ActionModule(CollectionActionBase):
    """Run once for all hosts. Show all problems as one table and fail with one line."""

    argument_spec = {"groups": {"type": "dict", "default": {}}}

    def execute(self, arguments: dict, task_vars: dict) -> dict:
        """Check the inventory and return the values of the fleet."""
        # Settings of a newer version would be reported as unknown variables.
        if C.CONFIG_FILE and is_installed():
            problem = requirements_problem(Path(C.CONFIG_FILE).parent, own_version())
            if problem:
                raise AnsibleError(problem)
        # With another ansible.cfg than that of the collection, Ansible continues without the hosts of such a file.
        sources = [str(one) for one in task_vars.get("ansible_inventory_sources") or ()]
        missing = first_missing_plugin(sources)
        if missing:
            raise AnsibleError(missing)
        for component, name in arguments["groups"].items():
            if component not in COMPONENTS:
                raise AnsibleError(
                    f"validate_inventory: groups has the unknown key {component}: choose from {', '.join(COMPONENTS)}"
                )
            if not isinstance(name, str) or not name:
                raise AnsibleError(
                    f"validate_inventory: groups.{component} is not the name of a group: set one text in quotes"
                )
        groups, names, specs = task_vars["groups"], arguments["groups"], read_specs(ROLES)
        hosts, keys, written = resolve_inventory(task_vars["hostvars"], groups, names, specs)
        # A play on other hosts only, such as localhost, checks the whole fleet.
        run = [host for host in task_vars["ansible_play_hosts_all"] if host in hosts] or None
        search = search_in(variable_texts(task_vars))
        problems, fleet = check_inventory(hosts, groups, specs, names, keys=keys, search=search, run=run)
        members = members_of(groups, names)
        roles = {*FLEET_ROLES, *(component for component in COMPONENTS if members[component])}
        roles |= {MONITOR} if groups.get(MONITOR) else set()
        options = {name: one for role in specs.options if role in roles for name, one in specs.options[role].items()}
        places = Places(self._loader, sources, task_vars["playbook_dir"], options.__contains__)
        problems += precedence_notes(places, run or list(hosts), written, options)
        if problems:
            color = "red" if fleet is None else "yellow"
            self._display.display(f"\n{problem_table(problems, list(hosts))}", color=color)
        if fleet is None:
            what = count_errors(problems, list(hosts))
            return {"failed": True, "msg": f"{what} in the inventory, in the table above; no host was contacted."}
        return {"fleet": fleet}
