# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a running node is submitting a proof."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import docker_engine
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.node_jobs import node_jobs

JOBS = [{"uuid": "1", "status": "publishing-proof", "epochNumber": 7}, {"uuid": "2", "status": "completed"}]


class Node(BaseHTTPRequestHandler):
    """A node's RPC port."""

    answer: dict = {}

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert query["method"] == "prover_getJobs"
        body = json.dumps(self.answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments) -> None:
        """Print nothing."""


def container(port: int, service: str = "prover-node", status: str = "running") -> tuple:
    """Return what project_containers returns about a container in the host's network."""
    inspected = {
        "State": {"Status": status},
        "Config": {"Env": [f"AZTEC_PORT={port}"]},
        "HostConfig": {"NetworkMode": "host"},
    }
    return {"service": service}, inspected


@pytest.fixture(name="jobs")
def fixture_jobs(monkeypatch):
    """Return a function that gives node_jobs of a node with this answer, in containers with these options."""
    servers = []

    def found(answer: object, *containers: dict) -> dict:
        handler = type("Made", (Node,), {"answer": answer})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        port = servers[-1].server_port
        pairs = [container(port, **options) for options in containers]
        monkeypatch.setattr(docker_engine, "project_containers", lambda _engine, project: pairs if project else [])
        return node_jobs(docker_engine.Engine(), ["", "aztec-prover-node"])

    yield found
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("answer", "containers", "expected"),
    [
        ({"result": JOBS}, [{}], (1, ["publishing-proof", "completed"], "")),
        ({"result": []}, [{}], (1, [], "")),
        ({"result": JOBS}, [{"status": "exited"}, {"service": "prover-broker"}], (0, [], "")),
        ({"result": JOBS}, [], (0, [], "")),
        (
            *({"error": {"message": "Method not found"}}, [{}]),
            (1, [], "rejects prover_getJobs: Method not found"),
        ),
        ({"result": "none"}, [{}], (1, [], "returns no list of jobs for prover_getJobs")),
    ],
)
def test_jobs(jobs, answer, containers, expected) -> None:
    found = jobs(answer, *containers)
    assert (found["running"], found["states"], found["error"]) == expected


def test_without_an_engine(tmp_path) -> None:
    found = node_jobs(docker_engine.Engine(f"unix://{tmp_path}/none"), ["aztec-prover-node"])
    assert (found["running"], found["states"]) == (0, [])
    assert found["error"] != ""
