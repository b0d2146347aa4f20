"""One fleet for all tests of a run."""

from __future__ import annotations

import pytest

from tests.system.endpoints import NODE
from tests.system.fleet import Fleet


@pytest.fixture(scope="session")
def fleet() -> Fleet:
    """Return the machines of this run."""
    return Fleet()


@pytest.fixture(scope="session")
def rebooted(fleet: Fleet):
    """Reboot the broker's host at the end: a flush also removes the rules for the DNS of the lab's engine."""
    yield
    fleet.execute(NODE, "systemctl disable --now nftables")
    fleet.reboot(NODE)
    for service in ("prover-broker", "prover-node"):
        fleet.wait_until_healthy(NODE, service)
