"""Problems of the L1's clients, the signer, accounts and the network's version.

A row is (a part of the line, the answers with it, the answers after it). `l1(answers, **variables)` checks the
answers of clients. Answers that are not given are those of good ones. `network` does so for the network's own
configuration. Give each action of the remedy a column of its own.
"""

from __future__ import annotations

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_checks import (
    check_l1,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.network_version_checks import (
    check_network,
)

from tests.remedies.case import Lines, cases, problem_lines
from tests.unit.plugins.plugin_utils.preflight.test_l1_checks import (
    AMOUNT,
    COST,
    ETH,
    FLEET,
    NOW,
    ONE_GWEI,
    OTHER,
    PUBLISHER,
    SIGNED,
    consensus,
    debug,
    execution,
    fault,
    signer,
    untraced,
)
from tests.unit.plugins.plugin_utils.preflight.test_network_version_checks import OTHER as REGISTRY
from tests.unit.plugins.plugin_utils.preflight.test_network_version_checks import VALUES as NETWORK_VALUES
from tests.unit.plugins.plugin_utils.preflight.test_network_version_checks import answer, fleet

VALUES = {
    "aztec_l1_execution_urls": ["https://rpc.lan:8545/key"],
    "aztec_l1_consensus_urls": ["https://beacon.lan/key"],
}
NEEDS = {"prover_node_environment": {"ETHEREUM_ALLOW_NO_DEBUG_HOSTS": True}}
DEBUG = {"aztec_l1_debug_urls": ["https://trace.lan"]}


def l1(answers: dict | None = None, fleet: dict | None = None, **values: object) -> Lines:
    """Return what checks these answers of clients on the node's host."""

    def lines() -> list[str]:
        given = {"execution": [execution()], "consensus": [consensus()], **(answers or {})}
        whole = {**FLEET, "line": "6", **(fleet or {})}
        return problem_lines(check_l1("node-2", {**VALUES, **values}, whole, given, True).problems)

    return lines


def el(**changes: object) -> Lines:
    """Return what checks an execution client."""
    return l1({"execution": [execution(**changes)]})


def cl(**changes: object) -> Lines:
    """Return what checks a consensus client."""
    return l1({"consensus": [consensus(**changes)]})


def signs(**changes: object) -> Lines:
    """Return what checks a signer."""
    return l1({"signer": [signer(**changes)]}, **SIGNED)


def holds(wei: int | None, funder: int | None = None, **values: object) -> Lines:
    """Return what checks a publisher's balance, and that of an account that tops it up."""
    balances = {PUBLISHER: wei, OTHER: funder}
    held = {address: str(amount) for address, amount in balances.items() if amount is not None}
    topped = {"prover_node_funding_amount": "0.5", **values} if funder is not None else values
    one = {"execution": [execution(balances=held, fees=ONE_GWEI)]}
    return l1(one, {"funder": OTHER} if funder is not None else None, **topped)


def network(own: str, runs: str | None = None, registry: str | None = None, **values: object) -> Lines:
    """Return what checks aztec_version by the version that the network runs, and the registry that it names."""
    found = answer(runs or own, **({"registry": registry} if registry else {}))
    return lambda: problem_lines(check_network("node-1", {**NETWORK_VALUES, **values}, fleet(own), found)[0])


def both(expected: str, kind: str, text: str) -> tuple:
    """Return the row of a fault in an execution client's answer that another URL or a network path corrects."""
    return expected, el(**fault(kind, text)), el()


L1 = cases(
    # clients that do not answer
    both("or fix the network path from this host", "connect", "cannot be reached: connection refused"),
    both("or raise aztec_l1_timeout", "timeout", "gives no answer within 10 s"),
    both("install a trusted certificate on the server", "tls", "its certificate is not trusted: x"),
    both("correct the API key", "key", "answers 401 Unauthorized"),
    both("raise the limit of your plan", "limit", "answers 429 Too Many Requests"),
    both("set the URL to the target of the redirect", "redirect", "answers 301, a redirect to https://b.lan"),
    both(
        "correct this variable in the host's environment", "proxy", "cannot be queried: the proxy in https_proxy is x"
    ),
    both("percent-encode the special characters", "url", "cannot be queried"),
    both(
        "answers with HTML and not with JSON: set the URL of an execution client",
        "other",
        "answers with HTML and not with JSON",
    ),
    (
        "answers with HTML and not with JSON: set the URL of a consensus client",
        cl(**fault("other", "answers with HTML and not with JSON")),
        cl(),
    ),
    (
        "answers 500: set the URL of a Web3Signer",
        signs(**fault("http", "answers 500"), known=None),
        signs(),
    ),
    ("or allow this host without a token", signs(**fault("key", "answers 401 Unauthorized"), known=None), signs()),
    # execution clients
    ("does not report its chain", el(chain_id=None), el()),
    (
        "is on chain 1 (mainnet)",
        el(chain_id=1),
        el(),
        l1({"execution": [execution(chain_id=1)], "consensus": [consensus(chain_id=1)]}, {"network": "mainnet"}),
    ),
    ("is syncing, block 5 of 900", el(syncing={"current": 5, "highest": 900}), el()),
    ("does not report its latest block", el(head=None, timestamp=None), el()),
    ("find out why it stopped following the chain", el(timestamp=NOW - 7300), el(timestamp=NOW - 12)),
    ("correct the host's clock", el(timestamp=NOW + 3600), el(timestamp=NOW + 3600, time=NOW + 3600)),
    ("does not report the code of the registry", el(code_bytes=None), el()),
    (
        "the address of the registry",
        el(code_bytes=0),
        el(),
    ),
    (
        "its sync state is unknown",
        el(refused={"syncing": "refuses eth_syncing: no such method"}),
        el(),
    ),
    # consensus clients
    ("does not report its head", cl(head=None), cl()),
    ("is syncing, 40 slots behind", cl(sync={"distance": 40, "is_syncing": True}), cl()),
    ("its sync state is unknown", l1({"consensus": [{**consensus(), "sync": None}]}), cl()),
    ("start that execution client", cl(sync={"el_offline": True}), cl()),
    ("wait until that execution client is in sync", cl(sync={"is_optimistic": True}), cl()),
    ("does not serve blobs", cl(blobs=None), cl()),
    (
        "keeps 4 of 128 data columns",
        cl(blobs={"route": "blob_sidecars", "seen": False}, custody_groups=4),
        cl(blobs={"route": "blob_sidecars", "seen": False}, custody_groups=64),
        cl(),
    ),
    ("serves blobs only at /eth/v1/beacon/blobs", cl(blobs={"route": "blobs", "seen": True}), cl()),
    # URLs that Aztec interprets differently
    (
        "has a user in its URL",
        l1(aztec_l1_execution_urls=["https://me:secret@rpc.lan"]),
        l1(aztec_l1_execution_urls=["https://rpc.lan/secret"]),
        l1(aztec_l1_execution_urls=["https://proxy.lan"]),
    ),
    (
        "has a query in its URL",
        l1(aztec_l1_consensus_urls=["https://beacon.lan/?key=secret"]),
        l1(
            aztec_l1_consensus_urls=["https://beacon.lan/"],
            prover_node_secret_environment={"L1_CONSENSUS_HOST_API_KEYS": "secret"},
        ),
    ),
    # traces
    (
        "does not trace transactions (of block 880",
        el(**untraced()),
        el(),
        l1({"execution": [execution(**untraced())], "debug": [debug()]}, **DEBUG),
        l1({"execution": [execution(**untraced())]}, **NEEDS),
    ),
    (
        "did not return a transaction to trace",
        el(**untraced(traces=None)),
        el(),
        l1({"execution": [execution(**untraced(traces=None))], "debug": [debug()]}, **DEBUG),
        l1({"execution": [execution(**untraced(traces=None))]}, **NEEDS),
    ),
    (
        "traces recent transactions, but not those of block 880",
        el(**untraced(recent="trace_transaction")),
        el(),
        l1({"execution": [execution(**untraced(recent="trace_transaction"))], "debug": [debug()]}, **DEBUG),
        l1({"execution": [execution(**untraced(recent="trace_transaction"))]}, **NEEDS),
    ),
    # signers
    ("is not a Web3Signer: it", signs(known=None, refused={"accounts": "answers with HTML"}, up=False), signs()),
    ("start it in eth1 mode", signs(known=None, refused={"accounts": "answers 404"}, up=True), signs()),
    (
        "load its key into the signer",
        signs(known=[]),
        signs(),
        l1(
            {"signer": [signer(known=[OTHER])], "execution": [execution(balances={OTHER: str(ETH)})]},
            {"publishers": [OTHER]},
            **SIGNED,
        ),
    ),
    # what is not configured
    (
        "the L1's chain was not checked",
        l1(fleet={"network": "own"}, aztec_l1_registry=REGISTRY),
        l1(fleet={"network": "own"}, aztec_l1_registry=REGISTRY, aztec_l1_chain_id=11155111),
    ),
    (
        "the L1's registry was not checked",
        l1(fleet={"network": "own"}, aztec_l1_chain_id=11155111),
        l1(fleet={"network": "own"}, aztec_l1_chain_id=11155111, aztec_l1_registry=REGISTRY),
    ),
    # accounts
    ("see the lines on the execution clients", holds(None), holds(ETH)),
    ("and cannot pay for submitting proofs: send ETH", holds(0), holds(ETH)),
    (
        "not enough to submit one proof now",
        holds(COST - 1),
        holds(ETH),
        l1({"execution": [execution(balances={PUBLISHER: str(COST - 1)})]}, aztec_l1_balance_warn=0),
    ),
    ("enough for 3 proofs now", holds(3 * COST), holds(ETH)),
    ("below aztec_l1_balance_warn", holds(4 * COST), holds(ETH)),
    (f"send ETH to {OTHER}", holds(ETH, AMOUNT - 1), holds(ETH, AMOUNT)),
    ("wait a few minutes for the node to top it up", holds(0, AMOUNT), holds(AMOUNT, AMOUNT)),
    (
        "so that a publisher between them gets no top-up: set it to 0.015751 ETH or more",
        holds(ETH, AMOUNT, prover_node_funding_threshold=0.001),
        holds(ETH, AMOUNT, prover_node_funding_threshold=0.015751),
    ),
    # what the network runs
    ("but aztec_version is the older 5.2.0", network("5.2.0", "5.2.1"), network("5.2.1")),
    ("continue if you prepare for a hard fork", network("6.0.0", "5.2.0"), network("6.0.0"), network("5.2.0")),
    ("which cannot follow it: set aztec_version to 6.0.0", network("5.2.0", "6.0.0"), network("6.0.0")),
    ("update this collection, which does not know 7.0.0", network("5.2.0", "7.0.0"), network("7.0.0")),
    (
        "find out which address is correct, and set aztec_l1_registry to it",
        network("5.2.0", registry=REGISTRY),
        network("5.2.0", registry=REGISTRY, aztec_l1_registry=REGISTRY),
    ),
)
