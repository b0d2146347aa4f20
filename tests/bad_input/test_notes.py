"""A setting in several places of the inventory with different values: a line names the one that applies."""

from __future__ import annotations

import pytest

from tests.bad_input.harness import GROUPS, KEY, play, table_of, write_inventory

NAME = "prover_node_publisher_private_key"
CASES = [
    (
        "dc1: {hosts: {agent-1: }, vars: {prover_agent_count: 4}}\n",
        "prover_agent_count: 1",
        "agent-1 prover_agent_count (note) is set in several places: 1 in group_vars/all applies, and not 4 in the "
        "inventory's group dc1 "
        "set it in group_vars/dc1, which takes precedence over group_vars/all, or in one place only",
    ),
    (
        "dc1: {hosts: {agent-1: }, vars: {aztec_log_level: warn}}\n"
        "dc2: {hosts: {agent-1: }, vars: {aztec_log_level: debug}}\n",
        "",
        "agent-1 aztec_log_level (note) is set in several places: 'debug' in the inventory's group dc2 applies, and "
        "not 'warn' in the inventory's group dc1 set it in one of these places only",
    ),
    (
        f"dc1: {{hosts: {{node-1: }}, vars: {{{NAME}: '{KEY[:-1]}0'}}}}\n",
        "",
        f"node-1 {NAME} (note) is set in several places: group_vars/all applies, and not the inventory's group dc1 "
        "set it in group_vars/dc1, which takes precedence over group_vars/all, or in one place only",
    ),
]


@pytest.mark.parametrize(("groups", "everywhere", "line"), CASES)
def test_the_place_that_applies_is_named(groups: str, everywhere: str, line: str, tmp_path, endpoint) -> None:
    row = {"groups": GROUPS + groups, "all": everywhere}
    shown = play(write_inventory(tmp_path, endpoint, row), playbook="preflight.yml")
    assert table_of(shown.stdout) == [line]
    assert KEY[:-1] not in shown.stdout
    assert sorted(endpoint.connections) == ["127.0.0.10 22", "127.0.0.21 22", "127.0.0.22 22"]


def test_the_remedy_works(tmp_path, endpoint) -> None:
    groups = GROUPS + "dc1: {hosts: {agent-1: }}\n"
    inventory = write_inventory(tmp_path, endpoint, {"groups": groups, "all": "prover_agent_count: 1"})
    (inventory / "group_vars" / "dc1.yml").write_text("prover_agent_count: 0\n", encoding="utf-8")
    shown = play(inventory, playbook="preflight.yml")
    (line,) = table_of(shown.stdout)
    assert line.startswith("agent-1 prover_agent_count (warning, left out of this run) 0 is neither auto nor a number")
