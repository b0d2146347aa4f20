# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Facts from the engine's answers, and from files of dpkg and apt."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import docker_engine as he

DPKG = """\
Package: docker-cli
Status: install ok installed
Version: 26.1.5+dfsg1-9+deb13u1

Package: docker.io
Status: deinstall ok config-files
Version: 20.10.24

Package: docker-ce
Status: hold ok installed
Priority: optional
Version: 5:28.5.2-1~debian.13~trixie
Description: Docker
 Package: nftables

Package: docker-ce-rootless-extras
Status: install ok installed
Version: 1
"""

INSPECTED = {
    "Id": "464152f1021a", "Name": "/aztec-prover-agent-prover-agent-1", "RestartCount": 2, "Image": "sha256:aacd",
    "State": {"Status": "running", "Pid": 42, "ExitCode": 0, "OOMKilled": False,
              "StartedAt": "2026-11-23T03:46:32.051416319Z", "Health": {"Status": "healthy"}},
    "Config": {"Image": "aztecprotocol/aztec:4.1.2",
               "Env": ["PROVER_BROKER_HOST=http://10.0.0.1:8080", "A=b=c", "EMPTY="],
               "Labels": {"com.docker.compose.service": "prover-agent"}},
    "HostConfig": {"NetworkMode": "aztec-prover"},
    "NetworkSettings": {"Networks": {"aztec-prover": {"IPAddress": "172.18.0.2", "GlobalIPv6Address": "fd31:78::2"}}},
}


class Answers(he.Engine):
    """An engine with given answers by path."""

    def __init__(self, answers):
        """Keep the answers."""
        super().__init__()
        self.answers = answers

    def get(self, path, **query):
        """Return the answer as the engine's bytes."""
        if path not in self.answers:
            raise he.EngineError("the engine answers 404", 404)
        return json.dumps(self.answers[path]).encode()


RUNTIME = {"XDG_RUNTIME_DIR": "/run/containerd"}


def run_nothing(_command):
    """Return what a host without installed programs returns for commands."""
    return 127, "", "not found"


def test_dpkg():
    """Return installed packages, including held ones, but not those with only configuration left."""
    names = ("docker-ce", "docker.io", "docker-cli", "nftables")
    assert he.parse_dpkg_status(DPKG, names) == {
        "docker-cli": "26.1.5+dfsg1-9+deb13u1", "docker-ce": "5:28.5.2-1~debian.13~trixie",
    }


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("docker.list", "deb [arch=amd64 signed-by=/k.gpg] https://d/a x stable", [("https://d/a", "x", "/k.gpg")]),
        ("docker.list", "# deb https://d/a trixie stable\n", []),
        ("docker.list", "deb https://d/a trixie stable\n", [("https://d/a", "trixie", "")]),
        ("docker.list", "deb https://me:secret@d/a trixie stable\n", [("https://d/a", "trixie", "")]),
        ("docker.list", "deb https://d/a ./\n", [("https://d/a", "./", "")]),
        (
            "d.sources", "URIs: https://d/a https://d/b\nSuites: x\nSigned-By: /k\n",
            [("https://d/a", "x", "/k"), ("https://d/b", "x", "/k")],
        ),
        ("d.sources", "URIs: https://d/a\nSuites: x y\n", [("https://d/a", "x", ""), ("https://d/a", "y", "")]),
        (
            "d.sources", "URIs: https://d/a\nSuites: x\nSigned-By:\n -----BEGIN PGP\n .\n a\nComponents: c\n",
            [("https://d/a", "x", "embedded")],
        ),
        ("d.sources", "Types: deb\nURIs: https://d/a\nSuites: x\nEnabled: no\n", []),
        (
            "d.sources", "# why\n#\nURIs: https://d/a\nSuites: x\n\nURIs: https://d/b\nSuites: x\n",
            [("https://d/a", "x", ""), ("https://d/b", "x", "")],
        ),
        ("d.sources", "", []),
    ],
)
def test_apt_sources(name, text, wanted):
    """Read both forms of apt's sources, without disabled entries and without passwords of mirrors."""
    found = he.parse_apt_sources(name, text)
    assert [(entry["uri"], entry["suite"], entry["signed_by"]) for entry in found] == wanted


def test_apt_source_files(tmp_path):
    """The files that apt reads, and no others."""
    folder = tmp_path / "etc/apt/sources.list.d"
    folder.mkdir(parents=True)
    for name in ("../sources.list", "docker.list", "docker.list.disabled", "docker.sources.save"):
        (folder / name).write_text("deb https://d/a trixie stable\n")
    (folder / "debian.sources").write_text("URIs: https://d/b\nSuites: trixie\n")
    assert [entry["path"] for entry in he.apt_sources(tmp_path)] == [
        "/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list.d/docker.list",
    ]


