# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Start the proof of an epoch again: the work of playbooks/prove_again.yml."""

from __future__ import annotations

from collections.abc import Mapping

from ansible.errors import AnsibleError
from ansible_collections.aztec_ops.prover.plugins.action.host_info import MODULE as HOST_INFO
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.pipelined_action import PipelinedActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import jobs_query, release_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import ROLES, read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.publishers import ADMIN_KEY
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet_problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import (
    resolve_variables,
    to_builtin,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import NODE, environment_of, names_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.earning import component_state
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.fleet_status import inactive_state
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.prove_again import (
    EPOCHS,
    epoch_problem,
    key_problem,
    node_problem,
    parse_epoch,
    start_problem,
    started,
)

MODULE = "aztec_ops.prover.start_proof"


class ActionModule(PipelinedActionBase):
    """Check the epoch on the L1, then start its proof on the node's host. Each error is one line."""

    argument_spec = {"epoch": {"type": "raw", "default": ""}, "fleet": {"type": "dict", "required": True}}

    def execute(self, arguments: dict, task_vars: dict) -> dict:
        """Start the proof, and return the verdict."""
        fleet = to_builtin(arguments["fleet"])
        try:
            wrong = fleet_problem(fleet)
            if wrong:
                raise ValueError(wrong)
            epoch = parse_epoch(to_builtin(arguments["epoch"]))
            failure = self.pipelining_failure(has_secrets=True)
            return failure or self._prove(epoch, fleet, task_vars)
        except ValueError as error:
            raise AnsibleError(f"prove_again: {error}") from None

    def _prove(self, epoch: int, fleet: Mapping, task_vars: Mapping) -> dict:
        """Start the proof. Raise ValueError for an error that leaves the node as it is."""
        host = task_vars["inventory_hostname"]
        values = resolve_variables(task_vars["hostvars"][host], read_specs(ROLES))
        release = release_of(fleet["version"], fleet["line"])
        project, key = names_of(values, NODE)["project"], str(values.get(ADMIN_KEY) or "")
        jobs = jobs_query(release, key)
        disabled = str(environment_of(values, NODE).get("AZTEC_DISABLE_ADMIN_API_KEY", "")).lower() in ("1", "true")
        self._refuse(key_problem(jobs["admin"], key, disabled))
        earning = {"prover_id": fleet["prover_id"], "epochs": EPOCHS}
        query = {"projects": [project], "probe": True, "earning": earning}
        result = self._execute_module(module_name=HOST_INFO, module_args=query, task_vars=task_vars)
        if "host_info" not in result:
            return result
        state, container = component_state({host: result["host_info"]}, fleet, NODE, host)
        inactive = inactive_state(container, NODE, fleet["line"]) if container else ""
        self._refuse(node_problem(state, inactive))
        self._refuse(epoch_problem(epoch, container["proofs"], fleet["prover_id"]))
        if self._task.check_mode:
            verdict = f"would start the proof of epoch {epoch}"
            return {"changed": True, "msg": verdict, "verdict": verdict}
        query = {"project": project, "epoch": epoch, "start": release.rpc["start_proof"], **jobs}
        result = self._execute_module(module_name=MODULE, module_args=query, task_vars=task_vars)
        if "start_proof" not in result:
            return result
        self._refuse(start_problem(epoch, result["start_proof"]))
        verdict = started(epoch, result["start_proof"]["after"])
        return {"changed": True, "actions": [verdict], "msg": verdict, "verdict": verdict}

    def _refuse(self, problem: str) -> None:
        """Raise ValueError if there is a problem."""
        if problem:
            raise ValueError(problem)
