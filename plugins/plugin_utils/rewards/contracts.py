# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The functions of Aztec's L1 contracts that the rewards need, and what JSON-RPC calls of them return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.ethereum import MISSING

try:
    from eth_abi import decode, encode
    from eth_abi.exceptions import DecodingError
    from eth_utils import function_signature_to_4byte_selector, keccak
except ImportError:  # the controller's Python, not the hosts'
    decode = encode = function_signature_to_4byte_selector = keccak = None
    DecodingError = ValueError


def require_libraries() -> None:
    """Raise ValueError if the controller's Python does not have eth-account, which installs eth-abi."""
    if encode is None:
        raise ValueError(MISSING)


@dataclass(frozen=True)
class Function:
    """A function of a contract: its signature and the type of its only result."""

    signature: str
    output: str

    def data(self, *arguments: object) -> str:
        """Return the data of a call: 0x, the selector and the encoded arguments."""
        types = self.signature.partition("(")[2].rstrip(")")
        encoded = encode(types.split(",") if types else [], arguments)
        return f"0x{(function_signature_to_4byte_selector(self.signature) + encoded).hex()}"

    def call(self, contract: str, *arguments: object, sender: str = "") -> list:
        """Return the JSON-RPC call that runs the function without a transaction, as this sender if one is given."""
        origin = {"from": sender} if sender else {}
        return ["eth_call", {**origin, "to": contract, "data": self.data(*arguments)}, "latest"]

    def value(self, outcome: Mapping) -> object:
        """Return what a call returned, None if it was reverted or the contract does not have the function."""
        return decoded(self.output, outcome.get("result"))


def decoded(kind: str, text: object) -> object:
    """Return the value of an ABI type in 0x and hex digits, None if the text does not contain one."""
    try:
        return decode([kind], bytes.fromhex(str(text).removeprefix("0x")))[0]
    except (DecodingError, ValueError, OverflowError):
        return None


# The registry of all rollups of a network.
VERSION_COUNT = Function("numberOfVersions()", "uint256")
VERSION = Function("getVersion(uint256)", "uint256")
ROLLUP = Function("getRollup(uint256)", "address")
CANONICAL = Function("getCanonicalRollup()", "address")
# A rollup.
FEE_ASSET = Function("getFeeAsset()", "address")
ENABLED = Function("isRewardsClaimable()", "bool")
CURRENT_EPOCH = Function("getCurrentEpoch()", "uint256")
SUBMISSION_EPOCHS = Function("getProofSubmissionEpochs()", "uint256")
GENESIS = Function("getGenesisTime()", "uint256")
EPOCH_SLOTS = Function("getEpochDuration()", "uint256")
SLOT_SECONDS = Function("getSlotDuration()", "uint256")
REWARD = Function("getSpecificProverRewardsForEpoch(uint256,address)", "uint256")
CLAIMED = Function("getHasClaimed(address,uint256)", "bool")
CLAIM = Function("claimProverRewards(address,uint256[])", "uint256")
# The newest proven checkpoint and its epoch. Rollups before 4 prove blocks.
PROVEN = (Function("getProvenCheckpointNumber()", "uint256"), Function("getProvenBlockNumber()", "uint256"))
EPOCH_OF = (Function("getEpochForCheckpoint(uint256)", "uint256"), Function("getEpochForBlock(uint256)", "uint256"))
# The token in which rewards are paid.
SYMBOL = Function("symbol()", "string")
DECIMALS = Function("decimals()", "uint8")

TRANSFER = "Transfer(address,address,uint256)"
# Errors of a claim: what they mean, by their signature. The types of their arguments differ between contracts.
_ERRORS = {
    "Rollup__NotPastDeadline(uint256,uint256)": "proofs of one of its epochs are still accepted",
    "Rollup__AlreadyClaimed(address,uint256)": "one of its epochs is claimed already",
    "Rollup__RewardsNotClaimable()": "this rollup does not allow claims yet",
    "ERC20InsufficientBalance(address,uint256,uint256)": "the rollup does not hold enough of the token",
}


def reverted(outcome: Mapping) -> str:
    """Return why a call failed, in one text without a remedy."""
    data = str(outcome.get("data") or "")
    for signature, meaning in _ERRORS.items():
        if data.startswith(f"0x{function_signature_to_4byte_selector(signature).hex()}"):
            return meaning
    return str(outcome.get("error") or "the contract returns no amount")


def transferred(receipt: Mapping, token: str, sender: str, recipient: str) -> int:
    """Return how much of a token a transaction moved from one address to another, by the logs in its receipt."""
    topics = [f"0x{keccak(text=TRANSFER).hex()}", _topic(sender), _topic(recipient)]
    total = 0
    for log in receipt.get("logs") or []:
        same = [str(topic).lower() for topic in log.get("topics") or []] == topics
        if same and str(log.get("address")).lower() == token.lower():
            total += decoded("uint256", log.get("data")) or 0
    return total


def _topic(address: str) -> str:
    return f"0x{encode(['address'], [address]).hex()}"


def values(functions: Sequence[Function], outcomes: Sequence[Mapping]) -> list:
    """Return what several calls returned."""
    return [function.value(outcome) for function, outcome in zip(functions, outcomes)]
