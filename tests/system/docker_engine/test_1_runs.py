"""The results of Molecule's runs of the role, and the state of the hosts."""

from __future__ import annotations

import json

import pytest

from tests.system.fleet import Fleet
from tests.system.single_role import problems

# Where the role installed an engine; engine-distribution had one.
INSTALLED = {"engine-official": "5:26.1.4-1~debian.13~trixie", "engine-old-source": "5:26.1.5-1~debian.13~trixie"}
SOURCES = ("docker.list", "docker-apt-key.list", "docker-ce.sources")


def test_check_mode_and_second_run_change_nothing() -> None:
    """Check mode on bare hosts, the role, the role again, check mode again."""
    assert problems("docker_engine", [*INSTALLED, "engine-distribution"], recreated=list(INSTALLED)) == []


@pytest.mark.parametrize("host", INSTALLED)
def test_engine_of_the_repository_serves(fleet: Fleet, host: str) -> None:
    """The packages are from the signed repository, the newest or the pinned ones. Compose runs a container."""
    shown = fleet.execute(host, ["dpkg-query", "-W", "-f", "${Package}=${Version}\n"]).out.splitlines()
    assert {f"docker-ce={INSTALLED[host]}", f"docker-ce-cli={INSTALLED[host]}"} <= set(shown)
    assert {"containerd.io=1.7.24-1", "docker-compose-plugin=2.26.1-1~debian.13~trixie"} <= set(shown)
    assert fleet.execute(host, ["systemctl", "is-enabled", "docker.service"]).out.strip() == "enabled"
    image = "tar -C /usr/bin -c tini-static | docker import - tini > /dev/null"
    compose = "printf 'services: {one: {image: tini, command: [/tini-static, --version], network_mode: none}}'"
    output = fleet.execute(host, f"{image} && {compose} | docker compose -p one -f - run --rm one 2> /dev/null").out
    assert output.startswith("tini version 0.")


@pytest.mark.parametrize("host", INSTALLED)
def test_settings_are_the_roles(fleet: Fleet, host: str) -> None:
    """daemon.json contains the role's settings and the given ones, and the engine runs with it."""
    assert json.loads(fleet.execute(host, "cat /etc/docker/daemon.json").out) == {
        "live-restore": True,
        "log-driver": "json-file",
        "log-opts": {"max-size": "100m", "max-file": "5"},
        "registry-mirrors": ["http://172.31.77.3:5000"],
    }
    info = json.loads(fleet.execute(host, ["docker", "info", "-f", "{{json .}}"]).out)
    assert (info["LiveRestoreEnabled"], info["LoggingDriver"]) == (True, "json-file")
    assert info["RegistryConfig"]["Mirrors"] == ["http://172.31.77.3:5000/"]


def test_old_sources_are_disabled(fleet: Fleet) -> None:
    """All three files have been renamed, and apt prints nothing."""
    listed = fleet.execute("engine-old-source", ["ls", "/etc/apt/sources.list.d"]).out.split()
    assert sorted(listed) == sorted([*(f"{name}.disabled" for name in SOURCES), "docker.sources"])
    updated = fleet.execute("engine-old-source", ["apt-get", "update", "-qq"])
    assert (updated.out, updated.err) == ("", "")


# An entry without a key, in addition to one with a key, is an error up to Debian 12, depending on their order.
@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("docker.list", 100, "Conflicting values set for option Signed-By"),
        ("docker-ce.sources", 100, "Conflicting values set for option Signed-By"),
        ("docker-apt-key.list", 0, "is configured multiple times"),
    ],
)
def test_old_sources_would_disturb_apt(fleet: Fleet, name: str, code: int, words: str) -> None:
    """With an old source in addition to the role's own source, apt fails or prints a warning."""
    folder = "/etc/apt/sources.list.d"
    fleet.execute("engine-old-source", f"cp {folder}/{name}.disabled {folder}/{name}")
    try:
        updated = fleet.execute("engine-old-source", ["apt-get", "update", "-qq"], check=False)
    finally:
        fleet.execute("engine-old-source", f"rm {folder}/{name}")
    assert updated.code == code
    assert words in updated.err
