# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The differences between Aztec's release lines. No other file of the collection depends on the number of a version.

Each entry cites its source: source code, a run, or documentation. 4.1.2 is the newest release that can be installed
without Aztec's container registry, and the only one that was run. Entries for 5 and 6 come from source code and
documentation.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.minimum_hardware import (
    GUIDE_2_1,
    GUIDE_4,
)

COMPONENTS = ("prover_node", "prover_broker", "prover_agent")

# In a list of networks, the name that represents v1-devnet-1 and other numbers.
NUMBERED_DEVNET = "vN-devnet-N"
_NUMBERED_DEVNET = re.compile(r"v[0-9]+-devnet-[0-9]+")


@dataclass(frozen=True)
class CrsFile:
    """A file of the CRS: its name, and the minimum size in bytes of a complete file.

    pattern: shell pattern of the names that the program also accepts. required: whether the program requires the file.
    """

    name: str
    least_bytes: int
    pattern: str = ""
    required: bool = True


@dataclass(frozen=True)
class Release:
    """A release line: the configuration, start, requirements and RPC methods of its components.

    image: the default image; crs_image: the image of agents that contains the CRS, empty if there is none.
    image_gb: disk space of the default image in 10^9 bytes; the CRS adds to it in crs_image.
    architectures: those of the published images, in Docker's notation.
    start_flags, environment, stop_grace_period and requirements map a component to its value. rpc maps a query to its
    JSON-RPC method.
    networks: the names that --network accepts; numbered_devnets_since: (major, minor) from which it accepts
    vN-devnet-N, or None. renamed_environment: names that the line does not read, each with the name that it reads.
    standby: whether node and broker wait, and serve only /status, while the rollup is incompatible. rollup_slots maps a
    header of /status to the slot in the rollup's storage with the same value, empty if the layout is unknown.
    debug_hosts_required: a node requires an L1 client that traces transactions. balance_required: a node does not start
    a proof while none of its publishers can pay for the submission.
    Only the code of GET /status is read, 200 in every line. The body is OK in 2.1 and 4, and JSON from 5.2.
    """

    line: str
    image: str
    start_flags: dict
    environment: dict
    rpc: dict
    networks: tuple
    requirements: dict
    crs_files: tuple
    stop_grace_period: dict
    renamed_environment: dict
    crs_image: str = ""
    # An estimate for every line, because no figure is published or was measured. The npm packages of 4.1.2 are 1.0 GB
    # (measured). The Dockerfile of release-image adds Ubuntu, Node.js, Foundry, bb and nargo. The total is 3 GB
    # unpacked and 1 GB of compressed layers, which containerd keeps and other image stores require during a pull.
    image_gb: float = 4.0
    # Upstream's release-image/bootstrap.sh: each tag is a manifest list of -amd64 and -arm64, for both images.
    architectures: tuple = ("amd64", "arm64")
    standby: bool = True
    rollup_slots: dict = field(default_factory=dict)
    numbered_devnets_since: tuple | None = None
    checks_consensus_environment: bool = False
    debug_hosts_required: bool = False
    balance_required: bool = False
    entrypoint: tuple = ("node", "--no-warnings", "/usr/src/yarn-project/aztec/dest/bin/index.js", "start")

    def as_dict(self) -> dict:
        """Return the release line as dicts and lists for templates."""
        return json.loads(json.dumps(asdict(self)))


# From 4 on the default is 1mb, which makes epochs fail with entity.too.large; 2.1 has 50mb fixed.
_BODY_SIZE = {"RPC_MAX_BODY_SIZE": "50mb"}

# A pinned image that exits when a newer one is published would restart in a loop (exit codes 78 and 79). 2.1 exits on
# testnet (AUTO_UPDATE), 5 and 6 with ENABLE_AUTO_SHUTDOWN. 4 only warns about a newer version (ENABLE_VERSION_CHECK).
_NO_SHUTDOWN = {"ENABLE_AUTO_SHUTDOWN": "false"}

# @aztec/bb.js 4.1.2, crs/node: 2^25 + 1 points of 64 bytes, 32 where they are compressed; one point of G2; 2^18 + 1
# points of Grumpkin.
_CRS_FOUR = (
    CrsFile("bn254_g1.dat", 32 * (2**25 + 1), pattern="bn254_g1*.dat"),
    CrsFile("bn254_g2.dat", 128),
    CrsFile("grumpkin_g1.flat.dat", 64 * (2**18 + 1), pattern="grumpkin_g1*.dat"),
)
# @aztec/bb.js 5.0.0, crs/node: 2^25 compressed points (the decompressed bn254_g1.dat is accepted too), 2^18 of
# Grumpkin.
_CRS_FIVE = (
    CrsFile("bn254_g1_compressed.dat", 32 * 2**25, pattern="bn254_g1*.dat"),
    CrsFile("bn254_g2.dat", 128),
    CrsFile("grumpkin_g1_v2.flat.dat", 64 * 2**18),
)

