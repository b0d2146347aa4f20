"""Debian's Prometheus on this machine, with the files and the command of the role prover_monitor."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.monitor.prometheus import lab_command, lab_config
from tests.harness.parts import monitor
from tests.monitor.render import render


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus: its API's URL and its process number."""

    url: str
    process: int


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def fetch(url: str, body: Any = None) -> Any:
    """Return the JSON of a response, None while nothing answers."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=5) as answer:
            return json.loads(answer.read())
    except OSError:
        return None


def wait(ready: Callable[[], Any], seconds: float = 30) -> Any:
    """Return the first true result."""
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


@contextmanager
def running(command: list[Any], log: Path) -> Iterator[int]:
    """Run a program, and yield its process number."""
    with (
        log.open("w") as output,
        subprocess.Popen([str(word) for word in command], stdout=output, stderr=output) as one,
    ):
        try:
            yield one.pid
        finally:
            one.terminate()


@contextmanager
def prometheus(where: Path, given: dict[str, Any], stand_in: int) -> Iterator[Prometheus]:
    """Run Prometheus without production's flags, settings and rules for OTLP.

    where: a scratch directory. given: variables of the role. stand_in: the port that serves the metrics of OTLP.
    """
    port = free_port()
    project, _guard, files = render(where, {**given, "prover_monitor_prometheus_port": port})
    command = lab_command(yaml.safe_load(project["compose"])["services"]["prometheus"]["command"])
    for path, text in files.items():
        if path.startswith("prometheus/"):
            (where / path).parent.mkdir(parents=True, exist_ok=True)
            (where / path).write_text(text.replace("/etc/prometheus", str(where / "prometheus")))
    config = yaml.safe_load((where / "prometheus/prometheus.yml").read_text())
    (where / "prometheus/prometheus.yml").write_text(yaml.safe_dump(lab_config(config, f"127.0.0.1:{stand_in}")))
    places = {"/etc/prometheus": where / "prometheus", "=/prometheus": f"={where / 'data'}"}
    for inside, outside in places.items():
        command = [word.replace(inside, str(outside)) for word in command]
    with running([monitor() / "prometheus", *command], where / "prometheus.log") as process:
        yield Prometheus(f"http://127.0.0.1:{port}/api/v1", process)
