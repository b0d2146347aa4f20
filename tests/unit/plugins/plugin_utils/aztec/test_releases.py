# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of release lines: which version belongs to which, and what is refused."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.filter.filters import FilterModule
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import (
    COMPONENTS,
    CONSENSUS_ENVIRONMENT,
    OPTION_SINCE,
    RELEASES,
    accepts_network,
    jobs_query,
    networks_of,
    parse_version,
    release_of,
)


@pytest.mark.parametrize(
    ("version", "line"),
    [
        ("2.1.5", "2.1"),
        ("2.1.11", "2.1"),
        ("4.1.2", "4"),
        ("v4.1.2", "4"),
        ("5.2.0", "5"),
        ("5.0.0-rc.1", "5"),
        ("4.0.0-nightly.20260107", "4"),
        ("6.0.0", "6"),
        ("6.0.0-rc.1", "6"),
        ("6.12.3", "6"),
    ],
)
def test_version_belongs_to_a_line(version: str, line: str) -> None:
    assert release_of(version).line == line


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("", "the version is empty: set one"),
        ("  ", "the version is empty"),
        ("latest", 'the version is "latest"'),
        (
            "2.0.3",
            "the release line 2.0 is not known: choose a version of 2.1.x, 4.x, 5.x, 6.x, or set "
            "aztec_release_line to the line whose settings apply",
        ),
        ("3.0.0", "the release line 3.0 is not known"),
        ("7.0.0", "the release line 7.0 is not known"),
        ("40.1.0", "the release line 40.1 is not known"),
        ("4.1", "not of the form 1.2.3"),
        ("4.1.2\n", "not of the form 1.2.3"),
        ("aztecprotocol/aztec:4.1.2", "not of the form 1.2.3"),
        (4.1, "not a string: put it in quotes"),
        (None, "not a string: put it in quotes"),
    ],
)
def test_no_version(version: object, message: str) -> None:
    with pytest.raises(ValueError, match=r"version|release line") as caught:
        release_of(version)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("version", "numbers"), [("2.1.5", (2, 1, 5)), ("v6.0.10-rc.1", (6, 0, 10))])
def test_the_numbers_of_a_version(version: str, numbers: tuple) -> None:
    assert parse_version(version) == numbers


@pytest.mark.parametrize(
    ("version", "given", "line"),
    [("7.0.0", "6", "6"), ("7.1.0-rc.2", 5, "5"), ("3.0.0", "2.1", "2.1"), ("6.0.0", "6", "6"), ("6.0.0", "", "6")],
)
def test_an_unknown_version_takes_the_line_that_is_named(version: str, given: object, line: str) -> None:
    assert release_of(version, given).line == line
    assert FilterModule().filters()["release"](version, given)["line"] == line


@pytest.mark.parametrize(
    ("version", "given", "message"),
    [
        ("7.0.0", "8", "the release line '8' is not known: choose one of 2.1, 4, 5, 6"),
        ("6.0.0", "8", "the release line '8' is not known: choose one of 2.1, 4, 5, 6"),
        ("6.0.0", "5", "the version 6.0.0 belongs to the release line 6, not 5: remove aztec_release_line"),
    ],
)
def test_no_line(version: str, given: str, message: str) -> None:
    with pytest.raises(ValueError, match="line") as caught:
        release_of(version, given)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("version", "line", "accepted", "refused"),
    [
        ("2.1.5", "", ["testnet", "mainnet", "staging-public", "staging-ignition"], ["devnet", "v2-devnet-1"]),
        ("4.1.2", "", ["staging-ignition", "next-net", "devnet"], ["v4-devnet-1", "staging"]),
        ("4.2.0", "", ["v4-devnet-1", "v12-devnet-34"], ["v4-devnet", "v4-devnet-", "xv4-devnet-1", "vN-devnet-N"]),
        ("5.0.0", "", ["staging", "v5-devnet-2", "next-net"], ["staging-public", "staging-ignition"]),
        ("6.0.0", "", ["mainnet", "testnet", "staging", "devnet", "v6-devnet-1"], ["staging-ignition", "local", ""]),
        ("7.0.0", "6", ["mainnet", "v7-devnet-1"], ["staging-public"]),
    ],
)
def test_the_networks_of_a_version(version: str, line: str, accepted: list, refused: list) -> None:
    known = networks_of(version, line)
    assert [name for name in [*accepted, *refused] if accepts_network(known, name)] == accepted


@pytest.mark.parametrize("line", RELEASES)
def test_every_line_has_all_values(line: str) -> None:
    release = FilterModule().filters()["release"](f"{line}.0" if line.count(".") else f"{line}.0.0")
    assert set(release) == {
        "line",
        "image",
        "requirements",
        "crs_files",
        "stop_grace_period",
        "renamed_environment",
        "numbered_devnets_since",
        "checks_consensus_environment",
        "balance_required",
        "debug_hosts_required",
        "start_flags",
        "environment",
        "rpc",
        "networks",
        "entrypoint",
        "crs_image",
        "image_gb",
        "architectures",
        "standby",
        "rollup_slots",
    }
    for by_component in ("start_flags", "environment", "requirements", "stop_grace_period"):
        assert set(release[by_component]) == set(COMPONENTS)
    assert set(release["rpc"]) == {"agent_status", "l2_tips", "epoch_jobs", "peers", "admin_jobs", "start_proof"}
    assert {"testnet", "mainnet"} <= set(release["networks"])
    assert release["entrypoint"][0] == "node"
    assert all(value for values in release["environment"].values() for value in values.values())


