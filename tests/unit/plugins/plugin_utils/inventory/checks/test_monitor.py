# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The group of the monitor and its variables: one line for each mistake."""

from __future__ import annotations

from typing import Any

import pytest
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
