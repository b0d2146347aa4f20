"""The table at the end: what runs where, and the proof that the rollup contract took."""

from __future__ import annotations

from typing import Any

import docker

from lab.fleet.hosts import containers_on
from lab.fleet.proof import Proof
from lab.fleet.settings import Settings

HEADERS = ("host", "component", "state", "version")
GROUPS = {"prover_broker": "prover-broker", "prover_node": "prover-node", "prover_agent": "prover-agent"}


def row(host: str, component: str, containers: list[dict[str, Any]]) -> tuple[str, str, str, str]:
    """One component's line, from what the host's engine says of its containers."""
    for container in containers:
        labels = container["Config"].get("Labels") or {}
        if labels.get("com.docker.compose.service") == component:
            state = container["State"]
            health = state.get("Health", {}).get("Status")
            words = f"{state['Status']}, {health}" if health else state["Status"]
            return host, component, words, container["Config"]["Image"].rsplit(":", 1)[-1]
    return host, component, "missing", "-"


def rows(client: docker.DockerClient, settings: Settings) -> list[tuple[str, str, str, str]]:
    """A line for every component that the inventory puts on a host."""
    said = {machine.name: containers_on(client, machine.name) for machine in settings.machines}
    return [
        row(host, component, said.get(host, []))
        for group, component in GROUPS.items()
        for host in settings.components.get(group, ())
    ]


def table(headers: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    """Plain columns, as wide as their longest word."""
    widths = [max(len(line[column]) for line in [headers, *lines]) for column in range(len(headers))]
    cells = [headers, tuple("-" * width for width in widths), *lines]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() for line in cells)


def report(client: docker.DockerClient, settings: Settings, proof: Proof | None) -> str:
    """The whole closing report."""
    text = table(HEADERS, list(rows(client, settings)))
    if proof is not None:
        text += (
            f"\n\nproof accepted by the rollup contract {settings.rollup}:"
            f"\n  checkpoint   {proof.checkpoint}\n  prover       {proof.prover}"
            f"\n  transaction  {proof.transaction}\n  L1 block     {proof.block}"
        )
    return text
