"""Existing engines: one that the role does not manage is kept, Compose is added to it, unusable ones are rejected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.system.docker_engine.conftest import URL, Engines
from tests.system.fleet import Fleet
from tests.system.single_role import traces

THEIRS, BARE = "engine-distribution", "engine-refused"
SETTINGS = '{"log-driver": "local"}\n'
DOCKERS = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"
APT = "DEBIAN_FRONTEND=noninteractive apt-get -yq --no-install-recommends"


def engine_process(fleet: Fleet) -> str:
    """Return the engine's process, which another start would change."""
    return fleet.execute(THEIRS, ["systemctl", "show", "-P", "MainPID", "docker.service"]).out.strip()


def test_the_distributions_engine_is_kept(fleet: Fleet, engines: Engines) -> None:
    """Other settings and another source do not change it."""
    before = traces(fleet, THEIRS)
    assert engines.apply(THEIRS, docker_engine_version="26.1.5").changed(THEIRS) == 0
    assert traces(fleet, THEIRS) == before
    assert fleet.execute(THEIRS, "cat /etc/docker/daemon.json").out == SETTINGS


@pytest.mark.parametrize("missing", ["docker-compose", "docker-compose docker-cli"])
def test_compose_is_added(fleet: Fleet, engines: Engines, missing: str) -> None:
    """Compose is added to an engine without Compose, or without the docker command, which is a separate package."""
    fleet.execute(THEIRS, f"{APT} remove {missing}")
    process = engine_process(fleet)
    assert engines.apply(THEIRS).changed(THEIRS) > 0
    assert fleet.execute(THEIRS, ["docker", "compose", "version", "--short"]).out.startswith("2.")
    assert engine_process(fleet) == process
    assert fleet.execute(THEIRS, "cat /etc/docker/daemon.json").out == SETTINGS
    assert fleet.execute(THEIRS, "ls -A /etc/docker").out.split() == ["daemon.json"]
    assert engines.apply(THEIRS).changed(THEIRS) == 0


@contextmanager
def untouched(fleet: Fleet) -> Iterator[None]:
    """Assert that the block does not change the bare host."""
    before = traces(fleet, BARE)
    yield
    assert traces(fleet, BARE) == before


def test_check_mode_leaves_a_bare_host_bare(fleet: Fleet, engines: Engines) -> None:
    """It reports what it would install."""
    with untouched(fleet):
        assert engines.apply(BARE, check=True).changed(BARE) > 0


def test_another_fingerprint_is_rejected(fleet: Fleet, engines: Engines) -> None:
    """The packages are signed with another key: neither keyring nor source nor package is written to the host."""
    with untouched(fleet):
        applied = engines.apply(BARE, docker_engine_apt_key_fingerprint=DOCKERS)
    assert applied.code == 2
    assert (
        f"{BARE}: nothing was installed, because the key at {URL}/debian/gpg is rejected: its fingerprint is "
        f"{engines.fingerprint.strip()}, not {DOCKERS}: check docker_engine_apt_url and the server behind it"
    ) in applied.output


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param(
            "third-party.list",
            f"deb http://172.31.77.60/other x y\ndeb [signed-by=/k.gpg] {URL}/debian trixie stable\n",
            id="one-line",
        ),
        pytest.param(
            "third-party.sources",
            "Types: deb\nURIs: http://172.31.77.60/other\nSuites: x\nComponents: y\n\n"
            f"Types: deb\nURIs: {URL}/debian\nSuites: trixie\nComponents: stable\nSigned-By: /k.gpg\n",
            id="deb822",
        ),
    ],
)
def test_a_source_in_a_file_with_others_is_rejected(fleet: Fleet, engines: Engines, name: str, content: str) -> None:
    """The operator has to correct a file that contains other sources too."""
    path = f"/etc/apt/sources.list.d/{name}"
    fleet.execute(BARE, ["sh", "-c", 'printf %s "$1" > "$2"', "sh", content, path])
    try:
        with untouched(fleet):
            applied = engines.apply(BARE)
    finally:
        fleet.execute(BARE, ["rm", path])
    assert applied.code == 2
    assert (
        f"{BARE}: {path} has {URL}/debian with another key (/k.gpg), and other repositories: remove that entry, "
        "the role writes its own"
    ) in applied.output


def test_podman_docker_is_rejected(fleet: Fleet, engines: Engines) -> None:
    """Debian's podman-docker has a docker command without an engine."""
    fleet.execute(BARE, f"apt-get update -qq && {APT} install podman-docker")
    assert fleet.execute(BARE, ["docker", "--version"]).out.startswith("podman version")
    with untouched(fleet):
        applied = engines.apply(BARE)
    assert applied.code == 2
    assert (
        f"{BARE}: podman-docker provides the docker command: remove it (apt-get remove podman-docker) and run again"
    ) in applied.output
