"""Successful runs, and runs that fail at each step: no secret is in their output or in anything that they leave."""

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
from tests.system.secret_runs import FRAIL, HEALTHY, JOBS, NODE, Bench, Ran, fund, serve_echo

SITE, PREFLIGHT, VERIFY = (f"playbooks/{name}.yml" for name in ("site", "preflight", "verify"))
KEY = "prover_node_publisher_private_key"
ENVIRONMENT = "prover_node_secret_environment"
STORE = "opt/aztec/prover-node/keys/prover.json"
AZTEC_LOG = r"/var/lib/docker/containers/[0-9a-f]{64}/[0-9a-f]{64}-json\.log"
# A program that replaces the node's and prints its whole environment, including all secrets.
TELLTALE = "{entrypoint: [sh, -c, 'env; echo $$0 $$*; exit 3']}"


def assert_no_secrets(bench: Bench, ran: Ran) -> None:
    """Assert that the files of a run on this machine are complete and contain no secret."""
    found = bench.secrets.in_files([ran.directory, bench.open / "home", bench.open / "tmp"])
    assert {str(path.relative_to(bench.open)): names for path, names in found.items()} == {}
    assert {"output", "log"} <= {path.name for path in ran.directory.iterdir()}


def changed(ran: Ran, host: str = NODE) -> int:
    """Return how many tasks of a run changed a host."""
    (line,) = [line for line in ran.output.splitlines() if line.startswith(host) and " changed=" in line]
    return int(line.partition("changed=")[2].split()[0])


# --- successful runs ----------------------------------------------------------------------------------------------


def test_the_first_run(bench: Bench) -> None:
    ran = bench.run("first", SITE, "--limit", f"{NODE}:agent-1")
    assert ran.code == 0, ran.output[-3000:]
    assert_no_secrets(bench, ran)
    environment = bench.fleet.environment(NODE, "prover-node")
    assert environment["AWKWARD"] == bench.values["awkward"]
    assert environment["ETHEREUM_HOSTS"] == bench.l1_url


def test_nothing_changed(bench: Bench) -> None:
    ran = bench.run("again", SITE, "--limit", NODE)
    assert (ran.code, changed(ran)) == (0, 0), ran.output[-3000:]
    assert_no_secrets(bench, ran)
    # Check that the run kept all files, so that they were searched.
    results = [json.loads(line) for line in (ran.directory / "results.jsonl").read_text().splitlines()]
    assert {"ok", "skipped"} <= {result["how"] for result in results}


def test_check_mode_shows_a_change_and_no_secret(bench: Bench) -> None:
    settings = f"{ENVIRONMENT}: {{AWKWARD: {json.dumps('other ' + bench.values['awkward'])}}}\n"
    ran = bench.run("check", SITE, "--limit", NODE, "--check", settings=settings)
    assert ran.code == 0 and changed(ran), ran.output[-3000:]
    assert "AWKWARD=***" in ran.output
    assert_no_secrets(bench, ran)


@pytest.mark.parametrize("playbook", [PREFLIGHT, VERIFY])
def test_playbooks_that_only_read(bench: Bench, playbook: str) -> None:
    ran = bench.run(os.path.basename(playbook), playbook, "--limit", NODE)
    assert ran.code == 0, ran.output[-3000:]
    assert_no_secrets(bench, ran)


def test_imported_key(bench: Bench) -> None:
    inventory = bench.private / "keys"
    inventory.mkdir()
    (inventory / "hosts.yml").write_text(f"prover_node: {{hosts: {{{NODE}: }}}}\n")
    arguments = ["-e", "publisher_key_source=mnemonic", "-e", "publisher_key_environment=THE_WORDS"]
    words = {"THE_WORDS": bench.values["mnemonic"]}
    ran = bench.run("keys", "playbooks/keys.yml", *arguments, inventory=("-i", str(inventory)), environment=words)
    assert ran.code == 0, ran.output[-3000:]
    assert_no_secrets(bench, ran)
    assert bench.secrets.in_files([inventory]) == {}
    vault = inventory / "group_vars/all/vault.yml"
    assert vault.exists() and vault.stat().st_mode & 0o777 == 0o600


