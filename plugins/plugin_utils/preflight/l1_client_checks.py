# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the responses of L1 clients and of the signer, as pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.networks import NETWORKS
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.client import TRACED_BLOCKS, origin
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_queries import L1Client, L1Settings
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.units import duration

# A block has the time of its slot, and clocks differ a little.
MAX_SECONDS_AHEAD = 30
# A consensus client that is an epoch behind does not have peers, whatever it reports.
MAX_SLOTS_BEHIND = 32
# Half of all data columns, from which a client can reconstruct blobs.
SEMI_SUPERNODE_GROUPS = 64

CLIENT_REMEDIES = {
    "execution": "set the URL of an execution client (JSON-RPC)",
    "consensus": "set the URL of a consensus client (Beacon API)",
    "signer": "set the URL of a Web3Signer in eth1 mode",
    "debug": "set the URL of an execution client (JSON-RPC)",
}
REMEDIES = {
    "connect": "correct the URL, or fix the network path from this host",
    "timeout": "correct the URL, fix the network path from this host, or raise aztec_l1_timeout",
    "tls": "install a trusted certificate on the server, or use another URL",
    "key": "correct the API key, in the URL or in L1_CONSENSUS_HOST_API_KEYS",
    "limit": "raise the limit of your plan, or use another URL",
    "redirect": "set the URL to the target of the redirect",
    "proxy": "correct this variable in the host's environment, or add the URL's host to no_proxy there",
    "url": "percent-encode the special characters, such as %20 for a space",
}
# Aztec sends a signer only the URL.
SIGNER_REMEDIES = {"key": "correct the token in the URL, or allow this host without a token"}
ETH_REMEDY = "set the URL of a client that serves the eth methods"
SYNC_REMEDY = "wait until it is in sync, or use another URL"
TRACE_REMEDY = (
    "use a client that keeps traces for 12 hours, add such a client to aztec_l1_debug_urls, or set "
    "ETHEREUM_ALLOW_NO_DEBUG_HOSTS: true in prover_node_environment: the node then stops syncing at a block that "
    "requires a trace"
)
SUPERNODE_REMEDY = (
    "run it as a supernode or semi-supernode, because since Fusaka no other client keeps all blobs, or use another URL"
)


@dataclass(frozen=True)
class ClientProblem:
    """A problem of a client. wrong_network: it is on another network, for which no second client compensates."""

    wrong: str
    remedy: str
    level: str = "error"
    wrong_network: bool = False


def has_errors(problems: Sequence) -> bool:
    """Return whether a problem is an error."""
    return any(problem.level == "error" for problem in problems)


def check_chain(response: Mapping, settings: L1Settings) -> list[ClientProblem]:
    """Return a problem if a client is on another chain."""
    chain = response.get("chain_id")
    if chain is None or settings.chain_id is None or chain == settings.chain_id:
        return []
    network = next((f" ({name})" for name, known in NETWORKS.items() if known.chain_id == chain), "")
    wrong = f"is on chain {chain}{network}, but {settings.network} is on chain {settings.chain_id}"
    return [ClientProblem(wrong, "use a URL on that chain, or correct aztec_network", wrong_network=True)]


def check_execution(response: Mapping, settings: L1Settings) -> Iterator[ClientProblem]:
    """Yield the problems of an execution client on the right chain."""
    refused, syncing = response.get("refused") or {}, response.get("syncing")
    if syncing:
        at = f", block {syncing['current']} of {syncing['highest']}" if syncing.get("highest") else ""
        yield ClientProblem(f"is syncing{at}", SYNC_REMEDY)
    if response.get("timestamp") is None:
        yield ClientProblem(refused.get("head", "does not report its latest block"), ETH_REMEDY)
    elif not syncing:
        age, limit = response["time"] - response["timestamp"], settings.max_head_age
        if age > limit:
            wrong = f"its latest block, {response['head']}, is {duration(age)} old (limit: {duration(limit)})"
            yield ClientProblem(wrong, "find out why it stopped following the chain, or correct this host's clock")
        elif age < -MAX_SECONDS_AHEAD:
            wrong = f"its latest block is {duration(-age)} ahead of this host's clock"
            yield ClientProblem(wrong, "correct the host's clock, which Aztec compares with the block")
    if settings.registry and response.get("code_bytes") is None:
        wrong = refused.get("code", "does not report the code of the registry")
        yield ClientProblem(wrong, "use another URL", "warning")
    elif settings.registry and response["code_bytes"] == 0:
        wrong = f"does not have a contract at {settings.registry}, the address of the registry"
        remedy = "correct aztec_network or aztec_l1_registry, or make sure that the client is on the right chain"
        yield ClientProblem(wrong, f"{remedy} and in sync")
    if "syncing" in refused:
        wrong = f"{refused['syncing']}: its sync state is unknown"
        yield ClientProblem(wrong, "make sure that it is in sync", "warning")


def check_debug(response: Mapping, settings: L1Settings) -> Iterator[ClientProblem]:
    """Yield the problems, except for the traces, of a client that the node only queries for traces."""
    refused = response.get("refused") or {}
    if response.get("head") is None:
        wrong = refused.get("head", "does not report its latest block")
        yield ClientProblem(wrong, ETH_REMEDY, settings.trace_level or "warning")


