# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wrong inventories, each with the line that it gets, over the roles' real specifications."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import (
    read_specs,
    unknown_variables,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import UnresolvedValue
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.plain_secrets import Search, Text
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import (
    Problem,
    merge_problems,
    problem_table,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_inventory
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import ethereum

SPECS = read_specs(Path(__file__).resolve().parents[5] / "roles")
KEY = "0x" + "ab" * 32
OWNER = "0xe239cdc5fbe977a8a141B72194D3CF8c41bC5BC6"
GONE = object()  # as a value: the variable is taken out
NAMES = {"node.lan": ["10.0.0.10"], "both.lan": ["10.0.0.21", "fd00::21"], "loop.lan": ["127.0.0.1"]}


def resolve_one(name: str) -> list:
    """Answer as DNS would, without asking any."""
    if name not in NAMES:
        raise ValueError("does not resolve")
    return NAMES[name]


def good() -> tuple:
    """Give an inventory with nothing wrong: node and broker on one host, two agents."""
    wide = {
        "aztec_version": "4.1.2",
        "aztec_network": "testnet",
        "aztec_l1_execution_urls": ["https://user:S3cretPass@rpc.mine.net/v3/S3cretPath?key=S3cretQuery"],
        "aztec_l1_consensus_urls": ["http://10.0.0.5:5052"],
        "prover_node_publisher_private_key": KEY,
        "my_own_variable": 1,
        "vault_prover_node_publisher_private_key": KEY,
    }
    hosts = {
        "node-1": {**wide, "ansible_host": "9.9.9.9", "aztec_address": "10.0.0.10"},
        "agent-1": {**wide, "ansible_host": "9.9.9.21", "aztec_address": "10.0.0.21"},
        "agent-2": {**wide, "ansible_host": "9.9.9.22", "aztec_address": "10.0.0.22"},
    }
    groups = {"prover_node": ["node-1"], "prover_broker": ["node-1"], "prover_agent": ["agent-1", "agent-2"]}
    return hosts, groups


def checked(node: dict | None = None, agent: dict | None = None, groups: dict | None = None) -> list:
    """Give the lines for the good inventory with these changes to node-1, to agent-1 and to the groups."""
    hosts, inventory_groups = good()
    for host, changes in (("node-1", node), ("agent-1", agent)):
        hosts[host].update(changes or {})
        hosts[host] = {name: value for name, value in hosts[host].items() if value is not GONE}
    inventory_groups.update(groups or {})
    problems, fleet = check_inventory(hosts, inventory_groups, SPECS, None, resolve_one)
    assert (fleet is None) == bool(problems)
    text = problem_table(problems)
    for secret in ("S3cret", KEY[2:20], KEY[-12:], str(int(KEY, 16))[:12]):
        assert secret not in text
    return [" | ".join((problem.host, problem.variable, problem.wrong, problem.remedy)) for problem in problems]


def test_the_good_one() -> None:
    assert checked() == []


def test_the_mnemonic_that_is_kept_for_backup_is_known() -> None:
    words = {"prover_node_publisher_mnemonic": "S3cret words"}
    assert checked(words, words) == []


def plain(node: dict) -> list:
    """Give the lines for the good inventory whose key and URL are in clear text, with these changes to node-1."""
    hosts, groups = good()
    hosts["node-1"].update(node)
    search = Search([Text("main.yml", f"key: {KEY}\nurl: https://user:S3cretPass@rpc.mine.net\n")])
    problems, fleet = check_inventory(hosts, groups, SPECS, None, resolve_one, search=search)
    assert (fleet is None) == any(problem.level == "error" for problem in problems)
    # The agents have the URL too, and the key is not theirs.
    assert {one.variable for one in problems if one.host != "node-1"} == {"aztec_l1_execution_urls"}
    return sorted(f"{one.level} {one.variable} {one.wrong}" for one in problems if one.host == "node-1")


def test_secrets_in_clear_text() -> None:
    key = "prover_node_publisher_private_key is in clear text in main.yml, line 1"
    url = "aztec_l1_execution_urls the key in entry 1 is in clear text in main.yml, line 2"
    assert plain({}) == [f"warning {url}", f"warning {key}"]
    assert plain({"aztec_plain_secrets": "fail"}) == [f"error {url}", f"error {key}"]
    assert plain({"aztec_plain_secrets": "ignore"}) == []
    assert (
        plain({"aztec_l1_execution_urls": ["https://rpc.mine.net"], "prover_node_publisher_private_key": OTHER}) == []
    )


OTHER = "0x" + "cd" * 32


PRIVATE_KEY, ID, P2P = "prover_node_publisher_private_key", "prover_node_prover_id", "prover_node_p2p_ip"

FINE = [
    {"prover_agent_count": "auto"},
    {"prover_agent_count": 2},
    {"prover_agent_count": "2"},
    {"aztec_version": "v4.1.2"},
    {"prover_node_p2p_port": "40401"},
    {P2P: "10.0.0.10", "prover_node_allow_private_p2p_ip": True},
    {P2P: "10.0.0.10", "prover_node_allow_private_p2p_ip": "true"},
    {"aztec_address": "8.8.8.8", "aztec_allow_public_broker": True},
    {"aztec_address": "node.lan"},
    {"aztec_address6": "[fd00::10]"},
    {"aztec_address6": "fd00::10", "aztec_docker_ipv6_subnet": ""},
    {"aztec_admit": ["0.0.0.0/0"], "aztec_allow_public_broker": True},
    {"aztec_admit": ["10.0.9.0/24", "fd00::/64", "10.0.0.7"]},
    {"aztec_image": "registry.lan:5000/aztec"},
    {"aztec_image_digest": "sha256:" + "0a" * 32},
    {PRIVATE_KEY: KEY[2:]},
    {ID: OWNER.lower()},
    {ID: ""},
    {"prover_node_restart_policy": "no"},
    {"aztec_environment": {"A": 1, "B": True, "_C": "x"}},
    {"prover_node_broker_host": "broker.lan", "prover_node_broker_port": 8443},
    {"aztec_docker_ipv6_subnet": "fd00:1::/64"},
    {"preflight_fleet": {}, "ansible_user": "me"},
    {"vault_aztec_version": "1", "our_prover_agent_count": 3},
]


def test_a_broker_of_ipv6_alone() -> None:
    """Agents with IPv4 alone do not reach it."""
    found = checked(node={"aztec_address": "fd00::10"})
    assert [line.split(" | ")[0] for line in found] == ["agent-1", "agent-2"]
    wrong, remedy = found[0].split(" | ")[2:]
    assert wrong == "has no IPv6 address, and the broker on node-1 has no other"
    assert remedy == "set aztec_address6 of this host, or set an IPv4 address in aztec_address of node-1"


@pytest.mark.parametrize("changes", FINE)
def test_fine(changes: dict) -> None:
    assert checked(node=changes) == []


def everywhere(**changes) -> list:
    """Return each (level, variable, wrong, remedy) once for the good inventory with these changes on every host."""
    hosts, groups = good()
    for values in hosts.values():
        values.update(changes)
    problems, _fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
    assert not any("S3cret" in one.wrong + one.remedy for one in problems)
    return list(dict.fromkeys((one.level, one.variable, one.wrong, one.remedy) for one in problems))


def test_a_later_release_line() -> None:
    """aztec_release_line, and a component's own, say which known line an unknown one is treated as."""
    unknown = "the release line 7.0 is not known: choose a version of 2.1.x, 4.x, 5.x, 6.x, or name in aztec_release"
    ((level, variable, wrong, remedy),) = everywhere(aztec_version="7.0.0")
    assert (level, variable) == ("error", "aztec_version")
    assert f"{wrong}: {remedy}".startswith(unknown)
    assert everywhere(aztec_version="7.0.0", aztec_release_line="6") == []
    own = dict.fromkeys(("prover_node_release_line", "prover_broker_release_line", "prover_agent_release_line"), "6")
    assert everywhere(aztec_version="7.0.0", **own) == []
    assert everywhere(aztec_version="7.0.0", aztec_release_line="8") == [
        ("error", "aztec_release_line", "'8' is not a known release line", "choose one of 2.1, 4, 5, 6")
    ]
    assert everywhere(aztec_version="6.0.0", aztec_release_line="5") == [
        ("error", "aztec_release_line", "the version 6.0.0 is of the line 6, not 5", "remove aztec_release_line")
    ]


@pytest.mark.parametrize(
    ("version", "image", "own"),
    [
        ("6.0.0", "aztecprotocol/aztec", "azteclabs/aztec"),
        ("6.0.0", "docker.io/aztecprotocol/aztec-prover-agent", "azteclabs/aztec-prover-agent"),
        ("5.2.0", "azteclabs/aztec", "aztecprotocol/aztec"),
        ("4.1.2", "azteclabs/aztec-prover-agent", "aztecprotocol/aztec-prover-agent"),
    ],
)
def test_the_other_organization_s_image(version: str, image: str, own: str) -> None:
    line, other = version[0], "aztecprotocol" if version[0] == "6" else "azteclabs"
    assert everywhere(aztec_version=version, aztec_image=image) == [
        ("error", "aztec_image", f"{other} does not publish release line {line}", f"set it to {own}, or remove it")
    ]


@pytest.mark.parametrize(
    ("version", "image"),
    [
        ("6.0.0", "azteclabs/aztec"),
        ("6.0.0", ""),
        ("6.0.0", "registry.lan:5000/aztecprotocol/aztec"),
        ("5.2.0", "docker.io/aztecprotocol/aztec"),
        ("5.2.0", "mine/aztec"),
    ],
)
def test_images_that_pass(version: str, image: str) -> None:
    assert everywhere(aztec_version=version, aztec_image=image) == []


@pytest.mark.parametrize(
    ("version", "name", "instead"),
    [
        ("6.0.0", "ACVM_BINARY_PATH", "NOIR_EXECUTE_BINARY_PATH"),
        ("6.0.0", "ACVM_WORKING_DIRECTORY", "NOIR_EXECUTE_WORKING_DIRECTORY"),
        ("5.2.0", "NOIR_EXECUTE_BINARY_PATH", "ACVM_BINARY_PATH"),
        ("4.1.2", "NOIR_EXECUTE_WORKING_DIRECTORY", "ACVM_WORKING_DIRECTORY"),
        ("2.1.5", "NOIR_EXECUTE_BINARY_PATH", "ACVM_BINARY_PATH"),
    ],
)
def test_names_that_a_line_does_not_read(version: str, name: str, instead: str) -> None:
    wrong = f"contains {name}, which release line {'2.1' if version == '2.1.5' else version[0]} does not read"
    remedy = f"remove it, or rename it to {instead}; the image sets it already"
    line = [("error", "aztec_environment", wrong, remedy)]
    assert everywhere(aztec_version=version, aztec_environment={name: "/x"}) == line
    assert everywhere(aztec_version=version, prover_node_environment={name: "/x"}) == [
        ("error", "prover_node_environment", wrong, remedy)
    ]
    assert everywhere(aztec_version=version, aztec_environment={instead: "/x"}) == []


ENDS = "Aztec exits at start if it differs"
OVERRIDE = "ALLOW_OVERRIDING_NETWORK_CONFIG: true next to it overrides this check"


@pytest.mark.parametrize(
    ("network", "environment", "lines"),
    [
        ("mainnet", {"AZTEC_EPOCH_DURATION": 32, "ETHEREUM_SLOT_DURATION": "12", "L1_CHAIN_ID": 1}, []),
        ("mainnet", {"AZTEC_EPOCH_DURATION": ""}, []),
        (
            "mainnet",
            {"AZTEC_EPOCH_DURATION": 16},
            [("error", f"contains AZTEC_EPOCH_DURATION, which on mainnet is 32; {ENDS}")],
        ),
        ("testnet", {"L1_CHAIN_ID": 1}, [("error", f"contains L1_CHAIN_ID, which on testnet is 11155111; {ENDS}")]),
        (
            "mainnet",
            {"SLASH_UNKNOWN_PENALTY": 0},
            [("warning", f"contains SLASH_UNKNOWN_PENALTY, and {ENDS} from the value of mainnet")],
        ),
        # A warning hides no error, in whatever order they are written.
        (
            "mainnet",
            {"L1_CHAIN_ID": 5, "SEQ_BLOCK_DURATION_MS": 1},
            [
                ("error", f"contains L1_CHAIN_ID, which on mainnet is 1; {ENDS}"),
                ("warning", f"contains SEQ_BLOCK_DURATION_MS, and {ENDS} from the value of mainnet"),
            ],
        ),
        (
            "mainnet",
            {"L1_CHAIN_ID": 31337, "NETWORK_CONFIG_LOCATION": "https://x.lan/networks.json"},
            [("warning", f"contains L1_CHAIN_ID, and {ENDS} from the value of mainnet")],
        ),
        (
            "next-net",
            {"AZTEC_SLOT_DURATION": 36},
            [("warning", f"contains AZTEC_SLOT_DURATION, and {ENDS} from the value of next-net")],
        ),
    ],
)
def test_consensus_settings(network: str, environment: dict, lines: list) -> None:
    given = {"aztec_network": network, "prover_node_environment": environment}
    found = everywhere(aztec_version="6.0.0", **given)
    assert sorted((level, wrong) for level, _variable, wrong, _remedy in found) == lines
    assert all(remedy.endswith(OVERRIDE) for _level, _variable, _wrong, remedy in found)
    # Before 5 nothing compares them.
    assert network == "next-net" or everywhere(**given) == []
    for allowed in (True, "1", "TRUE"):
        given["prover_node_environment"] = {**environment, "ALLOW_OVERRIDING_NETWORK_CONFIG": allowed}
        assert everywhere(aztec_version="6.0.0", **given) == []
    given["prover_node_environment"] = {**environment, "ALLOW_OVERRIDING_NETWORK_CONFIG": False}
    assert len(everywhere(aztec_version="5.2.0", **given)) == len(lines)


def test_after_a_warning_a_variable_is_still_checked() -> None:
    """A secret in clear text is reported besides the consensus setting in the same variable."""
    hosts, groups = good()
    for values in hosts.values():
        values.update(aztec_version="6.0.0", aztec_plain_secrets="fail")
    secret = {"SLASH_UNKNOWN_PENALTY": 0, "L1_CONSENSUS_HOST_API_KEYS": "S3cretHeader"}
    hosts["node-1"]["prover_node_secret_environment"] = secret
    search = Search([Text("main.yml", "L1_CONSENSUS_HOST_API_KEYS: S3cretHeader\n")])
    problems, _fleet = check_inventory(hosts, groups, SPECS, None, resolve_one, search=search)
    assert [one.level for one in problems if one.variable == "prover_node_secret_environment"] == ["warning", "error"]


@pytest.mark.parametrize(
    ("version", "name", "value", "since"),
    [
        ("2.1.5", "aztec_l1_debug_urls", ["https://traces.lan"], "2.1.9"),
        ("4.0.3", "prover_node_admin_api_key_hash", "ab" * 32, "4.1.0"),
        ("4.0.3", "prover_node_blob_file_store_urls", ["s3://bucket/b"], "4.1.0"),
        ("2.1.5", "prover_node_tx_file_store_urls", ["s3://bucket/t"], "4.1.0"),
        ("2.1.10", "prover_node_dry_run", True, "2.1.11"),
        ("2.1.11", "aztec_proof_store", "s3://bucket/p", "4.0.0"),
        ("2.1.11", "prover_agent_proof_store", "s3://bucket/p", "4.0.0"),
    ],
)
def test_options_that_a_release_does_not_read(version: str, name: str, value: object, since: str) -> None:
    wrong = f"is read from release {since} on, and {version} ignores it"
    remedy = "remove it, or set aztec_version to a release that reads it"
    assert everywhere(aztec_version=version, **{name: value}) == [("error", name, wrong, remedy)]
    assert everywhere(aztec_version=since, **{name: value}) == []


@pytest.mark.parametrize(
    ("network", "url", "other"),
    [
        ("mainnet", "https://snapshots.lan/testnet/S3cret", "testnet"),
        ("mainnet", "https://testnet-snapshots.lan/aztec", "testnet"),
        ("testnet", "https://snapshots.lan/mainnet/", "mainnet"),
        ("testnet", "s3://bucket/devnet/x", "devnet"),
        ("mainnet", "s3://aztec-testnet/x", "testnet"),
        ("testnet", "gs://devnet/x", "devnet"),
        ("testnet", "s3://bucket-devnet/x", None),
        ("devnet", "https://snapshots.lan/v4-devnet-2/", "v4-devnet-2"),
        ("v6-devnet-1", "https://snapshots.lan/v6-devnet-2/", "v6-devnet-2"),
        ("v6-devnet-1", "https://snapshots.lan/v6-devnet-1/", None),
        # What is in no name of a host, a bucket or a folder says nothing.
        ("mainnet", "https://files.staging.mine.net/aztec", None),
        ("mainnet", "https://user:testnet@mine.net/aztec", None),
        ("mainnet", "https://mine.net/aztec?of=testnet", None),
        ("testnet", "https://mainnet.lan/testnet/", None),
        ("testnet", "https://snapshots.lan/aztec", None),
    ],
)
def test_snapshots_of_another_network(network: str, url: str, other: str | None) -> None:
    found = everywhere(aztec_version="6.0.0", aztec_network=network, prover_node_snapshot_urls=["s3://own/x", url])
    wrong = f"entry 2 is a snapshot of {other}, but the network is {network}"
    remedy = f"set the URL of {network}'s snapshots, or remove it"
    assert found == ([("error", "prover_node_snapshot_urls", wrong, remedy)] if other else [])


def test_snapshots_that_are_never_read() -> None:
    given = {"prover_node_snapshot_urls": ["https://snapshots.lan/x"], "prover_node_sync_mode": "full"}
    wrong = "is set, and prover_node_sync_mode: full downloads no snapshot"
    assert everywhere(**given) == [("error", "prover_node_snapshot_urls", wrong, "remove one of the two")]
    assert everywhere(**{**given, "prover_node_sync_mode": "force-snapshot"}) == []


FUNDING = {
    "aztec_version": "6.0.0",
    "prover_node_funding_account_private_key": "0x" + "cd" * 32,
    "prover_node_funding_threshold": 0.5,
    "prover_node_funding_amount": "1",
}
FUNDER = "prover_node_funding_account_private_key"


def test_an_account_that_tops_the_publishers_up() -> None:
    assert everywhere(**FUNDING) == []
    names = "prover_node_funding_account_private_key, prover_node_funding_threshold, prover_node_funding_amount"
    for name, first in ((FUNDER, "prover_node_funding_threshold"), ("prover_node_funding_amount", FUNDER)):
        found = everywhere(**{**FUNDING, name: 0 if name.endswith("amount") else ""})
        assert found == [("error", name, f"is not set, but {first} is", f"set all three or none: {names}")]
    publisher = everywhere(**{**FUNDING, FUNDER: KEY})
    wrong = "is one of the publishers, which cannot top itself up"
    assert publisher == [("error", FUNDER, wrong, "set a separate account")]
    (short,) = everywhere(**{**FUNDING, FUNDER: "0xcd"})
    assert short[:2] == ("error", FUNDER)
    env = everywhere(**FUNDING, prover_node_key_source="env")
    wrong = "needs a key store, which prover_node_key_source: env does not create"
    remedy = f"set prover_node_key_source to keystore, or remove all of {names}"
    assert env == [("error", FUNDER, wrong, remedy)]
    found = everywhere(**{**FUNDING, "aztec_version": "4.1.2"})
    assert {(variable, wrong) for _level, variable, wrong, _remedy in found} == {
        (name, "is read from release 5.0.0 on, and 4.1.2 ignores it")
        for name in ("prover_node_funding_threshold", "prover_node_funding_amount")
    }


def test_with_a_signer_the_account_is_an_address() -> None:
    address = "prover_node_funding_account_address"
    given = {name: value for name, value in FUNDING.items() if name != FUNDER}
    given = {**given, **SIGNED, address: "0x" + "12" * 20}
    assert everywhere(**given) == []
    assert everywhere(**{**given, address: OWNER.lower()}) == [
        ("error", address, "is one of the publishers, which cannot top itself up", "set a separate account")
    ]
    wrong = "is not valid with prover_node_key_source: web3signer"
    assert everywhere(**given, **{FUNDER: KEY}) == [("error", FUNDER, wrong, f"set {address} instead")]
    wrong = "is not valid with prover_node_key_source: keystore"
    assert everywhere(**FUNDING, **{address: OWNER}) == [("error", address, wrong, f"set {FUNDER} instead")]


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ([], None),
        (["10.0.0.10", "fd00::10", "0.0.0.0", "both.lan"], None),
        (["node.lan", "nowhere.lan"], "the host name nowhere.lan does not resolve on the controller"),
        (["nowhere.lan", "neither.lan"], "the host name nowhere.lan does not resolve on the controller"),
        ([10], "entry 1 is written without quotes, which YAML makes a number"),
        ("10.0.0.10", "is a text, not a list"),
    ],
)
def test_names_under_which_the_broker_is_published(value: object, wrong: str | None) -> None:
    name = "prover_broker_publish_addresses"
    found = [line.split(" | ")[:3] for line in checked({name: value})]
    assert found == ([["node-1", name, wrong]] if wrong else [])


