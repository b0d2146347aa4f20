"""A remedy that is followed: what is wrong, the line that reports it, and what is left after each action."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

Lines = Callable[[], Iterable[str]]


@dataclass(frozen=True)
class Case:
    """One row: `expected` is a part of the line that `wrong` gives; each of `cured` applies one of its remedies.

    `wrong` and each of `cured` are called without arguments and return the lines that there are, each as
    "what is wrong: what to do".
    """

    expected: str
    wrong: Lines
    cured: tuple

    def __str__(self) -> str:
        return self.expected[:60]


def cases(*rows: tuple) -> list[Case]:
    """Return rows (expected, wrong, *cured) as cases."""
    return [Case(expected, wrong, tuple(cured)) for expected, wrong, *cured in rows]


def problem_lines(problems: Iterable) -> list[str]:
    """Return problems as lines, each once: those that several hosts have alike are one line of the table."""
    return list(dict.fromkeys(f"{one.wrong}: {one.remedy}" for one in problems))


def raised(function: Callable, *arguments: object, **named: object) -> Lines:
    """Return what calls a function and gives the line of the error that it raises, or none."""

    def lines() -> list[str]:
        try:
            function(*arguments, **named)
        except Exception as error:
            return [str(error)]
        return []

    return lines


def returned(function: Callable, *arguments: object, **named: object) -> Lines:
    """Return what calls a function that returns a line, a pair (wrong, remedy), or nothing."""

    def lines() -> list[str]:
        found = function(*arguments, **named)
        return [": ".join(found) if isinstance(found, tuple) else found] if found else []

    return lines


def in_folder(function: Callable[[Path], Iterable[str]]) -> Lines:
    """Return what calls a function with an empty folder of its own."""

    def lines() -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            return list(function(Path(folder)))

    return lines