@pytest.mark.parametrize(
    ("line", "method", "admin"),
    [
        ("2.1", "proverNode_getJobs", False),
        ("4", "prover_getJobs", False),
        ("5", "prover_getJobs", True),
        ("6", "prover_getJobs", True),
    ],
)
@pytest.mark.parametrize("key", ["", "a-key"])
def test_how_a_node_is_queried_for_its_jobs(line: str, method: str, admin: bool, key: str) -> None:
    assert jobs_query(RELEASES[line], key) == {"jobs": method, "admin": admin, "admin_key": key if admin else ""}


def test_what_the_lines_differ_in() -> None:
    assert "--archiver" not in RELEASES["5"].start_flags["prover_node"]
    assert RELEASES["2.1"].environment["prover_node"] == {"AUTO_UPDATE": "disabled"}
    assert RELEASES["4"].environment["prover_broker"]["RPC_MAX_BODY_SIZE"] == "50mb"
    assert "AUTO_UPDATE" not in RELEASES["4"].environment["prover_agent"]
    for component in COMPONENTS:
        assert RELEASES["5"].environment[component]["ENABLE_AUTO_SHUTDOWN"] == "false"
    images = {line: release.crs_image for line, release in RELEASES.items()}
    old, new = "aztecprotocol/aztec-prover-agent", "azteclabs/aztec-prover-agent"
    assert images == {"2.1": "", "4": old, "5": old, "6": new}
    images = {line: release.image for line, release in RELEASES.items()}
    old, new = "aztecprotocol/aztec", "azteclabs/aztec"
    assert images == {"2.1": old, "4": old, "5": old, "6": new}
    graces = {line: release.stop_grace_period["prover_agent"] for line, release in RELEASES.items()}
    assert graces == {"2.1": "60s", "4": "60s", "5": "60s", "6": "300s"}
    assert {one.stop_grace_period[name] for one in RELEASES.values() for name in COMPONENTS[:2]} == {"60s"}
    tips = {line: release.rpc["l2_tips"] for line, release in RELEASES.items()}
    chain = "aztec_getChainTips"
    assert tips == {"2.1": "proverNode_getL2Tips", "4": "node_getL2Tips", "5": chain, "6": chain}
    required = {line for line, release in RELEASES.items() if release.debug_hosts_required}
    assert required == {"6"}
    assert {line for line, release in RELEASES.items() if release.checks_consensus_environment} == {"5", "6"}
    assert RELEASES["6"].renamed_environment["ACVM_BINARY_PATH"] == "NOIR_EXECUTE_BINARY_PATH"
    assert RELEASES["5"].renamed_environment["NOIR_EXECUTE_WORKING_DIRECTORY"] == "ACVM_WORKING_DIRECTORY"


def test_the_files_of_the_crs() -> None:
    """Check the sizes that the program reads: bb.js 4.1.2 reads one point more than 5.0.0."""
    sizes = {line: {file.name: file.least_bytes for file in release.crs_files} for line, release in RELEASES.items()}
    four = {"bn254_g1.dat": 1073741856, "bn254_g2.dat": 128, "grumpkin_g1.flat.dat": 16777280}
    five = {"bn254_g1_compressed.dat": 1073741824, "bn254_g2.dat": 128, "grumpkin_g1_v2.flat.dat": 16777216}
    assert sizes == {"2.1": four, "4": four, "5": five, "6": five}
    optional = {line: [file.name for file in one.crs_files if not file.required] for line, one in RELEASES.items()}
    assert optional == {"2.1": [], "4": [], "5": [], "6": ["bn254_g2.dat"]}


def test_tables_of_names() -> None:
    assert len(CONSENSUS_ENVIRONMENT) == len(set(CONSENSUS_ENVIRONMENT)) == 48
    assert {"L1_CHAIN_ID", "ETHEREUM_SLOT_DURATION", "SLASH_GRACE_PERIOD_L2_SLOTS"} <= set(CONSENSUS_ENVIRONMENT)
    assert OPTION_SINCE == {
        "admin_api_key": (4, 1, 0),
        "admin_api_key_hash": (4, 1, 0),
        "blob_file_store_urls": (4, 1, 0),
        "tx_file_store_urls": (4, 1, 0),
        "dry_run": (2, 1, 11),
        "l1_debug_urls": (2, 1, 9),
        "funding_amount": (5, 0, 0),
        "funding_threshold": (5, 0, 0),
        "proof_store": (4, 0, 0),
    }
