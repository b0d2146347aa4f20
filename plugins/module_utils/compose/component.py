# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Compose project of a component: what node, broker and agent have in common is said here, once."""

from __future__ import annotations

import ipaddress
import re
from decimal import Decimal

ADMIN_PORT = 8880
NETWORK_KEY = "fleet"
ENV_FILE = ".env"


def service_name(component: str) -> str:
    """Give the Compose service of a component: prover_node -> prover-node."""
    return component.replace("_", "-")


def is_service_of(service: str, component: str) -> bool:
    """Tell whether a Compose service is a component, or one of several alike: prover-agent, prover-agent-2."""
    return re.fullmatch(rf"{service_name(component)}(-[0-9]+)?", service) is not None


def agent_layout(count: int, separate: bool) -> dict:
    """Give how the agents of a host lie in containers: the names of the Compose services, and the agents in each."""
    name = service_name("prover_agent")
    if separate:
        return {"services": [f"{name}-{number}" for number in range(1, int(count) + 1)], "agents": 1}
    return {"services": [name], "agents": int(count)}


def project_name(component: str) -> str:
    """Give the Compose project of a component: prover_node -> aztec-prover-node."""
    return f"aztec-{service_name(component)}"


def image_reference(image: str, version: str, digest: str = "") -> str:
    """Give the reference that Docker pulls: image:version, with @digest where one is pinned."""
    reference = f"{image}:{version}"
    return f"{reference}@{digest}" if digest else reference


def healthcheck(port: int) -> dict:
    """Give the Compose health check of a component that listens on `port` inside its container.

    The port opens only once a component has started in full (the agent after its CRS, the node after its first
    sync), so failures before that count as `starting`, for as long as Docker lets a start period last.
    A proxy that the container's environment names is bypassed, whichever it is and whatever NO_PROXY holds.
    """
    ask = ["curl", "-fsS", "--noproxy", "*", "-o", "/dev/null", "--max-time", "5", f"http://localhost:{port}/status"]
    return {
        "test": ["CMD", *ask],
        "interval": "10s",
        "timeout": "10s",
        "retries": 4,
        "start_period": "72h",
    }


def merged(base: dict, extra: dict) -> dict:
    """Merge `extra` into `base`, giving a new dict: dicts key by key, anything else replaces what was there.

    The values are shared with the result and not copied in depth: a copy of a variable of Ansible takes its whole
    templating engine along, and ansible-core 2.21 warns of it.
    """
    result = dict(base.items())
    for key, value in extra.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def compose_project(
    service: dict,
    component: str,
    release: dict,
    aztec_network: str,
    port: int,
    docker_network: str,
    extra: dict | None = None,
    services: list | None = None,
) -> dict:
    """Give the whole Compose model of a component.

    service: what is the component's own (image, ports, volumes, restart, ...); keys that are empty or 0 are left out.
    release: the line of the release table (filter `release`), whose entrypoint and start flags are used.
    port: where the component listens inside its container.
    docker_network: the external network that the components of one host share.
    extra: keys of the operator, merged over the service.
    services: names of services that are alike, where there is more than the one of the component's name.
    """
    own = {key: value for key, value in service.items() if value not in ("", 0, None, [])}
    extra = extra or {}
    if "driver" in (extra.get("logging") or {}):
        # Another driver refuses the options of this one.
        own.pop("logging", None)
    common = {
        "entrypoint": [*release["entrypoint"], *release["start_flags"][component], "--network", aztec_network],
        "env_file": [ENV_FILE],
        "networks": [NETWORK_KEY],
        "healthcheck": healthcheck(int(port)),
        "init": True,
        "ulimits": {"core": 0},
    }
    names = services or [service_name(component)]
    service_of = {
        name: {"container_name": name, "mac_address": mac_address(component, number), **common}
        for number, name in enumerate(names, 1)
    }
    return {
        "name": project_name(component),
        "services": {name: merged(merged(whole, own), extra) for name, whole in service_of.items()},
        "networks": {NETWORK_KEY: {"name": docker_network, "external": True}},
    }


