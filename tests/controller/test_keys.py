"""Real runs of playbooks/keys.yml: what it writes and rejects. It leaves no secret anywhere."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.action.publisher_key import qr_lines
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.ethereum import ethereum_address
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.wallet import from_mnemonic
from eth_keyfile import create_keyfile_json

from tests.bad_input.commands import run

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
KEY, MNEMONIC = "prover_node_publisher_private_key", "prover_node_publisher_mnemonic"
VAULT = "group_vars/all/vault.yml"
PASSWORD = "vault-S3cret-password"

# Published: account 0 and 1 of a well-known mnemonic.
WORDS = "tag volcano eight thank tide danger coast health above argue embrace heavy"
FIRST, SECOND = "0xC49926C4124cEe1cbA0Ea94Ea31a6c12318df947", "0x8230645aC28A4EdD1b0B53E7Cd8019744E9dD559"
FIRST_KEY = "0x63e21d10fd50155dbba0e7d3f7431a400b84b4c2ac1ee38872f82448fe3ecfb9"
STORE_PASSWORD = "store-S3cret-password"


class Run:
    """The result of a program: its exit status and its output."""

    def __init__(self, status: int, output: str) -> None:
        self.status, self.output = status, output
        self.lines = [" ".join(line.split()) for line in output.splitlines()]

    def message(self) -> str:
        """Return the error that the run ended with, and make sure that it is one line."""
        assert self.status != 0, self.output
        found = [line.split("Action failed: ")[-1] for line in self.lines if line.startswith("[ERROR]: ")]
        assert len(found) == 1, self.output
        return found[0]


class Place:
    """An inventory, and every place in which a run can leave files, in a separate directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.given, self.inventory, self.log = folder / "given", folder / "inventory", folder / "log"
        for name in ("given", "inventory", "home", "tmp", "facts", "kept"):
            (folder / name).mkdir()
        (self.inventory / "hosts.yml").write_text(
            "prover_node: {hosts: {node-1: }}\nprover_agent: {hosts: {agent-1: }}\n"
        )
        self.password = self.give("password", PASSWORD)
        self.vault = self.inventory / VAULT
        self.environment = {
            "PATH": f"{TOOLS}:{os.environ['PATH']}",
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "LANG": "C.UTF-8",
            "COLUMNS": "500",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "default",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOG_PATH": str(self.log),
            "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(folder / "facts"),
            "PYTHONPATH": str(Path(__file__).parent / "witness"),
            "WITNESS_KEPT": str(folder / "kept"),
        }

    def give(self, name: str, text: str) -> str:
        """Write an input file of the run and return its path."""
        (self.given / name).write_text(text, encoding="utf-8")
        return str(self.given / name)

    def command(self, options: dict, *arguments: str, password: bool = True) -> list:
        """Return the command line that runs keys.yml."""
        command = ["ansible-playbook", str(ROOT / "playbooks/keys.yml"), *arguments]
        if "-i" not in arguments:
            command += ["-i", str(self.inventory)]
        if password:
            command += ["--vault-password-file", self.password]
        for name, value in options.items():
            command += ["-e", json.dumps({f"publisher_key_{name}": value})]
        return command

    def keys(self, options: dict | None = None, *arguments: str, password: bool = True, **environment: str) -> Run:
        """Run keys.yml without a terminal."""
        return self.run(self.command(options or {}, *arguments, password=password), **environment)

    def start(self, command: list, **environment: str) -> subprocess.Popen:
        """Start a program without a terminal."""
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            encoding="utf-8",
        )

    def run(self, command: list, **environment: str) -> Run:
        """Run a program without a terminal."""
        process = self.start(command, **environment)
        output, _none = process.communicate(timeout=300)
        return Run(process.returncode, output)

    def type(self, command: list, *answers: tuple) -> Run:
        """Run a program at a separate terminal. Type each answer after its prompt, once the echo is off."""
        terminal, device = pty.openpty()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=device,
            stdout=device,
            stderr=device,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        output, todo, end, seen = b"", list(answers), time.monotonic() + 180, 0
        while time.monotonic() < end:
            if select.select([terminal], [], [], 0.05)[0]:
                output += os.read(terminal, 65536)
            elif process.poll() is not None:
                break
            silent = not termios.tcgetattr(terminal)[3] & termios.ECHO
            if todo and silent and todo[0][0] in output[seen:].decode("utf-8", "replace"):
                # Input before the program reads is discarded.
                time.sleep(0.3)
                seen = len(output)
                answer = todo.pop(0)[1]
                os.write(terminal, (answer() if callable(answer) else answer).encode() + b"\n")
        os.close(device)
        os.close(terminal)
        assert process.wait(5) is not None and not todo, output.decode("utf-8", "replace")
        # Without the escape sequences that move the cursor
        return Run(process.returncode, re.sub(r"\x1b\[([0-9;]*[A-Za-z])?|\r", "", output.decode("utf-8", "replace")))

    def clear(self) -> str:
        """Return the vault file's text, decrypted by Ansible's own program."""
        shown = subprocess.run(
            ["ansible-vault", "view", "--vault-password-file", self.password, str(self.vault)],
            env={**self.environment, "PYTHONPATH": "", "ANSIBLE_LOG_PATH": ""},
            capture_output=True,
            check=True,
            text=True,
            timeout=300,
        )
        return shown.stdout

    def tree(self) -> dict:
        """Return each file of the inventory with its content."""
        return {str(path): path.read_bytes() for path in self.inventory.rglob("*") if path.is_file()}

    def leaks(self, run: Run, *secrets: str) -> list:
        """Return the places that contain a secret of the run, without its input files."""
        texts = {"the output": run.output.encode()}
        for path in self.folder.rglob("*"):
            if path.is_file() and not path.is_relative_to(self.given):
                texts[str(path.relative_to(self.folder))] = path.read_bytes()
        wanted = {form for secret in secrets for form in forms(secret)}
        found = []
        for name, content in texts.items():
            for text in (content, b" ".join(content.split())):
                if any(form in text.lower() for form in wanted):
                    found.append(name)
                    break
        return found


