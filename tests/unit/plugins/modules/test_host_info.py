# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What host_info reads from a project's files."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.aztec_ops.prover.plugins.modules.host_info import inventories


def test_inventories(tmp_path: Path) -> None:
    header = "# Managed by Ansible (aztec_ops.prover, inventory {}): changes made here are overwritten.\nname: x\n"
    texts = {"a": header.format("prod"), "b": header.format("lab"), "c": "name: x\n", "d": header.format("lab")}
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "compose.yml").write_text(text)
    assert inventories(tmp_path, {"/a", "/b", "/c", "/d", "/missing", ""}) == ["lab", "prod"]
    assert inventories(tmp_path, {""}) == []
