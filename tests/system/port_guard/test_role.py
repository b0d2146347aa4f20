"""The role port_guard by itself: two sections, the hosts that they admit, and their removal."""

from __future__ import annotations

import pytest

from tests.system.fleet import Fleet
from tests.system.single_role import apply, problems

HOST = "guarded"
V4, V6 = "172.31.77.65", "fd31:77::65"
# The sources that molecule/port_guard/converge.yml admits. No section lists 7003.
ENDPOINTS = {
    ("stranger", V4, 7001): "open",
    ("stranger", V6, 7001): "filtered",
    ("stranger", V4, 7002): "filtered",
    ("stranger", V6, 7002): "open",
    ("agent-1", V4, 7001): "filtered",
    ("agent-1", V6, 7001): "filtered",
    ("agent-1", V4, 7002): "open",
    ("agent-1", V6, 7002): "filtered",
    ("agent-1", V4, 7003): "open",
    ("agent-1", V6, 7003): "open",
}
LEFT = "find /etc /usr/local /var/lib /run -xdev -name '*port-guard*' -o -name 'docker.service.d'"


def probe(fleet: Fleet) -> dict[tuple[str, str, int], str]:
    """Try all endpoints."""
    return {endpoint: fleet.reach(*endpoint) for endpoint in ENDPOINTS}


def test_check_mode_and_second_run_change_nothing() -> None:
    """Check the runs on a fresh host: check mode, the role, the role again, check mode again."""
    assert problems("port_guard", [HOST], recreated=[HOST]) == []


def test_sections_admit_their_sources(fleet: Fleet) -> None:
    """Each section admits its own sources, over IPv4 and IPv6. A port without a section is open."""
    assert probe(fleet) == ENDPOINTS


@pytest.mark.parametrize("unit", ["docker", "nftables"])
def test_rules_survive(fleet: Fleet, unit: str) -> None:
    """The rules survive a restart of the engine, and of nftables, which flushes the ruleset."""
    fleet.execute(HOST, ["systemctl", "restart", unit])
    assert fleet.execute(HOST, ["systemctl", "is-active", unit], check=False).out.strip() == "active"
    assert probe(fleet) == ENDPOINTS


def test_section_is_removed(fleet: Fleet) -> None:
    """The other section remains."""
    assert apply("port_guard", HOST, port_guard_section="six", port_guard_state="absent").changed(HOST) > 0
    assert probe(fleet) == ENDPOINTS | {endpoint: "open" for endpoint in ENDPOINTS if endpoint[2] == 7002}


def test_last_section_removes_everything(fleet: Fleet) -> None:
    """Table, unit, drop-ins and files are removed. All endpoints are open."""
    assert fleet.execute(HOST, LEFT).out != ""
    gone = {"port_guard_section": "four", "port_guard_state": "absent"}
    assert apply("port_guard", HOST, **gone).changed(HOST) > 0
    assert fleet.execute(HOST, LEFT).out == ""
    assert "aztec" not in fleet.execute(HOST, "nft list tables; systemctl cat docker.service nftables.service").out
    assert "not-found" in fleet.execute(HOST, "systemctl show -P LoadState aztec-port-guard.service").out
    assert probe(fleet) == dict.fromkeys(ENDPOINTS, "open")
    assert apply("port_guard", HOST, **gone).changed(HOST) == 0
    assert apply("port_guard", HOST, check=True, **gone).changed(HOST) == 0