def forms(secret: str) -> list:
    """Return a secret in the forms in which programs write it, in lower case. For words, any three in a row."""
    words = secret.split()
    if len(words) > 1:
        return [" ".join(words[number : number + 3]).encode() for number in range(len(words) - 2)]
    digits = secret.removeprefix("0x").lower()
    found = [digits.encode(), base64.b64encode(secret.encode()).lower().rstrip(b"=")]
    if re.fullmatch("[0-9a-f]{64}", digits):
        raw = bytes.fromhex(digits)
        found += [str(int(digits, 16)).encode(), base64.b64encode(raw).lower().rstrip(b"="), repr(raw).encode().lower()]
    return found


@pytest.fixture
def place(tmp_path) -> Place:
    """Return an inventory with a node and an agent, without a key."""
    return Place(tmp_path)


def test_a_new_publisher_and_no_trace_of_its_secrets(place) -> None:
    run = place.keys({}, "-vvvv", "--diff")
    assert run.status == 0, run.output
    assert place.vault.stat().st_mode & 0o7777 == 0o600
    assert place.vault.read_bytes().startswith(b"$ANSIBLE_VAULT;1.1;AES256\n")
    stored = yaml.safe_load(place.clear())
    assert list(stored) == [KEY, MNEMONIC]
    address = ethereum_address(stored[KEY])
    account = from_mnemonic(stored[MNEMONIC])
    assert (account.key, account.address, len(stored[MNEMONIC].split())) == (stored[KEY], address, 24)
    assert address in run.lines
    assert "\n".join(qr_lines(f"ethereum:{address}")) in run.output
    assert place.leaks(run, stored[KEY], stored[MNEMONIC], PASSWORD) == []
    assert any((place.folder / "kept").iterdir()) and place.log.stat().st_size > 0

    before = place.tree()
    again = place.keys()
    assert again.message() == (
        f"{KEY} is already set in {place.vault}, and keys are never overwritten: "
        "remove it there first if it is not needed; nothing was written."
    )
    assert place.tree() == before


