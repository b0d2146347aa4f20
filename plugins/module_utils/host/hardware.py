# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Processors, memory, disks and network link of a host, read from the kernel without a subprocess.

Functions take the root of a file system or the text of a file, so that tests can use recorded samples.
"""

from __future__ import annotations

import math
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.files import read_text
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.network import routes

# Processor features that Barretenberg has code paths for.
CPU_FLAGS = ("adx", "asimd", "avx", "avx2", "avx512f", "avx512ifma", "bmi1", "bmi2", "sha_ni")
# Vendors of virtual disks, whose "rotational" attribute is not reliable.
VIRTUAL_VENDORS = ("qemu", "vmware", "msft", "google", "vbox", "xen", "amazon", "linux", "nutanix", "oracle", "do")
KIND_RANK = {"nvme": 0, "ssd": 1, "hdd": 2, "unknown": 3}


def parse_os_release(text: str) -> dict[str, str]:
    """Return the settings in an os-release file, unquoted."""
    pairs = (line.strip().partition("=") for line in text.splitlines())
    return {name: value.strip().strip("\"'") for name, sep, value in pairs if sep and not name.startswith("#")}


def operating_system(root: Path) -> dict[str, Any]:
    """Return distribution, architecture and kernel of the host."""
    machine = platform.machine()
    if sys.maxsize < 2**32:
        # A 64-bit kernel can run a 32-bit distribution.
        machine = {"x86_64": "i686", "aarch64": "armv7l"}.get(machine, machine)
    release = parse_os_release(read_text(root / "etc/os-release") or read_text(root / "usr/lib/os-release"))
    return {
        "id": release.get("ID", ""),
        "version_id": release.get("VERSION_ID", ""),
        "codename": release.get("VERSION_CODENAME", ""),
        "architecture": machine,
        "kernel": platform.release(),
        "apt": (root / "usr/bin/apt-get").exists(),
        "apparmor": read_text(root / "sys/module/apparmor/parameters/enabled").strip() == "Y",
    }


def memory_bytes(meminfo: str) -> int:
    """Return the total memory in bytes from /proc/meminfo, 0 where the line is missing."""
    match = re.search(r"^MemTotal:\s+(\d+)\s+kB", meminfo, re.MULTILINE)
    return int(match.group(1)) * 1024 if match else 0


def cgroup_directories(root: Path, controller: str) -> list[Path]:
    """Return the directories of the cgroups that contain this host's containers, of a controller (v1) and of v2.

    A host that is itself a container sees its own cgroup and, without a cgroup namespace, the parents. The cgroup of
    PID 1 counts, not that of the login session. On v2, Docker's containers are below it in system.slice.
    """
    paths = {}
    for line in read_text(root / "proc/1/cgroup").splitlines():
        _number, _sep, rest = line.partition(":")
        names, _sep, path = rest.partition(":")
        paths.update({name: path for name in names.split(",")})
    found = []
    for mount in parse_mounts(read_text(root / "proc/self/mountinfo")):
        if mount.kind not in ("cgroup", "cgroup2"):
            continue
        # v2 has no controllers in its line of /proc/1/cgroup, v1 has them in the options of the mount.
        path = paths.get("") if mount.kind == "cgroup2" else paths.get(controller)
        if path is None or (mount.kind == "cgroup" and controller not in mount.options.split(",")):
            continue
        mounted, point = mount.root, root / mount.point.lstrip("/")
        inside = path.startswith(mounted.rstrip("/") + "/") and ".." not in path.split("/")
        parts = [part for part in path[len(mounted.rstrip("/")) :].split("/") if part] if inside else []
        if parts and parts[-1] == "init.scope":
            parts.pop()
        found += [point.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]
        if mount.kind == "cgroup2":
            found.append(point.joinpath(*parts, "system.slice"))
    return [*found, root / "sys/fs/cgroup", root / "sys/fs/cgroup" / controller]


def quota_cpus(root: Path) -> int | None:
    """Return the number of processors that the smallest quota of the host's cgroups allows, None for no quota."""
    found = []
    for directory in cgroup_directories(root, "cpu"):
        fields = read_text(directory / "cpu.max").split()
        if not fields:
            fields = [read_text(directory / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
        try:
            quota, period = int(fields[0]), int(fields[1])
        except (IndexError, ValueError):
            continue
        if quota > 0 and period > 0:
            found.append(max(1, math.ceil(quota / period)))
    return min(found, default=None)


def memory_limit(root: Path) -> int | None:
    """Return the smallest memory limit of the host's cgroups in bytes. None, or a huge number on v1, means no limit."""
    found = []
    for directory in cgroup_directories(root, "memory"):
        # memory.stat contains the limit of parent cgroups of v1 that are not visible here.
        inherited = re.search(r"^hierarchical_memory_limit (\d+)$", read_text(directory / "memory.stat"), re.MULTILINE)
        texts = [read_text(directory / name).strip() for name in ("memory.max", "memory.limit_in_bytes")]
        found += [int(text) for text in [*texts, inherited.group(1) if inherited else ""] if text.isdigit()]
    return min(found, default=None)


def parse_cpuinfo(text: str) -> dict[str, Any]:
    """Return the physical cores, the model, and the flags in CPU_FLAGS that all processors have; None for unknown."""
    cores = set()
    model, flags = "", None
    for block in text.split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines())
        values = {name.strip(): value.strip() for name, sep, value in pairs if sep}
        if "core id" in values:
            cores.add((values.get("physical id", "0"), values["core id"]))
        model = model or values.get("model name", "")
        named = values.get("flags", values.get("Features"))
        if named is not None:
            flags = set(named.split()) if flags is None else flags & set(named.split())
    return {
        "cores": len(cores) or None,
        "cpu_model": model,
        "cpu_flags": None if flags is None else sorted(flags.intersection(CPU_FLAGS)),
    }


class Mount(NamedTuple):
    """A mount in /proc/self/mountinfo."""

    root: str
    point: str
    kind: str
    source: str
    options: str


def parse_mounts(mountinfo: str) -> list[Mount]:
    """Return the mounts in the text of mountinfo."""
    found = []
    for line in mountinfo.splitlines():
        left, _sep, right = line.partition(" - ")
        # The source can be empty.
        fields = [*left.split(" ")[3:5], *right.split(" ")[:3]]
        if len(fields) == 5:
            octal = re.compile(r"\\([0-7]{3})")
            found.append(Mount(*(octal.sub(lambda match: chr(int(match.group(1), 8)), field) for field in fields)))
    return found


def mount_source(mountinfo: str, path: str) -> str:
    """Return the source (such as /dev/sda1, overlay) of the mount of a path: the last one at its mount point."""
    best, source = -1, ""
    for mount in parse_mounts(mountinfo):
        inside = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if inside and len(mount.point) >= best:
            best, source = len(mount.point), mount.source
    return source


def block_kind(sys_block: Path, depth: int = 0) -> str:
    """Return nvme, ssd, hdd or unknown for a directory of /sys/block, or of a partition in it.

    Of device mapper and md devices, return the slowest kind of their devices, or unknown where one is unknown.
    """
    if (sys_block / "partition").exists():
        sys_block = sys_block.parent
    slaves = sorted((sys_block / "slaves").glob("*")) if (sys_block / "slaves").is_dir() else []
    if slaves and depth < 8:
        kinds = [block_kind(Path(os.path.realpath(slave)), depth + 1) for slave in slaves]
        return max(kinds, key=lambda kind: KIND_RANK[kind])
    name = sys_block.name
    if name.startswith("nvme"):
        return "nvme"
    if not name.startswith(("sd", "hd")):
        return "unknown"
    vendor = read_text(sys_block / "device/vendor").strip().lower()
    if any(vendor.startswith(word) for word in VIRTUAL_VENDORS):
        return "unknown"
    return {"0": "ssd", "1": "hdd"}.get(read_text(sys_block / "queue/rotational").strip(), "unknown")


def disk(root: Path, path: str) -> dict[str, Any]:
    """Return size, free space and kind of the disk of a path, or of its nearest existing parent.

    filesystem is equal for paths that share their free space. It is the name of the device, which subvolumes share, or
    the device number of a file system without a device, such as tmpfs.
    """
    found = root / path.lstrip("/")
    while not os.path.exists(found) and found != found.parent:
        found = found.parent
    space = os.statvfs(found)
    number = os.stat(found).st_dev
    device = root / f"sys/dev/block/{os.major(number)}:{os.minor(number)}"
    source = mount_source(read_text(root / "proc/self/mountinfo"), os.path.realpath(found))
    if not device.exists() and source.startswith("/dev/"):
        device = root / "sys/class/block" / os.path.basename(os.path.realpath(source))
    kind = block_kind(Path(os.path.realpath(device))) if device.exists() else "unknown"
    return {
        "size_bytes": space.f_blocks * space.f_frsize,
        "free_bytes": space.f_bavail * space.f_frsize,
        "kind": kind,
        "device": source,
        "filesystem": source if source.startswith("/dev/") else f"{os.major(number)}:{os.minor(number)}",
    }


def file_sizes(root: Path, directories: list[str]) -> dict[str, int]:
    """Return the size of each file in these directories, by path."""
    found = {}
    for directory in directories:
        files = [entry for entry in (root / directory.lstrip("/")).glob("*") if entry.is_file()]
        found.update({f"{directory}/{entry.name}": entry.stat().st_size for entry in files})
    return found


def link_mbps(root: Path, interface: str) -> int | None:
    """Return the speed of an interface in Mbit/s, None where the kernel does not know it (-1, virtio)."""
    try:
        speed = int(read_text(root / "sys/class/net" / interface / "speed").strip()) if interface else -1
    except ValueError:
        return None
    return speed if speed > 0 else None


def hardware(root: Path, paths: list[str]) -> dict[str, Any]:
    """Return the hardware of a host."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # That of the preferred default route, IPv4 before IPv6.
    interface = next((one["interface"] for one in routes(root) if one["network"] in ("0.0.0.0/0", "::/0")), "")
    total, limit = memory_bytes(read_text(root / "proc/meminfo")), memory_limit(root)
    limited = limit is not None and limit < total
    return {
        "vcpus": min(affinity, quota_cpus(root) or affinity),
        "memory_bytes": limit if limited else total,
        "memory_limited": limited,
        "interface": interface,
        "link_mbps": link_mbps(root, interface),
        "disks": {path: disk(root, path) for path in paths},
        **parse_cpuinfo(read_text(root / "proc/cpuinfo")),
    }
