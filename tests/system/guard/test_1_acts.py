"""Actions on a broker's host, while the stranger connects 50 times per second to every endpoint.

The endpoints are the broker's published port and, through a route, the containers' own ports, over IPv4 and IPv6. An
agent connects to the published port in the same way, and is always served if the engine and the host keep running.
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

# The engine and the host keep running during these actions: the agent is always served.
ACTIONS = (
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
def routes_and_cleanup(fleet: Fleet):
    """Add the stranger's routes, and restore the host's engine at the end."""
    with routes(fleet), forwarding(fleet, NODE):
        yield
    fleet.execute(NODE, "systemctl stop nftables; systemctl restart docker")
    for service in ("prover-broker", "prover-node"):
        fleet.wait_until_healthy(NODE, service)


def endpoints(fleet: Fleet) -> list:
    """Return all endpoints of the host."""
    return published(fleet) + routed(fleet)


def record_attempts(fleet: Fleet, act: Callable, settle: float = 1) -> tuple[Attempts, Attempts]:
    """Return the attempts of the stranger and the agent, from before an action until after it."""
    with connecting(fleet, STRANGER, endpoints(fleet)) as stranger, connecting(fleet, AGENT, published(fleet)) as agent:
        time.sleep(0.5)
        act()
        time.sleep(settle)
    return stranger, agent


def wait_for_broker(fleet: Fleet) -> None:
    """Wait until the agent reaches the broker again."""
    endpoint = published(fleet)[0]
    wait_for("the broker to be back", lambda: fleet.reach(AGENT, endpoint.address, endpoint.port) == "open", 120)


def test_open_without_the_guard(fleet: Fleet) -> None:
    """Without the guard, every endpoint answers the stranger. Otherwise the other tests would prove nothing."""
    with no_guard(fleet):
        stranger, _agent = record_attempts(fleet, lambda: None)
    assert set(stranger.answered("open")) == {str(endpoint) for endpoint in endpoints(fleet)}


@pytest.fixture(scope="module")
def acted(fleet: Fleet, routes_and_cleanup) -> dict[str, tuple[Attempts, Attempts]]:
    """Run all actions, and return the attempts of the stranger and the agent during each."""
    spans = {}

    def run_all() -> None:
        # The attempts that end during the first action include those that began before it.
        time.sleep(TIMEOUT)
        for act in ACTIONS:
            begin = time.time()
            fleet.execute(NODE, act)
            time.sleep(TIMEOUT + 0.2)
            assert fleet.execute(NODE, "systemctl is-active aztec-port-guard").out.strip() == "active", act
            spans[act] = begin, time.time()

    stranger, agent = record_attempts(fleet, run_all)
    return {act: (stranger.within(*span), agent.within(*span)) for act, span in spans.items()}


@pytest.mark.parametrize("act", ACTIONS)
def test_act(acted, act: str) -> None:
    """The stranger gets no answer, the agent always gets one. TCP repeats the packets of at most 50 ms.

    With the rules of the engine, nftables also removes the translations of the connections that are just opening. On a
    busy machine these are several.
    """
    stranger, agent = acted[act]
    assert all(len(found) > RATE for attempts in acted[act] for found in attempts.of.values())
    assert stranger.answered("open", "refused") == {}
    assert agent.answered("none", "refused") == {}
    assert len(agent.repeated()) <= RATE * len(agent.of) * 0.05


@pytest.mark.parametrize(
    "act",
    [
        pytest.param("systemctl restart docker", id="engine_restarted"),
        pytest.param("cd /opt/aztec/prover-broker && docker compose up -d --force-recreate", id="container_recreated"),
    ],
)
def test_engine(fleet: Fleet, act: str) -> None:
    """The stranger gets no answer while engine or container start, and the agent is served again."""

    def through() -> None:
        fleet.execute(NODE, act)
        wait_for_broker(fleet)

    stranger, agent = record_attempts(fleet, through)
    assert stranger.answered("open", "refused") == {}
    assert set(agent.last().values()) == {"open"}
