# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Alert rules with the operator's settings, rule files of the operator, and what a test alert has reached."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable

DURATION = re.compile(r"0|(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?")
THRESHOLD_PREFIX = "prover:threshold:"
USER_FILE = "prometheus/rules/user-{}"
_METRIC = re.compile(r"alertmanager_notification_requests(_failed)?_total\{([^}]*)\} ([0-9.e+]+)")
_INTEGRATION = re.compile(r'integration="([^"]*)"')


def _rules(text: str) -> tuple:
    found = yaml.safe_load(text)
    return found, [rule for group in found["groups"] for rule in group["rules"]]


def alert_names(text: str) -> list[str]:
    """Return the names of the alerts in a rule file."""
    return [rule["alert"] for rule in _rules(text)[1] if "alert" in rule]


def threshold_names(text: str) -> list[str]:
    """Return the names of the thresholds in a rule file, without their prefix."""
    records = [rule.get("record", "") for rule in _rules(text)[1]]
    return [record[len(THRESHOLD_PREFIX) :] for record in records if record.startswith(THRESHOLD_PREFIX)]


def alert_rules(text: str, durations: Mapping | None = None, thresholds: Mapping | None = None) -> str:
    """Return a rule file with other times for which conditions must hold, and with other thresholds.

    durations: alert -> duration of Prometheus, such as 5m. thresholds: name without prefix -> number. The check of the
    inventory rejects names that the file does not have.
    """
    durations, thresholds = durations or {}, thresholds or {}
    if not durations and not thresholds:
        return text
    found, rules = _rules(text)
    for rule in rules:
        if rule.get("alert") in durations:
            rule["for"] = str(durations[rule["alert"]])
        name = rule.get("record", "").partition(THRESHOLD_PREFIX)[2]
        if name in thresholds:
            rule["expr"] = f"vector({float(thresholds[name]):g})"
    return yaml.safe_dump(found, sort_keys=False, width=1000)


def rule_files_problem(paths: Sequence[str]) -> tuple | None:
    """Return (what is wrong, what to do) with rule files of the operator on the controller, or None.

    Checks their structure, and their expressions if promtool is installed on the controller.
    """
    names = [Path(path).name for path in paths]
    for path, name in zip(paths, names):
        if not name.endswith((".yml", ".yaml")) or names.count(name) > 1:
            return f"{name} is not a unique name that ends with .yml", "rename the file"
        try:
            found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})", "correct the path, which is one on the controller"
        except (yaml.YAMLError, UnicodeDecodeError):
            found = None
        groups = found.get("groups") if isinstance(found, Mapping) else None
        if not isinstance(groups, list) or not all(_is_group(group) for group in groups):
            return f"{name} is not a rule file of Prometheus", "run promtool check rules on it"
        wrong = promtool_problem(path)
        if wrong:
            return f"promtool refuses {name} ({wrong})", "correct the rule"
    return None


def promtool_problem(path: str) -> str:
    """Return why the promtool of the controller refuses a rule file, '' if it accepts it or is not installed."""
    program = shutil.which("promtool")
    if not program:
        return ""
    done = subprocess.run([program, "check", "rules", path], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return printable((lines or [f"exit code {done.returncode}"])[-1])[:200]


def _is_group(group: object) -> bool:
    if not isinstance(group, Mapping) or not isinstance(group.get("name"), str):
        return False
    rules = group.get("rules")
    return isinstance(rules, list) and all(_is_rule(rule) for rule in rules)


def _is_rule(rule: object) -> bool:
    has_expression = isinstance(rule, Mapping) and isinstance(rule.get("expr"), (str, int, float))
    return has_expression and ("alert" in rule) != ("record" in rule)


def rule_files(paths: Sequence[str]) -> dict[str, str]:
    """Return the operator's rule files by their paths in the project's directory. Raise ValueError if one is wrong."""
    wrong = rule_files_problem(paths)
    if wrong:
        raise ValueError(": ".join(wrong))
    return {USER_FILE.format(Path(path).name): Path(path).read_text(encoding="utf-8") for path in paths}


def notifications(metrics: str) -> dict[str, tuple[int, int]]:
    """Return integration -> (requests, failed requests) from the text of Alertmanager's metrics."""
    found: dict[str, list[int]] = {}
    for failed, labels, value in _METRIC.findall(metrics):
        integration = _INTEGRATION.search(labels)
        if integration:
            counts = found.setdefault(integration.group(1), [0, 0])
            counts[bool(failed)] += int(float(value))
    return {name: (requests, failed) for name, (requests, failed) in found.items()}


def notification_results(after: str, before: str, receivers: Sequence[str]) -> dict[str, str]:
    """Return receiver -> sent, failed or waiting, from Alertmanager's metrics after and before a test alert.

    receivers: Alertmanager's names of the integrations that are set, such as telegram.
    """
    old, new = notifications(before), notifications(after)
    results = {}
    for name in receivers:
        requests, failed = (one - other for one, other in zip(new.get(name, (0, 0)), old.get(name, (0, 0))))
        results[name] = "sent" if requests > failed else "failed" if failed else "waiting"
    return results
