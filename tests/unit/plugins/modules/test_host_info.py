# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What host_info reads from a project's files, and commands that do not end."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from ansible_collections.aztec_ops.prover.plugins.modules import host_info
from ansible_collections.aztec_ops.prover.plugins.modules.host_info import inventories


def test_inventories(tmp_path: Path) -> None:
    header = "# Managed by Ansible (aztec_ops.prover, inventory {}): changes made here are overwritten.\nname: x\n"
    texts = {"a": header.format("prod"), "b": header.format("lab"), "c": "name: x\n", "d": header.format("lab")}
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "compose.yml").write_text(text)
    assert inventories(tmp_path, {"/a", "/b", "/c", "/d", "/missing", ""}) == ["lab", "prod"]
    assert inventories(tmp_path, {""}) == []


class Module:
    """The part of AnsibleModule that runs programs."""

    @staticmethod
    def get_bin_path(name: str, **_options: object) -> str | None:
        return shutil.which(name)

    @staticmethod
    def run_command(command: list) -> tuple:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr


def test_commands_that_do_not_end_are_named(monkeypatch) -> None:
    """Also one that ignores SIGTERM, which timeout kills. The exit code of a command that ends does not matter."""
    monkeypatch.setattr(host_info, "COMMAND_SECONDS", 0.5)
    timed_out: list[str] = []
    run = host_info.limited_runner(Module(), timed_out)
    assert run(["true"])[0] == 0 and run(["false"])[0] == 1
    assert timed_out == []
    run(["sleep", "60"])
    run(["env", "--ignore-signal=TERM", "sleep", "60"])
    assert timed_out == ["sleep 60", "env --ignore-signal=TERM sleep 60"]
