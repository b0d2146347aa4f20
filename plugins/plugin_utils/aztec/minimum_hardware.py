# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The minimum hardware of each component, by edition of the guide."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Requirements:
    """The minimum hardware of one component, or of one agent. None: the guide does not contain a figure.

    memory_gb and disk_gb are in 10^9 bytes, link_mbps in 10^6 bits per second. cpu_flags are the x86 features, by
    their names in /proc/cpuinfo, that the programs are compiled for. cpu is the requirement of the guide.
    """

    cores: int
    vcpus: int
    memory_gb: int
    disk_gb: int
    disk_kind: str
    link_mbps: int | None = None
    # "Minimum Requirements" of every edition of the guide, for each component.
    cpu: str = "a processor released in 2015 or later"
    # Upstream's barretenberg/cpp/cmake/arch.cmake: on x86 programs are compiled with -march=skylake. On a CPU without
    # these features they end with an illegal instruction: upstream's issues 16365 (a node) and 24074 (Haswell, without
    # ADX). A virtual machine with a generic CPU type does not have them either.
    cpu_flags: tuple = ("adx", "avx2", "bmi2")


# This collection's own figures, whatever the release line.
OWN = {"prover_monitor": Requirements(cores=1, vcpus=2, memory_gb=4, disk_gb=50, disk_kind="hdd", cpu_flags=())}

# "Running a Prover" of 2.1.5.
GUIDE_2_1 = {
    "prover_node": Requirements(cores=2, vcpus=4, memory_gb=16, disk_gb=1000, disk_kind="nvme", link_mbps=25),
    "prover_broker": Requirements(cores=2, vcpus=4, memory_gb=16, disk_gb=10, disk_kind="ssd"),
    "prover_agent": Requirements(cores=32, vcpus=64, memory_gb=128, disk_gb=10, disk_kind="ssd"),
}

# "Running a Prover" of 4.0.3, the same in "Prover overview" of 5.2. The page of 2.1.11 also has these figures. The
# line 2.1 keeps those of 2.1.5, the guide that this collection follows there.
GUIDE_4 = {
    "prover_node": Requirements(cores=16, vcpus=32, memory_gb=16, disk_gb=1000, disk_kind="nvme", link_mbps=25),
    "prover_broker": Requirements(cores=8, vcpus=16, memory_gb=16, disk_gb=10, disk_kind="ssd"),
    "prover_agent": GUIDE_2_1["prover_agent"],
}
