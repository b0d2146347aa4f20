"""The examples of docs/secrets.md, run unchanged, and each of them with an error."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import dotenv

from lab.fleet.system import need
from tests.bad_input.harness import Endpoint, assert_clean, plain, table_of
from tests.harness import vault_server
from tests.harness.parts import galaxy
from tests.rendered.fleets import HOST_INFO
from tests.rendered.render import project_task

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
PAGE = (ROOT / "docs/secrets.md").read_text(encoding="utf-8")

KEY, API_KEY = "0x" + "5ec2e7ab" * 8, "S3cret5ec2e7ab0123456789"
PASSWORD = "vault-S3cret-password"
NAME, URLS = "prover_node_publisher_private_key", "aztec_l1_execution_urls"

HOSTS = """\
prover_node: {hosts: {node-1: {ansible_host: 127.0.0.10, aztec_address: 10.0.0.10, prover_node_p2p_ip: 9.9.9.9}}}
prover_broker: {hosts: {node-1: }}
prover_agent: {hosts: {agent-1: {ansible_host: 127.0.0.21, aztec_address: 10.0.0.21}}}
"""
MAIN = {
    "aztec_version": "4.1.2",
    "aztec_network": "testnet",
    URLS: ["https://rpc.lan"],
    "aztec_l1_consensus_urls": ["https://rpc.lan"],
}
# An editor that writes the content of the page into the file.
EDITOR = '#!/bin/sh\nexec cp "$TYPED" "$1"\n'
# Texts that no run may print
NOISE = ("[WARNING]", "[DEPRECATION", "Traceback")


def blocks(title: str) -> list[tuple[str, str]]:
    """Return (language, text) of each block of code in a section of the page."""
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


class Place:
    """A folder with an inventory without secrets, in which an operator follows the page."""

    def __init__(self, folder: Path, vault: vault_server.Vault) -> None:
        self.folder, self.vault, self.endpoint = folder / "work", vault, Endpoint(folder)
        self.inventory = self.folder / "inventories/prod"
        (self.inventory / "group_vars/all").mkdir(parents=True)
        (self.inventory / "hosts.yml").write_text(HOSTS, encoding="utf-8")
        self.file("group_vars/all/main.yml", yaml.safe_dump({**MAIN, **self.endpoint.variables()}))
        home = folder / "home"
        home.mkdir()
        (folder / "password").write_text(PASSWORD, encoding="utf-8")
        (folder / "editor").write_text(EDITOR, encoding="utf-8")
        (folder / "editor").chmod(0o755)
        self.environment = {
            "PATH": f"{TOOLS}:{os.environ['PATH']}",
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
            "COLUMNS": "500",
            "EDITOR": str(folder / "editor"),
            "TYPED": str(folder / "typed"),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "default",
            "ANSIBLE_COLLECTIONS_PATH": f"{ROOT / 'collections'}:{galaxy()}",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_VAULT_PASSWORD_FILE": str(folder / "password"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def file(self, name: str, text: str) -> None:
        """Write a file of the inventory."""
        path = self.inventory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def follow(self, title: str, typed: str = "", until: str = "ansible-playbook", **environment: str) -> str:
        """Follow a section except for its run. Return that, a script with what the section exports before it."""
        script = ""
        for _language, text in (found := blocks(title)):
            head, _line, rest = text.partition("\n")
            if ", in the editor" in head:
                Path(self.environment["TYPED"]).write_text(self.filled(rest), encoding="utf-8")
        for language, text in found:
            head = re.match(r"# (\S+)\n", text)
            if language == "yaml" and head:
                (self.folder / head.group(1)).write_text(self.filled(text), encoding="utf-8")
            elif language == "bash":
                lines = text.replace("ansible-vault create", "ansible-vault create --skip-tty-check").splitlines()
                script += "".join(f"{line}\n" for line in lines if not line.startswith(until))
        # What is exported stays for the run.
        shown = self.shell(f"{script}env -0 >exported\n", typed, **environment)
        assert shown.returncode == 0, shown.stdout
        exported = (self.folder / "exported").read_text(encoding="utf-8").rstrip("\0").split("\0")
        self.environment.update(
            pair.split("=", 1) for pair in exported if not pair.startswith(("_=", "PWD=", "SHLVL="))
        )
        (run,) = (line for _language, text in found for line in text.splitlines() if line.startswith(until))
        return run.replace(" --ask-vault-pass", "")

    def filled(self, text: str) -> str:
        """Return a file of the page with the operator's own values."""
        own = {"0x...": KEY, "API_KEY": API_KEY, "rpc.example": "rpc.lan", "https://vault.example:8200": self.vault.url}
        for word, value in own.items():
            text = re.sub(rf"(?<![A-Z_]){re.escape(word)}", value, text)
        return text

    def shell(self, script: str, typed: str = "", **environment: str) -> subprocess.CompletedProcess:
        """Run a script in the folder, without a terminal. Its stdout has stdout and stderr."""
        return subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=self.folder,
            env={**self.environment, **environment},
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
            check=False,
        )

    def run(self, command: str, **environment: str) -> str:
        """Run the page's command and assert that it passed the check without a warning and contacted the hosts."""
        shown = self.shell(command, **environment)
        assert "TASK [aztec_ops.prover.preflight : Gather host info" in shown.stdout, shown.stdout
        before = shown.stdout.partition("TASK [aztec_ops.prover.preflight : Gather host info")[0]
        assert not any(word in shown.stdout for word in NOISE) and "HOST " not in before, shown.stdout
        assert sorted(self.endpoint.connections) == ["127.0.0.10 22", "127.0.0.21 22"]
        assert_clean(shown.stdout, (*secrets_of_the_page(), PASSWORD))
        return shown.stdout

    def refused(self, command: str, *lines: str, **environment: str) -> None:
        """Run the page's command and assert that it fails with these lines, shows no secret and contacts no host."""
        shown = self.shell(command, **environment)
        assert shown.returncode == 2, shown.stdout
        assert table_of(shown.stdout) == sorted(plain(line) for line in lines), shown.stdout
        assert_clean(shown.stdout, (*secrets_of_the_page(), PASSWORD))
        assert not any(word in shown.stdout for word in NOISE), shown.stdout
        assert self.endpoint.connections == []

    def rendered(self) -> dict:
        """Return what the node's role hands to compose_stack, resolved by Ansible with this inventory."""
        role, (arguments, variables) = ROOT / "roles/prover_node", project_task("prover_node")
        defaults = yaml.safe_load((role / "defaults/main.yml").read_text(encoding="utf-8"))
        # An inventory's variables of all hosts rank below those of its group_vars, as a role's defaults do.
        (self.folder / "defaults.json").write_text(json.dumps({"all": {"vars": defaults}}))
        facts = {"preflight_host_info": HOST_INFO, "preflight_fleet": "{{ hostvars | aztec_ops.prover.fleet(groups) }}"}
        given = {"vars": facts}
        write = {"write_arguments": {**arguments, "__file": str(self.folder / "arguments.json")}, "vars": variables}
        files = [str(role / "vars/main.yml"), str(ROOT / "roles/component/vars/main.yml")]
        play = {"hosts": "node-1", "gather_facts": False, "vars_files": files, **given}
        (self.folder / "play.json").write_text(json.dumps([{**play, "tasks": [write]}]))
        command = "ansible-playbook -i defaults.json -i inventories/prod play.json"
        shown = self.shell(command, ANSIBLE_ACTION_PLUGINS=str(ROOT / "tests/plugins/action"))
        assert shown.returncode == 0, shown.stdout
        return json.loads((self.folder / "arguments.json").read_text(encoding="utf-8"))


