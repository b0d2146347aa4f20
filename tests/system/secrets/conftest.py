"""Fixtures: an inventory with secrets, hosts whose sudo needs a password, and a sampler for all runs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.fleet import Fleet
from tests.system.secret_runs import NODE, Bench, fund

SUDO = "/etc/sudoers.d/lab"


@pytest.fixture(scope="session")
def bench(fleet: Fleet) -> Iterator[Bench]:
    """Return the bench. Its sampler runs from the first run to the end of the session."""
    # It contains ssh's sockets, whose names cannot be long.
    directory = Path(tempfile.mkdtemp(prefix="s-"))
    for name in ("private", "open"):
        (directory / name).mkdir(mode=0o700)
    made = Bench(fleet, directory / "private", directory / "open")
    fund(fleet, made.values["publisher key"])
    machine = fleet.machines[NODE]
    rule = fleet.execute(NODE, ["cat", SUDO]).out
    for name in ("node-1", "agent-1"):
        fleet.execute(name, f"echo '{machine.user}:{made.values['sudo password']}' | chpasswd")
        fleet.execute(name, f"sed -i s/NOPASSWD:// {SUDO}")
    made.sampler.start()
    yield made
    made.sampler.end()
    for name in ("node-1", "agent-1"):
        fleet.execute(name, f"umask 337; echo '{rule.strip()}' > {SUDO}; passwd --lock {machine.user}")
    shutil.rmtree(directory)
