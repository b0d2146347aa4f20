"""What happens on a broker's host, with a stranger who connects 50 times a second to every endpoint all the while.

The endpoints are the broker's published port and the containers' own ports by a route, over IPv4 and IPv6. An agent
connects to the published port in the same way, and is served throughout wherever the engine and the host run on.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.system.connecting import RATE, TIMEOUT, Attempts, connecting
from tests.system.endpoints import NODE, STRANGER, forwarding, no_guard, published, routed, routes
from tests.system.fleet import Fleet, wait_for

pytestmark = pytest.mark.usefixtures("rebooted")

AGENT = "agent-1"
MAIN_PID = "$(systemctl show --property MainPID --value aztec-port-guard)"
SAVE = "{ echo '#!/usr/sbin/nft -f'; echo 'flush ruleset'; nft list ruleset; } > /etc/nftables.conf"

# After these the engine and the host have run on: an agent is served throughout.
ACTS = (
    "nft flush ruleset",
    "nft -f /etc/nftables.conf",
    "systemctl start nftables && systemctl reload nftables",
    "systemctl restart nftables",
    "systemctl start nftables && systemctl stop nftables",
    "systemctl stop aztec-port-guard; sleep 1; systemctl start aztec-port-guard",
    "for _ in 1 2 3 4 5; do systemctl restart aztec-port-guard; done",
    f"for _ in 1 2 3 4 5; do kill -9 {MAIN_PID}; sleep 0.5; done",
    "iptables -F; iptables -P FORWARD ACCEPT; ip6tables -F",
    "apt-get install --reinstall -qq nftables libnftables1",
)


@pytest.fixture(scope="module", autouse=True)
def ways(fleet: Fleet):
    """Return the stranger its routes, and leave the host's firewall and engine as they were."""
    before = fleet.execute(NODE, "cat /etc/nftables.conf").out
    with routes(fleet), forwarding(fleet, NODE):
        yield
    fleet.execute(NODE, ["sh", "-c", 'printf %s "$1" > /etc/nftables.conf', "sh", before])
    fleet.execute(NODE, "systemctl disable --now nftables; systemctl restart docker")
    for service in ("prover-broker", "prover-node"):
        fleet.wait_until_healthy(NODE, service)


def endpoints(fleet: Fleet) -> list:
    """Return all endpoints of the host."""
    return published(fleet) + routed(fleet)


def watched(fleet: Fleet, act: Callable, settle: float = 1) -> tuple[Attempts, Attempts]:
    """Return what came of the stranger's attempts and of the agent's, begun before an act and ended after it."""
    with connecting(fleet, STRANGER, endpoints(fleet)) as stranger, connecting(fleet, AGENT, published(fleet)) as agent:
        time.sleep(0.5)
        act()
        time.sleep(settle)
    return stranger, agent


def broker_is_back(fleet: Fleet) -> None:
    """Wait until the agent reaches the broker again."""
    endpoint = published(fleet)[0]
    wait_for("the broker to be back", lambda: fleet.reach(AGENT, endpoint.address, endpoint.port) == "in", 120)


def test_open_without_the_guard(fleet: Fleet) -> None:
    """Every endpoint answers the stranger without the guard, or the tests that follow prove nothing."""
    with no_guard(fleet):
        stranger, _agent = watched(fleet, lambda: None)
    assert set(stranger.answered("in")) == {str(endpoint) for endpoint in endpoints(fleet)}


@pytest.fixture(scope="module")
def acted(fleet: Fleet, ways) -> dict[str, tuple[Attempts, Attempts]]:
    """Take each act in turn, and return what came of the stranger's and of the agent's attempts meanwhile, by act."""
    spans = {}

    def take_all() -> None:
        for act in ACTS:
            begin = time.time()
            fleet.execute(NODE, act)
            time.sleep(TIMEOUT + 0.2)
            assert fleet.execute(NODE, "systemctl is-active aztec-port-guard").out.strip() == "active", act
            spans[act] = begin, time.time()

    stranger, agent = watched(fleet, take_all)
    return {act: (stranger.within(*span), agent.within(*span)) for act, span in spans.items()}


@pytest.mark.parametrize("act", ACTS)
def test_act(acted, act: str) -> None:
    """The stranger gets no answer, and the agent one each time."""
    stranger, agent = acted[act]
    assert all(len(found) > RATE for attempts in acted[act] for found in attempts.of.values())
    assert stranger.answered("in", "refused") == {}
    assert agent.answered("none", "refused") == {}


@pytest.mark.parametrize(
    "act",
    [
        pytest.param("systemctl restart docker", id="engine_restarted"),
        pytest.param("cd /opt/aztec/prover-broker && docker compose up -d --force-recreate", id="container_recreated"),
    ],
)
def test_engine(fleet: Fleet, act: str) -> None:
    """The stranger gets no answer while the engine or the container comes up, and the agent is served again after."""

    def through() -> None:
        fleet.execute(NODE, act)
        broker_is_back(fleet)

    stranger, agent = watched(fleet, through)
    assert stranger.answered("in", "refused") == {}
    assert set(agent.last().values()) == {"in"}


def through_a_boot(fleet: Fleet, boot: Callable) -> None:
    """Assert that nobody is let in while the host goes down and boots, nor after; the agent is served again.

    A host of the lab has its network before its systemd starts, and refuses what it gets until the guard is there. The
    guard's unit is ordered before the network, which on a machine of its own comes up later.
    """

    def act() -> None:
        boot()
        broker_is_back(fleet)

    stranger, agent = watched(fleet, act)
    assert stranger.answered("in") == {}
    assert set(agent.last().values()) == {"in"}
    assert fleet.execute(NODE, "systemctl is-active aztec-port-guard").out.strip() == "active"


def test_reboot_with_nftables_enabled(fleet: Fleet) -> None:
    """nftables.service flushes the ruleset on its way down and on its way up."""
    fleet.execute(NODE, "systemctl enable --now nftables")
    through_a_boot(fleet, lambda: fleet.reboot(NODE))


def test_power_loss(fleet: Fleet) -> None:
    """Nothing is shut down in order."""
    through_a_boot(fleet, lambda: fleet.lose_power(NODE))


def test_saved_ruleset_is_loaded_at_boot(fleet: Fleet) -> None:
    """The operator's own firewall, saved with the guard's tables in it, is loaded at boot, and the guard stands."""
    fleet.execute(NODE, f"nft add table inet operators_own && {SAVE} && systemctl enable nftables")
    through_a_boot(fleet, lambda: fleet.reboot(NODE))
    assert "operators_own" in fleet.execute(NODE, "nft list tables").out
    assert fleet.execute(NODE, "systemctl is-active nftables").out.strip() == "active"
