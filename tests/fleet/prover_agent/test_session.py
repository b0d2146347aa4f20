"""Where logind ends all processes of a login session at the logout, the work of compose_stack goes on."""

from __future__ import annotations

import inspect

from ansible_collections.aztec_ops.prover.plugins.module_utils import stack_job

from tests.fleet.fleet import Fleet

NAME = "alone-agent"
# The real function and the real systemd, in a unit of a user's as a login session is.
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
    """It is in a scope of its own, which ends with it."""
    functions = "\n".join(inspect.getsource(one) for one in (stack_job.in_session, stack_job.leave_session))
    script = SCRIPT.format(functions=functions)
    said = fleet.execute(NAME, ["systemd-run", "--scope", "--quiet", "--slice=user.slice", "python3", "-c", script])
    assert said.out.splitlines() == ["True", "moved", "aztec-compose-stack-test.scope"]
    unit = ["systemctl", "is-active", "aztec-compose-stack-test.scope"]
    assert fleet.execute(NAME, unit, check=False).out.strip() == "inactive"
