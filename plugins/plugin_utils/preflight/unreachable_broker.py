# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The error of a host that cannot reach its broker."""

from __future__ import annotations

import ipaddress


def unreachable_broker(attempt: dict, admits: list, container: str = "prover-broker") -> str:
    """Return the error for a host that cannot reach its broker.

    attempt: an element of host_info's `connect`. admits: the sources that the broker's port guard lets pass.
    container: the name of the broker's container.
    """
    source = attempt.get("source")
    where = f"the broker at {attempt['host']} port {attempt['port']} is not reachable from "
    where += f"{source or 'no address of its own'}: {attempt['error']}; "
    where += f"the broker admits {', '.join(admits) or '(unknown)'}"
    if "refused" in attempt["error"].lower():
        # The port guard drops packets without a reply, so that a refusal comes from the host.
        remedy = "run site.yml for the broker's host, or correct prover_broker_port or prover_agent_broker_port"
    elif "/status" in attempt["error"]:
        remedy = f"see docker logs {container} on the broker's host, and run this again once it is healthy"
    elif "resolve" in attempt["error"]:
        remedy = "correct prover_agent_broker_host, or aztec_address of the broker's host"
    elif not source:
        remedy = "give this host a route to it, or correct aztec_address of the broker's host"
    elif _is_admitted(source, admits):
        remedy = "open the way in the firewalls between; if a router translates this address (NAT), add the one that "
        remedy += "it gives to aztec_admit and run the broker's host too"
    else:
        remedy = "correct aztec_address of this host, or add the source to aztec_admit and run the broker's host too"
    return f"{where}: {remedy}"


def _is_admitted(source: str, admits: list) -> bool:
    """Return whether an address is in one of the networks, False if these are not networks."""
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
        return any(address in ipaddress.ip_network(network, strict=False) for network in admits)
    except ValueError:
        return False
