"""Import the collection from this checkout under its real name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

COLLECTIONS = Path(__file__).parent / "collections"
if COLLECTIONS.is_dir():
    sys.path.insert(0, str(COLLECTIONS))

# Tests read the output of Ansible's default callback, not that of ansible.cfg, which displays less.
os.environ.setdefault("ANSIBLE_STDOUT_CALLBACK", "default")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the project's options."""
    parser.addoption("--no-skips", action="store_true", help="a skipped test fails the run")
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With --no-skips, fail a run that skipped a test."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and session.config.getoption("--no-skips") and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
