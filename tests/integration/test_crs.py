"""The service that fills the CRS directory, with a real Compose and engine: its sources, downloads and errors.

The real subcommand of the real image downloads the real 2 GiB once, of zeros, from a server of this test that replaces
Aztec's. Digests and mirrors are tested with small files and a script instead of Aztec, whose program has fixed sizes.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import component_names
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.dotenv import dotenv
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import merged
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.crs import SERVICE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import release_of

from lab.fleet.images import Images
from lab.fleet.settings import load
from tests.harness.parts import bridge_address
from tests.rendered.templates import compose_files

NAME = f"crs{os.getpid()}"
RELEASE = release_of("4.1.2").as_dict()
FILES = [file["name"] for file in RELEASE["crs_files"]]
# Aztec's hosts, first and second, as 4.1.2 has them.
HOSTS = ("crs.aztec-cdn.foundation", "crs.aztec-labs.com")
SIZES = {"g1.dat": 64 * (2**25 + 1), "g2.dat": 128, "grumpkin_g1.dat": 64 * (2**18 + 1)}
SUBCOMMAND = """#!/bin/sh
echo "$*" >>/var/lib/crs/calls
for name in bn254_g1.dat bn254_g2.dat grumpkin_g1.flat.dat; do
  [ -e "$name" ] || { echo "$name is missing"; exit 1; }
