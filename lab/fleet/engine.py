"""The Docker engine that carries the lab: one that serves already, or one of the lab's own."""

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

# What an engine writes into the machine's network, and leaves there when it ends
ENGINE_TABLES = {(family, name) for family in ("ip", "ip6") for name in ("nat", "filter", "raw", "docker-bridges")}
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
SYSTEM_SOCKET = "unix:///var/run/docker.sock"
TIMEOUT = 900


def open_engine(url: str) -> docker.DockerClient | None:
    """A client of the engine at the URL, or None when nothing serves there."""
    try:
        client = docker.DockerClient(base_url=url, version="auto", timeout=TIMEOUT)
        client.ping()
    except (DockerException, OSError):
        return None
    return client


def candidates(settings: Settings) -> list[str]:
    """The engines to ask, the one that a running lab uses first."""
    noted = settings.state / "docker_host"
    given = [noted.read_text().strip()] if noted.exists() else []
    given += [os.environ["DOCKER_HOST"]] if os.environ.get("DOCKER_HOST") else []
    return list(dict.fromkeys([*given, own_url(settings), SYSTEM_SOCKET]))


def own_url(settings: Settings) -> str:
    return f"unix://{settings.run_directory}/docker.sock"


def find_engine(settings: Settings) -> docker.DockerClient | None:
    """The first engine that serves, noted in the lab's state so that every later command takes the same."""
    for url in candidates(settings):
        client = open_engine(url)
        if client is not None:
            settings.state.mkdir(parents=True, exist_ok=True)
            (settings.state / "docker_host").write_text(url + "\n")
            return client
    return None


def start_engine(settings: Settings) -> docker.DockerClient:
    """The engine that serves; if none does, Debian's is installed and, if need be, started as the lab's own."""
    client = find_engine(settings)
    if client is None:
        need({"dockerd": "docker.io", "iptables": "iptables", "nft": "nftables", "ip": "iproute2"})
        client = find_engine(settings) or start_own(settings)
    say(f"engine {client.version()['Version']} at {(settings.state / 'docker_host').read_text().strip()}")
    return client


def engine_tables() -> list[list[str]]:
    """The nftables tables of the machine that an engine would use."""
    listed = subprocess.run(["nft", "--json", "list", "tables"], capture_output=True, text=True, check=True)
    tables = [item["table"] for item in json.loads(listed.stdout)["nftables"] if "table" in item]
    return [[table["family"], table["name"]] for table in tables if (table["family"], table["name"]) in ENGINE_TABLES]


def bridges() -> list[str]:
    """The bridges of the machine."""
    return sorted(path.parent.name for path in Path("/sys/class/net").glob("*/bridge"))


def network_before() -> dict[str, object]:
    """What stop_own needs to leave the machine's network as it was."""
    return {"bridges": bridges(), "tables": engine_tables(), "forwarding": FORWARDING.read_text()}


def restore_network(before: dict[str, object]) -> None:
    """Remove the bridges and the tables that came with the engine."""
    for bridge in bridges():
        if bridge not in before["bridges"]:
            subprocess.run(["ip", "link", "delete", bridge], check=True)
    for table in engine_tables():
        if table not in before["tables"]:
            subprocess.run(["nft", "delete", "table", *table], check=True)
    FORWARDING.write_text(str(before["forwarding"]))


def start_own(settings: Settings) -> docker.DockerClient:
    """Start a dockerd in a session of its own; its store is in the cache, its process is noted in the lab's state."""
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
    """Is the noted process still the dockerd that the lab started?"""
    try:
        command = Path(f"/proc/{note['pid']}/cmdline").read_bytes().decode().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "dockerd" in command[0] and str(note["store"]) in command


def stop_own(settings: Settings) -> None:
    """End the engine that the lab started, and no other."""
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
                    raise LabError(f"the lab's engine (process {note['pid']}) does not end; end it by hand")
                time.sleep(0.2)
    restore_network(note["before"])
    shutil.rmtree(settings.run_directory, ignore_errors=True)
    path.unlink()
