# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that looks a version up in the table of release lines."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import release_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.filter.filter_errors import filter_errors


def release(version: str, line: str = "") -> dict:
    """Return the release line of a version as a dict; line: the one to treat an unknown version as."""
    return release_of(version, line).as_dict()


class FilterModule:
    """The filters of this file; each is documented in the YAML file of its name."""

    def filters(self) -> dict:
        """Give the filters by name."""
        return {"release": filter_errors(release, AnsibleFilterError)}
