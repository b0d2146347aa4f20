"""Problems of keys, vault files and their rotation: a row is (a part of the line, what is wrong, that put right).

`raised(function, arguments...)` is the line that a function raises, `returned` one that it returns. `vault(text)` opens
a vault file with that text. Give each action of the remedy a column of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from ansible.errors import AnsiblePromptNoninteractive
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import PromptVaultSecret, VaultLib, VaultSecret
from ansible_collections.aztec_ops.prover.plugins.action import publisher_key, rotate_key
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory import host_variables
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.variable_places import Layer
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_queries import L1Settings
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import ethereum, rotation, vault_file, wallet
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.rotation import (
    CURRENT,
    KEYS,
    MNEMONICS,
    NEXT,
    PREVIOUS,
)
from eth_keyfile import create_keyfile_json

from tests.remedies.case import Lines, cases, in_folder, raised, returned
from tests.remedies.inventories import SPECS

OLD, NEW, THIRD = ("0x" + digit * 64 for digit in "123")
A, B, C = (ethereum.ethereum_address(key) for key in (OLD, NEW, THIRD))
WORDS = "test test test test test test test test test test test junk"
ETH = 10**18
SETTINGS = L1Settings(needs_balance=True)
SECRETS = [("dev", VaultSecret(b"dev")), ("prod", VaultSecret(b"prod"))]
BOTH = {CURRENT: A, NEXT: B}
KEPT = {CURRENT: A, PREVIOUS: B}
PASSWORD = b"word"


def keystore(password: bytes = PASSWORD, **changes: object) -> Lines:
    """Return what opens a key store with a password, made with PASSWORD and changed."""

    def lines() -> list[str]:
        made = create_keyfile_json(bytes.fromhex(OLD[2:]), PASSWORD, kdf="pbkdf2", iterations=1)
        return raised(wallet.from_keystore, json.dumps({**made, **changes}), password)()

    return lines


def words(text: str, index: int = 0) -> Lines:
    """Return what takes a mnemonic."""
    return raised(wallet.from_mnemonic, text, index)


def inventory(*sources: str) -> Lines:
    """Return what takes the inventories that a run is given, below a folder with inventories/prod and a file in it."""

    def tried(folder: Path) -> list[str]:
        (folder / "prod").mkdir()
        (folder / "prod/hosts.yml").write_text("{}", encoding="utf-8")
        return raised(vault_file.inventory_folder, [str(folder / one) if one[:1] == "p" else one for one in sources])()

    return in_folder(tried)


def file_of(name: str, *others: str) -> Lines:
    """Return what takes a vault file's name, in an inventory with these files."""

    def tried(folder: Path) -> list[str]:
        for other in others:
            (folder / other).parent.mkdir(parents=True, exist_ok=True)
            (folder / other).write_text("a: 1\n", encoding="utf-8")
        return raised(vault_file.vault_path, folder, name, ["all", "prover_node"], ["node-1"])()

    return in_folder(tried)


def vault(
    text: str,
    use: Callable = rotate_key.open_keys,
    secret: VaultSecret | None = SECRETS[0][1],
    passwords: list = SECRETS,
    **given: str,
) -> Lines:
    """Return what opens a vault file with this text. use: the function that does; secret: None for a plain file."""

    def tried(folder: Path) -> list[str]:
        path = folder / "vault.yml"
        content = VaultLib(SECRETS).encrypt(text, secret, vault_id="dev") if secret else text.encode()
        path.write_bytes(content)
        return raised(use, path, passwords, *given.values())()

    return in_folder(tried)


def placed(**files: str) -> Lines:
    """Return what looks for the vault file of the publisher's key. Files: all for that of all hosts, host of node-1."""

    def tried(folder: Path) -> list[str]:
        for name, text in files.items():
            path = folder / {"all": "group_vars/all/vault.yml", "host": "host_vars/node-1/vault.yml"}[name]
            path.parent.mkdir(parents=True)
            path.write_text(text, encoding="utf-8")
        action = rotate_key.ActionModule.__new__(rotate_key.ActionModule)
        action._loader = DataLoader()
        groups = {"all": ["node-1"], "prover_node": ["node-1"]}
        request = rotate_key.Request(publisher_key.Request())
        return raised(action._vault_path, request, {"ansible_inventory_sources": [str(folder)], "groups": groups})()

    return in_folder(tried)


