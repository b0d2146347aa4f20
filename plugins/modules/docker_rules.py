# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Remove the firewall rules of an engine that no longer runs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_rules
short_description: Remove the firewall rules that Docker leaves in the kernel
version_added: 1.0.0
description:
  - Deletes Docker's chains, the rules that lead to them, and the rules of C(docker0), in one transaction. A table of
    C(iptables) that contains nothing else is deleted.
  - Docker writes its rules when it starts. Run this module only after Docker has stopped.
  - Does nothing on a host without C(nft), or with the legacy variant of C(iptables), whose rules end at the next boot.
author:
  - Aztec Ops (@aztec-ops)
attributes:
  check_mode:
    support: full
    description: Predicts the change.
  diff_mode:
    support: none
    description: Returns the commands instead.
"""

EXAMPLES = r"""
- name: Remove the firewall rules of Docker
  aztec_ops.prover.docker_rules:
"""

RETURN = r"""
commands:
  description: The commands of C(nft) that were executed.
  returned: success
  type: list
  elements: str
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_rules import deletions
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.host import NFT_DIRECTORIES


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    nft = module.get_bin_path("nft", opt_dirs=list(NFT_DIRECTORIES))
    commands = []
    if nft:
        _code, out, _err = module.run_command([nft, "--json", "list", "ruleset"], check_rc=True)
        commands = deletions(json.loads(out)["nftables"])
    if commands and not module.check_mode:
        module.run_command([nft, "--file", "-"], data="\n".join(commands) + "\n", check_rc=True)
    module.exit_json(changed=bool(commands), commands=commands)


if __name__ == "__main__":
    main()
