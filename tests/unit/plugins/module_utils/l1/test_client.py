# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How L1 clients are queried, how their answers are parsed, and what is shown."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.api_client import (
    ApiClient,
    ErrorResponse,
    RequestError,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import number
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.redaction import Redactor, origin
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.client import (
    PREFIX_BYTES,
    TRACE_SEARCH,
    TRACED_BLOCKS,
    has_blobs,
    inside,
    query_l1,
    returns_trace,
)


def target(url: str, **headers) -> dict:
    return {"url": url, "headers": headers}


def client(url: str, seconds: float = 5) -> ApiClient:
    return ApiClient(url, seconds)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:S3cret@rpc.lan:8545/S3cret?key=S3cret#S3cret", "https://rpc.lan:8545"),
        ("http://[fd00::1]:5052/S3cret", "http://[fd00::1]:5052"),
        ("https://S3cret@rpc.lan", "https://rpc.lan"),
    ],
)
def test_origin(url: str, shown: str) -> None:
    assert origin(url) == shown


@pytest.mark.parametrize(
    ("url", "below", "query", "path"),
    [
        ("https://a.lan", "", "", "/"),
        ("https://a.lan/v3/KEY", "", "", "/v3/KEY"),
        ("https://a.lan/v3/KEY?x=1", "", "", "/v3/KEY?x=1"),
        ("https://a.lan/KEY/", "/eth/v1/node/syncing", "", "/KEY/eth/v1/node/syncing"),
        ("https://a.lan/?key=K", "/eth/v1/x", "indices=0", "/eth/v1/x?key=K&indices=0"),
        ("https://a.lan/ä b", "", "", "/%C3%A4%20b"),
        ("https://a.lan/%2Fb", "", "", "/%2Fb"),
    ],
)
def test_paths(url: str, below: str, query: str, path: str) -> None:
    assert client(url).path(below, query) == path


@pytest.mark.parametrize(
    ("reported", "shown"),
    [
        ("wrong key S3cretPath", "wrong key ***"),
        ("wrong key /v3/S3cretPath", "wrong key ***"),
        ("user me:S3cretWord is not known", "user *** is not known"),
        ("header S3cretHeader", "header ***"),
        ("query S3cretQuery", "query ***"),
        ("basic bWU6UzNjcmV0V29yZA==", "basic ***"),
        # Short secrets are in too many words to be cut out of them: where one is only nothing is shown.
        ("the pin is 12a", "***"),
        ("the id is 12ab", "the id is 12ab"),
        ("two\nlines\t of text", "two lines of text"),
        ("\x1b[31mred", "red"),
        ("a" * 500, "a" * 160 + "..."),
    ],
)
def test_what_servers_say_is_shown_without_secrets(reported: str, shown: str) -> None:
    redactor = Redactor.of_targets(
        [
            target("https://me:S3cretWord@a.lan/v3/S3cretPath?key=S3cretQuery&pin=12a"),
            target("https://b.lan", Key="S3cretHeader"),
        ]
    )
    assert redactor.line(reported) == shown


@pytest.mark.parametrize(
    ("text", "value"),
    [("0x10", 16), ("10", 10), ("", None), ("0x", None), ("x", None), (None, None), (7, None), ("1e3", None)],
)
def test_number(text: object, value: int | None) -> None:
    assert number(text) == value


def test_inside() -> None:
    document = [{"header": {"message": {"slot": "7"}}}]
    assert inside(document, 0, "header", "message", "slot") == "7"
    assert inside(document, 1, "header") is None
    assert inside(document, 0, "header", "message", "slot", "x") is None
    assert inside(None, "x") is None


