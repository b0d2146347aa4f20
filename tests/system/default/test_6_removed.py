"""An agent that was removed from the inventory but still runs: site.yml reports it, and its remedy stops it."""

from __future__ import annotations

from tests.system.fleet import Fleet, playbook

REMOVED = "agent-3"


def test_removed_agent_is_reported(fleet: Fleet) -> None:
    """The broker no longer admits the agent, the report contains only its address, and the fleet is healthy."""
    fleet.wait_until_healthy(REMOVED, "prover-agent")
    run = playbook("playbooks/site.yml")
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr
    report = run.stdout[run.stdout.rindex("HOST ") :]
    (line,) = (line for line in report.splitlines() if "not in the inventory, not admitted" in line)
    assert str(fleet.machines[REMOVED].address) in line
    assert not any(str(fleet.machines[name].address) in line for name in ("agent-1", "node-1"))
    assert "otherwise with docker compose down in its directory, /opt/aztec/prover-agent by default" in line
    fleet.execute(REMOVED, "cd /opt/aztec/prover-agent && docker compose down")
    assert fleet.execute(REMOVED, "docker ps -q").out == ""
