"""New settings of the role are applied to an engine that an earlier release installed, and no container restarts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.docker_engine.conftest import Engines
from tests.system.docker_engine.test_2_pin import GIVEN, HOST
from tests.system.fleet import Fleet, wait_for

CONF = "/etc/systemd/system/containerd.service.d/aztec.conf"
WANTED = "XDG_RUNTIME_DIR=/run/containerd"
# A minimal image, with the host's own programs mounted.
RUN = (
    "tar -C /usr/bin -c tini-static | docker import - tini > /dev/null && docker run --detach --name lasting "
    "--network none -v /usr:/usr:ro -v /usr/lib:/lib:ro -v /usr/lib64:/lib64:ro tini /usr/bin/sleep 3600"
)


def process(fleet: Fleet, service: str) -> str:
    """Return a service's process."""
    return fleet.execute(HOST, ["systemctl", "show", "-P", "MainPID", service]).out.strip()


def environment_of(fleet: Fleet, number: str) -> list[str]:
    """Return the environment of a process."""
    return fleet.execute(HOST, ["cat", f"/proc/{number}/environ"]).out.split("\0")


def environment(fleet: Fleet) -> list[str]:
    """Return the environment that containerd runs with."""
    return environment_of(fleet, process(fleet, "containerd.service"))


def keeper(fleet: Fleet, seen: dict[str, Any]) -> list[str]:
    """Return the environment of the process that supervises a container and starts its health checks."""
    return environment_of(fleet, fleet.execute(HOST, ["ps", "-o", "ppid=", "-p", str(seen["Pid"])]).out.strip())


@pytest.fixture
def container(fleet: Fleet) -> Iterator[Any]:
    """Return a function that returns id, process and start time of a container that always runs."""
    fleet.execute(HOST, RUN)

    def seen() -> dict[str, Any]:
        found = json.loads(fleet.execute(HOST, ["docker", "inspect", "lasting"]).out)[0]
        assert found["State"]["Running"]
        return {"id": found["Id"], **{name: found["State"][name] for name in ("Pid", "StartedAt")}}

    yield seen
    fleet.execute(HOST, ["docker", "rm", "-f", "lasting"])


START = ["docker", "start", "lasting"]
OLD = f"rm -f {CONF} && systemctl daemon-reload && systemctl restart containerd.service"


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(OLD, id="earlier release"),
        pytest.param(f"cp {CONF} /root/kept && {OLD} && mv /root/kept {CONF}", id="written and not loaded"),
        pytest.param(
            f"sed -i s,/run/containerd,/tmp, {CONF} && systemctl daemon-reload && systemctl restart containerd.service",
            id="changed manually",
        ),
    ],
)
def test_containerd_gets_its_settings(fleet: Fleet, engines: Engines, container: Any, before: str) -> None:
    """The drop-in is written and loaded; the engine is not restarted for it."""
    fleet.execute(HOST, before)
    assert WANTED not in environment(fleet)
    seen, engine = container(), process(fleet, "docker.service")
    assert engines.apply(HOST, check=True, **GIVEN).changed(HOST) > 0
    assert WANTED not in environment(fleet)
    assert engines.apply(HOST, **GIVEN).changed(HOST) > 0
    assert WANTED in environment(fleet)
    assert (container(), process(fleet, "docker.service")) == (seen, engine)
    assert fleet.execute(HOST, ["docker", "exec", "lasting", "/usr/bin/id", "-u"]).out.strip() == "0"
    assert engines.apply(HOST, **GIVEN).changed(HOST) == 0


def test_containerd_gets_its_settings_without_the_engine(fleet: Fleet, engines: Engines, container: Any) -> None:
    """containerd and the containers continue to run when the engine is stopped."""
    fleet.execute(HOST, OLD)
    seen = container()
    fleet.execute(HOST, "systemctl stop docker.socket docker.service")
    assert engines.apply(HOST, **GIVEN).changed(HOST) > 0
    assert WANTED in environment(fleet)
    assert container() == seen
    assert engines.apply(HOST, **GIVEN).changed(HOST) == 0


def test_existing_container_gets_the_settings_at_its_restart(fleet: Fleet, engines: Engines, container: Any) -> None:
    """A separate process starts its health checks. It outlives containerd and keeps its environment."""
    fleet.execute(HOST, f"docker stop --time 1 lasting && {OLD}")
    wait_for("the engine to find containerd", lambda: fleet.execute(HOST, START, check=False).code == 0, 30)
    assert engines.apply(HOST, **GIVEN).changed(HOST) > 0
    assert WANTED not in keeper(fleet, container())
    fleet.execute(HOST, ["docker", "restart", "--time", "1", "lasting"])
    assert WANTED in keeper(fleet, container())


def test_overridden_settings_are_reported(fleet: Fleet, engines: Engines) -> None:
    """Otherwise, each run would restart containerd and report success."""
    other = f"{CONF.rpartition('/')[0]}/zz.conf"
    given = f"printf '[Service]\\nEnvironment=XDG_RUNTIME_DIR=/tmp\\n' > {other}"
    fleet.execute(HOST, f"{given} && systemctl daemon-reload && systemctl restart containerd.service")
    try:
        applied = engines.apply(HOST, **GIVEN)
    finally:
        fleet.execute(HOST, f"rm {other} && systemctl daemon-reload && systemctl restart containerd.service")
    assert applied.code == 2
    assert (
        f"{HOST}: containerd runs without the settings in {CONF}: find the setting that overrides them with systemctl "
        "cat containerd.service, and remove it"
    ) in applied.output
    assert engines.apply(HOST, **GIVEN).code == 0
