# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read network_config.json, the file that Aztec's programs take a network's values from, and compare versions with it.

Runs on a host and judges nothing. The file's location can hold a password: an answer names scheme, host and port only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import parse_json
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.network import error_text
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.client import Client, Fault, Quiet, origin

# Where the program looks without NETWORK_CONFIG_LOCATION, in this order (cli/src/config/network_config.ts of 2.1 to 6).
DEFAULT_URLS = (
    "https://raw.githubusercontent.com/AztecProtocol/networks/refs/heads/main/network_config.json",
    "https://metadata.aztec.network/network_config.json",
)
# A host with an egress allow-list can drop the connection without an answer; this bounds what that costs.
SECONDS_EACH = 3.0
# Bytes of a cached file that are read. The published file has about 8,000.
LONGEST_FILE = 2**20

_VERSION = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:-([0-9A-Za-z.-]{1,64}))?\Z", re.ASCII)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}\Z")


def config_urls(location: str) -> list[str]:
    """Return the URLs that the program reads for a NETWORK_CONFIG_LOCATION, in order.

    An empty location means the defaults. The list is empty for a file, which lies inside the container, and for what is
    not a URL of http or https.
    """
    if not location:
        return list(DEFAULT_URLS)
    try:
        parts = urlsplit(location)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    return [location] if usable else []


def cached_path(data: str, network: str) -> str:
    """Return the path of the copy that the program keeps in its data directory."""
    return f"{data.rstrip('/')}/cache/{network}/network_config.json"


def precedence(version: str) -> tuple | None:
    """Return a key that orders versions as semver does (5.2.0-rc.1 < 5.2.0), or None where it is not a version."""
    match = _VERSION.match(version)
    if not match:
        return None
    pre = match.group(4)
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".")) if pre else ()
    return (*(int(number) for number in match.group(1, 2, 3)), not pre, parts)


def compare(own: str, network: str) -> str:
    """Compare a version with the one that a network runs.

    Return "same", "newer" or "older" within a major version, "line ahead" or "line behind" where the majors differ.
    Raise ValueError where either text is not a version.
    """
    left, right = precedence(own), precedence(network)
    if left is None or right is None:
        raise ValueError("not a version: use the form 1.2.3")
    if left[0] != right[0]:
        return "line ahead" if left[0] > right[0] else "line behind"
    return "same" if left == right else "newer" if left > right else "older"


def entry_of(document: Any, network: str) -> dict[str, Any]:
    """Return {"version", "registry"} of a network in a parsed network_config.json; None for what it does not name.

    Raise ValueError with one line, without any of the document's text, where the network or a value is not usable.
    """
    entry = document.get(network) if isinstance(document, dict) else None
    if not isinstance(entry, dict):
        raise ValueError(f"has no network {network}")
    version, registry = entry.get("nodeVersion"), entry.get("registryAddress")
    if version is not None and (not isinstance(version, str) or precedence(version) is None):
        raise ValueError("has a nodeVersion that is not a version")
    return {
        "version": version.removeprefix("v") if version else None,
        "registry": registry if isinstance(registry, str) and _ADDRESS.match(registry) else None,
    }


def read_cached(path: str) -> tuple[Any, float]:
    """Return (document, time of its last change in Unix seconds) of a cached file.

    Raise ValueError where there is no file, where it is longer than LONGEST_FILE, or where it is not JSON.
    """
    file = Path(path)
    try:
        if not file.is_file():
            raise ValueError("there is no cached copy")
        with file.open("rb") as opened:
            content = opened.read(LONGEST_FILE + 1)
        changed = file.stat().st_mtime
    except OSError as error:
        raise ValueError(f"the cached copy cannot be read: {error_text(error)}") from None
    if len(content) > LONGEST_FILE:
        raise ValueError("the cached copy is too long")
    try:
        return parse_json(content), changed
    except ValueError:
        raise ValueError("the cached copy is not JSON") from None


def fetch(url: str, seconds: float, quiet: Any) -> Any:
    """Return the JSON object that a URL serves; raise Fault with one line where it serves none in time."""
    with closing(Client({"url": url, "headers": {}}, seconds, quiet)) as client:
        status, document = client.json("GET")
    if status != 200:
        raise Fault("http", f"answers {status}")
    return document


def query_network(question: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for a network's values: its URLs in order, then the cached copy.

    question: name (of the network), urls, cache (a path), seconds (at most, for each URL). Return where (scheme, host
    and port of the URL, or ''), cached (Unix time of the copy that answered, or None), version, registry, and errors: a
    line for each place that did not answer. Where no place answers, version and registry are None.
    """
    # The masker hides parts of a URL everywhere, which must not happen to those that everybody knows.
    quiet = Quiet([{"url": url, "headers": {}} for url in question["urls"] if url not in DEFAULT_URLS])
    found: dict[str, Any] = {"where": "", "cached": None, "version": None, "registry": None, "errors": []}
    each = min(float(question["seconds"]), SECONDS_EACH)

    for url in question["urls"]:
        try:
            return {**found, "where": origin(url), **entry_of(fetch(url, each, quiet), question["name"])}
        except Fault as fault:
            found["errors"].append(f"{origin(url)} {fault.text}")
        except ValueError as error:
            found["errors"].append(f"{origin(url)} {error}")
    try:
        document, changed = read_cached(question["cache"])
        return {**found, "cached": changed, **entry_of(document, question["name"])}
    except ValueError as error:
        found["errors"].append(str(error))
    return found
