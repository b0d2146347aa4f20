# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make or import the publisher's key and put it into the inventory's vault, on the controller."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
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
from ansible.plugins.action import ActionBase
from ansible.utils.color import ANSIBLE_COLOR
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import Specs, unknown_variables
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import unresolved_value
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import as_bool
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import as_int
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import qr, rotation, vault_file, wallet
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.vault_file import shown

KEY, MNEMONIC = rotation.KEYS[rotation.CURRENT], rotation.MNEMONICS[rotation.CURRENT]

# How playbooks/keys.yml calls the options.
PREFIX = "publisher_key_"

CHOICES = {"source": ("new", "private_key", "mnemonic", "keystore"), "qr": ("uri", "address", "none")}

# Which options go with which sources; all others go with each.
ONLY_WITH = {
    "file": ("private_key", "mnemonic", "keystore"),
    "environment": ("private_key", "mnemonic"),
    "index": ("mnemonic",),
    "password_file": ("keystore",),
    "password_environment": ("keystore",),
    "show_mnemonic": ("new", "mnemonic"),
}
EXCLUSIVE = (("file", "environment"), ("password_file", "password_environment"))


@dataclass(frozen=True)
class Request:
    """What is asked for, with the defaults that the documentation names."""

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


OPTIONS = tuple(one.name for one in fields(Request))


# How the comments begin that stand above the variables in the vault file.
COMMENTS = ("The publisher's key, of account ", "For backup, read by no role: the key is this mnemonic's at ")


def request_of(arguments: Mapping) -> Request:
    """Check a task's arguments and give them as a request. No message quotes a value: it may be a secret by mistake."""
    given = {name: arguments[name] for name in OPTIONS if arguments.get(name) not in (None, "")}
    if "index" in given:
        given["index"] = as_int(given["index"])
        if given["index"] is None:
            raise ValueError(f"{PREFIX}index is no whole number: give one from 0")
    if "show_mnemonic" in given:
        given["show_mnemonic"] = as_bool(given["show_mnemonic"])
        if given["show_mnemonic"] is None:
            raise ValueError(f"{PREFIX}show_mnemonic is neither true nor false: write true or false")
    for name, value in given.items():
        if name not in ("index", "show_mnemonic") and not isinstance(value, str):
            raise ValueError(f"{PREFIX}{name} is no text: put it in quotes")
    for name, choices in CHOICES.items():
        if given.get(name, choices[0]) not in choices:
            raise ValueError(f"{PREFIX}{name} is not a choice: choose one of {', '.join(choices)}")
    request = Request(**given)
    for name, sources in ONLY_WITH.items():
        if given.get(name) and request.source not in sources:
            raise ValueError(f"{PREFIX}{name} goes with {PREFIX}source {' or '.join(sources)} alone: set that too")
    for one, other in EXCLUSIVE:
        if one in given and other in given:
            raise ValueError(f"{PREFIX}{one} and {PREFIX}{other} are both set: leave one of them")
    if request.source == "keystore" and not request.file:
        raise ValueError(f"{PREFIX}file is not set: name the key store's file")
    return request


def check_names(names: list, known: Mapping | None = None) -> None:
    """Refuse a misspelled variable of this task: it would make a new key in place of an import.

    known: how the variables begin -> the options that they set, besides those of keys.yml.
    """
    own = {"publisher_key": {f"{PREFIX}{name}": {} for name in OPTIONS if name != "group"}}
    specs = Specs({**own, **(known or {})}, {})
    for name, near in unknown_variables(names, specs).items():
        raise ValueError(f"there is no variable {name}: " + (f"did you mean {near}?" if near else "take it out"))


