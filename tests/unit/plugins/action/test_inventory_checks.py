# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wrong inventories, each with the line that it gets, over the roles' real specifications."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.action.check_fleet import read_specs
from ansible_collections.aztec_ops.prover.plugins.module_utils import ethereum
from ansible_collections.aztec_ops.prover.plugins.module_utils.inventory_checks import (
    Broken,
    Problem,
    check_inventory,
    misspelt,
    problem_table,
    together,
)

SPECS = read_specs(Path(__file__).resolve().parents[4] / "roles")
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


EXECUTION, CONSENSUS = "aztec_l1_execution_urls", "aztec_l1_consensus_urls"
PRIVATE_KEY, ID, P2P = "prover_node_publisher_private_key", "prover_node_prover_id", "prover_node_p2p_ip"

GROUPS = [
    ({"prover_broker": []}, "the inventory | prover_broker | this group has no host | put one host into it"),
    (
        {"prover_broker": ["node-1", "agent-1"]},
        "the inventory | prover_broker | this group has 2 hosts | leave one host in it",
    ),
    ({"prover_node": []}, "the inventory | prover_node | this group has no host | put one host into it"),
    (
        {"prover_node": ["node-1", "agent-1"]},
        "the inventory | prover_node | this group has 2 hosts | leave one host in it",
    ),
]

