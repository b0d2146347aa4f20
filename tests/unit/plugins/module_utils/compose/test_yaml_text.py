"""YAML that is written without a YAML library."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.yaml_text import override_text, yaml_scalar

VALUES = [
    "...",
    ".5",
    "~",
    "0x1",
    "y",
    "---",
    "a b",
    "\x7f\x85\u2028\ufeff",
    "\U0001f408",
    "",
    "plain",
    "a:b",
    "a: b",
    "a #b",
    "#x",
    "- x",
    "yes",
    "No",
    "null",
    "~",
    "1",
    "1.5",
    "1e5",
    "0x10",
    "1_0",
    ".5",
    ".inf",
    "=",
    "<<",
    "!x",
    "&a",
    "*a",
    "%x",
    "@x",
    "`x",
    "{a}",
    "[a]",
    "'x'",
    '"x"',
    " x ",
    "x\ny",
    "x\ty",
    "---",
    "...",
    "a,b",
    "2001-01-01",
    "é猫🐈",
    "\x01\x7f\x85\u2028\ufeff",
    "\\",
    "08",
    "12:30:45",
    "8080:8080",
    "a:",
    ":a",
    "http://x:1/y",
    "/",
    "./x",
    ".env",
    "..",
    "a - b",
    "?",
    "-",
    "x ",
    "on",
    "$$x",
    None,
    True,
    False,
    0,
    -3,
    1.5,
    {},
    [],
    [[]],
    [{}],
    {"a": []},
    [["a", ["b"]], {"c": {"d": [1, {"e": "f", "g": []}]}}],
    {"a b": 1, "yes": 2, "1": 3, "x: y": 4, "": 5},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_yaml_is_read_as_it_was(value: object) -> None:
    assert yaml.safe_load(f"k: {yaml_scalar(value)}") == {"k": value}
    # A mapping that Compose reads has only texts as keys.
    override = {"services": {"s-1": {"x-key": value, str(value): 1}}, "x": {"y": {"z": value}}}
    assert yaml.safe_load(override_text("A header", override)) == override


@pytest.mark.parametrize("text", ["host/aztec:4.1.2", "/srv/aztec:/var/lib/data:ro", "on-failure:3", ".env", "node"])
def test_what_is_plain_text_is_not_quoted(text: str) -> None:
    assert yaml_scalar(text) == text


def test_override_text_has_one_line_for_each_key() -> None:
    override = {"services": {"s": {"cpus": 2, "labels": {"a": "b"}}}}
    assert override_text("Managed", override) == '# Managed\nservices:\n  s:\n    cpus: 2\n    labels: {"a": "b"}\n'
    assert override_text("", override).startswith("services:\n")
