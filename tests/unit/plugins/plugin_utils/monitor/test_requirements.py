# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host lacks for the monitor."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.requirements import GB, monitor_problems

REMEDY = "use a larger host, or set prover_monitor_requirements: ignore"


@pytest.mark.parametrize(
    ("vcpus", "memory_gb", "disk_gb", "retention_gb", "problems"),
    [
        (2, 4, 50, 20, []),
        (2, 4, 50, 40, []),
        (1, 4, 50, 20, [f"the host has 1 vCPUs, and the monitor requires 2: {REMEDY}"]),
        (2, 2, 50, 20, [f"the host has 2.0 GB of memory, and the monitor requires 4 GB: {REMEDY}"]),
        (2, 4, 40, 20, [f"the disk of /opt/aztec has 40 GB, and the monitor requires 50 GB: {REMEDY}"]),
        (2, 4, 50, 41, ["prover_monitor_retention_gb is 41, and the disk of /opt/aztec has 50 GB: set at most 40"]),
        (None, None, None, 900, []),
    ],
)
def test_problems(
    vcpus: int | None, memory_gb: int | None, disk_gb: int | None, retention_gb: int, problems: list
) -> None:
    disks = {"/": {"size_bytes": 10 * GB}, "/opt": {"size_bytes": None if disk_gb is None else disk_gb * GB}}
    memory = None if memory_gb is None else memory_gb * GB
    host_info = {"hardware": {"vcpus": vcpus, "memory_bytes": memory, "disks": disks}}
    assert monitor_problems(host_info, "/opt/aztec", retention_gb) == problems
