# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Generate or import the publisher's key and store it in the inventory's vault, on the controller."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible import constants as C
from ansible.errors import AnsibleError, AnsiblePromptInterrupt, AnsiblePromptNoninteractive
from ansible.parsing.vault import (
    PromptVaultSecret,
    VaultLib,
    VaultSecretsContext,
    is_encrypted,
    parse_vaulttext_envelope,
)
from ansible.utils.color import ANSIBLE_COLOR
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.base import CollectionActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import Specs, unknown_variables
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import unresolved_value
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import as_bool
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import as_int
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import vault_file, wallet
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.rotation import CURRENT, KEYS, MNEMONICS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.vault_file import shown

try:
    import segno
except ImportError:  # optional
    segno = None

# The prefix of the options' variables in playbooks/keys.yml.
PREFIX = "publisher_key_"

CHOICES = {"source": ("new", "private_key", "mnemonic", "keystore"), "qr": ("uri", "address", "none")}

# The sources that an option requires. Options not listed here work with all of them.
REQUIRED_SOURCES = {
    "file": ("private_key", "mnemonic", "keystore"),
    "environment": ("private_key", "mnemonic"),
    "index": ("mnemonic",),
    "password_file": ("keystore",),
    "password_environment": ("keystore",),
    "show_mnemonic": ("new", "mnemonic"),
}
EXCLUSIVE = (("file", "environment"), ("password_file", "password_environment"))

# The beginnings of the comments above the variables in the vault file.
COMMENTS = ["The publisher's key, of account ", "Backup that no role uses, the key's mnemonic, path "]


@dataclass(frozen=True)
class Request:
    """The options with their defaults."""

    source: str = "new"
    file: str = ""
    environment: str = ""
    index: int = 0
    password_file: str = ""
    password_environment: str = ""
    vault_file: str = "group_vars/all/vault.yml"
    vault_id: str = ""
    show_mnemonic: bool = False
    qr: str = "uri"
    group: str = "prover_node"


OPTIONS = tuple(vars(Request()))


# How an option is read, by the type of its default.
TYPES = {
    bool: (as_bool, "is not a boolean: write true or false"),
    int: (as_int, "is not a whole number: give one from 0"),
    str: (lambda value: value if isinstance(value, str) else None, "is not text: put it in quotes"),
}


def typed_options(prefix: str, arguments: Mapping, defaults: Mapping) -> dict:
    """Return the given options as values of the types of their defaults.

    Raise ValueError without quoting a value: it may be a secret by mistake.
    """
    given = {}
    for name, default in defaults.items():
        if arguments.get(name) not in (None, ""):
            convert, problem = TYPES[type(default)]
            given[name] = convert(arguments[name])
            if given[name] is None or (convert is as_int and given[name] < 0):
                raise ValueError(f"{prefix}{name} {problem}")
    return given


def request_of(arguments: Mapping) -> Request:
    """Return a task's arguments as a request. Raise ValueError if they are wrong, without quoting a value."""
    given = typed_options(PREFIX, arguments, vars(Request()))
    for name, choices in CHOICES.items():
        if given.get(name, choices[0]) not in choices:
            raise ValueError(f"{PREFIX}{name} is not a valid choice: choose one of {', '.join(choices)}")
    request = Request(**given)
    for name, sources in REQUIRED_SOURCES.items():
        if given.get(name) and request.source not in sources:
            raise ValueError(f"{PREFIX}{name} requires {PREFIX}source {' or '.join(sources)}: set that too")
    for one, other in EXCLUSIVE:
        if one in given and other in given:
            raise ValueError(f"{PREFIX}{one} and {PREFIX}{other} are both set: set only one of them")
    if request.source == "keystore" and not request.file:
        raise ValueError(f"{PREFIX}file is not set: set it to the path of the key store")
    return request


def check_names(names: list, known: Mapping | None = None) -> None:
    """Raise ValueError if the name of an option is misspelt: a new key would be made instead of an import.

    known: more prefixes of variables -> their options.
    """
    own = {"publisher_key": {f"{PREFIX}{name}": {} for name in OPTIONS if name != "group"}}
    own["admin_api_key"] = {"admin_api_key": {}}
    specs = Specs({**own, **(known or {})}, {})
    for name, near in unknown_variables(names, specs).items():
        raise ValueError(f"unknown variable {name}: " + (f"did you mean {near}?" if near else "remove it"))


