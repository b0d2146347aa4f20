# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a removal as the last line of a run that changes nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.aztec_ops.prover.plugins.action.plan_removal import ActionModule

from tests.unit.plugins.plugin_utils.plan.test_removal import AGENT, COMPONENTS, FLEET, hosts, info

PATHS = {name: {**one, "paths": {}} for name, one in FLEET["hosts"].items()}


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (hosts("agent-1"), "1 host, 1 to remove"),
        ({**hosts("agent-1"), "agent-2": info()}, "2 hosts, 1 to remove"),
        ({"agent-1": info()}, "1 host, nothing to remove"),
    ],
)
def test_verdict(found: dict, verdict: str) -> None:
    made = ActionModule.__new__(ActionModule)
    made._display = SimpleNamespace(display=lambda text, color=None: None)
    options = {"limited": True, "reset": False, "confirm": "", "keep_data": False, "engine": False}
    removed = {host: {AGENT: COMPONENTS[AGENT]} for host in found}
    arguments = {"fleet": {**FLEET, "line": "4", "hosts": PATHS}, "removed": removed, "components": [AGENT], **options}
    gathered = {host: {"__preflight_gathered": {"host_info": one}} for host, one in found.items()}
    assert made.execute(arguments, {"hostvars": gathered})["verdict"] == verdict
