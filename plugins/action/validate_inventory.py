# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the inventory of the whole fleet on the controller, without a connection to any host."""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import COMPONENTS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import (
    FLEET_ROLES,
    ROLES,
    read_specs,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import (
    key_variables,
    resolve_fleet_variables,
    variable_texts,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import members_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.plain_secrets import Search
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import (
    count_problems,
    merge_problems,
    problem_table,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_inventory
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.variable_places import Places, precedence_notes


class ActionModule(ActionBase):
    """Run once for all hosts. Show all problems as one table and fail with one line."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Check the inventory and return the values of the fleet."""
        result = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec({"groups": {"type": "dict", "default": {}}})
        for component, name in arguments["groups"].items():
            if component not in COMPONENTS:
                raise AnsibleError(
                    f"validate_inventory: groups has the unknown key {component}: choose from {', '.join(COMPONENTS)}"
                )
            if not isinstance(name, str) or not name:
                raise AnsibleError(
                    f"validate_inventory: groups.{component} is not the name of a group: set one text in quotes"
                )
        groups = {name: list(hosts) for name, hosts in task_vars["groups"].items()}
        names = {**dict(zip(COMPONENTS, COMPONENTS)), **arguments["groups"]}
        specs = read_specs(ROLES)
        hostvars = task_vars["hostvars"]
        written = {host: hostvars.raw_get(host) for host in groups["all"]}
        members = members_of(groups, names)
        hosts = resolve_fleet_variables(hostvars, written, members, specs)
        keys = {host: key_variables(variables) for host, variables in written.items()}

        # A play on other hosts only, such as localhost, checks the whole fleet.
        run = [host for host in task_vars["ansible_play_hosts_all"] if host in hosts] or None
        search = Search(variable_texts(task_vars))
        problems, fleet = check_inventory(hosts, groups, specs, names, keys=keys, search=search, run=run)
        roles = {*FLEET_ROLES, *(component for component in COMPONENTS if members[component])}
        options = {name: one for role in specs.options if role in roles for name, one in specs.options[role].items()}
        sources = task_vars.get("ansible_inventory_sources") or ()
        places = Places(self._loader, sources, task_vars["playbook_dir"], options.__contains__)
        problems += precedence_notes(places, run or list(hosts), written, options)
        result["changed"] = False
        if problems:
            self._display.display(problem_table(problems, list(hosts)), color="red" if fleet is None else "yellow")
        if fleet is None:
            what = count_problems(sum(one.level == "error" for one in merge_problems(problems, list(hosts))))
            result.update(failed=True, msg=f"{what} in the inventory, in the table above; no host was contacted.")
        else:
            result["fleet"] = fleet
        return result
