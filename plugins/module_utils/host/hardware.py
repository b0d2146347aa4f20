# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host's kernel says about its processors, memory, disks and link, read without running anything.

Every function takes the root of a file system (or the text of a file), so that tests give recorded samples.
"""

from __future__ import annotations

import math
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

# What Barretenberg's code paths ask a processor for.
CPU_FLAGS = ("adx", "asimd", "avx", "avx2", "avx512f", "avx512ifma", "bmi1", "bmi2", "sha_ni")
# A hypervisor's disk says "rotational" or not at its maker's whim: only real hardware's word counts.
VIRTUAL_VENDORS = ("qemu", "vmware", "msft", "google", "vbox", "xen", "amazon", "linux", "nutanix", "oracle", "do")
KIND_RANK = {"nvme": 0, "ssd": 1, "hdd": 2, "unknown": 3}


def read(path: Path) -> str:
    """The text of a file, or '' when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return ""


def parse_os_release(text: str) -> dict[str, str]:
    """The settings of an os-release file, unquoted."""
    values = {}
    for line in text.splitlines():
        name, sep, value = line.strip().partition("=")
        if sep and not name.startswith("#"):
            values[name] = value.strip().strip("\"'")
    return values


def architecture(machine: str, bits: int) -> str:
    """Return the architecture of the host's programs: a 64-bit kernel may run a 32-bit distribution."""
    return {"x86_64": "i686", "aarch64": "armv7l"}.get(machine, machine) if bits == 32 else machine


def operating_system(root: Path) -> dict[str, Any]:
    """Distribution, architecture and kernel of the host."""
    release = parse_os_release(read(root / "etc/os-release") or read(root / "usr/lib/os-release"))
    return {
        "id": release.get("ID", ""),
        "version_id": release.get("VERSION_ID", ""),
        "codename": release.get("VERSION_CODENAME", ""),
        "architecture": architecture(platform.machine(), 64 if sys.maxsize > 2**32 else 32),
        "kernel": platform.release(),
        "apt": (root / "usr/bin/apt-get").exists(),
        "apparmor": read(root / "sys/module/apparmor/parameters/enabled").strip() == "Y",
    }


def memory_bytes(meminfo: str) -> int:
    """Total memory in bytes out of /proc/meminfo; 0 when the line is not there."""
    match = re.search(r"^MemTotal:\s+(\d+)\s+kB", meminfo, re.MULTILINE)
    return int(match.group(1)) * 1024 if match else 0


def cgroup_directories(root: Path, controller: str) -> list[Path]:
    """Return the directories of the cgroups that hold this host's containers, of a controller (v1) and of v2.

    A host that is a container itself sees its own cgroup and, without a cgroup namespace, those above it. The cgroup of
    PID 1 counts, not that of the login session that asks. On v2 Docker's containers are below it in system.slice.
    """
    paths = {}
    for line in read(root / "proc/1/cgroup").splitlines():
        _number, _sep, rest = line.partition(":")
        names, _sep, path = rest.partition(":")
        paths.update({name: path for name in names.split(",")})
    found = []
    for line in read(root / "proc/self/mountinfo").splitlines():
        left, sep, right = line.partition(" - ")
        fields, tail = left.split(), right.split()
        if not sep or len(fields) < 5 or len(tail) < 3 or tail[0] not in ("cgroup", "cgroup2"):
            continue
        # v2 has no controllers in its line of /proc/1/cgroup, v1 has them among the mount's own options.
        path = paths.get("") if tail[0] == "cgroup2" else paths.get(controller)
        if path is None or (tail[0] == "cgroup" and controller not in tail[2].split(",")):
            continue
        mounted, point = unescape_mount(fields[3]), root / unescape_mount(fields[4]).lstrip("/")
        inside = path.startswith(mounted.rstrip("/") + "/") and ".." not in path.split("/")
        parts = [part for part in path[len(mounted.rstrip("/")):].split("/") if part] if inside else []
        if parts and parts[-1] == "init.scope":
            parts.pop()
        found += [point.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]
        if tail[0] == "cgroup2":
            found.append(point.joinpath(*parts, "system.slice"))
    return [*found, root / "sys/fs/cgroup", root / "sys/fs/cgroup" / controller]


def quota_cpus(root: Path) -> int | None:
    """The number of processors that the smallest quota of the host's cgroups allows, or None."""
    found = []
    for directory in cgroup_directories(root, "cpu"):
        fields = read(directory / "cpu.max").split()
        if not fields:
            fields = [read(directory / "cpu.cfs_quota_us").strip(), read(directory / "cpu.cfs_period_us").strip()]
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
        # memory.stat has what a cgroup of v1 is held to from above, where that cannot be seen from here.
        above = re.search(r"^hierarchical_memory_limit (\d+)$", read(directory / "memory.stat"), re.MULTILINE)
        texts = [read(directory / name).strip() for name in ("memory.max", "memory.limit_in_bytes")]
        found += [int(text) for text in [*texts, above.group(1) if above else ""] if text.isdigit()]
    return min(found, default=None)


