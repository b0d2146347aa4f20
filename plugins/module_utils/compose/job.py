# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Work of compose_stack that goes on by itself on a host, and how it is asked for."""

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

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import Problem
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project_directory import (
    ProjectDirectory,
    held,
    secure,
)

PULL_LOG = "pull.log"
# In memory, and root's alone: what was said of jobs, and what came of them.
JOBS = "/run/aztec-compose-stack"
# Seconds that a job may take besides its waiting: pulling several gigabytes over a slow line is the longest part.
JOB_LIMIT = 7200
# Seconds beyond its limit that what came of a job is kept: whoever follows it may ask late, over a line that hangs.
JOB_KEPT = 3600
JOB_NAME = re.compile(r"[0-9a-f]{16}")
# Seconds in which systemd takes a process into a unit of its own.
UNIT_WAIT = 15


def job_limit(wait_timeout: int) -> int:
    """Take the seconds that containers are waited for, give those that a whole job may take."""
    return JOB_LIMIT + 2 * max(wait_timeout, 0)


class Job:
    """Work that goes on by itself, whatever becomes of the connection that it was ordered over.

    What it works with stays in its memory; its directory holds no more than whether it lives and what came of it.
    """

    def __init__(self, name: str) -> None:
        if not JOB_NAME.fullmatch(name):
            raise Problem("_job is set by the action plugin, never by hand: leave it out")
        self.directory = posixpath.join(JOBS, name)

    def start(self, work, limit: int, project: str = "") -> str:
        """Take what is to be done (a function that gives the result), the seconds it may take, and the project's name.

        Return at once, with what keeps the job in the login session of this process, or ''.
        """
        os.makedirs(JOBS, mode=0o700, exist_ok=True)
        secure(JOBS, 0o700)
        now = time.time()
        for name in os.listdir(JOBS):
            if JOB_NAME.fullmatch(name) and Job(name).over(now):
                Job(name).forget()
        os.mkdir(self.directory, 0o700)
        # Held by the job from before its first moment to after its last.
        alive = os.open(posixpath.join(self.directory, "alive"), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(alive, fcntl.LOCK_EX)
        os.write(alive, project.encode())
        os.utime(alive, (now, now + limit))
        reading, writing = os.pipe()
        child = os.fork()
        if child:
            os.close(alive)
            os.close(writing)
            with os.fdopen(reading, encoding="utf-8", errors="replace") as said:
                kept = said.read()
            os.waitpid(child, 0)
            return kept
        try:
            os.write(writing, leave_session(f"aztec-compose-stack-{posixpath.basename(self.directory)}").encode())
            self._detach(alive)
            signal.alarm(limit)
            try:
                result = work()
            except Exception as wrong:
                # Its text may hold anything, a secret too.
                how = f"the work broke off in a way that was not foreseen ({type(wrong).__name__})"
                result = {"failed": True, "changed": True, "known": False, "msg": how}
            self._keep(result)
        finally:
            # The way out of a module removes its code, and reports.
            os._exit(0)

    @staticmethod
    def _detach(alive: int) -> None:
        """Leave session, parent and everything that the connection waits for."""
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

    def _keep(self, result: dict) -> None:
        writing, place = (posixpath.join(self.directory, name) for name in ("writing", "result.json"))
        with os.fdopen(os.open(writing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as handle:
            json.dump(result, handle)
        os.rename(writing, place)

    def alive(self) -> bool:
        """Tell whether it is at work."""
        return held(posixpath.join(self.directory, "alive"))

    def over(self, now: float) -> bool:
        """Take the time, tell whether nobody can come for it any more, be its result read or not."""
        # The sign of life bears the end of the job's own limit. Without one it begins this moment, or never will.
        for path in (posixpath.join(self.directory, "alive"), self.directory):
            with suppress(FileNotFoundError, NotADirectoryError):
                return now > os.stat(path).st_mtime + JOB_KEPT and not self.alive()
        return False

    def result(self) -> dict | None:
        """Give what came of it, None where nothing has (yet)."""
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
        wrong = f"{path} does not hold the result of the work: run the same command again"
        return {"failed": True, "changed": True, "known": False, "msg": wrong}

    def project(self) -> str:
        """Return the name of the project that it works on while it lives, else ''."""
        path = posixpath.join(self.directory, "alive")
        with suppress(FileNotFoundError, NotADirectoryError):
            if held(path):
                with open(path, encoding="utf-8") as handle:
                    return handle.read(200)
        return ""

    def forget(self) -> None:
        """Leave nothing of it."""
        shutil.rmtree(self.directory, ignore_errors=True)


def working() -> list[str]:
    """Return the names of the projects that jobs are at work on."""
    names = os.listdir(JOBS) if os.access(JOBS, os.R_OK | os.X_OK) else []
    return sorted({Job(name).project() for name in names if JOB_NAME.fullmatch(name)} - {""})


def in_session(cgroups: str) -> bool:
    """Take the text of a /proc/PID/cgroup, return whether it names a unit of a user's, as login sessions are."""
    return any("/user.slice/" in line for line in cgroups.splitlines())


def leave_session(unit: str) -> str:
    """Move this process out of its login session, all of whose processes logind ends at the logout where it is told to.

    unit: name of systemd's scope that it is moved to. Return '', or in one line why it could not be moved.
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
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=UNIT_WAIT,
        )
    except (OSError, subprocess.TimeoutExpired) as wrong:
        return printable(str(wrong), 200)
    if done.returncode:
        return printable(done.stderr, 200)
    # systemd has taken the order, and moves the process a moment later.
    end = time.monotonic() + UNIT_WAIT
    while time.monotonic() < end:
        with open(here, encoding="utf-8") as handle:
            if not in_session(handle.read()):
                return ""
        time.sleep(0.02)
    return f"systemd has not moved it within {UNIT_WAIT} s"


def progress(directory: str, name: str) -> dict:
    """Take the project's directory and the job, give what it does now, whether it lives and what came of it."""
    job = Job(name)
    # In this order: its result is there before it ends.
    alive = job.alive()
    said = {"text": "", "alive": alive, "result": job.result()}
    disk = ProjectDirectory(directory)
    try:
        found = disk.load("progress.json")
    except Problem:
        # The job writes it anew with its next step.
        return said
    if found.get("job") != name:
        return said
    said["text"] = str(found.get("text", ""))
    if found.get("log"):
        lines = (disk.read(f".stack/{PULL_LOG}") or "").splitlines()
        layers = sum(1 for line in lines if line.endswith(": Pulling fs layer"))
        ready = sum(1 for line in lines if line.endswith((": Pull complete", ": Already exists")))
        if layers:
            said["text"] += f", {ready} of {max(layers, ready)} layers"
    return said
