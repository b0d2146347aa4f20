"""Problems of the monitor: a row is (a part of the line, settings with the problem, settings after each remedy).

`monitor(**settings)` checks the good inventory with a monitor on a host of its own and these settings,
without the prefix `prover_monitor_`.
"""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import patch

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_inventory
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.requirements import GB, retention_problems

from tests.remedies.case import Lines, cases, in_folder, problem_lines
from tests.unit.plugins.plugin_utils.inventory.inventories import SPECS, good, resolve_one

PASSWORD = "correct-horse-battery"
RULES = "groups: [{name: own, rules: [{alert: Own, expr: up == 0}]}]"


def monitor(address: str = "10.0.0.40", **settings: object) -> Lines:
    """Return what checks an inventory with a monitor that has these settings."""

    def lines() -> list[str]:
        hosts, groups = good()
        given = {"grafana_admin_password": PASSWORD, **settings}
        own = {f"prover_monitor_{name}": value for name, value in given.items()}
        hosts["monitor-1"] = {"ansible_host": "9.9.9.40", "aztec_address": address, **own}
        groups["prover_monitor"] = ["monitor-1"]
        return problem_lines(check_inventory(hosts, groups, SPECS, None, resolve_one)[0])

    return lines


def rule_file(text: str | None, name: str = "own.yml") -> Lines:
    """Return what checks a rule file with this text, None for a file that does not exist. promtool accepts all."""

    def lines(folder: Path) -> list[str]:
        if text is not None:
            (folder / name).write_text(text)
        (folder / "promtool").write_text("#!/bin/sh\n")
        (folder / "promtool").chmod(0o755)
        with patch.dict(os.environ, PATH=str(folder)):
            return monitor(rule_files=[str(folder / name)])()

    return in_folder(lines)


def retention(gigabytes: int) -> Lines:
    """Return what compares a retention with a disk of 50 GB."""
    host_info = {"hardware": {"disks": {"/": {"size_bytes": 50 * GB}}}}
    values = {"prover_monitor_retention_gb": gigabytes}
    return lambda: problem_lines(retention_problems("monitor-1", host_info, values))


MONITORS = cases(
    (
        "has the unknown name 'ProverHostDow': did",
        monitor(alert_for={"ProverHostDow": "5m"}),
        monitor(alert_for={"ProverHostDown": "5m"}),
    ),
    ("has the unknown name 'xyz': see docs", monitor(thresholds={"xyz": 1}), monitor(thresholds={"peers": 1})),
    (
        "has no duration for",
        monitor(alert_for={"ProverHostDown": "5 minutes"}),
        monitor(alert_for={"ProverHostDown": "90s"}),
    ),
    ("has no number for", monitor(thresholds={"peers": "few"}), monitor(thresholds={"peers": 3})),
    (
        "has no version for",
        monitor(images={"grafana": "grafana/grafana"}),
        monitor(images={"grafana": "grafana/grafana:12.1.0"}),
        monitor(images={"grafana": f"grafana/grafana@sha256:{'0' * 64}"}),
    ),
    ("'nowhere.lan' does not resolve: set the address", monitor(address="nowhere.lan"), monitor()),
    ("has fewer than 12 characters", monitor(grafana_admin_password=""), monitor()),
    ("begins or ends with a space", monitor(grafana_admin_password=f"{PASSWORD} "), monitor()),
    (
        "is not the ID of a chat",
        monitor(telegram_chat_id="@ops", telegram_bot_token=f"12345:{'a' * 35}"),
        monitor(telegram_chat_id="-100123", telegram_bot_token=f"12345:{'a' * 35}"),
    ),
    (
        "is not the token of a bot",
        monitor(telegram_chat_id="1", telegram_bot_token="abc"),
        monitor(telegram_chat_id="1", telegram_bot_token=f"12345:{'a' * 35}"),
    ),
    (
        "is not a channel",
        monitor(slack_channel="ops", slack_webhook_url="https://hooks.lan/x"),
        monitor(slack_channel="#ops", slack_webhook_url="https://hooks.lan/x"),
    ),
    ("is not an integration key", monitor(pagerduty_routing_key="abc"), monitor(pagerduty_routing_key="a" * 32)),
    (
        "is not a server with its port",
        monitor(email_to="a@b.lan", email_from="c@b.lan", email_smarthost="mail.lan"),
        monitor(email_to="a@b.lan", email_from="c@b.lan", email_smarthost="mail.lan:587"),
    ),
    (
        "is not an e-mail address",
        monitor(email_to="ops", email_from="c@b.lan", email_smarthost="mail.lan:587"),
        monitor(email_to="ops@b.lan", email_from="c@b.lan", email_smarthost="mail.lan:587"),
    ),
    ("is not a unique name that ends with .yml", rule_file(RULES, "own.txt"), rule_file(RULES)),
    ("is not a rule file of Prometheus", rule_file("groups: 1"), rule_file(RULES)),
    ("cannot be read (", rule_file(None), rule_file(RULES)),
    ("GB do not fit on the disk of", retention(41), retention(40)),
)
