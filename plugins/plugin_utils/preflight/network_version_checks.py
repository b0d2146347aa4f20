# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare aztec_version with the version that the network runs, and check that registries have the images.

The network publishes its version as nodeVersion in network_config.json. It is optional. A version that was not compared
is a row of the table, not a problem.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.network_config import (
    cached_path,
    compare,
    config_urls,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.client import KINDS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import release_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import NODE, environment_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_queries import client_queries, l1_settings

NETWORK_HEADS = ("HOST", "NETWORK", "AZTEC_VERSION", "NETWORK VERSION", "SOURCE", "STATUS")
STATES = {
    "same": "ok",
    "newer": "ok",
    "older": "older",
    "line ahead": "ahead",
    "line behind": "INCOMPATIBLE",
}
IN_CONTAINER = "not checked: NETWORK_CONFIG_LOCATION is a file in the container"


def network_config_urls(values: Mapping) -> list:
    """Return the URLs of the network's configuration, none if NETWORK_CONFIG_LOCATION is a file in the container."""
    return config_urls(str(environment_of(values, NODE).get("NETWORK_CONFIG_LOCATION") or ""))


def l1_queries(values: Mapping, fleet: Mapping, host: str, balances_only: bool = False) -> str:
    """Return the queries of a host to its L1 clients and, on the node's host, for the network's configuration.

    balances_only: only the queries for chain, balances and fees. The result is JSON text, because it contains API keys;
    '' if there are no queries, as with aztec_l1_checks "ignore".
    """
    here = fleet["hosts"][host]
    queries = {} if here.get("left_out") else client_queries(values, fleet, host)
    if queries and balances_only:
        targets = [{name: one[name] for name in ("url", "headers")} for one in queries["execution"]]
        return json.dumps({**queries, **{kind: [] for kind in KINDS}, "execution": targets})
    urls = network_config_urls(values) if NODE in here["components"] else []
    if queries and urls:
        cache = cached_path(here["paths"][NODE], fleet["network"])
        network = {"name": fleet["network"], "urls": urls, "cache": cache, "seconds": queries["seconds"]}
        queries["network"] = network
    return json.dumps(queries) if queries else ""


def upgrade_remedy(version: str) -> str:
    """Return how to change to a version that requires another rollup, and therefore an empty data directory."""
    change = f"set aztec_version to {version}, with new data directories (prover_node_data_directory, "
    change += "prover_broker_data_directory)"
    try:
        release_of(version)
    except ValueError:
        return f"update this collection, which does not know {version} yet (or set aztec_release_line), then {change}"
    return change


def version_problem(host: str, own: str, network: str, runs: str, order: str, pinned: bool) -> Iterator[Problem]:
    """Yield the problem of an aztec_version that differs from that of the network.

    order: from network_config.compare. pinned: whether ROLLUP_VERSION pins the node to a rollup, which can require an
    older version.
    """
    if order == "line behind":
        wrong = f"the network {network} runs {runs}, but aztec_version is {own}, which cannot follow it"
        yield Problem(host, "aztec_version", wrong, upgrade_remedy(runs), "warning" if pinned else "error")
    elif order == "older":
        wrong = f"the network {network} runs {runs}, but aztec_version is the older {own}"
        yield Problem(host, "aztec_version", wrong, f"set aztec_version to {runs}", "warning")
    elif order == "line ahead":
        wrong = f"the network {network} runs {runs}, but aztec_version is {own}: node and broker wait in standby until "
        wrong += "the network upgrades"
        remedy = f"continue if you prepare for a hard fork, otherwise set aztec_version to {runs}"
        yield Problem(host, "aztec_version", wrong, remedy, "warning")


def check_network(host: str, values: Mapping, fleet: Mapping, response: Mapping | None) -> tuple[list, list]:
    """Return the problems of the network's configuration that the node's host read, and the rows of the table.

    response: `network` of host_info, or None if it was not queried.
    """
    here = fleet["hosts"][host]
    settings = l1_settings(values, fleet["network"], here["components"])
    if NODE not in here["components"] or settings.checks == "ignore":
        return [], []
    own, network = str(fleet["version"]).removeprefix("v"), fleet["network"]
    if response is None:
        return [], [] if network_config_urls(values) else [(host, network, own, "-", "-", IN_CONTAINER)]
    problems, runs, source = [], response["version"], response["where"]
    if response["cached"] is not None:
        source = f"copy of {time.strftime('%Y-%m-%d', time.gmtime(response['cached']))} in the data directory"
    if runs:
        order = compare(own, runs)
        pinned = bool(environment_of(values, NODE).get("ROLLUP_VERSION"))
        problems += version_problem(host, own, network, runs, order, pinned)
        state = STATES.get(order, "not checked: the versions cannot be compared")
    elif source:
        state = "not checked: the file does not contain nodeVersion"
    else:
        state = f"not checked: {'; '.join(response['errors'])}"
    if response["registry"] and settings.registry and response["registry"].lower() != settings.registry.lower():
        wrong = f"the network's configuration ({source}) contains the registry {response['registry']} for {network}, "
        wrong += f"but this run uses {settings.registry}"
        remedy = "find out which address is correct, and set aztec_l1_registry to it"
        problems.append(Problem(host, "aztec_l1_registry", wrong, remedy, "warning"))
    if settings.checks == "warn":
        problems = [replace(problem, level="warning") for problem in problems]
    return problems, [(host, network, own, runs or "-", source or "-", state)]


def registry_problems(host_infos: Mapping, fleet: Mapping, image_settings: Sequence) -> list[Problem]:
    """Return a problem for each image that its registry does not have and that a host of the run has to pull.

    host_infos: host -> host info or None. image_settings: the variables of image and digest that are set. An image that
    could not be queried everywhere is not a problem here, because the pull shows whether it exists.
    """
    problems = []
    for host, host_info in host_infos.items():
        for response in (host_info or {}).get("registry") or []:
            image = response["image"]
            to_pull = any(
                image in fleet["hosts"][name]["images"] and image not in other["images"]
                for name, other in host_infos.items()
                if other
            )
            if response["found"] is False and to_pull:
                where = " and ".join(response["missing_at"])
                wrong = f"{where} does not have the image {image} (queried from {host})"
                remedy = "set aztec_version to a published release"
                remedy += "".join(f", or correct {name}" for name in sorted(image_settings))
                problems.append(Problem("the fleet", "aztec_version", wrong, remedy))
    return problems
