"""What `status.yml` reports on a prover that does not earn, and what it reports after each remedy.

A row is (a part of the line, what is wrong, that put right). Give each action of the remedy a column of its own.
"""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status import earning
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.fleet_status import fleet_report

from tests.remedies.case import Lines, cases, raised
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


NO_AGENTS = earning.Agents()
UNKNOWN = {"epochs": None, "l1_error": "L1 URL 1 rejects eth_getLogs"}

EARNING = cases(
    ("the node is stopped: run start.yml", prover(node="stopped"), prover()),
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
)
