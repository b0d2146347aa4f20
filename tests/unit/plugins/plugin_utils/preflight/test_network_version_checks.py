# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Problems of aztec_version, by the version that the network runs, and the queries for that version."""

from __future__ import annotations

import json

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.network_config import DEFAULT_URLS
from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.networks import NETWORKS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.network_version_checks import (
    NETWORK_HEADS,
    check_network,
    l1_queries,
)

NODE, BROKER, AGENT = "prover_node", "prover_broker", "prover_agent"
VALUES = {"aztec_l1_execution_urls": ["https://rpc.lan"], "aztec_l1_consensus_urls": ["https://beacon.lan"]}
REGISTRY = NETWORKS["mainnet"].registry
RAW = "https://raw.githubusercontent.com"


def fleet(version: str = "5.2.0") -> dict:
    """Return the values of a fleet for mainnet."""
    return {
        "network": "mainnet",
        "version": version,
        "publishers": [],
        "hosts": {
            "node-1": {"components": [NODE, BROKER], "paths": {NODE: "/data/node", BROKER: "/data/broker"}},
            "broker-1": {"components": [BROKER], "paths": {BROKER: "/data/broker"}},
            "agent-1": {"components": [AGENT], "paths": {}},
        },
    }


def answer(version: str | None = "5.2.0", **changes) -> dict:
    """Return what a host read in the network's configuration."""
    return {"where": RAW, "cached": None, "version": version, "registry": REGISTRY, "errors": [], **changes}


def checked(version: str, found: dict | None, **values) -> tuple:
    """Return ([(level, variable, wrong, remedy)], rows) of the node's host."""
    problems, rows = check_network("node-1", {**VALUES, **values}, fleet(version), found)
    assert {one.host for one in problems} <= {"node-1"}
    return [(one.level, one.variable, one.wrong, one.remedy) for one in problems], rows


DATA = "with new data directories (prover_node_data_directory, prover_broker_data_directory)"


@pytest.mark.parametrize(
    ("own", "runs", "state", "problem"),
    [
        ("5.2.0", "5.2.0", "ok", None),
        ("v5.2.0", "5.2.0", "ok", None),
        ("5.3.0", "5.2.0", "ok", None),
        (
            "5.2.0",
            "6.0.0",
            "INCOMPATIBLE",
            (
                "error",
                "aztec_version",
                "the network mainnet runs 6.0.0, but aztec_version is 5.2.0, which cannot follow it",
                f"set aztec_version to 6.0.0, {DATA}",
            ),
        ),
        (
            "5.2.0",
            "7.0.0",
            "INCOMPATIBLE",
            (
                "error",
                "aztec_version",
                "the network mainnet runs 7.0.0, but aztec_version is 5.2.0, which cannot follow it",
                "update this collection, which does not know 7.0.0 yet (or set aztec_release_line), then set "
                f"aztec_version to 7.0.0, {DATA}",
            ),
        ),
        (
            "5.2.0",
            "5.2.1",
            "older",
            (
                "warning",
                "aztec_version",
                "the network mainnet runs 5.2.1, but aztec_version is the older 5.2.0",
                "set aztec_version to 5.2.1",
            ),
        ),
        (
            "6.0.0",
            "5.2.0",
            "ahead",
            (
                "warning",
                "aztec_version",
                "the network mainnet runs 5.2.0, but aztec_version is 6.0.0: node and broker wait in standby until the "
                "network upgrades",
                "continue if you prepare for a hard fork, otherwise set aztec_version to 5.2.0",
            ),
        ),
    ],
)
def test_versions(own: str, runs: str, state: str, problem: tuple | None) -> None:
    problems, rows = checked(own, answer(runs))
    assert problems == ([problem] if problem else [])
    assert rows == [("node-1", "mainnet", own.removeprefix("v"), runs, RAW, state)]


@pytest.mark.parametrize("own", ["6.0.0-" + "a" * 70, "1234567.0.0"])
def test_versions_that_cannot_be_compared(own: str) -> None:
    """A version that parse_version accepts and semver's order does not: a row, and no exception."""
    problems, rows = checked(own, answer("6.0.0"))
    assert problems == []
    assert rows[0][-1] == "not checked: the versions cannot be compared"


def test_the_error_can_be_overridden() -> None:
    assert checked("5.2.0", answer("6.0.0"), aztec_l1_checks="warn")[0][0][0] == "warning"
    assert checked("5.2.0", answer("6.0.0"), aztec_l1_checks="ignore") == ([], [])
    pinned = {"prover_node_environment": {"ROLLUP_VERSION": "2521180740"}}
    assert checked("5.2.0", answer("6.0.0"), **pinned)[0][0][0] == "warning"


