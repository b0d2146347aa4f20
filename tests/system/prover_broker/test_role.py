"""The broker's role by itself: the broker runs, and only admitted hosts reach it."""

from __future__ import annotations

from tests.system.fleet import Fleet
from tests.system.single_role import problems

NAME = "single-broker"


def test_check_mode_and_second_run_change_nothing() -> None:
    """Check Molecule's runs on a fresh host: check mode, the role, the role again, check mode again."""
    assert problems("prover_broker", [NAME], recreated=[NAME]) == []


def test_runs(fleet: Fleet) -> None:
    """The container is healthy and was not restarted."""
    fleet.wait_until_healthy(NAME, "prover-broker")
    assert fleet.container(NAME, "prover-broker")["RestartCount"] == 0


def test_urls_reach_the_process(fleet: Fleet) -> None:
    """An L1 URL with special characters of Compose and shells arrives unchanged."""
    process = fleet.execute(NAME, ["docker", "exec", "prover-broker", "cat", "/proc/1/environ"]).out
    found = dict(entry.split("=", 1) for entry in process.split("\0") if "=" in entry)
    second = 'http://u:p$a$$s%25\'s@172.31.77.2:9/v3/\\k${y}?q="ž"#`f`'
    assert found["ETHEREUM_HOSTS"] == f"http://172.31.77.2:8545,{second}"


def test_stranger_is_filtered(fleet: Fleet) -> None:
    """The stranger is not admitted."""
    machine = fleet.machines[NAME]
    for address in (machine.address, machine.address6):
        assert fleet.reach("stranger", str(address), 8080) == "filtered"


def test_guard_is_needed_by_the_engine(fleet: Fleet) -> None:
    """The guard's drop-in for the engine's unit prevents a start without the table."""
    shown = fleet.host(NAME).check_output("systemctl cat docker.service")
    assert "/docker.service.d/aztec-port-guard.conf" in shown
    assert "aztec_prover" in shown
