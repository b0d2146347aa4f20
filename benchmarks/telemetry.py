"""Measure what monitoring costs, in the lab's fleet and with a synthetic load: python -m benchmarks.telemetry.

The fleet has to run with its monitor, as `KEEP_FLEET=1 tests/run monitor` leaves it. The part `fleet` measures node,
broker and agents with and without telemetry while epochs are proven, and records what the monitor collects from an
agent. The part `load` gives a Prometheus on this machine the recorded series for more agents. The table is that of
docs/monitoring.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.figures import table

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "tests/output"
RECORDED, RESULTS = OUTPUT / "telemetry_series.json", OUTPUT / "telemetry.json"
MONITOR_HOST, RECORDED_AGENT = "monitor-1", "agent-1"
COMPONENTS = (("node-1", "prover-node"), ("node-1", "prover-broker"), ("agent-1", "prover-agent"))
AGENTS = ("agent-1", "agent-2", "agent-3")
SETTLE_SECONDS = 60
# The default intervals of production, in seconds. Those of the lab are shorter.
INTERVAL = 30
INTERVALS = {"aztec_otlp_interval": 30, "prover_monitor_scrape_interval": INTERVAL, "host_metrics_interval": 60}
# Lines of the text format: the series, and its value.
_LINE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*(?:\{.*\})?) (\S+)")


@dataclass(frozen=True)
class Load:
    """What Prometheus needs. cpu: seconds per minute. memory: bytes. seconds: how long it ran."""

    agents: int
    series: int
    memory: int
    cpu: float
    seconds: float


@dataclass(frozen=True)
class Recorded:
    """Two answers of each source, some time apart.

    otlp: what all processes have sent. node: what the node_exporter of the recorded agent offers.
    """

    otlp: tuple[str, str]
    node: tuple[str, str]


@cache
def samples_of(text: str) -> Mapping[str, float]:
    """Return series -> value of the text format."""
    return {match.group(1): float(match.group(2)) for match in map(_LINE.fullmatch, text.splitlines()) if match}


def label_of(series: str, name: str) -> str:
    """Return the value of a label of a series, '' if it does not have it."""
    found = re.search(rf'[{{,]{name}="([^"]*)"', series)
    return found.group(1) if found else ""


def replica(series: str, number: int) -> str:
    """Return a series of the recorded agent as that of another agent. Agent 1 is the recorded one."""
    if number == 1:
        return series
    renamed = series.replace(f'host_name="{RECORDED_AGENT}"', f'host_name="agent-{number}"')
    return re.sub(r'([{,]instance=")([^"]*)"', rf'\g<1>\g<2>-{number}"', renamed)


def at_scrape(first: Mapping[str, float], second: Mapping[str, float], scrape: int) -> Iterator[tuple[str, float]]:
    """Yield series and values of a scrape: those that differed between two answers continue to change."""
    for series, value in first.items():
        yield series, value + (second.get(series, value) - value) * scrape


def otlp_text(recorded: Recorded, agents: int, scrape: int) -> str:
    """Return what node, broker and this many agents have sent, in the text format."""
    lines = []
    for series, value in at_scrape(*map(samples_of, recorded.otlp), scrape):
        host = label_of(series, "host_name")
        if host == RECORDED_AGENT:
            lines += [f"{replica(series, number)} {value!r}" for number in range(1, agents + 1)]
        elif not host.startswith("agent-"):
            lines.append(f"{series} {value!r}")
    return "\n".join(lines) + "\n"


def node_text(recorded: Recorded, scrape: int) -> str:
    """Return what the node_exporter of one host offers, in the text format."""
    values = at_scrape(*map(samples_of, recorded.node), scrape)
    return "\n".join(f"{series} {value!r}" for series, value in values) + "\n"


def address_of(number: int) -> str:
    """Return the loopback address of an agent's host, by which Prometheus tells them apart."""
    return f"127.1.{number // 250}.{number % 250 + 1}"


