"""playbooks/rotate_key.yml on the controller: how the vault file changes and what is rejected. No secret leaks."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.action.publisher_key import qr_lines
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.ethereum import ethereum_address
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.wallet import from_mnemonic

from tests.controller.test_keys import (
    CONTENT,
    FIRST,
    FIRST_KEY,
    FLEET,
    KEY,
    MNEMONIC,
    PASSWORD,
    ROOT,
    Place,
    Run,
    vaulted,
)

NEXT, NEXT_WORDS = "prover_node_next_publisher_private_key", "prover_node_next_publisher_mnemonic"
PREVIOUS, PREVIOUS_WORDS = "prover_node_previous_publisher_private_key", "prover_node_previous_publisher_mnemonic"
OLD = "0x" + "5ec2e7ab" * 8
OWNER = ethereum_address(OLD)
CLEAR = CONTENT.replace("aztec_l1_execution_urls", "my_urls") + f'# A comment.\n{KEY}: "{OLD}"\n# The end.\n'

STAGE = """
- hosts: prover_node
  gather_facts: false
  tasks:
    - aztec_ops.prover.validate_inventory:
      register: found
    - aztec_ops.prover.rotate_key:
        step: stage
        fleet: "{{ found.fleet }}"
        source: "{{ publisher_key_source | default(omit) }}"
        file: "{{ publisher_key_file | default(omit) }}"
        confirm: "{{ rotate_key_confirm | default(omit) }}"
        rollback: "{{ rotate_key_rollback | default(omit) }}"
        force: "{{ rotate_key_force | default(omit) }}"
      register: staged
"""

# The steps around the node's role, without it.
STEPS = f"""{STAGE}
    - aztec_ops.prover.rotate_key:
        step: finish
        staged: "{{{{ staged }}}}"
      when: killed is not defined and staged.ready
"""

# Up to the check of the accounts.
CHECK = f"""{STAGE}
    - aztec_ops.prover.rotate_key:
        step: check_account
        staged: "{{{{ staged }}}}"
        force: "{{{{ rotate_key_force | default(omit) }}}}"
"""


def groups_of(nodes: dict, agents: dict | None = None) -> dict:
    """Return an inventory whose nodes are brokers, too."""
    groups = {"prover_node": nodes, "prover_broker": dict.fromkeys(nodes), "prover_agent": agents or {}}
    return {group: {"hosts": hosts} for group, hosts in groups.items()}


def place_with_key(folder: Path) -> Place:
    """Return an inventory of one host, this machine, with a key in its vault."""
    made = Place(folder)
    (made.inventory / "hosts.yml").write_text(json.dumps(groups_of({"node-1": FLEET})), encoding="utf-8")
    vaulted(made, made.vault, CLEAR, "prod")
    (folder / "steps.yml").write_text(STEPS, encoding="utf-8")
    (folder / "check.yml").write_text(CHECK, encoding="utf-8")
    return made


@pytest.fixture(name="place")
def fixture_place(tmp_path: Path) -> Place:
    """Return place_with_key of the test's directory."""
    return place_with_key(tmp_path)


def command(place: Place, options: dict, *arguments: str, book: str | Path = ROOT / "playbooks/rotate_key.yml") -> list:
    """Return the command line that runs a playbook with these variables."""
    given = [
        "-e",
        "ansible_become=false",
        *(word for pair in options.items() for word in ("-e", json.dumps(dict([pair])))),
    ]
    password = ["--vault-password-file", place.password]
    return ["ansible-playbook", str(book), "-i", str(place.inventory), *password, *given, *arguments]


def steps(place: Place, *arguments: str, **options: object) -> Run:
    """Run the steps around the node's role, without the role. The run must succeed."""
    run = place.run(command(place, options, *arguments, book=place.folder / "steps.yml"))
    assert run.status == 0, run.output
    return run


def keys(place: Place) -> dict:
    """Return the keys and mnemonics in the vault."""
    return {
        name: value for name, value in yaml.safe_load(place.clear().replace("!unsafe", "")).items() if "publ" in name
    }


