# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The minimum requirements: the guide's figures, tolerances, sums, and unknown values."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.filter.filters import FilterModule
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import RELEASES
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.hardware_checks import (
    agent_count,
    compare,
    missing_cpu_flags,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.units import (
    size_in_bytes,
)

GIB, TB, GB = 1024**3, 1000**4, 1000**3


def host_info(vcpus=64, cores=32, memory=128 * GIB, disks=None, link=1000) -> dict:
    """Return the hardware of the host info. disks: path -> (size, free, kind, device)."""
    disks = disks or {"/": (4 * TB, 3 * TB, "nvme", "/dev/nvme0n1p1")}
    keys = ("size_bytes", "free_bytes", "kind", "device")
    return {
        "hardware": {
            "vcpus": vcpus,
            "cores": cores,
            "memory_bytes": memory,
            "link_mbps": link,
            "disks": {path: dict(zip(keys, values)) for path, values in disks.items()},
        }
    }


def disk(size=4 * TB, free=3 * TB, kind="nvme") -> dict:
    return {"/": (size, free, kind, "/dev/a")}


def shortfalls(seen: dict, counts: dict, paths: dict | None = None) -> list:
    rows = [row for row in compare(seen, counts, "2.1", paths) if row.state == "insufficient"]
    return [f"{row.what}: found {row.found}, needed {row.needed}" for row in rows]


NODE, BROKER, AGENT = {"prover_node": 1}, {"prover_broker": 1}, {"prover_agent": 1}
BOTH = {**NODE, **BROKER}


@pytest.mark.parametrize(
    ("seen", "counts", "lines"),
    [
        # as sold, as DIMMs, as a cloud counts
        (host_info(4, 2, int(15.6 * GIB)), NODE, []),
        (host_info(4, 2, 16 * GIB), NODE, []),
        (host_info(4, 2, int(14.5 * GIB)), NODE, []),
        (host_info(4, 2, 14 * GIB), NODE, ["memory: found 15.0 GB, needed 16 GB"]),
        (host_info(4, 2, 8 * GIB), BROKER, ["memory: found 8.6 GB, needed 16 GB"]),
        (host_info(64, 32, int(125.6 * GIB)), AGENT, []),
        (host_info(64, 32, 112 * GIB), AGENT, ["memory: found 120.3 GB, needed 128 GB"]),
        # vCPUs decide, cores do not
        (host_info(4, 1), BROKER, []),
        (host_info(2, 2), BROKER, ["vCPUs: found 2 (2 cores), needed 4 (2 cores)"]),
        (host_info(3, None), BROKER, ["vCPUs: found 3 (unknown cores), needed 4 (2 cores)"]),
        (host_info(63, 63), AGENT, ["vCPUs: found 63 (63 cores), needed 64 (32 cores)"]),
        # node and broker on one host need the sum
        (host_info(4, 2, 32 * GIB), BOTH, ["vCPUs: found 4 (2 cores), needed 8 (4 cores)"]),
        (host_info(8, 4, 16 * GIB), BOTH, ["memory: found 17.2 GB, needed 32 GB"]),
        (host_info(8, 4, 32 * GIB), BOTH, []),
        # agents scale
        (host_info(128, 64, 256 * GIB), {"prover_agent": 2}, []),
        (host_info(128, 64, 256 * GIB), {"prover_agent": 3}, [
            "vCPUs: found 128 (64 cores), needed 192 (96 cores)", "memory: found 274.9 GB, needed 384 GB"]),
        # a drive sold as 1 TB, less what the file system keeps
        (host_info(disks=disk(int(0.93 * TB))), NODE, []),
        (host_info(disks=disk(500 * GB)), NODE, ["disk of /: found 500.0 GB, needed 1000 GB"]),
        (host_info(disks=disk(kind="ssd")), NODE, ["disk of /, kind: found ssd, needed nvme"]),
        (host_info(disks=disk(kind="ssd")), BROKER, []),
        (host_info(disks=disk(kind="hdd")), AGENT, ["disk of /, kind: found hdd, needed ssd"]),
        # only the network of the node counts
        (host_info(link=10), NODE, ["link: found 10 Mbps, needed 25 Mbps"]),
        (host_info(link=10), AGENT, []),
        # an unknown value is not a shortfall
        (host_info(link=None, disks=disk(kind="unknown")), NODE, []),
        (host_info(link=-1), NODE, []),
        ({"hardware": {}}, NODE, []),
        (host_info(1), {}, []),
        (host_info(1), {"prover_agent": 0}, []),
    ],
)  # fmt: skip
def test_shortfalls(seen: dict, counts: dict, lines: list) -> None:
    assert shortfalls(seen, counts) == lines


def test_unknown_values_are_shown() -> None:
    rows = {row.what: row for row in compare(host_info(link=None, disks=disk(kind="unknown")), NODE, "2.1")}
    assert (rows["link"].state, rows["link"].found) == ("unknown", "unknown")
    assert rows["disk of /, kind"].state == "unknown"
    assert rows["vCPUs"].found == "64 (32 cores)"


def test_components_on_one_device_want_the_sum_and_on_two_their_own() -> None:
    paths = {"prover_node": "/data/node", "prover_broker": "/srv/broker"}
    one = {"/data": (1005 * GB, TB, "nvme", "/dev/a"), "/srv": (1005 * GB, TB, "nvme", "/dev/a")}
    assert [
        row.needed for row in compare(host_info(disks=one), BOTH, "2.1", paths) if row.what == "disk of /data/node"
    ] == ["1010 GB"]
    two = {
        "/": (GB, GB, "hdd", "/dev/z"),
        "/data": (TB, TB, "nvme", "/dev/a"),
        "/srv": (10 * GB, 9 * GB, "ssd", "/dev/b"),
    }
    assert not shortfalls(host_info(disks=two), BOTH, paths)


@pytest.mark.parametrize(
    ("vcpus", "memory_gib", "wanted", "others", "count"),
    [
        (64, 128, "auto", [], 1),
        (128, 256, "auto", [], 2),
        (256, 512, "auto", [], 4),
        (256, 256, "auto", [], 2),
        (127, 512, "auto", [], 1),
        (2, 4, "auto", [], 1),
        (128, 256, "auto", ["prover_node", "prover_broker"], 1),
        (136, 288, "auto", ["prover_node", "prover_broker"], 2),
        (2, 4, 3, [], 3),
        (2, 4, "3", [], 3),
    ],
)
def test_agent_count(vcpus: int, memory_gib: int, wanted: object, others: list, count: int) -> None:
    assert agent_count(host_info(vcpus, memory=memory_gib * GIB), wanted, "2.1", others) == count


@pytest.mark.parametrize("wanted", [0, -1, "0", "many", None])
def test_agent_count_refuses(wanted: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        agent_count(host_info(), wanted, "2.1")


def test_filters() -> None:
    filters = FilterModule().filters()
    assert filters["agent_count"](host_info(), "auto", "2.1") == 1


@pytest.mark.parametrize(
    ("line", "node", "broker"),
    [("2.1", (2, 4), (2, 4)), *((line, (16, 32), (8, 16)) for line in ("4", "5", "6"))],
)
def test_later_lines_require_more(line: str, node: tuple, broker: tuple) -> None:
    needs = RELEASES[line].requirements
    assert (needs["prover_node"].cores, needs["prover_node"].vcpus) == node
    assert (needs["prover_broker"].cores, needs["prover_broker"].vcpus) == broker
    assert (needs["prover_agent"].vcpus, needs["prover_agent"].memory_gb) == (64, 128)


@pytest.mark.parametrize(
    ("line", "flags", "architecture", "missing"),
    [
        ("6", ["adx", "avx2", "bmi2", "avx512f"], "x86_64", []),
        ("6", ["avx", "bmi1"], "x86_64", ["adx", "avx2", "bmi2"]),
        ("5", ["avx2", "bmi2"], "x86_64", ["adx"]),
        ("4", ["avx"], "x86_64", ["adx", "avx2", "bmi2"]),
        ("2.1", ["avx2", "bmi2"], "x86_64", ["adx"]),
        # A virtual machine with a generic processor type has none of the required features.
        ("6", [], "x86_64", ["adx", "avx2", "bmi2"]),
        # Not known: /proc/cpuinfo shows no features, or those of another architecture.
        ("6", None, "x86_64", []),
        ("6", ["asimd"], "aarch64", []),
    ],
)
def test_features_of_the_processor(line: str, flags: list | None, architecture: str, missing: list) -> None:
    seen = {"hardware": {"cpu_flags": flags}, "os": {"architecture": architecture}}
    assert missing_cpu_flags(seen, RELEASES[line].requirements["prover_agent"]) == missing
    assert missing_cpu_flags(seen, RELEASES[line].requirements["prover_node"]) == missing


@pytest.mark.parametrize(
    ("size", "expected"),
    [("16g", 16 * GIB), ("16GB", 16 * GIB), ("500m", 500 * 1024**2), ("64kb", 64 * 1024)],
)
def test_sizes_are_read_as_compose_reads_them(size: str, expected: int) -> None:
    assert size_in_bytes(size) == expected
