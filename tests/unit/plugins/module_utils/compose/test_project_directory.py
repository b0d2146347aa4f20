"""Whether a lock is held, which compose_stack checks for runs and for jobs, and its own directory on the disk."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import project_directory as stack_disk
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project_directory import held


@pytest.mark.parametrize(("lock", "found"), [(fcntl.LOCK_EX, True), (fcntl.LOCK_SH, False), (fcntl.LOCK_UN, False)])
def test_held(tmp_path, lock, found):
    path = tmp_path / "lock"
    with path.open("w") as handle:
        fcntl.flock(handle, lock)
        assert held(str(path)) is found
    assert held(str(path)) is False


def test_no_lock_is_not_held_and_not_made(tmp_path):
    assert held(str(tmp_path / "lock")) is False
    assert list(tmp_path.iterdir()) == []


def own_place(tmp_path) -> Path:
    """Return the module's own place below a directory."""
    own = tmp_path / "stack/.stack"
    own.mkdir(parents=True)
    return own


def test_only_its_own_files_that_no_process_writes_any_more_are_removed(tmp_path) -> None:
    own = own_place(tmp_path)
    for name in ("writing.old", "writing.99999998", "writing.99999998.d"):
        (own / name).mkdir()
    for name in ("writing.99999999.a", "writing.99999999", "writing.", "writing.x.a", f"writing.{os.getpid()}.a"):
        (own / name).write_text("")
    before = set(os.listdir(own))
    stack_disk.ProjectDirectory(str(own.parent)).lock(print)
    assert {*before, "lock"} - set(os.listdir(own)) == {"writing.99999999.a", "writing.99999999"}


def test_a_file_that_is_renamed_meanwhile(tmp_path, monkeypatch) -> None:
    own, listed = own_place(tmp_path), os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [*listed(path), "writing.99999999.a"])
    stack_disk.ProjectDirectory(str(own.parent)).lock(print)


def test_two_first_runs_at_once(tmp_path, monkeypatch) -> None:
    """The directory does not exist when a run checks, and the other run creates it first."""
    real = os.mkdir

    def mkdir(path, mode: int = 0o777) -> None:
        with suppress(FileExistsError):
            real(path, mode)
        real(path, mode)

    monkeypatch.setattr(os, "mkdir", mkdir)
    stack_disk.ProjectDirectory(str(tmp_path / "stack")).make_own()


@pytest.mark.parametrize("times", [1, 3, 4])
def test_a_project_that_is_removed_meanwhile(tmp_path, monkeypatch, times: int) -> None:
    """The run that waits starts again. If something else is missing, it fails at once instead of waiting an hour."""
    disk, left, real = stack_disk.ProjectDirectory(str(tmp_path / "stack")), [times], stack_disk.secure

    def secure(path: str, mode: int) -> None:
        if left[0]:
            left[0] -= 1
            shutil.rmtree(path)
        real(path, mode)

    monkeypatch.setattr(stack_disk, "secure", secure)
    monkeypatch.setattr(stack_disk.time, "sleep", lambda _seconds: None)
    if times > 3:
        with pytest.raises(FileNotFoundError):
            disk.lock(print)
    else:
        disk.lock(print)
        assert disk.busy()


@pytest.mark.parametrize("stored", [None, "", "\n"])
def test_a_salt_is_made_once_and_read_by_later_runs(tmp_path, stored) -> None:
    first, second = (stack_disk.ProjectDirectory(str(tmp_path)) for dummy in range(2))
    first.make_own()
    if stored is not None:
        first.write(".stack/salt", stored)
    assert len(first.salt()) == 32 and first.salt() != second.salt()
    first.save_salt()
    second.save_salt()
    assert first.salt() == second.salt() == (tmp_path / ".stack/salt").read_text().strip()