def test_key_in_the_environment_with_files_kept_and_no_pipelining(bench: Bench) -> None:
    """This is the default without this checkout's ansible.cfg, and when debugging Ansible."""
    kept = {"ANSIBLE_PIPELINING": "0", "ANSIBLE_KEEP_REMOTE_FILES": "1"}
    # The second setting changes the guard, so that a module without secrets runs too.
    settings = "prover_node_key_source: env\naztec_admit: [203.0.113.9]\n"
    ran = bench.run("kept", SITE, "--limit", NODE, settings=settings, environment=kept)
    assert ran.code == 0 and changed(ran), ran.output[-3000:]
    assert_no_secrets(bench, ran)
    left = bench.fleet.execute(NODE, "find /home -name 'AnsiballZ_*'").out.split()
    assert [path for path in left if "port_guard" in path], "no module was kept: the run shows nothing"
    assert [path for path in left if "compose_stack" in path or "host_info" in path] == []
    bench.fleet.execute(NODE, "rm -rf /home/*/.ansible/tmp")


# --- failing runs -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A failing run: its settings, commands on the host before and after it, and its expected error."""

    expected: str
    settings: str = ""
    playbook: str = SITE
    arguments: tuple[str, ...] = ()
    before: str = "true"
    after: str = "true"


def rows(bench: Bench) -> dict[str, Row]:
    """Return the failing runs, each at another step."""
    key, l1, echo = bench.values["publisher key"], bench.l1, bench.echo
    user = f"{bench.values['L1 user']}:{bench.values['L1 password']}"
    path = f"v3/{bench.values['L1 path']}"
    quoted = json.dumps(bench.values["awkward"])
    return {
        "key in a list": Row("is a list, not text", f'{KEY}: ["{key}"]\n'),
        "key that is an integer": Row("which YAML makes a number", f"{KEY}: {key}\n"),
        "key that is truncated": Row("is not 32 bytes of hex", f'{KEY}: "{key[:-2]}"\n'),
        "key with a trailing space": Row("is not 32 bytes of hex", f'{KEY}: "{key} "\n'),
        "secret environment that is a list": Row("is a list, not a dict", f"{ENVIRONMENT}: [{quoted}]\n"),
        "secret environment with a mapping in it": Row(
            "A is a dict, not text", f"{ENVIRONMENT}: {{A: {{B: {quoted}}}}}\n"
        ),
        "list of a URL and a number": Row(
            "entry 2 is a number, not a URL", f"aztec_l1_execution_urls: [{bench.l1_url}, 5]\n"
        ),
        "filter that does not exist": Row(
            "cannot be resolved (TemplateAssertionError)", f"{KEY}: \"{{{{ '{key}' | no_such_filter }}}}\"\n"
        ),
        "template that is truncated": Row(
            "cannot be resolved (TemplateSyntaxError)", f"{KEY}: \"{{{{ '{key}' \"\nprover_node_port: 8081\n"
        ),
        "variable that is not defined": Row(
            "uses 'undefined_variable', which is not defined", f'{KEY}: "{key}{{{{ undefined_variable }}}}"\n'
        ),
        "unknown variable": Row("is an unknown variable", f'{KEY}: "{key}"\nprover_node_prot: 1\n'),
        "YAML that cannot be read": Row("YAML parsing failed", f'{KEY}: "{key}"\n  prover_node_port: [1\n'),
        "unreachable host": Row("UNREACHABLE", "ansible_port: 1\nansible_ssh_extra_args: -o ControlPath=none\n"),
        "wrong sudo password": Row(
            "Incorrect sudo password", f"ansible_become_password: {bench.values['L1 password']}\n"
        ),
        "L1 that does not answer": Row(
            "is not reachable: connection refused",
            f"aztec_l1_execution_urls: ['http://{user}@{l1.split(':')[0]}:9/{path}']\n",
        ),
        "L1 that rejects and repeats the request": Row(
            "returns 401",
            f"aztec_l1_execution_urls: ['http://{user}@{echo}/{path}?key={bench.values['L1 path']}']\n"
            f"aztec_l1_consensus_urls: ['http://{echo}/{path}']\n",
        ),
        "engine version that does not exist": Row(
            "no available installation candidate for docker.io=99.9.9", "docker_engine_version: 99.9.9\n"
        ),
        "guard that cannot be loaded": Row(
            "failed on this host",
            "prover_node_port: 8082\n",
            before="mount --bind /bin/false /usr/sbin/nft",
            after="umount /usr/sbin/nft",
        ),
        "image that does not exist": Row(
            "Pulling aztecprotocol/none:4.1.2 failed", "prover_node_image: aztecprotocol/none\n"
        ),
        "service that Compose rejects": Row("Compose rejects", "prover_node_compose: {mem_limit: lots}\n"),
        "network with another bridge": Row("has bridge aztec0", "aztec_docker_bridge: other0\n"),
        "disk that is full": Row(
            "No space left",
            "prover_node_directory: /mnt/full\n",
            before="mkdir -p /mnt/full && mount -t tmpfs -o size=16k tmpfs /mnt/full",
            after="umount /mnt/full",
        ),
        "program that prints its secrets and exits": Row("exit code 3", f"prover_node_compose: {TELLTALE}\n"),
    }


