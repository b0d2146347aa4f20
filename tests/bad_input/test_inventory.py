"""Wrong inventories with the real site.yml: each ends with its line, no host is contacted and no secret is shown.

A problem of one agent excludes that agent, and the run continues.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_input.harness import (
    KEY,
    LEFT_OUT,
    Endpoint,
    assert_left_out,
    assert_refused,
    parameters,
    play,
    write_inventory,
)

TABLES = (
    *("fleet", "publisher", "l1", "addresses", "ports", "components"),
    *("environment", "monitoring", "engine", "secrets", "releases", "options"),
)


@pytest.mark.parametrize(("table", "row"), parameters(*TABLES))
def test_refused(table: str, row: dict, tmp_path: Path, endpoint: Endpoint, record_property) -> None:
    record_property("table", table)
    shown = play(write_inventory(tmp_path, endpoint, row), "-vvv", *row.get("arguments", ()), THE_KEY=KEY)
    lines = [line.replace("INVENTORY", str(tmp_path / "inventory")) for line in row["expected"]]
    left_out = all(LEFT_OUT in line for line in lines)
    (assert_left_out if left_out else assert_refused)(shown, endpoint, lines)
