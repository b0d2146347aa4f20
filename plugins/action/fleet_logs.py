# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Display the logs of a fleet's components by their host info, on the controller, without a connection to a host."""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible_collections.aztec_ops.prover.plugins.action.fleet_status import host_info_or_reason
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.base import CollectionActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet_problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import to_builtin
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import count_hosts
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.logs import (
    chosen_components,
    host_projects,
    lines_problem,
    log_blocks,
)


class ActionModule(CollectionActionBase):
    """Run once for all hosts: first to select what is read, then, with host_info_variable, to display it."""

    argument_spec = {
        "fleet": {"type": "dict", "required": True},
        "lines": {"type": "raw", "required": True},
        "components": {"type": "raw", "default": ""},
        "host_info_variable": {"type": "str"},
    }

    def execute(self, arguments, task_vars):
        """Return the projects to read on each host and the number of lines, and display the logs that were read."""
        fleet = to_builtin(arguments["fleet"])
        wrong = fleet_problem(fleet)
        if wrong:
            raise AnsibleError(f"fleet_logs: {wrong}")
        problem = lines_problem(arguments["lines"])
        if problem:
            raise AnsibleError(problem)
        components = chosen_components(to_builtin(arguments["components"]))
        hosts = [host for host in task_vars["ansible_play_hosts_all"] if host in fleet["hosts"]]
        projects = {host: host_projects(host, fleet, components) for host in hosts}
        found = {"projects": {host: list(names) for host, names in projects.items()}, "lines": int(arguments["lines"])}
        if not any(projects.values()):
            raise AnsibleError(f"no host of this run has {', '.join(components)}: change aztec_components or --limit")
        if arguments["host_info_variable"]:
            found["verdict"] = self.show(fleet, projects, arguments["host_info_variable"], task_vars)
        return found

    def show(self, fleet, projects, variable, task_vars):
        """Display the logs of the hosts that have a chosen component, and return the verdict."""
        shown = 0
        for host, names in projects.items():
            if names:
                registered = to_builtin(task_vars["hostvars"][host].get(variable))
                found = host_info_or_reason(registered, fleet["hosts"][host], "")
                shown += isinstance(found, dict)
                for block in log_blocks(host, found, names):
                    self._display.display("\n" + "\n".join(block))
        chosen = sum(map(bool, projects.values()))
        return f"logs of {count_hosts(shown)}" + (f", {chosen - shown} not read" if shown < chosen else "")
