# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of the action, its choice of a vault password, and its changes to the text of a vault file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.aztec_ops.prover.plugins.action.publisher_key import (
    OPTIONS,
    Request,
    Vault,
    check_names,
    open_vault,
    read,
    request_of,
    secret_for_new,
    variables_of,
)
from ansible_collections.aztec_ops.prover.plugins.doc_fragments import new_key
from ansible_collections.aztec_ops.prover.plugins.modules import publisher_key
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import wallet
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.rotation import CURRENT, KEYS, MNEMONICS

KEY, MNEMONIC = KEYS[CURRENT], MNEMONICS[CURRENT]
COLLECTION = Path(__file__).resolve().parents[4]
DEV, PROD = VaultSecret(b"dev-S3cret"), VaultSecret(b"prod-S3cret")
SECRETS = [("dev", DEV), ("prod", PROD)]
ACCOUNT = wallet.from_mnemonic("test test test test test test test test test test test junk")


def refusal(function, *arguments: object) -> str:
    """Return the line of the error that a function raises."""
    with pytest.raises(ValueError) as caught:
        function(*arguments)
    assert caught.type is ValueError
    text = str(caught.value)
    assert "\n" not in text and "S3cret" not in text
    return text


def options_of(module) -> dict:
    """Return the options in a module's documentation, with those of the fragment that it extends."""
    own = yaml.safe_load(module.DOCUMENTATION)
    assert own["extends_documentation_fragment"] == ["aztec_ops.prover.new_key"]
    return {**yaml.safe_load(new_key.ModuleDocFragment.DOCUMENTATION)["options"], **own["options"]}


def test_the_documentation_names_every_option_and_default() -> None:
    options = options_of(publisher_key)
    assert set(options) == set(OPTIONS)
    assert {name: option["default"] for name, option in options.items()} == vars(Request())


def test_the_playbook_passes_every_option() -> None:
    play = yaml.safe_load((COLLECTION / "playbooks/keys.yml").read_text(encoding="utf-8"))[0]
    passed = play["tasks"][0]["aztec_ops.prover.publisher_key"]
    names = {**{name: f"publisher_key_{name}" for name in OPTIONS}, "group": "preflight_node_group"}
    assert passed == {name: f"{{{{ {variable} | default(omit) }}}}" for name, variable in names.items()}


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        ({}, {}),
        (dict.fromkeys(OPTIONS), {}),
        (dict.fromkeys(OPTIONS, ""), {}),
        ({"source": "mnemonic", "index": "7", "file": "words"}, {"source": "mnemonic", "index": 7, "file": "words"}),
        ({"source": "private_key", "environment": "THE_KEY"}, {"source": "private_key", "environment": "THE_KEY"}),
        (
            {"source": "keystore", "file": "k", "password_file": "p"},
            {"source": "keystore", "file": "k", "password_file": "p"},
        ),
        ({"show_mnemonic": "yes", "qr": "none"}, {"show_mnemonic": True, "qr": "none"}),
        ({"source": "private_key", "show_mnemonic": False, "index": 0}, {"source": "private_key"}),
    ],
)
def test_requests(arguments: dict, changes: dict) -> None:
    assert vars(request_of(arguments)) == {**vars(Request()), **changes}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"source": "S3cret"},
            "publisher_key_source is not a valid choice: choose one of new, private_key, mnemonic, keystore",
        ),
        ({"qr": "S3cret"}, "publisher_key_qr is not a valid choice: choose one of uri, address, none"),
        ({"index": "S3cret", "source": "mnemonic"}, "publisher_key_index is not a whole number: give one from 0"),
        ({"show_mnemonic": "S3cret"}, "publisher_key_show_mnemonic is not a boolean: write true or false"),
        ({"file": ["S3cret"]}, "publisher_key_file is not text: put it in quotes"),
        ({"vault_file": 7}, "publisher_key_vault_file is not text"),
        (
            {"file": "S3cret"},
            "publisher_key_file requires publisher_key_source private_key or mnemonic or keystore: set that too",
        ),
        (
            {"environment": "S3cret"},
            "publisher_key_environment requires publisher_key_source private_key or mnemonic: set",
        ),
        ({"index": 1}, "publisher_key_index requires publisher_key_source mnemonic: set that too"),
        (
            {"source": "private_key", "index": 1},
            "publisher_key_index requires publisher_key_source mnemonic: set that too",
        ),
        (
            {"source": "mnemonic", "password_file": "S3cret"},
            "publisher_key_password_file requires publisher_key_source keys",
        ),
        (
            {"password_environment": "S3cret"},
            "publisher_key_password_environment requires publisher_key_source keystore: ",
        ),
        ({"source": "keystore", "file": "k", "environment": "S3cret"}, "publisher_key_environment requires"),
        (
            {"source": "private_key", "show_mnemonic": True},
            "publisher_key_show_mnemonic requires publisher_key_source new",
        ),
        ({"source": "keystore"}, "publisher_key_file is not set: set it to the path of the key store"),
        (
            {"source": "mnemonic", "file": "S3cret", "environment": "S3cret"},
            "publisher_key_file and publisher_key_environment are both set: set only one of them",
        ),
        (
            {"source": "keystore", "file": "k", "password_file": "S3cret", "password_environment": "S3cret"},
            "publisher_key_password_file and publisher_key_password_environment are both set",
        ),
    ],
)
def test_wrong_requests(arguments: dict, message: str) -> None:
    assert refusal(request_of, arguments).startswith(message)


