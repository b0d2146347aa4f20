"""A Web3Signer for the lab: the real one is a Java program that none of the lab's package sources contains.

It behaves like Web3Signer in its eth1 mode (openapi-specs/eth1/web3signer.yaml and the JSON-RPC handlers of
Consensys/web3signer), with keys in the same files: <name>.yaml with type file-raw, keyType SECP256K1 and privateKey.

Not supported: /reload; eth_sendTransaction and other methods that Web3Signer forwards to an execution client, which
return -32601, as such a client would; blob transactions without versioned hashes (Aztec sends them), which Web3Signer
computes from the blobs. The response omits the blobs, which are not signed.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import rlp
import yaml
from eth_account.messages import SignableMessage, encode_typed_data
from eth_keys.datatypes import PrivateKey, Signature
from eth_utils import keccak

PARSE_ERROR = (-32700, "Parse error")
METHOD_NOT_FOUND = (-32601, "Method not found")
INVALID_PARAMS = (-32602, "Invalid params")
NO_ACCOUNT = (-32000, "No unlocked account matches the Sender")
DEFAULT_GAS = 90000
TEXT, JSON = "text/plain; charset=utf-8", "application/json; charset=utf-8"


class RpcError(Exception):
    """The error of a JSON-RPC call."""

    def __init__(self, error: tuple[int, str]) -> None:
        super().__init__(error[1])
        self.code, self.message = error


def read_keys(directory: Path) -> list[PrivateKey]:
    """Return the keys of a directory of key configuration files."""
    keys = []
    for path in sorted(directory.glob("*.yaml")):
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        if (found.get("type"), found.get("keyType")) != ("file-raw", "SECP256K1"):
            raise ValueError(f"{path.name}: give it type file-raw and keyType SECP256K1")
        keys.append(PrivateKey(bytes.fromhex(found["privateKey"].removeprefix("0x"))))
    return keys


def data_of(text: object) -> bytes:
    """Return the bytes of a hex text."""
    if not isinstance(text, str) or not re.fullmatch(r"(0[xX])?([0-9a-fA-F]{2})*", text):
        raise RpcError(INVALID_PARAMS)
    return bytes.fromhex(text[2:] if text[:2] in ("0x", "0X") else text)


def quantity(call: dict[str, Any], name: str, default: int | None = None) -> int | None:
    """Return a number of a transaction, hex with 0x, or the default if it is missing."""
    text = call.get(name)
    if text is None:
        return default
    if not isinstance(text, str) or not re.fullmatch(r"0x[0-9a-fA-F]+", text):
        raise RpcError(INVALID_PARAMS)
    return int(text, 16)


def joined(signature: Signature) -> str:
    """Return a signature in Web3Signer's format: r, s, and 27 or 28."""
    return f"0x{signature.r:064x}{signature.s:064x}{signature.v + 27:02x}"


def signable_hash(message: SignableMessage) -> bytes:
    """Return the hash that is signed for a structured message."""
    return keccak(b"\x19" + message.version + message.header + message.body)


def payload_of(call: dict[str, Any], chain_id: int) -> tuple[bytes, list[Any]]:
    """Return type and fields of a transaction as they are signed. The given fees determine its type."""
    nonce = quantity(call, "nonce")
    if nonce is None:
        raise RpcError(INVALID_PARAMS)
    tip, most, blob = (quantity(call, f"max{name}") for name in ("PriorityFeePerGas", "FeePerGas", "FeePerBlobGas"))
    data = data_of(next((call[name] for name in ("data", "input") if call.get(name) is not None), ""))
    given = [quantity(call, "gas", DEFAULT_GAS), data_of(call.get("to") or ""), quantity(call, "value", 0), data]
    if tip is None or most is None:
        return b"", [nonce, quantity(call, "gasPrice", 0), *given, chain_id, 0, 0]
    fields = [chain_id, nonce, tip, most, *given, []]
    if blob is None or not (call.get("blobs") or call.get("blobVersionedHashes")):
        return b"\x02", fields
    hashes = [data_of(one) for one in call.get("blobVersionedHashes") or []]
    if not hashes or len(data_of(call.get("to") or "")) != 20:
        raise RpcError(INVALID_PARAMS)
    return b"\x03", [*fields, blob, hashes]


def signed(key: PrivateKey, call: dict[str, Any], chain_id: int) -> str:
    """Return a signed transaction, as eth_sendRawTransaction expects it."""
    kind, fields = payload_of(call, chain_id)
    signature = key.sign_msg_hash(keccak(kind + rlp.encode(fields)))
    if kind:
        return "0x" + (kind + rlp.encode([*fields, signature.v, signature.r, signature.s])).hex()
    return "0x" + rlp.encode([*fields[:6], 2 * chain_id + 35 + signature.v, signature.r, signature.s]).hex()


