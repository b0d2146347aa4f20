# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the hardware of a host: minimum requirements, CPU features, architecture, and limits of containers.

GB, TB and Mbps are decimal, as in the specifications of machines, drives and network links.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_engine import CONTAINERD_ROOT, DATA_ROOT
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.minimum_hardware import OWN, Requirements
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import RELEASES, Release
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.plan import containerd_store
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import AGENT, BROKER, NODE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_settings import EngineSettings
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.units import GB, gigabytes, size_in_bytes

# The heads of the table of hardware, whose cells are "found of needed".
HARDWARE_HEADS = ("HOST", "COMPONENTS", "VCPUS", "MEMORY", "DISK", "LINK")

# Docker's names of architectures, by the kernel's.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}


# The share that kernel and firmware reserve. A machine sold as 16 GB reports 15.6 GiB with DIMMs of 16 GiB, and
# 14.5 GiB in a cloud that counts 16 * 10^9 bytes: both pass. A machine with 14 GiB does not.
MEMORY_RESERVED = 0.05

# The share of a drive that the file system reserves for itself and for root.
DISK_RESERVED = 0.10

# The free space that a component's data, and the engine's logs and volumes, require on any drive.
DISK_FREE_GB = 2

# An engine's packages, unpacked and as apt downloads them, rounded up: docker.io, containerd and runc of Debian 12 are
# 255 and 65 MB, plus Compose. Docker's own packages are larger.
ENGINE_PACKAGES = (("/usr", 500 * 1000**2), ("/var/cache/apt", 150 * 1000**2))

DISK_KINDS = ("hdd", "ssd", "nvme")


def missing_cpu_flags(host_info: Mapping, requirements: Requirements) -> list[str]:
    """Return the CPU features that a component requires and an x86 host does not have, none if they are unknown."""
    flags = host_info.get("hardware", {}).get("cpu_flags")
    x86 = host_info.get("os", {}).get("architecture") == "x86_64"
    return [flag for flag in requirements.cpu_flags if flag not in flags] if flags is not None and x86 else []


def image_name(reference: str) -> str:
    """Return an image reference without tag and digest: registry:5000/aztec:6.0.0@sha256:0a -> registry:5000/aztec."""
    return re.sub(r":[^/]*$", "", reference.partition("@")[0])


def image_bytes(images: list, present: Mapping, release: Release) -> int:
    """Return the bytes that these images of one version require on a disk. present: the images of the host.

    The image with the CRS has the layers of the image without it, which count once. The CRS is not compressible.
    """
    missing = [reference for reference in images if reference not in present]
    crs_name = posixpath.basename(release.crs_image)
    with_crs = sum(bool(crs_name) and posixpath.basename(image_name(reference)) == crs_name for reference in missing)
    layers = release.image_gb * GB if missing and len(missing) == len(images) else 0
    return int(layers) + 2 * with_crs * sum(file.least_bytes for file in release.crs_files)


def requirements_of(line: str) -> dict[str, Requirements]:
    """Return the minimum hardware of each component of a release line, and of the monitor."""
    return {**RELEASES[line].requirements, **OWN}


def minimum_memory(memory_gb: int) -> int:
    """Return the bytes that a machine with memory_gb reports at least."""
    return int(memory_gb * GB * (1 - MEMORY_RESERVED))


def _mount_of(path: str, disks: Mapping) -> str | None:
    """Return the key of the disk that contains a path: the longest key that is the path or a parent of it."""
    parents = [known for known in disks if path == known or path.startswith(known.rstrip("/") + "/")]
    return max(parents, key=len, default=None)


def disk_of(path: str, disks: Mapping) -> Mapping | None:
    """Return the disk that contains a path, None if it is not known."""
    mount = _mount_of(path, disks)
    return None if mount is None else disks[mount]


@dataclass(frozen=True)
class Comparison:
    """One compared value. state: ok, insufficient or unknown."""

    what: str
    found: str
    needed: str
    state: str


def _compare_number(what: str, found, needed: int, unit: str, minimum: float, text: str = "") -> Comparison:
    """Return the comparison of a number with its minimum. text: the found value, if it is not `found` with the unit."""
    if found is None or found < 0:
        return Comparison(what, "unknown", f"{needed}{unit}", "unknown")
    state = "ok" if found >= minimum else "insufficient"
    return Comparison(what, text or f"{found}{unit}", f"{needed}{unit}", state)


def compare(host_info: Mapping, counts: Mapping, line: str, paths: Mapping | None = None) -> list[Comparison]:
    """Compare a host with the sum of the requirements of its components.

    counts: the number of instances of each component, such as {"prover_node": 1, "prover_agent": 2}. paths: the data
    directory of each component, / by default. The number of vCPUs is decisive, and the cores are for information.
    """
    required = [
        (requirements_of(line)[name], int(count), (paths or {}).get(name, "/"))
        for name, count in counts.items()
        if int(count) > 0
    ]
    if not required:
        return []

    def total(name: str) -> int:
        return sum((getattr(requirements, name) or 0) * count for requirements, count, _path in required)

    hardware = host_info.get("hardware", {})
    vcpus, memory_gb, link = total("vcpus"), total("memory_gb"), total("link_mbps")
    vcpu = _compare_number("vCPUs", hardware.get("vcpus"), vcpus, "", vcpus)
    cores = "unknown" if hardware.get("cores") is None else hardware["cores"]
    memory = hardware.get("memory_bytes")
    limited = " (cgroup limit)" if hardware.get("memory_limited") else ""
    text = "" if memory is None else gigabytes(memory) + limited
    rows = [
        Comparison("vCPUs", f"{vcpu.found} ({cores} cores)", f"{vcpus} ({total('cores')} cores)", vcpu.state),
        _compare_number("memory", memory, memory_gb, " GB", minimum_memory(memory_gb), text),
        *_compare_disks(hardware.get("disks") or {}, required),
    ]
    if link:
        rows.append(_compare_number("link", hardware.get("link_mbps"), link, " Mbps", link))
    return rows


