"""Runs that go well and runs that fail at each step: no secret is in anything that they say, keep or leave behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.leaks import host_places, host_temporary, misplaced
from tests.system.fleet import wait_for
from tests.system.secret_runs import FRAIL, JOBS, NODE, WELL, Bench, Ran, fund, serve_echo

SITE, PREFLIGHT, VERIFY = (f"playbooks/{name}.yml" for name in ("site", "preflight", "verify"))
KEY = "prover_node_publisher_private_key"
ENVIRONMENT = "prover_node_secret_environment"
STORE = "opt/aztec/prover-node/keys/prover.json"
AZTECS_LOG = r"/var/lib/docker/containers/[0-9a-f]{64}/[0-9a-f]{64}-json\.log"
# A program in the node's place that prints its whole environment, and so all of its secrets.
TELLTALE = "{entrypoint: [sh, -c, 'env; echo $$0 $$*; exit 3']}"


def clean(bench: Bench, ran: Ran) -> None:
    """Assert that nothing that is kept of a run here holds a secret, and that all of it is there."""
    found = bench.secrets.in_files([ran.folder, bench.open / "home", bench.open / "tmp"])
    assert {str(path.relative_to(bench.open)): names for path, names in found.items()} == {}
    assert {"said", "log"} <= {path.name for path in ran.folder.iterdir()}


def changed(ran: Ran, host: str = NODE) -> int:
    """Give how many tasks of a run changed a host."""
    (line,) = [line for line in ran.said.splitlines() if line.startswith(host) and " changed=" in line]
    return int(line.partition("changed=")[2].split()[0])


# --- runs that go well ----------------------------------------------------------------------------------------------


def test_the_first_run(bench: Bench) -> None:
    ran = bench.run("first", SITE, "--limit", f"{NODE}:agent-1")
    assert ran.code == 0, ran.said[-3000:]
    clean(bench, ran)
    environment = bench.fleet.environment(NODE, "prover-node")
    assert environment["AWKWARD"] == bench.values["awkward"]
    assert environment["ETHEREUM_HOSTS"] == bench.l1_url


def test_nothing_changed(bench: Bench) -> None:
    ran = bench.run("again", SITE, "--limit", NODE)
    assert (ran.code, changed(ran)) == (0, 0), ran.said[-3000:]
    clean(bench, ran)
    # That all which a run may keep was kept, and so was searched.
    results = [json.loads(line) for line in (ran.folder / "results.jsonl").read_text().splitlines()]
    assert {"ok", "skipped"} <= {result["how"] for result in results}


def test_check_mode_shows_a_change_and_no_secret(bench: Bench) -> None:
    settings = f"{ENVIRONMENT}: {{AWKWARD: {json.dumps('other ' + bench.values['awkward'])}}}\n"
    ran = bench.run("check", SITE, "--limit", NODE, "--check", settings=settings)
    assert ran.code == 0 and changed(ran), ran.said[-3000:]
    assert "AWKWARD=***" in ran.said
    clean(bench, ran)


@pytest.mark.parametrize("playbook", [PREFLIGHT, VERIFY])
def test_playbooks_that_look(bench: Bench, playbook: str) -> None:
    ran = bench.run(os.path.basename(playbook), playbook, "--limit", NODE)
    assert ran.code == 0, ran.said[-3000:]
    clean(bench, ran)


def test_key_that_is_imported(bench: Bench) -> None:
    inventory = bench.private / "keys"
    inventory.mkdir()
    (inventory / "hosts.yml").write_text(f"prover_node: {{hosts: {{{NODE}: }}}}\n")
    arguments = ["-e", "publisher_key_source=mnemonic", "-e", "publisher_key_environment=THE_WORDS"]
    words = {"THE_WORDS": bench.values["mnemonic"]}
    ran = bench.run("keys", "playbooks/keys.yml", *arguments, inventory=("-i", str(inventory)), environment=words)
    assert ran.code == 0, ran.said[-3000:]
    clean(bench, ran)
    assert bench.secrets.in_files([inventory]) == {}
    vault = inventory / "group_vars/all/vault.yml"
    assert vault.exists() and vault.stat().st_mode & 0o777 == 0o600


def test_key_in_the_environment_with_files_kept_and_no_pipelining(bench: Bench) -> None:
    """What an operator without this checkout's ansible.cfg gets, and one who looks for a fault in Ansible."""
    kept = {"ANSIBLE_PIPELINING": "0", "ANSIBLE_KEEP_REMOTE_FILES": "1"}
    ran = bench.run("kept", SITE, "--limit", NODE, settings="prover_node_key_source: env\n", environment=kept)
    assert ran.code == 0 and changed(ran), ran.said[-3000:]
    clean(bench, ran)
    left = bench.fleet.execute(NODE, "find /home -name 'AnsiballZ_*'").out.split()
    assert [path for path in left if "port_guard" in path], "no module was kept: the run shows nothing"
    assert [path for path in left if "compose_stack" in path or "host_info" in path] == []
    bench.fleet.execute(NODE, "rm -rf /home/*/.ansible/tmp")


