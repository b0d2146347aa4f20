"""The synthetic load, the table and the counted bytes of benchmarks/telemetry.py."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks import telemetry
from benchmarks.telemetry import Load, Recorded, otlp_text, replica, result_table, samples_of, sent_per_minute, serve
from lab.monitor.otlp import RECEIVED, Store

BROKER = 'aztec_proving_queue_size{host_name="node-1",instance="b",job="aztec-prover-broker"}'
AGENT = 'process_memory_usage{host_name="agent-1",instance="a1",job="aztec-prover-agent"}'
OTHER = 'process_memory_usage{host_name="agent-2",instance="a2",job="aztec-prover-agent"}'
SENT = 'lab_otlp_received_bytes_total{instance="a1",job="aztec-prover-agent"}'
RECORDED = Recorded(
    otlp=(
        f"{BROKER} 3\n{AGENT} 100\n{OTHER} 200\n{SENT} 1000\n",
        f"{BROKER} 3\n{AGENT} 110\n{OTHER} 200\n{SENT} 2000\n",
    ),
    node=("# HELP up x\nnode_load1 0.5\nnode_x{a=\"b c\"} 1\n", "node_load1 0.75\nnode_x{a=\"b c\"} 1\n"),
)


def test_the_text_format() -> None:
    assert samples_of(RECORDED.node[0]) == {"node_load1": 0.5, 'node_x{a="b c"}': 1}


def test_an_agent_is_copied_and_the_others_are_not() -> None:
    found = samples_of(otlp_text(RECORDED, agents=3, scrape=2))
    copies = [replica(AGENT, number) for number in (1, 2, 3)]
    assert copies == [
        AGENT,
        'process_memory_usage{host_name="agent-2",instance="a1-2",job="aztec-prover-agent"}',
        'process_memory_usage{host_name="agent-3",instance="a1-3",job="aztec-prover-agent"}',
    ]
    assert {series: found[series] for series in copies} == dict.fromkeys(copies, 120)
    assert found[BROKER] == 3
    assert OTHER not in found


def test_each_source_has_an_address() -> None:
    with serve(RECORDED, agents=2, interval=30) as port:
        texts = [
            urllib.request.urlopen(f"http://{address}:{port}/metrics").read().decode()
            for address in ("127.0.0.1", telemetry.address_of(1), telemetry.address_of(200))
        ]
    assert "aztec_proving_queue_size" in texts[0]
    assert texts[1] == texts[2] == 'node_load1 0.5\nnode_x{a="b c"} 1.0\n'
    assert len({telemetry.address_of(number) for number in range(1, 1001)}) == 1000


def test_bytes_are_counted_for_each_process() -> None:
    store = Store()
    attributes = {"service.name": "aztec-prover-agent", "service.instance.id": "a1"}
    pairs = [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]
    payload = {"resourceMetrics": [{"resource": {"attributes": pairs}, "scopeMetrics": []}]}
    for size in (15_000, 16_000):
        store.take(payload, 0, size)
    assert samples_of(store.text(0))[f'{RECEIVED}{{instance="a1",job="aztec-prover-agent"}}'] == 31_000
    assert sent_per_minute(RECORDED, pause=60) == {"aztec-prover-agent": 1000}


def test_the_tables() -> None:
    services = [service for _host, service in telemetry.COMPONENTS]
    results = {
        "with": dict.fromkeys(services, 6.0),
        "without": dict.fromkeys(services, 5.5),
        "sent": {"aztec-prover-agent": 30_000.0},
        "loads": [asdict(Load(200, 230_000, 610_000_000, 4.25, 480))],
    }
    assert "| prover-agent | 5.5 s | 6.0 s | +0.5 s | 30 kB |" in result_table(results)
    assert "| 200 | 230000 | 610 MB | 4.2 s | 8 min |" in result_table(results)
    assert result_table({}) == ""


def test_a_load_with_prometheus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """A run of the part that needs no fleet, for a few seconds."""
    monkeypatch.setattr(telemetry, "RECORDED", tmp_path / "series.json")
    monkeypatch.setattr(telemetry, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(telemetry, "INTERVAL", 2)
    telemetry.RECORDED.write_text(json.dumps(asdict(RECORDED)))
    assert telemetry.main(["--parts", "load", "--agents", "20", "--load-minutes", "0.2"]) == 0
    (load,) = json.loads(telemetry.RESULTS.read_text())["loads"]
    # Each agent has two series of its node_exporter, one of its own, and those of Prometheus for the target.
    assert load["series"] > 20 * 3 and load["memory"] > 10_000_000
    assert "| 20 |" in capsys.readouterr().out
