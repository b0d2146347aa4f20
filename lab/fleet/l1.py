"""The lab's L1 (anvil with Aztec's contracts, and a front with the consensus client's API) and its sequencer."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

import docker

from lab.fleet.network import find, serve
from lab.fleet.settings import L1_PARAMETERS, LabError, Settings

# Account 1 of anvil's public test mnemonic
SEQUENCER_KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
SEQUENCER_ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
ENTRYPOINT = ["node", "--no-warnings", "/usr/src/yarn-project/aztec/dest/bin/index.js", "start"]


def rpc(url: str, method: str, *params: Any, seconds: float = 10) -> Any:
    """Return the result of a JSON-RPC call. Raise OSError or LabError if the connection or the L1 fails."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        document = json.loads(answer.read())
    if "error" in document:
        raise LabError(f"{url}: {method}: {document['error']}")
    return document["result"]


def start_l1(client: docker.DockerClient, settings: Settings, image: str) -> None:
    """Start the L1 and wait until it makes blocks."""
    command = ["python3", "/opt/l1/front.py"]
    serve(client, "l1", image, settings.l1_address, settings.l1_address6, Cmd=command, host={"Init": True})
    deadline = time.monotonic() + 60
    while True:
        try:
            if int(rpc(settings.l1_url, "eth_blockNumber"), 16) > 0:
                return
            output = "no block yet"
        except (OSError, LabError) as error:
            output = str(error)
        if time.monotonic() > deadline:
            raise LabError(f"the lab's L1 does not respond ({output}); see `docker logs aztec-lab-l1`")
        time.sleep(0.3)


def sequencer_environment(settings: Settings) -> dict[str, str]:
    return {
        "NODE_BACKEND": "js",
        "LOG_LEVEL": "info",
        "PROVER_REAL_PROOFS": "false",
        "AZTEC_DISABLE_ADMIN_API_KEY": "true",
        "P2P_ENABLED": "false",
        "SEQ_MIN_TX_PER_BLOCK": "0",
        "SEQ_ENFORCE_TIME_TABLE": "false",
        "VALIDATOR_PRIVATE_KEY": SEQUENCER_KEY,
        "SEQ_PUBLISHER_PRIVATE_KEY": SEQUENCER_KEY,
        "COINBASE": SEQUENCER_ADDRESS,
        "L1_CHAIN_ID": str(L1_PARAMETERS["chainId"]),
        "REGISTRY_CONTRACT_ADDRESS": L1_PARAMETERS["registryAddress"],
        "ETHEREUM_HOSTS": settings.l1_url,
        "L1_CONSENSUS_HOST_URLS": settings.l1_url,
        "ETHEREUM_SLOT_DURATION": str(L1_PARAMETERS["ethereumSlotDuration"]),
        "AZTEC_SLOT_DURATION": str(L1_PARAMETERS["aztecSlotDuration"]),
        "AZTEC_EPOCH_DURATION": str(L1_PARAMETERS["aztecEpochDuration"]),
        "AZTEC_PROOF_SUBMISSION_EPOCHS": str(L1_PARAMETERS["proofSubmissionEpochs"]),
        "AZTEC_TARGET_COMMITTEE_SIZE": str(L1_PARAMETERS["targetCommitteeSize"]),
        "DATA_DIRECTORY": "/var/lib/data",
    }


def start_sequencer(client: docker.DockerClient, settings: Settings, image: str) -> None:
    """Start the program that makes (empty) L2 blocks, without waiting for it. It starts again with another L1."""
    chain = find(client, "l1")
    if chain is None:
        raise LabError("the sequencer needs the lab's L1; run lab/up --machines")
    environment = {**sequencer_environment(settings), "LAB_CHAIN": chain.attrs["State"]["StartedAt"]}
    serve(
        client,
        "sequencer",
        image,
        settings.sequencer_address,
        Entrypoint=[*ENTRYPOINT, "--node", "--archiver", "--sequencer"],
        Cmd=[],
        Env=[f"{name}={value}" for name, value in environment.items()],
        Volumes={"/var/lib/data": {}},
        host={"Init": True, "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 5}},
    )
