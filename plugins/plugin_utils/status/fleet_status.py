# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Derive the status of a running fleet from the host info, and format it as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network

from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.agent_status import parse_work
from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.network_config import compare
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import (
    agent_layout,
    component_names,
    project_name,
    service_name,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.containers import meaning
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.inventory_header import other_inventory
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.health import parse_time
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.crs import SERVICE as CRS_SERVICE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import COMPONENTS, RELEASES
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.addresses import ip_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import (
    AGENT,
    ALL_COMPONENTS,
    BROKER,
    MONITOR,
    NODE,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.images import IMAGES
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.hardware_checks import agent_count
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.units import duration

HEADS = (
    "HOST",
    "COMPONENT",
    "IMAGE",
    "STATE",
    "RESTARTS",
    "HEALTH",
    "VERSION",
    "AGENTS",
    "BROKER SEEN",
    "GUARD",
    "BLOCK",
    "ROLLUP",
)
# The headers by which a component rejects another one, with its version first.
VERSION_HEADERS = ("x-aztec-packageversion", "x-aztec-l2circuitsvktreeroot", "x-aztec-l2protocolcontractshash")
# The rollup that a node follows (seen with 4.1.2, read in the source of 6). Brokers do not have this header.
ROLLUP_HEADER = "x-aztec-l1rollupaddress"
# The cell of a working guard, by the owner of the tables: the kernel keeps them for it, or it watches them.
GUARDED = {"guard": "owned", "watch": "watched"}
NOT_CHECKED = "not checked"
CHANGING = "another run is changing it: run verify.yml again after that run ends"
# A restart before this time is not a problem anymore.
RECENT_SECONDS = 600
# A start that takes longer failed. An agent loads 2 GiB first.
START_SECONDS = 1800
# The maximum number of characters of the status that an agent reports.
MAX_STATUS_LENGTH = 40
# A node with this distance to the L1 is in sync.
MAX_BLOCKS_BEHIND = 2


@dataclass
class Report:
    """The rows of the table, and the problems and notes as (host, component, text).

    stopped: the number of rows of components that were stopped on purpose. jobs: whether the rows of agents contain
    their jobs.
    """

    rows: list = field(default_factory=list)
    problems: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    stopped: int = 0
    jobs: bool = False

    def add_row(self, host: str, component: str, image: str, state: str, *cells: object) -> None:
        """Add a row. Missing cells are '-'."""
        missing = len(HEADS) - 4 - len(cells)
        self.rows.append((host, component, image, state, *cells, *["-"] * missing))


def short_image(container: dict) -> str:
    """Return the last part of a container's repository, the tag, and the first twelve digits of the digest."""
    reference = container["image"].partition("@")[0]
    digests = [item.partition("@")[2] for item in container["image_digests"]]
    digest = (digests or [container["image_id"]])[0].rpartition(":")[2][:12]
    return f"{reference.rpartition('/')[2]} {digest}".strip()


def node_tip(container: dict) -> int | None:
    """Return the node's tip in the unit of the L1's tip, the last logged one if the node does not report it."""
    tips = container.get("tips") or {}
    unit = "checkpoint" if (container.get("l1") or {}).get("unit") == "checkpoint" else "block"
    tip = tips.get("block") if tips.get(unit) is None else tips[unit]
    return container.get("synced") if tip is None else tip


def block_cell(container: dict) -> str:
    """Return the tips of the node and of the L1, and the proven tip."""
    l1, tip = container.get("l1") or {}, node_tip(container)
    proven = f", {l1['proven']} proven" if l1.get("proven") is not None else ""
    return f"{'?' if tip is None else tip} of {'?' if l1.get('pending') is None else l1['pending']}{proven}"


def is_busy(container: dict, error: str) -> bool:
    """Return whether a timeout is not a problem, because the engine's repeated health checks succeed."""
    return error == "timed out" and container["health"] == "healthy"


def agent_states(container: dict) -> list[str]:
    """Return the status of each agent of a container: running, proving, stopped, busy or 'no response'."""
    states = []
    for response in (container.get("rpc") or {}).values():
        status = response.get("status", "unknown") if isinstance(response, dict) else response
        if isinstance(response, dict) and response.get("error"):
            status = "busy" if is_busy(container, response["error"]) else "no response"
        states.append(printable(str(status), MAX_STATUS_LENGTH))
    return states


def agent_jobs(container: dict, now: float) -> list[str]:
    """Return the same states, with the job of each agent that proves: proving epoch 4 PARITY_BASE for 3 s."""
    responses = (container.get("rpc") or {}).values()
    return [job_of(one, now) or state for one, state in zip(responses, agent_states(container))]


def job_of(response: object, now: float) -> str:
    """Return what an agent proves by its response, '' where it does not prove."""
    work = parse_work(response)
    if work is None or not work.job:
        return ""
    # The ID of a job is epoch:type:digest.
    epoch, sep, rest = work.job.partition(":")
    job = f"epoch {epoch} {rest.partition(':')[0]}" if sep and epoch.isdecimal() else work.job
    return f"proving {job}" + (f" for {duration(now - work.started)}" if work.started > 0 else "")


def guard_problem(guard: dict, section: str) -> str:
    """Return the problem of the port guard for a component, or ''."""
    restart, owner = "run systemctl restart aztec-port-guard on the host", guard["owner"]
    file = (guard["problems"] or [""])[0]
    problems = {
        "the port guard is not installed: run site.yml": not guard["installed"],
        f"the state of the port guard is unknown: {guard['table_problem']}": guard["table_problem"],
        f"the port guard's tables are missing: {restart}": not guard["loaded"],
        f"the port guard's tables do not have an owner, so that a flush would remove them: {restart}": owner == "none",
        f"the port guard's table belongs to {owner}: end that process, then {restart}": owner not in GUARDED,
        f"{file}: delete the file, then run site.yml": file,
        "the port guard does not have a section for this component: run site.yml": section not in guard["sections"],
        "the port guard's rules differ from its sections: run site.yml": guard["outdated"],
        "the port guard is not enabled and does not start after a reboot: run site.yml": not guard["enabled"],
    }
    return next((problem for problem, found in problems.items() if found), "")


def guard_cell(guard: dict, section: str) -> str:
    """Return the state of the port guard for a component."""
    if not guard["loaded"]:
        return "NOT LOADED"
    if guard["owner"] not in GUARDED:
        return "NO OWNER" if guard["owner"] == "none" else "FOREIGN"
    if section not in guard["sections"]:
        return "NO SECTION"
    return "OUTDATED" if guard["outdated"] or guard["problems"] else GUARDED[guard["owner"]]


def state_problem(container: dict, now: float) -> str:
    """Return the problem of a container's state, or ''."""
    if container["state"] != "running":
        code = container["exit_code"]
        why = meaning(code, container["oom_killed"])
        text = f"is {container['state']} with exit code {code}" + (f" ({why})" if why else "")
        return text + (f": {container['log_error']}" if container.get("log_error") else "")
    up = now - parse_time(container["started_at"])
    if container["restarts"] and up < RECENT_SECONDS:
        error = container.get("log_error") or "see its log"
        return f"restarted {container['restarts']} times, last {duration(up)} ago: {error}"
    return ""


def is_starting(container: dict, component: str, now: float) -> bool:
    """Return whether a running container is still starting: its port is not open yet, as expected."""
    no_status = container["status"]["code"] is None
    if container["health"] == "starting" or (not container["health"] and no_status):
        return component == NODE or now - parse_time(container["started_at"]) < START_SECONDS
    # The health check fails before a first sync of hours ends.
    return component == NODE and no_status and container.get("synced") is not None


def inactive_state(container: dict, component: str, line: str) -> str:
    """Return "standby" or "soft shutdown" for a node or broker that only serves /status, otherwise ''."""
    status = container.get("status") or {}
    if component == AGENT or container["state"] != "running" or status.get("code") != 200:
        return ""
    if (container.get("waiting") or {}).get("kind") == "soft shutdown":
        return "soft shutdown"
    only_status = not status.get("headers") and status.get("post") == 404
    return "standby" if only_status and RELEASES[line].standby else ""


def rollup_remedy(version: str, network: str) -> str:
    """Return what to do if a program's rollup is not that of the network.

    version: that of the fleet. network: that of the network, '' if unknown.
    """
    order = compare(version, network)
    if order == "same":
        where = "docs.aztec.network/networks (the node's copy of the network's configuration also contains it)"
        return f"compare {version} with {where}: the network may have upgraded, or may not have upgraded yet"
    target = network if order in ("older", "line behind") else "what the network runs"
    return f"set aztec_version to {target}, with new data directories, and run site.yml"


def standby_remedy(version: str, network: str) -> str:
    """Return the same for a program in standby, which may have been started ahead of a hard fork."""
    order = compare(version, network)
    if order in ("newer", "line ahead"):
        return f"wait until the network, which runs {network}, upgrades to {version}, or set aztec_version to {network}"
    if order:
        return rollup_remedy(version, network)
    change = "set aztec_version to what the network runs, with new data directories, and run site.yml"
    return f"{change}; if it was started ahead of a hard fork, wait"


def inactive_problem(container: dict, state: str, version: str) -> str:
    """Return the problem of a node or broker that is inactive. state: from inactive_state."""
    network = container.get("network_version") or ""
    if state == "soft shutdown":
        wrong = "has stopped working, because its rollup is no longer that of the network (soft shutdown)"
        return f"{wrong}: {rollup_remedy(version, network)}"
    waiting = container.get("waiting") or {}
    differences = "; ".join(
        f"{one['what']} (its own {one['expected'][:18]}, the rollup's {one['got'][:18]})"
        for one in waiting.get("mismatches", [])
    )
    if differences:
        wrong = f"is in standby and does not work, because the rollup {waiting['rollup']} differs in {differences}"
    else:
        wrong = "is in standby and does not work, because the rollup is not its own (its log no longer has the reason)"
    return f"{wrong}: {standby_remedy(version, network)}"


def canonical_rollup(host_infos: Mapping, instance: str = "") -> dict:
    """Return the canonical rollup on the L1 (health.l1_tips), as queried on the node's host; {} if unknown."""
    infos = [one for one in host_infos.values() if isinstance(one, dict)]
    projects = [one["projects"].get(project_name(NODE, instance), {}) for one in infos]
    tips = [container.get("l1") or {} for project in projects for container in project.get("containers", [])]
    return next((one for one in tips if one.get("rollup")), {})


def check_rollup(container: dict, canonical: dict, version: str) -> tuple[str, str]:
    """Return (problem, cell) of a node's or broker's rollup. canonical: from canonical_rollup."""
    headers = (container.get("status") or {}).get("headers") or {}
    if container["state"] != "running" or not headers or not canonical:
        return "", NOT_CHECKED
    if container.get("pinned"):
        return "", "pinned"
    own, rollup = headers.get(ROLLUP_HEADER, ""), canonical["rollup"]
    remedy = rollup_remedy(version, container.get("network_version") or "")
    if own and own.lower() != rollup.lower():
        return f"follows the rollup {own}, but the canonical one of the registry is {rollup}: {remedy}", "OTHER"
    roots = {name: value for name, value in canonical["roots"].items() if headers.get(name)}
    for name, value in roots.items():
        if headers[name].lower() != value.lower():
            wrong = f"{name} is {headers[name][:18]}, but in the canonical rollup {rollup} it is {value[:18]}"
            return f"{wrong}: {remedy}", "OTHER"
    return "", "ok" if own or roots else NOT_CHECKED


def check_sync(container: dict, starting: bool) -> tuple[str, str]:
    """Return (problem, note) of a node's progress to the L1's tip."""
    l1 = container.get("l1") or {}
    responses = [item for item in (container.get("rpc") or {}).values() if isinstance(item, dict)]
    error = next((str(item["error"]) for item in responses if "error" in item), "")
    if l1.get("error"):
        return f"the L1 cannot be queried: {l1['error']}", ""
    if is_busy(container, error):
        return "", "is busy and did not report its tips"
    if error:
        return f"does not report its tips: {error}", ""
    tip, pending = node_tip(container), l1.get("pending")
    if starting or (tip is not None and pending is not None and pending - tip > MAX_BLOCKS_BEHIND):
        shown = "?" if tip is None else tip
        return "", f"node is syncing, {l1.get('unit') or 'block'} {shown} of {'?' if pending is None else pending}"
    return "", ""


def check_agent(container: dict) -> list[str]:
    """Return the problems of a running agent: its status, and its contact with the broker."""
    problems_of = {"stopped": "an agent in it is stopped", "no response": "an agent in it does not respond"}
    problems = [problems_of[state] for state in agent_states(container) if state in problems_of]
    contact = container.get("broker_contact")
    if contact is None:
        problems.append("does not have a broker in its environment")
    elif contact["state"] != "ok":
        seen = "never seen" if contact["at"] is None else f"last seen {duration(contact['seconds_ago'])} ago"
        why = f" ({contact['error']})" if contact["error"] else ""
        problems.append(f"does not have contact with the broker {contact['host']}:{contact['port']}, {seen}{why}")
    return problems


def broker_cell(container: dict) -> str:
    """Return when an agent last had contact with the broker."""
    contact = container.get("broker_contact")
    if not contact:
        return "-"
    seen = "never" if contact["at"] is None else f"{duration(contact['seconds_ago'])} ago"
    return seen if contact["state"] == "ok" else f"LOST, {seen}"


def expected_services(component: str, here: dict, host_info: dict, line: str) -> list:
    """Return the Compose services of a component on a host, which can be several agents. here: the fleet's values."""
    if component != AGENT or "agents" not in here:
        return [service_name(component)]
    others = [name for name in here["components"] if name != AGENT]
    count = agent_count(host_info, here["agents"]["count"], line, others)
    return agent_layout(count, here["agents"]["separate"])["services"]


def label(component: str, service: str) -> str:
    """Return a component's name in the table, with its number if it is one of several, or the monitor's service."""
    if component == MONITOR:
        return f"monitor {service}"
    return f"{component} {service.removeprefix(service_name(component)).lstrip('-')}".strip()


def check_container(
    report: Report, host: str, component: str, container: dict, host_info: dict, fleet: Mapping, canonical: dict
) -> None:
    """Add the row, problems and notes of a container. canonical: from canonical_rollup."""
    now, status = host_info["time"], container.get("status") or {"code": None, "headers": {}, "error": ""}
    container = {**container, "status": status}
    images = fleet["hosts"][host].get("images") or []
    problems, notes = [], []
    wrong = state_problem(container, now)
    starting = not wrong and is_starting(container, component, now)
    if wrong:
        problems.append(wrong)
    elif starting and component != NODE:
        notes.append(f"is starting, for {duration(now - parse_time(container['started_at']))} now")
    elif not starting:
        if container["health"] == "unhealthy":
            problems.append(f"is unhealthy: {container.get('log_error') or 'see its log'}")
        if is_busy(container, status.get("error", "")):
            notes.append("is healthy, but too busy to respond at /status")
        elif status["code"] != 200:
            response = "does not respond" if status["code"] is None else f"responds with {status['code']}"
            problems.append(f"{response} at /status" + (f" ({status['error']})" if status.get("error") else ""))
    if images and container["image"] not in images:
        problems.append(f"runs {container['image']}, but the inventory contains {' or '.join(images)}: run site.yml")
    inactive, rollup, problem, note = inactive_state(container, component, fleet["line"]), "-", "", ""
    if inactive:
        rollup = "OTHER"
        problems.append(inactive_problem(container, inactive, fleet["version"]))
    elif component != AGENT:
        problem, rollup = check_rollup(container, canonical, fleet["version"])
        problems.append(problem)
        if component == NODE and container["state"] == "running":
            problem, note = check_sync(container, starting)
            problems.append(problem)
            notes.append(note)
    elif not wrong and not starting:
        problems += check_agent(container)
    section = component_names(component, fleet.get("instance", ""))["guard_section"]
    problems.append(guard_problem(host_info["guard"], section))
    if not host_info["engine"]["rules"]:
        problems.append("Docker's firewall rules are missing, so that containers reach nothing: run site.yml")
    shown = label(component, container["service"])
    report.problems += [(host, shown, text) for text in problems if text]
    report.notes += [(host, shown, text) for text in notes if text]
    state = container["state"] if container["state"] != "exited" else f"exited ({container['exit_code']})"
    report.add_row(
        host,
        shown,
        short_image(container),
        inactive.upper() or ("starting" if starting else state),
        container["restarts"],
        container["health"] or "-",
        status["headers"].get(VERSION_HEADERS[0], "-"),
        (component == AGENT and ", ".join(agent_jobs(container, now) if report.jobs else agent_states(container)))
        or "-",
        broker_cell(container),
        guard_cell(host_info["guard"], section),
        block_cell(container) if component == NODE else "-",
        rollup,
    )


def check_monitor(report: Report, host: str, host_info: dict, fleet: Mapping) -> None:
    """Add the rows and problems of the monitor's services."""
    instance, now = fleet.get("instance", ""), host_info["time"]
    names = component_names(MONITOR, instance)
    project = host_info["projects"].get(names["project"], {})
    if names["project"] in (host_info.get("busy_projects") or []):
        report.notes.append((host, MONITOR, CHANGING))
        return
    found = {container["service"]: container for container in project.get("containers", [])}
    if (project.get("compared") or {}).get("stopped"):
        add_stopped(report, host, MONITOR, list(found.values()), list(IMAGES))
        return
    for service in IMAGES:
        container = found.get(service)
        shown = label(MONITOR, service)
        if container is None:
            report.add_row(host, shown, "-", "MISSING")
            if host_info["engine"]["serves"]:
                report.problems.append((host, shown, "does not have a container: run site.yml"))
            continue
        wrong = state_problem(container, now)
        if not wrong and container["health"] == "unhealthy":
            wrong = f"is unhealthy: {container.get('log_error') or 'see its log'}"
        guard = guard_cell(host_info["guard"], names["guard_section"])
        problems = [wrong, guard_problem(host_info["guard"], names["guard_section"])]
        report.problems += [(host, shown, text) for text in problems if text]
        cells = container["restarts"], container["health"] or "-", "-", "-", "-", guard
        report.add_row(host, shown, short_image(container), container["state"], *cells)


def add_stopped(report: Report, host: str, component: str, containers: list, expected: Sequence[str]) -> None:
    """Add the rows of a component that stop.yml stopped. A container that runs nevertheless is a problem."""
    images = {container["service"]: container for container in containers}
    for service in expected:
        container = images.get(service)
        shown = label(component, service)
        report.add_row(host, shown, short_image(container) if container else "-", "stopped")
        report.stopped += 1
        if container and container["state"] == "running":
            wrong = "runs, although stop.yml stopped it: run stop.yml again, or start.yml to keep it running"
            report.problems.append((host, shown, wrong))


def check_consistency(report: Report, containers: list) -> None:
    """Add the differences between components. containers: (host, component, container) of all."""
    responding = [item for item in containers if (item[2].get("status") or {}).get("headers")]
    reference = next((item for item in responding if item[1] == BROKER), responding[0] if responding else None)
    for host, component, container in responding:
        for name in VERSION_HEADERS:
            own, wanted = (one["status"]["headers"].get(name, "") for one in (container, reference[2]))
            if own and wanted and own != wanted:
                wrong = f"{name} is {own[:18]}, but that of {reference[1]} on {reference[0]} is {wanted[:18]}"
                remedy = "run site.yml for the whole fleet, because they reject each other"
                report.problems.append((host, label(component, container["service"]), f"{wrong}: {remedy}"))
    by_reference: dict = {}
    for host, component, container in containers:
        first, other = by_reference.setdefault(container["image"], (host, container))
        # An image that was built on a host does not have a digest to compare.
        own, wanted = set(container["image_digests"]), set(other["image_digests"])
        if own and wanted and not own & wanted:
            wrong = f"{container['image']} is another image than on {first}: set aztec_image_digest"
            report.problems.append((host, label(component, container["service"]), wrong))


def check_crs_fetch(report: Report, host: str, component: str, containers: list, now: float) -> None:
    """Add the state of the containers that fetch the CRS, unless they succeeded."""
    for container in containers:
        if container["state"] == "running":
            report.notes.append((host, component, "waits for the CRS, which is being fetched"))
        elif container["state"] != "exited" or container["exit_code"] != 0:
            wrong = f"the container {container['name']} that fetches the CRS {state_problem(container, now)}"
            report.problems.append((host, component, wrong))


def limit_list(items: Sequence[str]) -> str:
    """Return up to five items, and the number of the remaining ones."""
    return ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")


def hosts_by_address(host_infos: Mapping, fleet: Mapping) -> dict:
    """Return the host of each address in the inventory or in the host info."""
    found = {name: info.get("addresses", []) for name, info in host_infos.items() if isinstance(info, dict)}
    known = [*((name, here.get("addresses", [])) for name, here in fleet["hosts"].items()), *found.items()]
    return {ip_of(one): name for name, addresses in reversed(known) for one in addresses}


def check_broker_clients(report: Report, host: str, clients: list, host_infos: Mapping, fleet: Mapping) -> None:
    """Add notes on clients of the broker that are not hosts of the inventory, and on those that are not admitted.

    clients: the addresses with a connection to the broker within the last minute.
    """
    hosts = hosts_by_address(host_infos, fleet)
    unknown = [name for name, here in fleet["hosts"].items() if not here.get("addresses")]
    networks = [ip_network(one) for one in (fleet.get("broker") or {}).get("admitted", [])]
    others = {one for one in clients if ip_of(one) not in hosts}
    denied = host_infos[host]["guard"].get("denied", [])
    outside = [one for one in {*others, *denied} if not any(ip_of(one) in network for network in networks)]
    for address in denied:
        if address in outside and ip_of(address) in hosts:
            wrong = f"{hosts[ip_of(address)]} connects from {address}, which is not admitted"
            remedy = "correct its aztec_address, or add this address to aztec_admit, and run site.yml"
            report.notes.append((host, BROKER, f"{wrong}: {remedy}"))
    directory = component_names(AGENT, fleet.get("instance", ""))["directory"]
    stop = (
        "by remove.yml if the host is in the inventory outside of the groups, otherwise with docker compose down in "
        f"its directory, /opt/aztec/{directory} by default"
    )
    # While an address is unknown, the guard may admit more than the list.
    rejected = {one for one in outside if ip_of(one) not in hosts and (one in denied or not unknown)}
    trying = limit_list(sorted(rejected))
    using = limit_list(sorted(others - rejected))
    notes = []
    if unknown:
        who = "not of a host with a known address"
        remedy = f"correct the address of {limit_list(unknown)} if it is there, otherwise stop the agent there, {stop}"
        if trying:
            notes.append(f"{who}, not admitted, and still trying to reach the broker: {trying}: {remedy}")
        if using:
            notes.append(f"{who}, and using the broker: {using}: {remedy}")
    if trying and not unknown:
        wrong = f"not in the inventory, not admitted, and still trying to reach the broker: {trying}"
        notes.append(f"{wrong}: stop the agent there, {stop}")
    if using and not unknown:
        wrong = f"not in the inventory, admitted by aztec_admit, and using the broker: {using}"
        notes.append(f"{wrong}: if you removed an agent there, stop it, {stop}")
    report.notes += [(host, BROKER, note) for note in notes]


def remains(host_info: Mapping, component: str, instance: str) -> bool:
    """Return whether a host has containers or a guard section of a component."""
    names = component_names(component, instance)
    containers = host_info["projects"].get(names["project"], {}).get("containers")
    return bool(containers) or names["guard_section"] in host_info["guard"].get("section_texts", ())


def check_left_over(report: Report, host: str, component: str, host_info: Mapping, fleet: Mapping) -> None:
    """Add the containers of a component that is not in the host's groups, and that it has to be removed."""
    instance = fleet.get("instance", "")
    project = host_info["projects"].get(project_name(component, instance), {})
    # Containers that another inventory manages are not left over from this one.
    if other_inventory(project.get("inventories", []), fleet.get("inventory", "")):
        return
    containers = project.get("containers", [])
    for container in containers:
        report.add_row(host, component, short_image(container), container["state"])
    if remains(host_info, component, instance):
        wrong = "runs on a host that is not in its group" if containers else "was not removed from the host"
        remedy = f"run remove.yml --limit {host} -e aztec_components={component}, or add the host to the group"
        report.problems.append((host, component, f"{wrong}: {remedy}"))


def check_other_hosts(report: Report, others: Mapping, fleet: Mapping) -> None:
    """Add a note on each host outside of the groups that still has components. others: host -> host info."""
    for host, host_info in others.items():
        found = [one for one in ALL_COMPONENTS if remains(host_info, one, fleet.get("instance", ""))]
        if found:
            wrong = "not in a group of the fleet any more, but not removed"
            report.notes.append((host, ", ".join(found), f"{wrong}: run remove.yml --limit {host}"))


def fleet_report(
    host_infos: Mapping, fleet: Mapping, others: Mapping | None = None, jobs: bool = False
) -> Report:
    """Return the status of a fleet. host_infos: host -> host info, or a text that explains why it is missing.

    others: host -> host info of hosts outside of the groups. jobs: display the jobs of agents.
    """
    instance = fleet.get("instance", "")
    report, canonical = Report(jobs=jobs), canonical_rollup(host_infos, instance)
    checked = []
    for host, host_info in host_infos.items():
        here = fleet["hosts"].get(host, {})
        components = list(here.get("components", []))
        if isinstance(host_info, str):
            for component in components or ["-"]:
                report.add_row(host, component, "-", "LEFT OUT" if here.get("left_out") else "UNREACHABLE")
            report.problems.append((host, ", ".join(components), host_info))
            continue
        serves = host_info["engine"]["serves"]
        if not serves:
            error = host_info["engine"]["error"] or "no response"
            report.problems.append((host, ", ".join(components), f"the container engine does not respond ({error})"))
        for component in COMPONENTS:
            project = host_info["projects"].get(project_name(component, instance), {})
            containers = project.get("containers", [])
            if component not in components:
                check_left_over(report, host, component, host_info, fleet)
                continue
            problems_before, checked_before = len(report.problems), len(checked)
            fetches = [one for one in containers if one["service"] == CRS_SERVICE]
            check_crs_fetch(report, host, component, fetches, host_info["time"])
            containers = [one for one in containers if one["service"] != CRS_SERVICE]
            expected = expected_services(component, here, host_info, fleet["line"])
            if (project.get("compared") or {}).get("stopped"):
                add_stopped(report, host, component, containers, expected)
                continue
            for service in expected:
                if service not in [container["service"] for container in containers]:
                    shown = label(component, service)
                    report.add_row(host, shown, "-", "MISSING")
                    if serves:
                        report.problems.append((host, shown, "does not have a container: run site.yml"))
            for container in containers:
                if container["service"] not in expected:
                    shown = label(component, container["service"])
                    report.problems.append((host, shown, "is not in the inventory: run site.yml"))
                check_container(report, host, component, container, host_info, fleet, canonical)
                checked.append((host, component, container))
            if component == BROKER:
                clients = [one for container in containers for one in container.get("clients", [])]
                check_broker_clients(report, host, clients, host_infos, fleet)
            if project_name(component, instance) in (host_info.get("busy_projects") or []):
                # Another run replaces these containers, so their problems are temporary.
                del report.problems[problems_before:], checked[checked_before:]
                report.notes.append((host, component, CHANGING))
        if MONITOR in components:
            check_monitor(report, host, host_info, fleet)
        else:
            check_left_over(report, host, MONITOR, host_info, fleet)
    check_consistency(report, checked)
    check_other_hosts(report, others or {}, fleet)
    return report


def report_values(report: Report) -> dict:
    """Return the report for machines: components, notes and problems, each a list of dicts of texts and numbers."""
    names = [head.lower().replace(" ", "_") for head in HEADS]
    heads = ("host", "component", "text")
    return {
        "components": [dict(zip(names, row)) for row in report.rows],
        "notes": [dict(zip(heads, note)) for note in report.notes],
        "problems": [dict(zip(heads, problem)) for problem in report.problems],
    }


def report_table(report: Report) -> str:
    """Return the report as tables, without the columns that are empty in all rows."""
    kept = [number for number in range(len(HEADS)) if number < 4 or any(str(row[number]) != "-" for row in report.rows)]
    parts = [table([[row[number] for number in kept] for row in report.rows], [HEADS[number] for number in kept])]
    for rows, name in ((report.notes, "NOTE"), (report.problems, "PROBLEM")):
        parts += [table(rows, ("HOST", "COMPONENT", name))] if rows else []
    return "\n\n".join(parts)
