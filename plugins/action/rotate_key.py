# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Replace the publisher's key: the steps of playbooks/rotate_key.yml around the node's role."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ansible._internal._datatag._tags import Origin
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib
from ansible_collections.aztec_ops.prover.plugins.action import publisher_key
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import COMPONENTS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import ROLES, read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet_problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import (
    key_variables,
    resolve_fleet_variables,
    to_builtin,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import as_bool, members_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import (
    count_problems,
    merge_problems,
    problem_table,
    table,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_inventory
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import as_int
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_checks import (
    L1CheckResult,
    check_l1,
    l1_tables,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_queries import (
    client_queries,
    l1_settings,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.units import (
    ether,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import rotation, vault_file, wallet
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.ethereum import ethereum_address
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.rotation import (
    CURRENT,
    KEYS,
    MNEMONICS,
    NEXT,
    PREVIOUS,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.vault_file import shown

# How playbooks/rotate_key.yml calls its own options; those of the new key are keys.yml's.
PREFIX = "rotate_key_"
OWN = {"wait": 0, "confirm": False, "rewards_moved": False, "rollback": False, "force": False}
SHARED = (
    "source",
    "file",
    "environment",
    "index",
    "password_file",
    "password_environment",
    "show_mnemonic",
    "qr",
    "group",
)
STEPS = ("stage", "check_account", "finish")
OPTIONS = ("step", *SHARED, *OWN, "fleet", "staged")

LOOK = "aztec_ops.prover.host_info"
# Seconds between two looks at an account that is waited for.
POLL = 10

LISTED = f"{KEYS[CURRENT]}s"


@dataclass(frozen=True)
class Request:
    """What is asked for: the new key as keys.yml asks for it, seconds to wait, what of the old one."""

    key: publisher_key.Request
    wait: int = 0
    confirm: bool = False
    rewards_moved: bool = False
    rollback: bool = False
    force: bool = False


def request_of(arguments: Mapping) -> Request:
    """Check a task's arguments and give them as a request. No message quotes a value: it may be a secret by mistake."""
    own = {}
    for name, default in OWN.items():
        if arguments.get(name) in (None, ""):
            continue
        if name == "wait":
            own[name] = as_int(arguments[name])
            if own[name] is None or own[name] < 0:
                raise ValueError(f"{PREFIX}wait is no number of seconds: give one from 0, such as 1800")
        else:
            own[name] = as_bool(arguments[name])
            if own[name] is None:
                raise ValueError(f"{PREFIX}{name} is neither true nor false: write true or false")
        own[name] = own[name] or default
    request = Request(publisher_key.request_of({name: arguments.get(name) for name in SHARED}), **own)
    if request.rewards_moved and not request.confirm:
        raise ValueError(f"{PREFIX}rewards_moved goes with {PREFIX}confirm alone: set that too")
    if request.key.source != "new" and (request.confirm or request.rollback):
        how = "confirm" if request.confirm else "rollback"
        raise ValueError(f"publisher_key_source goes with a new key, not with {PREFIX}{how}: leave one of them")
    return request


def check_source(values: Mapping) -> None:
    """Refuse what is rotated in another way: several keys, and keys that no host gets."""
    if str(values.get("prover_node_key_source")) == "web3signer":
        raise ValueError(
            "the key is in a web3signer: give that another one, then change prover_node_publisher_addresses "
            "and run playbooks/site.yml"
        )
    if values.get(LISTED):
        raise ValueError(f"{LISTED} holds several keys: change the one that is to go in it and run playbooks/site.yml")


def questions(task_vars: Mapping, fleet: Mapping) -> tuple:
    """Give (what the variables of the node's host come to, what its look has to ask of the L1, '' for nothing)."""
    host = task_vars["inventory_hostname"]
    values = host_values(task_vars["hostvars"][host], read_specs(ROLES))
    return values, client_queries(values, fleet, host)


def origin_problem(value: object, vault: Path, file: str, host: str) -> str:
    """Say what stands before the vault file's key as the publisher's of a host; '' where nothing does.

    By where the value comes from and not by what it is: the same key set in another place decides too, and would go on
    deciding once the vault file has another.
    """
    origin = Origin.get_tag(value)
    path = origin.path if origin else None
    if path and os.path.realpath(path) == os.path.realpath(vault):
        return ""
    where = shown(Path(path)) if path else (origin and origin.description) or "another place"
    return f"{host} gets {KEYS[CURRENT]} from {where}, not from {file}: take it out there"


@dataclass(frozen=True)
class Vault:
    """The vault file that holds the publisher's key: its text, its keys, and their accounts' addresses."""

    path: Path
    found: publisher_key.Opened = field(repr=False)
    keys: dict = field(repr=False)
    addresses: dict

    @property
    def file(self) -> str:
        """Give how a message names it."""
        return shown(self.path)


def vault_of(path: Path, secrets: list) -> Vault:
    """Open the vault file and look at the keys in it."""
    found = publisher_key.opened(path, secrets, "")
    keys, problem = {}, ""
    try:
        texts, names = vault_file.texts_in(found.text), vault_file.names_in(found.text)
        twice = next((one for one in (*KEYS.values(), *MNEMONICS.values()) if names.count(one) > 1), "")
        problem = f"{twice} stands more than once in {shown(path)}: take out all but one" if twice else ""
    except ValueError as error:
        texts, problem = {}, f"{shown(path)}: {error}"
    if problem:
        raise ValueError(problem)
    for place, name in KEYS.items():
        if name in texts:
            try:
                keys[place] = wallet.from_private_key(texts[name]).key
            except ValueError as error:
                problem = f"{name} in {shown(path)}: {error}"
            if problem:
                raise ValueError(problem)
        elif MNEMONICS[place] in texts:
            raise ValueError(f"{shown(path)} has {MNEMONICS[place]} and no {name}: take it out, or put its key there")
    return Vault(path, found, keys, {place: ethereum_address(key) for place, key in keys.items()})


class ActionModule(publisher_key.ActionModule):
    """Runs for the node's host; every step but the look at the L1 is done on the controller."""

    _requires_connection = True

    def run(self, tmp=None, task_vars=None):
        """Do one step; no result holds a secret."""
        result = super(publisher_key.ActionModule, self).run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec({name: {"type": "raw"} for name in OPTIONS})
        step = arguments.get("step")
        if step not in STEPS:
            raise AnsibleError(f"rotate_key: step is not a choice: choose one of {', '.join(STEPS)}")
        try:
            found = getattr(self, f"_{step}")(arguments, task_vars)
        except (ValueError, OSError) as error:
            found = {"msg": publisher_key.line_of(error), "failed": True}
        if found.get("failed") and step == "stage":
            found["msg"] += "; nothing was changed."
        result.update({"changed": False, **found})
        return result

    def _stage(self, arguments: Mapping, task_vars: Mapping) -> dict:
        """Find out what is to be done, and put a new key into the vault where there is none yet."""
        names = {"rotate_key": {f"{PREFIX}{name}": {} for name in OWN}}
        publisher_key.check_names([str(name) for name in task_vars], names)
        request = request_of(arguments)
        host = task_vars["inventory_hostname"]
        check_source(task_vars["hostvars"][host])
        secrets = publisher_key.vault_secrets()
        vault = vault_of(self._path(request, task_vars), secrets)
        problem = origin_problem(task_vars["hostvars"].raw_get(host).get(KEYS[CURRENT]), vault.path, vault.file, host)
        if problem:
            raise ValueError(problem)
        plan = rotation.plan_of(vault.addresses, vault.file, request.confirm, request.rollback)
        changed, made = False, None
        if plan.what == "stage":
            made = self._account(request.key)
            if made and made.address in vault.addresses.values():
                raise ValueError(f"the new key is the old one, of {made.address}: give another one")
        elif request.key.source != "new":
            other = rotation.mismatch(self._account(request.key).address, plan, vault.addresses, vault.file)
            if other:
                raise ValueError(other)
        key = made.key if made else vault.keys.get(plan.place)
        fleet = self._checked(task_vars, arguments, host, key) if key else {}
        if request.force and not request.confirm and fleet and questions(task_vars, fleet)[1]:
            raise ValueError(
                f"{PREFIX}force goes with {PREFIX}confirm, or with aztec_l1_checks: ignore: leave it away"
            )
        if plan.what == "stage":
            changed = True
            if made and not self._task.check_mode:
                vault = self._add(vault, made, secrets)
                self._show_address(request.key, made.address, "The new publisher's account")
                self._show_secrets(request.key, made)
        done = {
            "changed": changed,
            "what": plan.what,
            "place": plan.place,
            "moves": dict(plan.moves),
            "variable": KEYS[plan.place],
            "addresses": dict(vault.addresses),
            "file": vault.file,
            "path": str(vault.path.absolute()),
            "fleet": fleet,
            # In check mode a new key is nowhere yet.
            "go": plan.place in vault.addresses,
            # An old key that goes in spite of all goes without a look at host and L1.
            "check_account": not (plan.what == "confirm" and request.force),
        }
        if done["go"]:
            done["msg"] = self._announce(done, to_builtin(arguments["fleet"]))
        return done

    def _announce(self, staged: Mapping, before: Mapping) -> str:
        """Say in a line what the run is about, and what becomes of the address for the rewards."""
        address, now = staged["addresses"][staged["place"]], staged["addresses"][CURRENT]
        if staged["what"] in ("done", "confirm"):
            said = f"{address} is the publisher already"
        else:
            said = f"{address} takes the place of {now}"
        self._display.display(f"{said}; the keys are in {staged['file']}.")
        if staged["fleet"].get("prover_id") != before.get("prover_id"):
            self._display.display(
                f"PROVER_ID, which rewards go to, changes with it, from {before['prover_id']} to "
                f'{staged["fleet"]["prover_id"]}; to keep it, set prover_node_prover_id: "{before["prover_id"]}". '
                "The next run of site.yml writes it down on the agents too and restarts them, though none reads it."
            )
        return said

    def _path(self, request: Request, task_vars: Mapping) -> Path:
        """Give the vault file that holds the publisher's key."""
        folder, groups, hosts = publisher_key.read_by(request.key.group, task_vars)
        names = (*KEYS.values(), *MNEMONICS.values())
        files = list(self._files(names, folder, groups, hosts))
        own = [file for file, values in files if KEYS[CURRENT] in values]
        if not own:
            raise ValueError(
                f"{KEYS[CURRENT]} is in no vars file of the inventory: make a key with playbooks/keys.yml, "
                "or change it where it is set and run playbooks/site.yml"
            )
        for file, values in files:
            name = next(iter(values))
            if file != own[0]:
                raise ValueError(
                    f"{name} is set in {shown(file)} and {KEYS[CURRENT]} in {shown(own[0])}: keep all keys in one file"
                )
            value = values.get(KEYS[CURRENT])
            if not isinstance(value, str) or "{{" in value or "{%" in value:
                raise ValueError(
                    f"{KEYS[CURRENT]} in {shown(file)} is looked up, or encrypted alone: "
                    "change it where it comes from and run playbooks/site.yml"
                )
        return own[0]

    def _checked(self, task_vars: Mapping, arguments: Mapping, host: str, key: str) -> dict:
        """Check the inventory as it would be with the new key as the publisher's; give the fleet's values."""
        groups = {name: list(hosts) for name, hosts in task_vars["groups"].items()}
        before = to_builtin(arguments["fleet"])
        wrong = fleet_problem(before)
        if wrong:
            raise ValueError(wrong)
        specs = read_specs(ROLES)
        names = {
            component: str(task_vars.get(f"preflight_{component.removeprefix('prover_')}_group", component))
            for component in COMPONENTS
        }
        written = {one: task_vars["hostvars"].raw_get(one) for one in groups["all"]}
        hosts = resolve_fleet_variables(task_vars["hostvars"], written, members_of(groups, names), specs)
        keys = {one: key_variables(variables) for one, variables in written.items()}
        for values in hosts.values():
            # What a rotation leaves behind it is its own affair.
            for name in (KEYS[NEXT], KEYS[PREVIOUS]):
                values.pop(name, None)
        hosts[host] = {**hosts[host], KEYS[CURRENT]: key}
        problems, fleet = check_inventory(hosts, groups, specs, names, keys=keys, run=[host])
        if fleet is None:
            self._display.display(problem_table(problems, list(hosts)), color="red")
            what = count_problems(sum(one.level == "error" for one in merge_problems(problems, list(hosts))))
            raise ValueError(f"{what} with the new key, in the table above")
        return fleet

    def _add(self, vault: Vault, account: wallet.Account, secrets: list) -> Vault:
        """Put a new account beside the old one."""
        with vault_file.locked(vault.path.parent):
            # It may have been written while this run waited for an answer.
            now = vault_of(vault.path, secrets)
            if now.addresses != vault.addresses:
                raise ValueError(f"{vault.file} was changed while this run went on: run the same command again")
            self._write(now, publisher_key.with_account(now.found, account, now.path, NEXT), secrets)
        return vault_of(vault.path, secrets)

    def _write(self, vault: Vault, text: str, secrets: list) -> None:
        content = VaultLib(secrets).encrypt(text, vault.found.secret, vault_id=vault.found.vault_id)
        vault_file.write(vault.path, content)

    def _check_account(self, arguments: Mapping, task_vars: Mapping) -> dict:
        """Ask the L1 from the node's host for the account that the node is to get, and wait until it is funded."""
        request, staged = request_of(arguments), to_builtin(arguments["staged"])
        host, addresses = task_vars["inventory_hostname"], staged["addresses"]
        fleet = {**staged["fleet"], "publishers": [], "funder": ""}
        values, asked = questions(task_vars, fleet)
        confirming = staged["what"] == "confirm"
        if not asked:
            if confirming:
                raise ValueError(self._kept("aztec_l1_checks is ignore, so that nobody asks what the old one holds"))
            # A key that this run has made holds nothing, whatever anybody says.
            if staged["what"] == "stage" or (staged["what"] in ("rotate", "rollback") and not request.force):
                raise ValueError(
                    f"aztec_l1_checks is ignore, so that nobody asks whether {addresses[staged['place']]} can pay: "
                    f"send ETH to it, then run the same command again with -e {PREFIX}force=true; the node still "
                    f"runs with {addresses[CURRENT]}"
                )
            self._display.display("The accounts were not looked at, for aztec_l1_checks is ignore.", color="yellow")
            return {}
        accounts = list(addresses.values())
        asked = json.dumps({**json.loads(asked), "addresses": accounts, "sent": accounts, "fees": True})
        settings = l1_settings(values, fleet["network"], fleet["hosts"][host]["components"], fleet["line"])
        # An account that the node has already is no longer waited for.
        wanted = addresses[staged["place"]] if staged["what"] in ("stage", "rotate", "rollback") else ""
        end, first = time.monotonic() + request.wait, True
        while True:
            found = self._question_host(asked, task_vars)
            if "host_info" not in found:
                return found
            answers = found["host_info"]["l1"]
            verdict = check_l1(host, values, fleet, answers)
            broken = [one for one in verdict.problems if one.level == "error"]
            seen = {what: rotation.told(answers["execution"], what, settings.chain_id) for what in ("balances", "sent")}
            lacks = rotation.lacking(wanted, seen["balances"], settings, verdict.cost) if wanted else ""
            left = end - time.monotonic()
            # A first trifle is no end of the waiting.
            short = rotation.scanty(wanted, seen["balances"], settings) if wanted and not lacks else ""
            if not (lacks or short) or left <= 0 or (broken and first):
                break
            self._display.display(f"  {host}: {lacks or short}; {left:.0f} s left")
            time.sleep(min(POLL, left))
            first = False
        self._show_seen(verdict, addresses, seen)
        if broken:
            what = count_problems(len(broken))
            raise ValueError(f"{what} of the L1, in the table above; nothing on the node's host was changed")
        if confirming:
            rewards = {"prover_id": fleet["prover_id"], "rewards_moved": request.rewards_moved}
            kept = rotation.unconfirmed(addresses[CURRENT], addresses[PREVIOUS], **seen, **rewards)
            if kept:
                raise ValueError(self._kept("; ".join(kept)))
        if lacks:
            raise ValueError(
                f"{lacks}, then run the same command again (or have it wait: -e {PREFIX}wait=1800); "
                f"the node still runs with {addresses[CURRENT]}"
            )
        if short:
            self._display.display(short, color="yellow")
        return {"balances": {one: ether(amount) for one, amount in seen["balances"].items()}}

    def _show_seen(self, verdict: L1CheckResult, addresses: Mapping, seen: Mapping) -> None:
        """Show the L1's clients, the accounts, and what is wrong, as tables."""
        rows = rotation.account_rows(addresses, **seen)
        accounts = table(rows, ("KEY", "ACCOUNT", "BALANCE", "TRANSACTIONS"))
        self._display.display(f"\n{l1_tables(verdict.clients, [])}\n\n{accounts}\n")
        if verdict.problems:
            failed = any(one.level == "error" for one in verdict.problems)
            self._display.display(problem_table(verdict.problems), color="red" if failed else "yellow")

    def _question_host(self, asked: str, task_vars: Mapping) -> dict:
        """Do what a task of host_info does, for it may have an action of its own."""
        task = self._task.copy()
        task.action, task.args = LOOK, {"l1": asked}
        actions = self._shared_loader_obj.action_loader
        name = LOOK if actions.has_plugin(LOOK) else "ansible.legacy.normal"
        about = ("connection", "play_context", "loader", "templar", "shared_loader_obj")
        return actions.get(name, task=task, **{one: getattr(self, f"_{one}") for one in about}).run(task_vars=task_vars)

    @staticmethod
    def _kept(why: str) -> str:
        return f"{why}; the old key stays in the vault (-e {PREFIX}force=true takes it out all the same)"

    def _finish(self, arguments: Mapping, task_vars: Mapping) -> dict:
        """Write down in the vault what the node runs with now, at once."""
        del task_vars
        staged = to_builtin(arguments["staged"])
        plan = rotation.Plan(staged["what"], staged["place"], staged["moves"])
        if plan.what == "stage":
            plan = replace(plan, what="rotate")
        before = staged["addresses"]
        after = {
            **{place: address for place, address in before.items() if place not in plan.moves},
            **{to: before[place] for place, to in plan.moves.items() if to},
        }
        if plan.moves and not self._task.check_mode:
            secrets = publisher_key.vault_secrets()
            path = Path(staged["path"])
            with vault_file.locked(path.parent):
                vault = vault_of(path, secrets)
                if vault.addresses != before:
                    raise ValueError(f"{vault.file} was changed while this run went on: run the same command again")
                text = vault_file.with_changed(vault.found.text, plan.names(), publisher_key.COMMENTS)
                self._write(vault, text, secrets)
        said = self._told(plan.what, after, before, staged["file"])
        if not self._task.check_mode:
            self._display.display(f"\n{said}\n")
        return {"changed": bool(plan.moves), "addresses": after, "msg": said}

    @staticmethod
    def _told(what: str, after: Mapping, before: Mapping, file: str) -> str:
        """Say how things stand at the end, and what can be done next."""
        lines = [f"The node runs with the key of {after[CURRENT]}, the publisher's in {file}."]
        if what == "confirm":
            lines = [f"The publisher's key in {file} is that of {after[CURRENT]}."]
            lines.append(f"The key of {before[PREVIOUS]} is no longer there.")
        if PREVIOUS in after:
            lines.append(
                f"The one before it, of {after[PREVIOUS]}, is kept there until you confirm: "
                f"-e {PREFIX}confirm=true takes it out, -e {PREFIX}rollback=true goes back to it."
            )
        if NEXT in after:
            lines.append(f"That of {after[NEXT]} is there as the next one: the command without options changes to it.")
        return "\n".join(lines)