@contextmanager
def prepared_host(bench: Bench, row: Row) -> Iterator[None]:
    """Run the row's commands on the host before and after a run."""
    bench.fleet.execute(NODE, row.before)
    try:
        yield
    finally:
        bench.fleet.execute(NODE, row.after)


@pytest.fixture(scope="session", autouse=True)
def echo(bench: Bench) -> Iterator[None]:
    """Serve an L1 that rejects requests, at an address that the hosts reach."""
    gateway = bench.fleet.settings.ipv4_network.rpartition(".")[0] + ".1"
    server = serve_echo(gateway)
    bench.echo = f"{gateway}:{server.server_port}"
    yield
    server.shutdown()


NAMES = [
    "key in a list",
    "key that is an integer",
    "key that is truncated",
    "key with a trailing space",
    "secret environment that is a list",
    "secret environment with a mapping in it",
    "list of a URL and a number",
    "filter that does not exist",
    "template that is truncated",
    "variable that is not defined",
    "unknown variable",
    "YAML that cannot be read",
    "unreachable host",
    "wrong sudo password",
    "L1 that does not answer",
    "L1 that rejects and repeats the request",
    "engine version that does not exist",
    "guard that cannot be loaded",
    "image that does not exist",
    "service that Compose rejects",
    "network with another bridge",
    "disk that is full",
    "program that prints its secrets and exits",
]


