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


def operating_system(root: Path) -> dict[str, Any]:
    """Distribution, architecture and kernel of the host."""
    release = parse_os_release(read(root / "etc/os-release") or read(root / "usr/lib/os-release"))
    return {
        "id": release.get("ID", ""),
        "version_id": release.get("VERSION_ID", ""),
        "codename": release.get("VERSION_CODENAME", ""),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "apt": (root / "usr/bin/apt-get").exists(),
        "apparmor": read(root / "sys/module/apparmor/parameters/enabled").strip() == "Y",
    }


def memory_bytes(meminfo: str) -> int:
    """Total memory in bytes out of /proc/meminfo; 0 when the line is not there."""
    match = re.search(r"^MemTotal:\s+(\d+)\s+kB", meminfo, re.MULTILINE)
    return int(match.group(1)) * 1024 if match else 0


def quota_cpus(root: Path) -> int | None:
    """The number of processors that the root cgroup's quota allows (a host that is a container), or None."""
    fields = read(root / "sys/fs/cgroup/cpu.max").split()
    if not fields:
        base = root / "sys/fs/cgroup/cpu"
        fields = [read(base / "cpu.cfs_quota_us").strip(), read(base / "cpu.cfs_period_us").strip()]
    try:
        quota, period = int(fields[0]), int(fields[1])
    except (IndexError, ValueError):
        return None
    return max(1, math.ceil(quota / period)) if quota > 0 and period > 0 else None


def parse_cpuinfo(text: str) -> dict[str, Any]:
    """Physical cores (None when the kernel does not tell), model name and the flags that proving cares for."""
    cores = set()
    model, flags = "", set()
    for block in text.split("\n\n"):
        values = {}
        for line in block.splitlines():
            name, sep, value = line.partition(":")
            if sep:
                values[name.strip()] = value.strip()
        if "core id" in values:
            cores.add((values.get("physical id", "0"), values["core id"]))
        model = model or values.get("model name", "")
        flags.update((values.get("flags") or values.get("Features") or "").split())
    return {
        "cores": len(cores) or None,
        "cpu_model": model,
        "cpu_flags": sorted(flag for flag in flags if flag in CPU_FLAGS),
    }


def existing_parent(root: Path, path: str) -> Path:
    """The path itself, or the nearest directory above it that is there."""
    found = root / path.lstrip("/")
    while not found.exists() and found != found.parent:
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
    """Size, free space and kind of what holds a path (or will hold it once it is made)."""
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
    found = {
        "vcpus": min(affinity, quota_cpus(root) or affinity),
        "memory_bytes": memory_bytes(read(root / "proc/meminfo")),
        "interface": interface,
        "link_mbps": link_mbps(root, interface),
        "disks": {path: disk(root, path) for path in paths},
    }
    found.update(parse_cpuinfo(read(root / "proc/cpuinfo")))
    return found
