# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of an action that runs on the controller. There is no module for hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: publisher_key
short_description: Make or import the publisher's key and store it in the inventory's vault
version_added: 1.0.0
description:
  - Generates an Ethereum account, or imports one, and adds its key and its mnemonic to a vault file of the inventory as
    C(prover_node_publisher_private_key) and C(prover_node_publisher_mnemonic). The other content of the file does not
    change, and it is encrypted with the same vault id and password as before.
  - Shows the account's address as text and, if the controller's Python has segno, as a QR code. The secrets are
    not shown, not written as plain text, and not in the result. They are read from a hidden prompt, a file or the
    environment.
  - Fails if the inventory already sets one of the two variables. Runs on the controller and does not contact hosts.
seealso:
  - module: aztec_ops.prover.rotate_key
author:
  - Aztec Ops (@aztec-ops)
extends_documentation_fragment: [aztec_ops.prover.new_key]
options:
  vault_file:
    description: Path of the vault file in the inventory's folder. It is created if it is missing.
    type: str
    default: group_vars/all/vault.yml
  vault_id:
    description: Vault id to encrypt a new vault file with, if the run has several.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Make a publisher
  aztec_ops.prover.publisher_key:

- name: Import the second address of a mnemonic from a prompt
  aztec_ops.prover.publisher_key:
    source: mnemonic
    index: 1
"""

RETURN = r"""
address:
  description:
    - The account's address, with its EIP-55 checksum. Missing in check mode for a new account.
  returned: success
  type: str
file:
  description: The vault file.
  returned: success
  type: str
variables:
  description: Names of the variables that were added.
  returned: success
  type: list
  elements: str
"""
