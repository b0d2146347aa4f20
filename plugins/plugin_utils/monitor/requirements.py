# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the monitor's data may use of its disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import (
    MONITOR,
    directories,
    option_value,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.hardware_checks import disk_of

GB = 10**9
# Prometheus removes blocks only after it has exceeded the size, and Grafana and the images are on the same disk.
USABLE = 0.8


def retention_problems(host: str, host_info: Mapping, values: Mapping) -> Iterator[Problem]:
    """Yield the problem of a retention that is larger than the disk of the monitor's data.

    values: variables of the host. A disk of unknown size has no problem.
    """
    directory = directories(values, MONITOR)[f"{MONITOR}_data_directory"]
    retention = int(option_value(values, MONITOR, "retention_gb"))
    disk = disk_of(directory, (host_info.get("hardware") or {}).get("disks") or {}) or {}
    size = disk.get("size_bytes")
    if size is not None and retention * GB > size * USABLE:
        wrong = f"{retention} GB do not fit on the disk of {directory} with {size / GB:.0f} GB"
        yield Problem(host, f"{MONITOR}_retention_gb", wrong, f"set at most {int(size * USABLE / GB)}")
