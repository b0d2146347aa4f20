"""An upgrade of the whole fleet, and the way back, while epochs are proven. The other version is the same image.

It has a second tag in the lab's registry, which is off during the upgrade. The time without proving is measured.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.containers import parse_time

from lab.fleet import proof, registry
from lab.fleet.images import Images
from lab.fleet.l1 import rpc
from tests.system.fleet import Fleet, playbook, wait_for
from tests.system.jobs import COLOUR, prove

NODE, AGENTS = "node-1", ("agent-1", "agent-2")
SERVICES = ((NODE, "prover-node"), (NODE, "prover-broker"), *((agent, "prover-agent") for agent in AGENTS))
NEXT = "4.1.3"
# Seconds without proving that an upgrade may take.
MOST_SECONDS = 60
MARK = "/run/aztec-prover-node.upgrade"
SCHEMAS = "/opt/aztec/prover-node/.stack/schemas.json"
STAMPED = re.compile(r"^(\S+) .*Job id=(\S+) type=\S+ completed", re.MULTILINE)
EVENT = "{{.Time}} {{.Action}}"


class Recorder:
    """Notes when agents complete jobs. The log of a container ends with the container, so it is read all the time."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.completed: dict[str, float] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        command = "docker ps --quiet | xargs -r -n 1 docker logs --timestamps --since 20s 2>&1"
        while not self._end.wait(1):
            for agent in AGENTS:
                text = COLOUR.sub("", self.fleet.execute(agent, ["sh", "-c", command], check=False).out)
                self.completed.update({job: parse_time(stamp) for stamp, job in STAMPED.findall(text)})

    def gap(self, begin: float, end: float) -> float:
        """Return the longest time between two completed jobs, which overlaps a period."""
        times = sorted(self.completed.values())
        return max((b - a for a, b in zip(times, times[1:]) if b > begin and a < end), default=0.0)


def events(fleet: Fleet, host: str, service: str, since: float, *kinds: str) -> list[float]:
    """Return when events of a service's containers happened since then."""
    filters = " ".join(f"--filter 'event={kind}'" for kind in kinds)
    label = f"--filter label=com.docker.compose.service={service}"
    command = f"docker events --since {since:.0f} --until {time.time():.0f} {label} {filters} --format '{EVENT}'"
    lines = fleet.execute(host, ["sh", "-c", command]).out.splitlines()
    return [float(line.split()[0]) for line in lines]


def interruption(fleet: Fleet, since: float) -> tuple[float, float]:
    """Return when the first agent stopped and when the last component was healthy again."""
    stops = [at for agent in AGENTS for at in events(fleet, agent, "prover-agent", since, "die")]
    starts = [max(events(fleet, host, service, since, "health_status: healthy")) for host, service in SERVICES]
    return min(stops), max(starts)


def versions(fleet: Fleet) -> set[str]:
    """Return the versions of the fleet's containers."""
    return {fleet.container(host, service)["Config"]["Image"].rpartition(":")[2] for host, service in SERVICES}


def proof_times(fleet: Fleet, block: int) -> list[int]:
    """Return the time of each proof that the L1 accepted after a block."""
    blocks = [one.block for one in proof.proofs(fleet.settings, block)]
    return [int(rpc(fleet.settings.l1_url, "eth_getBlockByNumber", hex(one), False)["timestamp"], 16) for one in blocks]


def shown(run: subprocess.CompletedProcess[str]) -> str:
    """Return the output of a run with single spaces."""
    return " ".join((run.stdout + run.stderr).split())


def refused(*arguments: str, line: str) -> None:
    """Assert that a change of the version stops with a line."""
    run = playbook("playbooks/upgrade.yml", *arguments)
    assert run.returncode == 2, run.stdout
    assert line in shown(run)


@contextmanager
def stopped_registry(fleet: Fleet) -> Iterator[None]:
    """Stop the lab's registry meanwhile."""
    container = fleet.client.containers.get(f"aztec-lab-{registry.NAME}")
    container.stop()
    try:
        yield
    finally:
        container.start()
        wait_for("the registry", lambda: registry.fetch(fleet.settings, "") is not None, 30)


def change(fleet: Fleet, what: str, version: str, run: Callable[[], subprocess.CompletedProcess[str]]) -> None:
    """Change the version while epochs are proven. Print and check the time without proving, and the epochs."""
    block = proof.block_number(fleet.settings)
    with Recorder(fleet) as recorder:
        prove(fleet, NODE, NODE, [(agent, "prover-agent") for agent in AGENTS])
        began = time.time()
        done = run()
        took = time.time() - began
        assert done.returncode == 0, done.stdout + done.stderr
        first, last = interruption(fleet, began)
        assert versions(fleet) == {version}
        # An epoch after the change, with jobs of all agents.
        prove(fleet, NODE, NODE, [(agent, "prover-agent") for agent in AGENTS])
    times = proof_times(fleet, block)
    before = sum(at < first for at in times)
    pauses = [b - a for a, b in zip(times, times[1:])]
    print(
        f"\n{what}: {took:.0f} s; first agent stopped to last component healthy {last - first:.1f} s, longest time "
        f"without a completed job {recorder.gap(first, last):.1f} s; epochs proven: {before} before, "
        f"{len(times) - before} after; longest time between two proofs {max(pauses, default=0)} s"
    )
    assert last - first <= MOST_SECONDS
    # Proofs are accepted only in the order of the epochs, so that a later one shows that none is missing.
    assert len(times) - before >= 1


