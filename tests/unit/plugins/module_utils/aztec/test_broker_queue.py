# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The open jobs by the lines of a broker's log, in the words of 4.1.2."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.broker_queue import epoch_of, open_jobs

PREFIX = "INFO: prover-client:proving-broker"
STARTED = f"{PREFIX} Proving Broker started"


def new(job: str) -> str:
    return f"{PREFIX} New proving job id={job} epochNumber=4"


def complete(job: str) -> str:
    return f"{PREFIX} Proving job complete id={job} type=PARITY_BASE totalAttempts=1"


A, B, OLD = "4:PARITY_BASE:aa", "4:ROOT_ROLLUP:bb", "2:PARITY_BASE:cc"


@pytest.mark.parametrize(
    ("lines", "jobs"),
    [
        ([], None),
        (["WARN: something else"], None),
        ([STARTED], []),
        ([new(A), new(B)], [A, B]),
        ([new(A), new(B), complete(A)], [B]),
        # The log begins later than the job.
        ([complete(A)], []),
        ([new(A), f"{PREFIX} Retrying proving job id={A} type=PARITY_BASE retry=1 err=x"], [A]),
        ([new(A), f"{PREFIX} Marking proving job as failed id={A} type=PARITY_BASE totalAttempts=3 err=x"], []),
        ([new(A), f"{PREFIX} Cancelling job id={A}"], []),
        ([new(A), f"WARN: x Proving job id={A} not found. Removing it from the queue."], []),
        ([new(A), f"WARN: x Proving job id={A} timed out. Adding it back to the queue."], [A]),
        ([new(B), STARTED, f"{PREFIX} Restoring proving job id={A} settled=false"], [A]),
        ([STARTED, f"{PREFIX} Restoring proving job id={A} settled=true"], []),
        # The broker has dropped jobs of epoch 2, because it keeps one epoch before the newest one.
        ([new(OLD), new(A)], [A]),
        ([new("other"), new(A)], [A, "other"]),
    ],
)
def test_open_jobs(lines: list, jobs: list | None) -> None:
    assert open_jobs([(float(at), line) for at, line in enumerate(lines)]) == jobs


def test_more_epochs_are_kept() -> None:
    assert open_jobs([(0.0, new(OLD)), (1.0, new(A))], 2) == [OLD, A]


@pytest.mark.parametrize(
    ("job", "epoch"), [(A, 4), ("x:PARITY_BASE:aa", None), ("", None), ("9" * 20 + ":a:b", None)]
)
def test_epoch_of(job: str, epoch: int | None) -> None:
    assert epoch_of(job) == epoch
