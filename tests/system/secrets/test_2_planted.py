"""Each search works: a secret is planted in every place, and found."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from tests.harness.leaks import Sampler, Secrets, host_places, misplaced
from tests.system.fleet import wait_for
from tests.system.secret_runs import NODE, Bench, token

NAME = "planted"


class Plant:
    """A secret that only these tests use, and a search for it."""

    def __init__(self, directory: Path) -> None:
        self.text = f"0x{token()}{token()[:8]}"
        self.secrets = Secrets({NAME: self.text}, directory)
        self.found = {NAME}


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


@pytest.fixture
def sampler(plant: Plant, bench: Bench) -> Iterator[Sampler]:
    started = Sampler(plant.secrets, bench.places)
    started.start()
    yield started
    started.end()


def finds(sampler: Sampler, text: str) -> None:
    """Wait until the sampler finds the secret in this place."""
    wait_for(text, lambda: [find for find in sampler.finds if text in find and NAME in find], 10, 0.1)


FORMS = {
    "plain": lambda text: text,
    "without 0x": lambda text: text[2:],
    "upper case": lambda text: text[2:].upper(),
    "as a number": lambda text: str(int(text, 16)),
    "cut": lambda text: text[20:40],
    "base64 of more": lambda text: base64.b64encode(f"user:{text}:x".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(plant: Plant, form: str) -> None:
    assert plant.secrets.in_text(f"before {FORMS[form](plant.text)} after".encode()) == plant.found
    assert plant.secrets.in_text(b"before and after") == set()


@pytest.mark.parametrize("text", ["a$$b", 'say "it"', "per cent/and more", "one two three four five six"])
def test_forms_of_awkward_texts(tmp_path: Path, text: str) -> None:
    found = Secrets({NAME: f"xy{text}yx"}, tmp_path)
    for written in (json.dumps(f"xy{text}yx"), quote(f"xy{text}yx"), f"xy{text}yx".replace("$", "$$")):
        assert found.in_text(written.encode()) == {NAME}, written


@pytest.mark.parametrize("where", ["on a host", "here"])
def test_arguments_of_a_process(bench: Bench, plant: Plant, sampler: Sampler, where: str) -> None:
    if where == "here":
        process = subprocess.Popen(["sh", "-c", "sleep 3; :", plant.text])
        finds(sampler, "in the arguments of sh")
        process.wait()
    else:
        bench.fleet.execute(NODE, f"sh -c 'sleep 3; :' {plant.text} > /dev/null 2>&1 &")
        finds(sampler, "in the arguments of sh")


@pytest.mark.parametrize("place", ["/tmp", "/var/tmp", "/dev/shm", "/root/.ansible/tmp", "/home/admin/.ansible/tmp"])
def test_file_that_comes_and_goes(bench: Bench, plant: Plant, sampler: Sampler, place: str) -> None:
    script = f"mkdir -p {place}; echo {plant.text} > {place}/x; chmod 600 {place}/x; sleep 2; rm {place}/x"
    bench.fleet.execute(NODE, script)
    finds(sampler, f"host:{place}/x")


def test_journal(bench: Bench, plant: Plant) -> None:
    bench.fleet.execute(NODE, f"logger {plant.text}; journalctl --sync")
    journal = bench.fleet.execute(NODE, "journalctl --all --output export --no-pager").out.encode()
    assert plant.secrets.in_text(journal) == plant.found


PLACES = {
    "backup for all to read": ("/opt/aztec/prover-node/.stack/good-999/.env", 0o644),
    "key file of another": ("/opt/aztec/prover-node/.stack/good-999/keys/prover.json", 0o600),
    "backup with a name of its own": ("/opt/aztec/prover-node/.env.bak", 0o600),
    "log": ("/var/log/x.log", 0o600),
    "history": ("/home/admin/.bash_history", 0o600),
    "Docker's volumes": ("/var/lib/docker/volumes/x", 0o600),
}


@pytest.mark.parametrize("place", PLACES)
def test_file_on_a_host(bench: Bench, plant: Plant, place: str) -> None:
    path, mode = PLACES[place]
    owner = "admin" if "another" in place else "root"
    there = shlex.quote(path)
    bench.fleet.execute(
        NODE,
        f"mkdir -p $(dirname {there}); echo {plant.text} > {there}; chown {owner} {there}; chmod {mode:o} {there}",
    )
    try:
        root = bench.roots[NODE]
        lines = misplaced(root, plant.secrets.in_files(host_places(root)))
        assert len(lines) == 1 and lines[0].startswith(f"{path}: {NAME}")
    finally:
        bench.fleet.execute(NODE, f"rm {there}; rm -rf /opt/aztec/prover-node/.stack/good-999")


def test_managed_file_with_correct_permissions(bench: Bench, plant: Plant) -> None:
    path = "/opt/aztec/prover-node/.stack/good-999/.env"
    bench.fleet.execute(NODE, f"mkdir -p $(dirname {path}); umask 077; echo {plant.text} > {path}")
    try:
        root = bench.roots[NODE]
        found = plant.secrets.in_files(host_places(root))
        assert list(found) == [root / path.lstrip("/")] and misplaced(root, found) == []
    finally:
        bench.fleet.execute(NODE, "rm -rf /opt/aztec/prover-node/.stack/good-999")


@pytest.mark.parametrize("how", ["debug", "failed", "fact"])
def test_files_of_a_run_on_the_controller(bench: Bench, plant: Plant, how: str) -> None:
    task = {
        "debug": {"ansible.builtin.debug": {"msg": plant.text}},
        "failed": {"ansible.builtin.fail": {"msg": plant.text}, "register": "kept"},
        "fact": {"ansible.builtin.set_fact": {"kept": plant.text, "cacheable": True}},
    }[how]
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}
    playbook = bench.private / f"planted-{how}.yml"
    playbook.write_text(yaml.safe_dump([play]))
    variables = ["-e", "ansible_become=false", "-e", f"ansible_python_interpreter={sys.executable}"]
    ran = bench.run(f"planted-{how}", str(playbook), *variables, inventory=("-i", "localhost,"))
    found = {path.relative_to(ran.directory).parts[0] for path in plant.secrets.in_files([ran.directory])}
    assert found == {"output", "log", "results.jsonl"} | ({"facts"} if how == "fact" else set())