NODE = [
    # versions and networks
    ({"aztec_version": ""}, "aztec_version | the version is empty | name one"),
    ({"aztec_version": "latest"}, 'aztec_version | the version is "latest", which names no version | name one'),
    ({"aztec_version": 5.2}, "aztec_version | is written without quotes, which YAML makes a number | put it in quotes"),
    ({"aztec_version": None}, "aztec_version | is empty | give it a value, or take the line out"),
    ({"aztec_version": "3.0.0"}, "aztec_version | the release line 3.0 is not supported | choose a version of 2.1.x"),
    ({"aztec_version": "4.1"}, "aztec_version | the version is not of the form 1.2.3 | name a whole one"),
    ({"prover_node_version": "latest"}, 'prover_node_version | the version is "latest"'),
    (
        {"aztec_network": "testnt"},
        "aztec_network | 'testnt' is an unknown network | did you mean testnet? All: testnet, mainn",
    ),
    ({"aztec_network": "goerli"}, "aztec_network | 'goerli' is an unknown network | choose one of testnet, mainnet"),
    ({"aztec_network": ""}, "aztec_network | "),
    # the publisher
    ({PRIVATE_KEY: KEY[:-2]}, f"{PRIVATE_KEY} | the private key is not 32 bytes of hex | give 0x and 64 hex digits"),
    ({PRIVATE_KEY: KEY + "ab"}, f"{PRIVATE_KEY} | the private key is not 32 bytes of hex"),
    ({PRIVATE_KEY: "S3cret words of a mnemonic"}, f"{PRIVATE_KEY} | the private key is not 32 bytes of hex"),
    (
        {PRIVATE_KEY: int(KEY, 16)},
        f"{PRIVATE_KEY} | is written without quotes, which YAML makes a number | put it in quotes",
    ),
    (
        {PRIVATE_KEY: "0x" + "0" * 64},
        f"{PRIVATE_KEY} | is still the example's | put your publisher's key into the vault",
    ),
    ({PRIVATE_KEY: "f" * 64}, f"{PRIVATE_KEY} | the private key is out of the range of Ethereum keys | make a new one"),
    ({PRIVATE_KEY: GONE}, f"{PRIVATE_KEY} | is not set | put the publisher's key into the inventory's vault file"),
    ({PRIVATE_KEY: ""}, f"{PRIVATE_KEY} | is not set"),
    ({PRIVATE_KEY: [KEY]}, f"{PRIVATE_KEY} | is a list, no text | write one text, in quotes"),
    (
        {PRIVATE_KEY: Broken("cannot be decrypted", "give its vault password")},
        f"{PRIVATE_KEY} | cannot be decrypted | give i",
    ),
    ({ID: "0x1234"}, f"{ID} | not an Ethereum address | give 0x and 40 hex digits"),
    ({ID: KEY}, f"{ID} | not an Ethereum address"),
    ({ID: int(OWNER, 16)}, f"{ID} | is written without quotes, which YAML makes a number | put it in quotes"),
    (
        {ID: OWNER.replace("e239c", "E239c")},
        f"{ID} | the address's capitals do not match its EIP-55 checksum | copy it again",
    ),
    # L1 URLs
    ({EXECUTION: ["rpc.mine.net/S3cret"]}, f"{EXECUTION} | entry 1 has no scheme | begin it with http:// or https://"),
    ({EXECUTION: ["https://ok.net", "10.0.0.5:8545"]}, f"{EXECUTION} | entry 2 has no scheme"),
    ({EXECUTION: ["wss://rpc.mine.net/S3cret"]}, f"{EXECUTION} | entry 1 has a scheme other than http and https"),
    ({EXECUTION: ["https:///S3cret"]}, f"{EXECUTION} | entry 1 has no host"),
    ({EXECUTION: ["https://a.net:x/S3cret"]}, f"{EXECUTION} | entry 1 is no URL"),
    ({EXECUTION: ["https://a.net/S3cret,https://b.net"]}, f"{EXECUTION} | entry 1 holds a comma or a space"),
    ({EXECUTION: "https://a.net/S3cret"}, f"{EXECUTION} | is a text, no list | write it as a list, [one, two]"),
    ({EXECUTION: []}, f"{EXECUTION} | names no URL | give at least one"),
    ({EXECUTION: GONE}, f"{EXECUTION} | names no URL"),
    ({EXECUTION: [{"url": "S3cret"}]}, f"{EXECUTION} | entry 1 is a dict, no text"),
    ({CONSENSUS: ["beacon.mine.net"]}, f"{CONSENSUS} | entry 1 has no scheme"),
    ({CONSENSUS: ["https://beacon.example"]}, f"{CONSENSUS} | entry 1 is still the example's | put your own URL there"),
    ({"prover_broker_l1_execution_urls": ["x"]}, "prover_broker_l1_execution_urls | entry 1 has no scheme"),
    # ports
    ({"prover_broker_port": 0}, "prover_broker_port | 0 is no port | give a number from 1 to 65535"),
    ({"prover_broker_port": int(KEY, 16)}, "prover_broker_port | a number is no port"),
    ({"prover_node_key_source": KEY}, "prover_node_key_source | a text is not a choice"),
    ({"aztec_network": KEY}, "aztec_network | a text is an unknown network"),
    ({"prover_broker_port": 65536}, "prover_broker_port | 65536 is no port"),
    (
        {"prover_node_p2p_port": "40400/udp"},
        "prover_node_p2p_port | is no whole number | give a number, without a unit",
    ),
    ({"prover_node_p2p_port": True}, "prover_node_p2p_port | is no whole number"),
    (
        {"prover_broker_port": 40400},
        "prover_broker_port | port 40400 is used twice on this host, by prover_node_p2p_port too",
    ),
    (
        {"prover_node_port": 8080},
        "prover_broker_port | port 8080 is used twice on this host, by prover_node_port too | give o",
    ),
    ({"ansible_port": 8080}, "prover_broker_port | port 8080 is used twice on this host, by ansible_port too"),
    (
        {"prover_node_admin_port": "8080"},
        "prover_broker_port | port 8080 is used twice on this host, by prover_node_admin_p",
    ),
    # addresses
    (
        {P2P: "10.0.0.10"},
        f"{P2P} | the node would announce 10.0.0.10, which no peer on testnet reaches | set {P2P} to its",
    ),
    ({P2P: "100.64.0.1"}, f"{P2P} | the node would announce 100.64.0.1"),
    ({"ansible_host": "10.0.0.10"}, f"{P2P} | the node would announce 10.0.0.10"),
    ({"aztec_public_address": "172.16.0.1"}, "aztec_public_address | the node would announce 172.16.0.1"),
    ({P2P: "node.lan"}, f"{P2P} | is no IP address | give the address that peers reach the node at"),
    (
        {"aztec_address": "8.8.8.8"},
        "aztec_address | puts the broker on a public address, where it asks for no password | set",
    ),
    ({"aztec_address": GONE}, "ansible_host | puts the broker on a public address"),
    (
        {"aztec_address6": "2a00::10"},
        "aztec_address6 | puts the broker on a public address, where it asks for no password | set aztec_a",
    ),
    ({"aztec_address6": "10.0.0.10"}, "aztec_address6 | is no IPv6 address | give one, such as"),
    ({"aztec_address6": "2001:db8::1"}, "aztec_address6 | is still the example's"),
    ({"aztec_address6": "::1"}, "aztec_address6 | leads back to the host itself"),
    (
        {"aztec_address": "127.0.0.1"},
        "aztec_address | leads back to the host itself, where no other host reaches it | set az",
    ),
    ({"aztec_address": "loop.lan"}, "aztec_address | leads back to the host itself"),
    ({"aztec_address": "0.0.0.0"}, "aztec_address | leads back to the host itself"),
    ({"ansible_host": "203.0.113.10"}, "ansible_host | is still the example's | put your host's address there"),
    (
        {"aztec_admit": ["10.0.0.0/33"]},
        "aztec_admit | entry 1, '10.0.0.0/33' is no address | give an IPv4 or IPv6 address or CIDR",
    ),
    (
        {"aztec_admit": ["10.0.0.0/8", "0.0.0.0/0"]},
        "aztec_admit | entry 2 admits everybody to the broker | name the networks",
    ),
    (
        {"aztec_admit": ["10.7.0.5/16"]},
        "aztec_admit | entry 1, '10.7.0.5/16' has host bits set | write 10.7.0.0/16 for the network",
    ),
    ({"prover_broker_admitted": ["nonsense"]}, "prover_broker_admitted | entry 1, 'nonsense' is no address"),
    ({"prover_broker_admitted": ["0.0.0.0/0"]}, "prover_broker_admitted | entry 1 admits everybody to the broker"),
    ({"aztec_admit": "10.0.0.0/8"}, "aztec_admit | is a text, no list"),
    # names
    (
        {"prover_node_p2p_prot": 1},
        "prover_node_p2p_prot | there is no such variable | did you mean prover_node_p2p_port?",
    ),
    ({"aztec_verison": "5.2.0"}, "aztec_verison | there is no such variable | did you mean aztec_version?"),
    (
        {"docker_engine_sorce": "x"},
        "docker_engine_sorce | there is no such variable | did you mean docker_engine_source?",
    ),
    ({"prover_privatekey": KEY}, "prover_privatekey | there is no such variable | "),
    (
        {"prvoer_node_p2p_port": 1},
        "prvoer_node_p2p_port | there is no such variable | did you mean prover_node_p2p_port?",
    ),
    ({"aztec_zzzzzzzzzzzzzz": 1}, "aztec_zzzzzzzzzzzzzz | there is no such variable | take it out"),
    # types, choices, shapes
    (
        {"prover_node_key_source": "vault"},
        "prover_node_key_source | 'vault' is not a choice | choose one of keystore, env",
    ),
    (
        {"prover_node_restart_policy": False},
        "prover_node_restart_policy | is written without quotes, which YAML makes true o",
    ),
    (
        {"prover_node_requirements": "strict"},
        "prover_node_requirements | 'strict' is not a choice | choose one of fail, warn",
    ),
    (
        {"aztec_allow_public_broker": "maybe"},
        "aztec_allow_public_broker | is neither true nor false | write true or false",
    ),
    ({"aztec_directory": "opt/aztec"}, "aztec_directory | is not an absolute path | begin it with /"),
    ({"aztec_environment": ["A=1"]}, "aztec_environment | is a list, no dict | write it as NAME: value lines"),
    ({"aztec_environment": {"A-B": 1}}, "aztec_environment | entry 1's name is no name of an environment variable"),
    (
        {"aztec_environment": {"REGISTRY": int(OWNER, 16)}},
        "aztec_environment | REGISTRY is written without quotes, which YAM",
    ),
    (
        {"aztec_image": "aztecprotocol/aztec:4.1.2"},
        "aztec_image | is empty, or has a tag or digest in it | give the image alo",
    ),
    ({"aztec_image_digest": "sha256:abc"}, "aztec_image_digest | is no digest | give sha256: and 64 hex digits"),
    (
        {"aztec_docker_bridge": "a-very-long-bridge-name"},
        "aztec_docker_bridge | a text is no name of a bridge | give 1 to 15",
    ),
    (
        {"aztec_docker_ipv6_subnet": "10.0.0.0/8"},
        "aztec_docker_ipv6_subnet | '10.0.0.0/8' is no IPv6 subnet | give one in C",
    ),
    ({"prover_node_start_timeout": -1}, "prover_node_start_timeout | -1 is below 0"),
    ({"prover_node_broker_url": "broker:8080"}, "prover_node_broker_url | has no scheme"),
]

