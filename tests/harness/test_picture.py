"""The picture of the dashboard, drawn from answers in the form of Prometheus' query_range."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.harness.picture import (
    POINTS,
    TITLE,
    TITLES,
    chosen_panels,
    draw,
    legend,
    lines_of,
    panel_elements,
    parts_of,
    round_up,
    spread,
)

START = 1795840000.0
# An answer of Prometheus 2.53, cut to two series of three points.
ANSWER: dict[str, Any] = {
    "status": "success",
    "data": {
        "resultType": "matrix",
        "result": [
            {"metric": {"host_name": "agent-1"}, "values": [[START, "0.25"], [START + 15, "0.5"], [START + 30, "0.7"]]},
            {"metric": {"host_name": "agent-2"}, "values": [[START, "1"], [START + 15, "NaN"], [START + 30, "0"]]},
        ],
    },
}
NOTHING = {"status": "success", "data": {"resultType": "matrix", "result": []}}
CPU = {"title": "CPU use of hosts", "unit": "percentunit"}


def answer(count: int, **labels: str) -> dict[str, Any]:
    """Return an answer with this many series, the n-th with the values n and 2n."""
    result = [
        {"metric": {"name": f"s{number}", **labels}, "values": [[START, str(number)], [START + 15, str(2 * number)]]}
        for number in range(1, count + 1)
    ]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def test_the_panels_are_those_of_the_dashboard() -> None:
    assert [panel["title"] for panel in chosen_panels()] == list(TITLES)


def test_a_picture_contains_title_time_axis_and_labels() -> None:
    queries = []

    def query(expression: str, start: float, end: float, step: float) -> dict[str, Any]:
        queries.append((expression, start, end, step))
        return ANSWER

    text = draw(query, START, START + 1800)
    root = ElementTree.fromstring(text)
    shown = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert {TITLE, *TITLES, "agent-1", "agent-2", "100 %", "04:46"} <= set(shown)
    assert {one[1:] for one in queries} == {(START, START + 1800, 1800 / POINTS)}
    assert len(text) < 100_000
    # Readable on a dark page: the background is part of the picture.
    assert re.search(r'<rect width="1200" height="\d+" rx="10" fill="#ffffff"/>', text)


def test_a_picture_of_full_panels_is_small() -> None:
    values = [[START + 15 * number, f"{number % 7}.123456"] for number in range(POINTS + 1)]
    result = [{"metric": {"aztec_proving_job_type": f"TYPE_{one}"}, "values": values} for one in range(20)]
    full = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    assert len(draw(lambda *_arguments: full, START, START + 1800)) < 100_000


def test_lines_have_the_unit_of_the_axis_and_no_missing_values() -> None:
    second, first = sorted(lines_of(CPU, {"{{host_name}}": ANSWER}), key=lambda line: line.peak)
    assert (first.label, first.points) == ("agent-2", ((START, 100.0), (START + 30, 0.0)))
    assert (second.label, second.peak) == ("agent-1", 70.0)


@pytest.mark.parametrize(
    ("stack", "label", "points"),
    [
        (True, "sum of 2 others", ((START, 3.0), (START + 15, 6.0))),
        (False, "largest of 2 others", ((START, 2.0), (START + 15, 4.0))),
    ],
)
def test_many_lines(stack: bool, label: str, points: tuple) -> None:
    lines = lines_of({"unit": "short", "stack": stack}, {"{{name}}": answer(7)})
    assert [line.label for line in lines] == ["s7", "s6", "s5", "s4", "s3", label]
    assert lines[-1].points == points
    assert len(lines_of({"unit": "short", "stack": stack}, {"{{name}}": answer(6)})) == 6


def test_a_panel_without_data() -> None:
    assert lines_of(CPU, {"{{host_name}}": NOTHING}) == []
    assert any(">no data<" in part for part in panel_elements(CPU, [], START, START + 60, 0, 0))


def test_a_refused_query() -> None:
    refused = {"status": "error", "errorType": "bad_data", "error": "parse error"}
    with pytest.raises(ValueError, match="parse error"):
        lines_of(CPU, {"": refused})


def test_labels() -> None:
    sender = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
    metric = {"job": "aztec-prover-agent", "host_name": "agent-1", "sender": sender}
    assert legend("{{job}} {{host_name}}", metric) == "aztec-prover-agent agent-1"
    assert legend("{{sender}}", metric) == "0x3C44…93BC"
    assert legend("resolved", metric) == "resolved"
    assert legend("CHECKPOINT_ROOT_SINGLE_BLOCK_ROLLUP", metric) == "CHECKPOINT_R…_BLOCK_ROLLUP"


def test_a_line_is_interrupted_where_data_is_missing() -> None:
    points = [(0.0, 1.0), (15.0, 1.0), (90.0, 1.0), (105.0, 1.0)]
    assert list(parts_of(points, 45)) == [points[:2], points[2:]]
    assert list(parts_of([], 45)) == []


@pytest.mark.parametrize(("value", "top"), [(0, 1), (0.7, 1), (1, 1), (1.2, 2), (2.3, 2.5), (30, 50), (99, 100)])
def test_the_top_of_an_axis(value: float, top: float) -> None:
    assert round_up(value) == pytest.approx(top)


def test_labels_at_the_same_place_are_spread() -> None:
    placed = spread([100, 100, 20, 99], 14, 104)
    assert placed[2] == 20
    assert sorted(placed[:2] + placed[3:]) == [76, 90, 104]
