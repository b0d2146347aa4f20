# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The comparison of a host's look with the minimum hardware of its release line.

GB, TB and Mbps are decimal, as vendors of machines, drives and lines count them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import RELEASES, Needs, Release

GB = 1000**3


# What kernel and firmware keep back. A machine sold as 16 GB reports 15.6 GiB where its DIMMs hold 16 GiB, and 14.5 GiB
# where a cloud counts 16 * 10^9 bytes: both pass. One of 14 GiB does not.
MEMORY_KEPT_BACK = 0.05

# What a file system keeps for itself and for root, of a drive sold as 1 TB.
DISK_KEPT_BACK = 0.10

# What a component's data, and what the engine keeps beside its images (logs, volumes), need free on any drive.
DISK_FREE_GB = 2

# An engine's packages, unpacked and as apt downloads them, rounded up: docker.io, containerd and runc of Debian 12 are
# 255 and 65 MB; Compose comes on top, and Docker's own packages are larger.
ENGINE_PACKAGES = (("/usr", 500 * 1000**2), ("/var/cache/apt", 150 * 1000**2))

KINDS = ("hdd", "ssd", "nvme")


def needs_of(component: str, line: str) -> Needs:
    """Return what one instance of a component needs in a release line. Raise KeyError naming what is unknown."""
    return RELEASES[line].needs[component]


def missing_cpu_flags(look: dict, needs: Needs) -> list[str]:
    """Return the processor features that a component needs and an x86 host does not have, where the look shows any."""
    found = look.get("hardware", {}).get("cpu_flags")
    x86 = look.get("os", {}).get("architecture") == "x86_64"
    return [flag for flag in needs.cpu_flags if flag not in found] if found is not None and x86 else []


def image_name(reference: str) -> str:
    """Return the name of an image without tag and digest: registry:5000/aztec:6.0.0@sha256:0a becomes
    registry:5000/aztec.
    """
    return re.sub(r":[^/]*$", "", reference.partition("@")[0])


def image_bytes(wanted: list, present: Mapping, release: Release) -> int:
    """Return the bytes that pulling these images of one version takes on a disk where some are present.

    An image with the CRS in it has the layers of the one without, which count once; the CRS cannot be compressed.
    """
    missing = [reference for reference in wanted if reference not in present]
    crs_name = posixpath.basename(release.crs_image)
    crs = [one for one in missing if crs_name and posixpath.basename(image_name(one)) == crs_name]
    layers = release.image_gb * GB if missing and len(missing) == len(wanted) else 0
    return int(layers) + 2 * len(crs) * sum(file.least_bytes for file in release.crs_files)


def memory_floor(memory_gb: int) -> int:
    """Give the bytes that a machine of memory_gb must report at least."""
    return int(memory_gb * GB * (1 - MEMORY_KEPT_BACK))


def disk_floor(disk_gb: int) -> int:
    """Give the bytes that a file system on a drive of disk_gb must have at least."""
    return int(disk_gb * GB * (1 - DISK_KEPT_BACK))


def gigabytes(count: int) -> str:
    """Give bytes as a short text in GB: 16750372454 -> 16.8 GB."""
    return f"{count / GB:.1f} GB"


def size_in_bytes(size: str) -> int:
    """Give the bytes of a size as Compose and Docker read it, in powers of 1024: 16g, 500m, 64kb."""
    text = size.lower().removesuffix("b")
    return int(text[:-1]) * 1024 ** (1 + "kmg".index(text[-1]))


def _mount_of(path: str, disks: dict) -> str | None:
    """Give the look's disk that holds `path`: the longest looked-at path that is path itself or above it."""
    above = [known for known in disks if path == known or path.startswith(known.rstrip("/") + "/")]
    return max(above, key=len, default=None)


@dataclass(frozen=True)
class Row:
    """One line of the comparison. state: ok, short or unknown."""

    what: str
    found: str
    needed: str
    state: str

    def as_line(self) -> str:
        """Give the row as text: memory: found 8.2 GB, needed 16 GB."""
        return f"{self.what}: found {self.found}, needed {self.needed}"


def _number_row(
    what: str, found, needed: int, unit: str = "", floor: int | None = None, shown: str | None = None
) -> Row:
    unit = f" {unit}" if unit else ""
    if found is None or found < 0:
        return Row(what, "unknown", f"{needed}{unit}", "unknown")
    state = "ok" if found >= (needed if floor is None else floor) else "short"
    return Row(what, shown if shown is not None else f"{found}{unit}", f"{needed}{unit}", state)