def secret_for_new(secrets: list, vault_id: str) -> tuple:
    """Choose (vault id, password) for a new vault file among those that a run was given."""
    wanted = vault_id or C.DEFAULT_VAULT_ENCRYPT_IDENTITY
    names = ", ".join(name for name, _secret in secrets)
    if not wanted:
        if len(secrets) > 1:
            raise ValueError(f"several vault passwords are given ({names}): name one by its id with {PREFIX}vault_id")
        return secrets[0]
    for name, secret in secrets:
        if name == wanted:
            return name, secret
    raise ValueError(f"no password of the wanted vault id is given, only {names}: name one of these, or add --vault-id")


@dataclass(frozen=True)
class Opened:
    """A vault file's text, and what it is encrypted with."""

    new: bool
    text: str = field(repr=False)
    vault_id: str
    secret: object


def opened(path: Path, secrets: list, vault_id: str) -> Opened:
    """Decrypt a vault file, or choose what a missing one will be encrypted with."""
    if not path.exists():
        return Opened(True, "", *secret_for_new(secrets, vault_id))
    content = path.read_bytes()
    if not is_encrypted(content):
        raise ValueError(f"{shown(path)} is plain text: encrypt it first with ansible-vault encrypt {shown(path)}")
    try:
        _content, _version, _cipher, own_id = parse_vaulttext_envelope(content)
        clear, _used_id, secret = VaultLib(secrets).decrypt_and_get_vault_id(content)
        text = clear.decode("utf-8")
    except (AnsibleError, UnicodeDecodeError):
        text = None
    if text is None:
        raise ValueError(f"{shown(path)} cannot be decrypted with the given vault passwords: give its own")
    if vault_id and vault_id != own_id:
        raise ValueError(f"{shown(path)} has vault id {own_id} and keeps it: leave {PREFIX}vault_id away")
    return Opened(False, text, own_id, secret)


def variables_of(account: wallet.Account, place: str = rotation.CURRENT) -> dict:
    """Give what goes into the vault file for an account: name -> (value, comment)."""
    variables = {rotation.KEYS[place]: (account.key, f"{COMMENTS[0]}{account.address}.")}
    if account.mnemonic:
        variables[rotation.MNEMONICS[place]] = (account.mnemonic, f"{COMMENTS[1]}{account.path}.")
    return variables


def with_account(found: Opened, account: wallet.Account, path: Path, place: str = rotation.CURRENT) -> str:
    """Give the vault file's text with an account added."""
    problem, text = "", ""
    own = (rotation.KEYS[place], rotation.MNEMONICS[place])
    try:
        taken = [name for name in vault_file.names_in(found.text) if name in own]
        text = vault_file.with_added(found.text, variables_of(account, place))
    except ValueError as error:
        taken, problem = [], f"{shown(path)}: {error}"
    if taken:
        problem = already(taken[0], f"in {shown(path)}")
    if problem:
        raise ValueError(problem)
    return text


def already(name: str, where: str) -> str:
    """Say that a key is not overwritten."""
    return f"{name} is already set {where}, and no key is overwritten: take it out there first, if nobody needs it"


def line_of(error: ValueError | OSError) -> str:
    """Say in a line, without a secret, what an error of this work means."""
    if isinstance(error, OSError):
        return f"the vault file cannot be read or written ({error.strerror}): look at its folder"
    # An error of an encoding, which is none of our own, quotes what it is about.
    return f"it went wrong inside ({type(error).__name__})" if isinstance(error, UnicodeError) else str(error)


# Stands for an account where only the place for one is checked.
NOBODY = wallet.Account("0x", "0x", "-")


