# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Processors, memory, disks and link of a host, from recorded and made-up kernel files."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import hardware as hw

CPUINFO_TWO_SOCKETS = "\n\n".join(
    f"processor\t: {number}\nmodel name\t: Intel(R) Xeon(R) Processor\nphysical id\t: {number // 4}\n"
    f"core id\t\t: {number % 4 // 2}\nflags\t\t: fpu avx avx2 adx bmi2"
    for number in range(8)
)
CPUINFO_ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd evtstrm\n\nprocessor\t: 1\nFeatures\t: fp asimd"

MOUNTINFO = """\
25 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 25 0:30 / /run rw - tmpfs tmpfs rw
31 25 259:1 / /srv/big\\040disk rw - xfs /dev/nvme0n1p1 rw
32 25 259:2 / /srv rw - xfs /dev/sdb1 rw
33 25 259:3 / /srv rw - xfs /dev/sdc1 rw
"""

ROUTE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wg0\t00000000\t00000000\t0001\t0\t0\t50\t00000080\t0\t0\t0
eth1\t00000000\t0101A8C0\t0003\t0\t0\t200\t00000000\t0\t0\t0
eth0\t00000000\t0104000A\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0004000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
"""
IPV6_ROUTE = "{zero} 00 {zero} 00 {gate} 00000400 00000001 00000000 00000003     ens3\n".format(
    zero="0" * 32, gate="fe80" + "0" * 28
)


def put(root: Path, path: str, text: str = "") -> Path:
    """Write a file under root."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return target


@pytest.mark.parametrize(
    ("meminfo", "wanted"),
    [
        ("MemTotal:       16336524 kB\nMemFree:  1 kB\n", 16728600576),
        ("MemFree:  1 kB\n", 0),
        ("", 0),
    ],
)
def test_memory(meminfo, wanted):
    """Total memory is the kernel's kB in bytes."""
    assert hw.memory_bytes(meminfo) == wanted


@pytest.mark.parametrize(
    ("text", "cores", "flags"),
    [
        (CPUINFO_TWO_SOCKETS, 4, ["adx", "avx", "avx2", "bmi2"]),
        (CPUINFO_ARM, None, ["asimd"]),
        ("processor\t: 0\nflags\t\t: fpu sse2\n", None, []),
        ("processor\t: 0\nflags\t\t: avx2 bmi2\n\nprocessor\t: 1\nflags\t\t: fpu avx2\n", None, ["avx2"]),
        ("", None, None),
    ],
)
def test_cpuinfo(text, cores, flags):
    """Distinguish cores by socket and number. Features are those of all processors. Missing names are unknown."""
    found = hw.parse_cpuinfo(text)
    assert found["cores"] == cores
    assert found["cpu_flags"] == flags


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"sys/fs/cgroup/cpu.max": "350000 100000\n"}, 4),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"sys/fs/cgroup/cpu.max": "1000 100000\n"}, 1),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 2),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_quota(tmp_path, files, wanted):
    """A quota is rounded up to whole processors; none means none."""
    for path, text in files.items():
        put(tmp_path, path, text)
    assert hw.quota_cpus(tmp_path) == wanted


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/", "/dev/vda"),
        ("/opt/aztec", "/dev/vda"),
        ("/run/x", "tmpfs"),
        ("/runner", "/dev/vda"),
        ("/srv/big disk/data", "/dev/nvme0n1p1"),
        ("/srv/other", "/dev/sdc1"),
    ],
)
def test_mount_source(path, wanted):
    """The longest mount point that holds the path, the later one of two."""
    assert hw.mount_source(MOUNTINFO, path) == wanted


