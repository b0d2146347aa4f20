"""Real runs of single roles with wrong settings: one table, no host contacted, no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEY = "0x" + "5ec2e7ab" * 8
ROLES = ("docker_engine", "port_guard", "prover_node", "prover_broker", "prover_agent")
GIVEN = {
    "port_guard_section": "mine",
    "prover_node_broker_host": "10.0.0.11",
    "prover_node_l1_execution_urls": ["https://me:S3cret@rpc.lan/S3cret"],
    "prover_node_l1_consensus_urls": ["https://rpc.lan/S3cret"],
    "prover_node_publisher_private_key": KEY,
    "prover_node_p2p_ip": "9.9.9.9",
    "prover_broker_l1_execution_urls": ["https://me:S3cret@rpc.lan/S3cret"],
    "prover_agent_broker_host": "10.0.0.11",
}


def apply(role: str, changes: dict, where: Path, *arguments: str) -> str:
    """Run a user's playbook with one role on an unreachable host, and return its output."""
    play = {
        "hosts": "all",
        "gather_facts": False,
        "roles": [f"aztec_ops.prover.{role}"],
        "vars": {"ansible_port": 1, "ansible_host": "127.0.0.1"},
    }
    (where / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    # In a file, because nothing takes precedence over extra variables.
    (where / "host_vars").mkdir(exist_ok=True)
    (where / "host_vars" / "machine.json").write_text(json.dumps({**GIVEN, **changes}), encoding="utf-8")
    (where / "hosts").write_text("machine\n", encoding="utf-8")
    run = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "-i",
            str(where / "hosts"),
            str(where / "play.yml"),
            *arguments,
        ],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode != 0, run.stdout
    for secret in ("5ec2e7ab", "S3cret"):
        assert secret not in run.stdout
    return run.stdout


WRONG = {
    "docker_engine": {"docker_engine_version": "28", "docker_engine_apt_url": "S3cret"},
    "port_guard": {"port_guard_section": "Mine", "port_guard_ports": [{"port": 0}]},
    "prover_node": {"prover_node_publisher_private_key": KEY[:-2], "prover_node_p2p_ip": ""},
    "prover_broker": {"prover_broker_l1_execution_urls": ["S3cret"], "prover_broker_port": 70000},
    "prover_agent": {"prover_agent_broker_host": "", "prover_agent_conut": 2},
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("arguments", [(), ("--check",)], ids=["run", "check"])
def test_all_problems_at_once_and_no_host_contacted(role: str, arguments: tuple, tmp_path) -> None:
    shown = apply(role, WRONG[role], tmp_path, *arguments)
    assert f"2 problems in the settings of {role}, in the table above; nothing was changed." in shown
    for variable in WRONG[role]:
        assert f"machine  {variable}" in shown
    assert "unreachable=0" in shown
    assert "Gather host info" not in shown


@pytest.mark.parametrize("role", ROLES)
def test_good_settings_get_to_the_host(role: str, tmp_path) -> None:
    shown = apply(role, {}, tmp_path, "-vvv")
    assert "problems in the settings" not in shown
    assert "unreachable=1" in shown


def test_role_arguments_are_not_validated_again_after_the_inventory(tmp_path) -> None:
    fleet = {"preflight_fleet": {"hosts": {"machine": {}}, "broker": {"host": "machine"}}}
    shown = apply("prover_agent", {**WRONG["prover_agent"], **fleet}, tmp_path)
    assert "problems in the settings" not in shown
    assert "unreachable=1" in shown