class ActionModule(ActionBase):
    """Run once, on the controller; shows the account's address and fails with one line."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Put the account into the vault; the result holds its address and no secret."""
        result = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec({name: {"type": "raw"} for name in OPTIONS})
        try:
            request = request_of(arguments)
            done, account = self._run(request, task_vars)
        except (ValueError, OSError) as error:
            result.update(failed=True, changed=False, msg=f"{line_of(error)}; nothing was written.")
            return result
        result.update(done)
        if not self._task.check_mode:
            self._show(request, account, done["file"])
        return result

    def _run(self, request: Request, task_vars: Mapping) -> tuple:
        """Do what is asked for; give the result and the account, None for one that check mode does not make."""
        check_names([str(name) for name in task_vars])
        folder, groups, hosts = read_by(request.group, task_vars)
        path = vault_file.vault_path(folder, request.vault_file, groups, hosts)
        secrets = vault_secrets()
        found = opened(path, secrets, request.vault_id)
        with_account(found, NOBODY, path)
        self._check_free(task_vars, folder, groups, hosts)
        if found.new and not self._task.check_mode:
            self._confirm(found.secret, path)
        account = self._account(request)
        done = {"changed": True, "file": shown(path), "variables": list(variables_of(account or NOBODY))}
        if account:
            done["address"] = account.address
        if self._task.check_mode:
            done["msg"] = f"Would add {' and '.join(done['variables'])} to {done['file']}."
            return done, account
        with vault_file.locked(path.parent):
            # It may have been written while this run waited for an answer.
            found = opened(path, secrets, found.vault_id)
            text = with_account(found, account, path)
            vault_file.write(path, VaultLib(secrets).encrypt(text, found.secret, vault_id=found.vault_id))
        done["msg"] = f"Fund {account.address}; its key is in {done['file']}."
        return done, account

    def _check_free(self, task_vars: Mapping, folder: Path, groups: list, hosts: list) -> None:
        """Check that the inventory sets no key yet, whichever way."""
        problem = ""
        for host in hosts or [""]:
            try:
                variables = task_vars["hostvars"][host] if host else task_vars
                taken = next((name for name in (KEY, MNEMONIC) if name in variables), None)
                if taken:
                    problem = already(taken, self._where(taken, folder, groups, hosts) or f"for {host or 'all hosts'}")
            except AnsibleError as error:
                broken = unresolved_value(error)
                problem = (
                    f"the variables of {host} cannot be read, for a file of theirs {broken.reason}: {broken.remedy}"
                )
            if problem:
                raise ValueError(problem)

    def _where(self, name: str, folder: Path, groups: list, hosts: list) -> str:
        """Say in which file of the inventory a variable is set; nothing where it is in no vars file."""
        return next((f"in {shown(file)}" for file, _values in self._files((name,), folder, groups, hosts)), "")

    def _files(self, names: Sequence, folder: Path, groups: list, hosts: list) -> Iterator:
        """Give each vars file of the node that sets some of these variables, with their values as they are written."""
        for kind, entities in (("host_vars", hosts), ("group_vars", groups)):
            for entity in entities:
                for file in self._loader.find_vars_files(str(folder / kind), entity):
                    content = self._loader.load_from_file(file, cache="none", unsafe=True)
                    found = {name: content[name] for name in names if isinstance(content, Mapping) and name in content}
                    if found:
                        yield Path(file), found

    def _ask(self, question: str, without: str) -> str:
        """Ask on the terminal without an echo. without: what to do where there is no terminal."""
        problem = ""
        try:
            answer = self._display.prompt_until(f"{question} (it is not shown):", private=True)
        except AnsiblePromptNoninteractive:
            problem = f"there is no terminal to ask on: {without}"
        except AnsiblePromptInterrupt:
            problem = "it was broken off: run it again"
        if problem:
            raise ValueError(problem)
        return answer.decode("utf-8", "surrogateescape")

    def _confirm(self, secret: object, path: Path) -> None:
        """Have a typed password typed again for a new file: mistyped once, it would lock the key away for good."""
        if not isinstance(secret, PromptVaultSecret):
            return
        question = f"The vault password once more, since {shown(path)} is new"
        again = self._ask(question, "use --vault-password-file")
        if again.strip().encode("utf-8", "surrogateescape") != secret.bytes:
            raise ValueError("the vault password was typed in two ways: run it again")

    def _account(self, request: Request) -> wallet.Account | None:
        """Make or import the account; None for one that check mode does not make."""
        if request.source == "new":
            return None if self._task.check_mode else wallet.new_account()
        if request.source == "keystore":
            text = read(request, "file").decode("utf-8", "replace")
            return wallet.from_keystore(text, self._password(request))
        what = request.source.replace("_", " ")
        if request.file or request.environment:
            text = read(request, "file" if request.file else "environment").decode("utf-8", "replace")
        else:
            text = self._ask(f"The publisher's {what}", f"set {PREFIX}file or {PREFIX}environment")
        if request.source == "private_key":
            return wallet.from_private_key(text)
        return wallet.from_mnemonic(text, request.index)

    def _password(self, request: Request) -> bytes:
        """Give the key store's password."""
        if request.password_file:
            return read(request, "password_file").removesuffix(b"\n").removesuffix(b"\r")
        if request.password_environment:
            return read(request, "password_environment")
        without = f"set {PREFIX}password_file or {PREFIX}password_environment"
        return self._ask("The key store's password", without).encode("utf-8", "surrogateescape")

    def _show(self, request: Request, account: wallet.Account, file: str) -> None:
        """Show what the operator needs now, and the mnemonic where it was asked for."""
        show = self._display.display
        self._show_address(request, account.address, "The publisher's account")
        show(f"Its secrets are in {file}, encrypted. Keep a copy of that file and of its vault password.")
        show("PROVER_ID is this address, unless prover_node_prover_id names another.")
        self._show_secrets(request, account)
        show("Once it is funded, playbooks/preflight.yml shows its balance; then playbooks/site.yml runs the prover.\n")

    def _show_address(self, request: Request, address: str, what: str) -> None:
        """Show an address to fund as text and as a QR code."""
        show = self._display.display
        show(f"\n{what}. It pays for submitting proofs: send ETH to it.\n\n  {address}\n")
        if request.qr != "none":
            try:
                code = qr.qr_lines(qr.payment_uri(address) if request.qr == "uri" else address)
            except ValueError as error:
                code = [f"(no QR code: {error})"]
            else:
                # White on black, whatever the terminal's own colours are.
                code = [f"\033[97;40m{line}\033[0m" for line in code] if ANSIBLE_COLOR else code
            show("\n".join(code) + "\n", screen_only=True)

    def _show_secrets(self, request: Request, account: wallet.Account) -> None:
        """Name the file that still holds a secret in clear, and show the mnemonic where it was asked for."""
        show = self._display.display
        if request.file and request.source != "keystore":
            show(f"The file that {PREFIX}file names still holds the secret in clear: delete it.")
        if request.show_mnemonic:
            show(f"\nThe mnemonic, to be written down:\n\n  {account.mnemonic}\n", screen_only=True)