def added(text: str) -> Lines:
    """Return what adds a key to a vault file's text."""
    vault = publisher_key.Vault(Path("vault.yml"), text, "dev", None)
    return raised(vault.with_account, wallet.from_private_key(OLD))


def changed(text: str) -> Lines:
    """Return what removes a key from a vault file's text."""
    return raised(vault_file.with_renamed, text, {KEYS[NEXT]: None})


def requested(**options: object) -> Lines:
    """Return what takes the options of playbooks/keys.yml."""
    return raised(publisher_key.request_of, options)


def turn(**options: object) -> Lines:
    """Return what takes the options of playbooks/rotate_key.yml."""
    return raised(rotate_key.request_of, options)


def planned(addresses: dict, **options: bool) -> Lines:
    """Return what plans a rotation by the keys that are there."""
    return raised(rotation.plan_of, addresses, "vault.yml", **options)


def given_key(key: str, addresses: dict) -> Lines:
    """Return what takes a key that is given during a rotation."""
    return lambda: returned(
        rotation.key_mismatch, key, rotation.plan_of(addresses, "vault.yml"), addresses, "vault.yml"
    )()


def ready(balances: dict | None = None, sent: dict | None = None, prover_id: str = A, moved: bool = True) -> Lines:
    """Return what keeps an old key, B's, in the vault."""
    held = {A: ETH, B: 0} if balances is None else balances
    return lambda: rotation.reasons_to_keep(A, B, held, {A: 1} if sent is None else sent, prover_id, moved)


def from_layers(*places: str) -> Lines:
    """Return what checks that a key, set in these layers of the inventory, comes from the vault file in the first."""
    layers = [Layer(place, 0, {KEYS[CURRENT]: OLD}) for place in places]
    vault = rotate_key.KeyVault(Path("vault.yml"), KEY_LINE, "dev", None, {CURRENT: OLD}, {CURRENT: A})
    return raised(rotate_key.check_single_source, "node-1", OLD, vault, places[0], layers)


def exported(**environment: str) -> Lines:
    """Return what looks for the environment variables that a secret is to come from."""
    name = "prover_node_publisher_private_key"
    written = {name: "{{ lookup('ansible.builtin.env', 'A_KEY') }}"}

    def lines() -> list[str]:
        with mock.patch.dict(os.environ, environment):
            missing = host_variables.missing_environment(written, SPECS)
            return [f"{one.reason}: {one.remedy}" for one in missing.values()]

    return lines


def read_from(option: str, there: bool = False, **environment: str) -> Lines:
    """Return what reads the file A_KEY, or the environment variable, that an option names."""

    def tried(folder: Path) -> list[str]:
        if there:
            (folder / "A_KEY").write_text(OLD, encoding="utf-8")
        named = str(folder / "A_KEY") if option == "file" else "A_KEY"
        with mock.patch.dict(os.environ, environment):
            return raised(publisher_key.read, publisher_key.Request(**{option: named}), option)()

    return in_folder(tried)


def written(folder_is_there: bool) -> Lines:
    """Return what writes a vault file."""

    def tried(folder: Path) -> list[str]:
        own = folder / "group_vars"
        if folder_is_there:
            own.mkdir()
        try:
            vault_file.write(own / "vault.yml", b"x")
        except OSError as error:
            return [publisher_key.message_of(error)]
        return []

    return in_folder(tried)


def given(**options: str) -> Lines:
    """Return what reads the account of these options without a terminal."""

    def tried(folder: Path) -> list[str]:
        store = create_keyfile_json(bytes.fromhex(OLD[2:]), PASSWORD, kdf="pbkdf2", iterations=1)
        for name, text in (("key", OLD), ("store", json.dumps(store)), ("word", PASSWORD.decode())):
            (folder / name).write_text(text, encoding="utf-8")
        named = {key: str(folder / value) if key.endswith("file") else value for key, value in options.items()}
        with mock.patch.dict(os.environ, A_KEY=OLD, A_WORD=PASSWORD.decode()):
            return raised(_action_without_terminal()._account, publisher_key.Request(**named))()

    return in_folder(tried)


