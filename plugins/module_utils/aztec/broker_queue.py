# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The jobs of a prover broker by its log: no release serves their number.

The lines are those of prover-client/src/proving_broker/proving_broker.ts of 4.1.2 and 6. The broker logs them at level
info.
"""

from __future__ import annotations

import re

STARTED = re.compile(r"\bProving Broker started\b")
ADDED = re.compile(r"\b(?:New proving job id=(\S+)|Restoring proving job id=(\S+) settled=false)")
ENDED = re.compile(
    r"\b(?:Proving job complete id=(\S+)|Marking proving job as failed id=(\S+)|Cancelling job id=(\S+)"
    r"|Proving job id=(\S+) not found\. Removing it)"
)
# PROVER_BROKER_MAX_EPOCHS_TO_KEEP_RESULTS_FOR by default: the broker drops the jobs of earlier epochs.
KEPT_EPOCHS = 1


def open_jobs(log: list[tuple[float, str]], kept_epochs: int = KEPT_EPOCHS) -> list[str] | None:
    """Return the IDs of the jobs that have not ended, sorted, None where the log does not show the broker's work.

    log: (time, line) from the oldest to the newest. kept_epochs: how many epochs before the newest one the broker
    keeps.
    """
    jobs: dict[str, None] = {}
    seen, newest = False, 0
    for _time, line in log:
        if STARTED.search(line):
            seen, jobs = True, {}
            continue
        for pattern in (ADDED, ENDED):
            match = pattern.search(line)
            if match:
                seen = True
                job = next(filter(None, match.groups()))
                newest = max(newest, epoch_of(job) or 0)
                if pattern is ADDED:
                    jobs[job] = None
                else:
                    jobs.pop(job, None)
    if not seen:
        return None
    return sorted(job for job in jobs if (epoch_of(job) or newest) >= newest - kept_epochs)


def epoch_of(job: str) -> int | None:
    """Return the epoch of a job, by its ID (epoch:type:digest), None for another form."""
    epoch = job.partition(":")[0]
    return int(epoch) if epoch.isdecimal() and len(epoch) < 16 else None
