# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check a host's L1 clients, its signer and the balances of the publishers, and format the results as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.client import KINDS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import NODE, image_of, names_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_client_checks import (
    account_problems,
    check_client,
    client_problems,
    client_row,
    trace_problems,
    unchecked_problems,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_queries import (
    L1Settings,
    l1_clients,
    l1_settings,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.units import (
    WEI_PER_ETH,
    ether,
    gwei,
    plural,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.prover_id import publisher_variable

CLIENT_HEADS = ("HOST", "COMPONENT", "L1 CLIENT", "URL", "CHAIN", "HEAD", "AGE", "DETAILS", "LATENCY", "STATUS")
PUBLISHER_HEADS = ("HOST", "PUBLISHER", "BALANCE", "ENOUGH FOR")
# Aztec 6 warns if a balance pays for fewer proofs than this (PUBLISHER_LOW_BALANCE_WARNING_MULTIPLIER).
LOW_BALANCE_PROOFS = 4


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


def latest_values(responses: Sequence, name: str, chain_id: int | None) -> list:
    """Return a value of the execution clients on this chain, that of the client with the latest block last."""
    usable = [one for one in responses if one.get(name) and (chain_id is None or one.get("chain_id") == chain_id)]
    return [one[name] for one in sorted(usable, key=lambda one: one.get("head") or 0)]


def values_by_address(responses: Sequence, name: str, chain_id: int | None) -> dict:
    """Return the latest balance or number of transactions of each address."""
    return {address: value for latest in latest_values(responses, name, chain_id) for address, value in latest.items()}


def max_fee_per_gas(fees: Mapping | None, settings: L1Settings) -> int:
    """Return the fee cap of a transaction in wei for each gas, as Aztec sets it in its first attempt; 0 if unknown.

    That is the base fee of the latest block, which can rise by an eighth until the next one, and the priority fee: the
    client's estimate, or the median of what previous blocks paid (75th percentile) if that is more, up to 100
    estimates. Then Aztec applies the bump and the operator's cap. See ReadOnlyL1TxUtils.getFeesPerGas and
    fee-strategies/p75_competitive.ts of aztec-node of 2026-08. Aztec also reads the transactions of the pending block.
    This check does not, because they are megabytes and hardly change the result.
    """
    if fees is None:
        return 0
    estimate, rewards = int(fees["priority"] or 0), sorted(int(one) for one in fees["rewards"])
    middle = len(rewards) // 2
    paid = (rewards[middle] + rewards[-middle - 1]) // 2 if rewards else 0
    priority = max(estimate, paid)
    if estimate:
        priority = min(priority, 100 * estimate)
    base = (int(fees["base"]) * 1125 + 999) // 1000
    return min(base + priority * (100 + settings.fee_bump) // 100, settings.max_fee)


def submission_cost(fees: Mapping | None, settings: L1Settings) -> int:
    """Return the wei that an account must have for Aztec to submit a proof, 0 if the fees are unknown.

    As in Aztec, this is the gas limit times the fee cap, without blobs (computeSendCost of
    ethereum/src/l1_tx_utils/send_cost.ts, SUBMIT_EPOCH_PROOF_REQUIREMENT of prover-node/src/gas_constants.ts).
    """
    return settings.submission_gas * max_fee_per_gas(fees, settings)


def balance_problems(
    host: str, variable: str, publishers: Sequence, balances: Mapping, settings: L1Settings, cost: int, starts: bool
) -> Iterator[Problem]:
    """Yield a problem for each publisher with an insufficient or low balance.

    cost: wei of one submission, 0 if unknown. starts: whether this run starts the node. A node that starts does not
    prove until one publisher can pay.
    """
    remedy = "send ETH to it"
    can_pay = any(int(balances.get(address, 0)) >= cost for address in publishers)
    each = f"{ether(cost)} each: {settings.submission_gas} gas at {gwei(cost // settings.submission_gas)}"
    for address in publishers:
        if address not in balances:
            wrong = f"the balance of the publisher {address} was not checked: no execution client reported it"
            yield Problem(host, variable, wrong, "see the lines on the execution clients", "warning")
            continue
        wei = int(balances[address])
        amount, has = Decimal(wei) / WEI_PER_ETH, f"the publisher {address} has {ether(wei)}"
        proofs = wei // cost if cost else LOW_BALANCE_PROOFS
        if amount <= settings.balance_fail:
            limit = f" (aztec_l1_balance_fail is {settings.balance_fail})" if settings.balance_fail else ""
            yield Problem(host, variable, f"{has}{limit} and cannot pay for submitting proofs", remedy)
        elif proofs < 1:
            wrong = f"{has}, not enough to submit one proof now ({each})"
            level = "error" if starts and settings.needs_balance and not can_pay else "warning"
            yield Problem(host, variable, wrong, f"{remedy}, or wait for lower fees", level)
        elif proofs < LOW_BALANCE_PROOFS:
            wrong = f"{has}, enough for {plural(proofs, 'proof')} now ({each})"
            yield Problem(host, variable, wrong, remedy, "warning")
        elif amount < settings.balance_warn:
            wrong = f"{has}, below aztec_l1_balance_warn, {settings.balance_warn}"
            yield Problem(host, variable, wrong, remedy, "warning")


def top_up_problems(host: str, funder: str, balances: Mapping, amount: int, problems: Sequence) -> list[Problem]:
    """Return the problems of publishers that an account tops up, and of that account. amount: wei of one top-up.

    While the account can pay for a top-up, a publisher with an insufficient balance is a warning.
    """
    balance = int(balances.get(funder, 0))
    if balance >= amount:
        remedy = f"wait a few minutes for the node to top it up from {funder}, or send ETH to it"
        return [Problem(one.host, one.variable, one.wrong, remedy, "warning") for one in problems]
    has = ether(balance) if funder in balances else "an unknown balance"
    wrong = f"the funding account {funder} has {has}, and one top-up is {ether(amount)}"
    return [*problems, Problem(host, "prover_node_funding_amount", wrong, f"send ETH to {funder}", "warning")]


def threshold_problems(host: str, settings: L1Settings, cost: int) -> list[Problem]:
    """Return the problem of a threshold for top-ups at which a publisher can be left without enough for a proof.

    cost: wei of one submission, 0 if unknown.
    """
    below = settings.top_up_below
    if not below or below >= cost:
        return []
    wrong = f"is {ether(below)}, and one proof costs {ether(cost)} now, so that a publisher between them gets no top-up"
    enough = ether(LOW_BALANCE_PROOFS * cost + WEI_PER_ETH // 10**6)
    return [Problem(host, "prover_node_funding_threshold", wrong, f"set it to {enough} or more", "warning")]


def publisher_rows(host: str, fleet: Mapping, balances: Mapping, cost: int, top_up: int) -> list[tuple]:
    """Return the rows of the publishers and the funding account in the table."""

    def row(address: str, name: str, price: int, noun: str) -> tuple:
        if address not in balances:
            return (host, name, "unknown", "not checked")
        enough = plural(int(balances[address]) // price, noun) if price else "not checked"
        return (host, name, ether(balances[address]), enough)

    rows = [row(address, address, cost, "proof") for address in fleet["publishers"]]
    funder = fleet.get("funder")
    return [*rows, row(funder, f"{funder} (funding account)", top_up, "top-up")] if funder else rows


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
    execution = responses.get("execution", [])
    fees = [one for one in latest_values(execution, "fees", settings.chain_id) if one["base"] is not None]
    publishers, cost = [], submission_cost(fees[-1] if fees else None, settings)
    if NODE in components:
        variable, funding = publisher_variable(values), "prover_node_funding_account_address"
        problems += account_problems(host, variable, "publisher", checked, fleet["publishers"])
        problems += account_problems(host, funding, "funding account", checked, [funder] if funder else [])
        balances = values_by_address(execution, "balances", settings.chain_id)
        found = balance_problems(host, variable, fleet["publishers"], balances, settings, cost, starts)
        problems += top_up_problems(host, funder, balances, settings.top_up, found) if funder else found
        problems += threshold_problems(host, settings, cost) if funder else []
        publishers = publisher_rows(host, fleet, balances, cost, settings.top_up)
    if settings.checks == "warn":
        problems = [replace(problem, level="warning") for problem in problems]
    return L1CheckResult(problems, clients, publishers, cost)
