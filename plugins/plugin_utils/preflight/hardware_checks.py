# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the hardware of a host: minimum requirements, CPU features, architecture, and limits of containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_engine import CONTAINERD_ROOT, DATA_ROOT
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import RELEASES, Release
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.plan import containerd_store
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import AGENT, BROKER, NODE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem, table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_settings import EngineSettings
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.requirements import (
    ENGINE_PACKAGES,
    agent_count,
    compare,
    compare_free_space,
    image_bytes,
    image_name,
    missing_cpu_flags,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.units import gigabytes, size_in_bytes

HEADS = ("HOST", "COMPONENTS", "VCPUS", "MEMORY", "DISK", "LINK")

# Docker's names of architectures, by the kernel's.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}


def installs_engine(host_info: Mapping) -> bool:
    """Return whether a run installs an engine on a host that does not have one."""
    return host_info["engine"]["source"] == "none" and not host_info["engine"]["serves"]


def engine_roots(host_info: Mapping, engine: EngineSettings) -> tuple[str, str]:
    """Return the directories in which the engine of a run stores its data and its images."""
    found = host_info["engine"]
    data, containerd = found.get("root") or DATA_ROOT, found.get("containerd_root") or CONTAINERD_ROOT
    store = found.get("containerd_store")
    if store is None:
        data, containerd = engine.data_root or data, engine.containerd_root or containerd
        store = containerd_store(engine.source, engine.version, engine.options)
    return data, containerd if store else data


def check_hardware(host: str, host_info: Mapping, settings: Mapping, fleet: Mapping, engine: EngineSettings) -> tuple:
    """Compare a host with the sum of the requirements of its components. Return (problems, table row)."""
    here, line = fleet["hosts"][host], fleet["line"]
    paths, counts = here["paths"], {component: 1 for component in settings if component != AGENT}
    if AGENT in settings:
        counts[AGENT] = agent_count(host_info, settings[AGENT].count, line, list(counts))
    checked = {name: count for name, count in counts.items() if settings[name].requirements != "ignore"}
    strict = [name for name in checked if settings[name].requirements == "fail"]
    # The setting of one component is not sufficient for a host with several, because the sum is compared. A component's
    # own setting takes precedence over the setting for all.
    options = [f"{name}_requirements" for name in strict or checked]
    option = options[0] if len(options) == 1 else "aztec_requirements"
    own = f" (or, where they are set, {' and '.join(options)})" if len(options) > 1 else ""
    lower = f"set {option}: {'warn' if strict else 'ignore'}{own}"
    disks = (host_info.get("hardware") or {}).get("disks") or {}
    data_root, image_root = engine_roots(host_info, engine)
    pulled = image_bytes(here.get("images") or [], host_info.get("images") or {}, RELEASES[line])
    writes = [(image_root, pulled)] * bool(pulled) + list(ENGINE_PACKAGES if installs_engine(host_info) else ())
    kept = [*(paths.get(name, "/") for name in checked), data_root]
    free = compare_free_space(disks, writes, kept) if checked else []
    larger = "set docker_engine_data_root and docker_engine_containerd_root to directories on a larger disk, "
    room = f"free or add space there, {larger if installs_engine(host_info) else ''}or {lower}"
    level = "error" if strict else "warning"
    problems = [
        Problem(host, row.what, f"found {row.found}, needed {row.needed}", remedy, level)
        for rows, remedy in ((compare(host_info, checked, line, paths), f"use a larger host, or {lower}"), (free, room))
        for row in rows
        if row.state == "insufficient"
    ]
    cells: dict = {"vCPUs": [], "memory": [], "disk": [], "link": []}
    for row in [*compare(host_info, counts, line, paths), *(row for row in free if row.state == "insufficient")]:
        mark = " INSUFFICIENT" if row.state == "insufficient" else ""
        cells[row.what.split(" ", 1)[0]].append(f"{row.found} of {row.needed}{mark}")
    components = ", ".join(f"{name} x {count}" if count > 1 else name for name, count in counts.items())
    return problems, (host, components, *("; ".join(cell) or "-" for cell in cells.values()))


def hardware_table(rows: Sequence) -> str:
    """Return the rows of check_hardware as a table: found of needed."""
    return table(rows, HEADS)


def cpu_problems(host: str, host_info: Mapping, settings: Mapping, line: str) -> list[Problem]:
    """Return a warning if the CPU does not have a feature that Aztec's programs are compiled for."""
    checked = [name for name in (AGENT, NODE, BROKER) if name in settings and settings[name].requirements != "ignore"]
    for component in checked:
        requirements = RELEASES[line].requirements[component]
        missing = missing_cpu_flags(host_info, requirements)
        if missing:
            option = f"{component}_requirements" if len(checked) == 1 else "aztec_requirements"
            wrong = f"the CPU does not have {', '.join(missing)}; {component} needs {requirements.cpu}"
            remedy = f"use a newer machine, set the CPU type of the virtual machine to host, or set {option}: ignore"
            return [Problem(host, "CPU", wrong, remedy, "warning")]
    return []


def architecture_problems(host: str, host_info: Mapping, images: Sequence, release: Release) -> list[Problem]:
    """Return a problem for each image to pull that is not published for the host's architecture.

    The architectures of an image with another name are unknown: a warning.
    """
    machine = (host_info.get("os") or {}).get("architecture") or ""
    found = host_info["engine"].get("architecture") or _ARCHITECTURES.get(machine, machine)
    if not found or found in release.architectures:
        return []
    problems = []
    for image in images:
        if image in (host_info.get("images") or {}):
            continue
        if image_name(image) in (release.image, release.crs_image):
            wrong = f"{image} is published for {' and '.join(release.architectures)}, but the host is {found}"
            remedy = "use a machine with a 64-bit system on x86 or ARM, or set aztec_image to an image that you built"
            problems.append(Problem(host, "architecture", wrong, remedy))
        else:
            wrong = f"{image} may not be built for the host's architecture {found}"
            remedy = f"run docker pull {image} on the host, which fails if it is not"
            problems.append(Problem(host, "architecture", wrong, remedy, "warning"))
    return problems


def limit_problems(host: str, host_info: Mapping, settings: Mapping) -> list[Problem]:
    """Return a problem for each limit above the hardware. Docker rejects one of CPUs, and ignores one of memory."""
    problems = []
    hardware = host_info.get("hardware") or {}
    vcpus, memory = hardware.get("vcpus"), hardware.get("memory_bytes")
    for component, setting in settings.items():
        if vcpus and setting.cpu_limit > vcpus:
            wrong = f"{setting.cpu_limit:g} CPUs exceed the host's {vcpus}, and Docker rejects the container"
            remedy = f"set at most {vcpus}, or 0 for no limit"
            problems.append(Problem(host, f"{component}_cpu_limit", wrong, remedy))
        if memory and setting.memory_limit and size_in_bytes(setting.memory_limit) > memory:
            wrong = f"{setting.memory_limit} exceeds the host's {gigabytes(memory)} and has no effect"
            remedy = "set a lower value, or leave it empty"
            problems.append(Problem(host, f"{component}_memory_limit", wrong, remedy, "warning"))
    return problems
