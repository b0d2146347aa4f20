# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a prover earns, by the facts and by the host info."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_queries import L1Settings
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status import earning as status
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.fleet_status import (
    fleet_report,
    report_table,
    report_values,
)

from tests.unit.plugins.plugin_utils.status.test_fleet_status import FLEET, NOW, fleet

US, OTHER, FUNDER = "0x" + "aB" * 20, "0x" + "cd" * 20, "0x" + "ef" * 20
WEI = 10**18
RICH, POOR = status.Publisher(US, WEI, 30), status.Publisher(US, 5, 0)
WORKING = status.Facts(
    publishers=(RICH,), agents=status.Agents(idle=1), jobs={}, open_jobs=0, epochs={8: "own", 9: "empty"}, peers=3
)
PROVING = status.Agents(idle=1, proving=1, oldest=3.0)


AGAIN = "works on a proof, and has not proved any of the last 1 epoch yet"


@pytest.mark.parametrize(
    ("changes", "state", "text"),
    [
        ({}, "earning", "proved 1 of the last 2 epochs"),
        (
            {"epochs": {8: "others", 9: "own"}, "jobs": {10: "processing"}},
            "earning",
            "proved 1 of the last 2 epochs",
        ),
        ({"epochs": {9: "empty"}}, "idle", "no epoch needs a proof"),
        ({"epochs": {}}, "idle", "no epoch needs a proof"),
        ({"epochs": {9: "open"}, "jobs": {9: "processing"}}, "proving", AGAIN),
        ({"epochs": {9: "open"}, "jobs": None, "agents": PROVING}, "proving", AGAIN),
        ({"epochs": {9: "open"}, "jobs": None, "open_jobs": 2}, "proving", AGAIN),
        ({"epochs": {7: "others", 8: "lost"}, "since": 9}, "idle", "no epoch needs a proof"),
        (
            {"epochs": None, "l1_error": "L1 URL 1 x", "jobs": {9: "processing"}},
            "proving",
            "it works, but its proofs are not known, because L1 URL 1 x",
        ),
        # All below are failures.
        (
            {"epochs": {7: "others", 8: "others", 9: "empty"}},
            "not earning",
            "proved none of the last 3 epochs, of which epochs 7 to 8 needed a proof: see the log of the node with "
            "logs.yml",
        ),
        (
            {"epochs": {8: "lost"}, "since": 8, "jobs": {9: "processing"}},
            "not earning",
            "proved none of the last 1 epoch, of which epoch 8 needed a proof: see the log of the node with logs.yml",
        ),
        (
            {"epochs": {8: "open", 9: "open"}},
            "not proving",
            "does not work on epochs 8 to 9, which needs a proof: see the log of the node with logs.yml, or run "
            "prove_again.yml",
        ),
        (
            {"epochs": None, "l1_error": "L1 URL 1 x"},
            "unknown",
            "the proofs on the L1 are not known, because L1 URL 1 x: "
            "use an L1 client that returns logs, or reduce status_epochs",
        ),
        (
            {"agents": status.Agents()},
            "no agents",
            "no agent works: start agents, or add hosts to the group prover_agent and run site.yml",
        ),
        (
            {"agents": status.Agents(), "open_jobs": 3},
            "no agents",
            "no agent works, with 3 jobs in the queue: start agents, or add hosts to the group prover_agent and run "
            "site.yml",
        ),
        ({"agents": status.Agents(stopped=True)}, "no agents", "all agents are stopped: run start.yml"),
        ({"agents": status.Agents(known=False)}, "earning", "proved 1 of the last 2 epochs"),
        (
            {"publishers": (POOR,)},
            "poor",
            f"the publisher {US} has less than 0.000001 ETH, not enough to submit one proof: send ETH to it",
        ),
        ({"publishers": (POOR, RICH)}, "earning", "proved 1 of the last 2 epochs"),
        ({"publishers": (POOR,), "funder": True}, "earning", "proved 1 of the last 2 epochs"),
        ({"publishers": (status.Publisher(US, None, None),)}, "earning", "proved 1 of the last 2 epochs"),
        (
            {"dry_run": True},
            "dry run",
            "proofs are not submitted: set prover_node_dry_run to false, and run site.yml",
        ),
        (
            {"sync": "node is syncing, checkpoint 3 of 40"},
            "syncing",
            "node is syncing, checkpoint 3 of 40: run status.yml again later",
        ),
        ({"node": "starting"}, "syncing", "the node is starting: run status.yml again later"),
        ({"broker": "starting"}, "syncing", "the broker is starting: run status.yml again later"),
        (
            {"other_chain": (1,), "chain_id": 31337},
            "wrong chain",
            "the L1 clients are on the chain 1 instead of 31337: correct aztec_l1_execution_urls, and run site.yml",
        ),
        (
            {"other_rollup": True},
            "wrong rollup",
            "node or broker follow a rollup that is not the canonical one: see the problems of the components",
        ),
        ({"inactive": "standby"}, "standby", "node or broker are in standby: see the problems of the components"),
        (
            {"inactive": "soft shutdown"},
            "soft shutdown",
            "node or broker are in soft shutdown: see the problems of the components",
        ),
        ({"broker": "down"}, "down", "node or broker do not run: see the problems of the components"),
        ({"node": "stopped"}, "stopped", "the node is stopped: run start.yml"),
        ({"broker": "missing"}, "unknown", "the broker is not in this run: include its host in --limit"),
    ],
)
def test_judgement(changes: dict, state: str, text: str) -> None:
    found = status.judge(replace(WORKING, **changes))
    assert (found.state, found.text) == (state, text)
    assert found.good == (state in ("earning", "proving", "idle"))


