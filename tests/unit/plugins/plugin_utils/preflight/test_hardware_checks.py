# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Problems of hosts without space for images, with a processor that cannot prove, or without an image for it."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import RELEASES
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import ROLES, read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.hardware_checks import (
    compare,
    image_bytes,
    image_name,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_checks import (
    check_hosts,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_settings import (
    ComponentSettings,
    EngineSettings,
    component_settings,
    engine_settings,
)

GB, TB, GIB = 1000**3, 1000**4, 1024**3
DATA, CONTAINERD = "/var/lib/docker", "/var/lib/containerd"
IMAGE, CRS_IMAGE = "azteclabs/aztec:6.0.0", "azteclabs/aztec-prover-agent:6.0.0"
FLAGS = ["adx", "avx", "avx2", "bmi2"]
NEW = {"serves": False, "source": "none", "root": DATA, "containerd_root": CONTAINERD, "containerd_store": None}
LEGACY = {**NEW, "serves": True, "source": "docker-ce", "containerd_store": False, "architecture": "amd64"}
STORE = {**LEGACY, "containerd_store": True}
LARGER = "set docker_engine_data_root and docker_engine_containerd_root to directories on a larger disk, "


def volume(free: float, device: str = "/dev/a", size: float = 4 * TB) -> dict:
    return {"size_bytes": size, "free_bytes": int(free), "kind": "nvme", "device": device, "filesystem": device}


def host_info(disks: dict, engine: dict, images: dict | None = None, **more) -> dict:
    """Return the host info of an agent's host without problems, with these disks, engine and images."""
    hardware = {"vcpus": 64, "cores": 32, "memory_bytes": 128 * GIB, "link_mbps": None, "cpu_flags": FLAGS}
    seen = {"error": "", "compose": "2.40.0", "managed": False, "pin": "", "rules": True, "apt_sources": []}
    usable = {"systemd": True, "snap": False, "desktop": False, "security": [], "selinux_enforcing": False}
    seen.update(usable, packages={}, command=["/usr/bin/dockerd"], daemon_json_names=[], **engine)
    return {
        "hostname": "a",
        "addresses": ["10.0.0.21"],
        "os": {"id": "debian", "version_id": "13", "codename": "trixie", "apt": True, "architecture": "x86_64"},
        "hardware": {**hardware, "disks": disks, **more.pop("hardware", {})},
        "engine": seen,
        "images": images or {},
        "nft": {"installed": True},
        "guard": {"installed": False, "owner": "", "problems": [], "saved_rulesets": []},
        **more,
    }


def lines(
    seen: dict,
    images: tuple = (IMAGE,),
    engine: EngineSettings | None = None,
    components: tuple = ("prover_agent",),
    requirements: str = "fail",
    line: str = "6",
) -> list[str]:
    """Return the problems of one host as texts."""
    here = {
        "components": list(components),
        "addresses": ["10.0.0.21"],
        "paths": dict.fromkeys(components, "/opt/aztec"),
        "images": list(images),
        "docker_ipv6_subnet": "",
    }
    fleet = {"line": line, "broker": {"publish": ["10.0.0.21"]}, "hosts": {"agent-1": here}}
    settings = {"agent-1": {name: ComponentSettings(requirements=requirements) for name in components}}
    found = check_hosts({"agent-1": seen}, fleet, settings, {"agent-1": engine or EngineSettings()})
    return [" | ".join((one.level, one.variable, one.wrong, one.remedy)) for one in found.problems]


def short(where: str, found: str, needed: str, larger: str = "", level: str = "error", lower: str = "warn") -> list:
    remedy = f"free or add space there, {larger}or set prover_agent_requirements: {lower}"
    return [f"{level} | disk of {where}, free | found {found}, needed {needed} | {remedy}"]


BIG = {"/": volume(3 * TB)}


def full(*paths: str, free: float = 0.4 * GB) -> dict:
    """Return the disks of a host where these paths are on one small disk of their own."""
    return {**BIG, **{path: volume(free, "/dev/b") for path in paths}}


@pytest.mark.parametrize(
    ("disks", "engine", "images", "found"),
    [
        pytest.param(BIG, LEGACY, {}, [], id="room everywhere"),
        # The example: /opt is large, and the engine's data root is full.
        pytest.param(
            full(DATA), LEGACY, {}, short(DATA, "0.4 GB", "6.0 GB"), id="full data root"
        ),
        pytest.param(
            full(CONTAINERD),
            STORE,
            {},
            short(CONTAINERD, "0.4 GB", "4.0 GB"),
            id="full containerd with the image store",
        ),
        # Nothing is written to the other directory.
        pytest.param(full(CONTAINERD), LEGACY, {}, [], id="containerd without the store"),
        pytest.param(full(DATA, free=3 * GB), STORE, {}, [], id="data root with the store"),
        # A root that was moved by its own settings.
        pytest.param(
            full("/d"), {**LEGACY, "root": "/d"}, {}, short("/d", "0.4 GB", "6.0 GB"), id="moved"
        ),
        # One file system for several things: the sum.
        pytest.param(
            full("/var", DATA, CONTAINERD, free=5 * GB),
            STORE,
            {},
            short(f"{DATA}, {CONTAINERD}", "5.0 GB", "6.0 GB"),
            id="both roots on one",
        ),
        pytest.param(
            {"/": volume(5 * GB)}, LEGACY, {}, short(f"/opt/aztec, {DATA}", "5.0 GB", "6.0 GB"), id="one disk for all"
        ),
        pytest.param(
            {"/": volume(6.5 * GB)},
            NEW,
            {},
            short(f"/opt/aztec, {DATA}, {CONTAINERD}, /usr, /var/cache/apt", "6.5 GB", "6.7 GB", LARGER),
            id="an engine's packages too",
        ),
        pytest.param(
            full("/usr"), NEW, {}, short("/usr", "0.4 GB", "0.5 GB", LARGER), id="full /usr"
        ),
        # An image that is there is not pulled.
        pytest.param({"/": volume(5 * GB)}, LEGACY, {IMAGE: {}}, [], id="image is there"),
        pytest.param(
            full(DATA), LEGACY, {IMAGE: {}}, short(DATA, "0.4 GB", "2.0 GB"), id="still full"
        ),
        pytest.param({"/": volume(5 * GB)}, LEGACY, {"azteclabs/aztec:5.9.0": {}}, short(
            f"/opt/aztec, {DATA}", "5.0 GB", "6.0 GB"), id="another version is there"),
        pytest.param({}, LEGACY, {}, [], id="nothing known"),
    ],
)  # fmt: skip
def test_space_is_checked_where_it_is_used(disks: dict, engine: dict, images: dict, found: list) -> None:
    assert lines(host_info(disks, engine, images)) == found


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({}, CONTAINERD),
        ({"docker_engine_version": "28.5.2"}, DATA),
        ({"docker_engine_source": "distribution"}, DATA),
        ({"docker_engine_daemon_options": {"features": {"containerd-snapshotter": False}}}, DATA),
        ({"docker_engine_containerd_root": "/full"}, "/full"),
        ({"docker_engine_version": "28.5.2", "docker_engine_data_root": "/full"}, "/full"),
        ({"docker_engine_version": "28.5.2", "docker_engine_daemon_options": {"data-root": "/full"}}, "/full"),
        # A larger disk, as in the remedy.
        ({"docker_engine_data_root": "/opt/docker", "docker_engine_containerd_root": "/opt/containerd"}, None),
    ],
)
def test_space_of_an_engine_that_is_not_there_yet(settings: dict, where: str | None) -> None:
    """Each of these paths is a full disk of its own."""
    disks = {**BIG, **{path: volume(0.4 * GB, f"/dev{path}") for path in (DATA, CONTAINERD, "/full")}}
    found = lines(host_info(disks, NEW), engine=engine_settings(settings, read_specs(ROLES)))
    pulls = [one for one in found if "needed 4.0 GB" in one or "needed 6.0 GB" in one]
    assert [one.split(" | ")[1] for one in pulls] == ([f"disk of {where}, free"] if where else [])
    assert where or not found