@pytest.mark.parametrize(
    ("found", "values", "place", "state"),
    [
        (answer(None), {}, RAW, "not checked: the file does not contain nodeVersion"),
        (
            answer(None, where="", registry=None, errors=[f"{RAW} gives no answer within 3 s", "there is no copy"]),
            {},
            "-",
            f"not checked: {RAW} gives no answer within 3 s; there is no copy",
        ),
        (
            None,
            {"aztec_environment": {"NETWORK_CONFIG_LOCATION": "/etc/network_config.json"}},
            "-",
            "not checked: NETWORK_CONFIG_LOCATION is a file in the container",
        ),
    ],
)
def test_what_was_not_checked_is_not_a_problem(found: dict | None, values: dict, place: str, state: str) -> None:
    problems, rows = checked("5.2.0", found, **values)
    assert problems == []
    assert rows == [("node-1", "mainnet", "5.2.0", "-", place, state)]


def test_host_info_without_an_answer_has_no_row() -> None:
    assert checked("5.2.0", None) == ([], [])


def test_the_cached_copy_has_a_date() -> None:
    problems, rows = checked("5.2.0", answer("6.0.0", where="", cached=1795405649.0, errors=[f"{RAW} is down"]))
    assert problems[0][0] == "error"
    assert rows[0][3:] == ("6.0.0", "copy of 2026-11-23 in the data directory", "INCOMPATIBLE")


OTHER = "0x" + "ab" * 20


@pytest.mark.parametrize(
    ("registry", "values", "wanted"),
    [
        (REGISTRY, {}, None),
        (REGISTRY.upper().replace("0X", "0x"), {}, None),
        (None, {}, None),
        (OTHER, {"aztec_l1_registry": OTHER}, None),
        (OTHER, {}, REGISTRY),
        (REGISTRY, {"aztec_l1_registry": OTHER}, OTHER),
        # Nothing is known of a network that the operator configures.
        (OTHER, {"aztec_environment": {"NETWORK_CONFIG_LOCATION": "https://lan/x.json"}}, None),
    ],
)
def test_registries(registry: str | None, values: dict, wanted: str | None) -> None:
    problems, _rows = checked("5.2.0", answer(registry=registry), **values)
    assert [one[:3] for one in problems] == (
        [
            (
                "warning",
                "aztec_l1_registry",
                f"the network's configuration ({RAW}) contains the registry {registry} for mainnet, but this run uses "
                f"{wanted}",
            )
        ]
        if wanted
        else []
    )


@pytest.mark.parametrize("host", ["broker-1", "agent-1"])
def test_only_the_node_s_host_is_checked(host: str) -> None:
    assert check_network(host, VALUES, fleet(), None) == ([], [])
    assert check_network(host, VALUES, fleet(), answer("6.0.0")) == ([], [])


def test_queries() -> None:
    queries = json.loads(l1_queries(VALUES, fleet(), "node-1"))
    assert queries["network"] == {
        "name": "mainnet",
        "urls": list(DEFAULT_URLS),
        "cache": "/data/node/cache/mainnet/network_config.json",
        "seconds": 10,
    }
    assert [one["url"] for one in queries["execution"]] == ["https://rpc.lan"]
    own = {"prover_node_environment": {"NETWORK_CONFIG_LOCATION": "https://lan/x.json"}, "aztec_l1_timeout": 2}
    queries = json.loads(l1_queries({**VALUES, **own}, fleet(), "node-1"))
    assert (queries["network"]["urls"], queries["network"]["seconds"]) == (["https://lan/x.json"], 2)


@pytest.mark.parametrize(
    ("host", "values"),
    [
        ("broker-1", {}),
        ("node-1", {"aztec_environment": {"NETWORK_CONFIG_LOCATION": "file:///x.json"}}),
    ],
)
def test_hosts_without_a_query(host: str, values: dict) -> None:
    assert "network" not in json.loads(l1_queries({**VALUES, **values}, fleet(), host))


def test_no_queries_if_l1_checks_are_off() -> None:
    assert l1_queries({**VALUES, "aztec_l1_checks": "ignore"}, fleet(), "node-1") == ""
    assert l1_queries(VALUES, fleet(), "agent-1") == ""


def test_table() -> None:
    text = table(checked("5.2.0", answer("6.0.0"))[1], NETWORK_HEADS)
    row = ["node-1", "mainnet", "5.2.0", "6.0.0", RAW, "INCOMPATIBLE"]
    assert [line.split() for line in text.splitlines()][2] == row
