# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of an action that runs on the controller; there is no module to send to a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rotate_key
short_description: Replace the publisher's key, one step of playbooks/rotate_key.yml
description:
  - Works on the vault file of the inventory that sets C(prover_node_publisher_private_key), whose other content,
    comments, order, vault id and password stay as they are. A new key stands in it as
    C(prover_node_next_publisher_private_key) until the node runs with it; the old one then as
    C(prover_node_previous_publisher_private_key) until that is confirmed; each with its mnemonic where it has one.
    Every change is one write of the whole file.
  - The step C(stage) finds out from the keys that are there what is left to be done, and makes or imports a new key
    where there is none yet. C(check_account) asks the L1 from the node's host for balance and transactions of the
    accounts and fails while the one that the node is to get cannot pay. Between it and C(finish) the playbook applies
    the node's stack with the key. C(finish) writes down in the vault what the node runs with.
  - The secrets are shown nowhere, are written nowhere in clear, and are in no result.
author:
  - Aztec Ops (@aztec-ops)
extends_documentation_fragment: [aztec_ops.prover.new_key]
options:
  step:
    description: What to do.
    type: str
    required: true
    choices: [stage, check_account, finish]
  wait:
    description: Seconds to wait until the account that the node is to get is funded.
    type: int
    default: 0
  confirm:
    description:
      - Take the previous key out of the vault. Refused while the new one has sent no transaction, while the old one's
        account still holds 0.001 ETH or more, while rewards go to it, and without O(rewards_moved).
    type: bool
    default: false
  rewards_moved:
    description:
      - Say, with O(confirm), that no rewards are left that only the previous key can move. Nobody asks the L1 for them.
    type: bool
    default: false
  rollback:
    description: Go back to the previous key; the one in use then becomes the next one.
    type: bool
    default: false
  force:
    description:
      - Go on in spite of what O(confirm) is refused for. Where C(aztec_l1_checks) is V(ignore), give the node the key
        though nobody asks what its account holds; never in the run that makes the key.
    type: bool
    default: false
  fleet:
    description: The fleet's values, from M(aztec_ops.prover.validate_inventory), for the step C(stage).
    type: dict
  staged:
    description: What the step C(stage) has returned, for the other steps.
    type: dict
"""

EXAMPLES = r"""
- name: Stage a new key
  aztec_ops.prover.rotate_key:
    step: stage
    fleet: "{{ preflight_fleet }}"
  register: staged

- name: Ask the L1 for its account
  aztec_ops.prover.rotate_key:
    step: check_account
    staged: "{{ staged }}"
"""

RETURN = r"""
what:
  description: What is left to be done; C(stage), C(rotate), C(rollback), C(confirm) or C(done).
  returned: by the step C(stage)
  type: str
variable:
  description: Name of the variable in the vault file whose key the node gets.
  returned: by the step C(stage)
  type: str
addresses:
  description: The accounts of the keys in the vault, C(current), C(next) and C(previous).
  returned: by the steps C(stage) and C(finish)
  type: dict
file:
  description: The vault file, as messages name it.
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
  description: Whether host and L1 are asked before the vault changes; not for a key that is taken out in spite of all.
  returned: by the step C(stage)
  type: bool
go:
  description: Whether there is a key to go on with; in check mode a new one is not made.
  returned: by the step C(stage)
  type: bool
"""
