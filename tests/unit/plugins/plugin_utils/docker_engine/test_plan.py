# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan for each engine that a host may have."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.plan import (
    daemon_settings,
    engine_plan,
    version_tuple,
)

APT_URL = "https://download.docker.com/linux"
URL = f"{APT_URL}/debian"
DOCKER = ["docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin"]
DEBIAN = ["docker.io", "docker-compose", "docker-cli"]
UBUNTU = ["docker.io", "docker-compose-v2"]
COMMAND = ["/usr/bin/dockerd", "-H", "fd://", "--containerd=/run/containerd/containerd.sock"]


def look(system="debian 13", apparmor=False, **engine):
    """Return the host info of a host without an engine, with these changes."""
    name, _sep, version = system.partition(" ")
    seen = {
        "serves": False, "error": "no such file or directory", "source": "none", "compose": None, "managed": False,
        "pin": "", "apt_sources": [], "packages": {}, "systemd": True, "snap": False, "desktop": False, "security": [],
        "selinux_enforcing": False, "command": COMMAND, "daemon_json_names": [],
    }
    seen.update(engine)
    return {
        "os": {
            "id": name, "version_id": version, "codename": "any", "apt": name in ("debian", "ubuntu", "mint"),
            "apparmor": apparmor,
        },
        "engine": seen,
    }


SERVES = {"serves": True, "error": "", "compose": "2.26.1-4"}


@pytest.mark.parametrize(
    ("seen", "source", "version", "action", "packages"),
    [
        # bare hosts
        (look("debian 12"), "docker", "", "install", DOCKER),
        (look("debian 13"), "docker", "", "install", DOCKER),
        (look("ubuntu 22.04"), "docker", "", "install", DOCKER),
        (look("ubuntu 24.04"), "docker", "", "install", DOCKER),
        (look("debian 13"), "distribution", "", "install", DEBIAN),
        (look("debian "), "distribution", "", "install", DEBIAN),
        (look("ubuntu 22.04"), "distribution", "", "install", UBUNTU),
        (look("debian 13", apparmor=True), "distribution", "", "install", [*DEBIAN, "apparmor"]),
        (look(), "docker", "28.5.2", "install", ["docker-ce=5:28.5.2-*", "docker-ce-cli=5:28.5.2-*", *DOCKER[2:]]),
        (look(), "distribution", "26.1.5", "install", ["docker.io=26.1.5*", *DEBIAN[1:]]),
        # running engines
        (look(source="docker-ce", **SERVES), "docker", "", "leave", []),
        (look(source="docker.io", **SERVES), "docker", "", "leave", []),
        (look("fedora 42", source="other", **SERVES), "docker", "", "leave", []),
        (look(source="docker-ce", **SERVES), "docker", "27.0.0", "leave", []),
        (look("debian 12", source="docker-ce", **{**SERVES, "compose": "v2.20.0"}), "docker", "", "leave", []),
        # running engines without a recent Compose
        (look(source="docker-ce", **{**SERVES, "compose": "2.19.1"}), "docker", "", "compose", DOCKER[3:]),
        (look(source="docker.io", **{**SERVES, "compose": None}), "docker", "", "compose", DEBIAN[1:]),
        (look("ubuntu 24.04", source="docker.io", **{**SERVES, "compose": None}), "docker", "", "compose", UBUNTU[1:]),
        # engines that the role manages
        (look(source="docker-ce", managed=True, **SERVES), "docker", "", "leave", []),
        (look(source="docker-ce", managed=True), "docker", "", "install", DOCKER),
        (look(source="none", managed=True), "distribution", "", "install", DEBIAN),
        (look(source="docker-ce", managed=True, pin="5:28.5.2-*", **SERVES), "docker", "28.5.2", "leave", []),
        (
            look(source="docker-ce", managed=True, pin="5:28.5.1-*", **SERVES), "docker", "28.5.2", "install",
            ["docker-ce=5:28.5.2-*", "docker-ce-cli=5:28.5.2-*", *DOCKER[2:]],
        ),
        (look(source="docker-ce", managed=True, pin="5:28.5.1-*", **SERVES), "docker", "", "install", DOCKER),
        (look(source="docker.io", managed=True, **SERVES), "docker", "28.5.2", "leave", []),
        # the same source's package that is installed but not running
        (look(source="docker.io"), "distribution", "", "install", DEBIAN),
    ],
)
def test_plan(seen, source, version, action, packages):
    """A running engine is not changed. A missing one is installed."""
    plan = engine_plan(seen, source, version, APT_URL)
    assert (plan["action"], plan["packages"], plan["problems"]) == (action, packages, [])