def disk_tree(root: Path) -> Path:
    """Lay out a /sys/block with a disk of each kind, a partition, and device mappers on top."""
    block = root / "sys/block"
    for name, rotational, vendor in (
        ("sda", "0", "ATA"), ("sdb", "1", "SEAGATE"), ("sdc", "1", "QEMU    "), ("sdd", "0", "Google"),
        ("vda", "1", ""), ("xvda", "0", ""), ("nvme0n1", "0", ""), ("loop0", "1", ""),
    ):
        put(root, f"sys/block/{name}/queue/rotational", rotational + "\n")
        if vendor:
            put(root, f"sys/block/{name}/device/vendor", vendor + "\n")
    put(root, "sys/block/nvme0n1/nvme0n1p2/partition", "2\n")
    put(root, "sys/block/sda/sda1/partition", "1\n")
    for name, below in (("dm-0", ["nvme0n1/nvme0n1p2"]), ("dm-1", ["dm-0", "sda/sda1"]), ("dm-2", ["dm-1", "vda"])):
        slaves = block / name / "slaves"
        slaves.mkdir(parents=True)
        for target in below:
            (slaves / target.rpartition("/")[2]).symlink_to(block / target)
    return block


@pytest.mark.parametrize(
    ("device", "wanted"),
    [
        ("sda", "ssd"), ("sdb", "hdd"), ("sdc", "unknown"), ("sdd", "unknown"), ("vda", "unknown"), ("xvda", "unknown"),
        ("nvme0n1", "nvme"), ("loop0", "unknown"), ("nvme0n1/nvme0n1p2", "nvme"), ("sda/sda1", "ssd"),
        ("dm-0", "nvme"), ("dm-1", "ssd"), ("dm-2", "unknown"), ("none", "unknown"),
    ],
)
def test_block_kind(tmp_path, device, wanted):
    """The kind of a disk is that of its hardware. Of several disks, the slowest counts, and unknown first."""
    assert hw.block_kind(disk_tree(tmp_path) / device) == wanted


def test_disk_of_a_path_to_come(tmp_path):
    """A path that does not exist yet has the disk of the nearest directory above."""
    found = hw.disk(tmp_path, "/opt/aztec/prover-node/data")
    assert found["size_bytes"] >= found["free_bytes"] > 0
    assert found["kind"] in hw.KIND_RANK


@pytest.mark.parametrize(
    ("route", "ipv6_route", "wanted"),
    [
        (ROUTE, "", "eth0"),
        ("", IPV6_ROUTE, "ens3"),
        (ROUTE, IPV6_ROUTE, "eth0"),
        ("", "", ""),
    ],
)
def test_default_interface(tmp_path, route, ipv6_route, wanted):
    """The default route with the lowest metric; half a default (0.0.0.0/1) is none."""
    put(tmp_path, "proc/net/route", route)
    put(tmp_path, "proc/net/ipv6_route", ipv6_route)
    assert hw.hardware(tmp_path, [])["interface"] == wanted


@pytest.mark.parametrize(("speed", "wanted"), [("10000\n", 10000), ("-1\n", None), ("", None), ("0", None)])
def test_link(tmp_path, speed, wanted):
    """A speed of -1 is unknown."""
    put(tmp_path, "sys/class/net/eth0/speed", speed)
    assert hw.link_mbps(tmp_path, "eth0") == wanted
    assert hw.link_mbps(tmp_path, "") is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n', ("debian", "13", "trixie")),
        ("ID=ubuntu\nVERSION_ID='24.04'\n# ID=x\nVERSION_CODENAME=noble", ("ubuntu", "24.04", "noble")),
        ("ID=debian\nVERSION_CODENAME=forky\n", ("debian", "", "forky")),
        ("", ("", "", "")),
    ],
)
def test_operating_system(tmp_path, text, wanted):
    """Read os-release with both kinds of quotes. Debian's testing does not have a number."""
    put(tmp_path, "etc/os-release", text)
    found = hw.operating_system(tmp_path)
    assert (found["id"], found["version_id"], found["codename"]) == wanted
    assert found["apt"] is False


def test_file_sizes(tmp_path):
    """Files of the named directories only, with their whole paths; a directory in one is not a file."""
    put(tmp_path, "srv/crs/a.dat", "abc")
    put(tmp_path, "srv/crs/deeper/b.dat", "abcd")
    assert hw.file_sizes(tmp_path, ["/srv/crs", "/nowhere"]) == {"/srv/crs/a.dat": 3}
