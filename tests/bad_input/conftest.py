"""The ssh endpoint, and a summary of the wrong inputs that were tested."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.bad_input.harness import Endpoint


@pytest.fixture
def endpoint(tmp_path: Path) -> Endpoint:
    """Return an endpoint that has recorded no connection yet."""
    return Endpoint(tmp_path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many rows of each table were refused as expected."""
    passed = terminalreporter.stats.get("passed", [])
    tables = Counter(dict(report.user_properties)["table"] for report in passed if report.user_properties)
    each = ", ".join(f"{name} {count}" for name, count in sorted(tables.items()))
    terminalreporter.write_line(f"{sum(tables.values())} wrong inputs refused as their rows say: {each}")
