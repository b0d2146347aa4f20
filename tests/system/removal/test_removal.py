"""Hosts leave the fleet, components move, machines are lost, and the fleet is removed, while epochs are proven."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.fleet import network
from tests.harness.machines import make
from tests.system.fleet import ROOT, SCALE_OUT, Fleet, playbook
from tests.system.jobs import prove, submitted
from tests.system.removal.traces import added, traces

MOVED = ROOT / "tests/inventories/moved_broker"
REPLACED = ROOT / "tests/inventories/replaced_node"
FORMER = ROOT / "tests/inventories/former_agent"
AGENT, NODE, OTHER = "agent-3", "node-1", "node-2"
AGENTS = [("agent-1", "prover-agent"), ("agent-2", "prover-agent")]
PEER_KEY = "/opt/aztec/prover-node/data/p2p-private-key"
LEFT = "not in a group of the fleet any more, but not removed: run remove.yml --limit agent-3"


# Install a package that depends on the engine, without a repository.
DEPENDENT = """
mkdir -p /tmp/needs/DEBIAN
cat > /tmp/needs/DEBIAN/control <<END
Package: needs-docker
Version: 1
Architecture: all
Maintainer: Test <test@lab.test>
Depends: docker.io
Description: depends on the engine
END
dpkg-deb --build /tmp/needs /tmp/needs.deb && dpkg --install /tmp/needs.deb && rm -r /tmp/needs /tmp/needs.deb
"""


def run(path: str, *arguments: str) -> str:
    """Run a playbook that succeeds, and return its output on one line."""
    done = playbook(f"playbooks/{path}.yml", *arguments)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return " ".join(done.stdout.split())


def refused(path: str, *arguments: str) -> str:
    """Run a playbook that ends before it touches anything, and return its output on one line."""
    done = playbook(f"playbooks/{path}.yml", *arguments)
    assert done.returncode == 2, done.stdout[-4000:] + done.stderr
    return " ".join(done.stdout.split())


def projects(fleet: Fleet, name: str) -> list[str]:
    """Return the Compose projects on a machine."""
    shown = fleet.execute(name, ["docker", "ps", "--all", "--format", '{{.Label "com.docker.compose.project"}}'])
    return sorted(set(shown.out.split()))


@pytest.fixture(scope="module")
def before(fleet: Fleet) -> dict[str, set[str]]:
    """Create the machine of an additional agent, and return what is on it before the first run."""
    make([], [SCALE_OUT], [AGENT]).close()
    return traces(fleet, AGENT)


@pytest.fixture
def inventory(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Return what sets the inventory of the runs of a test."""
    return monkeypatch


def choose(inventory: pytest.MonkeyPatch, path: Path) -> None:
    inventory.setenv("AZTEC_LAB_INVENTORY", str(path))


def test_a_removed_agent_leaves_nothing(fleet: Fleet, before: dict[str, set[str]]) -> None:
    """Not without the right confirmation. Afterwards the broker no longer admits the host."""
    here = ("-i", str(SCALE_OUT), "--limit", AGENT)
    run("site", *here)
    fleet.wait_until_healthy(AGENT, "prover-agent")
    address = str(fleet.machines[NODE].address)
    assert fleet.reach(AGENT, address, 8080) == "open"
    assert "pass -e confirm=agent-3" in refused("remove", *here)
    assert "then set confirm=agent-3" in refused("remove", *here, "-e", "confirm=agent-2")
    assert "run reset.yml to remove the whole fleet" in refused("remove", "-i", str(SCALE_OUT), "-e", "confirm=lab")
    assert fleet.healthy(AGENT, "prover-agent")

    shown = run("remove", *here, "-e", "confirm=agent-3", "-e", "remove_engine=true")
    assert "because site.yml deploys these hosts again: agent-3" in shown
    assert added(before, traces(fleet, AGENT)) == {}
    assert fleet.reach(AGENT, address, 8080) == "filtered"
    assert "nothing to remove" in run("remove", *here)
    prove(fleet, NODE, NODE, AGENTS)


def test_an_agent_that_left_the_inventory_is_named(fleet: Fleet, before: dict[str, set[str]]) -> None:
    """By its address, since the report knows no more about it. The broker no longer admits it, and the run succeeds."""
    assert before
    run("site", "-i", str(SCALE_OUT), "--limit", AGENT)
    fleet.wait_until_healthy(AGENT, "prover-agent")
    shown = playbook("playbooks/site.yml")
    assert shown.returncode == 0, shown.stdout[-4000:] + shown.stderr
    report = shown.stdout[shown.stdout.rindex("HOST ") :]
    (line,) = (line for line in report.splitlines() if "not in the inventory, not admitted" in line)
    assert str(fleet.machines[AGENT].address) in line
    assert not any(str(fleet.machines[name].address) in line for name in ("agent-1", NODE))
    assert "otherwise with docker compose down in its directory, /opt/aztec/prover-agent by default" in line
    assert fleet.reach(AGENT, str(fleet.machines[NODE].address), 8080) == "filtered"
    # An agent that is admitted again reports its lost contact until its next query.
    run("remove", "-i", str(SCALE_OUT), "--limit", AGENT, "-e", "confirm=agent-3")


