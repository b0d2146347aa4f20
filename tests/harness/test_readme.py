"""The README's commands with the built collection, up to the first connection to a host."""

from __future__ import annotations

import re
from pathlib import Path

from tests.bad_input.harness import Endpoint
from tests.harness.readme import README, Operator, Values, address_in, build

SETTINGS = {
    "aztec_version": "4.1.2",
    "aztec_network": "testnet",
    "aztec_l1_execution_urls": ["https://rpc.lan"],
    "aztec_l1_consensus_urls": ["https://beacon.lan"],
}


def test_the_readme_has_the_commands_in_their_order(tmp_path: Path) -> None:
    operator = Operator(tmp_path, Values({}, {}))
    assert list(operator.commands()) == ["ansible", "keys", "preflight", "site", "status"]
    # The two commands at the top are the same.
    assert "".join(f"{operator.commands()[name]}\n" for name in ("preflight", "site")) in README.partition("\n## ")[0]


def test_continuous_integration_finds_its_command() -> None:
    """`.ci/run` runs the first such line of a fenced block."""
    assert re.search(r"^```\w*\ntests/run\n```$", README, re.MULTILINE)


def test_from_an_empty_folder_to_the_first_connection(tmp_path: Path) -> None:
    """The same commands as in tests/system/first_run, which has hosts."""
    (tmp_path / "built").mkdir()
    endpoint = Endpoint(tmp_path)
    values = Values(
        {"node-1": ("127.0.0.10", "10.0.0.10"), "agent-1": ("127.0.0.21", "10.0.0.21")},
        SETTINGS,
        {**endpoint.variables(), "prover_node_p2p_ip": "9.9.9.9"},
    )
    operator = Operator(tmp_path, values)
    operator.install(build(tmp_path / "built"))
    operator.describe()
    commands = operator.commands()
    assert "UNREACHABLE" in operator.run(commands["ansible"], code=4)
    reached = ["127.0.0.10 22", "127.0.0.21 22"]
    assert sorted(endpoint.connections) == reached
    address = address_in(operator.run(commands["keys"]))
    assert len(address) == 42
    # Without warnings of ansible-core, because the folder's ansible.cfg applies.
    shown = operator.run(commands["preflight"], code=2)
    assert "[WARNING]" not in shown and "in the inventory, in the table above" not in shown
    assert sorted(endpoint.connections) == sorted(reached * 2)