@pytest.mark.parametrize(
    ("order", "state"),
    [
        (["node", "inactive", "other_chain", "dry_run", "publishers", "agents"], "stopped"),
        (["inactive", "other_chain", "dry_run", "publishers", "agents"], "standby"),
        (["other_chain", "dry_run", "publishers", "agents"], "wrong chain"),
        (["dry_run", "publishers", "agents"], "dry run"),
        (["publishers", "agents"], "poor"),
        (["agents"], "no agents"),
    ],
)
def test_the_state_that_has_to_change_first(order: list, state: str) -> None:
    changes = {
        "node": "stopped",
        "inactive": "standby",
        "other_chain": (1,),
        "dry_run": True,
        "publishers": (POOR,),
        "agents": status.Agents(),
    }
    assert status.judge(replace(WORKING, **{name: changes[name] for name in order})).state == state


def proofs(
    accepted: list, *, epoch: int = 10, pending: int | None = 9, proven: int | None = 8, more: int = 1
) -> dict:
    """Return proofs as host_info does. accepted: pairs of epoch and prover. more: submission_epochs."""
    return {
        "time": 5000,
        "epoch": epoch,
        "epoch_starts": 1000,
        "epoch_seconds": 48,
        "submission_epochs": more,
        "pending_epoch": pending,
        "proven_epoch": proven,
        "last": None,
        "error": "",
        "accepted": [{"epoch": number, "prover": prover} for number, prover in accepted],
    }


@pytest.mark.parametrize(
    ("found", "count", "states"),
    [
        (proofs([(7, OTHER), (8, US.lower()), (8, OTHER)]), 3, ["others", "own", "open"]),
        (proofs([(6, OTHER)], proven=8), 4, ["others", "empty", "empty", "open"]),
        # No blocks since the last proven epoch.
        (proofs([(8, US.lower())], pending=8), 2, ["own", "empty"]),
        # Epoch 7 had to be proven in epoch 8.
        (proofs([], proven=6), 4, ["empty", "lost", "lost", "open"]),
        (proofs([], proven=6, more=20), 4, ["empty", "open", "open", "open"]),
        (proofs([], epoch=1, pending=0, proven=None), 10, ["open"]),
        (proofs([], epoch=0, pending=None, proven=None), 10, []),
    ],
)
def test_states_of_epochs(found: dict, count: int, states: list) -> None:
    current = found["epoch"]
    wanted = dict(zip(range(max(0, current - count), current), states))
    assert status.epoch_states(found, US, count) == wanted


@pytest.mark.parametrize(("started", "epoch"), [(0, 0), (1000, 0), (1001, 1), (1048, 1), (1049, 2)])
def test_first_epoch_since(started: float, epoch: int) -> None:
    assert status.first_epoch_since(proofs([]), started) == epoch


@pytest.mark.parametrize(
    ("epochs", "form", "found"),
    [
        ("", "", (10, "table")),
        (None, None, (10, "table")),
        ("20", "json", (20, "json")),
        (50, "table", (50, "table")),
    ],
)
def test_options(epochs: object, form: object, found: tuple) -> None:
    assert status.status_options(epochs, form) == found


