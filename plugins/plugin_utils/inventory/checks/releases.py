# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check versions, networks, images, options, environments, and snapshots against the release line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.networks import NETWORKS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import (
    COMPONENTS,
    CONSENSUS_ENVIRONMENT,
    NUMBERED_DEVNET,
    OPTION_SINCE,
    RELEASES,
    Release,
    accepts_network,
    networks_of,
    parse_version,
    release_of,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.context import Context, split_message
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import (
    NODE,
    as_bool,
    environment_names,
    environment_of,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import describe_value


def check_versions(context: Context) -> None:
    """Check that the release is known and the same everywhere, and that it knows the network."""
    versions: dict = {}
    networks: dict = {}
    for host, component in context.host_components():
        settings = [context.usable_setting(host, component, option) for option in ("version", "release_line")]
        if None in settings:
            continue
        (name, version), (line_name, line) = settings
        try:
            release = release_of(version, line)
        except ValueError as error:
            context.add(host, line_name if line else name, split_message(error))
            continue
        versions.setdefault(str(version).lstrip("v"), []).append((component, host, name))
        _check_image(context, host, component, release)
        _check_options(context, host, component, version)
        found = context.usable_setting(host, component, "network")
        if found is None:
            continue
        name, network = found
        known = networks_of(version, line)
        if accepts_network(known, network):
            networks.setdefault(str(network), []).append((component, host, name))
            continue
        near = difflib.get_close_matches(str(network), [one for one in known if one != NUMBERED_DEVNET], n=1)
        hint = f"did you mean {near[0]}? All: " if near else "choose one of "
        context.add(host, name, (f"{describe_value(network)} is an unknown network", hint + ", ".join(known)))
    _check_same(context, "version", versions)
    _check_same(context, "network", networks)


def _check_image(context: Context, host: str, component: str, release: Release) -> None:
    """Reject the image of an organization that does not publish the release line. Copies in other registries pass."""
    found = context.usable_setting(host, component, "image")
    if found is None or not isinstance(found[1], str):
        return
    organization, _slash, rest = found[1].removeprefix("docker.io/").rpartition("/")
    own = release.image.partition("/")[0]
    if organization in {one.image.partition("/")[0] for one in RELEASES.values()} - {own}:
        wrong = f"{organization} does not publish release line {release.line}"
        context.add(host, found[0], (wrong, f"set it to {own}/{rest}, or remove it"))


def _check_options(context: Context, host: str, component: str, version: str) -> None:
    """Reject an option that is set and that the version does not read."""
    for option, since in OPTION_SINCE.items():
        found = context.usable_setting(host, component, option)
        if f"{component}_{option}" not in context.specs.options.get(component, {}) or found is None:
            continue
        name, value = found
        is_set = as_bool(value) if option == "dry_run" else value not in (None, "", [], 0, "0")
        if is_set and parse_version(version) < since:
            wrong = f"is read from release {'.'.join(map(str, since))} on, and {version} ignores it"
            context.add(host, name, (wrong, "remove it, or set aztec_version to a release that reads it"))


def _check_same(context: Context, what: str, users: dict) -> None:
    """Check that all components have the value of the node or the broker."""
    if not users:
        return
    first = min(users, key=lambda value: min(COMPONENTS.index(user[0]) for user in users[value]))
    for value, places in users.items():
        for component, host, name in places if value != first else ():
            wrong = f"the {component} has {what} '{value}', the node or broker '{first}'"
            context.add(host, name, (wrong, f"set one {what} for the whole fleet"))


def check_environments(context: Context) -> None:
    """Reject environment variables that the release line does not read, or with which it exits at start."""
    for host, component in context.host_components():
        values, release = context.usable(host), context.release(host, component)
        if release is None:
            continue
        merged = environment_of(values, component)
        overridden = str(merged.get("ALLOW_OVERRIDING_NETWORK_CONFIG", "")).lower() in ("1", "true")
        for name in environment_names(component, values):
            environment = values.get(name)
            if not isinstance(environment, Mapping):
                continue
            for old, new in release.renamed_environment.items():
                if old in environment:
                    wrong = f"contains {old}, which release line {release.line} does not read"
                    context.add(host, name, (wrong, f"remove it, or rename it to {new}; the image sets it already"))
            if release.checks_consensus_environment and not overridden:
                network = str(context.setting(host, component, "network")[1])
                known = None if merged.get("NETWORK_CONFIG_LOCATION") else NETWORKS.get(network)
                _check_consensus(context, host, name, network, known.consensus if known else {})


def _check_consensus(context: Context, host: str, name: str, network: str, consensus: Mapping) -> None:
    """Compare consensus settings with the published ones of the network."""
    environment = context.hosts[host][name]
    for variable in (one for one in CONSENSUS_ENVIRONMENT if environment.get(one) not in (None, "")):
        remedy = f"remove {variable}; ALLOW_OVERRIDING_NETWORK_CONFIG: true next to it overrides this check"
        expected = consensus.get(variable)
        if expected is None:
            wrong = f"contains {variable}, and Aztec exits at start if it differs from the value of {network}"
            context.add(host, name, (wrong, remedy), "warning")
        elif str(environment[variable]) != str(expected):
            wrong = f"contains {variable}, which on {network} is {expected}; Aztec exits at start if it differs"
            context.add(host, name, (wrong, remedy))


def other_network(url: str, network: str) -> str | None:
    """Return the other network that a URL names, or None.

    A part of the path or a bucket counts if it is the name of a network, or contains the word mainnet or testnet.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "") if parts.scheme in ("http", "https") else parts.netloc
    names = [one for one in [host, *parts.path.split("/")] if one]
    words = {word for one in names for word in re.split("[^a-z0-9]+", one.lower())} & {"mainnet", "testnet"}
    if network in names or network in words:
        return None
    if words:
        return min(words)
    return next((one for one in names if one in NETWORKS or accepts_network((NUMBERED_DEVNET,), one)), None)


def check_snapshots(context: Context) -> None:
    """Reject snapshots of another network, and snapshots that the sync mode does not use."""
    name = "prover_node_snapshot_urls"
    for host in context.members[NODE]:
        values = context.usable(host)
        urls, network = values.get(name), str(context.setting(host, NODE, "network")[1])
        if not isinstance(urls, list) or not urls:
            continue
        if values.get("prover_node_sync_mode") == "full":
            wrong = "is set, and prover_node_sync_mode: full downloads no snapshot"
            context.add(host, name, (wrong, "remove one of the two"))
        for number, url in enumerate(urls, 1):
            other = other_network(url, network)
            if other:
                wrong = f"entry {number} is a snapshot of {other}, but the network is {network}"
                context.add(host, name, (wrong, f"set the URL of {network}'s snapshots, or remove it"))