def parse_cpuinfo(text: str) -> dict[str, Any]:
    """Physical cores and the flags that proving cares for (None when the kernel does not tell), and the model's name.

    A flag counts that every processor has.
    """
    cores = set()
    model, flags = "", None
    for block in text.split("\n\n"):
        values = {}
        for line in block.splitlines():
            name, sep, value = line.partition(":")
            if sep:
                values[name.strip()] = value.strip()
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


def existing_parent(root: Path, path: str) -> Path:
    """The path itself, or the nearest directory above it that is there."""
    found = root / path.lstrip("/")
    while not os.path.exists(found) and found != found.parent:
        found = found.parent
    return found


def unescape_mount(text: str) -> str:
    """A field of mountinfo with its octal escapes undone."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def mount_source(mountinfo: str, path: str) -> str:
    """The source (such as /dev/sda1, overlay) of the mount that holds a path; of equals the last wins."""
    best, source = -1, ""
    for line in mountinfo.splitlines():
        left, sep, right = line.partition(" - ")
        fields, tail = left.split(), right.split()
        if not sep or len(fields) < 5 or len(tail) < 2:
            continue
        point = unescape_mount(fields[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:
            best, source = len(point), unescape_mount(tail[1])
    return source


def block_kind(sys_block: Path, depth: int = 0) -> str:
    """nvme, ssd, hdd or unknown for a directory of /sys/block (or of a partition in it).

    Device mapper and md devices follow what they stand on: the slowest of it, unknown before all.
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
    vendor = read(sys_block / "device/vendor").strip().lower()
    if any(vendor.startswith(word) for word in VIRTUAL_VENDORS):
        return "unknown"
    return {"0": "ssd", "1": "hdd"}.get(read(sys_block / "queue/rotational").strip(), "unknown")


def disk(root: Path, path: str) -> dict[str, Any]:
    """Size, free space and kind of what holds a path (or will hold it once it is made).

    filesystem is the same for paths that share their free space: a drive's name tells that of subvolumes, the number of
    the device that of file systems without a drive, which share names such as tmpfs.
    """
    found = existing_parent(root, path)
    space = os.statvfs(found)
    number = os.stat(found).st_dev
    device = root / f"sys/dev/block/{os.major(number)}:{os.minor(number)}"
    source = mount_source(read(root / "proc/self/mountinfo"), os.path.realpath(found))
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
    """Path and bytes of each file that lies in one of these directories; nothing of one that is not there."""
    found = {}
    for directory in directories:
        place = root / directory.lstrip("/")
        if place.is_dir():
            files = [entry for entry in place.iterdir() if entry.is_file()]
            found.update({f"{directory}/{entry.name}": entry.stat().st_size for entry in files})
    return found


def default_interface(route: str, ipv6_route: str) -> str:
    """The interface of the default route with the lowest metric, IPv4 before IPv6; '' when there is none."""
    found = []
    for line in route.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1] == "00000000" and fields[7] == "00000000":
            found.append((0, int(fields[6]), fields[0]))
    for line in ipv6_route.splitlines():
        fields = line.split()
        if len(fields) == 10 and fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo":
            found.append((1, int(fields[5], 16), fields[9]))
    return min(found)[2] if found else ""


def link_mbps(root: Path, interface: str) -> int | None:
    """The interface's speed in Mbit/s, or None where the kernel does not know it (-1, virtio)."""
    try:
        speed = int(read(root / "sys/class/net" / interface / "speed").strip()) if interface else -1
    except ValueError:
        return None
    return speed if speed > 0 else None


def hardware(root: Path, paths: list[str]) -> dict[str, Any]:
    """All that the checks of a host's size need."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    interface = default_interface(read(root / "proc/net/route"), read(root / "proc/net/ipv6_route"))
    total, limit = memory_bytes(read(root / "proc/meminfo")), memory_limit(root)
    limited = limit is not None and limit < total
    found = {
        "vcpus": min(affinity, quota_cpus(root) or affinity),
        "memory_bytes": limit if limited else total,
        "memory_limited": limited,
        "interface": interface,
        "link_mbps": link_mbps(root, interface),
        "disks": {path: disk(root, path) for path in paths},
    }
    found.update(parse_cpuinfo(read(root / "proc/cpuinfo")))
    return found