@pytest.mark.parametrize(
    ("begins", "seen"),
    [
        (b'{"data":[{"index":"0","blob":"0x00', True),
        (b'{"version":"fulu","finalized":false,"data": [ "0x00', True),
        (b'{"version":"deneb","data":[]}', False),
        (b'{"data" : [ ] }', False),
        (b'{"data":{}}', None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_the_beginning_of_blobs(begins: bytes, seen: bool | None) -> None:
    assert has_blobs(begins) is seen


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (socket.timeout(), "timeout", "does not respond within 5 s"),
        (ConnectionRefusedError(111, "Connection refused"), "connect", "is not reachable: connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "connect", "does not resolve on this host"),
        (http.client.RemoteDisconnected("x"), "connect", "closes the connection without a response"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] S3cret"), "tls", "fails the TLS handshake: failed"),
        (http.client.InvalidURL("S3cret"), "url", "is not queried: URL or API key contain characters"),
        (ValueError("Invalid header value b'S3cret'"), "url", "is not queried: URL or API key contain characters"),
        (http.client.BadStatusLine("S3cret"), "other", "does not return HTTP"),
    ],
)
def test_errors_of_the_way_there(error: Exception, kind: str, text: str) -> None:
    fault = client("https://a.lan/S3cret").request_error(error)
    assert fault.kind == kind
    assert fault.text.startswith(text)


class Script(BaseHTTPRequestHandler):
    """Answers each request with the next of (status, body) of its class."""

    protocol_version = "HTTP/1.1"
    answers: list = []
    queried: list = []
    ends = False
    leads = "/elsewhere"

    def do_POST(self) -> None:
        queried = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or "{}")
        self.queried.append((queried.get("method"), queried.get("params")))
        status, body = self.answers.pop(0)
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("location", self.leads)
        self.end_headers()
        self.wfile.write(body)
        # A server that ends a connection without announcing it.
        self.close_connection = self.ends

    do_GET = do_POST

    def log_message(self, *_words) -> None:
        """Log nothing."""


@pytest.fixture(name="scripted")
def fixture_scripted():
    """Return a function that makes a server of these answers and gives its URL."""
    servers = []

    def make(*answers: tuple, handler: type = Script, **settings) -> str:
        handler = type("Made", (handler,), {"answers": list(answers), "queried": [], **settings})
        make.handlers.append(handler)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    make.handlers = []
    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (200, b"<html>", "other", "returns HTML instead of JSON"),
        (200, b"", "other", "returns an empty response instead of JSON"),
        (200, b"[1]", "other", "returns something other than a JSON object"),
        (200, b"{}", "other", "returns 200 without a result"),
        (502, b"<html>", "http", "returns 502 Bad Gateway"),
        (401, b"<html>", "key", "returns 401 Unauthorized"),
        (403, b'{"error": "no such project"}', "key", "returns 403 Forbidden: no such project"),
        (429, b'{"error": {"message": "slow down"}}', "limit", "returns 429 Too Many Requests: slow down"),
        (301, b"", "redirect", "returns 301, a redirect to another path on the same server"),
    ],
)
def test_answers_that_are_faults(scripted, status: int, body: bytes, kind: str, text: str) -> None:
    with pytest.raises(RequestError) as fault:
        client(scripted((status, body))).rpc("eth_chainId")
    assert (fault.value.kind, fault.value.text) == (kind, text)


@pytest.mark.parametrize("status", [200, 400, 500])
def test_an_error_of_the_server_s_is_shown(scripted, status: int) -> None:
    url = scripted((status, b'{"error": {"code": -32601, "message": "no such method S3cretPath"}}'))
    with pytest.raises(ErrorResponse, match=r"^rejects eth_chainId: no such method \*\*\*$"):
        client(f"{url}/S3cretPath").rpc("eth_chainId")


def test_a_connection_that_the_server_has_ended_is_made_again(scripted) -> None:
    queried = client(scripted((200, b'{"result": 1}'), (200, b'{"result": 2}'), ends=True))
    assert queried.rpc("a") == 1
    time.sleep(0.1)
    assert queried.rpc("b") == 2


def test_a_question_after_the_end_of_the_time_is_not_queried() -> None:
    with pytest.raises(RequestError, match="does not respond within 0 s"):
        client("http://127.0.0.1:1", seconds=0).rpc("eth_chainId")


def test_documents_of_an_unexpected_shape_are_faults_without_a_traceback(scripted, capfd) -> None:
    chain, odd = (200, b'{"result": "0x1"}'), (200, b'{"result": ["S3cret"]}')
    no_targets = {"execution": [], "consensus": [], "signer": []}
    questions = {**no_targets, "execution": [target(scripted(chain, odd, odd, odd, odd))], "registry": "0x1"}
    found = query_l1({**questions, "addresses": ["0x2"], "seconds": 5})["execution"][0]
    assert found["fault"] is None
    assert (found["chain_id"], found["head"], found["syncing"], found["code_bytes"]) == (1, None, None, None)
    assert found["balances"] == {}
    beacon = (200, b'{"data": [{"header": {"message": {"slot": "0"}}}]}')
    unexpected = (200, b'{"data": 7}')
    questions = {**no_targets, "consensus": [target(scripted(beacon, *[unexpected] * 20))], "registry": ""}
    found = query_l1({**questions, "addresses": [], "seconds": 5})["consensus"][0]
    assert found["fault"] is None
    assert (found["head"], found["sync"], found["chain_id"], found["blobs"]) == (0, None, None, None)
    assert "S3cret" not in repr(found)
    assert capfd.readouterr().err == ""


