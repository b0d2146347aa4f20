"""The door, and how many wrong inputs were tried."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.bad_input.harness import Endpoint


@pytest.fixture
def door(tmp_path: Path) -> Endpoint:
    """Give a door at which nobody has knocked yet."""
    return Endpoint(tmp_path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many rows of which table were refused as they say."""
    passed = terminalreporter.stats.get("passed", [])
    tables = Counter(dict(report.user_properties)["table"] for report in passed if report.user_properties)
    each = ", ".join(f"{name} {count}" for name, count in sorted(tables.items()))
    terminalreporter.write_line(f"{sum(tables.values())} wrong inputs refused as their rows say: {each}")
