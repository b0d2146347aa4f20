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


AT_RPC = {"projects": ["", "aztec-prover-node"], "jobs": "prover_getJobs", "admin": False, "admin_key": ""}


class Node(BaseHTTPRequestHandler):
    """A node's RPC port, or its admin port if it has a key."""

    answer: dict = {}
    key = ""

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert query["method"] == "prover_getJobs"
        refused = {"error": {"message": "Unauthorized"}}
        body = json.dumps(refused if self.headers.get("x-api-key", "") != self.key else self.answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments) -> None:
        """Print nothing."""


def container(
    port: int, service: str = "prover-node", status: str = "running", variable: str = "AZTEC_PORT"
) -> tuple:
    """Return what project_containers returns about a container in the host's network."""
    inspected = {
        "State": {"Status": status},
        "Config": {"Env": [f"{name}={port if name == variable else 1}" for name in ("AZTEC_PORT", "AZTEC_ADMIN_PORT")]},
        "HostConfig": {"NetworkMode": "host"},
    }
    return {"service": service}, inspected


@pytest.fixture(name="jobs")
def fixture_jobs(monkeypatch):
    """Return a function that gives node_jobs of a node with this answer, in containers with these options."""
    servers = []

    def found(answer: object, *containers: dict, query: dict | None = None, key: str = "") -> dict:
        handler = type("Made", (Node,), {"answer": answer, "key": key})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        port = servers[-1].server_port
        pairs = [container(port, **options) for options in containers]
        monkeypatch.setattr(docker_engine, "project_containers", lambda _engine, project: pairs if project else [])
        return node_jobs(docker_engine.Engine(), query or AT_RPC)

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


@pytest.mark.parametrize(
    ("key", "error"), [("a-key", ""), ("", "rejects prover_getJobs: Unauthorized")], ids=["key", "no key"]
)
def test_jobs_at_the_admin_port(jobs, key, error) -> None:
    query = {**AT_RPC, "admin": True, "admin_key": key}
    found = jobs({"result": JOBS}, {"variable": "AZTEC_ADMIN_PORT"}, query=query, key="a-key")
    assert (found["states"], found["error"]) == ([] if error else ["publishing-proof", "completed"], error)


def test_without_an_engine(tmp_path) -> None:
    found = node_jobs(docker_engine.Engine(f"unix://{tmp_path}/none"), AT_RPC)
    assert (found["running"], found["states"]) == (0, [])
    assert found["error"] != ""
