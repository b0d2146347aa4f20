# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the agents of a host get the CRS: the points that every proof is made with, 2 GiB of them."""

from __future__ import annotations

import os

# The Compose service of prover_agent that fills the CRS directory before the first agent starts.
SERVICE = "prover-agent-crs"
# Aztec reads these as true, and anything else as false.
_TRUE = ("1", "true", "TRUE")


def crs_delivery(source: str, image: str, release: dict, environment: dict) -> str:
    """Return how agents get the CRS: none, image, download, url or copy.

    source: the option prover_agent_crs_source. image: the image without a tag. environment: that of the agents.
    """
    if environment.get("PROVER_REAL_PROOFS", "true") not in _TRUE:
        return "none"
    carries = release.get("crs_image") or ""
    if source == "image" or (not source and carries and image.rsplit("/", 1)[-1] == carries.rsplit("/", 1)[-1]):
        return "image"
    if not source:
        return "download"
    return "copy" if source.startswith("/") else "url"


def crs_to_copy(source: str, directory: str, files: dict) -> list:
    """Return the files of the controller's directory `source` that a host does not have in the same size.

    directory: the one on the host. files: path -> size of the files there, from the host info. An empty list if the
    source is not a directory of the controller. Raise ValueError if there is nothing to copy.
    """
    if not source.startswith("/"):
        return []
    try:
        found = sorted(entry.name for entry in os.scandir(source) if entry.is_file() and entry.name.endswith(".dat"))
    except OSError as error:
        raise ValueError("cannot be read on the controller: set a directory there") from error
    if not found:
        raise ValueError("does not contain a .dat file: set a directory that an agent has filled")
    return [name for name in found if files.get(f"{directory}/{name}") != os.path.getsize(os.path.join(source, name))]
