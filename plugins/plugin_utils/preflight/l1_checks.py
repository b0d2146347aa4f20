# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host asks of its L1 clients and its signer, and what can be found wrong with their answers, as pure functions.

A client is named by its place in the variable and by scheme, host and port: the rest of its URL may be an API key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from urllib.parse import quote, urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.networks import NETWORKS
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import project_name
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.client import KINDS, TRACED_BLOCKS, origin
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import RELEASES
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import default_value
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import (
    BROKER,
    NODE,
    as_bool,
    environment_of,
    image_of,
    option_variable,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem, table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import as_float
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.prover_id import (
    has_remote_signer,
    publisher_variable,
)

# The options that a component's L1 URLs stand in, in the order in which they are asked.
URL_OPTIONS = {
    NODE: (("execution", "l1_execution_urls"), ("consensus", "l1_consensus_urls")),
    BROKER: (("execution", "l1_execution_urls"),),
}
# The option that names clients for traces; where it is empty, Aztec asks the execution clients for them.
DEBUG_OPTION = "l1_debug_urls"
SIGNER_URL = "prover_node_web3signer_url"
WHAT_ANSWERS = {
    "execution": "an execution client (JSON-RPC)",
    "consensus": "a consensus client (Beacon API)",
    "signer": "a Web3Signer in its eth1 mode",
    "debug": "an execution client (JSON-RPC)",
}

# A clock may be a little off, and a block is named for the second in which it was to be made.
AHEAD_SECONDS = 30
# A consensus client that is an epoch behind has lost its peers, whatever it calls itself.
BEHIND_SLOTS = 32
# Half of all data columns, from which blobs can be put together again.
SEMI_SUPERNODE_GROUPS = 64
WEI = Decimal(10) ** 18
GWEI = 10**9

# What Aztec offers for a transaction where its environment says nothing else: L1_GAS_PRICE_MAX (gwei) and
# L1_PRIORITY_FEE_BUMP_PERCENTAGE of ethereum/src/l1_tx_utils/config.ts, in 4.1.2 as in aztec-node of 2026-08.
MAX_FEE_GWEI, FEE_BUMP_PERCENT = 2000, 20
# Below this many proofs that a balance pays for, Aztec 6 warns (PUBLISHER_LOW_BALANCE_WARNING_MULTIPLIER).
FEW_PROOFS = 4

KEY_REMEDY = "correct the API key, in the URL or in L1_CONSENSUS_HOST_API_KEYS"
REMEDIES = {
    "connect": "correct the URL, or mend the way there from this host",
    "timeout": "correct the URL, mend the way there from this host, or raise aztec_l1_timeout",
    "tls": "give the server a certificate that everybody trusts, or use another URL",
    "key": KEY_REMEDY,
    "limit": "raise the plan's limit, or give another URL",
    "redirect": "write down the URL that it leads to",
    "proxy": "correct this variable of the host's environment, or add the URL's host to no_proxy there",
    "url": "write what is special in it with %, such as %20 for a space",
}
# What goes for the signer in another way: Aztec sends it the URL and nothing else.
SIGNER_REMEDIES = {"key": "correct the token in the URL, or let this host in without one"}
TRACE_REMEDY = (
    "use a client that keeps traces for 12 hours, name one in aztec_l1_debug_urls, or set "
    "ETHEREUM_ALLOW_NO_DEBUG_HOSTS: true in prover_node_environment: the node then stops following the chain at a "
    "block that it can read only with a trace"
)
SUPERNODE_REMEDY = "since Fusaka only a supernode or semi-supernode keeps all blobs: run it as one, or give another URL"


@dataclass(frozen=True)
class Settings:
    """What the operator wants of the L1 checks of a host. chain_id and registry are what must be, None if unknown."""

    checks: str = "fail"
    needed: str = "all"
    seconds: float = 10
    max_head_age: int = 300
    balance_warn: Decimal = Decimal("0.1")
    balance_fail: Decimal = Decimal(0)
    network: str = "testnet"
    chain_id: int | None = None
    registry: str = ""
    unknown: str = ""
    # What a client without traces gets: error, warning, or '' where the operator has said that none are needed.
    traces: str = "warning"
    # What a submission's cost depends on: gas, cap (wei for each gas) and bump of the priority fee (percent).
    submission_gas: int = 3_500_000
    max_fee: int = MAX_FEE_GWEI * GWEI
    fee_bump: int = FEE_BUMP_PERCENT
    # Wei of one top-up of a publisher by the funding account.
    top_up: int = 0
    # Whether a node that starts proves nothing until one of its publishers can pay for the submission.
    needs_balance: bool = False


@dataclass(frozen=True)
class Source:
    """A client that is asked: its kind, its URL as it is written and as it is asked, headers, and whose it is.

    users: (component, variable, number) of each place that names it. traced: the same of the place, if any, that makes
    the node ask it for traces, () otherwise.
    """

    kind: str
    written: str
    url: str
    headers: tuple
    users: tuple
    traced: tuple = ()

    @property
    def name(self) -> str:
        """Give how a message names it."""
        if self.kind == "signer":
            return f"the signer ({origin(self.url)})"
        return f"entry {self.users[0][2]} ({origin(self.url)})"


@dataclass(frozen=True)
class Found:
    """One thing that is wrong with a client. foreign: it is another network's, which no second URL makes good."""

    wrong: str
    remedy: str
    level: str = "error"
    foreign: bool = False


def members(value: object) -> list[str]:
    """Give the members of a list as Aztec reads it from its environment: by commas, without spaces around."""
    listed = value if isinstance(value, (list, tuple)) else str(value or "").split(",")
    return [str(one).strip() for one in listed]


def with_keys(urls: Sequence, environment: Mapping) -> list:
    """Give (URL as written, as asked, headers) of clients, each with its API key where Aztec puts it.

    That is a header where one is named for it, else the query's ?key=.
    """
    keys = members(environment.get("L1_CONSENSUS_HOST_API_KEYS"))
    names = members(environment.get("L1_CONSENSUS_HOST_API_KEY_HEADERS"))
    made = []
    for number, url in enumerate(urls):
        key = keys[number] if number < len(keys) else ""
        name = names[number] if number < len(names) else ""
        asked = str(url).partition("#")[0]
        if key and not name:
            asked += f"{'&' if '?' in asked else '?'}key={quote(key, safe='')}"
        made.append((str(url), asked, ((name, key),) if key and name else ()))
    return made


def debug_urls(values: Mapping) -> tuple[str, list]:
    """Return (variable, URLs) of the clients that the node asks for traces: by default its execution clients."""
    for option in (DEBUG_OPTION, "l1_execution_urls"):
        variable = option_variable(values, NODE, option)
        if variable and values[variable]:
            return variable, [str(url) for url in values[variable]]
    return f"aztec_{DEBUG_OPTION}", []


def sources_of(values: Mapping, components: Sequence) -> list[Source]:
    """Give the clients that a host asks for its components, each once, in a fixed order."""
    found: dict = {}
    traced: dict = {}
    for component in components:
        for kind, option in URL_OPTIONS.get(component, ()):
            variable = option_variable(values, component, option)
            urls = list(values[variable] or []) if variable else []
            environment = environment_of(values, component) if kind == "consensus" else {}
            for number, asked in enumerate(with_keys(urls, environment), 1):
                found.setdefault((kind, *asked), []).append((component, variable, number))
    if NODE in components and has_remote_signer(values) and values.get(SIGNER_URL):
        url = str(values[SIGNER_URL])
        found["signer", url, url.partition("#")[0], ()] = [(NODE, SIGNER_URL, 1)]
    if NODE in components:
        variable, urls = debug_urls(values)
        for number, asked in enumerate(with_keys(urls, {}), 1):
            # An execution client that is asked for traces too stays one client.
            key = ("execution", *asked) if ("execution", *asked) in found else ("debug", *asked)
            traced.setdefault(key, (NODE, variable, number))
            if key[0] == "debug":
                found.setdefault(key, []).append((NODE, variable, number))
    return [Source(*key, tuple(users), traced.get(key, ())) for key, users in found.items()]


def flag(environment: Mapping, name: str) -> bool:
    """Return whether an environment variable is true as Aztec reads booleans (1, true, TRUE)."""
    return str(environment.get(name, "")).lower() in ("1", "true")


def settings_of(values: Mapping, network: str, components: Sequence, line: str = "") -> Settings:
    """Return the settings of a host's L1 checks. line: the release line that the fleet runs.

    What is set by hand decides, then what the component itself is told by its environment, then the known networks.
    Where the component is given another configuration of its network, the known one says nothing.
    """

    def value(name: str):
        return values[name] if name in values and values[name] not in (None, "") else default_value(name)

    told: dict = {}
    for component in reversed([one for one in components if one in URL_OPTIONS]):
        told.update(environment_of(values, component))
    known = None if told.get("NETWORK_CONFIG_LOCATION") else NETWORKS.get(network)
    chain = value("aztec_l1_chain_id") or told.get("L1_CHAIN_ID") or (known.chain_id if known else None)
    registry = value("aztec_l1_registry") or told.get("REGISTRY_CONTRACT_ADDRESS") or ""
    chain_id = int(chain) if chain else None
    if not registry and known and chain_id == known.chain_id:
        registry = known.registry
    if told.get("NETWORK_CONFIG_LOCATION"):
        unknown = f"NETWORK_CONFIG_LOCATION gives '{network}' values of its own"
    else:
        unknown = f"'{network}' is known on chain {known.chain_id} alone" if known else f"'{network}' is not known here"
    release = RELEASES.get(line)
    node = environment_of(values, NODE)
    allowed = flag(node, "ETHEREUM_ALLOW_NO_DEBUG_HOSTS")
    required = release is not None and release.debug_hosts_required
    cap = as_float(value("prover_node_max_fee_gwei")) or MAX_FEE_GWEI
    return Settings(
        traces="" if allowed else "error" if required else "warning",
        submission_gas=int(value("aztec_l1_submission_gas")),
        max_fee=int(Decimal(str(cap)) * GWEI),
        fee_bump=int(value("prover_node_priority_fee_bump_percentage") or FEE_BUMP_PERCENT),
        top_up=int(Decimal(str(value("prover_node_funding_amount") or 0)) * WEI),
        needs_balance=release is not None
        and release.balance_required
        and as_bool(value("prover_node_dry_run")) is not True,
        checks=str(value("aztec_l1_checks")),
        needed=str(value("aztec_l1_needed")),
        seconds=float(value("aztec_l1_timeout")),
        max_head_age=int(value("aztec_l1_max_head_age")),
        balance_warn=Decimal(str(value("aztec_l1_balance_warn"))),
        balance_fail=Decimal(str(value("aztec_l1_balance_fail"))),
        network=network,
        chain_id=chain_id,
        registry=str(registry),
        unknown=unknown,
    )


def l1_questions(values: Mapping, fleet: Mapping, host: str) -> str:
    """Give what a host's look has to ask of the L1 as JSON text, for it holds API keys; '' where nothing is asked."""
    components = fleet["hosts"][host]["components"]
    settings = settings_of(values, fleet["network"], components)
    sources = sources_of(values, components)
    if settings.checks == "ignore" or not sources:
        return ""

    def targets(kind: str) -> list:
        return [
            {
                "url": one.url,
                "headers": dict(one.headers),
                **({"traces": True} if one.traced and kind == "execution" else {}),
            }
            for one in sources
            if one.kind == kind
        ]

    accounts = [*fleet["publishers"], *([fleet["funder"]] if fleet.get("funder") else [])] if NODE in components else []
    return json.dumps({
        **{kind: targets(kind) for kind in KINDS},
        "registry": settings.registry,
        "addresses": accounts,
        "fees": bool(accounts),
        "seconds": settings.seconds,
    })


def span(seconds: float) -> str:
    """Give a time span in words: 45 s, 12 min, 3 h, 90 d."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def ether(wei: object) -> str:
    """Give wei as ETH, cut to six places: 1.5 ETH, 0 ETH. What is not quite a threshold is not shown as it."""
    amount = Decimal(str(wei)) / WEI
    if 0 < amount < Decimal("0.000001"):
        return "less than 0.000001 ETH"
    text = f"{amount.quantize(Decimal('0.000001'), ROUND_DOWN):f}".rstrip("0").rstrip(".")
    return f"{text} ETH"


def gwei(wei: int) -> str:
    """Return wei for each gas as gwei, cut to three places: 1.5 gwei."""
    return f"{(Decimal(wei) / GWEI).quantize(Decimal('0.001'), ROUND_DOWN):f}".rstrip("0").rstrip(".") + " gwei"


def chain_name(chain_id: int) -> str:
    """Give a chain's number and, where it is one that Aztec's networks are on, the network."""
    known = next((name for name, network in NETWORKS.items() if network.chain_id == chain_id), None)
    return f"{chain_id}, that of {known}" if known else str(chain_id)


def _chain_faults(answer: Mapping, settings: Settings) -> list[Found]:
    chain = answer.get("chain_id")
    if chain is None or settings.chain_id is None or chain == settings.chain_id:
        return []
    wrong = f"is on chain {chain_name(chain)}, and {settings.network} on {settings.chain_id}"
    return [Found(wrong, "give a URL on that chain, or correct aztec_network", foreign=True)]


def execution_faults(answer: Mapping, settings: Settings) -> list[Found]:
    """Give what is wrong with an execution client by its answer."""
    refused = answer.get("refused") or {}
    if answer.get("chain_id") is None:
        wrong = refused.get("chain_id", "does not tell its chain")
        return [Found(wrong, f"give the URL of {WHAT_ANSWERS['execution']}")]
    found = _chain_faults(answer, settings)
    if found:
        return found
    if answer.get("syncing"):
        seen = answer["syncing"]
        at = f", block {seen['current']} of {seen['highest']}" if seen.get("highest") else ""
        found.append(Found(f"is syncing{at}", "wait until it is in sync, or give another URL"))
    if answer.get("timestamp") is None:
        wrong = refused.get("head", "does not tell its newest block")
        found.append(Found(wrong, "give the URL of a client with the eth methods"))
    elif not answer.get("syncing"):
        age = answer["time"] - answer["timestamp"]
        if age > settings.max_head_age:
            wrong = f"its newest block, {answer['head']}, is {span(age)} old, over {span(settings.max_head_age)}"
            remedy = "see why it no longer follows its chain (or this host's clock is wrong)"
            found.append(Found(wrong, remedy))
        elif age < -AHEAD_SECONDS:
            wrong = f"its newest block is {span(-age)} ahead of this host's clock"
            found.append(Found(wrong, "set the host's clock: Aztec compares the two"))
    if settings.registry:
        if answer.get("code_bytes") is None:
            found.append(Found(refused.get("code", "does not tell the registry's code"), "give another URL", "warning"))
        elif answer["code_bytes"] == 0:
            wrong = f"has no contract at {settings.registry}, where the registry has to be"
            remedy = "correct aztec_network (or aztec_l1_registry), or see whether it is on the right chain and in sync"
            found.append(Found(wrong, remedy))
    if "syncing" in refused:
        found.append(Found(f"{refused['syncing']}: nobody knows whether it syncs", "see to it yourself", "warning"))
    return found


def debug_faults(answer: Mapping, settings: Settings) -> list[Found]:
    """Return what is wrong with a client that is asked for traces alone, but for the traces themselves."""
    refused = answer.get("refused") or {}
    if answer.get("chain_id") is None:
        wrong = refused.get("chain_id", "does not tell its chain")
        return [Found(wrong, f"give the URL of {WHAT_ANSWERS['debug']}", settings.traces or "warning")]
    found = _chain_faults(answer, settings)
    if not found and answer.get("head") is None:
        wrong = refused.get("head", "does not tell its newest block")
        found.append(Found(wrong, "give the URL of a client with the eth methods", settings.traces or "warning"))
    return found


def trace_fault(answer: Mapping, settings: Settings) -> Found | None:
    """Return what is wrong with the traces of a client that was asked for them, or None.

    An answer without `traces` is that of a client whose other faults are reported. A chain without transactions has
    nothing to trace.
    """
    traces = answer.get("traces")
    refused = (answer.get("refused") or {}).get("traces", "")
    if not settings.traces or (traces is None and not refused) or (traces and traces["block"] is None):
        return None
    if traces is None:
        return Found(f"was not seen to trace transactions: {refused}", TRACE_REMEDY, settings.traces)
    if traces["method"]:
        return None
    at = f"block {traces['block']}, {answer['head'] - traces['block']} blocks back"
    if traces["recent"]:
        # Aztec starts with such a client, and warns.
        wrong = f"traces new transactions, but none of {at}, where the node may have to read one: {refused}"
        return Found(wrong, TRACE_REMEDY, "warning")
    return Found(f"does not trace transactions (of {at}): {refused}", TRACE_REMEDY, settings.traces)


def traces_seen(source: Source, answer: Mapping) -> str:
    """Return what the table of clients says of a client's traces, '' where it was not asked for them."""
    traces = answer.get("traces")
    if not source.traced or traces is None:
        return "NO TRACES" if source.traced and "traces" in (answer.get("refused") or {}) else ""
    if traces["block"] is None:
        return "no transaction to trace"
    if not traces["method"]:
        return "NO OLD TRACES" if traces["recent"] else "NO TRACES"
    short = answer["head"] <= TRACED_BLOCKS
    return f"traces (of block {traces['block']}: chain too short)" if short else "traces"


def blob_faults(answer: Mapping) -> list[Found]:
    """Give what is wrong with how a consensus client serves blobs."""
    blobs, refused = answer.get("blobs"), answer.get("refused") or {}
    if not blobs:
        return [Found(f"serves no blobs: {refused.get('blobs', 'it does not answer')}", SUPERNODE_REMEDY)]
    groups = answer.get("custody_groups")
    if not blobs["seen"] and groups is not None and groups < SEMI_SUPERNODE_GROUPS:
        wrong = f"keeps {groups} of 128 parts of each blob, and blobs want {SEMI_SUPERNODE_GROUPS}"
        return [Found(wrong, SUPERNODE_REMEDY, "warning")]
    if blobs["route"] != "blob_sidecars":
        wrong = f"serves blobs at /eth/v1/beacon/{blobs['route']} alone"
        remedy = "Aztec up to 4.1 asks /eth/v1/beacon/blob_sidecars: give another URL, unless your release is newer"
        return [Found(wrong, remedy, "warning")]
    return []


def consensus_faults(answer: Mapping, settings: Settings) -> list[Found]:
    """Give what is wrong with a consensus client by its answer."""
    refused = answer.get("refused") or {}
    if answer.get("head") is None:
        wrong = refused.get("head", "does not tell its head")
        return [Found(wrong, f"give the URL of {WHAT_ANSWERS['consensus']}")]
    found = _chain_faults(answer, settings)
    if found:
        return found
    sync = answer.get("sync")
    if sync is None:
        said = refused.get("sync", "does not tell its state")
        found.append(Found(f"{said}: nobody knows whether it is in sync", "see to it yourself", "warning"))
    elif sync["is_syncing"] or (sync["distance"] or 0) > BEHIND_SLOTS:
        behind = f", {sync['distance']} slots behind" if sync["distance"] else ""
        found.append(Found(f"is syncing{behind}", "wait until it is in sync, or give another URL"))
    elif sync["el_offline"]:
        found.append(Found("its own execution client is offline", "see to that client", "warning"))
    elif sync["is_optimistic"]:
        wrong = "follows its chain unchecked, for its own execution client is not in sync"
        found.append(Found(wrong, "wait until that client is in sync", "warning"))
    return found + blob_faults(answer)


def signer_faults(answer: Mapping) -> list[Found]:
    """Give what is wrong with a signer but for the addresses that it does not know."""
    if answer.get("known") is not None:
        return []
    said = (answer.get("refused") or {}).get("accounts", "does not tell its accounts")
    if answer.get("up"):
        return [Found(f"is a Web3Signer but does not sign for Ethereum: {said}", "start it in its eth1 mode")]
    return [Found(f"is no signer: it {said}", f"give the URL of {WHAT_ANSWERS['signer']}")]


def unknown_accounts(
    host: str, variable: str, what: str, judged: Sequence, answers: Sequence, accounts: Sequence
) -> list:
    """Return a problem for each account that the signer has no key of. what: what a message calls such an account."""
    return [
        Problem(
            host,
            variable,
            f"{source.name} does not know the {what} {address}",
            "load its key into the signer, or correct the address",
        )
        for (source, _faults), answer in zip(judged, answers)
        if source.kind == "signer" and answer.get("known") is not None
        for address in accounts
        if address not in answer["known"]
    ]


def url_faults(source: Source) -> list[Found]:
    """Give what of a URL Aztec's HTTP client does not take as it is written, although this check did."""
    parts, found = urlsplit(source.written), []
    if parts.username is not None:
        wrong = "has a user in its URL, which Node's fetch refuses (seen with Aztec 4.1.2)"
        found.append(Found(wrong, "give the key in the path, or leave the user to a proxy of your own", "warning"))
    if source.kind == "consensus" and parts.query:
        wrong = "has a query in its URL, behind which Aztec puts the path (read in Aztec 4.1.2)"
        remedy = "give the key in L1_CONSENSUS_HOST_API_KEYS of prover_node_secret_environment"
        found.append(Found(wrong, remedy, "warning"))
    return found


def faults_of(source: Source, answer: Mapping, settings: Settings) -> list[Found]:
    """Give all that is wrong with a client."""
    fault = answer.get("fault")
    if fault:
        remedies = {**REMEDIES, **SIGNER_REMEDIES} if source.kind == "signer" else REMEDIES
        remedy = remedies.get(fault["kind"], f"give the URL of {WHAT_ANSWERS[source.kind]}")
        return [Found(fault["text"], remedy, (settings.traces or "warning") if source.kind == "debug" else "error")]
    if source.kind == "signer":
        return signer_faults(answer)
    judge = {"execution": execution_faults, "consensus": consensus_faults, "debug": debug_faults}[source.kind]
    return judge(answer, settings) + url_faults(source)


def _works(faults: Sequence) -> bool:
    return not any(one.level == "error" for one in faults)


def source_problems(host: str, judged: Sequence, settings: Settings) -> list[Problem]:
    """Give the problems of a host's clients. judged: (source, its faults). With one needed, a second one may fail."""
    problems = []
    working = {user[:2] for source, faults in judged if _works(faults) for user in source.users}
    for source, faults in judged:
        spared = settings.needed == "one" and all(user[:2] in working for user in source.users)
        for one in faults:
            level = "warning" if spared and not one.foreign else one.level
            variable = source.users[0][1]
            problems.append(Problem(host, variable, f"{source.name} {one.wrong}", one.remedy, level))
    return problems


def trace_problems(host: str, judged: Sequence, answers: Sequence, settings: Settings) -> dict:
    """Return the problems with traces, by source. judged: (source, its faults).

    Aztec asks one client after the other until one gives a trace (viem's fallback transport): one that does is enough.
    """
    asked = {
        source: (trace_fault(answer, settings), faults)
        for (source, faults), answer in zip(judged, answers)
        if source.traced
    }
    enough = any(fault is None and _works(faults) for fault, faults in asked.values())
    found = {}
    for source, (fault, faults) in asked.items():
        if fault and not any(one.foreign for one in faults):
            _component, variable, number = source.traced
            wrong = f"entry {number} ({origin(source.url)}) {fault.wrong}"
            found[source] = Problem(host, variable, wrong, fault.remedy, "warning" if enough else fault.level)
    return found


def unknown_problems(host: str, sources: Sequence, settings: Settings) -> list[Problem]:
    """Give a warning for each point that was not checked because nobody has said what has to be there."""
    if not sources:
        return []
    points = (("aztec_l1_chain_id", settings.chain_id, "chain"), ("aztec_l1_registry", settings.registry, "registry"))
    return [
        Problem(host, name, f"the L1's {what} was not checked, for {settings.unknown}", f"set {name}", "warning")
        for name, known, what in points
        if not known
    ]


def _values(judged: Sequence, answers: Sequence, what: str) -> list:
    """Return one value of the answers of the execution clients on the right chain, that of the furthest client last."""
    good = [
        answer
        for (source, faults), answer in zip(judged, answers)
        if source.kind == "execution" and answer.get(what) and not any(one.foreign for one in faults)
    ]
    return [answer[what] for answer in sorted(good, key=lambda answer: answer.get("head") or 0)]


def balances_of(judged: Sequence, answers: Sequence) -> dict:
    """Return each account's balance in wei, as the client says it that is furthest on the right chain."""
    found: dict = {}
    for balances in _values(judged, answers, "balances"):
        found.update(balances)
    return found


def fees_of(judged: Sequence, answers: Sequence) -> dict | None:
    """Return the fees (base, priority, rewards) of the client that is furthest and tells the base fee, or None."""
    known = [fees for fees in _values(judged, answers, "fees") if fees["base"] is not None]
    return known[-1] if known else None


def fee_offered(fees: Mapping | None, settings: Settings) -> int:
    """Return the fee cap of a transaction in wei for each gas, as Aztec sets it in its first attempt; 0 for unknown.

    That is the base fee of the newest block, which may rise by an eighth until the next, and the priority fee: the
    client's estimate, or the median of what the blocks before paid (75th percentile) where that is more, but 100
    estimates at most; then the bump, and the operator's cap. Read in ReadOnlyL1TxUtils.getFeesPerGas and
    fee-strategies/p75_competitive.ts of aztec-node of 2026-08. What Aztec also looks at, the pending block's
    transactions, is not asked for: it is megabytes, and hardly differs.
    """
    if fees is None:
        return 0
    estimate, rewards = int(fees["priority"] or 0), sorted(int(one) for one in fees["rewards"])
    middle = len(rewards) // 2
    paid = (rewards[middle] + rewards[-middle - 1]) // 2 if rewards else 0
    priority = max(estimate, paid)
    if estimate:
        priority = min(priority, 100 * estimate)
    base = (int(fees["base"]) * 1125 + 999) // 1000
    return min(base + priority * (100 + settings.fee_bump) // 100, settings.max_fee)


def submission_cost(fees: Mapping | None, settings: Settings) -> int:
    """Return the wei that an account must hold for Aztec to submit a proof, 0 where the fees are not known.

    Aztec's own: gas limit times fee cap, with no blobs (computeSendCost of ethereum/src/l1_tx_utils/send_cost.ts,
    SUBMIT_EPOCH_PROOF_REQUIREMENT of prover-node/src/gas_constants.ts).
    """
    return settings.submission_gas * fee_offered(fees, settings)


def balance_problems(
    host: str, variable: str, publishers: Sequence, balances: Mapping, settings: Settings, cost: int, starts: bool
) -> list:
    """Return a problem for each publisher that cannot pay, or not for long.

    cost: wei of one submission, 0 for unknown. starts: whether this run starts the node, which then proves nothing
    until one publisher can pay.
    """
    problems = []
    payable = any(int(balances.get(address, 0)) >= cost for address in publishers)
    for address in publishers:
        if address not in balances:
            wrong = f"the balance of the publisher {address} was not checked: no execution client told it"
            problems.append(Problem(host, variable, wrong, "see the lines on the execution clients", "warning"))
            continue
        amount, shown = Decimal(balances[address]) / WEI, ether(balances[address])
        proofs = int(balances[address]) // cost if cost else FEW_PROOFS
        each = f"{ether(cost)} each: {settings.submission_gas} gas at {gwei(cost // settings.submission_gas)}"
        if amount <= settings.balance_fail:
            least = f" (aztec_l1_balance_fail is {settings.balance_fail})" if settings.balance_fail else ""
            wrong = f"the publisher {address} has {shown}{least} and cannot pay for submitting proofs"
            problems.append(Problem(host, variable, wrong, "send ETH to it"))
        elif proofs < 1:
            wrong = f"the publisher {address} has {shown}, not enough to submit one proof now ({each})"
            level = "error" if starts and settings.needs_balance and not payable else "warning"
            problems.append(Problem(host, variable, wrong, "send ETH to it, or wait for lower fees", level))
        elif proofs < FEW_PROOFS:
            enough = counted_of(proofs, "proof")
            wrong = f"the publisher {address} has {shown}, enough for {enough} now ({each})"
            problems.append(Problem(host, variable, wrong, "send ETH to it", "warning"))
        elif amount < settings.balance_warn:
            wrong = f"the publisher {address} has {shown}, below aztec_l1_balance_warn, {settings.balance_warn}"
            problems.append(Problem(host, variable, wrong, "send ETH to it", "warning"))
    return problems


def top_up_problems(host: str, funder: str, balances: Mapping, amount: int, problems: Sequence) -> list:
    """Return the problems of publishers that an account tops up, and that account's own.

    amount: wei of one top-up. While the account can pay one, publishers without funds are a warning.
    """
    balance = int(balances.get(funder, 0))
    if balance >= amount:
        remedy = f"nothing if the node tops it up from {funder} within minutes; else send ETH to it"
        return [Problem(one.host, one.variable, one.wrong, remedy, "warning") for one in problems]
    has = ether(balance) if funder in balances else "an unknown balance"
    wrong = f"the funding account {funder} has {has}, and one top-up is {ether(amount)}"
    return [*problems, Problem(host, "prover_node_funding_amount", wrong, f"send ETH to {funder}", "warning")]


def counted_of(number: int, what: str) -> str:
    """Return a number of things in words: 1 proof, 2 proofs."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def starts_node(look: Mapping, values: Mapping) -> bool:
    """Return whether a run that goes on starts the node: its container does not run here, or runs another image.

    look: that of the node's host. Other changes that restart a running node show only in its role.
    """
    project = (look.get("projects") or {}).get(project_name(NODE)) or {}
    wanted = image_of(dict(values), NODE)
    return not any(
        container.get("state") == "running" and container.get("image") == wanted
        for container in project.get("containers") or []
    )


@dataclass(frozen=True)
class Verdict:
    """The result of a host's L1 checks: problems, rows of the table of clients, rows of the table of publishers.

    cost: wei that submitting one proof takes at the fees of this moment, 0 where they are not known.
    """

    problems: list
    clients: list
    publishers: list
    cost: int = 0


def check_l1(host: str, values: Mapping, fleet: Mapping, answers: Mapping | None, starts: bool = False) -> Verdict:
    """Judge the answers of a host's L1 clients (host_info's l1, or None where nothing was asked).

    starts: whether this run starts the node.
    """
    components = fleet["hosts"][host]["components"]
    settings = settings_of(values, fleet["network"], components, str(fleet.get("line", "")))
    if settings.checks == "ignore" or answers is None:
        return Verdict([], [], [])
    sources = sources_of(values, components)
    waiting = {kind: list(answers.get(kind, [])) for kind in KINDS}
    paired = [(source, waiting[source.kind].pop(0)) for source in sources]
    judged = [(source, faults_of(source, answer, settings)) for source, answer in paired]
    given = [answer for _source, answer in paired]
    untraced = trace_problems(host, judged, given, settings)
    problems = source_problems(host, judged, settings) + list(untraced.values())
    problems += unknown_problems(host, sources, settings)
    funder = fleet.get("funder") or ""
    count = len(fleet["publishers"]) + (1 if funder else 0)
    rows = [
        client_row(host, source, answer, [*faults, *([untraced[source]] if source in untraced else [])], count)
        for (source, answer), (_same, faults) in zip(paired, judged)
    ]
    publishers, cost = [], submission_cost(fees_of(judged, given), settings)
    if NODE in components:
        variable = publisher_variable(values)
        problems += unknown_accounts(host, variable, "publisher", judged, given, fleet["publishers"])
        account = "prover_node_funding_account_address"
        problems += unknown_accounts(host, account, "funding account", judged, given, [funder] if funder else [])
        balances = balances_of(judged, given)
        found = balance_problems(host, variable, fleet["publishers"], balances, settings, cost, starts)
        problems += top_up_problems(host, funder, balances, settings.top_up, found) if funder else found
        publishers = [
            (
                host,
                address,
                ether(balances[address]) if address in balances else "unknown",
                counted_of(int(balances[address]) // cost, "proof") if address in balances and cost else "not checked",
            )
            for address in fleet["publishers"]
        ]
        if funder:
            shown = ether(balances[funder]) if funder in balances else "unknown"
            known = funder in balances and settings.top_up
            left = counted_of(int(balances[funder]) // settings.top_up, "top-up") if known else "not checked"
            publishers.append((host, f"{funder} (tops up)", shown, left))
    if settings.checks == "warn":
        problems = [Problem(one.host, one.variable, one.wrong, one.remedy, "warning") for one in problems]
    return Verdict(problems, rows, publishers, cost)


def client_row(host: str, source: Source, answer: Mapping, faults: Sequence, publishers: int) -> tuple:
    """Give a client as a row of the table that shows what was seen. publishers: how many a signer is to know."""
    whole = source.kind != "signer" or len(answer.get("known") or []) == publishers
    users = ", ".join(dict.fromkeys(user[0].replace("prover_", "") for user in source.users))
    seconds = answer.get("seconds")
    head, age, seen = answer.get("head"), "-", ""
    if answer.get("timestamp") is not None:
        # Seconds of a block's own making are no news.
        age = span(max(0.0, answer["time"] - answer["timestamp"]))
    if source.kind == "execution" and answer.get("code_bytes") is not None:
        seen = "registry" if answer["code_bytes"] else "NO REGISTRY"
    elif source.kind == "signer" and answer.get("known") is not None:
        seen = f"{len(answer['known'])} of {publishers} accounts"
    elif source.kind == "consensus" and not answer.get("fault"):
        blobs = answer.get("blobs")
        seen = "NO BLOBS" if not blobs else "blobs" if blobs["seen"] else "blobs (none made of late)"
    seen = ", ".join(one for one in (seen, traces_seen(source, answer)) if one) or "-"
    return (
        host, users, "signer" if source.kind == "signer" else f"{source.kind} {source.users[0][2]}", origin(source.url),
        "-" if answer.get("chain_id") is None else str(answer["chain_id"]),
        "-" if head is None else f"{'slot' if source.kind == 'consensus' else 'block'} {head}", age, seen,
        "-" if seconds is None else f"{round(seconds * 1000)} ms", "ok" if _works(faults) and whole else "WRONG",
    )  # fmt: skip


def l1_tables(clients: Sequence, publishers: Sequence) -> str:
    """Give what was seen of the L1 as the tables that the operator reads."""
    parts = []
    if clients:
        heads = ("HOST", "FOR", "L1 CLIENT", "AT", "CHAIN", "HEAD", "AGE", "HAS", "TOOK", "STATE")
        parts.append(table(clients, heads))
    if publishers:
        parts.append(table(publishers, ("HOST", "PUBLISHER", "BALANCE", "ENOUGH FOR")))
    return "\n\n".join(parts)
