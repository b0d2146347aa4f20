"""Unreachable hosts with the real preflight.yml. The reachable host is this machine with its engine."""

from __future__ import annotations

from pathlib import Path

from tests.bad_input.harness import Endpoint, play, write_inventory
from tests.integration.machine import python_of_a_host

# A host that is this machine itself, without checks for which this machine may be insufficient.
HERE = """\
ansible_connection: local
ansible_become: false
aztec_requirements: ignore
aztec_l1_checks: ignore
prover_broker_port: 28080
prover_node_port: 28081
prover_node_p2p_port: 28400
"""


def here(folder: Path, systemd: bool = True) -> str:
    """Return the variables of a host that is this machine, as one that systemd has booted, or did not."""
    return f"{HERE}ansible_python_interpreter: {python_of_a_host(folder, systemd=systemd)}\n"


def lines_of(text: str) -> list:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_an_unreachable_agent_does_not_stop_the_run(tmp_path) -> None:
    shown = play(write_inventory(tmp_path, Endpoint(tmp_path), {"node-1": here(tmp_path)}), playbook="preflight.yml")
    assert shown.returncode == 2, shown.stdout
    line = "ansible_host (warning) is unreachable, or host_info failed on it"
    assert f"agent-1, agent-2 {line} see its error above; the run continues without it" in lines_of(shown.stdout)
    assert "2 of the hosts cannot take part in a run, in the table above." in shown.stdout, shown.stdout


def test_an_unreachable_node_stops_the_run(tmp_path) -> None:
    shown = play(write_inventory(tmp_path, Endpoint(tmp_path), {"agent-1": here(tmp_path)}), playbook="preflight.yml")
    assert shown.returncode != 0, shown.stdout
    line = "node-1 ansible_host is unreachable, or host_info failed"
    assert any(found.startswith(line) for found in lines_of(shown.stdout)), shown.stdout
    assert "1 problem on the hosts, in the table above; nothing was changed." in shown.stdout, shown.stdout


def test_a_host_without_systemd_is_rejected(tmp_path) -> None:
    shown = play(
        write_inventory(tmp_path, Endpoint(tmp_path), {"node-1": here(tmp_path, False)}), playbook="preflight.yml"
    )
    assert shown.returncode != 0, shown.stdout
    line = "node-1 container engine the host does not run systemd, which starts the engine and the port guard"
    assert any(found.startswith(line) for found in lines_of(shown.stdout)), shown.stdout
    assert "1 problem on the hosts, in the table above; nothing was changed." in shown.stdout, shown.stdout
