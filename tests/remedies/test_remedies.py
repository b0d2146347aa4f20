"""Every remedy that the product can print is followed. After that its problem is gone, and there is no new one.

A new line needs one row: `then` in the row of tests/bad_input/tables that has the wrong input already, or a row in one
of the tables next to this file, each of which describes its rows at its top.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.bad_input.harness import rows, written
from tests.remedies import inventories, modules
from tests.remedies.case import Case
from tests.remedies.followed import FOLLOWED, LEADS_ON
from tests.remedies.lines import ROOT, Line, line_of, lines, unused_exceptions
from tests.remedies.tables import TABLES

INVENTORIES = (
    *("fleet", "publisher", "l1", "addresses", "ports", "components"),
    *("environment", "monitoring", "engine", "secrets", "releases", "options"),
)


@cache
def known() -> list[Line]:
    """Return every line of the product."""
    return lines()


def followed_rows(*tables: str) -> list:
    """Return pytest's parameters for the rows of tests/bad_input/tables whose remedies are followed."""
    return [
        pytest.param(row, id=f"{table}-{number}")
        for table in tables
        for number, row in enumerate(rows(table), 1)
        if "then" in row
    ]


def texts_of(table: str, number: int) -> list[str]:
    """Return the lines of a row as "what is wrong: what to do"; those of an inventory have host and variable before."""
    found = written(table)[number - 1]["expected"]
    cells = [" ".join(printed.removesuffix("...").split()).split(" | ") for printed in found]
    return [": ".join(one[2:] if len(one) > 2 else one).removeprefix("(warning) ") for one in cells]


def covered() -> dict[str, str]:
    """Return the text of each line whose remedy a test follows, with that test's name."""
    found: dict = {}
    for table in (*INVENTORIES, "modules", "filters"):
        for number, row in enumerate(rows(table), 1):
            if "then" in row:
                for printed in texts_of(table, number):
                    found.update(dict.fromkeys(_parts_of(printed), f"{table}.yml, row {number}"))
    for name, table in TABLES.items():
        for case in table:
            for printed in case.wrong():
                if case.expected in printed:
                    found.update(dict.fromkeys(_parts_of(printed), f"{name}: {case}"))
    for part, test in [*FOLLOWED, *((part, "leads on") for part in LEADS_ON)]:
        fitting = [line for line in known() if part in line.text]
        assert fitting, f"no line of the product has {part!r} in it any more: remove it from followed.py"
        found.update({line.text: test for line in fitting})
    return found


def _parts_of(printed: str) -> list[str]:
    """Return the texts of the line that was printed, and of the one that it passes on behind words of its own."""
    own = _line(printed).text
    return [line.text for line in known() if own.endswith(line.text)]


def _line(printed: str) -> Line:
    line = line_of(printed, known())
    assert line, f"this is not a line of the product's code: {printed}"
    return line


def test_every_line_has_a_test_that_follows_its_remedy() -> None:
    have = covered()
    missing = [f"{line.place}: {line.text}" for line in known() if line.text not in have]
    assert not missing, f"{len(missing)} of {len(known())} lines have no test of their remedy:\n" + "\n".join(missing)


def test_what_is_called_no_line_is_still_there() -> None:
    assert unused_exceptions() == []


@pytest.mark.parametrize(("part", "test"), FOLLOWED)
def test_a_test_that_is_named_exists(part: str, test: str) -> None:
    path, _colons, name = test.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    assert name in names, f"{test} does not exist, and followed.py has the remedy of {part!r} there"


@pytest.mark.parametrize("row", followed_rows(*INVENTORIES))
def test_inventory(row: dict, tmp_path: Path) -> None:
    variants = [row, *({**row, **fix} for fix in row["then"])]
    found = []
    for number, variant in enumerate(variants):
        folder = tmp_path / str(number)
        folder.mkdir()
        found.append(inventories.shown(variant, folder))
    assert found[0] == sorted(line.replace("INVENTORY", str(tmp_path / "0/inventory")) for line in row["expected"])
    for fix, left in zip(row["then"], found[1:]):
        assert left == [], fix


@pytest.mark.parametrize("row", followed_rows("modules", "filters"))
def test_arguments(row: dict) -> None:
    (wanted,) = row["expected"]
    (name,) = set(row) - {"expected", "then"}
    assert wanted in [modules.problem(name, row[name])], row
    for fix in row["then"]:
        assert modules.problem(name, fix) == "", fix


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{name}-{case}") for name, table in TABLES.items() for case in table]
)
def test_case(case: Case) -> None:
    before = list(case.wrong())
    assert sum(case.expected in line for line in before) == 1, before
    for line in before:
        _line(line)
    for number, cured in enumerate(case.cured):
        assert list(cured()) == [], f"remedy {number}"
    assert case.cured
