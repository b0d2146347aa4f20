# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of a rotation, the sources of keys that it rejects, and the keys that it reads from a vault file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.aztec_ops.prover.plugins.action import publisher_key
from ansible_collections.aztec_ops.prover.plugins.action.rotate_key import (
    OPTIONS,
    OWN,
    SHARED,
    STEPS,
    KeyVault,
    Request,
    check_single_source,
    check_source,
    open_keys,
    request_of,
)
from ansible_collections.aztec_ops.prover.plugins.modules import rotate_key
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.variable_places import Layer
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.wallet import from_private_key

from tests.unit.plugins.action.test_publisher_key import options_of

COLLECTION = Path(__file__).resolve().parents[4]
SECRET = VaultSecret(b"S3cret")
OLD, NEW = "0x" + "5ec2e7ab" * 8, "0x" + "1" * 64
KEY = "prover_node_publisher_private_key: "
NEXT = "prover_node_next_publisher_private_key: "


def refusal(function, *arguments: object) -> str:
    """Return the line of the error that a function raises."""
    with pytest.raises(ValueError) as caught:
        function(*arguments)
    text = str(caught.value)
    assert "\n" not in text and "S3cret" not in text
    return text


def test_the_documentation_names_every_option_and_default() -> None:
    options = options_of(rotate_key)
    assert set(options) == set(OPTIONS)
    assert tuple(options["step"]["choices"]) == STEPS
    assert {name: options[name]["default"] for name in OWN} == OWN
    key = vars(publisher_key.Request())
    assert {name: options[name]["default"] for name in SHARED} == {name: key[name] for name in SHARED}


def test_the_playbook_passes_every_option() -> None:
    play = yaml.safe_load((COLLECTION / "playbooks/rotate_key.yml").read_text(encoding="utf-8"))[1]
    passed = play["tasks"][1]["aztec_ops.prover.rotate_key"]
    names = {name: f"publisher_key_{name}" for name in SHARED} | {name: f"rotate_key_{name}" for name in OWN}
    names["group"] = "preflight_node_group"
    wanted = {name: f"{{{{ {variable} | default(omit) }}}}" for name, variable in names.items()}
    assert passed == {**wanted, "step": "stage", "fleet": "{{ preflight_fleet }}"}
    checked = play["tasks"][2]["block"][1]["aztec_ops.prover.rotate_key"]
    wanted = {name: wanted[name] for name in OWN if name != "rollback"}
    assert checked == {**wanted, "step": "check_account", "staged": "{{ __rotate_key }}"}
    # Before a wait, and after it.
    included = [task.get("ansible.builtin.include_tasks") for task in play["tasks"][2]["block"]]
    assert included == ["tasks/assert_only_key_changes.yml", None, "tasks/assert_only_key_changes.yml", None]


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        ({}, {}),
        (dict.fromkeys(OPTIONS), {}),
        (dict.fromkeys(OPTIONS, ""), {}),
        ({"wait": "1800", "rollback": "yes"}, {"wait": 1800, "rollback": True}),
        ({"wait": 0, "confirm": "true", "force": True}, {"confirm": True, "force": True}),
        ({"confirm": False}, {}),
        ({"confirm": True, "rewards_moved": True}, {"confirm": True, "rewards_moved": True}),
        # Valid with aztec_l1_checks: ignore, which the step checks.
        ({"force": True}, {"force": True}),
        (
            {"source": "mnemonic", "index": "2"},
            {"key": publisher_key.Request(source="mnemonic", index=2)},
        ),
    ],
)
def test_requests(arguments: dict, changes: dict) -> None:
    assert vars(request_of(arguments)) == {**vars(Request(publisher_key.Request())), **changes}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"wait": "S3cret"}, "rotate_key_wait is not a whole number: give one from 0"),
        ({"wait": -1}, "rotate_key_wait is not a whole number"),
        ({"rollback": "S3cret"}, "rotate_key_rollback is not a boolean: write true or false"),
        ({"rewards_moved": True}, "rotate_key_rewards_moved requires rotate_key_confirm: set that too"),
        (
            {"confirm": True, "source": "mnemonic"},
            "publisher_key_source is for a new key, not for rotate_key_confirm: set only one of them",
        ),
        (
            {"rollback": True, "source": "private_key"},
            "publisher_key_source is for a new key, not for rotate_key_rollback: ",
        ),
        ({"source": "S3cret"}, "publisher_key_source is not a valid choice: choose one of new, private_key, mnemonic"),
    ],
)
def test_wrong_requests(arguments: dict, message: str) -> None:
    assert refusal(request_of, arguments).startswith(message)