# --- runs that fail -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One run that fails: what is set for it, what is done to the host before and after, and what it says."""

    says: str
    settings: str = ""
    playbook: str = SITE
    arguments: tuple[str, ...] = ()
    before: str = "true"
    after: str = "true"


def rows(bench: Bench) -> dict[str, Row]:
    """Give the runs that fail, each at another step."""
    key, l1, echo = bench.values["publisher key"], bench.l1, bench.echo
    user = f"{bench.values['L1 user']}:{bench.values['L1 password']}"
    path = f"v3/{bench.values['L1 path']}"
    quoted = json.dumps(bench.values["awkward"])
    return {
        "key in a list": Row("is a list, no text", f'{KEY}: ["{key}"]\n'),
        "key that is an integer": Row("which YAML makes a number", f"{KEY}: {key}\n"),
        "key that is cut": Row("is not 32 bytes of hex", f'{KEY}: "{key[:-2]}"\n'),
        "key with a blank at its end": Row("is not 32 bytes of hex", f'{KEY}: "{key} "\n'),
        "secret environment that is a list": Row("is a list, no dict", f"{ENVIRONMENT}: [{quoted}]\n"),
        "secret environment with a mapping in it": Row(
            "A is a dict, no text", f"{ENVIRONMENT}: {{A: {{B: {quoted}}}}}\n"
        ),
        "URL that is a number beside one": Row(
            "entry 2 is a number, no URL", f"aztec_l1_execution_urls: [{bench.l1_url}, 5]\n"
        ),
        "filter that is not there": Row(
            "cannot be worked out (TemplateAssertionError)", f"{KEY}: \"{{{{ '{key}' | no_such_filter }}}}\"\n"
        ),
        "template that breaks off": Row(
            "cannot be worked out (TemplateSyntaxError)", f"{KEY}: \"{{{{ '{key}' \"\nprover_node_port: 8081\n"
        ),
        "variable that is not defined": Row(
            "uses 'nobody_set_this', which is not defined", f'{KEY}: "{key}{{{{ nobody_set_this }}}}"\n'
        ),
        "variable that nobody knows": Row("there is no such variable", f'{KEY}: "{key}"\nprover_node_prot: 1\n'),
        "YAML that cannot be read": Row("YAML parsing failed", f'{KEY}: "{key}"\n  prover_node_port: [1\n'),
        "host out of reach": Row("UNREACHABLE", "ansible_port: 1\nansible_ssh_extra_args: -o ControlPath=none\n"),
        "wrong sudo password": Row(
            "Incorrect sudo password", f"ansible_become_password: {bench.values['L1 password']}\n"
        ),
        "L1 that does not answer": Row(
            "is not reachable: connection refused",
            f"aztec_l1_execution_urls: ['http://{user}@{l1.split(':')[0]}:9/{path}']\n",
        ),
        "L1 that lets nobody in and says what it was asked": Row(
            "returns 401",
            f"aztec_l1_execution_urls: ['http://{user}@{echo}/{path}?key={bench.values['L1 path']}']\n"
            f"aztec_l1_consensus_urls: ['http://{echo}/{path}']\n",
        ),
        "engine of a version that is not there": Row(
            "no available installation candidate for docker.io=99.9.9", "docker_engine_version: 99.9.9\n"
        ),
        "guard that cannot be loaded": Row(
            "failed on this host",
            "prover_node_port: 8082\n",
            before="mount --bind /bin/false /usr/sbin/nft",
            after="umount /usr/sbin/nft",
        ),
        "image that is not there": Row(
            "Pulling aztecprotocol/none:4.1.2 failed", "prover_node_image: aztecprotocol/none\n"
        ),
        "service that Compose refuses": Row("Compose refuses", "prover_node_compose: {mem_limit: lots}\n"),
        "network with another bridge": Row("has bridge aztec0", "aztec_docker_bridge: other0\n"),
        "disk that is full": Row(
            "No space left",
            "prover_node_directory: /mnt/full\n",
            before="mkdir -p /mnt/full && mount -t tmpfs -o size=16k tmpfs /mnt/full",
            after="umount /mnt/full",
        ),
        "program that prints its secrets and gives up": Row("exit code 3", f"prover_node_compose: {TELLTALE}\n"),
    }


