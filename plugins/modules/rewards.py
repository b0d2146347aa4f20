# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of an action that runs on the controller. There is no module for hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rewards
short_description: Report the rewards of a prover and claim them
version_added: 1.0.0
description:
  - Displays what each epoch brought PROVER_ID, on all rollups of the network's registry, and what can be claimed.
    Queries the L1 from the node's host with M(aztec_ops.prover.l1_calls).
  - With O(claim), claims everything that can be claimed. A claim is simulated first, and its gas is estimated. It is
    signed on the controller, sent from the node's host, and its receipt must show the sum that was displayed. While
    there is an error, nothing is sent.
  - An epoch can be claimed after its deadline for proofs. Epochs that are claimed already are not claimed again.
author:
  - Aztec Ops (@aztec-ops)
options:
  claim:
    description: Whether to claim. In check mode, the claim is only simulated.
    type: bool
    default: false
  use_publisher:
    description:
      - Whether the node's first publisher pays for the gas instead of the account of C(prover_node_claim_private_key).
        Requires that the publisher has no pending transaction, and that the node is not submitting a proof, which
        release line 4 reports. A claim that gets stuck would block proofs.
    type: bool
    default: false
  epochs:
    description:
      - Only these epochs, as text with commas, of the canonical rollup or of O(rollup). An epoch that cannot be claimed
        is an error of a claim.
    type: raw
  from_epoch:
    description: The first epoch to query. By default, the last 1000 epochs up to the newest proven one are queried.
    type: int
  rollup:
    description: Address of a rollup in the registry. By default, all of them.
    type: str
  prover_id:
    description: Address that received the rewards. By default, the node's PROVER_ID.
    type: str
  gas_limit:
    description: The most gas of one transaction. A claim that needs more is split into several.
    type: int
    default: 10000000
  wait:
    description: How long to wait for the receipt of each transaction, in seconds.
    type: int
    default: 300
  fleet:
    description: The fact C(preflight_fleet) of the role preflight.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Report rewards
  aztec_ops.prover.rewards:
    fleet: "{{ preflight_fleet }}"

- name: Claim the rewards of two epochs
  aztec_ops.prover.rewards:
    claim: true
    epochs: 7,9
    fleet: "{{ preflight_fleet }}"
"""

RETURN = r"""
rewards:
  description:
    - C(rollup), C(epoch), C(amount) (in the smallest unit of the token, as text) and C(state) of each epoch that was
      queried. The states are C(claimable), C(claimed), C(open) (proofs are still accepted), C(disabled) (the rollup
      does not allow claims yet) and C(nothing).
  returned: if the L1 was queried
  type: list
  elements: dict
verdict:
  description: The result on one line.
  returned: if the L1 was queried
  type: str
"""
