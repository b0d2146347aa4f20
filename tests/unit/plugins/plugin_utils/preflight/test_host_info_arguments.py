# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The arguments with which each kind of host is read."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import RELEASES
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_info_arguments import host_info_arguments

FLEET = {
    "version": "5.2.0",
    "line": "",
    "projects": ["node", "broker", "agent"],
    "broker": {"host": "broker-1", "port": 8080},
    "registry": {"host": "broker-1", "images": ["aztec:5.2.0"], "mirrors": ["http://mirror.lan"]},
    "hosts": {
        "broker-1": {
            "components": ["prover_broker"],
            "images": {"prover_broker": "aztec:5.2.0"},
            "project_directories": {"broker": "/opt/broker"},
            "paths": {"prover_broker": "/data/broker"},
            "broker_address": "127.0.0.1",
        },
        "agent-1": {
            "components": ["prover_agent"],
            "images": {"prover_agent": "aztec:5.2.0"},
            "project_directories": {"agent": "/opt/agent"},
            "paths": {"prover_agent": "/opt/agent/crs"},
            "broker_address": "10.0.0.2",
            "left_out": "its name does not exist",
        },
        "monitor-1": {
            "components": ["prover_monitor"],
            "images": {},
            "project_directories": {},
            "paths": {},
            "broker_address": "10.0.0.2",
        },
    },
}


def arguments(host: str, **changes) -> dict:
    """Return the arguments for a host."""
    given = {"l1": "", "roots": [], "monitored": [], "digest_files": []}
    return host_info_arguments(FLEET, host, **{**given, **changes})


def test_a_host_of_an_agent() -> None:
    """It connects to the broker, and lists the files of its CRS."""
    assert arguments("agent-1") == {
        "images": {"prover_agent": "aztec:5.2.0"},
        "projects": ["node", "broker", "agent"],
        "project_directories": {"agent": "/opt/agent"},
        "data_directories": {"agent": "/opt/agent/crs"},
        "paths": ["/", "/opt/agent/crs"],
        "list_directories": ["/opt/agent/crs"],
        "digest_files": [],
        "connect": [{"host": "10.0.0.2", "port": 8080}],
        "l1": "",
        "registry": {"images": [], "mirrors": ["http://mirror.lan"]},
        "left_out": "its name does not exist",
        "rpc": RELEASES["5"].as_dict()["rpc"],
        "rollup_slots": RELEASES["5"].as_dict()["rollup_slots"],
    }


def test_the_host_of_the_broker() -> None:
    """It does not connect to itself, and looks up the images of the fleet."""
    found = arguments("broker-1", l1="{}")
    assert (found["connect"], found["list_directories"], found["left_out"], found["l1"]) == ([], [], "", "{}")
    assert found["registry"] == {"images": ["aztec:5.2.0"], "mirrors": ["http://mirror.lan"]}


def test_a_host_that_is_only_the_monitor() -> None:
    """The broker does not admit it."""
    found = arguments("monitor-1", monitored=["/data/prometheus"], digest_files=["/etc/x"])
    assert (found["connect"], found["paths"]) == ([], ["/", "/data/prometheus"])
    assert found["digest_files"] == ["/etc/x"]


@pytest.mark.parametrize(
    ("roots", "paths"),
    [
        ([], ["/", "/data/broker"]),
        (["", "/mnt/containerd"], ["/", "/mnt/containerd", "/data/broker"]),
        (["/data/broker", "/"], ["/", "/data/broker"]),
    ],
)
def test_the_directories_whose_space_is_read(roots: list[str], paths: list[str]) -> None:
    """Each once, without those that are not set."""
    assert arguments("broker-1", roots=roots)["paths"] == paths
