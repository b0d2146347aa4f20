"""Leave the broker's host as it was found."""

from __future__ import annotations

import pytest

from tests.fleet.doors import NODE
from tests.fleet.fleet import Fleet


@pytest.fixture(scope="session", autouse=True)
def rebooted(fleet: Fleet):
    """Reboot the host in the end: a flush took also the rules by which the lab's engine serves its names."""
    yield
    fleet.execute(NODE, "systemctl disable --now nftables")
    fleet.reboot(NODE)
    for service in ("prover-broker", "prover-node"):
        fleet.wait_until_healthy(NODE, service)