@contextmanager
def done_to_the_host(bench: Bench, row: Row) -> Iterator[None]:
    """Spoil the host for a run."""
    bench.fleet.execute(NODE, row.before)
    try:
        yield
    finally:
        bench.fleet.execute(NODE, row.after)


@pytest.fixture(scope="session", autouse=True)
def echo(bench: Bench) -> Iterator[None]:
    """Serve an L1 that refuses, where the hosts can ask it."""
    gateway = bench.fleet.settings.ipv4_network.rpartition(".")[0] + ".1"
    server = serve_echo(gateway)
    bench.echo = f"{gateway}:{server.server_port}"
    yield
    server.shutdown()


NAMES = [
    "key in a list",
    "key that is an integer",
    "key that is cut",
    "key with a blank at its end",
    "secret environment that is a list",
    "secret environment with a mapping in it",
    "URL that is a number beside one",
    "filter that is not there",
    "template that breaks off",
    "variable that is not defined",
    "variable that nobody knows",
    "YAML that cannot be read",
    "host out of reach",
    "wrong sudo password",
    "L1 that does not answer",
    "L1 that lets nobody in and says what it was asked",
    "engine of a version that is not there",
    "guard that cannot be loaded",
    "image that is not there",
    "service that Compose refuses",
    "network with another bridge",
    "disk that is full",
    "program that prints its secrets and gives up",
]


