"""Settings that came with a later release reach an engine that an earlier one installed, and no container restarts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fleet.docker_engine.conftest import Engines
from tests.fleet.docker_engine.test_2_pin import GIVEN, HOST
from tests.fleet.fleet import Fleet

CONF = "/etc/systemd/system/containerd.service.d/aztec.conf"
MARKER = "/etc/docker/.aztec_ops_prover"
WANTED = "XDG_RUNTIME_DIR=/run/containerd"
# An image with nothing in it, over the host's own programs.
RUN = (
    "tar -C /usr/bin -c tini-static | docker import - tini > /dev/null && docker run --detach --name lasting "
    "--network none -v /usr:/usr:ro -v /usr/lib:/lib:ro -v /usr/lib64:/lib64:ro tini /usr/bin/sleep 3600"
)


def process(fleet: Fleet, service: str) -> str:
    """Give a service's process."""
    return fleet.execute(HOST, ["systemctl", "show", "-P", "MainPID", service]).out.strip()


def environment(fleet: Fleet) -> list[str]:
    """Give the environment that containerd runs with."""
    return fleet.execute(HOST, f"cat /proc/{process(fleet, 'containerd.service')}/environ").out.split("\0")


@pytest.fixture
def container(fleet: Fleet) -> Iterator[Any]:
    """Give the way to see a container that runs all the while: its id, process and start."""
    fleet.execute(HOST, RUN)

    def seen() -> dict[str, Any]:
        found = json.loads(fleet.execute(HOST, ["docker", "inspect", "lasting"]).out)[0]
        assert found["State"]["Running"]
        return {"id": found["Id"], **{name: found["State"][name] for name in ("Pid", "StartedAt")}}

    yield seen
    fleet.execute(HOST, ["docker", "rm", "-f", "lasting"])


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(f"rm {CONF} && sed -i 's/ .*//' {MARKER} && systemctl daemon-reload", id="earlier release"),
        pytest.param(f"sed -i s,/run/containerd,/tmp, {CONF} && systemctl daemon-reload", id="changed by hand"),
    ],
)
def test_containerd_gets_its_settings(fleet: Fleet, engines: Engines, container: Any, before: str) -> None:
    """The drop-in is written and loaded; the engine is not restarted for it."""
    fleet.execute(HOST, f"{before} && systemctl restart containerd.service")
    assert WANTED not in environment(fleet)
    seen, engine = container(), process(fleet, "docker.service")
    assert engines.apply(HOST, check=True, **GIVEN).changed(HOST) > 0
    assert WANTED not in environment(fleet)
    assert engines.apply(HOST, **GIVEN).changed(HOST) > 0
    assert WANTED in environment(fleet)
    assert (container(), process(fleet, "docker.service")) == (seen, engine)
    assert fleet.execute(HOST, ["docker", "exec", "lasting", "/usr/bin/id", "-u"]).out.strip() == "0"
    assert engines.apply(HOST, **GIVEN).changed(HOST) == 0
