"""Boots of a broker's host, while the stranger connects 50 times per second to every endpoint."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.system.endpoints import NODE, forwarding, routes
from tests.system.fleet import Fleet
from tests.system.guard.test_1_acts import record_attempts, wait_for_broker

pytestmark = pytest.mark.usefixtures("rebooted")

SAVE = "{ echo '#!/usr/sbin/nft -f'; echo 'flush ruleset'; nft list ruleset; } > /etc/nftables.conf"


@pytest.fixture(scope="module", autouse=True)
def routes_and_firewall(fleet: Fleet):
    """Add the stranger's routes, and restore the host's own firewall at the end."""
    before = fleet.execute(NODE, "cat /etc/nftables.conf").out
    with routes(fleet), forwarding(fleet, NODE):
        yield
    fleet.execute(NODE, ["sh", "-c", 'printf %s "$1" > /etc/nftables.conf', "sh", before])
    fleet.execute(NODE, "systemctl disable --now nftables; systemctl restart docker")
    for service in ("prover-broker", "prover-node"):
        fleet.wait_until_healthy(NODE, service)


def through_a_boot(fleet: Fleet, boot: Callable) -> None:
    """Assert that the stranger never connects during and after a reboot, and that the agent is served again.

    The network of a host in the lab is up before its systemd. The host refuses connections until the guard is loaded.
    The guard's unit is ordered before the network, which comes up later on a real machine.
    """

    def act() -> None:
        boot()
        wait_for_broker(fleet)

    stranger, agent = record_attempts(fleet, act)
    assert stranger.answered("open") == {}
    assert set(agent.last().values()) == {"open"}
    assert fleet.execute(NODE, "systemctl is-active aztec-port-guard").out.strip() == "active"


def test_reboot_with_nftables_enabled(fleet: Fleet) -> None:
    """nftables.service flushes the ruleset when it stops and when it starts."""
    fleet.execute(NODE, "systemctl enable --now nftables")
    through_a_boot(fleet, lambda: fleet.reboot(NODE))


def test_power_loss(fleet: Fleet) -> None:
    """The host does not shut down."""
    through_a_boot(fleet, lambda: fleet.lose_power(NODE))


def test_saved_ruleset_is_loaded_at_boot(fleet: Fleet) -> None:
    """The operator's saved firewall, which contains the guard's tables, is loaded at boot. The guard still works."""
    fleet.execute(NODE, f"nft add table inet operators_own && {SAVE} && systemctl enable nftables")
    through_a_boot(fleet, lambda: fleet.reboot(NODE))
    assert "operators_own" in fleet.execute(NODE, "nft list tables").out
    assert fleet.execute(NODE, "systemctl is-active nftables").out.strip() == "active"