ADMIN_KEY = "prover_node_admin_api_key"


def test_the_key_of_the_admin_api(place) -> None:
    """It is added to the publisher's key, not shown, and never overwritten."""
    assert place.keys().status == 0
    before = yaml.safe_load(place.clear())
    checked = place.keys({}, "-e", "admin_api_key=true", "--check")
    assert checked.status == 0, checked.output
    assert yaml.safe_load(place.clear()) == before
    run = place.keys({}, "-e", "admin_api_key=true", "-vvvv", "--diff")
    assert run.status == 0, run.output
    stored = yaml.safe_load(place.clear())
    key = stored.pop(ADMIN_KEY)
    assert stored == before
    assert re.fullmatch("[0-9a-f]{64}", key)
    assert place.leaks(run, key, PASSWORD) == []
    again = place.keys({}, "-e", "admin_api_key=true")
    assert again.message() == (
        f"{ADMIN_KEY} is already set in {place.vault}, and keys are never overwritten: "
        "remove it there first if it is not needed; nothing was written."
    )
    assert yaml.safe_load(place.clear())[ADMIN_KEY] == key


def test_a_hash_without_the_key_of_the_admin_api(place) -> None:
    """A new key would not be that of the hash."""
    (place.inventory / "group_vars/all").mkdir(parents=True)
    own = place.inventory / "group_vars/all/main.yml"
    own.write_text(f"prover_node_admin_api_key_hash: {'ab' * 32}\n")
    run = place.keys({}, "-e", "admin_api_key=true")
    assert run.message().startswith(f"{ADMIN_KEY}_hash is already set in {own}")
    assert not place.vault.exists()


def test_the_mnemonic_is_shown_on_request_and_the_search_finds_it(place) -> None:
    run = place.keys({"show_mnemonic": True, "qr": "address"}, ANSIBLE_FORCE_COLOR="1")
    stored = yaml.safe_load(place.clear())
    code = "\n".join(f"\x1b[97;40m{line}\x1b[0m" for line in qr_lines(ethereum_address(stored[KEY])))
    assert code in run.output
    assert stored[MNEMONIC] in run.lines
    assert place.leaks(run, stored[MNEMONIC]) == ["the output"]
    assert place.leaks(run, stored[KEY]) == []


def test_the_search_finds_secrets_of_temporary_files(place) -> None:
    assert place.keys().status == 0
    stored = yaml.safe_load(place.clear())
    edited = place.run(
        ["ansible-vault", "edit", "--vault-password-file", place.password, str(place.vault)], EDITOR="true"
    )
    assert edited.status == 0
    assert list((place.folder / "tmp").rglob("*.yml")) == list((place.folder / "home").rglob("*.yml")) == []
    found = place.leaks(edited, stored[KEY])
    assert found and all(name.startswith("kept/") for name in found)
    assert place.leaks(edited, stored[MNEMONIC]) == found

    exposing = place.run([sys.executable, "-c", f"import subprocess; subprocess.run(['true', '{stored[KEY]}'])"])
    assert "kept/arguments" in place.leaks(exposing, stored[KEY])
    place.log.write_text(str(int(stored[KEY], 16)))
    assert "log" in place.leaks(exposing, stored[KEY])


def store(key: str, password: str) -> str:
    """Return a key store's text that opens quickly."""
    return json.dumps(create_keyfile_json(bytes.fromhex(key[2:]), password.encode(), kdf="pbkdf2", iterations=2))


IMPORTS = {
    "a key from a file": ({"source": "private_key", "file": "{key}"}, FIRST, [KEY]),
    "a key from the environment": ({"source": "private_key", "environment": "THE_KEY"}, FIRST, [KEY]),
    "a mnemonic from a file": ({"source": "mnemonic", "file": "{words}"}, FIRST, [KEY, MNEMONIC]),
    "a mnemonic's second address": ({"source": "mnemonic", "file": "{words}", "index": 1}, SECOND, [KEY, MNEMONIC]),
    "a key store": ({"source": "keystore", "file": "{store}", "password_file": "{store_password}"}, FIRST, [KEY]),
    "a key store, its password from the environment": (
        {"source": "keystore", "file": "{store}", "password_environment": "STORE_PASSWORD"},
        FIRST,
        [KEY],
    ),
}


