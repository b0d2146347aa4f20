# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of an action that runs on the controller; there is no module to send to a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: check_hosts
short_description: Check all hosts of a run by what was seen on them
description:
  - Compares what the play's hosts showed with the minimum requirements, and looks for ports that somebody else has
    taken and for all that the role P(aztec_ops.prover.docker_engine#role) would refuse. Works on the controller; no
    host is contacted.
  - Compares C(aztec_version) with the version that the network runs, where the node's host could read it.
  - Reads the fact C(preflight_host_info) that the role P(aztec_ops.prover.preflight#role) keeps of each host. A host
    without it counts as unreachable, an error for the node's and the broker's host and a warning for an agent's.
  - A fault of a host that has agents alone leaves it out of the run, unless no agent would remain in the run. One of
    node or broker ends the run.
  - Run it once for all hosts, with C(run_once).
author:
  - Aztec Ops (@aztec-ops)
options:
  fleet:
    description: The fleet's values, from M(aztec_ops.prover.validate_inventory).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Check the hosts
  aztec_ops.prover.check_hosts:
    fleet: "{{ checked.fleet }}"
  run_once: true
"""

RETURN = r"""
left_out:
  description: Hosts that have agents alone and a fault of their own, and what it is. They take no part in the run.
  returned: always
  type: dict
gone:
  description: Hosts that could not be looked at.
  returned: always
  type: list
  elements: str
"""