done
truncate -s 2G bn254_g1.dat
truncate -s 20M grumpkin_g1.flat.dat
"""


def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program and return the result."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


class Server:
    """An HTTP server on the address of the engine's own bridge, which counts the requests for each file."""

    def __init__(self, address: str, answer, context: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.requests: Counter[str] = Counter()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_arguments: object) -> None:
                """Log nothing."""

            def do_GET(self) -> None:
                """Count the request, and respond with a text or a number of zeros."""
                name = self.path.rsplit("/", 1)[-1]
                outer.requests[name] += 1
                found = answer(name)
                self.send_response(200 if found is not None else 404)
                size = found if isinstance(found, int) else len(found or b"")
                self.send_header("Content-Length", str(size))
                self.end_headers()
                if not isinstance(found, int):
                    self.wfile.write(found or b"")
                    return
                zeros = bytes(4 * 1024**2)
                while size:
                    size -= self.wfile.write(zeros[:size])

        self.server = http.server.ThreadingHTTPServer((address, port), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """Return the URL at which a container reaches the server."""
        host, port = self.server.server_address[:2]
        return f"http://{host}:{port}"


@pytest.fixture(scope="session")
def images() -> Images:
    """Return the lab's images on the engine of this run."""
    return Images(docker.from_env(), load())


@pytest.fixture(scope="session")
def gateway() -> str:
    """Return the address of this machine for containers on the engine's own bridge."""
    return bridge_address()


class Agents:
    """A project of two agents in separate containers, which wait for the CRS."""

    def __init__(self, directory: Path, name: str, image: str, entrypoint: list) -> None:
        self.directory, self.name, self.image, self.entrypoint = directory, name, image, entrypoint
        self.release = RELEASE
        self.crs = directory / "crs"
        self.crs.mkdir()

    def up(self, delivery: str, source: str = "", digests: dict | None = None, **extra) -> subprocess.CompletedProcess:
        """Bring the project up as compose_stack does."""
        variables = {
            "__prover_agent_release": {**self.release, "entrypoint": self.entrypoint},
            "__prover_agent_image": self.image,
            "__prover_agent_crs_delivery": delivery,
            "prover_agent_count": 2,
            "prover_agent_separate_containers": True,
            "prover_agent_restart_policy": "no",
            "prover_agent_crs_directory": str(self.crs),
            "prover_agent_crs_source": source,
            "prover_agent_crs_digests": digests or {},
            "__prover_agent_names": {**component_names("prover_agent"), "project": self.name},
        }
        (self.directory / "rendered").mkdir(exist_ok=True)
        (model,) = compose_files([("prover_agent", variables)], self.directory / "rendered")
        model.pop("networks")
        for name, service in model["services"].items():
            own = {key: value for key, value in extra.items() if name != SERVICE or key != "command"}
            kept = {key: value for key, value in service.items() if key not in ("networks", "container_name")}
            model["services"][name] = merged(kept, {"network_mode": "bridge", "stop_signal": "SIGKILL", **own})
        environment = {
            # An agent requires these before it reads the CRS. No proof is made.
            "ACVM_BINARY_PATH": "/bin/true",
            "BB_BINARY_PATH": "/bin/true",
            "CRS_PATH": "/var/lib/crs",
            "NETWORK_CONFIG_LOCATION": "/network_config.json",
            "NODE_BACKEND": "js",
            "NODE_EXTRA_CA_CERTS": "/ca.pem",
            "PROVER_BROKER_HOST": "http://127.0.0.1:9",
        }
        lines = [f"{name}={dotenv(value)}\n" for name, value in environment.items()]
        (self.directory / ".env").write_text("".join(lines))
        (self.directory / "compose.yml").write_text(json.dumps(model))
        return run("docker", "compose", "--file", str(self.directory / "compose.yml"), "up", "--detach", check=False)

    def log(self, service: str) -> str:
        """Return the log of a service."""
        done = run("docker", "compose", "-p", self.name, "logs", "--no-log-prefix", service)
        return done.stdout + done.stderr

    def started(self) -> list[str]:
        """Return the agents that have started at least once."""
        found = run("docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={self.name}").stdout.split()
        each = json.loads(run("docker", "container", "inspect", *found).stdout)
        service = "com.docker.compose.service"
        return sorted(
            one["Config"]["Labels"][service]
            for one in each
            if one["Config"]["Labels"][service] != SERVICE and not one["State"]["StartedAt"].startswith("0001")
        )


@pytest.fixture
def small(images: Images, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Agents]:
    """Return agents whose image has a script instead of Aztec."""
    (tmp_path / "node").write_text(SUBCOMMAND)
    (tmp_path / "node").chmod(0o755)
    name = f"{NAME}-{abs(hash(request.node.name)) % 10**8}"
    made = Agents(tmp_path, name, images.base(), ["/node", "start"])
    yield made
    run("docker", "compose", "-p", name, "down", "-t", "0")


CONTENT = {name: f"points of {name}".encode().ljust(128) for name in FILES}
DIGESTS = {name: "sha256:" + hashlib.sha256(text).hexdigest() for name, text in CONTENT.items()}


def start(agents: Agents, *arguments: object) -> subprocess.CompletedProcess:
    """Start agents that only sleep, with the script mounted."""
    return agents.up(*arguments, volumes=[f"{agents.directory}/node:/node:ro"], command=["x"], tmpfs=["/tmp"])


def test_mirror(small: Agents, gateway: str) -> None:
    """Each file is downloaded once, and agents start when all files exist."""
    mirror = Server(gateway, CONTENT.get)
    done = start(small, "url", f"{mirror.url}/crs", DIGESTS)
    assert done.returncode == 0, done.stderr + small.log(SERVICE)
    assert small.started() == ["prover-agent-1", "prover-agent-2"]
    assert (small.crs / "calls").read_text().splitlines()[0] == "preload-crs"
    assert mirror.requests == dict.fromkeys(FILES, 1)
    assert not list(small.crs.glob("*.part"))


@pytest.mark.parametrize(
    ("content", "digests", "error", "left"),
    [
        ({**CONTENT, "bn254_g2.dat": b"others"}, DIGESTS, "bn254_g2.dat has another digest", "bn254_g1.dat"),
        ({}, {}, "bn254_g1.dat cannot be downloaded from http://", None),
    ],
)
def test_bad_mirror(small: Agents, gateway: str, content: dict, digests: dict, error: str, left: str | None) -> None:
    """No agent starts, Aztec does not download anything, and the last log line is the error."""
    done = start(small, "url", Server(gateway, content.get).url, digests)
    assert done.returncode != 0
    assert small.started() == []
    assert error in small.log(SERVICE).splitlines()[-1]
    assert not (small.crs / "calls").exists()
    assert not (small.crs / "bn254_g2.dat").exists()
    assert left is None or (small.crs / left).exists()
    # Correct the source, which is the remedy in the line.
    done = start(small, "url", Server(gateway, CONTENT.get).url, digests)
    assert done.returncode == 0, done.stderr + small.log(SERVICE)
    assert small.started() == ["prover-agent-1", "prover-agent-2"]


def test_copied_files_are_used(small: Agents) -> None:
    """Existing files are checked and kept."""
    for name, text in CONTENT.items():
        (small.crs / name).write_bytes(text)
    done = start(small, "copy", "", DIGESTS)
    assert done.returncode == 0, done.stderr + small.log(SERVICE)
    assert small.started() == ["prover-agent-1", "prover-agent-2"]


def test_what_was_fetched_is_not_whole(small: Agents) -> None:
    """If the subcommand succeeds with incomplete files, no agent starts."""
    (small.directory / "node").write_text("#!/bin/sh\necho not found >/var/lib/crs/bn254_g1.dat\n")
    done = start(small, "download")
    assert done.returncode != 0
    assert small.started() == []
    assert "the CRS is incomplete, no bn254_g1*.dat" in small.log(SERVICE).splitlines()[-1]
    whole = "truncate -s 128 bn254_g2.dat; truncate -s 2G bn254_g1.dat; truncate -s 20M grumpkin_g1.flat.dat"
    (small.directory / "node").write_text(f"#!/bin/sh\ncd /var/lib/crs && {whole}\n")
    done = start(small, "download")
    assert done.returncode == 0, done.stderr + small.log(SERVICE)
    assert small.started() == ["prover-agent-1", "prover-agent-2"]


# What bb.js 5.0.0 downloads, to the byte.
SIX = {"bn254_g1_compressed.dat": 1073741824, "grumpkin_g1_v2.flat.dat": 16777216}


def download(sizes: dict[str, int]) -> str:
    """Return a script that replaces Aztec and creates files of these sizes."""
    return "#!/bin/sh\n" + "".join(f"truncate -s {size} /var/lib/crs/{name}\n" for name, size in sizes.items())


@pytest.mark.parametrize("version", ["5.2.0", "6.0.0"])
@pytest.mark.parametrize("short", [None, *SIX])
def test_files_of_5_and_6_are_complete_at_their_exact_size(small: Agents, version: str, short: str | None) -> None:
    """A file that lacks one byte is incomplete. From 6 on, the program contains the point of G2."""
    small.release = release_of(version).as_dict()
    sizes = {name: size - (name == short) for name, size in SIX.items()}
    (small.directory / "node").write_text(download({**sizes, **({"bn254_g2.dat": 128} if version == "5.2.0" else {})}))
    done = start(small, "download")
    assert (done.returncode == 0) == (short is None), done.stderr + small.log(SERVICE)
    if short:
        assert "the CRS is incomplete" in small.log(SERVICE).splitlines()[-1]
        assert small.started() == []


@pytest.mark.parametrize(("version", "started"), [("6.0.0", True), ("5.2.0", False)])
def test_a_mirror_without_the_point_of_g2(small: Agents, gateway: str, version: str, started: bool) -> None:
    """It is sufficient for agents of 6, but not for those of 5."""
    small.release = release_of(version).as_dict()
    (small.directory / "node").write_text(download(SIX))
    mirror = Server(gateway, {name: b"points" for name in SIX}.get)
    done = start(small, "url", mirror.url)
    assert (done.returncode == 0) == started, done.stderr + small.log(SERVICE)
    assert mirror.requests["bn254_g2.dat"] >= 1
    last = "the CRS is complete without it" if started else "bn254_g2.dat cannot be downloaded from http://"
    assert last in small.log(SERVICE)


def certificate(where: Path) -> ssl.SSLContext:
    """Create a CA and a certificate of Aztec's hosts. The certificate of the CA is where/ca.pem."""
    ca = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    run("openssl", "req", *ca, "-keyout", f"{where}/ca.key", "-out", f"{where}/ca.pem")
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=crs",
        "-keyout", f"{where}/key.pem", "-out", f"{where}/request.pem")  # fmt: skip
    (where / "names").write_text("subjectAltName=" + ",".join(f"DNS:{host}" for host in HOSTS))
    run("openssl", "x509", "-req", "-in", f"{where}/request.pem", "-CA", f"{where}/ca.pem", "-CAkey", f"{where}/ca.key",
        "-CAcreateserial", "-days", "2", "-extfile", f"{where}/names", "-out", f"{where}/cert.pem")  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(where / "cert.pem", where / "key.pem")
    return context