@pytest.mark.parametrize(
    ("packages", "version", "binary", "wanted"),
    [
        ({}, {}, False, "none"),
        ({"docker-ce": "1"}, {}, True, "docker-ce"),
        ({"docker.io": "1"}, {"Version": "26"}, True, "docker.io"),
        ({"podman-docker": "1"}, {}, False, "podman-docker"),
        ({}, {"Version": "5.4", "Components": [{"Name": "Podman Engine"}]}, False, "podman-docker"),
        ({}, {"Version": "28", "Components": [{"Name": "Engine"}]}, False, "other"),
        ({}, {}, True, "other"),
        ({"docker-cli": "1"}, {}, False, "none"),
    ],
)
def test_source(packages, version, binary, wanted):
    """Recognize the source by package, and by the name that the engine reports."""
    assert he.engine_source(packages, version, binary) == wanted


def test_bare_host(tmp_path):
    """Without Docker, everything is reported as missing, and nothing fails."""
    found = he.engine_facts(he.Engine("unix://" + str(tmp_path / "none.sock")), run_nothing, tmp_path)
    assert (found["serves"], found["source"], found["compose"], found["managed"]) == (False, "none", None, False)
    assert (found["daemon_json"], found["containerd_conf"], found["containerd_environment"]) == ("", "", None)
    assert "no such file" in found["error"]


def test_engine_of_the_role(tmp_path):
    """Report marker, digests of settings and pin."""
    for path, text in (
        ("etc/docker/.aztec_ops_prover", "abc\n"),
        ("etc/docker/daemon.json", "{}"),
        ("etc/systemd/system/containerd.service.d/aztec.conf", "[Service]\n"),
        ("etc/apt/preferences.d/docker-engine", "Package: docker-ce\nPin: version 5:28.5.2*\nPin-Priority: 1001\n"),
        ("usr/bin/docker", ""),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    engine = Answers({"/version": {"Version": "28.5.2", "ApiVersion": "1.51"}, "/info": {"DockerRootDir": "/d"}})
    found = he.engine_facts(engine, lambda _command: (0, "v2.40.1\n", ""), tmp_path)
    assert (found["managed"], found["daemon_json_loaded"], found["pin"]) == (True, "abc", "5:28.5.2*")
    assert found["daemon_json"] == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert found["containerd_conf"] == "40d8baaabac85ad8ac5a2ec40dd065b4ea0fb47c25ce3ddad4c290d22503c90f"
    assert found["containerd_environment"] is None
    assert (found["compose"], found["version"], found["root"]) == ("2.40.1", "28.5.2", "/d")
    assert found["rules"] is True


class SlowInfo(BaseHTTPRequestHandler):
    """Answers /version at once, and /info after so many seconds."""

    seconds = 0.0

    def log_message(self, *_words):
        """Log nothing."""

    def address_string(self):
        """A Unix socket does not have a host."""
        return ""

    def do_GET(self):
        """Answer."""
        body = b'{"Version": "28.5.2", "DockerRootDir": "/d"}'
        if self.path == "/info":
            time.sleep(self.seconds)
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.parametrize(
    ("share", "seen"),
    [
        pytest.param(10, {"serves": True, "version": "28.5.2", "error": "", "root": "/d"}, id="slow"),
        pytest.param(
            1, {"serves": True, "version": "28.5.2", "error": "timed out", "root": "/var/lib/docker"}, id="too slow"
        ),
    ],
)
def test_an_engine_that_takes_long_to_tell_of_itself_serves(tmp_path, monkeypatch, share, seen):
    """/info has its own share of the time, and an engine that responds is never reported as down."""
    monkeypatch.setattr(he, "INFO_TIMEOUT_FACTOR", share, raising=False)

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    path = str(tmp_path / "docker.sock")
    with Server(path, type("Own", (SlowInfo,), {"seconds": 1.0})) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        found = he.engine_facts(he.Engine(f"unix://{path}", 0.5), run_nothing, tmp_path)
        server.shutdown()
    assert {name: found[name] for name in seen} == seen


@pytest.mark.parametrize("folder", ["usr/sbin", "sbin"])
@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        pytest.param([("chain", "ip", "nat", "DOCKER")], True, id="iptables-nft"),
        pytest.param([("table", "ip", "docker-bridges")], True, id="nftables"),
        pytest.param([("chain", "ip", "nat", "POSTROUTING"), ("table", "ip", "nat")], False, id="flushed"),
    ],
)
def test_rules_of_the_engine(tmp_path, folder, there, wanted):
    """Check the chain or the table that Docker creates. In doubt, assume that they exist."""
    engine = Answers({"/version": {"Version": "28.5.2", "ApiVersion": "1.51"}, "/info": {}})

    def run(command):
        return (0 if command[:2] == ["nft", "list"] and tuple(command[2:]) in there else 1), "", ""

    assert he.engine_facts(engine, run, tmp_path)["rules"] is True
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "nft").write_text("")
    assert he.engine_facts(engine, run, tmp_path)["rules"] is wanted
    for code in he.ENDED_BY_TIMEOUT:
        assert he.engine_facts(engine, lambda _command, code=code: (code, "", ""), tmp_path)["rules"] is True
    assert he.engine_facts(he.Engine("unix:///nowhere.sock"), run, tmp_path)["rules"] is True
    names = tmp_path / "proc/net/ip_tables_names"
    names.parent.mkdir(parents=True)
    for text, legacy in (("filter\n", False), ("filter\nnat\n", True)):
        names.write_text(text)
        assert he.engine_facts(engine, run, tmp_path)["rules"] is (wanted or legacy)


