# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decide by the host info whether a prover earns, and format the facts that decide it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.agent_status import Work, parse_work
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import project_name
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.health import parse_time
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.node_jobs import ENDED
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import AGENT, BROKER, NODE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.epochs import in_words
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_checks import (
    latest_values,
    submission_cost,
    values_by_address,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_queries import L1Settings
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.units import duration, ether, plural
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.fleet_status import (
    check_rollup,
    check_sync,
    inactive_state,
    is_starting,
)

# The states with which a prover earns, or has nothing to do.
GOOD = ("earning", "proving", "idle")
# How an epoch ended: with a proof of this prover, with one of another prover only, without one in time, without blocks,
# or not yet.
OWN, OTHERS, LOST, EMPTY, OPEN = "own", "others", "lost", "empty", "open"
# The default and the limit of -e status_epochs. More epochs are more than a day.
EPOCHS, MAX_EPOCHS = 10, 50
FORMATS = ("table", "json")


def status_options(epochs: object, form: object) -> tuple[int, str]:
    """Return the options status_epochs and status_format, '' for the default. Raise ValueError if they are wrong."""
    if (epochs not in ("", None) and not re.fullmatch(r"[1-9][0-9]?", str(epochs))) or int(epochs or 1) > MAX_EPOCHS:
        wrong = f"status_epochs {printable(str(epochs), 40)} is not a number of epochs"
        raise ValueError(f"{wrong}: set a number from 1 to {MAX_EPOCHS}")
    if form not in ("", None, *FORMATS):
        wrong = f"status_format {printable(str(form), 40)} is not a format"
        raise ValueError(f"{wrong}: choose one of {', '.join(FORMATS)}")
    return int(epochs or EPOCHS), str(form or FORMATS[0])


@dataclass(frozen=True)
class Publisher:
    """An account that pays for proofs. wei: its balance; proofs: how many it pays for. None where they are unknown."""

    address: str
    wei: int | None
    proofs: int | None


@dataclass(frozen=True)
class Agents:
    """The agents of the run. known: whether a host with agents is in it. stopped: whether stop.yml stopped all.

    idle and proving: how many report that. oldest: seconds since the oldest proof in work began, None if unknown.
    """

    known: bool = True
    stopped: bool = False
    idle: int = 0
    proving: int = 0
    oldest: float | None = None


@dataclass(frozen=True)
class Facts:
    """What decides whether a prover earns. A fact is None or empty where it is not known.

    node: missing (not in this run), down, stopped, starting or running; broker too. inactive: "standby" or "soft
    shutdown" of one of them. other_rollup: whether one follows another rollup than the canonical one. other_chain: the
    chain IDs of L1 clients on another chain than chain_id. sync: the progress while the node syncs. jobs: the epochs in
    work with their states; jobs_error: why the admin API does not return them. open_jobs: of the broker, queued or
    active. epochs: the last ended ones with their states. since: the first epoch that began after the node started.
    last: the newest proof of this prover. funder: whether the funding account tops a publisher up now. l1_error: why
    the proofs are not known. l1_in_table: whether a problem in the table of the components is that error.
    """

    node: str = "running"
    broker: str = "running"
    inactive: str = ""
    other_rollup: bool = False
    chain_id: int | None = None
    other_chain: tuple = ()
    sync: str = ""
    dry_run: bool = False
    publishers: tuple = ()
    funder: bool = False
    agents: Agents = Agents()
    jobs: Mapping[int, str] | None = None
    jobs_error: str = ""
    open_jobs: int | None = None
    epochs: Mapping[int, str] | None = None
    since: int = 0
    last: Mapping | None = None
    now: float = 0
    peers: int | None = None
    l1_error: str = ""
    l1_in_table: bool = False


@dataclass(frozen=True)
class Judgement:
    """Whether a prover earns. state: one or two words. text: the state in one line, with a remedy unless it is good.

    in_table: whether a problem in the table of the components explains it.
    """

    state: str
    text: str
    in_table: bool = False

    @property
    def good(self) -> bool:
        """Return whether the prover earns or has nothing to do."""
        return self.state in GOOD


def epoch_states(proofs: Mapping, prover: str, count: int) -> dict[int, str]:
    """Return the states of the last ended epochs. proofs: of host_info. prover: PROVER_ID."""
    own = {one["epoch"] for one in proofs["accepted"] if one["prover"] == prover.lower()}
    all_proven = {one["epoch"] for one in proofs["accepted"]}
    proven, pending = (-1 if proofs[name] is None else proofs[name] for name in ("proven_epoch", "pending_epoch"))
    current, states = proofs["epoch"], {}
    for epoch in range(max(0, current - count), current):
        if epoch in own:
            states[epoch] = OWN
        elif epoch in all_proven:
            states[epoch] = OTHERS
        elif epoch <= proven or epoch > pending:
            # Proofs are accepted in order, so that an earlier epoch without one has no blocks.
            states[epoch] = EMPTY
        else:
            states[epoch] = LOST if epoch + proofs["submission_epochs"] < current else OPEN
    return states


def first_epoch_since(proofs: Mapping, started: float) -> int:
    """Return the first epoch that began after a time."""
    return max(0, math.ceil((started - proofs["epoch_starts"]) / proofs["epoch_seconds"]))


def judge(facts: Facts) -> Judgement:
    """Decide whether a prover earns. The first state that applies is the one that has to change first."""
    stages = (judge_components, judge_chain, judge_means, judge_epochs)
    return next(found for found in (stage(facts) for stage in stages) if found)


def judge_components(facts: Facts) -> Judgement | None:
    """Return the judgement where node or broker do not work."""
    for component, state in (("node", facts.node), ("broker", facts.broker)):
        if state == "missing":
            return Judgement("unknown", f"the {component} is not in this run: include its host in --limit")
        if state == "stopped":
            return Judgement("stopped", f"the {component} is stopped: run start.yml")
    if "down" in (facts.node, facts.broker):
        return Judgement("down", "node or broker do not run: see the problems of the components", in_table=True)
    if facts.inactive:
        text = f"node or broker are in {facts.inactive}: see the problems of the components"
        return Judgement(facts.inactive, text, in_table=True)
    if facts.other_rollup:
        text = "node or broker follow a rollup that is not the canonical one: see the problems of the components"
        return Judgement("wrong rollup", text, in_table=True)
    return None


def judge_chain(facts: Facts) -> Judgement | None:
    """Return the judgement where the L1 is another chain, or the node does not yet know its state."""
    if facts.other_chain:
        found = ", ".join(map(str, facts.other_chain))
        wrong = f"the L1 clients are on the chain {found} instead of {facts.chain_id}"
        return Judgement("wrong chain", f"{wrong}: correct aztec_l1_execution_urls, and run site.yml")
    if "starting" in (facts.node, facts.broker) or facts.sync:
        why = facts.sync or f"the {'node' if facts.node == 'starting' else 'broker'} is starting"
        return Judgement("syncing", f"{why}: run status.yml again later")
    return None


def judge_means(facts: Facts) -> Judgement | None:
    """Return the judgement where the prover cannot submit proofs or compute them."""
    if facts.dry_run:
        return Judgement("dry run", "proofs are not submitted: set prover_node_dry_run to false, and run site.yml")
    known = [one for one in facts.publishers if one.proofs is not None]
    if known and not any(one.proofs for one in known) and not facts.funder:
        most = max(known, key=lambda one: one.wei or 0)
        wrong = f"the publisher {most.address} has {ether(most.wei)}, not enough to submit one proof"
        return Judgement("poor", f"{wrong}: send ETH to it")
    agents = facts.agents
    if agents.known and not agents.idle + agents.proving:
        if agents.stopped:
            return Judgement("no agents", "all agents are stopped: run start.yml")
        waiting = f", with {plural(facts.open_jobs, 'job')} in the queue" if facts.open_jobs else ""
        text = f"no agent works{waiting}: start agents, or add hosts to the group prover_agent and run site.yml"
        return Judgement("no agents", text)
    return None


def in_work(facts: Facts) -> bool:
    """Return whether the prover works on an epoch now."""
    return bool(facts.jobs or facts.open_jobs or facts.agents.proving)


def judge_epochs(facts: Facts) -> Judgement:
    """Return the judgement on a prover that works, by the epochs on the L1."""
    if facts.epochs is None:
        if in_work(facts):
            return Judgement("proving", f"it works, but its proofs are not known, because {facts.l1_error}")
        wrong = f"the proofs on the L1 are not known, because {facts.l1_error}"
        remedy = "use an L1 client that returns logs, or reduce status_epochs"
        return Judgement("unknown", f"{wrong}: {remedy}", in_table=facts.l1_in_table)
    states = list(facts.epochs.values())
    count = plural(len(states), "epoch")
    if OWN in states:
        return Judgement("earning", f"proved {states.count(OWN)} of the last {count}")
    missed = [epoch for epoch, state in facts.epochs.items() if state in (OTHERS, LOST) and epoch >= facts.since]
    if missed:
        wrong = f"proved none of the last {count}, of which {in_range(missed)} needed a proof"
        return Judgement("not earning", f"{wrong}: see the log of the node with logs.yml")
    if in_work(facts):
        return Judgement("proving", f"works on a proof, and has not proved any of the last {count} yet")
    if OPEN in states:
        waiting = [epoch for epoch, state in facts.epochs.items() if state == OPEN]
        wrong = f"does not work on {in_range(waiting)}, which needs a proof"
        return Judgement("not proving", f"{wrong}: see the log of the node with logs.yml, or run prove_again.yml")
    return Judgement("idle", "no epoch needs a proof")


def in_range(epochs: Sequence[int]) -> str:
    """Return epochs in words: epoch 7, or epochs 7 to 9."""
    first, last = min(epochs), max(epochs)
    return f"epoch {first}" if first == last else f"epochs {first} to {last}"


def component_state(host_infos: Mapping, fleet: Mapping, component: str, host: str) -> tuple[str, dict]:
    """Return (state of node or broker as in Facts, its container, or {})."""
    host_info = host_infos.get(host)
    if not isinstance(host_info, Mapping):
        return ("missing" if host not in host_infos else "down"), {}
    project = host_info["projects"].get(project_name(component, fleet.get("instance", ""))) or {}
    if (project.get("compared") or {}).get("stopped"):
        return "stopped", {}
    container = next((one for one in project.get("containers", []) if one["state"] == "running"), None)
    if container is None or "status" not in container:
        return "down", {}
    # A busy program does not respond in time, but the engine's health check succeeds.
    if container["health"] != "healthy" and is_starting(container, component, host_info["time"]):
        return "starting", container
    works = container["status"]["code"] == 200 or container["health"] == "healthy"
    return ("running" if works else "down"), container


def agent_work(host_infos: Mapping, fleet: Mapping) -> Agents:
    """Return what the agents of the run do."""
    name, works, known, projects = project_name(AGENT, fleet.get("instance", "")), [], False, []
    for host, host_info in host_infos.items():
        if AGENT not in fleet["hosts"].get(host, {}).get("components", []):
            continue
        known = True
        if not isinstance(host_info, Mapping):
            continue
        project = host_info["projects"].get(name) or {}
        projects.append(bool((project.get("compared") or {}).get("stopped")))
        for container in project.get("containers", []):
            lost = (container.get("broker_contact") or {}).get("state") != "ok"
            responses = [] if container["state"] != "running" or lost else (container.get("rpc") or {}).values()
            for response in responses:
                busy = isinstance(response, Mapping) and response.get("error") == "timed out"
                # While an agent computes a proof it does not respond.
                work = Work(job="unknown") if busy and container["health"] == "healthy" else parse_work(response)
                if work and (work.job or response.get("status") == "running"):
                    works.append((work, host_info["time"]))
    proving = [(work, now) for work, now in works if work.job]
    ages = [now - work.started for work, now in proving if work.started > 0]
    oldest = max(ages) if ages else None
    stopped = bool(projects) and all(projects)
    return Agents(known, stopped, len(works) - len(proving), len(proving), oldest)


def publishers(addresses: Sequence[str], execution: Sequence, settings: L1Settings) -> tuple[Publisher, ...]:
    """Return the accounts that pay, by the responses of the execution clients."""
    balances = values_by_address(execution, "balances", settings.chain_id)
    fees = [one for one in latest_values(execution, "fees", settings.chain_id) if one["base"] is not None]
    cost = submission_cost(fees[-1] if fees else None, settings)
    found = [(address, int(balances[address]) if address in balances else None) for address in addresses]
    return tuple(Publisher(address, wei, paid_proofs(wei, cost)) for address, wei in found)


def paid_proofs(wei: int | None, cost: int) -> int | None:
    """Return how many proofs a balance pays for, None where it is not known. cost: wei of one, 0 if unknown."""
    if wei is None or (wei and not cost):
        return None
    return wei // cost if cost else 0


def facts_of(host_infos: Mapping, fleet: Mapping, settings: L1Settings, dry_run: bool, epochs: int) -> Facts:
    """Return the facts. host_infos: as of fleet_report. settings: of the L1 checks. epochs: how many to count."""
    node_host, broker_host = fleet["node"]["host"], fleet["broker"]["host"]
    node_state, node = component_state(host_infos, fleet, NODE, node_host)
    broker_state, broker = component_state(host_infos, fleet, BROKER, broker_host)
    facts = Facts(node=node_state, broker=broker_state, chain_id=settings.chain_id, dry_run=dry_run)
    facts = replace(facts, agents=agent_work(host_infos, fleet), open_jobs=broker.get("open_jobs"))
    canonical = node.get("l1") or {}
    canonical = canonical if canonical.get("rollup") else {}
    working = [(NODE, node), (BROKER, broker)]
    inactive = [inactive_state(one, component, fleet["line"]) for component, one in working if one]
    rollups = [check_rollup(one, canonical, fleet["version"])[1] for _component, one in working if one]
    facts = replace(facts, inactive=next(filter(None, inactive), ""), other_rollup="OTHER" in rollups)
    host_info = host_infos.get(node_host)
    if not isinstance(host_info, Mapping):
        return facts
    execution = (host_info.get("l1") or {}).get("execution", [])
    chains = {one.get("chain_id") for one in execution} - {None, settings.chain_id}
    accounts = publishers(fleet["publishers"], execution, settings)
    balance = values_by_address(execution, "balances", settings.chain_id).get(fleet.get("funder") or "", "-1")
    tops_up = any(one.wei is not None and one.wei < settings.top_up_below for one in accounts)
    facts = replace(
        facts,
        other_chain=tuple(sorted(chains)) if settings.chain_id is not None else (),
        publishers=accounts,
        funder=tops_up and int(balance) >= settings.top_up,
        peers=node.get("peers"),
    )
    proofs = node.get("proofs") or {"error": "the node does not run"}
    if "epoch_jobs" in node:
        jobs = {job["epoch"]: job["state"] for job in node["epoch_jobs"] if job["state"] not in ENDED}
        facts = replace(facts, jobs=jobs)
    facts = replace(facts, jobs_error=node.get("jobs_error", ""))
    if node and node_state == "running":
        facts = replace(facts, sync=check_sync(node, False)[1] if not busy_note(node) else "")
    if proofs["error"]:
        in_table = proofs["error"] == (node.get("l1") or {}).get("error")
        return replace(facts, l1_error=proofs["error"], l1_in_table=in_table)
    return replace(
        facts,
        epochs=epoch_states(proofs, fleet["prover_id"], epochs),
        since=first_epoch_since(proofs, parse_time(node["started_at"])),
        last=proofs["last"],
        now=proofs["time"],
    )


def busy_note(node: Mapping) -> bool:
    """Return whether a node did not report its tips because it is busy, so that its progress is not known."""
    return any(isinstance(one, Mapping) and "error" in one for one in (node.get("rpc") or {}).values())


def epochs_cell(epochs: Mapping[int, str]) -> str:
    """Return how the last epochs ended in words."""
    states = list(epochs.values())
    names = {OWN: "by this prover", OTHERS: "by others", LOST: "not in time", OPEN: "not yet", EMPTY: "empty"}
    counts = [f"{states.count(state)} {name}" for state, name in names.items() if state in states or state == OWN]
    return f"{', '.join(counts)}, of the last {len(states)}"


def earning_rows(facts: Facts, judgement: Judgement) -> list[tuple[str, str]]:
    """Return the rows (name, value) of the table."""
    agents, last, work = facts.agents, facts.last, facts.jobs
    known = f"{agents.proving} proving, {agents.idle} idle"
    rows = [
        ("STATE", f"{judgement.state}: {judgement.text.partition(': ')[0]}"),
        ("EPOCHS PROVEN", epochs_cell(facts.epochs) if facts.epochs is not None else unknown(facts.l1_error)),
        ("LAST PROOF", last_cell(last, facts) if facts.epochs is not None else "unknown"),
        ("IN WORK", unknown(facts.jobs_error) if work is None else in_words(work) or "no epoch"),
        ("JOBS", jobs_cell(facts)),
        ("AGENTS", known + oldest_cell(agents.oldest) if agents.known else "not in this run"),
    ]
    for one in facts.publishers:
        enough = "an unknown number of proofs" if one.proofs is None else plural(one.proofs, "proof")
        balance = "an unknown balance" if one.wei is None else f"{ether(one.wei)}, enough for {enough}"
        rows.append(("PUBLISHER", f"{one.address} has {balance}"))
    return [*rows, ("PEERS", "unknown" if facts.peers is None else str(facts.peers))]


def unknown(error: str) -> str:
    """Return the cell of a fact that is not known because of an error, '' for none."""
    return f"unknown, {error}" if error else "unknown"


def oldest_cell(seconds: float | None) -> str:
    """Return the age of the oldest proof in work."""
    return "" if seconds is None else f", the oldest proof for {duration(seconds)}"


def last_cell(last: Mapping | None, facts: Facts) -> str:
    """Return the newest proof of this prover in words."""
    if last is None:
        return f"none for the last {plural(len(facts.epochs or {}), 'epoch')}"
    epoch = "an epoch" if last["epoch"] is None else f"epoch {last['epoch']}"
    return f"{epoch}, {duration(facts.now - last['time'])} ago, {last['transaction']}"


def jobs_cell(facts: Facts) -> str:
    """Return the broker's jobs. Those that agents of the run compute are active, the others wait."""
    if facts.open_jobs is None:
        return "unknown"
    if not facts.agents.known:
        return f"{facts.open_jobs} open"
    active = min(facts.open_jobs, facts.agents.proving)
    return f"{facts.open_jobs - active} queued, {active} active"


def earning_table(facts: Facts, judgement: Judgement, prover: str) -> str:
    """Return the facts as a table."""
    return table(earning_rows(facts, judgement), ("PROVER", prover))


def earning_values(facts: Facts, judgement: Judgement, prover: str) -> dict:
    """Return the facts and the judgement for machines, as values that JSON contains."""
    found = asdict(facts)
    for one in found["publishers"]:
        # As text: JSON readers round large numbers.
        one["wei"] = None if one["wei"] is None else str(one["wei"])
    states = None if facts.epochs is None else [{"epoch": key, "state": value} for key, value in facts.epochs.items()]
    jobs = None if facts.jobs is None else [{"epoch": key, "state": value} for key, value in facts.jobs.items()]
    decided = {"prover": prover, "state": judgement.state, "good": judgement.good, "text": judgement.text}
    return {**decided, **found, "epochs": states, "jobs": jobs, "other_chain": list(facts.other_chain)}
