"""Modules, actions and filters given what they cannot work with: one line and no traceback, with nothing touched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bad_input.commands import run
from tests.bad_input.harness import assert_clean, parameters

# Whatever a module would look at a host or change it with.
PROGRAMS = ("docker", "nft", "systemctl", "unshare", "sh")


def call(row: dict, folder: Path) -> subprocess.CompletedProcess:
    """Run a row's module here, or template its filter, where every program is one that only notes that it was run."""
    programs = folder / "programs"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).write_text(f"#!/bin/bash\necho {name} >>{folder}/connections\nexit 1\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    if "filter" in row:
        module, arguments = "ansible.builtin.debug", {"msg": "{{ " + row["filter"] + " }}"}
    else:
        (name,) = set(row) - {"says", "then"}
        module, arguments = f"aztec_ops.prover.{name}", row[name]
    return run(
        "ansible",
        *("-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"),
        *("-m", module, "-a", json.dumps(arguments), "localhost"),
        ANSIBLE_CALLBACK_RESULT_FORMAT="json",
        # Ansible notes the arguments in the system's log, where Python 3.13 stops at a NUL before the module does.
        ANSIBLE_NO_TARGET_SYSLOG="true",
        PATH=f"{programs}:/usr/bin:/bin",
        DOCKER_HOST=f"unix://{folder}/no.sock",
    )


def message(shown: subprocess.CompletedProcess) -> str:
    """Give the message of a task that failed."""
    return json.loads(shown.stdout[shown.stdout.rindex("=> {") + 3 :])["msg"]


@pytest.mark.parametrize(("table", "row"), parameters("modules", "filters"))
def test_refused(table: str, row: dict, tmp_path: Path, record_property) -> None:
    record_property("table", table)
    shown = call(row, tmp_path)
    assert shown.returncode == 2, shown.stdout
    # Ansible itself shows what a command on the command line was given.
    assert_clean(shown.stdout, ())
    found = message(shown)
    assert_clean(found, ("S3cret",))
    assert "\n" not in found
    # What Ansible itself says of an argument's type differs from one of its releases to the next.
    (wanted,) = row["says"]
    assert found.endswith(wanted) or (wanted.endswith("...") and wanted[:-3] in found), found
    assert not (tmp_path / "connections").exists()
    assert not Path("/nowhere").exists()
