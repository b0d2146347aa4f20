"""The lab's network and its containers: what the L1, the registry and the machines have in common."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from typing import Any

import docker
from docker.errors import NotFound
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool

from lab.fleet.settings import Settings

PREFIX = "aztec-lab"
LABEL = "aztec_ops.lab"
RECIPE = "aztec_ops.lab.recipe"


def container_name(name: str) -> str:
    return f"{PREFIX}-{name}"


def make_network(client: docker.DockerClient, settings: Settings) -> None:
    """Create the lab's network, IPv4 and IPv6, unless it exists."""
    try:
        client.networks.get(PREFIX)
    except NotFound:
        # Docker gives a machine without IPv4 an address anyway: from the upper half, which no inventory uses.
        network = ipaddress.IPv4Network(settings.ipv4_network)
        _lower, upper = network.subnets()
        pools = [
            IPAMPool(subnet=str(network), iprange=str(upper), gateway=str(network[1])),
            IPAMPool(subnet=settings.ipv6_network),
        ]
        options = {"com.docker.network.bridge.name": PREFIX}
        client.networks.create(
            PREFIX,
            driver="bridge",
            enable_ipv6=True,
            ipam=IPAMConfig(pool_configs=pools),
            options=options,
            labels={LABEL: "network"},
        )


def find(client: docker.DockerClient, name: str) -> Container | None:
    """Return the lab's container with that short name, or None."""
    try:
        return client.containers.get(container_name(name))
    except NotFound:
        return None


def place(
    client: docker.DockerClient,
    name: str,
    image: str,
    address: str | None,
    address6: str | None = None,
    *,
    host: dict[str, Any] | None = None,
    **config: Any,
) -> Container:
    """Create (not start) a container with a fixed address on the lab's network.

    `config` and `host` have the format of the engine's API (Env, Cmd, ... and HostConfig): the SDK does not support
    MaskedPaths.
    """
    addresses = {key: value for key, value in (("IPv4Address", address), ("IPv6Address", address6)) if value}
    made = client.api.create_container_from_config(
        {
            "Image": image,
            "Hostname": name,
            "Labels": {LABEL: name},
            "HostConfig": {"NetworkMode": PREFIX, **(host or {})},
            "NetworkingConfig": {"EndpointsConfig": {PREFIX: {"IPAMConfig": addresses}}},
            **config,
        },
        name=container_name(name),
    )
    return client.containers.get(made["Id"])


def serve(
    client: docker.DockerClient, name: str, image: str, address: str, address6: str | None = None, **options: Any
) -> Container:
    """Return a running service container with exactly these options. Replace one that has other options."""
    found = find(client, name)
    recipe = hashlib.sha256(json.dumps([image, address, address6, options], sort_keys=True).encode()).hexdigest()
    if found is not None and found.labels.get(RECIPE) != recipe:
        found.remove(force=True, v=True)
        found = None
    if found is None:
        found = place(client, name, image, address, address6, Labels={LABEL: name, RECIPE: recipe}, **options)
    if found.status != "running":
        found.start()
    return found


def remove_all(client: docker.DockerClient) -> list[str]:
    """Remove all containers of the lab with their volumes, and its networks. Return the names of what was removed."""
    removed = []
    for container in client.containers.list(all=True, filters={"label": LABEL}):
        container.remove(force=True, v=True)
        removed.append(container.name)
    for network in client.networks.list(filters={"label": LABEL}):
        network.remove()
        removed.append(f"network {network.name}")
    return removed
