"""The generated documentation matches the specs of roles and plugins."""

from __future__ import annotations

import re

import pytest
import yaml

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


@pytest.mark.parametrize("role", [path.parent.parent.name for path in ROOT.glob("roles/*/meta/argument_specs.yml")])
def test_example_of_a_role(role: str) -> None:
    """ansible-doc shows the example of the role's README."""
    spec = yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8"))
    readme = (ROOT / f"roles/{role}/README.md").read_text(encoding="utf-8")
    example = re.search(r"^```yaml\n(.*?)```", readme, re.DOTALL | re.MULTILINE)
    assert example and spec["argument_specs"]["main"]["examples"] == example[1]


@pytest.mark.parametrize("pattern", ["plugins/modules/*", "plugins/filter/*.yml", "plugins/callback/*.py"])
def test_version_added(pattern: str) -> None:
    """Each plugin names the version that added it."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in ROOT.glob(pattern) if path.is_file()}
    assert texts
    missing = [name for name, text in texts.items() if not re.search(r"^ *version_added: ", text, re.MULTILINE)]
    assert missing == []
