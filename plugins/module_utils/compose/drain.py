# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a container with agents is stopped, so that the least proving time is lost.

An agent that is stopped loses the job that it works on: another agent repeats it. An agent reports a finished job
and takes the next one in one call. It is therefore stopped while it is idle, or when its next job has just begun.
"""

from __future__ import annotations

import math

from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.agent_status import Work

# Seconds between two queries of an agent, and the limit for its responses.
POLL_SECONDS = 0.3
QUERY_SECONDS = 3.0
# Seconds of lost proving time that are accepted at once.
ACCEPTED_SECONDS = 1.0

WAIT, STOP, LATE = "wait", "stop", "late"


class Drain:
    """The decision for one container, whose agents are stopped together."""

    def __init__(self, timeout: float) -> None:
        """timeout: the seconds after which the container is stopped in any case."""
        self.timeout = timeout
        self.loss = math.inf
        # The least loss of the first half, 0 while none is known: no loss that is not accepted is 0.
        self._least = 0.0
        self._begun: dict[int, tuple[str, float]] = {}
        self._polled = -math.inf

    def decide(self, agents: list[Work | None], waited: float, now: float) -> str:
        """Return WAIT, STOP, or LATE if the time is over, and store the proving time that a stop loses in `loss`.

        agents: the work of each agent, None for one that does not respond. waited: seconds since the first call.
        now: Unix time.

        While at most ACCEPTED_SECONDS are lost, the answer is STOP. During the first half of the time, the least loss
        is recorded. In the second half, a loss that is as small is accepted too.
        """
        self.loss = sum(self._elapsed(index, work, now) for index, work in enumerate(agents))
        self._polled = now
        first_half = waited < self.timeout / 2
        accepted = ACCEPTED_SECONDS if first_half else max(ACCEPTED_SECONDS, self._least)
        if self.loss <= accepted:
            return STOP
        if first_half and math.isfinite(self.loss):
            self._least = min(self._least or self.loss, self.loss)
        return LATE if waited >= self.timeout else WAIT

    def _elapsed(self, index: int, work: Work | None, now: float) -> float:
        """Return the seconds that an agent has worked on its job, inf if they are unknown."""
        if work is None:
            return math.inf
        job, begun = self._begun.get(index, (None, -math.inf))
        if job != work.job:
            # It began after the last query, which saw another job or an idle agent.
            begun = max(work.started, self._polled if job is not None else -math.inf)
            self._begun[index] = work.job, begun
        return max(0.0, now - begun) if work.job else 0.0


def describe_work(agents: list[Work | None], now: float) -> str:
    """Return in words what the agents of a container work on."""
    if any(work is None for work in agents):
        return "no response of the agent"
    busy = [work for work in agents if work and work.job]
    parts = []
    for work in busy[:3]:
        since = f" for {now - work.started:.0f} s" if math.isfinite(work.started) else ""
        parts.append(f"job {work.job} ({work.kind}){since}")
    return ", ".join(parts) + (f" and {len(busy) - 3} more" if len(busy) > 3 else "")
