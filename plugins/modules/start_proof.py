# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: start_proof
short_description: Start the proof of an epoch on the node of a host
version_added: 1.0.0
description:
  - The part of C(prove_again) that runs on the node's host, from where the ports of the node's
    container are reachable.
  - Does nothing if the node works on the epoch already.
options:
  project:
    description: Compose project of the node.
    type: str
    required: true
  epoch:
    description: The epoch.
    type: int
    required: true
  jobs:
    description: JSON-RPC method that returns the node's jobs.
    type: str
    required: true
  start:
    description: JSON-RPC method that starts the proof of an epoch.
    type: str
    required: true
  admin:
    description: Whether the methods are at the admin port instead of the RPC port.
    type: bool
    default: false
  admin_key:
    description: Key of the admin API, empty if it has no key.
    type: str
    default: ""
author:
  - Aztec Ops (@aztec-ops)
attributes:
  check_mode:
    description: In check mode, the proof is not started.
    support: none
  diff_mode:
    description: The module changes no file.
    support: none
"""

EXAMPLES = r"""
- name: Start the proof of epoch 7
  aztec_ops.prover.start_proof:
    project: aztec-prover-node
    epoch: 7
    jobs: prover_getJobs
    start: prover_startProof
"""

RETURN = r"""
start_proof:
  description:
    - C(before) and C(after) are the states of the epoch's job, empty if there is none.
    - C(kind) and C(error) tell why the node does not start the proof, and are empty if it does.
  returned: always
  type: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import docker_engine as docker
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.node_jobs import running_node, start_proof


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "epoch": {"type": "int", "required": True},
            "jobs": {"type": "str", "required": True},
            "start": {"type": "str", "required": True},
            "admin": {"type": "bool", "default": False},
            "admin_key": {"type": "str", "default": "", "no_log": True},
        },
    )
    try:
        inspected = running_node(docker.Engine(os.environ.get("DOCKER_HOST", "")), module.params["project"])
    except docker.EngineError as error:
        module.fail_json(msg=f"the container engine stopped responding: {error.args[0]}; read its log and run again")
    if inspected is None:
        found = {"before": "", "after": "", "kind": "down", "error": "the node does not run"}
    else:
        found = start_proof(inspected, module.params)
    module.exit_json(changed=not found["before"] and not found["error"], start_proof=found)


if __name__ == "__main__":
    main()
