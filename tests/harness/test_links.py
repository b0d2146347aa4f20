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
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub derives them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link names a file, and its fragment a heading of that file."""
    for link in LINK.findall(FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        name, _hash, fragment = link.partition("#")
        target = (ROOT / page.parent / name).resolve() if name else ROOT / page
        assert target.exists(), f"{page}: {link} does not exist"
        assert not fragment or fragment in anchors(target.read_text(encoding="utf-8")), f"{page}: no heading {link}"


def test_each_documentation_page_is_linked_from_the_readme() -> None:
    """The README's table names every page in docs."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [str(page) for page in PAGES if page.parts[0] == "docs" and f"({page})" not in readme] == []