def test_every_row_is_run(bench: Bench) -> None:
    assert list(rows(bench)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_run_that_fails(bench: Bench, name: str) -> None:
    row = rows(bench)[name]
    with done_to_the_host(bench, row):
        ran = bench.run(name.replace(" ", "-"), row.playbook, "--limit", NODE, *row.arguments, settings=row.settings)
    assert ran.code != 0, ran.said[-3000:]
    assert row.says in ran.said, ran.said[-3000:]
    clean(bench, ran)


def test_wrong_vault_password(bench: Bench) -> None:
    other = bench.private / "other-password"
    other.write_text("x" + bench.values["vault password"])
    ran = bench.run("wrong-password", SITE, "--limit", NODE, password=other)
    assert ran.code != 0, ran.said[-3000:]
    clean(bench, ran)


@pytest.mark.parametrize("wrong", ["list", "mapping"])
def test_role_alone_with_a_wrong_type(bench: Bench, wrong: str) -> None:
    key, quoted = bench.values["publisher key"], bench.values["awkward"]
    settings = {"list": {KEY: [key]}, "mapping": {KEY: {"key": key}, ENVIRONMENT: [quoted]}}[wrong]
    play = {"hosts": NODE, "gather_facts": False, "roles": [{"role": "aztec_ops.prover.prover_node", **settings}]}
    playbook = bench.private / f"alone-{wrong}.yml"
    playbook.write_text(yaml.safe_dump([play]))
    ran = bench.run(f"alone-{wrong}", str(playbook))
    assert ran.code != 0 and KEY in ran.said, ran.said[-3000:]
    clean(bench, ran)


# --- runs that are broken off ---------------------------------------------------------------------------------------


def test_job_that_is_killed(bench: Bench) -> None:
    settings = "prover_node_environment: {BROKEN_OFF: killed}\n"
    ran = bench.run("killed", SITE, "--limit", NODE, settings=settings, meanwhile=bench.kill_the_job)
    assert ran.code != 0 and "broke off on the host: run the same again" in ran.said, ran.said[-3000:]
    clean(bench, ran)


def test_connection_that_is_lost(bench: Bench) -> None:
    """The job works on without it, and is heard of again."""
    settings = "prover_node_environment: {BROKEN_OFF: lost}\n"
    ran = bench.run("lost", SITE, "--limit", NODE, settings=settings, meanwhile=bench.lose_the_connection)
    assert "cannot be asked just now" in ran.said, ran.said[-3000:]
    assert ran.code == 0, ran.said[-3000:]
    clean(bench, ran)
    assert bench.fleet.environment(NODE, "prover-node")["BROKEN_OFF"] == "lost"


def test_connection_that_stays_away(bench: Bench) -> None:
    """The job prints its secrets, fails and goes back with nobody to hear of it, and its notes stay."""
    root = bench.roots[NODE]

    def notes() -> set[Path]:
        return set((root / JOBS.lstrip("/")).glob("*/result.json"))

    before, settings = notes(), f"prover_node_compose: {TELLTALE}\n"
    try:
        ran = bench.run("away", SITE, "--limit", NODE, settings=settings, meanwhile=bench.cut_the_connection)
        (note,) = wait_for("the job's end", lambda: notes() - before, 120)
    finally:
        bench.fleet.execute(NODE, "systemctl start ssh.service")
    assert ran.code != 0 and "it goes on there by itself, run the same again" in ran.said, ran.said[-3000:]
    clean(bench, ran)
    left = note.read_text()
    assert "exit code 3" in left and "are back and run" in left, left
    assert "ETHEREUM_HOSTS=" in left, "the log's last lines are not in it: nothing was searched"
    assert bench.secrets.in_files(host_temporary(root)) == {}
    assert misplaced(root, bench.secrets.in_files(host_places(root)), AZTECS_LOG) == []
    ran = bench.run("back", SITE, "--limit", NODE)
    assert ran.code == 0, ran.said[-3000:]
    clean(bench, ran)


def test_run_that_is_interrupted(bench: Bench) -> None:
    settings = "prover_node_environment: {BROKEN_OFF: interrupted}\n"
    ran = bench.run("interrupted", SITE, "--limit", NODE, settings=settings, meanwhile=bench.interrupt)
    assert ran.code != 0, ran.said[-3000:]
    clean(bench, ran)


def test_run_after_all_that(bench: Bench) -> None:
    ran = bench.run("mended", SITE, "--limit", NODE)
    assert ran.code == 0, ran.said[-3000:]
    clean(bench, ran)
    assert "BROKEN_OFF" not in bench.fleet.environment(NODE, "prover-node")


def test_health_that_is_lost_while_it_is_waited_for(bench: Bench) -> None:
    """The last good files come back; the program prints its whole environment, too."""
    check = f"{{test: [CMD-SHELL, 'test -e /var/lib/data/{os.path.basename(WELL)}'], interval: 5s, retries: 1}}"
    program = f"{{entrypoint: [sh, -c, 'env; exec sleep 100000'], labels: {{{FRAIL}: x}}, healthcheck: {check}}}"
    settings = f"prover_node_compose: {program}\nprover_node_start_timeout: 10\n"
    ran = bench.run("frail", SITE, "--limit", NODE, settings=settings, meanwhile=bench.lose_health)
    assert ran.code != 0 and "it was healthy and is no longer" in ran.said, ran.said[-3000:]
    assert "The last good files and images are back and run" in ran.said, ran.said[-3000:]
    assert "ETHEREUM_HOSTS=" in ran.said, "the log's last lines are not shown: nothing was searched"
    clean(bench, ran)
    root = bench.roots[NODE]
    assert misplaced(root, bench.secrets.in_files(host_places(root)), AZTECS_LOG) == []
    assert FRAIL not in bench.fleet.container(NODE, "prover-node")["Config"]["Labels"]


def test_health_that_is_lost_is_told_with_the_last_lines_of_a_log(bench: Bench) -> None:
    """The program prints its whole environment, and is well until it is not."""
    check = "{test: [CMD-SHELL, 'test ! -e /var/lib/data/ill'], interval: 1s, retries: 1}"
    program = f"{{entrypoint: [sh, -c, 'env; exec sleep 100000'], healthcheck: {check}}}"
    settings = f"prover_node_compose: {program}\nprover_node_start_timeout: 10\n"
    ran = bench.run("healthy", SITE, "--limit", NODE, settings=settings)
    assert ran.code != 0 and "does not answer at /status" in ran.said, ran.said[-3000:]
    clean(bench, ran)
    ill = "/opt/aztec/prover-node/data/ill"
    bench.fleet.execute(NODE, f"touch {ill}")
    try:
        wait_for("health to be lost", lambda: not bench.fleet.healthy(NODE, "prover-node"), 30)
        ran = bench.run("ill", SITE, "--limit", NODE, settings=settings)
    finally:
        bench.fleet.execute(NODE, f"rm {ill}")
    assert ran.code != 0 and "it was healthy and is no longer" in ran.said, ran.said[-3000:]
    assert "ETHEREUM_HOSTS=" in ran.said, "the log's last lines are not shown: nothing was searched"
    clean(bench, ran)
    ran = bench.run("well-again", SITE, "--limit", NODE)
    assert ran.code == 0, ran.said[-3000:]
    clean(bench, ran)


# --- another key ----------------------------------------------------------------------------------------------------


def rotate(bench: Bench, name: str, *arguments: str, **more: Any) -> Ran:
    """Run the rotation; the words of the new key are at hand in the environment."""
    inventory, words = ("-i", str(bench.whole())), {"THE_WORDS": bench.values["next mnemonic"]}
    return bench.run(name, "playbooks/rotate_key.yml", *arguments, inventory=inventory, environment=words, **more)


IMPORT = ("-e", "publisher_key_source=mnemonic", "-e", "publisher_key_environment=THE_WORDS")


def test_rotation_to_an_empty_account(bench: Bench) -> None:
    ran = rotate(bench, "rotation-empty", *IMPORT)
    assert ran.code != 0 and "has 0 ETH and cannot pay" in ran.said, ran.said[-3000:]
    clean(bench, ran)


def test_rotation_whose_job_is_killed(bench: Bench) -> None:
    fund(bench.fleet, bench.values["next key"])
    ran = rotate(bench, "rotation-killed", *IMPORT, meanwhile=bench.kill_the_job)
    assert ran.code != 0 and "was not seen to come up with the key of" in ran.said, ran.said[-3000:]
    clean(bench, ran)


def test_rotation(bench: Bench) -> None:
    ran = rotate(bench, "rotation", *IMPORT)
    assert ran.code == 0 and changed(ran), ran.said[-3000:]
    clean(bench, ran)
    (vault,) = bench.whole().glob("group_vars/all/vault.yml")
    assert bench.secrets.in_files([vault]) == {} and vault.stat().st_mode & 0o777 == 0o600
    assert "next key" in bench.secrets.in_files([bench.roots[NODE] / STORE])[bench.roots[NODE] / STORE]


def test_rotation_that_is_confirmed(bench: Bench) -> None:
    confirm = ("-e", "rotate_key_confirm=true")
    ran = rotate(bench, "rotation-refused", *confirm)
    assert ran.code != 0 and "the old key stays in the vault" in ran.said, ran.said[-3000:]
    clean(bench, ran)
    ran = rotate(bench, "rotation-confirmed", *confirm, "-e", "rotate_key_force=true")
    assert ran.code == 0 and changed(ran), ran.said[-3000:]
    clean(bench, ran)


# --- an L1 that is lost ---------------------------------------------------------------------------------------------


def test_l1_that_is_lost_while_the_node_runs(bench: Bench) -> None:
    """Aztec writes the whole URL of an L1 that it cannot reach into its log, which we may read and not show.

    The last of the runs, so that this container's log is there to be found.
    """
    l1, path = bench.fleet.settings.l1_address, bench.values["L1 path"]
    bench.fleet.execute(NODE, f"ip route add prohibit {l1}/32")
    try:
        wait_for("the URL in Aztec's log", lambda: path in bench.fleet.log(NODE, "prover-node", "5m"), 120)
        ran = bench.run("l1-lost", VERIFY, "--limit", NODE)
    finally:
        bench.fleet.execute(NODE, f"ip route del prohibit {l1}/32")
    assert "prover_node" in ran.said, ran.said[-3000:]
    clean(bench, ran)


# --- what all of them left ------------------------------------------------------------------------------------------


def test_no_process_and_no_temporary_file_held_a_secret(bench: Bench) -> None:
    sampler = bench.sampler
    print(f"{sampler.passes} passes, {sampler.processes} different command lines, {sampler.files} files")
    assert sampler.passes > 100 and sampler.processes > 50 and sampler.files > 50
    assert sorted(sampler.finds) == []


@pytest.mark.parametrize("name", ["node-1", "agent-1"])
def test_journal(bench: Bench, name: str) -> None:
    journal = bench.fleet.execute(name, "journalctl --all --output export --no-pager").out.encode()
    assert b"Invoked with" in journal, "no module is in the journal: nothing was searched"
    assert bench.secrets.in_text(journal) == set()


def test_files_of_the_node(bench: Bench) -> None:
    root = bench.roots[NODE]
    found = bench.secrets.in_files(host_places(root))
    assert misplaced(root, found, AZTECS_LOG) == []
    assert [names for path, names in found.items() if path.name.endswith("-json.log")] == [{"L1 path"}]
    inside = {str(path.relative_to(root)) for path in found}
    assert {"opt/aztec/prover-node/.env", STORE} <= inside


def test_files_of_the_agent(bench: Bench) -> None:
    found = bench.secrets.in_files(host_places(bench.roots["agent-1"]))
    assert sorted(map(str, found)) == []


def test_nothing_is_left_on_this_machine(bench: Bench) -> None:
    assert bench.secrets.in_files([bench.open]) == {}
