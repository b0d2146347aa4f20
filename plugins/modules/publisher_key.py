# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of an action that runs on the controller; there is no module to send to a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: publisher_key
short_description: Make or import the publisher's key and put it into the inventory's vault
description:
  - Makes an Ethereum account, or imports one, and adds its key and its mnemonic to a vault file of the inventory as
    C(prover_node_publisher_private_key) and C(prover_node_publisher_mnemonic). What else the file holds stays as it is,
    and it is encrypted with the same vault id and password as before.
  - Shows the account's address as text and, where the controller's Python has segno, as a QR code. The secrets are
    shown nowhere, are written nowhere in clear, and are in no result; they are asked for without an echo or read from a
    file or from the environment.
  - Refuses where the inventory sets one of the two variables already. Works on the controller; no host is contacted.
author:
  - Aztec Ops (@aztec-ops)
extends_documentation_fragment: [aztec_ops.prover.new_key]
options:
  vault_file:
    description: Path in the inventory's folder of the vault file, made where it is missing.
    type: str
    default: group_vars/all/vault.yml
  vault_id:
    description: Vault id that a new vault file is encrypted with, where the run is given several.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Make a publisher
  aztec_ops.prover.publisher_key:

- name: Import the second address of a mnemonic, which is asked for
  aztec_ops.prover.publisher_key:
    source: mnemonic
    index: 1
"""

RETURN = r"""
address:
  description:
    - The account's address, with its EIP-55 checksum. Missing in check mode for an account that is not made yet.
  returned: success
  type: str
file:
  description: The vault file.
  returned: success
  type: str
variables:
  description: Names of the variables that were added to it.
  returned: success
  type: list
  elements: str
"""
