"""What `status.yml` reports on a prover that does not earn, why `prove_again.yml` starts no proof, and each remedy.

A row is (a part of the line, what is wrong, that put right). Give each action of the remedy a column of its own.
"""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status import earning, prove_again
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.fleet_status import fleet_report

from tests.remedies.case import Lines, cases, raised, returned
from tests.unit.plugins.plugin_utils.status import test_earning as facts


def prover(**changes: object) -> Lines:
    """Return what status.yml reports on a prover with these facts."""

    def lines() -> list[str]:
        found = earning.judge(replace(facts.WORKING, **changes))
        return [] if found.good else [f"is not earning, {found.text}"]

    return lines


def components(**changes: object) -> Lines:
    """Return what status.yml reports on a fleet with these changes, in both tables."""

    def lines() -> list[str]:
        infos = facts.host_infos(**changes)
        found = earning.judge(facts.facts(infos))
        judged = [] if found.good else [f"is not earning, {found.text}"]
        return [*judged, *(text for _host, _component, text in fleet_report(infos, facts.VALUES).problems)]

    return lines


def node(state: str, inactive: str = "") -> Lines:
    """Return what prove_again.yml reports on a node in this state."""
    return returned(prove_again.node_problem, state, inactive)


def epoch(number: int, accepted: tuple = (), **changes: object) -> Lines:
    """Return what prove_again.yml reports on an epoch of an L1 with these proofs."""
    found = facts.proofs(list(accepted), **changes)
    return returned(prove_again.epoch_problem, number, found, facts.US)


def start(**changes: str) -> Lines:
    """Return what prove_again.yml reports on a node that responds in this way."""
    return returned(prove_again.start_problem, 9, {"before": "", "after": "", "kind": "", "error": "", **changes})


def key(given: str, *, admin: bool = True) -> Lines:
    """Return what prove_again.yml reports on a key of the admin API."""
    return returned(prove_again.key_problem, admin, given, False)


NO_AGENTS = earning.Agents()
UNKNOWN = {"epochs": None, "l1_error": "L1 URL 1 rejects eth_getLogs"}

EARNING = cases(
    ("the broker is stopped: run start.yml", prover(broker="stopped"), prover()),
    ("the broker is not in this run: include its host", prover(broker="missing"), prover()),
    ("node or broker do not run: see the problems", prover(node="down"), prover()),
    ("node or broker are in standby: see the problems", components(node={"status": facts.STANDBY}), components()),
    (
        "node or broker follow a rollup that is not the canonical one",
        components(node={"status": facts.OTHER_ROLLUP, "l1": facts.ROLLUP}),
        components(node={"l1": facts.ROLLUP}),
    ),
    ("the L1 clients are on the chain 1 instead of 31337", components(chain_id=1), components(chain_id=31337)),
    ("the broker is starting: run status.yml again later", prover(broker="starting"), prover()),
    ("proofs are not submitted: set prover_node_dry_run", prover(dry_run=True), prover()),
    ("not enough to submit one proof: send ETH to it", components(balances={facts.US: "1"}), components()),
    ("all agents are stopped: run start.yml", prover(agents=earning.Agents(stopped=True)), prover()),
    (
        "no agent works, with 2 jobs in the queue: start agents, or add hosts",
        prover(agents=NO_AGENTS, open_jobs=2),
        prover(agents=earning.Agents(idle=1), open_jobs=2),
        prover(agents=earning.Agents(proving=2), open_jobs=2),
    ),
    ("the proofs on the L1 are not known, because", prover(**UNKNOWN), prover(), prover(epochs={9: "own"})),
    ("of which epochs 7 to 8 needed a proof", prover(epochs={7: "others", 8: "lost"}), prover(epochs={9: "own"})),
    (
        "does not work on epoch 9, which needs a proof",
        prover(epochs={9: "open"}),
        prover(epochs={9: "own"}),
        prover(epochs={9: "open"}, jobs={9: "initialized"}),
    ),
    ("status_epochs 0 is not a number", raised(earning.status_options, 0, ""), raised(earning.status_options, 50, "")),
    ("status_format xml is not", raised(earning.status_options, "", "xml"), raised(earning.status_options, "", "json")),
    # prove_again.yml
    ("epoch is not set: add -e", raised(prove_again.parse_epoch, ""), raised(prove_again.parse_epoch, "7")),
    ("epoch last is not an epoch", raised(prove_again.parse_epoch, "last"), raised(prove_again.parse_epoch, "0")),
    ("the node is not in this run: include", node("missing"), node("running")),
    ("the node does not run: see verify.yml", node("down"), node("running")),
    ("the node is stopped: run start.yml", node("stopped"), node("running")),
    ("run again when it has started", node("starting"), node("running")),
    ("the node is in standby: see verify.yml", node("running", "standby"), node("running")),
    (
        "the epochs on the L1 are not known, because L1 URL 1 x: use an L1 client",
        returned(prove_again.epoch_problem, 9, {"error": "L1 URL 1 x"}, facts.US),
        epoch(9),
    ),
    ("has not ended, the current one is 10: name an epoch of 9 to 9", epoch(10), epoch(9)),
    ("the current one is 0: run again when an epoch has ended", epoch(0, epoch=0), epoch(0, epoch=1)),
    ("proofs of epoch 8 are no longer accepted", epoch(8), epoch(9)),
    (
        "and a second one is not accepted: name another epoch",
        epoch(9, ((9, facts.US.lower()),)),
        epoch(8, ((9, facts.US.lower()),), more=2),
    ),
    (
        "this release starts proofs only with the admin API: run keys.yml -e admin_api_key=true, then site.yml",
        key(""),
        key("0f1e2d3c4b5a69788796a5b4c3d2e1f0"),
    ),
    ("the node works on epoch 9 (processing): wait", start(before="processing"), start()),
    ("the node refuses the key in", start(kind="key", error="x"), start(), start(after="processing")),
    ("the node does not prove epoch 9, it rejects m", start(kind="rejected", error="rejects m"), start()),
    ("did not start the proof of epoch 9", start(kind="timeout", error="does not respond"), start()),
)
