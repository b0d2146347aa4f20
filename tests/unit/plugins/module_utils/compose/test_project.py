"""What compose_stack decides."""

from __future__ import annotations

import dataclasses

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import project as compose

MODEL = {
    "services": {
        "s": {"image": "i:1", "env_file": [".env"], "labels": {"mine": "1"}},
        "t": {"image": "i:2", "labels": ["a=b=c"]},
    },
    "networks": {"n": {"external": True}},
}

VALUES = [
    "",
    "plain",
    "a:b",
    "a: b",
    "a #b",
    "#x",
    "- x",
    "yes",
    "No",
    "null",
    "~",
    "1",
    "1.5",
    "1e5",
    "0x10",
    "1_0",
    ".5",
    ".inf",
    "=",
    "<<",
    "!x",
    "&a",
    "*a",
    "%x",
    "@x",
    "`x",
    "{a}",
    "[a]",
    "'x'",
    '"x"',
    " x ",
    "x\ny",
    "x\ty",
    "---",
    "...",
    "a,b",
    "2001-01-01",
    "é猫🐈",
    "\x01\x7f\x85\u2028\ufeff",
    "\\",
    "08",
    "12:30:45",
    "8080:8080",
    "a:",
    ":a",
    "http://x:1/y",
    "/",
    "./x",
    ".env",
    "..",
    "a - b",
    "?",
    "-",
    "x ",
    "on",
    "$$x",
    None,
    True,
    False,
    0,
    -3,
    1.5,
    {},
    [],
    [[]],
    [{}],
    {"a": []},
    [["a", ["b"]], {"c": {"d": [1, {"e": "f", "g": []}]}}],
    {"a b": 1, "yes": 2, "1": 3, "x: y": 4, "": 5},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("wrap", [lambda v: {"k": v}, lambda v: [v, v], lambda v: {"k": [{"a": v, "b": v}, v]}])
def test_yaml_is_read_as_it_was(value, wrap):
    assert yaml.safe_load(compose.to_yaml(wrap(value))) == wrap(value)


@pytest.mark.parametrize(
    ("code", "oom", "said"),
    [
        (0, False, "ended by itself"),
        (1, False, "gave up"),
        (78, False, "update needed: the network has a new rollup"),
        (79, False, "update needed: the network wants a newer version"),
        (125, False, "could not start"),
        (126, False, "cannot be run"),
        (127, False, "not in the image"),
        (137, False, "SIGKILL"),
        (137, True, "ran out of memory"),
        (1, True, "ran out of memory"),
        (143, False, "SIGTERM"),
        (136, False, "signal 8"),
        (42, False, "failed"),
        (255, False, "failed"),
    ],
)
def test_meaning(code, oom, said):
    assert said in compose.meaning(code, oom)


def test_meaning_carries_the_engine_s_error_on_one_line():
    assert compose.meaning(127, False, "exec:\n  no such file").endswith("(exec: no such file)")


def found(status="running", health=None, code=0, policy="unless-stopped", restarts=0, checks=(), **other):
    state = {"Status": status, "ExitCode": code, "StartedAt": "2026-01-01T00:00:00Z", **other}
    if health:
        state["Health"] = {"Status": health, "Log": [{"ExitCode": check} for check in checks]}
    return {
        "Id": "c1",
        "Name": "/p-s-1",
        "Image": "sha256:1",
        "RestartCount": restarts,
        "State": state,
        "Config": {
            "Image": "i:1",
            "Labels": {compose.LABEL_SERVICE: "s", compose.LABEL_HASH: "h", compose.LABEL_CONFIG: "c"},
        },
        "HostConfig": {"RestartPolicy": {"Name": policy}},
        "NetworkSettings": {"Networks": {"n": {}}},
    }


@pytest.mark.parametrize(
    ("item", "was_healthy", "state"),
    [
        (found(), False, "running"),
        (found(health="healthy"), False, "running"),
        (found(health="starting"), False, "starting"),
        (found(health="starting"), True, "starting"),
        (found(health="unhealthy"), False, "starting"),
        (found(health="unhealthy"), True, "failed"),
        (found(health="unhealthy", checks=[0, 1, 1]), False, "failed"),
        (found(health="unhealthy", checks=[1, 1]), False, "starting"),
        (found("exited", code=1), False, "failed"),
        (found("exited", code=0), False, "failed"),
        (found("exited", code=0, policy="no"), False, "exited"),
        (found("exited", code=0, policy="on-failure"), False, "exited"),
        (found("exited", code=1, policy="no"), False, "failed"),
        (found("restarting", code=1), False, "failed"),
        (found("created"), False, "failed"),
        (found("paused"), False, "failed"),
        (found("dead"), False, "failed"),
    ],
)
def test_state(item, was_healthy, state):
    each = compose.container(item, was_healthy)
    assert each.state == state
    assert bool(each.meaning) == (state == "failed")


def watched(item, before=0, running_for=60.0, seen=False):
    return compose.Watched(compose.container(item), before, running_for, seen)


@pytest.mark.parametrize(
    ("each", "waited", "said"),
    [
        (watched(found(health="healthy")), 0, "ok"),
        (watched(found(health="healthy", restarts=1)), 0, "ok"),
        (watched(found(health="starting")), 0, "wait"),
        (watched(found(health="starting")), 100, "ok"),
        (watched(found(health="unhealthy")), 50, "wait"),
        (watched(found(health="unhealthy")), 100, "ok"),
        (watched(found(health="unhealthy", checks=[0])), 0, "wait"),
        (watched(found(health="unhealthy", checks=[0])), 100, "failed"),
        (watched(found(health="unhealthy", checks=[0]), seen=True), 0, "failed"),
        (watched(found(), running_for=1), 1, "wait"),
        (watched(found(), running_for=11), 11, "ok"),
        (watched(found(), running_for=1), 100, "ok"),
        (watched(found(restarts=1), running_for=1), 100, "failed"),
        (watched(found(restarts=1), running_for=11), 20, "ok"),
        (watched(found(restarts=2), running_for=1), 5, "failed"),
        (watched(found(restarts=7), before=7, running_for=11), 5, "ok"),
        (watched(found(health="starting", restarts=2)), 5, "failed"),
        (watched(found("restarting", code=1, restarts=1)), 5, "wait"),
        (watched(found("restarting", code=1, restarts=2)), 5, "failed"),
        (watched(found("restarting", code=1, restarts=1)), 100, "failed"),
        (watched(found("restarting", code=79)), 0, "failed"),
        (watched(found("exited", code=1)), 0, "failed"),
        (watched(found("created", code=127)), 0, "failed"),
        (watched(found("exited", code=0, policy="no")), 0, "ok"),
    ],
)
def test_verdict(each, waited, said):
    assert compose.verdict([each], waited, 100)[0] == said


def test_one_that_failed_decides():
    verdict, failed = compose.verdict([watched(found(health="healthy")), watched(found("exited", code=1))], 0, 100)
    assert (verdict, len(failed)) == ("failed", 1)


def labels(model=None, env="A=1\n", files=None, directory="/d"):
    made = compose.with_labels(model or MODEL, env, files or {}, directory)
    return {name: service["labels"] for name, service in made["services"].items()}


def test_labels_keep_what_was_there():
    made = labels(files={"k": "v"})
    assert made["s"]["mine"] == "1" and made["t"]["a"] == "b=c"
    assert compose.LABEL_FILES in made["s"] and compose.LABEL_FILES in made["t"]
    assert compose.LABEL_FILES not in labels()["s"]
    assert "labels" in MODEL["services"]["s"] and compose.LABEL_CONFIG not in MODEL["services"]["s"]["labels"]


def with_t(**keys):
    """Give the model with another service t."""
    return {**MODEL, "services": {**MODEL["services"], "t": {**MODEL["services"]["t"], **keys}}}


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({}, []),
        ({"env": "A=2\n"}, ["s"]),
        ({"files": {"k": "other"}}, ["s", "t"]),
        ({"files": {"k": "v", "l": ""}}, ["s", "t"]),
        ({"model": {**MODEL, "networks": {}}}, ["s", "t"]),
        ({"model": with_t(image="i:3")}, ["t"]),
        ({"model": with_t(depends_on=["s"])}, []),
        ({"model": with_t(deploy={"replicas": 2})}, []),
        ({"model": with_t(deploy={"resources": {"limits": {"cpus": 1}}})}, ["t"]),
    ],
)
def test_label_changes_exactly_when_the_container_must(change, changed):
    before, after = labels(files={"k": "v"}), labels(**{"files": {"k": "v"}, **change})
    assert [
        name for name in before if before[name][compose.LABEL_CONFIG] != after[name][compose.LABEL_CONFIG]
    ] == changed


