# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program of a host runs with only Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.host_program import (
    PACKAGE,
    host_metrics_program,
    measured_components,
    sources,
)


def test_it_contains_what_it_imports_and_no_more() -> None:
    names = {name[len(PACKAGE) + 1 :] for name in sources()}
    assert {"host.host_metrics", "host.health", "host.port_guard", "common.files"} <= names
    assert "compose.compose_project" not in names


def test_the_text_is_the_same_in_each_run() -> None:
    assert host_metrics_program("header") == host_metrics_program("header")


def test_it_writes_metrics_without_the_collection(tmp_path: Path) -> None:
    """An engine that does not run is a metric."""
    components = {"prover_agent": {"project": "aztec-prover-agent-of-a-test", "containers": 1, "agents": 2}}
    config = {"output": str(tmp_path / "out.prom"), "components": components, "rpc": {}, "rollup_slots": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "metrics.py").write_text(host_metrics_program("Managed by a test"))
    command = [sys.executable, "-I", str(tmp_path / "metrics.py"), str(tmp_path / "config.json")]
    subprocess.run(command, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, check=True)
    lines = (tmp_path / "out.prom").read_text().splitlines()
    assert "aztec_ops_agents_expected 2.0" in lines
    assert 'aztec_ops_containers_running{component="prover_agent"} 0.0' in lines


def test_components_with_their_numbers() -> None:
    layout = {"services": ["prover-agent-1", "prover-agent-2"], "agents": 3}
    assert measured_components(["prover_broker", "prover_agent"], "main2", layout) == {
        "prover_broker": {"project": "aztec-main2-prover-broker", "containers": 1, "agents": 0},
        "prover_agent": {"project": "aztec-main2-prover-agent", "containers": 2, "agents": 6},
    }
    assert measured_components([], "", {}) == {}
