# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host asks of the L1, and what is said of the answers."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1_checks import (
    check_l1,
    ether,
    l1_questions,
    l1_tables,
    settings_of,
    sources_of,
    span,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.networks import NETWORKS

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
    """Give the answer of an execution client with which nothing is wrong, with these changes."""
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
    }
    return {**good, **changes}


def consensus(**changes) -> dict:
    """Give the answer of a consensus client with which nothing is wrong, with these changes."""
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


def verdict(execution_answers: list, consensus_answers: list, host: str = "node-2", **values):
    """Judge these answers."""
    answers = {"execution": execution_answers, "consensus": consensus_answers}
    found = check_l1(host, {**VALUES, **values}, FLEET, answers)
    shown = l1_tables(found.clients, found.publishers) + repr(found.problems)
    assert "S3cret" not in shown
    return found


def lines(execution_answers: list, consensus_answers: list, host: str = "node-2", **values) -> list:
    """Give the problems of these answers as texts, without those on the URL itself."""
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
        "entry 1 (https://rpc.lan:8545) cannot be reached: connection refused | correct the URL, or mend the way there",
    ),
    (
        execution(**fault("timeout", "gives no answer within 10 s")),
        "gives no answer within 10 s | correct the URL, mend",
    ),
    (execution(**fault("tls", "its certificate is not trusted: x")), "not trusted: x | give the server a certificate"),
    (execution(**fault("key", "answers 401 Unauthorized")), "answers 401 Unauthorized | correct the API key"),
    (execution(**fault("limit", "answers 429 Too Many Requests")), "429 Too Many Requests | raise the plan's limit"),
    (
        execution(**fault("redirect", "answers 301, a redirect to https://b.lan")),
        "to https://b.lan | write down the URL",
    ),
    (execution(**fault("url", "cannot be asked")), "cannot be asked | write what is special in it with %"),
    (
        execution(**fault("other", "answers with HTML and not with JSON")),
        "answers with HTML and not with JSON | give the URL of an execution client (JSON-RPC)",
    ),
    (
        execution(**fault("http", "answers 502 Bad Gateway")),
        "answers 502 Bad Gateway | give the URL of an execution cl",
    ),
    (
        execution(chain_id=None, refused={"chain_id": "refuses eth_chainId: no such method"}),
        "refuses eth_chainId: no such method | give the URL of an execution client (JSON-RPC)",
    ),
    (execution(chain_id=None), "does not tell its chain | give the URL of an execution client"),
    (
        execution(chain_id=1),
        "is on chain 1, that of mainnet, and testnet on 11155111 | give a URL on that chain, or correct aztec_network",
    ),
    (execution(chain_id=31337), "is on chain 31337, and testnet on 11155111 | give a URL on that chain"),
    (
        execution(syncing={"current": 5, "highest": 900}),
        "is syncing, block 5 of 900 | wait until it is in sync, or give another URL",
    ),
    (execution(syncing={"current": None, "highest": None}), "(https://rpc.lan:8545) is syncing | wait"),
    (
        execution(timestamp=NOW - 7300),
        "its newest block, 900, is 2 h old, over 5 min | see why it no longer follows its chain (or this host's clock",
    ),
    (
        execution(timestamp=NOW + 3600),
        "its newest block is 60 min ahead of this host's clock | set the host's clock: Aztec compares the two",
    ),
    (execution(timestamp=None, head=None), "does not tell its newest block | give the URL of a client with the eth"),
    (
        execution(code_bytes=0),
        f"has no contract at {REGISTRY}, where the registry has to be | correct aztec_network (or aztec_l1_registry)",
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
        f"{where} refuses eth_getCode | give another URL",
        f"{where} refuses eth_syncing: nobody knows whether it syncs | see to it yourself",
    ]


