"""Run a command in a pseudo terminal, as a person would: its output, its exit code, and answers to its prompts."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import signal
import subprocess
import termios
import time
from collections.abc import Mapping
from pathlib import Path

ROWS = 50
# Ansible discards what was typed before it displays a prompt.
PAUSE = 1.0


def run(
    command: str,
    folder: Path,
    environment: Mapping[str, str],
    columns: int = 120,
    answers: Mapping[str, str] | None = None,
    seconds: float = 1200,
) -> tuple[str, int]:
    """Run a command and return its output and its exit code.

    answers: regular expression of a prompt -> the answer that is typed. Raise TimeoutError after the given seconds.
    """
    leader, follower = pty.openpty()
    try:
        termios.tcsetwinsize(follower, (ROWS, columns))
        ends = {"stdin": follower, "stdout": follower, "stderr": follower}
        # Prompts need the controlling terminal of a session, which a new session of Popen does not have.
        words = ["setsid", "--ctty", *shlex.split(command)]
        process = subprocess.Popen(words, cwd=folder, env=dict(environment), **ends)
    finally:
        os.close(follower)
    prompts = {re.compile(f"(?:{prompt})\\s*$"): answer for prompt, answer in (answers or {}).items()}
    output, since, deadline = b"", 0, time.monotonic() + seconds
    try:
        while part := _read(leader, deadline):
            output += part
            shown = output[since:].decode(errors="replace")
            typed = next((answer for prompt, answer in prompts.items() if prompt.search(shown)), None)
            if typed is not None:
                since = len(output)
                time.sleep(PAUSE)
                os.write(leader, f"{typed}\n".encode())
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        raise TimeoutError(f"{command} did not end in {seconds:.0f} s: {output.decode(errors='replace')}") from None
    finally:
        os.close(leader)
        code = process.wait()
    return output.decode(errors="replace"), code


def _read(leader: int, deadline: float) -> bytes:
    """Return the next output, which is empty at its end. Raise TimeoutError at the deadline."""
    ready, _write, _error = select.select([leader], [], [], max(0.0, deadline - time.monotonic()))
    if not ready:
        raise TimeoutError
    try:
        return os.read(leader, 65536)
    except OSError:
        return b""  # Linux reports the end of the last process with EIO.
