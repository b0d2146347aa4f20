# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reject environment variables and Compose keys that the roles manage, and name the variable to set instead.

Port guard, health checks, host_info, and other components rely on the values that the roles set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import COMPONENTS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.context import Context
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import (
    AGENT,
    BROKER,
    NODE,
    as_bool,
    environment_names,
)

# Name in the environment -> the option that manages it, empty for none.
ENVIRONMENT = {
    NODE: {
        "AZTEC_PORT": "port",
        "AZTEC_ADMIN_API_KEY_HASH": "admin_api_key_hash",
        "AZTEC_ADMIN_PORT": "admin_port",
        "BLOB_FILE_STORE_URLS": "blob_file_store_urls",
        "DATA_DIRECTORY": "data_directory",
        "ETHEREUM_DEBUG_HOSTS": "l1_debug_urls",
        "ETHEREUM_HOSTS": "l1_execution_urls",
        "KEY_STORE_DIRECTORY": "key_source",
        "L1_CONSENSUS_HOST_URLS": "l1_consensus_urls",
        "L1_GAS_PRICE_MAX": "max_fee_gwei",
        "L1_PRIORITY_FEE_BUMP_PERCENTAGE": "priority_fee_bump_percentage",
        "L1_PRIORITY_FEE_RETRY_BUMP_PERCENTAGE": "priority_fee_retry_bump_percentage",
        "LOG_JSON": "log_json",
        "P2P_IP": "p2p_ip",
        "P2P_PORT": "p2p_port",
        "P2P_QUERY_FOR_IP": "p2p_query_for_ip",
        "PEER_ID_PRIVATE_KEY": "p2p_private_key",
        "PROVER_AGENT_COUNT": "",
        "PROVER_BROKER_HOST": "broker_host",
        "PROVER_ID": "prover_id",
        "PROVER_NODE_DISABLE_PROOF_PUBLISH": "dry_run",
        "PROVER_PROOF_STORE": "proof_store",
        "PROVER_PUBLISHER_ADDRESSES": "publisher_addresses",
        "PROVER_PUBLISHER_PRIVATE_KEY": "publisher_private_key",
        "PROVER_PUBLISHER_PRIVATE_KEYS": "publisher_private_keys",
        "PUBLISHER_FUNDING_AMOUNT": "funding_amount",
        "PUBLISHER_FUNDING_THRESHOLD": "funding_threshold",
        "SYNC_MODE": "sync_mode",
        "SYNC_SNAPSHOTS_URLS": "snapshot_urls",
        "TX_COLLECTION_FILE_STORE_URLS": "tx_file_store_urls",
        "WEB3_SIGNER_URL": "web3signer_url",
    },
    BROKER: {
        "AZTEC_PORT": "port",
        "AZTEC_ADMIN_PORT": "",
        "DATA_DIRECTORY": "data_directory",
        "ETHEREUM_HOSTS": "l1_execution_urls",
        "LOG_JSON": "log_json",
    },
    AGENT: {
        "AZTEC_PORT": "port",
        "AZTEC_ADMIN_PORT": "",
        "CRS_PATH": "crs_directory",
        "LOG_JSON": "log_json",
        "PROVER_AGENT_COUNT": "count",
        "PROVER_AGENT_POLL_INTERVAL_MS": "poll_interval_ms",
        "PROVER_BROKER_HOST": "broker_host",
        "PROVER_ID": "prover_id",
        "PROVER_PROOF_STORE": "proof_store",
    },
}
# Options that several components have and one fleet-wide variable sets.
FLEET_WIDE = ("l1_execution_urls", "log_json", "proof_store")

# Key of the Compose service -> the option that manages it, empty for none.
SERVICE = {
    "container_name": "",
    "deploy": "",
    "env_file": "environment",
    "environment": "environment",
    "image": "image",
    "mac_address": "",
    "network_mode": "docker_network",
    "networks": "docker_network",
    "ports": "port",
    "restart": "restart_policy",
    "scale": "",
    "stop_grace_period": "stop_grace_period",
}

_SECRET = re.compile(r"PRIVATE_KEY|PASSWORD|PASSPHRASE|MNEMONIC|SECRET|API_KEY|TOKEN")


def _instead(names: list) -> str:
    return f"remove it, and set {' or '.join(names)}" if names else "remove it"


def reserved_environment_problem(components: tuple, environment: Mapping) -> tuple | None:
    """Return what is wrong if an environment of these components contains what their roles manage."""
    for name in environment:
        options = [(one, ENVIRONMENT[one][name]) for one in components if name in ENVIRONMENT[one]]
        if options:
            wide = len(options) > 1 and {option for _component, option in options} <= set(FLEET_WIDE)
            names = [f"aztec_{options[0][1]}"] if wide else [f"{one}_{option}" for one, option in options if option]
            return f"contains {name}, which the role manages", _instead(names)
    return None


def public_secret_problem(environment: Mapping) -> tuple | None:
    """Return what is wrong if a public environment contains a secret, judging by its name."""
    for name, value in environment.items():
        if _SECRET.search(name) and isinstance(value, str) and as_bool(value) is None:
            wrong = f"contains {name}, which has the name of a secret, and is shown in diffs"
            return wrong, "move it to prover_node_secret_environment"
    return None


def reserved_service_problem(component: str, extra: Mapping) -> tuple | None:
    """Return what is wrong if extra keys of a component's Compose service are managed by the role."""
    if "services" in extra:
        return "contains services, but its keys are those of one service", "write them without services and its name"
    for name in extra:
        # The operator may limit resources, but not set a number of replicas.
        if name == "deploy" and not (isinstance(extra[name], Mapping) and "replicas" in extra[name]):
            continue
        if name in SERVICE:
            names = [f"{component}_{SERVICE[name]}"] if SERVICE[name] else []
            return f"contains {name}, which the role manages", _instead(names)
    return None


def check_reserved(context: Context) -> None:
    """Check that no environment or Compose key overrides what the roles manage, and that no secret is public."""
    for host in context.hosts:
        values = context.usable(host)
        components = context.components(host)
        layers = {"aztec_environment": COMPONENTS}
        for component in components:
            for name in environment_names(component, values):
                layers.setdefault(name, (component,))
        for name, readers in layers.items():
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
