# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tables on terminals of several widths."""

from __future__ import annotations

from collections import Counter

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem, problem_table, table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.differences import plan_text
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.fit_tables import fit_tables
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.fleet_status import Report, report_table
from hypothesis import given, settings
from hypothesis import strategies as st

COMMON = ("aztec:4.1.2 889bec0bb79b", "running", "0", "healthy", "4.1.2")
STATUS = report_table(
    Report(
        rows=[
            ("node-1", "prover_node", *COMMON, "-", "-", "watched", "17 of 17, 15 proven", "ok"),
            ("agent-1", "prover_agent", *COMMON, "proving", "1 s ago", "watched", "-", "-"),
        ],
        problems=[("agent-1", "prover_agent", "does not have a container: run site.yml")],
        notes=[("node-1", "prover_broker", "is starting, for 5 min now")],
    )
)
PROBLEMS = problem_table(
    [
        Problem(
            "node-1",
            "prover_broker_publish_addresses",
            "is 0.0.0.0, which publishes the broker on all addresses of the host",
            "set it to the addresses that the agents use",
        ),
        Problem("agent-1", "aztec_version", "is empty", "set it", "warning"),
    ]
)
PLAN = (
    plan_text(
        {
            "node-1": {"guard": ["change the section prover_broker: admit 10.0.0.7, 10.0.0.8 and 10.0.0.9"]},
            "agent-1": {"prover_agent": ["set up /opt/aztec/prover-agent", "start the agent"]},
        }
    )
    + "\n"
)
URL = "https://ethereum-1.example.org:8545/rpc/0123456789abcdef"
CLIENTS = table(
    [("node-1", URL, "ok"), ("node-1", "http://10.0.0.5:3500/eth/v1/beacon", "FAILED")], ("HOST", "URL", "STATUS")
)

STATUS_BLOCKS = """\
HOST         node-1
COMPONENT    prover_node
IMAGE        aztec:4.1.2 889bec0bb79b
STATE        running
RESTARTS     0
HEALTH       healthy
VERSION      4.1.2
AGENTS       -
BROKER SEEN  -
GUARD        watched
BLOCK        17 of 17, 15 proven
ROLLUP       ok

HOST         agent-1
COMPONENT    prover_agent
IMAGE        aztec:4.1.2 889bec0bb79b
STATE        running
RESTARTS     0
HEALTH       healthy
VERSION      4.1.2
AGENTS       proving
BROKER SEEN  1 s ago
GUARD        watched
BLOCK        -
ROLLUP       -
"""
STATUS_REST = STATUS.partition("\n\n")[2]
STATUS_REST_40 = """\
HOST    COMPONENT      NOTE
------  -------------  -----------------
node-1  prover_broker  is starting, for
                         5 min now

HOST     COMPONENT     PROBLEM
-------  ------------  -----------------
agent-1  prover_agent  does not have a
                         container: run
                         site.yml"""
PROBLEMS_100 = """\
HOST     VARIABLE                         WHAT IS WRONG                 WHAT TO DO
-------  -------------------------------  ----------------------------  ----------------------------
node-1   prover_broker_publish_addresses  is 0.0.0.0, which publishes   set it to the addresses that
                                            the broker on all             the agents use
                                            addresses of the host
agent-1  aztec_version                    (warning) is empty            set it"""
PROBLEMS_80 = """\
HOST     VARIABLE                         WHAT IS WRONG       WHAT TO DO
-------  -------------------------------  ------------------  ------------------
node-1   prover_broker_publish_addresses  is 0.0.0.0, which   set it to the
                                            publishes the       addresses that
                                            broker on all       the agents use
                                            addresses of the
                                            host
agent-1  aztec_version                    (warning) is empty  set it"""
PROBLEMS_40 = """\
HOST           node-1
VARIABLE
  prover_broker_publish_addresses
WHAT IS WRONG  is 0.0.0.0, which
                 publishes the broker on
                 all addresses of the
                 host
WHAT TO DO     set it to the addresses
                 that the agents use

HOST           agent-1
VARIABLE       aztec_version
WHAT IS WRONG  (warning) is empty
WHAT TO DO     set it"""
PLAN_80 = """\
HOST     PART        CHANGE
-------  ----------  -----------------------------------------------------------
node-1   port guard  change the section prover_broker: admit 10.0.0.7, 10.0.0.8
                       and 10.0.0.9
agent-1  agent       set up /opt/aztec/prover-agent
                     start the agent
"""
PLAN_40 = """\
HOST    node-1
PART    port guard
CHANGE  change the section
          prover_broker: admit 10.0.0.7,
          10.0.0.8 and 10.0.0.9

HOST    agent-1
PART    agent
CHANGE  set up /opt/aztec/prover-agent
        start the agent
"""
EIGHT = table([("1", "one two three four", "one two three four")], ("NUMBER", "SOME", "OTHER"))
EIGHT_26 = """\
NUMBER  SOME      OTHER
------  --------  --------
1       one two   one two
          three     three
          four      four"""
