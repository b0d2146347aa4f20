"""Send ETH of the lab's L1 to an account, in a normal transaction."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

from eth_account import Account
from eth_utils import is_checksum_formatted_address, to_checksum_address

from lab.fleet.l1 import rpc
from lab.fleet.progress import say, step
from lab.fleet.settings import LabError, Settings

# Account 9 of anvil's public test mnemonic: funded, unlocked, and not used otherwise in the lab
FUNDED_ACCOUNT = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"
ETHER = Decimal(10) ** 18
# The new key of a rotation that waits for its ETH, then the publisher's own
NAMES = ("prover_node_next_publisher_private_key", "prover_node_publisher_private_key")


def checked(text: str) -> str:
    """Return an address with its checksum. Raise LabError if it is not an address or if its capitals are wrong."""
    try:
        address = to_checksum_address(text)
    except ValueError:
        raise LabError("this is not an address: give 0x and 40 hex digits") from None
    if is_checksum_formatted_address(text) and text != address:
        raise LabError("the address's capitals do not match its checksum: copy it again")
    return str(address)


def address_in(inventory: Path, arguments: list[str]) -> str:
    """Return the address of the publisher's key in an inventory, or of its next key during a rotation."""
    command = [str(Path(sys.executable).with_name("ansible-inventory")), "-i", str(inventory), "--list", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"ansible-inventory ended with {done.returncode}; see the output above")
    found = json.loads(done.stdout)
    for host in found.get("prover_node", {}).get("hosts", []):
        for name in NAMES:
            key = found["_meta"]["hostvars"].get(host, {}).get(name)
            if key:
                return str(Account.from_key(key).address)
    raise LabError(f"{inventory} has no publisher's key: run aztec_ops.prover.keys first, or name the address")


def fund(found: Settings, address: str, ether: Decimal, seconds: float = 60) -> str:
    """Send ETH to an address and wait for the receipt; return the transaction's hash."""
    value = hex(int(ether * ETHER))
    sent = str(rpc(found.l1_url, "eth_sendTransaction", {"from": FUNDED_ACCOUNT, "to": address, "value": value}))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        receipt = rpc(found.l1_url, "eth_getTransactionReceipt", sent)
        if receipt is not None:
            if int(receipt["status"], 16) != 1:
                raise LabError(f"the L1 refused the transaction {sent}")
            return sent
        time.sleep(0.5)
    raise LabError(f"no block contains the transaction {sent} in {seconds:.0f} s; see `docker logs aztec-lab-l1`")


def preflight(found: Settings, inventory: Path, arguments: list[str]) -> None:
    """Run the preflight, which shows the balance."""
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), "playbooks/preflight.yml", "-i", str(inventory), *arguments]
    with step("ansible-playbook playbooks/preflight.yml"):
        done = subprocess.run(command, cwd=found.root, check=False)
        if done.returncode != 0:
            raise LabError(f"preflight.yml ended with {done.returncode}; see the output above")


def fund_and_show(found: Settings, address: str, inventory: Path, ether: Decimal, arguments: list[str]) -> None:
    """Run lab/fund: send the ETH and show the balance."""
    address = checked(address) if address else address_in(inventory, arguments)
    with step(f"sending {ether} ETH to {address}"):
        try:
            sent = fund(found, address, ether)
        except OSError as error:
            raise LabError(f"the lab's L1 at {found.l1_url} does not answer ({error}): run lab/up") from None
        say(f"transaction {sent}")
    preflight(found, inventory, arguments)