@contextmanager
def serve(recorded: Recorded, agents: int, interval: float) -> Iterator[int]:
    """Serve the recorded series for this many agents, and yield the port: /metrics of address 127.0.0.1 is OTLP."""
    started = time.monotonic()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            scrape = int((time.monotonic() - started) / interval)
            otlp = self.headers["Host"].startswith("127.0.0.1:")
            body = (otlp_text(recorded, agents, scrape) if otlp else node_text(recorded, scrape)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def process_cpu(process: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def process_memory(process: int) -> int:
    """Return the resident memory of a process in bytes."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure_load(recorded: Recorded, agents: int, seconds: float) -> Load:
    """Run a Prometheus with the series of this many agents, and return what it needs in the last half of the time."""
    from tests.monitor.local import fetch, prometheus

    with tempfile.TemporaryDirectory() as folder, serve(recorded, agents, INTERVAL) as port:
        targets = [
            {"host": f"agent-{number}", "address": address_of(number), "target": f"{address_of(number)}:{port}"}
            for number in range(1, agents + 1)
        ]
        given = {"prover_monitor_targets": targets, "prover_monitor_scrape_interval": INTERVAL}
        with prometheus(Path(folder), given, port) as server:
            time.sleep(seconds / 2)
            before, begin = process_cpu(server.process), time.monotonic()
            time.sleep(seconds / 2)
            used = (process_cpu(server.process) - before) / (time.monotonic() - begin) * 60
            status = fetch(f"{server.url}/status/tsdb")
            if status is None:
                raise RuntimeError((Path(folder) / "prometheus.log").read_text()[-2000:])
            series = status["data"]["headStats"]["numSeries"]
            return Load(agents, series, process_memory(server.process), round(used, 2), seconds)


class Monitored:
    """The lab's fleet with its monitor and three agents."""

    def __init__(self) -> None:
        from tests.harness.machines import make
        from tests.system.fleet import MONITOR, SCALE_OUT, Fleet

        self.inventories = {True: ["-i", str(SCALE_OUT), "-i", str(MONITOR)], False: ["-i", str(SCALE_OUT)]}
        make([AGENTS[-1]], [SCALE_OUT, MONITOR]).close()
        self.fleet = Fleet()

    def deploy(self, telemetry: bool, *arguments: str) -> None:
        """Run site.yml with or without the monitor's group, and wait until the fleet proves again."""
        from tests.system.fleet import playbook

        run = playbook("playbooks/site.yml", *self.inventories[telemetry], *arguments)
        if run.returncode:
            raise RuntimeError(run.stdout[-4000:])
        for host, service in (*COMPONENTS[:2], *((name, "prover-agent") for name in AGENTS)):
            self.fleet.wait_until_healthy(host, service)
        time.sleep(SETTLE_SECONDS)

    def container_cpu(self, host: str, service: str) -> float:
        """Return the CPU seconds that a container has used."""
        name = self.fleet.container(host, service)["Name"].strip("/")
        url = f"http://localhost/containers/{name}/stats?stream=false&one-shot=true"
        found = self.fleet.execute(host, ["curl", "-sS", "--unix-socket", "/var/run/docker.sock", url]).out
        return float(json.loads(found)["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9

    def cpu(self, seconds: float) -> dict[str, float]:
        """Return the CPU seconds per minute of each component over a time."""
        before = {service: self.container_cpu(host, service) for host, service in COMPONENTS}
        begin = time.monotonic()
        time.sleep(seconds)
        minutes = (time.monotonic() - begin) / 60
        after = {service: self.container_cpu(host, service) for host, service in COMPONENTS}
        return {service: (after[service] - before[service]) / minutes for service in after}

    def text(self, url: str) -> str:
        """Return a response that the monitor's host gets."""
        return str(self.fleet.execute(MONITOR_HOST, ["curl", "-sS", "--fail", url]).out)

    def recorded(self, pause: float) -> Recorded:
        """Return two answers of each source."""
        agent = self.fleet.machines[RECORDED_AGENT].address
        urls = ("http://127.0.0.1:9464/metrics", f"http://{agent}:9100/metrics")
        first = [self.text(url) for url in urls]
        time.sleep(pause)
        second = [self.text(url) for url in urls]
        return Recorded(*((one, other) for one, other in zip(first, second)))

    def prometheus(self) -> Load:
        """Return what the monitor's Prometheus uses, by its own metrics."""
        found = samples_of(self.text("http://127.0.0.1:9090/metrics"))
        used = found["process_cpu_seconds_total"]
        seconds = time.time() - found["process_start_time_seconds"]
        memory, series = int(found["process_resident_memory_bytes"]), int(found["prometheus_tsdb_head_series"])
        return Load(len(AGENTS), series, memory, round(used / seconds * 60, 2), round(seconds))


def sent_per_minute(recorded: Recorded, pause: float) -> dict[str, float]:
    """Return the bytes per minute that a process of each component sends, by what the stand-in has counted."""
    first, second = map(samples_of, recorded.otlp)
    found: dict[str, list[float]] = {}
    for series, value in second.items():
        if series.startswith("lab_otlp_received_bytes_total{") and series in first:
            found.setdefault(label_of(series, "job"), []).append((value - first[series]) * 60 / pause)
    return {job: sum(values) / len(values) for job, values in sorted(found.items())}


def result_table(results: Mapping[str, Any]) -> str:
    """Return the tables of docs/monitoring.md. results: with, without (CPU of components), sent, and loads."""
    parts = []
    if "with" in results:
        rows = []
        for _host, service in COMPONENTS:
            more, less = results["with"][service], results["without"][service]
            sent = results["sent"].get(f"aztec-{service}", 0) / 1000
            rows.append([service, f"{less:.1f} s", f"{more:.1f} s", f"{more - less:+.1f} s", f"{sent:.0f} kB"])
        parts.append(table(("per minute", "CPU without telemetry", "CPU with it", "difference", "sent"), rows))
    loads = [Load(**one) for one in results.get("loads", [])]
    heads = ("agents", "series", "memory of Prometheus", "CPU per minute", "after")
    rows = []
    for one in loads:
        memory, after = f"{one.memory / 1e6:.0f} MB", f"{one.seconds / 60:.0f} min"
        rows.append([str(one.agents), str(one.series), memory, f"{one.cpu:.1f} s", after])
    return "\n\n".join([*parts, *([table(heads, rows)] if rows else [])])


def measure_fleet(minutes: float) -> dict[str, Any]:
    """Measure the lab's fleet, and record its series. The fleet ends with its monitor."""
    fleet, seconds = Monitored(), 60 * minutes
    fleet.deploy(True, "-e", json.dumps(INTERVALS))
    with_telemetry = fleet.cpu(seconds)
    recorded = fleet.recorded(seconds)
    RECORDED.write_text(json.dumps(asdict(recorded)))
    own = fleet.prometheus()
    fleet.deploy(False)
    without = fleet.cpu(seconds)
    # The intervals of the lab's inventory.
    fleet.deploy(True)
    sent = sent_per_minute(recorded, seconds)
    return {"with": with_telemetry, "without": without, "sent": sent, "lab": asdict(own)}


def main(arguments: Iterable[str] | None = None) -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.telemetry", description=__doc__)
    parser.add_argument("--parts", default="fleet,load", help="what to measure: fleet, load, or both")
    parser.add_argument("--minutes", type=float, default=5, help="time of each measurement of the fleet")
    parser.add_argument("--load-minutes", type=float, default=8, help="time of each load")
    parser.add_argument("--agents", default="3,200", help="agents of the loads")
    given = parser.parse_args(None if arguments is None else list(arguments))
    OUTPUT.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if "fleet" in given.parts:
        results.update(measure_fleet(given.minutes))
    if "load" in given.parts:
        kept = {name: tuple(texts) for name, texts in json.loads(RECORDED.read_text()).items()}
        counts = [int(count) for count in given.agents.split(",")]
        loads = [measure_load(Recorded(**kept), count, 60 * given.load_minutes) for count in counts]
        results["loads"] = [asdict(load) for load in loads]
    RESULTS.write_text(json.dumps(results, indent=2))
    print(result_table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