@pytest.mark.parametrize(
    ("env_file", "reads"),
    [
        ([".env"], True),
        (".env", True),
        (["./.env"], True),
        (["/d/.env"], True),
        ([{"path": ".env", "required": True}], True),
        (["other.env"], False),
        ([], False),
        (None, False),
    ],
)
def test_reads_env(env_file, reads):
    service = {"image": "i", "env_file": env_file}
    assert compose.reads_env(service, "/d") == reads
    moved = compose.with_env_at({"services": {"s": service}}, "/d", "/staged/.env")["services"]["s"]
    assert ("/staged/.env" in repr(moved)) == reads


def test_garbled_values_are_named():
    resolved = {"services": {"s": {"environment": {"A": "1", "B": "x$$y", "C": "lost"}}}}
    values = {"A": "1", "B": "x$y", "C": "c", "D": "d"}
    assert compose.garbled(resolved, MODEL, values, "/d") == ["C", "D"]
    own = {"services": {"s": {**MODEL["services"]["s"], "environment": {"C": "lost"}}}}
    assert compose.garbled(resolved, own, values, "/d") == ["D"]


@pytest.mark.parametrize("path", ["keys/prover.json", "k"])
def test_file_below_the_directory_is_taken(path):
    assert compose.file_problem(path) is None


