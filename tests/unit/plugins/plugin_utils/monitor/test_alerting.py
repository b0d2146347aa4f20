# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Alert rules with settings, the operator's rule files, and the results of a test alert."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.alerting import (
    alert_names,
    alert_rules,
    notification_results,
    rule_files,
    rule_files_problem,
    threshold_names,
)

RULES = """
groups:
  - name: one
    rules:
      - {record: "prover:threshold:peers", expr: vector(5)}
      - {alert: Few, expr: peers < 5, for: 5m}
"""


def test_names() -> None:
    assert alert_names(RULES) == ["Few"]
    assert threshold_names(RULES) == ["peers"]


def test_without_settings_the_text_is_unchanged() -> None:
    assert alert_rules(RULES) == RULES


def test_settings_replace_times_and_thresholds() -> None:
    rules = yaml.safe_load(alert_rules(RULES, {"Few": "1h"}, {"peers": "2.5"}))["groups"][0]["rules"]
    assert [rules[0]["expr"], rules[1]["for"]] == ["vector(2.5)", "1h"]


@pytest.mark.parametrize(
    ("name", "text", "wrong"),
    [
        ("own.yml", RULES, None),
        ("own.txt", RULES, "own.txt is not a unique name that ends with .yml"),
        ("own.yml", "a: [", "own.yml is not a rule file of Prometheus"),
        ("own.yml", "[]", "own.yml is not a rule file of Prometheus"),
        ("own.yml", "groups: [{name: a, rules: [{alert: A}]}]", "own.yml is not a rule file of Prometheus"),
        ("own.yml", "groups: [{name: a, rules: [{expr: up}]}]", "own.yml is not a rule file of Prometheus"),
        ("own.yml", "groups: [{rules: []}]", "own.yml is not a rule file of Prometheus"),
        ("own.yml", None, "own.yml cannot be read (No such file or directory)"),
    ],
)
def test_rule_files(tmp_path: Path, name: str, text: str | None, wrong: str | None) -> None:
    """The files of prover_monitor_rule_files."""
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    found = rule_files_problem([str(path)])
    assert (found and found[0]) == wrong
    if wrong is None:
        assert rule_files([str(path)]) == {f"prometheus/rules/user-{name}": text}
    else:
        with pytest.raises(ValueError, match=": "):
            rule_files([str(path)])


def test_two_files_of_one_name(tmp_path: Path) -> None:
    paths = []
    for directory in ("a", "b"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "own.yml").write_text(RULES)
        paths.append(str(tmp_path / directory / "own.yml"))
    assert rule_files_problem(paths) == ("own.yml is not a unique name that ends with .yml", "rename the file")


def metrics(requests: int, failed: int) -> str:
    return (
        f'alertmanager_notification_requests_total{{integration="slack",receiver_name="operator"}} {requests}\n'
        f'alertmanager_notification_requests_failed_total{{integration="slack",receiver_name="operator"}} {failed}\n'
    )


@pytest.mark.parametrize(
    ("before", "after", "result"),
    [
        ((0, 0), (1, 0), "sent"),
        ((5, 5), (6, 5), "sent"),
        ((5, 5), (7, 6), "sent"),
        ((5, 5), (7, 7), "failed"),
        ((5, 5), (5, 5), "waiting"),
    ],
)
def test_results_of_a_test_alert(before: tuple, after: tuple, result: str) -> None:
    assert notification_results(metrics(*after), metrics(*before), ["slack"]) == {"slack": result}


def test_a_receiver_without_metrics_waits() -> None:
    assert notification_results("", "", ["email"]) == {"email": "waiting"}