def test_transactions_are_counted_where_that_is_queried(scripted) -> None:
    chain, none, refused = (200, b'{"result": "0x1"}'), (200, b'{"result": null}'), (200, b'{"error": "S3cret"}')
    counted, odd = (200, b'{"result": "0x10"}'), (200, b'{"result": [7]}')
    url = scripted(counted, odd, refused, chain, none, none)
    questions = {"execution": [target(url)], "consensus": [], "signer": [], "registry": "", "addresses": []}
    questions["seconds"] = 5
    found = query_l1({**questions, "sent": ["0xA", "0xB", "0xC"]})["execution"][0]
    assert (found["fault"], found["sent"]) == (None, {"0xA": 16})
    assert "sent" in found["refused"]
    assert "sent" not in query_l1({**questions, "execution": [target(scripted(chain, none, none))]})["execution"][0]


# What clients answer with: a list of calls; geth's and Nethermind's callTracer; geth's opcodes.
CALLS = b'{"jsonrpc":"2.0","id":1,"result":[{"action":{"callType":"call","from":"0x1"},"subtraces":0}]}'
CALL_GETH = b'{"jsonrpc":"2.0","id":1,"result":{"from":"0x1","gas":"0x5208","to":"0x2","type":"CALL"}}'
CALL_NETHERMIND = b'{"jsonrpc":"2.0","result": { "type":"CALL","from" : "0x1","to":"0x2"},"id":1}'
OPCODES = b'{"jsonrpc":"2.0","id":1,"result":{"gas":21000,"failed":false,"returnValue":"","structLogs":[]}}'
LONG = CALLS[:-2] + b',{"action":{"input":"0x' + b"00" * PREFIX_BYTES + b'"}}]}'
NO_METHOD = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no such method S3cretPath"}}'


@pytest.mark.parametrize(
    ("method", "body", "traces"),
    [
        ("trace_transaction", CALLS, True),
        ("trace_transaction", LONG, True),
        ("trace_transaction", b'{"result": [ ]}', False),
        ("trace_transaction", b'{"result": null}', False),
        ("trace_transaction", CALL_GETH, False),
        ("debug_traceTransaction", CALL_GETH, True),
        ("debug_traceTransaction", CALL_NETHERMIND, True),
        ("debug_traceTransaction", OPCODES, False),
        ("debug_traceTransaction", b'{"result": {}}', False),
        ("debug_traceTransaction", b'{"result": {"calls": [{"from": "0x1"}]}}', False),
    ],
)
def test_what_is_a_trace(scripted, method: str, body: bytes, traces: bool) -> None:
    assert returns_trace(client(scripted((200, body))), method, "0x7") is traces


def test_what_is_queried_for_a_trace(scripted) -> None:
    url = scripted((200, CALLS), (200, CALL_GETH))
    queried = client(url)
    returns_trace(queried, "trace_transaction", "0x7")
    returns_trace(queried, "debug_traceTransaction", "0x7")
    assert scripted.handlers[-1].queried == [
        ("trace_transaction", ["0x7"]),
        ("debug_traceTransaction", ["0x7", {"tracer": "callTracer"}]),
    ]


def test_an_answer_without_a_trace_is_not_taken_for_one(scripted) -> None:
    with pytest.raises(ErrorResponse, match=r"^rejects trace_transaction: no such method \*\*\*$"):
        returns_trace(client(scripted((200, NO_METHOD)) + "/S3cretPath"), "trace_transaction", "0x7")
    with pytest.raises(RequestError, match="returns 403 Forbidden"):
        returns_trace(client(scripted((403, b"<html>"))), "trace_transaction", "0x7")
    with pytest.raises(RequestError, match="returns 500 Internal Server Error"):
        returns_trace(client(scripted((500, CALLS[:-1]))), "trace_transaction", "0x7")
    # Any body with another status.
    assert returns_trace(client(scripted((500, CALLS))), "trace_transaction", "0x7") is False
    with pytest.raises(RequestError, match="returns HTML instead of JSON"):
        returns_trace(client(scripted((200, b"<html>"))), "trace_transaction", "0x7")


