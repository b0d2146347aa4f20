# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that gives what a host asks of the L1."""

from __future__ import annotations

from collections.abc import Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.filter.filter_errors import filter_errors
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.network_version_checks import host_questions


def l1_questions(values: Mapping, fleet: Mapping, host: str) -> str:
    """Return what a host's look asks of the L1, its signer and the network's configuration, as JSON text."""
    return host_questions(values, fleet, host)


class FilterModule:
    """The filters of this file; each is documented in the YAML file of its name."""

    def filters(self) -> dict:
        """Give the filters by name."""
        return {"l1_questions": filter_errors(l1_questions, AnsibleFilterError)}
