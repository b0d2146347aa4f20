"""Draw docs/monitoring.svg, the main panels of the dashboard with data of the lab: python -m tests.harness.picture.

The lab's fleet has to run with its monitor, as `KEEP_FLEET=1 tests/run monitor_faults` leaves it.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import yaml

ROOT = Path(__file__).parents[2]
DATA, PICTURE = ROOT / "roles/prover_monitor/files/dashboard.yml", ROOT / "docs/monitoring.svg"
URL = "http://127.0.0.1:9090/api/v1/query_range"
MONITOR = "monitor-1"
TITLE = "Aztec prover: data of the lab's fleet, Aztec 4.1.2"
# The panels that are drawn, in the order of the dashboard.
TITLES = (
    "Balance",
    "Queue by type of job",
    "Jobs in work by type",
    "Time of proving a job, 90th percentile",
    "Idle agents",
    "Jobs resolved per minute",
    "CPU use of hosts",
    "Memory of the programs",
)
# Points of a line, and lines of a panel, with which the others are one more.
POINTS, LINES = 120, 5
# Readable on white, which is the background, and distinguishable with color blindness (Okabe and Ito).
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#555555")
SCALES = {"percentunit": (100, " %"), "bytes": (1e-6, " MB"), "ms": (1e-3, " s"), "ETH": (1, " ETH")}
WIDTH, ROW, LEFT, TOP = 1200, 180, 80, 80
PLOT_WIDTH, PLOT_HEIGHT = 300, 110
# The characters for which the place next to a plot suffices.
LONGEST_LABEL = 26

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One line of a panel: its label, and points of (Unix time, value) without those that have no value."""

    label: str
    points: tuple[Point, ...]

    @property
    def peak(self) -> float:
        """Return the largest value."""
        return max((value for _at, value in self.points), default=0)


def legend(template: str, metric: dict[str, str]) -> str:
    """Return the label of a series, as Grafana fills in the names in double braces. Long ones are shortened."""
    filled = re.sub(r"\{\{(\w+)\}\}", lambda match: metric.get(match.group(1), ""), template).strip()
    label = re.sub(r"(0x[0-9a-fA-F]{4})[0-9a-fA-F]{32}([0-9a-fA-F]{4})", r"\1…\2", filled)
    # Labels often differ only at the end.
    half = LONGEST_LABEL // 2
    return label if len(label) <= LONGEST_LABEL else f"{label[: half - 1]}…{label[-half:]}"


def lines_of(panel: dict[str, Any], answers: dict[str, dict[str, Any]]) -> list[Line]:
    """Return the lines of a panel, the largest first. answers: legend -> answer of Prometheus' query_range.

    Raise ValueError if Prometheus refuses a query.
    """
    factor = SCALES.get(panel["unit"], (1, ""))[0]
    found = []
    for template, answer in answers.items():
        if answer["status"] != "success":
            raise ValueError(f"Prometheus refuses a query: {answer.get('error')}")
        for one in answer["data"]["result"]:
            points = tuple((float(at), float(value) * factor) for at, value in one["values"])
            kept = tuple(point for point in points if math.isfinite(point[1]))
            found.append(Line(legend(template, one["metric"]), kept))
    found = sorted((line for line in found if line.points), key=lambda line: (-line.peak, line.label))
    return with_others(found, summed=bool(panel.get("stack")))


def with_others(lines: Sequence[Line], *, summed: bool) -> list[Line]:
    """Return the first lines, and the others as one line: their sum, or their largest value."""
    if len(lines) <= LINES + 1:
        return list(lines)
    values: dict[float, list[float]] = {}
    for line in lines[LINES:]:
        for at, value in line.points:
            values.setdefault(at, []).append(value)
    label = f"{'sum' if summed else 'largest'} of {len(lines) - LINES} others"
    return [*lines[:LINES], Line(label, tuple((at, (sum if summed else max)(values[at])) for at in sorted(values)))]


def round_up(value: float) -> float:
    """Return the smallest 1, 2, 2.5 or 5 times a power of ten that is not below a value."""
    if value <= 0:
        return 1
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * 0.999)


def parts_of(points: Sequence[Point], gap: float) -> Iterable[list[Point]]:
    """Yield runs of points that are at most `gap` seconds apart: where data is missing, the line is interrupted."""
    part: list[Point] = []
    for point in points:
        if part and point[0] - part[-1][0] > gap:
            yield part
            part = []
        part.append(point)
    if part:
        yield part


def spread(wanted: Sequence[float], distance: float, lowest: float) -> list[float]:
    """Return positions near the wanted ones, in their order, at least a distance apart and not below `lowest`."""
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    placed = [0.0] * len(wanted)
    last = -math.inf
    for number in order:
        last = placed[number] = max(wanted[number], last + distance)
    for number, limit in zip(reversed(order), (lowest - distance * step for step in range(len(order)))):
        placed[number] = min(placed[number], limit)
    return placed


