# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one place where Aztec's release lines differ. No other file of the collection asks for a version's number.

Each entry cites its source: source code that was read, a program that was run, or documentation. 4.1.2 is the newest
release that can be installed without Aztec's container registry, and the only one that was run. Entries for 5 and 6
come from source and documentation.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace

COMPONENTS = ("prover_node", "prover_broker", "prover_agent")

ENTRYPOINT = ("node", "--no-warnings", "/usr/src/yarn-project/aztec/dest/bin/index.js", "start")

# In a list of networks, the name for v1-devnet-1 and the like, with any numbers.
NUMBERED_DEVNET = "vN-devnet-N"
_NUMBERED_DEVNET = re.compile(r"v[0-9]+-devnet-[0-9]+")


# No published figure is known, and the registry's was not measured: an estimate for every line. Of its parts, npm's
# packages of 4.1.2 are 1.0 GB (measured); the Dockerfile of release-image adds Ubuntu, Node.js, Foundry, bb and nargo.
# 3 GB unpacked, and 1 GB of compressed layers, which containerd keeps and other image stores need while they pull.
_IMAGE_GB = 4.0

# Upstream's release-image/bootstrap.sh: each tag is a manifest list of -amd64 and -arm64, for both images.
_ARCHITECTURES = ("amd64", "arm64")

# Upstream's barretenberg/cpp/cmake/arch.cmake: on x86 programs are compiled with -march=skylake. On a processor without
# these features they end with an illegal instruction: upstream's issues 16365 and 24074 (Haswell, which has no ADX; the
# first is a node). A virtual machine with a generic processor type does not show them either.
_SKYLAKE_FLAGS = ("adx", "avx2", "bmi2")

# "Minimum Requirements" of every edition of the guide, for each component.
_SINCE_2015 = "a processor released in 2015 or later"


@dataclass(frozen=True)
class Needs:
    """The minimum hardware of one component, or of one agent. None: the guide names no figure.

    memory_gb and disk_gb are in 10^9 bytes, link_mbps in 10^6 bits per second. cpu_flags are the features of an x86
    processor, by their names in /proc/cpuinfo, that the programs are compiled for; cpu is what the guide asks for.
    """

    cores: int
    vcpus: int
    memory_gb: int
    disk_gb: int
    disk_kind: str
    link_mbps: int | None = None
    cpu: str = _SINCE_2015
    cpu_flags: tuple = _SKYLAKE_FLAGS


@dataclass(frozen=True)
class CrsFile:
    """A file of the CRS: its name, and the least size in bytes with which the program takes it as whole.

    pattern: shell pattern of the names under which the program also accepts it. required: the program needs the file.
    """

    name: str
    least_bytes: int
    pattern: str = ""
    required: bool = True


@dataclass(frozen=True)
class Release:
    """A release line: how its components are configured and started, what they need, and how they are asked.

    image: the default image; crs_image: the image of agents that contains the CRS, empty where the line has none.
    image_gb: what pulling the default image takes on a disk, in 10^9 bytes; the CRS comes on top in crs_image.
    architectures: those that the images are published for, as Docker names them.
    start_flags, environment, stop_grace_period and needs go by component; rpc maps a question to its JSON-RPC method.
    networks: the names that --network accepts; numbered_devnets_since: (major, minor) from which vN-devnet-N is one of
    them, None for never. renamed_environment: names that the line does not read, each with the name that it reads.
    standby: whether node and broker wait, and answer only /status, while the rollup is not theirs. rollup_slots maps a
    header of /status to the slot in the rollup's storage that has the same value, empty where the layout is not known.
    debug_hosts_required: a node needs an L1 client that traces transactions. balance_required: a node starts no proof
    while none of its publishers can pay for the submission.
    Of GET /status only the code is read, 200 in every line: the body is OK in 2.1 and 4, and JSON from 5.2.
    """

    line: str
    image: str
    start_flags: dict
    environment: dict
    rpc: dict
    networks: tuple
    needs: dict
    crs_files: tuple
    stop_grace_period: dict
    renamed_environment: dict
    crs_image: str = ""
    image_gb: float = _IMAGE_GB
    architectures: tuple = _ARCHITECTURES
    standby: bool = True
    rollup_slots: dict = field(default_factory=dict)
    numbered_devnets_since: tuple | None = None
    checks_consensus_environment: bool = False
    debug_hosts_required: bool = False
    balance_required: bool = False
    entrypoint: tuple = field(default=ENTRYPOINT)

    def as_dict(self) -> dict:
        """Return the release as plain dicts and lists, as templates need it."""
        plain = asdict(self)
        lists = ("entrypoint", "networks", "crs_files", "architectures")
        return {**plain, **{name: list(plain[name]) for name in lists}}


# Agents' methods have the same names in every line (5 and 6: read in source, not run).
_COMMON_RPC = {"agent_status": "agent_getStatus"}

# From 4 on the default is 1mb, which makes epochs fail with entity.too.large; 2.1 has 50mb fixed.
_BODY_SIZE = {"RPC_MAX_BODY_SIZE": "50mb"}

