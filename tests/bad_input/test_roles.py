"""Each role by itself with wrong settings: its line of the table, no host contacted and no secret shown."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.bad_input.commands import run
from tests.bad_input.harness import Endpoint, assert_clean, parameters, table_of


def apply(row: dict, folder: Path, endpoint: Endpoint) -> tuple[str, subprocess.CompletedProcess]:
    """Apply a row's role on the host `machine`, whose settings are in a file. Return the role and the run."""
    (role,) = set(row) - {"expected"}
    (folder / "host_vars/machine").mkdir(parents=True)
    (folder / "host_vars/machine/1.json").write_text(json.dumps(endpoint.variables()), encoding="utf-8")
    (folder / "host_vars/machine/2.yml").write_text(row[role], encoding="utf-8")
    (folder / "hosts").write_text("machine\n", encoding="utf-8")
    play = {"hosts": "all", "gather_facts": False, "roles": [f"aztec_ops.prover.{role}"]}
    (folder / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    return role, run("ansible-playbook", "-vvv", "-i", str(folder / "hosts"), str(folder / "play.yml"))


@pytest.mark.parametrize(("table", "row"), parameters("roles"))
def test_refused(table: str, row: dict, tmp_path: Path, endpoint: Endpoint, record_property) -> None:
    record_property("table", table)
    role, shown = apply(row, tmp_path, endpoint)
    assert shown.returncode == 2, shown.stdout
    assert_clean(shown.stdout)
    assert '"how": "failed"' in shown.stderr
    assert_clean(shown.stderr)
    assert table_of(shown.stdout) == sorted(row["expected"]), shown.stdout
    assert f"in the settings of {role}, in the table above; nothing was changed." in shown.stdout
    assert endpoint.connections == []
