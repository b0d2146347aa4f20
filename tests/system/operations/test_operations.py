"""Changes, restarts, stops and starts while epochs are being proven: no epoch is lost, and agents lose little work."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.containers import parse_time

from tests.system.fleet import Fleet, playbook, wait_for
from tests.system.jobs import COLOUR, SUBMITTED, WITHIN, prove

NODE = "node-1"
AGENTS = ("agent-1", "agent-2")
SERVICE = "prover-agent"
# Seconds that each job takes. The lab's proofs take no time of their own.
JOB_SECONDS = 4
# aztec_agents_at_once of the test: one of two agents.
BATCHES = 2
# Seconds after which the broker gives the job of an agent that stopped to another one.
JOB_TIMEOUT = 30
MOST_LOST = 2.0
STARTED = re.compile(r"Starting epoch (\d+) proving job")
JOB_STARTED = re.compile(r"Starting job id=(\S+)")
JOB_ENDED = re.compile(r"Job id=(\S+) type=\S+ completed")
OWN_TIME = re.compile(r"\[(\d\d:\d\d:\d\d\.\d{3})\]")
DELAY = json.dumps({"prover_agent_environment": {"PROVER_TEST_DELAY_MS": str(JOB_SECONDS * 1000)}})
GIVEN = ("-e", DELAY)
AT_ONCE = ("-e", "aztec_drain=false", "-e", "aztec_agents_at_once=100%")


@dataclass
class Measured:
    """What a change cost. epochs: epoch -> seconds from start to submission. lost: agent -> seconds of proving."""

    epochs: dict[int, float]
    lost: dict[str, float]
    seconds: float

    def text(self, name: str) -> str:
        """Return the figures on one line."""
        longest = max(self.epochs.values(), default=0.0)
        lost = ", ".join(f"{agent} {seconds:.1f} s" for agent, seconds in self.lost.items())
        return (
            f"{name}: {len(self.epochs)} epochs proven, the longest in {longest:.0f} s; "
            f"proving time lost: {lost}; the run took {self.seconds:.0f} s"
        )


def lines_of(text: str) -> list[tuple[float, str]]:
    """Return (Unix time, line) of each line of a log with timestamps.

    The program's own time counts: on a busy machine, the engine reads a line seconds later.
    """
    found = []
    for text_line in COLOUR.sub("", text).splitlines():
        stamp, _space, line = text_line.partition(" ")
        read, own = parse_time(stamp), OWN_TIME.match(line)
        if read:
            at = parse_time(f"{stamp[:10]}T{own.group(1)}Z") if own else read
            found.append((at if at <= read else at - 86400, line))
    return found


def lost_seconds(log: list[tuple[float, str]], stopped_at: float) -> float:
    """Return the seconds that an agent had worked on its job when it was stopped, 0 without a job."""
    running, since = "", 0.0
    for at, line in log:
        if at > stopped_at:
            break
        started, ended = JOB_STARTED.search(line), JOB_ENDED.search(line)
        if started:
            running, since = started.group(1), at
        elif ended and ended.group(1) == running:
            running = ""
    return stopped_at - since if running else 0.0


def test_lost_seconds() -> None:
    """The job that runs at the stop counts from its start, a completed one does not."""
    log = [(1.0, "Starting job id=a type=X"), (5.0, "Job id=a type=X completed"), (5.1, "Starting job id=b type=X")]
    assert lost_seconds(log, 4.0) == 3.0
    assert lost_seconds(log, 5.05) == 0.0
    assert lost_seconds(log, 6.1) == pytest.approx(1.0)


def test_lines_of() -> None:
    """The program's own time counts, also where the engine reads the line after midnight."""
    text = "2026-01-01T00:00:01.5Z [23:59:59.250] INFO: a\n2026-01-01T00:00:02Z b\nc"
    midnight = parse_time("2026-01-01T00:00:00Z")
    assert lines_of(text) == [(midnight - 0.75, "[23:59:59.250] INFO: a"), (midnight + 2, "b")]


def epoch_times(fleet: Fleet) -> dict[int, tuple[float, float]]:
    """Return epoch -> (start, submission) by the node's log, 0 for an epoch that is not submitted yet."""
    container = fleet.container(NODE, "prover-node")["Name"].strip("/")
    shown = fleet.execute(NODE, ["docker", "logs", "--timestamps", "--since", "2h", container])
    found: dict[int, tuple[float, float]] = {}
    for at, line in sorted(lines_of(shown.out) + lines_of(shown.err)):
        started, submitted = STARTED.search(line), SUBMITTED.search(line)
        if started:
            found[int(started.group(1))] = (at, 0.0)
        elif submitted and int(submitted.group(1)) in found:
            found[int(submitted.group(1))] = (found[int(submitted.group(1))][0], at)
    return found


def watch(fleet: Fleet, agent: str) -> None:
    """Record an agent's log, and when it is stopped: both are gone with its container."""
    container = fleet.container(agent, SERVICE)["Name"].strip("/")
    events = "docker events --filter event=kill --format '{{.TimeNano}} {{.Actor.Attributes.signal}}'"
    commands = (f"docker logs --follow --timestamps {container} > /root/agent.log 2>&1", f"{events} > /root/events.log")
    for command in commands:
        fleet.execute(agent, ["sh", "-c", f"setsid timeout 1800 sh -c \"{command}\" < /dev/null > /dev/null 2>&1 &"])


def lost(fleet: Fleet, agent: str) -> float:
    """Return the seconds of proving that an agent lost since `watch`."""
    stops = [line.split() for line in fleet.execute(agent, ["cat", "/root/events.log"]).out.splitlines()]
    (at, *_others) = [int(stop[0]) / 1e9 for stop in stops if stop[1:] == ["15"]]
    return lost_seconds(lines_of(fleet.execute(agent, ["cat", "/root/agent.log"]).out), at)