AGENT = [
    (
        {"aztec_address": "fd00::21"},
        "aztec_address | has no IPv4 address, and the broker on node-1 no other | set aztec_address6 of no",
    ),
    (
        {"prover_agent_broker_url": "http://[fd00::10]:8080", "aztec_docker_ipv6_subnet": ""},
        "aztec_docker_ipv6_subnet | is empty, but the containers of this host need IPv6 to reach the broker or the L1",
    ),
    ({"prover_agent_port": 8880}, "prover_agent_port | port 8880 is used twice on this host, by the admin port"),
    (
        {"aztec_address": "typo.lan"},
        "aztec_address | the host name typo.lan does not resolve on the controller | mend the name",
    ),
    ({"aztec_address": GONE, "ansible_host": "typo.lan"}, "ansible_host | the host name typo.lan does not resolve"),
    (
        {"aztec_address": GONE, "ansible_host": GONE},
        "aztec_address | has no address: neither it nor ansible_host is set, and the host's name does not resolve",
    ),
    (
        {"aztec_address": Broken("uses 'lan', which is not defined", "define it")},
        "aztec_address | uses 'lan', which is not",
    ),
    (
        {"prover_agent_count": 0},
        "prover_agent_count | 0 is neither auto nor a number from 1 | give a number from 1, or auto",
    ),
    ({"prover_agent_count": "many"}, "prover_agent_count | 'many' is neither auto nor a number from 1"),
    (
        {"prover_agent_hardware_concurrency": 0},
        "prover_agent_hardware_concurrency | 0 is neither auto nor a number from 1",
    ),
    (
        {"prover_agent_poll_interval_ms": 30000},
        "prover_agent_poll_interval_ms | 30000 is out of range | give milliseconds b",
    ),
    ({"prover_agent_poll_interval_ms": "1s"}, "prover_agent_poll_interval_ms | is no whole number"),
    (
        {"prover_agent_version": "5.2.0"},
        "prover_agent_version | the prover_agent has version '5.2.0', the node or broker '4.1.2'",
    ),
    (
        {"aztec_version": "5.2.0"},
        "aztec_version | the prover_agent has version '5.2.0', the node or broker '4.1.2' | give the",
    ),
    (
        {"aztec_network": "mainnet"},
        "aztec_network | the prover_agent has network 'mainnet', the node or broker 'testnet' | gi",
    ),
    (
        {"prover_agent_prover_id": int(OWNER, 16)},
        "prover_agent_prover_id | is written without quotes, which YAML makes a num",
    ),
    (
        {"prover_agent_broker_url": "http://b:8080/S3cret"},
        "prover_agent_broker_url | has a path or a user, which Aztec leaves",
    ),
    ({"prover_agent_conut": 2}, "prover_agent_conut | there is no such variable | did you mean prover_agent_count?"),
    (
        {"prover_agent_zzzzzzzzzzzzzzzzzzzzzzzz": 2},
        "prover_agent_zzzzzzzzzzzzzzzzzzzzzzzz | there is no such variable | take it out; ansible-doc -t role "
        "aztec_ops.prover.prover_agent lists all that there are",
    ),
    (
        {"aztec_zzzzzzzzzzzzzzzzzzzzzzzz": 2},
        "aztec_zzzzzzzzzzzzzzzzzzzzzzzz | there is no such variable | take it out; ansible-doc -t role "
        "aztec_ops.prover.preflight lists all that there are",
    ),
]


