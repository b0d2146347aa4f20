"""The benchmark's statistics, its figures, its page and its measurement of processes."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

from benchmarks.__main__ import Saved, calls_without_polls, names, parser
from benchmarks.end_state import container_problems
from benchmarks.figures import MARK, Counts, Figure, Results, Run, figures, page, plot, spread
from benchmarks.fleet import inventory_of, network_options, restart_seconds, settings_text

ROOT = Path(__file__).parents[2]


def runs(agents: int, walls: dict[str, float], scenario: str = "no_change") -> list[Run]:
    """Return a run of each tool whose CPU time is half of its wall time."""
    return [Run(scenario, agents, tool, wall, wall / 2) for tool, wall in walls.items()]


def named(found: list[Figure], word: str) -> list[tuple[float, str]]:
    """Return value and verdict of the figures with a word in their name."""
    return [(round(one.value, 3), one.verdict) for one in found if word in one.name]


def test_median_and_spread() -> None:
    measured = [Run("change", 10, "ssh", wall, 1, 2.5) for wall in (3, 1, 20)]
    results = Results([*measured, Run("change", 10, "ssh", 4, 1)])
    assert results.middle("change", 10, "ssh", "wall") == 3.5
    assert results.values("change", 10, "ssh", "restart") == [2.5] * 3
    assert results.middle("change", 3, "ssh", "wall") is None
    assert spread([3, 1, 20]) == "3.00 (1.00 to 20.0)"
    assert spread([]) == "-"


@pytest.mark.parametrize(
    ("value", "goal", "verdict"),
    [(1.3, 1.3, "goal reached"), (1.5, 1.3, "reached"), (2, None, "reached"), (2.01, 1.3, "not reached")],
)
def test_verdict(value: float, goal: float | None, verdict: str) -> None:
    assert Figure("", value, 2, goal).verdict == verdict


def test_ratios() -> None:
    found = figures(runs(10, {"ping": 4, "pyinfra": 5, "collection": 6}), [])
    assert named(found, "wall time") == [(1.2, "reached"), (1.5, "reached")]
    assert named(found, "CPU") == [(1.5, "reached")]
    three = figures(runs(2, {"ping": 2, "collection": 4.4}), [])
    assert named(three, "3 hosts") == [(2.2, "reached"), (2.2, "reached")]
    # For 4 hosts the issue names no figure.
    assert figures(runs(3, {"ping": 2, "collection": 4}), []) == []


def test_growth_per_host() -> None:
    found = figures(runs(10, {"collection": 11}) + runs(40, {"collection": 51.25}), [])
    assert named(found, "wall time per host") == [(25, "not reached")]
    assert named(figures(runs(10, {"collection": 11}), []), "per host") == []


def test_change_is_compared_with_the_slowest_restart() -> None:
    changed = Run("change", 10, "collection", 30, 9, restart=15)
    assert named(figures([changed], []), "changed") == []
    (one,) = (f for f in figures([changed, *runs(10, {"collection": 8})], []) if "changed" in f.name)
    assert (one.value, one.reach, one.verdict) == (30, 28, "not reached")


def test_counts() -> None:
    found = figures([], [Counts("no_change", 2, 1, 6, 44), Counts("change", 2, 3, 9, 99)])
    assert named(found, "no change") == [(1, "reached"), (6, "not reached"), (44, "reached")]
    assert named(found, "changed host") == [(3, "goal reached")]


def test_page_keeps_the_text_below_the_mark() -> None:
    measured = runs(2, {"ping": 1, "collection": 1.5}) + runs(20, {"ssh": 2})
    first = page(measured, [], {"command": "`benchmarks/run`"}, "plot.svg")
    again = page(measured, [], {"command": "`benchmarks/run`"}, "plot.svg", first + "\nTried: forks.\n")
    assert again == first + "\nTried: forks.\n"
    assert first.count(MARK) == 1 and "| **command** | `benchmarks/run` |" in first
    assert "1.50 x ping (1.50 / 1.00 s) | 2.50 x ping | 2 x ping | goal reached |" in first
    assert "small program" in first and "small program" not in page(measured[:2], [], {}, "plot.svg")


def test_plot_is_an_svg_with_a_point_for_each_tool_and_size() -> None:
    drawn = plot(runs(2, {"ping": 1, "ssh": 0.5}) + runs(10, {"ping": 3}) + runs(10, {"ssh": 99}, "change"))
    root = ElementTree.fromstring(drawn)
    assert len(root.findall("{*}circle")) == 2 * 3
    assert "99" not in drawn
    ElementTree.fromstring(plot([]))


def test_measured_time_contains_that_of_processes_that_stay(tmp_path: Path) -> None:
    """A process that outlives the command, as a kept connection of ssh, is ended and its CPU time counts."""
    busy = "import time\nwhile time.process_time() < 0.3: pass\nopen('done', 'w').close()\ntime.sleep(600)"
    script = f'cd {tmp_path}; setsid {sys.executable} -c "{busy}" & until [ -e done ]; do sleep 0.05; done; exit 3'
    command = [sys.executable, "-m", "benchmarks.measure", str(tmp_path / "log"), "bash", "-c", script]
    found = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=60).stdout)
    assert found["code"] == 3
    assert found["wall"] < 30 and found["cpu"] >= 0.3


def test_inventory_has_an_own_address_for_each_agent() -> None:
    lab = yaml.safe_load((ROOT / "inventories/lab/hosts.yml").read_text())
    made = inventory_of(12, lab)
    agents = made["prover_agent"]["hosts"]
    assert len({one["ansible_host"] for one in agents.values()}) == 12
    assert [name for name, one in agents.items() if "prover_agent_image" in one] == ["agent-11", "agent-12"]
    assert made["prover_node"] == lab["prover_node"] and made["lab_stranger"] == lab["lab_stranger"]


def test_desired_state_for_the_other_tools() -> None:
    inspected = {
        "Driver": "bridge", "EnableIPv6": True, "Labels": {"aztec_ops.prover": "true"},
        "Options": {"com.docker.network.bridge.name": "aztec0"},
        "IPAM": {"Config": [{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}, {"Subnet": "fd31:78::/64"}]},
    }  # fmt: skip
    assert network_options(inspected) == (
        "--driver bridge --opt com.docker.network.bridge.name=aztec0 --label aztec_ops.prover=true --ipv6 "
        "--subnet 172.18.0.0/16 --subnet fd31:78::/64"
    )
    assert settings_text({"A": "b c", "D": ""}) == "A='b c'\nD=''\n"


def test_restart_is_from_the_stop_to_the_health_of_the_new_container() -> None:
    def event(action: str, at: float) -> str:
        return json.dumps({"Action": action, "timeNano": int(at * 1e9)})

    events = [event("exec_create: curl", 1), event("kill", 10), event("kill", 12), event("start", 13)]
    assert restart_seconds("\n".join(events)) is None
    assert restart_seconds("\n".join([*events, event("health_status: healthy", 22.5)])) == pytest.approx(12.5)
    assert restart_seconds("") is None


def test_polls_of_the_progress_are_not_counted() -> None:
    calls = ["Check: host_info", "Apply: compose_stack", "Apply: compose_stack", "Apply: compose_stack"]
    assert calls_without_polls(calls) == 3
    assert calls_without_polls(calls[:1]) == 1


def test_end_state_of_containers() -> None:
    def container(health: str, level: str) -> dict:
        return {
            "Config": {"Labels": {"com.docker.compose.service": "prover-agent"}, "Env": [f"LOG_LEVEL={level}"]},
            "State": {"Status": "running", "Health": {"Status": health}},
        }

    assert container_problems(["prover-agent"], [container("healthy", "info")], "info") == []
    assert container_problems(["prover-agent"], [container("starting", "info")], "verbose") == [
        "prover-agent is running, starting",
        "prover-agent has LOG_LEVEL=info and not verbose",
    ]
    assert container_problems(["prover-agent"], [], "info") == ["runs [] and not ['prover-agent']"]


def test_results_of_several_parts() -> None:
    """A part replaces only what it measured again."""
    first = Saved(
        [Run("add", 10, "ssh", 1, 1), Run("add", 10, "ping", 2, 2)], [Counts("add", 10, 1, 2, 3)], {"date": "1"}
    )
    again = Saved([Run("add", 10, "ssh", 3, 3)], [], {"date": "1", "command": "x"})
    both = first.replaced_by(again)
    assert [one.wall for one in both.runs] == [2, 3]
    assert both.counts == first.counts
    assert both.facts == {"date": "1", "command": "x"}
    assert first.replaced_by(Saved([], [], {"date": "2"})).facts == {"date": "1; 2"}


def test_options() -> None:
    assert parser().parse_args(["--agents", "20,3"]).agents == [3, 20]
    assert names("ssh", ("ssh", "ping")) == ["ssh"]
    with pytest.raises(SystemExit):
        parser().parse_args(["--only", "puppet"])
