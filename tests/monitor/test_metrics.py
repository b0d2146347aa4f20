"""The metrics in rules and panels exist: in the running 4.1.2, in its source, in node_exporter, or in 5 and 6."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.host_metrics import METRICS

from lab.monitor.otlp import label_name, metric_name

ROOT = Path(__file__).parents[2]
FILES = ROOT / "roles/prover_monitor/files"
RULES = [rule for group in yaml.safe_load((FILES / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
PANELS = [panel for row in yaml.safe_load((FILES / "dashboard.yml").read_text())["rows"] for panel in row["panels"]]
QUERIES = [str(rule["expr"]) for rule in RULES] + [query for panel in PANELS for query in panel["queries"].values()]

# Received from node, broker and agent of 4.1.2, with the lab's L1 and a sequencer.
with (Path(__file__).parent / "metrics_4.1.2.tsv").open() as file:
    SEEN = list(csv.DictReader(file, delimiter="\t"))
# Read in the source of 4.1.2 (telemetry-client/src/metrics.ts): sent only after a submission or a whole epoch.
SOURCE_4_1_2 = {
    ("aztec.l1_publisher.balance", "gauge", "eth"),
    ("aztec.l1_publisher.tx_total_fee", "histogram", "eth"),
    ("aztec.prover_node.job_duration", "histogram", "s"),
    ("aztec.prover_node.job_blocks", "gauge", ""),
    ("aztec.prover_node.job_transactions", "gauge", ""),
}
# Read in the source of 5 and 6.
ONLY_5_AND_6 = {("aztec.l1_publisher.required_balance", "gauge", "eth")}
ATTRIBUTES_BY_SOURCE = {"aztec_status", "aztec_ok", "aztec_l1_tx_type", "aztec_l1_sender"}
OTHERS = {"up", "target_info", "ALERTS"}
RECORDS = {rule["record"] for rule in RULES if "record" in rule}
_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_LABELS = re.compile(r"\b(?:by|on|without|group_left|ignoring)\s*\(([^)]*)\)")
_FUNCTIONS = {
    *(
        "sum",
        "max",
        "min",
        "avg",
        "count",
        "increase",
        "rate",
        "changes",
        "abs",
        "time",
        "vector",
        "histogram_quantile",
    ),
    *("predict_linear", "max_over_time", "and", "or", "unless", "by", "on", "group_left"),
}


def names(kind_of: set[tuple[str, str, str]]) -> set[str]:
    found = set()
    for name, kind, unit in kind_of:
        base = metric_name(name, kind, unit)
        found |= {f"{base}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {base}
    return found


def used(query: str) -> set[str]:
    """Return the metrics in a query."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", " ", _LABELS.sub(" ", query))
    return {name for name in _NAME.findall(bare) if name not in _FUNCTIONS and not name.replace("e", "").isdigit()}


RUNNING = names({(one["name"], one["kind"], one["unit"]) for one in SEEN})
KNOWN = RUNNING | names(SOURCE_4_1_2) | names(ONLY_5_AND_6) | set(METRICS) | RECORDS | OTHERS


@pytest.mark.parametrize("query", QUERIES)
def test_metrics_exist(query: str) -> None:
    assert {name for name in used(query) if name not in KNOWN and not name.startswith("node_")} == set()


def test_most_metrics_were_seen_with_a_running_4_1_2() -> None:
    aztec = {name for query in QUERIES for name in used(query) if name.startswith("aztec_") and name not in METRICS}
    assert aztec - RUNNING == aztec & (names(SOURCE_4_1_2) | names(ONLY_5_AND_6)) - RUNNING
    assert len(aztec & RUNNING) > 15


def test_labels_exist() -> None:
    attributes = {label_name(name) for one in SEEN for name in one["attributes"].split(",") if name}
    own = {"host_name", "component", "service", "job", "le", "mountpoint"}
    grouped = {name.strip() for query in QUERIES for names_ in _LABELS.findall(query) for name in names_.split(",")} - {
        ""
    }
    assert grouped - attributes - own - ATTRIBUTES_BY_SOURCE == set()


def test_each_metric_is_documented() -> None:
    text = (ROOT / "docs/monitoring.md").read_text()
    used_names = {name for query in QUERIES for name in used(query)} - OTHERS
    assert [
        name for name in sorted(used_names) if name.startswith(("aztec_", "node_")) and f"`{name}`" not in text
    ] == []
    assert [rule["alert"] for rule in RULES if "alert" in rule and f"`{rule['alert']}`" not in text] == []
    thresholds = [record.rpartition(":")[2] for record in RECORDS if record.startswith("prover:threshold:")]
    assert [name for name in thresholds if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    ("name", "kind", "unit", "expected"),
    [
        ("aztec.proving_queue.size", "gauge", "", "aztec_proving_queue_size"),
        ("aztec.proving_queue.job_wait", "histogram", "ms", "aztec_proving_queue_job_wait_milliseconds"),
        ("aztec.proving_queue.rejected_jobs_count", "updown", "", "aztec_proving_queue_rejected_jobs_count"),
        ("aztec.l1_publisher.balance", "gauge", "eth", "aztec_l1_publisher_balance_eth"),
        ("aztec.peer_manager.peer_count", "gauge", "peers", "aztec_peer_manager_peer_count_peers"),
        ("process.cpu.time", "counter", "s", "process_cpu_time_seconds_total"),
        ("aztec.db.used_size", "gauge", "By", "aztec_db_used_size_bytes"),
        ("some.share", "gauge", "1", "some_share_ratio"),
        ("requests", "counter", "{request}", "requests_total"),
    ],
)
def test_names_of_prometheus(name: str, kind: str, unit: str, expected: str) -> None:
    assert metric_name(name, kind, unit) == expected