# 6 executes circuits with noir-execute. Upstream's changelog of v6: there is no fallback to the old names.
_RENAMED = {
    "ACVM_BINARY_PATH": "NOIR_EXECUTE_BINARY_PATH",
    "ACVM_WORKING_DIRECTORY": "NOIR_EXECUTE_WORKING_DIRECTORY",
}

_FOUR = Release(
    line="4",
    # Up to 5 Docker Hub's organization is aztecprotocol, from 6 azteclabs (upstream's changelog of v6). The image with
    # the CRS has the same tag and sets CRS_PATH itself (release-image/Dockerfile.prover-agent).
    image="aztecprotocol/aztec",
    crs_image="aztecprotocol/aztec-prover-agent",
    # 4.1.2 accepts --archiver, 4.3 is not known to. --prover-node is sufficient to start the node.
    start_flags={
        "prover_node": ["--prover-node"],
        "prover_broker": ["--prover-broker"],
        "prover_agent": ["--prover-agent"],
    },
    environment={"prover_node": {}, "prover_broker": _BODY_SIZE, "prover_agent": {}},
    # Agents' methods have the same names in every line (5 and 6: from source code, not run).
    # 4 serves the node's epoch jobs at the RPC port (4.1.2, run), 5 and 6 only at the admin port, which needs a key.
    # So it is with startProof, where admin_jobs is the name of the former method there (upstream's migration notes).
    # p2p_getPeers is in every line (2.1 and 4: source; 6.0.0-rc.1: requests that operators recorded).
    rpc={
        "agent_status": "agent_getStatus",
        "l2_tips": "node_getL2Tips",
        "epoch_jobs": "prover_getJobs",
        "peers": "p2p_getPeers",
        "admin_jobs": "",
        "start_proof": "prover_startProof",
    },
    networks=("testnet", "mainnet", "staging-public", "staging-ignition", "next-net", "devnet"),
    numbered_devnets_since=(4, 2),
    requirements=GUIDE_4,
    crs_files=_CRS_FOUR,
    # An agent takes 31 s to stop while its broker is unreachable (4.1.2, run).
    stop_grace_period=dict.fromkeys(COMPONENTS, "60s"),
    renamed_environment={new: old for old, new in _RENAMED.items()},
    # keccak256("aztec.stf.storage") + 3 and + 4 (ethereum/src/contracts/rollup.ts of 4.1.2). Newer rollups may have
    # another storage layout: the source of 6 calls getVkTreeRoot() and getProtocolContractsHash() instead.
    rollup_slots={
        "x-aztec-l2circuitsvktreeroot": "0x958201b72d64259285941dffd868dac55267471fcc73e8a06e1fd9cf8706364",
        "x-aztec-l2protocolcontractshash": "0x958201b72d64259285941dffd868dac55267471fcc73e8a06e1fd9cf8706365",
    },
)
# The differences from 4.
_TWO = replace(
    _FOUR,
    line="2.1",
    crs_image="",
    # --archiver has no effect in 2.1 (the first flag decides the mode). It is in Aztec's guide.
    start_flags={**_FOUR.start_flags, "prover_node": ["--prover-node", "--archiver"]},
    environment={component: {"AUTO_UPDATE": "disabled"} for component in COMPONENTS},
    rpc={
        **_FOUR.rpc,
        "l2_tips": "proverNode_getL2Tips",
        "epoch_jobs": "proverNode_getJobs",
        "start_proof": "proverNode_startProof",
    },
    networks=("testnet", "mainnet", "staging-public", "staging-ignition"),
    numbered_devnets_since=None,
    requirements=GUIDE_2_1,
    rollup_slots={},
    # It ends with an error if the rollup is incompatible.
    standby=False,
)
# The differences from 4. --archiver is an unknown option from 5 on, which ends the process with exit code 1.
_FIVE = replace(
    _FOUR,
    line="5",
    environment={
        "prover_node": _NO_SHUTDOWN,
        "prover_broker": {**_BODY_SIZE, **_NO_SHUTDOWN},
        "prover_agent": _NO_SHUTDOWN,
    },
    # From 5 on getChainTips, of the same shape, replaces getL2Tips (upstream's migration notes).
    rpc={**_FOUR.rpc, "l2_tips": "aztec_getChainTips", "epoch_jobs": "", "admin_jobs": "prover_getJobs"},
    # foundation/src/config/network_name.ts of 5 and 6.
    networks=("testnet", "mainnet", "staging", "next-net", "devnet"),
    numbered_devnets_since=(5, 0),
    # The hardware page of 5.2 and 6.0 adds "Skylake or newer" for agents.
    requirements={**GUIDE_4, "prover_agent": replace(GUIDE_4["prover_agent"], cpu="Skylake or newer")},
    crs_files=_CRS_FIVE,
    checks_consensus_environment=True,
    rollup_slots={},
)
# The differences from 5.
_SIX = replace(
    _FIVE,
    line="6",
    image="azteclabs/aztec",
    crs_image="azteclabs/aztec-prover-agent",
    numbered_devnets_since=(6, 0),
    # Sources newer than 5.0.0 contain the point of G2 and do not download it: a directory without it can be complete.
    crs_files=tuple(replace(file, required=file.name != "bn254_g2.dat") for file in _CRS_FIVE),
    # Upstream's chart gives agents of 6 300 s instead of 180 s.
    stop_grace_period={**_FIVE.stop_grace_period, "prover_agent": "300s"},
    renamed_environment=_RENAMED,
    # Upstream's release notes of v6.0.0: ETHEREUM_ALLOW_NO_DEBUG_HOSTS is false by default.
    debug_hosts_required=True,
    # Upstream's changelog of v6, "Publishers must afford the L1 transaction before work starts".
    balance_required=True,
)
RELEASES = {one.line: one for one in (_TWO, _FOUR, _FIVE, _SIX)}

