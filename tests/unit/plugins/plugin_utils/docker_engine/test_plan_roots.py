# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where an engine and its containerd keep images and data, and that these are not abandoned silently."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_engine import containerd_roots, root_facts
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.hardware import disk
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.plan import (
    changed_root_problem,
    containerd_store,
    engine_plan,
)

DATA, CONTAINERD = "/var/lib/docker", "/var/lib/containerd"
UNIT = "etc/systemd/system/containerd.service.d/aztec.conf"
TOML = "etc/containerd/config.toml"
DAEMON = "etc/docker/daemon.json"
STORE = [["driver-type", "io.containerd.snapshotter.v1"]]


def put(root: Path, files: dict[str, str]) -> Path:
    """Write files below a root."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "info", "roots"),
    [
        pytest.param({}, {}, (DATA, CONTAINERD, None), id="bare host"),
        pytest.param({DAEMON: '{"data-root": "/d"}'}, {}, ("/d", CONTAINERD, None), id="prepared daemon.json"),
        pytest.param({DAEMON: "{"}, {}, (DATA, CONTAINERD, None), id="daemon.json that is broken"),
        pytest.param({DAEMON: '{"data-root": 3}'}, {}, (DATA, CONTAINERD, None), id="daemon.json with a number"),
        pytest.param({TOML: 'version = 2\nroot = "/c/"\n'}, {}, (DATA, "/c", None), id="config.toml"),
        pytest.param({TOML: "root='/c' # there\n[plugins]\n"}, {}, (DATA, "/c", None), id="single quotes"),
        pytest.param({TOML: '#root = "/c"\n'}, {}, (DATA, CONTAINERD, None), id="Docker's own config.toml"),
        pytest.param({TOML: '[plugins.x]\n  root = "/c"\n'}, {}, (DATA, CONTAINERD, None), id="a plugin's root"),
        pytest.param(
            {TOML: 'root = "/c"\n', UNIT: "[Service]\nExecStart=\nExecStart=/usr/bin/containerd --root /a\n"},
            {},
            (DATA, "/a", None),
            id="the argument has precedence",
        ),
        pytest.param({}, {"DockerRootDir": "/d", "DriverStatus": STORE}, ("/d", CONTAINERD, True), id="image store"),
        pytest.param({}, {"DockerRootDir": "/d", "DriverStatus": None}, ("/d", CONTAINERD, False), id="overlay2"),
        pytest.param(
            {},
            {"DockerRootDir": "/d", "Containerd": {"Address": "/var/run/docker/containerd/containerd.sock"}},
            ("/d", "/d/containerd/daemon", False),
            id="a containerd of the engine's own",
        ),
    ],
)
def test_roots(tmp_path: Path, files: dict, info: dict, roots: tuple) -> None:
    found = root_facts(info, put(tmp_path, files))
    assert (found["root"], found["containerd_root"], found["containerd_store"]) == roots


@pytest.mark.parametrize(
    ("unit", "configured", "running"),
    [
        ("etc/systemd/system/containerd.service", "/a", "/a"),
        ("etc/systemd/system/containerd.service.d/zz.conf", "/a", "/a"),
        # The role's own: without it the default counts.
        (UNIT, CONTAINERD, "/a"),
    ],
)
def test_root_without_the_role_s_drop_in(tmp_path: Path, unit: str, configured: str, running: str) -> None:
    put(tmp_path, {unit: "[Service]\nExecStart=\nExecStart=/usr/bin/containerd --log-level warn --root=/a\n"})
    assert containerd_roots(tmp_path) == (configured, running)


@pytest.mark.parametrize(
    ("path", "holds"),
    [
        ("var/lib/docker/image/overlay2/imagedb/content/sha256/0a", (True, False)),
        ("var/lib/docker/containers/0a/config.v2.json", (True, False)),
        ("var/lib/docker/volumes/any/_data/file", (True, False)),
        ("var/lib/docker/volumes/metadata.db", (False, False)),
        ("var/lib/docker/buildkit/cache.db", (False, False)),
        ("var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/0a", (False, True)),
        ("var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs/x", (False, True)),
        ("var/lib/containerd/io.containerd.runtime.v2.task/moby/0a/config.json", (False, True)),
        ("var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db", (False, False)),
    ],
)
def test_what_a_root_holds(tmp_path: Path, path: str, holds: tuple) -> None:
    """Directories and databases of an engine's first start do not count as data."""
    found = root_facts({}, put(tmp_path, {path: ""}))
    assert (found["data_root_holds"], found["containerd_root_holds"]) == holds


