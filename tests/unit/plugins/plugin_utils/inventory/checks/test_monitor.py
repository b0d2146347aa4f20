# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The group of the monitor and its variables: one line for each mistake."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.plain_secrets import Secret
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import (
    check_inventory,
    check_role_arguments,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.images import IMAGES

from tests.unit.plugins.plugin_utils.inventory.inventories import SPECS, good, resolve_one

PASSWORD = "correct-horse-battery"


def checked(given: dict[str, Any], wide: dict[str, Any] | None = None, monitors: list[str] | None = None) -> tuple:
    """Return (lines, fleet) for the good inventory with a monitor on a host of its own."""
    hosts, groups = good()
    groups["prover_monitor"] = monitors or ["monitor-1"]
    for name in groups["prover_monitor"]:
        own = {"ansible_host": "9.9.9.40", "aztec_address": "10.0.0.40"}
        hosts.setdefault(name, own)
        hosts[name] = {"prover_monitor_grafana_admin_password": PASSWORD, **hosts[name], **given}
    for name in hosts:
        hosts[name] = {**hosts[name], **(wide or {})}
    problems, fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
    return [" | ".join((one.host, one.variable, one.wrong, one.remedy)) for one in problems], fleet


def test_a_monitor_of_its_own() -> None:
    lines, fleet = checked({})
    assert lines == []
    assert fleet["monitor"] == {
        "host": "monitor-1",
        "addresses": ["10.0.0.40"],
        "admitted": ["10.0.0.10/32", "10.0.0.21/32", "10.0.0.22/32", "10.0.0.40/32"],
        "targets": [
            {"host": "node-1", "address": "10.0.0.10", "target": "10.0.0.10:9100"},
            {"host": "agent-1", "address": "10.0.0.21", "target": "10.0.0.21:9100"},
            {"host": "agent-2", "address": "10.0.0.22", "target": "10.0.0.22:9100"},
            {"host": "monitor-1", "address": "127.0.0.1", "target": "127.0.0.1:9100"},
        ],
    }
    endpoints = {one["otlp_endpoint"] for one in fleet["hosts"].values()}
    assert endpoints == {"http://10.0.0.40:4318/v1/metrics"}
    own = fleet["hosts"]["monitor-1"]
    assert own["components"] == ["prover_monitor"]
    assert own["paths"] == {"prover_monitor": "/opt/aztec/prover-monitor/data"}
    assert own["images"] == sorted(IMAGES.values())
    assert "aztec-prover-monitor" in fleet["projects"]


def test_a_monitor_on_a_host_of_the_fleet() -> None:
    lines, fleet = checked({"prover_monitor_otlp_port": 4319}, monitors=["node-1"])
    assert lines == []
    assert fleet["hosts"]["agent-1"]["otlp_endpoint"] == "http://10.0.0.10:4319/v1/metrics"
    assert fleet["monitor"]["targets"][0]["target"] == "127.0.0.1:9100"


def test_without_a_monitor_nothing_is_sent() -> None:
    hosts, groups = good()
    _problems, fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
    assert fleet["monitor"] == {} and "otlp_endpoint" not in fleet["hosts"]["node-1"]
    # A monitor that left its group is found.
    assert "aztec-prover-monitor" in fleet["projects"]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"grafana_admin_password": ""},
            "has fewer than 12 characters | set a longer one in the vault: docs/secrets.md",
        ),
        (
            {"grafana_admin_password": "short-1"},
            "has fewer than 12 characters | set a longer one in the vault: docs/secrets.md",
        ),
        (
            {"grafana_admin_password": "admin"},
            "is a well-known password | set a random one in the vault: docs/secrets.md",
        ),
        (
            {"grafana_admin_password": "prom-operator"},
            "is a well-known password | set a random one in the vault: docs/secrets.md",
        ),
        ({"telegram_chat_id": "1"}, "is set, and prover_monitor_telegram_bot_token is not | set both, or remove it"),
        ({"slack_channel": "#a"}, "is set, and prover_monitor_slack_webhook_url is not | set both, or remove it"),
        (
            {"email_to": "a@b.lan"},
            "is set, and prover_monitor_email_from and prover_monitor_email_smarthost is not | set both, or remove it",
        ),
        ({"webhook_token": "abc"}, "is set, and prover_monitor_webhook_url is not | set both, or remove it"),
        ({"telegram_bot_token": "abc"}, "is not the token of a bot | set the one of BotFather"),
        ({"pagerduty_routing_key": "abc"}, "is not an integration key | set the one of Events API v2"),
        ({"webhook_url": "hooks.lan"}, "has no scheme | begin it with http:// or https://"),
        ({"retention_gb": 0}, "0 is not a number from 1 | set a number from 1"),
        (
            {"grafana_port": 9090},
            "port 9090 is used twice on this host, also by prover_monitor_prometheus_port"
            " | set another port for one of the two",
        ),
        (
            {"alert_for": {"ProverHostDow": "5m"}},
            "has the unknown name 'ProverHostDow' | did you mean ProverHostDown?",
        ),
        (
            {"alert_for": {"ProverHostDown": "5 minutes"}},
            "has no duration for ProverHostDown | set one such as 90s, 10m or 2h",
        ),
        ({"thresholds": {"peer": 1}}, "has the unknown name 'peer' | did you mean peers?"),
        ({"thresholds": {"peers": "few"}}, "has no number for peers | set a number from 0, without a unit"),
        (
            {"images": {"grafana": "grafana/grafana"}},
            "has no version for grafana | add a tag other than latest, or a digest",
        ),
        (
            {"images": {"grafana": "grafana/grafana:latest"}},
            "has no version for grafana | add a tag other than latest, or a digest",
        ),
        (
            {"images": {"loki": "a:1"}},
            "has the unknown name 'loki' | see docs/monitoring.md",
        ),
        (
            {"rule_files": ["/nonexistent/own.yml"]},
            "own.yml cannot be read (No such file or directory) | correct the path, which is one on the controller",
        ),
        ({"retention": 5}, "is an unknown variable | did you mean prover_monitor_retention_gb?"),
    ],
)
def test_one_line_for_each_mistake(given: dict, line: str) -> None:
    (name,) = given
    lines, fleet = checked({f"prover_monitor_{key}": value for key, value in given.items()})
    assert [one for one in lines if f"| prover_monitor_{name} |" in one] == [
        f"monitor-1 | prover_monitor_{name} | {line}"
    ]
    assert len(lines) == 1 and fleet is None


