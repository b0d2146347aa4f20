# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Remove what an engine leaves on a host after its packages were removed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_remains
short_description: Remove what Docker leaves on a host
version_added: 1.0.0
description:
  - Removes files and directories, Docker's default bridge, and the firewall rules that Docker leaves in the kernel.
  - The rules are Docker's chains, the rules that lead to them, and those of C(docker0). They are deleted in one
    transaction. A table of C(iptables) that contains nothing else is deleted.
  - Docker creates all of this when it starts. Run this module only after its packages were removed.
  - Rules of the legacy variant of C(iptables), or of a host without C(nft), end at the next boot.
options:
  paths:
    description:
      - Files and directories to remove, in this order. If something is mounted on a directory, or a link leads to it,
        it is only emptied.
    type: list
    elements: path
    default: []
  empty_directories:
    description: Directories to remove if they are empty afterwards.
    type: list
    elements: path
    default: []
author:
  - Aztec Ops (@aztec-ops)
attributes:
  check_mode:
    support: full
    description: Predicts the change.
  diff_mode:
    support: none
    description: Returns the actions instead.
"""

EXAMPLES = r"""
- name: Remove data and rules of Docker
  aztec_ops.prover.docker_remains:
    paths: [/var/lib/docker, /etc/docker/daemon.json]
    empty_directories: [/etc/docker]
"""

RETURN = r"""
actions:
  description: What was removed, one line each.
  returned: success
  type: list
  elements: str
"""

import json
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.removal import remove_empty, remove_tree
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_rules import BRIDGE, deletions
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.host import NFT_DIRECTORIES


def remaining(paths: list[str]) -> list[str]:
    """Return the paths that exist. An empty directory with a mount on it, or that a link leads to, has to stay."""
    return [
        path
        for path in paths
        if os.path.lexists(path)
        and not (os.path.isdir(path) and (os.path.ismount(path) or os.path.islink(path)) and not os.listdir(path))
    ]


def remove(path: str) -> None:
    """Remove a file, or a directory with its content."""
    if os.path.isdir(path):
        remove_tree(path)
    else:
        os.unlink(path)


def main() -> None:
    """Run the module."""
    paths = {"type": "list", "elements": "path", "default": []}
    module = AnsibleModule(argument_spec={"paths": paths, "empty_directories": paths}, supports_check_mode=True)
    sbin = {"opt_dirs": list(NFT_DIRECTORIES)}
    nft, found, commands = module.get_bin_path("nft", **sbin), remaining(module.params["paths"]), []
    if nft:
        _code, out, _err = module.run_command([nft, "--json", "list", "ruleset"], check_rc=True)
        commands = deletions(json.loads(out)["nftables"])
    bridge = os.path.exists(f"/sys/class/net/{BRIDGE}")
    actions = [*([f"delete {BRIDGE}"] if bridge else []), *commands, *(f"remove {path}" for path in found)]
    if not module.check_mode:
        if bridge:
            ip = module.get_bin_path("ip", required=True, **sbin)
            module.run_command([ip, "link", "delete", BRIDGE], check_rc=True)
        if commands:
            module.run_command([nft, "--file", "-"], data="\n".join(commands) + "\n", check_rc=True)
        try:
            for path in found:
                remove(path)
            for path in module.params["empty_directories"]:
                remove_empty(path, parents=False)
        except OSError as wrong:
            module.fail_json(msg=f"{wrong.filename}: {wrong.strerror}", actions=actions)
    module.exit_json(changed=bool(actions), actions=actions)


if __name__ == "__main__":
    main()
