"""Single roles as a user applies them: by name, from the installed collection, in a playbook in an empty directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.fleet import BARE_HOSTS, OUTPUT, ROOT, Fleet, last_run

# What a role can leave on a host: files, packages, rules, units.
TRACES = {
    "files": "find /etc /opt /srv /usr/local -xdev -printf '%p %y %m %u %s %T@ %l\n' | sort",
    "packages": "dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n'",
    "rules": "command -v nft > /dev/null && nft list ruleset || echo none",
    "units": "systemctl list-unit-files --no-legend; systemctl list-units --all --no-legend --plain -t service",
    "links": "ip -br link",
}


def from_artifact(run: dict[str, Any]) -> bool:
    """Return whether a run loaded the collection from the stage's installation."""
    places = [Path(place).resolve() for place in os.environ["ANSIBLE_COLLECTIONS_PATH"].split(":")]
    used = Path(run["collection"])
    return ROOT not in used.parents and any(place in used.parents for place in places)


def molecule_runs(scenario: str) -> list[dict[str, Any]]:
    """Return the report entries of Molecule's runs of a scenario's playbook."""
    report = (OUTPUT / f"calls-{scenario}.jsonl").read_text().splitlines()
    return [run for run in map(json.loads, report) if run["playbook"] == "converge.yml"]


def problems(scenario: str, hosts: list[str], recreated: list[str]) -> list[str]:
    """Return what is wrong with a scenario's four runs: check mode, the role, the role again, check mode again."""
    runs = molecule_runs(scenario)
    found = [] if [run["check"] for run in runs] == [True, False, False, True] else ["the four runs are not there"]
    for what, run in zip(("first check", "first", "second", "second check"), runs):
        found += [] if from_artifact(run) else [f"the {what} run took the collection from {run['collection']}"]
        for host in hosts:
            stats = run["stats"].get(host, {})
            broken = [name for name in ("failures", "unreachable", "ignored", "rescued") if stats.get(name)]
            found += [f"{host}: {broken} in the {what} run"] if broken or not stats else []
            changes = host in recreated and what.startswith("first")
            found += [] if bool(stats.get("changed")) == changes else [f"{host}: {stats} in the {what} run"]
    return found


@dataclass(frozen=True)
class Applied:
    """The result of a playbook with one role."""

    code: int
    output: str
    run: dict[str, Any]

    def changed(self, host: str) -> int:
        """Return the number of tasks that changed a host. Fail unless the run succeeded."""
        assert self.code == 0, self.output
        return self.run["stats"][host]["changed"]


def play(content: list[dict[str, Any]], *arguments: str, inventory: Path = BARE_HOSTS) -> Applied:
    """Run a playbook in an empty directory, with Ansible's default settings and the installed collection."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "play.yml").write_text(json.dumps(content))
        (Path(directory) / "ansible.cfg").touch()
        report = Path(directory) / "report.jsonl"
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": f"{directory}/ansible.cfg",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/plugins/callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "remote_calls",
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "500",
            "REMOTE_CALLS_REPORT": str(report),
        }
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        command = [program, "-i", str(inventory), *arguments, "play.yml"]
        done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        assert report.exists(), output
        run = last_run(report)
    assert from_artifact(run), f"the collection came from {run['collection']}"
    return Applied(done.returncode, output, run)


def apply(role: str, host: str, *, check: bool = False, **arguments: Any) -> Applied:
    """Apply one role by name to one host."""
    roles = [{"role": f"aztec_ops.prover.{role}", **arguments}]
    content = [{"hosts": host, "gather_facts": False, "become": True, "roles": roles}]
    return play(content, *(["--check"] if check else []))


def traces(fleet: Fleet, host: str) -> dict[str, list[str]]:
    """Return the state of a host that a role can change, by kind."""
    return {what: fleet.execute(host, command).out.splitlines() for what, command in TRACES.items()}
