"""The dashboard is made of its data, fits Grafana's published schema, and its queries are valid."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.harness.dashboard import COLUMNS, DASHBOARD, DATA, text
from tests.harness.parts import monitor

FOUND: dict[str, Any] = json.loads(DASHBOARD.read_text())


def lost(given: Any, kept: Any, path: str = "") -> list[str]:
    """Return the paths of values that the classes of the schema did not keep."""
    if isinstance(given, dict) and isinstance(kept, dict):
        return [
            one
            for key in given
            for one in (lost(given[key], kept[key], f"{path}/{key}") if key in kept else [f"{path}/{key}"])
        ]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        return [one for number, pair in enumerate(zip(given, kept)) for one in lost(*pair, f"{path}/{number}")]
    return [] if given == kept else [path]


def through_schema(dashboard: dict[str, Any]) -> Any:
    return json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(dashboard)))


def test_the_file_is_made_of_its_data() -> None:
    assert DASHBOARD.read_text() == text(yaml.safe_load(DATA.read_text())), "run python -m tests.harness.dashboard"


def test_it_fits_the_schema_of_grafana() -> None:
    assert lost(FOUND, through_schema(FOUND)) == []


def test_the_schema_shows_a_misspelled_key() -> None:
    panels = [{**FOUND["panels"][1], "titel": "x"}]
    assert lost({**FOUND, "panels": panels}, through_schema({**FOUND, "panels": panels})) == ["/panels/0/titel"]


def test_promtool_accepts_each_query(tmp_path: Path) -> None:
    queries = [target["expr"] for panel in FOUND["panels"] for target in panel.get("targets", [])]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    result = subprocess.run(
        [monitor() / "promtool", "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in FOUND["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= COLUMNS, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in FOUND["panels"]}) == len(FOUND["panels"])


def test_it_answers_its_questions_in_this_order() -> None:
    rows = [panel["title"] for panel in FOUND["panels"] if panel["type"] == "row"]
    assert rows == ["Does the prover earn?", "What is in work?", "Where is time lost?", "What breaks next?"]
