"""An agent that was taken out of the inventory and runs on: site.yml names it, and what it says to do stops it."""

from __future__ import annotations

from tests.system.fleet import Fleet, playbook

REMOVED = "agent-3"


def test_a_removed_agent_that_still_tries_is_named(fleet: Fleet) -> None:
    """The broker no longer admits it, the end of the run names its address alone, and the fleet is well without it."""
    fleet.wait_until_healthy(REMOVED, "prover-agent")
    run = playbook("playbooks/site.yml")
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr
    report = run.stdout[run.stdout.rindex("HOST ") :]
    (line,) = (line for line in report.splitlines() if "not in the inventory, not admitted" in line)
    assert str(fleet.machines[REMOVED].address) in line
    assert not any(str(fleet.machines[name].address) in line for name in ("agent-1", "node-1"))
    assert "with docker compose down in its directory, /opt/aztec/prover-agent by default" in line
    fleet.execute(REMOVED, "cd /opt/aztec/prover-agent && docker compose down")
    assert fleet.execute(REMOVED, "docker ps -q").out == ""
