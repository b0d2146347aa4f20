# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The mark of an upgrade on the node's host, here with real links in a directory of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleError
from ansible_collections.aztec_ops.prover.plugins.action import upgrade_lock
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.upgrade_lock import Owner

HOST = {"inventory_hostname": "node-1"}
LATER = 4000000000


def run(module_name: str, module_args: dict, task_vars: dict) -> dict:
    """Run a command as ansible.builtin.command does."""
    assert (module_name, task_vars) == ("ansible.builtin.command", HOST)
    done = subprocess.run(module_args["argv"], capture_output=True, text=True, check=False)
    return {"rc": done.returncode, "stdout": done.stdout.rstrip("\n"), "msg": done.stderr}


def lock(path: Path, state: str = "taken", controller: str = "ctrl-1", process: int = 0, execute=run) -> dict:
    """Create or remove the mark as a run of a controller does."""
    made = upgrade_lock.ActionModule.__new__(upgrade_lock.ActionModule)
    made._execute_module = execute
    arguments = {"path": str(path), "version": "4.1.3", "seconds": 600, "state": state}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upgrade_lock, "platform", SimpleNamespace(node=lambda: controller))
        patch.setattr(os, "getppid", lambda: process or os.getpid())
        return made.execute(arguments, HOST)


def ended() -> int:
    """Return the number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_taken_and_released(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    assert lock(mark) == {}
    assert os.readlink(mark).startswith(f"4.1.3 ctrl-1 {os.getpid()} ")
    assert lock(mark, "released") == {}
    assert not mark.is_symlink()
    # Nothing is there to release.
    assert lock(mark, "released") == {}


@pytest.mark.parametrize("other", ["ctrl-1", "ctrl-2"])
def test_the_second_of_two_stops(other: str, tmp_path: Path) -> None:
    """Also without a process of that number on the other controller."""
    mark, running = tmp_path / "mark", os.getppid()
    lock(mark, controller=other, process=running)
    with pytest.raises(AnsibleError, match=rf"another run changes the fleet to .* \(process {running} on {other}\)"):
        lock(mark)
    # The second one does not release the mark of the first.
    lock(mark, "released")
    assert mark.is_symlink()
    # The remedies: the first one has ended, or its mark is deleted.
    lock(mark, "released", controller=other, process=running)
    lock(mark)
    lock(mark, "released")
    lock(mark, controller=other, process=running)
    mark.unlink()
    lock(mark)


@pytest.mark.parametrize(
    ("controller", "process", "until"),
    [("ctrl-1", ended(), LATER), ("ctrl-2", 1, 1), ("ctrl-1", os.getpid(), 1)],
    ids=["a run that has ended", "expired on another controller", "expired here"],
)
def test_a_stale_mark(controller: str, process: int, until: int, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.symlink_to(Owner("4.1.2", controller, process, until).text())
    lock(mark)
    assert os.readlink(mark).startswith("4.1.3 ctrl-1 ")


def test_two_at_the_same_moment(tmp_path: Path) -> None:
    """The other run takes the mark again each time after this one has found it stale."""
    mark = tmp_path / "mark"

    def execute(module_name: str, module_args: dict, task_vars: dict) -> dict:
        if module_args["argv"][0] == "ln":
            return {"rc": 1, "stdout": "", "msg": "File exists"}
        return run(module_name, module_args, task_vars)

    with pytest.raises(AnsibleError, match="another run began an upgrade at this moment"):
        lock(mark, execute=execute)
    lock(mark)


def test_a_host_that_is_gone(tmp_path: Path) -> None:
    def execute(**_arguments: object) -> dict:
        return {"unreachable": True, "msg": "no route"}

    with pytest.raises(AnsibleError, match="failed on the host: no route"):
        lock(tmp_path / "mark", execute=execute)
