# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one place where Aztec's release lines differ. Nothing else in the collection asks for a version's number.

Where a line's behaviour was read in Aztec's source or seen running, the comment says so; where it is not known, the
comment says that, and what stands here is the choice that works in either case.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field

COMPONENTS = ("prover_node", "prover_broker", "prover_agent")

ENTRYPOINT = ("node", "--no-warnings", "/usr/src/yarn-project/aztec/dest/bin/index.js", "start")


@dataclass(frozen=True)
class Release:
    """A release line: what a component of that line is started with and how it is asked.

    start_flags and environment go by component; rpc gives the JSON-RPC method for each thing that is asked; crs_image
    is the image of agents that carries the CRS, where the line has one. Of GET /status the code alone is read, 200 in
    every line: the body is OK in 2.1 and 4, and JSON in 5.2. debug_hosts_required: an L1 client that traces is needed.
    balance_required: a node starts no proof while none of its publishers can pay for the submission.
    """

    line: str
    start_flags: dict
    environment: dict
    rpc: dict
    networks: tuple
    crs_image: str = ""
    debug_hosts_required: bool = False
    balance_required: bool = False
    entrypoint: tuple = field(default=ENTRYPOINT)

    def as_dict(self) -> dict:
        """Give the release as plain dicts and lists, as templates want it."""
        plain = asdict(self)
        return {**plain, "entrypoint": list(self.entrypoint), "networks": list(self.networks)}


# Agents' methods have the same names in every line (those of 5 were not seen running).
_COMMON_RPC = {"agent_status": "agent_getStatus"}

# 4 and 5 take 1mb by default, which makes epochs fail with entity.too.large; 2.1 has 50mb fixed.
_BODY_SIZE = {"RPC_MAX_BODY_SIZE": "50mb"}

# A pinned image that ends itself when a newer one is out only restarts for ever (exit 78 and 79). 2.1 does so on
# testnet, 5 where it is told to; 4 only warns of a newer version (ENABLE_VERSION_CHECK) and needs no telling.
_NO_UPDATE = {"AUTO_UPDATE": "disabled"}
_NO_SHUTDOWN = {"ENABLE_AUTO_SHUTDOWN": "false"}

# aztecprotocol/aztec of the same tag and the CRS at a CRS_PATH of its own (release-image/Dockerfile.prover-agent).
_CRS_IMAGE = "aztecprotocol/aztec-prover-agent"

RELEASES = {
    "2.1": Release(
        line="2.1",
        # --archiver does nothing in 2.1 (the first of the flags decides the mode); it stands in Aztec's guide.
        start_flags={
            "prover_node": ["--prover-node", "--archiver"],
            "prover_broker": ["--prover-broker"],
            "prover_agent": ["--prover-agent"],
        },
        environment={"prover_node": _NO_UPDATE, "prover_broker": _NO_UPDATE, "prover_agent": _NO_UPDATE},
        rpc={**_COMMON_RPC, "l2_tips": "proverNode_getL2Tips"},
        networks=("testnet", "mainnet", "staging-public", "staging-ignition"),
    ),
    "4": Release(
        line="4",
        # 4.1.2 still takes --archiver, 4.3 is not known to: it is left out, --prover-node alone starts the node.
        start_flags={
            "prover_node": ["--prover-node"],
            "prover_broker": ["--prover-broker"],
            "prover_agent": ["--prover-agent"],
        },
        environment={"prover_node": {}, "prover_broker": _BODY_SIZE, "prover_agent": {}},
        rpc={**_COMMON_RPC, "l2_tips": "node_getL2Tips"},
        networks=("testnet", "mainnet", "staging-public", "staging-ignition", "next-net", "devnet"),
        crs_image=_CRS_IMAGE,
    ),
    "5": Release(
        line="5",
        # --archiver is an unknown option here, which ends the process with exit 1.
        start_flags={
            "prover_node": ["--prover-node"],
            "prover_broker": ["--prover-broker"],
            "prover_agent": ["--prover-agent"],
        },
        environment={
            "prover_node": _NO_SHUTDOWN,
            "prover_broker": {**_BODY_SIZE, **_NO_SHUTDOWN},
            "prover_agent": _NO_SHUTDOWN,
        },
        rpc={
            **_COMMON_RPC,
            # The namespace node_ lives on as an alias of aztec_ in 5 and is to go afterwards.
            "l2_tips": "aztec_getL2Tips",
        },
        # The names of 5 were not read in its source: those of 4.
        networks=("testnet", "mainnet", "staging-public", "staging-ignition", "next-net", "devnet"),
        crs_image=_CRS_IMAGE,
    ),
}

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(-[0-9A-Za-z][0-9A-Za-z.-]*)?\Z")


def release_of(version: str) -> Release:
    """Give the release line of a version such as 2.1.5, v4.1.2 or 5.2.0-rc.1.

    Raises ValueError with one line for an empty version, `latest`, or a line that the collection does not know.
    """
    known = ", ".join(f"{line}.x" for line in RELEASES)
    if not isinstance(version, str):
        raise ValueError('the version is not a text: put it in quotes, such as "2.1.5"')
    if not version.strip():
        raise ValueError('the version is empty: name one, such as "2.1.5"')
    if version.strip() == "latest":
        raise ValueError('the version is "latest", which names no version: name one, such as "2.1.5"')
    match = _VERSION.match(version)
    if not match:
        raise ValueError('the version is not of the form 1.2.3: name a whole one, such as "2.1.5"')
    major, minor = match.group(1), match.group(2)
    release = RELEASES.get(f"{major}.{minor}") or RELEASES.get(major)
    if release is None:
        raise ValueError(f"the release line {major}.{minor} is not supported: choose a version of {known}")
    return release