def test_a_host_without_the_broker_publishes_nothing() -> None:
    assert checked({}, {"prover_broker_publish_addresses": ["nowhere.lan"]}) == []


def test_a_broker_s_url_of_a_name_is_resolved_once() -> None:
    asked = []

    def resolve_and_note(name: str) -> list:
        asked.append(name)
        return resolve_one(name)

    hosts, groups = good()
    hosts["agent-1"]["prover_agent_broker_host"] = hosts["agent-2"]["prover_agent_broker_host"] = "node.lan"
    hosts["node-1"]["prover_broker_publish_addresses"] = ["node.lan", "10.0.0.10"]
    problems, fleet = check_inventory(hosts, groups, SPECS, None, resolve_and_note)
    assert (problems, asked) == ([], ["node.lan"])
    assert fleet["broker"]["publish"] == ["10.0.0.10"]


def test_a_node_that_asks_for_its_address() -> None:
    """Its private address is not announced; one that is set by hand contradicts."""
    hosts, groups = good()
    hosts["node-1"].update(ansible_host="10.0.0.10", prover_node_p2p_query_for_ip=True)
    assert check_inventory(hosts, groups, SPECS, None, resolve_one)[0] == []
    assert checked(node={"prover_node_p2p_query_for_ip": True, P2P: "9.9.9.9"}) == [
        f"node-1 | {P2P} | is set, and so is prover_node_p2p_query_for_ip, which ignores it | remove one of the two"
    ]