def test_networks():
    """Return only bridge networks, with the bridge's name if it is set, and always that of its interface."""
    option = "com.docker.network.bridge.name"
    networks = [
        {"Name": "bridge", "Driver": "bridge", "Options": {option: "docker0", "com.docker.network.driver.mtu": "1400"},
         "IPAM": {"Config": [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}, {"Subnet": "fd00::/64"}]}},
        {"Name": "own", "Driver": "bridge", "Options": {"other": "x"}, "Id": "0123456789abcdef",
         "IPAM": {"Config": None}},
        {"Name": "bare", "Driver": "bridge", "Options": None, "Id": "fedcba9876543210", "IPAM": None},
        {"Name": "host", "Driver": "host", "Options": {option: "x"}},
        {"Name": "odd"},
    ]
    found = he.network_facts(Answers({"/networks": networks}))
    wanted = (
        ("bridge", "docker0", "docker0", ["172.17.0.0/16", "fd00::/64"], 1400),
        ("own", "", "br-0123456789ab", [], 1500),
        ("bare", "", "br-fedcba987654", [], 1500),
    )
    keys = ("name", "bridge", "interface", "subnets", "mtu")
    assert found == [dict(zip(keys, values)) for values in wanted]


@pytest.mark.parametrize(
    ("main_pid", "environment", "wanted"),
    [
        ("42\n", "PATH=/bin\0XDG_RUNTIME_DIR=/run/containerd\0HTTP_PROXY=http://u:p@h\0", RUNTIME),
        ("42\n", "PATH=/bin\0", {}),
        ("42\n", None, None),
        ("0\n", "PATH=/bin\0", {}),
        ("", "PATH=/bin\0", None),
    ],
)
def test_containerd_environment(tmp_path, main_pid, environment, wanted):
    """Read what the role sets from the unit's process: {} if it is stopped, None if it is not visible."""
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "proc/42").mkdir(parents=True)
    if environment is not None:
        (tmp_path / "proc/42/environ").write_text(environment)
    assert he.containerd_environment(lambda _command: (0, main_pid, ""), tmp_path) == wanted


def test_containerd_without_systemd(tmp_path):
    """systemctl is not called if it may be missing, because that would end the module."""
    called = []
    assert he.containerd_environment(lambda command: (called.append(command), "", ""), tmp_path) is None
    assert called == []


@pytest.mark.parametrize(
    ("version", "daemon", "wanted"),
    [
        ("26.1.5+dfsg1", "", False),
        ("26.1.5", '{"experimental": true, "ip6tables": true}', True),
        ("27.0.1", "", True),
        ("29.1.0", '{"ip6tables": false}', False),
        ("29.1.0", "no json", True),
        ("", "[]", False),
    ],
)
def test_translates_ipv6(version, daemon, wanted):
    """By version, and by daemon.json."""
    assert he.translates_ipv6(version, daemon) is wanted


def test_images():
    """Return all images with a tag, by tag and by tag with digest, or the present ones of those in the query."""
    digests = ["a/b@sha256:dd", "c/d@sha256:ee"]
    image = {"Id": "sha256:aa", "RepoTags": ["a/b:1", "<none>:<none>"], "RepoDigests": digests}
    shown = {"id": "sha256:aa", "digests": digests}
    engine = Answers({"/images/json": [image, {"Id": "sha256:bb", "RepoTags": None}], "/images/a/b:1/json": image})
    assert he.image_facts(engine, []) == {"a/b:1": shown, "a/b:1@sha256:dd": shown}
    assert he.image_facts(engine, ["a/b:1", "a/b:2"]) == {"a/b:1": shown}