def test_every_row_is_run(bench: Bench) -> None:
    assert list(rows(bench)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_run_that_fails(bench: Bench, name: str) -> None:
    row = rows(bench)[name]
    with prepared_host(bench, row):
        ran = bench.run(name.replace(" ", "-"), row.playbook, "--limit", NODE, *row.arguments, settings=row.settings)
    assert ran.code != 0, ran.output[-3000:]
    assert row.expected in ran.output, ran.output[-3000:]
    assert_no_secrets(bench, ran)


def test_wrong_vault_password(bench: Bench) -> None:
    other = bench.private / "other-password"
    other.write_text("x" + bench.values["vault password"])
    ran = bench.run("wrong-password", SITE, "--limit", NODE, password=other)
    assert ran.code != 0, ran.output[-3000:]
    assert_no_secrets(bench, ran)


@pytest.mark.parametrize("wrong", ["list", "mapping"])
def test_single_role_with_a_wrong_type(bench: Bench, wrong: str) -> None:
    key, quoted = bench.values["publisher key"], bench.values["awkward"]
    settings = {"list": {KEY: [key]}, "mapping": {KEY: {"key": key}, ENVIRONMENT: [quoted]}}[wrong]
    play = {"hosts": NODE, "gather_facts": False, "roles": [{"role": "aztec_ops.prover.prover_node", **settings}]}
    playbook = bench.private / f"single-{wrong}.yml"
    playbook.write_text(yaml.safe_dump([play]))
    ran = bench.run(f"single-{wrong}", str(playbook))
    assert ran.code != 0 and KEY in ran.output, ran.output[-3000:]
    assert_no_secrets(bench, ran)


# --- interrupted runs ---------------------------------------------------------------------------------------------


def test_killed_job(bench: Bench) -> None:
    settings = "prover_node_environment: {INTERRUPTED: killed}\n"
    ran = bench.run("killed", SITE, "--limit", NODE, settings=settings, meanwhile=bench.kill_job)
    assert ran.code != 0 and "was interrupted on the host: run the same command again" in ran.output, ran.output[-3000:]
    assert_no_secrets(bench, ran)


def test_connection_lost_briefly(bench: Bench) -> None:
    """The job continues without the connection, and its result is fetched afterwards."""
    settings = "prover_node_environment: {INTERRUPTED: lost}\n"
    ran = bench.run("lost", SITE, "--limit", NODE, settings=settings, meanwhile=bench.lose_connection_briefly)
    assert "no progress for now" in ran.output, ran.output[-3000:]
    assert ran.code == 0, ran.output[-3000:]
    assert_no_secrets(bench, ran)
    assert bench.fleet.environment(NODE, "prover-node")["INTERRUPTED"] == "lost"


def test_connection_lost_permanently(bench: Bench) -> None:
    """The job prints its secrets, fails and rolls back without a connection. Its notes remain."""
    root = bench.roots[NODE]

    def notes() -> set[Path]:
        return set((root / JOBS.lstrip("/")).glob("*/result.json"))

    before, settings = notes(), f"prover_node_compose: {TELLTALE}\n"
    try:
        ran = bench.run("away", SITE, "--limit", NODE, settings=settings, meanwhile=bench.cut_connection)
        (note,) = wait_for("the job's end", lambda: notes() - before, 120)
    finally:
        bench.fleet.execute(NODE, "systemctl start ssh.service")
    assert ran.code != 0 and "it continues there, run the same command again" in ran.output, ran.output[-3000:]
    assert_no_secrets(bench, ran)
    left = note.read_text()
    assert "exit code 3" in left and "are back and run" in left, left
    assert "ETHEREUM_HOSTS=" in left, "the log's last lines are not in it: nothing was searched"
    assert bench.secrets.in_files(host_temporary(root)) == {}
    assert misplaced(root, bench.secrets.in_files(host_places(root)), AZTEC_LOG) == []
    ran = bench.run("back", SITE, "--limit", NODE)
    assert ran.code == 0, ran.output[-3000:]
    assert_no_secrets(bench, ran)


def test_interrupted_run(bench: Bench) -> None:
    settings = "prover_node_environment: {INTERRUPTED: interrupted}\n"
    ran = bench.run("interrupted", SITE, "--limit", NODE, settings=settings, meanwhile=bench.interrupt)
    assert ran.code != 0, ran.output[-3000:]
    assert_no_secrets(bench, ran)


def test_run_after_interruptions(bench: Bench) -> None:
    ran = bench.run("after-interruptions", SITE, "--limit", NODE)
    assert ran.code == 0, ran.output[-3000:]
    assert_no_secrets(bench, ran)
    assert "INTERRUPTED" not in bench.fleet.environment(NODE, "prover-node")


def test_health_lost_during_the_run(bench: Bench) -> None:
    """The last good files are restored. The program also prints its whole environment."""
    check = f"{{test: [CMD-SHELL, 'test -e /var/lib/data/{os.path.basename(HEALTHY)}'], interval: 5s, retries: 1}}"
    program = f"{{entrypoint: [sh, -c, 'env; exec sleep 100000'], labels: {{{FRAIL}: x}}, healthcheck: {check}}}"
    settings = f"prover_node_compose: {program}\nprover_node_start_timeout: 10\n"
    ran = bench.run("frail", SITE, "--limit", NODE, settings=settings, meanwhile=bench.lose_health)
    assert ran.code != 0 and "it was healthy and is no longer" in ran.output, ran.output[-3000:]
    assert "The last good files and images are back and run" in ran.output, ran.output[-3000:]
    assert "ETHEREUM_HOSTS=" in ran.output, "the log's last lines are not shown: nothing was searched"
    assert_no_secrets(bench, ran)
    root = bench.roots[NODE]
    assert misplaced(root, bench.secrets.in_files(host_places(root)), AZTEC_LOG) == []
    assert FRAIL not in bench.fleet.container(NODE, "prover-node")["Config"]["Labels"]


def test_lost_health_is_reported_with_log_lines(bench: Bench) -> None:
    """The program prints its whole environment, and is healthy until a file appears."""
    check = "{test: [CMD-SHELL, 'test ! -e /var/lib/data/ill'], interval: 1s, retries: 1}"
    program = f"{{entrypoint: [sh, -c, 'env; exec sleep 100000'], healthcheck: {check}}}"
    settings = f"prover_node_compose: {program}\nprover_node_start_timeout: 10\n"
    ran = bench.run("healthy", SITE, "--limit", NODE, settings=settings)
    assert ran.code != 0 and "does not respond at /status" in ran.output, ran.output[-3000:]
    assert_no_secrets(bench, ran)
    ill = "/opt/aztec/prover-node/data/ill"
    bench.fleet.execute(NODE, f"touch {ill}")
    try:
        wait_for("health to be lost", lambda: not bench.fleet.healthy(NODE, "prover-node"), 30)
        ran = bench.run("ill", SITE, "--limit", NODE, settings=settings)
    finally:
        bench.fleet.execute(NODE, f"rm {ill}")
    assert ran.code != 0 and "it was healthy and is no longer" in ran.output, ran.output[-3000:]
    assert "ETHEREUM_HOSTS=" in ran.output, "the log's last lines are not shown: nothing was searched"
    assert_no_secrets(bench, ran)
    ran = bench.run("healthy-again", SITE, "--limit", NODE)
    assert ran.code == 0, ran.output[-3000:]
    assert_no_secrets(bench, ran)


# --- another key ----------------------------------------------------------------------------------------------------


def rotate(bench: Bench, name: str, *arguments: str, **more: Any) -> Ran:
    """Run the rotation, with the mnemonic of the new key in the environment."""
    inventory, words = ("-i", str(bench.merged_inventory())), {"THE_WORDS": bench.values["next mnemonic"]}
    return bench.run(name, "playbooks/rotate_key.yml", *arguments, inventory=inventory, environment=words, **more)


IMPORT = ("-e", "publisher_key_source=mnemonic", "-e", "publisher_key_environment=THE_WORDS")


def test_rotation_to_an_empty_account(bench: Bench) -> None:
    ran = rotate(bench, "rotation-empty", *IMPORT)
    assert ran.code != 0 and "has 0 ETH and cannot pay" in ran.output, ran.output[-3000:]
    assert_no_secrets(bench, ran)


def test_rotation_with_killed_job(bench: Bench) -> None:
    fund(bench.fleet, bench.values["next key"])
    ran = rotate(bench, "rotation-killed", *IMPORT, meanwhile=bench.kill_job)
    assert ran.code != 0 and "did not start with the key of" in ran.output, ran.output[-3000:]
    assert_no_secrets(bench, ran)


def test_rotation(bench: Bench) -> None:
    ran = rotate(bench, "rotation", *IMPORT)
    assert ran.code == 0 and changed(ran), ran.output[-3000:]
    assert_no_secrets(bench, ran)
    (vault,) = bench.merged_inventory().glob("group_vars/all/vault.yml")
    assert bench.secrets.in_files([vault]) == {} and vault.stat().st_mode & 0o777 == 0o600
    assert "next key" in bench.secrets.in_files([bench.roots[NODE] / STORE])[bench.roots[NODE] / STORE]


def test_confirmed_rotation(bench: Bench) -> None:
    confirm = ("-e", "rotate_key_confirm=true")
    ran = rotate(bench, "rotation-refused", *confirm)
    assert ran.code != 0 and "the old key stays in the vault" in ran.output, ran.output[-3000:]
    assert_no_secrets(bench, ran)
    ran = rotate(bench, "rotation-confirmed", *confirm, "-e", "rotate_key_force=true")
    assert ran.code == 0 and changed(ran), ran.output[-3000:]
    assert_no_secrets(bench, ran)


# --- an L1 that is lost -------------------------------------------------------------------------------------------


def test_l1_lost_while_the_node_runs(bench: Bench) -> None:
    """Aztec logs the whole URL of an L1 that it cannot reach. The collection may read this log, but not show the URL.

    This is the last run, so that the container's log still exists.
    """
    l1, path = bench.fleet.settings.l1_address, bench.values["L1 path"]
    bench.fleet.execute(NODE, f"ip route add prohibit {l1}/32")
    try:
        wait_for("the URL in Aztec's log", lambda: path in bench.fleet.log(NODE, "prover-node", "5m"), 120)
        ran = bench.run("l1-lost", VERIFY, "--limit", NODE)
    finally:
        bench.fleet.execute(NODE, f"ip route del prohibit {l1}/32")
    assert "prover_node" in ran.output, ran.output[-3000:]
    assert_no_secrets(bench, ran)


# --- what all runs left -------------------------------------------------------------------------------------------


def test_processes_and_temporary_files_have_no_secrets(bench: Bench) -> None:
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
    assert misplaced(root, found, AZTEC_LOG) == []
    assert [names for path, names in found.items() if path.name.endswith("-json.log")] == [{"L1 path"}]
    inside = {str(path.relative_to(root)) for path in found}
    assert {"opt/aztec/prover-node/.env", STORE} <= inside


def test_files_of_the_agent(bench: Bench) -> None:
    found = bench.secrets.in_files(host_places(bench.roots["agent-1"]))
    assert sorted(map(str, found)) == []


def test_controller_has_no_secrets(bench: Bench) -> None:
    assert bench.secrets.in_files([bench.open]) == {}
