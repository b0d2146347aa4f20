# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The retention of the monitor's data, compared with its disk."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.requirements import GB, retention_problems


@pytest.mark.parametrize(
    ("disk_gb", "values", "problems"),
    [
        (50, {}, []),
        (50, {"prover_monitor_retention_gb": 40}, []),
        (
            50,
            {"prover_monitor_retention_gb": 41},
            [("41 GB do not fit on the disk of /opt/aztec/prover-monitor/data with 50 GB", "set at most 40")],
        ),
        (50, {"prover_monitor_retention_gb": 41, "prover_monitor_data_directory": "/data"}, []),
        (None, {"prover_monitor_retention_gb": 900}, []),
    ],
)
def test_retention_and_disk(disk_gb: int | None, values: dict, problems: list) -> None:
    disks = {"/data": {"size_bytes": 900 * GB}, "/opt": {"size_bytes": None if disk_gb is None else disk_gb * GB}}
    found = retention_problems("monitor-1", {"hardware": {"disks": disks}}, values)
    assert [(one.wrong, one.remedy) for one in found] == problems