def test_sources_whose_keys_are_changed_in_another_way() -> None:
    check_source({})
    check_source({"prover_node_key_source": "env", "prover_node_publisher_private_keys": []})
    assert refusal(check_source, {"prover_node_key_source": "web3signer"}).startswith("the key is in a web3signer: add")
    several = {"prover_node_publisher_private_keys": ["S3cret", "S3cret"]}
    assert refusal(check_source, several) == (
        "prover_node_publisher_private_keys has several keys: replace one of them there and run aztec_ops.prover.site"
    )


VAULTED, LINE, EXTRA = "group_vars/all", "the inventory's line of the host", "the command line (-e)"


@pytest.mark.parametrize(
    ("places", "value", "place"),
    [
        ([VAULTED], OLD, ""),
        (["the inventory's group all", VAULTED], OLD, ""),
        # The same key in a place that takes precedence would apply after the rotation.
        ([VAULTED, LINE], OLD, LINE),
        ([VAULTED, EXTRA], OLD, EXTRA),
        ([VAULTED, LINE], NEW, LINE),
        # A place that is not in the inventory, such as a fact, or an inventory that is not static.
        ([VAULTED], NEW, "another place"),
        ([], NEW, "another place"),
        ([], OLD, ""),
    ],
)
def test_the_vault_file_decides(places: list, value: str, place: str) -> None:
    layers = [Layer(one, 0, {KEY.strip(": "): value}) for one in places]
    held = KeyVault(Path("vault.yml"), f'{KEY}"{OLD}"\n', "prod", SECRET, {}, {})
    arguments = ("node-1", value, held, VAULTED, layers)
    if not place:
        check_single_source(*arguments)
        return
    assert refusal(check_single_source, *arguments) == (
        f"node-1 gets prover_node_publisher_private_key from {place}, not from vault.yml: remove it there"
    )


def vault(tmp_path: Path, text: str) -> Path:
    """Write a vault file."""
    path = tmp_path / "vault.yml"
    path.write_bytes(VaultLib().encrypt(text, SECRET, vault_id="prod"))
    return path


def test_the_keys_of_a_vault_file(tmp_path: Path) -> None:
    path = vault(tmp_path, f'{KEY}"{OLD[2:]}"\n{NEXT}"{NEW}"\nother: 1\n')
    found = open_keys(path, [("prod", SECRET)])
    assert found.keys == {"current": OLD, "next": NEW}
    assert found.addresses == {"current": from_private_key(OLD).address, "next": from_private_key(NEW).address}
    assert OLD[2:] not in repr(found) and NEW[2:] not in repr(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"{KEY}S3cret\n",
            "prover_node_publisher_private_key in {path}: the private key is not 32 bytes of hex: give ",
        ),
        (f"{KEY}{OLD}\n", "prover_node_publisher_private_key in {path}: the private key is not 32 bytes of hex: give "),
        (
            f'{KEY}"{OLD}"\n{NEXT}!vault S3cret\n',
            "prover_node_next_publisher_private_key in {path}: the private key is",
        ),
        (
            "prover_node_previous_publisher_mnemonic: S3cret\n",
            "{path} has prover_node_previous_publisher_mnemonic but not prover_node_previous_publisher_private_key: ",
        ),
        (
            f'{KEY}"{OLD}"\n{NEXT}"{NEW}"\n{NEXT}"{OLD}"\n',
            "prover_node_next_publisher_private_key is set more than once in {path}: remove all but one",
        ),
        ("- S3cret\n", "{path}: it does not contain NAME: value lines: correct it with ansible-vault edit"),
    ],
)
def test_vault_files_without_good_keys(tmp_path: Path, text: str, message: str) -> None:
    path = vault(tmp_path, text)
    assert refusal(open_keys, path, [("prod", SECRET)]).startswith(message.format(path=path))
