"""An agent that was removed from the inventory but still runs: site.yml reports it, and remove.yml removes it."""

from __future__ import annotations

from tests.system.fleet import SCALE_OUT, Fleet, playbook

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
    # As long as its machine is in the inventory, remove.yml removes it.
    removed = ("-i", str(SCALE_OUT), "--limit", REMOVED, "-e", f"confirm={REMOVED}", "-e", "remove_engine=true")
    run = playbook("playbooks/remove.yml", *removed)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr
    left = ("/opt/aztec", "/etc/docker", "/etc/aztec-port-guard", "/etc/systemd/system/aztec-port-guard.service")
    assert fleet.execute(REMOVED, ["ls", *left], check=False).out == ""
