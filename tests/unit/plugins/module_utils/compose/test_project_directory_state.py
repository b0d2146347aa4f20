"""How compose_stack handles foreign state files, and other runs at the same moment."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import job as stack_job
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import project_directory as stack_disk
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import Problem
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project_directory import ProjectDirectory

JOB = "0123456789abcdef"


@pytest.fixture(autouse=True)
def usual_recursion():
    """Python's own limit of nesting, which other tests' libraries raise."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


@pytest.fixture(name="disk")
def fixture_disk(tmp_path) -> ProjectDirectory:
    """A project's directory."""
    disk = ProjectDirectory(str(tmp_path / "stack"))
    disk.make_own()
    return disk


@pytest.fixture(name="jobs")
def fixture_jobs(tmp_path, monkeypatch) -> Path:
    """The directory of jobs."""
    path = tmp_path / "jobs"
    monkeypatch.setattr(stack_job, "JOBS", str(path))
    path.mkdir()
    return path


GOOD = {
    "state.json": {
        "good": "good-3",
        "services": {"s": {"hashes": ["a"], "networks": [], "image": "i", "image_id": "sha256:1"}, "t": {}},
        "files": ["keys/a.json"],
        "secret_keys": ["URL"],
        "healthy": {"id": "2026-11-26T16:57:20Z"},
    },
    "pending.json": {"mark": None, "images": {"i": "sha256:1"}},
    "progress.json": {"job": JOB, "text": "pull i"},
}
BAD = [
    ("state.json", "[]", "it is not an object"),
    ("state.json", "null", "it is not an object"),
    ("state.json", '"text"', "it is not an object"),
    ("state.json", '{"good": ', "it is not JSON"),
    ("state.json", "", "it is not JSON"),
    ("state.json", "[" * 100000, "it is not JSON"),
    ("state.json", '{"good": 3}', "good has an unexpected type"),
    ("state.json", '{"good": "../.."}', "good has an unexpected type"),
    ("state.json", '{"services": []}', "services has an unexpected type"),
    ("state.json", '{"services": {"s": []}}', "services has an unexpected type"),
    ("state.json", '{"services": {"s": {"hashes": "a"}}}', "services has an unexpected type"),
    ("state.json", '{"services": {"s": {"image": 1}}}', "services has an unexpected type"),
    ("state.json", '{"files": {}}', "files has an unexpected type"),
    ("state.json", '{"files": [1]}', "files has an unexpected type"),
    # The directory that it names is removed later.
    ("state.json", '{"files": ["../../etc/passwd"]}', "files has an unexpected type"),
    ("state.json", '{"files": ["/etc/passwd"]}', "files has an unexpected type"),
    ("state.json", '{"secret_keys": "URL"}', "secret_keys has an unexpected type"),
    ("state.json", '{"healthy": []}', "healthy has an unexpected type"),
    ("pending.json", "[]", "it is not an object"),
    ("pending.json", '{"mark": 1}', "mark has an unexpected type"),
    ("pending.json", '{"images": ["i"]}', "images has an unexpected type"),
]


@pytest.mark.parametrize("name", GOOD)
def test_own_state_is_read(disk, name: str) -> None:
    assert disk.load(name) == {}
    disk.save(name, GOOD[name])
    assert disk.load(name) == GOOD[name]


@pytest.mark.parametrize(("name", "text", "wrong"), BAD, ids=range(len(BAD)))
def test_state_of_another_form_is_named(disk, name: str, text: str, wrong: str) -> None:
    """The remedy in the line works."""
    path = Path(disk.own, name)
    path.write_text(text)
    with pytest.raises(Problem) as problem:
        disk.load(name)
    assert str(problem.value) == (
        f"{path} was not written by this module ({wrong}): move it away, then run again"
    )
    path.rename(path.with_suffix(".old"))
    assert disk.load(name) == {}


@pytest.mark.parametrize("text", ["[]", "x", '{"text": 3}', '{"job": "0123456789abcdef", "text": ["x"], "log": ["x"]}'])
def test_progress_of_another_form_does_not_stop_a_run(disk, jobs, text: str) -> None:
    """The job writes it again with its next step."""
    Path(disk.own, "progress.json").write_text(text)
    found = stack_job.progress(disk.directory, JOB)
    assert (found["alive"], found["result"]) == (False, None) and isinstance(found["text"], str)


@pytest.mark.parametrize("text", ["[]", "", "{", "7"])
def test_result_of_another_form_is_named(disk, jobs, text: str) -> None:
    path = jobs / JOB / "result.json"
    path.parent.mkdir()
    path.write_text(text)
    result = stack_job.progress(disk.directory, JOB)["result"]
    assert result["failed"] and result["known"] is False
    assert result["msg"] == f"{path} does not contain the result of the work: run the same command again"
    # Which is another job.
    again = stack_job.Job("fedcba9876543210")
    again.start(lambda: {"changed": False}, 60)
    assert done(again) == {"changed": False}


