"""The lab's Web3Signer responds like the real one, and signs what Aztec sends.

LocalSigner of @aztec/node-keystore 4.1.2 made the signatures, from viem's serialization of the same transactions with
the same key. Its RemoteSigner accepted this signer's.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_keys.datatypes import PrivateKey

from lab import signer

KEY = "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"
OTHER_KEY = "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"
ADDRESS, OTHER = "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc", "0x90f79bf6eb2c4f870365e785982e1f101e93b906"
TO = "0x322813Fd9A801c5507c9de605d63CEA4f2CE6c44"
FEES = {"maxFeePerGas": hex(2 * 10**9), "maxPriorityFeePerGas": hex(10**9)}
PLAIN = {"from": ADDRESS, "to": TO, "data": "0x1234abcd", "value": "0x0", "nonce": "0x7", "gas": hex(12345678), **FEES}
BLOBS = {
    **{"from": ADDRESS, "to": TO, "data": "0xdeadbeef", "value": "0x0", "nonce": "0x8", "gas": hex(500000), **FEES},
    "maxFeePerBlobGas": hex(3 * 10**9),
    "blobVersionedHashes": ["0x01" + "ab" * 31, "0x01" + "cd" * 31],
    "blobs": ["0x" + "00" * 131072],
}
TYPED = {
    "domain": {"name": "x", "version": "1", "chainId": "31337", "verifyingContract": TO},
    "types": {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
        ],
        "Mail": [{"name": "to", "type": "address"}, {"name": "n", "type": "uint256"}],
    },
    "primaryType": "Mail",
    "message": {"to": TO, "n": "5"},
}


@pytest.fixture(name="port", scope="module")
def fixture_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Return the port of a signer with two keys, read from files in Web3Signer's format."""
    directory = tmp_path_factory.mktemp("keys")
    for name, key in (("one", KEY), ("two", OTHER_KEY)):
        text = f'type: file-raw\nkeyType: SECP256K1\nprivateKey: "0x{key}"\n'
        (directory / f"{name}.yaml").write_text(text, encoding="utf-8")
    server = signer.serve(signer.Signer(signer.read_keys(directory), 31337), "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def request(port: int, method: str, path: str, body: str | None = None) -> tuple[int, str, str]:
    """Return status, content type and text of a response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body)
    answer = connection.getresponse()
    found = answer.status, answer.headers["content-type"], answer.read().decode()
    connection.close()
    return found


def rpc(port: int, method: str, *params: Any) -> tuple[int, Any]:
    """Return status and document of a call, without the common fields."""
    status, _kind, text = request(
        port, "POST", "/", json.dumps({"jsonrpc": "2.0", "id": "7f", "method": method, "params": params})
    )
    document = json.loads(text)
    assert (document.pop("jsonrpc"), document.pop("id")) == ("2.0", "7f")
    return status, document


def error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def test_get_endpoints(port: int) -> None:
    assert request(port, "GET", "/upcheck") == (200, "text/plain; charset=utf-8", "OK")
    status, kind, text = request(port, "GET", "/healthcheck")
    assert (status, kind, json.loads(text)["outcome"]) == (200, "application/json; charset=utf-8", "UP")
    keys = [PrivateKey(bytes.fromhex(key)).public_key.to_hex() for key in (KEY, OTHER_KEY)]
    assert json.loads(request(port, "GET", "/api/v1/eth1/publicKeys")[2]) == keys
    assert request(port, "GET", "/api/v1/eth2/publicKeys")[0] == 404


def test_data_is_signed_by_a_public_key(port: int) -> None:
    public = PrivateKey(bytes.fromhex(KEY)).public_key
    for identifier in (public.to_hex(), public.to_hex()[2:].upper()):
        status, kind, text = request(port, "POST", f"/api/v1/eth1/sign/{identifier}", '{"data": "0x48656c6c6f"}')
        assert (status, kind) == (200, "text/plain; charset=utf-8")
        raw = bytes.fromhex(text[2:])
        assert raw[64] in (27, 28)
        made = signer.Signature(raw[:64] + bytes([raw[64] - 27]))
        assert made.recover_public_key_from_msg(b"Hello") == public
    assert request(port, "POST", "/api/v1/eth1/sign/0x" + "ab" * 64, '{"data": "0x00"}')[0] == 404
    for body in ("{}", '{"data": ""}', '{"data": "xyz"}', "[]", "no json"):
        assert request(port, "POST", f"/api/v1/eth1/sign/{public.to_hex()}", body)[0] == 400


def test_accounts(port: int) -> None:
    assert rpc(port, "eth_accounts") == (200, {"result": [ADDRESS, OTHER]})
    assert rpc(port, "eth_accounts", 1) == (400, error(-32602, "Invalid params"))
    assert rpc(port, "health_status") == (200, {"result": "OK"})


@pytest.mark.parametrize(
    ("call", "signature"),
    [
        (
            PLAIN,
            "91c790eb518264111c85fa2b69b5eefd8cfd94b742f58bbbe256e97fa443891b"
            "06971694a10600d2214de0c4d77b9c2e912b03eb88cf779338eace87bd7d066b00",
        ),
        (
            BLOBS,
            "1086f95ce77b56b2c054d4bbbeecc35b15e06b8df03589dfd22513dddcaafab8"
            "1c391db0f391f5e304acd59328c073bd57d7192f8ea1c0244848501c3786687501",
        ),
    ],
)
def test_transactions_are_signed_as_aztec_signs_them(port: int, call: dict[str, Any], signature: str) -> None:
    status, document = rpc(port, "eth_signTransaction", call)
    assert status == 200
    raw = bytes.fromhex(document["result"][2:])
    assert raw[0] == (3 if "blobs" in call else 2)
    parity, r, s = rlp.decode(raw[1:])[-3:]
    assert r.hex() + s.hex() + (parity.hex() or "00") == signature
    if "blobs" not in call:
        assert Account.recover_transaction(document["result"]).lower() == ADDRESS


def test_legacy_transaction(port: int) -> None:
    call = {"from": ADDRESS.upper().replace("0X", "0x"), "nonce": "0x0", "gasPrice": "0x1", "to": TO}
    _status, document = rpc(port, "eth_signTransaction", call)
    assert Account.recover_transaction(document["result"]).lower() == ADDRESS


def test_messages(port: int) -> None:
    """eth_sign adds the prefix of messages; typed data can be text or an object."""
    expected = (
        "0x0b8b95ec5b0f0cb4c351cb46989fe9ac04d6e42e5e4566ba3dbd45ad237e60d6"
        "75c205043472149a3b0a8dfe9f4600a5b501826dab0117db31e133f2b17b6ca11b"
    )
    assert rpc(port, "eth_sign", ADDRESS, "0x" + "11" * 32) == (200, {"result": expected})
    account = Account.from_key(KEY)
    typed = "0x" + bytes(account.sign_typed_data(full_message=TYPED).signature).hex()
    assert rpc(port, "eth_signTypedData", ADDRESS, json.dumps(TYPED)) == (200, {"result": typed})
    assert rpc(port, "eth_signTypedData", ADDRESS, TYPED) == (200, {"result": typed})


UNKNOWN = "0x" + "12" * 20


@pytest.mark.parametrize(
    ("method", "params", "status", "code", "message"),
    [
        ("eth_sign", [UNKNOWN, "0x00"], 200, -32000, "No unlocked account matches the Sender"),
        ("eth_signTransaction", [{**PLAIN, "from": UNKNOWN}], 200, -32000, "No unlocked account matches the Sender"),
        ("eth_signTypedData", [UNKNOWN, TYPED], 200, -32000, "No unlocked account matches the Sender"),
        ("eth_sign", [ADDRESS], 400, -32602, "Invalid params"),
        ("eth_signTransaction", [{**PLAIN, "nonce": None}], 400, -32602, "Invalid params"),
        ("eth_signTransaction", [{**PLAIN, "gas": "many"}], 400, -32602, "Invalid params"),
        ("eth_signTransaction", [{**BLOBS, "blobVersionedHashes": None}], 400, -32602, "Invalid params"),
        ("eth_signTransaction", [PLAIN, PLAIN], 400, -32602, "Invalid params"),
        ("eth_signTypedData", [ADDRESS, "no json"], 400, -32602, "Invalid params"),
        ("eth_blockNumber", [], 200, -32601, "Method not found"),
    ],
)
def test_rejected_calls(port: int, method: str, params: list[Any], status: int, code: int, message: str) -> None:
    assert rpc(port, method, *params) == (status, error(code, message))


def test_invalid_json(port: int) -> None:
    status, _kind, text = request(port, "POST", "/", "no json")
    assert (status, json.loads(text)) == (400, {"jsonrpc": "2.0", "id": None, **error(-32700, "Parse error")})


def test_other_key_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("type: hashicorp\nkeyType: SECP256K1\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.yaml: give it type file-raw"):
        signer.read_keys(tmp_path)