def mac_address(component: str, number: int = 1) -> str:
    """Return the MAC address of a component's container on the Docker network, by which the port guard knows it.

    number: which of several agents, from 1. Locally administered; every host has the same ones, each on its own bridge.
    """
    kind = {"prover_node": 0, "prover_broker": 1, "prover_agent": 2}[component]
    return f"02:a2:7e:{kind:02x}:{number >> 8:02x}:{number & 0xFF:02x}"


def guard_section(
    component: str, port: int, admin_port: int = ADMIN_PORT, sources: list | None = None, count: int = 1
) -> dict:
    """Return what the port guard guards for a component: ports of the host, and ports inside its containers.

    port: where the component listens. sources: who reaches the broker's. count: how many containers it has.

    The broker's port is published beyond loopback. The node's is published on loopback, where an engine before 28 lets
    in a neighbour that sends packets for 127.0.0.1. The agent's is not published. The admin port is never published,
    and which component of which release serves it does not matter here: inside every container it is shut.
    """
    broker = component == "prover_broker"
    ports = []
    if broker:
        ports = [{"port": int(port), "sources": list(sources or [])}]
    elif component == "prover_node":
        ports = [{"port": int(port), "addresses": ["127.0.0.0/8", "::1"]}]
    inside = [int(admin_port)] if broker else [int(port), int(admin_port)]
    numbers = range(1, int(count) + 1)
    containers = [{"mac_address": mac_address(component, number), "ports": inside} for number in numbers]
    return {"ports": ports, "containers": containers}


def reached(look: dict, server: dict) -> bool:
    """Tell whether a look at a host has shown that a server, by host and port, answers it."""
    return any(
        attempt["ok"] and attempt["host"] == server["host"] and int(attempt["port"]) == int(server["port"])
        for attempt in look.get("connect", [])
    )


def unreachable_broker(attempt: dict, admits: list) -> str:
    """Give the line for a host that cannot reach its broker.

    attempt: an element of host_info's `connect`. admits: the sources that the broker's port guard lets pass.
    """
    source = attempt.get("source")
    where = f"the broker at {attempt['host']} port {attempt['port']} is not reached from "
    where += f"{source or 'no address of its own'}: {attempt['error']}; "
    where += f"the broker admits {', '.join(admits) or '(unknown)'}"
    if "refused" in attempt["error"].lower():
        # The port guard drops what it does not admit, without an answer.
        remedy = "run site.yml for the broker's host, or correct prover_broker_port or prover_agent_broker_port"
    elif "/status" in attempt["error"]:
        remedy = "see docker logs prover-broker on the broker's host, and run this again once it is healthy"
    elif "resolve" in attempt["error"]:
        remedy = "correct prover_agent_broker_host, or aztec_address of the broker's host"
    elif not source:
        remedy = "give this host a route to it, or correct aztec_address of the broker's host"
    elif _is_admitted(source, admits):
        remedy = "open the way in the firewalls between; if a router translates this address (NAT), add the one that "
        remedy += "it gives to aztec_admit and run the broker's host too"
    else:
        remedy = "correct aztec_address of this host, or add the source to aztec_admit and run the broker's host too"
    return f"{where}: {remedy}"


def _is_admitted(source: str, admits: list) -> bool:
    """Return whether an address is in one of the networks; False where they are no networks."""
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
        return any(address in ipaddress.ip_network(network, strict=False) for network in admits)
    except ValueError:
        return False


def _as_text(name: str, value: object) -> str:
    if isinstance(value, dict):
        raise ValueError(f"{name} is a dictionary, an environment holds text: give text, a number, a boolean or a list")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(_as_text(name, item) for item in value)
    if isinstance(value, float):
        # Without an exponent, which Aztec does not read in amounts of ETH.
        return f"{Decimal(str(value)):f}"
    return "" if value is None else str(value)


def container_environment(layers: list) -> dict:
    """Merge layers of settings into one environment, later layers over earlier ones.

    Lists are joined with commas and no space (Aztec does not trim), booleans are `true` and `false`. What is empty is
    left out, since Aztec takes an empty variable as set. ValueError where a value is a dictionary.
    """
    together: dict = {}
    for layer in layers:
        together.update(layer or {})
    texts = {key: _as_text(key, value) for key, value in together.items()}
    return {key: text for key, text in texts.items() if text != ""}
