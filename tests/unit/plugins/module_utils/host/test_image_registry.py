# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Querying registries for images over HTTP, with and without a token, and processing the answers."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import image_registry as registry
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.network_version_checks import registry_problems

IMAGE = "azteclabs/aztec:6.0.0"
DIGEST = "sha256:" + "0a" * 32
ANSWERS = {"/v2/azteclabs/aztec/manifests/6.0.0": 200, "/v2/busy/aztec/manifests/6.0.0": 429}


class Server(BaseHTTPRequestHandler):
    """A registry. Paths below /token/ require a token, and paths below /login/ a login."""

    def do_GET(self) -> None:
        """Return a token to everybody."""
        body = json.dumps({"token": "t"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        """Return whether a manifest is there."""
        kind, path = "", self.path
        for name in ("token", "login"):
            if path.startswith(f"/{name}/"):
                kind, path = name, path[len(name) + 1 :]
        code = ANSWERS.get(path, 404)
        if kind and self.headers["Authorization"] != "Bearer t":
            code = 401
        self.send_response(code)
        here = f"http://127.0.0.1:{self.server.server_port}/auth"
        ways = {"token": f'Bearer realm="{here}",service="s",scope="repository:x:pull"', "login": 'Basic realm="r"'}
        if code == 401:
            self.send_header("WWW-Authenticate", ways[kind])
        self.end_headers()

    def log_message(self, *_arguments) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def served():
    """Return the URL of a registry."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        (IMAGE, ("docker.io", "azteclabs/aztec", "6.0.0")),
        ("aztec:6.0.0", ("docker.io", "library/aztec", "6.0.0")),
        ("docker.io/azteclabs/aztec:6.0.0", ("docker.io", "azteclabs/aztec", "6.0.0")),
        ("registry.lan/aztec", ("registry.lan", "aztec", "latest")),
        ("registry.lan:5000/a/b:1@" + DIGEST, ("registry.lan:5000", "a/b", DIGEST)),
        ("localhost/a:1", ("localhost", "a", "1")),
    ],
)
def test_parts(reference: str, parts: tuple) -> None:
    assert registry.parts_of(reference) == parts


@pytest.mark.parametrize(
    ("name", "origins"),
    [
        ("docker.io", ["http://m.lan:5000", "https://registry-1.docker.io"]),
        ("registry.lan:5000", ["https://registry.lan:5000"]),
        ("127.0.0.1:5000", ["http://127.0.0.1:5000"]),
    ],
)
def test_origins(name: str, origins: list) -> None:
    assert registry.origins_of(name, ["http://m.lan:5000/", "http://m.lan:5000"]) == origins


@pytest.mark.parametrize(
    ("way", "repository", "wanted", "result"),
    [
        ("", "azteclabs/aztec", "6.0.0", True),
        ("", "azteclabs/aztec", "9.9.9", False),
        ("", "none/aztec", "6.0.0", False),
        ("/token", "azteclabs/aztec", "6.0.0", True),
        ("/token", "azteclabs/aztec", "9.9.9", False),
        ("/token", "busy/aztec", "6.0.0", "returns 429"),
        ("/login", "azteclabs/aztec", "6.0.0", "requires a login"),
    ],
)
def test_manifests(served: str, way: str, repository: str, wanted: str, result: object) -> None:
    if isinstance(result, bool):
        assert registry.has_manifest(served + way, repository, wanted, time.monotonic() + 5) is result
    else:
        with pytest.raises(registry.RegistryError, match=result):
            registry.has_manifest(served + way, repository, wanted, time.monotonic() + 5)


def test_one_place_that_has_it_is_enough_and_silence_is_not_answer(served: str, monkeypatch) -> None:
    monkeypatch.setattr(registry, "HUB_ORIGIN", "http://127.0.0.1:1")
    place = served.removeprefix("http://")
    found = registry.find_images([IMAGE, "azteclabs/aztec:9.9.9"], [served])
    assert [one["found"] for one in found] == [True, None]
    assert (found[1]["missing_at"], found[1]["errors"]) == ([place], ["127.0.0.1:1 connection refused"])
    assert registry.find_images([IMAGE], [])[0]["found"] is None
    monkeypatch.setattr(registry, "HUB_ORIGIN", served)
    assert registry.find_images([IMAGE], ["http://127.0.0.1:1"])[0]["found"] is True


@pytest.mark.parametrize(
    ("mirrors", "hub", "found"),
    [
        ([], "", False),
        (["/empty"], "/token", False),
        # As on a host without an engine, which can only reach Docker Hub by the engine's proxy.
        (["/empty"], None, None),
        (["/empty"], "/login", None),
        (["/login", None], "/token", None),
        ([None, "/empty"], None, None),
    ],
)
def test_an_image_is_missing_only_where_every_registry_reports_it(
    served: str, monkeypatch, mirrors: list, hub: str | None, found: bool | None
) -> None:
    def place(way: str | None) -> str:
        return "http://127.0.0.1:1" if way is None else served + way

    monkeypatch.setattr(registry, "HUB_ORIGIN", place(hub))
    (answer,) = registry.find_images(["azteclabs/aztec:9.9.9"], [place(way) for way in mirrors])
    assert answer["found"] is found


def test_a_registry_that_does_not_respond_takes_no_longer_than_its_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        found = registry.find_images([f"{place}/aztec:1"], [], seconds=0.5)
    assert time.monotonic() - start < 10
    assert found[0]["found"] is None and found[0]["errors"] == [f"{place} timed out"]


FLEET = {"hosts": {"node-1": {"images": [IMAGE]}, "agent-1": {"images": [IMAGE]}}}
MISSING = {"image": IMAGE, "found": False, "missing_at": ["registry-1.docker.io"], "errors": []}


def problems(answer: dict, here: tuple = (), settings: tuple = ()) -> list[str]:
    """Return the lines if the node's host queried the registry. here: the hosts that have the image."""
    host_infos = {host: {"images": {IMAGE: {}} if host in here else {}, "registry": []} for host in FLEET["hosts"]}
    host_infos["node-1"]["registry"] = [answer]
    found = registry_problems({**host_infos, "agent-2": None}, FLEET, settings)
    return [f"{one.level} | {one.host} | {one.variable} | {one.wrong} | {one.remedy}" for one in found]


LINE = f"error | the fleet | aztec_version | registry-1.docker.io does not have the image {IMAGE} (queried from node-1)"
REMEDY = "set aztec_version to a published release"


def test_one_line_for_the_fleet() -> None:
    assert problems(MISSING) == [f"{LINE} | {REMEDY}"]
    assert problems(MISSING, ("node-1",)) == [f"{LINE} | {REMEDY}"]
    assert problems(MISSING, ("node-1", "agent-1")) == []
    assert problems({**MISSING, "found": None}) == problems({**MISSING, "found": True}) == []
    named = problems(MISSING, (), ("aztec_image",))
    assert named == [f"{LINE} | {REMEDY}, or correct aztec_image"]
