"""The data directories of the engine and containerd: a change is applied if they are empty, and rejected otherwise."""

from __future__ import annotations

from tests.system.docker_engine.conftest import Engines
from tests.system.docker_engine.test_2_pin import GIVEN, HOST
from tests.system.docker_engine.test_4_settings import RUN, process
from tests.system.fleet import Fleet

OLD, NEW, OTHER = "/var/lib/docker", "/var/lib/docker/first", "/var/lib/docker/second"
CONTAINERD = "/srv/containerd"
IMPORT = "tar -C /usr/bin -c tini-static | docker import - kept > /dev/null"
EMPTY = "docker ps -aq | xargs -r docker rm -f; docker image prune --all --force"
STOP = "systemctl stop docker.socket docker.service containerd.service"


def root(fleet: Fleet) -> str:
    """Return the data directory of the engine."""
    return fleet.execute(HOST, ["docker", "info", "-f", "{{.DockerRootDir}}"]).out.strip()


def line(current: str, wanted: str) -> str:
    """Return the beginning of the error for a change of the directory."""
    return f"{HOST}: {current} contains images, containers or volumes, which would not be found in {wanted}: set "


def test_a_root_with_an_image_is_not_changed(fleet: Fleet, engines: Engines) -> None:
    """The engine continues to run with its image."""
    fleet.execute(HOST, IMPORT)
    before = process(fleet, "docker.service")
    applied = engines.apply(HOST, docker_engine_data_root=NEW, **GIVEN)
    assert applied.code == 2
    assert line(OLD, NEW) in applied.output
    assert (process(fleet, "docker.service"), root(fleet)) == (before, OLD)
    fleet.execute(HOST, ["docker", "image", "inspect", "kept"])


def test_empty_roots_are_changed(fleet: Fleet, engines: Engines) -> None:
    """Both programs use their new roots and run a container. A second run changes nothing."""
    fleet.execute(HOST, EMPTY)
    wanted = {"docker_engine_data_root": NEW, "docker_engine_containerd_root": CONTAINERD, **GIVEN}
    assert engines.apply(HOST, **wanted).changed(HOST) > 0
    assert root(fleet) == NEW
    command = fleet.execute(HOST, ["cat", f"/proc/{process(fleet, 'containerd.service')}/cmdline"]).out.split("\0")
    assert command[:3] == ["/usr/bin/containerd", "--root", CONTAINERD]
    fleet.execute(HOST, f"{RUN} && docker tag tini kept")
    assert fleet.execute(HOST, f"ls -d {CONTAINERD}/*.runtime.v2.task/moby/*").out
    assert engines.apply(HOST, **wanted).changed(HOST) == 0


def test_containerd_root_with_a_container_is_not_changed(fleet: Fleet, engines: Engines) -> None:
    """The container continues to run."""
    applied = engines.apply(HOST, docker_engine_data_root=NEW, **GIVEN)
    assert applied.code == 2
    assert line(CONTAINERD, "/var/lib/containerd") in applied.output
    assert fleet.execute(HOST, ["docker", "inspect", "-f", "{{.State.Running}}", "lasting"]).out.strip() == "true"


def test_the_remedy_works(fleet: Fleet, engines: Engines) -> None:
    """After everything was stopped and moved manually, the run succeeds, and the image exists."""
    wanted = {"docker_engine_data_root": OTHER, "docker_engine_containerd_root": CONTAINERD, **GIVEN}
    assert line(NEW, OTHER) in engines.apply(HOST, **wanted).output
    fleet.execute(HOST, f"docker rm -f lasting && {STOP} && mv {NEW} {OTHER}")
    assert engines.apply(HOST, **wanted).changed(HOST) > 0
    assert root(fleet) == OTHER
    fleet.execute(HOST, ["docker", "image", "inspect", "kept"])