def secret_for_new(secrets: list, vault_id: str) -> tuple:
    """Return (vault id, password) for a new vault file, one of those given to the run."""
    wanted = vault_id or C.DEFAULT_VAULT_ENCRYPT_IDENTITY
    names = ", ".join(name for name, _secret in secrets)
    if not wanted and len(secrets) > 1:
        raise ValueError(f"several vault passwords are given ({names}): name one by its id with {PREFIX}vault_id")
    for name, secret in secrets:
        if not wanted or name == wanted:
            return name, secret
    raise ValueError(f"the wanted vault id has no password, only {names}: name one of these, or add --vault-id")


@dataclass(frozen=True)
class Vault:
    """A vault file: its decrypted text, and the vault id and password to encrypt it with."""

    path: Path
    text: str = field(repr=False)
    vault_id: str
    secret: object = field(repr=False)

    @property
    def file(self) -> str:
        """Return the path as shown in messages."""
        return shown(self.path)

    def with_account(self, account: wallet.Account, slot: str = CURRENT) -> str:
        """Return the text with an account added."""
        return self.with_variables(variables_of(account, slot), (KEYS[slot], MNEMONICS[slot]))

    def with_variables(self, variables: Mapping, taken: Sequence = ()) -> str:
        """Return the text with variables added: name -> (value, comment). taken: names that must not be set either."""
        try:
            names = [name for name, _value in vault_file.variables_in(self.text)]
            text = vault_file.with_added(self.text, variables)
        except ValueError as error:
            raise ValueError(f"{self.file}: {error}") from None
        for name in dict.fromkeys((*taken, *variables)):
            if name in names:
                raise ValueError(already_set(name, f"in {self.file}"))
        return text

    def write(self, text: str, secrets: list) -> None:
        """Encrypt a text and write it to the file."""
        vault_file.write(self.path, VaultLib(secrets).encrypt(text, self.secret, vault_id=self.vault_id))


def open_vault(path: Path, secrets: list, vault_id: str = "") -> Vault:
    """Decrypt a vault file, or choose what to encrypt a new one with."""
    if not path.exists():
        return Vault(path, "", *secret_for_new(secrets, vault_id))
    content = path.read_bytes()
    if not is_encrypted(content):
        raise ValueError(f"{shown(path)} is plain text: encrypt it first with ansible-vault encrypt {shown(path)}")
    try:
        _content, _version, _cipher, own_id = parse_vaulttext_envelope(content)
        clear, _used_id, secret = VaultLib(secrets).decrypt_and_get_vault_id(content)
        text = clear.decode("utf-8")
    except (AnsibleError, UnicodeDecodeError):
        wrong = f"{shown(path)} cannot be decrypted with the given vault passwords"
        raise ValueError(f"{wrong}: give the password of this file") from None
    if vault_id and vault_id != own_id:
        raise ValueError(f"{shown(path)} has vault id {own_id}, which does not change: omit {PREFIX}vault_id")
    return Vault(path, text, own_id, secret)


def variables_of(account: wallet.Account, slot: str = CURRENT) -> dict:
    """Return the variables of an account in the vault file: name -> (value, comment)."""
    variables = {KEYS[slot]: (account.key, f"{COMMENTS[0]}{account.address}.")}
    if account.mnemonic:
        variables[MNEMONICS[slot]] = (account.mnemonic, f"{COMMENTS[1]}{account.path}.")
    return variables


def already_set(name: str, where: str) -> str:
    """Return the message for a key that would be overwritten."""
    return f"{name} is already set {where}, and keys are never overwritten: remove it there first if it is not needed"


def message_of(error: ValueError | OSError) -> str:
    """Return the message of an error in one line, without a secret."""
    if isinstance(error, OSError):
        return f"the vault file cannot be read or written ({error.strerror}): check its folder"
    # The message of an encoding error quotes the text.
    return f"unexpected error ({type(error).__name__})" if isinstance(error, UnicodeError) else str(error)


# An account for checks before one exists.
PLACEHOLDER = wallet.Account("0x", "0x", "-")


