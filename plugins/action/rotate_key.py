# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Replace the publisher's key: the steps of playbooks/rotate_key.yml before and after the node's role."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.utils.vars import load_extra_vars
from ansible_collections.aztec_ops.prover.plugins.action import publisher_key
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import COMPONENTS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory import host_variables
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import ROLES, read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet_problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import (
    count_errors,
    count_problems,
    problem_table,
    table,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_inventory
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.variable_places import Layer, Places
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight import l1_checks
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_queries import client_queries, l1_settings
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.units import ether
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import rotation, vault_file, wallet
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.ethereum import ethereum_address
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.rotation import CURRENT, KEYS, NEXT, PREVIOUS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.vault_file import shown

# The prefix of its own options' variables in playbooks/rotate_key.yml. Those of the new key are as in keys.yml.
PREFIX = "rotate_key_"
OWN = {"wait": 0, "confirm": False, "rewards_moved": False, "rollback": False, "force": False}
SHARED = tuple(name for name in publisher_key.OPTIONS if name not in ("vault_file", "vault_id"))
STEPS = ("stage", "check_account", "finish")
OPTIONS = ("step", *SHARED, *OWN, "fleet", "staged")

HOST_INFO = "aztec_ops.prover.host_info"
POLL_SECONDS = 10

SEVERAL_KEYS = f"{KEYS[CURRENT]}s"


@dataclass(frozen=True)
class Request:
    """The options: those of the new key, and the playbook's own."""

    key: publisher_key.Request
    wait: int = 0
    confirm: bool = False
    rewards_moved: bool = False
    rollback: bool = False
    force: bool = False


def request_of(arguments: Mapping) -> Request:
    """Return a task's arguments as a request. Raise ValueError if they are wrong, without quoting a value."""
    key = publisher_key.request_of({name: arguments.get(name) for name in SHARED})
    request = Request(key, **publisher_key.typed_options(PREFIX, arguments, OWN))
    if request.rewards_moved and not request.confirm:
        raise ValueError(f"{PREFIX}rewards_moved requires {PREFIX}confirm: set that too")
    if key.source != "new" and (request.confirm or request.rollback):
        other = "confirm" if request.confirm else "rollback"
        raise ValueError(f"publisher_key_source is for a new key, not for {PREFIX}{other}: set only one of them")
    return request


def check_source(values: Mapping) -> None:
    """Raise ValueError if the node's keys are not replaced by this playbook: several keys, or keys in a web3signer."""
    if str(values.get("prover_node_key_source")) == "web3signer":
        raise ValueError(
            "the key is in a web3signer: add another key there, then change prover_node_publisher_addresses "
            "and run aztec_ops.prover.site"
        )
    if values.get(SEVERAL_KEYS):
        raise ValueError(f"{SEVERAL_KEYS} has several keys: replace one of them there and run aztec_ops.prover.site")


def l1_queries(task_vars: Mapping, fleet: Mapping) -> tuple:
    """Return (the variables of the node's host, its L1 queries, {} if L1 checks are off)."""
    host = task_vars["inventory_hostname"]
    values = host_variables.resolve_variables(task_vars["hostvars"][host], read_specs(ROLES))
    return values, client_queries(values, fleet, host)


@dataclass(frozen=True)
class KeyVault(publisher_key.Vault):
    """The vault file with the publisher's key: also its keys and the addresses of their accounts, by slot."""

    keys: dict = field(repr=False)
    addresses: dict


def open_keys(path: Path, secrets: list) -> KeyVault:
    """Decrypt the vault file and return it with its keys."""
    vault = publisher_key.open_vault(path, secrets)
    try:
        variables = vault_file.variables_in(vault.text)
    except ValueError as error:
        raise ValueError(f"{vault.file}: {error}") from None
    names, values, keys = [name for name, _value in variables], dict(variables), {}
    for slot, name in KEYS.items():
        mnemonic = rotation.MNEMONICS[slot]
        for one in (name, mnemonic):
            if names.count(one) > 1:
                raise ValueError(f"{one} is set more than once in {vault.file}: remove all but one")
        if name in values:
            try:
                keys[slot] = wallet.from_private_key(values[name]).key
            except ValueError as error:
                raise ValueError(f"{name} in {vault.file}: {error}") from None
        elif mnemonic in values:
            raise ValueError(f"{vault.file} has {mnemonic} but not {name}: remove it, or add its key")
    return KeyVault(**vars(vault), keys=keys, addresses={slot: ethereum_address(key) for slot, key in keys.items()})


def check_single_source(host: str, value: object, vault: KeyVault, layer: str, layers: Sequence[Layer]) -> None:
    """Raise ValueError if a host gets the publisher's key from another place than the vault file.

    The same key in another place counts too, since that place would keep its old key. value: the raw one that applies
    to the host. layer: the inventory layer of the vault file. layers: those of the host, with -e.
    """
    name = KEYS[CURRENT]
    place = next((one.place for one in reversed(layers) if name in one.values), layer)
    if place == layer and str(value) != dict(vault_file.variables_in(vault.text))[name]:
        place = "another place"
    if place != layer:
        raise ValueError(f"{host} gets {name} from {place}, not from {vault.file}: remove it there")


class ActionModule(publisher_key.ActionModule):
    """Run for the node's host. All steps except the L1 query run on the controller."""

    _requires_connection = True
    argument_spec = {name: {"type": "raw"} for name in OPTIONS}

    def execute(self, arguments: dict, task_vars: dict) -> dict:
        """Run one step. No result contains a secret."""
        step = arguments.get("step")
        if step not in STEPS:
            raise AnsibleError(f"rotate_key: step is not a valid choice: choose one of {', '.join(STEPS)}")
        try:
            return getattr(self, f"_{step}")(arguments, task_vars)
        except (ValueError, OSError) as error:
            end = "; nothing was changed." if step == "stage" else ""
            return {"failed": True, "msg": f"{publisher_key.message_of(error)}{end}"}

    def _stage(self, arguments: Mapping, task_vars: Mapping) -> dict:
        """Plan the run, and store a new key in the vault if there is none yet."""
        names = {"rotate_key": {f"{PREFIX}{name}": {} for name in OWN}}
        publisher_key.check_names([str(name) for name in task_vars], names)
        request = request_of(arguments)
        host = task_vars["inventory_hostname"]
        check_source(task_vars["hostvars"][host])
        secrets = publisher_key.vault_secrets()
        path, layer = self._vault_path(request, task_vars)
        vault = open_keys(path, secrets)
        sources, folder = task_vars["ansible_inventory_sources"], task_vars["playbook_dir"]
        layers = Places(self._loader, sources, folder, KEYS[CURRENT].__eq__).layers(host)
        layers.append(Layer("the command line (-e)", 0, load_extra_vars(self._loader)))
        check_single_source(host, task_vars["hostvars"].raw_get(host).get(KEYS[CURRENT]), vault, layer, layers)
        plan = rotation.plan_of(vault.addresses, vault.file, request.confirm, request.rollback)
        new = None
        if plan.action == "stage":
            new = self._account(request.key)
            if new and new.address in vault.addresses.values():
                raise ValueError(f"the new key is in the vault already, of {new.address}: give another one")
        elif request.key.source != "new":
            problem = rotation.key_mismatch(self._account(request.key).address, plan, vault.addresses, vault.file)
            if problem:
                raise ValueError(problem)
        key = new.key if new else vault.keys.get(plan.slot)
        before = host_variables.to_builtin(arguments["fleet"])
        fleet = self._fleet_with(key, task_vars, before) if key else {}
        if request.force and not request.confirm and fleet and l1_queries(task_vars, fleet)[1]:
            raise ValueError(f"{PREFIX}force requires {PREFIX}confirm, or aztec_l1_checks set to ignore: omit it")
        if new and not self._task.check_mode:
            self._rewrite(path, vault.addresses, secrets, lambda vault: vault.with_account(new, NEXT))
            vault = open_keys(path, secrets)
            self._show_address(request.key, new.address, "The new publisher's account")
            self._show_secrets(request.key, new)
        done = {
            "changed": plan.action == "stage",
            "action": plan.action,
            "slot": plan.slot,
            "moves": dict(plan.moves),
            "variable": KEYS[plan.slot],
            "addresses": dict(vault.addresses),
            "file": vault.file,
            "path": str(path.absolute()),
            "fleet": fleet,
            # Check mode does not store a new key.
            "ready": plan.slot in vault.addresses,
            # A forced removal of the old key needs neither host nor L1.
            "check_account": not (plan.action == "confirm" and request.force),
        }
        if done["ready"]:
            done["msg"] = self._announce(done, before)
        return done

    def _announce(self, staged: Mapping, before: Mapping) -> str:
        """Show which account replaces which, and a change of PROVER_ID. before: the fleet's values with the old key."""
        address, now = staged["addresses"][staged["slot"]], staged["addresses"][CURRENT]
        done = staged["action"] in ("done", "confirm")
        message = f"{address} is the publisher already" if done else f"{address} replaces {now}"
        self._display.display(f"{message}; the keys are in {staged['file']}.")
        if staged["fleet"].get("prover_id") != before.get("prover_id"):
            self._display.display(
                f"PROVER_ID, the address for rewards, changes from {before['prover_id']} to "
                f'{staged["fleet"]["prover_id"]}; to keep it, set prover_node_prover_id: "{before["prover_id"]}". '
                "The next run of site.yml updates it on the agents too and restarts them, although they do not use it."
            )
        return message

    def _vault_path(self, request: Request, task_vars: Mapping) -> tuple:
        """Return (the vault file with the publisher's key, its inventory layer)."""
        folder, groups, hosts = publisher_key.inventory_of(request.key.group, task_vars)
        files = list(self._files((*KEYS.values(), *rotation.MNEMONICS.values()), folder, groups, hosts))
        path, layer = next(((file, one) for file, one, values in files if KEYS[CURRENT] in values), (None, ""))
        if path is None:
            raise ValueError(
                f"{KEYS[CURRENT]} is not in a vars file of the inventory: make a key with aztec_ops.prover.keys, "
                "or change it where it is set and run aztec_ops.prover.site"
            )
        for file, _layer, values in files:
            if file != path:
                both = f"{next(iter(values))} is set in {shown(file)} and {KEYS[CURRENT]} in {shown(path)}"
                raise ValueError(f"{both}: keep all keys in one file")
            value = values.get(KEYS[CURRENT])
            if not isinstance(value, str) or "{{" in value or "{%" in value:
                raise ValueError(
                    f"{KEYS[CURRENT]} in {shown(file)} is a template or an encrypted value of its own: "
                    "change it at its source and run aztec_ops.prover.site"
                )
        return path, layer

    def _fleet_with(self, key: str, task_vars: Mapping, before: Mapping) -> dict:
        """Return the fleet's values with this publisher's key. Raise ValueError if the inventory is wrong with it.

        before: the fleet's values with the old key.
        """
        problem = fleet_problem(before)
        if problem:
            raise ValueError(problem)
        host, groups, specs = task_vars["inventory_hostname"], task_vars["groups"], read_specs(ROLES)
        names = {
            component: str(task_vars.get(f"preflight_{component.removeprefix('prover_')}_group", component))
            for component in COMPONENTS
        }
        hosts, keys, _written = host_variables.resolve_inventory(task_vars["hostvars"], groups, names, specs)
        # No warnings about the keys of this rotation.
        for values in hosts.values():
            for slot in (NEXT, PREVIOUS):
                values.pop(KEYS[slot], None)
        hosts[host] = {**hosts[host], KEYS[CURRENT]: key}
        problems, fleet = check_inventory(hosts, groups, specs, names, keys=keys, run=[host])
        if fleet is None:
            self._display.display(problem_table(problems, list(hosts)), color="red")
            raise ValueError(f"{count_errors(problems, list(hosts))} with the new key, in the table above")
        return fleet

    @staticmethod
    def _rewrite(path: Path, addresses: Mapping, secrets: list, changed: Callable[[KeyVault], str]) -> None:
        """Write the text that `changed` returns. Raise ValueError if the accounts in the file are no longer these."""
        with vault_file.locked(path.parent):
            # Another process may have changed it during a prompt.
            vault = open_keys(path, secrets)
            if vault.addresses != addresses:
                raise ValueError(f"{vault.file} was changed during this run: run the same command again")
            vault.write(changed(vault), secrets)

    def _check_account(self, arguments: Mapping, task_vars: Mapping) -> dict:
        """Query the L1 on the node's host for the account that the node will use, and wait until it is funded."""
        request, staged = request_of(arguments), host_variables.to_builtin(arguments["staged"])
        action, addresses = staged["action"], staged["addresses"]
        fleet = {**staged["fleet"], "publishers": [], "funder": ""}
        values, queries = l1_queries(task_vars, fleet)
        if not queries:
            return self._unchecked(request, staged)
        host, accounts = task_vars["inventory_hostname"], list(addresses.values())
        settings = l1_settings(values, fleet["network"], fleet["hosts"][host]["components"], fleet["line"])
        query = json.dumps({**queries, "addresses": accounts, "sent": accounts, "fees": True})
        # An account that the node uses already needs no check.
        wanted = addresses[staged["slot"]] if action in ("stage", "rotate", "rollback") else ""
        end, first = time.monotonic() + request.wait, True
        while True:
            info = self._query_host(query, task_vars)
            if "host_info" not in info:
                return info
            responses, insufficient, low = info["host_info"]["l1"], "", ""
            verdict = l1_checks.check_l1(host, values, fleet, responses)
            clients, chain = responses["execution"], settings.chain_id
            seen = {name: l1_checks.values_by_address(clients, name, chain) for name in ("balances", "sent")}
            if wanted:
                insufficient = rotation.insufficient_balance(wanted, seen["balances"], settings, verdict.cost)
                low = insufficient or rotation.low_balance(wanted, seen["balances"], settings)
            errors = sum(one.level == "error" for one in verdict.problems)
            left = end - time.monotonic()
            if not low or left <= 0 or (errors and first):
                break
            self._display.display(f"  {host}: {low}; {left:.0f} s left")
            time.sleep(min(POLL_SECONDS, left))
            first = False
        rows = rotation.account_rows(addresses, **seen)
        accounts_table = table(rows, ("KEY", "ACCOUNT", "BALANCE", "TRANSACTIONS"))
        self._display.display(f"\n{table(verdict.clients, l1_checks.CLIENT_HEADS)}\n\n{accounts_table}\n")
        if verdict.problems:
            self._display.display(problem_table(verdict.problems), color="red" if errors else "yellow")
        if errors:
            found = count_problems(errors)
            raise ValueError(f"{found} of the L1, in the table above; nothing on the node's host was changed")
        if action == "confirm":
            rewards = {"prover_id": fleet["prover_id"], "rewards_moved": request.rewards_moved}
            reasons = rotation.reasons_to_keep(addresses[CURRENT], addresses[PREVIOUS], **seen, **rewards)
            if reasons:
                raise ValueError(self._kept("; ".join(reasons)))
        if insufficient:
            raise ValueError(
                f"{insufficient}, then run the same command again (or have it wait: -e {PREFIX}wait=1800); "
                f"the node still runs with {addresses[CURRENT]}"
            )
        if low:
            self._display.display(low, color="yellow")
        return {"balances": {one: ether(amount) for one, amount in seen["balances"].items()}}

    def _unchecked(self, request: Request, staged: Mapping) -> dict:
        """Return the result without L1 checks. Raise ValueError unless the run may continue without them."""
        action, addresses = staged["action"], staged["addresses"]
        if action == "confirm":
            raise ValueError(self._kept("aztec_l1_checks is ignore, so the balance of the old account is not checked"))
        # The account of a key that this run made is empty, so force does not apply to it.
        if action == "stage" or (action in ("rotate", "rollback") and not request.force):
            raise ValueError(
                f"aztec_l1_checks is ignore, so the balance of {addresses[staged['slot']]} is not checked: "
                f"send ETH to it, then run the same command again with -e {PREFIX}force=true; the node still "
                f"runs with {addresses[CURRENT]}"
            )
        self._display.display("The accounts were not checked, because aztec_l1_checks is ignore.", color="yellow")
        return {}

    def _query_host(self, query: str, task_vars: Mapping) -> dict:
        """Return the result of a host_info task with an L1 query."""
        task = self._task.copy()
        task.action, task.args = HOST_INFO, {"l1": query}
        actions = self._shared_loader_obj.action_loader
        name = HOST_INFO if actions.has_plugin(HOST_INFO) else "ansible.legacy.normal"
        about = ("connection", "play_context", "loader", "templar", "shared_loader_obj")
        return actions.get(name, task=task, **{one: getattr(self, f"_{one}") for one in about}).run(task_vars=task_vars)

    @staticmethod
    def _kept(reason: str) -> str:
        return f"{reason}; the old key stays in the vault (-e {PREFIX}force=true removes it anyway)"

    def _finish(self, arguments: Mapping, _task_vars: Mapping) -> dict:
        """Record in the vault which key the node runs with, in one write."""
        staged = host_variables.to_builtin(arguments["staged"])
        plan = rotation.Plan(staged["action"], staged["slot"], staged["moves"])
        before = staged["addresses"]
        after = {slot: address for slot, address in before.items() if slot not in plan.moves}
        after.update({to: before[slot] for slot, to in plan.moves.items() if to})
        if plan.moves and not self._task.check_mode:
            path, secrets, names = Path(staged["path"]), publisher_key.vault_secrets(), plan.renames()
            comments = publisher_key.COMMENTS
            self._rewrite(path, before, secrets, lambda vault: vault_file.with_renamed(vault.text, names, comments))
        message = self._summary(plan.action, after, before, staged["file"])
        if not self._task.check_mode:
            self._display.display(f"\n{message}\n")
        return {"changed": bool(plan.moves), "addresses": after, "msg": message}

    @staticmethod
    def _summary(action: str, after: Mapping, before: Mapping, file: str) -> str:
        """Return the state at the end and the possible next steps."""
        lines = [f"The node runs with the key of {after[CURRENT]}, which is the publisher's key in {file}."]
        if action == "confirm":
            lines = [f"The publisher's key in {file} is that of {after[CURRENT]}."]
            lines.append(f"The key of {before[PREVIOUS]} was removed.")
        if PREVIOUS in after:
            lines.append(
                f"The previous key, of {after[PREVIOUS]}, is kept there until you confirm: "
                f"-e {PREFIX}confirm=true removes it, -e {PREFIX}rollback=true goes back to it."
            )
        if NEXT in after:
            lines.append(f"The key of {after[NEXT]} is staged: run the command without options to change to it.")
        return "\n".join(lines)
