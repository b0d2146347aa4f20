# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Engines that respond but cannot be used, prepared hosts, and settings with which no engine starts."""

from __future__ import annotations

import json

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import docker_engine as he
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.plan import (
    daemon_settings,
    engine_plan,
    flags_of,
    validation_command,
)

COMMAND = ["/usr/bin/dockerd", "-H", "fd://", "--containerd=/run/containerd/containerd.sock"]
SERVES = {"serves": True, "error": "", "compose": "2.26.1-4", "source": "docker-ce"}
MANAGED = {**SERVES, "managed": True}


def bare_host(system="debian 13", **engine):
    """Return the host info of a bare host, with these changes to its engine."""
    name, _sep, version = system.partition(" ")
    bare = {
        "serves": False, "error": "no such file or directory", "source": "none", "compose": None, "managed": False,
        "pin": "", "apt_sources": [], "packages": {}, "systemd": True, "snap": False, "desktop": False, "security": [],
        "selinux_enforcing": False, "command": COMMAND, "daemon_json_names": [],
    }
    system = {"id": name, "version_id": version, "codename": "any", "apt": True}
    return {"os": system, "engine": {**bare, **engine}}


def plan(seen, source="docker", options=None, mirrors=None):
    """Return what is done, and why not."""
    # Callers without these settings do not pass them.
    more = [mirrors or [], options or {}] if mirrors or options else []
    found = engine_plan(seen, source, "", "https://download.docker.com/linux", *more)
    return found["action"], found.get("problems") or [found.get("problem")]


# Each host, a part of its problem, and the same host after the remedy was applied.
UNUSABLE = [
    pytest.param(
        bare_host(**{**SERVES, "source": "other"}, snap=True),
        "remove it with its containers (snap remove docker)",
        bare_host(),
        id="snap",
    ),
    pytest.param(bare_host(snap=True), "snap remove docker", bare_host(), id="snap that does not answer"),
    pytest.param(
        bare_host(**SERVES, desktop=True), "install Docker Engine instead", bare_host(**SERVES), id="Docker Desktop"
    ),
    pytest.param(
        bare_host(**SERVES, security=["seccomp", "userns"]),
        "from /etc/docker/daemon.json or the unit's flags, and run systemctl restart docker.service",
        bare_host(**SERVES, security=["seccomp"]),
        id="userns-remap",
    ),
    pytest.param(
        bare_host(**SERVES, security=["rootless"]),
        "systemctl enable --now docker.service",
        bare_host(**SERVES),
        id="rootless",
    ),
    pytest.param(
        bare_host(**SERVES, security=["selinux"], selinux_enforcing=True),
        "set selinux-enabled to false in /etc/docker/daemon.json",
        bare_host(**SERVES, selinux_enforcing=True),
        id="SELinux",
    ),
    pytest.param(bare_host(**SERVES, systemd=False), "boot it with systemd", bare_host(**SERVES), id="no systemd"),
    pytest.param(bare_host(systemd=False), "boot it with systemd", bare_host(), id="no systemd and no engine"),
]


@pytest.mark.parametrize(("seen", "remedy", "after"), UNUSABLE)
def test_unusable(seen, remedy, after):
    """One line contains the remedy, and a host where it was applied is accepted."""
    action, problems = plan(seen)
    assert action == "refuse"
    (problem,) = problems
    assert remedy in problem
    assert "\n" not in problem
    assert plan(after)[0] in ("leave", "install")


@pytest.mark.parametrize(
    "seen",
    [
        # The role changes the settings of its own engine. Otherwise the remedy could not be applied.
        bare_host(**MANAGED, security=["userns"]),
        bare_host(**MANAGED, security=["selinux"], selinux_enforcing=True),
        bare_host(**SERVES, security=["selinux"]),
        bare_host(**SERVES, security=["apparmor", "seccomp", "cgroupns"]),
    ],
)
def test_usable(seen):
    """A host without an obstacle is not refused."""
    assert plan(seen)[0] == "leave"


@pytest.mark.parametrize("engine", [SERVES, MANAGED])
def test_an_engine_that_does_not_report_its_state_is_not_changed(engine):
    """It is not installed again, and what it does not report is not treated as missing."""
    action, problems = plan(bare_host(**{**engine, "error": "timed out"}, snap=True))
    assert action == "refuse"
    assert problems == [
        "the engine responds but does not return its state (docker info: timed out): see systemctl status docker, and "
        "if it hangs, run systemctl restart docker on the host"
    ]
    assert plan(bare_host(**engine))[0] == "leave"


