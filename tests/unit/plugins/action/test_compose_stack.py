"""How the action plugin calls the module."""

from __future__ import annotations

from types import SimpleNamespace
from unittest import mock

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.aztec_ops.prover.plugins.action import compose_stack

ARGUMENTS = {"project": "p", "directory": "/d", "secrets": "{}", "files": {"k": "v"}}


def plugin(answers, check_mode=False):
    """Take what the calls answer, give a plugin and the list of its calls, each by its phase."""
    made = compose_stack.ActionModule.__new__(compose_stack.ActionModule)
    made._task = SimpleNamespace(args=dict(ARGUMENTS), check_mode=check_mode, action="aztec_ops.prover.compose_stack")
    made._connection = SimpleNamespace(has_pipelining=True, become=None, transport="ssh")
    calls, left = [], iter(answers)

    def execute(module_args, task_vars):
        calls.append(module_args["_phase"])
        execute.arguments = module_args
        execute.secret = [*getattr(execute, "secret", []), bool({"secrets", "files"} & set(module_args))]
        return dict(next(left))

    made._execute_module = execute
    return made, calls


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def run(made):
    with mock.patch.object(compose_stack, "time", Clock()), mock.patch.object(ActionBase, "run", return_value={}):
        return made.run(task_vars={"inventory_hostname": "h"})


def test_no_change_is_one_call():
    made, calls = plugin([{"changed": False, "_todo": False}])
    assert run(made) == {"changed": False}
    assert calls == ["look"]


@pytest.mark.parametrize("answer", [{"changed": True, "_todo": True}, {"failed": True, "msg": "no"}])
def test_check_mode_and_failure_are_one_call(answer):
    made, calls = plugin([answer], check_mode=True)
    assert "_todo" not in run(made)
    assert len(calls) == 1


STARTED = {"changed": True, "started": True}
BUSY = {"text": "pull x", "alive": True, "result": None}


def test_change_runs_as_a_job_that_is_followed():
    ended = {"text": "pull x", "alive": False, "result": {"changed": True, "status": {"s": {}}}}
    made, calls = plugin([{"changed": True, "_todo": True, "diff": ["d"]}, STARTED, BUSY, ended, {}])
    assert run(made) == {"changed": True, "status": {"s": {}}, "diff": ["d"]}
    assert calls == ["look", "start", "progress", "progress", "forget"]
    assert made._execute_module.secret == [True, True, False, False, False]


def test_result_of_a_job_that_is_busy_ending_is_taken():
    made, dummy = plugin([{"_todo": True}, STARTED, {**BUSY, "result": {"changed": True}}, {}])
    assert run(made) == {"changed": True}


def test_job_that_is_killed_is_a_failure_and_not_waited_for():
    made, calls = plugin([{"_todo": True}, STARTED, BUSY, {**BUSY, "alive": False}, {}])
    result = run(made)
    assert result["failed"] and "run the same again" in result["msg"]
    assert calls == ["look", "start", "progress", "progress", "forget"]


def test_job_that_never_ends_is_given_up():
    made, calls = plugin([{"_todo": True}, STARTED, *[BUSY] * 1600])
    assert "run the same again" in run(made)["msg"]
    assert calls.count("progress") > 1000 and calls[-1] == "forget"


@pytest.mark.parametrize(("state", "sent"), [("pulled", set()), ("present", {"secrets", "files"})])
def test_a_pull_is_given_no_secrets(state, sent):
    made, dummy = plugin([{"_todo": True}, {"failed": True, "msg": "no room"}])
    made._task.args["state"] = state
    run(made)
    assert {"secrets", "files"} & set(made._execute_module.arguments) == sent


def test_job_that_cannot_be_started_is_a_failure():
    made, dummy = plugin([{"_todo": True}, {"failed": True, "msg": "no room"}])
    assert run(made)["msg"] == "no room"


@pytest.mark.parametrize(
    ("value", "text"),
    [("{}", None), ("", None), ({}, None), (None, None), ({"a": 1}, '{"a": 1}'), ('{"a": 1}', '{"a": 1}')],
)
def test_as_json_text(value, text):
    assert compose_stack.as_json_text(value) == text


def become(name, pipelining):
    return SimpleNamespace(name=name, pipelining=pipelining)


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        ({"become": become("sudo", True)}, None),
        ({"become": become("su", False)}, "the become method su would leave secrets in a file on the host"),
        ({"has_pipelining": False, "transport": "paramiko_ssh"}, "the connection paramiko_ssh would leave secrets"),
    ],
)
def test_secrets_go_only_where_no_file_is_written(connection, said):
    made, calls = plugin([{"changed": False, "_todo": False}])
    vars(made._connection).update(connection)
    assert made._is_pipelining_enabled("new") is (said is None)
    result = run(made)
    assert calls == (["look"] if said is None else [])
    if said:
        assert result["failed"] and result["msg"].startswith(f"compose_stack: {said}") and "\n" not in result["msg"]


def test_without_secrets_any_connection_will_do():
    made, calls = plugin([{"changed": False, "_todo": False}])
    made._connection.become = become("su", False)
    made._task.args = {"project": "p", "directory": "/d", "secrets": "{}", "files": {}}
    assert run(made) == {"changed": False}
    assert calls == ["look"]
