"""This machine as a host of the fleet: one that systemd has booted, or another one altogether."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def python_of_a_host(folder: Path, *, systemd: bool = True, other: bool = False) -> str:
    """Return a program that runs Python with a /run/systemd of its own, as systemd leaves it where it is the init.

    systemd: whether it is. other: with a host name and a network of its own as well, as another machine.
    """
    made = ["mkdir -p /run/systemd", "mount -t tmpfs none /run/systemd"]
    made += ["mkdir /run/systemd/system"] if systemd else []
    made += ["hostname another"] if other else []
    inner = " && ".join([*made, f'exec {sys.executable} "$@"'])
    program = folder / ("python_of_another" if other else "python")
    spaces = "--mount --uts --net" if other else "--mount"
    program.write_text(f'#!/bin/sh\nexec unshare {spaces} sh -c {shlex.quote(inner)} sh "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return str(program)
