"""The lab's monitor on this machine: Debian's Prometheus with the files of the role, and the stand-in for OTLP."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from lab.monitor import otlp
from lab.monitor.prometheus import lab_command, lab_config
from tests.harness.parts import monitor
from tests.monitor.render import ROOT, render
from tests.monitor.test_receivers import free_port

ATTRIBUTES = {
    "service.name": "aztec-prover-broker",
    "service.instance.id": "one",
    "host.name": "node-1",
    "aztec.network": "testnet",
}


def request(values: dict[str, int]) -> dict[str, Any]:
    """Return what Aztec sends: the size of the queue by the type of job."""
    points = [
        {
            "attributes": [{"key": "aztec.proving.job_type", "value": {"stringValue": kind}}],
            "timeUnixNano": str(time.time_ns()),
            "asInt": str(value),
        }
        for kind, value in values.items()
    ]
    metric = {"name": "aztec.proving_queue.size", "unit": "", "gauge": {"dataPoints": points}}
    resource = {"attributes": [{"key": name, "value": {"stringValue": value}} for name, value in ATTRIBUTES.items()]}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"scope": {}, "metrics": [metric]}]}]}


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
def running(command: list[Any], log: Path) -> Iterator[None]:
    """Run a program."""
    with (
        log.open("w") as output,
        subprocess.Popen([str(word) for word in command], stdout=output, stderr=output) as one,
    ):
        try:
            yield
        finally:
            one.terminate()


def test_prometheus_stores_what_aztec_pushes(tmp_path: Path) -> None:
    """Debian's Prometheus runs with production's flags, settings and rules, without those for OTLP."""
    stand_in, port = free_port(), free_port()
    given = {"prover_monitor_prometheus_port": port, "prover_monitor_scrape_interval": 5, "prover_monitor_targets": []}
    project, _guard, files = render(tmp_path, given)
    command = lab_command(yaml.safe_load(project["compose"])["services"]["prometheus"]["command"])
    for path, text in files.items():
        if path.startswith("prometheus/"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text.replace("/etc/prometheus", str(tmp_path / "prometheus")))
    config = yaml.safe_load((tmp_path / "prometheus/prometheus.yml").read_text())
    (tmp_path / "prometheus/prometheus.yml").write_text(yaml.safe_dump(lab_config(config, f"127.0.0.1:{stand_in}")))
    places = {"/etc/prometheus": tmp_path / "prometheus", "=/prometheus": f"={tmp_path / 'data'}"}
    for inside, outside in places.items():
        command = [word.replace(inside, str(outside)) for word in command]
    url = f"http://127.0.0.1:{port}/api/v1"
    with (
        running([sys.executable, ROOT / "lab/monitor/otlp.py", stand_in], tmp_path / "otlp.log"),
        running([monitor() / "prometheus", *command], tmp_path / "prometheus.log"),
    ):
        sent = request({"ROOT_ROLLUP": 3, "BASE_PARITY": 4})
        wait(lambda: fetch(f"http://127.0.0.1:{stand_in}{otlp.ROUTE}", sent) == {})
        query = f"{url}/query?{urllib.parse.urlencode({'query': 'prover:queued_jobs'})}"
        (found,) = wait(lambda: (fetch(query) or {}).get("data", {}).get("result"), 60)
        assert found["value"][1] == "7"
        query = f"{url}/query?query=aztec_proving_queue_size"
        labels = [one["metric"] for one in fetch(query)["data"]["result"]]
        assert {(one["job"], one["instance"], one["host_name"]) for one in labels} == {
            ("aztec-prover-broker", "one", "node-1")
        }
        groups = fetch(f"{url}/rules")["data"]["groups"]
        wrong = [rule for group in groups for rule in group["rules"] if rule["health"] == "err"]
        assert len(groups) > 5 and wrong == []
