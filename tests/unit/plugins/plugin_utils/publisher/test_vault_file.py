# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Paths of vault files, changes to their text, and how they are written."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import vault_file

VARIABLES = {"the_key": ("0xabc", "A key."), "the_words": ("one two", "Its words.")}
ADDED = '# A key.\nthe_key: "0xabc"\n# Its words.\nthe_words: "one two"\n'


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        ("", "---\n"),
        ("\n", "\n---\n"),
        ("---\n", "---\n"),
        ("# mine\n", "# mine\n"),
        ("---\n# mine\na: 1   # one\n\nb: [x,  y]\n", None),
        ("a: 1", "a: 1\n"),
        ("a: 1\r\nb: 2\r\n", None),
        ("a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3031\n", None),
        ("z: 1\na: &x {q: '1'}\nb: *x\n", None),
        ("a: |\n  text\n\n", None),
        # The end of the line would become a part of the value.
        ("a: |\n  text", ValueError),
        ("ü: 'ß'\n", None),
        ("- a: 1\n", ValueError),
        ("text\n", ValueError),
        ("{a: 1}\n", ValueError),
        ("  a: 1\n", ValueError),
        ("a: 1\n...\n", ValueError),
        ("a: 1\n---\nb: 2\n", ValueError),
        ("a: 'S3cret\n", ValueError),
        ("a: |+\n  text\n\n", None),
        ('a: "S3cret\n', ValueError),
        ("a: S3cret: b\n", ValueError),
    ],
)
def test_all_else_stays_as_it_was(text: str, begin: object) -> None:
    if begin is ValueError:
        with pytest.raises(ValueError, match="NAME: value lines") as caught:
            vault_file.with_added(text, VARIABLES)
        assert "S3cret" not in str(caught.value) and "\n" not in str(caught.value)
        assert caught.value.__context__ is None
        return
    added = vault_file.with_added(text, VARIABLES)
    assert added == (text if begin is None else begin) + ADDED
    assert vault_file.variables_in(added) == [
        *vault_file.variables_in(text),
        ("the_key", "0xabc"),
        ("the_words", "one two"),
    ]


def test_what_is_added_is_read_back() -> None:
    assert yaml.safe_load(vault_file.with_added("a: 1\n", VARIABLES)) == {
        "a": 1,
        "the_key": "0xabc",
        "the_words": "one two",
    }


def test_a_text_that_would_be_changed_by_what_is_added_is_refused() -> None:
    # Without the end of its last line the value would continue.
    with pytest.raises(ValueError, match="nothing can be added at its end"):
        vault_file.with_added("a: |+\n  text\n ", VARIABLES)


