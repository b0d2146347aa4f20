# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starting the proof of an epoch, at a node's RPC port and at its admin port."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import docker_engine
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.node_jobs import running_node, start_proof

KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
QUERY = {"jobs": "prover_getJobs", "start": "prover_startProof", "epoch": 7, "admin": False, "admin_key": ""}
STARTED = {"before": "", "after": "initialized", "kind": "", "error": ""}


class Node(BaseHTTPRequestHandler):
    """A node as 4.1.2 responds: a method without a result returns none, an error of a method is HTTP 400."""

    jobs: list
    refusal = ""
    key = ""
    result: object = None

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status, found = 200, {}
        if self.key and self.headers["x-api-key"] != self.key:
            status, found = 401, {"error": {"code": -32000, "message": "Unauthorized: invalid or missing API key"}}
        elif query["method"] == "prover_getJobs":
            found = {"result": self.result or self.jobs}
        elif self.refusal:
            status, found = 400, {"error": {"message": self.refusal}}
        else:
            assert query["method"] == "prover_startProof"
            self.jobs.append({"uuid": "9", "status": "initialized", "epochNumber": query["params"][0]})
        body = json.dumps({"jsonrpc": "2.0", "id": 1, **found}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments) -> None:
        """Print nothing."""


@pytest.fixture(name="start")
def fixture_start():
    """Return a function that starts the proof of epoch 7 on a node, and returns the result and the node's jobs."""
    servers = []

    def found(jobs: list, admin: bool = False, key: str = "", **node: object) -> tuple:
        handler = type("Made", (Node,), {"jobs": jobs, **node})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        ports = {"AZTEC_ADMIN_PORT" if admin else "AZTEC_PORT": servers[-1].server_port}
        inspected = {
            "Config": {"Env": [f"{name}={port}" for name, port in ports.items()]},
            "HostConfig": {"NetworkMode": "host"},
        }
        return start_proof(inspected, {**QUERY, "admin": admin, "admin_key": key}), jobs

    yield found
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_proof_starts(start) -> None:
    found, jobs = start([{"status": "failed", "epochNumber": 7}, {"status": "processing", "epochNumber": 8}])
    assert found == STARTED
    assert [job["epochNumber"] for job in jobs] == [7, 8, 7]


def test_an_epoch_in_work(start) -> None:
    found, jobs = start([{"status": "awaiting-prover", "epochNumber": 7}])
    assert found == {"before": "awaiting-prover", "after": "", "kind": "", "error": ""}
    assert len(jobs) == 1


@pytest.mark.parametrize("key", ["", "another"])
def test_a_wrong_key(start, monkeypatch, key: str) -> None:
    monkeypatch.setattr(Node, "key", KEY)
    found, jobs = start([], admin=True, key=key)
    assert (found["kind"], jobs) == ("key", [])
    assert found["error"] == "returns 401 Unauthorized: Unauthorized: invalid or missing API key"
    assert start([], admin=True, key=KEY)[0] == STARTED
    # At the RPC port, no key is sent.
    assert start([], key=KEY)[0]["kind"] == "key"


@pytest.mark.parametrize(
    ("node", "kind", "error"),
    [
        (
            {"refusal": "No blocks found for epoch 7"},
            "rejected",
            "rejects prover_startProof: No blocks found for epoch 7",
        ),
        ({"result": "none"}, "other", "returns no list of jobs for prover_getJobs"),
    ],
)
def test_a_node_that_does_not_start_it(start, node: dict, kind: str, error: str) -> None:
    found, jobs = start([], **node)
    assert (found["kind"], found["error"], found["after"], jobs) == (kind, error, "", [])


def test_a_port_that_is_closed() -> None:
    inspected = {"Config": {"Env": ["AZTEC_PORT=1"]}, "HostConfig": {"NetworkMode": "host"}}
    found = start_proof(inspected, QUERY)
    assert (found["kind"], found["error"]) == ("connect", "is not reachable: connection refused")


def test_the_running_node(monkeypatch) -> None:
    pairs = [
        ({"service": "prover-broker"}, {"State": {"Status": "running"}, "Id": "1"}),
        ({"service": "prover-node"}, {"State": {"Status": "exited"}, "Id": "2"}),
        ({"service": "prover-node"}, {"State": {"Status": "running"}, "Id": "3"}),
    ]
    monkeypatch.setattr(docker_engine, "project_containers", lambda _engine, _project: pairs)
    assert running_node(docker_engine.Engine(), "p")["Id"] == "3"
    del pairs[2]
    assert running_node(docker_engine.Engine(), "p") is None