class Chain(Script):
    """A client of a chain of `head` blocks, of which `full` have a transaction each, and what it traces.

    traced: (method, first block that is traced, status, body of an answer without a trace).
    """

    head, full = 0, ()
    traced: tuple = ()

    def do_POST(self) -> None:
        queried = json.loads(self.rfile.read(int(self.headers["content-length"])))
        method, params = queried["method"], queried["params"]
        self.queried.append((method, params))
        status, result = 200, None
        if method == "eth_chainId":
            result = b'{"result": "0x1"}'
        elif method == "eth_blockNumber":
            result = json.dumps({"result": hex(self.head)}).encode()
        elif method == "eth_getBlockByNumber":
            block = int(params[0], 16)
            assert 0 < block <= self.head, "not queried of such a chain"
            hashes = ["0xfirst", f"0x{block}"] if block in self.full else []
            result = json.dumps({"result": {"transactions": hashes}}).encode()
        else:
            for name, first, code, body in self.traced:
                if name == method:
                    good = CALLS if method == "trace_transaction" else CALL_GETH
                    status, result = (200, good) if int(params[0][2:]) >= first else (code, body)
        body = result or NO_METHOD
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


NO_STATE = b'{"error": {"code": -32000, "message": "required historical state unavailable"}}'
OLD = 10_000 - TRACED_BLOCKS
ALL = range(1, 10_001)
BY_TRACE = ("trace_transaction", 0, 200, b"")
BY_DEBUG = ("debug_traceTransaction", 0, 200, b"")
RECENT = ("debug_traceTransaction", 9_900, 200, NO_STATE)
NO_TRACE = "rejects trace_transaction: no such method S3cretPath"
NO_DEBUG = "rejects debug_traceTransaction: no such method S3cretPath"


@pytest.mark.parametrize(
    ("chain", "block", "method", "recent", "reported", "most"),
    [
        ({"head": 10_000, "full": ALL, "traced": (BY_TRACE, BY_DEBUG)}, OLD, "trace_transaction", "", None, 2),
        ({"head": 10_000, "full": ALL, "traced": (BY_DEBUG,)}, OLD, "debug_traceTransaction", "", None, 3),
        (
            {"head": 10_000, "full": ALL, "traced": (RECENT,)},
            OLD,
            "",
            "debug_traceTransaction",
            f"{NO_TRACE}; rejects debug_traceTransaction: required historical state unavailable",
            6,
        ),
        (
            {"head": 10_000, "full": ALL},
            OLD,
            "",
            "",
            f"{NO_TRACE}; {NO_DEBUG}",
            6,
        ),
        (
            {"head": 10_000, "full": ALL, "traced": (("trace_transaction", 10**6, 403, b"<html>"),
                                                     ("debug_traceTransaction", 10**6, 200, OPCODES))},
            OLD,
            "",
            "",
            "returns 403 Forbidden for trace_transaction; returns no trace for debug_traceTransaction",
            6,
        ),
        # The next block that has one, a chain that is shorter, the newest block of all.
        ({"head": 10_000, "full": (OLD + 9, 9_999), "traced": (BY_TRACE,)}, OLD + 9, "trace_transaction", "", None, 11),
        ({"head": 24, "full": (1, 20), "traced": (BY_TRACE,)}, 1, "trace_transaction", "", None, 2),
        ({"head": 24, "full": (7, 20), "traced": (BY_TRACE,)}, 7, "trace_transaction", "", None, 8),
        ({"head": 500, "full": (200, 495), "traced": (BY_TRACE,)}, 495, "trace_transaction", "", None, 17),
        ({"head": 1, "full": (1,), "traced": (BY_TRACE,)}, 1, "trace_transaction", "", None, 2),
        # A block that is both the oldest and the newest is tried once.
        ({"head": 1, "full": (1,)}, 1, "", "", f"{NO_TRACE}; {NO_DEBUG}", 4),
        ({"head": 0}, None, "", "", None, 0),
        ({"head": 500, "full": (200,), "traced": (BY_TRACE,)}, None, "", "", None, 2 * TRACE_SEARCH),
        ({"head": 3, "traced": (BY_TRACE,)}, None, "", "", None, 6),
    ],
)  # fmt: skip
def test_an_old_transaction_is_looked_for(scripted, chain: dict, block, method, recent, reported, most: int) -> None:
    no_targets = {"execution": [], "consensus": [], "signer": [], "registry": "", "addresses": [], "seconds": 5}
    (found,) = query_l1({**no_targets, "debug": [target(scripted(handler=Chain, **chain))]})["debug"]
    assert (found["fault"], found["chain_id"], found["head"]) == (None, 1, chain["head"])
    assert found["traces"] == {"block": block, "method": method, "recent": recent}
    assert found["refused"].get("traces") == reported
    # In addition to the questions for chain and head.
    assert len(scripted.handlers[-1].queried) == most + 2


