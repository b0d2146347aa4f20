# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How Aztec's components send their metrics: endpoint and environment."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import service_name

PATH = "/v1/metrics"


def otlp_environment(endpoint: str, component: str, host: str, settings: Mapping) -> dict[str, str]:
    """Return the variables with which a component sends metrics to an endpoint, {} without an endpoint.

    settings: version, network, and interval in seconds. The time-out is two thirds of the interval, because Aztec's
    exporter requires that it is shorter.
    """
    if not endpoint:
        return {}
    attributes = {"host.name": host, "service.version": settings["version"], "aztec.network": settings["network"]}
    interval = int(settings["interval"]) * 1000
    return {
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": endpoint,
        "OTEL_SERVICE_NAME": f"aztec-{service_name(component)}",
        "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{name}={value}" for name, value in attributes.items()),
        "OTEL_COLLECT_INTERVAL_MS": str(interval),
        "OTEL_EXPORT_TIMEOUT_MS": str(interval * 2 // 3),
    }


def endpoint_problem(url: str) -> tuple | None:
    """Return what is wrong with the path of an endpoint whose form is that of a URL, or None."""
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        return "has a query or a fragment", "end it with the path of the route for metrics"
    if not parts.path.endswith(PATH):
        return f"does not end with {PATH}", f"set the whole URL, such as http://host:4318{PATH}"
    if parts.username or parts.password:
        return "contains a password, which Aztec does not send", "remove it from the URL"
    return None
