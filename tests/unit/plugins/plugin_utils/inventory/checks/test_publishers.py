# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wrong keys and addresses of publishers, each with its line."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import UnresolvedValue
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_inventory
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import ethereum

from tests.unit.plugins.plugin_utils.inventory.inventories import (
    EVERYBODY,
    ID,
    KEY,
    OWNER,
    PRIVATE_KEY,
    SEVERAL,
    SIGNED,
    SPECS,
    checked,
    everywhere,
    good,
    other_users,
    resolve_one,
)

FUNDING = {
    "aztec_version": "6.0.0",
    "prover_node_funding_account_private_key": "0x" + "cd" * 32,
    "prover_node_funding_threshold": 0.5,
    "prover_node_funding_amount": "1",
}


FUNDER = "prover_node_funding_account_private_key"


def test_an_account_that_tops_the_publishers_up() -> None:
    assert everywhere(**FUNDING) == []
    names = "prover_node_funding_account_private_key, prover_node_funding_threshold, prover_node_funding_amount"
    for name, first in ((FUNDER, "prover_node_funding_threshold"), ("prover_node_funding_amount", FUNDER)):
        found = everywhere(**{**FUNDING, name: 0 if name.endswith("amount") else ""})
        assert found == [("error", name, f"is not set, but {first} is", f"set all three or none: {names}")]
    publisher = everywhere(**{**FUNDING, FUNDER: KEY})
    wrong = "is one of the publishers, which cannot top itself up"
    assert publisher == [("error", FUNDER, wrong, "set a separate account")]
    (short,) = everywhere(**{**FUNDING, FUNDER: "0xcd"})
    assert short[:2] == ("error", FUNDER)
    env = everywhere(**FUNDING, prover_node_key_source="env")
    wrong = "needs a key store, which prover_node_key_source: env does not create"
    remedy = f"set prover_node_key_source to keystore, or remove all of {names}"
    assert env == [("error", FUNDER, wrong, remedy)]
    found = everywhere(**{**FUNDING, "aztec_version": "4.1.2"})
    assert {(variable, wrong) for _level, variable, wrong, _remedy in found} == {
        (name, "is read from release 5.0.0 on, and 4.1.2 ignores it")
        for name in ("prover_node_funding_threshold", "prover_node_funding_amount")
    }


def test_with_a_signer_the_account_is_an_address() -> None:
    address = "prover_node_funding_account_address"
    given = {name: value for name, value in FUNDING.items() if name != FUNDER}
    given = {**given, **SIGNED, address: "0x" + "12" * 20}
    assert everywhere(**given) == []
    assert everywhere(**{**given, address: OWNER.lower()}) == [
        ("error", address, "is one of the publishers, which cannot top itself up", "set a separate account")
    ]
    wrong = "is not valid with prover_node_key_source: web3signer"
    assert everywhere(**given, **{FUNDER: KEY}) == [("error", FUNDER, wrong, f"set {address} instead")]
    wrong = "is not valid with prover_node_key_source: keystore"
    assert everywhere(**FUNDING, **{address: OWNER}) == [("error", address, wrong, f"set {FUNDER} instead")]


def test_without_eth_account_there_is_one_line(monkeypatch) -> None:
    monkeypatch.setattr(ethereum, "eth_keys", None)
    lines = checked(node={ID: OWNER})
    remedy = f"run {sys.executable} -m pip install eth-account"
    assert lines == [f"the controller | eth_account | its Python has no eth_account | {remedy}"]


NONCES = "contains a publisher's key of node-1; two senders with one key use the same nonces"


