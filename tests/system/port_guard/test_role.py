"""The role port_guard alone: two sections, who comes in and who does not, and that nothing is left of it in the end."""

from __future__ import annotations

import pytest

from tests.system.fleet import Fleet
from tests.system.single_role import apply, problems

HOST = "guarded"
V4, V6 = "172.31.77.65", "fd31:77::65"
# What the sections of molecule/port_guard/converge.yml admit; no section lists 7003.
ENDPOINTS = {
    ("stranger", V4, 7001): "in",
    ("stranger", V6, 7001): "shut",
    ("stranger", V4, 7002): "shut",
    ("stranger", V6, 7002): "in",
    ("agent-1", V4, 7001): "shut",
    ("agent-1", V6, 7001): "shut",
    ("agent-1", V4, 7002): "in",
    ("agent-1", V6, 7002): "shut",
    ("agent-1", V4, 7003): "in",
    ("agent-1", V6, 7003): "in",
}
LEFT = "find /etc /usr/local /var/lib /run -xdev -name '*port-guard*' -o -name 'docker.service.d'"


def probe(fleet: Fleet) -> dict[tuple[str, str, int], str]:
    """Try all endpoints."""
    return {endpoint: fleet.reach(*endpoint) for endpoint in ENDPOINTS}


def test_check_mode_and_second_run_change_nothing() -> None:
    """Check mode on a bare host, the role, the role again, check mode again."""
    assert problems("port_guard", [HOST], recreated=[HOST]) == []


def test_sections_admit_their_sources(fleet: Fleet) -> None:
    """Each section its own, by IPv4 and IPv6, and a port that none lists is everybody's."""
    assert probe(fleet) == ENDPOINTS


@pytest.mark.parametrize("unit", ["docker", "nftables"])
def test_outlives(fleet: Fleet, unit: str) -> None:
    """A restart of the engine, and one of nftables, which begins with flush ruleset."""
    fleet.execute(HOST, ["systemctl", "restart", unit])
    assert fleet.execute(HOST, ["systemctl", "is-active", unit], check=False).out.strip() == "active"
    assert probe(fleet) == ENDPOINTS


def test_one_section_less(fleet: Fleet) -> None:
    """The other one stays."""
    assert apply("port_guard", HOST, port_guard_section="six", port_guard_state="absent").changed(HOST) > 0
    assert probe(fleet) == ENDPOINTS | {endpoint: "in" for endpoint in ENDPOINTS if endpoint[2] == 7002}


def test_last_section_takes_everything_away(fleet: Fleet) -> None:
    """Table, unit, drop-ins and files; all endpoints are open."""
    assert fleet.execute(HOST, LEFT).out != ""
    gone = {"port_guard_section": "four", "port_guard_state": "absent"}
    assert apply("port_guard", HOST, **gone).changed(HOST) > 0
    assert fleet.execute(HOST, LEFT).out == ""
    assert "aztec" not in fleet.execute(HOST, "nft list tables; systemctl cat docker.service nftables.service").out
    assert "not-found" in fleet.execute(HOST, "systemctl show -P LoadState aztec-port-guard.service").out
    assert probe(fleet) == dict.fromkeys(ENDPOINTS, "in")
    assert apply("port_guard", HOST, **gone).changed(HOST) == 0
    assert apply("port_guard", HOST, check=True, **gone).changed(HOST) == 0