def test_a_password_is_required() -> None:
    hosts, groups = good()
    hosts["monitor-1"] = {"aztec_address": "10.0.0.40"}
    groups["prover_monitor"] = ["monitor-1"]
    problems, _fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
    assert [(one.variable, one.wrong) for one in problems] == [("prover_monitor_grafana_admin_password", "is not set")]


def test_two_monitors() -> None:
    lines, fleet = checked({}, monitors=["node-1", "agent-1"])
    assert lines == ["the inventory | prover_monitor | this group has 2 hosts | keep one host in it"] and fleet is None


def test_a_misspelled_group() -> None:
    hosts, groups = good()
    groups["prover_monitors"] = ["monitor-1"]
    problems, _fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
    assert [(one.variable, one.remedy) for one in problems] == [("prover_monitors", "did you mean prover_monitor?")]


def test_an_address_that_does_not_resolve() -> None:
    lines, fleet = checked({"aztec_address": "nowhere.lan"})
    wrong = "'nowhere.lan' does not resolve"
    assert lines == [f"monitor-1 | aztec_address | {wrong} | set the address by which the fleet reaches the host"]
    assert fleet is None


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("10.0.0.5:4318/v1/metrics", "has no scheme | begin it with http:// or https://"),
        (
            "http://10.0.0.5:4318",
            "does not end with /v1/metrics | set the whole URL, such as http://host:4318/v1/metrics",
        ),
    ],
)
def test_a_wrong_endpoint(url: str, line: str) -> None:
    lines, _fleet = checked({}, {"aztec_otlp_endpoint": url})
    assert {one.partition(" | ")[2] for one in lines} == {f"aztec_otlp_endpoint | {line}"}


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"prover_monitor_grafana_admin_password": PASSWORD}, []),
        ({}, [("prover_monitor_grafana_admin_password", "is not set")]),
        (
            {"prover_monitor_grafana_admin_password": PASSWORD, "prover_monitor_grafana_port": 0},
            [("prover_monitor_grafana_port", "0 is not a port")],
        ),
    ],
)
def test_a_role_without_a_fleet(values: dict, problems: list) -> None:
    found = check_role_arguments("prover_monitor", "monitor-1", values, SPECS)
    assert [(one.variable, one.wrong) for one in found] == problems


# Variables of every host, on a host that is only a monitor: (variables, line).
COMMON_VARIABLES = [
    ({"docker_engine_lock_timeout": -1}, "docker_engine_lock_timeout | -1 is below 0 | set a number from 0"),
    (
        {"docker_engine_registry_mirrors": "http://10.0.0.3:5000"},
        "docker_engine_registry_mirrors | is a text, not a list | write it as a list, [one, two]",
    ),
    (
        {"docker_engine_source": "podman"},
        "docker_engine_source | 'podman' is not a choice | choose one of docker, distribution",
    ),
    (
        {"port_guard_required_by_docker": "sometimes"},
        "port_guard_required_by_docker | is neither true nor false | set true or false",
    ),
    (
        {"docker_engine_data_root": "/data", "docker_engine_daemon_options": {"data-root": "/other"}},
        "docker_engine_data_root | is set, and so is data-root in docker_engine_daemon_options | set only one of them",
    ),
    ({"docker_engine_sourc": "x"}, "docker_engine_sourc | is an unknown variable | did you mean docker_engine_source?"),
    ({"host_metrics_interval": 1}, "host_metrics_interval | 1 is out of range | set seconds from 5 to 300"),
    (
        {"aztec_address": "10.0.0.21"},
        "aztec_address | 10.0.0.21 is also the address of agent-1 | set an address of its own for each host; add a "
        "machine with several components once, to each group",
    ),
    (
        {"aztec_instance": "main2"},
        "aztec_instance | is 'main2', and not set on node-1 | set one value for the whole fleet",
    ),
]