NO_NAME = "is neither an IP address nor a host name"


@pytest.mark.parametrize(
    ("value", "beside", "by_itself"),
    [
        ("root@203.0.113.7", None, "'root@203.0.113.7' contains a user"),
        ("me@spot.lan", None, "'me@spot.lan' contains a user"),
        ("spot+1/eu", None, f"'spot+1/eu' {NO_NAME}"),
        ("-prover-1", None, f"'-prover-1' {NO_NAME}"),
        ("prover.1", None, f"'prover.1' {NO_NAME}"),
        ("0x7f.1", None, f"'0x7f.1' {NO_NAME}"),
        ("node.lan", None, None),
        ("both.lan", None, None),
        ("172.31.77.300", f"'172.31.77.300' {NO_NAME}", f"'172.31.77.300' {NO_NAME}"),
        ("root@172.31.77.300", f"'root@172.31.77.300' {NO_NAME}", "'root@172.31.77.300' contains a user"),
        ("10.0.0.21/24", "'10.0.0.21/24' has a prefix length", "'10.0.0.21/24' has a prefix length"),
        ("10.0.0.0/24", "'10.0.0.0/24' is a network", "'10.0.0.0/24' is a network"),
        ("spot.lan:22", "'spot.lan:22' has a port", "'spot.lan:22' has a port"),
        ("http://10.0.0.21", "is a URL", "is a URL"),
    ],
)
def test_what_ansible_connects_to(value: str, beside: str | None, by_itself: str | None) -> None:
    """beside: what is wrong with it where aztec_address is set. by_itself: where the fleet comes to it by that too."""
    for address, wrong in (("10.0.0.9", beside), ("", by_itself)):
        hosts, groups = good()
        hosts["agent-1"].update(ansible_host=value, aztec_address=address)
        # The node has that name.
        hosts["node-1"]["aztec_address"] = "10.0.0.11"
        problems, _fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
        assert [(one.host, one.variable, one.wrong) for one in problems] == (
            [("agent-1", "ansible_host", wrong)] if wrong else []
        )


