# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Display what the epochs brought the prover, and claim it: the work of playbooks/rewards.yml."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ansible.errors import AnsibleError
from ansible_collections.aztec_ops.prover.plugins.action.publisher_key import typed_options
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.pipelined_action import PipelinedActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import jobs_query, release_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import ROLES, read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.publishers import ADMIN_KEY
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet_problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import (
    resolve_variables,
    to_builtin,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import NODE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import count_problems, table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_queries import l1_clients, l1_settings
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.units import plural
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.ethereum import ethereum_checksum
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.prover_id import node_prover_id
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards.claims import claims_table, payer_of, spent
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards.contracts import require_libraries
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards.epochs import (
    CLAIMABLE,
    parse_epochs,
    report_verdict,
    rewards_table,
    sums,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards.session import Network, Session, Wanted

# The prefix of the options' variables in playbooks/rewards.yml.
PREFIX = "rewards_"
MODULE = "aztec_ops.prover.l1_calls"


@dataclass(frozen=True)
class Request:
    """The options with their defaults. gas_limit: of each transaction. wait: seconds for a receipt."""

    claim: bool = False
    use_publisher: bool = False
    epochs: tuple = ()
    from_epoch: int = 0
    rollup: str = ""
    prover_id: str = ""
    gas_limit: int = 10_000_000
    wait: int = 300


OPTIONS = (*vars(Request()), "fleet")


def request_of(arguments: Mapping) -> Request:
    """Return a task's arguments as a request. Raise ValueError if they are wrong."""
    defaults = {name: default for name, default in vars(Request()).items() if name != "epochs"}
    given = typed_options(PREFIX, arguments, defaults)
    if arguments.get("epochs") not in (None, "", []):
        given["epochs"] = parse_epochs(to_builtin(arguments["epochs"]))
        if "from_epoch" in given:
            raise ValueError("rewards_epochs and rewards_from_epoch are both set: set only one of them")
    for name in ("rollup", "prover_id"):
        if name in given:
            try:
                given[name] = ethereum_checksum(given[name])
            except ValueError as error:
                raise ValueError(f"{PREFIX}{name}: {error}") from None
    if given.get("use_publisher") and not given.get("claim"):
        raise ValueError("rewards_use_publisher requires rewards_claim: set that too")
    return Request(**given)


def wanted_of(request: Request, values: Mapping, from_epoch_given: bool) -> Wanted:
    """Return what a request is about. values: the variables of the node's host."""
    first = request.from_epoch if from_epoch_given else None
    return Wanted(request.prover_id or node_prover_id(values), request.rollup, request.epochs, first)


def session_of(values: Mapping, fleet: Mapping, send_query: Callable) -> Session:
    """Return the session with the node's L1 clients. Raise ValueError if chain, registry or clients are not known."""
    settings = l1_settings(values, fleet["network"], [NODE])
    if settings.chain_id is None:
        raise ValueError(f"the chain is not known because {settings.not_checked}: set aztec_l1_chain_id")
    if not settings.registry:
        raise ValueError(f"the registry is not known because {settings.not_checked}: set aztec_l1_registry")
    targets = [
        {"url": client.url, "headers": dict(client.headers)}
        for client in l1_clients(values, [NODE])
        if client.kind == "execution"
    ]
    network = Network(fleet["network"], settings.chain_id, settings.registry)
    return Session(send_query, targets, settings.seconds, network)


def node_query(values: Mapping, fleet: Mapping) -> dict:
    """Return the query for the jobs of the fleet's node, as module_utils/host/node_jobs.py describes it."""
    release = release_of(fleet["version"], fleet["line"])
    return {"projects": fleet["projects"], **jobs_query(release, str(values.get(ADMIN_KEY) or ""))}


class ActionModule(PipelinedActionBase):
    """Query the L1 from the node's host, and sign on the controller. Nothing is sent while there is an error."""

    def execute(self, arguments: dict, task_vars: dict) -> dict:
        """Display the rewards, claim them if that is requested, and return the verdict."""
        try:
            for name in arguments:
                if name not in OPTIONS:
                    raise ValueError(f"{name} is not an option: remove it")
            require_libraries()
            request, fleet = request_of(arguments), to_builtin(arguments.get("fleet"))
            problem = fleet_problem(fleet)
            if problem:
                raise ValueError(problem)
            failure = self.pipelining_failure(has_secrets=True)
            if failure:
                return failure
            return self._rewards(request, arguments.get("from_epoch") not in (None, ""), fleet, task_vars)
        except ValueError as error:
            raise AnsibleError(f"rewards: {error}") from None

    def _rewards(self, request: Request, from_epoch_given: bool, fleet: Mapping, task_vars: Mapping) -> dict:
        """Do the work. Raise ValueError for an error that leaves nothing to display."""
        host = task_vars["inventory_hostname"]
        values = resolve_variables(task_vars["hostvars"][host], read_specs(ROLES))
        session = session_of(values, fleet, partial(self._send_query, node_query(values, fleet), task_vars))
        wanted = wanted_of(request, values, from_epoch_given)
        found = session.rewards(wanted)
        self._display.display(f"\nRewards of {wanted.prover} on {fleet['network']}\n\n{rewards_table(found.rollups)}")
        for line in found.skipped:
            self._display.display(f"Note: {line}", color="yellow")
        report = {
            "rewards": [
                {"rollup": rollup.address, "epoch": one.epoch, "amount": str(one.amount), "state": one.state}
                for rollup, listed in found.rollups
                for one in listed
            ],
            "verdict": report_verdict(found.rollups),
        }
        if found.errors and request.claim:
            return {**report, **self._failed(found.errors)}
        if not request.claim or not sums(found.rollups, CLAIMABLE):
            return {**report, "msg": report["verdict"]}
        payer = payer_of(values, request.use_publisher)
        plan = session.plan(found, wanted, payer, request.gas_limit)
        if plan.claims:
            self._display.display(f"\nClaims, paid by {payer.address}\n\n{claims_table(plan.claims, plan.fees)}")
        if plan.errors:
            return {**report, **self._failed(plan.errors)}
        if self._task.check_mode:
            verdict = f"would claim {sums(found.rollups, CLAIMABLE)} in {plural(len(plan.claims), 'transaction')}"
            return {**report, "changed": True, "msg": verdict, "verdict": verdict}
        done = []
        for index, claim in enumerate(plan.claims):
            transaction, receipt, error = session.send(plan, index, wanted.prover, payer, request.wait)
            if error:
                paid = f"; before that: {'; '.join(done)}" if done else ""
                verdict = f"{len(done)} of {plural(len(plan.claims), 'transaction')} paid"
                failed = {"changed": bool(done), "failed": True, "msg": f"rewards: {error}{paid}", "verdict": verdict}
                return {**report, **failed}
            done.append(f"claimed {claim.rollup.amount(claim.amount)} with {transaction} for {spent(receipt)}")
        verdict = f"claimed {sums(found.rollups, CLAIMABLE)} for {wanted.prover}"
        return {**report, "changed": True, "actions": done, "msg": verdict, "verdict": verdict}

    def _failed(self, errors: Sequence[str]) -> dict:
        """Return the failed result for errors before anything was sent."""
        if len(errors) == 1:
            return {"failed": True, "msg": f"rewards: {errors[0]}", "verdict": "1 problem, nothing was sent"}
        rows = [line.rpartition(": ")[::2] for line in errors]
        self._display.display("\n" + table(rows, ("WHAT IS WRONG", "WHAT TO DO")), color="red")
        verdict = f"{count_problems(len(errors))} in the table above, nothing was sent"
        return {"failed": True, "msg": verdict, "verdict": verdict}

    def _send_query(self, node: Mapping, task_vars: Mapping, query: Mapping, with_node: bool) -> tuple:
        """Send a query from the node's host. Return what session.Session expects."""
        arguments = {"query": json.dumps({**query, "node": node} if with_node else query)}
        result = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        if "l1_calls" not in result:
            raise AnsibleError(f"rewards: the L1 could not be queried from the node's host: {result.get('msg', '')}")
        return result["l1_calls"], result["node"]
