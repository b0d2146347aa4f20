# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the hosts of a run, as pure functions over the host info and the fleet's values."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import project_name
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.inventory_header import other_inventory
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_engine import CONTAINERD_ROOT, DATA_ROOT
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.daemon import TABLE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import RELEASES
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.plan import (
    DOCKER_SUITES,
    engine_plan,
    host_system,
    is_supported,
    system_problem,
    version_tuple,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.addresses import (
    ip_of,
    published_addresses,
    resolve,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import BROKER, MONITOR, NODE, as_bool
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.automatic_update_checks import (
    automatic_update_problems,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.docker_network_checks import (
    docker_network_problems,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.hardware_checks import (
    architecture_problems,
    check_hardware,
    cpu_problems,
    limit_problems,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_settings import (
    ComponentSettings,
    EngineSettings,
)

# The processes that hold the sockets of a container's published ports.
_ENGINE_PROCESSES = ("docker-proxy", "dockerd", "rootlesskit")


@dataclass
class HostCheckResult:
    """The problems, the rows of the hardware table, and the hosts without host info."""

    problems: list = field(default_factory=list)
    hardware: list = field(default_factory=list)
    unreachable: list = field(default_factory=list)


def _is_running(host_info: Mapping, name: str) -> bool:
    project = (host_info.get("projects") or {}).get(name) or {}
    return any(container.get("state") == "running" for container in project.get("containers") or [])


def _conflicts(address: str, loopback_only: bool) -> bool:
    ip = ip_of(address)
    return not loopback_only or ip is None or ip.is_unspecified or ip.is_loopback


def inventory_problems(host: str, host_info: Mapping, components: Sequence, fleet: Mapping) -> list[Problem]:
    """Return a problem for each component whose Compose project another inventory manages.

    It ends the run on an agent's host too, because the run would take over the host of another prover.
    """
    problems = []
    for component in components:
        project = project_name(component, fleet.get("instance", ""))
        names = ((host_info.get("projects") or {}).get(project) or {}).get("inventories") or []
        found = other_inventory(names, fleet.get("inventory", ""))
        if found:
            problems.append(Problem(host, "aztec_inventory_name", f"{project} {found[0]}", found[1], fleet=True))
    return problems


def moved_component_problems(host: str, host_info: Mapping, components: Sequence, fleet: Mapping) -> list[Problem]:
    """Return a problem for a node that still runs outside of its group, and a note on data of a removed component."""
    found, projects = [], host_info.get("projects") or {}
    names = {one: project_name(one, fleet.get("instance", "")) for one in (NODE, BROKER)}
    if NODE not in components and _is_running(host_info, names[NODE]):
        wrong = f"still runs the node of {fleet['node']['host']}, and two nodes with one key block each other"
        remedy = f"run remove.yml --limit {host} -e aztec_components={NODE} first"
        found.append(Problem(host, NODE, wrong, remedy, fleet=True))
    for component, name in names.items():
        project = projects.get(name) or {}
        data, deployed = project.get("data") or {}, (project.get("compared") or {}).get("state")
        if component in components and data.get("schemas") and not deployed and not project.get("containers"):
            wrong = f"{data['path']} has data of an earlier deployment, which the component uses again"
            remedy = f"if this is not intended, run remove.yml --limit {host} -e aztec_components={component} first"
            found.append(Problem(host, component, wrong, remedy, "note"))
    return found


def port_problems(host: str, host_info: Mapping, settings: Mapping, instance: str = "") -> list[Problem]:
    """Return a problem for each port on which something other than the component's own container listens."""
    problems = []
    published = {(one["protocol"], one["port"]): one for one in host_info.get("published") or []}
    for component, setting in settings.items():
        project = project_name(component, instance)
        # Another run is replacing the container, which has the port and is not running at times.
        if project in (host_info.get("busy_projects") or []):
            continue
        for variable, protocol, number, loopback_only in setting.ports:
            for socket in host_info.get("listening") or []:
                process = socket.get("process") or ""
                by_engine = process in _ENGINE_PROCESSES or not process
                owner = published.get((protocol, number)) if by_engine else None
                # The processes of the monitor listen in the host's network.
                own_process = by_engine or component == MONITOR
                own = owner["project"] == project if owner else own_process and _is_running(host_info, project)
                same = (socket["protocol"], socket["port"]) == (protocol, number)
                if same and not own and _conflicts(socket["address"], loopback_only):
                    who = "another container" if process in _ENGINE_PROCESSES else process or "another process"
                    who = f"the container {owner['container']}" if owner else who
                    remedy = f"stop it, or set {variable} to a free port"
                    problems.append(Problem(host, variable, f"{protocol} port {number} is in use by {who}", remedy))
                    break
    return problems


def guard_problems(host: str, host_info: Mapping) -> Iterator[Problem]:
    """Yield a problem for each cause that prevents the port guard from being applied or from persisting."""
    guard, owner = host_info["guard"], host_info["guard"]["owner"]
    for line in guard["problems"]:
        yield Problem(host, "port guard", line, f"delete it (rm {line.split()[0]}); the run writes it again")
    if owner.startswith("process"):
        wrong = f"the nftables table {TABLE} belongs to {owner}"
        yield Problem(host, "port guard", wrong, "end that process, then run again")
    elif owner == "none" and not guard["installed"]:
        wrong = f"the nftables table {TABLE} exists, but the port guard did not create it"
        remedy = f"run nft delete table inet {TABLE}, nft delete table bridge {TABLE} on the host"
        yield Problem(host, "port guard", wrong, remedy)
    for path in guard["saved_rulesets"]:
        wrong = f"{path} contains the port guard's table {TABLE}, so nftables cannot load it while the guard runs"
        remedy = f"delete the blocks `table inet {TABLE}` and `table bridge {TABLE}` from it"
        yield Problem(host, "port guard", wrong, remedy, "warning")


def bridge_problems(host: str, host_info: Mapping, settings: Mapping) -> list[Problem]:
    """Return a problem for each component whose bridge belongs to another network or interface."""
    problems = {}
    networks = host_info.get("networks") or []
    for component, setting in settings.items():
        bridge = setting.docker_bridge
        others = [network["name"] for network in networks if network["bridge"] == bridge]
        if setting.docker_network in others or not bridge:
            continue
        option = f"{component}_docker_bridge"
        remedy = f"set aztec_docker_bridge, or {option} where that is set, to another name"
        if others:
            wrong = f"{bridge} is the bridge of the Docker network {others[0]}"
        elif host_info["engine"]["serves"] and bridge in (host_info.get("interfaces") or []):
            wrong = f"{bridge} is an interface of the host that does not belong to a Docker network"
        else:
            continue
        problems.setdefault(wrong, Problem(host, option, wrong, remedy))
    return list(problems.values())


def engine_problems(host: str, host_info: Mapping, engine: EngineSettings) -> Iterator[Problem]:
    """Yield what docker_engine would refuse, and warnings about SELinux and a distribution that is not supported."""
    plan = engine_plan(
        host_info, engine.source, engine.version, engine.apt_url, engine.mirrors, engine.options, engine.containerd_root
    )
    if plan["action"] == "refuse":
        of_system = system_problem(host_info, engine.source)
        for problem in plan["problems"]:
            wrong, _colon, remedy = problem.rpartition(": ")
            yield Problem(host, "operating system" if problem == of_system else "container engine", wrong, remedy)
    elif is_supported(host_info):
        for path in plan["old_sources"]:
            remedy = f"docker_engine renames it to {path}.disabled, which apt ignores"
            yield Problem(host, "container engine", f"{path} also has Docker's repository", remedy, "warning")
    else:
        wrong = f"{host_system(host_info)} is not supported"
        if not host_info["nft"]["installed"] and not host_info["os"]["apt"]:
            remedy = "install nftables manually, because only what is installed can be used without apt"
            yield Problem(host, "operating system", wrong, remedy)
        else:
            known = "; ".join(f"{name.capitalize()} {', '.join(versions)}" for name, versions in DOCKER_SUITES.items())
            remedy = f"the run uses the installed software unchanged; supported distributions are {known}"
            yield Problem(host, "operating system", wrong, remedy, "warning")
    if host_info["engine"]["selinux_enforcing"]:
        remedy = "if containers cannot read their files, run setenforce 0 on the host and set SELINUX=permissive in "
        remedy += "/etc/selinux/config"
        yield Problem(host, "operating system", "SELinux is enforcing, which is not tested", remedy, "warning")


def unmanaged_engine_problems(host: str, host_info: Mapping, engine: EngineSettings) -> Iterator[Problem]:
    """Yield a warning for each root, and for missing firewall rules, of an engine that the role does not change."""
    found = host_info["engine"]
    if found["managed"] or not found["serves"]:
        return
    if not found["rules"]:
        wrong = "Docker's firewall rules are missing, so that containers reach nothing (was the ruleset flushed?)"
        yield Problem(host, "container engine", wrong, "run systemctl restart docker on the host", "warning")
    for option, wanted, current in (
        ("docker_engine_data_root", engine.data_root, found.get("root") or DATA_ROOT),
        ("docker_engine_containerd_root", engine.containerd_root, found.get("containerd_root") or CONTAINERD_ROOT),
    ):
        if wanted and posixpath.normpath(wanted) != posixpath.normpath(current):
            wrong = f"is {wanted}, but the installed engine uses {current}, which the run does not change"
            remedy = f"set {option} to {current} for this host, or set it in that engine's own settings"
            yield Problem(host, option, wrong, remedy, "warning")


def ipv6_problems(host: str, host_info: Mapping, subnet: str, settings: EngineSettings) -> list[Problem]:
    """Return a problem if containers require IPv6 with private addresses, and the engine does not translate them."""
    engine = host_info["engine"]
    if not subnet or not engine["serves"] or engine["translates_ipv6"]:
        return []
    remedy = "update it to 27 or later, or set experimental and ip6tables to true in its daemon.json"
    if engine["managed"]:
        # The role writes daemon.json, and this run applies its settings.
        if all(as_bool(settings.options.get(name)) for name in ("experimental", "ip6tables")):
            return []
        from_docker = engine["source"] == "docker-ce"
        if from_docker and version_tuple(settings.version) >= (27,):
            return []
        remedy = "set docker_engine_daemon_options: {experimental: true, ip6tables: true}"
        remedy += ", or docker_engine_version to 27 or later" if from_docker else ""
    wrong = f"Docker {engine['version']} does not translate IPv6 addresses, but the host's containers require IPv6"
    return [Problem(host, "container engine", wrong, remedy)]


def publish_problems(host: str, host_info: Mapping, setting: ComponentSettings, derived: Sequence) -> Iterator[Problem]:
    """Yield the problems of the addresses on which the broker is published, or that it is published on all."""
    option, own = "prover_broker_publish_addresses", host_info.get("addresses") or []
    if own and setting.publish_addresses is None and not published_addresses(list(derived), own):
        wrong = f"no interface has {' or '.join(derived)} (NAT?): the broker is published on all addresses of the host"
        remedy = "set it to the host's own address behind the NAT, or to [0.0.0.0] for all addresses"
        yield Problem(host, option, wrong, remedy, "warning")
    addresses = [ip_of(address) for name in setting.publish_addresses or () for address in resolve(str(name))]
    if own and not any(address.is_unspecified for address in addresses):
        remedy = f"set it to one of {', '.join(own[:4])}, or to [0.0.0.0] if addresses are translated (NAT)"
        for address in addresses:
            if not address.is_loopback and str(address) not in own:
                yield Problem(host, option, f"no interface has {address}", remedy)


def address_problems(host: str, host_info: Mapping, addresses: Sequence) -> Iterator[Problem]:
    """Yield a warning for each private address in the inventory that the host does not have."""
    own = host_info.get("addresses") or []
    for address in addresses if own else ():
        if address not in own and ip_of(address).is_private and not ip_of(address).is_loopback:
            wrong = f"the host does not have the address {address} ({', '.join(own[:4])})"
            remedy = "correct aztec_address, unless a router translates the address"
            yield Problem(host, "aztec_address", wrong, remedy, "warning")


def missing_host_info(host: str, components: Sequence) -> Problem:
    """Return the problem of a host without host info, an error if it runs the broker or the node."""
    wrong = "is unreachable, or host_info failed on it"
    required = [component for component in (BROKER, NODE) if component in components]
    if required:
        remedy = f"see its error above; without its {' and '.join(required)} the run stops"
        return Problem(host, "ansible_host", wrong, remedy)
    return Problem(host, "ansible_host", wrong, "see its error above; the run continues without it", "warning")


def same_machine_problems(host_infos: Mapping, fleet: Mapping) -> Iterator[Problem]:
    """Yield a problem for each machine that is several hosts of the inventory."""
    machines: dict = {}
    for host, host_info in host_infos.items():
        identity = (host_info.get("hostname"), tuple(sorted(host_info.get("addresses") or [])))
        if all(identity):
            machines.setdefault(identity, []).append(host)
    for hosts in machines.values():
        if len(hosts) > 1:
            wrong = f"is the same machine as {', '.join(hosts[:-1])}"
            required = any({NODE, BROKER} & set(fleet["hosts"][host]["components"]) for host in hosts)
            yield Problem(hosts[-1], "ansible_host", wrong, "give each host its own address", fleet=required)


def check_hosts(host_infos: Mapping, fleet: Mapping, settings: Mapping, engines: Mapping) -> HostCheckResult:
    """Check the hosts of a run. host_infos: host -> host info, or None if it is missing.

    settings: host -> component -> ComponentSettings. engines: host -> EngineSettings.
    """
    result, line = HostCheckResult(), fleet["line"]
    present = {}
    for host, host_info in host_infos.items():
        here = fleet["hosts"].get(host)
        if here is None:
            continue
        if host_info is None:
            result.unreachable.append(host)
            # The check of the inventory reports a host that is left out.
            result.problems += [] if here.get("left_out") else [missing_host_info(host, here["components"])]
            continue
        present[host] = host_info
        own, engine = settings[host], engines[host]
        result.problems += engine_problems(host, host_info, engine)
        result.problems += ipv6_problems(host, host_info, here["docker_ipv6_subnet"], engine)
        result.problems += docker_network_problems(host, host_info, own, engine, fleet)
        result.problems += guard_problems(host, host_info)
        result.problems += bridge_problems(host, host_info, own)
        if BROKER in own:
            result.problems += publish_problems(host, host_info, own[BROKER], fleet["broker"]["publish"])
        result.problems += inventory_problems(host, host_info, here["components"], fleet)
        result.problems += moved_component_problems(host, host_info, here["components"], fleet)
        result.problems += port_problems(host, host_info, own, fleet.get("instance", ""))
        result.problems += limit_problems(host, host_info, own)
        result.problems += cpu_problems(host, host_info, own, line)
        result.problems += unmanaged_engine_problems(host, host_info, engine)
        result.problems += automatic_update_problems(host, host_info)
        result.problems += architecture_problems(host, host_info, here.get("images") or [], RELEASES[line])
        problems, row = check_hardware(host, host_info, own, fleet, engine)
        result.problems += problems
        result.hardware.append(row)
        result.problems += address_problems(host, host_info, here["addresses"])
    result.problems += same_machine_problems(present, fleet)
    return result
