# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pull an image with Docker's command, whose output on a terminal contains the bytes of each layer."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import time
from collections import deque
from collections.abc import Callable, Iterator

# Rows and columns of the terminal. Up to 110 columns, the command prints bytes without a bar.
SIZE = (50, 100)
# Seconds between two reports, and seconds over which the rate is averaged.
REPORT_SECONDS = 1.0
RATE_SECONDS = 10.0

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LAYER = re.compile(r"([0-9a-f]{12}): (.*)")
_AMOUNT = re.compile(r"([0-9.]+) ?([kMGT]?)B/([0-9.]+) ?([kMGT]?)B")
_FACTOR = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}


class Progress:
    """The bytes of a pull, from the lines that Docker's command prints on a terminal."""

    def __init__(self, now: float) -> None:
        """Begin at a time in seconds."""
        self.begun = now
        self.layers: dict[str, str] = {}
        self.loaded: dict[str, int] = {}
        self.messages: list[str] = []
        self._totals: dict[str, int] = {}
        self._samples: deque = deque([(now, 0)])

    def read(self, line: str) -> None:
        """Read one line, without its end."""
        text = _ESCAPE.sub("", line).strip()
        layer = _LAYER.fullmatch(text)
        if not layer:
            self.messages += [text] if text and text not in self.messages else []
            return
        name, state = layer.groups()
        self.layers[name] = state
        amount = _AMOUNT.search(state)
        if amount and state.startswith("Downloading"):
            loaded, total = (int(float(n) * _FACTOR[unit]) for n, unit in (amount.group(1, 2), amount.group(3, 4)))
            self.loaded[name], self._totals[name] = loaded, total
        elif name in self._totals:
            # The command does not print the last bytes of a layer.
            self.loaded[name] = self._totals[name]

    def text(self, now: float) -> str:
        """Return layers, bytes, rate and elapsed time, such as "3 of 8 layers, 812 MB, 31.5 MB/s, 26 s"."""
        loaded = sum(self.loaded.values())
        self._samples.append((now, loaded))
        while len(self._samples) > 2 and now - self._samples[1][0] >= RATE_SECONDS:
            self._samples.popleft()
        then, before = self._samples[0]
        rate = (loaded - before) / max(now - then, 0.001)
        ready = sum(state.startswith(("Pull complete", "Already exists")) for state in self.layers.values())
        layers = f"{ready} of {len(self.layers)} layers, " if self.layers else ""
        return f"{layers}{megabytes(loaded)}, {megabytes(rate)}/s, {now - self.begun:.0f} s"


def megabytes(number: float) -> str:
    """Return bytes in MB, with one digit after the point below 100."""
    found = number / 1000**2
    return f"{found:.0f} MB" if found >= 100 else f"{found:.1f} MB"


def pull(command: list, environment: dict, pass_fds: list, report: Callable[[str], None]) -> tuple[int, str]:
    """Run a command that pulls on a terminal of its own. Return its exit code and its messages without the layers.

    report: is called with Progress.text once in REPORT_SECONDS, also while the command prints nothing.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
    progress, reported = Progress(time.monotonic()), 0.0
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, env=environment, pass_fds=pass_fds
        )
        os.close(slave)
        os.set_blocking(master, False)
        for lines in _lines(master, process):
            for line in lines:
                progress.read(line)
            now = time.monotonic()
            if now - reported >= REPORT_SECONDS:
                report(progress.text(now))
                reported = now
    finally:
        os.close(master)
    return process.wait(), "\n".join(progress.messages)


def _lines(master: int, process: subprocess.Popen) -> Iterator[list[str]]:
    """Yield the lines that a process has printed on a terminal, several times a second, until it ends."""
    rest, ended = "", False
    while not ended:
        ended = process.poll() is not None
        data = _available(master)
        *lines, rest = re.split(r"[\r\n]+", rest + data.decode("utf-8", "replace"))
        yield lines
        if not data and not ended:
            time.sleep(0.2)
    yield [rest]


def _available(master: int) -> bytes:
    """Return what can be read from a terminal now."""
    found = b""
    while True:
        try:
            data = os.read(master, 65536)
        except BlockingIOError:
            return found
        except OSError as error:
            # No process has the terminal open.
            if error.errno != errno.EIO:
                raise
            return found
        if not data:
            return found
        found += data