def test_a_key_with_its_mnemonic_goes_round(place: Place) -> None:
    """Stage a new key, use it, roll back, use it again and remove the old key. The rest of the vault never changes."""
    run = steps(place, "-vvvv", "--diff", killed=True)
    staged = keys(place)
    assert list(staged) == [KEY, NEXT, NEXT_WORDS] and staged[KEY] == OLD
    account = from_mnemonic(staged[NEXT_WORDS])
    assert (account.key, len(account.mnemonic.split())) == (staged[NEXT], 24)
    assert place.clear().startswith(f"{CLEAR}# The publisher's key, of account {account.address}.\n")
    assert account.address in run.lines and "\n".join(qr_lines(f"ethereum:{account.address}")) in run.output
    changes = f'from {OWNER} to {account.address}; to keep it, set prover_node_prover_id: "{OWNER}".'
    assert changes in run.output
    assert place.leaks(run, OLD, staged[NEXT], staged[NEXT_WORDS], PASSWORD) == []

    # Run again after an interruption.
    before = place.tree()
    again = steps(place, killed=True)
    assert place.tree() == before and "changed=0" in again.output
    assert f"{account.address} replaces {OWNER}; the keys are in {place.vault}." in again.lines

    runs = [steps(place, "-vvvv", "--diff")]
    rotated = place.clear()
    assert keys(place) == {PREVIOUS: OLD, KEY: account.key, MNEMONIC: account.mnemonic}
    assert rotated == place_of(CLEAR, KEY, PREVIOUS) + place_of(added(account), KEY, KEY)
    assert place.vault.read_bytes().startswith(b"$ANSIBLE_VAULT;1.2;AES256;prod\n")
    assert place.vault.stat().st_mode & 0o7777 == 0o600
    before = place.tree()
    assert "changed=0" in steps(place).output and place.tree() == before

    runs.append(steps(place, rotate_key_rollback=True))
    assert keys(place) == {KEY: OLD, NEXT: account.key, NEXT_WORDS: account.mnemonic}
    assert f"The key of {account.address} is staged: run the command without options to change to it." in (
        runs[-1].lines
    )
    before = place.tree()
    assert "changed=0" in steps(place, rotate_key_rollback=True).output and place.tree() == before

    steps(place)
    assert place.clear() == rotated
    runs.append(steps(place, "-vvvv", "--diff", rotate_key_confirm=True))
    assert place.clear() == CLEAR.replace(f'{KEY}: "{OLD}"\n', "") + place_of(added(account), KEY, KEY)
    before = place.tree()
    assert "changed=0" in steps(place, rotate_key_confirm=True).output and place.tree() == before
    steps(place)
    twice = keys(place)
    assert twice == {
        PREVIOUS: account.key,
        PREVIOUS_WORDS: account.mnemonic,
        KEY: twice[KEY],
        MNEMONIC: twice[MNEMONIC],
    }
    steps(place, rotate_key_confirm=True)
    assert keys(place) == {KEY: twice[KEY], MNEMONIC: twice[MNEMONIC]} and twice[KEY] != account.key
    for run in runs:
        assert place.leaks(run, OLD, account.key, account.mnemonic, PASSWORD) == []


def added(account) -> str:
    """Return the lines of an account as keys.yml writes them."""
    return (
        f"# The publisher's key, of account {account.address}.\n"
        f'{KEY}: "{account.key}"\n'
        f"# Backup that no role uses, the key's mnemonic, path {account.path}.\n"
        f'{MNEMONIC}: "{account.mnemonic}"\n'
    )


def place_of(text: str, name: str, new: str) -> str:
    """Return a text with a variable under another name."""
    return re.sub(rf"^{name}:", f"{new}:", text, flags=re.MULTILINE)


def test_an_imported_key_and_the_comment_of_a_key(place: Place) -> None:
    """The comment that was written with a key is removed with it."""
    file = place.give("key", FIRST_KEY)
    run = steps(place, "-vvvv", publisher_key_source="private_key", publisher_key_file=file)
    assert keys(place) == {PREVIOUS: OLD, KEY: FIRST_KEY}
    assert place.leaks(run, FIRST_KEY, OLD) == []
    confirmed = steps(place, rotate_key_confirm=True)
    assert f"The key of {OWNER} was removed." in confirmed.lines
    steps(place)
    steps(place, rotate_key_confirm=True)
    assert FIRST not in place.clear() and list(keys(place)) == [KEY, MNEMONIC]


