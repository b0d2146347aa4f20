"""One fleet for all tests of a run."""

from __future__ import annotations

import pytest

from tests.fleet.fleet import Fleet


@pytest.fixture(scope="session")
def fleet() -> Fleet:
    """Give the machines of this run."""
    return Fleet()
