# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a running fleet is well, judged from one look at each host, and how the operator is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network

from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.network_config import compare
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import (
    agent_layout,
    project_name,
    service_name,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import meaning
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.health import parse_time
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.crs import SERVICE as CRS_SERVICE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import RELEASES
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks import table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import (
    AGENT,
    BROKER,
    COMPONENTS,
    NODE,
    ip_of,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.requirements import agent_count

HEADS = ("HOST", "COMPONENT", "IMAGE", "STATE", "RESTARTS", "HEALTH", "VERSION", "AGENTS", "BROKER SEEN", "GUARD",
         "BLOCK", "ROLLUP")
# All that a component refuses another for, and its version.
VERSION_HEADERS = ("x-aztec-packageversion", "x-aztec-l2circuitsvktreeroot", "x-aztec-l2protocolcontractshash")
# The rollup that a node follows (seen with 4.1.2, read in the source of 6; brokers have no such header).
ROLLUP_HEADER = "x-aztec-l1rollupaddress"
# How a guard is shown that stands: the kernel keeps its tables for it, or it watches them.
GUARDED = {"guard": "owned", "watch": "watched"}
NOT_CHECKED = "not checked"
WORKING = "another run is changing it now: run verify.yml again when that run has ended"
# A restart so long ago was got over; a start that takes longer is none (an agent loads 2 GiB first).
RECENT_SECONDS = 600
START_SECONDS = 1800
# Characters of what an agent says of itself.
LONGEST_WORD = 40
# A node that is this near to the L1 is not called behind.
NEAR = 2


@dataclass
class Report:
    """Rows of the table, problems as (host, component, what is wrong), and notes alike that are no fault."""

    rows: list = field(default_factory=list)
    problems: list = field(default_factory=list)
    notes: list = field(default_factory=list)


def short_image(container: dict) -> str:
    """Give a container's image as repository's last part, tag and the digest's first twelve digits."""
    reference = container["image"].partition("@")[0]
    digests = [item.partition("@")[2] for item in container["image_digests"]]
    digest = (digests or [container["image_id"]])[0].rpartition(":")[2][:12]
    return f"{reference.rpartition('/')[2]} {digest}".strip()


def age(seconds: float) -> str:
    """Give a time span in its largest whole unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, seconds):.0f} s"


def own_tip(container: dict) -> int | None:
    """Give the node's own tip in the unit that the L1 counts in, or None while it does not answer."""
    unit = (container.get("l1") or {}).get("unit")
    tips = container.get("tips") or {}
    own = tips.get("checkpoint") if unit == "checkpoint" and tips.get("checkpoint") is not None else tips.get("block")
    return own


def block_cell(container: dict) -> str:
    """Give the node's tip beside the L1's, and what is proven."""
    l1 = container.get("l1") or {}
    own = own_tip(container)
    own = container.get("synced") if own is None else own
    proven = f", {l1['proven']} proven" if l1.get("proven") is not None else ""
    return f"{'?' if own is None else own} of {'?' if l1.get('pending') is None else l1['pending']}{proven}"


def is_busy(container: dict, error: str) -> bool:
    """Whether an unanswered question is no fault: the engine, which asks again and again, finds it healthy."""
    return error == "timed out" and container["health"] == "healthy"


def agent_states(container: dict) -> list[str]:
    """Give what each agent of a process says of itself: running, proving, stopped, or 'no answer'."""
    states = []
    for answer in (container.get("rpc") or {}).values():
        if isinstance(answer, dict) and answer.get("error"):
            states.append("busy" if is_busy(container, answer["error"]) else "no answer")
        else:
            said = answer.get("status", "unknown") if isinstance(answer, dict) else answer
            states.append(printable(str(said), LONGEST_WORD))
    return states


def guard_problem(guard: dict, section: str) -> str:
    """Give what is wrong with the port guard for a component, or ''."""
    if not guard["installed"]:
        return "the port guard is not installed: run site.yml"
    if guard["table_problem"]:
        return f"the port guard cannot be seen: {guard['table_problem']}"
    restart = "run systemctl restart aztec-port-guard on the host"
    if not guard["loaded"]:
        return f"the port guard's tables are missing: {restart}"
    if guard["owner"] == "none":
        return f"nobody keeps the port guard's tables, and a flush would remove them: {restart}"
    if guard["owner"] not in GUARDED:
        return f"the port guard's table belongs to {guard['owner']}: end that process, then {restart}"
    if guard["problems"]:
        return f"{guard['problems'][0]}: delete the file, then run site.yml"
    if section not in guard["sections"]:
        return "the port guard has no section for it: run site.yml"
    if guard["outdated"]:
        return "the port guard's rules are not those of its sections: run site.yml"
    if not guard["enabled"]:
        return "the port guard is not enabled, it will be gone after a reboot: run site.yml"
    return ""


def guard_cell(guard: dict, section: str) -> str:
    """Give the guard's state in a word."""
    if not guard["loaded"]:
        return "NOT LOADED"
    if guard["owner"] not in GUARDED:
        return "NO OWNER" if guard["owner"] == "none" else "FOREIGN"
    if section not in guard["sections"]:
        return "NO SECTION"
    return "OUTDATED" if guard["outdated"] or guard["problems"] else GUARDED[guard["owner"]]


def state_problem(container: dict, now: float) -> str:
    """Give what is wrong with a container as the engine sees it, or ''."""
    if container["state"] != "running":
        code = container["exit_code"]
        why = meaning(code, container["oom_killed"])
        text = f"is {container['state']} with exit code {code}" + (f" ({why})" if why else "")
        return text + (f": {container['log_error']}" if container.get("log_error") else "")
    up = now - parse_time(container["started_at"])
    if container["restarts"] and up < RECENT_SECONDS:
        error = container.get("log_error") or "see its log"
        return f"restarted {container['restarts']} times, last {age(up)} ago: {error}"
    return ""


def is_starting(container: dict, component: str, now: float) -> bool:
    """Whether a running container is still on its way: its port is not open yet, and that is no wonder."""
    up = now - parse_time(container["started_at"])
    if container["health"] == "starting" or (not container["health"] and container["status"]["code"] is None):
        return component == NODE or up < START_SECONDS
    # A health check gives up long before a first sync of hours is through.
    return component == NODE and container["status"]["code"] is None and container.get("synced") is not None


def waits(container: dict, component: str, line: str) -> str:
    """Return "standby" or "soft shutdown" for a node or broker that answers /status and does no work, else ''."""
    status = container.get("status") or {}
    if component == AGENT or container["state"] != "running" or status.get("code") != 200:
        return ""
    if (container.get("waiting") or {}).get("kind") == "soft shutdown":
        return "soft shutdown"
    silent = not status.get("headers") and status.get("post") == 404
    return "standby" if silent and RELEASES[line].standby else ""


def change_of_version(version: str, runs: str) -> str:
    """Return what to do where a program's rollup is not the network's.

    version: the fleet's. runs: the network's, '' if unknown.
    """
    order = _order(version, runs)
    if order == "same":
        where = "docs.aztec.network/networks (the node's copy of the network's configuration names it too)"
        return f"compare {version} with {where}: the network may have moved on, or may not have moved yet"
    wanted = runs if order in ("older", "line behind") else "what the network runs"
    return f"set aztec_version to {wanted}, with new data directories, and run site.yml"


def change_or_wait(version: str, runs: str) -> str:
    """Return the same for a program that can be one that was started ahead of a hard fork: one in standby."""
    order = _order(version, runs)
    if order in ("newer", "line ahead"):
        return f"wait until the network, which runs {runs}, has moved to {version}, or set aztec_version to {runs}"
    if order:
        return change_of_version(version, runs)
    change = "set aztec_version to what the network runs, with new data directories, and run site.yml"
    return f"{change}; if it was started ahead of a hard fork, wait"


def _order(version: str, runs: str) -> str:
    """Return how the fleet's version compares with the network's, '' where it is not known."""
    try:
        return compare(version, runs)
    except ValueError:
        return ""


def waiting_problem(container: dict, kind: str, version: str) -> str:
    """Return the line on a node or broker of which waits has said what it does. version: the fleet's."""
    runs = container.get("network_version") or ""
    if kind == "soft shutdown":
        wrong = "has stopped its work: the rollup that it follows is no longer the network's (soft shutdown)"
        return f"{wrong}: {change_of_version(version, runs)}"
    waiting = container.get("waiting") or {}
    differs = "; ".join(
        f"{one['what']} (its own {one['expected'][:18]}, the rollup's {one['got'][:18]})"
        for one in waiting.get("mismatches", [])
    )
    if differs:
        wrong = f"is in standby and does no work, because the rollup {waiting['rollup']} differs in {differs}"
    else:
        wrong = "is in standby and does no work, because the rollup is not its own (its log no longer says why)"
    return f"{wrong}: {change_or_wait(version, runs)}"


def chain_of(looks: dict) -> dict:
    """Return what the L1 says of the canonical rollup (host_probe.l1_tips), as asked beside a node; {} for nothing."""
    for look in looks.values():
        if isinstance(look, dict):
            for container in look["projects"].get(project_name(NODE), {}).get("containers", []):
                if (container.get("l1") or {}).get("rollup"):
                    return container["l1"]
    return {}


def judge_rollup(container: dict, chain: dict, version: str) -> tuple[str, str]:
    """Return (problem, cell) on whether a node or broker works for the canonical rollup. chain: from chain_of."""
    headers = (container.get("status") or {}).get("headers") or {}
    if container["state"] != "running" or not headers or not chain:
        return "", NOT_CHECKED
    if container.get("pinned"):
        return "", "pinned"
    named, rollup = headers.get(ROLLUP_HEADER, ""), chain["rollup"]
    remedy = change_of_version(version, container.get("network_version") or "")
    if named and named.lower() != rollup.lower():
        return f"follows the rollup {named}, and the registry's canonical one is {rollup}: {remedy}", "OTHER"
    roots = {name: value for name, value in chain["roots"].items() if headers.get(name)}
    for name, value in roots.items():
        if headers[name].lower() != value.lower():
            wrong = f"{name} is {headers[name][:18]}, and in the canonical rollup {rollup} it is {value[:18]}"
            return f"{wrong}: {remedy}", "OTHER"
    return "", "ok" if named or roots else NOT_CHECKED


def judge_node(container: dict, starting: bool) -> tuple[str, str]:
    """Give (problem, note) on a node's way to the L1's tip."""
    l1 = container.get("l1") or {}
    answers = [item for item in (container.get("rpc") or {}).values() if isinstance(item, dict)]
    error = next((str(item["error"]) for item in answers if "error" in item), "")
    if l1.get("error"):
        return f"the L1 cannot be asked: {l1['error']}", ""
    if is_busy(container, error):
        return "", "is busy and did not tell its tips"
    if error:
        return f"does not tell its tips: {error}", ""
    own = own_tip(container)
    own = container.get("synced") if own is None else own
    pending = l1.get("pending")
    if starting or (own is not None and pending is not None and pending - own > NEAR):
        unit = l1.get("unit") or "block"
        shown = "?" if own is None else own
        return "", f"node is syncing, {unit} {shown} of {'?' if pending is None else pending}"
    return "", ""


def judge_agent(container: dict) -> list[str]:
    """Give what is wrong with an agent that is up: its own word, and its contact with the broker."""
    words = {"stopped": "an agent in it is stopped", "no answer": "an agent in it gives no answer"}
    found = [words[state] for state in agent_states(container) if state in words]
    contact = container.get("broker_contact")
    if contact is None:
        found.append("has no broker set")
    elif contact["state"] != "ok":
        seen = "never seen" if contact["at"] is None else f"last seen {age(contact['seconds_ago'])} ago"
        why = f" ({contact['error']})" if contact["error"] else ""
        found.append(f"has no contact with the broker {contact['host']}:{contact['port']}, {seen}{why}")
    return found


def broker_cell(container: dict) -> str:
    """Give when the broker was last seen."""
    contact = container.get("broker_contact")
    if not contact:
        return "-"
    seen = "never" if contact["at"] is None else f"{age(contact['seconds_ago'])} ago"
    return seen if contact["state"] == "ok" else f"LOST, {seen}"


def services_wanted(component: str, wanted: dict, look: dict, line: str) -> list:
    """Give the services that the inventory asks for on a host, of which an agent may have several."""
    if component != AGENT or "agents" not in wanted:
        return [service_name(component)]
    beside = [name for name in wanted["components"] if name != AGENT]
    count = agent_count(look, wanted["agents"]["count"], line, beside)
    return agent_layout(count, wanted["agents"]["separate"])["services"]


def label(component: str, service: str) -> str:
    """Give a component's name for the operator, with its number where it is one of several alike."""
    return f"{component} {service.removeprefix(service_name(component)).lstrip('-')}".strip()


def judge_container(
    report: Report, host: str, component: str, container: dict, look: dict, images: list, fleet: dict, chain: dict
) -> None:
    """Add a container's row and what is to be said of it. chain: from chain_of."""
    now, status = look["time"], container.get("status") or {"code": None, "headers": {}, "error": ""}
    container = {**container, "status": status}
    problems, notes = [], []
    wrong = state_problem(container, now)
    starting = not wrong and is_starting(container, component, now)
    if wrong:
        problems.append(wrong)
    elif starting and component != NODE:
        notes.append(f"is starting, for {age(now - parse_time(container['started_at']))} now")
    elif not starting:
        if container["health"] == "unhealthy":
            problems.append(f"is unhealthy: {container.get('log_error') or 'see its log'}")
        if is_busy(container, status.get("error", "")):
            notes.append("is healthy, but too busy to answer at /status just now")
        elif status["code"] != 200:
            answer = "does not answer" if status["code"] is None else f"answers {status['code']}"
            problems.append(f"{answer} at /status" + (f" ({status['error']})" if status.get("error") else ""))
    if images and container["image"] not in images:
        problems.append(f"runs {container['image']}, the inventory says {' or '.join(images)}: run site.yml")
    waiting, rollup = waits(container, component, fleet["line"]), "-"
    if waiting:
        problems.append(waiting_problem(container, waiting, fleet["version"]))
        rollup = "OTHER"
    elif component != AGENT:
        problem, rollup = judge_rollup(container, chain, fleet["version"])
        problems += [problem] if problem else []
    if component == NODE and container["state"] == "running" and not waiting:
        problem, note = judge_node(container, starting)
        problems += [problem] if problem else []
        notes += [note] if note else []
    if component == AGENT and not wrong and not starting:
        problems += judge_agent(container)
    guard = guard_problem(look["guard"], component)
    problems += [guard] if guard else []
    if not look["engine"]["rules"]:
        problems.append("Docker's firewall rules are gone, so that containers reach nothing: run site.yml")
    shown = label(component, container["service"])
    report.problems += [(host, shown, text) for text in problems]
    report.notes += [(host, shown, text) for text in notes]
    state = container["state"] if container["state"] != "exited" else f"exited ({container['exit_code']})"
    report.rows.append((
        host, shown, short_image(container), waiting.upper() or ("starting" if starting else state),
        container["restarts"],
        container["health"] or "-", status["headers"].get(VERSION_HEADERS[0], "-"),
        ", ".join(agent_states(container)) if component == AGENT and agent_states(container) else "-",
        broker_cell(container), guard_cell(look["guard"], component),
        block_cell(container) if component == NODE else "-", rollup,
    ))


def compare_fleet(report: Report, seen: list) -> None:
    """Add what differs over the fleet. seen: (host, component, container) of all; the broker is the measure."""
    answered = [item for item in seen if (item[2].get("status") or {}).get("headers")]
    if answered:
        measure = next((item for item in answered if item[1] == BROKER), answered[0])
        for host, component, container in answered:
            for name in VERSION_HEADERS:
                own, wanted = (one["status"]["headers"].get(name, "") for one in (container, measure[2]))
                if own and wanted and own != wanted:
                    report.problems.append((
                        host, label(component, container["service"]),
                        f"{name} is {own[:18]}, that of {measure[1]} on {measure[0]} is {wanted[:18]}: "
                        "they refuse each other, run site.yml for the whole fleet",
                    ))
    by_reference: dict = {}
    for host, component, container in seen:
        first = by_reference.setdefault(container["image"], (host, container))
        # An image of this machine's own making has no digest to compare.
        ours, theirs = set(container["image_digests"]), set(first[1]["image_digests"])
        if ours and theirs and not ours & theirs:
            report.problems.append((
                host, label(component, container["service"]),
                f"{container['image']} is another image here than on {first[0]}: set aztec_image_digest",
            ))


def judge_seed(report: Report, host: str, component: str, containers: list, look: dict) -> None:
    """Add what is to be said of the service that fills the CRS directory: nothing once it has ended well."""
    for container in containers:
        if container["state"] == "running":
            report.notes.append((host, component, "waits for the CRS, which is being fetched"))
        elif container["state"] != "exited" or container["exit_code"] != 0:
            wrong = state_problem(container, look["time"])
            report.problems.append((host, component, f"the container {container['name']} that fetches the CRS {wrong}"))


def shown_few(items: list[str]) -> str:
    """Return up to five items, and how many more there are."""
    return ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")


def owners_of(looks: dict, fleet: dict) -> dict:
    """Return the host of each address of the fleet: those in the inventory, and those that were seen on the hosts."""
    seen = {name: look.get("addresses", []) for name, look in looks.items() if isinstance(look, dict)}
    known = [*((name, here.get("addresses", [])) for name, here in fleet["hosts"].items()), *seen.items()]
    return {ip_of(one): name for name, addresses in reversed(known) for one in addresses}


def judge_clients(report: Report, host: str, clients: list, looks: dict, fleet: dict) -> None:
    """Add notes on addresses of no host in the inventory that use the broker, and on all that try and are not admitted.

    clients: addresses that had a connection to the broker within the last minute.
    """
    owners = owners_of(looks, fleet)
    unknown = [name for name, here in fleet["hosts"].items() if not here.get("addresses")]
    networks = [ip_network(one) for one in (fleet.get("broker") or {}).get("admitted", [])]

    def admitted(address: str) -> bool:
        return any(ip_of(address) in network for network in networks)

    others = [one for one in clients if ip_of(one) not in owners]
    tried = [one for one in looks[host]["guard"].get("denied", []) if not admitted(one)]
    stop = "with docker compose down in its directory, /opt/aztec/prover-agent by default"
    for one in (one for one in tried if ip_of(one) in owners):
        wrong = f"{owners[ip_of(one)]} comes from {one}, which is not admitted"
        remedy = "correct its aztec_address, or add this address to aztec_admit, and run site.yml"
        report.notes.append((host, BROKER, f"{wrong}: {remedy}"))
    # While an address is not known, the guard may admit more than the list.
    gone = sorted(
        {one for one in tried if ip_of(one) not in owners} | {one for one in others if not (unknown or admitted(one))}
    )
    used = sorted({*others} - {*gone})
    if unknown:
        who = "of no host whose address is known"
        remedy = f"correct the address of {shown_few(unknown)} where it is there, else stop the agent there, {stop}"
        if gone:
            wrong = f"{who}, not admitted, and still trying to reach the broker: {shown_few(gone)}"
            report.notes.append((host, BROKER, f"{wrong}: {remedy}"))
        if used:
            report.notes.append((host, BROKER, f"{who}, and using the broker: {shown_few(used)}: {remedy}"))
        return
    if gone:
        wrong = f"not in the inventory, not admitted, and still trying to reach the broker: {shown_few(gone)}"
        report.notes.append((host, BROKER, f"{wrong}: stop the agent there, {stop}"))
    if used:
        wrong = f"not in the inventory, admitted by aztec_admit, and using the broker: {shown_few(used)}"
        report.notes.append((host, BROKER, f"{wrong}: if you removed an agent there, stop it, {stop}"))


def left_over(report: Report, host: str, component: str, container: dict) -> None:
    """Add a container of a component that the inventory does not put on its host."""
    report.rows.append((host, component, short_image(container), container["state"], *["-"] * (len(HEADS) - 4)))
    report.problems.append((
        host, component,
        f"is here, but the host is not in its group: put the host there, or run docker rm -f {container['name']} on it",
    ))


def verify(looks: dict, fleet: dict) -> Report:
    """Judge a fleet. looks: host -> its look, or a text that says why there is none; fleet: the fleet's values."""
    report, chain = Report(), chain_of(looks)
    seen = []
    for host, look in looks.items():
        wanted = fleet["hosts"].get(host, {})
        components = list(wanted.get("components", []))
        if isinstance(look, str):
            state = "LEFT OUT" if wanted.get("left_out") else "UNREACHABLE"
            for component in components or ["-"]:
                report.rows.append((host, component, "-", state, *["-"] * (len(HEADS) - 4)))
            report.problems.append((host, ", ".join(components), look))
            continue
        if not look["engine"]["serves"]:
            error = look["engine"]["error"] or "no answer"
            report.problems.append((host, ", ".join(components), f"the container engine does not serve ({error})"))
        for component in COMPONENTS:
            containers = look["projects"].get(project_name(component), {}).get("containers", [])
            if component not in components:
                for container in containers:
                    left_over(report, host, component, container)
                continue
            before, judged = len(report.problems), len(seen)
            judge_seed(report, host, component, [one for one in containers if one["service"] == CRS_SERVICE], look)
            containers = [one for one in containers if one["service"] != CRS_SERVICE]
            services = services_wanted(component, wanted, look, fleet["line"])
            for service in services:
                if service in [container["service"] for container in containers]:
                    continue
                shown = label(component, service)
                report.rows.append((host, shown, "-", "MISSING", *["-"] * (len(HEADS) - 4)))
                if look["engine"]["serves"]:
                    report.problems.append((host, shown, "has no container: run site.yml"))
            for container in containers:
                if container["service"] not in services:
                    shown = label(component, container["service"])
                    report.problems.append((host, shown, "is not what the inventory asks for: run site.yml"))
                images = wanted.get("images") or []
                judge_container(report, host, component, container, look, images, fleet, chain)
                seen.append((host, component, container))
            if component == BROKER:
                clients = [one for container in containers for one in container.get("clients", [])]
                judge_clients(report, host, clients, looks, fleet)
            if project_name(component) in (look.get("busy_projects") or []):
                # What is found of containers that are being replaced holds for this moment only.
                del report.problems[before:], seen[judged:]
                report.notes.append((host, component, WORKING))
    compare_fleet(report, seen)
    return report


def report_table(report: Report) -> str:
    """Give the report as the operator reads it: columns in which nobody has anything to say are left out."""
    kept = [
        number for number in range(len(HEADS))
        if number < 4 or any(str(row[number]) != "-" for row in report.rows)
    ]
    parts = [table([[row[number] for number in kept] for row in report.rows], [HEADS[number] for number in kept])]
    if report.notes:
        parts.append(table(report.notes, ("HOST", "COMPONENT", "NOTE")))
    if report.problems:
        parts.append(table(report.problems, ("HOST", "COMPONENT", "PROBLEM")))
    return "\n\n".join(parts)
