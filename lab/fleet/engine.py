"""The Docker engine that runs the lab: a running one, or one that the lab starts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import docker
from docker.errors import DockerException

from lab.fleet.progress import say, step
from lab.fleet.settings import LabError, Settings
from lab.fleet.system import need

# The tables that an engine creates and does not remove when it ends
ENGINE_TABLES = {(family, name) for family in ("ip", "ip6") for name in ("nat", "filter", "raw", "docker-bridges")}
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
SYSTEM_SOCKET = "unix:///var/run/docker.sock"
TIMEOUT = 900


def open_engine(url: str) -> docker.DockerClient | None:
    """Return a client of the engine at the URL, or None if nothing listens there."""
    try:
        client = docker.DockerClient(base_url=url, version="auto", timeout=TIMEOUT)
        client.ping()
    except (DockerException, OSError):
        return None
    return client


def candidates(settings: Settings) -> list[str]:
    """Return the URLs of the possible engines, the one of a running lab first."""
    noted = settings.state / "docker_host"
    given = [noted.read_text().strip()] if noted.exists() else []
    given += [os.environ["DOCKER_HOST"]] if os.environ.get("DOCKER_HOST") else []
    return list(dict.fromkeys([*given, own_url(settings), SYSTEM_SOCKET]))


def own_url(settings: Settings) -> str:
    return f"unix://{settings.run_directory}/docker.sock"


def find_engine(settings: Settings) -> docker.DockerClient | None:
    """Return the first engine that responds, and record it in the lab's state so that later commands use the same."""
    for url in candidates(settings):
        client = open_engine(url)
        if client is not None:
            settings.state.mkdir(parents=True, exist_ok=True)
            (settings.state / "docker_host").write_text(url + "\n")
            return client
    return None


def start_engine(settings: Settings) -> docker.DockerClient:
    """Return the running engine. If there is none, install Debian's and start it if necessary."""
    client = find_engine(settings)
    if client is None:
        need({"dockerd": "docker.io", "iptables": "iptables", "nft": "nftables", "ip": "iproute2"})
        client = find_engine(settings) or start_own(settings)
    say(f"engine {client.version()['Version']} at {(settings.state / 'docker_host').read_text().strip()}")
    return client


def engine_tables() -> list[list[str]]:
    """Return the machine's nftables tables that an engine would use."""
    listed = subprocess.run(["nft", "--json", "list", "tables"], capture_output=True, text=True, check=True)
    tables = [item["table"] for item in json.loads(listed.stdout)["nftables"] if "table" in item]
    return [[table["family"], table["name"]] for table in tables if (table["family"], table["name"]) in ENGINE_TABLES]


def bridges() -> list[str]:
    """Return the bridges of the machine."""
    return sorted(path.parent.name for path in Path("/sys/class/net").glob("*/bridge"))


def network_before() -> dict[str, object]:
    """Return what stop_own needs to restore the machine's network."""
    return {"bridges": bridges(), "tables": engine_tables(), "forwarding": FORWARDING.read_text()}


def restore_network(before: dict[str, object]) -> None:
    """Remove the bridges and the tables that the engine created."""
    for bridge in bridges():
        if bridge not in before["bridges"]:
            subprocess.run(["ip", "link", "delete", bridge], check=True)
    for table in engine_tables():
        if table not in before["tables"]:
            subprocess.run(["nft", "delete", "table", *table], check=True)
    FORWARDING.write_text(str(before["forwarding"]))


def start_own(settings: Settings) -> docker.DockerClient:
    """Start a dockerd in its own session, with its data in the cache, and record its process in the lab's state."""
    run_directory = settings.run_directory
    store = settings.cache / "engine"
    for directory in (settings.state, run_directory, store):
        directory.mkdir(parents=True, exist_ok=True)
    pid_file = settings.state / "engine.pid"
    pid_file.unlink(missing_ok=True)
    before = network_before()
    command = ["dockerd", "--data-root", str(store), "--exec-root", str(run_directory / "exec")]
    command += ["--pidfile", str(pid_file), "--host", own_url(settings)]
    with step("starting an engine"), (settings.state / "engine.log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        note = {"pid": process.pid, "store": str(store), "before": before}
        (settings.state / "engine.json").write_text(json.dumps(note))
        for _ in range(120):
            client = find_engine(settings)
            if client is not None:
                return client
            if process.poll() is not None:
                break
            time.sleep(0.5)
    raise LabError(f"the engine did not start; read {settings.state / 'engine.log'}")


def is_own(note: dict[str, object]) -> bool:
    """Return whether the recorded process is still the dockerd that the lab started."""
    try:
        command = Path(f"/proc/{note['pid']}/cmdline").read_bytes().decode().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "dockerd" in command[0] and str(note["store"]) in command


def stop_own(settings: Settings) -> None:
    """Stop the engine that the lab started, and no other."""
    path = settings.state / "engine.json"
    if not path.exists():
        return
    note = json.loads(path.read_text())
    if is_own(note):
        with step("stopping the lab's engine"):
            os.kill(note["pid"], signal.SIGTERM)
            deadline = time.monotonic() + 60
            while is_own(note):
                if time.monotonic() > deadline:
                    raise LabError(f"the lab's engine (process {note['pid']}) does not end: end it manually")
                time.sleep(0.2)
    restore_network(note["before"])
    shutil.rmtree(settings.run_directory, ignore_errors=True)
    path.unlink()