def test_an_account_that_cannot_be_queried_stops_the_run(place: Place) -> None:
    """The new key is staged once, and nothing else changes."""
    before, book = place.clear(), place.folder / "check.yml"
    run = place.run(command(place, {}, "-vvvv", "--diff", book=book))
    message = run.message()
    assert message.endswith(" of the L1, in the table above; nothing on the node's host was changed")
    staged = keys(place)
    assert list(staged) == [KEY, NEXT, NEXT_WORDS] and place.clear().startswith(before)
    assert any(line.split() == ["next", ethereum_address(staged[NEXT]), "unknown", "unknown"] for line in run.lines)
    assert place.leaks(run, OLD, staged[NEXT], staged[NEXT_WORDS], PASSWORD) == []
    tree = place.tree()
    assert place.run(command(place, {}, book=book)).message() == message
    assert place.tree() == tree


def test_check_mode_writes_nothing(place: Place) -> None:
    before = place.tree()
    run = place.run(command(place, {}, "--check"))
    assert run.status == 0, run.output
    assert place.tree() == before


def test_engine_that_is_down_blocks_the_rotation_but_not_a_forced_removal(place: Place) -> None:
    """The error contains the reason. A forced removal of an old key requires neither the host nor the L1."""
    vaulted(place, place.vault, f'{CLEAR}{PREVIOUS}: "{FIRST_KEY}"\n', "prod")
    nowhere = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    confirm = {"rotate_key_confirm": True}
    run = place.run(command(place, confirm), **nowhere)
    assert run.message() == ("node-1: Docker is not usable on this host: start it, then run the same command again")
    assert keys(place) == {KEY: OLD, PREVIOUS: FIRST_KEY}
    run = place.run(command(place, {**confirm, "rotate_key_force": True}), **nowhere)
    assert run.status == 0, run.output
    assert f"The publisher's key in {place.vault} is that of {OWNER}." in run.lines
    assert keys(place) == {KEY: OLD}


@pytest.mark.parametrize(
    ("kept", "options", "again"),
    [
        (None, {}, True),
        # The account of a key that this run made is empty.
        (None, {"rotate_key_force": True}, True),
        (NEXT, {}, True),
        (NEXT, {"rotate_key_force": True}, False),
        (PREVIOUS, {"rotate_key_rollback": True}, True),
        (PREVIOUS, {"rotate_key_rollback": True, "rotate_key_force": True}, False),
        (PREVIOUS, {}, False),
    ],
)
def test_no_key_goes_unseen_to_the_node(place: Place, kept: str | None, options: dict, again: bool) -> None:
    """Without L1 checks, the operator confirms that the account can pay, but not in the run that makes it."""
    if kept:
        vaulted(place, place.vault, f'{CLEAR}{kept}: "{FIRST_KEY}"\n', "prod")
    run = place.run(command(place, {"aztec_l1_checks": "ignore", **options}, book=place.folder / "check.yml"))
    if not again:
        assert run.status == 0, run.output
        assert "The accounts were not checked, because aztec_l1_checks is ignore." in run.lines
        return
    wanted = FIRST if kept else ethereum_address(keys(place)[NEXT])
    assert run.message() == (
        f"aztec_l1_checks is ignore, so the balance of {wanted} is not checked: send ETH to it, then run the same "
        f"command again with -e rotate_key_force=true; the node still runs with {OWNER}"
    )


@pytest.mark.parametrize("then", [f'{NEXT}: "{OLD}"\n', ""])
def test_a_vault_that_is_changed_while_a_run_waits(place: Place, then: str) -> None:
    """The node gets the key whose account was checked, or none."""
    steps(place, killed=True)
    book = (place.folder / "check.yml").read_text(encoding="utf-8")
    shutil.copytree(ROOT / "playbooks/tasks", place.folder / "tasks")
    vaulted(place, place.folder / "other.yml", CLEAR.replace(OLD, FIRST_KEY) + then, "prod")
    more = f"""
    - ansible.builtin.copy: {{src: "{place.folder}/other.yml", dest: "{place.vault}", mode: "0600", decrypt: false}}
      delegate_to: localhost
    - ansible.builtin.include_tasks: tasks/assert_only_key_changes.yml
"""
    book = book.replace("staged", "__rotate_key").replace("__rotate_key:", "staged:")
    (place.folder / "check.yml").write_text(book + more, encoding="utf-8")
    options = {"aztec_l1_checks": "ignore", "rotate_key_force": True}
    run = place.run(command(place, options, "-vvvv", "--diff", book=place.folder / "check.yml"))
    assert run.message() == f"{place.vault} was changed during this run: run the same command again"
    assert place.leaks(run, OLD, FIRST_KEY, PASSWORD) == []