def test_an_alias_is_not_announced() -> None:
    hosts, groups = good()
    hosts["node-1"]["ansible_host"] = "root@9.9.9.9"
    (problem,) = check_inventory(hosts, groups, SPECS, None, resolve_one)[0]
    assert (problem.host, problem.variable) == ("node-1", P2P)
    hosts["node-1"][P2P] = "9.9.9.9"
    problems, fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
    assert (problems, fleet["node"]["p2p_ip"]) == ([], "9.9.9.9")


def test_all_at_once_and_alike_ones_in_one_line() -> None:
    hosts, groups = good()
    for values in hosts.values():
        values.update({"aztec_netwrok": "x", "prover_agent_count": 0})
    hosts["node-1"][PRIVATE_KEY] = "short"
    problems, _fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
    lines = problem_table(problems, list(hosts)).splitlines()
    assert len(lines) == 2 + 3
    assert any(line.startswith("all 3 hosts") and "aztec_netwrok" in line for line in lines)
    assert any(line.startswith("agent-1, agent-2 ") and "prover_agent_count" in line for line in lines)


def test_a_role_s_variables_count_only_where_the_role_runs() -> None:
    hosts, groups = good()
    hosts["agent-1"]["prover_node_port"] = "x"
    assert check_inventory(hosts, groups, SPECS, None, resolve_one)[0] == []


