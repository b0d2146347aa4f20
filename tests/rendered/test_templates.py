"""How the Compose templates render single settings. The golden files contain complete ones."""

from __future__ import annotations

import copy
import functools
import http.server
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rendered.fleets import COMPONENTS
from tests.rendered.render import ROOT
from tests.rendered.templates import compose_files

SEED = "prover-agent-crs"
LOGGING = {"driver": "json-file", "options": {"max-size": "100m", "max-file": "3"}}
LOG_KEYS = [
    ({}, LOGGING),
    ({"logging": None}, LOGGING),
    ({"logging": {"options": {"mode": "x"}}}, LOGGING),
    # journald does not accept the options of json-file.
    ({"logging": {"driver": "journald"}}, None),
]
NOTHING = ["", 0, 0.0]
SEPARATE = {"prover_agent_count": 300, "prover_agent_separate_containers": True}
SOURCES = [
    ("none", "", {"PROVER_REAL_PROOFS": "false"}),
    ("image", "image", {}),
    ("download", "", {}),
    ("url", "https://mirror.lan/a$b/", {}),
    ("copy", "/srv/crs", {}),
]
DIGEST = "0a" * 32
VERSIONS = ["2.1.5", "4.1.2"]


def crs_case(delivery: tuple, version: str) -> dict[str, Any]:
    return {
        "prover_agent_count": 2,
        "prover_agent_separate_containers": True,
        "prover_agent_memory_limit": "1g",
        "prover_agent_environment": delivery[2],
        "prover_agent_crs_source": delivery[1],
        "prover_agent_version": version,
        "prover_agent_crs_digests": {"bn254_g1.dat": f"sha256:{DIGEST}", "other.dat": f"sha256:{DIGEST}"},
    }


CASES: dict[Any, tuple[str, dict[str, Any]]] = {
    **{
        ("log", one, number): (one, {f"{one}_compose": extra})
        for one in COMPONENTS
        for number, (extra, _logging) in enumerate(LOG_KEYS)
    },
    **{
        ("nothing", one, number): (one, {f"{one}_memory_limit": nothing, f"{one}_cpu_limit": nothing})
        for one in COMPONENTS
        for number, nothing in enumerate(NOTHING)
    },
    "separate": ("prover_agent", SEPARATE),
    **{(source[0], version): ("prover_agent", crs_case(source, version)) for source in SOURCES for version in VERSIONS},
}


@functools.cache
def rendered() -> dict[Any, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as where:
        return dict(zip(CASES, compose_files(list(CASES.values()), Path(where))))


def services_of(case: Any) -> dict[str, Any]:
    return copy.deepcopy(rendered()[case]["services"])


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("number", range(len(LOG_KEYS)))
def test_another_log_driver_does_not_get_the_options_of_json_file(component: str, number: int) -> None:
    services = services_of(("log", component, number))
    assert [service.get("logging") for service in services.values()] == [LOG_KEYS[number][1]] * len(services)


@pytest.mark.parametrize("number", range(len(NOTHING)))
@pytest.mark.parametrize("component", COMPONENTS)
def test_limits_that_are_not_set_are_omitted(component: str, number: int) -> None:
    for service in services_of(("nothing", component, number)).values():
        assert not {"mem_limit", "cpus"} & service.keys()


def test_agents_in_separate_containers_differ_in_name_and_mac_address() -> None:
    services = services_of("separate")
    services.pop(SEED)
    names = [f"prover-agent-{number}" for number in range(1, 301)]
    assert {name: service.pop("container_name") for name, service in services.items()} == dict(zip(names, names))
    addresses = [service.pop("mac_address") for service in services.values()]
    assert [addresses[at] for at in (0, 1, 299)] == [f"02:a2:7e:02:{end}" for end in ("00:01", "00:02", "01:2c")]
    assert all(service == services["prover-agent-1"] for service in services.values())


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers every GET with 200 and keeps its path."""

    paths: list = []

    def do_GET(self) -> None:
        self.paths.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


@pytest.fixture(name="port")
def fixture_port() -> Iterator[int]:
    """Serve as a component on loopback; return its port."""
    Answers.paths = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("no_proxy", ["", "other.lan"])
@pytest.mark.parametrize("name", ["http_proxy", "all_proxy", "ALL_PROXY"])
def test_the_health_check_bypasses_every_proxy(component: str, port: int, name: str, no_proxy: str) -> None:
    """Run the command of the health check with a proxy where nothing listens."""
    service = services_of(("log", component, 0))[component.replace("_", "-")]
    (kind, *command) = service["healthcheck"]["test"]
    assert (kind, shutil.which(command[0]) is not None) == ("CMD", True)
    command[-1] = re.sub(r":[0-9]+/", f":{port}/", command[-1])
    proxy = {name: "http://127.0.0.1:9", "no_proxy": no_proxy, "NO_PROXY": no_proxy}
    subprocess.run(command, env={"PATH": os.environ["PATH"], **proxy}, check=True, timeout=20)
    assert Answers.paths == ["/status"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("delivery", [source[0] for source in SOURCES])
def test_agents_wait_for_the_service_that_fills_the_crs_directory(delivery: str, version: str) -> None:
    """Check it if there is one. It is like an agent, but without a MAC address and without restarts."""
    services = services_of((delivery, version))
    seed = services.pop(SEED, None)
    assert list(services) == ["prover-agent-1", "prover-agent-2"]
    wait = {SEED: {"condition": "service_completed_successfully"}}
    assert [service.get("depends_on") for service in services.values()] == [wait if seed else None] * 2
    assert (seed is None) is (delivery in ("none", "image"))
    if seed:
        assert (seed["container_name"], seed["restart"], seed["healthcheck"]) == (SEED, "no", {"disable": True})
        # It may run next to the first agent, whose MAC address is on the same bridge.
        assert not {"depends_on", "mac_address", "ports"} & seed.keys()
        for key in ("image", "volumes", "env_file", "networks", "mem_limit", "ulimits", "init"):
            assert seed[key] == services["prover-agent-1"][key]


@pytest.mark.parametrize("delivery", [source[0] for source in SOURCES[2:]])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_script_gets_what_it_needs(version: str, delivery: str) -> None:
    """The script is the role's file, in which each $ is doubled for Compose."""
    seed = services_of((delivery, version))[SEED]
    lock, path, *shell, script, name = seed["entrypoint"][:6]
    assert (lock, path, shell, name) == ("flock", "/var/lib/crs", ["sh", "-c"], "download_crs.sh")
    program = "/usr/src/yarn-project/aztec/dest/bin/index.js"
    assert seed["entrypoint"][6:] == ["node", "--no-warnings", program, "preload-crs"]
    assert "$" not in script.replace("$$", "")
    assert script.replace("$$", "$") == (ROOT / "roles/prover_agent/files/download_crs.sh").read_text(encoding="utf-8")
    given = seed["environment"]
    assert given["CRS_DELIVERY"] == delivery
    assert given["CRS_SOURCE"] == ("https://mirror.lan/a$$b" if delivery == "url" else "")
    assert {"bn254_g1.dat", "bn254_g2.dat", "other.dat"} < set(given["CRS_FILES"].split())
    assert given["CRS_DIGESTS"] == f"bn254_g1.dat={DIGEST} other.dat={DIGEST}"
    assert not {"bn254_g1.dat", "other.dat"} & set(given["CRS_OPTIONAL"].split())
    assert "bn254_g1*.dat=1073741856" in given["CRS_LEAST_BYTES"].split()