def test_a_client_that_stops_answering_is_not_seen_to_trace(scripted) -> None:
    """Earlier results count, including those of an execution client."""
    chain, head = (200, b'{"result": "0x1"}'), (200, b'{"result": {"number": "0x5", "timestamp": "0x1"}}')
    gone = (200, b"<html>")
    no_targets = {"consensus": [], "signer": [], "registry": "", "addresses": [], "seconds": 5}
    url = scripted(chain, chain, head, gone)
    (found,) = query_l1({**no_targets, "execution": [{**target(url), "traces": True}]})["execution"]
    assert (found["fault"], found["head"], found["traces"]) == (None, 5, None)
    assert found["refused"]["traces"] == "returns HTML instead of JSON"


def test_fees_are_queried_for_where_that_is_wanted(scripted) -> None:
    chain, none = (200, b'{"result": "0x1"}'), (200, b'{"result": false}')
    head = (200, b'{"result": {"number": "0x5", "timestamp": "0x1", "baseFeePerGas": "0x3b9aca00"}}')
    history = (200, b'{"result": {"reward": [["0xa"], ["0x0"], [], ["0xffffffffffffffff"], "S3cret"]}}')
    questions = {"consensus": [], "signer": [], "registry": "", "addresses": [], "seconds": 5, "fees": True}

    def queried(*answers: tuple) -> dict:
        return query_l1({**questions, "execution": [target(scripted(chain, none, *answers))]})["execution"][0]

    found = queried(head, history, (200, b'{"result": "0x3b9aca00"}'))
    assert found["fees"] == {"base": "1000000000", "priority": "1000000000", "rewards": ["10", str(2**64 - 1)]}
    assert scripted.handlers[-1].queried[-2:] == [
        ("eth_feeHistory", ["0x5", "latest", [75]]),
        ("eth_maxPriorityFeePerGas", []),
    ]
    assert queried(none, (200, NO_METHOD), (200, NO_METHOD))["fees"] == {"base": None, "priority": None, "rewards": []}
    assert queried(head, none, none)["fees"] == {"base": "1000000000", "priority": None, "rewards": []}
    del questions["fees"]
    assert queried(head)["fees"] is None


@pytest.mark.parametrize(
    ("leads", "text"),
    [
        ("https://b.lan/S3cret?S3cret", "returns 307, a redirect to https://b.lan"),
        ("https://me:S3cret@b.lan:1/", "returns 307, a redirect to https://b.lan:1"),
        ("http://[S3cret", "returns 307, a redirect to an invalid URL"),
    ],
)
def test_where_a_redirect_leads(scripted, leads: str, text: str) -> None:
    clients = {"execution": [target(scripted((307, b""), leads=leads))], "consensus": [], "signer": []}
    questions = {**clients, "registry": ""}
    found = query_l1({**questions, "addresses": [], "seconds": 5})["execution"][0]
    assert found["fault"]["text"] == text


@pytest.mark.parametrize(
    ("answers", "known", "up", "reported"),
    [
        ([(200, b'{"result": ["0xAB", "0xcd", 7]}')], ["0xab"], None, None),
        ([(200, b'{"result": []}')], [], None, None),
        ([(200, b'{"result": {}}'), (404, b"")], None, False, "does not return a list of addresses for eth_accounts"),
        ([(404, b"Resource not found"), (200, b"OK")], None, True, "returns 404 Not Found"),
        ([(200, b"<html>"), (200, b"<html>")], None, False, "returns HTML instead of JSON"),
        (
            [(200, b'{"error": {"code": -32601, "message": "Method not found"}}'), (404, b"")],
            None,
            False,
            "rejects eth_accounts: Method not found",
        ),
    ],
)
def test_a_signer_is_queried_for_its_accounts(scripted, answers: list, known: list | None, up, reported) -> None:
    clients = {"execution": [], "consensus": [], "signer": [target(scripted(*answers))]}
    found = query_l1({**clients, "registry": "", "addresses": ["0xab", "0xef"], "seconds": 5})["signer"][0]
    assert found["fault"] is None
    assert (found["known"], found["up"], found["refused"].get("accounts")) == (known, up, reported)


def test_a_signer_that_requires_a_token_is_a_fault(scripted) -> None:
    clients = {"execution": [], "consensus": [], "signer": [target(scripted((401, b'{"error": "no token"}')))]}
    found = query_l1({**clients, "registry": "", "addresses": [], "seconds": 5})["signer"][0]
    assert found["fault"] == {"kind": "key", "text": "returns 401 Unauthorized: no token"}
