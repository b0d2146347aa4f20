"""Who holds a lock, as compose_stack asks it of a run and of a job alike."""

from __future__ import annotations

import fcntl

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.stack_disk import held


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
