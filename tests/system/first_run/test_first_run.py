"""From an empty folder, with the README's commands and the built collection, to a proof that the L1 accepts."""

from __future__ import annotations

from pathlib import Path

from tests.harness.readme import Operator
from tests.system.fleet import Fleet
from tests.system.readme_to_proof import connection, follow, lab_values


def test_from_an_empty_folder_to_a_proof(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "built").mkdir()
    settings = fleet.settings
    values = lab_values(settings, connection(settings.ssh_key, settings.known_hosts))
    follow(Operator(tmp_path, values), fleet, tmp_path / "built")
