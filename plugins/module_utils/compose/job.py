# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Work of compose_stack that continues on a host without a connection, and the queries for its progress."""

from __future__ import annotations

import fcntl
import json
import os
import posixpath
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.files import write_atomically
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import Problem
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project_directory import (
    ProjectDirectory,
    held,
    secure,
)

# In memory, and only readable by root: the state and the results of jobs.
JOBS = "/run/aztec-compose-stack"
# Seconds that a job may take in addition to its waiting. The longest part is a pull of several gigabytes.
JOB_LIMIT = 7200
# Seconds after its limit for which the result of a job is kept: the controller may query it late.
JOB_KEPT = 3600
JOB_NAME = re.compile(r"[0-9a-f]{16}")
# Seconds between two looks at a job that is waited for.
POLL_SECONDS = 0.1
# Seconds in which systemd moves a process to its own unit.
UNIT_WAIT = 15


def job_limit(wait_timeout: int, drain_timeout: int = 0) -> int:
    """Return the seconds that a whole job may take, from those of the wait for containers and of the drain."""
    return JOB_LIMIT + 2 * max(wait_timeout, 0) + max(drain_timeout, 0)


class Job:
    """Work that continues if the connection is lost.

    Its arguments stay in memory. Its directory contains only whether it runs, and its result.
    """

    def __init__(self, name: str) -> None:
        if not JOB_NAME.fullmatch(name):
            raise Problem("_job is set by the action plugin, never manually: omit it")
        self.directory = posixpath.join(JOBS, name)

    def start(self, work, limit: int, project: str = "") -> str:
        """Start the work, a function that returns the result, and return immediately.

        limit: the seconds that it may take. Return why the job stays in the login session of this process, or ''.
        """
        os.makedirs(JOBS, mode=0o700, exist_ok=True)
        secure(JOBS, 0o700)
        now = time.time()
        for name in os.listdir(JOBS):
            if JOB_NAME.fullmatch(name) and Job(name).over(now):
                Job(name).forget()
        os.mkdir(self.directory, 0o700)
        # Locked by the job from before its start until after its end.
        alive = os.open(posixpath.join(self.directory, "alive"), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(alive, fcntl.LOCK_EX)
        os.write(alive, project.encode())
        os.utime(alive, (now, now + limit))
        reading, writing = os.pipe()
        child = os.fork()
        if child:
            os.close(alive)
            os.close(writing)
            with os.fdopen(reading, encoding="utf-8", errors="replace") as reason:
                kept = reason.read()
            os.waitpid(child, 0)
            return kept
        try:
            os.write(writing, leave_session(f"aztec-compose-stack-{posixpath.basename(self.directory)}").encode())
            self._detach(alive)
            signal.alarm(limit)
            try:
                result = work()
            except Exception as wrong:
                # Its text may contain anything, also a secret.
                how = f"the work ended with an unexpected error ({type(wrong).__name__})"
                result = {"failed": True, "changed": True, "known": False, "msg": how}
            write_atomically(posixpath.join(self.directory, "result.json"), json.dumps(result))
        finally:
            # The normal exit of a module would remove its code and print a result.
            os._exit(0)

    @staticmethod
    def _detach(alive: int) -> None:
        """Detach from the session, the parent and all descriptors that the connection waits for."""
        os.setsid()
        if os.fork():
            os._exit(0)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and int(name) != alive:
                with suppress(OSError):
                    os.close(int(name))

    def alive(self) -> bool:
        """Return whether the job runs."""
        return held(posixpath.join(self.directory, "alive"))

    def over(self, now: float) -> bool:
        """Return whether the job's result is too old to be kept."""
        # The time of the file is the end of the job's limit. Without it, the job is about to start or never will.
        for path in (posixpath.join(self.directory, "alive"), self.directory):
            with suppress(FileNotFoundError, NotADirectoryError):
                return now > os.stat(path).st_mtime + JOB_KEPT and not self.alive()
        return False

    def result(self) -> dict | None:
        """Return the result of the job, None if there is none yet."""
        path = posixpath.join(self.directory, "result.json")
        try:
            with open(path, encoding="ascii") as handle:
                found = json.load(handle)
        except OSError:
            return None
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return found
        wrong = f"{path} does not contain the result of the work: run the same command again"
        return {"failed": True, "changed": True, "known": False, "msg": wrong}

    def project(self) -> str:
        """Return the name of the project that the job works on while it runs, else ''."""
        path = posixpath.join(self.directory, "alive")
        with suppress(FileNotFoundError, NotADirectoryError):
            if held(path):
                with open(path, encoding="utf-8") as handle:
                    return handle.read(200)
        return ""

    def forget(self) -> None:
        """Remove the state and the result of the job."""
        shutil.rmtree(self.directory, ignore_errors=True)


def working() -> list[str]:
    """Return the names of the projects that jobs work on."""
    names = os.listdir(JOBS) if os.access(JOBS, os.R_OK | os.X_OK) else []
    return sorted({Job(name).project() for name in names if JOB_NAME.fullmatch(name)} - {""})


def in_session(cgroups: str) -> bool:
    """Return whether the text of a /proc/PID/cgroup names a unit of a user, such as a login session."""
    return any("/user.slice/" in line for line in cgroups.splitlines())


def leave_session(unit: str) -> str:
    """Move this process out of its login session, whose processes logind may end at the logout.

    unit: name of the systemd scope that it is moved to. Return '', or on one line why it could not be moved.
    """
    here = "/proc/self/cgroup"
    with open(here, encoding="utf-8") as handle:
        if not in_session(handle.read()):
            return ""
    manager = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
    properties = ("Description", "s", "Work of compose_stack", "PIDs", "au", "1", str(os.getpid()))
    call = ("StartTransientUnit", "ssa(sv)a(sa(sv))", f"{unit}.scope", "fail", "2", *properties, "0")
    try:
        done = subprocess.run(
            ["busctl", "call", *manager, *call],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=UNIT_WAIT,
        )
    except (OSError, subprocess.TimeoutExpired) as wrong:
        return printable(str(wrong), 200)
    if done.returncode:
        return printable(done.stderr, 200)
    # systemd has accepted the call, and moves the process a moment later.
    end = time.monotonic() + UNIT_WAIT
    while time.monotonic() < end:
        with open(here, encoding="utf-8") as handle:
            if not in_session(handle.read()):
                return ""
        time.sleep(0.02)
    return f"systemd has not moved it within {UNIT_WAIT} s"


def progress(directory: str, name: str, seconds: float = 0) -> dict:
    """Return what a job does now, whether it runs, and its result. directory: that of the project.

    seconds: how long to wait for the end of the job, so that it is known at once, with few queries.
    """
    job, end = Job(name), time.monotonic() + seconds
    while True:
        # In this order: the result is written before the job ends.
        alive = job.alive()
        state = {"text": "", "detail": "", "alive": alive, "result": job.result()}
        if state["result"] or not alive or time.monotonic() >= end:
            break
        time.sleep(POLL_SECONDS)
    storage, found = ProjectDirectory(directory), {}
    # The job writes an invalid file again with its next step.
    with suppress(Problem):
        found = storage.load("progress.json")
    if found.get("job") != name:
        return state
    state["text"] = str(found.get("text", ""))
    state["detail"] = str(found.get("detail", ""))
    return state
