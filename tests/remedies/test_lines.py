"""Which lines are read from code, by form: a line that is not found would need no test of its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.remedies.lines import Line, line_of, lines, module_lines


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('def f(x):\n    return f"{x} is not a port", "give a number"', ["{} is not a port: give a number"]),
        ('def f(x):\n    return (f"{x} is" if x else "is so"), "do it so"', ["{} is: do it so", "is so: do it so"]),
        (
            'def f(self, x):\n    wrong = "is not set"\n    self.add(x, "name", (wrong, "set it now"))',
            ["is not set: set it now"],
        ),
        ('def f(h):\n    return Problem(h, "v", "is wrong", "put it right")', ["is wrong: put it right"]),
        ('def f(h):\n    return ClientProblem(wrong="is wrong", remedy="put it right")', ["is wrong: put it right"]),
        ("def f(one):\n    return Problem(one.host, one.variable, one.wrong, one.remedy)", []),
        ('def f(found):\n    return f"entry {found[0]}", found[1]', []),
        ('def f(found):\n    return found[0], f"{found[1]}, and set b: true"', ["{}: {}, and set b: true"]),
        ('def f(x):\n    raise ValueError(f"{x} is gone: run it again")', ["{} is gone: run it again"]),
        ('def f(x):\n    raise Failed("there must be one of them")', ["there must be one of them"]),
        ('def f(x):\n    raise ValueError("there must be one of them")', []),
        ('def f(x):\n    module.fail_json(msg=f"{x} is gone: run it again")', ["{} is gone: run it again"]),
        ('NONE = "it is gone: run it again"\ndef f():\n    raise ValueError(NONE)', ["it is gone: run it again"]),
        ('def f(x):\n    """Report what is wrong: and what to do."""\n    return x', []),
        # What a name stands for is what was assigned last, on each path there.
        (
            'def f(x):\n    if x:\n        why, how = "is a", "do b now"\n'
            '    else:\n        why, how = "is c", "do d now"\n    return Problem(x, x, why, how)',
            ["is a: do b now", "is c: do d now"],
        ),
        (
            'def f(x):\n    why = "is a"\n    if x:\n        return why, "do b now"\n'
            '    why = "is c"\n    return why, "do d now"',
            ["is a: do b now", "is c: do d now"],
        ),
        ('def f(x):\n    how = "do a"\n    how += " and b"\n    return "is wrong", how', ["is wrong: do a and b"]),
        (
            'def f(x):\n    how = "do a now"\n    if x:\n        how += " and b"\n    return "is wrong", how',
            ["is wrong: do a now and b", "is wrong: do a now"],
        ),
        # Remedies of a table, and those that another function returns.
        (
            'HOW = {"a": "do a now", "b": "do b now"}\ndef f(x):\n    return ClientProblem(x, HOW.get(x, "do c now"))',
            ["{}: do a now", "{}: do b now", "{}: do c now"],
        ),
        (
            'def how(x):\n    if x:\n        return f"set a to {x} again"\n    return ""\n'
            'def f(x):\n    return f"{x} is wrong: {how(x)}"',
            ["{} is wrong: set a to {} again"],
        ),
        (
            'from a.plugins.b import module\nHOW = "put it right"\n'
            'def f(x):\n    return x.add(("is wrong", module.HOW), ("is so", x.how))',
            ["is wrong: put it right"],
        ),
        ("RUN = 'x\\necho \"$one is wrong: fix the source\" >&2\\n'", ["{} is wrong: fix the source"]),
    ],
)
def test_shapes(code: str, found: list[str], tmp_path: Path) -> None:
    path = tmp_path / "plugins/b/module.py"
    path.parent.mkdir(parents=True)
    path.write_text(code, encoding="utf-8")
    assert sorted(line.text for line in module_lines(path)) == sorted(found)


def test_the_most_fixed_line_is_that_of_a_text() -> None:
    known = [
        Line("{}: {}", "a"),
        Line("{} is not a port: give a number", "b"),
        Line("is not a port: give a number", "c"),
    ]
    found = line_of("node-1 x is not a port: give a number", known)
    assert found and found.place == "b"
    assert line_of("something else", known) is None


def test_the_product_has_lines() -> None:
    """A lower number of lines means that a form of code is no longer recognized."""
    found = lines()
    assert len(found) > 400
    assert {line.place.partition(".")[0] for line in found} >= {
        "addresses",
        "publishers",
        "host_checks",
        "l1_client_checks",
        "fleet_status",
    }
