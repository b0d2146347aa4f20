# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables against their specifications, and secrets in clear text."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.plain_secrets import Text, search_in
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import (
    problem_table,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_inventory

from tests.unit.plugins.plugin_utils.inventory.inventories import KEY, SPECS, checked, good, resolve_one


def test_the_mnemonic_that_is_kept_for_backup_is_known() -> None:
    words = {"prover_node_publisher_mnemonic": "S3cret words"}
    assert checked(words, words) == []


def plain(node: dict) -> list:
    """Return the lines for the good inventory whose key and URL are in clear text, with these changes to node-1."""
    hosts, groups = good()
    hosts["node-1"].update(node)
    search = search_in([Text("main.yml", f"key: {KEY}\nurl: https://user:S3cretPass@rpc.mine.net\n")])
    problems, fleet = check_inventory(hosts, groups, SPECS, None, resolve_one, search=search)
    assert (fleet is None) == any(problem.level == "error" for problem in problems)
    # The agents have the URL too, and the key is not theirs.
    assert {one.variable for one in problems if one.host != "node-1"} == {"aztec_l1_execution_urls"}
    return sorted(f"{one.level} {one.variable} {one.wrong}" for one in problems if one.host == "node-1")


def test_secrets_in_clear_text() -> None:
    key = "prover_node_publisher_private_key is in clear text in main.yml, line 1"
    url = "aztec_l1_execution_urls the key in entry 1 is in clear text in main.yml, line 2"
    assert plain({}) == [f"warning {url}", f"warning {key}"]
    assert plain({"aztec_plain_secrets": "fail"}) == [f"error {url}", f"error {key}"]
    assert plain({"aztec_plain_secrets": "ignore"}) == []
    assert (
        plain({"aztec_l1_execution_urls": ["https://rpc.mine.net"], "prover_node_publisher_private_key": OTHER}) == []
    )


OTHER = "0x" + "cd" * 32


def test_after_a_warning_a_variable_is_still_checked() -> None:
    """A secret in clear text is reported in addition to the consensus setting in the same variable."""
    hosts, groups = good()
    for values in hosts.values():
        values.update(aztec_version="6.0.0", aztec_plain_secrets="fail")
    secret = {"SLASH_UNKNOWN_PENALTY": 0, "L1_CONSENSUS_HOST_API_KEYS": "S3cretHeader"}
    hosts["node-1"]["prover_node_secret_environment"] = secret
    search = search_in([Text("main.yml", "L1_CONSENSUS_HOST_API_KEYS: S3cretHeader\n")])
    problems, _fleet = check_inventory(hosts, groups, SPECS, None, resolve_one, search=search)
    assert [one.level for one in problems if one.variable == "prover_node_secret_environment"] == ["warning", "error"]


def test_a_role_s_variables_count_only_where_the_role_runs() -> None:
    hosts, groups = good()
    hosts["agent-1"]["prover_node_port"] = "x"
    assert check_inventory(hosts, groups, SPECS, None, resolve_one)[0] == []


@pytest.mark.parametrize(
    "value",
    [
        KEY,
        KEY[2:] + "\n",
        int(KEY, 16),
        float(int(KEY, 16)),
        None,
        True,
        [],
        {},
        [KEY, int(KEY, 16), None, [KEY]],
        {"A": KEY, KEY: 1, "B": [KEY], 3: 4},
        f"https://{KEY}@h.lan:{KEY}/{KEY}",
        f"http://[{KEY}",
        "",
        -1,
        1.5,
        "\x00",
        "{{ x }}",
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_value_in_any_variable_ends_in_lines_without_it(value: object) -> None:
    hosts, groups = good()
    hosts = {name: hosts[name] for name in ("node-1", "agent-1")}
    groups["prover_agent"] = ["agent-1"]
    for name in [*SPECS.names(), "ansible_host", "ansible_port"]:
        changed = {host: {**values, name: value} for host, values in hosts.items()}
        text = problem_table(check_inventory(changed, groups, SPECS, None, resolve_one)[0])
        for secret in ("abababab", str(int(KEY, 16))[:9]):
            assert secret not in text, name
