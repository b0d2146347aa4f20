"""benchmarks/run: measure the tools in turn on the lab's hosts, and write docs/performance.md with its plot."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import end_state
from benchmarks.figures import COLLECTION, NO_L1, PING, PYINFRA, SSH, TITLES, Counts, Run, page, plot
from benchmarks.fleet import ROOT, WORK, Fleet, agent_names, inotify_instances
from lab.fleet.progress import say
from lab.fleet.settings import LabError

TOOLS = ROOT / "benchmarks/tools"
OUTPUT = ROOT / "tests/output"
RESULTS = OUTPUT / "benchmark.json"
PAGE = ROOT / "docs/performance.md"
PYINFRA_VERSION = "pyinfra==3.10.0"
PYINFRA_ARGUMENTS = ["--chdir", str(TOOLS), "-y", "pyinfra_inventory.py", "pyinfra_deploy.py"]
LEVELS = ("info", "verbose")
SETTLES_WITHIN = 300
FLEET_GROUPS = "prover_node:prover_broker:prover_agent"
ENVIRONMENT = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "NO_COLOR": "1"}
StartTimes = dict[str, dict[str, str]]


class BenchmarkError(Exception):
    """An error that ends the benchmark, in one line."""


def names(text: str, known: tuple[str, ...]) -> list[str]:
    """Return the words of a list with commas. Raise ArgumentTypeError for an unknown one."""
    found = text.split(",")
    unknown = [name for name in found if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(known)}")
    return found


def numbers(text: str) -> list[int]:
    """Return the numbers of a list with commas, sorted."""
    return sorted({int(word) for word in text.split(",")})


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="benchmarks/run", description=__doc__)
    tools, scenarios = tuple(TITLES), ("setup", "no_change", "change", "add")
    made.add_argument("--agents", type=numbers, default=[2, 3, 10, 20, 40], help="sizes of the fleet (2,3,10,20,40)")
    made.add_argument("--runs", type=int, default=5, help="measured runs of each tool (5)")
    made.add_argument("--only", type=lambda text: names(text, tools), default=list(tools), help=",".join(tools))
    made.add_argument(
        "--scenarios", type=lambda text: names(text, scenarios), default=list(scenarios), help=",".join(scenarios)
    )
    made.add_argument("--change-agents", type=int, default=10, help="size of the fleet for change and add (10)")
    made.add_argument("--keep", action="store_true", help="keep the lab's machines")
    made.add_argument("--add", action="store_true", help="keep the last results of what is not measured again")
    made.add_argument("--render", action="store_true", help="only write the page again, from the last results")
    return made


@dataclass
class Saved:
    """Results in a file. facts: how they were made, label -> value."""

    runs: list[Run] = field(default_factory=list)
    counts: list[Counts] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls) -> Saved:
        """Return the last results."""
        found = json.loads(RESULTS.read_text())
        return cls([Run(**one) for one in found["runs"]], [Counts(**one) for one in found["counts"]], found["facts"])

    def replaced_by(self, now: Saved) -> Saved:
        """Return these results without those that were measured again, and the new ones."""
        again = {(one.scenario, one.agents, one.tool) for one in now.runs}
        counted = {(one.scenario, one.agents) for one in now.counts}
        runs = [one for one in self.runs if (one.scenario, one.agents, one.tool) not in again]
        counts = [one for one in self.counts if (one.scenario, one.agents) not in counted]
        facts = {
            label: "; ".join(dict.fromkeys(filter(None, (self.facts.get(label), value))))
            for label, value in now.facts.items()
        }
        return Saved([*runs, *now.runs], [*counts, *now.counts], facts)


@dataclass
class Benchmark:
    """The measurements, and what they were made with."""

    arguments: argparse.Namespace
    pyinfra: str
    runs: list[Run] = field(default_factory=list)
    counts: list[Counts] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    earlier: Saved = field(default_factory=Saved)

    def save(self) -> None:
        """Write the results, so that an interrupted benchmark does not lose them."""
        minutes = (time.monotonic() - self.started) / 60
        state = "unfinished" if self.failures else "finished"
        facts = {**self.facts, "duration of the benchmark": f"{minutes:.0f} min, {state}"}
        now = Saved(self.runs, self.counts, facts)
        RESULTS.write_text(json.dumps(asdict(self.earlier.replaced_by(now)), indent=1) + "\n")

    def command(self, tool: str, fleet: Fleet, state: Path, level: str) -> list[str]:
        """Return the command with which a tool brings the fleet to a state, in which agents have this log level."""
        inventory = ["-i", str(fleet.inventory)]
        site = [program("ansible-playbook"), *inventory, "playbooks/site.yml"]
        # All agents at once and without a drain, as the other tools change them. They start slowly, on shared cores.
        at_once = ("aztec_agents_at_once=100%", "aztec_drain=false", f"prover_agent_start_timeout={SETTLES_WITHIN}")
        site += [word for setting in (f"prover_agent_log_level={level}", *at_once) for word in ("-e", setting)]
        return {
            PING: [program("ansible"), *inventory, FLEET_GROUPS, "-m", "ansible.builtin.ping"],
            COLLECTION: site,
            NO_L1: [*site, "-e", "aztec_l1_checks=ignore"],
            PYINFRA: ["env", f"BENCHMARK_STATE={state}", self.pyinfra, *PYINFRA_ARGUMENTS],
            SSH: [str(TOOLS / "ssh.sh"), str(state)],
        }[tool]

    def apply(self, fleet: Fleet, level: str = LEVELS[0], **environment: str) -> str:
        """Run the collection without using its measurements. Return its output."""
        log = WORK / "apply.log"
        run(self.command(COLLECTION, fleet, WORK, level), log, **environment)
        self.settle(fleet, level)
        return log.read_text()

    def settle(self, fleet: Fleet, level: str) -> StartTimes:
        """Wait until the fleet has its end state. Return the containers' start times."""
        started, problems = end_state.wait(fleet.client, fleet.settings, level, SETTLES_WITHIN)
        if problems:
            raise BenchmarkError("; ".join(problems))
        return started

    def measure(self, scenario: str, fleet: Fleet, tool: str, state: Path, level: str = LEVELS[0]) -> StartTimes:
        """Measure one run of a tool and verify the end state. Return the containers' start times."""
        log = WORK / f"{scenario}-{fleet.agents}-{tool}.log"
        since = time.time()
        found = run(self.command(tool, fleet, state, level), log)
        started = self.settle(fleet, level)
        restarts = fleet.restarts(since) if scenario == "change" else {}
        if scenario == "change" and set(restarts) != set(agent_names(fleet.agents)):
            raise BenchmarkError(f"only {sorted(restarts)} restarted, see {log}")
        one = Run(scenario, fleet.agents, tool, found["wall"], found["cpu"], max(restarts.values(), default=None))
        self.runs.append(one)
        self.save()
        slowest = "" if one.restart is None else f", slowest restart {one.restart:.1f} s"
        say(f"{scenario}, {fleet.agents + 1} hosts, {tool}: {one.wall:.2f} s, {one.cpu:.2f} CPU-s{slowest}")
        return started

    def in_turn(self, tools: list[str], one: Callable[[str], Any], rounds: int) -> None:
        """Call a function for each tool in each round. A failure ends the tool's part, not that of others."""
        failed = set()
        for number in range(rounds):
            # Each round begins with another tool.
            for tool in [tools[(number + index) % len(tools)] for index in range(len(tools))]:
                try:
                    if tool not in failed:
                        one(tool)
                except (BenchmarkError, LabError) as error:
                    self.failures.append(f"{tool}: {error}")
                    say(f"FAILED: {self.failures[-1]}")
                    failed.add(tool)

    def only(self, *excluded: str) -> list[str]:
        """Return the chosen tools without these."""
        return [tool for tool in self.arguments.only if tool not in excluded]

    def setup(self, fleet: Fleet) -> None:
        """Measure once how each tool sets up bare hosts. The fleet must have been provisioned."""
        state = fleet.save_state("setup")

        def one(tool: str) -> None:
            fleet.recreate(fleet.hosts)
            self.measure("setup", fleet, tool, state)

        self.in_turn(self.only(PING, NO_L1), one, 1)
        self.apply(fleet)

    def no_change(self, fleet: Fleet) -> None:
        """Measure runs that change nothing. Each one must leave all containers as they are."""
        state = fleet.save_state(f"no_change-{fleet.agents}")
        before = self.settle(fleet, LEVELS[0])

        def one(tool: str) -> None:
            if self.measure("no_change", fleet, tool, state) != before:
                self.runs.pop()
                raise BenchmarkError(f"containers restarted on {fleet.agents + 1} hosts, but nothing had changed")

        self.in_turn(self.arguments.only, one, self.arguments.runs)
        if COLLECTION in self.arguments.only:
            self.counts.append(self.count(fleet, "no_change", LEVELS[0]))

    def change(self, fleet: Fleet) -> None:
        """Measure a change of the agents' log level, from the first to the second value and back."""
        states = {}
        for level in reversed(LEVELS):
            self.apply(fleet, level)
            states[level] = fleet.save_state(f"change-{level}")
        current = LEVELS[0]

        def one(tool: str) -> None:
            nonlocal current
            current = LEVELS[1 - LEVELS.index(current)]
            self.measure("change", fleet, tool, states[current], current)

        self.in_turn(self.only(PING, NO_L1), one, self.arguments.runs)
        if COLLECTION in self.arguments.only:
            self.apply(fleet, LEVELS[0])
            self.counts.append(self.count(fleet, "change", LEVELS[1]))
        self.apply(fleet)

    def add(self, fleet: Fleet) -> None:
        """Measure how one bare host is added to the fleet."""
        larger = Fleet.up(fleet.agents + 1)
        self.apply(larger)
        state = larger.save_state("add")

        def one(tool: str) -> None:
            larger.recreate(agent_names(larger.agents)[-1:])
            # The broker must not admit the new agent yet.
            self.apply(fleet)
            self.measure("add", larger, tool, state)

        self.in_turn(self.only(PING, NO_L1), one, self.arguments.runs)
        self.apply(larger)

    def count(self, fleet: Fleet, scenario: str, level: str) -> Counts:
        """Count remote calls, per-host task headings and lines of output of the collection."""
        report = WORK / "calls.jsonl"
        report.unlink(missing_ok=True)
        output = self.apply(
            fleet,
            level,
            ANSIBLE_CALLBACK_PLUGINS=str(ROOT / "tests/plugins/callback"),
            ANSIBLE_CALLBACKS_ENABLED="remote_calls",
            REMOTE_CALLS_REPORT=str(report),
        )
        calls = json.loads(report.read_text().splitlines()[-1])["calls"]
        lines = [line for line in output.partition("\nREMOTE CALLS")[0].splitlines() if line.strip()]
        tasks = self.apply(fleet, level, ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default").split("\nTASK [")[1:]
        headings = sum(all(f": [{host}]" in task for host in fleet.hosts) for task in tasks)
        # The stage `default` of the tests counts in the same way.
        return Counts(scenario, fleet.agents, max(map(calls_without_polls, calls.values())), headings, len(lines))

    def measure_all(self) -> None:
        """Bring up fleets of growing size and measure the scenarios."""
        wanted, special = self.arguments.scenarios, self.arguments.change_agents
        smallest = min(self.arguments.agents)
        sizes = {
            "setup": {smallest}, "no_change": set(self.arguments.agents), "change": {special}, "add": {special}
        }  # fmt: skip
        for agents in sorted(set.union(*(sizes[scenario] for scenario in wanted))):
            fleet = Fleet.up(agents)
            say(f"provisioning {agents + 1} hosts")
            self.apply(fleet)
            if "setup" in wanted and agents == smallest:
                self.setup(fleet)
            if "no_change" in wanted and agents in self.arguments.agents:
                self.no_change(fleet)
            if agents == special:
                for scenario in ("change", "add"):
                    if scenario in wanted:
                        getattr(self, scenario)(fleet)


def program(name: str) -> str:
    """Return the path of a program of this Python environment."""
    return str(Path(sys.executable).with_name(name))


def run(command: list[str], log: Path, **environment: str) -> dict[str, float]:
    """Run a command with its output in a log. Return its wall and CPU time. Raise BenchmarkError if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.measure", str(log), *command],
        cwd=ROOT,
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    if found["code"]:
        last = " / ".join(log.read_text().strip().splitlines()[-3:])
        raise BenchmarkError(f"{Path(command[0]).name} ended with {found['code']}, see {log}: {last}")
    return found


def calls_without_polls(calls: list[str]) -> int:
    """Return the number of remote calls of a host. Of the calls that follow a job, the first and the last one count."""
    polled = [call for call in calls if "compose_stack" in call]
    return len(calls) - len(polled) + min(len(polled), 2)


def machine() -> str:
    """Return a description of this machine."""
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    gib = int(memory.split()[1]) / 1024**2
    system = release.get("PRETTY_NAME", "Linux").strip('"')
    kernel = ".".join(platform.release().split(".")[:2])
    software = f"{system}, kernel {kernel}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {gib:.0f} GiB, {software}"


def write_page() -> None:
    """Write the page and its plot from the last results."""
    found = Saved.load()
    image = PAGE.with_suffix(".svg")
    image.write_text(plot(found.runs))
    previous = PAGE.read_text() if PAGE.exists() else ""
    PAGE.write_text(page(found.runs, found.counts, found.facts, image.name, previous))
    say(f"wrote {PAGE} and {image}")


def main() -> int:
    arguments = parser().parse_args()
    if arguments.render:
        write_page()
        return 0
    OUTPUT.mkdir(exist_ok=True)
    interpreter = subprocess.check_output(["lab/python", PYINFRA_VERSION], cwd=ROOT, text=True).strip()
    benchmark = Benchmark(arguments, str(Path(interpreter).with_name("pyinfra")))
    core = subprocess.check_output([program("ansible"), "--version"], text=True)
    benchmark.facts = {
        "command": f"`{shlex.join(['benchmarks/run', *sys.argv[1:]])}`",
        "machine": machine(),
        "versions": f"{core.splitlines()[0]}, {PYINFRA_VERSION}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "load of the machine before": f"{os.getloadavg()[0]:.1f}",
    }
    benchmark.earlier = Saved.load() if arguments.add else Saved()
    hosts = max(*arguments.agents, arguments.change_agents + 1) + 2
    # Leave through the code that restores the machine's limit.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("benchmarks/run: was terminated"))
    with inotify_instances(hosts):
        try:
            benchmark.measure_all()
        except (BenchmarkError, LabError, subprocess.CalledProcessError) as error:
            benchmark.failures.append(str(error))
        finally:
            benchmark.save()
            if not arguments.keep:
                subprocess.run(["lab/down"], cwd=ROOT, check=True)
    if benchmark.runs:
        write_page()
    for failure in benchmark.failures:
        print(f"benchmarks/run: {failure}", file=sys.stderr)
    return 1 if benchmark.failures else 0


if __name__ == "__main__":
    sys.exit(main())