# Environment variables that have the same value in every program of a network: NETWORK_CONSENSUS_ENV_VARS of upstream's
# stdlib/src/config/network-consensus-config.ts. From 5 on a program fails to start if one differs from the
# network's, unless ALLOW_OVERRIDING_NETWORK_CONFIG is set.
CONSENSUS_ENVIRONMENT = (
    "ETHEREUM_SLOT_DURATION",
    "AZTEC_SLOT_DURATION",
    "AZTEC_EPOCH_DURATION",
    "SEQ_BLOCK_DURATION_MS",
    "MAX_BLOCKS_PER_CHECKPOINT",
    "CHECKPOINT_PROPOSAL_SYNC_GRACE_SECONDS",
    "L1_CHAIN_ID",
    "AZTEC_TARGET_COMMITTEE_SIZE",
    "AZTEC_LAG_IN_EPOCHS_FOR_VALIDATOR_SET",
    "AZTEC_LAG_IN_EPOCHS_FOR_RANDAO",
    "AZTEC_ACTIVATION_THRESHOLD",
    "AZTEC_EJECTION_THRESHOLD",
    "AZTEC_LOCAL_EJECTION_THRESHOLD",
    "AZTEC_EXIT_DELAY_SECONDS",
    "AZTEC_INBOX_LAG",
    "AZTEC_PROOF_SUBMISSION_EPOCHS",
    "AZTEC_MANA_TARGET",
    "AZTEC_PROVING_COST_PER_MANA",
    "AZTEC_INITIAL_ETH_PER_FEE_ASSET",
    "AZTEC_GOVERNANCE_PROPOSER_ROUND_SIZE",
    "AZTEC_GOVERNANCE_PROPOSER_QUORUM",
    "AZTEC_SLASHING_QUORUM",
    "AZTEC_SLASHING_ROUND_SIZE_IN_EPOCHS",
    "AZTEC_SLASHING_LIFETIME_IN_ROUNDS",
    "AZTEC_SLASHING_OFFSET_IN_ROUNDS",
    "AZTEC_SLASHING_EXECUTION_DELAY_IN_ROUNDS",
    "AZTEC_SLASHING_VETOER",
    "AZTEC_SLASHING_DISABLE_DURATION",
    "AZTEC_SLASH_AMOUNT_SMALL",
    "AZTEC_SLASH_AMOUNT_MEDIUM",
    "AZTEC_SLASH_AMOUNT_LARGE",
    "SLASH_OFFENSE_EXPIRATION_ROUNDS",
    "SLASH_MAX_PAYLOAD_SIZE",
    "SLASH_EXECUTE_ROUNDS_LOOK_BACK",
    "SLASH_DATA_WITHHOLDING_TOLERANCE_SLOTS",
    "SLASH_DATA_WITHHOLDING_PENALTY",
    "SLASH_INACTIVITY_TARGET_PERCENTAGE",
    "SLASH_INACTIVITY_CONSECUTIVE_EPOCH_THRESHOLD",
    "SLASH_INACTIVITY_PENALTY",
    "SLASH_PROPOSE_INVALID_ATTESTATIONS_PENALTY",
    "SLASH_DUPLICATE_PROPOSAL_PENALTY",
    "SLASH_DUPLICATE_ATTESTATION_PENALTY",
    "SLASH_PROPOSE_DESCENDANT_OF_CHECKPOINT_WITH_INVALID_ATTESTATIONS_PENALTY",
    "SLASH_ATTEST_INVALID_CHECKPOINT_PROPOSAL_PENALTY",
    "SLASH_UNKNOWN_PENALTY",
    "SLASH_INVALID_BLOCK_PENALTY",
    "SLASH_INVALID_CHECKPOINT_PROPOSAL_PENALTY",
    "SLASH_GRACE_PERIOD_L2_SLOTS",
)

