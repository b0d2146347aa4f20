# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of what makes or imports a publisher's key."""

from __future__ import annotations


class ModuleDocFragment:
    """Where a key comes from, and how its address is shown."""

    DOCUMENTATION = r"""
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
