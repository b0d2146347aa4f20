"""The fleets whose files are rendered: one of each release line, and one with all other settings."""

from __future__ import annotations

from typing import Any

KEY, OTHER_KEY = "0x" + "01" * 31 + "02", "0x" + "01" * 31 + "03"
ADDRESS = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
OTHER_ADDRESS = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
COMPONENTS = ("prover_node", "prover_broker", "prover_agent")

_GROUP_VARS: dict[str, Any] = {
    "aztec_inventory_name": "example",
    "aztec_network": "testnet",
    "aztec_l1_execution_urls": ["https://l1.example/v3/one", "https://other.example:8545"],
    "aztec_l1_consensus_urls": ["https://beacon.example"],
    "prover_node_publisher_private_key": KEY,
}
_TOGETHER: dict[str, Any] = {
    "prover_node": {"node-1": {"ansible_host": "203.0.113.10", "aztec_address": "10.0.0.10"}},
    "prover_broker": {"node-1": {}},
    "prover_agent": {"agent-1": {"ansible_host": "203.0.113.21", "aztec_address": "10.0.0.21"}},
}
_APART: dict[str, Any] = {
    "prover_node": {"node-1": {"ansible_host": "203.0.113.10", "aztec_address": "fd00::10"}},
    "prover_broker": {"broker-1": {"ansible_host": "203.0.113.11", "aztec_address": "fd00::11"}},
    "prover_agent": {"agent-1": {"ansible_host": "203.0.113.21", "aztec_address": "fd00::21"}},
}

FLEETS: dict[str, dict[str, Any]] = {
    "2.1.5": {"groups": _TOGETHER, "vars": {**_GROUP_VARS, "aztec_version": "2.1.5"}},
    "4.1.2": {"groups": _TOGETHER, "vars": {**_GROUP_VARS, "aztec_version": "4.1.2"}},
    "5.2.0": {"groups": _TOGETHER, "vars": {**_GROUP_VARS, "aztec_version": "5.2.0"}},
    "6.0.0": {"groups": _TOGETHER, "vars": {**_GROUP_VARS, "aztec_version": "6.0.0", "aztec_network": "mainnet"}},
    "instance": {
        "groups": _TOGETHER,
        "vars": {
            **_GROUP_VARS,
            "aztec_version": "4.1.2",
            "aztec_instance": "main2",
            "aztec_inventory_name": "other",
        },
    },
    "apart": {
        "groups": _APART,
        "vars": {
            **_GROUP_VARS,
            "aztec_version": "2.1.5",
            "aztec_network": "mainnet",
            "aztec_image": "registry.example:5000/aztec",
            "aztec_image_digest": "sha256:" + "ab" * 32,
            "aztec_directory": "/srv/aztec",
            "aztec_docker_ipv6_subnet": "fd31:78::/64",
            "aztec_environment": {"OTEL_SERVICE_NAME": 'a "quoted" $name #1', "DEBUG_COLORS": True},
            "aztec_l1_execution_urls": ["https://user:pa$$word@l1.example/x?key='q'"],
            "prover_node_key_source": "env",
            "prover_node_publisher_private_key": "",
            "prover_node_publisher_private_keys": [KEY, OTHER_KEY],
            "prover_node_p2p_port": 40500,
            "prover_node_prover_id": "0x00000000000000000000000000000000000000aa",
            "prover_broker_port": 8090,
            "prover_agent_count": "auto",
            "prover_agent_restart_policy": "always",
            "prover_agent_crs_source": "https://mirror.lan/crs",
            "prover_agent_crs_digests": {"bn254_g2.dat": "sha256:" + "cd" * 32},
            "prover_agent_compose": {"cpus": 32, "mem_limit": "128g"},
        },
    },
    "separate": {
        "groups": _TOGETHER,
        "vars": {
            **_GROUP_VARS,
            "aztec_version": "4.1.2",
            "aztec_log_max_size": "20m",
            "aztec_log_max_files": 5,
            "prover_node_memory_limit": "16g",
            "prover_node_cpu_limit": 3.5,
            "prover_broker_memory_limit": "8g",
            "prover_broker_cpu_limit": 2,
            "prover_broker_log_max_size": "1g",
            "prover_broker_log_max_files": 2,
            "prover_agent_count": 2,
            "prover_agent_separate_containers": True,
            "prover_agent_memory_limit": "120g",
            "prover_agent_cpu_limit": 60,
            "prover_agent_compose": {"logging": {"driver": "journald"}},
        },
    },
    "operated": {
        "groups": _TOGETHER,
        "vars": {
            **_GROUP_VARS,
            "aztec_version": "6.0.0",
            "aztec_network": "mainnet",
            "aztec_log_json": True,
            "aztec_proof_store": "s3://bucket/proofs",
            "aztec_l1_debug_urls": ["https://traces.lan/v3/one"],
            "prover_node_max_fee_gwei": 200,
            "prover_node_sync_mode": "force-snapshot",
            "prover_node_snapshot_urls": ["https://snapshots.lan/mainnet/"],
            "prover_node_blob_file_store_urls": ["https://blobs.lan", "gs://bucket/blobs"],
            "prover_node_tx_file_store_urls": ["s3://bucket/txs"],
            "prover_node_funding_account_private_key": OTHER_KEY,
            "prover_node_funding_threshold": 0.5,
            "prover_node_funding_amount": 1,
            "prover_node_priority_fee_bump_percentage": 30,
            "prover_node_priority_fee_retry_bump_percentage": 80,
            "prover_node_dry_run": True,
            "prover_node_p2p_query_for_ip": True,
            "prover_node_admin_api_key_hash": "AB" * 32,
            "prover_node_p2p_private_key": "08021220" + "ab" * 32,
            "prover_agent_crs_source": "https://mirror.lan/crs",
        },
    },
    "carried": {
        "groups": _TOGETHER,
        "vars": {
            **_GROUP_VARS,
            "prover_node_key_source": "web3signer",
            "prover_node_publisher_private_key": "",
            "prover_node_web3signer_url": "https://signer.lan:9000/S3cret",
            "prover_node_publisher_addresses": [ADDRESS.lower(), "0x00000000000000000000000000000000000000AA"],
            "prover_node_funding_account_address": OTHER_ADDRESS.lower(),
            "prover_node_admin_api_key": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "prover_node_funding_threshold": 0.00002,
            "prover_node_funding_amount": 2.5,
            "aztec_version": "5.2.0",
            "prover_agent_image": "aztecprotocol/aztec-prover-agent",
        },
    },
}

# The host info of a machine with two agents
HOST_INFO: dict[str, Any] = {
    "addresses": ["10.0.0.10", "fd00::11"],
    "nonlocal_bind": False,
    "interfaces": ["eth0", "lo"],
    "networks": [],
    "guard": {"installed": False, "owner": "", "problems": [], "saved_rulesets": []},
    "hardware": {
        "vcpus": 128,
        "cores": 64,
        "memory_bytes": 256 * 1024**3,
        "link_mbps": 1000,
        "disks": {"/": {"size_bytes": 10**12, "free_bytes": 9 * 10**11, "kind": "nvme", "device": "nvme0n1"}},
    },
    "images": {},
    "files": {},
    "engine": {"serves": True, "version": "29.0.0", "compose": "2.40.0"},
}


def host_of(fleet: str, component: str) -> str:
    """Return the one host of a component."""
    (host,) = FLEETS[fleet]["groups"][component]
    return host
