"""Packages and programs of the machine that runs the lab."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.fleet.progress import step
from lab.fleet.settings import LabError, cache_directory


def run(command: Sequence[str | Path], *, cwd: Path | None = None) -> str:
    """Run a program and return its output. Raise LabError with the last lines of the output if it fails."""
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        last = " / ".join(done.stdout.strip().splitlines()[-5:])
        raise LabError(f"{command[0]} ended with {done.returncode}: {last}")
    return done.stdout


def need(programs: dict[str, str]) -> None:
    """Install the missing programs with apt. programs: {program: package}.

    apt waits only for dpkg's lock, not for that of its lists. The lock here makes parallel stages wait for each other.
    """
    missing = sorted({package for program, package in programs.items() if shutil.which(program) is None})
    if not missing:
        return
    cache_directory().mkdir(parents=True, exist_ok=True)
    with (cache_directory() / "apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install(missing)


def install(packages: list[str]) -> None:
    """Install packages with apt."""
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    wait = ["-o", "DPkg::Lock::Timeout=600"]
    with step(f"installing {', '.join(packages)}"):
        for command in (
            ["apt-get", *wait, "update", "-q"],
            ["apt-get", *wait, "install", "-y", "-q", "--no-install-recommends", *packages],
        ):
            done = subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
            if done.returncode != 0:
                last = " / ".join(done.stdout.strip().splitlines()[-3:])
                raise LabError(f"{' '.join(command[:1] + command[3:])} failed: {last}")