def secrets_of_the_page() -> tuple:
    return ("5ec2e7ab", "5EC2E7AB", API_KEY, str(int(KEY, 16))[:20])


@pytest.fixture(scope="module")
def vault(tmp_path_factory) -> Iterator[vault_server.Vault]:
    """Return a server with the secret of the page in it."""
    with vault_server.serve(tmp_path_factory.mktemp("vault")) as server:
        server.put("aztec/prover", publisher_private_key=KEY, l1_api_key=API_KEY)
        server.policy("aztec", "aztec/prover")
        server.policy("other", "aztec/other")
        yield server


@pytest.fixture
def place(tmp_path, vault) -> Place:
    """Return a new folder."""
    need({"age-keygen": "age"})
    return Place(tmp_path, vault)


def assert_rendered(place: Place, url: bool = True) -> None:
    """Assert that the node would get the right key, and the right URL."""
    arguments = place.rendered()
    assert KEY in arguments["files"]
    assert dotenv.parse(arguments["env"])["ETHEREUM_HOSTS"] == f"https://rpc.lan{f'/v3/{API_KEY}' if url else ''}"


# --- each method of the page ---


@pytest.mark.parametrize("title", ["A vault file", "sops files", "A sops lookup"])
def test_encrypted_files(title: str, place) -> None:
    command = place.follow(title)
    place.run(command)
    assert_rendered(place)


