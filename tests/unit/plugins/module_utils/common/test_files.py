# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tests of atomic writes, on real files."""

from __future__ import annotations

import os
import stat

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.files import write_atomically


@pytest.mark.parametrize(
    ("content", "expected"),
    [("text\n", b"text\n"), (b"\x00\xff", b"\x00\xff"), ("\udcff", b"\xff"), ("é", b"\xc3\xa9"), ("", b"")],
)
def test_content(tmp_path, content, expected):
    path = tmp_path / "file"
    path.write_text("previous content that is longer")
    write_atomically(path, content)
    assert path.read_bytes() == expected
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("mode", [0o600, 0o644])
@pytest.mark.parametrize("before", [None, 0o400, 0o666])
def test_mode_is_as_requested_whatever_the_umask_and_the_previous_mode(tmp_path, mode, before):
    path = tmp_path / "file"
    if before is not None:
        path.touch()
        path.chmod(before)
    umask = os.umask(0o077)
    try:
        write_atomically(path, "text", mode)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_reader_keeps_the_previous_content(tmp_path):
    path = tmp_path / "file"
    path.write_text("previous")
    with path.open() as opened:
        write_atomically(path, "new")
        assert opened.read() == "previous"


def test_a_link_is_replaced_and_its_target_stays(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("previous")
    link.symlink_to(target)
    write_atomically(link, "new")
    assert (target.read_text(), link.read_text(), link.is_symlink()) == ("previous", "new", False)


def test_the_temporary_file_is_in_the_named_directory_and_removed_on_failure(tmp_path):
    directory = tmp_path / "temporary"
    directory.mkdir()
    path = tmp_path / "taken"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(path, "text", directory=directory, prefix="writing.")
    assert os.listdir(directory) == []
    assert sorted(os.listdir(tmp_path)) == ["taken", "temporary"]


@pytest.mark.parametrize(("path", "directory"), [("missing/file", None), ("file", "missing")])
def test_a_missing_directory_is_an_error(tmp_path, path, directory):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / path, "text", directory=directory and tmp_path / directory)


@pytest.mark.parametrize("keep", [True, False])
def test_owner(tmp_path, keep):
    path = tmp_path / "file"
    path.write_text("previous")
    owner = (1234, 1235) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(path, *owner)
    write_atomically(path, "new", keep_owner=keep)
    assert (path.stat().st_uid, path.stat().st_gid) == (owner if keep else (os.geteuid(), os.getegid()))