class ActionModule(CollectionActionBase):
    """Run once, on the controller. Show the account's address. An error is one line."""

    argument_spec = {name: {"type": "raw"} for name in OPTIONS}

    def execute(self, arguments: dict, task_vars: dict) -> dict:
        """Store the account in the vault. The result contains its address and no secret."""
        try:
            request = request_of(arguments)
            done, account = self._run(request, task_vars)
        except (ValueError, OSError) as error:
            return {"failed": True, "msg": f"{message_of(error)}; nothing was written."}
        if not self._task.check_mode:
            self._show(request, account, done["file"])
        return done

    def _run(self, request: Request, task_vars: Mapping) -> tuple:
        """Return the result, and the account or None if check mode does not create it."""
        check_names([str(name) for name in task_vars])
        folder, groups, hosts = inventory_of(request.group, task_vars)
        path = vault_file.vault_path(folder, request.vault_file, groups, hosts)
        secrets = vault_secrets()
        vault = open_vault(path, secrets, request.vault_id)
        vault.with_account(PLACEHOLDER)
        self._check_not_set(task_vars, folder, groups, hosts, (KEYS[CURRENT], MNEMONICS[CURRENT]))
        if not path.exists() and not self._task.check_mode:
            self._confirm(vault.secret, path)
        account = self._account(request)
        done = {"changed": True, "file": vault.file, "variables": list(variables_of(account or PLACEHOLDER))}
        if account:
            done["address"] = account.address
        if self._task.check_mode:
            done["msg"] = f"Would add {' and '.join(done['variables'])} to {done['file']}."
            return done, account
        with vault_file.locked(path.parent):
            # Another process may have changed it during a prompt.
            vault = open_vault(path, secrets, vault.vault_id)
            vault.write(vault.with_account(account), secrets)
        done["msg"] = f"Fund {account.address}; its key is in {done['file']}."
        return done, account

    def _check_not_set(self, task_vars: Mapping, folder: Path, groups: list, hosts: list, names: Sequence) -> None:
        """Raise ValueError if the inventory sets one of these variables already, anywhere."""
        for host in hosts or [""]:
            try:
                variables = task_vars["hostvars"][host] if host else task_vars
                taken = next((name for name in names if name in variables), None)
                files = self._files((taken,), folder, groups, hosts) if taken else iter(())
                file = next((shown(path) for path, _layer, _values in files), "")
            except AnsibleError as error:
                unresolved = unresolved_value(error)
                wrong = f"the variables of {host} cannot be read, a value in one of their files {unresolved.reason}"
                raise ValueError(f"{wrong}: {unresolved.remedy}") from None
            if taken:
                raise ValueError(already_set(taken, f"in {file}" if file else f"for {host or 'all hosts'}"))

    def _files(self, names: Sequence, folder: Path, groups: list, hosts: list) -> Iterator:
        """Yield (path, inventory layer, raw values) of each vars file of the node that sets some of these variables."""
        layers = [("host_vars", host, "host_vars of the host") for host in hosts]
        layers += [("group_vars", group, f"group_vars/{group}") for group in groups]
        for kind, entity, layer in layers:
            for file in self._loader.find_vars_files(str(folder / kind), entity):
                content = self._loader.load_from_file(file, cache="none", unsafe=True)
                found = {name: content[name] for name in names if isinstance(content, Mapping) and name in content}
                if found:
                    yield Path(file), layer, found

    def _prompt(self, question: str, without: str) -> str:
        """Prompt on the terminal without an echo. without: the remedy if there is no terminal."""
        try:
            answer = self._display.prompt_until(f"{question} (input is hidden):", private=True)
        except AnsiblePromptNoninteractive:
            raise ValueError(f"there is no terminal for a prompt: {without}") from None
        except AnsiblePromptInterrupt:
            raise ValueError("the prompt was interrupted: run the command again") from None
        return answer.decode("utf-8", "surrogateescape")

    def _confirm(self, secret: object, path: Path) -> None:
        """Prompt again for a typed password of a new file: with a typing error the key would be lost."""
        if not isinstance(secret, PromptVaultSecret):
            return
        again = self._prompt(f"Confirm the vault password for the new file {shown(path)}", "use --vault-password-file")
        if again.strip().encode("utf-8", "surrogateescape") != secret.bytes:
            raise ValueError("the vault passwords do not match: run the command again")

    def _account(self, request: Request) -> wallet.Account | None:
        """Return the generated or imported account, or None for one that check mode does not generate."""
        if request.source == "new":
            return None if self._task.check_mode else wallet.new_account()
        if request.file or request.environment:
            text = read(request, "file" if request.file else "environment").decode("utf-8", "replace")
        else:
            what = request.source.replace("_", " ")
            text = self._prompt(f"The publisher's {what}", f"set {PREFIX}file or {PREFIX}environment")
        if request.source == "keystore":
            return wallet.from_keystore(text, self._password(request))
        if request.source == "private_key":
            return wallet.from_private_key(text)
        return wallet.from_mnemonic(text, request.index)

    def _password(self, request: Request) -> bytes:
        """Return the key store's password."""
        if request.password_file:
            return read(request, "password_file").removesuffix(b"\n").removesuffix(b"\r")
        if request.password_environment:
            return read(request, "password_environment")
        without = f"set {PREFIX}password_file or {PREFIX}password_environment"
        return self._prompt("The key store's password", without).encode("utf-8", "surrogateescape")

    def _show(self, request: Request, account: wallet.Account, file: str) -> None:
        """Show the address and the next steps, and the mnemonic if requested."""
        show = self._display.display
        self._show_address(request, account.address, "The publisher's account")
        show(f"Its secrets are in {file}, encrypted. Keep a copy of that file and of its vault password.")
        show("PROVER_ID is this address, unless prover_node_prover_id is set.")
        self._show_secrets(request, account)
        show("Once it is funded, aztec_ops.prover.preflight shows its balance.")
        show("Then aztec_ops.prover.site runs the prover.\n")

    def _show_address(self, request: Request, address: str, what: str) -> None:
        """Show an address to fund as text and as a QR code."""
        show = self._display.display
        show(f"\n{what}. It pays for submitting proofs: send ETH to it.\n\n  {address}\n")
        if request.qr != "none":
            try:
                # The URI of EIP-681, which wallets read from a QR code.
                code = qr_lines(f"ethereum:{address}" if request.qr == "uri" else address)
            except ValueError as error:
                code = [f"(no QR code: {error})"]
            else:
                # White on black, independent of the terminal's colors.
                code = [f"\033[97;40m{line}\033[0m" for line in code] if ANSIBLE_COLOR else code
            show("\n".join(code) + "\n", screen_only=True)

    def _show_secrets(self, request: Request, account: wallet.Account) -> None:
        """Name the file that still contains a plain secret, and show the mnemonic if requested."""
        show = self._display.display
        if request.file and request.source != "keystore":
            show(f"The file of {PREFIX}file still contains the secret in plain text: delete it.")
        if request.show_mnemonic:
            show(f"\nThe mnemonic, to be written down:\n\n  {account.mnemonic}\n", screen_only=True)


