"""The states of containers, and the remedies."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import containers
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import LABEL_CONFIG


@pytest.mark.parametrize(
    ("code", "oom", "expected"),
    [
        (0, False, "ended by itself"),
        (1, False, "gave up"),
        (78, False, "update needed: the network has a new rollup"),
        (79, False, "update needed: the network requires a newer version"),
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
def test_meaning(code, oom, expected):
    assert expected in containers.meaning(code, oom)


def test_meaning_carries_the_engine_s_error_on_one_line():
    assert containers.meaning(127, False, "exec:\n  no such file").endswith("(exec: no such file)")


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
            "Labels": {containers.LABEL_SERVICE: "s", containers.LABEL_HASH: "h", LABEL_CONFIG: "c"},
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
    each = containers.container(item, was_healthy)
    assert each.state == state
    assert bool(each.meaning) == (state == "failed")


def watched(item, before=0, running_for=60.0, seen=False):
    return containers.Watched(containers.container(item), before, running_for, seen)


@pytest.mark.parametrize(
    ("each", "waited", "expected"),
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
def test_verdict(each, waited, expected):
    assert containers.verdict([each], waited, 100)[0] == expected


def test_one_that_failed_decides():
    verdict, failed = containers.verdict([watched(found(health="healthy")), watched(found("exited", code=1))], 0, 100)
    assert (verdict, len(failed)) == ("failed", 1)


LABELLED = {"services": {"s": {"image": "i:1", "labels": {LABEL_CONFIG: "c"}}}}
NOTED = {"s": {"hashes": ["h"], "networks": ["n"]}}


def actions(*existing, images=None, memory=None, model=None, running_for=None):
    known = {"i:1": "sha256:1"} if images is None else images
    noted = NOTED if memory is None else memory
    done = containers.container_actions("p", model or LABELLED, existing, known, noted, running_for or {})
    return [item["do"] for item in done]


GOOD = containers.container(found())


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
        ({"do": "create", "service": "s", "why": "it does not exist"}, False),
        ({"do": "start", "service": "s", "why": "it was exited"}, False),
        ({"do": "wait", "service": "s", "why": "another run works on it"}, False),
        ({"do": "finish", "what": "what an earlier run left undone"}, False),
    ],
)
def test_what_is_wanted_differs_from_what_is_there(action: dict, more: bool) -> None:
    assert containers.differs([action]) is more
    assert containers.differs([{"do": "wait", "service": "s", "why": ""}, action]) is more


def test_nothing_to_do_is_not_a_difference() -> None:
    assert containers.differs([]) is False


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