@pytest.mark.parametrize(
    "keys",
    [
        {"guest": {"sequencer_key": KEY}},
        {"guest": {"sequencer_key": KEY[2:].upper()}},
        {"guest": {"sequencer_key": f"0x{'cd' * 32},{KEY}"}},
        {"guest": {"sequencer_key": [{"a": KEY}]}},
        # The node's own variable, set for the guest as well and not for all.
        {"guest": {PRIVATE_KEY: KEY}, "agent-1": {}},
        {"agent-1": {"sequencer_key": KEY}},
    ],
)
def test_another_host_with_the_publisher_s_key(keys: dict) -> None:
    host = next(iter(keys))
    name = next(iter(keys[host]))
    assert other_users(keys) == ([("error", host, name, NONCES)], None)
    problems, fleet = other_users(keys, {"aztec_l1_checks": "warn"})
    assert problems == [("warning", host, name, NONCES)]
    assert fleet["publishers"] == [OWNER]
    assert other_users(keys, {"aztec_l1_checks": "ignore"})[0] == []


@pytest.mark.parametrize(
    "keys",
    [
        {"guest": {"sequencer_key": "0x" + "cd" * 32}},
        {"guest": {"sequencer_key": UnresolvedValue("cannot be decrypted")}},
        {"guest": {"publisher_address": OWNER}},
        # Of group_vars/all, with and without a key of the guest's own.
        {"guest": {PRIVATE_KEY: KEY}},
        {"guest": {PRIVATE_KEY: "0x" + "cd" * 32}},
        {host: {"vault_key": KEY} for host in EVERYBODY},
        # On the node's host the same key under two names is one sender.
        {"node-1": {"vault_key": KEY}},
    ],
)
def test_the_publisher_s_key_that_nothing_else_uses(keys: dict) -> None:
    problems, fleet = other_users(keys)
    assert problems == []
    assert fleet is not None


@pytest.mark.parametrize("node", [{}, SEVERAL, SIGNED])
@pytest.mark.parametrize(
    "values",
    [
        {"sequencer_key": KEY},
        {"vault_sequencer_keys": [KEY[2:].upper()]},
        {"sequencer_publisher_addresses": ["0x" + "12" * 20, OWNER.lower()]},
        {"sequencer_publisher_addresses": OWNER},
    ],
)
def test_whatever_the_source_a_publisher_is_used_once(node: dict, values: dict) -> None:
    (name,) = values
    assert other_users({"guest": values}, node) == ([("error", "guest", name, NONCES)], None)


@pytest.mark.parametrize("node", [{}, SEVERAL, SIGNED])
def test_whatever_the_source_the_fleet_knows_the_publishers(node: dict) -> None:
    others = {"guest": {"sequencer_key": "0x" + "ef" * 32, "sequencer_publisher_addresses": ["0x" + "12" * 20]}}
    problems, fleet = other_users(others, node)
    assert problems == []
    assert OWNER in fleet["publishers"]
    assert len(fleet["publishers"]) == (2 if node else 1)
    assert fleet["prover_id"] == fleet["publishers"][0]
    cold = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"
    assert other_users(others, {**node, ID: cold})[1]["prover_id"] == cold


def test_a_key_that_a_shared_group_has_is_inherited() -> None:
    shared = {"guest": {"vault_key": KEY}, "node-1": {"vault_key": KEY}}
    assert other_users(shared)[0] == [("error", "guest", "vault_key", NONCES)]
    assert other_users(shared, None, {"some": ["guest", "node-1"]})[0] == []


def test_an_unfinished_rotation() -> None:
    """The run continues with a warning, but not if the value is not a key."""
    for name, command in (
        (
            "prover_node_next_publisher_private_key",
            "run aztec_ops.prover.rotate_key, or discard it as docs/keys.md describes",
        ),
        ("prover_node_previous_publisher_private_key", "run aztec_ops.prover.rotate_key -e rotate_key_confirm=true"),
    ):
        hosts, groups = good()
        for values in hosts.values():
            values |= {name: "0x" + "1" * 64, name.replace("private_key", "mnemonic"): "S3cret words"}
        problems, fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
        assert fleet is not None
        assert [(one.level, one.host, one.variable, one.remedy) for one in problems] == [
            ("warning", "node-1", name, command)
        ]
        assert checked({name: "S3cret"}) == [
            f"node-1 | {name} | the private key is not 32 bytes of hex | give 0x and 64 hex digits"
        ]
