# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Template the same arguments for many cases in one process, where Jinja compiles each template once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template
from jinja2 import Environment

COMPILED: dict[tuple, Any] = {}
COMPILE = Environment.compile


def compile_once(self: Environment, source: Any, *arguments: Any, **named: Any) -> Any:
    """Return the code of a template as Jinja does, which compiles it each time that it is used."""
    # Ansible reads backslashes in playbooks and in files of templates differently.
    if not isinstance(source, str) or "\\" in source:
        return COMPILE(self, source, *arguments, **named)
    # There is one lexer for each combination of settings that change what is compiled.
    key = (type(self), self.lexer, str(source), *arguments, *named.items())
    if key not in COMPILED:
        COMPILED[key] = COMPILE(self, source, *arguments, **named)
    return COMPILED[key]


def trusted(value: Any) -> Any:
    """Return a value read from JSON as if it had been read from a playbook, where texts are templates."""
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [trusted(item) for item in value]
    return trust_as_template(value) if isinstance(value, str) else value


class ActionModule(ActionBase):
    """Render `arguments` with `scopes`, both by role, for `cases` of variables, into the file `to`. All are paths."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write the arguments of each case, templated by Ansible as they are for any module."""
        # This process ends with the task.
        Environment.compile = compile_once
        arguments = trusted(json.loads(Path(self._task.args["arguments"]).read_text(encoding="utf-8")))
        cases = json.loads(Path(self._task.args["cases"]).read_text(encoding="utf-8"))
        scopes = trusted(json.loads(Path(self._task.args["scopes"]).read_text(encoding="utf-8")))
        found: dict[str, Any] = {}
        for case, variables in cases.items():
            scope = {**(task_vars or {}), **trusted(variables)}
            for role, given in arguments.items():
                templar = self._templar.copy_with_new_env(available_variables={**scope, **scopes[role]})
                found.setdefault(case, {})[role] = templar.template(given)
        Path(self._task.args["to"]).write_text(json.dumps(found), encoding="utf-8")
        return {"changed": False}
