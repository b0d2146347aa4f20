"""A host with existing packages and settings: they are reported and kept, and the remedies work."""

from __future__ import annotations

import json

from tests.system.docker_engine.conftest import Engines
from tests.system.fleet import Fleet
from tests.system.single_role import traces

BARE = "engine-refused"
PREPARED = {"data-root": "/srv/docker", "registry-mirrors": ["http://172.31.77.3:5000"]}
REMEDY = "apt-get remove containerd runc"


def test_prepared_host_is_rejected(fleet: Fleet, engines: Engines) -> None:
    """All problems are reported, and nothing is replaced or removed."""
    write = ["sh", "-c", 'mkdir -p /etc/docker && printf %s "$1" > /etc/docker/daemon.json', "sh", json.dumps(PREPARED)]
    fleet.execute(BARE, write)
    fleet.execute(BARE, "apt-get update -qq && apt-get -yq --no-install-recommends install containerd")
    before = traces(fleet, BARE)
    applied = engines.apply(BARE)
    assert traces(fleet, BARE) == before
    assert applied.code == 2
    assert (
        f"{BARE}: containerd and runc cannot be installed together with the packages of docker_engine_source docker: "
        f"remove those that nothing else needs ({REMEDY}), or set docker_engine_source to distribution; "
        "/etc/docker/daemon.json was there before the engine and sets data-root, registry-mirrors: set the same in "
        "docker_engine_daemon_options, or remove the file"
    ) in applied.output


def test_other_source_accepts_the_prepared_host(engines: Engines) -> None:
    """The remedies of both lines work, without a change of the host."""
    given = {"docker_engine_source": "distribution", "docker_engine_daemon_options": PREPARED}
    assert engines.apply(BARE, check=True, **given).changed(BARE) > 0


def test_removal_of_packages_and_settings_works(fleet: Fleet, engines: Engines) -> None:
    """The other remedies of both lines work too."""
    fleet.execute(BARE, f"{REMEDY} -yq && rm /etc/docker/daemon.json && rmdir /etc/docker")
    assert engines.apply(BARE, check=True).changed(BARE) > 0