def compare(look: dict, counts: dict, line: str, paths: dict | None = None) -> list[Row]:
    """Compare a host's look with what its components want together.

    counts: how many of each component the host runs, {"prover_node": 1, "prover_agent": 2}; they want the sum.
    paths: the directory of each component's data; components on one disk want the sum of it. Without: /.
    vCPUs decide and cores are shown beside them. What the look cannot tell is `unknown`, neither ok nor short.
    """
    wanted = {name: (needs_of(name, line), int(count)) for name, count in counts.items() if int(count) > 0}
    if not wanted:
        return []
    hardware = look.get("hardware", {})
    vcpus = sum(needs.vcpus * count for needs, count in wanted.values())
    cores = sum(needs.cores * count for needs, count in wanted.values())
    memory_gb = sum(needs.memory_gb * count for needs, count in wanted.values())
    link = sum(needs.link_mbps or 0 for needs, count in wanted.values())

    found_cores = hardware.get("cores")
    vcpu_row = _number_row("vCPUs", hardware.get("vcpus"), vcpus)
    beside = "unknown" if found_cores is None else str(found_cores)
    found_memory = hardware.get("memory_bytes")
    limited = " (cgroup limit)" if hardware.get("memory_limited") else ""
    rows = [
        Row(vcpu_row.what, f"{vcpu_row.found} ({beside} cores)", f"{vcpus} ({cores} cores)", vcpu_row.state),
        _number_row(
            "memory",
            found_memory,
            memory_gb,
            "GB",
            memory_floor(memory_gb),
            None if found_memory is None else gigabytes(found_memory) + limited,
        ),
        *_disk_rows(hardware.get("disks") or {}, wanted, paths or {}),
    ]
    if link:
        rows.append(_number_row("link", hardware.get("link_mbps"), link, "Mbps"))
    return rows


def _disk_rows(disks: dict, wanted: dict, paths: dict) -> list[Row]:
    by_disk: dict = {}
    for name, (needs, count) in wanted.items():
        by_disk.setdefault(_mount_of(paths.get(name, "/"), disks), []).append((needs, count, paths.get(name, "/")))
    # Two looked-at paths may lie on one device.
    by_device: dict = {}
    for mount, parts in by_disk.items():
        disk = disks.get(mount) or {}
        device = disk.get("filesystem") or disk.get("device") or mount
        by_device.setdefault(device, [mount, []])[1].extend(parts)

    rows = []
    for mount, parts in by_device.values():
        disk = disks.get(mount) or {}
        size_gb = sum(needs.disk_gb * count for needs, count, _path in parts)
        kind = max((needs.disk_kind for needs, _count, _path in parts), key=KINDS.index)
        where = f"disk of {parts[0][2]}"
        size = disk.get("size_bytes")
        rows.append(
            _number_row(where, size, size_gb, "GB", disk_floor(size_gb), None if size is None else gigabytes(size))
        )
        found = disk.get("kind", "unknown")
        known = found in KINDS
        state = "unknown" if not known else "ok" if KINDS.index(found) >= KINDS.index(kind) else "short"
        rows.append(Row(f"{where}, kind", found if known else "unknown", kind, state))
    return rows


def free_rows(disks: Mapping, writes: Sequence, kept: Sequence) -> list[Row]:
    """Compare the free space of each file system with what is to be written to it; a sum where several things are.

    writes: (path, bytes) of each thing that the run writes. kept: paths that need DISK_FREE_GB besides.
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
        state = "ok" if free >= needed else "short"
        rows.append(Row(f"disk of {where}, free", gigabytes(free), gigabytes(needed), state))
    return rows


def agent_count(look: dict, wanted, line: str, beside: list | None = None) -> int:
    """Give the number of agents for a host: `wanted`, or, where it is auto, what the hardware carries, at least 1.

    beside: the other components on the host, whose needs are taken off first.
    """
    if str(wanted) != "auto":
        count = int(wanted)
        if count < 1:
            raise ValueError(f"the number of agents is {count}: give 1 or more, or auto")
        return count
    hardware = look.get("hardware", {})
    agent = needs_of("prover_agent", line)
    others = [needs_of(name, line) for name in beside or []]
    vcpus = hardware.get("vcpus", 0) - sum(needs.vcpus for needs in others)
    by_cpu = vcpus // agent.vcpus
    memory = hardware.get("memory_bytes", 0) - sum(memory_floor(needs.memory_gb) for needs in others)
    by_memory = memory // memory_floor(agent.memory_gb)
    return max(1, int(min(by_cpu, by_memory)))
