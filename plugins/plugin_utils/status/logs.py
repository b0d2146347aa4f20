# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The logs of a fleet's components as the operator reads them: one block for each container, with a heading."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import project_name
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import ALL_COMPONENTS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import component_list

# The module host_info has the same limit.
MOST_LINES = 10000


def lines_problem(lines: object) -> str | None:
    """Return what is wrong with the number of lines, which -e passes as text, or None."""
    if re.fullmatch(r"[1-9][0-9]{0,4}", str(lines)) and int(str(lines)) <= MOST_LINES:
        return None
    return f"logs_lines {printable(str(lines), 40)} is not a number of lines: set a number from 1 to {MOST_LINES}"


def chosen_components(value: object) -> list[str]:
    """Return the components of aztec_components, which validate_inventory has checked, all if it is empty."""
    chosen = component_list(value)
    return [name for name in ALL_COMPONENTS if not chosen or name in chosen]


def log_blocks(host: str, host_info: object, projects: Mapping[str, str]) -> list[list[str]]:
    """Return the blocks of a host, each a heading and the lines below it.

    host_info: the result of the module with log_lines, or a text that explains why it is missing. projects: the
    component of each project of the host.
    """
    if not isinstance(host_info, Mapping):
        return [[f"{host}: {host_info}"]]
    engine = host_info["engine"]
    if not engine["serves"]:
        return [[f"{host}: Docker does not respond ({engine['error']}): see verify.yml"]]
    blocks = []
    for project, component in projects.items():
        found = ((host_info.get("projects") or {}).get(project) or {}).get("containers") or []
        containers = [one for one in found if one.get("log")]
        blocks += [[heading(host, component, one), *shown_lines(one["log"])] for one in containers]
        if not containers:
            blocks.append([f"{host}: {component}: no container: run site.yml, or see verify.yml"])
    return blocks


def heading(host: str, component: str, container: Mapping) -> str:
    """Return the heading of a container's log."""
    state = f"exited with code {container.get('exit_code')}" if container["state"] == "exited" else container["state"]
    version = str(container.get("image") or "").rpartition("/")[2]
    return printable(f"=== {host}: {component}, {container['name']} ({version}), {state}")


def shown_lines(log: Mapping) -> list[str]:
    """Return the lines of a log, each with its time in UTC, or why there are none."""
    if log["error"]:
        return [f"(the log cannot be read: {log['error']})"]
    lines: Sequence = log["lines"] or []
    shown = [f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%d %H:%M:%S}Z {printable(text)}" for at, text in lines]
    return shown or ["(the log is empty)"]


def host_projects(host: str, fleet: Mapping, components: Sequence[str]) -> dict[str, str]:
    """Return the projects of the chosen components on a host, with their components."""
    own = fleet["hosts"][host]["components"]
    return {project_name(one, fleet.get("instance", "")): one for one in components if one in own}
