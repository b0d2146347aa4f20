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
options:
  source:
    description: Where the key comes from; a new one with a mnemonic of 24 words, or an import.
    type: str
    choices: [new, private_key, mnemonic, keystore]
    default: new
  file:
    description:
      - File on the controller that holds the private key, the mnemonic or the JSON V3 key store to import. A key or a
        mnemonic is asked for where neither this nor O(environment) is set.
    type: str
    default: ""
  environment:
    description: Name of the controller's environment variable that holds the private key or the mnemonic to import.
    type: str
    default: ""
  index:
    description: Number of the imported mnemonic's address on the standard derivation path C(m/44'/60'/0'/0/INDEX).
    type: int
    default: 0
  password_file:
    description: File on the controller that holds the key store's password. It is asked for where nothing holds it.
    type: str
    default: ""
  password_environment:
    description: Name of the controller's environment variable that holds the key store's password.
    type: str
    default: ""
  vault_file:
    description: Path in the inventory's folder of the vault file, made where it is missing.
    type: str
    default: group_vars/all/vault.yml
  vault_id:
    description: Vault id that a new vault file is encrypted with, where the run is given several.
    type: str
    default: ""
  show_mnemonic:
    description: Show the mnemonic on the terminal, to be written down. It stays out of Ansible's log file.
    type: bool
    default: false
  qr:
    description: What the QR code holds; a URI with the address (EIP-681), the address alone, or there is no code.
    type: str
    choices: [uri, address, none]
    default: uri
  group:
    description: Inventory group of the host that runs the prover node.
    type: str
    default: prover_node
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
