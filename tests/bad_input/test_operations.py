"""Operations that cannot begin: one line for each problem, before anything is touched."""

from __future__ import annotations

import textwrap

import pytest

from tests.bad_input.harness import assert_clean, assert_refused, play, write_inventory


@pytest.mark.parametrize("playbook", ["stop.yml", "start.yml", "restart.yml"])
def test_an_unknown_component(playbook: str, tmp_path, endpoint) -> None:
    wrong = "'prover_agnet' is not a component"
    remedy = "choose from prover_node, prover_broker, prover_agent, prover_monitor"
    shown = play(write_inventory(tmp_path, endpoint, {}), "-e", "aztec_components=prover_agnet", playbook=playbook)
    assert_refused(shown, endpoint, [f"all 3 hosts aztec_components {wrong} {remedy}"])


@pytest.mark.parametrize("playbook", ["stop.yml", "start.yml", "restart.yml", "reboot.yml"])
def test_a_fleet_that_is_unreachable(playbook: str, tmp_path, endpoint) -> None:
    """Each host is contacted once. Nothing is changed."""
    shown = play(write_inventory(tmp_path, endpoint, {}), playbook=playbook)
    assert shown.returncode == 2, shown.stdout
    assert_clean(shown.stdout)
    assert "1 problem on the hosts, in the table above; nothing was changed." in shown.stdout
    rows = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "all 3 hosts ansible_host is unreachable see the error above, then run again" in rows
    assert sorted(endpoint.connections) == ["127.0.0.10 22", "127.0.0.21 22", "127.0.0.22 22"]


def test_a_reboot_of_some_components(tmp_path, endpoint) -> None:
    inventory = write_inventory(tmp_path, endpoint, {})
    shown = play(inventory, "-e", "aztec_components=prover_agent", playbook="reboot.yml")
    assert shown.returncode == 2, shown.stdout
    rows = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    wrong = "has no effect on a reboot, which is one of all components of a host"
    assert f"the run aztec_components {wrong} remove it" in rows


def test_a_limit_without_one_of_the_components(tmp_path, endpoint) -> None:
    inventory = write_inventory(tmp_path, endpoint, {})
    shown = play(inventory, "-e", "aztec_components=prover_broker", "--limit", "agent-1", playbook="stop.yml")
    assert shown.returncode == 2, shown.stdout
    rows = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "the run aztec_components no host of this run has one of these components correct it, or --limit" in rows


MONITORED = {
    "groups": """
        prover_node: {hosts: {node-1: {ansible_host: 10.99.0.1, aztec_address: 10.0.0.10}}}
        prover_broker: {hosts: {node-1: }}
        prover_agent: {hosts: {agent-1: {ansible_host: 10.99.0.2, aztec_address: 10.0.0.21}}}
        prover_monitor: {hosts: {monitor-1: {ansible_host: 10.99.0.3, aztec_address: 10.0.0.40}}}
    """,
    "all": """
        prover_monitor_grafana_admin_password: correct-horse-battery
        aztec_plain_secrets: ignore
    """,
}


@pytest.mark.parametrize("playbook", ["stop.yml", "start.yml", "restart.yml", "reboot.yml", "logs.yml", "verify.yml"])
def test_a_limit_to_the_monitor(playbook: str, tmp_path, endpoint) -> None:
    """Only its host is contacted."""
    changes = {name: textwrap.dedent(text) for name, text in MONITORED.items()}
    shown = play(write_inventory(tmp_path, endpoint, changes), "--limit", "monitor-1", playbook=playbook)
    assert_clean(shown.stdout)
    rows = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert any("monitor-1" in row and "unreachable" in row for row in rows), shown.stdout
    assert len(endpoint.connections) == 1, endpoint.connections