def read_by(group: str, task_vars: Mapping) -> tuple:
    """Give (the inventory's folder, the groups whose variables the node's host has, the hosts of its group)."""
    folder = vault_file.inventory_folder(task_vars["ansible_inventory_sources"])
    members = {str(name): [str(host) for host in hosts] for name, hosts in task_vars["groups"].items()}
    hosts = members.get(group, [])
    return folder, ["all", *(name for name, some in members.items() if name != "all" and set(some) & set(hosts))], hosts


def vault_secrets() -> list:
    """Give the vault passwords that the run was given."""
    context = VaultSecretsContext.current(optional=True)
    if context is None or not context.secrets:
        raise ValueError("no vault password is given: add --ask-vault-pass or --vault-password-file")
    return context.secrets


def read(request: Request, option: str) -> bytes:
    """Read the file, or the environment variable, that an option names."""
    named, problem, content = getattr(request, option), "", b""
    if option.endswith("environment"):
        content = os.environb.get(os.fsencode(named))
        problem = "" if content else "names a variable that is not set: export it"
    else:
        try:
            content = Path(named).expanduser().read_bytes()
        except OSError as error:
            problem = f"names a file that cannot be read ({error.strerror}): correct its path"
    if problem:
        raise ValueError(f"{PREFIX}{option} {problem}")
    return content