def test_container():
    """The output does not contain the environment."""
    shown = he.container_facts(INSPECTED, [])
    assert (shown["service"], shown["name"]) == ("prover-agent", "aztec-prover-agent-prover-agent-1")
    assert (shown["state"], shown["health"], shown["restarts"]) == ("running", "healthy", 2)
    assert "10.0.0.1" not in json.dumps(shown)
    assert he.environment(INSPECTED) == {"PROVER_BROKER_HOST": "http://10.0.0.1:8080", "A": "b=c", "EMPTY": ""}


@pytest.mark.parametrize(
    ("networks", "mode", "wanted"),
    [
        ({"a": {"IPAddress": "172.18.0.2", "GlobalIPv6Address": "fd::2"}}, "a", "172.18.0.2"),
        ({"a": {"IPAddress": "", "GlobalIPv6Address": "fd::2"}}, "a", "fd::2"),
        ({"a": {"IPAddress": ""}, "b": {"IPAddress": "10.1.1.1"}}, "a", "10.1.1.1"),
        ({}, "a", ""),
        ({}, "host", "127.0.0.1"),
    ],
)
def test_container_address(networks, mode, wanted):
    """Return the first address."""
    inspected = {"HostConfig": {"NetworkMode": mode}, "NetworkSettings": {"Networks": networks}}
    assert he.container_address(inspected) == wanted


@pytest.mark.parametrize(
    ("raw", "tty", "wanted"),
    [
        (b"\x01\0\0\0\0\0\0\x03ab\n\x02\0\0\0\0\0\0\x02c\n", False, "ab\nc\n"),
        (b"plain\n", True, "plain\n"),
        (b"", False, ""),
        (b"\x01\0\0\0\0\0\0\x09cut", False, "cut"),
    ],
)
def test_decode_log(raw, tty, wanted):
    """Both streams in their order."""
    assert he.decode_log(raw, tty) == wanted


def test_published_ports():
    """Once for both address families, with the project of the container; what is not published is not shown."""
    labels = {"com.docker.compose.project": "aztec-main2-prover-broker"}
    ports = [
        {"IP": "0.0.0.0", "PrivatePort": 8080, "PublicPort": 9090, "Type": "tcp"},
        {"IP": "::", "PrivatePort": 8080, "PublicPort": 9090, "Type": "tcp"},
        {"PrivatePort": 8880, "Type": "tcp"},
    ]
    summaries = [
        {"Names": ["/main2-prover-broker"], "Labels": labels, "Ports": ports},
        {"Names": ["/web"], "Labels": None, "Ports": [{"PublicPort": 53, "PrivatePort": 53, "Type": "udp"}]},
        {"Names": ["/quiet"], "Labels": {}, "Ports": None},
    ]
    assert he.published_ports(Answers({"/containers/json": summaries})) == [
        {"protocol": "tcp", "port": 9090, "container": "main2-prover-broker", "project": "aztec-main2-prover-broker"},
        {"protocol": "udp", "port": 53, "container": "web", "project": ""},
    ]


def test_all_containers():
    """By name, with those that do not run. A container can have no name for a moment, while it is created."""
    summaries = [
        {"Names": ["/web"], "Labels": None, "State": "exited"},
        {"Names": ["/agent"], "Labels": {"com.docker.compose.project": "aztec"}, "State": "running"},
        {"Names": None, "Id": "f" * 64, "Labels": {}, "State": "created"},
    ]
    assert he.all_containers(Answers({"/containers/json?all=1": summaries})) == [
        {"name": "agent", "project": "aztec", "state": "running"},
        {"name": "f" * 12, "project": "", "state": "created"},
        {"name": "web", "project": "", "state": "exited"},
    ]


def test_volumes():
    """The engine returns null for none."""
    assert he.volumes(Answers({"/volumes": {"Volumes": [{"Name": "b"}, {"Name": "a"}]}})) == ["a", "b"]
    assert he.volumes(Answers({"/volumes": {"Volumes": None}})) == []


def test_directory_of_a_project():
    labels = {"com.docker.compose.project.working_dir": "/opt/aztec/prover-node"}
    assert he.project_directory({"Config": {"Labels": labels}}) == "/opt/aztec/prover-node"
    assert he.project_directory({"Config": {"Labels": None}}) == he.project_directory({}) == ""
