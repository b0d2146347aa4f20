"""Progress messages of the lab, with the seconds since the start and the duration of each step."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

START = time.monotonic()
LOCK = threading.Lock()


def say(text: str) -> None:
    with LOCK:
        print(f"[{time.monotonic() - START:6.1f}s] {text}", flush=True)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print a message when a step starts and when it ends or fails, with its duration."""
    say(f"{name} ...")
    begin = time.monotonic()
    try:
        yield
    except BaseException:
        say(f"{name}: FAILED after {time.monotonic() - begin:.1f} s")
        raise
    say(f"{name}: done in {time.monotonic() - begin:.1f} s")
