# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The error of a host that cannot reach its broker."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.unreachable_broker import (
    unreachable_broker,
)


@pytest.mark.parametrize(
    ("source", "admits", "parts"),
    [
        ("10.0.0.9", ["10.0.0.21/32", "10.0.9.0/24"], ["from 10.0.0.9", "admits 10.0.0.21/32, 10.0.9.0/24", "admit"]),
        (None, [], ["no address of its own", "admits (unknown)", "give this host a route"]),
        ("10.0.9.9", ["10.0.9.0/24"], ["from 10.0.9.9", "if a router translates this address (NAT), add the one that"]),
        ("fd00::9%eth0", ["10.0.9.0/24", "fd00::/64"], ["NAT"]),
        ("10.0.9.9", ["a name"], ["correct aztec_address of this host, or add the source to aztec_admit"]),
    ],
)
def test_unreachable_broker_names_source_and_admitted(source, admits, parts):
    line = unreachable_broker({"host": "10.0.0.10", "port": 8080, "source": source, "error": "timed out"}, admits)
    assert "\n" not in line
    assert all(part in line for part in ["10.0.0.10 port 8080", "timed out", *parts])


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("connection refused", "run site.yml for the broker's host, or correct prover_broker_port or prover_agent"),
        ("answers 503 at /status", "see docker logs prover-broker on the broker's host, and run this again once it is"),
        ("name does not resolve", "correct prover_agent_broker_host, or aztec_address of the broker's host"),
    ],
)
def test_aztec_admit_is_proposed_only_if_the_broker_does_not_respond(error, remedy):
    line = unreachable_broker({"host": "10.0.0.10", "port": 8080, "source": "10.0.9.9", "error": error}, [])
    assert f": {remedy}" in line and "aztec_admit" not in line


def test_unreachable_broker_names_the_container_of_the_instance() -> None:
    attempt = {"host": "10.0.0.10", "port": 8080, "source": "10.0.0.21", "error": "answers 503 at /status"}
    assert "see docker logs prover-broker on" in unreachable_broker(attempt, [])
    assert "see docker logs main2-prover-broker on" in unreachable_broker(attempt, [], "main2-prover-broker")
