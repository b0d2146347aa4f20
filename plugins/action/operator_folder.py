# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the files of an operator's folder on the controller, without a change to any file that exists."""

from __future__ import annotations

import os
from pathlib import Path

from ansible.errors import AnsibleError
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.base import CollectionActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.project.folder import (
    environment_problem,
    folder_files,
    folder_problem,
    unpinned_notice,
    write_new_files,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.project.requirements import own_version


class ActionModule(CollectionActionBase):
    """Run once, on localhost. Show the written files and the next commands."""

    argument_spec = {"dest": {"type": "str", "default": ""}, "env": {"type": "str", "default": "prod"}}

    def execute(self, arguments: dict, task_vars: dict) -> dict:
        """Write the files that do not exist yet."""
        dest, environment, version = arguments["dest"], arguments["env"], own_version()
        if not dest:
            raise AnsibleError("dest is not set: name the folder to write, such as -e dest=prover")
        folder = Path(os.path.abspath(Path(dest).expanduser()))
        problem = environment_problem(environment) or folder_problem(folder, version)
        if problem:
            raise AnsibleError(problem)
        files = folder_files(environment, version)
        try:
            written = write_new_files(folder, files, check_mode=self._task.check_mode)
        except OSError as error:
            wrong = f"{error.filename or folder} cannot be written ({error.strerror})"
            raise AnsibleError(f"{wrong}: choose a folder that you can write to") from None
        kept = [name for name in files if name not in written]
        for line in self._report(folder, environment, written, kept):
            self._display.display(line)
        notice = unpinned_notice(folder, version)
        if notice:
            self._display.display(notice, color="bright yellow")
        return {"changed": bool(written), "folder": str(folder), "written": written, "kept": kept}

    def _report(self, folder: Path, environment: str, written: list[str], kept: list[str]) -> list[str]:
        """Return the lines that tell the operator what was written, and what to do next."""
        lines = [f"{'would write' if self._task.check_mode else 'wrote'} {folder / name}" for name in written]
        lines += [f"kept  {folder / name}, which exists" for name in kept]
        if not written:
            return [*lines, f"The environment {environment} is complete. To add another one, use -e env=NAME."]
        place = f"-i inventories/{environment} --ask-vault-pass"
        return [
            *lines,
            "",
            f"Next, in {folder}: edit inventories/{environment}/hosts.yml and group_vars/all/main.yml, then run",
            f"  ansible -i inventories/{environment} all -m ansible.builtin.ping",
            *(f"  ansible-playbook aztec_ops.prover.{name} {place}" for name in ("keys", "preflight", "site")),
        ]