@pytest.mark.parametrize(
    ("requirements", "found"),
    [
        ("warn", short(DATA, "0.4 GB", "6.0 GB", level="warning", lower="ignore")),
        ("ignore", []),
    ],
)
def test_the_remedy_lowers_the_level(requirements: str, found: list) -> None:
    assert lines(host_info(full(DATA), LEGACY), requirements=requirements) == found


@pytest.mark.parametrize(
    ("line", "wanted", "present", "gigabytes"),
    [
        ("6", [IMAGE], [], 4.0),
        ("6", [IMAGE], [IMAGE], 0),
        # With the CRS, of 1.09 GB, compressed and not; the layers below it are the other image's.
        ("6", [CRS_IMAGE], [], 6.2),
        ("6", [IMAGE, CRS_IMAGE], [], 6.2),
        ("6", [IMAGE, CRS_IMAGE], [IMAGE], 2.2),
        ("6", [IMAGE, CRS_IMAGE], [CRS_IMAGE], 0),
        ("6", ["registry.lan:5000/aztec-prover-agent:6.0.0@sha256:0a"], [], 6.2),
        ("2.1", ["aztecprotocol/aztec:2.1.5"], [], 4.0),
        ("6", [], [], 0),
    ],
)
def test_size_of_images(line: str, wanted: list, present: list, gigabytes: float) -> None:
    assert round(image_bytes(wanted, {one: {} for one in present}, RELEASES[line]) / GB, 1) == gigabytes


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("aztec:6.0.0", "aztec"),
        ("registry.lan:5000/a/aztec:6.0.0@sha256:0a", "registry.lan:5000/a/aztec"),
        ("registry.lan:5000/aztec", "registry.lan:5000/aztec"),
    ],
)
def test_name_of_an_image(reference: str, name: str) -> None:
    assert image_name(reference) == name