def test_progress_waits_for_the_end_of_a_job(disk, jobs) -> None:
    """It ends with the job, or after the given time."""
    job = stack_job.Job(JOB)
    job.start(lambda: [time.sleep(5), {"changed": True}][1], 60)
    began = time.monotonic()
    assert stack_job.progress(disk.directory, JOB, 0.3)["result"] is None
    assert 0.3 <= time.monotonic() - began < 4.5
    assert stack_job.progress(disk.directory, JOB, 30)["result"] == {"changed": True}
    assert time.monotonic() - began < 20


def done(job: stack_job.Job) -> dict | None:
    """Wait for a job to end and return its result."""
    end = time.monotonic() + 10
    while job.alive() and time.monotonic() < end:
        time.sleep(0.02)
    return job.result()


@pytest.mark.parametrize("stray", ["lost+found", ".nfs0001", "0123456789ABCDEF", "fedcba9876543210", "a\nb"])
@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_stray_names_next_to_the_jobs_do_not_stop_a_run(jobs, stray: str, kind: str) -> None:
    path = jobs / stray
    if kind == "file":
        path.touch()
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/nonexistent")
    job = stack_job.Job(JOB)
    job.start(lambda: {"changed": False}, 60)
    assert done(job) == {"changed": False}
    assert os.path.lexists(path)


def test_projects_that_jobs_work_on(jobs) -> None:
    released = jobs / "released"
    (jobs / "stray").touch()
    (jobs / "fedcba9876543210").touch()
    assert stack_job.working() == []

    def work() -> dict:
        while not released.exists():
            time.sleep(0.02)
        return {}

    job = stack_job.Job(JOB)
    job.start(work, 60, "aztec-prover-node")
    assert stack_job.working() == ["aztec-prover-node"]
    released.touch()
    done(job)
    assert stack_job.working() == []


# --- other runs at the same moment ----------------------------------------------------------------------------------


def test_a_file_that_another_run_is_writing_is_left(disk) -> None:
    """Keep files of a run that waits for the lock, or of one that only reads. Remove those of a dead run."""
    other = subprocess.Popen(["sleep", "60"])
    gone = subprocess.Popen(["true"])
    gone.wait()
    for process in (other, gone):
        Path(disk.own, f"writing.{process.pid}.x").write_text("half")
    disk.lock(lambda _text: None)
    left = [path.name for path in Path(disk.own).glob("writing.*")]
    other.kill()
    other.wait()
    assert left == [f"writing.{other.pid}.x"]


def test_a_lock_that_is_removed_with_its_directory_is_not_a_lock(disk, monkeypatch) -> None:
    """A run that waits for one that removes the project holds the lock that the next run finds."""
    monkeypatch.setattr(stack_disk.time, "sleep", lambda _seconds: threading.Event().wait(0.02))
    disk.lock(lambda _text: None)
    second, reported = ProjectDirectory(disk.directory), threading.Event()
    waiting = threading.Thread(target=second.lock, args=(lambda _text: reported.set(),), daemon=True)
    waiting.start()
    assert reported.wait(5)
    shutil.rmtree(disk.own)
    os.close(disk.lock_descriptor)
    waiting.join(5)
    assert second.lock_descriptor is not None
    with open(Path(disk.own, "lock"), "rb") as found, pytest.raises(BlockingIOError):
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(second.lock_descriptor)


# --- the login session ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cgroups", "inside"),
    [
        ("0::/user.slice/user-1000.slice/session-4.scope\n", True),
        ("0::/user.slice/user-0.slice/user@0.service/app.slice/run.scope\n", True),
        ("12:pids:/user.slice/user-1000.slice/session-4.scope\n1:name=systemd:/user.slice/x.scope\n", True),
        ("0::/system.slice/aztec-compose-stack-0123456789abcdef.scope\n", False),
        ("0::/system.slice/cron.service\n", False),
        ("0::/\n", False),
        ("", False),
    ],
)
def test_login_sessions(cgroups: str, inside: bool) -> None:
    assert stack_job.in_session(cgroups) is inside


def test_a_job_outside_of_a_session_stays_where_it_is(jobs, tmp_path) -> None:
    """systemd, which may not be installed, is not queried."""
    job = stack_job.Job(JOB)
    assert job.start(lambda: {"cgroup": Path("/proc/self/cgroup").read_text()}, 60) == ""
    assert done(job) == {"cgroup": Path("/proc/self/cgroup").read_text()}
    assert json.loads((jobs / JOB / "result.json").read_text())