EIGHT_25 = """\
NUMBER  1
SOME    one two three
          four
OTHER   one two three
          four"""
# The first URL is longer than the line, and the second one is longer than a column next to the heads.
CLIENTS_40 = f"""\
HOST    node-1
URL
{URL}
STATUS  ok

HOST    node-1
URL
  http://10.0.0.5:3500/eth/v1/beacon
STATUS  FAILED"""


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        pytest.param(STATUS, 200, STATUS, id="status, 200"),
        pytest.param(STATUS, 100, f"{STATUS_BLOCKS}\n{STATUS_REST}", id="status, 100"),
        pytest.param(STATUS, 80, f"{STATUS_BLOCKS}\n{STATUS_REST}", id="status, 80"),
        pytest.param(STATUS, 40, f"{STATUS_BLOCKS}\n{STATUS_REST_40}", id="status, 40"),
        pytest.param(PROBLEMS, 200, PROBLEMS, id="problems, 200"),
        pytest.param(PROBLEMS, 100, PROBLEMS_100, id="problems, 100"),
        pytest.param(PROBLEMS, 80, PROBLEMS_80, id="problems, 80"),
        pytest.param(PROBLEMS, 40, PROBLEMS_40, id="problems, 40"),
        pytest.param(PLAN, 100, PLAN, id="plan, 100"),
        pytest.param(PLAN, 80, PLAN_80, id="plan, 80"),
        pytest.param(PLAN, 40, PLAN_40, id="plan, 40"),
        pytest.param(CLIENTS, 80, CLIENTS, id="URLs, 80"),
        pytest.param(CLIENTS, 40, CLIENTS_40, id="URLs, 40"),
        pytest.param(f"\n{PLAN}\n{PLAN}", 80, f"\n{PLAN_80}\n{PLAN_80}", id="two tables"),
        pytest.param(f"Before:\n{PLAN}After: {URL}", 40, f"Before:\n{PLAN_40}After: {URL}", id="text around a table"),
        pytest.param(EIGHT, 26, EIGHT_26, id="columns of 8"),
        pytest.param(EIGHT, 25, EIGHT_25, id="columns of 7"),
        pytest.param("A  B\n-  -\n   1", 3, "A\nB\n  1", id="the first row has an empty first cell"),
        pytest.param("A  B\n-  -", 3, "A\nB", id="only heads"),
    ],
)
def test_tables(text: str, width: int, shown: str) -> None:
    assert fit_tables(text, width) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"a long line {'with words ' * 20}",
        "-----  -----",
        "\n-----  -----",
        "HOST\n" + "-" * 60,
        "HOST         STATE\n-----  -----\nnode   ok",
        "HOST\n-----  -----\nnode   ok",
        "--- before\n+++ after\n@@ -1 +1 @@",
    ],
)
@pytest.mark.parametrize("width", [1, 40])
def test_other_text_is_returned_as_it_is(text: str, width: int) -> None:
    assert fit_tables(text, width) == text


@pytest.mark.parametrize("width", range(1, 40))
def test_narrow_terminals(width: int) -> None:
    """Each word of a table is in the output, whole, at each width."""
    assert set(PROBLEMS.split()) - set(fit_tables(PROBLEMS, width).split()) <= {"-" * length for length in range(1, 99)}


PRINTABLE = st.characters(min_codepoint=33, max_codepoint=126)
# Mostly short words, so that tables are wrapped too, and some that need a whole line.
WORDS = st.one_of(
    *[st.text(PRINTABLE, min_size=1, max_size=6)] * 4,
    st.text(PRINTABLE, min_size=1, max_size=4).map(lambda text: text * 10),
)
CELLS = st.lists(WORDS, max_size=10).map(" ".join)
TEXTS = st.integers(2, 8).flatmap(
    lambda columns: st.tuples(
        st.lists(CELLS.filter(bool), min_size=columns, max_size=columns),
        st.lists(st.lists(CELLS, min_size=columns, max_size=columns).filter(any), max_size=3),
    )
)


def is_in_order(words: list, of: list) -> bool:
    """Return whether words are in another list in this order, with others between them."""
    rest = iter(of)
    return all(word in rest for word in words)


@settings(max_examples=100, deadline=None)
@given(heads_and_rows=TEXTS, width=st.integers(40, 220))
def test_nothing_is_lost(heads_and_rows: tuple, width: int) -> None:
    """No line is wider than the width, and the words of each cell are there in their order."""
    heads, rows = heads_and_rows
    text = f"Before.\n\n{table(rows, heads)}\n\nAfter."
    fitted = fit_tables(text, width)
    lines = fitted.split("\n")
    assert max(map(len, lines)) <= width
    assert lines[:2] + lines[-2:] == ["Before.", "", "", "After."]
    assert fit_tables(fitted, width) == fitted
    cells = [cell.split() for row in (heads, *rows) for cell in row]
    assert all(is_in_order(cell, fitted.split()) for cell in cells)
    assert not Counter(word for cell in cells for word in cell) - Counter(fitted.split())
    if max(map(len, text.split("\n"))) <= width:
        assert fitted == text
