"""No setting without a test: each changes exactly the arguments in the golden file, or has a test elsewhere.

settings.yml gives for each option a value other than its default, or the test that covers it. All values are rendered
in one run. `pytest tests/rendered --update-golden` writes golden/settings.txt again; read the difference before it is
committed.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import ROLES, read_specs

from tests.rendered.settings import changed, render

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden" / "settings.txt"
SPECS = read_specs(ROLES)
SETTINGS: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "settings.yml").read_text())
ELSEWHERE = {name: row["test"] for name, row in SETTINGS.items() if "test" in row}
VALUES = {name: row["value"] for name, row in SETTINGS.items() if "value" in row}


def as_text(option: str, value: object, changes: dict[str, Any]) -> str:
    """Return what a setting changes as lines."""
    lines = [f"{path} = {json.dumps(new) if new is not None else 'gone'}" for path, new in changes.items()]
    return "\n    ".join([f"{option}: {json.dumps(value)}", *lines]) + "\n"


def test_every_option_has_a_row() -> None:
    """There is a row for each option of each role, and no other row."""
    assert list(SETTINGS) == [name for options in SPECS.options.values() for name in options]
    assert [name for name in SETTINGS if (name in VALUES) == (name in ELSEWHERE)] == []


@pytest.mark.parametrize("option", VALUES)
def test_the_value_is_not_the_default(option: str) -> None:
    """The tested value differs from the default. Every part of an option with parts is tested."""
    spec = SPECS.options[SPECS.owner(option)][option]
    assert spec.get("default") != VALUES[option]
    if "options" in spec:
        assert [set(entry) for entry in VALUES[option]] == [set(spec["options"])]


def test_each_setting_changes_what_it_is_for_and_nothing_else(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The arguments for modules and other roles differ only as in the golden file."""
    seen = render({"": {}, **{option: {option: value} for option, value in VALUES.items()}}, tmp_path)
    changes = {option: changed(seen[""], seen[option]) for option in VALUES}
    assert [option for option, found in changes.items() if not found] == []
    text = "\n".join(as_text(option, VALUES[option], found) for option, found in changes.items())
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text.splitlines() == GOLDEN.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(("option", "test"), ELSEWHERE.items())
def test_the_test_elsewhere_exists_and_names_the_option(option: str, test: str) -> None:
    """The named test exists, and its file contains the option's name."""
    file, _colons, function = test.partition("::")
    text = (ROOT / file).read_text(encoding="utf-8")
    assert option in text
    assert function in [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
