"""How the action plugin calls the module."""

from __future__ import annotations

from types import SimpleNamespace
from unittest import mock

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.aztec_ops.prover.plugins.action import compose_stack

ARGUMENTS = {"project": "p", "directory": "/d", "env": "A=S3cret\n", "secret_variables": ["A"], "files": {"k": "v"}}


class Clock:
    """A clock that only advances in sleep(), and while a query waits on the host."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def plugin(answers, check_mode=False):
    """Return a plugin whose calls return the given answers, and the list of its calls, each by its phase."""
    made = compose_stack.ActionModule.__new__(compose_stack.ActionModule)
    made._task = SimpleNamespace(args=dict(ARGUMENTS), check_mode=check_mode, action="aztec_ops.prover.compose_stack")
    made._connection = SimpleNamespace(has_pipelining=True, become=None, transport="ssh")
    made.clock = Clock()
    calls, left = [], iter(answers)

    def execute(module_args, task_vars):
        calls.append(module_args["_phase"])
        execute.arguments = module_args
        made.clock.sleep(module_args.get("_wait", 0))
        execute.secret = [*getattr(execute, "secret", []), bool({"env", "files"} & set(module_args))]
        answer = next(left)
        if isinstance(answer, BaseException):
            raise answer
        return dict(answer)

    made._execute_module = execute
    return made, calls


def run(made, output=None):
    """Run the plugin and return its result. Add what it prints to a list."""
    output = [] if output is None else output
    display = mock.Mock(display=output.append, warning=output.append)
    with (
        mock.patch.object(compose_stack, "time", made.clock),
        mock.patch.object(compose_stack, "display", display),
        mock.patch.object(ActionBase, "run", return_value={}),
    ):
        return made.run(task_vars={"inventory_hostname": "h"})


def test_no_change_is_one_call():
    made, calls = plugin([{"changed": False}])
    assert run(made) == {"changed": False}
    assert calls == ["start"]


@pytest.mark.parametrize("answer", [{"changed": True, "_todo": True}, {"failed": True, "msg": "no"}])
def test_check_mode_and_failure_are_one_call(answer):
    made, calls = plugin([answer], check_mode=True)
    assert "_todo" not in run(made)
    assert calls == ["inspect"]


STARTED = {"changed": True, "started": True}
BUSY = {"text": "pull x", "alive": True, "result": None}


def test_change_runs_as_a_job_that_is_followed():
    ended = {"text": "pull x", "alive": False, "result": {"changed": True, "status": {"s": {}}}}
    made, calls = plugin([{**STARTED, "diff": ["d"]}, BUSY, ended, {}])
    assert run(made) == {"changed": True, "status": {"s": {}}, "diff": ["d"]}
    assert calls == ["start", "progress", "progress", "forget"]
    assert made._execute_module.secret == [True, False, False, False]


def test_result_of_a_job_that_is_busy_ending_is_taken():
    made, dummy = plugin([STARTED, {**BUSY, "result": {"changed": True}}, {}])
    assert run(made) == {"changed": True}


def test_job_that_is_killed_is_a_failure_and_not_waited_for():
    made, calls = plugin([STARTED, BUSY, {**BUSY, "alive": False}, {}])
    result = run(made)
    assert result["failed"] and "run the same command again" in result["msg"] and result["known"] is False
    assert calls == ["start", "progress", "progress", "forget"]


def test_job_that_never_ends_is_given_up_and_not_forgotten():
    made, calls = plugin([STARTED, *[BUSY] * 2000])
    result = run(made)
    assert result["failed"] and result["known"] is False
    assert result["msg"] == (
        "the work on p continues after its limit of 7440 s: "
        "check what hangs on the host, then run the same command again"
    )
    assert calls.count("progress") > 1000 and "forget" not in calls


# Results of a call for a job when the connection is lost: (answer, reason that is printed, key of the result).
LOST = {
    "ssh cannot connect": (AnsibleConnectionFailure("no route\nto host"), "no route to host", "unreachable"),
    "a transfer fails": (AnsibleError("failed to transfer file"), "failed to transfer file", "failed"),
    "ssh is killed": (
        {"failed": True, "msg": "MODULE FAILURE", "module_stderr": "Connection closed.\n"},
        "Connection closed.",
        "failed",
    ),
    "Python raises an error": (
        {"failed": True, "msg": "MODULE FAILURE", "module_stderr": "Traceback ...\nKeyError: 'x'"},
        "MODULE FAILURE",
        "failed",
    ),
    "an answer of a connection": ({"unreachable": True, "msg": "timed out"}, "timed out", "unreachable"),
    "no word": ({"failed": True}, "no error output", "failed"),
}
ENDED = {"alive": False, "result": {"changed": True}}


@pytest.mark.parametrize("lost", LOST)
def test_connection_that_comes_back_within_a_minute_is_tolerated(lost):
    answer, why, dummy = LOST[lost]
    lost_calls = [answer] * 11
    made, calls = plugin([STARTED, BUSY, *lost_calls, BUSY, *lost_calls, ENDED, {}])
    output = []
    assert run(made, output) == {"changed": True}
    away = f"  h: p: no progress for now: {why}"
    assert output == ["  h: p: pull x", away, "  h: p: pull x", away]
    assert calls[-1] == "forget"


@pytest.mark.parametrize("lost", LOST)
def test_job_continues_and_is_reported_when_the_connection_stays_away(lost):
    answer, why, key = LOST[lost]
    made, calls = plugin([STARTED, BUSY, *[answer] * 12])
    assert run(made) == {
        key: True,
        "changed": True,
        "known": False,
        "msg": f"the result of the work on p is unknown, as the host does not respond ({why}): "
        "it continues there, run the same command again",
    }
    assert calls[2:] == ["progress"] * 12


def test_run_that_is_interrupted_leaves_the_job_to_itself():
    made, calls = plugin([STARTED, BUSY, KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        run(made)
    assert "forget" not in calls


@pytest.mark.parametrize("lost", LOST)
def test_result_is_kept_when_the_job_cannot_be_forgotten(lost):
    answer, why, dummy = LOST[lost]
    made, dummy = plugin([STARTED, ENDED, answer])
    output = []
    assert run(made, output) == {"changed": True}
    assert output == [f"h: p: the state of its job stays on the host until a later run removes it: {why}"]


@pytest.mark.parametrize("lost", LOST)
def test_start_whose_answer_is_lost_is_not_known(lost):
    answer, why, key = LOST[lost]
    made, calls = plugin([answer])
    result = run(made)
    assert (result.pop(key), result.pop("known"), result.pop("changed")) == (True, False, True)
    assert result == {"msg": f"it is unknown whether the work on p has begun ({why}): run the same command again"}
    assert calls == ["start"]


def test_failure_of_the_module_itself_is_returned():
    """An argument that is wrong, for example."""
    made, calls = plugin([{"failed": True, "msg": "no image"}])
    assert run(made) == {"changed": False, "failed": True, "msg": "no image"}
    assert calls == ["start"]


def test_details_of_a_pull_are_shown_every_few_seconds():
    polls = [{**BUSY, "detail": f"{number} MB"} for number in range(9)]
    made, dummy = plugin([STARTED, *polls, BUSY, ENDED, {}])
    output = []
    run(made, output)
    assert output == [f"  h: p: pull x, {number} MB" for number in range(9)]
    assert made.clock.now == 11 * 4


@pytest.mark.parametrize(("state", "sent"), [("pulled", set()), ("present", {"env", "files"})])
def test_a_pull_is_given_no_secrets(state, sent):
    made, dummy = plugin([{"failed": True, "msg": "no room"}])
    made._task.args["state"] = state
    run(made)
    assert {"env", "files"} & set(made._execute_module.arguments) == sent


def test_job_that_cannot_be_started_is_a_failure():
    made, dummy = plugin([{"failed": True, "started": False, "msg": "no room"}])
    assert run(made) == {"failed": True, "changed": False, "started": False, "msg": "no room"}


@pytest.mark.parametrize(
    ("value", "text"),
    [("{}", None), ("", None), ({}, None), (None, None), ({"a": 1}, '{"a": 1}'), ('{"a": 1}', '{"a": 1}')],
)
def test_as_json_text(value, text):
    assert compose_stack.as_json_text(value) == text


def become(name, pipelining):
    return SimpleNamespace(name=name, pipelining=pipelining)


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        ({"become": become("sudo", True)}, None),
        ({"become": become("su", False)}, "the become method su would leave secrets in a file on the host"),
        ({"has_pipelining": False, "transport": "paramiko_ssh"}, "the connection paramiko_ssh would leave secrets"),
    ],
)
def test_secrets_go_only_where_no_file_is_written(connection, expected):
    made, calls = plugin([{"changed": False}])
    vars(made._connection).update(connection)
    assert made._is_pipelining_enabled("new") is (expected is None)
    result = run(made)
    assert calls == (["start"] if expected is None else [])
    if expected:
        assert result["failed"] and result["msg"].startswith(f"compose_stack: {expected}") and "\n" not in result["msg"]


def test_without_secrets_any_connection_will_do():
    made, calls = plugin([{"changed": False}])
    made._connection.become = become("su", False)
    made._task.args = {"project": "p", "directory": "/d", "env": "A=a\n", "files": {}}
    assert run(made) == {"changed": False}
    assert calls == ["start"]


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("services: {a: {image: 'x:1', cpus: 1.5}}", {"services": {"a": {"image": "x:1", "cpus": 1.5}}}),
        ("a: 2001-02-03\n1: ~", {"a": "2001-02-03", "1": None}),
        ("", {}),
        ("[a]", {}),
    ],
)
def test_compose_model(text, model):
    assert compose_stack.compose_model(text) == model


@pytest.mark.parametrize("text", ["a: [", "a: 1\n  b: 2", "? [a, b]\n: c", "a: !!python/object:os.system x"])
def test_a_file_that_is_not_yaml_is_one_line(text):
    made, calls = plugin([])
    made._task.args["compose"] = text
    result = run(made)
    assert result["failed"] and result["msg"].startswith("compose is not YAML") and "\n" not in result["msg"]
    assert calls == []
