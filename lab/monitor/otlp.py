#!/usr/bin/env python3
"""The lab's stand-in for Prometheus' OTLP route, which Debian's Prometheus does not have: otlp.py PORT.

Takes OTLP over HTTP as JSON, as Aztec sends it, and offers the latest values for scraping at /metrics, with the names
and labels that Prometheus' translation strategy UnderscoreEscapingWithSuffixes makes of them. Values of a process that
has sent nothing for STALE_SECONDS are no longer offered, as Prometheus stops to show them. RECEIVED counts the bytes of
each process.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STALE_SECONDS = 300
ROUTE = "/api/v1/otlp/v1/metrics"
# As in Prometheus' library otlptranslator; other units stay as they are.
UNITS = {"ms": "milliseconds", "s": "seconds", "us": "microseconds", "ns": "nanoseconds", "By": "bytes", "%": "percent"}
RECEIVED = "lab_otlp_received_bytes_total"
PROMOTED = ("host.name", "service.version", "aztec.network")


def label_name(name: str) -> str:
    """Return the name of a label for an attribute."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def metric_name(name: str, kind: str, unit: str) -> str:
    """Return the name of a metric in Prometheus. kind: gauge, counter (monotonic), updown or histogram."""
    words = [word for word in re.split(r"[^A-Za-z0-9]", name) if word]
    main = re.sub(r"\{[^}]*\}", "", unit).strip()
    suffix = "ratio" if main == "1" and kind == "gauge" else UNITS.get(main, label_name(main) if main != "1" else "")
    if suffix and suffix not in words:
        words.append(suffix)
    if kind == "counter":
        words = [*(word for word in words if word != "total"), "total"]
    return "_".join(words)


def attribute_values(attributes: list[dict[str, Any]]) -> dict[str, str]:
    """Return the attributes by name, without those that have no value."""
    found = {}
    for one in attributes:
        for value in one["value"].values():
            found[one["key"]] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


def samples(payload: dict[str, Any]) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield name, labels and value of each sample of a request."""
    for one in payload["resourceMetrics"]:
        resource = attribute_values(one["resource"]["attributes"])
        common = {"job": resource.get("service.name", ""), "instance": resource.get("service.instance.id", "")}
        promoted = {label_name(name): resource[name] for name in PROMOTED if name in resource}
        others = {
            label_name(name): value
            for name, value in resource.items()
            if name not in ("service.name", "service.instance.id")
        }
        yield "target_info", {**others, **common}, 1.0
        for scope in one["scopeMetrics"]:
            for metric in scope["metrics"]:
                for name, labels, value in metric_samples(metric):
                    yield name, {**labels, **promoted, **common}, value


def metric_samples(metric: dict[str, Any]) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield the samples of a metric."""
    form = next(form for form in ("gauge", "sum", "histogram") if form in metric)
    kind = {"gauge": "gauge", "histogram": "histogram"}.get(form) or (
        "counter" if metric[form].get("isMonotonic") else "updown"
    )
    name = metric_name(metric["name"], kind, metric.get("unit") or "")
    for point in metric[form]["dataPoints"]:
        labels = {label_name(key): value for key, value in attribute_values(point["attributes"]).items()}
        if form == "histogram":
            count = 0
            for bound, number in zip([*point["explicitBounds"], float("inf")], point["bucketCounts"]):
                count += int(number)
                yield f"{name}_bucket", {**labels, "le": "+Inf" if bound == float("inf") else f"{bound:g}"}, count
            yield f"{name}_sum", labels, float(point.get("sum", 0))
            yield f"{name}_count", labels, int(point["count"])
        else:
            yield name, labels, float(point["asDouble"] if "asDouble" in point else point["asInt"])


class Store:
    """The latest samples of each process, and how many bytes it has sent."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.processes: dict[str, tuple[float, dict[str, float]]] = {}
        self.received: dict[str, int] = {}

    def take(self, payload: dict[str, Any], now: float, size: int = 0) -> None:
        found: dict[str, dict[str, float]] = {}
        for one in payload["resourceMetrics"][:1]:
            values = attribute_values(one["resource"]["attributes"])
            job, instance = values.get("service.name", ""), values.get("service.instance.id", "")
            series = f'{RECEIVED}{{instance="{instance}",job="{job}"}}'
            self.received[series] = self.received.get(series, 0) + size
            found[instance] = {series: self.received[series]}
        for name, labels, value in samples(payload):
            escaped = {
                key: text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for key, text in labels.items()
            }
            series = ",".join(f'{key}="{text}"' for key, text in sorted(escaped.items()))
            found.setdefault(labels["instance"], {})[f"{name}{{{series}}}"] = value
        with self.lock:
            for instance, values in found.items():
                self.processes[instance] = (now, values)

    def text(self, now: float) -> str:
        with self.lock:
            self.processes = {one: kept for one, kept in self.processes.items() if now - kept[0] < STALE_SECONDS}
            lines = [
                f"{series} {value!r}" for _at, values in self.processes.values() for series, value in values.items()
            ]
        return "\n".join(sorted(lines)) + "\n"


class Handler(BaseHTTPRequestHandler):
    """Serves the route for OTLP and /metrics."""

    store = Store()

    def do_POST(self) -> None:
        length = self.headers["Content-Length"]
        body = self.rfile.read(int(length)) if length else b"".join(self.chunks())
        if self.path != ROUTE:
            self.reply(404, b"")
            return
        self.store.take(json.loads(body), time.time(), len(body))
        self.reply(200, b"{}")

    def do_GET(self) -> None:
        self.reply(*((200, self.store.text(time.time()).encode()) if self.path == "/metrics" else (404, b"")))

    def chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


def main() -> None:
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()


if __name__ == "__main__":
    main()
