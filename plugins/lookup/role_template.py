# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Render the templates of the roles for each host of a fleet."""

from __future__ import annotations

DOCUMENTATION = """
name: role_template
author: Aztec Ops (@aztec-ops)
version_added: 1.0.0
short_description: Render templates with the variables of the host
description:
  - Does the same as P(ansible.builtin.template#lookup) for a template without includes, but does not copy all variables
    of the host. With a large fleet, the copy costs more than everything else in a template.
options:
  _terms:
    description: Absolute paths of the templates.
    type: list
    elements: path
    required: true
"""

EXAMPLES = """
- name: Display the Compose file of an agent
  ansible.builtin.debug:
    msg: "{{ lookup('aztec_ops.prover.role_template', '/opt/roles/prover_agent/templates/compose.yml.j2') }}"
"""

RETURN = """
_raw:
  description: The rendered text of each template.
  type: list
  elements: str
"""

from ansible.plugins.lookup import LookupBase
from ansible.template import trust_as_template


class LookupModule(LookupBase):
    """Render templates with the current variables."""

    def run(self, terms, variables=None, **_options):
        """Return the text of the templates with these paths. Raise AnsibleFileNotFound for a missing one."""
        templar = self._templar.copy_with_new_env(available_variables=variables)
        texts = [trust_as_template(self._loader.get_text_file_contents(path)) for path in terms]
        return [templar.template(text, escape_backslashes=False) for text in texts]
