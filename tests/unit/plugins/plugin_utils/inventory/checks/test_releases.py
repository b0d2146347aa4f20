# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wrong versions, images, and options, each with its line."""

from __future__ import annotations

import pytest

from tests.unit.plugins.plugin_utils.inventory.inventories import everywhere


def test_a_later_release_line() -> None:
    """aztec_release_line, and that of a component, set which known line an unknown one is treated as."""
    unknown = "the release line 7.0 is not known: choose a version of 2.1.x, 4.x, 5.x, 6.x, or set aztec_release"
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
        (
            "error",
            "aztec_release_line",
            "the version 6.0.0 belongs to the release line 6, not 5",
            "remove aztec_release_line",
        )
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
