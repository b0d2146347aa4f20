# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What agents report about their work."""

from __future__ import annotations

import json
import math
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.agent_status import (
    Work,
    agent_methods,
    parse_work,
    query_work,
)


@pytest.mark.parametrize(
    ("method", "count", "wanted"),
    [
        ("agent_getStatus", 1, ["agent_getStatus"]),
        ("agent_getStatus", 2, ["agent0_getStatus", "agent1_getStatus"]),
        ("agent_getStatus", 0, []),
    ],
)
def test_agent_methods(method, count, wanted):
    """One agent has a name of its own; several are numbered."""
    assert agent_methods(method, count) == wanted


@pytest.mark.parametrize(
    ("result", "wanted"),
    [
        ({"status": "running"}, Work()),
        ({"status": "stopped"}, Work()),
        (
            {"status": "proving", "jobId": "3:A:b", "proofType": "A", "startedAtISO": "1970-01-01T00:01:00.500Z"},
            Work("3:A:b", "A", 60.5),
        ),
        ({"status": "proving", "jobId": "3:A:b"}, Work("3:A:b", "", -math.inf)),
        ({"status": "proving"}, Work("unknown", "", -math.inf)),
        ({"status": "proving", "jobId": "x\x1b[0m", "startedAtISO": "soon"}, Work("x\\x1b[0m", "", -math.inf)),
        ({"status": None}, None),
        ({}, None),
        ("running", None),
        (None, None),
    ],
)
def test_parse_work(result, wanted):
    """Each kind of result, and results of other programs."""
    found = parse_work(result)
    assert (found and found.kind, found and found.started) == (wanted and wanted.kind, wanted and wanted.started)
    assert (found is None) == (wanted is None) and (not found or "\x1b" not in found.job)
    assert not wanted or bool(found.job) == bool(wanted.job)


class Server(BaseHTTPRequestHandler):
    """Responds as an agent: the first is idle, the second one is not known."""

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {"result": {"status": "running"}}
        if query["method"] != "agent0_getStatus":
            answer = {"error": {"code": -32601, "message": "Method not found"}}
        body = json.dumps({"jsonrpc": "2.0", "id": query["id"], **answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words) -> None:
        """Print nothing."""


def test_query_work():
    """An agent that responds, one that returns an error, and a process that does not listen."""
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        found = query_work(url, ["agent0_getStatus", "agent1_getStatus"], 5)
        server.shutdown()
        thread.join()
    assert found == [Work(), None]
    assert query_work(url, ["agent_getStatus"], 5) == [Work()]


def test_query_work_of_a_process_that_does_not_respond():
    """It accepts the connection, and computes."""
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        assert query_work(f"http://127.0.0.1:{server.server_port}/", ["agent_getStatus"], 0.2) == [None]


def test_query_work_of_a_process_that_resets_connections():
    """It listens, so that it may have a job."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=reset_two, args=(server,))
        thread.start()
        assert query_work(f"http://127.0.0.1:{server.getsockname()[1]}/", ["agent_getStatus"], 2) == [None]
        thread.join()


def reset_two(server: socket.socket) -> None:
    """Reset the connection of the query, and accept the next one."""
    for _number in range(2):
        connection, _peer = server.accept()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
