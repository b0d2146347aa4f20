# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which folders are refused, and that no existing file changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.project.folder import (
    environment_problem,
    folder_files,
    folder_problem,
    unpinned_notice,
    write_new_files,
)

OWN = 'collections: [{name: aztec_ops.prover, version: "1.0.0"}]'


def test_files() -> None:
    files = folder_files("testnet", "1.2.3")
    assert list(files) == [
        "requirements.yml",
        "ansible.cfg",
        ".gitignore",
        "inventories/testnet/hosts.yml",
        "inventories/testnet/group_vars/all/main.yml",
        "inventories/testnet/group_vars/all/vault.yml.example",
    ]
    entry = {"name": "aztec_ops.prover", "version": "1.2.3"}
    assert yaml.safe_load(files["requirements.yml"]) == {"collections": [entry]}
    assert not any("@" in text or "inventories/prod" in text for text in files.values())
    assert "edit inventories/testnet/group_vars/all/vault.yml" in list(files.values())[-1]


@pytest.mark.parametrize("name", ["prod", "testnet", "main2", "eu-west_1", "2"])
def test_environments(name: str) -> None:
    assert environment_problem(name) == ""


@pytest.mark.parametrize("name", ["", "Prod", "a b", "../x", "a/b", ".", "-i", "prod\n", "é"])
def test_what_is_not_an_environment(name: str) -> None:
    assert environment_problem(name).startswith("env is not a name of an environment: ")


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({}, ""),
        ({".git/config": "", ".venv/x": "", "README.md": "", "LICENSE": "", "collections/x": ""}, ""),
        ({"requirements.yml": OWN, "notes.txt": ""}, ""),
        ({"requirements.yml": "collections: [aztec_ops.prover]", "x": ""}, ""),
        ({"notes.txt": ""}, "{} has other files (notes.txt): choose a new or an empty folder"),
        ({"a": "", "b": "", "c": "", "d": ""}, "{} has other files (a, b, c): choose a new or an empty folder"),
        ({"requirements.yml": "collections: [x.y]"}, "{} has other files (requirements.yml): choose a new or "),
        ({"requirements.yml": OWN.replace("1.0.0", "1.1.0")}, "{}/requirements.yml requires aztec_ops.prover 1.1.0, "),
    ],
)
def test_folder_problem(files: dict, line: str, tmp_path: Path) -> None:
    folder = tmp_path / "prover"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    found = folder_problem(folder, "1.0.0")
    assert found.startswith(line.replace("{}", str(folder))) and bool(found) == bool(line)


def test_what_is_not_a_usable_folder(tmp_path: Path) -> None:
    assert folder_problem(tmp_path / "missing", "1.0.0") == ""
    (tmp_path / "file").touch()
    assert folder_problem(tmp_path / "file", "1.0.0") == f"{tmp_path}/file is not a folder: choose another name"
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert "is writable by all users" in folder_problem(shared, "1.0.0")


def test_existing_files_do_not_change(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("mine", encoding="utf-8")
    (tmp_path / "c").symlink_to(tmp_path / "missing")
    files = {"a": "new a", "b": "new b", "c": "new c", "d/e": "new e"}
    assert write_new_files(tmp_path, files, check_mode=True) == ["a", "d/e"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]
    assert write_new_files(tmp_path, files, check_mode=False) == ["a", "d/e"]
    assert [(tmp_path / name).read_text(encoding="utf-8") for name in ("a", "b", "d/e")] == ["new a", "mine", "new e"]
    assert not (tmp_path / "missing").exists()
    assert write_new_files(tmp_path, files, check_mode=False) == []


def test_unpinned_notice(tmp_path: Path) -> None:
    path = tmp_path / "requirements.yml"
    assert unpinned_notice(tmp_path, "1.0.0") == ""
    path.write_text(OWN, encoding="utf-8")
    assert unpinned_notice(tmp_path, "1.0.0") == ""
    path.write_text("collections: [aztec_ops.prover]", encoding="utf-8")
    line = f'{path} does not set the version of aztec_ops.prover: add version: "1.0.0" to its entry'
    assert unpinned_notice(tmp_path, "1.0.0") == line
