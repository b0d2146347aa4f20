# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask from a host whether registries have images, before anything is pulled. Nothing is downloaded or judged."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import connection_to, parse_json
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.network import error_text

DOCKER_HUB = "docker.io"
# Where Docker Hub serves its images.
HUB_ORIGIN = "https://registry-1.docker.io"
# Seconds for one answer, and for all of them.
SECONDS_EACH, SECONDS = 5, 15
LONGEST = 2**16
MANIFESTS = ", ".join((
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
))
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


def parts_of(reference: str) -> tuple[str, str, str]:
    """Return (registry, repository, tag or digest) of an image's reference, by Docker's rules."""
    name, at, digest = reference.partition("@")
    first, slash, rest = name.partition("/")
    registry = first if slash and (re.search("[.:]", first) or first == "localhost") else DOCKER_HUB
    repository = rest if registry == first else name
    repository, colon, tag = repository.partition(":")
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository, digest if at else tag if colon else "latest"


def origins_of(registry: str, mirrors: list[str]) -> list[str]:
    """Return the URLs at which a registry's images are served, its mirrors first; only Docker Hub has some."""
    if registry == DOCKER_HUB:
        return [*dict.fromkeys(mirror.rstrip("/") for mirror in mirrors), HUB_ORIGIN]
    host = urlsplit(f"//{registry}").hostname or ""
    scheme = "http" if host == "localhost" or host.startswith("127.") or host == "::1" else "https"
    return [f"{scheme}://{registry}"]


class Failed(Exception):
    """A question without an answer; the text says why."""


def request(method: str, url: str, headers: Mapping[str, str], end: float) -> tuple[int, str, bytes]:
    """Return (status, WWW-Authenticate, start of the body) of one request. Raise Failed where there is no answer."""
    parts = urlsplit(url)
    seconds = min(SECONDS_EACH, end - time.monotonic())
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if seconds <= 0:
        raise Failed("no time left to ask")
    try:
        with closing(connection_to(url, seconds)) as connection:
            answer = connection.ask(method, path, None, {"User-Agent": "aztec-ops-prover", **headers}, LONGEST)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Failed(error_text(error)) from None
    return answer.status, answer.headers.get("www-authenticate", ""), answer.body


def token_of(challenge: str, end: float) -> str:
    """Return the token that a registry's challenge offers to everybody. Raise Failed where it offers none."""
    given = dict(_CHALLENGE.findall(challenge))
    realm = given.pop("realm", "")
    if not challenge.lower().startswith("bearer") or urlsplit(realm).scheme not in ("http", "https"):
        raise Failed("asks for a login")
    wanted = urlencode({name: given[name] for name in ("service", "scope") if name in given})
    status, _challenge, body = request("GET", f"{realm}?{wanted}", {}, end)
    try:
        answer = parse_json(body) if status == 200 else {}
        return str(answer.get("token") or answer["access_token"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Failed("asks for a login") from None


def has_manifest(origin: str, repository: str, wanted: str, end: float) -> bool:
    """Return whether a registry has a tag or digest. Raise Failed where it does not say so."""
    url = f"{origin}/v2/{quote(repository)}/manifests/{quote(wanted, safe=':')}"
    headers = {"Accept": MANIFESTS}
    status, challenge, _body = request("HEAD", url, headers, end)
    if status == 401:
        headers["Authorization"] = f"Bearer {token_of(challenge, end)}"
        status, _challenge, _body = request("HEAD", url, headers, end)
    if status in (200, 404):
        return status == 200
    raise Failed(f"answers {status}")


def find_image(reference: str, mirrors: list[str], end: float) -> dict[str, Any]:
    """Return {"image", "found": True, False or None, "missing_at": places without it, "errors": of other places}.

    It is False only where all places answer: the engine may reach what is not reached from here, as by its proxy.
    end: when the last question ends at the latest, by time.monotonic().
    """
    registry, repository, wanted = parts_of(reference)
    missing, errors = [], []
    for origin in origins_of(registry, mirrors):
        place = urlsplit(origin).netloc.rpartition("@")[2]
        try:
            if has_manifest(origin, repository, wanted, end):
                return {"image": reference, "found": True, "missing_at": missing, "errors": errors}
            missing.append(place)
        except Failed as error:
            errors.append(f"{place} {error}")
    found = False if missing and not errors else None
    return {"image": reference, "found": found, "missing_at": missing, "errors": errors}


def find_images(references: list[str], mirrors: list[str], seconds: float = SECONDS) -> list[dict[str, Any]]:
    """Return find_image for each reference; one that is not answered in time is neither found nor missing."""
    end = time.monotonic() + seconds
    with ThreadPoolExecutor(max_workers=len(references) or 1) as pool:
        return list(pool.map(lambda one: find_image(one, mirrors, end), references))