def test_without_eth_account_there_is_one_line(monkeypatch) -> None:
    monkeypatch.setattr(ethereum, "ETH_IMPORT_ERROR", ImportError("no module"))
    lines = checked(node={ID: OWNER})
    remedy = f"run {sys.executable} -m pip install eth-account"
    assert lines == [f"the controller | eth_account | its Python has no eth_account | {remedy}"]


def test_many_hosts_are_counted() -> None:
    problems = [Problem(f"agent-{number}", "v", "w", "r") for number in range(9)]
    assert merge_problems(problems)[0].host == "agent-0, agent-1, agent-2 and 6 more"
    assert merge_problems(problems, [problem.host for problem in problems])[0].host == "all 9 hosts"


def test_no_line_breaks_in_a_row() -> None:
    rows = problem_table([Problem("a", "b", "c\nd", "e")]).splitlines()
    assert len(rows) == 3
    assert rows[2].split() == ["a", "b", "c", "d", "e"]


def test_every_real_name_is_known() -> None:
    assert unknown_variables(SPECS.names(), SPECS) == {}


@pytest.mark.parametrize(
    "value",
    [
        KEY,
        KEY[2:] + "\n",
        int(KEY, 16),
        float(int(KEY, 16)),
        None,
        True,
        [],
        {},
        [KEY, int(KEY, 16), None, [KEY]],
        {"A": KEY, KEY: 1, "B": [KEY], 3: 4},
        f"https://{KEY}@h.lan:{KEY}/{KEY}",
        f"http://[{KEY}",
        "",
        -1,
        1.5,
        "\x00",
        "{{ x }}",
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_value_in_any_variable_ends_in_lines_without_it(value: object) -> None:
    hosts, groups = good()
    hosts = {name: hosts[name] for name in ("node-1", "agent-1")}
    groups["prover_agent"] = ["agent-1"]
    for name in [*SPECS.names(), "ansible_host", "ansible_port"]:
        changed = {host: {**values, name: value} for host, values in hosts.items()}
        text = problem_table(check_inventory(changed, groups, SPECS, None, resolve_one)[0])
        for secret in ("abababab", str(int(KEY, 16))[:9]):
            assert secret not in text, name


def test_two_hundred_agents_take_a_moment() -> None:
    hosts, groups = good()
    for number in range(200):
        hosts[f"agent-{number}"] = {**hosts["agent-1"], "aztec_address": f"10.0.{1 + number // 250}.{number % 250}"}
    groups["prover_agent"] = [name for name in hosts if name.startswith("agent")]
    start = time.process_time()
    problems, fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
    assert problems == []
    assert len(fleet["agents"]) == 200
    assert time.process_time() - start < 3


NONCES = "contains a publisher's key of node-1; two senders with one key use the same nonces"
EVERYBODY = ["node-1", "agent-1", "agent-2", "guest"]


def other_users(keys: dict, node: dict | None = None, groups: dict | None = None) -> tuple:
    """Give (problems, fleet) where these hosts of the inventory have these variables with names of keys."""
    hosts, inventory_groups = good()
    hosts["node-1"].update(node or {})
    every = {**inventory_groups, "all": EVERYBODY, "guests": ["guest"], **(groups or {})}
    own = {host: {PRIVATE_KEY: values[PRIVATE_KEY]} for host, values in hosts.items()}
    problems, fleet = check_inventory(hosts, every, SPECS, None, resolve_one, {**own, "guest": {}, **keys})
    assert KEY[2:20] not in problem_table(problems)
    return [(one.level, one.host, one.variable, one.wrong) for one in problems], fleet


@pytest.mark.parametrize(
    "keys",
    [
        {"guest": {"sequencer_key": KEY}},
        {"guest": {"sequencer_key": KEY[2:].upper()}},
        {"guest": {"sequencer_key": f"0x{'cd' * 32},{KEY}"}},
        {"guest": {"sequencer_key": [{"a": KEY}]}},
        # The node's own variable, set for the guest as well and not for all.
        {"guest": {PRIVATE_KEY: KEY}, "agent-1": {}},
        {"agent-1": {"sequencer_key": KEY}},
    ],
)
def test_another_host_with_the_publisher_s_key(keys: dict) -> None:
    host = next(iter(keys))
    name = next(iter(keys[host]))
    assert other_users(keys) == ([("error", host, name, NONCES)], None)
    problems, fleet = other_users(keys, {"aztec_l1_checks": "warn"})
    assert problems == [("warning", host, name, NONCES)]
    assert fleet["publishers"] == [OWNER]
    assert other_users(keys, {"aztec_l1_checks": "ignore"})[0] == []


@pytest.mark.parametrize(
    "keys",
    [
        {"guest": {"sequencer_key": "0x" + "cd" * 32}},
        {"guest": {"sequencer_key": UnresolvedValue("cannot be decrypted")}},
        {"guest": {"publisher_address": OWNER}},
        # Of group_vars/all, with and without a key of the guest's own.
        {"guest": {PRIVATE_KEY: KEY}},
        {"guest": {PRIVATE_KEY: "0x" + "cd" * 32}},
        {host: {"vault_key": KEY} for host in EVERYBODY},
        # On the node's host the same key under two names is one sender.
        {"node-1": {"vault_key": KEY}},
    ],
)
def test_the_publisher_s_key_where_nobody_else_uses_it(keys: dict) -> None:
    problems, fleet = other_users(keys)
    assert problems == []
    assert fleet is not None


SEVERAL = {PRIVATE_KEY: "", "prover_node_publisher_private_keys": ["0x" + "cd" * 32, KEY]}
SIGNED = {
    PRIVATE_KEY: "",
    "prover_node_key_source": "web3signer",
    "prover_node_web3signer_url": "http://10.0.0.5:9000/S3cretToken",
    "prover_node_publisher_addresses": ["0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359", OWNER.lower()],
}


@pytest.mark.parametrize("node", [{}, SEVERAL, SIGNED])
@pytest.mark.parametrize(
    "values",
    [
        {"sequencer_key": KEY},
        {"vault_sequencer_keys": [KEY[2:].upper()]},
        {"sequencer_publisher_addresses": ["0x" + "12" * 20, OWNER.lower()]},
        {"sequencer_publisher_addresses": OWNER},
    ],
)
def test_whatever_the_source_a_publisher_is_used_once(node: dict, values: dict) -> None:
    (name,) = values
    assert other_users({"guest": values}, node) == ([("error", "guest", name, NONCES)], None)


@pytest.mark.parametrize("node", [{}, SEVERAL, SIGNED])
def test_whatever_the_source_the_fleet_knows_the_publishers(node: dict) -> None:
    others = {"guest": {"sequencer_key": "0x" + "ef" * 32, "sequencer_publisher_addresses": ["0x" + "12" * 20]}}
    problems, fleet = other_users(others, node)
    assert problems == []
    assert OWNER in fleet["publishers"]
    assert len(fleet["publishers"]) == (2 if node else 1)
    assert fleet["prover_id"] == fleet["publishers"][0]
    cold = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"
    assert other_users(others, {**node, ID: cold})[1]["prover_id"] == cold


def test_a_key_that_a_shared_group_has_is_inherited() -> None:
    shared = {"guest": {"vault_key": KEY}, "node-1": {"vault_key": KEY}}
    assert other_users(shared)[0] == [("error", "guest", "vault_key", NONCES)]
    assert other_users(shared, None, {"some": ["guest", "node-1"]})[0] == []


def test_an_unfinished_rotation() -> None:
    """The run goes on with a warning; with what is no key it does not."""
    for name, command in (
        (
            "prover_node_next_publisher_private_key",
            "run playbooks/rotate_key.yml, or discard it as docs/keys.md describes",
        ),
        ("prover_node_previous_publisher_private_key", "run playbooks/rotate_key.yml -e rotate_key_confirm=true"),
    ):
        hosts, groups = good()
        for values in hosts.values():
            values |= {name: "0x" + "1" * 64, name.replace("private_key", "mnemonic"): "S3cret words"}
        problems, fleet = check_inventory(hosts, groups, SPECS, None, resolve_one)
        assert fleet is not None
        assert [(one.level, one.host, one.variable, one.remedy) for one in problems] == [
            ("warning", "node-1", name, command)
        ]
        assert checked({name: "S3cret"}) == [
            f"node-1 | {name} | the private key is not 32 bytes of hex | give 0x and 64 hex digits"
        ]
