"""Make Grafana's dashboard.json from dashboard.yml: python -m tests.harness.dashboard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

FILES = Path(__file__).parents[2] / "roles/prover_monitor/files"
DATA, DASHBOARD = FILES / "dashboard.yml", FILES / "dashboard.json"
# The uid of the data source that the role provisions. Those who import the dashboard choose theirs.
SOURCE = {"type": "prometheus", "uid": "${source}"}
COLUMNS, HEIGHTS = 24, {"stat": 4, "timeseries": 8, "table": 8}


def thresholds(panel: dict[str, Any]) -> dict[str, Any]:
    """Return the steps of a panel's colors: green, and red above or below a value."""
    if "bad_above" in panel:
        steps = [{"color": "green", "value": None}, {"color": "red", "value": panel["bad_above"] + 0.0001}]
    elif "bad_below" in panel:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel["bad_below"]}]
    else:
        steps = [{"color": "green", "value": None}]
    return {"mode": "absolute", "steps": steps}


def made_panel(panel: dict[str, Any], number: int, x: int, y: int) -> dict[str, Any]:
    """Return a panel of Grafana at a place of the grid."""
    kind = panel.get("kind", "timeseries")
    instant = kind != "timeseries"
    targets = [
        {
            "datasource": SOURCE,
            "expr": query,
            "format": "table" if kind == "table" else "time_series",
            "instant": instant,
            "legendFormat": legend,
            "range": not instant,
            "refId": chr(ord("A") + position),
        }
        for position, (legend, query) in enumerate(panel["queries"].items())
    ]
    custom = {"stacking": {"group": "A", "mode": "normal"}, "fillOpacity": 30} if panel.get("stack") else {}
    return {
        "id": number,
        "type": kind,
        "title": panel["title"],
        "datasource": SOURCE,
        "gridPos": {"h": HEIGHTS[kind], "w": panel["width"], "x": x, "y": y},
        "fieldConfig": {
            "defaults": {"unit": panel["unit"], "thresholds": thresholds(panel), "custom": custom},
            "overrides": [],
        },
        "options": {},
        "targets": targets,
    }


def dashboard(data: dict[str, Any]) -> dict[str, Any]:
    """Return the dashboard of Grafana. data: the content of dashboard.yml."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in data["rows"]:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": row["title"],
                "collapsed": False,
                "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
                "panels": [],
            }
        )
        y, x, height = y + 1, 0, 0
        for panel in row["panels"]:
            if x + panel["width"] > COLUMNS:
                y, x, height = y + height, 0, 0
            panels.append(made_panel(panel, len(panels) + 1, x, y))
            x, height = x + panel["width"], max(height, panels[-1]["gridPos"]["h"])
        y += height
    source = {
        "name": "source",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": "prover-prometheus"},
    }
    return {
        "uid": "aztec-prover",
        "title": data["title"],
        "tags": ["aztec"],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [source]},
        "panels": panels,
    }


def text(data: dict[str, Any]) -> str:
    """Return the text of dashboard.json."""
    return json.dumps(dashboard(data), indent=2) + "\n"


def main() -> None:
    DASHBOARD.write_text(text(yaml.safe_load(DATA.read_text())))


if __name__ == "__main__":
    main()
