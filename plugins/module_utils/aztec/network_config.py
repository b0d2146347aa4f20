# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read network_config.json, the file with the values of Aztec's networks, and compare versions with it.

The location of the file can contain a password: results contain only scheme, host and port.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.api_client import ApiClient, RequestError
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import (
    error_text,
    is_http_url,
    parse_json,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.redaction import Redactor, origin

# What Aztec reads without NETWORK_CONFIG_LOCATION, in this order (cli/src/config/network_config.ts of 2.1 to 6).
DEFAULT_URLS = (
    "https://raw.githubusercontent.com/AztecProtocol/networks/refs/heads/main/network_config.json",
    "https://metadata.aztec.network/network_config.json",
)
# Limit for each URL: a firewall can drop the packets of the connection.
SECONDS_EACH = 3.0
# Bytes of a cached file that are read. The published file has about 8,000.
MAX_FILE = 2**20

_VERSION = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:-([0-9A-Za-z.-]{1,64}))?\Z", re.ASCII)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}\Z")


def config_urls(location: str) -> list[str]:
    """Return the URLs that Aztec reads for a NETWORK_CONFIG_LOCATION, in order.

    An empty location means the defaults. The list is empty for a file, which is inside the container, and for what is
    not an http or https URL.
    """
    if not location:
        return list(DEFAULT_URLS)
    return [location] if is_http_url(location) else []


def cached_path(data: str, network: str) -> str:
    """Return the path of the copy that Aztec keeps in its data directory."""
    return f"{data.rstrip('/')}/cache/{network}/network_config.json"


def precedence(version: str) -> tuple | None:
    """Return a key that sorts versions as semver does (5.2.0-rc.1 < 5.2.0), None for what is not a version."""
    match = _VERSION.match(version)
    if not match:
        return None
    pre = match.group(4)
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".")) if pre else ()
    return (*(int(number) for number in match.group(1, 2, 3)), not pre, parts)


def compare(own: str, network: str) -> str:
    """Compare a version with the version of a network.

    Return "same", "newer" or "older" within a major version, "line ahead" or "line behind" where the majors differ, ""
    where either text is not a version.
    """
    left, right = precedence(own), precedence(network)
    if left is None or right is None:
        return ""
    if left[0] != right[0]:
        return "line ahead" if left[0] > right[0] else "line behind"
    return "same" if left == right else "newer" if left > right else "older"


def entry_of(document: Any, network: str) -> dict[str, Any]:
    """Return {"version", "registry"} of a network in a parsed network_config.json, None for missing values.

    Raise ValueError where the network or a value is not valid. Its text contains nothing of the document.
    """
    entry = document.get(network) if isinstance(document, dict) else None
    if not isinstance(entry, dict):
        raise ValueError(f"does not contain network {network}")
    version, registry = entry.get("nodeVersion"), entry.get("registryAddress")
    if version is not None and (not isinstance(version, str) or precedence(version) is None):
        raise ValueError("has a nodeVersion that is not a version")
    return {
        "version": version.removeprefix("v") if version else None,
        "registry": registry if isinstance(registry, str) and _ADDRESS.match(registry) else None,
    }


def read_cached(path: str) -> tuple[Any, float]:
    """Return (document, modification time in Unix seconds) of a cached file.

    Raise ValueError where there is no file, where it is longer than MAX_FILE, or where it is not JSON.
    """
    try:
        if not os.path.isfile(path):
            raise ValueError("there is no cached copy")
        with open(path, "rb") as file:
            content, changed = file.read(MAX_FILE + 1), os.fstat(file.fileno()).st_mtime
    except OSError as error:
        raise ValueError(f"the cached copy cannot be read: {error_text(error)}") from None
    if len(content) > MAX_FILE:
        raise ValueError("the cached copy is too long")
    try:
        return parse_json(content), changed
    except ValueError:
        raise ValueError("the cached copy is not JSON") from None


def query_network(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a network: from the first URL that serves them, else from the cached copy.

    query: name (of the network), urls, cache (a path), seconds (limit for each URL). Return where (scheme, host and
    port of the URL, or ''), cached (modification time of the copy, or None), version, registry, and errors: a line for
    each source that failed. Where all fail, version and registry are None.
    """
    # The redactor hides parts of a URL everywhere, which is wrong for those of well-known URLs.
    redact = Redactor.of_targets([{"url": url} for url in query["urls"] if url not in DEFAULT_URLS]).line
    found: dict[str, Any] = {"where": "", "cached": None, "version": None, "registry": None, "errors": []}
    for url in query["urls"]:
        try:
            with closing(ApiClient(url, min(float(query["seconds"]), SECONDS_EACH), redact=redact)) as client:
                status, document = client.json("GET")
            if status != 200:
                raise ValueError(f"returns {status}")
            return {**found, "where": origin(url), **entry_of(document, query["name"])}
        except (RequestError, ValueError) as error:
            found["errors"].append(f"{origin(url)} {error}")
    try:
        document, changed = read_cached(query["cache"])
        return {**found, "cached": changed, **entry_of(document, query["name"])}
    except ValueError as error:
        found["errors"].append(str(error))
    return found