# The first version that supports an option of the roles, by the option's name without its component. The source is
# 4.1.2 (file stores, but not funding), or upstream's documentation.
OPTION_SINCE = {
    "admin_api_key": (4, 1, 0),
    "admin_api_key_hash": (4, 1, 0),
    "blob_file_store_urls": (4, 1, 0),
    "tx_file_store_urls": (4, 1, 0),
    "dry_run": (2, 1, 11),
    "l1_debug_urls": (2, 1, 9),
    "funding_amount": (5, 0, 0),
    "funding_threshold": (5, 0, 0),
    "proof_store": (4, 0, 0),
}

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(-[0-9A-Za-z][0-9A-Za-z.-]*)?\Z")


def parse_version(version: object) -> tuple[int, int, int]:
    """Return the three numbers of a version such as 2.1.5, v4.1.2 or 5.2.0-rc.1.

    Raise ValueError if the version is empty, `latest`, or has another form.
    """
    if not isinstance(version, str):
        raise ValueError('the version is not a string: put it in quotes, such as "6.0.0"')
    if not version.strip():
        raise ValueError('the version is empty: set one, such as "6.0.0"')
    if version.strip() == "latest":
        raise ValueError('the version is "latest", which is not a version: set one, such as "6.0.0"')
    match = _VERSION.match(version)
    if not match:
        raise ValueError('the version is not of the form 1.2.3: set a complete one, such as "6.0.0"')
    major, minor, patch = (int(number) for number in match.groups()[:3])
    return major, minor, patch


def release_of(version: object, line: object = "") -> Release:
    """Return the release line of a version.

    line: the release line that applies to a version of an unknown line (aztec_release_line), or empty.
    Raise ValueError if the version is malformed, if its line is unknown and `line` is empty, or if `line` is unknown or
    contradicts the version.
    """
    major, minor, _patch = parse_version(version)
    own = RELEASES.get(f"{major}.{minor}") or RELEASES.get(str(major))
    given = str(line or "")
    if given and given not in RELEASES:
        raise ValueError(f"the release line {given!r} is not known: choose one of {', '.join(RELEASES)}")
    if own is None and not given:
        known = ", ".join(f"{name}.x" for name in RELEASES)
        raise ValueError(
            f"the release line {major}.{minor} is not known: choose a version of {known}, or set "
            "aztec_release_line to the line whose settings apply"
        )
    if own is not None and given not in ("", own.line):
        wrong = f"the version {version} belongs to the release line {own.line}, not {given}"
        raise ValueError(f"{wrong}: remove aztec_release_line")
    return own or RELEASES[given]


def jobs_query(release: Release, admin_key: str) -> dict:
    """Return how a node is queried for its jobs, as module_utils/host/node_jobs.py describes it.

    admin_key: the key of its admin API, '' for none.
    """
    method = release.rpc["admin_jobs"]
    return {
        "jobs": method or release.rpc["epoch_jobs"],
        "admin": bool(method),
        "admin_key": admin_key if method else "",
    }


def networks_of(version: object, line: object = "") -> tuple[str, ...]:
    """Return the network names that a version accepts, with vN-devnet-N last if it accepts numbered devnets."""
    release = release_of(version, line)
    since = release.numbered_devnets_since
    numbered = since is not None and parse_version(version)[:2] >= since
    return (*release.networks, NUMBERED_DEVNET) if numbered else release.networks


def accepts_network(networks: tuple[str, ...], name: object) -> bool:
    """Return whether networks, from networks_of, include a name."""
    if name == NUMBERED_DEVNET:
        return False
    numbered = NUMBERED_DEVNET in networks and _NUMBERED_DEVNET.fullmatch(str(name)) is not None
    return numbered or name in networks
