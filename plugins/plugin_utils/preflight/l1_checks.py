# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the responses of a host's L1 clients and signer, and format the results as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.client import KINDS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import NODE, image_of, names_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import table
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_client_checks import (
    account_problems,
    check_client,
    client_problems,
    client_row,
    trace_problems,
    unchecked_problems,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_publisher_checks import (
    balance_problems,
    latest_fees,
    latest_values,
    publisher_rows,
    submission_cost,
    top_up_problems,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_queries import l1_clients, l1_settings
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.prover_id import publisher_variable

CLIENT_HEADS = ("HOST", "COMPONENT", "L1 CLIENT", "URL", "CHAIN", "HEAD", "AGE", "DETAILS", "LATENCY", "STATUS")
PUBLISHER_HEADS = ("HOST", "PUBLISHER", "BALANCE", "ENOUGH FOR")


@dataclass(frozen=True)
class L1CheckResult:
    """The problems, the rows of the table of clients, and the rows of the table of publishers.

    cost: wei that the submission of one proof costs at current fees, 0 if the fees are unknown.
    """

    problems: list = field(default_factory=list)
    clients: list = field(default_factory=list)
    publishers: list = field(default_factory=list)
    cost: int = 0


def will_start_node(host_info: Mapping, values: Mapping) -> bool:
    """Return whether this run starts the node: its container does not run, or runs another image.

    host_info: that of the node's host. Only the node's role detects other changes that restart a running node.
    """
    project = (host_info.get("projects") or {}).get(names_of(values, NODE)["project"]) or {}
    image = image_of(dict(values), NODE)
    return not any(
        container.get("state") == "running" and container.get("image") == image
        for container in project.get("containers") or []
    )


def check_l1(
    host: str, values: Mapping, fleet: Mapping, responses: Mapping | None, starts: bool = False
) -> L1CheckResult:
    """Check the responses of a host's L1 clients: `l1` of host_info, or None without queries.

    starts: whether this run starts the node.
    """
    components = fleet["hosts"][host]["components"]
    settings = l1_settings(values, fleet["network"], components, str(fleet.get("line", "")))
    if settings.checks == "ignore" or responses is None:
        return L1CheckResult()
    remaining = {kind: iter(responses.get(kind, [])) for kind in KINDS}
    checked = []
    for client in l1_clients(values, components):
        response = next(remaining[client.kind])
        checked.append((client, response, check_client(client, response, settings)))
    untraced = trace_problems(host, checked, settings)
    problems = client_problems(host, checked, settings) + list(untraced.values())
    problems += unchecked_problems(host, settings) if checked else []
    funder = fleet.get("funder") or ""
    accounts = len(fleet["publishers"]) + bool(funder)
    clients = [
        client_row(host, client, response, [*found, *([untraced[client]] if client in untraced else [])], accounts)
        for client, response, found in checked
    ]
    publishers, cost = [], submission_cost(latest_fees(checked), settings)
    if NODE in components:
        variable, funding = publisher_variable(values), "prover_node_funding_account_address"
        problems += account_problems(host, variable, "publisher", checked, fleet["publishers"])
        problems += account_problems(host, funding, "funding account", checked, [funder] if funder else [])
        balances = {address: wei for latest in latest_values(checked, "balances") for address, wei in latest.items()}
        found = balance_problems(host, variable, fleet["publishers"], balances, settings, cost, starts)
        problems += top_up_problems(host, funder, balances, settings.top_up, found) if funder else found
        publishers = publisher_rows(host, fleet, balances, cost, settings.top_up)
    if settings.checks == "warn":
        problems = [replace(problem, level="warning") for problem in problems]
    return L1CheckResult(problems, clients, publishers, cost)


def l1_tables(clients: Sequence, publishers: Sequence) -> str:
    """Return the rows of L1CheckResult as tables."""
    parts = ((clients, CLIENT_HEADS), (publishers, PUBLISHER_HEADS))
    return "\n\n".join(table(rows, heads) for rows, heads in parts if rows)