@pytest.mark.parametrize(("groups", "line"), GROUPS)
def test_wrong_groups(groups: dict, line: str) -> None:
    assert line in checked(groups=groups)


@pytest.mark.parametrize(("changes", "line"), NODE)
def test_wrong_node(changes: dict, line: str) -> None:
    found = checked(node=changes)
    assert [one for one in found if one.startswith(f"node-1 | {line}")], found


@pytest.mark.parametrize(("changes", "line"), AGENT)
def test_wrong_agent(changes: dict, line: str) -> None:
    assert [one[: len(line) + 10] for one in checked(agent=changes)] == [f"agent-1 | {line}"]


@pytest.mark.parametrize(
    ("changes", "line"), [case for case in NODE if not ({"aztec_version", "aztec_network"} & set(case[0]))]
)
def test_one_fault_gives_one_line(changes: dict, line: str) -> None:
    assert len(checked(node=changes)) == 1


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
    {"prover_node_broker_url": "https://broker.lan:8443/"},
    {"aztec_docker_ipv6_subnet": "fd00:1::/64"},
    {"__aztec_fleet": {}, "ansible_user": "me"},
    {"vault_aztec_version": "1", "our_prover_agent_count": 3},
]


def test_a_broker_of_ipv6_alone() -> None:
    """Agents with IPv4 alone do not reach it."""
    found = checked(node={"aztec_address": "fd00::10"})
    assert [line.split(" | ")[0] for line in found] == ["agent-1", "agent-2"]
    wrong, remedy = found[0].split(" | ")[2:]
    assert wrong == "has no IPv6 address, and the broker on node-1 no other"
    assert remedy == "set aztec_address6 of this host, or give node-1 an IPv4 address in aztec_address"


@pytest.mark.parametrize("changes", FINE)
def test_fine(changes: dict) -> None:
    assert checked(node=changes) == []


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
    assert lines == ["the controller | eth_account | its Python has no eth_account | run pip install eth-account"]


def test_many_hosts_are_counted() -> None:
    problems = [Problem(f"agent-{number}", "v", "w", "r") for number in range(9)]
    assert together(problems)[0].host == "agent-0, agent-1, agent-2 and 6 more"
    assert together(problems, [problem.host for problem in problems])[0].host == "all 9 hosts"


def test_no_line_breaks_in_a_row() -> None:
    rows = problem_table([Problem("a", "b", "c\nd", "e")]).splitlines()
    assert len(rows) == 3
    assert rows[2].split() == ["a", "b", "c", "d", "e"]


def test_every_real_name_is_known() -> None:
    assert misspelt(SPECS.names(), SPECS) == {}


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