@pytest.mark.parametrize("engine", [{}, SERVES, MANAGED])
def test_an_engine_is_not_changed_if_commands_did_not_end(engine):
    """Without their results, Compose or Docker's rules would seem to be missing."""
    commands = ["docker compose version --short", "nft list chain ip nat DOCKER"]
    action, problems = plan({**bare_host(**{**engine, "compose": None}), "timed_out": commands})
    assert action == "refuse"
    assert problems == [f"{', '.join(commands)} did not end in time: run again when the host is less busy"]


def test_all_problems_are_reported_at_once():
    """An operator corrects a host only once."""
    action, problems = plan(bare_host(systemd=False, snap=True))
    assert (action, len(problems)) == ("refuse", 2)
    names = ["data-root"]
    action, problems = plan(bare_host(packages={"runc": "1.1"}, daemon_json_names=names), options={"hosts": ["fd://"]})
    assert (action, len(problems)) == ("refuse", 3)


@pytest.mark.parametrize(
    ("source", "packages", "named", "instead"),
    [
        ("docker", {"containerd": "1.7.24", "runc": "1.1.15"}, "containerd runc", "source to distribution"),
        ("docker", {"runc": "1.1.15"}, "runc", "docker_engine_source to distribution"),
        ("docker", {"docker-cli": "26.1.5", "docker-compose": "2.26.1"}, "docker-cli docker-compose", "distribution"),
        ("docker", {"docker-compose-v2": "2.24.6"}, "docker-compose-v2", "docker_engine_source to distribution"),
        ("distribution", {"containerd.io": "1.7.24"}, "containerd.io", "docker_engine_source to docker"),
        ("distribution", {"docker-ce-cli": "5:28"}, "docker-ce-cli", "docker_engine_source to docker"),
    ],
)
def test_packages_in_the_way(source, packages, named, instead):
    """They are named and not removed. Removing them or setting the other source is the remedy."""
    action, problems = plan(bare_host(packages=packages), source)
    assert action == "refuse"
    (problem,) = problems
    assert f"(apt-get remove {named}), or set " in problem
    assert instead in problem
    assert plan(bare_host(), source)[0] == "install"
    assert plan(bare_host(packages=packages), "distribution" if source == "docker" else "docker")[0] == "install"


def test_packages_in_the_way_where_no_other_source_helps():
    """Debian 12 has no Compose v2, so its packages are not a remedy."""
    action, (problem,) = plan(bare_host("debian 12", packages={"containerd": "1.6.20"}))
    assert action == "refuse"
    assert problem.endswith("(apt-get remove containerd)")


@pytest.mark.parametrize(
    ("source", "packages"),
    [
        # Compose v1 is a separate program, and the source's own packages do not conflict.
        ("docker", {"docker-compose": "1.29.2-3"}),
        ("docker", {"containerd.io": "1.7.24-1", "runc": "1.1.15"}),
        ("distribution", {"containerd": "1.7.24", "runc": "1.1.15", "docker-compose": "2.26.1"}),
        ("distribution", {"docker.io": "26.1.5", "containerd": "1.7.24"}),
    ],
)
def test_packages_that_do_not_conflict(source, packages):
    """They are not a reason to refuse the host."""
    assert plan(bare_host(packages=packages), source)[0] == "install"


@pytest.mark.parametrize(
    ("names", "options", "lost"),
    [
        (["data-root"], {}, "data-root"),
        (["data-root", "proxies"], {"data-root": "/srv/docker"}, "proxies"),
        (["log-driver"], {"mtu": 1400}, "log-driver"),
    ],
)
def test_prepared_daemon_json(names, options, lost):
    """Settings that would be lost are named. The remedy is to set the same ones, or to remove the file."""
    action, (problem,) = plan(bare_host(daemon_json_names=names), options=options)
    assert action == "refuse"
    assert problem == (
        f"/etc/docker/daemon.json was there before the engine and sets {lost}: set the same in "
        "docker_engine_daemon_options, or remove the file"
    )
    assert plan(bare_host(daemon_json_names=names), options={**options, lost: "x"})[0] == "install"
    assert plan(bare_host(), options=options)[0] == "install"


