# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of release lines: which version belongs to which, and what is refused."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.filter.release import FilterModule
from ansible_collections.aztec_ops.prover.plugins.module_utils.releases import COMPONENTS, RELEASES, release_of


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
    ],
)
def test_version_belongs_to_a_line(version: str, line: str) -> None:
    assert release_of(version).line == line


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("", "the version is empty: name one"),
        ("  ", "the version is empty"),
        ("latest", 'the version is "latest"'),
        ("2.0.3", "the release line 2.0 is not supported: choose a version of 2.1.x, 4.x, 5.x"),
        ("3.0.0", "the release line 3.0 is not supported"),
        ("40.1.0", "the release line 40.1 is not supported"),
        ("4.1", "not of the form 1.2.3"),
        ("4.1.2\n", "not of the form 1.2.3"),
        ("aztecprotocol/aztec:4.1.2", "not of the form 1.2.3"),
        (4.1, "not a text: put it in quotes"),
        (None, "not a text: put it in quotes"),
    ],
)
def test_no_version(version: object, message: str) -> None:
    with pytest.raises(ValueError, match=r"version|release line") as caught:
        release_of(version)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", RELEASES)
def test_every_line_says_everything(line: str) -> None:
    release = FilterModule().filters()["release"](f"{line}.0" if line.count(".") else f"{line}.0.0")
    assert set(release) == {
        "line",
        "start_flags",
        "environment",
        "rpc",
        "networks",
        "entrypoint",
        "crs_image",
    }
    assert set(release["start_flags"]) == set(release["environment"]) == set(COMPONENTS)
    assert set(release["rpc"]) == {"agent_status", "l2_tips"}
    assert {"testnet", "mainnet"} <= set(release["networks"])
    assert release["entrypoint"][0] == "node"
    assert all(value for values in release["environment"].values() for value in values.values())


def test_what_the_lines_differ_in() -> None:
    assert "--archiver" not in RELEASES["5"].start_flags["prover_node"]
    assert RELEASES["2.1"].environment["prover_node"] == {"AUTO_UPDATE": "disabled"}
    assert RELEASES["4"].environment["prover_broker"]["RPC_MAX_BODY_SIZE"] == "50mb"
    assert "AUTO_UPDATE" not in RELEASES["4"].environment["prover_agent"]
    for component in COMPONENTS:
        assert RELEASES["5"].environment[component]["ENABLE_AUTO_SHUTDOWN"] == "false"
    images = {line: release.crs_image for line, release in RELEASES.items()}
    assert images == {"2.1": "", "4": "aztecprotocol/aztec-prover-agent", "5": "aztecprotocol/aztec-prover-agent"}
