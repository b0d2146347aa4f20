"""All differences of the lab's monitor to production: Debian's Prometheus 2.53 does not have the OTLP receiver.

Its flag and its section are left out, and a stand-in (otlp.py) takes what Aztec sends, where the proxy passes it on to.
A test asserts that nothing else differs.
"""

from __future__ import annotations

import re
from typing import Any

# Flags and sections that Debian's Prometheus does not know.
FLAGS = ("--web.enable-otlp-receiver",)
SECTIONS = ("otlp",)
# Where the stand-in listens.
STAND_IN = "127.0.0.1:9464"


def lab_command(command: list[str]) -> list[str]:
    """Return production's command without the flags for OTLP."""
    return [word for word in command if word not in FLAGS]


def lab_config(config: dict[str, Any], stand_in: str) -> dict[str, Any]:
    """Return production's configuration without the sections for OTLP, and with the stand-in as a target."""
    kept = {name: value for name, value in config.items() if name not in SECTIONS}
    # honor_labels: the stand-in sets job and instance, as Prometheus' own receiver does.
    target = {"job_name": "otlp", "honor_labels": True, "static_configs": [{"targets": [stand_in]}]}
    return {**kept, "scrape_configs": [*kept["scrape_configs"], target]}


def lab_proxy(text: str) -> str:
    """Return the configuration of production's proxy with the stand-in in the place of Prometheus."""
    return re.sub(r"(proxy_pass http://)127\.0\.0\.1:[0-9]+/", rf"\g<1>{STAND_IN}/", text)
