# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of an action that runs on the controller. There is no module for hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rotate_key
short_description: Replace the publisher's key, one step of aztec_ops.prover.rotate_key
version_added: 1.0.0
description:
  - Changes the vault file of the inventory that sets C(prover_node_publisher_private_key). Its other content,
    comments, order, vault id and password do not change. The new key is C(prover_node_next_publisher_private_key) until
    the node runs with it. The old key is then C(prover_node_previous_publisher_private_key) until its removal is
    confirmed. Each has its mnemonic, if there is one. Every change is one write of the whole file.
  - The step C(stage) derives the remaining steps from the keys in the vault, and makes or imports a new key if there is
    none yet. C(check_account) queries the L1 on the node's host for the balance and transactions of the
    accounts, and fails while the account of the new key cannot pay. The playbook then applies the node's Compose
    project with the key. C(finish) records in the vault which key the node runs with.
  - The secrets are not shown, not written as plain text, and not in the results.
seealso:
  - module: aztec_ops.prover.publisher_key
author:
  - Aztec Ops (@aztec-ops)
extends_documentation_fragment: [aztec_ops.prover.new_key]
options:
  step:
    description: Step to run.
    type: str
    required: true
    choices: [stage, check_account, finish]
  wait:
    description: Seconds to wait until the account of the new key is funded.
    type: int
    default: 0
  confirm:
    description:
      - Remove the previous key from the vault. Fails while the new account did not send a transaction yet, while the
        old account still has 0.001 ETH or more, while rewards go to it, and without O(rewards_moved).
    type: bool
    default: false
  rewards_moved:
    description:
      - Confirm, with O(confirm), that no rewards are left that only the previous key can move. The L1 is not queried
        for them.
    type: bool
    default: false
  rollback:
    description: Go back to the previous key. The current one then becomes the next one.
    type: bool
    default: false
  force:
    description:
      - Remove the previous key even if O(confirm) by itself fails. If C(aztec_l1_checks) is V(ignore), use the key
        without a check of its account's balance, but never in the run that makes the key.
    type: bool
    default: false
  fleet:
    description: The fleet's values, from C(validate_inventory), for the step C(stage).
    type: dict
  staged:
    description: Result of the step C(stage), for the other steps.
    type: dict
"""

EXAMPLES = r"""
- name: Stage a new key
  aztec_ops.prover.rotate_key:
    step: stage
    fleet: "{{ preflight_fleet }}"
  register: staged

- name: Check the account's balance on L1
  aztec_ops.prover.rotate_key:
    step: check_account
    staged: "{{ staged }}"
"""

RETURN = r"""
action:
  description: Action of the run, C(stage), C(rotate), C(rollback), C(confirm) or C(done).
  returned: by the step C(stage)
  type: str
slot:
  description: Slot of the key that the node gets, C(current), C(next) or C(previous).
  returned: by the step C(stage)
  type: str
variable:
  description: Name of that key's variable in the vault file.
  returned: by the step C(stage)
  type: str
addresses:
  description: The accounts of the keys in the vault, C(current), C(next) and C(previous).
  returned: by the steps C(stage) and C(finish)
  type: dict
file:
  description: The vault file, as shown in messages.
  returned: by the step C(stage)
  type: str
path:
  description: Its absolute path.
  returned: by the step C(stage)
  type: str
fleet:
  description: The fleet's values with that key.
  returned: by the step C(stage)
  type: dict
check_account:
  description: Whether to check host and L1 before the vault changes. False for a forced removal of the previous key.
  returned: by the step C(stage)
  type: bool
ready:
  description: Whether the vault has the key that the node gets. False in check mode for a new key.
  returned: by the step C(stage)
  type: bool
"""