def test_single_values_in_a_vault(place) -> None:
    command = place.follow("Single values in a vault", KEY)
    place.run(command)
    assert_rendered(place, url=False)


def test_environment_variables(place) -> None:
    place.run(place.follow("Environment variables", f"{KEY}\n{API_KEY}\n"))
    assert_rendered(place)


def test_a_server_with_a_token(place, vault) -> None:
    command = place.follow("A server")
    place.run(command, VAULT_TOKEN=vault.token("aztec"))
    # As vault login leaves it
    (Path(place.environment["HOME"]) / ".vault-token").write_text(vault.token("aztec"), encoding="utf-8")
    assert_rendered(place)


def test_a_server_with_an_approle(place, vault) -> None:
    role_id, secret_id = vault.role("prover", "aztec")
    place.run(place.follow("A server with an AppRole", f"{role_id}\n{secret_id}\n"))
    assert_rendered(place)


def test_every_section_with_a_run_is_tried() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    titles = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    assert len(titles) == 8
    assert [title for title in titles if blocks(title) and f'"{title}"' not in source] == []


# --- each method with an error ---


def test_a_wrong_vault_password_is_refused(place, tmp_path) -> None:
    command = place.follow("Single values in a vault", KEY)
    (tmp_path / "wrong").write_text("another", encoding="utf-8")
    line = f"node-1 | {NAME} | cannot be decrypted | pass its vault password: --ask-vault-pass or --vault-password-file"
    place.refused(command, line, ANSIBLE_VAULT_PASSWORD_FILE=str(tmp_path / "wrong"))


def test_a_vault_file_whose_password_is_wrong_stops_the_run(place, tmp_path) -> None:
    command = place.follow("A vault file")
    (tmp_path / "wrong").write_text("another", encoding="utf-8")
    shown = place.shell(command, ANSIBLE_VAULT_PASSWORD_FILE=str(tmp_path / "wrong"))
    assert shown.returncode != 0 and place.endpoint.connections == []
    assert "[ERROR]: Decryption failed" in shown.stdout, shown.stdout
    assert_clean(shown.stdout, (*secrets_of_the_page(), PASSWORD))


def test_environment_variables_that_are_not_exported_are_named(place) -> None:
    command = place.follow("Environment variables", f"{KEY}\n{API_KEY}\n")
    what = "which is not set | export it before the run: docs/secrets.md"
    place.refused(
        f"export -n PUBLISHER_PRIVATE_KEY L1_API_KEY; {command}",
        f"node-1 | {NAME} | reads the environment variable PUBLISHER_PRIVATE_KEY, {what}",
        f"node-1 | {URLS} | reads the environment variable L1_API_KEY, {what}",
    )


def each(reason: str, remedy: str) -> list[str]:
    """Return the lines of the two variables whose lookup failed."""
    return [f"node-1 | {name} | its lookup {reason} | {remedy}" for name in (NAME, URLS)]


def test_sops_without_its_key_file_or_program(place) -> None:
    command = place.follow("A sops lookup")
    remedy = "set its key, for example with SOPS_AGE_KEY_FILE; sops decrypt FILE prints details"
    nothing = "failed: sops cannot decrypt", remedy
    place.refused(
        f"mv ~/.config/sops/age/keys.txt away; unset SOPS_AGE_KEY_FILE; {command}",
        *each(f"community.sops.sops {nothing[0]}", nothing[1]),
    )
    missing = each("community.sops.sops failed: the program sops is not installed", "install it, or set sops_binary")
    place.refused(command, *missing, ANSIBLE_SOPS_BINARY="/nowhere/sops")
    (place.folder / "prod.sops.json").rename(place.folder / "elsewhere.json")
    shown = place.shell(command)
    lines = each("community.sops.sops failed: the file does not exist", "correct its path")
    assert table_of(shown.stdout) == sorted(plain(line) for line in lines), shown.stdout
    # The remedies of the three lines.
    place.run(f"mv elsewhere.json prod.sops.json; mv away ~/.config/sops/age/keys.txt; {command}")


