"""A server for community.hashi_vault: a real Vault or OpenBao if the machine has one, else a test double.

The test double implements the part of Vault's HTTP API that the tests use, with Vault's status codes and responses: KV
version 2, policies for whole paths, tokens and AppRole. It keeps all data in memory and checks every token.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import hvac

PROGRAMS = ("bao", "vault")
NOW = "2026-01-01T00:00:00.000000000Z"


class Answer(Exception):
    """The response of a request: status and body."""

    def __init__(self, status: int, body: dict | None = None) -> None:
        super().__init__(status)
        self.status, self.body = status, body


def refused(status: int, *errors: str) -> Answer:
    """Return the response to a rejected request."""
    return Answer(status, {"errors": list(errors)})


def answered(**parts: object) -> dict:
    """Return a response body with all fields of Vault's responses."""
    empty = {"lease_id": "", "renewable": False, "lease_duration": 0, "data": None, "wrap_info": None}
    return {"request_id": secrets.token_hex(16), **empty, "warnings": None, "auth": None, **parts}


class FakeVault(ThreadingHTTPServer):
    """The test double. reads: the paths of requested secrets, in order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = secrets.token_hex(16)
        self.sealed = False
        self.tokens: dict[str, list[str]] = {self.root: ["root"]}
        self.policies: dict[str, list[str]] = {}
        self.secrets: dict[str, list[dict]] = {}
        self.roles: dict[str, dict] = {}
        self.reads: list[str] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """Return the server's URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def token(self, policies: list[str]) -> dict:
        """Create a token, and return the response to a login."""
        made = "hvs." + secrets.token_urlsafe(24)
        self.tokens[made] = policies
        auth = {"client_token": made, "accessor": secrets.token_hex(8), "policies": policies, "token_type": "service"}
        return answered(auth={**auth, "token_policies": policies, "lease_duration": 2764800, "renewable": True})

    def allows(self, token: str, path: str) -> bool:
        """Return whether a token's policies contain a path."""
        policies = self.tokens.get(token, [])
        allowed = [one for policy in policies for one in self.policies.get(policy, [])]
        return "root" in policies or path in allowed

    def answer(self, method: str, path: str, token: str, body: dict) -> dict | None:
        """Return the response body, or None for an empty one. Raise Answer if the request is rejected."""
        if self.sealed:
            raise refused(503, "Vault is sealed")
        if (method, path) == ("POST", "auth/approle/login"):
            return self.log_in(body)
        if token not in self.tokens:
            raise refused(403, "permission denied")
        if (method, path) == ("GET", "auth/token/lookup-self"):
            return answered(data={"id": token, "policies": self.tokens[token]})
        if not self.allows(token, path):
            raise refused(403, "1 error occurred:\n\t* permission denied\n\n")
        if path.startswith("secret/data/"):
            return self.secret(method, path, body)
        return self.set_up(method, path, body)

    def log_in(self, body: dict) -> dict:
        """Log in a role."""
        for role in self.roles.values():
            if body.get("role_id") == role["role_id"] and body.get("secret_id") in role["secret_ids"]:
                return self.token(role["policies"])
        raise refused(400, "invalid role or secret ID")

    def secret(self, method: str, path: str, body: dict) -> dict:
        """Read or write a secret."""
        versions = self.secrets.setdefault(path, [])
        if method in ("POST", "PUT"):
            versions.append(body["data"])
        else:
            self.reads.append(path)
        if not versions:
            raise Answer(404, {"errors": []})
        metadata = {"created_time": NOW, "custom_metadata": None, "deletion_time": "", "destroyed": False}
        metadata["version"] = len(versions)
        return answered(data=metadata if method != "GET" else {"data": versions[-1], "metadata": metadata})

    def set_up(self, method: str, path: str, body: dict) -> dict | None:
        """Handle an administrator's request: policies, roles, tokens."""
        *place, name = path.split("/")
        if place == ["sys", "policies", "acl"]:
            self.policies[name] = re.findall(r'path "([^"]+)"', body["policy"])
        elif place == ["auth", "approle", "role"]:
            policies = body["token_policies"]
            policies = policies.split(",") if isinstance(policies, str) else policies
            self.roles[name] = {"role_id": secrets.token_hex(16), "secret_ids": [], "policies": policies}
        elif place[:3] == ["auth", "approle", "role"] and (method, name) == ("GET", "role-id"):
            return answered(data={"role_id": self.roles[place[3]]["role_id"]})
        elif place[:3] == ["auth", "approle", "role"] and name == "secret-id":
            made = secrets.token_hex(16)
            self.roles[place[3]]["secret_ids"].append(made)
            return answered(data={"secret_id": made, "secret_id_accessor": secrets.token_hex(8)})
        elif path == "auth/token/create":
            return self.token(body["policies"])
        elif path != "sys/auth/approle":
            raise refused(404, "no handler for route")
        return None