def test_prepared_daemon_json_that_is_none():
    """A file that no engine could read is the operator's."""
    action, (problem,) = plan(bare_host(daemon_json_names=None))
    assert (action, problem.rpartition(": ")[2]) == ("refuse", "correct it, or remove it")


def test_daemon_json_of_an_engine_is_not_prepared():
    """The role's file is written again. That of an unmanaged engine is not changed."""
    assert plan(bare_host(**MANAGED, daemon_json_names=["data-root"]))[0] == "leave"
    assert plan(bare_host(**SERVES, daemon_json_names=["data-root"]))[0] == "leave"
    assert plan(bare_host(source="docker-ce", daemon_json_names=["data-root"]))[0] == "install"
    assert plan(bare_host(daemon_json_names=["registry-mirrors"]), mirrors=["http://a"])[0] == "install"


@pytest.mark.parametrize("seen", [bare_host(), bare_host(**MANAGED)], ids=["new", "managed"])
@pytest.mark.parametrize(
    ("options", "flags", "words"),
    [
        ({"hosts": ["tcp://127.0.0.1:2375"]}, ["-H", "fd://"], "--host, and the engine does not start if"),
        ({"hosts": ["tcp://127.0.0.1:2375"]}, ["--host=fd://"], "remove hosts from docker_engine_daemon_options"),
        ({"containerd": "/run/c.sock"}, ["--containerd=/run/containerd/containerd.sock"], "remove containerd from"),
        ({"log-opts": {"max-file": "5"}}, ["--log-opt", "max-size=1m"], "too: remove the flag from its unit"),
        ({}, ["--live-restore"], "too: remove the flag from its unit"),
        ({"insecure-registries": ["a"]}, ["--insecure-registry", "a"], "remove insecure-registries from"),
        ({"proxies": {"http-proxy": "http://me:S3cret@a"}}, ["--http-proxy=http://b"], "remove http-proxy from"),
        ({"storage-driver": "vfs"}, ["-s", "overlay2"], "remove storage-driver from"),
        ({}, ["--config-file", "/etc/other.json"], "remove the flag from its unit"),
        ({}, ["--config-file=/etc/docker/daemon.json", "--config-file=/etc/other.json"], "remove the flag from its"),
        ({}, ["--config-file"], "remove the flag from its unit"),
        ({"userns-remap": "default"}, [], "remove it from docker_engine_daemon_options"),
    ],
)
def test_settings_that_the_engine_would_not_start_with(seen, options, flags, words):
    """They are rejected before any change. Removing them or the flag is the remedy."""
    options = {"mtu": 1400, **options}
    conflicting = {**seen, "engine": {**seen["engine"], "command": ["/usr/bin/dockerd", *flags]}}
    action, problems = plan(conflicting, options=options)
    assert action == "refuse"
    (problem,) = problems
    assert words in problem
    assert "S3cret" not in problem
    if flags:
        without = {**seen, "engine": {**seen["engine"], "command": ["/usr/bin/dockerd"]}}
        assert plan(without, options=options)[0] != "refuse"
    if "remove the flag" not in problem:
        assert plan(conflicting, options={"mtu": 1400})[0] != "refuse"


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({"mtu": 1400}, COMMAND[1:]),
        ({}, ["--config-file=/etc/docker/daemon.json", "-H", "fd://"]),
        ({}, ["--config-file", "/etc/docker/daemon.json", "-H", "fd://"]),
        ({}, ["--config-file=/etc/docker//daemon.json"]),
        ({}, ["--config-file=/etc/other.json", "--config-file", "/etc/docker/daemon.json"]),
        ({"runtimes": {"x": {"path": "/x"}}}, ["--add-runtime", "y=/y"]),
        ({"proxies": {"http-proxy": "http://a"}}, ["--https-proxy=http://b"]),
        ({"dns": ["9.9.9.9"]}, ["--dns-search", "lan"]),
    ],
)
def test_settings_and_flags_that_go_together(options, flags):
    """Settings that dockerd accepts are accepted."""
    assert plan(bare_host(**MANAGED, command=["/usr/bin/dockerd", *flags]), options=options)[0] == "leave"


