"""Other firewalls on the broker's host, while the stranger connects to every endpoint."""

from __future__ import annotations

import pytest

from tests.system.endpoints import NODE, forwarding, routes
from tests.system.fleet import Fleet
from tests.system.guard.test_1_acts import record_attempts

pytestmark = pytest.mark.usefixtures("rebooted")

# The operator's own firewall opens ssh and the broker, so that only the guard filters.
UFW = "ufw allow 22/tcp && ufw allow 8080/tcp && ufw --force enable && ufw reload && ufw --force disable"
FIREWALLD = (
    "systemctl start firewalld && firewall-cmd -q --add-port=8080/tcp"
    " && firewall-cmd -q --zone=trusted --add-source=::/0 && firewall-cmd -q --reload"
    " && firewall-cmd -q --complete-reload && systemctl stop firewalld"
)


@pytest.fixture(scope="module", autouse=True)
def packages(fleet: Fleet):
    """Install both firewalls, which do not start automatically here, and remove them at the end."""
    quiet = "DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends"
    fleet.execute(NODE, "ln -sf /dev/null /etc/systemd/system/firewalld.service")
    fleet.execute(NODE, f"apt-get update -qq && {quiet} ufw firewalld")
    fleet.execute(NODE, "rm /etc/systemd/system/firewalld.service && systemctl daemon-reload")
    with routes(fleet), forwarding(fleet, NODE):
        yield
    fleet.execute(NODE, "apt-get purge -qq ufw firewalld && systemctl daemon-reload && systemctl restart docker")
    for service in ("prover-broker", "prover-node"):
        fleet.wait_until_healthy(NODE, service)


@pytest.mark.parametrize("act", [pytest.param(UFW, id="ufw"), pytest.param(FIREWALLD, id="firewalld")])
def test_firewall(fleet: Fleet, act: str) -> None:
    """The stranger gets no answer, the agent is served at the end."""
    stranger, agent = record_attempts(fleet, lambda: fleet.execute(NODE, act))
    assert stranger.answered("open", "refused") == {}
    assert set(agent.last().values()) == {"open"}
    print("agent without an answer:", agent.answered("none", "refused") or "never")