def test_an_agent_that_left_its_group_is_named(fleet: Fleet, before: dict[str, set[str]]) -> None:
    """It can be added again. The command in the report removes it, and only the engine and what belongs to it stays."""
    assert before
    run("site", "-i", str(SCALE_OUT), "--limit", AGENT)
    fleet.wait_until_healthy(AGENT, "prover-agent")
    assert LEFT in run("site", "-i", str(FORMER))
    assert LEFT in run("status", "-i", str(FORMER))
    assert LEFT not in run("status", "-i", str(FORMER), "-e", "aztec_unmanaged=true")
    fleet.execute(AGENT, "touch /opt/aztec/prover-agent/crs/downloaded")
    run("remove", "-i", str(FORMER), "--limit", AGENT, "-e", "keep_data=true")
    left = fleet.execute(AGENT, ["find", "/opt/aztec", "/etc/aztec-port-guard", "-type", "d"], check=False).out.split()
    assert left == ["/opt/aztec", "/opt/aztec/prover-agent", "/opt/aztec/prover-agent/crs"]
    run("remove", "-i", str(FORMER), "--limit", AGENT, "-e", "confirm=agent-3")
    assert LEFT not in run("status", "-i", str(FORMER))
    assert projects(fleet, AGENT) == []
    remaining = added(before, traces(fleet, AGENT))
    assert [path for path in remaining.get("files", []) if "aztec" in path] == [
        "/etc/docker/.aztec_ops_prover", "/etc/systemd/system/containerd.service.d/aztec.conf",
    ]
    assert not [name for name in remaining.get("interfaces", []) if name != "docker0"]
    assert not [name for name in remaining.get("tables", []) if "aztec" in name]
    fleet.execute(AGENT, ["docker", "info"])


def test_the_engine_stays_while_others_need_it(fleet: Fleet, before: dict[str, set[str]]) -> None:
    """A stopped container of others, or a package that depends on the engine, ends the removal. Then it is removed."""
    here = ("-i", str(FORMER), "--limit", AGENT, "-e", "remove_engine=true")
    fleet.execute(AGENT, "mkdir -p /tmp/empty && tar -C /tmp/empty -c . | docker import - other:1")
    fleet.execute(AGENT, "docker create --name other other:1 true")
    assert "Docker is still needed for container other" in refused("remove", *here)
    fleet.execute(AGENT, "docker rm other")
    fleet.execute(AGENT, ["sh", "-c", DEPENDENT])
    shown = refused("remove", *here)
    assert "apt would also remove needs-docker: remove these packages yourself" in shown
    fleet.execute(AGENT, "docker info")
    fleet.execute(AGENT, "dpkg --purge needs-docker")
    run("remove", *here)
    assert added(before, traces(fleet, AGENT)) == {}


def test_an_unreachable_host_is_named(fleet: Fleet, before: dict[str, set[str]]) -> None:
    """With what to do about its admission."""
    assert before
    fleet.stop_machine(AGENT)
    shown = refused("remove", "-i", str(FORMER), "--limit", AGENT)
    assert "delete it from the inventory and run site.yml, which ends its admission at the broker" in shown
    fleet.start_machine(AGENT)


def test_the_broker_cannot_be_removed_while_it_is_needed() -> None:
    shown = refused("remove", "--limit", NODE, "-e", "confirm=node-1")
    assert "is the broker of agent-1, agent-2" in shown


def test_the_broker_moves(fleet: Fleet, inventory: pytest.MonkeyPatch) -> None:
    """The epoch in work ends before. Node and agents follow the broker, and the next epochs are proven."""
    make([OTHER], [MOVED]).close()
    choose(inventory, MOVED)
    run("remove", "--limit", NODE, "-e", "aztec_components=prover_broker", "-e", "confirm=node-1")
    assert projects(fleet, NODE) == ["aztec-prover-node"]
    run("site")
    assert projects(fleet, OTHER) == ["aztec-prover-broker"]
    prove(fleet, NODE, OTHER, AGENTS)


def test_a_lost_node_is_replaced(fleet: Fleet, inventory: pytest.MonkeyPatch) -> None:
    """The machine is gone. One run of site.yml deploys the node on another one, which proves with the same peer ID."""
    peer = fleet.execute(NODE, ["cat", PEER_KEY]).out
    found = network.find(fleet.client, NODE)
    assert found is not None
    found.remove(force=True, v=True)
    choose(inventory, REPLACED)
    run("site", "-e", f"prover_node_p2p_private_key={peer}")
    prove(fleet, OTHER, OTHER, AGENTS)
    assert fleet.execute(OTHER, ["cat", PEER_KEY]).out == peer
    epochs = sorted(submitted(fleet, OTHER))
    assert epochs == list(range(epochs[0], epochs[-1] + 1))


def test_the_fleet_is_removed_and_provisioned_again(fleet: Fleet, inventory: pytest.MonkeyPatch) -> None:
    """On its first hosts."""
    choose(inventory, REPLACED)
    assert "then set confirm=lab" in refused("reset", "-e", "confirm=node-2")
    run("reset", "-e", "confirm=lab")
    for name in (OTHER, "agent-1", "agent-2"):
        assert projects(fleet, name) == []
        assert fleet.execute(name, "ls /opt").out == ""
    inventory.delenv("AZTEC_LAB_INVENTORY")
    make([NODE], []).close()
    run("site")
    prove(fleet, NODE, NODE, AGENTS)
