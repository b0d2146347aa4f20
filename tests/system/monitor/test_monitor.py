"""A monitor for the lab's fleet: data of every component, closed ports, and alerts for faults that are made for real.

Prometheus and Alertmanager are Debian's, with the differences in lab/monitor/prometheus.py.
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.images import IMAGES

from lab.fleet import registry
from lab.fleet.images import Images
from lab.fleet.l1 import rpc
from tests.harness.leaks import Secrets, host_places, misplaced
from tests.harness.machines import make
from tests.monitor.test_metrics import ONLY_5_AND_6, PANELS, QUERIES, names, used
from tests.system.fleet import MONITOR, OUTPUT, Fleet, last_run, playbook, wait_for
from tests.system.monitor.small_disk import SmallDisk

HOST, NODE, AGENTS = "monitor-1", "node-1", ("agent-1", "agent-2")
STRANGER = "stranger"
OTLP, EXPORTER = 4318, 9100
LOOPBACK = (9090, 9093, 3000)
# Account 2 of anvil's public test mnemonic, the publisher of the lab.
PUBLISHER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
# The time within which an alert arrives, in addition to its `for`.
WITHIN = 90
# Files of the monitor that contain secrets of its inventory.
WITH_SECRETS = ("grafana/secrets/admin_password", "alertmanager/secrets/webhook_token")
HOOK = """
import http.server, json, time
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        line = {"at": time.time(), "path": self.path, "body": json.loads(body)}
        line["authorization"] = self.headers["Authorization"]
        with open("/root/hook.jsonl", "a") as file:
            file.write(json.dumps(line) + "\\n")
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 9999), Hook).serve_forever()
"""


def site(*arguments: str, report: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run site.yml for the fleet with its monitor."""
    return playbook("playbooks/site.yml", "-i", str(MONITOR), *arguments, report=report)


@pytest.fixture(scope="module", autouse=True)
def monitored(fleet: Fleet) -> subprocess.CompletedProcess[str]:
    """Add the monitor's machine, publish its images, start a receiver of alerts, and run site.yml."""
    make([HOST], [MONITOR]).close()
    image = Images(fleet.client, fleet.settings).monitor()
    for reference in IMAGES.values():
        repository, _colon, tag = reference.partition(":")
        name = repository if "/" in repository else f"library/{repository}"
        registry.publish(fleet.client, fleet.settings, image, name, tag)
    fleet.execute(HOST, ["sh", "-c", 'printf %s "$1" > /root/hook.py', "sh", HOOK])
    fleet.execute(HOST, "systemctl is-active hook || systemd-run --unit hook python3 /root/hook.py")
    return site()


def query(fleet: Fleet, expression: str) -> list[dict[str, Any]]:
    """Return the result of a query of Prometheus."""
    url = "http://127.0.0.1:9090/api/v1/query"
    found = fleet.execute(HOST, ["curl", "-sS", "-G", "--data-urlencode", f"query={expression}", url])
    document = json.loads(found.out)
    assert document["status"] == "success", f"{expression}: {document}"
    return list(document["data"]["result"])


@dataclass
class Received:
    """What the receiver of alerts got: (time, status, labels) of each alert."""

    alerts: list[tuple[float, str, dict[str, str]]] = field(default_factory=list)

    def of(self, name: str, status: str, since: float) -> list[tuple[float, dict[str, str]]]:
        """Return time and labels of the alerts with a name and a status."""
        return [
            (at, labels)
            for at, found, labels in self.alerts
            if at >= since and found == status and labels["alertname"] == name
        ]

    def firing(self, since: float) -> set[str]:
        """Return the names of the alerts that fired."""
        return {labels["alertname"] for at, status, labels in self.alerts if at >= since and status == "firing"}


def received(fleet: Fleet) -> Received:
    """Return what the receiver got."""
    found = Received()
    lines = fleet.execute(HOST, "cat /root/hook.jsonl 2>/dev/null || echo").out.splitlines()
    for line in map(json.loads, filter(str.strip, lines)):
        if line["path"] == "/alerts":
            assert line["authorization"] == "Bearer lab-webhook-token"
            found.alerts += [(line["at"], one["status"], one["labels"]) for one in line["body"]["alerts"]]
    return found


def clock(fleet: Fleet) -> float:
    """Return the time of the monitor's clock."""
    return float(fleet.execute(HOST, "date +%s.%N").out)


def test_site_sets_up_the_monitor(fleet: Fleet, monitored: subprocess.CompletedProcess[str]) -> None:
    """One run of site.yml, whose plan names the monitor and the metrics of the hosts."""
    assert monitored.returncode == 0, monitored.stdout[-4000:] + monitored.stderr
    for service in IMAGES:
        fleet.wait_until_healthy(HOST, service)