def test_a_head_within_its_age_is_well() -> None:
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
        "answers 404 Not Found | give the URL of a consensus client (Beacon API)",
    ),
    (consensus(head=None), "error", "does not tell its head | give the URL of a consensus client (Beacon API)"),
    (
        consensus(head=None, refused={"head": "answers 503 at /eth/v1/beacon/headers"}),
        "error",
        "answers 503 at /eth/v1/beacon/headers | give the URL of a consensus client",
    ),
    (consensus(chain_id=1), "error", "is on chain 1, that of mainnet, and testnet on 11155111 | give a URL on that"),
    (
        consensus(sync={"is_syncing": True, "distance": 4000}),
        "error",
        "is syncing, 4000 slots behind | wait until it is",
    ),
    (consensus(sync={"distance": 33}), "error", "is syncing, 33 slots behind | wait"),
    (consensus(sync={"el_offline": True}), "warning", "its own execution client is offline | see to that client"),
    (consensus(sync={"is_optimistic": True}), "warning", "follows its chain unchecked, for its own execution client"),
    (
        {**consensus(), "sync": None, "refused": {"sync": "answers 405 at /eth/v1/node/syncing"}},
        "warning",
        "answers 405 at /eth/v1/node/syncing: nobody knows whether it is in sync | see to it yourself",
    ),
    (
        consensus(blobs=None, refused={"blobs": "answers 500 at /x: Insufficient data columns"}),
        "error",
        "serves no blobs: answers 500 at /x: Insufficient data columns | since Fusaka only a supernode or",
    ),
    (
        consensus(blobs={"route": "blob_sidecars", "seen": False}, custody_groups=4),
        "warning",
        "keeps 4 of 128 parts of each blob, and blobs want 64 | since Fusaka only a supernode",
    ),
    (
        consensus(blobs={"route": "blobs", "seen": True}),
        "warning",
        "serves blobs at /eth/v1/beacon/blobs alone | Aztec up to 4.1 asks /eth/v1/beacon/blob_sidecars",
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
def test_consensus_clients_that_are_well(answer: dict) -> None:
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


def test_a_balance_that_nobody_tells_is_said_so() -> None:
    found = lines([execution(balances={}, refused={"balance": "refuses eth_getBalance"})], [consensus()])
    assert found == [
        f"warning | prover_node_publisher_private_key | the balance of the publisher {PUBLISHER} was not checked: "
        "no execution client told it | see the lines on the execution clients"
    ]


def test_a_broker_s_host_asks_its_execution_clients_and_no_balance() -> None:
    asked = json.loads(l1_questions(VALUES, FLEET, "broker-1"))
    assert [one["url"] for one in asked["execution"]] == [RPC]
    assert asked["consensus"] == asked["addresses"] == []
    assert verdict([execution(balances={})], [], "broker-1").publishers == []
    assert lines([execution(balances={})], [], "broker-1") == []


def test_nothing_is_asked_from_an_agent_s_host_nor_when_it_is_ignored() -> None:
    assert l1_questions(VALUES, FLEET, "agent-1") == ""
    assert l1_questions({**VALUES, "aztec_l1_checks": "ignore"}, FLEET, "node-1") == ""
    assert check_l1("node-1", {**VALUES, "aztec_l1_checks": "ignore"}, FLEET, None).problems == []
    assert check_l1("agent-1", VALUES, FLEET, None).problems == []


def test_questions_of_node_and_broker_on_one_host() -> None:
    asked = json.loads(l1_questions(VALUES, FLEET, "node-1"))
    assert asked == {
        "execution": [{"url": RPC, "headers": {}}],
        "consensus": [{"url": BEACON, "headers": {}}],
        "signer": [],
        "registry": REGISTRY,
        "addresses": [PUBLISHER],
        "seconds": 10,
    }
    apart = {**VALUES, "prover_broker_l1_execution_urls": ["http://own.lan"]}
    assert [one["url"] for one in json.loads(l1_questions(apart, FLEET, "node-1"))["execution"]] == [
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
    assert json.loads(l1_questions(values, FLEET, "node-2"))["consensus"] == [{"url": url, "headers": headers}]


def test_api_keys_go_by_the_place_of_their_url() -> None:
    values = {
        "aztec_l1_consensus_urls": ["https://a.lan", "https://b.lan?x=1", "https://c.lan"],
        "prover_node_secret_environment": {"L1_CONSENSUS_HOST_API_KEYS": ",two,three"},
        "aztec_environment": {"L1_CONSENSUS_HOST_API_KEY_HEADERS": ",,X-Three"},
    }
    assert [(one.url, dict(one.headers)) for one in sources_of(values, [NODE])] == [
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
        # Another chain's is taken up as soon as the first one fails.
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


def test_what_is_not_known_is_not_guessed_and_said_so() -> None:
    elsewhere = {**FLEET, "network": "staging"}
    answers = {"execution": [execution(chain_id=77, code_bytes=None)], "consensus": [consensus(chain_id=77)]}
    problems = [one for one in check_l1("node-2", VALUES, elsewhere, answers).problems if "in its URL" not in one.wrong]
    assert [(one.level, one.variable, one.wrong, one.remedy) for one in problems] == [
        (
            "warning",
            "aztec_l1_chain_id",
            "the L1's chain was not checked, for 'staging' is not known here",
            "set aztec_l1_chain_id",
        ),
        (
            "warning",
            "aztec_l1_registry",
            "the L1's registry was not checked, for 'staging' is not known here",
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
        # The known registry is on the known chain alone.
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
    found = settings_of(values, network, [NODE])
    assert (found.chain_id, found.registry) == (chain, registry)


def test_settings_by_default_and_by_hand() -> None:
    found = settings_of({}, "testnet", [NODE])
    assert (found.checks, found.needed, found.seconds, found.max_head_age) == ("fail", "all", 10, 300)
    assert (found.balance_warn, found.balance_fail) == (Decimal("0.1"), 0)
    found = settings_of({"aztec_l1_timeout": "3", "aztec_l1_balance_fail": 0.05}, "testnet", [NODE])
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
            "entry 1 (https://beacon.lan) has a query in its URL, behind which Aztec puts the path (read in Aztec "
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
    rows = [" ".join(line.split()) for line in l1_tables(found.clients, found.publishers).splitlines()]
    assert rows[0] == "HOST FOR L1 CLIENT AT CHAIN HEAD AGE HAS TOOK STATE"
    assert rows[2:5] == [
        "node-1 node, broker execution 1 https://rpc.lan:8545 11155111 block 900 8 s registry 120 ms ok",
        "node-1 node consensus 1 https://beacon.lan 11155111 slot 7000 - blobs (none made of late) 200 ms ok",
        "node-1 node consensus 2 http://b.lan - - - - 200 ms WRONG",
    ]
    assert rows[6] == "HOST PUBLISHER BALANCE"
    assert rows[8] == f"node-1 {PUBLISHER} 2 ETH"
    assert l1_tables([], []) == ""


SIGNED = {
    "prover_node_key_source": "web3signer",
    "prover_node_web3signer_url": "https://signer.lan:9000/S3cretPath",
    "prover_node_publisher_addresses": [PUBLISHER],
}


def signer(**changes) -> dict:
    """Give the answer of a signer with which nothing is wrong, with these changes."""
    return {"fault": None, "refused": {}, "seconds": 0.01, "time": NOW, "known": [PUBLISHER], "up": None, **changes}


def signed(answer: dict, **values):
    """Judge the answer of a signer beside those of good clients."""
    answers = {"execution": [execution()], "consensus": [consensus()], "signer": [answer]}
    found = check_l1("node-2", {**VALUES, **SIGNED, **values}, FLEET, answers)
    assert "S3cret" not in l1_tables(found.clients, found.publishers) + repr(found.problems)
    return found


def test_a_signer_that_knows_the_publishers() -> None:
    found = signed(signer())
    assert [one for one in found.problems if "signer" in one.wrong] == []
    row = ("node-2", "node", "signer", "https://signer.lan:9000", "-", "-", "-", "1 of 1 publishers", "10 ms", "ok")
    assert found.clients[-1] == row


@pytest.mark.parametrize(
    ("answer", "variable", "line"),
    [
        (
            signer(**fault("connect", "cannot be reached: connection refused"), known=None),
            "prover_node_web3signer_url",
            "the signer (https://signer.lan:9000) cannot be reached: connection refused | correct the URL, or mend the",
        ),
        (
            signer(**fault("key", "answers 401 Unauthorized"), known=None),
            "prover_node_web3signer_url",
            "the signer (https://signer.lan:9000) answers 401 Unauthorized | correct the token in the URL",
        ),
        (
            signer(known=None, refused={"accounts": "answers with HTML and not with JSON"}, up=False),
            "prover_node_web3signer_url",
            "the signer (https://signer.lan:9000) is no signer: it answers with HTML and not with JSON | give the UR",
        ),
        (
            signer(known=None, refused={"accounts": "answers 404 Not Found"}, up=True),
            "prover_node_web3signer_url",
            "the signer (https://signer.lan:9000) is a Web3Signer but does not sign for Ethereum: answers 404 Not",
        ),
        (
            signer(known=[]),
            "prover_node_publisher_addresses",
            f"the signer (https://signer.lan:9000) does not know the publisher {PUBLISHER} | load its key into",
        ),
    ],
)
def test_one_thing_wrong_with_a_signer(answer: dict, variable: str, line: str) -> None:
    found = signed(answer)
    (problem,) = [one for one in found.problems if "signer" in one.wrong]
    assert (problem.level, problem.variable) == ("error", variable)
    assert f"{problem.wrong} | {problem.remedy}".startswith(line)
    assert found.clients[-1][-1] == "WRONG"
    assert {one.level for one in signed(answer, aztec_l1_checks="warn").problems} == {"warning"}


def test_the_signer_is_asked_by_the_node_s_host_alone_and_only_where_it_signs() -> None:
    url = SIGNED["prover_node_web3signer_url"]
    assert json.loads(l1_questions({**VALUES, **SIGNED}, FLEET, "node-1"))["signer"] == [{"url": url, "headers": {}}]
    assert json.loads(l1_questions({**VALUES, **SIGNED}, FLEET, "broker-1"))["signer"] == []
    other = {**SIGNED, "prover_node_key_source": "env"}
    assert json.loads(l1_questions({**VALUES, **other}, FLEET, "node-1"))["signer"] == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (90 * 86400, "90 d")]
)
def test_span(seconds: int, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("wei", "text"),
    [("0", "0 ETH"), ("1", "less than 0.000001 ETH"), (str(ETH), "1 ETH"), ("10000" + "0" * 18, "10000 ETH")],
)
def test_ether(wei: str, text: str) -> None:
    assert ether(wei) == text