def check_traces(response: Mapping, settings: L1Settings) -> ClientProblem | None:
    """Return the problem of a client that should trace transactions, or None.

    A response without `traces` is that of a client whose other problems are reported. A chain without transactions
    does not have anything to trace.
    """
    traces = response.get("traces")
    refused = (response.get("refused") or {}).get("traces", "")
    if not settings.trace_level or (traces is None and not refused) or (traces and traces["block"] is None):
        return None
    if traces is None:
        wrong = f"did not return a transaction to trace: {refused}"
        return ClientProblem(wrong, TRACE_REMEDY, settings.trace_level)
    if traces["method"]:
        return None
    at = f"block {traces['block']}, {response['head'] - traces['block']} blocks back"
    if traces["recent"]:
        # Aztec starts with such a client, and warns.
        wrong = f"traces recent transactions, but not those of {at}, which the node may need: {refused}"
        return ClientProblem(wrong, TRACE_REMEDY, "warning")
    return ClientProblem(f"does not trace transactions (of {at}): {refused}", TRACE_REMEDY, settings.trace_level)


def check_consensus(response: Mapping, _settings: L1Settings) -> Iterator[ClientProblem]:
    """Yield the problems of a consensus client on the right chain, which must serve all blobs."""
    refused, sync = response.get("refused") or {}, response.get("sync")
    if sync is None:
        wrong = f"{refused.get('sync', 'does not report its state')}: its sync state is unknown"
        yield ClientProblem(wrong, "make sure that it is in sync", "warning")
    elif sync["is_syncing"] or (sync["distance"] or 0) > MAX_SLOTS_BEHIND:
        behind = f", {sync['distance']} slots behind" if sync["distance"] else ""
        yield ClientProblem(f"is syncing{behind}", SYNC_REMEDY)
    elif sync["el_offline"]:
        yield ClientProblem("its own execution client is offline", "start that execution client", "warning")
    elif sync["is_optimistic"]:
        wrong = "follows the chain optimistically, because its own execution client is not in sync"
        yield ClientProblem(wrong, "wait until that execution client is in sync", "warning")
    blobs, groups = response.get("blobs"), response.get("custody_groups")
    if not blobs:
        yield ClientProblem(f"does not serve blobs: {refused.get('blobs', 'no response')}", SUPERNODE_REMEDY)
    elif not blobs["seen"] and groups is not None and groups < SEMI_SUPERNODE_GROUPS:
        wrong = f"keeps {groups} of 128 data columns, but blobs require {SEMI_SUPERNODE_GROUPS}"
        yield ClientProblem(wrong, SUPERNODE_REMEDY, "warning")
    elif blobs["route"] != "blob_sidecars":
        wrong = f"serves blobs only at /eth/v1/beacon/{blobs['route']}"
        remedy = "use another URL, unless your release is newer than 4.1: up to 4.1 Aztec requests "
        yield ClientProblem(wrong, f"{remedy}/eth/v1/beacon/blob_sidecars", "warning")


def check_signer(response: Mapping) -> list[ClientProblem]:
    """Return the problem of a signer, except for the accounts that it does not have keys of."""
    if response.get("known") is not None:
        return []
    reason = (response.get("refused") or {}).get("accounts", "does not report its accounts")
    if response.get("up"):
        return [ClientProblem(f"is a Web3Signer but does not sign for Ethereum: {reason}", "start it in eth1 mode")]
    return [ClientProblem(f"is not a Web3Signer: it {reason}", CLIENT_REMEDIES["signer"])]


def check_url(client: L1Client) -> Iterator[ClientProblem]:
    """Yield the parts of a URL that Aztec's HTTP client does not accept, although this check does."""
    parts = urlsplit(client.configured_url)
    if parts.username is not None:
        wrong = "has a user in its URL, which Node's fetch refuses (seen with Aztec 4.1.2)"
        yield ClientProblem(wrong, "set the key in the path, or let a proxy of your own add the user", "warning")
    if client.kind == "consensus" and parts.query:
        wrong = "has a query in its URL, and Aztec appends the path to it (read in Aztec 4.1.2)"
        remedy = "set the key in L1_CONSENSUS_HOST_API_KEYS of prover_node_secret_environment"
        yield ClientProblem(wrong, remedy, "warning")


CHECKS = {"execution": check_execution, "consensus": check_consensus, "debug": check_debug}


def check_client(client: L1Client, response: Mapping, settings: L1Settings) -> list[ClientProblem]:
    """Return the problems of a client."""
    failure, refused, kind = response.get("fault"), response.get("refused") or {}, client.kind
    level = (settings.trace_level or "warning") if kind == "debug" else "error"
    if failure:
        remedies = {**REMEDIES, **SIGNER_REMEDIES} if kind == "signer" else REMEDIES
        remedy = remedies.get(failure["kind"]) or CLIENT_REMEDIES[kind]
        return [ClientProblem(failure["text"], remedy, level)]
    if kind == "signer":
        return check_signer(response)
    if kind == "consensus" and response.get("head") is None:
        problems = [ClientProblem(refused.get("head", "does not report its head"), CLIENT_REMEDIES["consensus"])]
    elif kind != "consensus" and response.get("chain_id") is None:
        wrong = refused.get("chain_id", "does not report its chain")
        problems = [ClientProblem(wrong, CLIENT_REMEDIES["execution"], level)]
    else:
        problems = check_chain(response, settings) or CHECKS[kind](response, settings)
    return [*problems, *check_url(client)]