def test_the_same_import_again_ends_the_rotation(place: Place) -> None:
    """The options of an imported key stay in the command. Another key than the staged one is rejected."""
    first = {"publisher_key_source": "private_key", "publisher_key_file": place.give("key", FIRST_KEY)}
    other = {**first, "publisher_key_file": place.give("other", "0x" + "1" * 64)}
    steps(place, killed=True, **first)
    before = place.tree()
    run = place.run(command(place, other, "-vvvv"))
    assert run.message().startswith(f"the given key is of {ethereum_address('0x' + '1' * 64)}, and {NEXT} in ")
    assert place.tree() == before
    steps(place, **first)
    assert keys(place) == {PREVIOUS: OLD, KEY: FIRST_KEY}
    before = place.tree()
    assert "changed=0" in steps(place, **first).output and place.tree() == before
    run = place.run(command(place, other))
    assert f"the rotation to {FIRST} is not confirmed yet" in run.message()
    assert place.tree() == before


def test_variables_are_resolved_only_for_the_hosts_that_use_them(place: Place) -> None:
    """A lookup in a variable of the node does not run for an agent."""
    fleet = {name: value for name, value in FLEET.items() if name != "aztec_l1_consensus_urls"}
    groups = groups_of({"node-1": fleet}, {"agent-1": {**fleet, "ansible_host": "10.0.0.11"}})
    (place.inventory / "hosts.yml").write_text(json.dumps(groups), encoding="utf-8")
    word = "{{ lookup('ansible.builtin.file', inventory_hostname ~ '.word') }}"
    (place.inventory / "group_vars/all/word.yml").write_text(
        f'aztec_l1_consensus_urls: ["https://beacon.lan/{word}"]\n', encoding="utf-8"
    )
    files = place.folder / "files"
    files.mkdir()
    (files / "node-1.word").write_text("word", encoding="utf-8")
    steps(place, killed=True)
    assert NEXT in keys(place)