@pytest.fixture(scope="module")
def next_version(fleet: Fleet) -> str:
    """Publish the lab's image under a second tag."""
    image = Images(fleet.client, fleet.settings).aztec()
    registry.publish(fleet.client, fleet.settings, image, fleet.settings.aztec_image, NEXT)
    return NEXT


def test_upgrade_and_rollback(fleet: Fleet, next_version: str) -> None:
    now = fleet.settings.aztec_version
    upgrade, back = (f"aztec_version={version}" for version in (next_version, now))
    assert versions(fleet) == {now}

    # Pulled ahead while the fleet proves, with nothing else changed.
    run = playbook("playbooks/pull.yml", "-e", f"aztec_next_version={next_version}")
    assert run.returncode == 0, run.stdout + run.stderr
    for host in (NODE, *AGENTS):
        images = fleet.execute(host, ["docker", "image", "ls", "--format", "{{.Tag}}"]).out.split()
        assert {now, next_version} <= set(images)
    assert versions(fleet) == {now}

    refused("-e", upgrade, "--limit", NODE, line="--limit excludes agent-1, agent-2: run upgrade.yml without")
    with stopped_registry(fleet):
        change(fleet, "upgrade, no registry", next_version, lambda: playbook("playbooks/upgrade.yml", "-e", upgrade))
    recorded = json.loads(fleet.execute(NODE, ["cat", SCHEMAS]).out)
    assert recorded[now]["archiver"] >= 1
    assert fleet.execute(NODE, ["test", "-L", MARK], check=False).code != 0

    # The way back: not without the option, and not over data that the other version has changed.
    refused("-e", back, line=f"aztec_version is the older {now}")
    older = {**recorded, now: {**recorded[now], "archiver": recorded[now]["archiver"] - 1}}
    write(fleet, SCHEMAS, json.dumps(older))
    allowed = ("-e", back, "-e", "aztec_allow_downgrade=true")
    refused(*allowed, line=f"{next_version} has changed archiver in")
    write(fleet, SCHEMAS, json.dumps(recorded))
    assert versions(fleet) == {next_version}

    found: list[subprocess.CompletedProcess[str]] = []

    def first_of_two() -> subprocess.CompletedProcess[str]:
        runs: list[subprocess.CompletedProcess[str]] = []
        first = threading.Thread(target=lambda: runs.append(playbook("playbooks/upgrade.yml", *allowed)))
        first.start()
        wait_for("the mark", lambda: fleet.execute(NODE, ["test", "-L", MARK], check=False).code == 0, 120, 0.2)
        found.append(playbook("playbooks/upgrade.yml", *allowed))
        first.join()
        return runs[0]

    change(fleet, "rollback", now, first_of_two)
    assert found[0].returncode == 2, found[0].stdout
    assert f"another run changes the fleet to {now}" in shown(found[0])


def test_a_broker_that_does_not_start_ends_the_upgrade(fleet: Fleet, next_version: str) -> None:
    """Node and agents keep the version, and the next epoch is proven."""
    now = fleet.settings.aztec_version
    broken = {"aztec_version": next_version, "prover_broker_environment": {"NODE_OPTIONS": "--not-an-option"}}
    run = playbook("playbooks/upgrade.yml", "-e", json.dumps(broken))
    assert run.returncode == 2, run.stdout
    line = "the agents run with the previous version, and the node was not changed"
    assert line in shown(run), run.stdout
    assert versions(fleet) == {now}
    assert fleet.execute(NODE, ["test", "-L", MARK], check=False).code != 0
    for host, service in SERVICES:
        fleet.wait_until_healthy(host, service)
    prove(fleet, NODE, NODE, [(agent, "prover-agent") for agent in AGENTS])
    # It names what failed as well.
    assert "NODE_OPTIONS" in run.stdout


def write(fleet: Fleet, path: str, text: str) -> None:
    """Replace the content of a file of root on the node's host."""
    fleet.execute(NODE, ["sh", "-c", f"umask 077; cat > {path} <<'END'\n{text}\nEND"])


def test_logs(fleet: Fleet) -> None:
    run = playbook("playbooks/logs.yml", "-e", "logs_lines=5")
    assert run.returncode == 0, run.stdout + run.stderr
    headings = [line for line in run.stdout.splitlines() if line.startswith("=== ")]
    assert sorted(line.split()[1:3] for line in headings) == sorted(
        [f"{host}:", f"{service.replace('-', '_')},"] for host, service in SERVICES
    )
    assert len([line for line in run.stdout.splitlines() if re.match(r"20\d\d-", line)]) == 5 * len(SERVICES)
    one = playbook("playbooks/logs.yml", "-e", "aztec_components=prover_agent", "--limit", "agent-2")
    assert [line.split()[1] for line in one.stdout.splitlines() if line.startswith("=== ")] == ["agent-2:"]
