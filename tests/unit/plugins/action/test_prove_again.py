# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What prove_again.yml sends to the node, by the state of the node and the L1."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleError
from ansible_collections.aztec_ops.prover.plugins.action import prove_again

from tests.unit.plugins.plugin_utils.status.test_earning import US, VALUES, host_infos, proofs

KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
FLEET = {**copy.deepcopy(VALUES), "hosts": {"node-1": {"components": ["prover_node"], "paths": {}, "addresses": []}}}
OPEN = {"proofs": proofs([], epoch=10)}


def prove(
    epoch: object = 9, node: dict | None = None, check: bool = False, found: dict | None = None, **variables: str
):
    """Run the action. Return its result and the arguments of the modules that it runs."""
    made = prove_again.ActionModule.__new__(prove_again.ActionModule)
    made._task = SimpleNamespace(check_mode=check)
    made.pipelining_failure = lambda has_secrets: None
    calls: list = []

    def execute(module_name: str, module_args: dict, task_vars: dict) -> dict:
        calls.append((module_name.rpartition(".")[2], module_args))
        if module_name.endswith("host_info"):
            return {"host_info": host_infos({**OPEN, **(node or {})})["node-1"]}
        return {"start_proof": {"before": "", "after": "initialized", "kind": "", "error": "", **(found or {})}}

    made._execute_module = execute
    version = str(variables.get("aztec_version", "4.1.2"))
    fleet = {**FLEET, "version": version, "line": version[0]}
    task_vars = {"inventory_hostname": "node-1", "hostvars": {"node-1": {"aztec_version": version, **variables}}}
    return made.execute({"epoch": epoch, "fleet": fleet}, task_vars), calls


def test_release_4_proves_at_the_rpc_port() -> None:
    result, calls = prove("9", prover_node_admin_api_key=KEY)
    assert (result["changed"], result["verdict"]) == (True, "the proof of epoch 9 has started (initialized)")
    assert calls == [
        (
            "host_info",
            {"projects": ["aztec-prover-node"], "probe": True, "earning": {"prover_id": US, "epochs": 25}},
        ),
        (
            "start_proof",
            {
                **{"project": "aztec-prover-node", "epoch": 9, "admin": False, "admin_key": ""},
                **{"start": "prover_startProof", "jobs": "prover_getJobs"},
            },
        ),
    ]


@pytest.mark.parametrize("disabled", [False, True])
def test_later_releases_prove_at_the_admin_port(disabled: bool) -> None:
    given: dict = {"prover_node_admin_api_key": KEY}
    if disabled:
        given = {"prover_node_environment": {"AZTEC_DISABLE_ADMIN_API_KEY": "true"}}
    _result, calls = prove(aztec_version="6.0.0", **given)
    assert calls[1][1]["admin"] is True
    assert calls[1][1]["admin_key"] == ("" if disabled else KEY)


def test_check_mode_sends_nothing() -> None:
    result, calls = prove(check=True)
    assert (result["changed"], result["verdict"]) == (True, "would start the proof of epoch 9")
    assert [name for name, _arguments in calls] == ["host_info"]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"epoch": ""}, "epoch is not set"),
        ({"aztec_version": "6.0.0"}, "prover_node_admin_api_key is not set"),
        ({"node": {"state": "exited"}}, "the node does not run"),
        ({"node": {"status": {"code": 200, "headers": {}, "error": "", "post": 404}}}, "the node is in standby"),
        ({"epoch": 10}, "epoch 10 has not ended"),
        ({"epoch": 7}, "proofs of epoch 7 are no longer accepted"),
        ({"node": {"proofs": proofs([(9, US.lower())])}}, "epoch 9 has a proof of this prover"),
        ({"found": {"before": "processing"}}, "the node works on epoch 9"),
        (
            {"found": {"kind": "key", "error": "x"}, "aztec_version": "6.0.0", "prover_node_admin_api_key": KEY},
            "the node refuses the key",
        ),
    ],
)
def test_refusals(given: dict, line: str) -> None:
    with pytest.raises(AnsibleError, match=f"^prove_again: {line}"):
        prove(**given)


def test_a_fleet_that_is_none() -> None:
    made = prove_again.ActionModule.__new__(prove_again.ActionModule)
    with pytest.raises(AnsibleError, match=r"^prove_again: fleet does not contain the values of a fleet"):
        made.execute({"epoch": 1, "fleet": {}}, {})
