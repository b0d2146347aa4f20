"""A server that answers like Hetzner Cloud's API, as far as its inventory plugin calls it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

LOCATION = {"id": 3, "name": "hel1", "description": "Helsinki", "country": "FI", "city": "Helsinki"}
LOCATION |= {"latitude": 60.0, "longitude": 25.0, "network_zone": "eu-central"}
NIC = {"alias_ips": [], "mac_address": "86:00:ff:2a:7d:e1"}
NETWORK = {"id": 7, "name": "fleet", "ip_range": "10.0.0.0/16"}


def server(number: int, name: str, labels: dict, private: str | None) -> dict:
    """Return a server as the API's documentation shows it."""
    public = {"ipv4": {"id": number, "ip": f"203.0.114.{number}", "blocked": False, "dns_ptr": f"{name}.example"}}
    return {
        "id": number,
        "name": name,
        "status": "running",
        "labels": labels,
        "created": "2026-01-01T00:00:00+00:00",
        "public_net": {**public, "ipv6": None, "floating_ips": [], "firewalls": []},
        "private_net": [{"network": NETWORK["id"], **NIC, "ip": private}] if private else [],
        "server_type": {"id": 1, "name": "ccx63", "architecture": "x86", "cores": 48, "memory": 192},
        "datacenter": {"id": 4, "name": "hel1-dc2", "description": "Helsinki", "location": LOCATION},
        "location": LOCATION,
        "image": {"id": 5, "name": "debian-13", "os_flavor": "debian", "os_version": "13", "type": "system"},
    }


@contextmanager
def api(servers: list[dict]) -> Iterator[str]:
    """Serve the API on a free port, and yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            kind = url.path.rpartition("/v1/")[2]
            query = parse_qs(url.query)
            selector = query.get("label_selector", [""])[0]
            wanted = dict(one.split("=") for one in selector.split(",") if one)
            found = {
                "locations": [LOCATION],
                "servers": [one for one in servers if wanted.items() <= one["labels"].items()],
                "networks": [NETWORK],
            }
            if kind.startswith("networks/"):
                answer = {"network": NETWORK}
            else:
                page = {"page": 1, "per_page": 50, "previous_page": None, "next_page": None, "last_page": 1}
                answer = {kind: found[kind], "meta": {"pagination": {**page, "total_entries": len(found[kind])}}}
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_args: object) -> None:
            """Log nothing."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=httpd.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/v1"
    finally:
        httpd.shutdown()