class Signer:
    """Keys, and the operations with them."""

    def __init__(self, keys: list[PrivateKey], chain_id: int) -> None:
        self.chain_id = chain_id
        self.by_address = {key.public_key.to_address(): key for key in keys}
        self.by_public_key = {key.public_key.to_hex(): key for key in keys}

    def key(self, address: object) -> PrivateKey:
        """Return the key of an address. Raise RpcError if there is none."""
        if not isinstance(address, str):
            raise RpcError(INVALID_PARAMS)
        text = address.lower()
        found = self.by_address.get(text if text.startswith("0x") else f"0x{text}")
        if found is None:
            raise RpcError(NO_ACCOUNT)
        return found

    def sign_data(self, identifier: str, data: bytes) -> str | None:
        """Return the signature of data by a public key, or None if the key is not here."""
        text = identifier.lower()
        key = self.by_public_key.get(text if text.startswith("0x") else f"0x{text}")
        return joined(key.sign_msg(data)) if key else None

    def rpc(self, method: str, params: Any) -> Any:
        """Return the result of a JSON-RPC call."""
        if method == "eth_accounts":
            if params:
                raise RpcError(INVALID_PARAMS)
            return sorted(self.by_address)
        if method == "health_status":
            return "OK"
        if method == "eth_signTransaction":
            call = params[0] if isinstance(params, list) and len(params) == 1 else params
            if not isinstance(call, dict) or not call.get("from"):
                raise RpcError(INVALID_PARAMS)
            payload_of(call, self.chain_id)
            return signed(self.key(call["from"]), call, self.chain_id)
        if method not in ("eth_sign", "eth_signTypedData"):
            raise RpcError(METHOD_NOT_FOUND)
        if not isinstance(params, list) or len(params) != 2:
            raise RpcError(INVALID_PARAMS)
        key = self.key(params[0])
        if method == "eth_sign":
            data = data_of(params[1])
            return joined(key.sign_msg(f"\x19Ethereum Signed Message:\n{len(data)}".encode() + data))
        try:
            message = json.loads(params[1]) if isinstance(params[1], str) else params[1]
            return joined(key.sign_msg_hash(signable_hash(encode_typed_data(full_message=message))))
        except (ValueError, TypeError, KeyError) as error:
            raise RpcError(INVALID_PARAMS) from error


class Endpoint(BaseHTTPRequestHandler):
    """The signer's HTTP API; `signer` is set by serve."""

    protocol_version = "HTTP/1.1"
    signer: Signer

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, code: int, body: str = "", kind: str = TEXT) -> None:
        data = body.encode()
        self.send_response(code)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        if self.path == "/upcheck":
            return self.answer(200, "OK")
        if self.path == "/healthcheck":
            checks = [{"id": "default-check", "status": "UP"}]
            return self.answer(200, json.dumps({"status": "UP", "checks": checks, "outcome": "UP"}), JSON)
        if self.path == "/api/v1/eth1/publicKeys":
            return self.answer(200, json.dumps(list(self.signer.by_public_key)), JSON)
        return self.answer(404, "Resource not found")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path == "/":
            return self.answer(*self.call(body), JSON)
        match = re.fullmatch(r"/api/v1/eth1/sign/([^/]+)", self.path)
        if not match:
            return self.answer(404, "Resource not found")
        try:
            text = json.loads(body)["data"]
            data = data_of(text)
        except (RpcError, ValueError, TypeError, KeyError):
            return self.answer(400, "Bad Request")
        if not text.strip():
            return self.answer(400, "Bad Request")
        signature = self.signer.sign_data(match.group(1), data)
        return self.answer(404, "Not Found") if signature is None else self.answer(200, signature)

    def call(self, body: bytes) -> tuple[int, str]:
        """Return status and text of the response to a JSON-RPC call. Print the method and its account."""
        number: Any = None
        try:
            try:
                call = json.loads(body)
                method, number, params = call["method"], call.get("id"), call.get("params")
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise RpcError(PARSE_ERROR) from error
            what = {"result": self.signer.rpc(method, params)}
            status, output = 200, "ok"
        except RpcError as error:
            what = {"error": {"code": error.code, "message": error.message}}
            status, output = 400 if error.code in (-32700, -32602) else 200, error.message
            method, params = ("?", None) if error.code == PARSE_ERROR[0] else (method, params)
        first = params[0] if isinstance(params, list) and params else ""
        who = first.get("from", "") if isinstance(first, dict) else first
        print(f"{method} {who} {output}", flush=True)
        return status, json.dumps({"jsonrpc": "2.0", "id": number, **what})


class Server(ThreadingHTTPServer):
    """Serves requests in parallel."""

    daemon_threads = True


def serve(signer: Signer, host: str, port: int) -> Server:
    """Return a server. It serves requests after a call of serve_forever."""
    made = type("SignerEndpoint", (Endpoint,), {"signer": signer})
    Server.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return Server((host, port), made)


def main() -> int:
    words = argparse.ArgumentParser(prog="lab.signer", description="A Web3Signer in its eth1 mode, for the lab.")
    words.add_argument("--http-listen-host", default="127.0.0.1")
    words.add_argument("--http-listen-port", type=int, default=9000)
    words.add_argument("--key-store-path", type=Path, required=True, help="directory of key configuration files")
    words.add_argument("--chain-id", type=int, required=True)
    given = words.parse_args()
    signer = Signer(read_keys(given.key_store_path), given.chain_id)
    server = serve(signer, given.http_listen_host, given.http_listen_port)
    print(f"signs for {', '.join(signer.by_address)} at port {server.server_port}", flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