def test_real_subcommand_downloads_once_for_two_agents(images: Images, gateway: str, tmp_path: Path) -> None:
    """Two agents that start at the same time find a complete directory. Each file is requested once."""
    server = Server(gateway, SIZES.get, certificate(tmp_path), 443)
    network = {"bootnodes": [], "snapshots": [], "registryAddress": "0x" + "01" * 20, "l1ChainId": 31337}
    (tmp_path / "network_config.json").write_text(json.dumps({"testnet": network}))
    name = f"{NAME}-real"
    agents = Agents(tmp_path, name, images.aztec(), RELEASE["entrypoint"])
    try:
        done = agents.up(
            "download",
            volumes=[f"{tmp_path}/ca.pem:/ca.pem:ro", f"{tmp_path}/network_config.json:/network_config.json:ro"],
            extra_hosts=[f"{host}:{gateway}" for host in HOSTS],
        )
        assert done.returncode == 0, done.stderr + agents.log(SERVICE)
        assert server.requests == dict.fromkeys(SIZES, 1)
        found = {path.name: path.stat().st_size for path in agents.crs.iterdir()}
        assert {name: found[name] for name in FILES} == dict(zip(FILES, SIZES.values()))
        assert agents.started() == ["prover-agent-1", "prover-agent-2"]
        assert "Downloading CRS of size 33554433" in agents.log(SERVICE)
        deadline = time.monotonic() + 120
        while not all("Using cached CRS of size 33554433" in agents.log(one) for one in agents.started()):
            assert time.monotonic() < deadline, agents.log("prover-agent-1")
            time.sleep(1)
        assert server.requests == dict.fromkeys(SIZES, 1)
        # The minimum sizes in the table are those that Aztec requires. The first is that of compressed points.
        least = {file["name"]: file["least_bytes"] for file in RELEASE["crs_files"]}
        assert least["bn254_g1.dat"] * 2 == SIZES["g1.dat"]
        assert (least["bn254_g2.dat"], least["grumpkin_g1.flat.dat"]) == tuple(SIZES.values())[1:]
    finally:
        run("docker", "compose", "-p", name, "down", "-t", "0")
        server.server.shutdown()
        server.server.server_close()
