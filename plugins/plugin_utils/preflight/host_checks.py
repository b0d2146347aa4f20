# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be found wrong with hosts that were looked at, as pure functions over the looks and the fleet's values."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import project_name
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_engine import CONTAINERD_ROOT, DATA_ROOT
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.daemon import TABLE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import RELEASES, Release
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.plan import (
    DOCKER_SUITES,
    containerd_store,
    engine_plan,
    host_system,
    is_supported,
    repository_of,
    system_problem,
    version_tuple,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks import Problem, table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import (
    AGENT,
    BROKER,
    NODE,
    as_bool,
    ip_of,
    published_addresses,
    resolve,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.docker_network_checks import (
    docker_network_problems,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.requirements import (
    ENGINE_PACKAGES,
    agent_count,
    compare,
    free_rows,
    gigabytes,
    image_bytes,
    image_name,
    missing_cpu_flags,
    needs_of,
    size_in_bytes,
)

# Whose sockets belong to a container's published port.
_ENGINE_PROCESSES = ("docker-proxy", "dockerd", "rootlesskit")

_WILDCARDS = ("0.0.0.0", "::")

# Docker's names of architectures, by the kernel's.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}


@dataclass(frozen=True)
class Settings:
    """What of a component's settings on a host counts here. ports: (variable, protocol, number, on loopback alone).

    memory_limit and cpu_limit: those of each of its containers, as Compose takes them; empty and 0 set none.
    publish_addresses: those that are set by hand, None where the fleet's are taken.
    """

    ports: tuple = ()
    requirements: str = "fail"
    count: object = 1
    memory_limit: str = ""
    cpu_limit: float = 0
    docker_network: str = ""
    docker_bridge: str = ""
    publish_addresses: tuple | None = None
    docker_ipv4_subnet: str = ""
    docker_mtu: int = 0


@dataclass(frozen=True)
class Engine:
    """What a host's settings ask of its container engine: source, version and the address of Docker's packages.

    mirrors, options: of its daemon.json. containerd_root: where containerd keeps its data, empty for the default.
    """

    source: str = "docker"
    version: str = ""
    apt_url: str = "https://download.docker.com/linux"
    mirrors: list = field(default_factory=list)
    options: Mapping = field(default_factory=dict)
    containerd_root: str = ""

    @property
    def data_root(self) -> str:
        """Return where the engine is to keep its data, empty for the default."""
        return str(self.options.get("data-root", ""))


@dataclass
class Findings:
    """problems, the table rows of the hardware, and the hosts that leave the run."""

    problems: list = field(default_factory=list)
    hardware: list = field(default_factory=list)
    gone: list = field(default_factory=list)


def _runs(look: Mapping, component: str) -> bool:
    project = (look.get("projects") or {}).get(project_name(component)) or {}
    return any(container.get("state") == "running" for container in project.get("containers") or [])


def _collides(listens_on: str, loopback_only: bool) -> bool:
    if listens_on in _WILDCARDS or not loopback_only:
        return True
    found = ip_of(listens_on)
    return found is None or found.is_loopback


def port_problems(host: str, look: Mapping, settings: Mapping) -> list[Problem]:
    """Give a problem for each port that somebody else listens on; the component's own container is nobody else."""
    problems = []
    for component, setting in settings.items():
        # A run that is at work there replaces the container, which has the port and is not running at times.
        if project_name(component) in (look.get("busy_projects") or []):
            continue
        for variable, protocol, number, loopback_only in setting.ports:
            for socket in look.get("listening") or []:
                if (socket["protocol"], socket["port"]) != (protocol, number):
                    continue
                if not _collides(socket["address"], loopback_only):
                    continue
                process = socket.get("process") or ""
                if _runs(look, component) and (process in _ENGINE_PROCESSES or not process):
                    continue
                who = "another container" if process in _ENGINE_PROCESSES else process or "another process"
                remedy = f"stop it, or set {variable} to a free port"
                problems.append(Problem(host, variable, f"{protocol} port {number} is taken by {who}", remedy))
                break
    return problems


def new_engine(look: Mapping) -> bool:
    """Return whether a run would install an engine where there is none."""
    return look["engine"]["source"] == "none" and not look["engine"]["serves"]


def engine_roots(look: Mapping, engine: Engine) -> tuple[str, str]:
    """Return where the engine of a run keeps its data, and where it keeps its images."""
    seen = look["engine"]
    data, containerd = seen.get("root") or DATA_ROOT, seen.get("containerd_root") or CONTAINERD_ROOT
    store = seen.get("containerd_store")
    if store is None:
        data, containerd = engine.data_root or data, engine.containerd_root or containerd
        store = containerd_store(engine.source, engine.version, engine.options)
    return data, containerd if store else data


def disk_writes(look: Mapping, engine: Engine, images: Sequence, release: Release) -> list[tuple[str, int]]:
    """Return what a run writes to a host's disks by path: images that are not there yet, and an engine's packages."""
    _data, image_root = engine_roots(look, engine)
    pulled = image_bytes(list(images), look.get("images") or {}, release)
    return [(image_root, pulled)] * bool(pulled) + list(ENGINE_PACKAGES if new_engine(look) else ())


def hardware_findings(host: str, look: Mapping, settings: Mapping, fleet: Mapping, engine: Engine) -> tuple:
    """Give (problems, table row) of a host's hardware against the sum of what its components want."""
    here, line = fleet["hosts"][host], fleet["line"]
    paths = here["paths"]
    counts = {component: 1 for component in settings if component != AGENT}
    if AGENT in settings:
        beside = [component for component in settings if component != AGENT]
        counts[AGENT] = agent_count(dict(look), settings[AGENT].count, line, beside)
    checked = {name: count for name, count in counts.items() if settings[name].requirements != "ignore"}
    deciding = [name for name in checked if settings[name].requirements == "fail"]
    strict = bool(deciding)
    # The sum is compared, so one component's setting alone would not let a host of two pass.
    options = [f"{name}_requirements" for name in deciding or checked]
    option = options[0] if len(options) == 1 else "aztec_requirements"
    # What is set for a component counts in the place of what is set for all.
    before = f" (where they are set, {' and '.join(options)})" if len(options) > 1 else ""
    lower = f"set {option}: {'warn' if strict else 'ignore'}{before}"
    disks = (look.get("hardware") or {}).get("disks") or {}
    kept = [*(paths.get(name, "/") for name in checked), engine_roots(look, engine)[0]]
    writes = disk_writes(look, engine, here.get("images") or [], RELEASES[line])
    free = free_rows(disks, writes, kept) if checked else []
    elsewhere = "set docker_engine_data_root and docker_engine_containerd_root to directories on a larger disk, "
    room = f"free or add space there, {elsewhere if new_engine(look) else ''}or {lower}"
    level = "error" if strict else "warning"
    problems = [
        Problem(host, row.what, f"found {row.found}, needed {row.needed}", remedy, level)
        for rows, remedy in (
            (compare(dict(look), checked, line, dict(paths)), f"give the host more, or {lower}"),
            (free, room),
        )
        for row in rows
        if row.state == "short"
    ]
    marks = {"ok": "", "short": " SHORT", "unknown": ""}
    cells: dict = {"vCPUs": [], "memory": [], "disk": [], "link": []}
    shown = [*compare(dict(look), counts, line, dict(paths)), *(row for row in free if row.state == "short")]
    for row in shown:
        cells[row.what.split(" ", 1)[0]].append(f"{row.found} of {row.needed}{marks[row.state]}")
    runs = ", ".join(f"{name} x {count}" if count > 1 else name for name, count in counts.items())
    return problems, (host, runs, *("; ".join(cell) or "-" for cell in cells.values()))


def cpu_problems(host: str, look: Mapping, settings: Mapping, line: str) -> list[Problem]:
    """Return a warning for a host whose processor lacks a feature that Aztec's programs are compiled for."""
    checked = [name for name in (AGENT, NODE, BROKER) if name in settings and settings[name].requirements != "ignore"]
    for component in checked:
        needs = needs_of(component, line)
        missing = missing_cpu_flags(dict(look), needs)
        if missing:
            option = f"{component}_requirements" if len(checked) == 1 else "aztec_requirements"
            wrong = f"the processor has no {', '.join(missing)}; {component} needs {needs.cpu}"
            remedy = f"use a newer machine, set a virtual machine's processor type to host, or set {option}: ignore"
            return [Problem(host, "CPU", wrong, remedy, "warning")]
    return []


def architecture_problems(host: str, look: Mapping, images: Sequence, release: Release) -> list[Problem]:
    """Return a problem for each image that is to be pulled and is not published for the host's architecture.

    For which architectures an image with another name was built is not known: a warning.
    """
    machine = (look.get("os") or {}).get("architecture") or ""
    found = look["engine"].get("architecture") or _ARCHITECTURES.get(machine, machine)
    if not found or found in release.architectures:
        return []
    problems = []
    for image in images:
        if image in (look.get("images") or {}):
            continue
        if image_name(image) in (release.image, release.crs_image):
            wrong = f"{image} is published for {' and '.join(release.architectures)}, and the host is {found}"
            remedy = "use a machine with a 64-bit system on x86 or ARM, or set aztec_image to an image that you built"
            problems.append(Problem(host, "architecture", wrong, remedy))
        else:
            wrong = f"{image} may not be built for the host's architecture {found}"
            remedy = f"run docker pull {image} on the host, which fails if it is not"
            problems.append(Problem(host, "architecture", wrong, remedy, "warning"))
    return problems


def root_problems(host: str, look: Mapping, engine: Engine) -> list[Problem]:
    """Return a warning for each root that is set for an engine whose settings the role leaves alone."""
    seen = look["engine"]
    if seen["managed"] or not seen["serves"]:
        return []
    roots = (
        ("docker_engine_data_root", engine.data_root, seen.get("root") or DATA_ROOT),
        ("docker_engine_containerd_root", engine.containerd_root, seen.get("containerd_root") or CONTAINERD_ROOT),
    )
    return [
        Problem(
            host,
            option,
            f"is {wanted}, and the engine that is there uses {current}, which is left as it is",
            f"set {option} to {current} for this host, or set it in that engine's own settings",
            "warning",
        )
        for option, wanted, current in roots
        if wanted and posixpath.normpath(wanted) != posixpath.normpath(current)
    ]


def limit_problems(host: str, look: Mapping, settings: Mapping) -> list[Problem]:
    """Give a problem for each limit above what the host has: Docker refuses one of CPUs; one of memory is none."""
    problems = []
    hardware = look.get("hardware") or {}
    vcpus, memory = hardware.get("vcpus"), hardware.get("memory_bytes")
    for component, setting in settings.items():
        if vcpus and setting.cpu_limit > vcpus:
            wrong = f"{setting.cpu_limit:g} CPUs are more than the host's {vcpus}, and Docker refuses the container"
            remedy = f"give at most {vcpus}, or 0 for no limit"
            problems.append(Problem(host, f"{component}_cpu_limit", wrong, remedy))
        if memory and setting.memory_limit and size_in_bytes(setting.memory_limit) > memory:
            wrong = f"{setting.memory_limit} is more than the host's {gigabytes(memory)} and limits nothing"
            remedy = "give less, or leave it empty"
            problems.append(Problem(host, f"{component}_memory_limit", wrong, remedy, "warning"))
    return problems


def engine_problems(host: str, look: Mapping, engine: Engine) -> list[Problem]:
    """Give what docker_engine would refuse, and where the host's distribution is not one that it is made for."""
    seen = dict(look)
    url = repository_of(engine.apt_url, seen)
    options = dict(engine.options)
    plan = engine_plan(
        seen, engine.source, engine.version, url, engine.mirrors, options, engine.containerd_root
    )
    if plan["action"] == "refuse":
        foreign = system_problem(seen, engine.source)
        parts = [(problem == foreign, *problem.rpartition(": ")) for problem in plan["problems"]]
        return [
            Problem(host, "operating system" if of_system else "container engine", wrong, remedy)
            for of_system, wrong, _colon, remedy in parts
        ]
    if is_supported(seen):
        wrong, remedy = "{} names Docker's repository too", "docker_engine moves it to {}.disabled, which apt ignores"
        return [
            Problem(host, "container engine", wrong.format(path), remedy.format(path), "warning")
            for path in plan["aside"]
        ]
    wrong = f"{host_system(seen)} is not supported"
    if not look["nft"]["installed"] and not look["os"]["apt"]:
        remedy = "install nftables yourself: without apt only what is there already can be used"
        return [Problem(host, "operating system", wrong, remedy)]
    known = "; ".join(f"{name.capitalize()} {', '.join(versions)}" for name, versions in DOCKER_SUITES.items())
    remedy = f"what is there is used as it is; these are supported: {known}"
    return [Problem(host, "operating system", wrong, remedy, "warning")]


def ipv6_problems(host: str, look: Mapping, subnet: str, wanted: Engine) -> list[Problem]:
    """Give a problem where containers need IPv6, have private addresses, and an engine that does not translate them."""
    engine = look["engine"]
    if not subnet or not engine["serves"] or engine["translates_ipv6"]:
        return []
    remedy = "update it to 27 or later, or set experimental and ip6tables to true in its daemon.json"
    if engine["managed"]:
        # The role writes daemon.json, and what is set for it comes with this run.
        if all(as_bool(wanted.options.get(name)) for name in ("experimental", "ip6tables")):
            return []
        newer = engine["source"] == "docker-ce"
        if newer and version_tuple(wanted.version) >= (27,):
            return []
        remedy = "set docker_engine_daemon_options: {experimental: true, ip6tables: true}"
        remedy += ", or docker_engine_version to 27 or later" if newer else ""
    wrong = f"Docker {engine['version']} gives containers no way to IPv6 here, and the host's need one"
    return [Problem(host, "container engine", wrong, remedy)]


def guard_problems(host: str, look: Mapping) -> list[Problem]:
    """Return a problem for each thing on a host that keeps the port guard from being applied or from lasting."""
    guard = look["guard"]
    problems = []
    for line in guard["problems"]:
        remedy = f"delete it (rm {line.split()[0]}); the run writes it again"
        problems.append(Problem(host, "port guard", line, remedy))
    owner = guard["owner"]
    if owner.startswith("process"):
        wrong = f"the nftables table {TABLE} belongs to {owner}"
        problems.append(Problem(host, "port guard", wrong, "end that process, then run again"))
    elif owner == "none" and not guard["installed"]:
        wrong = f"the nftables table {TABLE} is there and the guard did not make it"
        remedy = f"run nft delete table inet {TABLE}, nft delete table bridge {TABLE} on the host"
        problems.append(Problem(host, "port guard", wrong, remedy))
    for path in guard["saved_rulesets"]:
        wrong = f"{path} holds the guard's own table {TABLE}, so that nftables cannot load it while the guard runs"
        remedy = f"delete the blocks `table inet {TABLE}` and `table bridge {TABLE}` from it"
        problems.append(Problem(host, "port guard", wrong, remedy, "warning"))
    return problems


def bridge_problems(host: str, look: Mapping, settings: Mapping) -> list[Problem]:
    """Return a problem for each component whose bridge is that of another network or interface."""
    problems = {}
    networks = look.get("networks") or []
    for component, setting in settings.items():
        others = [one["name"] for one in networks if one["bridge"] == setting.docker_bridge]
        if setting.docker_network in others or not setting.docker_bridge:
            continue
        option = f"{component}_docker_bridge"
        remedy = f"set aztec_docker_bridge, or {option} where that is set, to another name"
        if others:
            wrong = f"{setting.docker_bridge} is the bridge of the Docker network {others[0]}"
        elif look["engine"]["serves"] and setting.docker_bridge in (look.get("interfaces") or []):
            wrong = f"{setting.docker_bridge} is an interface of the host and of no Docker network"
        else:
            continue
        problems.setdefault(wrong, Problem(host, option, wrong, remedy))
    return list(problems.values())


def publish_problems(host: str, look: Mapping, setting: Settings, derived: Sequence) -> list[Problem]:
    """Return what is wrong with the addresses on which the broker is published, or that it is published on all."""
    option, own = "prover_broker_publish_addresses", look.get("addresses") or []
    if setting.publish_addresses is None:
        if published_addresses(list(derived), own) or not own:
            return []
        wrong = f"no interface has {' or '.join(derived)} (NAT?): the broker is published on all addresses of the host"
        remedy = "set it to the address that the translation leads to, or to [0.0.0.0] if all are meant"
        return [Problem(host, option, wrong, remedy, "warning")]
    wanted = [ip_of(address) for name in setting.publish_addresses for address in resolve(str(name))]
    if any(address.is_unspecified for address in wanted):
        return []
    absent = [str(address) for address in wanted if not address.is_loopback and str(address) not in own]
    remedy = f"choose one of {', '.join(own[:4])}, or set it to [0.0.0.0] where addresses are translated (NAT)"
    return [Problem(host, option, f"no interface has {address}", remedy) for address in absent] if own else []


def rules_problems(host: str, look: Mapping) -> list[Problem]:
    """Return a warning where an engine of somebody else runs without its firewall rules."""
    engine = look["engine"]
    if not engine["serves"] or engine["managed"] or engine["rules"]:
        return []
    wrong = "Docker's firewall rules are gone, so that containers reach nothing (was the ruleset flushed?)"
    return [Problem(host, "container engine", wrong, "run systemctl restart docker on the host", "warning")]


def selinux_problems(host: str, look: Mapping) -> list[Problem]:
    """Return a warning where SELinux is enforcing: nothing of this was tried there."""
    if not look["engine"]["selinux_enforcing"]:
        return []
    remedy = (
        "where containers cannot read their files, run setenforce 0 on the host and set SELINUX=permissive in "
        "/etc/selinux/config"
    )
    return [Problem(host, "operating system", "SELinux is enforcing, which is not tested", remedy, "warning")]


def _identity(look: Mapping) -> tuple:
    return (look.get("hostname"), tuple(sorted(look.get("addresses") or [])))


def check_hosts(looks: Mapping, fleet: Mapping, settings: Mapping, engines: Mapping) -> Findings:
    """Check the hosts of a run. looks: host -> its look, or None where it could not be had.

    settings: host -> component -> Settings. engines: host -> Engine. A host without a look leaves
    the run; it is an error where it is the node's or the broker's.
    """
    findings = Findings()
    machines: dict = {}
    for host, look in looks.items():
        here = fleet["hosts"].get(host)
        if here is None:
            continue
        if look is None:
            findings.gone.append(host)
            if here.get("left_out"):
                continue  # The check of the inventory has told.
            vital = [component for component in (BROKER, NODE) if component in here["components"]]
            wrong = "could not be looked at: unreachable, or the look failed"
            if vital:
                remedy = f"see its line above; without its {' and '.join(vital)} the run stops"
                findings.problems.append(Problem(host, "ansible_host", wrong, remedy))
            else:
                remedy = "see its line above; the run goes on without it"
                findings.problems.append(Problem(host, "ansible_host", wrong, remedy, "warning"))
            continue
        findings.problems += engine_problems(host, look, engines[host])
        findings.problems += ipv6_problems(host, look, here["docker_ipv6_subnet"], engines[host])
        findings.problems += docker_network_problems(host, look, settings[host], engines[host], fleet)
        findings.problems += guard_problems(host, look)
        findings.problems += rules_problems(host, look)
        findings.problems += selinux_problems(host, look)
        findings.problems += bridge_problems(host, look, settings[host])
        if BROKER in settings[host]:
            findings.problems += publish_problems(host, look, settings[host][BROKER], fleet["broker"]["publish"])
        findings.problems += port_problems(host, look, settings[host])
        findings.problems += limit_problems(host, look, settings[host])
        findings.problems += cpu_problems(host, look, settings[host], fleet["line"])
        findings.problems += root_problems(host, look, engines[host])
        findings.problems += architecture_problems(host, look, here.get("images") or [], RELEASES[fleet["line"]])
        problems, row = hardware_findings(host, look, settings[host], fleet, engines[host])
        findings.problems += problems
        findings.hardware.append(row)
        findings.problems += _address_problems(host, look, here["addresses"])
        machines.setdefault(_identity(look), []).append(host)
    for (name, addresses), hosts in machines.items():
        if len(hosts) > 1 and name and addresses:
            wrong = f"is the same machine as {', '.join(hosts[:-1])}"
            vital = any({NODE, BROKER} & set(fleet["hosts"][host]["components"]) for host in hosts)
            remedy = "give each host its own address"
            findings.problems.append(Problem(hosts[-1], "ansible_host", wrong, remedy, fleet=vital))
    return findings


def _address_problems(host: str, look: Mapping, addresses: Sequence) -> list[Problem]:
    own = look.get("addresses") or []
    private = [one for one in addresses if ip_of(one).is_private and not ip_of(one).is_loopback]
    return [
        Problem(
            host,
            "aztec_address",
            f"{one} is none of the host's own addresses ({', '.join(own[:4])})",
            "correct aztec_address, unless the address is translated on the way",
            "warning",
        )
        for one in private
        if own and one not in own
    ]


def hardware_table(rows: Sequence) -> str:
    """Give the hosts' hardware as the table that the operator reads: found of needed."""
    return table(rows, ("HOST", "RUNS", "VCPUS", "MEMORY", "DISK", "LINK"))
