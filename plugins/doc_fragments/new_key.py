# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options of the modules that make or import a publisher's key."""

from __future__ import annotations


class ModuleDocFragment:
    """Source of a key, and how to show its address."""

    DOCUMENTATION = r"""
options:
  source:
    description: Source of the key, a new one with a mnemonic of 24 words, or an import.
    type: str
    choices: [new, private_key, mnemonic, keystore]
    default: new
  file:
    description:
      - File on the controller with the private key, the mnemonic or the JSON V3 key store to import. If neither this
        nor O(environment) is set, there is a prompt for the key or the mnemonic.
    type: str
    default: ""
  environment:
    description: Name of the controller's environment variable with the private key or the mnemonic to import.
    type: str
    default: ""
  index:
    description: Index of the imported mnemonic's address on the standard derivation path C(m/44'/60'/0'/0/INDEX).
    type: int
    default: 0
  password_file:
    description: File on the controller with the key store's password. Without a password there is a prompt for it.
    type: str
    default: ""
  password_environment:
    description: Name of the controller's environment variable with the key store's password.
    type: str
    default: ""
  show_mnemonic:
    description: Show the mnemonic on the terminal, to be written down. It is not in Ansible's log file.
    type: bool
    default: false
  qr:
    description: Content of the QR code, a payment URI (EIP-681), only the address, or no code.
    type: str
    choices: [uri, address, none]
    default: uri
  group:
    description: Inventory group of the host that runs the prover node.
    type: str
    default: prover_node
"""
