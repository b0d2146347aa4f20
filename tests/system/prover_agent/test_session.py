"""The work of compose_stack continues even if logind ends all processes of a login session at the logout."""

from __future__ import annotations

import inspect
import time

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import job as stack_job

from tests.system.fleet import Fleet

NAME = "single-agent"
# The real function with the real systemd, in a unit of a user, like a login session.
SCRIPT = """
import os, subprocess, sys, time
UNIT_WAIT = 15
printable = lambda text, limit: text[:limit]
{functions}
print(in_session(open("/proc/self/cgroup").read()))
print(leave_session("aztec-compose-stack-test") or "moved")
print(open("/proc/self/cgroup").read().strip().rpartition("/")[2])
"""


def test_work_leaves_the_login_session(fleet: Fleet) -> None:
    """The work runs in its own scope, which ends with it."""
    functions = "\n".join(inspect.getsource(one) for one in (stack_job.in_session, stack_job.leave_session))
    script = SCRIPT.format(functions=functions)
    output = fleet.execute(NAME, ["systemd-run", "--scope", "--quiet", "--slice=user.slice", "python3", "-c", script])
    assert output.out.splitlines() == ["True", "moved", "aztec-compose-stack-test.scope"]
    unit = ["systemctl", "is-active", "aztec-compose-stack-test.scope"]
    assert fleet.execute(NAME, unit, check=False).out.strip() == "inactive"


def test_work_outlives_the_session_with_the_logind_setting(fleet: Fleet) -> None:
    """This is the remedy of compose_stack's warning on hosts where it cannot use its own unit."""
    install = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get -yq --no-install-recommends install"
    # The lab's hosts run without logind.
    fleet.execute(NAME, f"{install} libpam-systemd && systemctl unmask systemd-logind")
    kept = fleet.execute(NAME, "cp -a /etc/systemd/logind.conf /root/logind.conf 2> /dev/null || echo none").out.strip()

    def survives(setting: str) -> bool:
        """Return whether a background process of a login session survives the session."""
        fleet.execute(NAME, f"printf '[Login]\\nKillUserProcesses={setting}\\n' > /etc/systemd/logind.conf")
        fleet.execute(NAME, ["systemctl", "restart", "systemd-logind"])
        left = "setsid sleep 3600 < /dev/null > /dev/null 2>&1 & cat /proc/self/cgroup; echo $!"
        *cgroup, process = fleet.host(NAME).run(left).stdout.split()
        assert any("/user.slice/" in line for line in cgroup)
        # logind ends a session shortly after the logout.
        time.sleep(5)
        return fleet.execute(NAME, ["kill", process], check=False).code == 0

    try:
        assert not survives("yes")
        assert survives("no")
    finally:
        back = "rm /etc/systemd/logind.conf" if kept else "mv /root/logind.conf /etc/systemd/logind.conf"
        fleet.execute(NAME, f"{back} && systemctl stop systemd-logind && systemctl mask systemd-logind")