def test_another_run_changes_nothing(tmp_path: Path) -> None:
    """It makes one remote call on each host."""
    report = tmp_path / "calls.jsonl"
    run = site(report=report)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr
    assert {of["changed"] for of in last_run(report)["stats"].values()} == {0}
    assert {host: len(calls) for host, calls in last_run(report)["calls"].items()} == dict.fromkeys(
        (NODE, *AGENTS, HOST), 1
    )


def test_verify_shows_the_monitor() -> None:
    """Each service of the monitor is a row of the status."""
    run = playbook("playbooks/verify.yml", "-i", str(MONITOR))
    assert run.returncode == 0, run.stdout[-4000:]
    assert [service for service in IMAGES if f"monitor {service}" not in run.stdout] == []


def test_who_reaches_what(fleet: Fleet) -> None:
    """The fleet reaches the route for metrics and nothing else, the monitor node_exporter, the stranger nothing."""
    machine, agent = fleet.machines[HOST], fleet.machines[AGENTS[0]]
    for address in filter(None, (machine.address, machine.address6)):
        for port in (OTLP, EXPORTER, *LOOPBACK):
            assert fleet.reach(STRANGER, address, port) != "open", (address, port)
        for port in (EXPORTER, *LOOPBACK):
            assert fleet.reach(AGENTS[0], address, port) != "open", (address, port)
    assert machine.address and agent.address
    assert fleet.reach(AGENTS[0], machine.address, OTLP) == "open"
    assert fleet.reach(HOST, agent.address, EXPORTER) == "open"
    assert fleet.reach(STRANGER, agent.address, EXPORTER) != "open"
    assert fleet.reach(NODE, agent.address, EXPORTER) != "open"
    for path, method, code in (("/v1/metrics", "GET", "403"), ("/api/v1/query", "GET", "404"), ("/", "POST", "404")):
        url = f"http://{machine.address}:{OTLP}{path}"
        shown = fleet.execute(AGENTS[0], ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", method, url])
        assert shown.out == code, (method, path)


def test_every_component_sends_metrics(fleet: Fleet) -> None:
    """Prometheus has data of each component and of each host."""
    wanted = {
        *((f"aztec-{name}", NODE) for name in ("prover-node", "prover-broker")),
        *(("aztec-prover-agent", name) for name in AGENTS),
    }

    def complete() -> bool:
        sent = {(one["metric"]["job"], one["metric"].get("host_name")) for one in query(fleet, "process_memory_usage")}
        up = {one["metric"]["host_name"] for one in query(fleet, 'up{job="node"} == 1')}
        measured = {one["metric"]["host_name"] for one in query(fleet, "aztec_ops_guard_loaded == 1")}
        return wanted <= sent and up == measured == {NODE, *AGENTS, HOST}

    wait_for("data of each component and host", complete, 180)


def test_each_metric_exists(fleet: Fleet) -> None:
    """Each metric in rules and panels is in Prometheus, except for those of 5 and 6."""
    needed = {name for expression in QUERIES for name in used(expression)} - names(ONLY_5_AND_6) - {"ALERTS"}
    needed = {name for name in needed if not name.startswith("prover:")}
    missing: set[str] = set(needed)

    def complete() -> bool:
        there = {one["metric"]["__name__"] for one in query(fleet, 'count by (__name__) ({__name__=~".+"})')}
        missing.clear()
        missing.update(needed - there)
        return not missing

    try:
        wait_for("all metrics", complete, 420, pause=10)
    except AssertionError as error:
        raise AssertionError(f"not in Prometheus: {sorted(missing)}") from error


def test_each_panel_answers(fleet: Fleet) -> None:
    """The query of each panel has a result while epochs are proven, but for the list of firing alerts."""
    only = names(ONLY_5_AND_6)
    empty = [
        f"{panel['title']}: {expression}"
        for panel in PANELS
        for expression in panel["queries"].values()
        if not used(expression) & only and not expression.startswith("ALERTS{") and not query(fleet, expression)
    ]
    assert empty == []


def test_no_alert_fires(fleet: Fleet) -> None:
    """The watchdog is called, and no other alert fires in a fleet that proves."""
    firing = [one["metric"]["alertname"] for one in query(fleet, 'ALERTS{alertstate="firing"}')]
    assert firing == ["ProverWatchdog"]
    lines = "cat /root/hook.jsonl 2>/dev/null || echo"
    wait_for("the watchdog's call", lambda: "/watchdog" in fleet.execute(HOST, lines).out, WITHIN)


def test_the_monitor_stops_and_starts() -> None:
    """As another component does: logs are displayed, its state is in the status. alert_test.yml needs it running."""
    only = ("-i", str(MONITOR), "--limit", HOST)
    assert "=== monitor-1: prover_monitor" in playbook("playbooks/logs.yml", *only).stdout
    for name, state in (("stop", "stopped"), ("start", "running"), ("restart", "running")):
        run = playbook(f"playbooks/{name}.yml", *only)
        rows = [re.split(" {2,}", line) for line in run.stdout.splitlines()]
        states = {row[1]: row[3] for row in rows if row[0] == HOST and row[1].startswith("monitor ")}
        assert (run.returncode, states) == (0, {f"monitor {one}": state for one in IMAGES}), run.stdout[-3000:]
        if name != "restart":
            alert = playbook("playbooks/alert_test.yml", *only)
            line = f"Alertmanager does not respond on {HOST}: run status.yml, and start.yml if the monitor is stopped"
            stopped = state == "stopped"
            assert (alert.returncode != 0, line in alert.stdout) == (stopped, stopped), alert.stdout[-3000:]


def test_secrets_are_only_in_the_monitors_files(fleet: Fleet, tmp_path: Path) -> None:
    """Two passwords of Grafana and the receiver's token are in files of root, and in no output, not even with -vvv."""
    values = yaml.safe_load((MONITOR / "hosts.yml").read_text())["prover_monitor"]["hosts"][HOST]
    names = ("prover_monitor_grafana_admin_password", "prover_monitor_webhook_token")
    new = secrets.token_hex(14)
    known = Secrets({**{name: values[name] for name in names}, "new password": new}, tmp_path)
    # The second run restores the first password.
    for arguments in (("-e", f"prover_monitor_grafana_admin_password={new}"), ()):
        run = site("-vvv", "--diff", *arguments)
        assert run.returncode == 0, run.stdout[-4000:]
        assert "grafana/secrets/admin_password" in run.stdout
        assert known.in_text(f"{run.stdout}{run.stderr}".encode()) == set()
    journal = fleet.execute(HOST, "journalctl --all --output export --no-pager").out.encode()
    assert b"Invoked with" in journal and known.in_text(journal) == set()
    root = Path(f"/proc/{fleet.machine_process(HOST)}/root")
    # The receiver of the test stores what it gets in /root.
    found = known.in_files([place for place in host_places(root) if place.name != "root"])
    assert misplaced(root, found) == []
    inside = {str(path.relative_to(root)) for path in found}
    assert {f"opt/aztec/prover-monitor/{name}" for name in WITH_SECRETS} <= inside


def test_a_test_alert_arrives(fleet: Fleet) -> None:
    """alert_test.yml reports that the webhook got the alert."""
    since = clock(fleet)
    run = playbook("playbooks/alert_test.yml", "-i", str(MONITOR))
    assert run.returncode == 0, run.stdout[-3000:]
    assert received(fleet).of("ProverAlertTest", "firing", since)


def containers(action: str, service: str, hosts: tuple[str, ...]) -> Callable[[Fleet], None]:
    """Return what stops, kills or starts a service on hosts."""

    def act(fleet: Fleet) -> None:
        for name in hosts:
            fleet.execute(name, ["docker", action, service])

    return act


def balance(ether: int) -> Callable[[Fleet], None]:
    """Return what sets the publisher's balance."""
    return lambda fleet: rpc(fleet.settings.l1_url, "anvil_setBalance", PUBLISHER, hex(ether * 10**18))


@dataclass(frozen=True)
class Fault:
    """A fault: what makes and undoes it, the alert with its `for` in seconds, and alerts that follow from the fault.

    begins: the query that has a result when the fault begins, '' if that is at once. labels: of the alert, if it can
    also fire for something else.
    """

    alert: str
    seconds: int
    make: Callable[[Fleet], None]
    undo: Callable[[Fleet], None]
    follows: frozenset[str] = frozenset()
    begins: str = ""
    labels: frozenset[tuple[str, str]] = frozenset()


FAULTS = (
    Fault(
        "ProverQueueWithoutAgents",
        60,
        containers("stop", "prover-agent", AGENTS),
        containers("start", "prover-agent", AGENTS),
        frozenset({"ProverComponentDown", "ProverAgentsMissing", "ProverJobsTimedOut"}),
        # With the next epoch.
        begins="prover:queued_jobs > 0 and on () prover:active_jobs == 0",
    ),
    Fault(
        "ProverComponentDown",
        60,
        containers("kill", "prover-broker", (NODE,)),
        containers("start", "prover-broker", (NODE,)),
        labels=frozenset({("component", "prover_broker")}),
    ),
    Fault("ProverBalanceLow", 60, balance(0), balance(100), frozenset({"ProverSubmissionFailed"})),
    Fault(
        "ProverHostDown",
        20,
        lambda fleet: fleet.stop_machine(AGENTS[1]),
        lambda fleet: fleet.start_machine(AGENTS[1]),
    ),
)


# Alerts that fired during a fault and do not follow from it, by the fault's alert.
UNEXPECTED: dict[str, set[str]] = {}


@pytest.fixture(scope="module")
def times() -> Iterator[dict[str, dict[str, float]]]:
    """Yield a dict of times in seconds, which is written to tests/output/alert_times.json."""
    found: dict[str, dict[str, float]] = {}
    yield found
    (OUTPUT / "alert_times.json").write_text(json.dumps(found, indent=2))


def assert_alert(fleet: Fleet, fault: Fault, times: dict[str, dict[str, float]]) -> None:
    """Make a fault and undo it. Assert that its alert arrives within its `for` and 90 s, and resolves afterwards."""
    since = clock(fleet)

    def arrivals(status: str) -> list[tuple[float, dict[str, str]]]:
        return [one for one in received(fleet).of(fault.alert, status, since) if fault.labels <= one[1].items()]

    fault.make(fleet)
    if fault.begins:
        wait_for(f"the begin of {fault.alert}", lambda: query(fleet, fault.begins), 120)
    made = clock(fleet)
    try:
        limit = fault.seconds + WITHIN
        ((arrived, _labels), *_others) = wait_for(fault.alert, lambda: arrivals("firing"), limit + 60)
    finally:
        undone = time.monotonic()
        fault.undo(fleet)
    wait_for(f"the end of {fault.alert}", lambda: arrivals("resolved"), 420)
    times[fault.alert] = {"arrived": round(arrived - made, 1), "resolved": round(time.monotonic() - undone, 1)}
    print(fault.alert, times[fault.alert])
    UNEXPECTED[fault.alert] = received(fleet).firing(since) - {fault.alert} - fault.follows
    assert arrived - made <= limit
    for name in AGENTS:
        fleet.wait_until_healthy(name, "prover-agent")
    fleet.wait_until_healthy(NODE, "prover-broker")


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.alert for fault in FAULTS])
def test_an_alert_for_a_fault(fleet: Fleet, fault: Fault, times: dict[str, dict[str, float]]) -> None:
    """Of agents, broker, publisher and host."""
    assert_alert(fleet, fault, times)