def give_all(place: Place, options: dict) -> dict:
    """Write the files of the imports, and return the options with their paths."""
    files = {
        "key": place.give("key", f" {FIRST_KEY.upper().replace('X', 'x')}\n"),
        "words": place.give("words", WORDS.replace(" ", "\n") + "\n"),
        "store": place.give("store", store(FIRST_KEY, STORE_PASSWORD)),
        "store_password": place.give("store_password", f"{STORE_PASSWORD}\n"),
        "bad_words": place.give("bad_words", WORDS.replace("coast", "coost")),
        "bad_check": place.give("bad_check", WORDS.replace("heavy", "tag")),
        "bad_key": place.give("bad_key", FIRST_KEY[:-2]),
    }
    return {name: value.format(**files) if isinstance(value, str) else value for name, value in options.items()}


@pytest.mark.parametrize("case", IMPORTS)
def test_imports(place, case: str) -> None:
    options, address, names = IMPORTS[case]
    run = place.keys(give_all(place, options), "-vvvv", THE_KEY=FIRST_KEY, STORE_PASSWORD=STORE_PASSWORD)
    assert run.status == 0, run.output
    stored = yaml.safe_load(place.clear())
    assert list(stored) == names
    assert ethereum_address(stored[KEY]) == address
    assert address in run.lines
    warning = "The file of publisher_key_file still contains the secret in plain text: delete it."
    assert (warning in run.lines) == ("file" in options and options["source"] != "keystore")
    assert place.leaks(run, FIRST_KEY, stored[KEY], WORDS, STORE_PASSWORD, PASSWORD) == []


def test_secrets_that_are_typed(place) -> None:
    """Ansible prompts for the vault password, and the playbook prompts again for a new file."""
    options = give_all(place, {"source": "keystore", "file": "{store}"})
    command = place.command(options, "--ask-vault-pass", password=False)
    first, again = ("Vault password: ", PASSWORD), ("Confirm the vault password for the new file", PASSWORD)
    store_password = ("The key store's password (input is hidden):", STORE_PASSWORD)

    mistyped = place.type(command, first, (again[0], PASSWORD + "x"))
    assert mistyped.message() == "the vault passwords do not match: run the command again; nothing was written."
    assert not place.vault.exists()

    run = place.type(command, first, again, store_password)
    assert run.status == 0, run.output
    assert yaml.safe_load(place.clear()) == {KEY: FIRST_KEY}
    assert place.leaks(run, FIRST_KEY, STORE_PASSWORD, PASSWORD) == []


@pytest.mark.parametrize(("source", "typed"), [("private_key", FIRST_KEY), ("mnemonic", WORDS)])
def test_a_key_or_a_mnemonic_that_is_typed(place, source: str, typed: str) -> None:
    question = f"The publisher's {source.replace('_', ' ')} (input is hidden):"
    run = place.type(place.command({"source": source}), (question, typed))
    assert run.status == 0, run.output
    assert ethereum_address(yaml.safe_load(place.clear())[KEY]) == FIRST
    assert place.leaks(run, FIRST_KEY, WORDS, PASSWORD) == []


CONTENT = """---
# The URLs hold API keys.
aztec_l1_execution_urls:   [ 'https://rpc.lan/S3cret' ]   # the first counts

zebra: 1
ape: !unsafe "{{ as it is }}"
"""