@pytest.mark.parametrize(
    ("epochs", "form", "text"),
    [
        ("0", "", "status_epochs 0 is not a number of epochs: set a number from 1 to 50"),
        ("51", "", "status_epochs 51 is not a number of epochs: set a number from 1 to 50"),
        ("ten", "", "status_epochs ten is not a number of epochs: set a number from 1 to 50"),
        (True, "", "status_epochs True is not a number of epochs: set a number from 1 to 50"),
        ([3], "", r"status_epochs \[3\] is not a number of epochs: set a number from 1 to 50"),
        ("", "yaml", "status_format yaml is not a format: choose one of table, json"),
        ("", ["json"], r"status_format \['json'\] is not a format: choose one of table, json"),
    ],
)
def test_wrong_options(epochs: object, form: object, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        status.status_options(epochs, form)


@pytest.mark.parametrize(("wei", "cost", "found"), [(None, 5, None), (12, 5, 2), (4, 5, 0), (4, 0, None), (0, 0, 0)])
def test_proofs_that_a_balance_pays_for(wei: int | None, cost: int, found: int | None) -> None:
    assert status.paid_proofs(wei, cost) == found


VALUES = {
    **copy.deepcopy(FLEET),
    "node": {"host": "node-1"},
    "broker": {"host": "node-1"},
    "prover_id": US,
    "publishers": [US],
    "funder": "",
    "network": "testnet",
}
SETTINGS = L1Settings(chain_id=31337, top_up=WEI, top_up_below=WEI // 100)
GWEI = 10**9


def execution(chain_id: int = 31337, **more: object) -> dict:
    """Return the response of an execution client, with 0.1 ETH and fees of 1 gwei."""
    fees = {"base": str(GWEI), "priority": "0", "rewards": []}
    return {"chain_id": chain_id, "head": 9, "balances": {US: str(WEI // 10)}, "fees": fees, **more}


def host_infos(node: dict | None = None, broker: dict | None = None, agent: dict | None = None, **l1: object) -> dict:
    """Return the host info of a fleet that proved epoch 8."""
    own = {"proofs": proofs([(8, US.lower())]), "epoch_jobs": [{"epoch": 9, "state": "processing"}], "peers": 4}
    found = fleet({**own, **(node or {})}, {"open_jobs": 3, **(broker or {})}, agent)
    found["node-1"]["l1"] = {"execution": [execution(**l1)]}
    return found


def facts(infos: dict, **fleet_values: object) -> status.Facts:
    return status.facts_of(infos, {**VALUES, **fleet_values}, SETTINGS, False, 3)


def test_facts_of_a_prover_that_earns() -> None:
    found = facts(host_infos())
    assert (found.node, found.broker, found.inactive, found.other_rollup, found.sync) == ("running",) * 2 + (
        "",
        False,
        "",
    )
    assert found.agents == status.Agents(proving=1)
    assert (found.jobs, found.open_jobs, found.peers) == ({9: "processing"}, 3, 4)
    assert found.epochs == {7: "empty", 8: "own", 9: "open"}
    # 3,500,000 gas at 1.125 gwei, rounded up
    assert found.publishers == (status.Publisher(US, WEI // 10, 25),)
    assert status.judge(found) == status.Judgement("earning", "proved 1 of the last 3 epochs")


DOWN = {"code": None, "body": "", "headers": {}, "error": "connection refused"}
ENDED_JOBS = [{"epoch": 9, "state": "failed"}]
STANDBY = {"code": 200, "headers": {}, "error": "", "post": 404}
ROLLUP = {
    "block": 9,
    "unit": "checkpoint",
    "pending": 14,
    "proven": 2,
    "error": "",
    "rollup": "0x" + "1" * 40,
    "roots": {},
}
OTHER_ROLLUP = {"code": 200, "error": "", "headers": {"x-aztec-l1rollupaddress": "0x" + "2" * 40}}


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"node": {"state": "exited"}}, "down"),
        ({"broker": {"state": "exited"}}, "down"),
        ({"node": {"status": DOWN, "health": "unhealthy", "synced": None}}, "down"),
        ({"node": {"status": DOWN, "health": "healthy"}}, "earning"),
        ({"node": {"status": DOWN, "health": "starting"}}, "syncing"),
        ({"node": {"tips": {"checkpoint": 3}}}, "syncing"),
        # A node that is busy did not report its progress.
        ({"node": {"tips": {"checkpoint": 3}, "rpc": {"x": {"error": "timed out"}}}}, "earning"),
        ({"node": {"status": STANDBY}}, "standby"),
        ({"broker": {"status": STANDBY}}, "standby"),
        ({"node": {"status": OTHER_ROLLUP, "l1": ROLLUP}}, "wrong rollup"),
        ({"chain_id": 1}, "wrong chain"),
        ({"balances": {US: "1"}}, "poor"),
        ({"balances": {}}, "earning"),
        ({"agent": {"state": "exited"}}, "no agents"),
        ({"agent": {"rpc": {"agent_getStatus": {"status": "stopped"}}}}, "no agents"),
        ({"agent": {"rpc": {"agent_getStatus": {"error": "connection refused"}}}}, "no agents"),
        ({"agent": {"broker_contact": {"state": "lost"}}}, "no agents"),
        # An agent that computes does not respond.
        ({"agent": {"rpc": {"agent_getStatus": {"error": "timed out"}}}}, "earning"),
        ({"node": {"proofs": {"error": "L1 URL 1 times out"}}}, "proving"),
        (
            {
                "node": {"proofs": {"error": "x"}, "epoch_jobs": ENDED_JOBS},
                "broker": {"open_jobs": None},
                "agent": {"rpc": {"agent_getStatus": {"status": "running"}}},
            },
            "unknown",
        ),
        ({"node": {"proofs": proofs([(7, OTHER)], proven=7)}}, "proving"),
        ({"node": {"proofs": proofs([(7, OTHER)], proven=7), "started_at": "1970-01-01T00:00:00Z"}}, "not earning"),
    ],
)
def test_state_of_a_fleet(changes: dict, state: str) -> None:
    assert status.judge(facts(host_infos(**changes))).state == state


def test_a_run_without_a_component_or_host() -> None:
    assert status.judge(facts({"agent-1": host_infos()["agent-1"]})).state == "unknown"
    assert status.judge(facts({**host_infos(), "node-1": "is unreachable"})).state == "down"
    only_node = {"node-1": host_infos()["node-1"]}
    assert not facts(only_node).agents.known
    assert status.judge(facts(only_node)).state == "earning"
    assert status.judge(facts({**host_infos(), "agent-1": "is unreachable"})).state == "no agents"


def test_stopped_components() -> None:
    infos = host_infos()
    infos["agent-1"]["projects"]["aztec-prover-agent"]["compared"] = {"stopped": True}
    infos["agent-1"]["projects"]["aztec-prover-agent"]["containers"] = []
    assert facts(infos).agents == status.Agents(stopped=True)
    infos["node-1"]["projects"]["aztec-prover-node"]["compared"] = {"stopped": True}
    assert status.judge(facts(infos)).state == "stopped"


def test_a_funding_account_that_can_pay() -> None:
    """It must have one top-up, and the publisher less than the threshold. One proof costs 0.004 ETH."""
    for wei, state in ((WEI, "earning"), (WEI - 1, "poor")):
        infos = host_infos(balances={US: "1", FUNDER: str(wei)})
        assert status.judge(facts(infos, funder=FUNDER)).state == state
    low = L1Settings(chain_id=31337, top_up=WEI, top_up_below=1)
    infos = host_infos(balances={US: "1", FUNDER: str(WEI)})
    assert status.judge(status.facts_of(infos, {**VALUES, "funder": FUNDER}, low, False, 3)).state == "poor"


def test_an_error_of_the_l1_that_the_table_of_components_contains() -> None:
    l1 = {"error": "L1 URL 1 times out", "unit": None, "pending": None}
    idle = {"rpc": {"agent_getStatus": {"status": "running"}}}
    node = {"l1": l1, "proofs": {"error": "L1 URL 1 times out"}, "epoch_jobs": []}
    found = status.judge(facts(host_infos(node, {"open_jobs": 0}, idle)))
    assert (found.state, found.in_table) == ("unknown", True)


def test_without_queries_of_balances() -> None:
    infos = host_infos()
    infos["node-1"]["l1"] = None
    assert status.judge(facts(infos)).state == "earning"
    assert facts(infos).publishers == (status.Publisher(US, None, None),)


LAST = {"epoch": 8, "time": 4880, "transaction": "0x" + "5e" * 32}


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({}, "STATE earning: proved 1 of the last 2 epochs"),
        (
            {"publishers": (POOR,)},
            f"STATE poor: the publisher {US} has less than 0.000001 ETH, not enough to submit one proof",
        ),
        ({}, "EPOCHS PROVEN 1 by this prover, 1 empty, of the last 2"),
        (
            {"epochs": {6: "lost", 7: "others", 8: "open", 9: "open"}},
            "EPOCHS PROVEN 0 by this prover, 1 by others, 1 not in time, 2 not yet, of the last 4",
        ),
        ({"epochs": None, "l1_error": "x"}, "EPOCHS PROVEN unknown, x"),
        ({"epochs": None, "l1_error": "x"}, "LAST PROOF unknown"),
        ({}, "LAST PROOF none for the last 2 epochs"),
        ({"last": LAST, "now": 5000}, f"LAST PROOF epoch 8, 2 min ago, {LAST['transaction']}"),
        ({"last": {**LAST, "epoch": None}, "now": 4881}, f"LAST PROOF an epoch, 1 s ago, {LAST['transaction']}"),
        ({}, "IN WORK no epoch"),
        ({"jobs": None}, "IN WORK unknown"),
        ({"jobs": None, "jobs_error": "returns 401 Unauthorized"}, "IN WORK unknown, returns 401 Unauthorized"),
        ({"jobs": {9: "processing"}}, "IN WORK epoch 9 (processing)"),
        ({}, "JOBS 0 queued, 0 active"),
        ({"open_jobs": None}, "JOBS unknown"),
        ({"open_jobs": 5, "agents": PROVING}, "JOBS 4 queued, 1 active"),
        ({"open_jobs": 0, "agents": PROVING}, "JOBS 0 queued, 0 active"),
        ({"open_jobs": 5, "agents": status.Agents(known=False)}, "JOBS 5 open"),
        ({"agents": PROVING}, "AGENTS 1 proving, 1 idle, the oldest proof for 3 s"),
        ({}, "AGENTS 0 proving, 1 idle"),
        ({"agents": status.Agents(known=False)}, "AGENTS not in this run"),
        ({}, f"PUBLISHER {US} has 1 ETH, enough for 30 proofs"),
        ({"publishers": (status.Publisher(US, None, None),)}, f"PUBLISHER {US} has an unknown balance"),
        (
            {"publishers": (status.Publisher(US, WEI, None),)},
            f"PUBLISHER {US} has 1 ETH, enough for an unknown number of proofs",
        ),
        ({}, "PEERS 3"),
        ({"peers": None}, "PEERS unknown"),
    ],
)
def test_rows_of_the_table(changes: dict, row: str) -> None:
    found = replace(WORKING, **changes)
    text = status.earning_table(found, status.judge(found), US)
    assert row in [" ".join(line.split()) for line in text.splitlines()], text


def test_jobs_of_agents_in_the_table_of_components() -> None:
    response = {
        "status": "proving",
        "jobId": "4:PARITY_BASE:00ff",
        "startedAtISO": "2026-11-23T03:47:26Z",
        "proofType": 3,
    }
    infos = fleet(agent={"rpc": {"agent0_getStatus": response, "agent1_getStatus": {"status": "running"}}})
    infos["agent-1"]["time"] = NOW
    assert "proving epoch 4 PARITY_BASE for" in report_table(fleet_report(infos, FLEET, jobs=True))
    assert "running" in report_table(fleet_report(infos, FLEET, jobs=True))
    assert "proving, running" in report_table(fleet_report(infos, FLEET))
    odd = fleet(agent={"rpc": {"agent_getStatus": {"status": "proving", "jobId": "x"}}})
    assert "proving x " in report_table(fleet_report(odd, FLEET, jobs=True))


def test_json() -> None:
    found = facts(host_infos())
    values = json.loads(json.dumps(status.earning_values(found, status.judge(found), US)))
    assert {name: values[name] for name in ("state", "good", "prover")} == {
        "state": "earning",
        "good": True,
        "prover": US,
    }
    assert values["epochs"][1] == {"epoch": 8, "state": "own"}
    assert values["jobs"] == [{"epoch": 9, "state": "processing"}]
    assert values["publishers"] == [{"address": US, "wei": str(WEI // 10), "proofs": 25}]
    unknown = status.earning_values(replace(found, epochs=None, jobs=None), status.Judgement("unknown", "x"), US)
    assert (unknown["epochs"], unknown["jobs"], unknown["good"]) == (None, None, False)
    report = json.loads(json.dumps(report_values(fleet_report(fleet(node={"state": "exited"}), FLEET))))
    assert (report["components"][0]["host"], report["components"][0]["state"]) == ("node-1", "exited (0)")
    assert report["problems"][0]["component"] == "prover_node"
    assert report["notes"] == []