def test_files_of_sops_without_their_key_stop_the_run(place) -> None:
    command = place.follow("sops files")
    shown = place.shell(f"mv ~/.config/sops/age/keys.txt away; {command}")
    assert shown.returncode != 0 and place.endpoint.connections == []
    assert "secrets.sops.json" in shown.stdout, shown.stdout
    assert_clean(shown.stdout, secrets_of_the_page())


LOOKUP = "community.hashi_vault.vault_kv2_get"


def test_a_server_that_refuses(place, vault) -> None:
    command = place.follow("A server")
    wrong = f"{LOOKUP} failed: the server rejects the token or the path"
    denied = each(wrong, "log in again, or let its policy read the path")
    place.refused(command, *denied, VAULT_TOKEN="hvs.S3cret-that-does-not-exist")
    place.refused(command, *denied, VAULT_TOKEN=vault.token("other"))
    place.refused(
        command,
        *each(f"{LOOKUP} failed: it has no credentials", "set a token (VAULT_TOKEN) or another auth_method"),
    )
    place.run(command, VAULT_TOKEN=vault.token("aztec"))


def test_a_log_in_that_is_refused(place, vault) -> None:
    role_id, secret_id = vault.role("refused", "aztec")
    command = place.follow("A server with an AppRole", f"{role_id}\nS3cret\n")
    refused = each(f"{LOOKUP} failed: the server rejects the login", "correct role_id and secret_id")
    place.refused(command, *refused)
    place.run(command, ANSIBLE_HASHI_VAULT_SECRET_ID=secret_id)


def test_a_server_that_has_nothing_there_or_is_down(place, vault) -> None:
    command = place.follow("A server")
    secrets = place.inventory / "group_vars/all/secrets.yml"
    good = secrets.read_text(encoding="utf-8")
    secrets.write_text(good.replace("aztec/prover", "aztec/other"), encoding="utf-8")
    gone = each(
        f"{LOOKUP} failed: the server has no such secret", "correct path and mount point, or store the secret"
    )
    place.refused(command, *gone, VAULT_TOKEN=vault.token("other"))
    secrets.write_text(good.replace(vault.url, f"http://127.0.0.1:{vault_server.free_port()}"), encoding="utf-8")
    down = "start it, or correct ansible_hashi_vault_url (VAULT_ADDR)"
    place.refused(command, *each(f"{LOOKUP} failed: the server does not answer", down), VAULT_TOKEN="x")
    secrets.write_text(good.replace(".publisher_private_key", ".nothing"), encoding="utf-8")
    shown = place.shell(command, VAULT_TOKEN=vault.token("aztec"))
    (line,) = table_of(shown.stdout)
    assert re.fullmatch(
        plain(f"node-1 | {NAME} | uses .*, which is not defined | define it, or correct the template"), line
    )
    secrets.write_text(good, encoding="utf-8")
    place.run(command, VAULT_TOKEN=vault.token("aztec"))


def test_a_collection_that_is_not_installed(place) -> None:
    command = place.follow("A sops lookup")
    shown = place.shell(command, ANSIBLE_COLLECTIONS_PATH=str(ROOT / "collections"))
    lines = each("community.sops.sops is not installed", "ansible-galaxy collection install community.sops")
    assert table_of(shown.stdout) == sorted(plain(line) for line in lines), shown.stdout
    assert place.endpoint.connections == []
    place.run(command)


# --- costs ---


def test_a_secret_is_looked_up_only_for_the_hosts_that_use_it(place) -> None:
    command = place.follow("A sops lookup")
    agents = {
        f"agent-{number}": {"ansible_host": f"127.0.1.{number}", "aztec_address": f"10.0.1.{number}"}
        for number in range(1, 21)
    }
    groups = {**yaml.safe_load(HOSTS), "prover_agent": {"hosts": agents}}
    place.file("hosts.yml", yaml.safe_dump(groups))
    counted = place.folder / "counted"
    program = place.folder / "sops"
    program.write_text(f'#!/bin/sh\necho "$1" >>{counted}\nexec {TOOLS / "sops"} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    shown = place.shell(command, ANSIBLE_SOPS_BINARY=str(program))
    assert len(set(place.endpoint.connections)) == 21, shown.stdout
    decrypted = counted.read_text(encoding="utf-8").splitlines()
    print(f"sops was called {len(decrypted)} times for 21 hosts")
    assert len(decrypted) <= 12
