"""Problems found on hosts by the real preflight.yml: those of one agent, and an image that no registry has."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.bad_input.harness import ROOT, Endpoint, play, write_inventory
from tests.integration.machine import python_of_a_host
from tests.integration.test_preflight import HERE, here, lines_of

GROUPS = """\
prover_node: {hosts: {node-1: }}
prover_broker: {hosts: {node-1: }}
prover_agent: {hosts: {agent-1: }}
"""
TWO_AGENTS = GROUPS.replace("agent-1: ", "agent-1: , agent-2: ")
SHORT = "prover_agent_requirements: fail\nprover_agent_count: 99\n"


class Empty(BaseHTTPRequestHandler):
    """A registry without any image, which records the requests."""

    requests: list[str] = []

    def do_HEAD(self) -> None:
        """Return 404."""
        self.requests.append(self.path)
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_arguments) -> None:
        """Log nothing."""


@pytest.fixture
def empty_registry():
    """Return the address of a registry that has no images."""
    server = HTTPServer(("127.0.0.1", 0), Empty)
    Empty.requests.clear()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def hosts(folder: Path) -> tuple[str, str]:
    """Return the variables of node-1, which is this machine, and of agent-1, which is another one."""
    return here(folder), f"{HERE}ansible_python_interpreter: {python_of_a_host(folder, other=True)}\n"


def test_an_agent_below_the_requirements_is_left_out(tmp_path) -> None:
    node, agent = hosts(tmp_path)
    row = {"groups": TWO_AGENTS, "node-1": node, "agent-1": agent + SHORT, "agent-2": agent}
    shown = play(write_inventory(tmp_path, Endpoint(tmp_path), row), playbook="preflight.yml")
    assert shown.returncode == 2, shown.stdout
    own = re.compile(r"agent-1 \S+.* \(warning, left out of this run\) found ")
    assert any(map(own.match, lines_of(shown.stdout))), shown.stdout
    assert "1 of the hosts cannot take part in a run, in the table above." in shown.stdout


def test_a_run_whose_only_agent_is_below_the_requirements_fails(tmp_path) -> None:
    node, agent = hosts(tmp_path)
    row = {"groups": GROUPS, "node-1": node, "agent-1": agent + SHORT}
    shown = play(write_inventory(tmp_path, Endpoint(tmp_path), row), playbook="preflight.yml")
    assert shown.returncode == 2, shown.stdout
    assert "left out of this run" not in shown.stdout
    assert re.search(r"[2-9] problems on the hosts, in the table above; nothing was changed\.", shown.stdout)


def test_an_image_that_no_registry_has_is_one_line(tmp_path, empty_registry) -> None:
    image = f"aztec_image: {empty_registry}/aztec\naztec_version: 4.9.9\n"
    node, agent = hosts(tmp_path)
    row = {"groups": GROUPS, "all": image, "node-1": node, "agent-1": agent}
    shown = play(write_inventory(tmp_path, Endpoint(tmp_path), row), playbook="preflight.yml")
    assert shown.returncode == 2, shown.stdout
    wrong = f"{empty_registry} does not have the image {empty_registry}/aztec:4.9.9 (queried from node-1)"
    remedy = "set aztec_version to a published release, or correct aztec_image"
    assert lines_of(shown.stdout).count(f"the fleet aztec_version {wrong} {remedy}") == 1
    assert "1 problem on the hosts, in the table above; nothing was changed." in shown.stdout
    assert Empty.requests == ["/v2/aztec/manifests/4.9.9"]


LEFT_OUT = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: aztec_ops.prover.preflight
        tasks_from: validate_inventory
    - ansible.builtin.set_fact:
        __preflight_checked: {left_out: {agent-1: vCPUs found 2}}
    - ansible.builtin.fail:
        msg: "left out of this run: {{ __preflight_checked.left_out[inventory_hostname] }}"
      when: inventory_hostname in __preflight_checked.left_out
- ansible.builtin.import_playbook: VERIFY
"""


def test_the_report_shows_agents_that_were_left_out(tmp_path) -> None:
    node, agent = hosts(tmp_path)
    row = {"groups": TWO_AGENTS, "node-1": node, "agent-1": agent, "agent-2": agent}
    playbook = tmp_path / "site.yml"
    playbook.write_text(LEFT_OUT.replace("VERIFY", str(ROOT / "playbooks/verify.yml")), encoding="utf-8")
    rows = lines_of(play(write_inventory(tmp_path, Endpoint(tmp_path), row), playbook=str(playbook)).stdout)
    assert "agent-1 prover_agent - LEFT OUT" in rows
    assert "agent-1 prover_agent was left out of this run: vCPUs found 2: correct it, then run again" in rows
    assert not any(line.startswith("agent-2 ") and "LEFT OUT" in line for line in rows)