def test_somebody_else_s_engine_has_its_own_settings():
    """No options are written to it, so none are checked."""
    assert plan(bare_host(**SERVES), options={"hosts": ["tcp://127.0.0.1:2375"]})[0] == "leave"


def test_selinux_enabled_is_refused_where_it_is_enforcing():
    """It has no meaning elsewhere."""
    options = {"selinux-enabled": True}
    assert plan(bare_host(), options=options)[0] == "install"
    action, (problem,) = plan(bare_host(selinux_enforcing=True), options=options)
    assert (action, problem.rpartition(": ")[2]) == ("refuse", "remove it from docker_engine_daemon_options")


@pytest.mark.parametrize(
    ("options", "log_opts"),
    [
        ({"log-driver": "journald"}, None),
        ({"log-driver": "local"}, None),
        ({"log-driver": "none", "log-opts": {}}, {}),
        ({"log-driver": "syslog", "log-opts": {"tag": "x"}}, {"tag": "x"}),
        ({"log-driver": "json-file"}, {"max-size": "100m", "max-file": "3"}),
        ({"log-driver": "json-file", "log-opts": {"max-file": "5"}}, {"max-size": "100m", "max-file": "5"}),
    ],
)
def test_another_log_driver_has_its_own_options(options, log_opts):
    """Options of json-file are not valid for journald, and an engine with them does not start."""
    daemon = daemon_settings([], options)
    assert daemon["log-driver"] == options["log-driver"]
    assert daemon.get("log-opts") == log_opts


@pytest.mark.parametrize(
    ("command", "check"),
    [
        (COMMAND, "/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock"),
        (["dockerd", "--label=a b", "--label=100%"], "dockerd '--label=a b' --label=100%%"),
        (["/usr/bin/numactl", "-N", "0", "/usr/bin/dockerd", "-H", "fd://"], "dockerd"),
        (["/bin/sh", "-c", "systemctl stop x; exec dockerd"], "dockerd"),
        (["/usr/local/bin/dockerd-wrapper", "-H", "fd://"], "dockerd"),
        ([], "dockerd"),
    ],
)
def test_only_dockerd_checks_settings(command, check):
    """Other programs that a unit runs may interpret the flag of the check differently."""
    assert validation_command(bare_host(command=command)) == f"{check} --validate --config-file %s"


def test_flags():
    """Only words that are flags count."""
    found = flags_of([*COMMAND, "-H", "tcp://127.0.0.1:2375", "-D", "--label=a=--b", "--mtu", "1400"])
    assert found == ["host", "containerd", "debug", "label", "mtu"]


