# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a rotation for the keys in the vault, whether accounts can pay, and when the old key can be removed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_checks import values_by_address
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_queries import L1Settings
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import rotation

FORTH, ROUND = {"current": "previous", "next": "current"}, {"current": "next", "previous": "current"}
A, B, C = "0xA", "0xB", "0xC"
ETHER = 10**18


@pytest.mark.parametrize(
    ("addresses", "options", "plan"),
    [
        ({"current": A}, {}, ("stage", "next", FORTH)),
        ({"current": A, "next": B}, {}, ("rotate", "next", FORTH)),
        ({"current": B, "previous": A}, {}, ("done", "current", {})),
        ({"current": B, "previous": A}, {"confirm": True}, ("confirm", "current", {"previous": None})),
        ({"current": B}, {"confirm": True}, ("done", "current", {})),
        ({"current": B, "previous": A}, {"rollback": True}, ("rollback", "previous", ROUND)),
        ({"current": A, "next": B}, {"rollback": True}, ("done", "current", {})),
    ],
)
def test_what_is_done_by_the_keys_that_are_there(addresses: dict, options: dict, plan: tuple) -> None:
    found = rotation.plan_of(addresses, "vault.yml", **options)
    assert (found.action, found.slot, found.moves) == plan


@pytest.mark.parametrize(
    ("addresses", "options", "message"),
    [
        (
            {"current": A, "next": A},
            {},
            "prover_node_next_publisher_private_key in vault.yml is the same key as "
            "prover_node_publisher_private_key: remove it from the file",
        ),
        (
            {"current": A, "next": B, "previous": B},
            {},
            "prover_node_previous_publisher_private_key in vault.yml is the same key as "
            "prover_node_next_publisher_private_key: remove it from the file",
        ),
        ({"current": A, "next": B, "previous": C}, {}, "vault.yml has both prover_node_next_publisher_private_key and"),
        ({"current": A, "next": B, "previous": C}, {"rollback": True}, "vault.yml has both "),
        ({"current": A, "next": B, "previous": C}, {"confirm": True}, "vault.yml has both "),
        ({"current": A, "next": B}, {"confirm": True}, "the new key in vault.yml, of 0xB, is not in use yet: run "),
        (
            {"current": A},
            {"rollback": True},
            "vault.yml does not have prover_node_previous_publisher_private_key, so a",
        ),
        (
            {"current": A},
            {"rollback": True, "confirm": True},
            "rotate_key_confirm and rotate_key_rollback are both set: ",
        ),
    ],
)
def test_what_makes_no_sense(addresses: dict, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=r"rotat|next|previous") as caught:
        rotation.plan_of(addresses, "vault.yml", **options)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_the_vault_s_names_change_with_the_keys() -> None:
    rotated = rotation.plan_of({"current": A, "next": B}, "")
    assert rotated.renames() == {
        "prover_node_publisher_private_key": "prover_node_previous_publisher_private_key",
        "prover_node_publisher_mnemonic": "prover_node_previous_publisher_mnemonic",
        "prover_node_next_publisher_private_key": "prover_node_publisher_private_key",
        "prover_node_next_publisher_mnemonic": "prover_node_publisher_mnemonic",
    }
    confirmed = rotation.plan_of({"current": B, "previous": A}, "", confirm=True)
    assert confirmed.renames() == {
        "prover_node_previous_publisher_private_key": None,
        "prover_node_previous_publisher_mnemonic": None,
    }
    # A rollback reverses a rotation.
    back = rotation.plan_of({"current": B, "previous": A}, "", rollback=True).renames()
    assert all(back[to] == name for name, to in rotated.renames().items())


def client(head: int, balances: dict, chain: int = 1) -> dict:
    """Return the answer of an execution client."""
    return {"chain_id": chain, "head": head, "balances": balances, "sent": dict.fromkeys(balances, head)}


def test_the_client_that_is_furthest_on_the_right_chain_is_listened_to() -> None:
    answers = [client(9, {A: "9"}), client(7, {A: "7", B: "7"}), client(99, {A: "1"}, 5), {"fault": {}}]
    assert values_by_address(answers, "balances", 1) == {A: "9", B: "7"}
    assert values_by_address(answers, "balances", None) == {A: "1", B: "7"}
    assert values_by_address(answers, "sent", 1) == {A: 9, B: 7}
    assert values_by_address([], "sent", 1) == {}


