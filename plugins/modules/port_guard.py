# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply one component's section of the port guard in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: port_guard
short_description: Restrict which sources reach the ports of a host and its containers
version_added: 1.0.0
description:
  - Manages the nftables tables C(inet aztec_prover) and C(bridge aztec_prover) for IPv4 and IPv6. The rules run before
    Docker's address translation, so that they apply to published ports and to services of the host itself.
  - A call replaces the section of one component. Other sections do not change. The module renders all rules to
    C(/etc/aztec-port-guard/table.nft). C(aztec-port-guard.service), which starts before C(docker.service), loads them
    in one transaction.
  - Where the kernel supports the table flags C(owner) and C(persist) (6.9 and later), the service owns the tables. No
    other process can change or remove them, not even C(nft flush ruleset), and they stay when the service stops. On an
    older kernel, the service loads the tables again after another process changes them.
  - Packets to a listed port of the host are dropped unless their source is admitted. Packets from outside that would be
    routed to one of the section's bridges are dropped, except replies in connections that a container initiated.
  - Any other traffic passes, including C(lo) and the section's bridges. Ports that no section lists are not affected.
  - Every packet from outside is checked, not only the first of a connection. Existing connections of a removed source
    end.
  - Packets are dropped, not rejected, and counted. C(nft list table inet aztec_prover) shows the counters.
  - The section's file keeps the addresses that were removed from the sources. The sets C(denied_v4) and C(denied_v6)
    contain those that tried to connect in the last 2 minutes.
options:
  section:
    description: Name of the section, usually of a component. Lower-case letters, digits and underscores.
    type: str
    required: true
  ports:
    description: All ports that the section guards. Other ports are removed from the section.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: Destination port of a packet when it reaches the host, which is the published port.
        type: int
        required: true
      protocol:
        description: Protocol of the port.
        type: str
        choices: [tcp, udp]
        default: tcp
      sources:
        description:
          - IPv4 and IPv6 addresses and CIDRs that are admitted at the host's own addresses.
          - With an empty list, only C(lo) and the section's bridges are admitted. C(0.0.0.0/0) and C(::/0) admit all
            addresses.
          - A port in several sections is open to the sources of all of them.
        type: list
        elements: str
        default: []
      addresses:
        description:
          - Addresses and CIDRs of the host at which the port is guarded. An empty list means all addresses.
          - At other addresses of the host, the port is not affected.
        type: list
        elements: str
        default: []
  bridges:
    description: Exact names of the section's bridges, without patterns. They do not have to exist.
    type: list
    elements: str
    default: []
  containers:
    description: Containers with ports that are blocked for other containers of the section's bridges, not for the host.
    type: list
    elements: dict
    default: []
    suboptions:
      mac_address:
        description: MAC address of the container, as in its Compose service.
        type: str
        required: true
      ports:
        description: TCP ports inside the container.
        type: list
        elements: int
        required: true
  keep_existing:
    description:
      - Whether the sources in the existing section stay admitted in addition to those in O(ports). For a call that does
        not know all sources, for example while a name does not resolve.
      - C(0.0.0.0/0) and C(::/0) are not kept.
    type: bool
    default: false
  required_by_docker:
    description:
      - Whether C(docker.service) does not start while the tables are not loaded.
      - One section with V(true) is sufficient.
    type: bool
    default: true
  state:
    description: V(absent) removes the section, and with the last one the tables, the unit and all files.
    type: str
    choices: [present, absent]
    default: present
requirements:
  - nftables 1.0.2 or later, systemd and util-linux on the host
seealso:
  - module: aztec_ops.prover.host_info
  - module: ansible.builtin.iptables
author:
  - Aztec Ops (@aztec-ops)
attributes:
  check_mode:
    support: full
    description: Predicts the change, also on a host without nftables.
  diff_mode:
    support: full
    description: Shows the text of each file.
"""

EXAMPLES = r"""
- name: Admit the agents to the broker
  aztec_ops.prover.port_guard:
    section: prover_broker
    ports:
      - port: 8080
        sources: [10.0.0.11, 10.0.0.12, "fd00:10::/64"]
    bridges: [aztec0]
    containers:
      - mac_address: "02:a2:7e:c0:00:02"
        ports: [8880]

- name: Remove the section of the broker
  aztec_ops.prover.port_guard:
    section: prover_broker
    state: absent
"""

RETURN = r"""
table:
  description: Text of all rules, empty when no section is left.
  returned: success
  type: str
sections:
  description: Names of the sections on the host after the call.
  returned: success
  type: list
  elements: str
actions:
  description: What the call changed, or would change in check mode, one line each.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import daemon as guard_daemon
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import nft as guard
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.host import NFT_DIRECTORIES, Failed, Host


def main() -> None:
    """Run the module."""
    port = {
        "port": {"type": "int", "required": True},
        "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
        "sources": {"type": "list", "elements": "str", "default": []},
        "addresses": {"type": "list", "elements": "str", "default": []},
    }
    container = {
        "mac_address": {"type": "str", "required": True},
        "ports": {"type": "list", "elements": "int", "required": True},
    }
    module = AnsibleModule(
        argument_spec={
            "section": {"type": "str", "required": True},
            "ports": {"type": "list", "elements": "dict", "options": port, "default": []},
            "bridges": {"type": "list", "elements": "str", "default": []},
            "containers": {"type": "list", "elements": "dict", "options": container, "default": []},
            "keep_existing": {"type": "bool", "default": False},
            "required_by_docker": {"type": "bool", "default": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    params = module.params
    host = Host(
        run=lambda command: module.run_command(command, environ_update={"LC_ALL": "C"}),
        nft=module.get_bin_path("nft", opt_dirs=list(NFT_DIRECTORIES)),
        check=module.check_mode,
    )
    try:
        section = guard.section_of(
            params["section"], params["ports"], params["bridges"], params["required_by_docker"], params["containers"]
        )
        text, sections = host.apply(section, params["state"] == "present", params["keep_existing"])
    except (guard.InvalidSection, guard_daemon.Failed, Failed, OSError) as error:
        module.fail_json(msg=str(error), actions=host.actions)
    module.exit_json(changed=bool(host.actions), table=text, sections=sections, actions=host.actions, diff=host.diff)


if __name__ == "__main__":
    main()