def _compare_disks(disks: Mapping, required: Sequence) -> list[Comparison]:
    """Compare the size and the kind of each disk with the sum of the requirements of the components on it."""
    by_device: dict = {}
    for requirements, count, path in required:
        disk = disks.get(_mount_of(path, disks)) or {}
        device = disk.get("filesystem") or disk.get("device") or _mount_of(path, disks)
        by_device.setdefault(device, (disk, path, []))[2].append((requirements, count))
    rows = []
    for disk, path, parts in by_device.values():
        size_gb = sum(requirements.disk_gb * count for requirements, count in parts)
        kind = max((requirements.disk_kind for requirements, _count in parts), key=DISK_KINDS.index)
        size, found = disk.get("size_bytes"), disk.get("kind")
        text = "" if size is None else gigabytes(size)
        rows.append(_compare_number(f"disk of {path}", size, size_gb, " GB", size_gb * GB * (1 - DISK_RESERVED), text))
        if found not in DISK_KINDS:
            rows.append(Comparison(f"disk of {path}, kind", "unknown", kind, "unknown"))
        else:
            state = "ok" if DISK_KINDS.index(found) >= DISK_KINDS.index(kind) else "insufficient"
            rows.append(Comparison(f"disk of {path}, kind", found, kind, state))
    return rows


def compare_free_space(disks: Mapping, writes: Sequence, kept: Sequence) -> list[Comparison]:
    """Compare the free space of each file system with the sum of what is written to it.

    writes: (path, bytes) of what the run writes. kept: paths that require DISK_FREE_GB in addition.
    """
    by_disk: dict = {}
    for path, size in [*((path, 0) for path in kept), *writes]:
        disk = disks.get(_mount_of(path, disks)) or {}
        if disk.get("free_bytes") is not None:
            key = disk.get("filesystem") or disk.get("device")
            by_disk.setdefault(key, (disk["free_bytes"], []))[1].append((path, size))
    rows = []
    for free, parts in by_disk.values():
        margin = DISK_FREE_GB * GB if any(path in kept for path, _size in parts) else 0
        needed = sum(size for _path, size in parts) + margin
        where = ", ".join(dict.fromkeys(path for path, _size in parts))
        state = "ok" if free >= needed else "insufficient"
        rows.append(Comparison(f"disk of {where}, free", gigabytes(free), gigabytes(needed), state))
    return rows


def agent_count(host_info: Mapping, count, line: str, other_components: Sequence = ()) -> int:
    """Return the number of agents of a host: `count`, or, if it is auto, what the hardware supports, at least 1.

    other_components: the components on the host whose requirements are subtracted first.
    """
    if str(count) != "auto":
        number = int(count)
        if number < 1:
            raise ValueError(f"the number of agents is {number}: set 1 or more, or auto")
        return number
    hardware, requirements = host_info.get("hardware", {}), requirements_of(line)
    agent, others = requirements["prover_agent"], [requirements[name] for name in other_components]
    vcpus = hardware.get("vcpus", 0) - sum(other.vcpus for other in others)
    memory = hardware.get("memory_bytes", 0) - sum(minimum_memory(other.memory_gb) for other in others)
    return max(1, int(min(vcpus // agent.vcpus, memory // minimum_memory(agent.memory_gb))))


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


def architecture_problems(host: str, host_info: Mapping, images: Sequence, release: Release) -> Iterator[Problem]:
    """Yield a problem for each image to pull that is not published for the host's architecture.

    The architectures of an image with another name are unknown: a warning.
    """
    machine = (host_info.get("os") or {}).get("architecture") or ""
    found = host_info["engine"].get("architecture") or _ARCHITECTURES.get(machine, machine)
    if not found or found in release.architectures:
        return
    for image in [one for one in images if one not in (host_info.get("images") or {})]:
        if image_name(image) in (release.image, release.crs_image):
            wrong = f"{image} is published for {' and '.join(release.architectures)}, but the host is {found}"
            remedy = "use a machine with a 64-bit system on x86 or ARM, or set aztec_image to an image that you built"
            yield Problem(host, "architecture", wrong, remedy)
        else:
            wrong = f"{image} may not be built for the host's architecture {found}"
            remedy = f"run docker pull {image} on the host, which fails if it is not"
            yield Problem(host, "architecture", wrong, remedy, "warning")


def limit_problems(host: str, host_info: Mapping, settings: Mapping) -> Iterator[Problem]:
    """Yield a problem for each limit above the hardware. Docker rejects one of CPUs, and ignores one of memory."""
    hardware = host_info.get("hardware") or {}
    vcpus, memory = hardware.get("vcpus"), hardware.get("memory_bytes")
    for component, setting in settings.items():
        if vcpus and setting.cpu_limit > vcpus:
            wrong = f"{setting.cpu_limit:g} CPUs exceed the host's {vcpus}, and Docker rejects the container"
            remedy = f"set at most {vcpus}, or 0 for no limit"
            yield Problem(host, f"{component}_cpu_limit", wrong, remedy)
        if memory and setting.memory_limit and size_in_bytes(setting.memory_limit) > memory:
            wrong = f"{setting.memory_limit} exceeds the host's {gigabytes(memory)} and has no effect"
            yield Problem(host, f"{component}_memory_limit", wrong, "set a lower value, or leave it empty", "warning")
