# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which version of the collection a folder requires, and which versions meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.project.requirements import (
    is_installed,
    own_version,
    required_version,
    requirements_problem,
    satisfies,
)


@pytest.mark.parametrize(
    ("text", "required"),
    [
        ('collections: [{name: aztec_ops.prover, version: "1.2.0"}]', "1.2.0"),
        ('collections: [{name: x.y}, {name: aztec_ops.prover, version: ">=1.0.0,<2.0.0"}]', ">=1.0.0,<2.0.0"),
        ("collections: [aztec_ops.prover]", ""),
        ("collections: ['aztec_ops.prover:1.2.0']", "1.2.0"),
        ("collections: [{name: aztec_ops.prover}]", ""),
        ("collections: [{name: aztec_ops.prover, version: null}]", ""),
        # From a file or a repository, the version is not one of Galaxy.
        ("collections: [{name: ./aztec_ops-prover-1.2.0.tar.gz, type: file}]", ""),
        ("collections: [./aztec_ops-prover-1.2.0.tar.gz]", ""),
        (
            "collections: [{name: 'https://github.com/aztec-ops/ansible-collection-prover', type: git, version: main}]",
            "",
        ),
        # Files of other purposes
        ("collections: [{name: community.docker, version: 1.0.0}]", None),
        ("collections: [{name: 'https://git.lan/other', type: git, version: main}]", None),
        ("- src: geerlingguy.docker", None),
        ("roles: [geerlingguy.docker]", None),
        ("collections:", None),
        ("", None),
        ("a: b: c", None),
    ],
)
def test_required_version(text: str, required: str | None) -> None:
    assert required_version(text) == required


@pytest.mark.parametrize(
    ("version", "required", "met"),
    [
        ("1.0.0", "1.0.0", True),
        ("1.0.0", "==1.0.0", True),
        ("1.0.0", "1.0.1", False),
        ("1.0.1", "1.0.0", False),
        ("1.10.0", ">=1.9.0", True),
        ("1.9.0", ">= 1.10.0", False),
        ("1.9.0", ">=1.0.0, <2.0.0", True),
        ("2.0.0", ">=1.0.0,<2.0.0", False),
        ("1.0.0", "!=1.0.0", False),
        ("1.0.0", ">1.0.0", False),
        ("1.0.0", "<=1.0.0", True),
        ("1.0.0-rc.1", ">=1.0.0", False),
        ("1.0.0", "*", True),
        ("1.0.0", "", True),
    ],
)
def test_satisfies(version: str, required: str, met: bool) -> None:
    assert satisfies(version, required) is met


@pytest.mark.parametrize("required", ["main", "~=1.0.0", "1.0", ">=1.0.0 <2.0.0", ">=", "1.0.0,x"])
def test_what_is_not_a_version(required: str) -> None:
    with pytest.raises(ValueError):
        satisfies("1.0.0", required)


@pytest.mark.parametrize(
    ("version", "line"),
    [
        ("1.0.0", ""),
        (
            "2.0.0",
            "{} requires aztec_ops.prover 2.0.0, and this run uses 1.0.0: "
            "run ansible-galaxy collection install --upgrade -r {}, or change the version in it",
        ),
        ("main", "the version of aztec_ops.prover in {} is not valid: write one such as 1.0.0 or >=1.0.0"),
    ],
)
def test_requirements_problem(version: str, line: str, tmp_path: Path) -> None:
    assert requirements_problem(tmp_path, "1.0.0") == ""
    path = tmp_path / "requirements.yml"
    path.write_text(f'collections: [{{name: aztec_ops.prover, version: "{version}"}}]', encoding="utf-8")
    assert requirements_problem(tmp_path, "1.0.0") == line.replace("{}", str(path))


def test_own_version(tmp_path: Path) -> None:
    """The version of an installation is in MANIFEST.json, that of a clone in galaxy.yml."""
    for name, text in {"clone/galaxy.yml": "version: 1.2.3", "installed/MANIFEST.json": None}.items():
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(text or json.dumps({"collection_info": {"version": "4.5.6"}}), encoding="utf-8")
    assert own_version(tmp_path / "clone") == "1.2.3"
    assert own_version(tmp_path / "installed") == "4.5.6"
    assert is_installed(tmp_path / "installed") and not is_installed(tmp_path / "clone")


def test_file_of_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "requirements.yml").write_bytes(b"\xff\xfe{")
    assert requirements_problem(tmp_path, "1.0.0") == ""
