# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judge aztec_version by what the network runs, as its network_config.json says it, before anything is deployed.

The file's nodeVersion is optional. A version that was not compared is a row that says so, never a problem.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence

from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.network_config import (
    cached_path,
    compare,
    config_urls,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import release_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import NODE, environment_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem, table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_checks import l1_questions, settings_of

HEADS = ("HOST", "NETWORK", "AZTEC_VERSION", "NETWORK RUNS", "FROM", "STATE")
STATES = {
    "same": "ok",
    "newer": "ok",
    "older": "older",
    "line ahead": "ahead",
    "line behind": "WRONG",
}
# Where a line stands that is about no host of its own.
FLEET = "the fleet"
INSIDE = "NETWORK_CONFIG_LOCATION names a file inside the container"


def location_of(values: Mapping) -> str:
    """Return the NETWORK_CONFIG_LOCATION that the node gets by its environment, '' for none."""
    return str(environment_of(values, NODE).get("NETWORK_CONFIG_LOCATION") or "")


def host_questions(values: Mapping, fleet: Mapping, host: str) -> str:
    """Return what a host's look has to ask of the L1 and, for the node's host, of the network's configuration.

    JSON text, since it holds API keys; '' where nothing is to be asked, as with aztec_l1_checks "ignore".
    """
    here = fleet["hosts"][host]
    if here.get("left_out"):
        return ""
    asked = l1_questions(values, fleet, host)
    if not asked or NODE not in here["components"]:
        return asked
    urls = config_urls(location_of(values))
    if not urls:
        return asked
    questions = json.loads(asked)
    questions["network"] = {
        "name": fleet["network"],
        "urls": urls,
        "cache": cached_path(here["paths"][NODE], fleet["network"]),
        "seconds": questions["seconds"],
    }
    return json.dumps(questions)


def is_known(version: str) -> bool:
    """Return whether this collection has the release line of a version."""
    try:
        release_of(version)
    except ValueError:
        return False
    return True


def remedy_for(version: str) -> str:
    """Return how to come to a version that needs another rollup, and with it an empty data directory."""
    change = f"set aztec_version to {version}, with new data directories (prover_node_data_directory, "
    change += "prover_broker_data_directory)"
    if is_known(version):
        return change
    return f"update this collection, which does not know {version} yet (or set aztec_release_line), then {change}"


def version_problem(host: str, own: str, network: str, runs: str, order: str, pinned: bool) -> Problem | None:
    """Return what is wrong with aztec_version where the network runs another one, or None.

    order: how they compare, from network_config.compare. pinned: whether ROLLUP_VERSION keeps the node at a rollup by
    hand, for which an older version can be the right one.
    """
    if order == "line behind":
        wrong = f"the network {network} runs {runs}, aztec_version is {own}, which cannot follow it"
        return Problem(host, "aztec_version", wrong, remedy_for(runs), "warning" if pinned else "error")
    if order == "older":
        wrong = f"the network {network} runs {runs}, aztec_version is the older {own}"
        return Problem(host, "aztec_version", wrong, f"set aztec_version to {runs}", "warning")
    if order == "line ahead":
        wrong = f"the network {network} runs {runs}, aztec_version is {own}: node and broker wait in standby until the "
        wrong += "network has moved to it"
        remedy = f"go on if you prepare for a hard fork, else set aztec_version to {runs}"
        return Problem(host, "aztec_version", wrong, remedy, "warning")
    return None


def place_of(answer: Mapping) -> str:
    """Return where an answer comes from: scheme, host and port, or the copy in the data directory with its date."""
    if answer["cached"] is None:
        return answer["where"]
    return f"copy of {time.strftime('%Y-%m-%d', time.gmtime(answer['cached']))} in the data directory"


def check_network(host: str, values: Mapping, fleet: Mapping, answer: Mapping | None) -> tuple[list, list]:
    """Judge the answer of network_config.query_network on the node's host, or None where it was not asked.

    Return (problems, rows of the table).
    """
    here = fleet["hosts"][host]
    settings = settings_of(values, fleet["network"], here["components"])
    if NODE not in here["components"] or settings.checks == "ignore":
        return [], []
    own, network = str(fleet["version"]).removeprefix("v"), fleet["network"]
    if answer is None:
        inside = not config_urls(location_of(values))
        return [], [(host, network, own, "-", "-", f"not checked: {INSIDE}")] if inside else []
    problems, runs, place = [], answer["version"], place_of(answer)
    if runs:
        try:
            order = compare(own, runs)
        except ValueError:
            order = ""
        pinned = bool(environment_of(values, NODE).get("ROLLUP_VERSION"))
        problem = version_problem(host, own, network, runs, order, pinned)
        problems += [problem] if problem else []
        state = STATES.get(order, "not checked: the versions cannot be compared")
    elif place:
        state = "not checked: the file names no nodeVersion"
    else:
        state = f"not checked: {'; '.join(answer['errors'])}"
    if answer["registry"] and settings.registry and answer["registry"].lower() != settings.registry.lower():
        wrong = f"the network's configuration ({place}) names the registry {answer['registry']} for {network}, and "
        wrong += f"this run uses {settings.registry}"
        problems.append(Problem(host, "aztec_l1_registry", wrong, "find out which is right, and set it", "warning"))
    if settings.checks == "warn":
        problems = [Problem(one.host, one.variable, one.wrong, one.remedy, "warning") for one in problems]
    return problems, [(host, network, own, runs or "-", place or "-", state)]


def registry_problems(looks: Mapping, fleet: Mapping, by_hand: Mapping) -> list[Problem]:
    """Return a line for each image that its registry does not have, where a host of the run is still to pull it.

    looks: host -> its look, None where there is none. by_hand: what is set of aztec_image and aztec_image_digest, which
    the line names. An image that some place could not be asked for is judged by the pull.
    """
    problems = []
    for host, look in looks.items():
        for answer in (look or {}).get("registry") or []:
            image = answer["image"]
            wanted = any(
                image in fleet["hosts"][one]["images"] and image not in seen["images"]
                for one, seen in looks.items()
                if seen
            )
            if answer["found"] is False and wanted:
                where = " and ".join(answer["missing_at"])
                wrong = f"{where} does not have the image {image} (asked from {host})"
                remedy = "set aztec_version to a release that is published"
                remedy += "".join(f", or correct {name}" for name in sorted(by_hand) if by_hand[name])
                problems.append(Problem(FLEET, "aztec_version", wrong, remedy))
    return problems


def network_table(rows: Sequence) -> str:
    """Return the rows of check_network as the table that the operator reads, '' for none."""
    return table(rows, HEADS) if rows else ""