def confirmed(secret: VaultSecret) -> Lines:
    """Return what has a vault password confirmed without a terminal."""
    return lambda: raised(_action_without_terminal()._confirm, secret, Path("vault.yml"))()


def _action_without_terminal() -> publisher_key.ActionModule:
    """Return the action without a terminal for a prompt."""
    action = publisher_key.ActionModule.__new__(publisher_key.ActionModule)
    action._display = mock.Mock(prompt_until=mock.Mock(side_effect=AnsiblePromptNoninteractive("no terminal")))
    return action


KEY_LINE, NEXT_LINE = f'{KEYS[CURRENT]}: "{OLD}"\n', f'{KEYS[NEXT]}: "{NEW}"\n'

KEYS_AND_VAULTS = cases(
    # accounts
    (
        "the address is written without quotes",
        raised(ethereum.ethereum_checksum, int(A, 16)),
        raised(ethereum.ethereum_checksum, A),
    ),
    (
        "the mnemonic's word 2 is not in",
        words(WORDS.replace("test", "tset", 2).replace("tset", "test", 1)),
        words(WORDS),
    ),
    ("do not match their checksum", words(WORDS.replace("junk", "test")), words(WORDS)),
    ("are in no BIP-39 word list", words("a1 " * 12), words(WORDS)),
    ("the index of the address", words(WORDS, -1), words(WORDS, 0)),
    ("the mnemonic has 11 words", words("test " * 11), words(WORDS)),
    ("not a JSON V3 key store", raised(wallet.from_keystore, "no JSON", PASSWORD), keystore()),
    ("is not of version 3", keystore(version=4), keystore()),
    ("is not the address of its key", keystore(address=B[2:].lower()), keystore()),
    ("does not open the key store", keystore(b"other"), keystore(PASSWORD)),
    # inventories and vault files
    ("2 inventories are given", inventory("prod", "prod/hosts.yml"), inventory("prod")),
    ("no inventory is given", inventory(), inventory("prod")),
    ("is a list of hosts", inventory("a,b"), inventory("prod")),
    ("does not exist", inventory("p-gone"), inventory("prod")),
    ("is a single file: give its folder", inventory("prod/hosts.yml"), inventory("prod")),
    (
        "Ansible does not read the vault file",
        file_of("vault.txt"),
        file_of("group_vars/all/vault.yml"),
        file_of("host_vars/node-1/vault.yml"),
    ),
    (
        "does not apply to the node's host",
        file_of("host_vars/agent-1/vault.yml"),
        file_of("group_vars/all/vault.yml"),
        file_of("group_vars/prover_node/vault.yml"),
        file_of("host_vars/node-1/vault.yml"),
    ),
    (
        "name a file that it reads",
        file_of("group_vars/all.yaml", "group_vars/all.yml"),
        file_of("group_vars/all.yml", "group_vars/all.yml"),
    ),
    (
        "Ansible would no longer read",
        file_of("group_vars/all/vault.yml", "group_vars/all.yml"),
        file_of("group_vars/all/vault.yml", "group_vars/all/main.yml"),
    ),
    ("it does not contain NAME: value lines", vault("- a\n"), vault(KEY_LINE)),
    ("nothing can be added at its end", added("{a: 1}\n"), added("a: 1\n")),
    (
        "cannot be changed in place",
        changed(f'{{{KEYS[NEXT]}: &key "{NEW}", b: *key}}\n'),
        changed(NEXT_LINE),
    ),
    ("is already set in vault.yml, and keys are never overwritten", added(KEY_LINE), added("a: 1\n")),
    (
        "is plain text: encrypt it first",
        vault(KEY_LINE, publisher_key.open_vault, None, vault_id=""),
        vault(KEY_LINE, publisher_key.open_vault, vault_id=""),
    ),
    (
        "cannot be decrypted with the given vault passwords",
        vault(KEY_LINE, publisher_key.open_vault, SECRETS[1][1], SECRETS[:1], vault_id=""),
        vault(KEY_LINE, publisher_key.open_vault, SECRETS[1][1], vault_id=""),
    ),
    (
        "has vault id dev, which does not change",
        vault(KEY_LINE, publisher_key.open_vault, vault_id="prod"),
        vault(KEY_LINE, publisher_key.open_vault, vault_id=""),
    ),
    (
        "several vault passwords are given",
        raised(publisher_key.secret_for_new, SECRETS, ""),
        raised(publisher_key.secret_for_new, SECRETS, "prod"),
    ),
    (
        "the wanted vault id has no password",
        raised(publisher_key.secret_for_new, SECRETS, "test"),
        raised(publisher_key.secret_for_new, SECRETS, "dev"),
        raised(publisher_key.secret_for_new, [*SECRETS, ("test", SECRETS[0][1])], "test"),
    ),
    ("is set more than once in", vault(KEY_LINE + KEY_LINE), vault(KEY_LINE)),
    (
        f"has {MNEMONICS[NEXT]} but not {KEYS[NEXT]}",
        vault(KEY_LINE + f"{MNEMONICS[NEXT]}: {WORDS}\n"),
        vault(KEY_LINE),
        vault(KEY_LINE + NEXT_LINE + f"{MNEMONICS[NEXT]}: {WORDS}\n"),
    ),
    ("names a variable that is not set: export it", read_from("environment"), read_from("environment", A_KEY=OLD)),
    ("correct its path", read_from("file"), read_from("file", there=True)),
    ("check its folder", written(False), written(True)),
    *(
        (f"there is no terminal for a prompt: {instead}", given(**before), *(given(**after) for after in afterwards))
        for instead, before, *afterwards in (
            (
                "set publisher_key_file or",
                {"source": "private_key"},
                {"source": "private_key", "file": "key"},
                {"source": "private_key", "environment": "A_KEY"},
            ),
            (
                "set publisher_key_password_file or",
                {"source": "keystore", "file": "store"},
                {"source": "keystore", "file": "store", "password_file": "word"},
                {"source": "keystore", "file": "store", "password_environment": "A_WORD"},
            ),
        )
    ),
    ("use --vault-password-file", confirmed(PromptVaultSecret(b"x")), confirmed(SECRETS[0][1])),
    ("reads the environment variable A_KEY", exported(), exported(A_KEY=OLD)),
    # options of keys.yml
    (
        "unknown variable publisher_key_sorce",
        raised(publisher_key.check_names, ["publisher_key_sorce"]),
        raised(publisher_key.check_names, ["publisher_key_source"]),
    ),
    (
        "unknown variable publisher_key_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz: remove it",
        raised(publisher_key.check_names, ["publisher_key_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"]),
        raised(publisher_key.check_names, []),
    ),
    (
        "file is not set: set it to the path of the key store",
        requested(source="keystore"),
        requested(source="keystore", file="k"),
    ),
    ("index is not a whole number", requested(source="mnemonic", index="x"), requested(source="mnemonic", index=0)),
    (
        "show_mnemonic is not a boolean",
        requested(show_mnemonic="x"),
        requested(show_mnemonic=True),
        requested(show_mnemonic=False),
    ),
    ("file is not text", requested(vault_file=7), requested(vault_file="7")),
    ("file requires publisher_key_source", requested(file="k"), requested(file="k", source="private_key")),
    (
        "are both set: set only one",
        requested(source="private_key", file="k", environment="K"),
        requested(source="private_key", file="k"),
        requested(source="private_key", environment="K"),
    ),
    ("source is not a valid choice", requested(source="x"), requested(source="new")),
    # options of rotate_key.yml
    ("wait is not a whole number", turn(wait="soon"), turn(wait=0), turn(wait=1800)),
    ("confirm is not a boolean", turn(confirm="perhaps"), turn(confirm=True), turn(confirm=False)),
    ("rewards_moved requires", turn(rewards_moved=True), turn(rewards_moved=True, confirm=True)),
    (
        "publisher_key_source is for a new key",
        turn(source="mnemonic", rollback=True),
        turn(source="mnemonic"),
        turn(rollback=True),
    ),
    (
        "the key is in a web3signer",
        raised(rotate_key.check_source, {"prover_node_key_source": "web3signer"}),
        # With another key in the signer this playbook has nothing to do.
        raised(rotate_key.check_source, {}),
    ),
    (
        "has several keys: replace one of them",
        raised(rotate_key.check_source, {f"{KEYS[CURRENT]}s": [OLD, NEW]}),
        raised(rotate_key.check_source, {}),
    ),
    (
        "not from vault.yml: remove it there",
        from_layers("group_vars/all", "host_vars of the host"),
        from_layers("group_vars/all"),
    ),
    ("is not in a vars file of the inventory", placed(all="a: 1\n"), placed(all=KEY_LINE)),
    ("keep all keys in one file", placed(all=KEY_LINE, host=NEXT_LINE), placed(all=KEY_LINE + NEXT_LINE)),
    (
        "is a template or an encrypted value of its own",
        placed(all=KEYS[CURRENT] + ": \"{{ lookup('ansible.builtin.env', 'A') }}\"\n"),
        # Changed at its source: this playbook has nothing to do.
        placed(all=KEY_LINE),
    ),
    # plans
    (
        "rotate_key_rollback are both set: set only one",
        planned(KEPT, confirm=True, rollback=True),
        planned(KEPT, confirm=True),
        planned(KEPT, rollback=True),
    ),
    (
        "remove the one that is not needed",
        planned({CURRENT: A, NEXT: B, PREVIOUS: C}),
        planned(BOTH),
        planned({CURRENT: A, PREVIOUS: C}),
    ),
    ("is the same key as", planned({CURRENT: A, NEXT: A}), planned({CURRENT: A})),
    (
        "is not in use yet: run aztec_ops.prover.rotate_key first",
        planned(BOTH, confirm=True),
        planned({CURRENT: B, PREVIOUS: A}, confirm=True),
    ),
    (
        "the rotation to " + A + " is not confirmed yet",
        given_key(C, KEPT),
        # Confirmed, or rolled back: then a new key is the next one.
        lambda: given_key(C, {CURRENT: A, NEXT: C})(),
        lambda: given_key(C, {CURRENT: B, NEXT: C})(),
    ),
    ("the given key is the previous one", given_key(B, KEPT), planned(KEPT, rollback=True)),
    (
        "remove that one with ansible-vault edit",
        given_key(C, BOTH),
        planned({CURRENT: A}),
        planned(BOTH),
    ),
    # balances of accounts
    (
        "and cannot pay for submitting proofs: send ETH to it",
        returned(rotation.insufficient_balance, A, {A: 0}, SETTINGS),
        returned(rotation.insufficient_balance, A, {A: ETH}, SETTINGS),
    ),
    (
        "not enough to submit one proof now",
        returned(rotation.insufficient_balance, A, {A: 1}, SETTINGS, ETH),
        returned(rotation.insufficient_balance, A, {A: ETH}, SETTINGS, ETH),
        returned(rotation.insufficient_balance, A, {A: 1}, SETTINGS, 1),
    ),
    (
        "no execution client returned the balance of",
        returned(rotation.insufficient_balance, A, {}, SETTINGS),
        returned(rotation.insufficient_balance, A, {A: ETH}, SETTINGS),
    ),
    (
        "below aztec_l1_balance_warn",
        returned(rotation.low_balance, A, {A: 1}, SETTINGS),
        returned(rotation.low_balance, A, {A: ETH}, SETTINGS),
    ),
    ("wait for its first proof", ready(sent={}), ready(sent={A: 1})),
    ("no execution client returned the balance of", ready(balances={}), ready()),
    ("transfer it first", ready(balances={B: ETH}), ready(balances={B: 0})),
    ("rewards still go to", ready(prover_id=B), ready(prover_id=C)),
    ("claim and move them", ready(moved=False), ready(moved=True)),
)
