"""With each source of the publishers' keys, the L1 accepts a proof of one of them, for the reward address."""

from __future__ import annotations

import ipaddress
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account import Account

from lab.fleet import proof
from lab.fleet.l1 import rpc
from lab.fleet.settings import L1_PARAMETERS
from tests.system.fleet import ROOT, Fleet, playbook, wait_for

NODE, SERVICE = "node-1", "prover-node"
WITHIN = 300
# Anvil's accounts: public keys, with funds only on the lab's L1.
MNEMONIC = "test test test test test test test test test test test junk"


def account(number: int) -> Account:
    """Return one of anvil's accounts."""
    Account.enable_unaudited_hdwallet_features()
    return Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{number}")


def digits(number: int) -> str:
    """Return an account's key as hex digits."""
    return account(number).key.hex().removeprefix("0x")


# Each source has its own publishers and reward address, so that a proof identifies its source.
PUBLISHERS = {"keystore": (3, 4), "env": (5, 6), "web3signer": (7, 8)}
REWARDS = {source: f"0x{number:040x}" for number, source in enumerate(PUBLISHERS, 0xAA00)}


@pytest.fixture(name="signer", scope="module")
def fixture_signer(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Return a signer that has the keys of its publishers, at an address that the hosts reach: its URL and its log."""
    folder = tmp_path_factory.mktemp("signer")
    for number in PUBLISHERS["web3signer"]:
        text = f'type: file-raw\nkeyType: SECP256K1\nprivateKey: "0x{digits(number)}"\n'
        (folder / f"{number}.yaml").write_text(text, encoding="utf-8")
    address, log = str(ipaddress.ip_network(fleet.settings.ipv4_network)[1]), folder / "log"
    words = ["--http-listen-host", address, "--http-listen-port", "0", "--key-store-path", str(folder)]
    words += ["--chain-id", str(L1_PARAMETERS["chainId"])]
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen([sys.executable, "-m", "lab.signer", *words], cwd=ROOT, stdout=output)
    port = wait_for("the signer", lambda: re.search(r"at port (\d+)", log.read_text(encoding="utf-8")), 30, 0.2)
    yield f"http://{address}:{port.group(1)}", log
    process.terminate()
    process.wait()


@pytest.fixture(autouse=True, scope="module")
def fixture_as_it_was() -> Iterator[None]:
    """Restore the node with the settings of the inventory."""
    yield
    run = playbook("playbooks/site.yml")
    assert run.returncode == 0, run.stdout


def variables(source: str, url: str) -> dict:
    """Return the variables of a source, without the inventory's key if the source does not use it."""
    numbers = PUBLISHERS[source]
    values = {"prover_node_key_source": source, "prover_node_prover_id": REWARDS[source]}
    values["prover_node_publisher_private_key"] = ""
    if source == "web3signer":
        addresses = [account(number).address for number in numbers]
        return {**values, "prover_node_web3signer_url": url, "prover_node_publisher_addresses": addresses}
    return {**values, "prover_node_publisher_private_keys": [f"0x{digits(number)}" for number in numbers]}


def apply(folder: Path, values: dict, path: str = "playbooks/site.yml") -> subprocess.CompletedProcess[str]:
    """Run a playbook with these variables, which are in a file and not in a process's arguments."""
    (folder / "given.json").write_text(json.dumps(values), encoding="utf-8")
    return playbook(path, "-e", f"@{folder / 'given.json'}")


def test_a_signer_without_a_key_stops_the_run(fleet: Fleet, tmp_path: Path, signer: tuple[str, Path]) -> None:
    """site.yml reports the address that the signer does not know, and the node does not change."""
    values = variables("web3signer", signer[0])
    values["prover_node_publisher_addresses"].append(account(9).address)
    before = fleet.container(NODE, SERVICE)["Id"]
    run = apply(tmp_path, values)
    assert run.returncode == 2, run.stdout
    line = f"the signer ({signer[0]}) does not have the key of the publisher {account(9).address}"
    assert "1 problem on the hosts, in the table above; nothing was changed." in run.stdout, run.stdout
    assert line in run.stdout
    assert re.search(r"signer +http://\S+ .* 2 of 3 accounts .* FAILED", run.stdout), run.stdout
    assert fleet.container(NODE, SERVICE)["Id"] == before


@pytest.mark.parametrize("source", PUBLISHERS)
def test_a_proof_is_accepted(source: str, fleet: Fleet, tmp_path: Path, signer: tuple[str, Path]) -> None:
    """The accepted proof was sent by one of the source's publishers, and names the reward address."""
    run = apply(tmp_path, variables(source, signer[0]))
    assert run.returncode == 0, run.stdout
    beyond, block = proof.proven_checkpoint(fleet.settings), proof.block_number(fleet.settings)
    found = proof.wait_for_proof(fleet.settings, beyond, block, WITHIN)
    sender = rpc(fleet.settings.l1_url, "eth_getTransactionByHash", found.transaction)["from"]
    publishers = [account(number).address.lower() for number in PUBLISHERS[source]]
    assert sender in publishers
    assert found.prover == REWARDS[source]
    output = signer[1].read_text(encoding="utf-8")
    assert (f"eth_signTransaction {sender} ok" in output) == (source == "web3signer")
    # The node uses all of them, not only the one that sent the proof.
    log = fleet.log(NODE, SERVICE, "10m").lower()
    assert f"publishers {','.join(publishers)}" in log


def test_with_a_signer_no_key_is_on_the_host(fleet: Fleet) -> None:
    """Neither the signer's keys nor previous keys are in a file or in the container's settings."""
    keys = [digits(number) for numbers in PUBLISHERS.values() for number in numbers]
    shown = json.dumps(fleet.container(NODE, SERVICE))
    assert fleet.environment(NODE, SERVICE)["PROVER_ID"].lower() == REWARDS["web3signer"]
    assert [key for key in keys if key in shown.lower()] == []
    places = "/opt/aztec /var/lib/docker/containers /tmp /root /home /var/tmp"
    found = fleet.execute(NODE, f"grep -rilF {' '.join(f'-e {key}' for key in keys)} {places}", check=False)
    assert (found.code, found.out) == (1, ""), found
    # The search works: it finds the address in the key store.
    address = account(PUBLISHERS["web3signer"][0]).address
    found = fleet.execute(NODE, f"grep -rlF -e {address} /opt/aztec/prover-node/keys")
    assert found.out.split() == ["/opt/aztec/prover-node/keys/prover.json"]
