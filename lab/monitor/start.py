#!/usr/bin/env python3
"""Starts a program of the lab's monitor image with production's command line: start.py ARGUMENTS, or nginx ARGUMENTS.

Prometheus and nginx get the differences of lab/monitor/prometheus.py. Grafana cannot be had: a server that only answers
its health check takes its place.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import yaml

from lab.monitor.prometheus import STAND_IN, lab_command, lab_config, lab_proxy

PROMETHEUS, ALERTMANAGER, NGINX = "/usr/bin/prometheus", "/usr/bin/prometheus-alertmanager", "/usr/sbin/nginx"
CONFIG = "--config.file="
# Directories that are writable although the containers are read-only.
PROMETHEUS_CONFIG, NGINX_CONFIG = Path("/dev/shm/prometheus.yml"), Path("/tmp/nginx.conf")


class Health(BaseHTTPRequestHandler):
    """Answers Grafana's health check."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/health" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def start_prometheus(arguments: list[str]) -> None:
    """Replace this process by Prometheus."""
    (given,) = (word.removeprefix(CONFIG) for word in arguments if word.startswith(CONFIG))
    config = yaml.safe_load(Path(given).read_text(encoding="utf-8"))
    PROMETHEUS_CONFIG.write_text(yaml.safe_dump(lab_config(config, STAND_IN)), encoding="utf-8")
    command = [f"{CONFIG}{PROMETHEUS_CONFIG}" if word.startswith(CONFIG) else word for word in lab_command(arguments)]
    os.execv(PROMETHEUS, [PROMETHEUS, *command])


def start_nginx(arguments: list[str]) -> None:
    """Start the stand-in, and replace this process by nginx."""
    place = arguments.index("-c") + 1
    NGINX_CONFIG.write_text(lab_proxy(Path(arguments[place]).read_text(encoding="utf-8")), encoding="utf-8")
    stand_in = Path(__file__).resolve().with_name("otlp.py")
    subprocess.Popen([sys.executable, str(stand_in), STAND_IN.rpartition(":")[2]])
    os.execv(NGINX, [NGINX, *arguments[:place], str(NGINX_CONFIG), *arguments[place + 1 :]])


def main() -> None:
    arguments = sys.argv[1:]
    if Path(sys.argv[0]).name == "nginx":
        start_nginx(arguments)
    elif any(word.startswith("--storage.tsdb.path=") for word in arguments):
        start_prometheus(arguments)
    elif any(word.startswith("--storage.path=") for word in arguments):
        os.execv(ALERTMANAGER, [ALERTMANAGER, *arguments])
    else:
        address = os.environ["GF_SERVER_HTTP_ADDR"], int(os.environ["GF_SERVER_HTTP_PORT"])
        # The first process of a container ignores signals that it does not handle.
        signal.signal(signal.SIGTERM, lambda *_arguments: sys.exit(0))
        HTTPServer(address, Health).serve_forever()


if __name__ == "__main__":
    main()
