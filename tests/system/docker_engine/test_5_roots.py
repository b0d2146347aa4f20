"""Where the engine and containerd keep their data: moved while nothing is there, and refused once something is."""

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
    """Return where the engine keeps its data."""
    return fleet.execute(HOST, ["docker", "info", "-f", "{{.DockerRootDir}}"]).out.strip()


def line(current: str, wanted: str) -> str:
    """Return how the refusal of a move begins."""
    return f"{HOST}: {current} contains images, containers or volumes, which would not be found in {wanted}: set "


def test_a_root_that_holds_an_image_is_not_moved(fleet: Fleet, engines: Engines) -> None:
    """The engine runs on as it was, with its image."""
    fleet.execute(HOST, IMPORT)
    before = process(fleet, "docker.service")
    applied = engines.apply(HOST, docker_engine_data_root=NEW, **GIVEN)
    assert applied.code == 2
    assert line(OLD, NEW) in applied.output
    assert (process(fleet, "docker.service"), root(fleet)) == (before, OLD)
    fleet.execute(HOST, ["docker", "image", "inspect", "kept"])


def test_roots_that_hold_nothing_are_moved(fleet: Fleet, engines: Engines) -> None:
    """Both programs run with their new roots, and run a container there; a second run changes nothing."""
    fleet.execute(HOST, EMPTY)
    wanted = {"docker_engine_data_root": NEW, "docker_engine_containerd_root": CONTAINERD, **GIVEN}
    assert engines.apply(HOST, **wanted).changed(HOST) > 0
    assert root(fleet) == NEW
    command = fleet.execute(HOST, ["cat", f"/proc/{process(fleet, 'containerd.service')}/cmdline"]).out.split("\0")
    assert command[:3] == ["/usr/bin/containerd", "--root", CONTAINERD]
    fleet.execute(HOST, f"{RUN} && docker tag tini kept")
    assert fleet.execute(HOST, f"ls -d {CONTAINERD}/*.runtime.v2.task/moby/*").out
    assert engines.apply(HOST, **wanted).changed(HOST) == 0


def test_containerd_is_not_moved_below_a_container(fleet: Fleet, engines: Engines) -> None:
    """Its container runs on."""
    applied = engines.apply(HOST, docker_engine_data_root=NEW, **GIVEN)
    assert applied.code == 2
    assert line(CONTAINERD, "/var/lib/containerd") in applied.output
    assert fleet.execute(HOST, ["docker", "inspect", "-f", "{{.State.Running}}", "lasting"]).out.strip() == "true"


def test_what_the_line_says_works(fleet: Fleet, engines: Engines) -> None:
    """Everything stopped and moved manually, the run goes on, and the image is there."""
    wanted = {"docker_engine_data_root": OTHER, "docker_engine_containerd_root": CONTAINERD, **GIVEN}
    assert line(NEW, OTHER) in engines.apply(HOST, **wanted).output
    fleet.execute(HOST, f"docker rm -f lasting && {STOP} && mv {NEW} {OTHER}")
    assert engines.apply(HOST, **wanted).changed(HOST) > 0
    assert root(fleet) == OTHER
    fleet.execute(HOST, ["docker", "image", "inspect", "kept"])