@pytest.fixture
def small_disk(fleet: Fleet) -> Iterator[SmallDisk]:
    """Mount a disk of 64 MB on a host."""
    disk = SmallDisk(fleet.machine_process(AGENTS[0]))
    disk.mount()
    yield disk
    disk.remove()


def test_an_alert_for_a_disk_that_fills(
    fleet: Fleet, small_disk: SmallDisk, times: dict[str, dict[str, float]]
) -> None:
    """The last test, because the monitor keeps the shorter time of this alert, which other disks can fire as well."""
    values = yaml.safe_load((MONITOR / "hosts.yml").read_text())["prover_monitor"]["hosts"][HOST]
    shorter = {**values["prover_monitor_alert_for"], "ProverDiskFillsInADay": "1m"}
    run = site("--limit", HOST, "-e", json.dumps({"prover_monitor_alert_for": shorter}))
    assert run.returncode == 0, run.stdout[-4000:]
    free = f'node_filesystem_avail_bytes{{mountpoint="{small_disk.path}"}} / node_filesystem_size_bytes'
    wait_for("the size of the empty disk", lambda: query(fleet, f"count_over_time(({free})[1m:10s]) > 2"), 90)
    fault = Fault(
        "ProverDiskFillsInADay",
        60,
        lambda _fleet: small_disk.fill(48),
        lambda _fleet: small_disk.unmount(),
        labels=frozenset({("mountpoint", small_disk.path), ("host_name", AGENTS[0])}),
        begins=f"{free} < 0.4",
    )
    assert_alert(fleet, fault, times)


def test_no_other_alert_fired() -> None:
    """During the faults. The stage `monitor`, which selects one of them, begins with a fleet that did not prove."""
    assert set(UNEXPECTED) == {*(fault.alert for fault in FAULTS), "ProverDiskFillsInADay"}
    assert [f"{alert}: {sorted(others)}" for alert, others in UNEXPECTED.items() if others] == []
