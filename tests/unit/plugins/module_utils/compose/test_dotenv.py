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
def test_dotenv(value, written):
    assert dotenv.dotenv(value) == written


def test_parse_reads_what_dotenv_writes() -> None:
    values = {"A": "1", "B": "x\ny", "_c": "".join(map(chr, range(1, 0x3000))), "D": "=", "E": "\\0042 \\n $$"}
    text = "# A comment\n\n" + "".join(f"{name}={dotenv.dotenv(value)}\n" for name, value in values.items())
    assert dotenv.parse(text) == values


NOT_NAME_VALUE = "line 2 of env is not NAME=value: encode each value with the filter dotenv"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\nhunter2", NOT_NAME_VALUE),
        ("\nA-B=hunter2", NOT_NAME_VALUE),
        ("\nA=hunter 2", NOT_NAME_VALUE),
        ("\nA='hunter2'", NOT_NAME_VALUE),
        ('\nA="hunter2', NOT_NAME_VALUE),
        ('\nA="hunter2"', NOT_NAME_VALUE),
        ('\nA="hunter\\x2"', NOT_NAME_VALUE),
        ("A=1\n =2", NOT_NAME_VALUE),
        ("A=hunter2\nA=2", "A is set more than once in env: remove all but one"),
        ("A=", "A is empty in env: set a value or omit it, an empty variable counts as set"),
        ('A="\\0000"', "A contains a NUL character: remove it, an environment variable cannot contain one"),
        ('A="\udc80"', "A is not valid UTF-8: Compose reads its files as UTF-8"),
    ],
)
def test_parse_rejects_other_lines_and_never_quotes_a_value(text: str, line: str) -> None:
    with pytest.raises(ValueError) as caught:
        dotenv.parse(text)
    assert str(caught.value) == line


def test_written_values_have_no_quote_or_backslash_that_parsers_read_differently():
    written = dotenv.dotenv("".join(map(chr, range(1, 256))))
    inside = written[1:-1]
    assert '"' not in inside
    escapes = {inside[at + 1] for at, character in enumerate(inside) if character == "\\"}
    assert escapes <= set("0nrt")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("A", "x\0y", "NUL"),
        ("A", "\udc80", "UTF-8"),
        ("A-B", "x", "not a name"),
        ("1A", "x", "not a name"),
        ("A\n", "x", "not a name"),
        ("", "x", "not a name"),
        (1, "x", "not a name"),
        ("A", "x", None),
        ("_a1", "5", None),
    ],
)
def test_check_variable(key, value, words):
    if words is None:
        dotenv.check_variable(key, value)
        return
    with pytest.raises(ValueError, match=words) as caught:
        dotenv.check_variable(key, value)
    assert "\n" not in str(caught.value)


def test_lines_by_key():
    assert dotenv.lines_by_key('# no\nA=1\n\nB="x"\nnonsense\n') == {"A": "A=1", "B": 'B="x"'}
    assert dotenv.lines_by_key('A="\x85\u2028B=1"\n') == {"A": 'A="\x85\u2028B=1"'}
