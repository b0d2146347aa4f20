"""The files of a Compose project."""

from __future__ import annotations

import json

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import project as compose

MODEL = {
    "services": {
        "s": {"image": "i:1", "env_file": [".env"], "labels": {"mine": "1"}},
        "t": {"image": "i:2", "labels": ["a=b=c"]},
    },
    "networks": {"n": {"external": True}},
}


def labels(model=None, values=None, files=None, directory="/d", salt="salt"):
    return compose.label_digests(
        compose.merged_model(model or MODEL, {}), values or {"A": "1"}, files or {}, directory, salt
    )


def test_every_digest_in_a_label_depends_on_the_salt():
    one, other = labels(files={"k": "v"}), labels(files={"k": "v"}, salt="other")
    assert all(one[service][label] != other[service][label] for service in one for label in one[service])


def test_a_label_for_the_files_is_there_only_with_files():
    assert labels(files={"k": "v"})["s"].keys() == {compose.LABEL_FILES, compose.LABEL_CONFIG}
    assert labels()["s"].keys() == {compose.LABEL_CONFIG}


def test_settings_are_added_to_those_of_the_user():
    override = {"services": {"s": {"labels": ["a=b=c", "d"], "cpus": 1}}}
    found = compose.with_settings(override, "labels", {"s": {"x": "y"}, "t": {"x": "z"}})
    assert found == {
        "services": {"s": {"labels": {"a": "b=c", "d": None, "x": "y"}, "cpus": 1}, "t": {"labels": {"x": "z"}}}
    }
    assert override == {"services": {"s": {"labels": ["a=b=c", "d"], "cpus": 1}}}


@pytest.mark.parametrize(
    ("base", "override", "wanted"),
    [
        ({"cpus": 1}, {"cpus": 2}, {"cpus": 2}),
        ({"dns": ["a"]}, {"dns": ["b"]}, {"dns": ["a", "b"]}),
        ({"ulimits": {"core": 0}}, {"ulimits": {"nofile": 9}}, {"ulimits": {"core": 0, "nofile": 9}}),
        ({"env_file": ".env"}, {"env_file": ["b"]}, {"env_file": [".env", "b"]}),
        ({"labels": ["a=1"]}, {"labels": {"b": "2"}}, {"labels": {"a": "1", "b": "2"}}),
        ({"environment": {"A": "1"}}, {"environment": ["A=2", "B"]}, {"environment": {"A": "2", "B": None}}),
        ({"labels": {"a": "1"}}, {"labels": None}, {"labels": {"a": "1"}}),
    ],
)
def test_merged_model(base, override, wanted):
    sides = [{"services": {"s": one}} for one in (base, override)]
    before = json.dumps(sides)
    assert compose.merged_model(*sides) == {"services": {"s": wanted}}
    assert json.dumps(sides) == before


def with_t(**keys):
    """Return the model with another service t."""
    return {**MODEL, "services": {**MODEL["services"], "t": {**MODEL["services"]["t"], **keys}}}


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({}, []),
        ({"values": {"A": "2"}}, ["s"]),
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
    ["", "/k", "../k", "a/../k", "a//k", "./k", "k/", *compose.PROJECT_FILES, ".stack/x", "..", "."],
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


def test_env_lines_hide_and_mark_what_changed():
    old, new = "A=1\nS=one\nT=two\n", "A=2\nS=other\nT=two\n"
    assert compose.env_lines(new, old, {"S", "T"}, "***") == "A=2\nS=*** (changed)\nT=***\n"
    assert compose.env_lines(old, "", {"S", "T"}, "***") == "A=1\nS=***\nT=***\n"
