# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of playbooks/rewards.yml, and the L1 that it queries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.action.rewards import (
    OPTIONS,
    Request,
    node_query,
    request_of,
    session_of,
    wanted_of,
)
from ansible_collections.aztec_ops.prover.plugins.modules import rewards

ROOT = Path(__file__).resolve().parents[4]
PROVER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
VALUES = {"aztec_l1_execution_urls": ["http://10.0.0.5:8545", "http://10.0.0.6:8545/KEY"]}


def test_the_playbook_passes_every_option() -> None:
    (task,) = yaml.safe_load((ROOT / "playbooks/rewards.yml").read_text())[1]["tasks"][1:]
    assert sorted(task["aztec_ops.prover.rewards"]) == sorted(OPTIONS)
    documented = yaml.safe_load(rewards.DOCUMENTATION)["options"]
    assert sorted(documented) == sorted(OPTIONS)
    defaults = vars(Request())
    assert {name: documented[name]["default"] for name in ("claim", "use_publisher", "gas_limit", "wait")} == {
        name: defaults[name] for name in ("claim", "use_publisher", "gas_limit", "wait")
    }


@pytest.mark.parametrize(
    ("arguments", "request_"),
    [
        ({}, Request()),
        ({"claim": "true", "wait": "60", "gas_limit": 5}, Request(claim=True, wait=60, gas_limit=5)),
        ({"epochs": "7,9"}, Request(epochs=(7, 9))),
        ({"from_epoch": 3, "epochs": ""}, Request(from_epoch=3)),
        ({"rollup": PROVER.lower(), "prover_id": PROVER}, Request(rollup=PROVER, prover_id=PROVER)),
    ],
)
def test_options(arguments, request_) -> None:
    assert request_of(arguments) == request_


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"claim": "perhaps"}, "rewards_claim is not a boolean: write true or false"),
        ({"wait": -1}, "rewards_wait is not a whole number: give one from 0"),
        ({"epochs": "7-9"}, "rewards_epochs is not a list of epochs: write it as 7 or 7,9,12"),
        (
            {"epochs": "7", "from_epoch": "0"},
            "rewards_epochs and rewards_from_epoch are both set: set only one of them",
        ),
        ({"rollup": "0x12"}, "rewards_rollup: not an Ethereum address: give 0x and 40 hex digits"),
        ({"use_publisher": True}, "rewards_use_publisher requires rewards_claim: set that too"),
    ],
)
def test_wrong_options(arguments, line) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        request_of(arguments)


def test_what_is_wanted() -> None:
    key = {"prover_node_publisher_private_key": "0x" + "01" * 32}
    own = "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"
    wanted = wanted_of(Request(), key, from_epoch_given=False)
    assert (wanted.prover, wanted.first) == (own, None)
    wanted = wanted_of(Request(prover_id=PROVER), key, from_epoch_given=True)
    assert (wanted.prover, wanted.first) == (PROVER, 0)


def test_the_l1_of_the_node() -> None:
    session = session_of(VALUES, {"network": "mainnet"}, None)
    assert [one["url"] for one in session.targets] == VALUES["aztec_l1_execution_urls"]
    assert (session.network.chain_id, session.network.registry[:6]) == (1, "0x35b2")
    session = session_of({**VALUES, "aztec_l1_chain_id": 5, "aztec_l1_registry": PROVER}, {"network": "next-net"}, None)
    assert (session.network.chain_id, session.network.registry) == (5, PROVER)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, "the chain is not known because the network 'next-net' is not known: set aztec_l1_chain_id"),
        (
            {"aztec_l1_chain_id": 5},
            "the registry is not known because the network 'next-net' is not known: set aztec_l1_registry",
        ),
    ],
)
def test_an_unknown_l1(values, line) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        session_of({**VALUES, **values}, {"network": "next-net"}, None)


@pytest.mark.parametrize(("values", "key"), [({}, ""), ({"prover_node_admin_api_key": "a-key"}, "a-key")])
def test_where_the_node_is_queried(values, key) -> None:
    fleet = {"version": "6.0.0", "line": "6", "projects": ["aztec-prover-node"]}
    assert node_query(values, fleet) == {
        "projects": ["aztec-prover-node"], "jobs": "prover_getJobs", "admin": True, "admin_key": key
    }
