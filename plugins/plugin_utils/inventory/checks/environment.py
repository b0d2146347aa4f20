# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the environment and the Compose keys that the operator adds to components."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.networks import NETWORKS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import (
    COMPONENTS,
    CONSENSUS_ENVIRONMENT,
    NUMBERED_DEVNET,
    accepts_network,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.context import Context
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import NODE, environment_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.reserved_settings import (
    public_secret_problem,
    reserved_environment_problem,
    reserved_service_problem,
)


def _environment_names(component: str) -> list[str]:
    return [f"{component}_{layer}environment" for layer in ("fleet_", "", "secret_")]


def check_reserved(context: Context) -> None:
    """Check that no environment or Compose key overrides what the roles manage, and that no secret is public."""
    for host in context.hosts:
        values = context.usable(host)
        components = context.components(host)
        layers = [("aztec_environment", COMPONENTS)]
        layers += [(name, (component,)) for component in components for name in _environment_names(component)]
        for name, readers in layers:
            environment = values.get(name)
            if not isinstance(environment, Mapping):
                continue
            wrong = reserved_environment_problem(readers, environment)
            if wrong is None and NODE in readers and not name.endswith("_secret_environment"):
                wrong = public_secret_problem(environment)
            if wrong:
                context.add(host, name, wrong)
        for component in components:
            extra = values.get(f"{component}_compose")
            wrong = reserved_service_problem(component, extra) if isinstance(extra, Mapping) else None
            if wrong:
                context.add(host, f"{component}_compose", wrong)
        if NODE in components:
            name = "prover_node_secret_environment"
            for public in ("aztec_environment", "prover_node_environment"):
                both = sorted(set(values.get(name) or {}) & set(values.get(public) or {}))
                if both:
                    wrong = f"contains {both[0]}, and so does {public}"
                    context.add(host, name, (wrong, "keep it in only one of them"))


def check_environments(context: Context) -> None:
    """Reject environment variables that the release line does not read, or with which it exits at start."""
    for host, component in context.host_components():
        values, release = context.usable(host), context.release(host, component)
        if release is None:
            continue
        names = _environment_names(component)
        if names[0] not in values:
            names.insert(0, "aztec_environment")
        merged = environment_of(values, component)
        overridden = str(merged.get("ALLOW_OVERRIDING_NETWORK_CONFIG", "")).lower() in ("1", "true")
        for name in names:
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