def number_text(value: float) -> str:
    """Return a number without trailing zeros."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def panel_elements(panel: dict[str, Any], lines: Sequence[Line], start: float, end: float, x: int, y: int) -> list[str]:
    """Return the SVG elements of a panel at a place."""
    unit = SCALES.get(panel["unit"], (1, ""))[1]
    top = round_up(max((line.peak for line in lines), default=1))

    def across(at: float) -> float:
        return x + PLOT_WIDTH * (at - start) / (end - start)

    def down(value: float) -> float:
        return y + PLOT_HEIGHT * (1 - value / top)

    parts = [f'<text x="{x}" y="{y - 12}" class="head">{escape(panel["title"])}</text>']
    for step in range(3):
        value = top * step / 2
        at = down(value)
        parts.append(f'<path d="M{x} {at:.1f}h{PLOT_WIDTH}" class="grid"/>')
        parts.append(f'<text x="{x - 6}" y="{at + 4:.1f}" class="end">{number_text(value)}{unit}</text>')
    for step in range(4):
        at = start + (end - start) * step / 3
        shown = datetime.fromtimestamp(at, timezone.utc).strftime("%H:%M")
        parts.append(f'<text x="{across(at):.0f}" y="{y + PLOT_HEIGHT + 17}" class="middle">{shown}</text>')
    gap = 3 * (end - start) / POINTS
    ends = spread([down(line.points[-1][1]) + 4 for line in lines], 14, y + PLOT_HEIGHT + 4)
    for line, color, place in zip(lines, COLORS, ends):
        for part in parts_of(line.points, gap):
            drawn = " ".join(f"{across(at):.1f},{down(value):.1f}" for at, value in part)
            parts.append(f'<polyline points="{drawn}" stroke="{color}"/>')
        parts.append(f'<text x="{x + PLOT_WIDTH + 8}" y="{place:.1f}" fill="{color}">{escape(line.label)}</text>')
    if not lines:
        parts.append(f'<text x="{x + PLOT_WIDTH // 2}" y="{y + PLOT_HEIGHT // 2}" class="middle">no data</text>')
    return parts


def picture(panels: Sequence[tuple[dict[str, Any], Sequence[Line]]], start: float, end: float) -> str:
    """Return an SVG with two panels in a row. start, end: Unix times of the time axis, which is in UTC."""
    height = TOP + ROW * ((len(panels) + 1) // 2) + 10
    style = (
        "<style>text{font:12px Helvetica,Arial,sans-serif}polyline{fill:none;stroke-width:1.5}.grid{stroke:#d0d7de}"
        ".title{font-size:18px;font-weight:bold;fill:#1f2328}.head{font-size:13px;font-weight:bold;fill:#1f2328}"
        ".end,.middle,.note{fill:#57606a}.end{text-anchor:end}.middle{text-anchor:middle}</style>"
    )
    day = datetime.fromtimestamp(start, timezone.utc).strftime("%Y-%m-%d")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(TITLE)}</title>",
        style,
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#ffffff"/>',
        f'<text x="20" y="28" class="title">{escape(TITLE)}</text>',
        f'<text x="{WIDTH - 20}" y="28" class="end">{day}, times in UTC</text>',
    ]
    for number, (panel, lines) in enumerate(panels):
        place = LEFT + (number % 2) * WIDTH // 2, TOP + ROW * (number // 2)
        parts += panel_elements(panel, lines, start, end, *place)
    return "\n".join([*parts, "</svg>"]) + "\n"


def chosen_panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard that are drawn."""
    panels = [panel for row in yaml.safe_load(DATA.read_text(encoding="utf-8"))["rows"] for panel in row["panels"]]
    by_title = {panel["title"]: panel for panel in panels if panel.get("kind", "timeseries") == "timeseries"}
    return [by_title[title] for title in TITLES]


def draw(query: Callable[[str, float, float, float], dict[str, Any]], start: float, end: float) -> str:
    """Return the picture of a time. query: returns the answer for (expression, start, end, step in seconds)."""
    step = (end - start) / POINTS
    panels = chosen_panels()
    found = []
    for panel in panels:
        answers = {name: query(expression, start, end, step) for name, expression in panel["queries"].items()}
        found.append((panel, lines_of(panel, answers)))
    return picture(found, start, end)


def main() -> None:
    from tests.system.fleet import Fleet

    parser = argparse.ArgumentParser(prog="python -m tests.harness.picture", description=__doc__)
    parser.add_argument("--minutes", type=int, default=30, help="how much time the picture shows, until now")
    minutes = parser.parse_args().minutes
    fleet = Fleet()

    def query(expression: str, start: float, end: float, step: float) -> dict[str, Any]:
        values = {"query": expression, "start": f"{start:.0f}", "end": f"{end:.0f}", "step": f"{step:.0f}"}
        options = [word for name, value in values.items() for word in ("--data-urlencode", f"{name}={value}")]
        answer: dict[str, Any] = json.loads(fleet.execute(MONITOR, ["curl", "-sS", "-G", *options, URL]).out)
        return answer

    end = time.time()
    text = draw(query, end - 60 * minutes, end)
    PICTURE.write_text(text, encoding="utf-8")
    print(f"{PICTURE.relative_to(ROOT)}: {len(text) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