class Handler(BaseHTTPRequestHandler):
    """A request to the test double."""

    server: FakeVault

    def do_GET(self) -> None:
        """Answer the request."""
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        path = self.path.partition("?")[0].removeprefix("/v1/").strip("/")
        try:
            with self.server.lock:
                output = self.server.answer(self.command, path, self.headers.get("X-Vault-Token", ""), body)
            status = 204 if output is None else 200
        except Answer as answer:
            status, output = answer.status, answer.body
        content = b"" if output is None else json.dumps(output).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_GET

    def log_message(self, *_arguments: object) -> None:
        """Log nothing."""


class Vault:
    """A running server: its URL, and a client with all permissions."""

    def __init__(self, url: str, root: str, fake: FakeVault | None) -> None:
        self.url, self.fake = url, fake
        self.client = hvac.Client(url=url, token=root)

    def put(self, path: str, **values: str) -> None:
        """Write a secret."""
        self.client.secrets.kv.v2.create_or_update_secret(path, values, mount_point="secret")

    def policy(self, name: str, path: str) -> None:
        """Create a policy that can read one secret."""
        self.client.sys.create_or_update_acl_policy(name, f'path "secret/data/{path}" {{ capabilities = ["read"] }}')

    def token(self, policy: str) -> str:
        """Create a token with only this policy."""
        return self.client.auth.token.create(policies=[policy], no_default_policy=True)["auth"]["client_token"]

    def role(self, name: str, policy: str) -> tuple[str, str]:
        """Create an AppRole. Return its role id and a secret id."""
        if self.fake or "approle/" not in self.client.sys.list_auth_methods()["data"]:
            self.client.sys.enable_auth_method("approle")
        self.client.auth.approle.create_or_update_approle(name, token_policies=[policy])
        role_id = self.client.auth.approle.read_role_id(name)["data"]["role_id"]
        return role_id, self.client.auth.approle.generate_secret_id(name)["data"]["secret_id"]


def free_port() -> int:
    """Return a free port on loopback."""
    with contextlib.closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def real(program: str, directory: Path) -> Iterator[Vault]:
    """Run the real server in its development mode."""
    root, url = secrets.token_hex(16), f"127.0.0.1:{free_port()}"
    command = [program, "server", "-dev", f"-dev-root-token-id={root}", f"-dev-listen-address={url}"]
    with (directory / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env={**os.environ, "HOME": str(directory)}, stdout=log, stderr=log)
    try:
        vault, end = Vault(f"http://{url}", root, None), time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                if not vault.client.sys.is_sealed():
                    break
            assert time.monotonic() < end and server.poll() is None, (directory / "server.log").read_text()
            time.sleep(0.2)
        yield vault
    finally:
        server.terminate()
        server.wait(10)


@contextlib.contextmanager
def fake() -> Iterator[Vault]:
    """Run the test double."""
    server = FakeVault()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Vault(server.url, server.root, server)
    finally:
        server.shutdown()
        server.server_close()


def serve(directory: Path) -> contextlib.AbstractContextManager[Vault]:
    """Run a server, with a directory for its files."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    return real(program, directory) if program else fake()
