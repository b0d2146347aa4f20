"""Modules, actions and filters with invalid input: one line, no traceback, and nothing is changed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bad_input.commands import run
from tests.bad_input.harness import assert_clean, parameters

# The first lines of a compose.yml that another inventory manages.
HEADER = "# Managed by Ansible (aztec_ops.prover, inventory {}): changes made here are overwritten.\nservices: {{}}\n"

# The programs with which a module inspects or changes a host.
PROGRAMS = ("docker", "nft", "systemctl", "unshare", "sh")


def call(row: dict, folder: Path) -> subprocess.CompletedProcess:
    """Run a row's module here, or template its filter, with programs that only record their calls."""
    programs = folder / "programs"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).write_text(f"#!/bin/bash\necho {name} >>{folder}/connections\nexit 1\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    used = folder / "used"
    used.mkdir()
    (used / "compose.yml").write_text(HEADER.format("other"), encoding="utf-8")
    if "filter" in row:
        module, arguments = "ansible.builtin.debug", {"msg": "{{ " + row["filter"] + " }}"}
    else:
        (name,) = set(row) - {"expected", "then"}
        module, arguments = f"aztec_ops.prover.{name}", row[name]
    return run(
        "ansible",
        *("-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"),
        *("-m", module, "-a", json.dumps(arguments).replace("OTHER_INVENTORY", str(used)), "localhost"),
        ANSIBLE_CALLBACK_RESULT_FORMAT="json",
        # Ansible logs the arguments to the system log. There, Python 3.13 rejects a NUL before the module does.
        ANSIBLE_NO_TARGET_SYSLOG="true",
        PATH=f"{programs}:/usr/bin:/bin",
        DOCKER_HOST=f"unix://{folder}/no.sock",
    )


def message(shown: subprocess.CompletedProcess) -> str:
    """Return the message of a failed task."""
    return json.loads(shown.stdout[shown.stdout.rindex("=> {") + 3 :])["msg"]


@pytest.mark.parametrize(("table", "row"), parameters("modules", "filters"))
def test_refused(table: str, row: dict, tmp_path: Path, record_property) -> None:
    record_property("table", table)
    shown = call(row, tmp_path)
    assert shown.returncode == 2, shown.stdout
    # Ansible itself shows the arguments of a command on the command line.
    assert_clean(shown.stdout, ())
    found = message(shown)
    assert_clean(found, ("S3cret",))
    assert "\n" not in found
    # Ansible's own message about an argument's type differs between its releases.
    (wanted,) = row["expected"]
    assert found.endswith(wanted) or (wanted.endswith("...") and wanted[:-3] in found), found
    assert not (tmp_path / "connections").exists()
    assert not Path("/nowhere").exists()
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["compose.yml"]
    assert (tmp_path / "used/compose.yml").read_text(encoding="utf-8") == HEADER.format("other")
