# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The arguments with which the module host_info reads a host of the fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import release_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import AGENT, MONITOR


def host_info_arguments(
    fleet: Mapping, host: str, l1: str, roots: Sequence[str], monitored: Sequence[str], digest_files: Sequence[str]
) -> dict:
    """Return the arguments for the checks of a host.

    l1: its queries to L1 clients, as JSON text. roots: directories of engine and containerd. monitored: further
    directories whose space is checked. digest_files: the files to compare.
    """
    here, broker, registry = fleet["hosts"][host], fleet["broker"], fleet["registry"]
    release = release_of(fleet["version"], fleet["line"]).as_dict()
    # The broker does not admit a host that is only the monitor.
    connects = broker["host"] != host and here["components"] != [MONITOR]
    paths = here["paths"]
    return {
        "images": here["images"],
        "projects": fleet["projects"],
        "project_directories": here["project_directories"],
        "data_directories": dict(zip(here["project_directories"], paths.values())),
        "paths": list(dict.fromkeys(filter(None, ["/", *roots, *paths.values(), *monitored]))),
        "list_directories": [paths[AGENT]] if AGENT in paths else [],
        "digest_files": list(digest_files),
        "connect": [{"host": here["broker_address"], "port": broker["port"]}] if connects else [],
        "l1": l1,
        "registry": {"images": registry["images"] if registry["host"] == host else [], "mirrors": registry["mirrors"]},
        "left_out": here.get("left_out", ""),
        "rpc": release["rpc"],
        "rollup_slots": release["rollup_slots"],
    }
