"""A host that somebody has prepared: what is there is named and stays, and what the line says helps."""

from __future__ import annotations

import json

from tests.system.docker_engine.conftest import Engines
from tests.system.fleet import Fleet
from tests.system.single_role import traces

BARE = "engine-refused"
PREPARED = {"data-root": "/srv/docker", "registry-mirrors": ["http://172.31.77.3:5000"]}
REMEDY = "apt-get remove containerd runc"


def test_prepared_host_is_refused_as_it_is(fleet: Fleet, engines: Engines) -> None:
    """All at once, and nothing is replaced or removed."""
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


def test_other_source_takes_what_is_there(engines: Engines) -> None:
    """Both lines' remedies, without a change to the host."""
    given = {"docker_engine_source": "distribution", "docker_engine_daemon_options": PREPARED}
    assert engines.apply(BARE, check=True, **given).changed(BARE) > 0


def test_removing_what_is_there_helps(fleet: Fleet, engines: Engines) -> None:
    """The same manually."""
    fleet.execute(BARE, f"{REMEDY} -yq && rm /etc/docker/daemon.json && rmdir /etc/docker")
    assert engines.apply(BARE, check=True).changed(BARE) > 0
