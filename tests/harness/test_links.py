"""Links in the documentation lead to existing files and headings."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
PAGES = [
    Path(name)
    for name in subprocess.run(
        ["git", "ls-files", "*.md", ":!CHANGELOG.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
]
# The README is also shown outside of the repository, so its links are full URLs.
REPOSITORY = re.compile(
    r"https://(?:github\.com/aztec-ops/ansible-collection-prover/blob"
    r"|raw\.githubusercontent\.com/aztec-ops/ansible-collection-prover)/main/(.*)"
)
# The sections that certification requires, and those that an operator expects
SECTIONS = ("Requirements", "Installation", "Use cases", "Testing", "Contributing", "Support", "Release notes")
SECTIONS += ("Related information", "License information")


def in_repository(link: str) -> str:
    """Return a link to a file of this repository as a relative one."""
    found = REPOSITORY.fullmatch(link)
    return found[1] if found else link


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub derives them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link names a file, and its fragment a heading of that file."""
    for link in map(in_repository, LINK.findall(FENCE.sub("", (ROOT / page).read_text(encoding="utf-8")))):
        if "://" in link:
            continue
        name, _hash, fragment = link.partition("#")
        target = (ROOT / page.parent / name).resolve() if name else ROOT / page
        assert target.exists(), f"{page}: {link} does not exist"
        assert not fragment or fragment in anchors(target.read_text(encoding="utf-8")), f"{page}: no heading {link}"


def test_each_documentation_page_is_linked_from_the_readme() -> None:
    """The README's table names every page in docs."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = set(map(in_repository, LINK.findall(readme)))
    assert [str(page) for page in PAGES if page.parts[0] == "docs" and str(page) not in links] == []


def test_links_of_the_readme_are_full() -> None:
    """Write https://github.com/aztec-ops/ansible-collection-prover/blob/main/docs/X.md for docs/X.md."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [link for link in LINK.findall(readme) if not link.startswith(("https://", "#"))] == []


def test_sections_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", FENCE.sub("", readme), re.MULTILINE)
    assert [section for section in SECTIONS if section not in headings] == []
    assert "pip install" not in readme