EXEC = "/usr/bin/dockerd -H fd://"
UNIT = "usr/lib/systemd/system/docker.service"
DROP_INS = "etc/systemd/system/docker.service.d"


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        pytest.param({}, COMMAND, id="no unit yet"),
        pytest.param({f"{DROP_INS}/a.conf": "[Service]\nLimitNOFILE=9\n"}, COMMAND, id="drop-in"),
        pytest.param(
            {f"{DROP_INS}/a.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -D\n"},
            ["/usr/bin/dockerd", "-D"],
            id="drop-in before the unit",
        ),
        pytest.param(
            {
                UNIT: f"[Unit]\nExecStart=no\n[Service]\n# ExecStart=no\nExecStart={EXEC}\n",
                "lib/systemd/system/docker.service": "[Service]\nExecStart=/older\n",
            },
            EXEC.split(),
            id="unit",
        ),
        pytest.param(
            {
                UNIT: f"[Service]\nExecStart={EXEC}\n",
                "etc/systemd/system/docker.service": "[Service]\nExecStart=-/usr/bin/dockerd \\\n  --label 'a=b c'\n",
            },
            ["/usr/bin/dockerd", "--label", "a=b c"],
            id="unit of the operator, over two lines",
        ),
        pytest.param(
            {
                f"{DROP_INS}/20.conf": "[Service]\nExecStart=\nExecStart=/last\n",
                f"{UNIT}.d/10.conf": "[Service]\nExecStart=\nExecStart=/first\n",
                f"{UNIT}.d/20.conf": "[Service]\nExecStart=\nExecStart=/hidden\n",
            },
            ["/last"],
            id="drop-ins in their order, one of a name",
        ),
        pytest.param(
            {
                UNIT: (
                    "[Service]\nEnvironment='X=1' Y=old\nEnvironmentFile=-/etc/default/docker\n"
                    f"EnvironmentFile=-/etc/none\nExecStart={EXEC} $DOCKER_OPTS --mtu=${{X}}4 ${{Y}} $NONE\n"
                ),
                "etc/default/docker": "# DOCKER_OPTS=no\nDOCKER_OPTS=\"--dns 9.9.9.9 --live-restore\"\nY=new\n",
            },
            [*EXEC.split(), "--dns", "9.9.9.9", "--live-restore", "--mtu=14", "new"],
            id="variables",
        ),
        pytest.param(
            {UNIT: "[Service]\nExecStart=/usr/bin/dockerd --label it's\n"},
            ["/usr/bin/dockerd", "--label", "it's"],
            id="quotes that do not match",
        ),
    ],
)
def test_command_of_the_unit(tmp_path, files, wanted):
    """Start it as systemd does."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert he.unit_command(he.unit_texts(tmp_path, "docker.service", he.UNIT), tmp_path) == wanted


def test_masked_unit(tmp_path):
    """It runs nothing."""
    unit = tmp_path / "etc/systemd/system/docker.service"
    unit.parent.mkdir(parents=True)
    unit.symlink_to("/dev/null")
    assert he.unit_command(he.unit_texts(tmp_path, "docker.service", he.UNIT), tmp_path) == []


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("--http-proxy=http://me:S3cret@proxy:3128", "--http-proxy=http://proxy:3128"),
        ("--host=tcp://me:S3cret@a.lan", "--host=tcp://***@a.lan"),
        ("splunk-token=S3cret", "splunk-token=***"),
        ("--log-opt=gelf-address=udp://a:1", "--log-opt=gelf-address=udp://a:1"),
    ],
)
def test_command_without_secrets(word, shown):
    """Host info does not contain them."""
    assert he.redact_argument(word) == shown


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}), ("\n", {}), ("{}", {}), ('{"mtu": 1, "bip": "x"}', {"mtu": 1, "bip": "x"}), ("[]", None),
        ('{"mtu": 1', None), ("3", None),
    ],
)
def test_options_of_the_daemon(text, options):
    assert he.daemon_options(text) == options


class Answers(he.Engine):
    """An engine with given answers by path."""

    def __init__(self, info):
        """Store its answer at /info."""
        super().__init__()
        self.info = info

    def get(self, path, **query):
        """Return the answer as the engine's bytes."""
        return json.dumps({"Version": "28.5.2", "ApiVersion": "1.51"} if path == "/version" else self.info).encode()


def facts(engine, tmp_path):
    """Return the facts of an engine."""
    return he.engine_facts(engine, lambda _command: (127, "", ""), tmp_path)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"DockerRootDir": "/var/snap/docker/common/var-lib-docker"}, {"snap": True}),
        ({"OperatingSystem": "Docker Desktop"}, {"desktop": True}),
        ({"SecurityOptions": ["name=seccomp,profile=builtin", "name=userns"]}, {"security": ["seccomp", "userns"]}),
        ({"SecurityOptions": ["name=rootless"]}, {"security": ["rootless"]}),
        ({"SecurityOptions": None, "DockerRootDir": "/var/lib/docker"}, {"security": [], "snap": False}),
    ],
)
def test_what_an_engine_reports(tmp_path, info, expected):
    """Recognize each kind that cannot be used by the answers of the engine's API."""
    found = facts(Answers(info), tmp_path)
    assert {name: found[name] for name in expected} == expected


def test_what_the_files_of_a_host_show(tmp_path):
    """Read it from files if no engine responds."""
    no_engine = he.Engine("unix://" + str(tmp_path / "none.sock"))
    found = facts(no_engine, tmp_path)
    assert (found["snap"], found["systemd"], found["selinux_enforcing"]) == (False, False, False)
    assert (found["daemon_json_names"], found["command"]) == ([], COMMAND)
    for path, text in (
        ("snap/bin/docker", ""), ("run/systemd/system/x", ""), ("sys/fs/selinux/enforce", "1"),
        ("etc/docker/daemon.json", '{"mtu": 1400}'),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    found = facts(no_engine, tmp_path)
    assert (found["snap"], found["systemd"], found["selinux_enforcing"]) == (True, True, True)
    assert found["daemon_json_names"] == ["mtu"]
