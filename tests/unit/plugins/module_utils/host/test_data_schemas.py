# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The schemas of the stores in Aztec's data directories. The file's form is that of 4.1.2 (run) and 6 (source)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.data_schemas import (
    SCHEMAS_FILE,
    recorded_schemas,
    store_schemas,
)

ROLLUP = "0x322813fd9a801c5507c9de605d63cea4f2ce6c44"


def write(directory: Path, **stores: object) -> None:
    for name, schema in stores.items():
        (directory / name).mkdir(parents=True)
        text = schema if isinstance(schema, str) else json.dumps({"schemaVersion": schema, "rollupAddress": ROLLUP})
        (directory / name / "db_version").write_text(text)


def test_stores_of_a_node(tmp_path: Path) -> None:
    write(tmp_path, archiver=5, world_state=2, broken="{", other='["x"]', text='{"schemaVersion": "5"}', flag=True)
    (tmp_path / "cache").mkdir()
    assert store_schemas(tmp_path) == {"archiver": 5, "world_state": 2}


def test_stores_of_a_broker(tmp_path: Path) -> None:
    """It has one for each epoch. After an upgrade, those of earlier epochs are old."""
    write(tmp_path, **{"17": 1, "18": 2})
    assert store_schemas(tmp_path) == {"epochs": 2}


def test_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    assert store_schemas(tmp_path / "missing") == {}
    assert recorded_schemas(tmp_path / "missing") == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"4.1.2": {"archiver": 5}}', {"4.1.2": {"archiver": 5}}),
        ('{"4.1.2": {"archiver": "5"}, "4.1.3": 7}', {"4.1.2": {}}),
        ("[]", {}),
        ("no JSON", {}),
        ("", {}),
    ],
)
def test_recorded_schemas(tmp_path: Path, text: str, found: dict) -> None:
    (tmp_path / SCHEMAS_FILE).parent.mkdir()
    (tmp_path / SCHEMAS_FILE).write_text(text)
    assert recorded_schemas(tmp_path) == found