@pytest.mark.parametrize(
    "path",
    ["", "/k", "../k", "a/../k", "a//k", "./k", "k/", ".env", "compose.yml", ".stack/x", "..", "."],
)
def test_file_elsewhere_is_refused(path):
    assert compose.file_problem(path)


@pytest.mark.parametrize(
    ("service", "names"),
    [
        ({}, ["p-s-1"]),
        ({"scale": 2}, ["p-s-1", "p-s-2"]),
        ({"deploy": {"replicas": 3}}, ["p-s-1", "p-s-2", "p-s-3"]),
        ({"deploy": {"replicas": 0}}, []),
        ({"container_name": "x"}, ["x"]),
    ],
)
def test_names_of(service, names):
    assert compose.names_of("p", "s", service) == names


LABELLED = {"services": {"s": {"image": "i:1", "labels": {compose.LABEL_CONFIG: "c"}}}}
NOTED = {"s": {"hashes": ["h"], "networks": ["n"]}}


def actions(*containers, images=None, memory=None, model=None, running_for=None):
    engine = compose.Engine(tuple(containers), {"i:1": "sha256:1"} if images is None else images)
    noted = NOTED if memory is None else memory
    done = compose.container_actions("p", model or LABELLED, engine, noted, running_for or {})
    return [item["do"] for item in done]


GOOD = compose.container(found())


@pytest.mark.parametrize(
    ("action", "more"),
    [
        ({"do": "write", "what": ".env"}, True),
        ({"do": "unlink", "what": "keys/old"}, True),
        ({"do": "directory", "what": "/data"}, True),
        ({"do": "network", "what": "aztec"}, True),
        ({"do": "pull", "what": "a:1"}, True),
        ({"do": "recreate", "service": "s", "why": "its image changed"}, True),
        ({"do": "recreate", "service": "s", "why": "its configuration changed"}, False),
        ({"do": "create", "service": "s", "why": "it is not there"}, False),
        ({"do": "start", "service": "s", "why": "it was exited"}, False),
        ({"do": "wait", "service": "s", "why": "another run works on it"}, False),
        ({"do": "finish", "what": "what an earlier run left undone"}, False),
    ],
)
def test_what_is_wanted_differs_from_what_is_there(action: dict, more: bool) -> None:
    assert compose.differs([action]) is more
    assert compose.differs([{"do": "wait", "service": "s", "why": ""}, action]) is more


def test_nothing_to_do_is_no_difference() -> None:
    assert compose.differs([]) is False


@pytest.mark.parametrize(
    ("change", "done"),
    [
        ({}, []),
        ({"config": "other"}, ["recreate"]),
        ({"image_id": "sha256:2"}, ["recreate"]),
        ({"config_hash": "other"}, ["recreate"]),
        ({"networks": ("m",)}, ["recreate"]),
        ({"name": "abc_p-s-1"}, ["replace"]),
        ({"status": "exited", "exit_code": 137}, ["start"]),
        ({"status": "exited", "exit_code": 0, "policy": "no"}, []),
        ({"status": "created"}, ["start"]),
        ({"status": "paused"}, ["start"]),
        ({"status": "restarting", "exit_code": 1}, ["wait"]),
        ({"health": "unhealthy", "was_healthy": True}, ["wait"]),
        ({"health": "unhealthy"}, []),
        ({"health": "starting"}, []),
        ({"health": "starting", "restarts": 1}, ["wait"]),
        ({"service": "gone"}, ["remove", "create"]),
    ],
)
def test_actions(change, done):
    assert actions(dataclasses.replace(GOOD, **change)) == done


def test_actions_without_containers_or_memory():
    assert actions() == ["create"]
    assert actions(GOOD, memory={}) == []
    assert actions(GOOD, images={}) == []
    assert actions(dataclasses.replace(GOOD, health="starting", restarts=1), running_for={"c1": 1e4}) == []


def test_env_lines_hide_and_mark_what_changed():
    old, new = "A=1\nS=one\nT=two\n", "A=2\nS=other\nT=two\n"
    assert compose.env_lines(new, old, {"S", "T"}, "***") == "A=2\nS=*** (changed)\nT=***\n"
    assert compose.env_lines(old, "", {"S", "T"}, "***") == "A=1\nS=***\nT=***\n"


@pytest.mark.parametrize(("text", "line"), [("a\n b", "a b"), ("x" * 500, "x" * 397 + "...")])
def test_one_line(text, line):
    assert compose.one_line(text) == line