@pytest.mark.parametrize(
    ("balances", "least", "why"),
    [
        ({A: "1"}, "0", ""),
        ({A: "0"}, "0", "0xA has 0 ETH and cannot pay for submitting proofs: send ETH to it"),
        ({A: str(ETHER // 2)}, "0.5", "0xA has 0.5 ETH (aztec_l1_balance_fail is 0.5) and cannot pay for submitting p"),
        ({A: str(ETHER // 2 + 1)}, "0.5", ""),
        ({B: str(ETHER)}, "0", "no execution client returned the balance of 0xA: fix the L1 clients"),
    ],
)
def test_whether_an_account_can_pay(balances: dict, least: str, why: str) -> None:
    found = rotation.insufficient_balance(A, balances, L1Settings(balance_fail=Decimal(least)))
    assert found.startswith(why) and bool(found) == bool(why)


@pytest.mark.parametrize(
    ("balance", "cost", "needs_balance", "why"),
    [
        (100, 100, True, ""),
        (99, 100, True, "0xA has less than 0.000001 ETH, not enough to submit one proof now (less than 0.000001"),
        # Unknown fees, and a release line that does not need a balance.
        (99, 0, True, ""),
        (99, 100, False, ""),
    ],
)
def test_whether_an_account_can_pay_for_one_proof(balance: int, cost: int, needs_balance: bool, why: str) -> None:
    settings = L1Settings(balance_fail=Decimal(0), needs_balance=needs_balance)
    found = rotation.insufficient_balance(A, {A: str(balance)}, settings, cost)
    assert found.startswith(why) and bool(found) == bool(why)


@pytest.mark.parametrize(
    ("balance", "warn", "expected"),
    [
        (1, "0.1", "0xA has less than 0.000001 ETH, below aztec_l1_balance_warn, 0.1: send more"),
        (ETHER // 10 - 1, "0.1", "0xA has "),
        (ETHER // 10, "0.1", ""),
        (1, "0", ""),
    ],
)
def test_whether_an_account_can_pay_for_long(balance: int, warn: str, expected: str) -> None:
    found = rotation.low_balance(A, {A: str(balance)}, L1Settings(balance_warn=Decimal(warn)))
    assert found.startswith(expected) and bool(found) == bool(expected)


GO_TO_OLD = (
    "rewards still go to 0xA, which is PROVER_ID: set prover_node_prover_id to another address and run "
)
MAY_BE_OF_OLD = "only the key of 0xA can move the rewards of its proofs: claim and move them, then add"


@pytest.mark.parametrize(
    ("balances", "sent", "rewards", "why"),
    [
        ({A: "999999999999999"}, {B: 1}, (C, True), []),
        ({A: "0", B: str(ETHER)}, {B: 3, A: 7}, (B, True), []),
        (
            {A: "0"},
            {B: 0},
            (C, True),
            ["0xB did not send a transaction yet: wait for its first proof"],
        ),
        ({A: "0"}, {}, (C, True), ["0xB did not send a transaction yet"]),
        ({B: "0"}, {B: 1}, (C, True), ["no execution client returned the balance of 0xA: fix the L1 clients"]),
        (
            {A: "1000000000000000"},
            {B: 1},
            (C, True),
            ["0xA still has 0.001 ETH, which is lost without its key: transfer it first"],
        ),
        ({A: "0"}, {B: 1}, (B, False), [MAY_BE_OF_OLD]),
        ({A: "0"}, {B: 1}, (C, False), [MAY_BE_OF_OLD]),
        ({A: "0"}, {B: 1}, (A, True), [GO_TO_OLD]),
        (
            {A: str(2 * ETHER)},
            {},
            (A, False),
            ["0xB did not send", "0xA still has 2 ETH, which", GO_TO_OLD, MAY_BE_OF_OLD],
        ),
    ],
)
def test_whether_the_old_key_may_go(balances: dict, sent: dict, rewards: tuple, why: list) -> None:
    found = rotation.reasons_to_keep(B, A, balances, sent, *rewards)
    assert len(found) == len(why)
    assert all(line.startswith(begin) for line, begin in zip(found, why, strict=True)), found


def test_a_given_key_is_the_one_that_the_rotation_is_about() -> None:
    staged = {"current": A, "next": B}
    assert rotation.key_mismatch(B, rotation.plan_of(staged, ""), staged, "vault.yml") == ""
    assert rotation.key_mismatch(C, rotation.plan_of(staged, ""), staged, "vault.yml") == (
        "the given key is of 0xC, and prover_node_next_publisher_private_key in vault.yml of 0xB: remove that one with "
        "ansible-vault edit, or omit the options of the given one"
    )
    done = {"current": B, "previous": A}
    assert rotation.key_mismatch(B, rotation.plan_of(done, ""), done, "vault.yml") == ""
    assert rotation.key_mismatch(C, rotation.plan_of(done, ""), done, "vault.yml") == (
        "the given key is of 0xC, and the rotation to 0xB is not confirmed yet: confirm it first with "
        "-e rotate_key_confirm=true, or go back with -e rotate_key_rollback=true"
    )
    assert rotation.key_mismatch(A, rotation.plan_of(done, ""), done, "vault.yml") == (
        "the given key is the previous one, of 0xA: add -e rotate_key_rollback=true to go back to it"
    )


def test_the_table_of_accounts() -> None:
    rows = rotation.account_rows({"current": A, "next": B}, {A: str(ETHER)}, {A: 4})
    assert rows == [("current", A, "1 ETH", "4"), ("next", B, "unknown", "unknown")]
