# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judge a running fleet by what was seen on its hosts, on the controller, with no connection to any host."""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet_problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import to_builtin
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import count_problems
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.fleet_status import report_table, verify

GONE = "could not be reached: see the error above, then run again"
LEFT_OUT = "was left out of this run: {}: correct it, then run again"
LEFT = "left the run earlier: see the error above, then run again"


def look_of(result: object) -> object:
    """Give the look in a host's registered result, or a text that says why there is none."""
    if not isinstance(result, dict):
        return LEFT
    return result.get("host_info", GONE)


def looks_of(results: dict, fleet: dict, left_out: dict) -> dict:
    """Return host -> its look, or a text that says why there is none, and note in fleet who was left out and why.

    results: host -> its registered result, or None. left_out: who was left out for what was seen on the host.
    """
    looks = {}
    for host, result in results.items():
        here = fleet["hosts"][host]
        reason = here.get("left_out") or left_out.get(host)
        if reason:
            here["left_out"] = reason
        looks[host] = LEFT_OUT.format(reason) if reason else look_of(result)
    return looks


class ActionModule(ActionBase):
    """Run once for all hosts; shows the fleet as a table and fails with one line where anything is wrong."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Judge the hosts of the play, those that it lost included."""
        result = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec({
            "fleet": {"type": "dict", "required": True},
            "register": {"type": "str", "required": True},
            "left_out": {"type": "dict", "default": {}},
        })
        fleet, hostvars = to_builtin(arguments["fleet"]), task_vars["hostvars"]
        wrong = fleet_problem(fleet)
        if wrong:
            raise AnsibleError(f"fleet_status: {wrong}")
        results, name = {}, arguments["register"]
        for host in task_vars["ansible_play_hosts_all"]:
            if host in fleet["hosts"]:
                variables = hostvars[host]
                results[host] = to_builtin(variables[name]) if name in variables else None
        report = verify(looks_of(results, fleet, to_builtin(arguments["left_out"])), fleet)
        self._display.display("\n" + report_table(report) + "\n", color="red" if report.problems else None)
        result.update(
            changed=False,
            notes=[" ".join(note) for note in report.notes],
            problems=[" ".join(problem) for problem in report.problems],
        )
        # What a run in check mode would have mended is no fault of the fleet.
        if report.problems and not self._task.check_mode:
            result.update(failed=True, msg=f"{count_problems(len(report.problems))} in the fleet, in the table above.")
        else:
            result["msg"] = "See the table above." if report.notes or report.problems else "The fleet is well."
        return result
