# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The minimum hardware of the monitor, and what its data may use of the disk."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.hardware_checks import disk_of, minimum_memory

GB = 10**9
VCPUS, MEMORY_GB, DISK_GB = 2, 4, 50
# Prometheus removes blocks only after it has exceeded the size, and Grafana and the images are on the same disk.
USABLE = 0.8


def monitor_problems(host_info: Mapping, directory: str, retention_gb: int) -> list[str]:
    """Return what a host lacks for the monitor, one line each: what is wrong, and what to do.

    host_info: the result of the module. directory: that of the data. retention_gb: limit of Prometheus, in 10^9 bytes.
    """
    hardware, found = host_info["hardware"], []
    vcpus, memory = hardware.get("vcpus"), hardware.get("memory_bytes")
    remedy = "use a larger host, or set prover_monitor_requirements: ignore"
    if vcpus is not None and vcpus < VCPUS:
        found.append(f"the host has {vcpus} vCPUs, and the monitor requires {VCPUS}: {remedy}")
    if memory is not None and memory < minimum_memory(MEMORY_GB):
        found.append(f"the host has {memory / GB:.1f} GB of memory, and the monitor requires {MEMORY_GB} GB: {remedy}")
    disk = disk_of(directory, hardware.get("disks") or {})
    size = (disk or {}).get("size_bytes")
    if size is None:
        return found
    if size < DISK_GB * GB:
        found.append(f"the disk of {directory} has {size / GB:.0f} GB, and the monitor requires {DISK_GB} GB: {remedy}")
    if retention_gb * GB > size * USABLE:
        wrong = f"prover_monitor_retention_gb is {retention_gb}, and the disk of {directory} has {size / GB:.0f} GB"
        found.append(f"{wrong}: set at most {int(size * USABLE / GB)}")
    return found
