# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: l1_calls
short_description: Send JSON-RPC calls and a signed transaction to the L1 clients of a host
version_added: 1.0.0
description:
  - The part of M(aztec_ops.prover.rewards) that runs on the node's host, from where its L1 clients are reachable.
  - Keys stay on the controller. A transaction arrives signed.
options:
  query:
    description:
      - JSON text with C(targets) (each with C(url) and C(headers)), C(seconds), C(calls) (lists of a method and its
        parameters), and optionally C(transaction), with C(raw), its hash as C(transaction), and C(wait).
      - With C(node), a node that runs in one of its C(projects) is queried for its proving jobs with the method
        C(jobs), at the admin port with C(key) if C(admin) is true.
      - The text contains API keys and is never shown.
      - The first client that responds to all calls is used, also for the transaction.
    type: str
    required: true
author:
  - Aztec Ops (@aztec-ops)
attributes:
  check_mode:
    description: The calls are sent in check mode as well, a transaction is not.
    support: full
  diff_mode:
    description: The module changes nothing on the host.
    support: none
"""

EXAMPLES = r"""
- name: Query the chain ID
  aztec_ops.prover.l1_calls:
    query: '{"targets": [{"url": "http://10.0.0.5:8545", "headers": {}}], "seconds": 10, "calls": [["eth_chainId"]]}'
"""

RETURN = r"""
l1_calls:
  description:
    - C(target) is the index of the client that responded, null for none, and C(where) its scheme, host and port.
    - C(outcomes) contains for each call its C(result), or C(error) and C(data).
    - C(faults) lists C(where) and C(text) of each client that does not respond.
    - C(sent) contains C(receipt), C(refused) and C(lost) of the transaction, and is null without one.
  returned: always
  type: dict
node:
  description: C(running), C(states) and C(error) of the node's proving jobs, null without C(node).
  returned: always
  type: dict
"""

import json
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_engine import Engine
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.node_jobs import node_jobs
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.calls import query_calls


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "query": {"type": "str", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    query = json.loads(module.params["query"])
    jobs = query.pop("node", None)
    if module.check_mode:
        query.pop("transaction", None)
    node = node_jobs(Engine(os.environ.get("DOCKER_HOST", "")), jobs) if jobs else None
    found = query_calls(query)
    module.exit_json(changed=bool((found["sent"] or {}).get("receipt")), l1_calls=found, node=node)


if __name__ == "__main__":
    main()
