# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wrong environment variables and snapshots, each with its line."""

from __future__ import annotations

import pytest

from tests.unit.plugins.plugin_utils.inventory.inventories import everywhere


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
        # A warning does not hide an error, in any order.
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
        # A word outside of the names of hosts, buckets and folders has no meaning.
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
