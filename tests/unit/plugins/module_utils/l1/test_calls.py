# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calls and transactions that are sent to L1 clients, and their answers."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1 import calls
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.calls import query_calls

REVERTED = {"code": 3, "message": "execution reverted", "data": "0xe8b9b951"}
RECEIPT = {"blockNumber": "0x5", "status": "0x1"}
RAW = {"raw": "0x02", "transaction": "0xaa", "wait": 0}


class Client(BaseHTTPRequestHandler):
    """Answers each method with the result of its function, or its error. A list is sent as it is."""

    methods: dict = {}
    queried: list = []
    status = 200

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.queried.append(query["method"])
        found = self.methods[query["method"]](*query["params"])
        whole = isinstance(found, list) or (isinstance(found, dict) and "error" in found)
        body = json.dumps(found if whole else {"result": found}).encode()
        self.send_response(self.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments) -> None:
        """Print nothing."""


@pytest.fixture(name="serve")
def fixture_serve(monkeypatch):
    """Return a function that makes a client of these methods and gives (its URL, the methods that were queried)."""
    monkeypatch.setattr(calls, "POLL_SECONDS", 0.01)
    servers = []

    def make(status: int = 200, **methods) -> tuple:
        handler = type("Made", (Client,), {"methods": methods, "queried": [], "status": status})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}", handler.queried

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def query(*urls: str, sent: list, **rest) -> dict:
    targets = [{"url": url, "headers": {}} for url in urls]
    return query_calls({"targets": targets, "seconds": 5, "calls": sent, **rest})


def test_outcomes_are_in_the_order_of_the_calls(serve) -> None:
    url, queried = serve(eth_call=lambda number: {"error": REVERTED} if number == 60 else number)
    found = query(url, sent=[["eth_call", number] for number in range(100)])
    assert (found["target"], found["where"], found["faults"], found["sent"]) == (0, url, [], None)
    error = {"error": "rejects eth_call: execution reverted", "data": "0xe8b9b951"}
    assert found["outcomes"] == [error if number == 60 else {"result": number} for number in range(100)]
    assert len(queried) == 100


@pytest.mark.parametrize(
    ("answer", "data"),
    [
        (REVERTED, "0xe8b9b951"),
        ({"message": "no"}, ""),
        ({"message": "no", "data": "Reverted 0x12"}, ""),
        ({"message": "no", "data": {"a": 1}}, ""),
        ("no", ""),
        ({"message": "no", "data": "0x" + "0" * 2000}, "0x" + "0" * 998),
    ],
)
def test_data_of_an_error(serve, answer, data) -> None:
    url, _queried = serve(eth_call=lambda: {"error": answer})
    assert query(url, sent=[["eth_call"]])["outcomes"][0]["data"] == data


def test_the_next_client_is_used(serve) -> None:
    wrong, _queried = serve(404, eth_call=lambda: {"message": "no"})
    odd, _queried = serve(eth_call=lambda: [1])
    right, _queried = serve(eth_call=lambda: 7)
    keyed = "http://127.0.0.1:1/S3cretPath"
    found = query(keyed, wrong, odd, right, right, sent=[["eth_call"]])
    assert (found["target"], found["outcomes"]) == (3, [{"result": 7}])
    assert [one["where"] for one in found["faults"]] == ["http://127.0.0.1:1", wrong, odd]
    assert "S3cret" not in str(found)
    none = query(keyed, wrong, sent=[["eth_call"]], transaction=RAW)
    assert (none["target"], none["outcomes"], none["sent"]) == (None, [], None)


def test_a_receipt_is_awaited(serve) -> None:
    receipts = [None, {"status": "0x1", "blockNumber": None}, RECEIPT]
    url, queried = serve(
        eth_sendRawTransaction=lambda raw: raw, eth_getTransactionReceipt=lambda _hash: receipts.pop(0)
    )
    found = query(url, sent=[], transaction={**RAW, "wait": 5})
    assert found["sent"] == {"receipt": RECEIPT, "refused": "", "lost": ""}
    assert queried == ["eth_sendRawTransaction", *["eth_getTransactionReceipt"] * 3]


def test_a_refused_transaction(serve) -> None:
    url, queried = serve(eth_sendRawTransaction=lambda _raw: {"error": {"message": "nonce too low"}})
    refused = "rejects eth_sendRawTransaction: nonce too low"
    assert query(url, sent=[], transaction=RAW)["sent"] == {"receipt": None, "refused": refused, "lost": ""}
    assert queried == ["eth_sendRawTransaction"]


def test_a_transaction_without_a_receipt(serve) -> None:
    url, _queried = serve(eth_sendRawTransaction=lambda raw: raw, eth_getTransactionReceipt=lambda _hash: None)
    lost = "has no receipt after 0 s"
    assert query(url, sent=[], transaction=RAW)["sent"] == {"receipt": None, "refused": "", "lost": lost}


def test_a_client_that_loses_the_answer_to_a_transaction(serve) -> None:
    """The transaction can have been accepted: its receipt decides."""
    url, queried = serve(eth_sendRawTransaction=lambda _raw: [], eth_getTransactionReceipt=lambda _hash: RECEIPT)
    assert query(url, sent=[], transaction=RAW)["sent"] == {"receipt": RECEIPT, "refused": "", "lost": ""}
    assert queried.count("eth_sendRawTransaction") == 1
    url, _queried = serve(eth_sendRawTransaction=lambda _raw: [], eth_getTransactionReceipt=lambda _hash: [])
    assert "JSON" in query(url, sent=[], transaction=RAW)["sent"]["lost"]
