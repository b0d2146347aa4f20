# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names, addresses and environment of a component: node, broker or agent."""

from __future__ import annotations

import re
from decimal import Decimal

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import dotenv

ADMIN_PORT = 8880


def service_name(component: str) -> str:
    """Return the Compose service of a component: prover_node -> prover-node."""
    return component.replace("_", "-")


def is_service_of(service: str, component: str) -> bool:
    """Return whether a Compose service belongs to a component: prover-agent, or one of several, prover-agent-2."""
    return re.fullmatch(rf"{service_name(component)}(-[0-9]+)?", service) is not None


def agent_layout(count: int, separate: bool) -> dict:
    """Return how the agents of a host are distributed: the names of the Compose services, and the agents in each."""
    name = service_name("prover_agent")
    if separate:
        return {"services": [f"{name}-{number}" for number in range(1, int(count) + 1)], "agents": 1}
    return {"services": [name], "agents": int(count)}


def component_names(component: str, instance: str = "") -> dict:
    """Return the names of a component on its hosts, each with the instance name if there is one.

    directory is relative to aztec_directory. container_prefix is put before the name of a Compose service. Services
    have no instance name: node and agents reach prover-broker on the Docker network of their own instance.
    """
    service, prefix = service_name(component), f"{instance}-" if instance else ""
    return {
        "project": f"aztec-{prefix}{service}",
        "container_prefix": prefix,
        "directory": f"{instance}/{service}" if instance else service,
        "docker_network": f"aztec-prover-{instance}" if instance else "aztec-prover",
        "docker_bridge": f"aztec-{instance}" if instance else "aztec0",
        "guard_section": f"{instance}_{component}" if instance else component,
    }


def project_name(component: str, instance: str = "") -> str:
    """Return the Compose project of a component: prover_node -> aztec-prover-node."""
    return component_names(component, instance)["project"]


def image_reference(image: str, version: str, digest: str = "") -> str:
    """Return the reference that Docker pulls: image:version, with @digest if one is pinned."""
    reference = f"{image}:{version}"
    return f"{reference}@{digest}" if digest else reference


def mac_address(component: str, number: int = 1) -> str:
    """Return the MAC address of a component's container on the Docker network, by which the port guard knows it.

    number: which of several agents, from 1. Locally administered; every host has the same ones, each on its own bridge.
    """
    kind = {"prover_node": 0, "prover_broker": 1, "prover_agent": 2}[component]
    return f"02:a2:7e:{kind:02x}:{number >> 8:02x}:{number & 0xFF:02x}"


def guard_section(
    component: str, port: int, admin_port: int = ADMIN_PORT, sources: list | None = None, count: int = 1
) -> dict:
    """Return the section of a component in the port guard: ports of the host, and ports inside its containers.

    port: where the component listens. sources: addresses that may reach the broker. count: number of containers.

    The broker's port is published on more than loopback. The node's port is published on loopback, where an engine
    before 28 accepts packets for 127.0.0.1 from a neighbor. The agent's port is not published. The admin port is never
    published, and it is blocked inside every container, whichever component serves it.
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


def _as_text(name: str, value: object) -> str:
    if isinstance(value, dict):
        raise ValueError(f"{name} is a dictionary: use a text, a number, a boolean or a list")
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

    Lists are joined with commas and no space (Aztec does not trim), booleans are `true` and `false`. Empty values are
    omitted, since Aztec treats an empty variable as set. Raise ValueError if a name or a value cannot be in an
    environment.
    """
    settings: dict = {}
    for layer in layers:
        settings.update(layer or {})
    texts = {key: _as_text(key, value) for key, value in settings.items()}
    for key, text in texts.items():
        dotenv.check_variable(key, text)
    return {key: text for key, text in texts.items() if text != ""}
