"""The lab's registry: Debian's docker-registry, which the machines' engines use as a mirror of Docker Hub.

Machines pull `aztecprotocol/aztec:4.1.2` by the same name as in production.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any

import docker

from lab.fleet.network import serve
from lab.fleet.progress import step
from lab.fleet.settings import LabError, Settings

NAME = "registry"
# The registry sends the first of these formats that it has.
KINDS = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"


def start_registry(client: docker.DockerClient, settings: Settings, image: str) -> None:
    """Start the registry, with its data in the cache, and wait until it responds."""
    store = settings.cache / "registry"
    store.mkdir(parents=True, exist_ok=True)
    serve(
        client,
        NAME,
        image,
        settings.registry_address,
        settings.registry_address6,
        Cmd=["docker-registry", "serve", "/etc/lab/registry.yml"],
        ExposedPorts={"5000/tcp": {}},
        host={
            "Binds": [f"{store}:/var/lib/registry"],
            # All engines accept a registry on loopback without TLS, but not one on the lab's address.
            "PortBindings": {"5000/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
        },
    )
    deadline = time.monotonic() + 30
    while fetch(settings, "") is None:
        if time.monotonic() > deadline:
            raise LabError("the lab's registry does not respond; see `docker logs aztec-lab-registry`")
        time.sleep(0.2)


def fetch(settings: Settings, path: str) -> dict[str, Any] | None:
    """Return the response to a GET under /v2/, or None if it does not exist or nothing responds."""
    request = urllib.request.Request(f"http://{settings.registry_address}:5000/v2/{path}", headers={"accept": KINDS})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return dict(json.loads(answer.read() or b"{}"))
    except (urllib.error.URLError, OSError):
        return None


def published_id(settings: Settings, name: str, tag: str) -> str | None:
    """Return the image id (digest of its configuration) that the registry has under that name."""
    manifest = fetch(settings, f"{name}/manifests/{tag}")
    return manifest["config"]["digest"] if manifest else None


def publish(client: docker.DockerClient, settings: Settings, image: str, name: str, tag: str) -> None:
    """Push an image of the engine to the registry under a name of Docker Hub, unless the registry already has it."""
    found = client.images.get(image)
    if published_id(settings, name, tag) == found.id:
        return
    container = client.containers.get(f"aztec-lab-{NAME}")
    port = container.attrs["NetworkSettings"]["Ports"]["5000/tcp"][0]["HostPort"]
    target = f"127.0.0.1:{port}/{name}"
    with step(f"publishing {name}:{tag}"):
        found.tag(target, tag)
        try:
            for line in client.images.push(target, tag, stream=True, decode=True):
                if "error" in line:
                    raise LabError(f"{name}:{tag} cannot be pushed to the lab's registry: {line['error']}")
        finally:
            client.images.remove(f"{target}:{tag}")
