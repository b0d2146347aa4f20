"""A fleet on Debian 12: its engine from a repository in Docker's layout, its own Python and nft, the guard, a proof."""

from __future__ import annotations

import pytest

from tests.system.endpoints import INSIDE, NODE, assert_all, no_guard, probe, published, routed, routes
from tests.system.fleet import Fleet, changes, playbook
from tests.system.jobs import prove

AGENT = "agent-1"
ENGINE = "5:26.1.5-1~debian.12~bookworm"


def test_nothing_is_left_to_change() -> None:
    """Molecule's second run and the following check mode run change nothing on any host."""
    nothing = dict.fromkeys((NODE, AGENT), 0)
    assert changes("bookworm") == {"again": nothing, "check mode": nothing}


@pytest.mark.parametrize("host", [NODE, AGENT])
def test_hosts_are_debian_12(fleet: Fleet, host: str) -> None:
    """C library, Python and nft are those of Debian 12."""
    output = fleet.execute(host, ". /etc/os-release; echo $VERSION_ID; ldd --version | head -1; python3 -V; nft -v").out
    release, library, python, nft = output.splitlines()
    assert (release, library.split()[-1], python.split()[1].rpartition(".")[0]) == ("12", "2.36", "3.11")
    assert nft.startswith("nftables v1.0.6")


@pytest.mark.parametrize("host", [NODE, AGENT])
def test_engine_is_the_repositorys(fleet: Fleet, host: str) -> None:
    """Engine, CLI, containerd and Compose v2 come from the signed repository, runc from Debian 12."""
    shown = fleet.execute(host, ["dpkg-query", "-W", "-f", "${Package}=${Version}\n"]).out.splitlines()
    compose = "docker-compose-plugin=2.26.1-1~debian.12~bookworm"
    assert {f"docker-ce={ENGINE}", f"docker-ce-cli={ENGINE}", "containerd.io=1.7.24-1", compose} <= set(shown)
    (runc,) = (line for line in shown if line.startswith("runc="))
    assert runc.startswith("runc=1.1.5")
    assert fleet.execute(host, ["docker", "compose", "version", "--short"]).out.startswith("2.26.")


def test_an_epoch_is_proven(fleet: Fleet) -> None:
    """The L1 accepts an epoch with jobs of the agent."""
    prove(fleet, NODE, NODE, [(AGENT, "prover-agent")])


def test_the_guard_holds(fleet: Fleet) -> None:
    """Debian 12's nft and Python support tables with an owner, if the kernel does."""
    endpoints = published(fleet)
    assert len(endpoints) == 2
    assert_all(probe(fleet, endpoints, AGENT), "open")
    fleet.execute(NODE, "nft flush ruleset; systemctl restart docker")
    assert_all(probe(fleet, endpoints), "filtered")
    with no_guard(fleet):
        assert_all(probe(fleet, endpoints), "open")
    assert_all(probe(fleet, endpoints), "filtered")
    with routes(fleet):
        assert_all(probe(fleet, routed(fleet, inside=INSIDE)), "filtered")


def test_hosts_come_back_after_a_reboot(fleet: Fleet) -> None:
    """The broker is healthy, closed to the stranger, and verify.yml reports a healthy fleet."""
    fleet.reboot(NODE)
    for service in ("prover-broker", "prover-node"):
        fleet.wait_until_healthy(NODE, service)
    assert_all(probe(fleet, published(fleet)), "filtered")
    run = playbook("playbooks/verify.yml")
    assert run.returncode == 0, run.stdout