@pytest.mark.parametrize(
    ("source", "version", "options", "store"),
    [
        ("docker", "", {}, True),
        ("docker", "29.0.0", {}, True),
        ("docker", "28.5.2", {}, False),
        ("distribution", "", {}, False),
        ("distribution", "", {"features": {"containerd-snapshotter": True}}, True),
        ("docker", "", {"features": {"containerd-snapshotter": False}}, False),
        ("docker", "", {"storage-driver": "overlay2"}, False),
        ("docker", "", {"userns-remap": "default"}, False),
    ],
)
def test_image_store_of_a_new_engine(source: str, version: str, options: dict, store: bool) -> None:
    assert containerd_store(source, version, options) is store


def seen(**engine) -> dict:
    """Return the info of a host with a running engine that the role manages, with these changes."""
    bare = {
        "serves": True, "error": "", "source": "docker-ce", "compose": "2.40.0", "managed": True, "pin": "",
        "apt_sources": [], "data_root": DATA, "data_root_holds": True, "containerd_root": CONTAINERD,
        "containerd_configured": CONTAINERD, "containerd_root_holds": True, "systemd": True, "snap": False,
        "desktop": False, "security": [], "selinux_enforcing": False, "packages": {}, "command": ["/usr/bin/dockerd"],
        "daemon_json_names": [],
    }  # fmt: skip
    return {"os": {"id": "debian", "version_id": "13", "codename": "trixie", "apt": True}, "engine": {**bare, **engine}}


MOVES = [
    # (engine, data root, containerd root, what the line names)
    pytest.param({}, "", "", "", id="nothing set"),
    pytest.param({}, DATA, CONTAINERD, "", id="where they are"),
    pytest.param({}, DATA + "/", "", "", id="a slash more"),
    pytest.param({}, "/d", "", "docker_engine_data_root", id="data"),
    pytest.param({}, "", "/c", "docker_engine_containerd_root", id="containerd"),
    pytest.param({"data_root": "/d"}, "", "", "docker_engine_data_root", id="the setting was removed"),
    pytest.param({"containerd_root": "/c"}, "", "", "docker_engine_containerd_root", id="and that of containerd"),
    pytest.param({"data_root_holds": False}, "/d", "", "", id="empty data"),
    pytest.param({"containerd_root_holds": False}, "", "/c", "", id="empty containerd"),
    pytest.param(
        {"containerd_configured": "/c", "containerd_root": "/c"}, "", "", "", id="config.toml of somebody else's"
    ),
    # Files of an engine that was removed.
    pytest.param({"serves": False, "managed": False, "source": "none"}, "/d", "", "docker_engine_data_root", id="left"),
    # The role does not change an engine that it does not manage.
    pytest.param({"managed": False}, "/d", "/c", "", id="not managed"),
]


@pytest.mark.parametrize(("engine", "data", "containerd", "option"), MOVES)
def test_no_root_that_holds_something_is_moved(engine: dict, data: str, containerd: str, option: str) -> None:
    plan = engine_plan(seen(**engine), "docker", "", "https://any", [], {"data-root": data} if data else {}, containerd)
    assert (plan["action"] == "refuse") is bool(option)
    if option:
        (problem,) = plan["problems"]
        assert f": set {option} to /" in problem
        assert problem.count(": ") == 1


@pytest.mark.parametrize(("data", "containerd"), [("/d", ""), ("", "/c")])
def test_each_remedy_works(tmp_path: Path, data: str, containerd: str) -> None:
    """With the option restored, or with the data moved, the run is accepted."""
    put(tmp_path, {"var/lib/docker/containers/0a/x": "", "var/lib/containerd/x.content.v1.content/blobs/sha256/0a": ""})
    look = {"engine": root_facts({}, tmp_path)}
    problem = changed_root_problem(look, data, containerd)
    option, current = problem.split(": set ")[1].split(",")[0].split(" to ")
    back = {"docker_engine_data_root": data, "docker_engine_containerd_root": containerd, option: current}
    assert changed_root_problem(look, *back.values()) == ""
    (tmp_path / current.lstrip("/")).rename(tmp_path / (data or containerd).lstrip("/"))
    assert changed_root_problem({"engine": root_facts({}, tmp_path)}, data, containerd) == ""


def test_file_systems_without_a_drive_are_distinguished_by_number(tmp_path: Path) -> None:
    """tmpfs and overlay are names that many file systems share."""
    found = disk(put(tmp_path, {"proc/self/mountinfo": "1 0 0:9 / / rw - tmpfs tmpfs rw\n"}), "/any")
    assert found["device"] == "tmpfs"
    assert found["filesystem"].replace(":", "").isdigit()
    line = "1 0 254:1 / / rw - btrfs /dev/vda1 rw\n"
    assert disk(put(tmp_path, {"proc/self/mountinfo": line}), "/any")["filesystem"] == "/dev/vda1"


def test_facts_are_plain(tmp_path: Path) -> None:
    assert json.loads(json.dumps(root_facts({}, tmp_path))) == root_facts({}, tmp_path)
