# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the keys and addresses of a node: its publishers, the funding account, PROVER_ID, and the L1 registry."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.addresses import client_url_problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.context import Context, split_message
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import UnresolvedValue
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import NODE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.ethereum import (
    ethereum_address,
    ethereum_checksum,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.prover_id import (
    has_remote_signer,
    publisher_variable,
)

# The keys of inventories/prod, which is an example.
DUMMY_KEYS = ("0" * 64, "0" * 63 + "1")
ZERO_ADDRESS = "0x" + "0" * 40

ONE_KEY, SEVERAL_KEYS = "prover_node_publisher_private_key", "prover_node_publisher_private_keys"
SIGNER_URL, SIGNER_ADDRESSES = "prover_node_web3signer_url", "prover_node_publisher_addresses"
FUNDING_KEY, FUNDING_ADDRESS = "prover_node_funding_account_private_key", "prover_node_funding_account_address"
ADMIN_KEY, ADMIN_KEY_HASH = "prover_node_admin_api_key", "prover_node_admin_api_key_hash"
FUNDING_AMOUNTS = ("prover_node_funding_threshold", "prover_node_funding_amount")


def _hex_digits(value: object, length: int) -> set:
    """Return the hex numbers of this many digits in a value, which is text with commas, a list, or a dict."""
    if isinstance(value, (Mapping, list, tuple)):
        items = value.values() if isinstance(value, Mapping) else value
        return {one for item in items for one in _hex_digits(item, length)}
    texts = str(value).split(",") if isinstance(value, str) else []
    found = (re.fullmatch(rf"(?:0[xX])?([0-9a-fA-F]{{{length}}})", text.strip()) for text in texts)
    return {match.group(1).lower() for match in found if match}


def _address_digits(key: str) -> str:
    """Return the hex digits of a key's address, or '' for an invalid key."""
    try:
        return ethereum_address(key)[2:].lower()
    except ValueError:
        return ""


class Publishers:
    """The publishers of a node, to find their keys or addresses in variables of other hosts."""

    def __init__(self, values: Mapping) -> None:
        self.remote = has_remote_signer(values)
        given = values.get(publisher_variable(values))
        self.keys = set() if self.remote else _hex_digits(given, 64)
        self.addresses = _hex_digits(given, 40) if self.remote else {_address_digits(key) for key in self.keys}

    def used_by(self, name: str, value: object) -> bool:
        """Return whether a variable contains the key of a publisher, or names one as a publisher of its own."""
        keys = _hex_digits(value, 64)
        # Addresses are derived only where the node's keys are not known, because that is slow.
        held = self.addresses & {_address_digits(key) for key in keys} if self.remote else self.keys & keys
        named = self.addresses & _hex_digits(value, 40) if name.endswith("publisher_addresses") else set()
        return bool(held or named)


def check_publisher(context: Context) -> None:
    """Check the publishers of the node by the source of their keys, and PROVER_ID where it is set."""
    for host in context.members[NODE]:
        if has_remote_signer(context.hosts[host]):
            _check_remote_signer(context, host)
        else:
            _check_private_keys(context, host)
    for host, component in context.host_components():
        name = f"{component}_prover_id"
        if context.hosts[host].get(name) == ZERO_ADDRESS:
            context.add(host, name, ("is the zero address, whose rewards are lost", "set an address of yours"))
        context.check_ethereum(host, name, ethereum_checksum)


def _check_private_keys(context: Context, host: str) -> None:
    """Check that one key or a list of keys is set, and no option of a signer."""
    values = context.hosts[host]
    for name in (SIGNER_URL, SIGNER_ADDRESSES):
        if values.get(name) not in (None, "", []):
            remedy = "remove it, or set prover_node_key_source: web3signer and remove the private keys"
            context.add(host, name, ("is only valid with prover_node_key_source: web3signer", remedy))
    one, several = values.get(ONE_KEY), values.get(SEVERAL_KEYS)
    if several and one not in (None, ""):
        context.add(host, SEVERAL_KEYS, (f"is set, and so is {ONE_KEY}", "keep the keys in only one of them"))
    elif several:
        _check_entries(context, host, SEVERAL_KEYS, ethereum_address, DUMMY_KEYS)
    elif context.is_usable(host, ONE_KEY, one):
        if one in (None, ""):
            context.add(host, ONE_KEY, ("is not set", "put the publisher's key into the inventory's vault file"))
        elif isinstance(one, str) and one.lower().replace("0x", "", 1) in DUMMY_KEYS:
            context.add(host, ONE_KEY, ("is still the example value", "put your publisher's key into the vault file"))
        else:
            context.check_ethereum(host, ONE_KEY, ethereum_address)


def _check_remote_signer(context: Context, host: str) -> None:
    """Check the URL of the signer and the addresses for which it signs, and that no private key is set."""
    values = context.hosts[host]
    for name in (ONE_KEY, SEVERAL_KEYS):
        if values.get(name) not in (None, "", []):
            wrong = "contains a private key, but with prover_node_key_source: web3signer no key may reach a host"
            remedy = "remove it, or set prover_node_key_source to keystore or env and remove "
            context.add(host, name, (wrong, remedy + f"{SIGNER_URL}, {SIGNER_ADDRESSES}"))
    url = values.get(SIGNER_URL, "")
    if context.is_usable(host, SIGNER_URL, url):
        found = client_url_problem(url) if url else ("is not set", "set the URL of the signer")
        if found is None and urlsplit(url).username is not None:
            # RemoteSigner of @aztec/node-keystore passes the URL to Node's fetch as it is (2.1, 4.1.2, 5.2.0).
            found = "contains a user, which Node's fetch rejects", "remove the user; restrict access by path or network"
        if found:
            context.add(host, SIGNER_URL, found)
    if values.get(SIGNER_ADDRESSES):
        _check_entries(context, host, SIGNER_ADDRESSES, ethereum_checksum, (ZERO_ADDRESS[2:],))
    else:
        context.add(host, SIGNER_ADDRESSES, ("has no publisher", "set the addresses of the signer's keys"))


def _check_entries(context: Context, host: str, name: str, function: Callable, examples: Sequence) -> None:
    """Check that each entry of a list is a valid key or address, is not an example, and is listed once."""
    entries, seen = context.hosts[host].get(name), {}
    for number, entry in enumerate(entries if context.is_usable(host, name, entries) else (), 1):
        if isinstance(entry, str) and entry.lower().replace("0x", "", 1) in examples:
            context.add(host, name, (f"entry {number} is still the example value", "set that of your publisher"))
            return
        try:
            first = seen.setdefault(function(entry), number)
        except ValueError as error:
            wrong, remedy = split_message(error)
            context.add_ethereum(host, name, error, (f"entry {number}: {wrong}", remedy))
            return
        if first != number:
            context.add(host, name, (f"entry {number} repeats entry {first}", "remove one of the two"))
            return


def check_funding(context: Context) -> None:
    """Check that the funding account has all of its settings or none, and is not a publisher."""
    for host in context.members[NODE]:
        values = context.usable(host)
        remote = has_remote_signer(values)
        account, other = (FUNDING_ADDRESS, FUNDING_KEY) if remote else (FUNDING_KEY, FUNDING_ADDRESS)
        source, names = values.get("prover_node_key_source", "keystore"), (account, *FUNDING_AMOUNTS)
        if values.get(other):
            wrong = f"is not valid with prover_node_key_source: {source}"
            context.add(host, other, (wrong, f"set {account} instead"))
        if values.get(account) and source == "env":
            wrong = "needs a key store, which prover_node_key_source: env does not create"
            remedy = f"set prover_node_key_source to keystore, or remove all of {', '.join(names)}"
            context.add(host, account, (wrong, remedy))
        given = [name for name in names if values.get(name) not in (None, "", 0, 0.0, "0")]
        for name in names if given else ():
            if name not in given and not isinstance(context.hosts[host].get(name), UnresolvedValue):
                remedy = f"set all three or none: {', '.join(names)}"
                context.add(host, name, (f"is not set, but {given[0]} is", remedy))
        if values.get(account):
            context.check_ethereum(host, account, ethereum_checksum if remote else ethereum_address)
            if Publishers(context.hosts[host]).used_by("publisher_addresses", values[account]):
                wrong = "is one of the publishers, which cannot top itself up"
                context.add(host, account, (wrong, "set a separate account"))


def check_admin_key(context: Context) -> None:
    """Check that the hash of the admin API's key is that of the key, if both are set."""
    for host in context.members[NODE]:
        values = context.usable(host)
        key, digest = (str(values.get(name) or "") for name in (ADMIN_KEY, ADMIN_KEY_HASH))
        if key and digest and hashlib.sha256(key.encode()).hexdigest() != digest.lower():
            context.add(host, ADMIN_KEY_HASH, (f"is not the SHA-256 of {ADMIN_KEY}", f"remove {ADMIN_KEY_HASH}"))


def check_other_users(context: Context, keys: Mapping, groups: Mapping) -> None:
    """Check that no other host sends with a publisher's key: two senders with one key use the same nonces.

    keys: host -> its variables that can contain a key, for every host of the inventory. Variables that a host inherits
    from a group which also contains the node do not count, nor do those of the node itself.
    """
    for node in context.members[NODE]:
        mode = context.hosts[node].get("aztec_l1_checks", "fail")
        publishers = Publishers(context.hosts[node])
        if (
            mode == "ignore"
            or node not in context.run
            or (node, publisher_variable(context.hosts[node])) in context.bad
        ):
            continue
        users = [(host, name) for host in keys for name, value in keys[host].items() if publishers.used_by(name, value)]
        for host, name in users:
            inherited = any(
                node in group and host in group and all(name in keys.get(one, {}) for one in group)
                for group in groups.values()
            )
            # A component's variable has no effect on a host of the fleet without that component.
            unused = host in context.hosts and context.specs.owner(name) is not None
            if not unused and not inherited:
                wrong = f"contains a publisher's key of {node}; two senders with one key use the same nonces"
                level = "warning" if mode == "warn" else "error"
                context.add(host, name, (wrong, "use a separate key for each"), level, fleet=True)


def check_registry(context: Context) -> None:
    """Check the address of the L1 registry contract, where it is set."""
    for host in context.hosts:
        context.check_ethereum(host, "aztec_l1_registry", ethereum_checksum)


def check_rotation(context: Context) -> None:
    """Warn about a rotation that is not finished, and about an old key that is still kept."""
    command = "run aztec_ops.prover.rotate_key"
    remedies = {
        "next": (
            "a new publisher's key is staged but not used yet",
            f"{command}, or discard it as docs/keys.md describes",
        ),
        "previous": ("the old publisher's key is still kept", f"{command} -e rotate_key_confirm=true"),
    }
    for host in context.members[NODE]:
        for place, found in remedies.items():
            name = f"prover_node_{place}_publisher_private_key"
            key = context.hosts[host].get(name)
            if key not in (None, "") and context.is_usable(host, name, key):
                context.check_ethereum(host, name, ethereum_address)
                context.add(host, name, found, "warning")
