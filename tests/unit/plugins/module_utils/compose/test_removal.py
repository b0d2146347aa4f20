# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a removal removes, and what others need."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.removal import (
    remove_empty,
    remove_tree,
    unused_images,
    used_networks,
    user_of,
)

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def row(image: str, tag: str = "<none>", digest: str = "<none>") -> dict:
    return {"ID": image, "Repository": "aztecprotocol/aztec", "Tag": tag, "Digest": digest}


@pytest.mark.parametrize(
    ("rows", "others", "found"),
    [
        ([], [], []),
        ([row(A, "4.1.2"), row(B, "4.1.1")], [], ["aztecprotocol/aztec:4.1.1", "aztecprotocol/aztec:4.1.2"]),
        ([row(A, "4.1.2"), row(B, "4.1.1")], [{"Image": A}], ["aztecprotocol/aztec:4.1.1"]),
        # Pulled by its digest: without a tag.
        ([row(A, digest=B)], [], [f"aztecprotocol/aztec@{B}"]),
        # The containerd store lists tag and digest of an image in one row, the classic one in two.
        ([row(A, "4.1.2", B), row(A, "4.1.2", B)], [], ["aztecprotocol/aztec:4.1.2"]),
        # A build without a name: it may be of another program.
        ([row(A)], [], []),
    ],
)
def test_unused_images(rows: list, others: list, found: list) -> None:
    assert unused_images(rows, others) == found


def test_used_networks() -> None:
    others = [{"NetworkSettings": {"Networks": {"a": {}, "b": {}}}}, {"NetworkSettings": {"Networks": None}}, {}]
    assert used_networks(others) == {"a", "b"}


@pytest.mark.parametrize(
    ("sources", "user"),
    [
        (["data"], "web"),
        (["data/deeper"], "web"),
        (["data-2"], ""),
        # Such as a monitor that mounts the whole host.
        ([""], ""),
        (["link"], "web"),
    ],
)
def test_user_of(tmp_path: Path, sources: list, user: str) -> None:
    """A container that mounts the directory, or one in it, also by a link. One that mounts more does not count."""
    for name in ("data/deeper", "data-2"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to("data")
    others = [{"Name": "/web", "Mounts": [{"Source": str(tmp_path / one)} for one in sources]}]
    assert user_of(str(tmp_path / "data"), others) == user
    assert user_of(str(tmp_path / "data"), [{"Name": "/volume", "Mounts": [{"Type": "tmpfs"}]}, {}]) == ""


def test_remove_tree(tmp_path: Path) -> None:
    """Links are removed, and not what they lead to."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("x")
    data = tmp_path / "data"
    (data / "deeper").mkdir(parents=True)
    (data / "deeper/file").write_text("x")
    (data / "link").symlink_to("../kept")
    (data / "file").write_text("x")
    remove_tree(str(data))
    assert not data.exists()
    assert (tmp_path / "kept/file").exists()


def test_remove_tree_of_a_link(tmp_path: Path) -> None:
    """The operator linked the data directory to another disk: it is emptied, and link and directory stay."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/file").write_text("x")
    (tmp_path / "data").symlink_to("disk")
    remove_tree(str(tmp_path / "data"))
    assert list((tmp_path / "disk").iterdir()) == []
    assert (tmp_path / "data").is_symlink()


def test_remove_empty(tmp_path: Path) -> None:
    """Parents only if it is requested, and only as far as they are empty."""
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    remove_empty(str(tmp_path / "a/b/c"), parents=False)
    assert (tmp_path / "a/b").is_dir()
    assert not (tmp_path / "a/b/c").exists()
    remove_empty(str(tmp_path / "a/b"), parents=True)
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "file").exists()
    remove_empty(str(tmp_path), parents=True)
    remove_empty(str(tmp_path / "missing"), parents=True)
    assert (tmp_path / "file").exists()