def vaulted(place: Place, path: Path, text: str, vault_id: str) -> None:
    """Write a vault file with a vault id."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    password = f"{vault_id}@{place.password}"
    command = ["ansible-vault", "encrypt", "--vault-id", password, "--encrypt-vault-id", vault_id, str(path)]
    subprocess.run(command, env={**place.environment, "PYTHONPATH": ""}, check=True, capture_output=True, timeout=300)


def test_a_vault_file_keeps_content_comments_order_and_vault_id(place) -> None:
    vaulted(place, place.vault, CONTENT, "prod")
    place.vault.chmod(0o644)
    other = place.give("other", "another-password")
    options = give_all(place, {"source": "private_key", "file": "{key}"})
    run = place.keys(options, "--vault-id", f"dev@{other}", "--vault-id", f"prod@{place.password}", password=False)
    assert run.status == 0, run.output
    assert place.vault.read_bytes().startswith(b"$ANSIBLE_VAULT;1.2;AES256;prod\n")
    assert place.vault.stat().st_mode & 0o7777 == 0o600
    assert place.clear() == f'{CONTENT}# The publisher\'s key, of account {FIRST}.\n{KEY}: "{FIRST_KEY}"\n'
    assert os.listdir(place.vault.parent) == ["vault.yml"]


@pytest.mark.parametrize("name", ["host_vars/node-1/keys.yml", "group_vars/prover_node.yml"])
def test_another_file_of_the_inventory(place, name: str) -> None:
    place.vault = place.inventory / name
    assert place.keys({"vault_file": name, "vault_id": "default"}).status == 0
    assert list(yaml.safe_load(place.clear())) == [KEY, MNEMONIC]
    # The key is found although it is not in the default file.
    assert place.keys().message().startswith(f"{KEY} is already set in {place.vault}, and keys are never overwritten: ")
    assert not (place.inventory / VAULT).exists()


def test_connection_settings_that_no_controller_has(place) -> None:
    """The inventory's ssh key is next to it, and implicit localhost has no inventory_dir."""
    connection = place.inventory / "group_vars/all/connection.yml"
    connection.parent.mkdir(parents=True)
    connection.write_text('ansible_ssh_private_key_file: "{{ inventory_dir }}/id"\n')
    run = place.keys()
    assert run.status == 0, run.output
    assert list(yaml.safe_load(place.clear())) == [KEY, MNEMONIC]


@pytest.mark.parametrize("source", ["new", "private_key"])
def test_check_mode_writes_nothing(place, source: str) -> None:
    options = give_all(place, {"source": source, **({"file": "{key}"} if source != "new" else {})})
    before = place.tree()
    run = place.keys(options, "--check", "-v")
    assert run.status == 0, run.output
    assert place.tree() == before and not (place.inventory / "group_vars").exists()
    assert (FIRST in run.output) == (source == "private_key")
    assert "changed=1" in run.output
    assert place.leaks(run, FIRST_KEY) == []


def test_a_key_that_was_added_during_a_prompt_is_kept(place) -> None:
    vaulted(place, place.vault, "a: 1\n", "default")
    made = {}

    def meanwhile() -> str:
        assert place.keys().status == 0
        made.update(place.tree())
        return FIRST_KEY

    run = place.type(place.command({"source": "private_key"}), ("The publisher's private key (input", meanwhile))
    assert run.message().startswith(f"{KEY} is already set in {place.vault}, and keys are never overwritten: ")
    assert place.tree() == made


def test_without_segno_the_address_is_shown_only_as_text(place) -> None:
    run = place.keys(WITNESS_WITHOUT="segno")
    assert run.status == 0, run.output
    assert (
        f"(no QR code: the controller's Python does not have segno: run {sys.executable} -m pip install segno)"
        in run.lines
    )
    assert ethereum_address(yaml.safe_load(place.clear())[KEY]) in run.lines


