# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An anvil with the lab's L1 and Aztec's contracts, on which epochs bring rewards without proofs."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards.contracts import Function
from eth_abi import encode
from eth_utils import keccak

from lab.l1.front import PARAMETERS

ROOT = Path(__file__).resolve().parents[2]
REGISTRY, ROLLUP = PARAMETERS["registryAddress"], PARAMETERS["rollupAddress"]
# The storage of a rollup (l1-contracts of 4.1.2).
STATE = int.from_bytes(keccak(text="aztec.stf.storage"), "big")
TIMES = int.from_bytes(keccak(text="aztec.time.storage"), "big")
REWARDS = int.from_bytes(keccak(text="aztec.reward.storage"), "big")
# The places of an epoch's checkpoints in STATE, and of a checkpoint's slot in its log.
LOGS, SLOT = 2, 5
VERSION = STATE + 5
# The place of the balances in the token.
BALANCES = 0
SHARES, ALL_SHARES = 25, 100


def address() -> str:
    """Return a name of this machine that is not localhost, which the inventory's validation refuses."""
    return socket.gethostname()


def slot_of(kind: str, key: object, slot: int) -> int:
    """Return the slot of a mapping's value."""
    return int.from_bytes(keccak(encode([kind, "uint256"], [key, slot])), "big")