def test_a_limit_of_memory_is_named() -> None:
    seen = host_info(BIG, LEGACY, hardware={"memory_bytes": 8 * GIB, "memory_limited": True})
    assert lines(seen)[0].startswith("error | memory | found 8.6 GB (cgroup limit), needed 128 GB | use a larger host")


BUILD = "use a machine with a 64-bit system on x86 or ARM, or set aztec_image to an image that you built"
PUBLISHED = f"error | architecture | {IMAGE} is published for amd64 and arm64, but the host is {{}} | {BUILD}"
OWN = "registry.lan:5000/aztec:6.0.0"


@pytest.mark.parametrize(
    ("machine", "engine", "images", "present", "found"),
    [
        ("x86_64", "", (IMAGE,), {}, []),
        ("aarch64", "", (IMAGE,), {}, []),
        ("x86_64", "amd64", (IMAGE,), {}, []),
        ("riscv64", "", (IMAGE,), {}, [PUBLISHED.format("riscv64")]),
        # A 32-bit distribution, or a 32-bit engine, on a 64-bit kernel.
        ("armv7l", "", (IMAGE,), {}, [PUBLISHED.format("arm")]),
        ("aarch64", "arm", (IMAGE,), {}, [PUBLISHED.format("arm")]),
        ("i686", "", (IMAGE,), {}, [PUBLISHED.format("386")]),
        # As in the remedy: a custom image that is pulled or present.
        (
            "riscv64", "", (OWN,), {},
            [
                f"warning | architecture | {OWN} may not be built for the host's architecture riscv64 | run "
                f"docker pull {OWN} on the host, which fails if it is not"
            ],
        ),
        ("riscv64", "", (OWN,), {OWN: {}}, []),
    ],
)  # fmt: skip
def test_architecture(machine: str, engine: str, images: tuple, present: dict, found: list) -> None:
    seen = host_info(BIG, {**LEGACY, "architecture": engine}, present)
    seen["os"]["architecture"] = machine
    assert lines(seen, images) == found


def cpu(missing: str, who: str, needs: str, option: str) -> list[str]:
    remedy = f"use a newer machine, set the CPU type of the virtual machine to host, or set {option}: ignore"
    return [f"warning | CPU | the CPU does not have {missing}; {who} needs {needs} | {remedy}"]


SINCE = "a processor released in 2015 or later"