# Options, more arguments (None: no vault password), files of the inventory, and the beginning of the error.
REFUSED = {
    "no vault password": ({}, None, {}, "no vault password is given: add --ask-vault-pass or --vault-password-file"),
    "an inventory's file": (
        {},
        ["-i", "{inventory}/hosts.yml"],
        {},
        "the inventory {inventory}/hosts.yml is a single file",
    ),
    "two inventories": ({}, ["-i", "{inventory}", "-i", "{inventory}/hosts.yml"], {}, "2 inventories are given"),
    "a list of hosts": ({}, ["-i", "a,b"], {}, "the inventory is a list of hosts"),
    "a plain vault file": (
        {},
        [],
        {VAULT: "aztec_S3cret: 1\n"},
        "{inventory}/group_vars/all/vault.yml is plain text: encr",
    ),
    "a key elsewhere": (
        {},
        [],
        {"host_vars/node-1.yml": f'{KEY}: "S3cret"\n'},
        KEY + " is already set in {inventory}/host_vars/node-1.yml, and keys are never overwritten",
    ),
    "a key among the hosts": (
        {},
        [],
        {"hosts.yml": f'prover_node: {{hosts: {{node-1: {{{KEY}: "S3cret"}}}}}}\n'},
        KEY + " is already set for node-1, and keys are never overwritten",
    ),
    "a key and no host": (
        {},
        [],
        {"hosts.yml": "{}\n", "group_vars/all/main.yml": f'{MNEMONIC}: "S3cret"\n'},
        MNEMONIC + " is already set in {inventory}/group_vars/all/main.yml, and keys are never overwritten",
    ),
    "a file that would hide another": (
        {},
        [],
        {"group_vars/all.yml": "a: 1\n"},
        "with {inventory}/group_vars/all/vault.yml Ansible would no longer read {inventory}/group_vars/all.yml",
    ),
    "a file outside": (
        {"vault_file": "../v.yml"},
        [],
        {},
        "Ansible does not read the vault file ../v.yml from the inventory",
    ),
    "an agent's file": (
        {"vault_file": "host_vars/agent-1/vault.yml"},
        [],
        {},
        "the vault file host_vars/agent-1/vault.yml does not apply to the node's host: "
        "put it under one of group_vars/all, group_vars/prover_node, host_vars/node-1",
    ),
    "a misspelt option": (
        {"sorce": "mnemonic"},
        [],
        {},
        "unknown variable publisher_key_sorce: did you mean publisher",
    ),
    "an option without its source": (
        {"file": "{words}"},
        [],
        {},
        "publisher_key_file requires publisher_key_source priv",
    ),
    "no terminal": (
        {"source": "mnemonic"},
        [],
        {},
        "there is no terminal for a prompt: set publisher_key_file or publisher_",
    ),
    "an unknown word": (
        {"source": "mnemonic", "file": "{bad_words}"},
        [],
        {},
        "the mnemonic's word 7 is not in the BIP",
    ),
    "a wrong word": (
        {"source": "mnemonic", "file": "{bad_check}"},
        [],
        {},
        "the mnemonic's words do not match their check",
    ),
    "a short key": (
        {"source": "private_key", "file": "{bad_key}"},
        [],
        {},
        "the private key is not 32 bytes of hex: give",
    ),
    "not a key store": (
        {"source": "keystore", "file": "{words}", "password_file": "{store_password}"},
        [],
        {},
        "not a JSON V3 key store: give the file",
    ),
    "a wrong password": (
        {"source": "keystore", "file": "{store}", "password_file": "{words}"},
        [],
        {},
        "the password does not open the key store: give the password",
    ),
    "a file that does not exist": (
        {"source": "private_key", "file": "/gone"},
        [],
        {},
        "publisher_key_file names a file that ",
    ),
    "two vault ids": (
        {},
        ["--vault-id", "dev@{password}", "--vault-id", "prod@{password}"],
        {},
        "several vault passwords are given (",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rejected_in_one_line_before_anything_is_written(place, case: str) -> None:
    options, arguments, files, line = REFUSED[case]
    for name, text in files.items():
        (place.inventory / name).parent.mkdir(parents=True, exist_ok=True)
        (place.inventory / name).write_text(text, encoding="utf-8")
    known = {"inventory": place.inventory, "password": place.password}
    before = place.tree()
    given = [argument.format(**known) for argument in arguments or []]
    command = place.command(give_all(place, options), *given, "-vvv", password=arguments is not None)
    shown = run(*command, HOME=place.environment["HOME"], TMPDIR=place.environment["TMPDIR"])
    ended = Run(shown.returncode, shown.stdout)
    message = ended.message()
    assert message.startswith(line.format(**known).replace("{{", "{")), message
    assert message.endswith("; nothing was written.")
    assert place.tree() == before
    assert place.leaks(ended, FIRST_KEY, WORDS, "S3cret", STORE_PASSWORD, "coost") == (
        ["inventory/" + name for name, text in files.items() if "S3cret" in text]
    )


def test_an_inventory_that_does_not_exist(place) -> None:
    """Ansible itself refuses it, and nothing is written."""
    before, gone = place.tree(), place.inventory / "gone"
    shown = run(*place.command(give_all(place, {}), "-i", str(gone)), HOME=place.environment["HOME"])
    message = Run(shown.returncode, shown.stdout).message()
    assert message.startswith(f"[ERROR]: Completely failed to parse inventory source {gone}"), message
    assert place.tree() == before


def test_a_vault_file_s_other_password_is_one_line(place) -> None:
    vaulted(place, place.inventory / "host_vars/node-1/vault.yml", "a: 1\n", "default")
    other = place.give("other", "another-password")
    message = place.keys({}, "--vault-password-file", other, password=False).message()
    assert message.startswith(
        "the variables of node-1 cannot be read, a value in one of their files cannot be decrypted: "
    )
    # With a file for all hosts, Ansible itself fails before any task.
    vaulted(place, place.vault, "a: 1\n", "default")
    before = place.tree()
    assert "Decryption failed" in place.keys({}, "--vault-password-file", other, password=False).message()
    assert "no vault secrets found" in place.keys(password=False).message()
    assert place.tree() == before


def test_without_eth_account_is_one_line(place) -> None:
    message = place.keys(WITNESS_WITHOUT="eth_account").message()
    remedy = f"run {sys.executable} -m pip install eth-account"
    assert message == f"the controller's Python does not have eth_account: {remedy}; nothing was written."
    assert not place.vault.exists()


# A fleet whose only host is this machine, without checks for which this machine may be insufficient.
FLEET = {
    "ansible_connection": "local",
    "ansible_host": "10.0.0.10",
    "ansible_python_interpreter": sys.executable,
    "aztec_version": "4.1.2",
    "aztec_requirements": "ignore",
    # A file inside the container, so that the preflight does not request it from a server.
    "aztec_environment": {"NETWORK_CONFIG_LOCATION": "/network_config.json"},
    "aztec_l1_execution_urls": ["https://rpc.lan/x"],
    "aztec_l1_consensus_urls": ["https://beacon.lan/x"],
    "prover_node_p2p_ip": "9.9.9.9",
    "prover_node_port": 28081,
    "prover_node_p2p_port": 28400,
    "prover_broker_port": 28080,
}


def test_preflight_accepts_the_inventory_and_derives_the_same_prover_id(place) -> None:
    hosts = {"node-1": FLEET}
    groups = {"prover_node": {"hosts": hosts}, "prover_broker": {"hosts": {"node-1": None}}}
    (place.inventory / "hosts.yml").write_text(yaml.safe_dump(groups), encoding="utf-8")
    preflight = ["ansible-playbook", str(ROOT / "playbooks/preflight.yml"), "-i", str(place.inventory)]
    preflight += ["--vault-password-file", place.password, "-vvv", "-e", "ansible_become=false"]
    assert f"{KEY} " in " ".join(line for line in place.run(preflight).lines if line.startswith("node-1 "))

    made = place.keys()
    assert made.status == 0, made.output
    run = place.run(preflight)
    # The inventory is valid, and the run continues on the host, whose problems do not matter here.
    assert any(line.startswith("TASK [aztec_ops.prover.preflight : Check the hosts]") for line in run.lines), run.output
    stored = yaml.safe_load(place.clear())
    assert any(line.startswith("prover_id: ") and ethereum_address(stored[KEY]) in line for line in run.lines), (
        run.output
    )
    assert place.leaks(run, stored[KEY], stored[MNEMONIC]) == []