@pytest.mark.parametrize(
    ("seen", "source", "words"),
    [
        (look("debian 12"), "distribution", "set docker_engine_source to docker"),
        (look("debian 11"), "docker", "use 12 or 13"),
        (look("debian "), "docker", "set docker_engine_source to distribution"),
        (look("ubuntu 20.04"), "docker", "use 22.04 or 24.04"),
        (look("ubuntu 20.04"), "distribution", "use Ubuntu 22.04 or later"),
        (look("fedora 42"), "docker", "use Debian or Ubuntu"),
        (look("mint 22"), "docker", "use Debian or Ubuntu"),
        (look(" "), "docker", "unknown"),
        (look(source="podman-docker", **SERVES), "docker", "remove it"),
        (look(source="podman-docker"), "docker", "remove it"),
        (look(error="Permission denied".lower()), "docker", "become"),
        (look(source="docker.io"), "docker", "docker.io is installed but does not respond"),
        (look(source="docker-ce"), "distribution", "docker-ce is installed but does not respond"),
        (look(source="other"), "docker", "start it, or remove it"),
        (look("debian 12", source="docker.io", **{**SERVES, "compose": None}), "docker", "Compose is missing, but"),
        (look(source="other", **{**SERVES, "compose": "2.12.0"}), "docker", "Compose is 2.12.0, but"),
    ],
)
def test_refused(seen, source, words):
    """Report a host that cannot get an engine in one line, with the remedy."""
    plan = engine_plan(seen, source, "", APT_URL)
    assert plan["action"] == "refuse"
    (problem,) = plan["problems"]
    assert words in problem
    assert "\n" not in problem


LIST, DEB822 = "/etc/apt/sources.list.d/docker.list", "/etc/apt/sources.list.d/docker.sources"
KEY = "/etc/apt/keyrings/docker.asc"


def entry(path=LIST, uri=URL, suite="any", signed_by=""):
    """Return one entry of an apt source file."""
    return {"path": path, "uri": uri, "suite": suite, "signed_by": signed_by}


@pytest.mark.parametrize(
    ("entries", "old_sources"),
    [
        ([entry()], [LIST]),
        ([entry(uri=URL + "/")], [LIST]),
        ([entry(signed_by="/usr/share/keyrings/docker-archive-keyring.gpg")], [LIST]),
        ([entry(signed_by=KEY)], [LIST]),
        ([entry(), entry(suite="older")], [LIST]),
        ([entry(), entry()], [LIST]),
        ([entry(), entry("/etc/apt/sources.list")], ["/etc/apt/sources.list", LIST]),
        # the role's own file, another suite, another repository, and the same key next to other sources
        ([entry(DEB822, signed_by="/elsewhere.gpg")], []),
        ([entry(suite="older")], []),
        ([entry(uri=URL.replace("debian", "ubuntu"))], []),
        ([entry(signed_by=KEY), entry(uri="https://other.example")], []),
    ],
)
def test_sources_of_the_same_repository(entries, old_sources):
    """A file with only the same entry is replaced. One that does not conflict stays."""
    plan = engine_plan(look(apt_sources=entries), "docker", "", APT_URL)
    assert (plan["action"], plan["old_sources"]) == ("install", old_sources)


@pytest.mark.parametrize("key", ["", "/usr/share/keyrings/docker-archive-keyring.gpg", "embedded"])
def test_source_among_others(key):
    """Other contents of a file are not removed: the operator must change it."""
    seen = look(apt_sources=[entry(uri="https://other.example"), entry(signed_by=key)])
    plan = engine_plan(seen, "docker", "", APT_URL)
    assert (plan["action"], plan["old_sources"]) == ("refuse", [])
    assert plan["problems"] == [
        f"{LIST} has {URL} with another key ({key or 'none'}), and other repositories: "
        "remove that entry, the role writes its own"
    ]
    assert engine_plan(seen, "distribution", "", APT_URL)["action"] == "install"


def test_a_problem_of_a_repository_does_not_show_its_password():
    """The host's entry has no password, since host info removes it."""
    entries = [entry(uri="https://other.example"), entry(uri="https://mirror.lan:8443/linux/debian")]
    plan = engine_plan(look(apt_sources=entries), "docker", "", "https://me:S3cret@mirror.lan:8443/linux")
    assert plan["action"] == "refuse"
    assert [text.partition(" with ")[0] for text in plan["problems"]] == [
        f"{LIST} has https://mirror.lan:8443/linux/debian"
    ]
    assert "S3cret" not in str(plan["problems"])


@pytest.mark.parametrize(
    ("mirrors", "options", "wanted"),
    [
        ([], {}, {}),
        ([], None, {}),
        (["http://a:5000"], {}, {"registry-mirrors": ["http://a:5000"]}),
        ([], {"mtu": 1400}, {"mtu": 1400}),
        ([], {"live-restore": False}, {"live-restore": False}),
        ([], {"log-opts": {"max-file": "5"}}, {"log-opts": {"max-size": "100m", "max-file": "5"}}),
    ],
)
def test_daemon(mirrors, options, wanted):
    """Return the role's settings, with these changes."""
    base = {"live-restore": True, "log-driver": "json-file", "log-opts": {"max-size": "100m", "max-file": "3"}}
    assert daemon_settings(mirrors, options) == {**base, **wanted}


def test_plan_has_what_the_role_writes():
    """The repository for the distribution, the settings with the proxies' exceptions, and their validation."""
    options = {"proxies": {"http-proxy": "http://proxy:3128"}}
    plan = engine_plan(look("ubuntu 24.04"), "docker", "", f"{APT_URL}/", ["http://a:5000"], options, "", ["10.0.0.10"])
    assert plan["repository"] == f"{APT_URL}/ubuntu"
    assert plan["settings"] == daemon_settings(["http://a:5000"], options, ["10.0.0.10"])
    assert plan["validate"] == f"{' '.join(COMMAND)} --validate --config-file %s"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("2.26.1-4", (2, 26, 1)), ("v2.20", (2, 20)), ("5.0.0", (5, 0, 0)), ("", ()), (None, ()), ("dev", ())],
)
def test_version_tuple(text, wanted):
    """The leading numbers."""
    assert version_tuple(text) == wanted
