"""Each alert rule in a firing and a quiet case, evaluated by promtool of Debian's Prometheus."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.alerting import rule_files_problem

from tests.harness.parts import monitor

ROOT = Path(__file__).parents[2]
RULES_FILE = ROOT / "roles/prover_monitor/files/alerts.yml"
GROUPS = yaml.safe_load(RULES_FILE.read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
CASES = yaml.safe_load((Path(__file__).parent / "alerts.yml").read_text())
WATCHDOG = "ProverWatchdog"


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([monitor() / "promtool", *arguments], capture_output=True, text=True, check=False)


def expected_alert(name: str, case: dict[str, Any]) -> dict[str, Any]:
    """Return the alert as promtool expects it: labels, and annotations with the summary of the case."""
    rule, labels = ALERTS[name], case.get("labels", {})
    annotations = dict(rule["annotations"], summary=case["summary"])
    for label, value in labels.items():
        annotations = {key: text.replace(f"{{{{ $labels.{label} }}}}", value) for key, text in annotations.items()}
    return {"exp_labels": {**rule["labels"], **labels}, "exp_annotations": annotations}


def evaluation(name: str, case: dict[str, Any], fires: bool) -> dict[str, Any]:
    """Return a test of promtool for a case: the alert fires or not, and no other alert fires."""
    others = "|".join([name, WATCHDOG, *case.get("also", [])])
    alerts = [expected_alert(name, case)] if fires else []
    no_others = {"expr": f'ALERTS{{alertstate="firing", alertname!~"{others}"}}', "exp_samples": []}
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case["series"].items()],
        "alert_rule_test": [{"eval_time": case["at"], "alertname": name, "exp_alerts": alerts}],
        "promql_expr_test": [{"eval_time": case["at"], **no_others}],
    }


def test_every_alert_has_its_cases() -> None:
    assert sorted(CASES) == sorted(ALERTS)


@pytest.mark.parametrize("state", ["firing", "quiet"])
def test_alerts_fire_only_when_they_should(state: str, tmp_path: Path) -> None:
    cases = {name: case[state] for name, case in CASES.items() if case[state]}
    assert set(ALERTS) - set(cases) == ({WATCHDOG} if state == "quiet" else set())
    tests = [evaluation(name, case, state == "firing") for name, case in cases.items()]
    file = tmp_path / "alerts.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES_FILE)], "evaluation_interval": "1m", "tests": tests}))
    result = promtool("test", "rules", file)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_explains_what_it_means_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert set(rule["annotations"]) == {"summary", "description", "action"}
    assert rule["annotations"]["description"].endswith(".") and not rule["annotations"]["summary"].endswith(".")
    assert rule["labels"]["severity"] in ("critical", "warning", "none")
    assert "for" in rule


def test_promtool_refuses_a_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the inventory runs promtool if it is on the controller."""
    monkeypatch.setenv("PATH", str(monitor()))
    file = tmp_path / "own.yml"
    file.write_text("groups: [{name: own, rules: [{alert: Own, expr: up ==}]}]")
    wrong, remedy = rule_files_problem([str(file)]) or ("", "")
    assert wrong.startswith("promtool refuses own.yml (") and "parse error" in wrong and remedy == "correct the rule"
    file.write_text("groups: [{name: own, rules: [{alert: Own, expr: up == 0}]}]")
    assert rule_files_problem([str(file)]) is None


def test_promtool_accepts_the_rules() -> None:
    result = promtool("check", "rules", RULES_FILE)
    assert result.returncode == 0, result.stdout + result.stderr
