"""The benchmark's statistics, its figures with what they should reach, and the page that shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median

PING, COLLECTION, NO_L1, PYINFRA, SSH = "ping", "collection", "collection_no_l1", "pyinfra", "ssh"
TITLES = {
    PING: "`ansible -m ping`",
    COLLECTION: "this collection, `site.yml`",
    NO_L1: "the same without L1 checks",
    PYINFRA: "pyinfra 3",
    SSH: "script over ssh",
}
SCENARIOS = {
    "setup": "first setup of bare hosts",
    "no_change": "no change",
    "change": "one variable changed on all agents at once",
    "add": "one bare host added as an agent",
}
MANY = 10
# Seconds that a change may take beyond a run without changes and the slowest restart
ALLOWANCE = 5
INTRODUCTION = """\
`benchmarks/run` writes this page, and `benchmarks/README.md` in the repository describes how it measures. Values are
medians, with minimum and maximum in brackets. The tools take turns on the same hosts. Controller and hosts share one
machine, so that wall times contain the work of the hosts. Each agent has its own host."""
MARK = "<!-- benchmarks/run does not change the text below this line. -->"
SMALL_IMAGE = " Agents after the tenth run a small program in place of Aztec."
COLORS = {PING: "#777777", COLLECTION: "#1f6feb", NO_L1: "#8ab4f8", PYINFRA: "#d97706", SSH: "#2e8b57"}


@dataclass(frozen=True)
class Run:
    """One measured run. wall, cpu, restart (the slowest one of an agent's container): seconds."""

    scenario: str
    agents: int
    tool: str
    wall: float
    cpu: float
    restart: float | None = None


@dataclass(frozen=True)
class Counts:
    """What a run of the collection prints and sends. calls: the most of a host, polls of its progress not counted."""

    scenario: str
    agents: int
    calls: int
    headings: int
    lines: int


@dataclass(frozen=True)
class Figure:
    """A figure of the table: what was measured, and up to which value it reaches its limit and its goal."""

    name: str
    value: float
    reach: float
    goal: float | None = None
    unit: str = ""
    basis: str = ""

    @property
    def verdict(self) -> str:
        """Return the verdict."""
        if self.goal is not None and self.value <= self.goal:
            return "goal reached"
        return "reached" if self.value <= self.reach else "not reached"


class Results:
    """Medians of runs."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self.runs = list(runs)

    def values(self, scenario: str, agents: int, tool: str, what: str) -> list[float]:
        """Return a quantity ('wall', 'cpu' or 'restart') of the runs that have it."""
        chosen = [one for one in self.runs if (one.scenario, one.agents, one.tool) == (scenario, agents, tool)]
        return [value for one in chosen if (value := getattr(one, what)) is not None]

    def middle(self, scenario: str, agents: int, tool: str, what: str) -> float | None:
        """Return the median of a quantity, None without a run."""
        found = self.values(scenario, agents, tool, what)
        return median(found) if found else None

    def sizes(self, scenario: str) -> list[int]:
        """Return the numbers of agents with which a scenario ran."""
        return sorted({one.agents for one in self.runs if one.scenario == scenario})


def seconds(value: float) -> str:
    """Return a number of seconds with about three digits."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def spread(values: Sequence[float]) -> str:
    """Return the median of values with their minimum and maximum."""
    return f"{seconds(median(values))} ({seconds(min(values))} to {seconds(max(values))})" if values else "-"


def ratios(results: Results) -> list[Figure]:
    """Return the figures that compare runs without changes with pyinfra and ping."""
    found = []

    def add(name: str, agents: int, what: str, other: str, reach: float, goal: float | None = None) -> None:
        own, base = (results.middle("no_change", agents, tool, what) for tool in (COLLECTION, other))
        if own is not None and base:
            basis = f"{seconds(own)} / {seconds(base)} s"
            name = f"no change, {agents + 1} hosts: {name}"
            found.append(Figure(name, own / base, reach, goal, f" x {other}", basis))

    for agents in results.sizes("no_change"):
        if agents == 2:
            add("wall time", agents, "wall", PING, 2.5, 2)
            add("controller CPU", agents, "cpu", PING, 2.5, 2)
        if agents >= MANY:
            add("wall time", agents, "wall", PYINFRA, 2)
            add("wall time", agents, "wall", PING, 1.6, 1.3)
            add("controller CPU", agents, "cpu", PING, 2, 1.3)
    return found


def growth(results: Results, small: int = 10, large: int = 40) -> list[Figure]:
    """Return the figures for the cost per host of a large fleet: the difference to a small one in percent."""
    found = []
    for what, name in (("cpu", "controller CPU"), ("wall", "wall time")):
        values = [results.middle("no_change", agents, COLLECTION, what) for agents in (small, large)]
        if None not in values:
            few, many = (value / (agents + 1) for value, agents in zip(values, (small, large)))
            name = f"{name} per host, {large} agents against {small}"
            found.append(Figure(name, 100 * (many / few - 1), 20, 0, " %", f"{many:.2f} / {few:.2f} s"))
    return found


def change(results: Results) -> list[Figure]:
    """Return the figure for a change on all agents: its limit is a run without changes + slowest restart + 5 s."""
    found = []
    for agents in results.sizes("change"):
        wall = results.middle("change", agents, COLLECTION, "wall")
        restart = results.middle("change", agents, COLLECTION, "restart")
        unchanged = results.middle("no_change", agents, COLLECTION, "wall")
        if wall is not None and restart is not None and unchanged is not None:
            limit = unchanged + restart + ALLOWANCE
            basis = f"{seconds(unchanged)} + {seconds(restart)} + {ALLOWANCE} s allowed"
            found.append(Figure(f"one variable changed on {agents} agents: wall time", wall, limit, None, " s", basis))
    return found


def counted(counts: Iterable[Counts]) -> list[Figure]:
    """Return the figures that count calls, headings and lines."""
    found = []
    for one in counts:
        where = f"{one.agents + 1} hosts"
        if one.scenario == "no_change":
            found.append(Figure(f"no change, {where}: remote calls of a host", one.calls, 1))
            found.append(Figure(f"no change, {where}: per-host task headings", one.headings, 5))
            # A row for each component: node, broker and agents.
            found.append(Figure(f"no change, {where}: lines of output", one.lines, 40 + one.agents + 2))
        else:
            found.append(Figure(f"one variable changed, {where}: remote calls of a changed host", one.calls, 4, 3))
    return found


def figures(runs: Iterable[Run], counts: Iterable[Counts]) -> list[Figure]:
    """Return all figures for which there are measurements."""
    results = Results(runs)
    return [*ratios(results), *counted(counts), *growth(results), *change(results)]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def number(value: float) -> str:
    """Return a number of a figure: an integer as it is, others with two decimals."""
    return f"{value:.2f}".removesuffix(".00")


def figures_table(found: Iterable[Figure]) -> str:
    """Return the table of figures, with reach and goal."""
    rows = [
        [
            one.name,
            f"{number(one.value)}{one.unit}" + (f" ({one.basis})" if one.basis else ""),
            number(one.reach) + one.unit,
            "" if one.goal is None else number(one.goal) + one.unit,
            one.verdict,
        ]
        for one in found
    ]
    return table(("figure", "measured", "reach", "goal", "result"), rows)


def runs_table(runs: Iterable[Run]) -> str:
    """Return the table of all measurements."""
    results = Results(runs)
    rows = []
    for scenario, title in SCENARIOS.items():
        for agents in results.sizes(scenario):
            for tool, name in TITLES.items():
                walls, cpus = (results.values(scenario, agents, tool, what) for what in ("wall", "cpu"))
                if walls:
                    rows.append([title, str(agents + 1), name, spread(walls), spread(cpus), str(len(walls))])
    return table(("scenario", "hosts", "tool", "wall time, s", "controller CPU, s", "runs"), rows)


def plot(runs: Iterable[Run]) -> str:
    """Return an SVG: wall time and controller CPU of runs without changes by the number of hosts."""
    results = Results([one for one in runs if one.scenario == "no_change"])
    sizes = results.sizes("no_change")
    parts = ['<rect width="880" height="400" fill="white"/>']
    for left, what, title in ((60, "wall", "no change: wall time, s"), (500, "cpu", "no change: controller CPU, s")):
        top = max((getattr(one, what) for one in results.runs), default=1)
        parts += panel(left, title, sizes, top, partial(results.values, "no_change", what=what))
    x = 60
    for tool, color in COLORS.items():
        name = TITLES[tool].replace("`", "")
        parts.append(f'<rect x="{x}" y="372" width="12" height="12" fill="{color}"/>')
        parts.append(f'<text x="{x + 18}" y="383">{name}</text>')
        x += 40 + 7 * len(name)
    style = "<style>text{font:12px sans-serif;fill:#222}line{stroke:#ccc}</style>"
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 400" role="img">'
    return "\n".join([head, "<title>Runs without changes</title>", style, *parts, "</svg>"]) + "\n"


def panel(
    left: int, title: str, sizes: Sequence[int], top: float, values: Callable[[int, str], list[float]]
) -> list[str]:
    """Return the SVG elements of one diagram: a line of medians for each tool, with the range of each point."""
    width, height, base = 340, 280, 330
    widest = max(sizes, default=1) + 1

    def x(agents: int) -> float:
        return left + width * (agents + 1) / widest

    def y(value: float) -> float:
        return base - height * value / top

    parts = [f'<text x="{left}" y="30" font-weight="bold">{title}</text>']
    for step in range(5):
        value = top * step / 4
        parts.append(f'<line x1="{left}" x2="{left + width}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    for agents in sizes:
        parts.append(f'<text x="{x(agents):.1f}" y="{base + 18}" text-anchor="middle">{agents + 1}</text>')
    parts.append(f'<text x="{left}" y="{base + 18}" text-anchor="middle">hosts</text>')
    for tool, color in COLORS.items():
        points = [(x(agents), found) for agents in sizes if (found := values(agents, tool))]
        for (x1, first), (x2, second) in pairwise(points):
            ends = f'x1="{x1:.1f}" y1="{y(median(first)):.1f}" x2="{x2:.1f}" y2="{y(median(second)):.1f}"'
            parts.append(f'<line {ends} style="stroke:{color};stroke-width:2"/>')
        for at, found in points:
            ends = f'x1="{at:.1f}" x2="{at:.1f}" y1="{y(min(found)):.1f}" y2="{y(max(found)):.1f}"'
            parts.append(f'<line {ends} style="stroke:{color}"/>')
            parts.append(f'<circle cx="{at:.1f}" cy="{y(median(found)):.1f}" r="3.5" fill="{color}"/>')
    return parts


def page(runs: Sequence[Run], counts: Sequence[Counts], facts: dict[str, str], image: str, previous: str = "") -> str:
    """Return docs/performance.md. facts: label -> value. previous: the old page, whose text below the mark is kept."""
    small = "" if all(one.agents <= MANY for one in runs) else SMALL_IMAGE
    parts = [
        "# Performance",
        INTRODUCTION + small,
        table(("", ""), [[f"**{label}**", value] for label, value in facts.items()]),
        "## Figures",
        figures_table(figures(runs, counts)),
        "## Measurements",
        runs_table(runs),
        f"![Wall time and controller CPU of runs without changes, by number of hosts]({image})",
        MARK,
    ]
    return "\n\n".join(parts) + (previous.partition(MARK)[2] or "\n")