def in_work(fleet: Fleet) -> bool:
    """Return whether the node works on its newest epoch."""
    times = epoch_times(fleet)
    return bool(times) and not times[max(times)][1]


def measure(fleet: Fleet, path: str, *arguments: str) -> Measured:
    """Run a playbook that stops each agent once, wait for the epochs that it met, and return what it cost.

    The run begins while an epoch is proven: it can be shorter than the time between two epochs.
    """
    for agent in AGENTS:
        watch(fleet, agent)
    wait_for("an epoch in work", lambda: in_work(fleet), WITHIN, pause=0.5)
    begun = time.time()
    run = playbook(path, *GIVEN, *arguments)
    ended = time.time()
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr

    def met() -> dict[int, tuple[float, float]]:
        """Return the epochs that were being proven during the run."""
        times = epoch_times(fleet)
        return {epoch: (a, b) for epoch, (a, b) in times.items() if a < ended and (not b or b > begun)}

    wait_for("the epochs that the run met", lambda: met() and all(end for _start, end in met().values()), WITHIN)
    epochs = {epoch: end - start for epoch, (start, end) in met().items()}
    return Measured(epochs, {agent: lost(fleet, agent) for agent in AGENTS}, ended - begun)


@pytest.fixture(scope="module")
def usual(fleet: Fleet) -> float:
    """Set the length of jobs, and return the seconds of an epoch without a change."""
    run = playbook("playbooks/site.yml", *GIVEN, *AT_ONCE)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr
    after = time.time()

    def proven() -> list[float]:
        return [end - start for start, end in epoch_times(fleet).values() if start > after and end]

    wait_for("an epoch", proven, WITHIN)
    print(f"without a change: the longest of {len(proven())} epochs took {max(proven()):.0f} s")
    return max(proven())


def assert_cheap(measured: Measured, usual: float) -> None:
    """Assert that a drained operation lost no epoch and little work."""
    assert measured.epochs
    assert max(measured.epochs.values()) <= usual + JOB_TIMEOUT * BATCHES
    assert all(seconds <= MOST_LOST for seconds in measured.lost.values()), measured


def test_a_setting_is_changed_on_all_agents(fleet: Fleet, usual: float) -> None:
    drained = measure(fleet, "playbooks/site.yml", "-e", "prover_agent_log_level=verbose")
    print(drained.text("a changed setting, drained"))
    assert_cheap(drained, usual)


@pytest.mark.usefixtures("usual")
def test_an_emergency_change(fleet: Fleet) -> None:
    """The previous setting again, on all agents at once and without drain: jobs are lost, and no epoch."""
    at_once = measure(fleet, "playbooks/site.yml", *AT_ONCE)
    print(at_once.text("a changed setting, all agents at once without drain"))
    assert at_once.epochs


def test_all_agents_are_restarted(fleet: Fleet, usual: float) -> None:
    restarted = measure(fleet, "playbooks/restart.yml", "-e", "aztec_components=prover_agent")
    print(restarted.text("restart of the agents"))
    assert_cheap(restarted, usual)


def test_the_hosts_of_all_agents_are_rebooted(fleet: Fleet, usual: float) -> None:
    """One after the other. Their containers run again, and the other agent proves in between."""
    booted = [fleet.execute(agent, ["systemctl", "show", "--property=UserspaceTimestamp"]).out for agent in AGENTS]
    rebooted = measure(fleet, "playbooks/reboot.yml", "--limit", ",".join(AGENTS))
    print(rebooted.text("reboot of the agents' hosts"))
    assert_cheap(rebooted, usual)
    again = [fleet.execute(agent, ["systemctl", "show", "--property=UserspaceTimestamp"]).out for agent in AGENTS]
    assert not set(booted) & set(again)


def states(fleet: Fleet) -> dict[str, bool]:
    """Return whether each component runs."""
    places = [(NODE, "prover-node"), (NODE, "prover-broker"), *((agent, SERVICE) for agent in AGENTS)]
    return {f"{host} {service}": fleet.container(host, service)["State"]["Running"] for host, service in places}


def test_all_is_stopped_and_started(fleet: Fleet, usual: float) -> None:
    """What was stopped stays so in a run of site.yml and over a reboot. Then the fleet proves again."""
    run = playbook("playbooks/stop.yml", *GIVEN)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr
    assert set(states(fleet).values()) == {False}
    fleet.reboot(AGENTS[0])
    run = playbook("playbooks/site.yml", *GIVEN, "-e", "prover_agent_log_level=verbose")
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr
    assert "is stopped, and is left as it is" in run.stdout
    assert set(states(fleet).values()) == {False}

    refused = playbook("playbooks/start.yml", *GIVEN, "-e", "aztec_components=prover_agent")
    assert refused.returncode == 2
    assert f"needs the broker on {NODE}, which does not run" in refused.stdout
    refused = playbook("playbooks/start.yml", *GIVEN, "--limit", AGENTS[0])
    assert refused.returncode == 2
    assert f"needs the broker on {NODE}, which does not respond and is not in this run" in refused.stdout
    assert set(states(fleet).values()) == {False}

    run = playbook("playbooks/start.yml", *GIVEN)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr
    assert set(states(fleet).values()) == {True}
    prove(fleet, NODE, NODE, [(agent, SERVICE) for agent in AGENTS])


def test_the_jobs_have_their_usual_length_again(fleet: Fleet) -> None:
    """The tests that follow use the fleet as the inventory describes it."""
    run = playbook("playbooks/site.yml", *AT_ONCE)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr
    assert "PROVER_TEST_DELAY_MS" not in fleet.environment(AGENTS[0], SERVICE)
