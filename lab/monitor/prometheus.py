"""What the lab's Prometheus takes of production: Debian's 2.53 does not have the OTLP receiver.

This is the only difference to production. A test asserts that nothing else differs.
"""

from __future__ import annotations

from typing import Any

# Flags and sections that Debian's Prometheus does not know.
FLAGS = ("--web.enable-otlp-receiver",)
SECTIONS = ("otlp",)


def lab_command(command: list[str]) -> list[str]:
    """Return production's command without the flags for OTLP."""
    return [word for word in command if word not in FLAGS]


def lab_config(config: dict[str, Any], stand_in: str) -> dict[str, Any]:
    """Return production's configuration without the sections for OTLP, and with the stand-in as a target."""
    kept = {name: value for name, value in config.items() if name not in SECTIONS}
    # honor_labels: the stand-in sets job and instance, as Prometheus' own receiver does.
    target = {"job_name": "otlp", "honor_labels": True, "static_configs": [{"targets": [stand_in]}]}
    return {**kept, "scrape_configs": [*kept["scrape_configs"], target]}
