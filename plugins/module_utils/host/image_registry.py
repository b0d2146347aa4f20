# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check whether registries contain images, without downloading them."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import (
    REQUEST_ERRORS,
    Response,
    error_text,
    fetch,
    parse_json,
)

DOCKER_HUB = "docker.io"
# URL at which Docker Hub serves its images.
HUB_ORIGIN = "https://registry-1.docker.io"
# Time limit for one request, and for all of them.
SECONDS_EACH, SECONDS = 5, 15
MAX_BODY = 2**16
MANIFESTS = ", ".join((
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
))
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


def parts_of(reference: str) -> tuple[str, str, str]:
    """Return (registry, repository, tag or digest) of an image reference, by Docker's rules."""
    name, at, digest = reference.partition("@")
    first, slash, rest = name.partition("/")
    registry = first if slash and (re.search("[.:]", first) or first == "localhost") else DOCKER_HUB
    repository = rest if registry == first else name
    repository, colon, tag = repository.partition(":")
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository, digest if at else tag if colon else "latest"


def origins_of(registry: str, mirrors: list[str]) -> list[str]:
    """Return the URLs that serve the images of a registry. Docker Hub can have mirrors, which are first."""
    if registry == DOCKER_HUB:
        return [*dict.fromkeys(mirror.rstrip("/") for mirror in mirrors), HUB_ORIGIN]
    host = urlsplit(f"//{registry}").hostname or ""
    scheme = "http" if host == "localhost" or host.startswith("127.") or host == "::1" else "https"
    return [f"{scheme}://{registry}"]


class RegistryError(Exception):
    """A request without a usable response. The text is the reason."""


def request(method: str, url: str, headers: dict[str, str], deadline: float) -> Response:
    """Return the response to one request. Raise RegistryError where there is none."""
    seconds = min(SECONDS_EACH, deadline - time.monotonic())
    if seconds <= 0:
        raise RegistryError("is not queried, because the time limit is reached")
    try:
        return fetch(method, url, seconds, headers, limit=MAX_BODY)
    except REQUEST_ERRORS as error:
        raise RegistryError(error_text(error)) from None


def token_of(challenge: str, deadline: float) -> str:
    """Return the token that a registry offers to anonymous clients. Raise RegistryError where it offers none."""
    given = dict(_CHALLENGE.findall(challenge))
    realm = given.pop("realm", "")
    if not challenge.lower().startswith("bearer") or urlsplit(realm).scheme not in ("http", "https"):
        raise RegistryError("requires a login")
    parameters = urlencode({name: given[name] for name in ("service", "scope") if name in given})
    response = request("GET", f"{realm}?{parameters}", {}, deadline)
    try:
        found = parse_json(response.body) if response.status == 200 else {}
        return str(found.get("token") or found["access_token"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RegistryError("requires a login") from None


def has_manifest(origin: str, repository: str, reference: str, deadline: float) -> bool:
    """Return whether a registry has a tag or digest. Raise RegistryError where it does not answer that."""
    url = f"{origin}/v2/{quote(repository)}/manifests/{quote(reference, safe=':')}"
    headers = {"Accept": MANIFESTS}
    response = request("HEAD", url, headers, deadline)
    if response.status == 401:
        headers["Authorization"] = f"Bearer {token_of(response.headers.get('www-authenticate', ''), deadline)}"
        response = request("HEAD", url, headers, deadline)
    if response.status in (200, 404):
        return response.status == 200
    raise RegistryError(f"returns {response.status}")


def find_image(image: str, mirrors: list[str], deadline: float) -> dict[str, Any]:
    """Return {"image", "found", "missing_at": registries without it, "errors": of other registries}.

    found: True, False where all registries respond without it, else None: the engine may reach a registry that this
    request does not, for example by a proxy. deadline: time limit, as time.monotonic().
    """
    registry, repository, reference = parts_of(image)
    missing, errors = [], []
    for origin in origins_of(registry, mirrors):
        host = urlsplit(origin).netloc.rpartition("@")[2]
        try:
            if has_manifest(origin, repository, reference, deadline):
                return {"image": image, "found": True, "missing_at": missing, "errors": errors}
            missing.append(host)
        except RegistryError as error:
            errors.append(f"{host} {error}")
    found = False if missing and not errors else None
    return {"image": image, "found": found, "missing_at": missing, "errors": errors}


def find_images(images: list[str], mirrors: list[str], seconds: float = SECONDS) -> list[dict[str, Any]]:
    """Return find_image for each image."""
    deadline = time.monotonic() + seconds
    with ThreadPoolExecutor(max_workers=len(images) or 1) as pool:
        return list(pool.map(lambda image: find_image(image, mirrors, deadline), images))
