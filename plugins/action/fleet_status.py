# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Report the status of a running fleet by its host info, on the controller, without a connection to a host."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ansible.errors import AnsibleError
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.base import CollectionActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import ROLES, read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet_problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import (
    resolve_variables,
    to_builtin,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import NODE, as_bool
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import count_hosts, count_problems
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.differences import join_hosts
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_queries import l1_settings
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.earning import (
    Facts,
    Judgement,
    earning_table,
    earning_values,
    facts_of,
    judge,
    status_options,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.fleet_status import (
    fleet_report,
    report_table,
    report_values,
)

UNREACHABLE = "is unreachable: see the error above, then run again"
LEFT_OUT = "was left out of this run: {}: correct it, then run again"
FAILED_EARLIER = "failed earlier in this run: see the error above, then run again"


def host_info_or_reason(result: object, here: dict, left_out: str, failed: bool = False) -> object:
    """Return the host info in a host's registered result, or a text that explains why it is missing.

    here: the host in the fleet's values, to which the reason is added if check_hosts left it out. left_out: this
    reason, or ''. failed: whether the host failed, or became unreachable, after its host info was gathered.
    """
    here["left_out"] = here.get("left_out") or left_out
    if here["left_out"]:
        return LEFT_OUT.format(here["left_out"])
    if failed:
        return FAILED_EARLIER
    return result.get("host_info", UNREACHABLE) if isinstance(result, Mapping) else FAILED_EARLIER


def verdict(hosts: int, changed: int | None, problems: int, notes: int, stopped: int = 0, rows: int = 1) -> str:
    """Return the result of a run on one line.

    changed: the number of hosts that the run changed, None in a report. stopped: the number of components that were
    stopped on purpose. rows: that of all components.
    """
    if problems:
        return f"{count_problems(problems)}, see above"
    changes = [] if changed is None else [f"{changed} changed" if changed else "nothing to change"]
    also = [f"{notes} {'note' if notes == 1 else 'notes'} above"] if notes else []
    if not stopped:
        return ", ".join([count_hosts(hosts), *changes, "all components healthy", *also])
    others = ["all others healthy"] if stopped < rows else []
    count = f"{stopped} {'component' if stopped == 1 else 'components'} stopped"
    return ", ".join([count_hosts(hosts), *changes, count, *others, *also])


def run_problems(failed: Sequence[str], unchanged: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return the problems of a run that a failure ended early, as (hosts, -, text).

    failed: hosts on which it failed. unchanged: hosts that were left as they are because of that.
    """
    rest = [host for host in unchanged if host not in failed]
    found = [(join_hosts(failed), "-", FAILED_EARLIER)] if failed else []
    why = f"not changed, because {join_hosts(failed)} failed: correct the error above, then run again"
    return [*found, *([(join_hosts(rest), "-", why)] if rest else [])]


class ActionModule(CollectionActionBase):
    """Run once for all hosts. Display the fleet as a table, and fail with one line if there is a problem.

    Without a fleet, only check the options and return them.
    """

    argument_spec = {
        "fleet": {"type": "dict"},
        "host_info_variable": {"type": "str"},
        "other_info_variable": {"type": "str", "default": ""},
        "left_out": {"type": "dict", "default": {}},
        "changed": {"type": "int"},
        "failed": {"type": "list", "elements": "str", "default": []},
        "unchanged": {"type": "list", "elements": "str", "default": []},
        "earning": {"type": "bool", "default": False},
        "epochs": {"type": "raw", "default": ""},
        "format": {"type": "raw", "default": ""},
    }

    def execute(self, arguments, task_vars):
        """Report the status of the hosts of the play, including those that failed."""
        try:
            epochs, form = status_options(to_builtin(arguments["epochs"]), to_builtin(arguments["format"]))
        except ValueError as error:
            raise AnsibleError(str(error)) from None
        if arguments["fleet"] is None:
            return {"epochs": epochs, "format": form}
        fleet, host_infos = to_builtin(arguments["fleet"]), {}
        wrong = fleet_problem(fleet)
        if wrong:
            raise AnsibleError(f"fleet_status: {wrong}")
        for host in task_vars["ansible_play_hosts_all"]:
            if host in fleet["hosts"]:
                registered = to_builtin(task_vars["hostvars"][host].get(arguments["host_info_variable"]))
                reason = str(arguments["left_out"].get(host, ""))
                failed = host not in task_vars["ansible_play_hosts"]
                host_infos[host] = host_info_or_reason(registered, fleet["hosts"][host], reason, failed)
        others = {}
        for host in task_vars["groups"]["all"]:
            registered = to_builtin(task_vars["hostvars"][host].get(arguments["other_info_variable"]) or {})
            if host not in fleet["hosts"] and "host_info" in registered:
                others[host] = registered["host_info"]
        report = fleet_report(host_infos, fleet, others, arguments["earning"])
        report.problems = [*run_problems(arguments["failed"], arguments["unchanged"]), *report.problems]
        facts, judgement = None, None
        if arguments["earning"]:
            facts, judgement = self._judge(fleet, host_infos, epochs, task_vars)
            if not judgement.good and not judgement.in_table:
                report.problems.append((fleet["node"]["host"], "prover", f"is not earning, {judgement.text}"))
        # In check mode, a run did not correct the problems that it would correct.
        failed = bool(report.problems) and not self._task.check_mode
        if failed:
            msg = f"{count_problems(len(report.problems))} in the fleet, in the table above."
        else:
            msg = "See the table above." if report.notes or report.problems else "All components are healthy."
        texts = {name: [" ".join(one) for one in getattr(report, name)] for name in ("notes", "problems")}
        counts = len(report.problems), len(report.notes), report.stopped, len(report.rows)
        found = verdict(len(host_infos), arguments["changed"], *counts)
        if judgement and judgement.good:
            found += f", {judgement.state}: {judgement.text}"
        values = {"earning": earning_values(facts, judgement, fleet["prover_id"])} if judgement else {}
        if form == "json":
            self._display.display(json.dumps({"verdict": found, **report_values(report), **values}))
        else:
            shown = [report_table(report)]
            shown += [earning_table(facts, judgement, fleet["prover_id"])] if judgement else []
            self._display.display("\n" + "\n\n".join(shown), color="red" if report.problems else None)
        return {**texts, **values, "failed": failed, "msg": msg, "verdict": found}

    def _judge(self, fleet: dict, host_infos: dict, epochs: int, task_vars: dict) -> tuple[Facts, Judgement]:
        """Return what decides whether the prover earns, and the judgement."""
        values = resolve_variables(task_vars["hostvars"][fleet["node"]["host"]], read_specs(ROLES))
        settings = l1_settings(values, fleet["network"], [NODE], fleet["line"])
        facts = facts_of(host_infos, fleet, settings, as_bool(values.get("prover_node_dry_run")) is True, epochs)
        return facts, judge(facts)
