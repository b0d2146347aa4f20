"""Connect from a machine continuously, to record every moment at which an endpoint is open or closed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.system.endpoints import Endpoint
from tests.system.fleet import Fleet

# Connections per second to each endpoint, and the timeout of one, in seconds. TCP repeats a lost packet after 1 s.
RATE = 50
REPEATED = 0.9
TIMEOUT = 1.5

# argv: endpoints as JSON, [[address, port], ...]; rate; timeout; a file whose removal ends the program; [keep].
# Prints JSON: {endpoint: [[time of the end, answer, time of the last byte, duration], ...]}, times in seconds
# since the epoch. With "keep", connections stay open and request /status four times a second, else they are closed.
PROGRAM = """
import errno, json, os, selectors, socket, sys, time
endpoints, rate, timeout, stop = json.loads(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
waiting, kept, number, began = selectors.DefaultSelector(), {}, 0, time.monotonic()
found = {str(endpoint): [] for endpoint in range(len(endpoints))}

def note(endpoint, code, begun, client=None):
    word = {0: "open", errno.ECONNREFUSED: "refused"}.get(code, "none")
    entry = [time.time(), word, 0, time.time() - begun]
    found[str(endpoint)].append(entry)
    if word == "open" and len(sys.argv) > 5:
        kept[client] = entry
    elif client is not None:
        client.close()

def begin(endpoint):
    address, port = endpoints[endpoint]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    client = socket.socket(family, socket.SOCK_STREAM)
    client.setblocking(False)
    at = time.time()
    code = client.connect_ex((address, port))
    if code in (0, errno.EINPROGRESS):
        waiting.register(client, selectors.EVENT_WRITE, (endpoint, at))
    else:
        note(endpoint, code, at, client)

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
            for endpoint in range(len(endpoints)):
                begin(endpoint)
            number += 1
        if time.monotonic() - talked > 0.25:
            talk()
            talked = time.monotonic()
            if not os.path.exists(stop):
                ending = time.monotonic() + timeout
    for key, _ in waiting.select(max(0, min(0.02, began + number / rate - time.monotonic()))):
        waiting.unregister(key.fileobj)
        note(key.data[0], key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), key.data[1], key.fileobj)
    for key in list(waiting.get_map().values()):
        endpoint, at = key.data
        if time.time() - at > timeout:
            waiting.unregister(key.fileobj)
            note(endpoint, -1, at, key.fileobj)
print(json.dumps(found))
"""


class Attempt(NamedTuple):
    """One attempt: the time of its answer or timeout, its answer (open, refused, none), the time of its last byte.

    seconds: from the first packet to the answer.
    """

    at: float
    answer: str
    served: float
    seconds: float


@dataclass
class Attempts:
    """The attempts of one machine, by endpoint, in the order of time."""

    of: dict[str, list[Attempt]] = field(default_factory=dict)

    def answered(self, *answers: str) -> dict[str, str]:
        """Return the endpoints that gave one of these answers, with their number and time span."""
        found = {}
        for endpoint, attempts in self.of.items():
            times = [attempt.at for attempt in attempts if attempt.answer in answers]
            if times:
                found[endpoint] = f"{len(times)} of {len(attempts)}, over {(times[-1] - times[0]) * 1000:.0f} ms"
        return found

    def repeated(self) -> list[Attempt]:
        """Return the attempts that were answered only after TCP had repeated a packet."""
        return [one for one in self.connected() if one.seconds > REPEATED]

    def connected(self) -> list[Attempt]:
        """Return the attempts that connected."""
        return [attempt for attempts in self.of.values() for attempt in attempts if attempt.answer == "open"]

    def within(self, begin: float, end: float) -> Attempts:
        """Return the attempts that ended in a span of time."""
        return Attempts({name: [one for one in found if begin <= one.at <= end] for name, found in self.of.items()})

    def last(self) -> dict[str, str]:
        """Return each endpoint's last answer."""
        return {endpoint: attempts[-1].answer for endpoint, attempts in self.of.items()}


@contextmanager
def connecting(
    fleet: Fleet, source: str, endpoints: list[Endpoint], rate: int = RATE, keep: bool = False
) -> Iterator[Attempts]:
    """Connect to endpoints from a machine while the block runs; the result is complete when the block has ended.

    keep: keep the connections open and send requests over them, instead of closing each at once.
    """
    stop, out = f"/run/connecting-{source}", f"/run/connecting-{source}.json"
    targets = json.dumps([[endpoint.address, endpoint.port] for endpoint in endpoints])
    program = ["python3", "-c", PROGRAM, targets, str(rate), str(TIMEOUT), stop, *(["keep"] if keep else [])]
    fleet.execute(source, ["rm", "-f", stop, out])
    fleet.execute(source, ["sh", "-c", f'"$@" > {out}.part && mv {out}.part {out} &', "sh", *program])
    _wait(fleet, source, stop)
    attempts = Attempts()
    try:
        yield attempts
    finally:
        fleet.execute(source, ["rm", "-f", stop])
        _wait(fleet, source, out)
        output: dict[str, Any] = json.loads(fleet.execute(source, ["cat", out]).out)
        fleet.execute(source, ["rm", "-f", out])
        for number, endpoint in enumerate(endpoints):
            attempts.of[str(endpoint)] = sorted(Attempt(*entry) for entry in output[str(number)])
            assert len(output[str(number)]) > rate / 2, f"{endpoint} was tried only {len(output[str(number)])} times"


def _wait(fleet: Fleet, name: str, path: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while fleet.execute(name, ["test", "-e", path], check=False).code:
        assert time.monotonic() < deadline, f"{name}: {path} did not appear"
        time.sleep(0.1)
