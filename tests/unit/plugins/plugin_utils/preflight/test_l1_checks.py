# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The queries of a host to the L1, and the problems in the answers."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.networks import NETWORKS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_checks import (
    CLIENT_HEADS,
    PUBLISHER_HEADS,
    check_l1,
    max_fee_per_gas,
    submission_cost,
    will_start_node,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_queries import (
    L1Settings,
    client_queries,
    l1_clients,
    l1_settings,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.units import (
    GWEI,
    duration,
    ether,
    gwei,
)

NODE, BROKER, AGENT = "prover_node", "prover_broker", "prover_agent"
PUBLISHER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
OTHER = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
REGISTRY = NETWORKS["testnet"].registry
ETH = 10**18
NOW = 1_800_000_000.0
RPC = "https://me:S3cretUser@rpc.lan:8545/S3cretPath?key=S3cretQuery"
BEACON = "https://beacon.lan/S3cretPath"
VALUES = {"aztec_l1_execution_urls": [RPC], "aztec_l1_consensus_urls": [BEACON]}
FLEET = {
    "network": "testnet",
    "publishers": [PUBLISHER],
    "hosts": {
        "node-1": {"components": [NODE, BROKER]},
        "node-2": {"components": [NODE]},
        "broker-1": {"components": [BROKER]},
        "agent-1": {"components": [AGENT]},
    },
}


def execution(**changes) -> dict:
    """Return the answer of an execution client with which nothing is wrong, with these changes."""
    good = {
        "where": "https://rpc.lan:8545",
        "fault": None,
        "refused": {},
        "seconds": 0.12,
        "time": NOW,
        "chain_id": 11155111,
        "head": 900,
        "timestamp": NOW - 8,
        "syncing": False,
        "code_bytes": 1400,
        "balances": {PUBLISHER: str(2 * ETH)},
        "fees": None,
        "traces": {"block": 880, "method": "trace_transaction", "recent": ""},
    }
    # A trace is not queried from a client without a head.
    return {**good, **({"traces": None} if changes.get("head", 1) is None else {}), **changes}


def consensus(**changes) -> dict:
    """Return the answer of a consensus client with which nothing is wrong, with these changes."""
    sync = {"distance": 0, "is_syncing": False, "is_optimistic": False, "el_offline": False}
    good = {
        "where": "https://beacon.lan",
        "fault": None,
        "refused": {},
        "seconds": 0.2,
        "time": NOW,
        "chain_id": 11155111,
        "head": 7000,
        "sync": {**sync, **changes.pop("sync", {})},
        "blobs": {"route": "blob_sidecars", "seen": True},
        "custody_groups": None,
    }
    return {**good, **changes}


def fault(kind: str, text: str) -> dict:
    return {"fault": {"kind": kind, "text": text}, "chain_id": None, "head": None, "timestamp": None}


def tables(found) -> str:
    """Return the tables of clients and of publishers."""
    parts = ((found.clients, CLIENT_HEADS), (found.publishers, PUBLISHER_HEADS))
    return "\n\n".join(table(rows, heads) for rows, heads in parts if rows)


def verdict(execution_answers: list, consensus_answers: list, host: str = "node-2", **values):
    """Check these answers."""
    answers = {"execution": execution_answers, "consensus": consensus_answers}
    found = check_l1(host, {**VALUES, **values}, FLEET, answers)
    shown = tables(found) + repr(found.problems)
    assert "S3cret" not in shown
    return found


def lines(execution_answers: list, consensus_answers: list, host: str = "node-2", **values) -> list:
    """Return the problems of these answers as texts, without those on the URL itself."""
    problems = verdict(execution_answers, consensus_answers, host, **values).problems
    return [
        " | ".join((one.level, one.variable, one.wrong, one.remedy))
        for one in problems
        if "in its URL" not in one.wrong
    ]


def test_nothing_wrong() -> None:
    assert lines([execution()], [consensus()]) == []


EXECUTION = [
    (
        execution(**fault("connect", "cannot be reached: connection refused")),
        "entry 1 (https://rpc.lan:8545) cannot be reached: connection refused | correct the URL, or fix the",
    ),
    (
        execution(**fault("timeout", "gives no answer within 10 s")),
        "gives no answer within 10 s | correct the URL, fix",
    ),
    (execution(**fault("tls", "its certificate is not trusted: x")), "not trusted: x | install a trusted certificate"),
    (execution(**fault("key", "answers 401 Unauthorized")), "answers 401 Unauthorized | correct the API key"),
    (execution(**fault("limit", "answers 429 Too Many Requests")), "429 Too Many Requests | raise the limit"),
    (
        execution(**fault("redirect", "answers 301, a redirect to https://b.lan")),
        "to https://b.lan | set the URL to the target",
    ),
    (execution(**fault("url", "cannot be queried")), "cannot be queried | percent-encode the special characters"),
    (
        execution(**fault("other", "answers with HTML and not with JSON")),
        "answers with HTML and not with JSON | set the URL of an execution client (JSON-RPC)",
    ),
    (
        execution(**fault("http", "answers 502 Bad Gateway")),
        "answers 502 Bad Gateway | set the URL of an execution cl",
    ),
    (
        execution(chain_id=None, refused={"chain_id": "refuses eth_chainId: no such method"}),
        "refuses eth_chainId: no such method | set the URL of an execution client (JSON-RPC)",
    ),
    (execution(chain_id=None), "does not report its chain | set the URL of an execution client"),
    (
        execution(chain_id=1),
        "is on chain 1 (mainnet), but testnet is on chain 11155111 | use a URL on that chain, or correct aztec_network",
    ),
    (execution(chain_id=31337), "is on chain 31337, but testnet is on chain 11155111 | use a URL on that chain"),
    (
        execution(syncing={"current": 5, "highest": 900}),
        "is syncing, block 5 of 900 | wait until it is in sync, or use another URL",
    ),
    (execution(syncing={"current": None, "highest": None}), "(https://rpc.lan:8545) is syncing | wait"),
    (
        execution(timestamp=NOW - 7300),
        "its latest block, 900, is 2 h old (limit: 5 min) | find out why it stopped following",
    ),
    (
        execution(timestamp=NOW + 3600),
        "its latest block is 60 min ahead of this host's clock | correct the host's clock",
    ),
    (execution(timestamp=None, head=None), "does not report its latest block | set the URL of a client"),
    (
        execution(code_bytes=0),
        f"does not have a contract at {REGISTRY}, the address of the registry | correct aztec_network",
    ),
]


@pytest.mark.parametrize(("answer", "line"), EXECUTION)
def test_one_thing_wrong_with_an_execution_client(answer: dict, line: str) -> None:
    found = [one for one in lines([answer], [consensus()]) if "balance" not in one]
    assert len(found) == 1
    assert found[0].startswith("error | aztec_l1_execution_urls | entry 1 (https://rpc.lan:8545) ")
    assert line in found[0]


def test_what_an_execution_client_does_not_say_is_a_warning() -> None:
    quiet = execution(
        syncing=None, code_bytes=None, refused={"syncing": "refuses eth_syncing", "code": "refuses eth_getCode"}
    )
    where = "warning | aztec_l1_execution_urls | entry 1 (https://rpc.lan:8545)"
    assert lines([quiet], [consensus()]) == [
        f"{where} refuses eth_getCode | use another URL",
        f"{where} refuses eth_syncing: its sync state is unknown | make sure that it is in sync",
    ]


def test_a_head_within_its_age_is_accepted() -> None:
    assert lines([execution(timestamp=NOW - 299)], [consensus()]) == []
    assert lines([execution(timestamp=NOW + 29)], [consensus()]) == []
    assert lines([execution(timestamp=NOW - 299)], [consensus()], aztec_l1_max_head_age=298) != []
    assert lines([execution(timestamp=NOW - 900)], [consensus()], aztec_l1_max_head_age="1000") == []


CONSENSUS = [
    (
        consensus(**fault("key", "answers 403 Forbidden")),
        "error",
        "answers 403 Forbidden | correct the API key, in the",
    ),
    (
        consensus(**fault("http", "answers 404 Not Found")),
        "error",
        "answers 404 Not Found | set the URL of a consensus client (Beacon API)",
    ),
    (consensus(head=None), "error", "does not report its head | set the URL of a consensus client (Beacon API)"),
    (
        consensus(head=None, refused={"head": "answers 503 at /eth/v1/beacon/headers"}),
        "error",
        "answers 503 at /eth/v1/beacon/headers | set the URL of a consensus client",
    ),
    (consensus(chain_id=1), "error", "is on chain 1 (mainnet), but testnet is on chain 11155111 | use a URL on that"),
    (
        consensus(sync={"is_syncing": True, "distance": 4000}),
        "error",
        "is syncing, 4000 slots behind | wait until it is",
    ),
    (consensus(sync={"distance": 33}), "error", "is syncing, 33 slots behind | wait"),
    (consensus(sync={"el_offline": True}), "warning", "its own execution client is offline | start"),
    (consensus(sync={"is_optimistic": True}), "warning", "follows the chain optimistically, because"),
    (
        {**consensus(), "sync": None, "refused": {"sync": "answers 405 at /eth/v1/node/syncing"}},
        "warning",
        "answers 405 at /eth/v1/node/syncing: its sync state is unknown | make sure that it is in sync",
    ),
    (
        consensus(blobs=None, refused={"blobs": "answers 500 at /x: Insufficient data columns"}),
        "error",
        "does not serve blobs: answers 500 at /x: Insufficient data columns | run it as a supernode or",
    ),
    (
        consensus(blobs={"route": "blob_sidecars", "seen": False}, custody_groups=4),
        "warning",
        "keeps 4 of 128 data columns, but blobs require 64 | run it as a supernode",
    ),
    (
        consensus(blobs={"route": "blobs", "seen": True}),
        "warning",
        "serves blobs only at /eth/v1/beacon/blobs | use another URL, unless your release is newer than 4.1",
    ),
]


@pytest.mark.parametrize(("answer", "level", "line"), CONSENSUS)
def test_one_thing_wrong_with_a_consensus_client(answer: dict, level: str, line: str) -> None:
    found = lines([execution()], [answer])
    assert len(found) == 1
    assert found[0].startswith(f"{level} | aztec_l1_consensus_urls | entry 1 (https://beacon.lan) {line}")


@pytest.mark.parametrize(
    "answer",
    [
        consensus(sync={"distance": 32}),
        consensus(chain_id=None),
        consensus(blobs={"route": "blob_sidecars", "seen": False}, custody_groups=64),
        consensus(blobs={"route": "blob_sidecars", "seen": False}, custody_groups=None),
    ],
)
def test_healthy_consensus_clients(answer: dict) -> None:
    assert lines([execution()], [answer]) == []


BALANCES = [
    (0, {}, "error", "has 0 ETH and cannot pay for submitting proofs | send ETH to it"),
    (ETH // 10 - 1, {}, "warning", "has 0.099999 ETH, below aztec_l1_balance_warn, 0.1 | send ETH to it"),
    (1, {}, "warning", "has less than 0.000001 ETH, below aztec_l1_balance_warn, 0.1"),
    (2 * ETH, {"aztec_l1_balance_warn": 5}, "warning", "has 2 ETH, below aztec_l1_balance_warn, 5"),
    (
        ETH // 2,
        {"aztec_l1_balance_fail": "0.5"},
        "error",
        "has 0.5 ETH (aztec_l1_balance_fail is 0.5) and cannot pay",
    ),
]


@pytest.mark.parametrize(("wei", "values", "level", "line"), BALANCES)
def test_balances(wei: int, values: dict, level: str, line: str) -> None:
    found = lines([execution(balances={PUBLISHER: str(wei)})], [consensus()], **values)
    assert len(found) == 1
    where = f"{level} | prover_node_publisher_private_key | the publisher {PUBLISHER} "
    assert found[0].startswith(where + line)


def test_a_balance_at_the_threshold_is_enough() -> None:
    assert lines([execution(balances={PUBLISHER: str(ETH // 10)})], [consensus()]) == []
    assert lines([execution(balances={PUBLISHER: "1"})], [consensus()], aztec_l1_balance_warn=0) == []


def test_the_balance_is_that_of_the_client_that_is_furthest_on_the_right_chain() -> None:
    urls = {"aztec_l1_execution_urls": ["https://a.lan", "https://b.lan", "https://c.lan"]}
    rich = {PUBLISHER: str(9 * ETH)}
    behind = execution(head=10, balances=rich)
    elsewhere = execution(head=10**7, chain_id=1, balances=rich)
    found = lines([behind, execution(balances={PUBLISHER: "0"}), elsewhere], [consensus()], **urls)
    assert [one for one in found if "cannot pay" in one]


def test_a_balance_that_no_client_returns_is_reported() -> None:
    found = lines([execution(balances={}, refused={"balance": "refuses eth_getBalance"})], [consensus()])
    assert found == [
        f"warning | prover_node_publisher_private_key | the balance of the publisher {PUBLISHER} was not checked: "
        "no execution client reported it | see the lines on the execution clients"
    ]


def test_a_broker_s_host_queries_its_execution_clients_and_no_balance() -> None:
    queries = client_queries(VALUES, FLEET, "broker-1")
    assert [one["url"] for one in queries["execution"]] == [RPC]
    assert queries["consensus"] == queries["addresses"] == []
    assert verdict([execution(balances={})], [], "broker-1").publishers == []
    assert lines([execution(balances={})], [], "broker-1") == []


def test_an_agent_s_host_queries_nothing_nor_does_any_with_checks_ignored() -> None:
    assert client_queries(VALUES, FLEET, "agent-1") == {}
    assert client_queries({**VALUES, "aztec_l1_checks": "ignore"}, FLEET, "node-1") == {}
    assert check_l1("node-1", {**VALUES, "aztec_l1_checks": "ignore"}, FLEET, None).problems == []
    assert check_l1("agent-1", VALUES, FLEET, None).problems == []


def test_questions_of_node_and_broker_on_one_host() -> None:
    queries = client_queries(VALUES, FLEET, "node-1")
    assert queries == {
        "execution": [{"url": RPC, "headers": {}, "traces": True}],
        "consensus": [{"url": BEACON, "headers": {}}],
        "signer": [],
        "debug": [],
        "registry": REGISTRY,
        "addresses": [PUBLISHER],
        "fees": True,
        "seconds": 10,
    }
    apart = {**VALUES, "prover_broker_l1_execution_urls": ["http://own.lan"]}
    assert [one["url"] for one in client_queries(apart, FLEET, "node-1")["execution"]] == [
        RPC,
        "http://own.lan",
    ]


def test_faults_of_node_and_broker_go_by_the_variable_that_decides() -> None:
    apart = {"prover_broker_l1_execution_urls": ["http://own.lan"]}
    broken = execution(**fault("connect", "cannot be reached: x"))
    found = lines([execution(), broken], [consensus()], "node-1", **apart)
    assert [one.partition(" cannot")[0] for one in found] == [
        "error | prover_broker_l1_execution_urls | entry 1 (http://own.lan)"
    ]
    shared = lines([broken], [consensus()], "node-1")
    assert len([one for one in shared if "cannot be reached" in one]) == 1


@pytest.mark.parametrize(
    ("environment", "url", "headers"),
    [
        ({}, BEACON, {}),
        ({"L1_CONSENSUS_HOST_API_KEYS": "S3cretKey"}, f"{BEACON}?key=S3cretKey", {}),
        ({"L1_CONSENSUS_HOST_API_KEYS": ["S3cret&Key"]}, f"{BEACON}?key=S3cret%26Key", {}),
        (
            {"L1_CONSENSUS_HOST_API_KEYS": " S3cretKey ,other", "L1_CONSENSUS_HOST_API_KEY_HEADERS": "X-Api-Key"},
            BEACON,
            {"X-Api-Key": "S3cretKey"},
        ),
        ({"L1_CONSENSUS_HOST_API_KEY_HEADERS": "X-Api-Key"}, BEACON, {}),
    ],
)
def test_api_keys_of_consensus_clients(environment: dict, url: str, headers: dict) -> None:
    values = {**VALUES, "prover_node_secret_environment": environment}
    assert client_queries(values, FLEET, "node-2")["consensus"] == [{"url": url, "headers": headers}]


def test_api_keys_go_by_the_place_of_their_url() -> None:
    values = {
        "aztec_l1_consensus_urls": ["https://a.lan", "https://b.lan?x=1", "https://c.lan"],
        "prover_node_secret_environment": {"L1_CONSENSUS_HOST_API_KEYS": ",two,three"},
        "aztec_environment": {"L1_CONSENSUS_HOST_API_KEY_HEADERS": ",,X-Three"},
    }
    assert [(one.url, dict(one.headers)) for one in l1_clients(values, [NODE])] == [
        ("https://a.lan", {}),
        ("https://b.lan?x=1&key=two", {}),
        ("https://c.lan", {"X-Three": "three"}),
    ]


URLS = {
    "aztec_l1_execution_urls": ["https://a.lan/S3cret", "https://b.lan/S3cret"],
    "aztec_l1_consensus_urls": ["https://c.lan/S3cret", "https://d.lan/S3cret"],
}
BROKEN = execution(**fault("connect", "cannot be reached: x"))


@pytest.mark.parametrize(
    ("needed", "answers", "levels"),
    [
        ("all", [execution(), BROKEN], ["error"]),
        ("one", [execution(), BROKEN], ["warning"]),
        ("one", [BROKEN, execution(syncing={"current": 1, "highest": 2})], ["error", "error"]),
        # That of another chain is used as soon as the first one fails.
        ("one", [execution(), execution(chain_id=1)], ["error"]),
    ],
)
def test_all_or_one_of_several(needed: str, answers: list, levels: list) -> None:
    found = lines(answers, [consensus(), consensus()], aztec_l1_needed=needed, **URLS)
    assert [one.partition(" | ")[0] for one in found if "balance" not in one] == levels


def test_one_kind_does_not_make_up_for_the_other() -> None:
    gone = consensus(**fault("connect", "cannot be reached: x"))
    found = lines([execution(), execution()], [gone, gone], aztec_l1_needed="one", **URLS)
    assert [one.partition(" | ")[0] for one in found] == ["error", "error"]


def test_warn_makes_warnings_of_all() -> None:
    found = lines([execution(chain_id=1)], [consensus(head=None)], aztec_l1_checks="warn")
    assert {one.partition(" | ")[0] for one in found} == {"warning"}
    assert len(found) == 3


def test_unknown_values_are_reported_and_not_guessed() -> None:
    elsewhere = {**FLEET, "network": "staging"}
    answers = {"execution": [execution(chain_id=77, code_bytes=None)], "consensus": [consensus(chain_id=77)]}
    problems = [one for one in check_l1("node-2", VALUES, elsewhere, answers).problems if "in its URL" not in one.wrong]
    assert [(one.level, one.variable, one.wrong, one.remedy) for one in problems] == [
        (
            "warning",
            "aztec_l1_chain_id",
            "the L1's chain was not checked, because the network 'staging' is not known",
            "set aztec_l1_chain_id",
        ),
        (
            "warning",
            "aztec_l1_registry",
            "the L1's registry was not checked, because the network 'staging' is not known",
            "set aztec_l1_registry",
        ),
    ]


OWN = {"NETWORK_CONFIG_LOCATION": "http://x/config.json"}


@pytest.mark.parametrize(
    ("values", "network", "chain", "registry"),
    [
        ({}, "testnet", 11155111, REGISTRY),
        ({}, "mainnet", 1, NETWORKS["mainnet"].registry),
        ({}, "staging", None, ""),
        ({}, "devnet", 11155111, NETWORKS["devnet"].registry),
        ({}, "v4-devnet-2", 11155111, NETWORKS["v4-devnet-2"].registry),
        ({"aztec_l1_chain_id": "31337", "aztec_l1_registry": OTHER}, "testnet", 31337, OTHER),
        # The known registry is only on the known chain.
        ({"aztec_l1_chain_id": 31337}, "testnet", 31337, ""),
        ({"aztec_l1_registry": OTHER}, "testnet", 11155111, OTHER),
        ({"aztec_environment": OWN}, "testnet", None, ""),
        ({"prover_node_environment": OWN, "aztec_l1_chain_id": 5}, "testnet", 5, ""),
        ({"aztec_environment": OWN, "prover_node_fleet_environment": {}}, "testnet", 11155111, REGISTRY),
        (
            {"prover_node_environment": {"L1_CHAIN_ID": "7", "REGISTRY_CONTRACT_ADDRESS": OTHER}},
            "staging",
            7,
            OTHER,
        ),
    ],
)
def test_what_the_l1_has_to_be(values: dict, network: str, chain: int | None, registry: str) -> None:
    found = l1_settings(values, network, [NODE])
    assert (found.chain_id, found.registry) == (chain, registry)


def test_default_and_configured_settings() -> None:
    found = l1_settings({}, "testnet", [NODE])
    assert (found.checks, found.needed, found.seconds, found.max_head_age) == ("fail", "all", 10, 300)
    assert (found.balance_warn, found.balance_fail) == (Decimal("0.1"), 0)
    found = l1_settings({"aztec_l1_timeout": "3", "aztec_l1_balance_fail": 0.05}, "testnet", [NODE])
    assert (found.seconds, found.balance_fail) == (3, Decimal("0.05"))


def test_urls_that_aztec_takes_in_another_way() -> None:
    urls = {"aztec_l1_execution_urls": [RPC], "aztec_l1_consensus_urls": ["https://beacon.lan/?key=S3cretQuery"]}
    found = [(one.level, one.variable, one.wrong) for one in verdict([execution()], [consensus()], **urls).problems]
    assert found == [
        (
            "warning",
            "aztec_l1_execution_urls",
            "entry 1 (https://rpc.lan:8545) has a user in its URL, which Node's fetch refuses (seen with Aztec 4.1.2)",
        ),
        (
            "warning",
            "aztec_l1_consensus_urls",
            "entry 1 (https://beacon.lan) has a query in its URL, and Aztec appends the path to it (read in Aztec "
            "4.1.2)",
        ),
    ]
    keys = {"prover_node_secret_environment": {"L1_CONSENSUS_HOST_API_KEYS": "S3cretKey"}}
    assert not [one for one in verdict([execution()], [consensus()], **keys).problems if "query" in one.wrong]


def test_the_tables_show_what_was_seen() -> None:
    broken = consensus(**fault("connect", "x"), blobs=None)
    found = verdict(
        [execution()],
        [consensus(blobs={"route": "blob_sidecars", "seen": False}), broken],
        "node-1",
        aztec_l1_consensus_urls=[BEACON, "http://b.lan"],
    )
    rows = [" ".join(line.split()) for line in tables(found).splitlines()]
    assert rows[0] == "HOST COMPONENT L1 CLIENT URL CHAIN HEAD AGE DETAILS LATENCY STATUS"
    assert rows[2:5] == [
        "node-1 node, broker execution 1 https://rpc.lan:8545 11155111 block 900 8 s registry, traces (of block 880: "
        "chain too short) 120 ms ok",
        "node-1 node consensus 1 https://beacon.lan 11155111 slot 7000 - blobs (no recent ones) 200 ms ok",
        "node-1 node consensus 2 http://b.lan - - - - 200 ms FAILED",
    ]
    assert rows[6] == "HOST PUBLISHER BALANCE ENOUGH FOR"
    assert rows[8] == f"node-1 {PUBLISHER} 2 ETH not checked"


# --- traces ---

DEBUG = "https://trace.lan/S3cretPath"
# A release line that needs traces, and starts no proof that none of the publishers can pay for.
SIX = "6"


@pytest.fixture(name="six")
def fixture_six() -> dict:
    """Return the fleet on release line 6."""
    return {**FLEET, "line": SIX}


def debug(**changes) -> dict:
    """Return the answer of a client that is queried only for traces and returns them, with these changes."""
    good = {"fault": None, "refused": {}, "seconds": 0.3, "time": NOW, "chain_id": 11155111, "head": 900}
    return {**good, "traces": {"block": 880, "method": "debug_traceTransaction", "recent": ""}, **changes}


def untraced(recent: str = "", **changes) -> dict:
    """Return what differs in the answer of a client that does not trace an old transaction."""
    refused = {"traces": "refuses trace_transaction: no; refuses debug_traceTransaction: no"}
    return {"traces": {"block": 880, "method": "", "recent": recent}, "refused": refused, **changes}


def test_clients_for_traces_are_queried_once() -> None:
    """Query an execution client that is also set for traces once, and one that is not set for them for no trace."""
    queries = client_queries({**VALUES, "aztec_l1_debug_urls": [DEBUG, RPC]}, FLEET, "node-1")
    assert queries["execution"] == [{"url": RPC, "headers": {}, "traces": True}]
    assert queries["debug"] == [{"url": DEBUG, "headers": {}}]
    queries = client_queries({**VALUES, "prover_node_l1_debug_urls": [DEBUG]}, FLEET, "node-2")
    assert (queries["execution"], queries["debug"]) == ([{"url": RPC, "headers": {}}], [{"url": DEBUG, "headers": {}}])
    queries = client_queries({**VALUES, "aztec_l1_debug_urls": [DEBUG]}, FLEET, "broker-1")
    assert (queries["execution"], queries["debug"]) == ([{"url": RPC, "headers": {}}], [])


@pytest.mark.parametrize(
    ("changes", "environment", "levels", "seen"),
    [
        ({}, {}, ["", ""], "traces (of block 880: chain too short)"),
        ({"head": 3601}, {}, ["", ""], "traces"),
        ({"head": 3600}, {}, ["", ""], "traces (of block 880: chain too short)"),
        ({"traces": {"block": None, "method": "", "recent": ""}}, {}, ["", ""], "no transaction to trace"),
        (untraced(), {}, ["warning", "error"], "NO TRACES"),
        (untraced(recent="trace_transaction"), {}, ["warning", "warning"], "NO OLD TRACES"),
        (untraced(traces=None), {}, ["warning", "error"], "NO TRACES"),
        (untraced(), {"ETHEREUM_ALLOW_NO_DEBUG_HOSTS": True}, ["", ""], "NO TRACES"),
        (untraced(), {"ETHEREUM_ALLOW_NO_DEBUG_HOSTS": "1"}, ["", ""], "NO TRACES"),
        (untraced(), {"ETHEREUM_ALLOW_NO_DEBUG_HOSTS": "false"}, ["warning", "error"], "NO TRACES"),
        # Traces that were not queried are not reported, as the client has another fault.
        ({"traces": None, "head": None, "timestamp": None}, {}, ["error", "error"], "registry"),
    ],
)
def test_traces(six: dict, changes: dict, environment: dict, levels: list, seen: str) -> None:
    values = {**VALUES, "prover_node_environment": environment}
    answers = {"execution": [execution(**changes)], "consensus": [consensus()]}
    for fleet, level in zip((FLEET, six), levels):
        found = check_l1("node-2", values, fleet, answers)
        problems = [one for one in found.problems if "in its URL" not in one.wrong]
        assert [one.level for one in problems] == [level] * bool(level)
        assert found.clients[0][7].removeprefix("registry, ") == seen
        assert found.clients[0][-1] == ("FAILED" if level == "error" else "ok")
        if "refused" in changes and level:
            assert problems[0].variable == "aztec_l1_execution_urls"
            assert problems[0].wrong.startswith("entry 1 (https://rpc.lan:8545) ")
            assert problems[0].wrong.endswith(": no; refuses debug_traceTransaction: no")
            assert "aztec_l1_debug_urls" in problems[0].remedy
            assert "ETHEREUM_ALLOW_NO_DEBUG_HOSTS: true" in problems[0].remedy


def test_the_lines_on_traces(six: dict) -> None:
    answers = {"execution": [execution(**untraced())], "consensus": [consensus()]}
    (problem,) = [one for one in check_l1("node-2", VALUES, six, answers).problems if "trace" in one.wrong]
    assert problem.wrong.partition(") ")[2].startswith("does not trace transactions (of block 880, 20 blocks back): re")
    answers["execution"] = [execution(**untraced(recent="trace_transaction"))]
    (problem,) = [one for one in check_l1("node-2", VALUES, six, answers).problems if "trace" in one.wrong]
    wrong = "traces recent transactions, but not those of block 880, 20 blocks back"
    assert problem.wrong.partition(") ")[2].startswith(wrong)
    answers["execution"] = [execution(**untraced(traces=None))]
    (problem,) = [one for one in check_l1("node-2", VALUES, six, answers).problems if "trace" in one.wrong]
    assert problem.wrong.partition(") ")[2].startswith("did not return a transaction to trace: refuses trace_")


GONE = fault("connect", "cannot be reached: connection refused")
TWO = {"aztec_l1_debug_urls": [DEBUG, "https://other.lan"]}


@pytest.mark.parametrize(
    ("values", "answers", "before", "in_six"),
    [
        (TWO, [debug(), debug()], [], []),
        # Aztec queries the second if the first returns no trace.
        (TWO, [debug(**untraced()), debug()], ["warning"], ["warning"]),
        (TWO, [debug(**untraced()), debug(**untraced())], ["warning"] * 2, ["error"] * 2),
        (TWO, [debug(**untraced("trace_transaction")), debug(**untraced())], ["warning"] * 2, ["warning", "error"]),
        (TWO, [debug(**GONE, traces=None), debug()], ["warning"], ["error"]),
        ({**TWO, "aztec_l1_needed": "one"}, [debug(**GONE, traces=None), debug()], ["warning"], ["warning"]),
        (TWO, [debug(chain_id=None, traces=None), debug()], ["warning"], ["error"]),
        (TWO, [debug(head=None, traces=None), debug()], ["warning"], ["error"]),
        # A trace of another chain does not count.
        (TWO, [debug(chain_id=1), debug(**untraced())], ["error", "warning"], ["error", "error"]),
        (TWO, [debug(**untraced(chain_id=1)), debug()], ["error"], ["error"]),
        (
            {**TWO, "prover_node_environment": {"ETHEREUM_ALLOW_NO_DEBUG_HOSTS": True}},
            [debug(**GONE, traces=None), debug(**untraced())],
            ["warning"],
            ["warning"],
        ),
    ],
)
def test_one_client_that_traces_is_enough(six: dict, values: dict, answers: list, before: list, in_six: list) -> None:
    returned = {"execution": [execution(traces=None)], "consensus": [consensus()], "debug": answers}
    for fleet, levels in ((FLEET, before), (six, in_six)):
        found = check_l1("node-2", {**VALUES, **values}, fleet, returned)
        problems = [one for one in found.problems if "in its URL" not in one.wrong]
        assert [one.level for one in problems] == levels
        assert {one.variable for one in problems} <= {"aztec_l1_debug_urls"}
        assert "S3cret" not in tables(found) + repr(found.problems)
        assert [row[2] for row in found.clients[-2:]] == ["debug 1", "debug 2"]


def test_what_a_client_for_traces_is_shown_with() -> None:
    answers = {"execution": [execution(traces=None)], "consensus": [consensus()], "debug": [debug(head=9000)]}
    found = check_l1("node-2", {**VALUES, "aztec_l1_debug_urls": [DEBUG]}, FLEET, answers)
    row = ("node-2", "node", "debug 1", "https://trace.lan", "11155111", "block 9000", "-", "traces", "300 ms", "ok")
    assert found.clients[-1] == row
    assert found.clients[0][7] == "registry"


# --- what a proof's submission costs ---


def fees(base: object, priority: object = None, *rewards: int) -> dict:
    """Return fees in wei as host_info returns them."""
    known = {"base": None if base is None else str(base), "priority": None if priority is None else str(priority)}
    return {**known, "rewards": [str(one) for one in rewards]}


@pytest.mark.parametrize(
    ("returned", "changes", "wei"),
    [
        (None, {}, 0),
        (fees(0), {}, 0),
        (fees(0, 0, 0), {}, 0),
        # The base fee of the next block, rounded up.
        (fees(1000), {}, 1125),
        (fees(1001), {}, 1127),
        (fees(1), {}, 2),
        # The priority fee and a fifth.
        (fees(1000, 100), {}, 1125 + 120),
        (fees(1000, 101), {}, 1125 + 121),
        (fees(0, 100), {}, 120),
        (fees(1000, 100), {"fee_bump": 0}, 1125 + 100),
        (fees(1000, 101), {"fee_bump": 30}, 1125 + 131),
        # The median of what was paid, where it is more.
        (fees(1000, 100, 50, 70, 90), {}, 1125 + 120),
        (fees(1000, 100, 300, 100, 200), {}, 1125 + 240),
        (fees(1000, 100, 400, 100, 200, 300), {}, 1125 + 300),
        (fees(1000, None, 300), {}, 1125 + 360),
        (fees(1000, 0, 300), {}, 1125 + 360),
        # A fee above a hundred estimates is treated as an error.
        (fees(1000, 2, 1000), {}, 1125 + 240),
        (fees(1000, 2, 200), {}, 1125 + 240),
        # The operator's cap.
        (fees(1000, 100), {"max_fee": 1245}, 1245),
        (fees(1000, 100), {"max_fee": 1244}, 1244),
        (fees(3000 * GWEI), {}, 2000 * GWEI),
    ],
)
def test_the_fee_that_is_offered(returned: dict | None, changes: dict, wei: int) -> None:
    settings = replace(L1Settings(), **changes)
    assert max_fee_per_gas(returned, settings) == wei
    assert submission_cost(returned, replace(settings, submission_gas=7)) == 7 * wei


def test_settings_of_the_submission(six: dict) -> None:
    found = l1_settings({}, "testnet", [NODE])
    assert (found.submission_gas, found.max_fee, found.fee_bump) == (3_500_000, 2000 * GWEI, 20)
    assert (found.trace_level, found.needs_balance) == ("warning", False)
    values = {
        "aztec_l1_submission_gas": "1000",
        "prover_node_max_fee_gwei": "1.5",
        "prover_node_priority_fee_bump_percentage": "30",
        # Another component's environment is not the node's.
        "prover_broker_environment": {"ETHEREUM_ALLOW_NO_DEBUG_HOSTS": True},
    }
    found = l1_settings(values, "testnet", [NODE, BROKER], SIX)
    assert (found.submission_gas, found.max_fee, found.fee_bump) == (1000, 1_500_000_000, 30)
    assert (found.trace_level, found.needs_balance) == ("error", True)
    # A dry run submits nothing.
    assert l1_settings({"prover_node_dry_run": "true"}, "testnet", [NODE], SIX).needs_balance is False
    unset = {"prover_node_max_fee_gwei": "", "prover_node_priority_fee_bump_percentage": 0}
    found = l1_settings(unset, "testnet", [NODE])
    assert (found.max_fee, found.fee_bump) == (2000 * GWEI, 20)


# 3.5 million gas at 1 gwei and an eighth.
COST = 3_500_000 * 1_125_000_000
ONE_GWEI = fees(GWEI)


@pytest.mark.parametrize(
    ("balances", "starts", "levels", "shown"),
    [
        ([4 * COST], True, [], ["4 proofs"]),
        ([4 * COST - 1], True, ["warning"], ["3 proofs"]),
        ([2 * COST - 1], True, ["warning"], ["1 proof"]),
        ([COST], True, ["warning"], ["1 proof"]),
        ([COST - 1], True, ["error"], ["0 proofs"]),
        # Higher fees do not fail a run that does not change the node.
        ([COST - 1], False, ["warning"], ["0 proofs"]),
        # Aztec starts to prove when one of several can pay.
        ([COST - 1, COST], True, ["warning", "warning"], ["0 proofs", "1 proof"]),
        ([COST - 1, COST - 1], True, ["error", "error"], ["0 proofs", "0 proofs"]),
        ([COST - 1, None], True, ["error", "warning"], ["0 proofs", "not checked"]),
        ([0], False, ["error"], ["0 proofs"]),
    ],
)
def test_how_many_proofs_a_balance_pays_for(six: dict, balances: list, starts: bool, levels: list, shown: list) -> None:
    publishers = [PUBLISHER, OTHER][: len(balances)]
    held = {address: str(wei) for address, wei in zip(publishers, balances) if wei is not None}
    answers = {"execution": [execution(balances=held, fees=ONE_GWEI)], "consensus": [consensus()]}
    values = {**VALUES, "aztec_l1_balance_warn": 0}
    for fleet in ({**six, "publishers": publishers}, {**FLEET, "line": "5", "publishers": publishers}):
        found = check_l1("node-2", values, fleet, answers, starts)
        problems = [one for one in found.problems if "in its URL" not in one.wrong]
        before_six = ["error" if not wei and wei is not None else "warning" for wei, _level in zip(balances, levels)]
        assert [one.level for one in problems] == (levels if fleet["line"] == SIX else before_six)
        assert [row[3] for row in found.publishers] == shown


def test_the_lines_on_what_a_balance_pays_for() -> None:
    def line(wei: int, **values) -> str:
        return lines([execution(balances={PUBLISHER: str(wei)}, fees=ONE_GWEI)], [consensus()], **values)[0]

    each = "(0.003937 ETH each: 3500000 gas at 1.125 gwei)"
    who = f"warning | prover_node_publisher_private_key | the publisher {PUBLISHER}"
    assert line(COST - 1) == (
        f"{who} has 0.003937 ETH, not enough to submit one proof now {each} | send ETH to it, or wait for lower fees"
    )
    assert line(3 * COST) == f"{who} has 0.011812 ETH, enough for 3 proofs now {each} | send ETH to it"
    assert line(COST).startswith(f"{who} has 0.003937 ETH, enough for 1 proof now ")
    # The fixed threshold remains for those who want more.
    assert line(4 * COST) == f"{who} has 0.01575 ETH, below aztec_l1_balance_warn, 0.1 | send ETH to it"
    assert line(3 * COST, aztec_l1_balance_fail=1).startswith("error | ")
    assert "(0.001 ETH each: 2000000 gas at 0.5 gwei)" in line(
        10**15 + 1, aztec_l1_submission_gas=2_000_000, prover_node_max_fee_gwei=0.5
    )


@pytest.mark.parametrize("returned", [None, fees(None, GWEI), fees(0), fees(0, 0)])
def test_unknown_fees_are_ignored(returned: dict | None) -> None:
    answers = {"execution": [execution(fees=returned)], "consensus": [consensus()]}
    found = check_l1("node-2", VALUES, FLEET, answers)
    assert [one for one in found.problems if "in its URL" not in one.wrong] == []
    assert found.publishers == [("node-2", PUBLISHER, "2 ETH", "not checked")]
    assert found.cost == 0


def test_the_fees_are_those_of_the_client_that_is_furthest_on_the_right_chain() -> None:
    urls = {"aztec_l1_execution_urls": [f"https://{one}.lan" for one in "abcd"], "aztec_l1_balance_warn": 0}
    returned = [
        execution(head=10, fees=fees(10**6 * GWEI)),
        execution(balances={PUBLISHER: str(5 * COST)}, fees=ONE_GWEI),
        execution(head=10**7, chain_id=1, fees=fees(10**6 * GWEI)),
        execution(head=10**6, balances={}, fees=fees(None)),
    ]
    answers = {"consensus": [consensus()]}
    found = check_l1("node-2", {**VALUES, **urls}, FLEET, {**answers, "execution": returned})
    assert found.publishers[0][3] == "5 proofs"
    assert found.cost == COST


def test_whether_a_run_starts_the_node() -> None:
    def look(*containers: tuple) -> dict:
        listed = [{"state": state, "image": image} for state, image in containers]
        return {"projects": {"aztec-prover-node": {"containers": listed}}}

    values = {"aztec_version": "5.2.0", "prover_node_image": "r.lan/aztec"}
    assert will_start_node({}, values)
    assert will_start_node(look(), values)
    assert will_start_node(look(("exited", "r.lan/aztec:5.2.0")), values)
    assert will_start_node(look(("running", "r.lan/aztec:5.1.0")), values)
    assert not will_start_node(look(("running", "r.lan/aztec:5.2.0")), values)
    broker = look(("running", "r.lan/aztec:5.2.0"))["projects"]["aztec-prover-node"]
    assert will_start_node({"projects": {"aztec-prover-broker": broker}}, values)


AMOUNT = ETH // 2


@pytest.mark.parametrize(
    ("publisher", "funder", "levels", "shown"),
    [
        # While the account can pay for one top-up, an empty publisher is not a reason to stop.
        (0, AMOUNT, ["warning"], "1 top-up"),
        (COST - 1, 10 * AMOUNT, ["warning"], "10 top-ups"),
        (0, AMOUNT - 1, ["error", "warning"], "0 top-ups"),
        (9 * ETH, AMOUNT - 1, ["warning"], "0 top-ups"),
        (9 * ETH, AMOUNT, [], "1 top-up"),
        (9 * ETH, None, ["warning"], "not checked"),
    ],
)
def test_an_account_that_tops_publishers_up(
    six: dict, publisher: int, funder: int | None, levels: list, shown: str
) -> None:
    held = {PUBLISHER: str(publisher), **({OTHER: str(funder)} if funder is not None else {})}
    answers = {"execution": [execution(balances=held, fees=ONE_GWEI)], "consensus": [consensus()]}
    values = {**VALUES, "prover_node_funding_amount": "0.5"}
    found = check_l1("node-2", values, {**six, "funder": OTHER}, answers, True)
    assert [one.level for one in found.problems if "in its URL" not in one.wrong] == levels
    assert found.publishers[-1][1] == f"{OTHER} (funding account)"
    assert found.publishers[-1][3] == shown
    queries = client_queries(values, {**six, "funder": OTHER}, "node-2")
    assert queries["addresses"] == [PUBLISHER, OTHER]


def test_the_lines_on_an_account_that_tops_publishers_up(six: dict) -> None:
    held = {PUBLISHER: "0", OTHER: "1"}
    answers = {"execution": [execution(balances=held, fees=ONE_GWEI)], "consensus": [consensus()]}
    values = {**VALUES, "prover_node_funding_amount": 0.5}
    problems = check_l1("node-2", values, {**six, "funder": OTHER}, answers, True).problems
    (own,) = [one for one in problems if one.variable == "prover_node_funding_amount"]
    assert own.wrong == f"the funding account {OTHER} has less than 0.000001 ETH, and one top-up is 0.5 ETH"
    assert own.remedy == f"send ETH to {OTHER}"
    answers["execution"][0]["balances"][OTHER] = str(ETH)
    problems = check_l1("node-2", values, {**six, "funder": OTHER}, answers, True).problems
    (empty,) = [one for one in problems if "cannot pay" in one.wrong]
    assert empty.remedy == f"wait a few minutes for the node to top it up from {OTHER}, or send ETH to it"


@pytest.mark.parametrize(("threshold", "warns"), [("0", False), ("0.001", True), ("0.0039", True), ("0.004", False)])
def test_a_threshold_for_top_ups(six: dict, threshold: str, warns: bool) -> None:
    """A proof costs 0.0039375 ETH. A publisher with less, but more than the threshold, would stay without a top-up."""
    answers = {"execution": [execution(balances={PUBLISHER: str(ETH), OTHER: str(ETH)}, fees=ONE_GWEI)]}
    values = {**VALUES, "prover_node_funding_amount": 0.5, "prover_node_funding_threshold": threshold}
    answers["consensus"] = [consensus()]
    problems = check_l1("node-2", values, {**six, "funder": OTHER}, answers, True).problems
    found = [one for one in problems if one.variable == "prover_node_funding_threshold"]
    assert bool(found) == warns
    for one in found:
        wrong = f"is {ether(Decimal(threshold) * ETH)}, and one proof costs 0.003937 ETH now, so that a publisher "
        assert one.wrong == wrong + "between them gets no top-up"
        assert (one.remedy, one.level) == ("set it to 0.015751 ETH or more", "warning")


@pytest.mark.parametrize(("wei", "text"), [(10**9, "1 gwei"), (1_125_999_999, "1.125 gwei"), (1, "0 gwei")])
def test_gwei(wei: int, text: str) -> None:
    assert gwei(wei) == text


SIGNED = {
    "prover_node_key_source": "web3signer",
    "prover_node_web3signer_url": "https://signer.lan:9000/S3cretPath",
    "prover_node_publisher_addresses": [PUBLISHER],
}


def signer(**changes) -> dict:
    """Return the answer of a signer with which nothing is wrong, with these changes."""
    return {"fault": None, "refused": {}, "seconds": 0.01, "time": NOW, "known": [PUBLISHER], "up": None, **changes}


def signed(answer: dict, **values):
    """Check the answer of a signer together with those of good clients."""
    answers = {"execution": [execution()], "consensus": [consensus()], "signer": [answer]}
    found = check_l1("node-2", {**VALUES, **SIGNED, **values}, FLEET, answers)
    assert "S3cret" not in tables(found) + repr(found.problems)
    return found


def test_a_signer_that_knows_the_publishers() -> None:
    found = signed(signer())
    assert [one for one in found.problems if "signer" in one.wrong] == []
    row = ("node-2", "node", "signer", "https://signer.lan:9000", "-", "-", "-", "1 of 1 accounts", "10 ms", "ok")
    assert found.clients[-1] == row


@pytest.mark.parametrize(
    ("answer", "variable", "line"),
    [
        (
            signer(**fault("connect", "cannot be reached: connection refused"), known=None),
            "prover_node_web3signer_url",
            "the signer (https://signer.lan:9000) cannot be reached: connection refused | correct the URL, or fix the",
        ),
        (
            signer(**fault("key", "answers 401 Unauthorized"), known=None),
            "prover_node_web3signer_url",
            "the signer (https://signer.lan:9000) answers 401 Unauthorized | correct the token in the URL",
        ),
        (
            signer(known=None, refused={"accounts": "answers with HTML and not with JSON"}, up=False),
            "prover_node_web3signer_url",
            "the signer (https://signer.lan:9000) is not a Web3Signer: it answers with HTML and not with JSON | set",
        ),
        (
            signer(known=None, refused={"accounts": "answers 404 Not Found"}, up=True),
            "prover_node_web3signer_url",
            "the signer (https://signer.lan:9000) is a Web3Signer but does not sign for Ethereum: answers 404 Not",
        ),
        (
            signer(known=[]),
            "prover_node_publisher_addresses",
            f"the signer (https://signer.lan:9000) does not have the key of the publisher {PUBLISHER} | load its key",
        ),
    ],
)
def test_one_thing_wrong_with_a_signer(answer: dict, variable: str, line: str) -> None:
    found = signed(answer)
    (problem,) = [one for one in found.problems if "signer" in one.wrong]
    assert (problem.level, problem.variable) == ("error", variable)
    assert f"{problem.wrong} | {problem.remedy}".startswith(line)
    assert found.clients[-1][-1] == "FAILED"
    assert {one.level for one in signed(answer, aztec_l1_checks="warn").problems} == {"warning"}


def test_a_signer_that_does_not_know_the_account_that_tops_up() -> None:
    answers = {"execution": [execution()], "consensus": [consensus()], "signer": [signer()]}
    found = check_l1("node-2", {**VALUES, **SIGNED}, {**FLEET, "funder": OTHER}, answers)
    (problem,) = [one for one in found.problems if "signer" in one.wrong]
    wrong = f"the signer (https://signer.lan:9000) does not have the key of the funding account {OTHER}"
    assert (problem.variable, problem.wrong) == ("prover_node_funding_account_address", wrong)
    assert found.clients[-1][-3] == "1 of 2 accounts"


def test_only_the_node_s_host_queries_the_signer_and_only_if_it_signs() -> None:
    url = SIGNED["prover_node_web3signer_url"]
    assert client_queries({**VALUES, **SIGNED}, FLEET, "node-1")["signer"] == [{"url": url, "headers": {}}]
    assert client_queries({**VALUES, **SIGNED}, FLEET, "broker-1")["signer"] == []
    other = {**SIGNED, "prover_node_key_source": "env"}
    assert client_queries({**VALUES, **other}, FLEET, "node-1")["signer"] == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (90 * 86400, "90 d")]
)
def test_span(seconds: int, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("wei", "text"),
    [("0", "0 ETH"), ("1", "less than 0.000001 ETH"), (str(ETH), "1 ETH"), ("10000" + "0" * 18, "10000 ETH")],
)
def test_ether(wei: str, text: str) -> None:
    assert ether(wei) == text