def qr_lines(text: str) -> list:
    """Return the QR code of a text as lines of half blocks: two modules for each character, light on dark."""
    if segno is None:
        raise ValueError(f"the controller's Python does not have segno: run {sys.executable} -m pip install segno")
    out = io.StringIO()
    segno.make(text, micro=False, error="m").terminal(out, compact=True)
    return out.getvalue().splitlines()


def inventory_of(group: str, task_vars: Mapping) -> tuple:
    """Return (the inventory's folder, the groups of the node's host, the hosts of its group)."""
    folder = vault_file.inventory_folder(task_vars["ansible_inventory_sources"])
    members = {str(name): [str(host) for host in hosts] for name, hosts in task_vars["groups"].items()}
    hosts = members.get(group, [])
    return folder, ["all", *(name for name, some in members.items() if name != "all" and set(some) & set(hosts))], hosts


def vault_secrets() -> list:
    """Return the vault passwords given to the run."""
    context = VaultSecretsContext.current(optional=True)
    if context is None or not context.secrets:
        raise ValueError("no vault password is given: add --ask-vault-pass or --vault-password-file")
    return context.secrets


def read(request: Request, option: str) -> bytes:
    """Return the content of the file, or of the environment variable, that an option names."""
    named = getattr(request, option)
    if option.endswith("environment"):
        content = os.environb.get(os.fsencode(named))
        if not content:
            raise ValueError(f"{PREFIX}{option} names a variable that is not set: export it")
        return content
    try:
        return Path(named).expanduser().read_bytes()
    except OSError as error:
        wrong = f"{PREFIX}{option} names a file that cannot be read ({error.strerror})"
        raise ValueError(f"{wrong}: correct its path") from None