@pytest.mark.parametrize(("given", "line"), COMMON_VARIABLES, ids=[next(iter(one)) for one, _line in COMMON_VARIABLES])
def test_the_variables_of_every_host(given: dict, line: str) -> None:
    lines, fleet = checked(given)
    assert lines == [f"monitor-1 | {line}"] and fleet is None


def test_a_fleet_wide_variable_is_one_problem_of_all_hosts() -> None:
    lines, _fleet = checked({}, {"docker_engine_lock_timeout": -1})
    assert sorted(lines) == [
        f"{host} | docker_engine_lock_timeout | -1 is below 0 | set a number from 0"
        for host in ("agent-1", "agent-2", "monitor-1", "node-1")
    ]


def test_a_monitor_outside_of_the_run_is_checked_for_what_the_fleet_needs() -> None:
    """Its own variables, but not those of its engine."""
    hosts, groups = good()
    groups["prover_monitor"] = ["monitor-1"]
    own = {"aztec_address": "10.0.0.40", "prover_monitor_grafana_admin_password": PASSWORD}
    cases = (({"docker_engine_lock_timeout": -1}, []), ({"prover_monitor_otlp_port": 0}, ["otlp_port"]))
    for given, variables in cases:
        hosts["monitor-1"] = {**own, **given}
        problems, _fleet = check_inventory(hosts, groups, SPECS, None, resolve_one, run=["agent-1"])
        assert [one.variable for one in problems] == [f"prover_monitor_{name}" for name in variables]


@pytest.mark.parametrize(
    ("name", "port", "other"),
    [
        ("prometheus", 9100, "node_exporter"),
        ("grafana", 9090, "prover_monitor_prometheus_port"),
        ("otlp", 8080, "prover_broker_port"),
        ("otlp", 8081, "prover_node_port"),
    ],
)
def test_a_port_that_is_used_twice(name: str, port: int, other: str) -> None:
    lines, _fleet = checked({f"prover_monitor_{name}_port": port}, monitors=["node-1"])
    assert len(lines) == 1, lines
    assert f"port {port} is used twice on this host, also by {other}" in lines[0]


def search_password(password: str, secret: Secret) -> str | None:
    """Return where the password is in clear text, None for other secrets."""
    return "in clear text in hosts.yml" if secret.text == password else None


def test_a_secret_in_clear_text() -> None:
    """It is reported for the monitor's host, wherever that is."""
    for monitor in ("monitor-1", "node-1"):
        hosts, groups = good()
        groups["prover_monitor"] = [monitor]
        own = {"aztec_address": "10.0.0.40", "prover_monitor_grafana_admin_password": PASSWORD}
        hosts[monitor] = {**own, **hosts.get(monitor, {})}
        search = partial(search_password, PASSWORD)
        problems, _fleet = check_inventory(hosts, groups, SPECS, None, resolve_one, search=search)
        assert [(one.host, one.variable, one.level) for one in problems] == [
            (monitor, "prover_monitor_grafana_admin_password", "warning")
        ]


def test_a_role_without_a_fleet_checks_the_engine() -> None:
    values = {"prover_monitor_grafana_admin_password": PASSWORD, "docker_engine_lock_timeout": -1}
    found = check_role_arguments("prover_monitor", "monitor-1", values, SPECS)
    assert [(one.variable, one.wrong) for one in found] == [("docker_engine_lock_timeout", "-1 is below 0")]


def test_rule_files_without_promtool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their expressions are not checked, which is a note, until promtool is installed."""
    rules = tmp_path / "own.yml"
    rules.write_text("groups: [{name: own, rules: [{alert: Own, expr: up == 0}]}]")
    monkeypatch.setenv("PATH", str(tmp_path))
    (line,), fleet = checked({"prover_monitor_rule_files": [str(rules)]})
    wrong = "has expressions that are not checked, because the controller has no promtool"
    assert line.startswith(f"monitor-1 | prover_monitor_rule_files | {wrong} | install it") and fleet
    (tmp_path / "promtool").write_text("#!/bin/sh\n")
    (tmp_path / "promtool").chmod(0o755)
    assert checked({"prover_monitor_rule_files": [str(rules)]})[0] == []
