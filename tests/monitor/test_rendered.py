"""What the role prover_monitor writes is valid, and the lab's differs only where it must."""

from __future__ import annotations

import functools
import hashlib
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.differences import file_differences

from lab.monitor.prometheus import FLAGS, SECTIONS, STAND_IN, lab_command, lab_config, lab_proxy
from tests.harness.parts import monitor
from tests.monitor.render import ROOT, evaluate, render
from tests.monitor.test_receivers import RECEIVERS


@functools.cache
def rendered() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    with tempfile.TemporaryDirectory() as where:
        return render(Path(where), RECEIVERS)


def services() -> dict[str, Any]:
    return dict(yaml.safe_load(rendered()[0]["compose"])["services"])


def test_only_the_route_for_metrics_is_reachable() -> None:
    """All containers are in the host's network, and only prover_monitor_otlp_port is for prover_monitor_admitted."""
    prometheus, alertmanager, grafana = (services()[name] for name in ("prometheus", "alertmanager", "grafana"))
    assert {one["network_mode"] for one in services().values()} == {"host"}
    assert "--web.listen-address=127.0.0.1:9090" in prometheus["command"]
    assert "--web.listen-address=127.0.0.1:9093" in alertmanager["command"]
    assert "--cluster.listen-address=" in alertmanager["command"]
    assert grafana["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    ports = {port["port"]: port for port in rendered()[1]["ports"]}
    assert ports[4318] == {"port": 4318, "sources": ["10.0.0.10/32", "10.0.0.21/32", "10.0.0.40/32"]}
    assert {number for number, port in ports.items() if "addresses" in port} == {9090, 9093, 3000}


def test_the_proxy_passes_one_path() -> None:
    text = rendered()[2]["otlp/nginx.conf"]
    assert [line.strip() for line in text.splitlines() if "location" in line] == [
        "location = /v1/metrics {",
        "location / {",
    ]
    assert text.count("proxy_pass") == 1 and "limit_except POST" in text


def test_images_are_pinned() -> None:
    assert all(one["image"].rpartition(":")[2][-1].isdigit() for one in services().values())


def test_the_lab_differs_only_in_otlp(tmp_path: Path) -> None:
    command = services()["prometheus"]["command"]
    assert [word for word in command if word not in lab_command(command)] == list(FLAGS)
    text = rendered()[2]["prometheus/prometheus.yml"]
    config = yaml.safe_load(text)
    lab = lab_config(config, STAND_IN)
    assert set(config) - set(lab) == set(SECTIONS)
    assert {name: lab[name] for name in lab if name != "scrape_configs"} == {
        name: config[name] for name in lab if name != "scrape_configs"
    }
    assert lab["scrape_configs"][:-1] == config["scrape_configs"]
    proxy = rendered()[2]["otlp/nginx.conf"].splitlines()
    in_lab = lab_proxy("\n".join(proxy)).splitlines()
    assert [line.split() for line, other in zip(proxy, in_lab, strict=True) if line != other] == [["proxy_pass", "http://127.0.0.1:9090/api/v1/otlp/v1/metrics;"]]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(lab))
    result = subprocess.run(
        [monitor() / "promtool", "check", "config", "--syntax-only", tmp_path / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_prometheus_queries_each_host() -> None:
    """prover_monitor_targets are the hosts of the fleet by default."""
    config = yaml.safe_load(rendered()[2]["prometheus/prometheus.yml"])
    (job,) = [one for one in config["scrape_configs"] if one["job_name"] == "node"]
    targets = {one["labels"]["host_name"]: one["targets"] for one in job["static_configs"]}
    assert targets == {"node-1": ["10.0.0.10:9100"], "agent-1": ["10.0.0.21:9100"], "monitor-1": ["127.0.0.1:9100"]}


def test_docker_compose_reads_the_file(tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_text(rendered()[0]["compose"])
    command = ["docker", "compose", "-f", str(tmp_path / "compose.yml"), "config", "--quiet"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_times_and_thresholds_are_settings(tmp_path: Path) -> None:
    given = {"prover_monitor_alert_for": {"ProverHostDown": "9m"}, "prover_monitor_thresholds": {"peers": 3}}
    text = render(tmp_path, given)[2]["prometheus/rules/prover.yml"]
    rules = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    assert [rule["for"] for rule in rules if rule.get("alert") == "ProverHostDown"] == ["9m"]
    assert [rule["expr"] for rule in rules if rule.get("record") == "prover:threshold:peers"] == ["vector(3)"]


def test_settings_are_in_the_files(tmp_path: Path) -> None:
    """Each other setting changes what Compose or the programs read."""
    given = {
        "prover_monitor_images": {"grafana": "mirror.lan/grafana:12.1.1"},
        "prover_monitor_prometheus_port": 9999,
        "prover_monitor_alertmanager_port": 9998,
        "prover_monitor_grafana_port": 9997,
        "prover_monitor_retention_days": 7,
        "prover_monitor_retention_gb": 9,
        "prover_monitor_scrape_interval": 17,
        "prover_monitor_grafana_admin_password": "another-long-word",
        "prover_monitor_directory": "/srv/monitor",
        "prover_monitor_data_directory": "/data/monitor",
        "prover_monitor_docker_bridge": "bridge7",
        "prover_monitor_log_max_size": "7m",
        "prover_monitor_log_max_files": 6,
        "prover_monitor_restart_policy": "always",
        "prover_monitor_start_timeout": 77,
    }
    project, guard, files = render(tmp_path, given)
    compose = project["compose"]
    wanted = [
        "mirror.lan/grafana:12.1.1",
        "127.0.0.1:9999",
        "127.0.0.1:9998",
        '"9997"',
        "time=7d",
        "size=9GB",
        '"7m"',
        '"6"',
    ]
    assert [text for text in [*wanted, "restart: always", "/data/monitor/grafana:"] if text not in compose] == []
    assert "scrape_interval: 17s" in files["prometheus/prometheus.yml"]
    assert files["grafana/secrets/admin_password"] == "another-long-word"
    assert (project["directory"], project["wait_timeout"]) == ("/srv/monitor", 77)
    assert "/data/monitor/prometheus" in project["directories"] and guard["bridges"] == ["bridge7"]


def test_host_metrics_settings(tmp_path: Path) -> None:
    """host_metrics_admitted is for the port guard, host_metrics_interval for systemd. The plan knows all files."""
    given = {"host_metrics_admitted": ["10.9.9.9"], "host_metrics_interval": 45}
    names = ("guard", "files", "wanted", "paths")
    found = evaluate(
        tmp_path,
        given,
        {
            "guard": "__host_metrics_desired_guard",
            "files": "__host_metrics_files",
            "wanted": "__host_metrics_desired",
            "paths": "__host_metrics_desired_paths",
        },
    )
    guard, files, wanted, paths = (found[name] for name in names)
    assert guard["ports"] == [{"port": 9100, "sources": ["10.9.9.9"]}]
    assert "OnUnitActiveSec=45\n" in files["/etc/systemd/system/aztec-prover-metrics.timer"]
    assert list(wanted) == paths and set(files) < set(paths)
    settings = json.loads(files["/usr/local/lib/aztec-prover-metrics/metrics.json"])
    assert settings["components"]["prover_monitor"] == {"project": "aztec-prover-monitor", "containers": 4, "agents": 0}
    digests = {path: "" if text is None else hashlib.sha256(text.encode()).hexdigest() for path, text in wanted.items()}
    assert file_differences(wanted, digests) == ["install /usr/bin/prometheus-node-exporter"]
    digests["/usr/bin/prometheus-node-exporter"] = "0"
    assert file_differences(wanted, digests) == []
    assert file_differences(wanted, {**digests, paths[2]: "0"}) == [f"write {paths[2]}"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "no receiver is set"),
        ({"prover_monitor_webhook_url": "http://127.0.0.1:9/"}, "Alertmanager does not respond on monitor-1"),
    ],
)
def test_a_test_alert_needs_a_receiver(tmp_path: Path, given: dict[str, str], message: str) -> None:
    """Without a receiver, alert_test.yml ends before it connects to the host; with one, if Alertmanager is away."""
    inventory = tmp_path / "hosts.yml"
    host = {"ansible_connection": "local", "prover_monitor_alertmanager_port": 9, **given}
    inventory.write_text(json.dumps({"prover_monitor": {"hosts": {"monitor-1": host}}}))
    command = ["ansible-playbook", ROOT / "playbooks/alert_test.yml", "-i", inventory, "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    messages = ("no receiver is set", "Alertmanager does not respond on monitor-1")
    assert [one for one in messages if one in result.stdout] == [message], result.stdout + result.stderr
    assert result.returncode == 2


def test_what_is_removed(tmp_path: Path) -> None:
    """remove.yml names images without tag and digest."""
    images = {"otlp": f"mirror.lan:5000/nginx@sha256:{'0' * 64}", "grafana": "mirror.lan:5000/grafana:12.1.1"}
    removed = evaluate(tmp_path, {"prover_monitor_images": images}, {"removed": "__prover_monitor_removed"})["removed"]
    assert removed["images"] == [
        *("prom/prometheus", "prom/alertmanager", "mirror.lan:5000/grafana", "mirror.lan:5000/nginx")
    ]
    assert removed["directories"] == ["/opt/aztec/prover-monitor/data"]
