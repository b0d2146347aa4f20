# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The settings of the L1 checks of a host, its L1 clients and signer, and the queries that the host sends to them.

Messages identify a client by its position in the variable and by scheme, host and port: the rest of its URL can be an
API key.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, repeat
from urllib.parse import quote

from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.networks import NETWORKS
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.client import KINDS, origin
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import RELEASES
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import default_value
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import (
    BROKER,
    NODE,
    as_bool,
    environment_of,
    option_variable,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import as_float
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.units import GWEI, WEI_PER_ETH
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.prover_id import has_remote_signer

# The options that contain a component's L1 URLs, in the order of the queries.
URL_OPTIONS = {
    NODE: (("execution", "l1_execution_urls"), ("consensus", "l1_consensus_urls")),
    BROKER: (("execution", "l1_execution_urls"),),
}
# The options with the clients that the node queries for traces: the first that is not empty.
TRACE_OPTIONS = ("l1_debug_urls", "l1_execution_urls")
SIGNER_URL = "prover_node_web3signer_url"

# Aztec's defaults for a transaction: L1_GAS_PRICE_MAX (gwei) and L1_PRIORITY_FEE_BUMP_PERCENTAGE of
# ethereum/src/l1_tx_utils/config.ts, in 4.1.2 as in aztec-node of 2026-08.
MAX_FEE_GWEI, FEE_BUMP_PERCENT = 2000, 20


@dataclass(frozen=True)
class L1Settings:
    """The settings of the L1 checks of a host. chain_id and registry are the required values, empty if unknown.

    not_checked: why chain_id or registry is unknown. trace_level: the level of the problem that a client does not trace
    transactions, '' if no traces are required. max_fee: wei for each gas. fee_bump: percent of the priority fee.
    top_up: wei of one top-up of a publisher by the funding account. top_up_below: wei below which it gets one, 0 for
    never. needs_balance: whether a node that starts does not
    prove until one of its publishers can pay for the submission.
    """

    checks: str = "fail"
    needed: str = "all"
    seconds: float = 10
    max_head_age: int = 300
    balance_warn: Decimal = Decimal("0.1")
    balance_fail: Decimal = Decimal(0)
    network: str = "testnet"
    chain_id: int | None = None
    registry: str = ""
    not_checked: str = ""
    trace_level: str = "warning"
    submission_gas: int = 3_500_000
    max_fee: int = MAX_FEE_GWEI * GWEI
    fee_bump: int = FEE_BUMP_PERCENT
    top_up: int = 0
    top_up_below: int = 0
    needs_balance: bool = False


@dataclass(frozen=True)
class L1Client:
    """A client or signer: its kind, its URL as configured and as queried, its headers, and the settings that name it.

    used_by: (component, variable, number) of each setting. traced_by: the same of the setting that makes the node query
    this client for traces, or ().
    """

    kind: str
    configured_url: str
    url: str
    headers: tuple
    used_by: tuple
    traced_by: tuple = ()

    @property
    def name(self) -> str:
        """Return the name of the client in messages."""
        what = "the signer" if self.kind == "signer" else f"entry {self.used_by[0][2]}"
        return f"{what} ({origin(self.url)})"


def split_list(value: object) -> list[str]:
    """Return the members of a list, or of a text that Aztec splits at commas, without surrounding spaces."""
    members = value if isinstance(value, (list, tuple)) else str(value or "").split(",")
    return [str(member).strip() for member in members]


def add_api_keys(urls: Sequence, environment: Mapping) -> list:
    """Return (URL as configured, URL as queried, headers) of each client.

    Aztec sends the API key in a header if one is configured, otherwise in the query (?key=).
    """
    keys = split_list(environment.get("L1_CONSENSUS_HOST_API_KEYS"))
    headers = split_list(environment.get("L1_CONSENSUS_HOST_API_KEY_HEADERS"))
    clients = []
    for url, key, header in zip(map(str, urls), chain(keys, repeat("")), chain(headers, repeat(""))):
        queried = url.partition("#")[0]
        if key and not header:
            queried += f"{'&' if '?' in queried else '?'}key={quote(key, safe='')}"
        clients.append((url, queried, ((header, key),) if key and header else ()))
    return clients


def l1_clients(values: Mapping, components: Sequence) -> list[L1Client]:
    """Return the clients that a host queries for its components, each once, in a fixed order."""
    clients: dict = {}
    traced: dict = {}
    for component in components:
        for kind, option in URL_OPTIONS.get(component, ()):
            variable = option_variable(values, component, option)
            urls = (values[variable] or []) if variable else []
            environment = environment_of(values, component) if kind == "consensus" else {}
            for number, client in enumerate(add_api_keys(urls, environment), 1):
                clients.setdefault((kind, *client), []).append((component, variable, number))
    if NODE in components:
        if has_remote_signer(values) and values.get(SIGNER_URL):
            (signer,) = add_api_keys([values[SIGNER_URL]], {})
            clients[("signer", *signer)] = [(NODE, SIGNER_URL, 1)]
        names = [option_variable(values, NODE, option) for option in TRACE_OPTIONS]
        variable = next((name for name in names if name and values[name]), None)
        for number, client in enumerate(add_api_keys(values[variable] if variable else [], {}), 1):
            # An execution client that the node also queries for traces remains one client.
            key = ("execution", *client) if ("execution", *client) in clients else ("debug", *client)
            traced.setdefault(key, (NODE, variable, number))
            if key[0] == "debug":
                clients.setdefault(key, []).append((NODE, variable, number))
    return [L1Client(*key, tuple(used_by), traced.get(key, ())) for key, used_by in clients.items()]


def l1_settings(values: Mapping, network: str, components: Sequence, line: str = "") -> L1Settings:
    """Return the settings of a host's L1 checks. line: the release line of the fleet.

    The settings of the inventory take precedence over the component's environment and the known networks. The known
    values do not apply if the component uses another configuration of its network.
    """

    def value(name: str):
        return default_value(name) if values.get(name) in (None, "") else values[name]

    environment = ChainMap(*(environment_of(values, one) for one in components if one in URL_OPTIONS))
    own_config = bool(environment.get("NETWORK_CONFIG_LOCATION"))
    known = None if own_config else NETWORKS.get(network)
    chain = value("aztec_l1_chain_id") or environment.get("L1_CHAIN_ID") or (known.chain_id if known else None)
    chain_id = int(chain) if chain else None
    registry = value("aztec_l1_registry") or environment.get("REGISTRY_CONTRACT_ADDRESS") or ""
    if not registry and known and chain_id == known.chain_id:
        registry = known.registry
    if own_config:
        not_checked = f"NETWORK_CONFIG_LOCATION replaces the configuration of '{network}'"
    elif known:
        not_checked = f"the registry of '{network}' is known only on chain {known.chain_id}"
    else:
        not_checked = f"the network '{network}' is not known"
    release = RELEASES.get(line)
    no_traces = str(environment_of(values, NODE).get("ETHEREUM_ALLOW_NO_DEBUG_HOSTS", "")).lower() in ("1", "true")
    traces_required = release is not None and release.debug_hosts_required
    dry_run = as_bool(value("prover_node_dry_run")) is True
    max_fee = Decimal(str(as_float(value("prover_node_max_fee_gwei")) or MAX_FEE_GWEI))
    return L1Settings(
        checks=str(value("aztec_l1_checks")),
        needed=str(value("aztec_l1_needed")),
        seconds=float(value("aztec_l1_timeout")),
        max_head_age=int(value("aztec_l1_max_head_age")),
        balance_warn=Decimal(str(value("aztec_l1_balance_warn"))),
        balance_fail=Decimal(str(value("aztec_l1_balance_fail"))),
        network=network,
        chain_id=chain_id,
        registry=str(registry),
        not_checked=not_checked,
        trace_level="" if no_traces else "error" if traces_required else "warning",
        submission_gas=int(value("aztec_l1_submission_gas")),
        max_fee=int(max_fee * GWEI),
        fee_bump=int(value("prover_node_priority_fee_bump_percentage") or FEE_BUMP_PERCENT),
        top_up=int(Decimal(str(value("prover_node_funding_amount") or 0)) * WEI_PER_ETH),
        top_up_below=int(Decimal(str(value("prover_node_funding_threshold") or 0)) * WEI_PER_ETH),
        needs_balance=release is not None and release.balance_required and not dry_run,
    )


def client_queries(values: Mapping, fleet: Mapping, host: str) -> dict:
    """Return the queries of a host to its L1 clients, {} if there are none."""
    components = fleet["hosts"][host]["components"]
    clients = l1_clients(values, components)
    if not clients:
        return {}
    settings = l1_settings(values, fleet["network"], components)
    if settings.checks == "ignore":
        return {}
    queries: dict = {kind: [] for kind in KINDS}
    for client in clients:
        traces = {"traces": True} if client.traced_by and client.kind == "execution" else {}
        queries[client.kind].append({"url": client.url, "headers": dict(client.headers), **traces})
    accounts = [*fleet["publishers"], *filter(None, [fleet.get("funder")])] if NODE in components else []
    rest = {"registry": settings.registry, "addresses": accounts, "fees": bool(accounts), "seconds": settings.seconds}
    return {**queries, **rest}
