"""Find phrases in committed text that the list in banned_phrases.yml replaces by plainer words.

Run as a program, it checks the named files, or every committed file: python -m tests.harness.banned_phrases [FILE...]
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_suffix(".yml")
# Not prose: data, foreign text, and the list with its test.
EXCLUDED = (
    "LICENSE",
    "*.json",
    "*.gz",
    "docs/*.svg",
    "tests/rendered/golden/*",
    "tests/harness/banned_phrases.yml",
    "tests/harness/test_banned_phrases.py",
)
# The changelog names what was renamed, in `code` spans.
CHANGELOG = "CHANGELOG.md"
CODE_SPAN = re.compile(r"`[^`\n]*`")


@dataclass(frozen=True)
class Phrase:
    """A banned phrase, its replacement, and the path prefixes that it is limited to."""

    pattern: re.Pattern[str]
    better: str
    paths: tuple[str, ...]

    def applies_to(self, path: str) -> bool:
        """Return whether the phrase is banned in the file."""
        return not self.paths or path.startswith(self.paths)


def load_phrases() -> list[Phrase]:
    """Return the banned phrases. Spaces of a phrase match any white space and comment signs."""
    return [
        Phrase(
            re.compile(entry["phrase"].replace(" ", r"[\s#]+"), re.IGNORECASE),
            entry["better"],
            tuple(entry.get("paths", ())),
        )
        for entry in yaml.safe_load(LIST.read_text())
    ]


def find_phrases(path: str, text: str, phrases: list[Phrase]) -> Iterator[str]:
    """Yield a line "path:line: phrase: better phrase" for each banned phrase in the text."""
    if path == CHANGELOG:
        text = CODE_SPAN.sub(lambda match: " " * len(match[0]), text)
    variants = (text, text.replace("_", " "))
    for phrase in phrases:
        if phrase.applies_to(path):
            found = {match.start(): match[0] for variant in variants for match in phrase.pattern.finditer(variant)}
            for start, words in found.items():
                line = text.count("\n", 0, start) + 1
                yield f'{path}:{line}: "{" ".join(words.replace("#", " ").split())}": {phrase.better}'


def committed_files() -> list[str]:
    """Return the paths of all files that git tracks, relative to the root of the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def check_files(names: list[str]) -> list[str]:
    """Return the findings in the named files, sorted by file and line."""
    phrases = load_phrases()
    findings: list[str] = []
    for name in names:
        if not any(fnmatch(name, pattern) for pattern in EXCLUDED):
            findings += find_phrases(name, (ROOT / name).read_text(), phrases)
    return sorted(findings, key=lambda finding: (finding.split(":")[0], int(finding.split(":")[1])))


if __name__ == "__main__":
    problems = check_files(sys.argv[1:] or committed_files())
    print("\n".join(problems))
    print(f"{len(problems)} banned phrases")
    sys.exit(bool(problems))
