"""The closing table: the components on each host, and the proof that the rollup contract accepted."""

from __future__ import annotations

import re
from typing import Any

import docker

from lab.fleet.hosts import containers_on
from lab.fleet.proof import Proof
from lab.fleet.settings import Settings

HEADERS = ("host", "component", "state", "version")
GROUPS = {"prover_broker": "prover-broker", "prover_node": "prover-node", "prover_agent": "prover-agent"}


def rows_of(host: str, component: str, containers: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Return the rows of a component from the containers on its host: each agent can have its own container."""
    found = []
    for container in containers:
        service = (container["Config"].get("Labels") or {}).get("com.docker.compose.service", "")
        if re.fullmatch(rf"{component}(-[0-9]+)?", service):
            state = container["State"]
            health = state.get("Health", {}).get("Status")
            words = f"{state['Status']}, {health}" if health else state["Status"]
            found.append((host, service, words, container["Config"]["Image"].rsplit(":", 1)[-1]))
    return sorted(found) or [(host, component, "missing", "-")]


def rows(client: docker.DockerClient, settings: Settings) -> list[tuple[str, str, str, str]]:
    """Return a row for each component that the inventory assigns to a host."""
    output = {machine.name: containers_on(client, machine.name) for machine in settings.machines}
    return [
        line
        for group, component in GROUPS.items()
        for host in settings.components.get(group, ())
        for line in rows_of(host, component, output.get(host, []))
    ]


def table(headers: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    """Return a table whose columns are as wide as their longest word."""
    widths = [max(len(line[column]) for line in [headers, *lines]) for column in range(len(headers))]
    cells = [headers, tuple("-" * width for width in widths), *lines]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() for line in cells)


def report(client: docker.DockerClient, settings: Settings, proof: Proof | None) -> str:
    """Return the closing report."""
    text = table(HEADERS, list(rows(client, settings)))
    if proof is not None:
        text += (
            f"\n\nproof accepted by the rollup contract {settings.rollup}:"
            f"\n  checkpoint   {proof.checkpoint}\n  prover       {proof.prover}"
            f"\n  transaction  {proof.transaction}\n  L1 block     {proof.block}"
        )
    return text
