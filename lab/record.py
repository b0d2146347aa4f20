"""Record the sessions of the documentation: run commands in a pseudo terminal, and write their output as an SVG.

The renderer is that of rich, which molecule requires.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from lab.fleet.settings import ROOT, LabError
from lab.terminal import run

COLUMNS = 120
# The name of the folder in the recorded output.
SHOWN = "~/prover"
# rich's own format loads its font from the internet.
FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: Helvetica, Arial, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
# The width of a character in rich's format
WIDTH = 12.2
BREAK = re.compile(r"<text [^>]*>\n</text>")
INDENTED = re.compile(r'(<text [^>]*?)x="([0-9.]+)"([^>]*?)textLength="([0-9.]+)"([^>]*>)((?:&#160;)+)')
# Mistakes in the example's inventory, each a text and its replacement.
MISTAKES = {
    "hosts.yml": (
        ("aztec_address: 10.0.0.22", "aztec_address: 10.0.0.21"),
        ("# prover_agent_count: auto", "prover_agent_cuont: auto"),
    ),
    "group_vars/all/main.yml": (
        ("aztec_network: mainnet", "aztec_network: mainet"),
        ("https://l1.example", "l1.lan:8545"),
        ("https://beacon.example", "https://beacon.lan/eth/v1"),
    ),
}


@dataclass(frozen=True)
class Session:
    """A session to record. code: the exit code of its last command. fleet: whether it runs on the lab's machines."""

    title: str
    commands: tuple[str, ...]
    code: int = 0
    fleet: bool = True


PLAYBOOK = "ansible-playbook aztec_ops.prover.{} -i inventories/prod"
SESSIONS = {
    "preflight": Session("A preflight that finds mistakes", (PLAYBOOK.format("preflight"),), code=2, fleet=False),
    "first_run": Session("The first run on new machines", (PLAYBOOK.format("site"),)),
    "unchanged": Session("A run with nothing to change", (PLAYBOOK.format("site"),)),
}


def environment() -> dict[str, str]:
    """Return the environment of the commands: this collection and its tools, and no settings of Ansible."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHONPATH"))}
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        kept.pop(name, None)
    path = f"{Path(sys.executable).parent}:{kept['PATH']}"
    return {**kept, "PATH": path, "TERM": "xterm-256color", "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")}


def displayed(output: str, names: Sequence[tuple[str, str]]) -> str:
    """Return an output as the terminal displays it, with other names for the paths of this machine.

    names: pairs of a path and its name, the longest path first. Raise LabError if a path of this machine remains.
    """
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in output.split("\n")]
    text = "\n".join(lines).strip("\n")
    for path, name in names:
        text = text.replace(path, name)
    # A path continues with a name: "/" by itself, or a route of an URL, is not one of this machine.
    found = re.search(r"(?<![\w.:/~-])/(?:home|root|tmp|work|var/tmp)/[^\s'\":,]*", text)
    if found:
        raise LabError(f"the output contains {found[0]}, a path of this machine: add it to the names of lab/record.py")
    return text


def _without_indent(found: re.Match) -> str:
    """Return the start of a text that begins at its first character, since some programs ignore spaces before it."""
    before, x, between, length, after, indent = found.groups()
    shift = indent.count(";") * WIDTH
    return f'{before}x="{float(x) + shift:g}"{between}textLength="{float(length) - shift:g}"{after}'


def render(name: str, title: str, steps: Sequence[tuple[str, str]], columns: int = COLUMNS) -> str:
    """Return an SVG that shows commands, each with its output. name: prefix of the SVG's classes and ids."""
    console = Console(file=io.StringIO(), record=True, width=columns, force_terminal=True, color_system="truecolor")
    for command, output in steps:
        console.print(Text(f"$ {command}", style="bold"))
        console.print(Text.from_ansi(output))
    text = console.export_svg(title=title, code_format=FORMAT, unique_id=name, theme=DIMMED_MONOKAI)
    text = INDENTED.sub(_without_indent, BREAK.sub("", text))
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines() if line.strip())


def edit(path: Path, pairs: Sequence[tuple[str, str]]) -> None:
    """Replace texts in a file. Raise LabError if one is not in it."""
    text = path.read_text(encoding="utf-8")
    for old, new in pairs:
        if old not in text:
            raise LabError(f"{path.name} does not contain {old!r}: correct MISTAKES in lab/record.py")
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def write_folder(folder: Path, session: Session) -> None:
    """Write an operator's folder, with the lab's inventory or with mistakes. Raise LabError if init fails."""
    output, code = run("ansible-playbook aztec_ops.prover.init -e dest=.", folder, environment(), COLUMNS)
    if code != 0:
        raise LabError(f"init ended with {code}: {output}")
    inventory = folder / "inventories/prod"
    if session.fleet:
        shutil.rmtree(inventory)
        shutil.copytree(ROOT / "inventories/lab", inventory)
        for name in ("lab", ".lab"):
            (folder / name).symlink_to(ROOT / name)
        return
    for name, pairs in MISTAKES.items():
        edit(inventory / name, pairs)


def record(name: str, session: Session) -> str:
    """Run the commands of a session in a new folder and return its SVG. Raise LabError for another exit code."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        write_folder(folder, session)
        names = ((str(folder), SHOWN), (str(ROOT), SHOWN))
        steps = []
        for command in session.commands:
            output, code = run(command, folder, environment(), COLUMNS)
            steps.append((command, displayed(output, names)))
        if code != session.code:
            raise LabError(f"{command} ended with {code}, and not with {session.code}: {steps[-1][1]}")
    return render(name, session.title, steps)


def main() -> None:
    parser = argparse.ArgumentParser(prog="lab/record", description="Record a session of the documentation as an SVG.")
    parser.add_argument("session", choices=SESSIONS)
    parser.add_argument("--file", type=Path, help="the SVG to write, by default docs/SESSION.svg")
    given = parser.parse_args()
    path = given.file or ROOT / f"docs/{given.session}.svg"
    try:
        path.write_text(record(given.session, SESSIONS[given.session]), encoding="utf-8")
    except LabError as error:
        sys.exit(f"lab/record: {error}")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
