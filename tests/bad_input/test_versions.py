"""Wrong options of upgrade.yml, pull.yml and logs.yml: one line, before a host is contacted."""

from __future__ import annotations

import pytest

from tests.bad_input.harness import assert_clean, play, write_inventory

KNOWN = "choose from prover_node, prover_broker, prover_agent"


@pytest.mark.parametrize(
    ("playbook", "arguments", "line"),
    [
        (
            "upgrade.yml",
            ("--limit", "node-1,agent-1"),
            "--limit excludes agent-2: run upgrade.yml without --limit, since components of different versions reject",
        ),
        ("upgrade.yml", ("--limit", "agent-1"), "--limit excludes agent-2, node-1: run upgrade.yml without --limit"),
        ("upgrade.yml", ("-e", "aztec_version=4.1"), "set a complete one"),
        ("upgrade.yml", ("-e", "aztec_upgrade_wait=-1"), "is below 0"),
        ("pull.yml", (), "aztec_next_version is not set: add -e aztec_next_version=VERSION"),
        ("pull.yml", ("-e", "aztec_next_version=latest"), 'the version is "latest", which is not a version'),
        ("logs.yml", ("-e", "logs_lines=0"), "logs_lines 0 is not a number of lines: set a number from 1 to 10000"),
        ("logs.yml", ("-e", "logs_lines=all"), "logs_lines all is not a number of lines"),
        ("status.yml", ("-e", "status_epochs=0"), "status_epochs 0 is not a number of epochs: set a number from"),
        ("status.yml", ("-e", "status_epochs=all"), "status_epochs all is not a number of epochs"),
        ("status.yml", ("-e", "status_format=xml"), "status_format xml is not a format: choose one of table, json"),
        ("prove_again.yml", (), "epoch is not set: add -e epoch=NUMBER"),
        ("prove_again.yml", ("-e", "epoch=last"), "epoch last is not an epoch: set a number from 0"),
        ("logs.yml", ("-e", "aztec_components=agent"), f"is not a component {KNOWN}"),
        (
            "logs.yml",
            ("-e", "aztec_components=prover_node", "--limit", "agent-1"),
            "no host of this run has prover_node: change aztec_components or --limit",
        ),
    ],
)
def test_a_wrong_option(playbook: str, arguments: tuple, line: str, tmp_path, endpoint) -> None:
    shown = play(write_inventory(tmp_path, endpoint, {}), *arguments, playbook=playbook)
    assert shown.returncode == 2, shown.stdout
    assert_clean(shown.stdout)
    assert line in " ".join(shown.stdout.split()), shown.stdout
    assert endpoint.connections == []


def test_logs_of_hosts_that_are_unreachable(tmp_path, endpoint) -> None:
    """Each is a line, and the run contacts only hosts with the component."""
    inventory = write_inventory(tmp_path, endpoint, {})
    shown = play(inventory, "-e", "aztec_components=prover_agent", playbook="logs.yml")
    assert_clean(shown.stdout)
    for host in ("agent-1", "agent-2"):
        assert f"{host}: is unreachable: see the error above, then run again" in shown.stdout
    assert sorted(endpoint.connections) == ["127.0.0.21 22", "127.0.0.22 22"]
    # With the other remedies, the options are accepted and the hosts are contacted.
    play(inventory, "-e", "logs_lines=10000", "--limit", "node-1", playbook="logs.yml")
    play(inventory, "-e", "aztec_next_version=6.0.1", "--limit", "node-1", playbook="pull.yml")
    assert endpoint.connections.count("127.0.0.10 22") == 2
