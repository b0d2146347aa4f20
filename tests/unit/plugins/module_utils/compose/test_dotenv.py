"""The text of a .env file. That Compose reads it so is shown by tests/integration/test_compose_stack.py."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import dotenv


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("testnet", "testnet"),
        ("http://10.0.0.1:8080/x?a=b&c=%20", "http://10.0.0.1:8080/x?a=b&c=%20"),
        ("0xAb", "0xAb"),
        ("a b", '"a b"'),
        ("#x", '"#x"'),
        ("a$b", '"a$$b"'),
        ("${A}", '"$${A}"'),
        ("'", '"\'"'),
        ('"', '"\\0042"'),
        ('"5', '"\\00425"'),
        ("\\", '"\\0134"'),
        ("\\n", '"\\0134n"'),
        ("a\n", '"a\\n"'),
        ("\r\n\t", '"\\r\\n\\t"'),
        ("\x01\x7f", '"\\0001\\0177"'),
        ("é猫", '"é猫"'),
    ],
)
def test_encode_value(value, written):
    assert dotenv.encode_value(value) == written


def test_encode_is_sorted_and_one_line_each():
    assert dotenv.encode({"B": "x\ny", "A": "1"}) == 'A=1\nB="x\\ny"\n'


def test_written_values_have_no_quote_or_backslash_that_parsers_read_differently():
    written = dotenv.encode_value("".join(map(chr, range(1, 256))))
    inside = written[1:-1]
    assert '"' not in inside
    escapes = {inside[at + 1] for at, character in enumerate(inside) if character == "\\"}
    assert escapes <= set("0nrt")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("A", "", "A is empty"),
        ("A", None, "A is empty"),
        ("A", ["x"], "A is a list"),
        ("A", {"x": 1}, "A is a dict"),
        ("A", "x\0y", "NUL"),
        ("A", "\udc80", "UTF-8"),
        ("A-B", "x", "no name"),
        ("1A", "x", "no name"),
        ("A\n", "x", "no name"),
        ("", "x", "no name"),
        (1, "x", "no name"),
        ("A", "x", None),
        ("_a1", 5, None),
        ("A", False, None),
        ("A", 0, None),
    ],
)
def test_problem(key, value, said):
    found = dotenv.problem(key, value)
    assert found is None if said is None else said in found and "\n" not in found


def test_problem_never_says_the_value():
    assert "hunter2" not in dotenv.problem("A", ["hunter2"])


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (5, "5"), (0.5, "0.5"), ("x", "x")])
def test_as_text(value, text):
    assert dotenv.as_text(value) == text


def test_lines_by_key():
    assert dotenv.lines_by_key('# no\nA=1\n\nB="x"\nnonsense\n') == {"A": "A=1", "B": 'B="x"'}
