# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a container with agents is stopped."""

from __future__ import annotations

import math

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.agent_status import Work
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.drain import (
    ACCEPTED_SECONDS,
    LATE,
    STOP,
    WAIT,
    Drain,
    describe_work,
)

IDLE = Work()
START = 1000.0


def job(name: str, started: float = -math.inf) -> Work:
    """Return work on a job, started so many seconds after START."""
    return Work(name, "A", START + started)


def decisions(timeout: float, *polls: tuple[float, list]) -> list[tuple[str, float]]:
    """Return the decision and the loss of each poll. polls: seconds since the start, and the work of each agent."""
    drain = Drain(timeout)
    return [(drain.decide(agents, at, START + at), drain.loss) for at, agents in polls]


@pytest.mark.parametrize(
    ("polls", "wanted"),
    [
        pytest.param([(0, [IDLE])], [(STOP, 0)], id="idle"),
        pytest.param([(0, [])], [(STOP, 0)], id="no agents"),
        pytest.param([(0, [job("a", -1.0)])], [(STOP, 1.0)], id="a job that has just begun"),
        pytest.param([(0, [job("a", -1.1)])], [(WAIT, pytest.approx(1.1))], id="a job that began a little earlier"),
        pytest.param([(0, [job("a")]), (5, [job("a")])], [(WAIT, math.inf)] * 2, id="a start that is not reported"),
        pytest.param(
            [(0, [job("a")]), (0.5, [job("b")])], [(WAIT, math.inf), (STOP, 0.5)], id="the next job, without its start"
        ),
        pytest.param(
            [(0, [job("a", -9)]), (3, [job("b", 1)])], [(WAIT, 9), (WAIT, 2)], id="the next job, seen too late"
        ),
        pytest.param(
            [(0, [job("a", -9)]), (0.5, [job("b", -9)])],
            [(WAIT, 9), (STOP, 0.5)],
            id="the next job, whose reported start is before the last poll",
        ),
        pytest.param([(0, [job("a", 5)])], [(STOP, 0)], id="a start in the future"),
        pytest.param([(0, [None]), (1, [None])], [(WAIT, math.inf)] * 2, id="no response"),
        pytest.param([(0, [None]), (1, [IDLE])], [(WAIT, math.inf), (STOP, 0)], id="a late response"),
        pytest.param([(0, [IDLE, job("a", -3)])], [(WAIT, 3)], id="one of two is idle"),
        pytest.param([(0, [job("a", -0.6), job("b", -0.6)])], [(WAIT, pytest.approx(1.2))], id="the sum counts"),
        pytest.param([(0, [IDLE, None])], [(WAIT, math.inf)], id="one of two does not respond"),
    ],
)
def test_decisions(polls, wanted):
    """In the first half of the time."""
    assert decisions(900, *polls) == wanted


def test_an_agent_that_was_idle_between_two_jobs():
    """Its next job began after the last poll, which saw it idle."""
    drain = Drain(900)
    drain.decide([IDLE, job("a", -9)], 0, START)
    assert drain.decide([job("b"), IDLE], 0.5, START + 0.5) == STOP
    assert drain.loss == 0.5


def test_a_job_ages_from_its_start():
    """The start is stored when the job is first seen."""
    found = decisions(900, (0, [job("a")]), (2, [job("b")]), (5, [job("b")]))
    assert found == [(WAIT, math.inf), (WAIT, 2), (WAIT, 5)]


def test_the_jobs_of_two_agents():
    """They rarely begin together: the second half accepts the least sum of the first, here 9 s."""
    first = [(0, [job("a", -9), job("b", -3)]), (4, [job("c", 2), job("b", 1)]), (49, [job("d", 40), job("e", 40)])]
    second = [(51, [job("d", 40), job("e", 40)])]
    second += [(52, [job("d", 40), job("f", 51)]), (53, [job("g", 48), job("f", 49)])]
    losses = [12, 2 + 7, 9 + 9, 11 + 11, 12 + 1, 1 + 2]
    assert decisions(100, *first, *second) == list(zip([WAIT] * 5 + [STOP], losses))


@pytest.mark.parametrize(
    ("at", "loss", "wanted"),
    [
        pytest.param(49, 6, WAIT, id="first half"),
        pytest.param(50, 6, STOP, id="second half, as small"),
        pytest.param(50, 7, WAIT, id="second half, larger"),
        pytest.param(99.9, 7, WAIT, id="shortly before the end"),
        pytest.param(100, 7, LATE, id="the end"),
        pytest.param(100, 6, STOP, id="the end, as small"),
        pytest.param(100, ACCEPTED_SECONDS, STOP, id="the end, with a new job"),
    ],
)
def test_the_end_of_the_time(at, loss, wanted):
    """The least loss of the first half was 6 s."""
    first = [(0, [job("a", -8)]), (10, [job("b", 4)]), (20, [job("c", 11)])]
    assert decisions(100, *first, (at, [job("d", at - loss)]))[-1] == (wanted, pytest.approx(loss))


def test_no_response_until_the_end():
    """The time is over while nothing is known."""
    assert decisions(10, (0, [None]), (5, [None]), (10, [None])) == [(WAIT, math.inf)] * 2 + [(LATE, math.inf)]


@pytest.mark.parametrize(
    ("agents", "wanted"),
    [
        ([IDLE], ""),
        ([None, IDLE], "no response of the agent"),
        ([job("3:a", -12.4), IDLE], "job 3:a (A) for 12 s"),
        ([job("3:a")], "job 3:a (A)"),
        ([job(str(number)) for number in range(3)], "job 0 (A), job 1 (A), job 2 (A)"),
        ([job(str(number)) for number in range(5)], "job 0 (A), job 1 (A), job 2 (A) and 2 more"),
    ],
)
def test_describe_work(agents, wanted):
    """What the operator reads while a run waits."""
    assert describe_work(agents, START) == wanted
