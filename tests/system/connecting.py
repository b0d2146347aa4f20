"""Connect from a machine again and again, to see every moment at which a door is open, or shut."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.system.endpoints import Endpoint
from tests.system.fleet import Fleet

# Connections a second to each door, and seconds for which one that gets no answer is waited for.
RATE = 50
PATIENCE = 1.0

# argv: doors as JSON, [[address, port], ...]; rate; patience; a file that ends it. Prints what came of each attempt:
# {door: [[when it was answered or given up, answer, when the last byte came], ...]}, times in seconds since the epoch.
# With a last argument a connection that is made is kept and asked for /status four times a second, else it is closed.
PROGRAM = """
import errno, json, os, selectors, socket, sys, time
doors, rate, patience, stop = json.loads(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
waiting, kept, number, began = selectors.DefaultSelector(), {}, 0, time.monotonic()
found = {str(door): [] for door in range(len(doors))}

def note(door, code, client=None):
    word = {0: "in", errno.ECONNREFUSED: "refused"}.get(code, "none")
    entry = [time.time(), word, 0]
    found[str(door)].append(entry)
    if word == "in" and len(sys.argv) > 5:
        kept[client] = entry
    elif client is not None:
        client.close()

def begin(door):
    address, port = doors[door]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    client = socket.socket(family, socket.SOCK_STREAM)
    client.setblocking(False)
    at = time.time()
    code = client.connect_ex((address, port))
    if code in (0, errno.EINPROGRESS):
        waiting.register(client, selectors.EVENT_WRITE, (door, at))
    else:
        note(door, code, client)

def talk():
    for client, entry in list(kept.items()):
        try:
            if client.recv(65536):
                entry[2] = time.time()
        except BlockingIOError:
            pass
        except OSError:
            del kept[client]
            continue
        try:
            client.send(b"GET /status HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        except BlockingIOError:
            pass
        except OSError:
            del kept[client]

ending, talked = None, 0
open(stop, "w").close()
while ending is None or (waiting.get_map() and time.monotonic() < ending):
    if ending is None:
        if time.monotonic() - began >= number / rate:
            for door in range(len(doors)):
                begin(door)
            number += 1
        if time.monotonic() - talked > 0.25:
            talk()
            talked = time.monotonic()
            if not os.path.exists(stop):
                ending = time.monotonic() + patience
    for key, _ in waiting.select(max(0, min(0.02, began + number / rate - time.monotonic()))):
        waiting.unregister(key.fileobj)
        note(key.data[0], key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), key.fileobj)
    for key in list(waiting.get_map().values()):
        door, at = key.data
        if time.time() - at > patience:
            waiting.unregister(key.fileobj)
            note(door, -1, key.fileobj)
print(json.dumps(found))
"""


class Attempt(NamedTuple):
    """One attempt: when it was answered or given up, its answer (in, refused, none), when its last byte came."""

    at: float
    answer: str
    served: float


@dataclass
class Attempts:
    """What came of the attempts of one machine, by door, in the order of time."""

    of: dict[str, list[Attempt]] = field(default_factory=dict)

    def answered(self, *answers: str) -> dict[str, str]:
        """Return the doors that gave one of these answers, with how often and for how long."""
        found = {}
        for door, attempts in self.of.items():
            times = [attempt.at for attempt in attempts if attempt.answer in answers]
            if times:
                found[door] = f"{len(times)} of {len(attempts)}, over {(times[-1] - times[0]) * 1000:.0f} ms"
        return found

    def let_in(self) -> list[Attempt]:
        """Return the attempts that were let in."""
        return [attempt for attempts in self.of.values() for attempt in attempts if attempt.answer == "in"]

    def within(self, begin: float, end: float) -> Attempts:
        """Return the attempts that were answered or given up in a span of time."""
        return Attempts({door: [one for one in found if begin <= one.at <= end] for door, found in self.of.items()})

    def last(self) -> dict[str, str]:
        """Return each door's last answer."""
        return {door: attempts[-1].answer for door, attempts in self.of.items()}


@contextmanager
def connecting(
    fleet: Fleet, source: str, doors: list[Endpoint], rate: int = RATE, keep: bool = False
) -> Iterator[Attempts]:
    """Connect to doors from a machine for as long as the block lasts; what came of it is there at its end.

    keep: keep the connections and speak over them, in place of closing each at once.
    """
    stop, out = f"/run/connecting-{source}", f"/run/connecting-{source}.json"
    targets = json.dumps([[door.address, door.port] for door in doors])
    program = ["python3", "-c", PROGRAM, targets, str(rate), str(PATIENCE), stop, *(["keep"] if keep else [])]
    fleet.execute(source, ["rm", "-f", stop, out])
    fleet.execute(source, ["sh", "-c", f'"$@" > {out}.part && mv {out}.part {out} &', "sh", *program])
    _wait(fleet, source, stop)
    attempts = Attempts()
    try:
        yield attempts
    finally:
        fleet.execute(source, ["rm", "-f", stop])
        _wait(fleet, source, out)
        said: dict[str, Any] = json.loads(fleet.execute(source, ["cat", out]).out)
        fleet.execute(source, ["rm", "-f", out])
        for number, door in enumerate(doors):
            attempts.of[str(door)] = sorted(Attempt(*entry) for entry in said[str(number)])
            assert len(said[str(number)]) > rate / 2, f"{door} was tried {len(said[str(number)])} times only"


def _wait(fleet: Fleet, name: str, path: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while fleet.execute(name, ["test", "-e", path], check=False).code:
        assert time.monotonic() < deadline, f"{name}: {path} did not appear"
        time.sleep(0.1)
