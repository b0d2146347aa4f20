# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of an action that runs on the controller; there is no module to send to a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: validate_inventory
short_description: Check the inventory of a whole prover fleet
description:
  - Checks the variables of every host of the fleet together, on the controller. No host is contacted.
  - Every role's argument_specs are read, and what they cannot say is checked besides, such as one broker, addresses
    that resolve, and a key of 32 bytes.
  - All problems are shown as one table; then the task fails with one line. No message holds a secret's value.
  - A fault of an agent's own is a warning, and C(left_out) among the values of its host says why it takes no part in
    the run. The broker admits it all the same where its address is known and right. Where no agent would remain in the
    run, the faults are errors.
  - A fault of a host that is outside the play is not told, unless the whole fleet's values come from that variable of
    the node or the broker, or the broker's list of sources from that variable of an agent.
  - While an agent's address is not known, such as while its name does not resolve on the controller, or where its
    C(aztec_admit) is wrong, the broker goes on admitting all that it admits.
  - A note tells of each setting that several places of the inventory set differently for a host, and which one applies.
    A host's own value in place of a group's, and a group's in place of one for all hosts, are not told.
  - Run it once for all hosts, with C(run_once).
author:
  - Aztec Ops (@aztec-ops)
options:
  groups:
    description: Name of the inventory group of each component, where it is not the component's own.
    type: dict
    default: {}
    suboptions:
      prover_node:
        description: Group of the node's host.
        type: str
      prover_broker:
        description: Group of the broker's host.
        type: str
      prover_agent:
        description: Group of the agents' hosts.
        type: str
"""

EXAMPLES = r"""
- name: Check the inventory
  aztec_ops.prover.validate_inventory:
  register: checked
  run_once: true
"""

RETURN = r"""
fleet:
  description:
    - The fleet's values, version, network, line, projects, broker, node, agents, prover_id, publishers, funder, hosts,
      and registry, which host asks the registry for which images.
  returned: when nothing is wrong
  type: dict
"""
