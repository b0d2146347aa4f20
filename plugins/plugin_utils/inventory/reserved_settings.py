# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the roles alone decide of a component's environment and Compose service, and which variable to set in its place.

Set behind the roles' back it would part port guard, health check, looks or other components from what runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import AGENT, BROKER, NODE, as_bool

# Name in the environment -> the option that decides it; an empty one: nothing does.
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
        "PROVER_AGENT_COUNT": "",
        "PROVER_BROKER_HOST": "broker_url",
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
        "PROVER_BROKER_HOST": "broker_url",
        "PROVER_ID": "prover_id",
        "PROVER_PROOF_STORE": "proof_store",
    },
}
# Options that several components have and one fleet-wide variable sets.
FLEET_WIDE = ("l1_execution_urls", "log_json", "proof_store")
# What the roles set and anybody may set otherwise: nothing else goes by it.
FREE = ("HARDWARE_CONCURRENCY", "LOG_LEVEL")

# Key of the Compose service -> the option that decides it.
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
    return f"take it out, and set {' or '.join(names)}" if names else "take it out"


def environment_owned(components: tuple, environment: Mapping) -> tuple | None:
    """Give (what is wrong, what to do) where an environment for these components holds what their roles decide."""
    for name in environment:
        owners = [component for component in components if name in ENVIRONMENT[component]]
        if owners:
            options = [(component, ENVIRONMENT[component][name]) for component in owners]
            wide = len(options) > 1 and {option for _component, option in options} <= set(FLEET_WIDE)
            names = [f"aztec_{options[0][1]}"] if wide else [f"{one}_{option}" for one, option in options if option]
            remedy = _instead(names)
            return f"holds {name}, which the role decides", remedy
    return None


def secret_shown(environment: Mapping) -> tuple | None:
    """Give (what is wrong, what to do) where a public environment holds what is a secret by its name."""
    for name, value in environment.items():
        if _SECRET.search(name) and isinstance(value, str) and as_bool(value) is None:
            wrong = f"holds {name}, a secret by its name, and is shown in diffs"
            return wrong, "take it out, and put it into prover_node_secret_environment"
    return None


def service_owned(component: str, extra: Mapping) -> tuple | None:
    """Give (what is wrong, what to do) where extra keys of a component's Compose service are the role's to decide."""
    if "services" in extra:
        return "holds services, but its keys are those of the service", "write them without services and the name"
    for name in extra:
        # Limits of resources are the operator's, copies are not.
        if name == "deploy" and not (isinstance(extra[name], Mapping) and "replicas" in extra[name]):
            continue
        if name in SERVICE:
            return f"holds {name}, which the role decides", _instead(
                [f"{component}_{SERVICE[name]}"] if SERVICE[name] else []
            )
    return None
