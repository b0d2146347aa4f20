"""Files and their modes, containers and services on the hosts."""

from __future__ import annotations

import json

import pytest

from tests.system.endpoints import addresses
from tests.system.fleet import Fleet

KEY = "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"
PROVER_ID = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
COMPONENTS = [
    ("node-1", "prover-node"),
    ("node-1", "prover-broker"),
    ("agent-1", "prover-agent"),
    ("agent-2", "prover-agent"),
]
# Data directories in the component's directory
DATA = {"prover-node": "data", "prover-broker": "data", "prover-agent": "crs"}
EACH = pytest.mark.parametrize(("name", "service"), COMPONENTS)
EACH_HOST = pytest.mark.parametrize("name", ["node-1", "agent-1", "agent-2"])


@EACH
def test_container(fleet: Fleet, name: str, service: str) -> None:
    """There is one container of the fleet's version: healthy, never restarted, and started again after a reboot."""
    fleet.wait_until_healthy(name, service)
    found = fleet.container(name, service)
    assert found["Config"]["Image"] == fleet.settings.aztec_reference
    assert found["RestartCount"] == 0
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert found["HostConfig"]["LogConfig"]["Config"] == {"max-size": "100m", "max-file": "3"}
    assert found["Config"]["Labels"]["com.docker.compose.project"] == f"aztec-{service}"


@EACH
def test_files(fleet: Fleet, name: str, service: str) -> None:
    """The component's directory, data and files belong to root, and only root can read them."""
    host = fleet.host(name)
    directory = f"/opt/aztec/{service}"
    for path in (directory, f"{directory}/{DATA[service]}"):
        found = host.file(path)
        assert (path, found.is_directory, found.user, found.mode) == (path, True, "root", 0o700)
    for path in (f"{directory}/compose.yml", f"{directory}/compose.override.yml", f"{directory}/.env"):
        found = host.file(path)
        assert (path, found.is_file, found.user, found.group, found.mode) == (path, True, "root", "root", 0o600)


def test_key_file(fleet: Fleet) -> None:
    """The publisher's key is in a file that only root can read, and not in the engine's data."""
    host = fleet.host("node-1")
    keys, key = host.file("/opt/aztec/prover-node/keys"), host.file("/opt/aztec/prover-node/keys/prover.json")
    assert (keys.user, keys.mode) == ("root", 0o700)
    assert (key.user, key.mode) == ("root", 0o600)
    assert KEY in key.content_string
    shown = json.dumps(fleet.container("node-1", "prover-node"))
    assert KEY not in shown
    for path in ("compose.yml", "compose.override.yml", ".env"):
        assert KEY not in host.file(f"/opt/aztec/prover-node/{path}").content_string


def test_environment(fleet: Fleet) -> None:
    """Derived values reach the processes."""
    node, agent = fleet.environment("node-1", "prover-node"), fleet.environment("agent-1", "prover-agent")
    assert node["PROVER_AGENT_COUNT"] == "0"
    assert node["PROVER_BROKER_HOST"] == "http://prover-broker:8080"
    assert node["PROVER_ID"] == PROVER_ID
    assert agent["PROVER_BROKER_HOST"] == f"http://{fleet.machines['node-1'].address}:8080"
    assert agent["PROVER_AGENT_COUNT"] == "1"
    assert fleet.environment("node-1", "prover-broker")["RPC_MAX_BODY_SIZE"] == "50mb"


@EACH_HOST
def test_services(fleet: Fleet, name: str) -> None:
    """Engine and guard run and start at boot. The guard's table is loaded."""
    host = fleet.host(name)
    for unit in ("docker", "aztec-port-guard"):
        assert host.service(unit).is_running
        assert host.service(unit).is_enabled
    assert host.run("nft list table inet aztec_prover").rc == 0


@EACH_HOST
def test_engine_configuration(fleet: Fleet, name: str) -> None:
    """Containers survive a restart of the role's engine, logs are rotated, no environment is in /tmp."""
    options = json.loads(fleet.host(name).file("/etc/docker/daemon.json").content_string)
    assert options["live-restore"] is True
    assert options["log-opts"]["max-size"]
    environment = fleet.execute(name, "systemctl show --property Environment containerd").out
    assert "XDG_RUNTIME_DIR=/run/containerd" in environment


@EACH
def test_nothing_else_is_published(fleet: Fleet, name: str, service: str) -> None:
    """RPC is published on loopback, the broker also on the fleet's addresses, agents and the admin port nowhere."""
    ports = fleet.container(name, service)["NetworkSettings"]["Ports"]
    bound = {(port, on["HostIp"]) for port, ons in ports.items() for on in ons or []}
    everywhere = ("0.0.0.0", "::")
    expected = {
        "prover-node": {("8081/tcp", "127.0.0.1")} | {(f"40400/{p}", ip) for p in ("tcp", "udp") for ip in everywhere},
        "prover-broker": {("8080/tcp", ip) for ip in ("127.0.0.1", *addresses(fleet, name).values())},
        "prover-agent": set(),
    }
    assert bound == expected[service]
