# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Memory and processors of hosts that are containers, or whose cgroups are limited: the smallest limit counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import hardware as hw

GIB = 1024**3
NO_LIMIT = str(9223372036854771712)

V2 = "30 25 0:30 {root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "31 25 0:31 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "32 25 0:32 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
)
ON_V1 = "5:cpu,cpuacct:{path}\n4:memory:{path}\n1:name=systemd:{path}\n"


def host(root: Path, cgroup: str, mounts: str, limits: dict[str, object]) -> Path:
    """Lay out what the kernel shows of a host's cgroups."""
    files = {"proc/1/cgroup": cgroup, "proc/self/mountinfo": mounts, "proc/meminfo": f"MemTotal: {64 * 1024**2} kB\n"}
    files.update({f"sys/fs/cgroup/{path}": f"{text}\n" for path, text in limits.items()})
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@pytest.mark.parametrize(
    ("cgroup", "mounts", "limits", "gib"),
    [
        # A whole machine: the root cgroup has no such file in v2, and a number above all memory in v1.
        pytest.param("0::/init.scope\n", V2.format(root="/"), {}, 64, id="v2 machine"),
        pytest.param(
            ON_V1.format(path="/"), V1.format(root="/"), {"memory/memory.limit_in_bytes": NO_LIMIT}, 64, id="v1 machine"
        ),
        # systemd-nspawn, LXC, Docker with a cgroup namespace: the namespace's root has the limit.
        pytest.param("0::/init.scope\n", V2.format(root="/"), {"memory.max": 16 * GIB}, 16, id="v2 container"),
        pytest.param("0::/\n", V2.format(root="/"), {"memory.max": "max"}, 64, id="v2 container without a limit"),
        pytest.param(
            ON_V1.format(path="/"),
            V1.format(root="/"),
            {"memory/memory.limit_in_bytes": 16 * GIB},
            16,
            id="v1 container",
        ),
        # Without a namespace, a container is seen at its place among the host's.
        pytest.param(
            ON_V1.format(path="/docker/1/init.scope"),
            V1.format(root="/"),
            {"memory/memory.limit_in_bytes": NO_LIMIT, "memory/docker/1/memory.limit_in_bytes": 16 * GIB},
            16,
            id="v1 container without a namespace",
        ),
        # Its mount may begin at its own cgroup.
        pytest.param(
            "4:memory:/lxc/1\n", V1.format(root="/lxc/1"), {"memory/memory.limit_in_bytes": 16 * GIB}, 16, id="v1 bind"
        ),
        # Limits nest, and the smallest counts, wherever it is.
        pytest.param(
            "0::/machine.slice/a.scope/payload\n",
            V2.format(root="/"),
            {
                "machine.slice/memory.max": 8 * GIB,
                "machine.slice/a.scope/memory.max": 16 * GIB,
                "machine.slice/a.scope/payload/memory.max": "max",
            },
            8,
            id="v2 nested, above",
        ),
        pytest.param(
            "0::/machine.slice/a.scope\n",
            V2.format(root="/"),
            {"machine.slice/memory.max": 16 * GIB, "machine.slice/a.scope/memory.max": 8 * GIB},
            8,
            id="v2 nested, own",
        ),
        # v1 reports a limit of a parent that is not visible from inside.
        pytest.param(
            ON_V1.format(path="/"),
            V1.format(root="/"),
            {
                "memory/memory.limit_in_bytes": NO_LIMIT,
                "memory/memory.stat": f"cache 0\nhierarchical_memory_limit {8 * GIB}\ntotal_cache 0",
            },
            8,
            id="v1 nested, hidden",
        ),
        # Docker's containers are in system.slice; the session that queries is in another slice, which does not count.
        pytest.param(
            "0::/init.scope\n",
            V2.format(root="/"),
            {"system.slice/memory.max": 8 * GIB, "user.slice/memory.max": GIB, "init.scope/memory.max": GIB},
            8,
            id="slices",
        ),
        # Outside of the namespace, or hidden: what is at the mount counts.
        pytest.param("0::/../..\n", V2.format(root="/"), {"memory.max": 16 * GIB}, 16, id="outside"),
        pytest.param("", "", {"memory.max": 16 * GIB}, 16, id="nothing shown"),
        # A limit above the machine's memory has no effect.
        pytest.param("0::/\n", V2.format(root="/"), {"memory.max": 128 * GIB}, 64, id="above the memory"),
    ],
)
def test_memory_is_what_the_cgroups_allow(tmp_path: Path, cgroup: str, mounts: str, limits: dict, gib: int) -> None:
    found = hw.hardware(host(tmp_path, cgroup, mounts, limits), [])
    assert (found["memory_bytes"], found["memory_limited"]) == (gib * GIB, gib != 64)


@pytest.mark.parametrize(
    ("cgroup", "mounts", "limits", "cpus"),
    [
        pytest.param("0::/init.scope\n", V2.format(root="/"), {"cpu.max": "350000 100000"}, 4, id="v2"),
        pytest.param(
            "0::/a/b\n",
            V2.format(root="/"),
            {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"},
            2,
            id="nested",
        ),
        pytest.param(
            ON_V1.format(path="/docker/1"),
            V1.format(root="/"),
            {
                "cpu,cpuacct/cpu.cfs_quota_us": -1,
                "cpu,cpuacct/cpu.cfs_period_us": 100000,
                "cpu,cpuacct/docker/1/cpu.cfs_quota_us": 300000,
                "cpu,cpuacct/docker/1/cpu.cfs_period_us": 100000,
            },
            3,
            id="v1 without a namespace",
        ),
        pytest.param("0::/\n", V2.format(root="/"), {"cpu.max": "max 100000"}, None, id="none"),
    ],
)
def test_processors_are_what_the_cgroups_allow(
    tmp_path: Path, cgroup: str, mounts: str, limits: dict, cpus: int | None
) -> None:
    assert hw.quota_cpus(host(tmp_path, cgroup, mounts, limits)) == cpus