class Chain:
    """An anvil. Time moves only by its methods and by transactions."""

    def __init__(self, folder: Path) -> None:
        host = socket.gethostbyname(address())
        with socket.create_server((host, 0)) as taken:
            port = taken.getsockname()[1]
        state = folder / "state.json"
        with gzip.open(ROOT / "lab/l1/state.json.gz") as packed, state.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
        options = ["--load-state", str(state), "--chain-id", str(PARAMETERS["chainId"])]
        command = [os.environ["ANVIL"], "--silent", "--host", host, "--port", str(port), *options]
        self.storage = json.loads(state.read_text())["accounts"][ROLLUP]["storage"]
        self.url = f"http://{address()}:{port}"
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while True:
            try:
                self.rpc("eth_chainId")
                return
            except OSError:
                assert time.monotonic() < end, "anvil does not serve"
                time.sleep(0.1)

    def end(self) -> None:
        """End the anvil."""
        self.process.terminate()
        self.process.wait()

    def rpc(self, method: str, *params):
        """Return the result of a JSON-RPC call."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
        request = urllib.request.Request(self.url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            found = json.loads(answer.read())
        assert "result" in found, found
        return found["result"]

    def value(self, signature: str, output: str, contract: str, *arguments):
        """Return the result of a contract's function."""
        function = Function(signature, output)
        return function.value({"result": self.rpc(*function.call(contract, *arguments))})

    def put(self, contract: str, slot: int, value: int) -> None:
        """Set a slot of a contract's storage."""
        self.rpc("anvil_setStorageAt", contract, f"0x{slot:064x}", f"0x{value:064x}")

    def as_owner(self, contract: str, signature: str, *arguments) -> None:
        """Send a transaction from a contract's owner."""
        owner = self.value("owner()", "address", contract)
        self.rpc("anvil_impersonateAccount", owner)
        self.rpc("anvil_setBalance", owner, hex(10**18))
        data = Function(signature, "").data(*arguments)
        sent = self.rpc("eth_sendTransaction", {"from": owner, "to": contract, "data": data, "gas": hex(900_000)})
        end = time.monotonic() + 10
        while not (receipt := self.rpc("eth_getTransactionReceipt", sent)):
            assert time.monotonic() < end
            time.sleep(0.05)
        assert receipt["status"] == "0x1"

    def token(self, rollup: str = ROLLUP) -> str:
        """Return the token of a rollup's rewards."""
        return self.value("getFeeAsset()", "address", rollup)

    def balance(self, owner: str) -> int:
        """Return an account's balance of the token."""
        return self.value("balanceOf(address)", "uint256", self.token(), owner)

    def fund(self, rollup: str, amount: int) -> None:
        """Set the balance of the token from which a rollup pays."""
        self.put(self.token(), slot_of("address", rollup, BALANCES), amount)
        assert self.balance(rollup) == amount

    def reward(self, prover: str, rewards: dict, rollup: str = ROLLUP) -> None:
        """Make epochs bring a prover rewards: epoch -> amount. The last one becomes the newest proven epoch."""
        for epoch, amount in rewards.items():
            place, length = slot_of("uint256", epoch, REWARDS + 1), 2
            self.put(rollup, place, (amount * ALL_SHARES // SHARES) << 128 | length)
            shares = slot_of("uint256", length, place + 1)
            self.put(rollup, shares, ALL_SHARES)
            self.put(rollup, slot_of("address", prover, shares + 1), SHARES)
        self.put(rollup, STATE, 1 << 128 | 1)
        slots = self.value("getEpochDuration()", "uint256", rollup)
        self.put(rollup, slot_of("uint256", 1, STATE + LOGS) + SLOT, max(rewards) * slots)

    def add_checkpoint(self, checkpoint: int, slot: int, rollup: str = ROLLUP) -> None:
        """Add a checkpoint to those that are not proven. The first one is proven."""
        self.put(rollup, STATE, checkpoint << 128 | 1)
        self.put(rollup, slot_of("uint256", checkpoint, STATE + LOGS) + SLOT, slot)

    def begin(self) -> None:
        """Make the newest block the begin of the rollup's epochs: the lab's state is older."""
        at = int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        name = f"0x{TIMES:064x}"
        self.storage[name] = hex(int(self.storage[name], 16) >> 128 << 128 | at)
        self.put(ROLLUP, TIMES, int(self.storage[name], 16))
        assert self.value("getGenesisTime()", "uint256", ROLLUP) == at

    def pass_deadline(self, epoch: int, rollup: str = ROLLUP) -> None:
        """Move the time to the first second in which an epoch can be claimed."""
        names = ("getProofSubmissionEpochs", "getGenesisTime", "getEpochDuration", "getSlotDuration")
        submission, genesis, slots, seconds = (self.value(f"{name}()", "uint256", rollup) for name in names)
        at = genesis + (epoch + submission + 1) * slots * seconds
        self.rpc("evm_setNextBlockTimestamp", at)
        self.rpc("anvil_mine", "0x1")

    def enable(self, rollup: str = ROLLUP) -> None:
        """Allow claims."""
        self.as_owner(rollup, "setRewardsClaimable(bool)", True)

    def add_rollup(self, rollup: str) -> None:
        """Copy the lab's rollup to an address, with another version, and make it canonical."""
        self.rpc("anvil_setCode", rollup, self.rpc("eth_getCode", ROLLUP, "latest"))
        for slot, value in self.storage.items():
            self.put(rollup, int(slot, 16), int(value, 16))
        self.put(rollup, VERSION, int(self.storage[f"0x{VERSION:064x}"], 16) + 1)
        self.as_owner(REGISTRY, "addRollup(address)", rollup)

    def pay_the_sender(self, rollup: str, code: str) -> None:
        """Make a rollup pay the sender of a claim, as contracts before 4 do. code: an address for its own code.

        The new code replaces the first argument of a claim with the sender, and runs the own code.
        """
        self.rpc("anvil_setCode", code, self.rpc("eth_getCode", rollup, "latest"))
        selector = Function("claimProverRewards(address,uint256[])", "").data("0x" + "0" * 40, [])[2:10]
        program = [
            "36 6000 6000 37",  # copy the call's data to memory
            f"6000 35 60e0 1c 63 {selector} 14 15 601a 57",  # jump to 1a unless it is a claim
            "33 6004 52",  # replace the first argument with the sender
            f"5b 6000 6000 36 6000 73 {code[2:]} 5a f4",  # 1a: run the rollup's own code
            "3d 6000 6000 3e 6046 57 3d 6000 fd",  # copy what it returns, and revert if it does
            "5b 3d 6000 f3",  # 46: return it
        ]
        self.rpc("anvil_setCode", rollup, "0x" + "".join(program).replace(" ", ""))