def client_problems(host: str, checked: Sequence, settings: L1Settings) -> list[Problem]:
    """Return the problems of a host's clients. checked: (client, response, its problems) of each.

    With aztec_l1_needed "one", a client may fail while another one of the same setting works.
    """
    working = {
        setting[:2] for client, _response, found in checked if not has_errors(found) for setting in client.used_by
    }
    problems = []
    for client, _response, found in checked:
        optional = settings.needed == "one" and all(setting[:2] in working for setting in client.used_by)
        for one in found:
            level = "warning" if optional and not one.wrong_network else one.level
            problems.append(Problem(host, client.used_by[0][1], f"{client.name} {one.wrong}", one.remedy, level))
    return problems


def trace_problems(host: str, checked: Sequence, settings: L1Settings) -> dict:
    """Return the problems with traces, by client. checked: (client, response, its problems) of each.

    Aztec queries the clients in order until one returns a trace (viem's fallback transport), so one is enough.
    """
    traced = {
        client: (check_traces(response, settings), found) for client, response, found in checked if client.traced_by
    }
    enough = any(problem is None and not has_errors(found) for problem, found in traced.values())
    problems = {}
    for client, (problem, found) in traced.items():
        if problem and not any(one.wrong_network for one in found):
            _component, variable, number = client.traced_by
            wrong = f"entry {number} ({origin(client.url)}) {problem.wrong}"
            problems[client] = Problem(host, variable, wrong, problem.remedy, "warning" if enough else problem.level)
    return problems


def account_problems(host: str, variable: str, noun: str, checked: Sequence, accounts: Sequence) -> list[Problem]:
    """Return a problem for each account that the signer does not have the key of. noun: what the account is."""
    remedy = "load its key into the signer, or correct the address"
    return [
        Problem(host, variable, f"{client.name} does not have the key of the {noun} {address}", remedy)
        for client, response, _problems in checked
        if client.kind == "signer" and response.get("known") is not None
        for address in accounts
        if address not in response["known"]
    ]


def unchecked_problems(host: str, settings: L1Settings) -> list[Problem]:
    """Return a warning for each value of the L1 that was not checked because the required value is unknown."""
    points = (("aztec_l1_chain_id", settings.chain_id, "chain"), ("aztec_l1_registry", settings.registry, "registry"))
    reason = settings.not_checked
    return [
        Problem(host, name, f"the L1's {what} was not checked, because {reason}", f"set {name}", "warning")
        for name, required, what in points
        if not required
    ]


def _traces_cell(client: L1Client, response: Mapping) -> str:
    """Return what a client's row contains on its traces, '' if it was not queried for them."""
    traces = response.get("traces")
    if not client.traced_by or traces is None:
        return "NO TRACES" if client.traced_by and "traces" in (response.get("refused") or {}) else ""
    if traces["block"] is None:
        return "no transaction to trace"
    if not traces["method"]:
        return "NO OLD TRACES" if traces["recent"] else "NO TRACES"
    short = response["head"] <= TRACED_BLOCKS
    return f"traces (of block {traces['block']}: chain too short)" if short else "traces"


def client_row(host: str, client: L1Client, response: Mapping, problems: Sequence, accounts: int) -> tuple:
    """Return the row of a client in the table. accounts: how many accounts a signer must have the keys of."""
    components = ", ".join(dict.fromkeys(setting[0].replace("prover_", "") for setting in client.used_by))
    head, made, details, complete = response.get("head"), response.get("timestamp"), "", True
    if client.kind == "execution" and response.get("code_bytes") is not None:
        details = "registry" if response["code_bytes"] else "NO REGISTRY"
    elif client.kind == "signer":
        known = response.get("known")
        complete = len(known or []) == accounts
        details = "" if known is None else f"{len(known)} of {accounts} accounts"
    elif client.kind == "consensus" and not response.get("fault"):
        blobs = response.get("blobs")
        details = "NO BLOBS" if not blobs else "blobs" if blobs["seen"] else "blobs (no recent ones)"
    return (
        host,
        components,
        "signer" if client.kind == "signer" else f"{client.kind} {client.used_by[0][2]}",
        origin(client.url),
        "-" if response.get("chain_id") is None else str(response["chain_id"]),
        "-" if head is None else f"{'slot' if client.kind == 'consensus' else 'block'} {head}",
        "-" if made is None else duration(response["time"] - made),
        ", ".join(filter(None, [details, _traces_cell(client, response)])) or "-",
        "-" if response.get("seconds") is None else f"{round(response['seconds'] * 1000)} ms",
        "ok" if complete and not has_errors(problems) else "FAILED",
    )
