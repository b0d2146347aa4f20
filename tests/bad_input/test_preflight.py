"""Cases that do not fit into a table: many problems at once, vaults, and whether the tests can fail."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.bad_input.commands import run, variables
from tests.bad_input.harness import KEY, ROOT, TOOLS, assert_clean, assert_refused, play, table_of, write_inventory

NAME, ID = "prover_node_publisher_private_key", "prover_node_prover_id"


def test_all_faults_at_once(tmp_path, endpoint) -> None:
    row = {
        "all": """\
aztec_version: 5.2
aztec_netwrok: mainnet
aztec_environment: {A: "{{ lookup('ansible.builtin.file', '/nowhere/LookupS3cret') }}"}
""",
        "node-1": f"""\
{NAME}: {KEY}
aztec_l1_execution_urls: [rpc.lan/S3cret]
{ID}: "{{{{ undefined_variable }}}}"
""",
        "agent-1": "prover_agent_count: 0",
        "agent-2": "prover_agent_count: 0",
    }
    quoted = "is written without quotes, which YAML makes a number | put it in quotes"
    lines = [
        "all 3 hosts | aztec_version | is written without quotes, which YAML makes a number | "
        'write the whole version in quotes, such as "1.2.3"',
        "all 3 hosts | aztec_netwrok | is an unknown variable | did you mean aztec_network?",
        "all 3 hosts | aztec_environment | its lookup ansible.builtin.file failed (AnsibleError) | "
        "correct the lookup or its source",
        f"node-1 | {NAME} | {quoted}",
        "node-1 | aztec_l1_execution_urls | entry 1 has no scheme | begin it with http:// or https://",
        f"node-1 | {ID} | uses 'undefined_variable', which is not defined | define it, or correct the template",
        "agent-1, agent-2 | prover_agent_count | 0 is neither auto nor a number from 1 | set a number from 1, or auto",
    ]
    assert_refused(play(write_inventory(tmp_path, endpoint, row), "-vvv"), endpoint, lines)


@pytest.mark.parametrize("playbook", ["site.yml", "preflight.yml"])
def test_a_forked_command_shows_what_the_command_shows(playbook: str, tmp_path, endpoint) -> None:
    inventory = write_inventory(tmp_path, endpoint, {"node-1": f"{ID}: '{{{{ nothing }}}}'"})
    command = ["ansible-playbook", "-vvv", "-i", str(inventory), f"playbooks/{playbook}"]
    there = {"cwd": ROOT, "env": variables(), "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    real = subprocess.run(command, **there, check=False, text=True)
    forked = run(*command)
    assert forked.returncode == real.returncode == 2
    assert "1 problem in the inventory" in forked.stdout
    # The path of the command is another.
    shown, expected = (text.partition("python version")[2] for text in (forked.stdout, real.stdout))
    assert shown == expected and expected


@pytest.mark.parametrize("playbook", ["site.yml", "preflight.yml", "verify.yml"])
def test_every_playbook_refuses(playbook: str, tmp_path, endpoint) -> None:
    line = "node-1 | prover_broker_port | 99999 is not a port | set a number from 1 to 65535"
    inventory = write_inventory(tmp_path, endpoint, {"node-1": "prover_broker_port: 99999"})
    assert_refused(play(inventory, "-vvv", playbook=playbook), endpoint, [line])


def test_the_example_inventory_is_refused(tmp_path, endpoint) -> None:
    copied = tmp_path / "prod"
    shutil.copytree(ROOT / "inventories" / "prod", copied)
    (copied / "group_vars/all/vault.yml.example").rename(copied / "group_vars/all/vault.yml")
    (copied / "group_vars/all/endpoint.yml").write_text(yaml.safe_dump(endpoint.variables()), encoding="utf-8")
    lines = [
        f"node-1 | {NAME} | is still the example value | put your publisher's key into the vault file",
        "all 3 hosts | ansible_host | is still the example value | set the address of your host",
        "node-1 | aztec_l1_execution_urls | entry 1 is still the example value | set your own URL",
        "node-1 | aztec_l1_consensus_urls | entry 1 is still the example value | set your own URL",
    ]
    assert_refused(play(copied), endpoint, lines)


def vaulted(folder: Path, text: str) -> str:
    """Return a variable with an encrypted text. Write its password to folder/password."""
    (folder / "password").write_text("vault-S3cret-password", encoding="utf-8")
    command = [str(TOOLS / "ansible-vault"), "encrypt_string", "--stdin-name", NAME]
    command += ["--vault-password-file", str(folder / "password")]
    return subprocess.run(command, input=text, check=True, capture_output=True, text=True, timeout=60).stdout


def test_a_vaulted_key_is_read_and_a_missing_password_is_one_line(tmp_path, endpoint) -> None:
    inventory = write_inventory(tmp_path, endpoint, {"node-1": vaulted(tmp_path, KEY)})
    line = f"node-1 | {NAME} | cannot be decrypted | pass its vault password: --ask-vault-pass or --vault-password-file"
    assert_refused(play(inventory, "-vvv"), endpoint, [line])
    short = write_inventory(tmp_path, endpoint, {"node-1": vaulted(tmp_path, KEY[:-2])})
    line = f"node-1 | {NAME} | the private key is not 32 bytes of hex | give 0x and 64 hex digits"
    assert_refused(play(short, "-vvv", "--vault-password-file", str(tmp_path / "password")), endpoint, [line])


def test_a_key_looked_up_and_wrong_is_not_shown(tmp_path, endpoint) -> None:
    row = {"node-1": f"{NAME}: \"{{{{ lookup('ansible.builtin.env', 'THE_KEY') }}}}\""}
    line = f"node-1 | {NAME} | the private key is not 32 bytes of hex | give 0x and 64 hex digits"
    shown = play(write_inventory(tmp_path, endpoint, row), "-vvv", THE_KEY="LookupS3cret")
    assert_refused(shown, endpoint, [line])


def test_a_good_inventory_gets_to_the_hosts_and_shows_no_secret(tmp_path, endpoint) -> None:
    shown = play(write_inventory(tmp_path, endpoint, {}), "-vvv", playbook="preflight.yml")
    assert shown.returncode == 2, shown.stdout
    assert table_of(shown.stdout) == []
    assert sorted(endpoint.connections) == ["127.0.0.10 22", "127.0.0.21 22", "127.0.0.22 22"]
    assert "in the inventory, in the table above" not in shown.stdout
    assert_clean(shown.stdout)


def test_plain_secrets_are_reported_and_the_run_continues(tmp_path, endpoint) -> None:
    given, vault = tmp_path / "given.yml", tmp_path / "vault.yml"
    given.write_text(f"---\nthe_key: '{KEY}'\n", encoding="utf-8")
    row = {
        "without": ["aztec_plain_secrets", "aztec_l1_execution_urls", "aztec_l1_consensus_urls"],
        "node-1": f"{NAME}: '{{{{ the_key }}}}'\naztec_l1_execution_urls: [https://rpc.lan]\n"
        "aztec_l1_consensus_urls: ['https://rpc.lan/{{ the_path }}']",
    }
    vault.write_text("the_path: S3cret0123456789\n", encoding="utf-8")
    (tmp_path / "password").write_text("vault-S3cret-password", encoding="utf-8")
    command = [str(TOOLS / "ansible-vault"), "encrypt", "--vault-password-file", str(tmp_path / "password"), str(vault)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    inventory = write_inventory(
        tmp_path, endpoint, {**row, "groups": "prover_node: {hosts: {node-1: }}\nprover_broker: {hosts: {node-1: }}\n"}
    )
    (inventory / "group_vars/all/1.yml").write_text(yaml.safe_dump({**endpoint.variables(), "aztec_version": "4.1.2"}))
    arguments = ["-e", f"@{given}", "-e", f"@{vault}", "--vault-password-file", str(tmp_path / "password")]
    shown = play(inventory, "-vvv", *arguments)
    assert shown.returncode != 0 and endpoint.connections == ["127.0.0.10 22"], shown.stdout
    assert_clean(shown.stdout)
    line = (
        f"node-1 {NAME} (warning) is in clear text in {given}, line 2 encrypt it with ansible-vault, or use a lookup:"
    )
    assert table_of(shown.stdout) == [f"{line} docs/secrets.md"]


def test_the_search_finds_a_planted_secret(tmp_path, endpoint) -> None:
    shown = play(write_inventory(tmp_path, endpoint, {"all": "aztec_S3cret: 1"}))
    assert shown.returncode == 2
    with pytest.raises(AssertionError, match="S3cret is shown"):
        assert_clean(shown.stdout)


def test_results_are_searched_and_a_planted_secret_is_found(tmp_path) -> None:
    (tmp_path / "play.yml").write_text(
        "[{hosts: localhost, gather_facts: false, tasks: [{ansible.builtin.fail: {msg: S3cret}}]}]"
    )
    shown = run("ansible-playbook", "-i", "localhost,", str(tmp_path / "play.yml"))
    with pytest.raises(AssertionError, match="S3cret is shown"):
        assert_clean(shown.stderr)