# A pinned image that ends itself when a newer one is published only restarts in a loop (exit 78 and 79). 2.1 does so on
# testnet, 5 and 6 with ENABLE_AUTO_SHUTDOWN; 4 only warns about a newer version (ENABLE_VERSION_CHECK).
_NO_UPDATE = {"AUTO_UPDATE": "disabled"}
_NO_SHUTDOWN = {"ENABLE_AUTO_SHUTDOWN": "false"}

# Up to 5 Docker Hub's organization is aztecprotocol, from 6 azteclabs (upstream's changelog of v6). The image with the
# CRS has the same tag and sets CRS_PATH itself (release-image/Dockerfile.prover-agent).
_OLD_IMAGES = {"image": "aztecprotocol/aztec", "crs_image": "aztecprotocol/aztec-prover-agent"}
_NEW_IMAGES = {"image": "azteclabs/aztec", "crs_image": "azteclabs/aztec-prover-agent"}

_START_FLAGS = {
    "prover_node": ["--prover-node"],
    "prover_broker": ["--prover-broker"],
    "prover_agent": ["--prover-agent"],
}

# "Running a Prover" of 2.1.5.
_GUIDE = {
    "prover_node": Needs(cores=2, vcpus=4, memory_gb=16, disk_gb=1000, disk_kind="nvme", link_mbps=25),
    "prover_broker": Needs(cores=2, vcpus=4, memory_gb=16, disk_gb=10, disk_kind="ssd"),
    "prover_agent": Needs(cores=32, vcpus=64, memory_gb=128, disk_gb=10, disk_kind="ssd"),
}

# "Running a Prover" of 4.0.3, the same in "Prover overview" of 5.2. The page of 2.1.11 has these figures too: the line
# 2.1 keeps those of 2.1.5, the guide that this collection follows there.
_LATER = {
    "prover_node": Needs(cores=16, vcpus=32, memory_gb=16, disk_gb=1000, disk_kind="nvme", link_mbps=25),
    "prover_broker": Needs(cores=8, vcpus=16, memory_gb=16, disk_gb=10, disk_kind="ssd"),
    "prover_agent": _GUIDE["prover_agent"],
}

# The hardware page of 5.2 and 6.0 adds "Skylake or newer" for agents.
_SKYLAKE = {**_LATER, "prover_agent": replace(_LATER["prover_agent"], cpu="Skylake or newer")}

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
# Sources newer than 5.0.0 contain the point of G2 and do not download it: a directory without it may be whole.
_CRS_SIX = tuple(
    CrsFile(file.name, file.least_bytes, file.pattern, required=file.name != "bn254_g2.dat") for file in _CRS_FIVE
)

# An agent takes 31 s to end while its broker is away (4.1.2, run).
_GRACE = dict.fromkeys(COMPONENTS, "60s")

# 6 executes circuits with noir-execute. Upstream's changelog of v6: there is no fallback to the old names.
_RENAMED = {
    "ACVM_BINARY_PATH": "NOIR_EXECUTE_BINARY_PATH",
    "ACVM_WORKING_DIRECTORY": "NOIR_EXECUTE_WORKING_DIRECTORY",
}
_NOT_YET_RENAMED = {new: old for old, new in _RENAMED.items()}

# foundation/src/config/network_name.ts of 5 and 6.
_NETWORKS_FIVE = ("testnet", "mainnet", "staging", "next-net", "devnet")

# keccak256("aztec.stf.storage") + 3 and + 4 (ethereum/src/contracts/rollup.ts of 4.1.2). Newer rollups may lay their
# storage out in another way: the source of 6 asks getVkTreeRoot() and getProtocolContractsHash() in its place.
_ROLLUP_SLOTS = {
    "x-aztec-l2circuitsvktreeroot": "0x958201b72d64259285941dffd868dac55267471fcc73e8a06e1fd9cf8706364",
    "x-aztec-l2protocolcontractshash": "0x958201b72d64259285941dffd868dac55267471fcc73e8a06e1fd9cf8706365",
}

