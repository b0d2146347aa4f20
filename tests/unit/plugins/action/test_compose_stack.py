"""How the action plugin calls the module."""

from __future__ import annotations

from types import SimpleNamespace
from unittest import mock

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.aztec_ops.prover.plugins.action import compose_stack

ARGUMENTS = {"project": "p", "directory": "/d", "secrets": "{}", "files": {"k": "v"}}


def plugin(answers, check_mode=False):
    """Take what the calls answer, give a plugin and the list of its calls: (module, phase, whether as a job)."""
    made = compose_stack.ActionModule.__new__(compose_stack.ActionModule)
    made._task = SimpleNamespace(args=dict(ARGUMENTS), check_mode=check_mode, async_val=0)
    calls, left = [], iter(answers)

    def execute(module_name=None, module_args=None, task_vars=None, wrap_async=False):
        calls.append((module_name or "compose_stack", module_args.get("_phase") or module_args.get("mode"), wrap_async))
        execute.arguments = module_args
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
    assert calls == [("compose_stack", "look", False)]


@pytest.mark.parametrize("answer", [{"changed": True, "_todo": True}, {"failed": True, "msg": "no"}])
def test_check_mode_and_failure_are_one_call(answer):
    made, calls = plugin([answer], check_mode=True)
    assert "_todo" not in run(made)
    assert len(calls) == 1


STARTED = {"ansible_job_id": "j1", "results_file": "/home/admin/.ansible_async/j1"}
STATUS = "ansible.legacy.async_status"


def test_change_runs_as_a_job_that_is_followed():
    made, calls = plugin(
        [
            {"changed": True, "_todo": True, "diff": ["d"]},
            STARTED,
            {"text": "pull x", "alive": True},
            {"text": "pull x", "alive": False},
            {"finished": True, "changed": True, "status": {"s": {}}},
            {},
        ]
    )
    assert run(made) == {"changed": True, "status": {"s": {}}, "diff": ["d"]}
    assert [call[1] for call in calls] == ["look", "apply", "progress", "progress", "status", "cleanup"]
    assert [call[2] for call in calls] == [False, True, False, False, False, False]
    assert made._task.async_val == 0


SILENCE = [{"text": "x", "alive": False}, {"finished": False}]


def test_job_that_is_busy_ending_is_waited_for():
    alive = [{"text": "x", "alive": True}]
    made, dummy = plugin([{"_todo": True}, STARTED, *alive, *SILENCE * 10, {"alive": False}, {"finished": True}, {}])
    assert run(made) == {}


def test_job_that_is_killed_is_a_failure_and_not_waited_for():
    made, calls = plugin([{"_todo": True}, STARTED, *SILENCE * 27, {}])
    result = run(made)
    assert result["failed"] and "run the same again" in result["msg"]
    assert calls[-1][1] == "cleanup"


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
