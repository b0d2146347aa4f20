"""Check a fleet's end state, independent of the tool that set it up.

Reads the machines through the lab's engine, and uses no code of the collection, of pyinfra or of the ssh script. Prints
the containers' start times as JSON, or the problems, one a line.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import docker

from lab.fleet import engine, hosts
from lab.fleet.settings import LabError, Settings, load

COMPONENTS = {"prover_node": "prover-node", "prover_broker": "prover-broker", "prover_agent": "prover-agent"}
BROKER_PORT, STRANGER = 8080, "stranger"
# What must succeed on each host
CHECKS = {
    "the engine or the port guard is not active and enabled": (
        "systemctl is-active docker aztec-port-guard && systemctl is-enabled docker aztec-port-guard"
    ),
    "the port guard has no tables": (
        "nft list chain inet aztec_prover prerouting && nft list table bridge aztec_prover"
    ),
    "files with secrets are missing or can be read by others": (
        "for d in /opt/aztec/*/; do test -s $d/.env || exit 1; done; "
        'test -z "$(find /opt/aztec/*/ -maxdepth 1 -type f ! -perm 600)"'
    ),
}
FAILED = "\n".join(f"({command}) >/dev/null 2>&1 || echo {problem}" for problem, command in CHECKS.items())


def expected(settings: Settings) -> dict[str, list[str]]:
    """Return the Compose services of each host of the fleet."""
    found: dict[str, list[str]] = {}
    for group, service in COMPONENTS.items():
        for host in settings.components.get(group, ()):
            found.setdefault(host, []).append(service)
    return found


def service_of(container: dict[str, Any]) -> str:
    """Return the Compose service of a container, '' for another container."""
    return str(container["Config"]["Labels"].get("com.docker.compose.service", ""))


def container_problems(services: list[str], containers: list[dict[str, Any]], log_level: str) -> list[str]:
    """Return what is wrong with the containers (`docker inspect` data) of a host.

    services: the expected ones. log_level: that of the agents.
    """
    by_service = {service_of(one): one for one in containers}
    problems = []
    if sorted(by_service) != sorted(services) or len(containers) != len(services):
        problems.append(f"runs {sorted(by_service)} and not {sorted(services)}")
    for service, one in by_service.items():
        health = (one["State"].get("Health") or {}).get("Status")
        if health != "healthy":
            problems.append(f"{service} is {one['State']['Status']}, {health}")
        environment = dict(line.split("=", 1) for line in one["Config"]["Env"] if "=" in line)
        if service == "prover-agent" and environment.get("LOG_LEVEL") != log_level:
            problems.append(f"{service} has LOG_LEVEL={environment.get('LOG_LEVEL')} and not {log_level}")
    return problems


def check_host(
    client: docker.DockerClient, settings: Settings, log_level: str, host: str, services: list[str]
) -> tuple[dict[str, str], list[str]]:
    """Return the start time of each service of a host, and what is wrong there."""
    containers = hosts.containers_on(client, host)
    problems = container_problems(services, containers, log_level)
    problems += hosts.execute(client, host, FAILED).out.splitlines()
    (broker,) = settings.components["prover_broker"]
    address = next(one.address for one in settings.machines if one.name == broker)
    if host != broker and hosts.reachable(client, host, str(address), BROKER_PORT) != "open":
        problems.append("cannot reach the broker")
    started = {service_of(one): one["State"]["StartedAt"] for one in containers}
    return started, [f"{host}: {problem}" for problem in problems]


def check(
    client: docker.DockerClient, settings: Settings, log_level: str
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the start times by host and service, and all problems of the fleet."""
    fleet = expected(settings)
    one = partial(check_host, client, settings, log_level)
    with ThreadPoolExecutor(max_workers=4) as pool:
        results = dict(zip(fleet, pool.map(one, fleet, fleet.values())))
    problems = [problem for _, found in results.values() for problem in found]
    (broker,) = settings.components["prover_broker"]
    address = next(machine.address for machine in settings.machines if machine.name == broker)
    if (seen := hosts.reachable(client, STRANGER, str(address), BROKER_PORT)) != "filtered":
        problems.append(f"{STRANGER}: the broker's port is {seen} and not filtered")
    return {host: started for host, (started, _) in results.items()}, problems


def wait(
    client: docker.DockerClient, settings: Settings, log_level: str, seconds: float
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Repeat `check` until it returns no problem, or until the time limit. Return its last result."""
    deadline = time.monotonic() + seconds
    while True:
        started, problems = check(client, settings, log_level)
        if not problems or time.monotonic() > deadline:
            return started, problems
        time.sleep(2)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks/verify", description="Check the end state of a fleet.")
    parser.add_argument("--inventory", type=Path, required=True)
    parser.add_argument("--log-level", default="info", help="of the agents (info)")
    parser.add_argument("--within", type=float, default=0, help="seconds until the fleet has to be healthy (0)")
    arguments = parser.parse_args()
    try:
        settings = load(arguments.inventory)
        client = engine.find_engine(settings)
        if client is None:
            raise LabError("no engine serves the lab: run lab/up")
        started, problems = wait(client, settings, arguments.log_level, arguments.within)
    except LabError as error:
        print(f"benchmarks/verify: {error}", file=sys.stderr)
        return 1
    print("\n".join(problems) or json.dumps(started))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