@pytest.mark.parametrize(
    ("flags", "line", "components", "found"),
    [
        (FLAGS, "6", ("prover_agent",), []),
        (["avx", "avx2", "bmi1", "bmi2"], "6", ("prover_agent",), cpu(
            "adx", "prover_agent", "Skylake or newer", "prover_agent_requirements")),
        # Programs of the other lines and components are compiled for the same processor.
        (["avx2", "bmi2"], "4", ("prover_agent",), cpu("adx", "prover_agent", SINCE, "prover_agent_requirements")),
        (["avx"], "2.1", ("prover_node",), cpu("adx, avx2, bmi2", "prover_node", SINCE, "prover_node_requirements")),
        (["adx", "avx2"], "6", ("prover_broker", "prover_node"), cpu(
            "bmi2", "prover_node", SINCE, "aztec_requirements")),
        # A virtual machine with a generic processor has none of the required features.
        ([], "6", ("prover_agent",), cpu(
            "adx, avx2, bmi2", "prover_agent", "Skylake or newer", "prover_agent_requirements")),
        (None, "6", ("prover_agent",), []),
    ],
)  # fmt: skip
def test_a_processor_that_cannot_prove(flags: list | None, line: str, components: tuple, found: list) -> None:
    seen = host_info(BIG, LEGACY, hardware={"cpu_flags": flags, "memory_bytes": 512 * GIB, "vcpus": 256})
    assert [one for one in lines(seen, (), components=components, line=line) if "CPU" in one.split(" | ")[1]] == found
    assert lines(seen, (), components=components, line=line, requirements="ignore") == []


@pytest.mark.parametrize(
    ("engine", "wanted", "found"),
    [
        (LEGACY, EngineSettings(), []),
        (LEGACY, EngineSettings(options={"data-root": DATA}, containerd_root=f"{CONTAINERD}/"), []),
        (
            LEGACY,
            EngineSettings(options={"data-root": "/d"}),
            [
                f"warning | docker_engine_data_root | is /d, but the installed engine uses {DATA}, which the run does "
                f"not change | set docker_engine_data_root to {DATA} for this host, or set it in that engine's own "
                "settings"
            ],
        ),
        (NEW, EngineSettings(options={"data-root": "/d"}), []),
    ],
)
def test_roots_of_an_engine_of_somebody_else(engine: dict, wanted: EngineSettings, found: list) -> None:
    assert lines(host_info(BIG, engine), engine=wanted) == found


def test_a_root_that_holds_something_is_not_moved() -> None:
    seen = host_info(BIG, {**LEGACY, "managed": True, "data_root": DATA, "data_root_holds": True})
    assert lines(seen, engine=EngineSettings(options={"data-root": "/d"})) == [
        f"error | container engine | {DATA} contains images, containers or volumes, which would not be found in /d | "
        f"set docker_engine_data_root to {DATA}, or stop all containers, Docker and containerd, move {DATA} to /d, "
        "and run again"
    ]
    assert lines(seen, engine=EngineSettings(options={"data-root": DATA})) == []


@pytest.mark.parametrize(
    ("vcpus", "memory_gb", "disk_gb", "short"),
    [(2, 4, 50, []), (1, 4, 50, ["vCPUs"]), (2, 2, 50, ["memory"]), (2, 4, 40, ["disk of /opt/aztec"])],
)
def test_a_monitor_needs_little(vcpus: int, memory_gb: int, disk_gb: int, short: list) -> None:
    disks = {"/opt/aztec": volume(disk_gb * GB, size=disk_gb * GB)}
    hardware = {"vcpus": vcpus, "cores": vcpus, "memory_bytes": memory_gb * GB, "disks": disks}
    rows = compare({"hardware": hardware}, {"prover_monitor": 1}, "6", {"prover_monitor": "/opt/aztec"})
    assert [row.what for row in rows if row.state == "insufficient"] == short


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({}, "fail"),
        ({"aztec_requirements": "warn"}, "warn"),
        ({"aztec_requirements": "warn", "prover_monitor_requirements": "ignore"}, "ignore"),
    ],
)
def test_requirements_of_a_monitor(values: dict, wanted: str) -> None:
    settings = component_settings(values, ["prover_monitor"], read_specs(ROLES))["prover_monitor"]
    assert settings.requirements == wanted
    assert [port for _name, _protocol, port, _loopback in settings.ports] == [4318, 9090, 9093, 3000]
