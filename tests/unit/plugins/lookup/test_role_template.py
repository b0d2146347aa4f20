# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The templates of the roles, rendered as Ansible's own lookup renders them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import lookup_loader
from ansible.template import Templar, trust_as_template
from ansible_collections.aztec_ops.prover.plugins.lookup.role_template import LookupModule

NESTED = trust_as_template("{{ name }}-1")
TEXTS = [
    "",
    "plain\n",
    "# {{ name }}\n{% for one in [1, 2] %}\n{{ one }}: {{ nested }}\n{% endfor %}\nend",
    "{% macro twice(x) %}\n{{ x }}{{ x }}\n{% endmacro %}\n{{ twice(name) -}}\n\n",
    r"{{ 'a\\b' }} \n '{{ quoted }}'" + "\n",
    "{{ untrusted }}\n",
]


VARIABLES = {"name": "agent", "nested": NESTED, "quoted": "it's", "untrusted": "{{ name }}"}


def templar() -> Templar:
    """Return a templar with a variable whose value is a template, and one whose value only looks like it."""
    return Templar(loader=DataLoader(), variables=VARIABLES)


def render(path: Path) -> str:
    """Return what the lookup renders."""
    (text,) = LookupModule(loader=DataLoader(), templar=templar()).run([str(path)], VARIABLES)
    return text


@pytest.mark.parametrize("text", TEXTS)
def test_the_text_is_that_of_the_lookup_of_ansible(tmp_path: Path, text: str) -> None:
    """Line ends, macros, quotes, nested and untrusted templates included."""
    path = tmp_path / "file.j2"
    path.write_text(text)
    ansibles = lookup_loader.get("template", loader=DataLoader(), templar=templar())
    assert [render(path)] == ansibles.run([str(path)], dict(VARIABLES))


def test_untrusted_text_is_not_a_template(tmp_path: Path) -> None:
    """The value of a variable that looks like a template stays as it is."""
    path = tmp_path / "file.j2"
    path.write_text("{{ untrusted }}")
    assert render(path) == "{{ name }}"


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """Its path is in the error."""
    with pytest.raises(AnsibleError, match=r"missing\.j2"):
        render(tmp_path / "missing.j2")