def test_misspelt_options() -> None:
    check_names(["publisher_key_source", "publisher_key_vault_file", "my_publisher_key", "ansible_host", "keys"])
    found = refusal(check_names, ["publisher_key_sourec"])
    assert found == "unknown variable publisher_key_sourec: did you mean publisher_key_source?"
    assert refusal(check_names, ["publisher_keys_source"]).endswith("did you mean publisher_key_source?")
    assert refusal(check_names, ["publisher_key_" + "x" * 40]).endswith("remove it")


def test_the_password_of_a_new_file(monkeypatch) -> None:
    assert secret_for_new(SECRETS[:1], "") == ("dev", DEV)
    assert secret_for_new(SECRETS, "prod") == ("prod", PROD)
    assert refusal(secret_for_new, SECRETS, "") == (
        "several vault passwords are given (dev, prod): name one by its id with publisher_key_vault_id"
    )
    assert refusal(secret_for_new, SECRETS, "other").startswith("the wanted vault id has no password, only dev, prod: ")
    monkeypatch.setattr("ansible.constants.DEFAULT_VAULT_ENCRYPT_IDENTITY", "prod")
    assert secret_for_new(SECRETS, "") == ("prod", PROD)


@pytest.mark.parametrize(("vault_id", "header"), [("prod", b";AES256;prod\n"), ("default", b"1.1;AES256\n")])
def test_a_file_is_opened_with_its_own_password_and_keeps_its_vault_id(tmp_path, vault_id: str, header: bytes) -> None:
    path = tmp_path / "vault.yml"
    path.write_bytes(VaultLib().encrypt("a: 1\n", PROD, vault_id=vault_id))
    assert header in path.read_bytes()
    found = open_vault(path, SECRETS, "")
    assert (found.text, found.vault_id, found.secret) == ("a: 1\n", vault_id, PROD)
    new = tmp_path / "new.yml"
    assert open_vault(new, SECRETS, "dev") == Vault(new, "", "dev", DEV)
    other = "dev" if vault_id == "prod" else "prod"
    assert refusal(open_vault, path, SECRETS, other).endswith(
        f"has vault id {vault_id}, which does not change: omit publisher_key_vault_id"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: S3cret\n", "is plain text: encrypt it first with ansible-vault encrypt"),
        (b"", "is plain text"),
        (b"$ANSIBLE_VAULT", "cannot be decrypted"),
        (b"$ANSIBLE_VAULT;1.1;AES256\nS3cret\n", "cannot be decrypted"),
        (b"$ANSIBLE_VAULT;1.1;NONE\n3031\n", "cannot be decrypted"),
        (VaultLib().encrypt("a: S3cret", VaultSecret(b"other")), "cannot be decrypted with the given vault passwords"),
        (VaultLib().encrypt(b"\xff\xfeS3cret", PROD), "cannot be decrypted"),
    ],
)
def test_files_that_cannot_be_opened(tmp_path, content: bytes, message: str) -> None:
    (tmp_path / "vault.yml").write_bytes(content)
    assert message in refusal(open_vault, tmp_path / "vault.yml", SECRETS, "")


def test_the_text_with_an_account() -> None:
    def added(text: str) -> str:
        return Vault(Path("/inventory/vault.yml"), text, "prod", PROD).with_account(ACCOUNT)

    text = added("# mine\na: 1\n")
    assert text.startswith(
        "# mine\na: 1\n# The publisher's key, of account 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266.\n"
    )
    assert yaml.safe_load(text) == {"a": 1, KEY: ACCOUNT.key, MNEMONIC: ACCOUNT.mnemonic}
    assert "the key's mnemonic, path m/44'/60'/0'/0/0." in text
    assert list(variables_of(wallet.from_private_key(ACCOUNT.key))) == [KEY]
    for name in (KEY, MNEMONIC):
        for value in ("S3cret", '""', ""):
            found = refusal(added, f"{name}: {value}\n")
            assert found.startswith(f"{name} is already set in /inventory/vault.yml, and keys are never overwritten: ")
    found = refusal(added, "- S3cret\n")
    assert found.startswith("/inventory/vault.yml: it does not contain NAME: value lines: ")


def test_a_file_or_a_variable_is_read(tmp_path, monkeypatch) -> None:
    (tmp_path / "key").write_bytes(b"\xffkey\n")
    monkeypatch.setenv("THE_KEY", "from-here")
    assert read(Request(source="private_key", file=str(tmp_path / "key")), "file") == b"\xffkey\n"
    assert read(Request(source="private_key", environment="THE_KEY"), "environment") == b"from-here"
    assert refusal(read, Request(file="/S3cret"), "file") == (
        "publisher_key_file names a file that cannot be read (No such file or directory): correct its path"
    )
    assert refusal(read, Request(environment="S3cret"), "environment") == (
        "publisher_key_environment names a variable that is not set: export it"
    )
