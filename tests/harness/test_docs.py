"""The generated documentation matches the specs of roles and plugins."""

from __future__ import annotations

import pytest

from tests.harness.docs import DOCS, ROOT, default_of, markdown


@pytest.mark.parametrize("place", DOCS)
def test_committed_file_is_up_to_date(place: str) -> None:
    """Run python -m tests.harness.docs to update a file."""
    assert (ROOT / place).read_text(encoding="utf-8").splitlines() == DOCS[place]().splitlines()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Digest C(sha256:...),\n  or V(x)", "Digest `sha256:...`, or `x`"),
        ("From M(a.b.c) and P(a.b.d#filter)", "From `a.b.c` and `a.b.d`"),
        ("Takes O(a.b.c#module:ports), returns RV(state)", "Takes `ports`, returns `state`"),
        ("PROC(1) stays", "PROC(1) stays"),
    ],
)
def test_markup(text: str, shown: str) -> None:
    """Ansible's markup becomes Markdown."""
    assert markdown(text) == shown


@pytest.mark.parametrize(
    ("option", "raw", "shown"),
    [
        ({"default": 8081}, 8081, "`8081`"),
        ({"default": ""}, "", '`""`'),
        ({"default": "info"}, "{{ aztec_log_level | default('info') }}", "`aztec_log_level`, else `info`"),
        ({"required": True}, "{{ preflight_fleet.hosts[x].broker_host | default('') }}", "the fleet's, else required"),
        ({}, "", ""),
    ],
)
def test_defaults(option: dict, raw: object, shown: str) -> None:
    """A default names the variables that it is derived from."""
    assert default_of(option, raw) == shown
