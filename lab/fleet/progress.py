"""What the lab is doing, said as it does it, with the seconds since the start and the seconds that each step took."""

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
    """Announce a step, and its end with the time it took; a step that raises says so."""
    say(f"{name} ...")
    begin = time.monotonic()
    try:
        yield
    except BaseException:
        say(f"{name}: FAILED after {time.monotonic() - begin:.1f} s")
        raise
    say(f"{name}: done in {time.monotonic() - begin:.1f} s")
