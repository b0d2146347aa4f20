"""A pinned version: only another pin changes it, and an empty pin releases it."""

from __future__ import annotations

import pytest

from tests.system.docker_engine.conftest import Engines
from tests.system.fleet import Fleet

HOST = "engine-official"
OLDER, NEWER = "5:26.1.4-1~debian.13~trixie", "5:26.1.5-1~debian.13~trixie"
GIVEN = {
    "docker_engine_registry_mirrors": ["http://172.31.77.3:5000"],
    "docker_engine_daemon_options": {"log-opts": {"max-file": "5"}},
}
UNATTENDED = ["unattended-upgrade", "--verbose"]
COMPOSE = "docker-compose-plugin"


def version(fleet: Fleet, package: str = "docker-ce") -> str:
    """Return the version of a package."""
    return fleet.execute(HOST, ["dpkg-query", "-W", "-f", "${Version}", package]).out


def downgrade_compose(fleet: Fleet) -> None:
    """Downgrade Compose, so that unattended upgrades have a package to upgrade."""
    older = f"{COMPOSE}=2.26.0-1~debian.13~trixie"
    fleet.execute(HOST, f"DEBIAN_FRONTEND=noninteractive apt-get install -yq --allow-downgrades {older}")


def test_unattended_upgrades_do_not_change_the_engine(fleet: Fleet) -> None:
    """They upgrade another package of the same repository, but not the engine."""
    downgrade_compose(fleet)
    assert version(fleet) == OLDER
    output = fleet.execute(HOST, UNATTENDED).out
    assert version(fleet, COMPOSE) == "2.26.1-1~debian.13~trixie", output
    assert (version(fleet), version(fleet, "docker-ce-cli")) == (OLDER, OLDER)


@pytest.mark.parametrize(
    ("pin", "wanted"),
    [
        pytest.param("26.1.5", NEWER, id="up"),
        pytest.param("26.1.4", OLDER, id="down"),
        pytest.param("", OLDER, id="empty"),
    ],
)
def test_another_pin(fleet: Fleet, engines: Engines, pin: str, wanted: str) -> None:
    """The engine is upgraded and downgraded to its pin. Without a pin, the installed version stays."""
    assert engines.apply(HOST, docker_engine_version=pin, **GIVEN).changed(HOST) > 0
    assert (version(fleet), version(fleet, "docker-ce-cli")) == (wanted, wanted)
    assert fleet.execute(HOST, ["docker", "compose", "version", "--short"]).out.startswith("2.")
    assert engines.apply(HOST, docker_engine_version=pin, **GIVEN).changed(HOST) == 0


def test_unattended_upgrades_change_the_engine_without_a_pin(fleet: Fleet) -> None:
    """The pin was the reason why the version did not change."""
    output = fleet.execute(HOST, UNATTENDED).out
    assert (version(fleet), version(fleet, "docker-ce-cli")) == (NEWER, NEWER), output
