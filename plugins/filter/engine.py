# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that the role docker_engine decides by."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.aztec_ops.prover.plugins.module_utils.engine import (
    engine_daemon,
    engine_plan,
    engine_stale,
    engine_validation,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.one_line import one_line_errors
from ansible_collections.aztec_ops.prover.plugins.module_utils.openpgp import checked_key


class FilterModule:
    """The filters of this file; each is documented in the YAML file of its name."""

    def filters(self) -> dict:
        """Give the filters by name."""
        return {
            function.__name__: one_line_errors(function, AnsibleFilterError)
            for function in (checked_key, engine_plan, engine_daemon, engine_stale, engine_validation)
        }
