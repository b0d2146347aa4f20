"""Measure wall time and CPU time of a command: python -m benchmarks.measure LOG COMMAND...

Prints {"wall": seconds, "cpu": seconds, "code": exit code} as JSON. The CPU time is that of the command with all its
descendants. Connections that ssh keeps open for later runs are ended and counted, so that each run opens its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def children() -> list[int]:
    """Return the process ids of this process's children, orphaned descendants of ended ones included."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # The name, in brackets, can contain spaces. The parent is the second field after it.
            if int(path.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(path.parent.name))
    return found


def end_children() -> None:
    """End all children and wait for them, so that their resource usage counts."""
    while found := children():
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for pid in found:
            os.waitpid(pid, 0)


def cpu_seconds() -> float:
    """Return the CPU time of all descendants that ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(command: list[str], log: Path) -> dict[str, float]:
    """Run a command with its output in a file. A pipe would stay open as long as ssh's kept connections."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    before = cpu_seconds()
    started = time.perf_counter()
    with log.open("w") as output:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    wall = time.perf_counter() - started
    end_children()
    return {"wall": round(wall, 3), "cpu": round(cpu_seconds() - before, 3), "code": done.returncode}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[2:], Path(sys.argv[1]))))
