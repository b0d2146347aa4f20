# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The endpoint for metrics, and the environment that sends to it."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.otlp import endpoint_problem, otlp_environment

SETTINGS = {"version": "4.1.2", "network": "testnet", "interval": "30"}


def test_environment() -> None:
    assert otlp_environment("http://10.0.0.40:4318/v1/metrics", "prover_broker", "node-1", SETTINGS) == {
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://10.0.0.40:4318/v1/metrics",
        "OTEL_SERVICE_NAME": "aztec-prover-broker",
        "OTEL_RESOURCE_ATTRIBUTES": "host.name=node-1,service.version=4.1.2,aztec.network=testnet",
        "OTEL_COLLECT_INTERVAL_MS": "30000",
        "OTEL_EXPORT_TIMEOUT_MS": "20000",
    }


def test_without_endpoint_nothing_is_sent() -> None:
    assert otlp_environment("", "prover_node", "node-1", SETTINGS) == {}


@pytest.mark.parametrize("interval", [5, 30, 300])
def test_the_timeout_is_below_the_interval(interval: int) -> None:
    """For aztec_otlp_interval.

    And for prover_node_otlp_interval, prover_broker_otlp_interval and prover_agent_otlp_interval.
    """
    found = otlp_environment("http://a/v1/metrics", "prover_node", "a", {**SETTINGS, "interval": interval})
    assert 0 < int(found["OTEL_EXPORT_TIMEOUT_MS"]) < int(found["OTEL_COLLECT_INTERVAL_MS"])


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("http://a.lan:4318/v1/metrics", None),
        ("https://a.lan/otlp/v1/metrics", None),
        ("http://a.lan:4318", "does not end with /v1/metrics"),
        ("http://a.lan:4318/v1/traces", "does not end with /v1/metrics"),
        ("http://a.lan:4318/v1/metrics/", "does not end with /v1/metrics"),
        ("http://a.lan/v1/metrics?key=1", "has a query or a fragment"),
        ("http://user:word@a.lan/v1/metrics", "contains a password, which Aztec does not send"),
    ],
)
def test_endpoints(url: str, wrong: str | None) -> None:
    found = endpoint_problem(url)
    assert (found and found[0]) == wrong
