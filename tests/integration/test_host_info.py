# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Host info of this machine, with the engine that runs on it and without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_engine import Engine, decode_log

PROJECT = f"host-info-{uuid.uuid4().hex[:8]}"


def docker(*words: str) -> str:
    """Run the docker command and return its output."""
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout.strip()


def host_info(engine: str | None = None, **params) -> dict:
    """Run the module as a program, as Ansible does, and return the host info."""
    env = dict(os.environ)
    if engine is not None:
        env["DOCKER_HOST"] = engine
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": params})
    code = "\n".join([
        f"import sys; sys.path[:0] = {sys.path!r}",
        "from ansible.module_utils import basic",
        f"basic._ANSIBLE_ARGS = {arguments!r}.encode()",
        "basic._ANSIBLE_PROFILE = 'legacy'",
        "from ansible_collections.aztec_ops.prover.plugins.modules.host_info import main",
        "main()",
    ])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    result = json.loads(done.stdout)
    assert "host_info" in result, result.get("msg", done.stderr)
    assert result["changed"] is False
    return result["host_info"]


@pytest.fixture(name="image", scope="module")
def fixture_image(tmp_path_factory):
    """Create an image with one file, which is never run."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "layer").mkdir()
    (folder / "layer/hello").write_text("hello\n")
    archive = folder / "layer.tar"
    subprocess.run(["tar", "-C", str(folder / "layer"), "-cf", str(archive), "."], check=True)
    name = f"aztec-ops-test/{PROJECT}:1"
    docker("import", str(archive), name)
    yield name
    docker("rmi", name)


@pytest.fixture(name="container")
def fixture_container(image):
    """Create a container of a Compose project, and do not start it."""
    name = f"{PROJECT}-prover-agent-1"
    docker(
        "create", "--name", name, "--label", f"com.docker.compose.project={PROJECT}",
        "--label", "com.docker.compose.service=prover-agent", "--env", "PROVER_BROKER_HOST=http://10.9.8.7:8080",
        image, "/hello",
    )
    yield name
    docker("rm", "-f", name)


def test_this_machine():
    """The values that every machine has are returned."""
    started = time.monotonic()
    found = host_info(paths=["/", "/no/such/path"])
    assert time.monotonic() - started < 5
    assert 1 <= found["hardware"]["vcpus"] <= len(os.sched_getaffinity(0))
    assert found["hardware"]["memory_bytes"] > 2**28
    roots = {found["engine"]["root"], found["engine"]["containerd_root"]}
    assert set(found["hardware"]["disks"]) == {"/", "/no/such/path", "/usr", "/var/cache/apt", *roots}
    assert found["os"]["id"]
    assert abs(found["time"] - time.time()) < 60


def test_engine_that_serves(image):
    """The engine's version is the one that the docker command prints, and the image is found."""
    found = host_info()
    assert found["engine"]["serves"] is True
    assert found["engine"]["version"] == docker("version", "--format", "{{.Server.Version}}")
    assert found["images"][image]["id"] == docker("image", "inspect", "--format", "{{.Id}}", image)
    assert host_info(images=["no/such:1"])["images"] == {}


def test_no_engine(tmp_path):
    """Without an engine, all other information is returned."""
    found = host_info(engine=f"unix://{tmp_path}/none.sock", projects=["any"])
    assert found["engine"]["serves"] is False
    assert found["images"] == {}
    assert found["projects"] == {"any": {"containers": [], "inventories": []}}


def test_container_that_does_not_run(container):
    """A container that does not run is returned, and probing it is not an error."""
    found = host_info(projects=[PROJECT], probe=True)["projects"][PROJECT]["containers"]
    assert [item["name"] for item in found] == [container]
    assert found[0]["service"] == "prover-agent"
    assert found[0]["state"] == "created"
    assert found[0]["status"]["code"] is None
    assert found[0]["broker_contact"]["state"] == "lost"


def test_connections():
    """A refused connection is reported, and a name that does not exist does not block."""
    targets = [{"host": "127.0.0.1", "port": 1}, {"host": "no-such-host.invalid", "port": 1}]
    found = host_info(connect=targets)["connect"]
    assert found[0]["error"] == "connection refused"
    assert found[1]["error"] == "name does not resolve"
    assert not any(item["ok"] for item in found)


def test_log(container):
    """The reader understands the frames of a container's log."""
    engine = Engine(os.environ.get("DOCKER_HOST", ""))
    assert decode_log(engine.get(f"/containers/{container}/logs", stdout="1", stderr="1"), tty=False) == ""