# Variables, the vault's text (None: unchanged), more files of the inventory, and the beginning of the error.
REFUSED = {
    "a misspelt option": (
        {"rotate_key_wiat": 9},
        None,
        {},
        "unknown variable rotate_key_wiat: did you mean rotate_key_w",
    ),
    "a misspelt option of the key": (
        {"publisher_key_sorce": 1},
        None,
        {},
        "unknown variable publisher_key_sorce: did",
    ),
    "not seconds": ({"rotate_key_wait": "S3cret"}, None, {}, "rotate_key_wait is not a whole number: give one from 0"),
    "negative seconds": ({"rotate_key_wait": -1}, None, {}, "rotate_key_wait is not a whole number"),
    "not a boolean": ({"rotate_key_confirm": "S3cret"}, None, {}, "rotate_key_confirm is not a boolean: write true"),
    "force without confirm": (
        {"rotate_key_force": True},
        None,
        {},
        "rotate_key_force requires rotate_key_confirm, or aztec_l1_checks set to ignore: omit it",
    ),
    "rewards without confirm": (
        {"rotate_key_rewards_moved": True},
        None,
        {},
        "rotate_key_rewards_moved requires rotate_key_confirm: set that too",
    ),
    "a new key and a rollback": (
        {"rotate_key_rollback": True, "publisher_key_source": "private_key"},
        None,
        {},
        "publisher_key_source is for a new key, not for rotate_key_rollback: set only one of them",
    ),
    "confirm and rollback": (
        {"rotate_key_confirm": True, "rotate_key_rollback": True},
        None,
        {},
        "rotate_key_confirm and rotate_key_rollback are both set: set only one of them",
    ),
    "no previous key": (
        {"rotate_key_rollback": True},
        None,
        {},
        f"{{vault}} does not have {PREVIOUS}, so a rollback is not possible",
    ),
    "the old key": (
        {"publisher_key_source": "private_key", "publisher_key_file": "{given}/old"},
        None,
        {},
        f"the new key is in the vault already, of {OWNER}: give another one",
    ),
    "another host's key": (
        {"publisher_key_source": "private_key", "publisher_key_file": "{given}/other"},
        None,
        {"host_vars/guest.yml": f'sequencer_key: "{FIRST_KEY}"\n'},
        "1 problem with the new key, in the table above",
    ),
    "a short key": (
        {"publisher_key_source": "private_key", "publisher_key_file": "{given}/short"},
        None,
        {},
        "the private key is not 32 bytes of hex",
    ),
    "the same key twice": (
        {},
        f'{KEY}: "{OLD}"\n{NEXT}: "{OLD}"\n',
        {},
        f"{NEXT} in {{vault}} is the same key as {KEY}",
    ),
    "three keys": (
        {},
        f'{KEY}: "{OLD}"\n{NEXT}: "{FIRST_KEY}"\n{PREVIOUS}: "{"0x" + "1" * 64}"\n',
        {},
        f"{{vault}} has both {NEXT} and {PREVIOUS}: remove the one that is not needed",
    ),
    "confirm before the change": (
        {"rotate_key_confirm": True},
        f'{KEY}: "{OLD}"\n{NEXT}: "{FIRST_KEY}"\n',
        {},
        f"the new key in {{vault}}, of {FIRST}, is not in use yet: run aztec_ops.prover.rotate_key first",
    ),
    "a mnemonic without its key": (
        {},
        f'{KEY}: "{OLD}"\n{NEXT_WORDS}: "S3cret"\n',
        {},
        f"{{vault}} has {NEXT_WORDS} but not {NEXT}",
    ),
    "a key from a lookup": (
        {},
        "a: 1\n",
        {"host_vars/node-1.yml": f"{KEY}: \"{{{{ lookup('ansible.builtin.env', 'THE_KEY') }}}}\"\n"},
        f"{KEY} in {{inventory}}/host_vars/node-1.yml is a template or an encrypted value of its own: change it",
    ),
    "a plain file": (
        {},
        "a: 1\n",
        {"host_vars/node-1.yml": f'{KEY}: "{OLD}"\n'},
        "{inventory}/host_vars/node-1.yml is plain text: encrypt it first with ansible-vault encrypt",
    ),
    "keys in two files": (
        {},
        None,
        {"host_vars/node-1.yml": f'{NEXT}: "{FIRST_KEY}"\n'},
        f"{NEXT} is set in {{inventory}}/host_vars/node-1.yml and {KEY} in {{vault}}: keep all keys in one file",
    ),
    "a key of the command line": (
        {KEY: FIRST_KEY},
        None,
        {},
        f"node-1 gets {KEY} from the command line (-e), not from {{vault}}: remove it there",
    ),
    "the same key on the command line": (
        {KEY: OLD},
        None,
        {},
        f"node-1 gets {KEY} from the command line (-e), not from {{vault}}: remove it there",
    ),
    "the same key next to the host": (
        {},
        None,
        {"hosts.yml": json.dumps(groups_of({"node-1": {**FLEET, KEY: OLD}}))},
        f"node-1 gets {KEY} from the inventory's line of the host, not from {{vault}}: remove it there",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rejected_in_one_line_before_anything_is_written(place: Place, case: str) -> None:
    options, text, files, line = REFUSED[case]
    for name, content in (("old", OLD), ("other", FIRST_KEY), ("short", FIRST_KEY[:-2])):
        place.give(name, content)
    if text is not None:
        vaulted(place, place.vault, text, "default")
    if "host_vars/guest.yml" in files:
        (place.inventory / "guests.yml").write_text("guests: {hosts: {guest: }}\n", encoding="utf-8")
    for name, content in files.items():
        (place.inventory / name).parent.mkdir(parents=True, exist_ok=True)
        (place.inventory / name).write_text(content, encoding="utf-8")
    known = {"inventory": place.inventory, "vault": place.vault, "given": place.given}
    given = {name: value.format(**known) if isinstance(value, str) else value for name, value in options.items()}
    before = place.tree()
    run = place.run(command(place, given, "-vvv"), THE_KEY=OLD)
    message = run.message()
    assert message.startswith(line.format(**known)), message
    assert message.endswith("; nothing was changed."), message
    assert place.tree() == before
    assert place.leaks(run, OLD) == [f"inventory/{name}" for name, content in files.items() if OLD in content]
    assert "S3cret" not in message