RELEASES = {
    "2.1": Release(
        line="2.1",
        image=_OLD_IMAGES["image"],
        # --archiver does nothing in 2.1 (the first of the flags decides the mode); Aztec's guide has it.
        start_flags={**_START_FLAGS, "prover_node": ["--prover-node", "--archiver"]},
        environment=dict.fromkeys(COMPONENTS, _NO_UPDATE),
        rpc={**_COMMON_RPC, "l2_tips": "proverNode_getL2Tips"},
        networks=("testnet", "mainnet", "staging-public", "staging-ignition"),
        needs=_GUIDE,
        crs_files=_CRS_FOUR,
        stop_grace_period=_GRACE,
        renamed_environment=_NOT_YET_RENAMED,
        # It ends with an error where the rollup is not its own.
        standby=False,
    ),
    "4": Release(
        line="4",
        **_OLD_IMAGES,
        # 4.1.2 still takes --archiver, 4.3 is not known to: --prover-node alone starts the node.
        start_flags=_START_FLAGS,
        environment={"prover_node": {}, "prover_broker": _BODY_SIZE, "prover_agent": {}},
        rpc={**_COMMON_RPC, "l2_tips": "node_getL2Tips"},
        networks=("testnet", "mainnet", "staging-public", "staging-ignition", "next-net", "devnet"),
        numbered_devnets_since=(4, 2),
        needs=_LATER,
        crs_files=_CRS_FOUR,
        stop_grace_period=_GRACE,
        renamed_environment=_NOT_YET_RENAMED,
        rollup_slots=_ROLLUP_SLOTS,
    ),
    "5": Release(
        line="5",
        **_OLD_IMAGES,
        # --archiver is an unknown option from 5 on, which ends the process with exit code 1.
        start_flags=_START_FLAGS,
        environment={
            "prover_node": _NO_SHUTDOWN,
            "prover_broker": {**_BODY_SIZE, **_NO_SHUTDOWN},
            "prover_agent": _NO_SHUTDOWN,
        },
        # From 5 on getChainTips, of the same shape, is in the place of getL2Tips (upstream's migration notes).
        rpc={**_COMMON_RPC, "l2_tips": "aztec_getChainTips"},
        networks=_NETWORKS_FIVE,
        numbered_devnets_since=(5, 0),
        needs=_SKYLAKE,
        crs_files=_CRS_FIVE,
        stop_grace_period=_GRACE,
        renamed_environment=_NOT_YET_RENAMED,
        checks_consensus_environment=True,
    ),
}
# What differs from 5.
RELEASES["6"] = replace(
    RELEASES["5"],
    line="6",
    **_NEW_IMAGES,
    numbered_devnets_since=(6, 0),
    crs_files=_CRS_SIX,
    # Upstream's chart gives agents of 6 300 s in place of 180 s.
    stop_grace_period={**_GRACE, "prover_agent": "300s"},
    renamed_environment=_RENAMED,
    # Upstream's release notes of v6.0.0: ETHEREUM_ALLOW_NO_DEBUG_HOSTS is false by default.
    debug_hosts_required=True,
    # Upstream's changelog of v6, "Publishers must afford the L1 transaction before work starts".
    balance_required=True,
)

# The environment whose values every program of a network shares: NETWORK_CONSENSUS_ENV_VARS of upstream's
# stdlib/src/config/network-consensus-config.ts. From 5 on a program ends at its start where one differs from the
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

# First version that reads an option of the roles, by the option's name without its component. Seen in 4.1.2's source
# (file stores, funding not yet), or documented by upstream.
OPTION_SINCE = {
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

    Raise ValueError with one line for an empty version, `latest`, or one of another form.
    """
    if not isinstance(version, str):
        raise ValueError('the version is not a text: put it in quotes, such as "6.0.0"')
    if not version.strip():
        raise ValueError('the version is empty: name one, such as "6.0.0"')
    if version.strip() == "latest":
        raise ValueError('the version is "latest", which names no version: name one, such as "6.0.0"')
    match = _VERSION.match(version)
    if not match:
        raise ValueError('the version is not of the form 1.2.3: name a whole one, such as "6.0.0"')
    major, minor, patch = (int(number) for number in match.groups()[:3])
    return major, minor, patch


def release_of(version: object, line: object = "") -> Release:
    """Return the release line of a version.

    line: the known line whose settings a version of an unknown line is given (aztec_release_line), or empty.
    Raise ValueError with one line where the version is malformed, where its line is unknown and no line is given, and
    where a line is given that is unknown or contradicts the version.
    """
    major, minor, _patch = parse_version(version)
    own = RELEASES.get(f"{major}.{minor}") or RELEASES.get(str(major))
    given = str(line or "")
    if given and given not in RELEASES:
        raise ValueError(f"the release line {given!r} is not known: choose one of {', '.join(RELEASES)}")
    if own is None and not given:
        known = ", ".join(f"{name}.x" for name in RELEASES)
        raise ValueError(
            f"the release line {major}.{minor} is not known: choose a version of {known}, or name in "
            "aztec_release_line the line whose settings it takes"
        )
    if own is not None and given not in ("", own.line):
        raise ValueError(f"the version {version} is of the line {own.line}, not {given}: remove aztec_release_line")
    return own or RELEASES[given]


def networks_of(version: object, line: object = "") -> tuple[str, ...]:
    """Return the network names that a version accepts, vN-devnet-N last where it accepts numbered devnets."""
    release = release_of(version, line)
    since = release.numbered_devnets_since
    numbered = since is not None and parse_version(version)[:2] >= since
    return (*release.networks, NUMBERED_DEVNET) if numbered else release.networks


def accepts_network(networks: tuple[str, ...], name: object) -> bool:
    """Return whether a network's name is among the names that networks_of returns."""
    if name == NUMBERED_DEVNET:
        return False
    numbered = NUMBERED_DEVNET in networks and _NUMBERED_DEVNET.fullmatch(str(name)) is not None
    return numbered or name in networks
