"""The lab's monitor on this machine: Debian's Prometheus with the files of the role, and the stand-in for OTLP."""

from __future__ import annotations

import sys
import time
import urllib.parse
from pathlib import Path
from typing import Any

from lab.monitor import otlp
from tests.monitor.local import fetch, free_port, prometheus, running, wait
from tests.monitor.render import ROOT

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


def test_prometheus_stores_what_aztec_pushes(tmp_path: Path) -> None:
    """Debian's Prometheus runs with production's flags, settings and rules, without those for OTLP."""
    stand_in = free_port()
    given = {"prover_monitor_scrape_interval": 5, "prover_monitor_targets": []}
    with (
        running([sys.executable, ROOT / "lab/monitor/otlp.py", stand_in], tmp_path / "otlp.log"),
        prometheus(tmp_path, given, stand_in) as server,
    ):
        url = server.url
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
