# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The images of the monitor."""

from __future__ import annotations

from collections.abc import Mapping

# The official images of each service. All versions are in this table.
IMAGES = {
    "prometheus": "prom/prometheus:v3.5.0",
    "alertmanager": "prom/alertmanager:v0.28.1",
    "grafana": "grafana/grafana:12.1.0",
    "otlp": "nginx:1.28.0",
}


def monitor_images(own: Mapping) -> dict[str, str]:
    """Return the image of each service. own: the images of the operator, which replace single ones."""
    return {**IMAGES, **own}
