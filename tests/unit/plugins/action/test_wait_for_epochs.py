# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How an upgrade waits for the epochs in work."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.aztec_ops.prover.plugins.action import wait_for_epochs

PROJECT = "aztec-prover-node"
SILENT = {"host_info": {"projects": {PROJECT: {"containers": [{"name": "node", "state": "running"}]}}}}
UNKNOWN = {"ended": [], "in_work": [], "known": False}


def node(*jobs: tuple) -> dict:
    found = [{"epoch": epoch, "state": state} for epoch, state in jobs]
    return {"host_info": {"projects": {PROJECT: {"containers": [{"epoch_jobs": found}]}}}}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list:
    """Return what is displayed. Sleeping takes no time and advances the clock."""
    texts: list = []
    clock = SimpleNamespace(now=0.0)
    display = SimpleNamespace(display=texts.append, warning=lambda text: texts.append(f"WARNING {text}"))
    monkeypatch.setattr(wait_for_epochs, "display", display)
    advance = SimpleNamespace(monotonic=lambda: clock.now, sleep=lambda n: setattr(clock, "now", clock.now + n))
    monkeypatch.setattr(wait_for_epochs, "time", advance)
    return texts


RPC_PORT = {"epoch_jobs": "prover_getJobs", "admin_jobs": ""}
ADMIN_PORT = {"epoch_jobs": "prover_getJobs", "admin_jobs": "prover_getJobs"}


def wait(answers: list, rpc: dict | None = None, seconds: int = 3600, key: str = "", pipelines: bool = True) -> dict:
    made = wait_for_epochs.ActionModule.__new__(wait_for_epochs.ActionModule)
    left, rpc = iter(answers), rpc or RPC_PORT

    def execute(module_name: str, module_args: dict, task_vars: dict) -> dict:
        assert module_args == {"projects": [PROJECT], "probe": True, "rpc": rpc, "admin_key": key}
        return next(left)

    made._execute_module = execute
    made._task = SimpleNamespace(action="aztec_ops.prover.wait_for_epochs")
    made._connection = SimpleNamespace(has_pipelining=pipelines, become=None, transport="winrm")
    arguments = {"project": PROJECT, "rpc": rpc, "admin_key": key, "seconds": seconds}
    return made.execute(arguments, {"inventory_hostname": "node-1"})


def test_nothing_in_work(shown: list) -> None:
    assert wait([node((7, "completed"))]) == {"ended": [], "in_work": [], "known": True}
    assert shown == []


def test_the_epoch_ends_and_the_next_is_not_awaited(shown: list) -> None:
    answers = [node((7, "processing")), node((7, "publishing-proof"), (8, "processing")), node((8, "processing"))]
    assert wait(answers) == {"ended": [7], "in_work": [], "known": True}
    assert shown == [
        "  node-1: waiting for the end of epoch 7 (processing), for 3600 s at most",
        "  node-1: waiting for the end of epoch 7 (publishing-proof), for 3597 s at most",
    ]


def test_the_wait_is_bounded(shown: list) -> None:
    assert wait([node((7, "processing"))] * 9, seconds=5) == {"ended": [], "in_work": [7], "known": True}
    assert shown[-1] == "WARNING node-1: epoch 7 (processing) did not end within 5 s, and is interrupted"
    assert len(shown) == 3


def test_a_release_that_reports_its_epochs_only_with_a_key(shown: list) -> None:
    assert wait([], rpc={"epoch_jobs": "", "admin_jobs": ""}) == UNKNOWN
    assert shown == [f"  node-1: {wait_for_epochs.WITHOUT_KEY}, so the run does not wait"]
    assert wait([node((7, "processing")), node()], rpc=ADMIN_PORT, key="a key")["ended"] == [7]


def test_the_key_is_not_written_to_a_file_on_the_host(shown: list) -> None:
    result = wait([], rpc=ADMIN_PORT, key="a key", pipelines=False)
    assert result["failed"] and "the connection winrm would leave secrets in a file on the host" in result["msg"]


def test_a_node_that_does_not_respond(shown: list) -> None:
    assert wait([{"host_info": {"projects": {PROJECT: {"containers": [{"name": "node"}]}}}}]) == UNKNOWN
    assert shown == ["  node-1: the node does not report its epochs now, so the run does not wait"]


def test_queries_without_an_answer_do_not_end_the_wait(shown: list) -> None:
    work, silent = node((7, "processing")), [SILENT] * 4
    assert wait([work, *silent, work, *silent, node()]) == {"ended": [7], "in_work": [], "known": True}
    assert shown[1] == "  node-1: the node does not report its epochs now, query 1 of 5"
    assert len(shown) == 10


def test_a_restarting_container_does_not_end_the_wait(shown: list) -> None:
    gone = {"host_info": {"projects": {PROJECT: {"containers": [{"name": "node", "state": "restarting"}]}}}}
    assert wait([node((7, "processing")), gone, node()]) == {"ended": [7], "in_work": [], "known": True}


def test_a_node_that_stops_to_answer(shown: list) -> None:
    answers = [node((7, "processing")), *[SILENT] * 5]
    assert wait(answers) == {"ended": [], "in_work": [7], "known": True}
    assert shown[-1] == "WARNING node-1: the node no longer reports its epochs, and epoch 7 (processing) is interrupted"


def test_silence_until_the_end_of_the_wait(shown: list) -> None:
    answers = [node((7, "processing")), *[SILENT] * 5]
    assert wait(answers, seconds=5) == {"ended": [], "in_work": [7], "known": True}
    assert shown[-1] == "WARNING node-1: epoch 7 (processing) did not end within 5 s, and is interrupted"


def test_the_first_query_is_repeated(shown: list) -> None:
    assert wait([SILENT, node((7, "processing")), node()]) == {"ended": [7], "in_work": [], "known": True}


def test_a_running_node_that_never_answers(shown: list) -> None:
    assert wait([SILENT] * 5) == UNKNOWN
    assert shown[-1] == "  node-1: the node does not report its epochs now, so the run does not wait"
    assert len(shown) == 5


def test_a_host_that_is_gone(shown: list) -> None:
    gone = {"unreachable": True, "msg": "no route"}
    assert wait([node((7, "processing")), gone]) == gone
