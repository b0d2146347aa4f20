"""When the result of a job can no longer be fetched."""

from __future__ import annotations

import fcntl
import os

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import job as stack_job

NOW, JOB = 1_000_000.0, "0123456789abcdef"


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setattr(stack_job, "JOBS", str(tmp_path))
    return stack_job.Job(JOB)


# Content of its directory, seconds since its limit (without a sign of life: its age), whether it is swept.
OVER = [
    (["alive", "result.json"], -7200, False),
    (["alive", "result.json"], 0, False),
    (["alive", "result.json"], stack_job.JOB_KEPT, False),
    (["alive", "result.json"], stack_job.JOB_KEPT + 1, True),
    (["alive"], stack_job.JOB_KEPT, False),
    (["alive"], stack_job.JOB_KEPT + 1, True),
    ([], 0, False),
    ([], stack_job.JOB_KEPT + 1, True),
]


@pytest.mark.parametrize(("holds", "since", "over"), OVER)
def test_over(tmp_path, job, holds, since, over):
    place = tmp_path / JOB
    place.mkdir()
    for name in holds:
        (place / name).touch()
    # The directory and its result have the time of other changes in it.
    os.utime(place, (NOW, NOW - since if not holds else NOW))
    if "alive" in holds:
        os.utime(place / "alive", (NOW, NOW - since))
    assert job.over(NOW) is over


def test_one_at_work_is_never_over(tmp_path, job):
    place = tmp_path / JOB
    place.mkdir()
    with (place / "alive").open("w") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        os.utime(alive.fileno(), (0, 0))
        assert job.over(NOW) is False
    assert job.over(NOW) is True


def test_one_that_another_run_removes_meanwhile_is_not_swept(job):
    assert job.over(NOW) is False


def test_limit_is_noted_for_those_who_sweep(tmp_path, job):
    begun = stack_job.time.time()
    job.start(lambda: {"changed": False}, 4321)
    noted = (tmp_path / JOB / "alive").stat().st_mtime
    assert begun + 4321 <= noted + 0.01 and noted <= stack_job.time.time() + 4321


def test_work_that_raises_an_error_is_a_failure_with_an_unknown_result(job):
    def work():
        raise KeyError("hunter2secret")

    job.start(work, 60)
    end = stack_job.time.monotonic() + 10
    while job.alive() and stack_job.time.monotonic() < end:
        stack_job.time.sleep(0.02)
    how = "the work ended with an unexpected error (KeyError)"
    assert job.result() == {"failed": True, "changed": True, "known": False, "msg": how}
