"""The broker's role alone: it runs, and only who was named reaches it."""

from __future__ import annotations

from tests.system.fleet import Fleet
from tests.system.single_role import problems

NAME = "single-broker"


def test_check_mode_and_second_run_change_nothing() -> None:
    """Check mode on a bare host, the role, the role again, check mode again, all with the installed artifact."""
    assert problems("prover_broker", [NAME], recreated=[NAME]) == []


def test_runs(fleet: Fleet) -> None:
    """The container is healthy and has not been restarted."""
    fleet.wait_until_healthy(NAME, "prover-broker")
    assert fleet.container(NAME, "prover-broker")["RestartCount"] == 0


def test_urls_reach_the_process(fleet: Fleet) -> None:
    """An L1 URL with all that Compose and shells make something of arrives byte for byte."""
    process = fleet.execute(NAME, ["docker", "exec", "prover-broker", "cat", "/proc/1/environ"]).out
    found = dict(entry.split("=", 1) for entry in process.split("\0") if "=" in entry)
    second = 'http://u:p$a$$s%25\'s@172.31.77.2:9/v3/\\k${y}?q="ž"#`f`'
    assert found["ETHEREUM_HOSTS"] == f"http://172.31.77.2:8545,{second}"


def test_stranger_is_out(fleet: Fleet) -> None:
    """The stranger was not named."""
    machine = fleet.machines[NAME]
    for address in (machine.address, machine.address6):
        assert fleet.reach("stranger", str(address), 8080) == "shut"


def test_guard_is_needed_by_the_engine(fleet: Fleet) -> None:
    """The engine's unit has the guard's drop-in, which keeps it from starting without the table."""
    shown = fleet.host(NAME).check_output("systemctl cat docker.service")
    assert "/docker.service.d/aztec-port-guard.conf" in shown
    assert "aztec_prover" in shown