def tree(root: Path, *names: str) -> Path:
    """Create empty files."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "no inventory is given: give one folder, -i inventories/prod"),
        (["/etc/ansible/hosts"], "no inventory is given"),
        (["{here}", "{here}"], "2 inventories are given, but the key can go into only one: give one folder"),
        (["a,b"], "the inventory is a list of hosts, which cannot have a vault file: give one folder"),
        (["{here}/gone"], "the inventory {here}/gone does not exist: give one folder"),
        (["{here}/hosts.yml"], "the inventory {here}/hosts.yml is a single file: give its folder, -i {here}"),
    ],
)
def test_no_folder_of_an_inventory(tmp_path, sources: list, message: str) -> None:
    tree(tmp_path, "hosts.yml")
    with pytest.raises(ValueError) as caught:
        vault_file.inventory_folder([source.format(here=tmp_path) for source in sources])
    assert message.format(here=tmp_path) in str(caught.value)
    assert vault_file.inventory_folder([str(tmp_path)]) == tmp_path


UNREAD = "Ansible does not read the vault file "

PLACES = [
    ("group_vars/all/vault.yml", [], None),
    ("group_vars/all/vault.yml", ["group_vars/all/main.yml"], None),
    ("group_vars/all/secrets/vault.yaml", ["group_vars/all/main.yml"], None),
    ("group_vars/prover_node.yml", [], None),
    ("group_vars/all.yaml", [], None),
    ("group_vars/all", [], None),
    ("group_vars/all/vault", [], None),
    ("host_vars/node-1.lan", [], None),
    ("host_vars/node-1.lan/vault.yml", [], None),
    ("host_vars/node-1.lan.yml", [], None),
    ("host_vars/../group_vars/all/vault.yml", [], None),
    ("vault.yml", [], UNREAD),
    ("../vault.yml", [], UNREAD),
    ("/etc/vault.yml", [], UNREAD),
    ("group_vars", [], UNREAD),
    ("group_vars/all/vault.yml.example", [], UNREAD),
    ("group_vars/all/vault.json", [], UNREAD),
    ("group_vars/all/.vault.yml", [], UNREAD),
    ("group_vars/all/old.d/vault.yml", [], UNREAD),
    ("other_vars/all/vault.yml", [], UNREAD),
    (
        "group_vars/prover_agent/vault.yml",
        [],
        "does not apply to the node's host: put it under one of group_vars/all, group_v",
    ),
    ("host_vars/agent-1/vault.yml", [], "does not apply to the node's host"),
    ("host_vars/node-1.yml", [], "does not apply to the node's host"),
    ("group_vars/all.yml", ["group_vars/all/main.yml"], "group_vars/all, not {here}/group_vars/all.yml: name"),
    ("group_vars/all.yaml", ["group_vars/all.yml"], "group_vars/all.yml, not {here}/group_vars/all.yaml: name"),
    ("group_vars/all/vault.yml", ["group_vars/all.yml"], "move it to {here}/group_vars/all/main.yml first"),
    ("group_vars/all/vault.yml", ["group_vars/all.json"], "move it to {here}/group_vars/all/main.json first"),
    ("group_vars/all/vault.yml", ["group_vars/all"], "move it to {here}/group_vars/all/main.yml first"),
    ("host_vars/node-1.lan/vault.yml", ["host_vars/node-1.lan.yml"], "move it to {here}/host_vars/node-1.lan/main.yml"),
]


@pytest.mark.parametrize(("name", "others", "message"), PLACES)
def test_a_vault_file_is_one_that_ansible_reads(tmp_path, name: str, others: list, message: str | None) -> None:
    """Ansible's loader finds each accepted file, and all files that it found before."""
    tree(tmp_path, *others)
    groups, hosts = ["all", "prover_node"], ["node-1.lan"]

    def read() -> set:
        entities = [("group_vars", group) for group in groups] + [("host_vars", host) for host in hosts]
        found = [DataLoader().find_vars_files(str(tmp_path / kind), entity) for kind, entity in entities]
        return {path for paths in found for path in paths}

    before = read()
    if message is None:
        path = vault_file.vault_path(tmp_path, name, groups, hosts)
    else:
        with pytest.raises(ValueError) as caught:
            vault_file.vault_path(tmp_path, name, groups, hosts)
        assert message.format(here=tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)
        path = Path(os.path.normpath(tmp_path / name))
        if not path.is_relative_to(tmp_path) or path.suffix == ".json" or (tmp_path / "group_vars/all").is_file():
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_dir():
        path.touch()
    assert (str(path) in read() and before <= read()) == (message is None)


def test_a_file_is_written_whole_with_mode_0600(tmp_path) -> None:
    path = tmp_path / "vault.yml"
    vault_file.write(path, b"one")
    assert (path.read_bytes(), path.stat().st_mode & 0o7777) == (b"one", 0o600)
    path.chmod(0o664)
    os.chown(path, os.getuid(), os.getgid())
    vault_file.write(path, b"two")
    assert (path.read_bytes(), path.stat().st_mode & 0o7777) == (b"two", 0o600)
    assert os.listdir(tmp_path) == ["vault.yml"]


def test_a_link_stays_a_link(tmp_path) -> None:
    tree(tmp_path, "kept/vault.yml")
    (tmp_path / "vault.yml").symlink_to("kept/vault.yml")
    vault_file.write(tmp_path / "vault.yml", b"one")
    assert (tmp_path / "vault.yml").is_symlink()
    assert (tmp_path / "kept/vault.yml").read_bytes() == b"one"


