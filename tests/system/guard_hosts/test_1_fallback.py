"""The guard's fallback for kernels without the table flag `persist`, enabled by a switch: this kernel (6.18) has it.

The tables have no owner. A flush removes them, and the daemon loads them again. Connections made in between end.
"""

from __future__ import annotations

import re
import time

import pytest

from tests.system.connecting import TIMEOUT, connecting
from tests.system.endpoints import NODE, STRANGER, forwarding, no_guard, published, routed, routes
from tests.system.fleet import Fleet, playbook

pytestmark = pytest.mark.usefixtures("rebooted")

SWITCH = "/run/systemd/system/aztec-port-guard.service.d/watch.conf"
MAIN_PID = "$(systemctl show --property MainPID --value aztec-port-guard)"
ACTIONS = (
    "nft flush ruleset",
    "nft delete table inet aztec_prover",
    "nft insert rule inet aztec_prover prerouting accept",
    "systemctl restart nftables",
    "systemctl start nftables && systemctl stop nftables",
    f"kill -9 {MAIN_PID}",
    "systemctl restart aztec-port-guard",
)
# Seconds within which an endpoint is filtered again.
LONGEST_GAP = 1.0


@pytest.fixture(scope="module", autouse=True)
def fallback(fleet: Fleet):
    """Switch the host's guard to its fallback, and back at the end."""
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
    """The tables have no owner, and the daemon reports that it watches them."""
    assert "persist" not in fleet.execute(NODE, "nft list table inet aztec_prover").out
    assert "watches" in fleet.execute(NODE, "systemctl show --property StatusText aztec-port-guard").out


@pytest.fixture(scope="module")
def gaps(fleet: Fleet, fallback) -> dict[str, list[tuple[float, int]]]:
    """Return, by act, how long the endpoints were open and how often the stranger connected, for three rounds."""
    spans = []
    with connecting(fleet, STRANGER, published(fleet) + routed(fleet), rate=100) as stranger:
        for act in (act for act in ACTIONS for _ in range(3)):
            begin = time.time()
            fleet.execute(NODE, act)
            time.sleep(TIMEOUT + 0.2)
            spans.append((act, begin, time.time()))
    found: dict[str, list[tuple[float, int]]] = {}
    for act, begin, end in spans:
        times = [attempt.at for attempt in stranger.within(begin, end).connected()]
        found.setdefault(act, []).append((max(times) - min(times) if times else 0.0, len(times)))
    return found


@pytest.mark.parametrize("act", ACTIONS)
def test_gap(gaps, act: str) -> None:
    """The endpoints are filtered again within a second of the first answer."""
    for gap, count in gaps[act]:
        print(f"fallback, kernel 6.18, nft 1.1.3: {act}: open for {gap * 1000:.0f} ms, {count} connections")
    assert max(gap for gap, _count in gaps[act]) < LONGEST_GAP


def test_flush_opens_a_gap(gaps) -> None:
    """The stranger connects during a flush. Otherwise the measured times would mean nothing."""
    assert sum(count for _gap, count in gaps["nft flush ruleset"]) > 0


def test_connections_made_in_the_gap_end(fleet: Fleet) -> None:
    """The stranger connects while the daemon is stopped for a second. These connections receive no byte afterwards."""
    pause = f"kill -STOP {MAIN_PID}; nft flush ruleset; sleep 1; kill -CONT {MAIN_PID}; sleep 0.5; date +%s.%N"
    with connecting(fleet, STRANGER, published(fleet), keep=True) as stranger:
        time.sleep(0.5)
        shut = float(fleet.execute(NODE, pause).out)
        time.sleep(2)
    made = stranger.connected()
    assert len(made) > 20, "the stranger must connect while the daemon is stopped"
    assert [attempt for attempt in made if attempt.served > attempt.at], "they were served"
    assert [attempt for attempt in made if attempt.served > shut] == []


def test_missing_tables_of_a_unit_that_is_active(fleet: Fleet) -> None:
    """A start of the active unit does nothing while the daemon hangs. The reported command works."""
    hangs = f"kill -STOP {MAIN_PID} && nft 'delete table inet aztec_prover; delete table bridge aztec_prover'"
    fleet.execute(NODE, f"{hangs} && systemctl is-active aztec-port-guard")
    run = playbook("playbooks/verify.yml")
    commands = set(re.findall(r"the port guard's tables are missing: run (systemctl .*) on the host", run.stdout))
    assert run.returncode != 0 and len(commands) == 1, run.stdout[-3000:]
    fleet.execute(NODE, commands.pop())
    # The previous flushes also removed Docker's rules, which verify.yml still reports.
    assert "the port guard" not in playbook("playbooks/verify.yml").stdout
