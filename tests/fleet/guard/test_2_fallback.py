"""The guard as on a kernel without the table flag `persist`, by a switch: this kernel (6.18) has it.

The tables are plain. A flush removes them, and the watching process loads them again. What is let in between is
measured, and loses its connection.
"""

from __future__ import annotations

import time

import pytest

from tests.fleet.connecting import connecting
from tests.fleet.doors import NODE, STRANGER, forwarding, no_guard, published, routed, routes
from tests.fleet.fleet import Fleet

SWITCH = "/run/systemd/system/aztec-port-guard.service.d/watch.conf"
MAIN_PID = "$(systemctl show --property MainPID --value aztec-port-guard)"
# Seconds within which a door is shut again.
LONGEST_GAP = 1.0


@pytest.fixture(scope="module", autouse=True)
def fallback(fleet: Fleet):
    """Switch the guard of the host to watching, and back."""
    fleet.execute(NODE, f"mkdir -p {SWITCH.rpartition('/')[0]}")
    fleet.execute(NODE, f"printf '[Service]\\nEnvironment=AZTEC_PORT_GUARD=watch\\n' > {SWITCH}")
    fleet.execute(NODE, "systemctl daemon-reload")
    with no_guard(fleet):
        pass
    with routes(fleet), forwarding(fleet, NODE):
        yield
    fleet.execute(NODE, f"rm {SWITCH} && systemctl daemon-reload && systemctl restart aztec-port-guard")
    fleet.execute(NODE, "systemctl stop nftables; systemctl restart docker")
    for service in ("prover-broker", "prover-node"):
        fleet.wait_until_healthy(NODE, service)


def test_watches(fleet: Fleet) -> None:
    """The tables have no owner, and the daemon says that it watches them."""
    assert "persist" not in fleet.execute(NODE, "nft list table inet aztec_prover").out
    assert "watches" in fleet.execute(NODE, "systemctl show --property StatusText aztec-port-guard").out


@pytest.mark.parametrize(
    "act",
    [
        pytest.param("nft flush ruleset", id="flush_ruleset"),
        pytest.param("nft delete table inet aztec_prover", id="table_deleted"),
        pytest.param("nft insert rule inet aztec_prover prerouting accept", id="rule_inserted"),
        pytest.param("systemctl restart nftables", id="nftables_restart"),
        pytest.param("systemctl start nftables && systemctl stop nftables", id="nftables_start_and_stop"),
        pytest.param(f"kill -9 {MAIN_PID}", id="guard_kill_9"),
        pytest.param("systemctl restart aztec-port-guard", id="guard_restart"),
    ],
)
def test_gap(fleet: Fleet, act: str, record_property) -> None:
    """The doors are shut again within a second of the first answer, three times in turn."""
    doors = published(fleet) + routed(fleet)
    for _ in range(3):
        with connecting(fleet, STRANGER, doors, rate=100) as stranger:
            time.sleep(0.5)
            fleet.execute(NODE, act)
            time.sleep(1.5)
        times = [attempt.at for attempt in stranger.let_in()]
        gap = max(times) - min(times) if times else 0.0
        record_property("gap", f"{gap * 1000:.0f} ms, {len(times)} let in")
        print(f"fallback, kernel 6.18, nft 1.1.3: {act}: open for {gap * 1000:.0f} ms, {len(times)} connections")
        assert gap < LONGEST_GAP


def test_connections_made_while_it_was_open_end(fleet: Fleet) -> None:
    """The watching process is stopped for a second, during which the stranger gets in; no byte reaches it after."""
    pause = f"kill -STOP {MAIN_PID}; nft flush ruleset; sleep 1; kill -CONT {MAIN_PID}; sleep 0.5; date +%s.%N"
    with connecting(fleet, STRANGER, published(fleet)) as stranger:
        time.sleep(0.5)
        shut = float(fleet.execute(NODE, pause).out)
        time.sleep(2)
    made = stranger.let_in()
    assert len(made) > 20, "the stranger got in while nobody watched, or the test proves nothing"
    assert [attempt for attempt in made if attempt.served > attempt.at], "they were served"
    assert [attempt for attempt in made if attempt.served > shut] == []