@pytest.mark.parametrize("step", ["fchown", "fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch, step: str) -> None:
    path = tree(tmp_path, "vault.yml") / "vault.yml"
    path.write_bytes(b"old")

    def full(*_arguments) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        vault_file.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["vault.yml"]


def test_one_at_a_time(tmp_path) -> None:
    folder, seen = tmp_path / "group_vars/all", []

    def second() -> None:
        with vault_file.locked(folder):
            seen.append("second")

    with vault_file.locked(folder):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        seen.append("first")
    thread.join(5)
    assert seen == ["first", "second"]


THREE = """---
# mine
a: 1   # one

# A key, of account 1.
key: "0xabc"
# Its words.
words: "one two"   # a comment
  # indented
z: &x {q: '1'}
y: *x
# A key, of account 2.
new_key: '0xdef'
"""


@pytest.mark.parametrize(
    ("text", "names", "changed"),
    [
        (
            THREE,
            {"key": "old_key", "words": "old_words", "new_key": "key", "new_words": "words"},
            THREE.replace("\nkey:", "\nold_key:").replace("words:", "old_words:").replace("new_key:", "key:"),
        ),
        (THREE, {}, THREE),
        (THREE, {"missing": "renamed", "none": None}, THREE),
        (THREE, {"key": None}, THREE.replace('# A key, of account 1.\nkey: "0xabc"\n', "")),
        (THREE, {"words": None}, THREE.replace('words: "one two"   # a comment\n', "")),
        (
            THREE,
            {"key": None, "new_key": "key"},
            THREE.replace('# A key, of account 1.\nkey: "0xabc"\n', "").replace("new_key:", "key:"),
        ),
        (THREE, {"new_key": None}, THREE.replace("# A key, of account 2.\nnew_key: '0xdef'\n", "")),
        ("a: 1\nb: 2", {"b": None}, "a: 1\n"),
        ("a: 1\nb: 2", {"a": None}, "b: 2"),
        ("a: 1\r\nb: 2\r\nc: 3\r\n", {"b": None, "c": "d"}, "a: 1\r\nd: 3\r\n"),
        ("b: |\n  text\n  more\n# kept\na: 1\n", {"b": None}, "# kept\na: 1\n"),
        ("b: >-\n  text\na: 1\n", {"b": "c"}, "c: >-\n  text\na: 1\n"),
        ('"b": 1\n"a": 2\n', {"b": "c"}, 'c: 1\n"a": 2\n'),
        ("a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3031\nb: 1\n", {"b": "c"}, None),
        ("ü: 'ß'\nb: 1\n", {"b": "c"}, "ü: 'ß'\nc: 1\n"),
        ("{a: 1, b: 2}\n", {"b": "c"}, "{a: 1, c: 2}\n"),
        ("{a: 1, b: 2}\n", {"b": None}, ValueError),
        ("a: &x 1\nb: *x\n", {"a": None}, ValueError),
        ("- S3cret\n", {"b": "c"}, ValueError),
    ],
)
def test_variables_are_renamed_or_removed_and_all_else_stays(text: str, names: dict, changed: object) -> None:
    if changed is ValueError:
        with pytest.raises(ValueError, match="NAME: value lines") as caught:
            vault_file.with_renamed(text, names, ("A key, of account ",))
        assert "S3cret" not in str(caught.value) and "\n" not in str(caught.value)
        return
    wanted = text.replace("b: 1", "c: 1") if changed is None else changed
    assert vault_file.with_renamed(text, names, ("A key, of account ",)) == wanted


def test_values_as_they_are_written() -> None:
    text = "a: 'x'\nb: 0x1\nc: {d: 1}\ne: !vault |\n  3031\nf: !unsafe y\n"
    assert vault_file.variables_in(text) == [("a", "x"), ("b", None), ("c", None), ("e", None), ("f", None)]
    assert vault_file.variables_in("") == []
