"""lab/record: the output of a command in a pseudo terminal, as an SVG that is the same on each machine."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab.fleet.settings import LabError
from lab.record import ROOT, SESSIONS, displayed, environment, record, render
from lab.terminal import run

SVG = "{http://www.w3.org/2000/svg}"
RED, END = "\x1b[0;31m", "\x1b[0m"


def texts(svg: str) -> list[tuple[float, float, str]]:
    """Return position and content of each text of an SVG."""
    found = [one for one in ElementTree.fromstring(svg).iter(f"{SVG}text") if one.get("textLength")]
    return [(float(one.get("x")), float(one.get("y")), (one.text or "").replace("\xa0", " ")) for one in found]


def test_a_command_runs_in_a_terminal(tmp_path: Path) -> None:
    code = "import os, sys; print(sys.stdout.isatty(), os.get_terminal_size().columns, os.getcwd()); sys.exit(3)"
    output, ended = run(f"python -c '{code}'", tmp_path, environment(), columns=77)
    assert (output, ended) == (f"True 77 {tmp_path}\r\n", 3)


def test_prompts_get_answers(tmp_path: Path) -> None:
    code = "from getpass import getpass; print([getpass(one) for one in ('First: ', 'Then (hidden):')])"
    given = {"First:": "a b", r"\(hidden\):": "c"}
    output, ended = run(f'python -c "{code}"', tmp_path, environment(), answers=given)
    assert ended == 0 and output.endswith("['a b', 'c']\r\n"), output


def test_a_command_that_does_not_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match=r"did not end in 1 s: x\r\n$"):
        run("sh -c 'echo x; sleep 60'", tmp_path, environment(), seconds=1)


def test_paths_of_this_machine_get_other_names() -> None:
    names = (("/tmp/x/prover", "~/prover"), ("/srv/checkout", "~/prover"))
    output = "wrote /tmp/x/prover/a.yml\r\n10 %\r100 %\r\nhttps://l1.example/home/x, see /srv/checkout/b\r\n"
    assert displayed(output, names) == (
        "wrote ~/prover/a.yml\n100 %\nhttps://l1.example/home/x, see ~/prover/b"
    )


@pytest.mark.parametrize("path", ["/root/.ansible/x", "/home/me/prover", "/tmp/y/z", "'/work/x/site.yml'"])
def test_other_paths_of_this_machine_are_refused(path: str) -> None:
    with pytest.raises(LabError, match=f"contains {path.strip(chr(39))}, a path of this machine"):
        displayed(f"error in {path}: x", ())


def test_svg_has_each_line_at_its_place() -> None:
    """One line is below the other, and an indented text begins at its column. Markup in the output is text."""
    svg = render("x", "A <title>", [("ls", f"{RED}HOST  a & b{END}\n      <c>\n"), ("true", "")], columns=40)
    found = texts(svg)
    assert [text for _x, _y, text in found] == ["$ ls", "HOST  a & b", "<c>", "$ true"]
    assert [round(x / 12.2) for x, _y, _text in found] == [0, 0, 6, 0]
    ys = [y for _x, y, _text in found]
    assert ys == sorted(set(ys))
    assert "A&#160;&lt;title&gt;" in svg


def test_svg_is_the_same_each_time_and_loads_nothing() -> None:
    steps = [("ls", f"{RED}a{END}\nb")]
    svg = render("x", "A title", steps)
    assert svg == render("x", "A title", steps)
    assert set(re.findall(r"https?://[^\"') ]+", svg)) == {"http://www.w3.org/2000/svg"}
    red, plain = (re.search(rf'class="(x-r\d)"[^>]*>{one}<', svg)[1] for one in "ab")
    assert red != plain


def test_the_documentation_has_the_recorded_preflight() -> None:
    """Run lab/record preflight to update it."""
    assert (ROOT / "docs/preflight.svg").read_text(encoding="utf-8") == record("preflight", SESSIONS["preflight"])


def test_recorded_sessions_of_the_documentation_name_no_machine() -> None:
    for path in (ROOT / "docs").glob("*.svg"):
        for _x, _y, text in texts(path.read_text(encoding="utf-8")):
            displayed(text, ())
