"""Brokers on an address that appears a minute after boot, and on an address that a router translates.

The role prover_broker by itself, on a separate machine. It admits agent-1, which connects from its host.
"""

from __future__ import annotations

import time

import pytest

from tests.harness.machines import make
from tests.system.endpoints import STRANGER
from tests.system.fleet import SINGLE_ROLE, Fleet, playbook, wait_for

pytestmark = pytest.mark.usefixtures("rebooted")

BROKER, AGENT, ROUTER = "single-broker", "agent-1", "single-node"
PORT = 8080
LATE, TRANSLATED = "172.31.77.45", "172.31.77.46"
# Seconds after boot at which the address appears.
DELAY = 60
SYSCTL = "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0"
UNIT = f"""[Service]
ExecStart=/bin/sh -c 'sleep {DELAY}; ip address add {LATE}/24 dev eth0'
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture(scope="module", autouse=True)
def machines(fleet: Fleet):
    """Recreate the machines of the role's scenarios, and remove them at the end."""
    make([], [SINGLE_ROLE], recreated=[BROKER, ROUTER]).close()
    yield
    for name in (BROKER, ROUTER):
        fleet.client.containers.get(f"aztec-lab-{name}").remove(force=True, v=True)


def run_broker(fleet: Fleet, address: str) -> set[str]:
    """Apply the role with a publish address. Return the addresses on which the broker's port is published."""
    run = playbook(
        "tests/system/guard_hosts/broker.yml", "-i", "tests/inventories/single_role", "-e", f"published_at={address}"
    )
    assert run.returncode == 0, run.stdout[-3000:]
    ports = fleet.container(BROKER, "prover-broker")["NetworkSettings"]["Ports"]
    return {one["HostIp"] for one in ports[f"{PORT}/tcp"]}


def test_address_that_comes_up_after_docker(fleet: Fleet) -> None:
    """The broker's container starts with Docker, and is reachable as soon as the address exists."""
    fleet.execute(BROKER, f"ip address add {LATE}/24 dev eth0")
    assert run_broker(fleet, LATE) == {"127.0.0.1", LATE}
    fleet.execute(BROKER, ["sh", "-c", 'printf %s "$1" > /etc/systemd/system/late-address.service', "sh", UNIT])
    fleet.execute(BROKER, "systemctl enable late-address")
    booted = time.monotonic()
    fleet.lose_power(BROKER)
    wait_for("the container", lambda: fleet.container(BROKER, "prover-broker")["State"]["Running"], DELAY - 20)
    assert LATE not in fleet.execute(BROKER, "ip -4 address show dev eth0").out, "the address already exists"
    wait_for("the broker", lambda: fleet.reach(AGENT, LATE, PORT) == "open", DELAY + 60)
    print(f"reached {time.monotonic() - booted:.0f} s after the boot, the address came up after {DELAY} s")
    assert fleet.container(BROKER, "prover-broker")["RestartCount"] == 0
    assert fleet.reach(STRANGER, LATE, PORT) == "filtered"


def test_translated_address(fleet: Fleet) -> None:
    """No interface has the address: the broker is published on all addresses, and the guard filters."""
    inside = fleet.machines[BROKER].address
    rules = f"""
        add table ip translation
        add chain ip translation prerouting {{ type nat hook prerouting priority dstnat; }}
        add rule ip translation prerouting ip daddr {TRANSLATED} tcp dport {PORT} dnat to {inside}
    """
    fleet.execute(ROUTER, "apt-get install -qq --no-install-recommends nftables")
    fleet.execute(ROUTER, SYSCTL)
    fleet.execute(ROUTER, f"ip address add {TRANSLATED}/24 dev eth0; echo '{rules}' | nft -f -")
    for source in (AGENT, STRANGER):
        # The answers take the same route back.
        address = fleet.machines[source].address
        fleet.execute(BROKER, f"ip route add {address}/32 via {fleet.machines[ROUTER].address}")
    assert run_broker(fleet, TRANSLATED) == {"0.0.0.0", "::"}
    wait_for("the broker", lambda: fleet.reach(AGENT, TRANSLATED, PORT) == "open", 60)
    assert fleet.reach(STRANGER, TRANSLATED, PORT) == "filtered"
