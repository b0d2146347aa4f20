"""Problems of names, registries, places of variables, and fleets in `verify.yml` that other tables do not contain.

A row is (a part of the line, what is wrong, that put right). Give each action of the remedy
a column of its own.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from unittest import mock

from ansible_collections.aztec_ops.prover.plugins.action.fleet_status import LEFT_OUT
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import image_registry as registry
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.network_version_checks import (
    registry_problems,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.fleet_status import fleet_report

from tests.remedies.case import Lines, cases, in_folder, problem_lines
from tests.remedies.tables.others import row
from tests.unit.plugins.module_utils.host.test_image_registry import Server
from tests.unit.plugins.plugin_utils.inventory import test_variable_places as places
from tests.unit.plugins.plugin_utils.status.test_fleet_status import ADMITTING, FLEET, OLD, fleet


def resolve(name: str) -> list:
    """Resolve two known names."""
    known = {"agent.lan": ["10.0.0.21"], "node.lan": ["10.0.0.10"]}
    if name not in known:
        raise ValueError("does not resolve")
    return known[name]


@contextmanager
def served():
    """Serve a registry that has azteclabs/aztec:6.0.0, and yield its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def image(name: str) -> Lines:
    """Return what checks an image of Docker Hub."""

    def lines() -> list[str]:
        with served() as here, mock.patch.object(registry, "HUB_ORIGIN", here):
            host_info = {"images": {}, "registry": registry.find_images([name], [])}
        fleet_of_one = {"hosts": {"node-1": {"images": [name]}}}
        settings = [] if name.startswith("azteclabs/aztec:") else ["aztec_image"]
        return problem_lines(registry_problems({"node-1": host_info}, fleet_of_one, settings))

    return lines


def variables(groups: tuple = ("", "", ""), **files: str) -> Lines:
    """Return the notes on an inventory with variables of the host and two groups, and files of group_vars."""

    def lines(folder: Path) -> list[str]:
        texts = {f"inventory/group_vars/{name}.yml": text for name, text in files.items()}
        found = [line.split(" | ") for line in places.notes(folder, places.HOSTS % groups, texts)]
        return [": ".join(one[2:]) for one in found if one[0] == "agent-1"]

    return in_folder(lines)


def noted(change: Callable) -> Lines:
    """Return the problems and notes of a running fleet, after change(host_infos, the fleet's values)."""

    def lines() -> list[str]:
        host_infos, wanted = fleet(), copy.deepcopy(ADMITTING)
        change(host_infos, wanted)
        report = fleet_report(host_infos, wanted)
        return [line for _host, _component, line in [*report.problems, *report.notes]]

    return lines


def clients(*addresses: str, tried: tuple = (), stopped: bool = False) -> Lines:
    """Return what checks a broker that these addresses use or try to use. stopped: the agents there are stopped."""

    def change(host_infos: dict, _wanted: dict) -> None:
        broker = host_infos["node-1"]["projects"]["aztec-prover-broker"]["containers"][0]
        broker["clients"] = [] if stopped else list(addresses)
        host_infos["node-1"]["guard"]["denied"] = [] if stopped else list(tried)

    return noted(change)


def misplaced(admitted: tuple = (), address: str = "10.0.0.2") -> Lines:
    """Return what checks a fleet where agent-1 connects from 10.8.0.2. address: its aztec_address."""

    def change(host_infos: dict, wanted: dict) -> None:
        wanted["hosts"]["agent-1"]["addresses"] = [address]
        wanted["broker"]["admitted"] = ["10.0.0.1/32", f"{address}/32", *admitted]
        host_infos["agent-1"]["addresses"] = ["10.0.0.2", "10.8.0.2"]
        host_infos["node-1"]["guard"]["denied"] = ["10.8.0.2"]

    return noted(change)


def without_address(*addresses: str, stopped: bool = False, tried: bool = False) -> Lines:
    """Return what checks clients at 10.0.0.7 where agent-1 has these addresses. stopped: the agent there is stopped.

    tried: it is not admitted any more, and tries to connect.
    """

    def change(host_infos: dict, wanted: dict) -> None:
        wanted["hosts"]["agent-1"]["addresses"] = list(addresses)
        broker = host_infos["node-1"]["projects"]["aztec-prover-broker"]["containers"][0]
        broker["clients"] = [] if stopped or tried else ["10.0.0.7"]
        host_infos["node-1"]["guard"]["denied"] = ["10.0.0.7"] if tried and not stopped else []
        # With the address corrected, site.yml admits it.
        wanted["broker"]["admitted"] = ["10.0.0.1/32", *(f"{one}/32" for one in addresses)]

    return noted(change)


def replaced(working: bool) -> Lines:
    """Return what checks an agent that another run restarts. working: that run has not ended."""

    def change(host_infos: dict, _wanted: dict) -> None:
        agent = host_infos["agent-1"]["projects"]["aztec-prover-agent"]["containers"][0]
        agent.update({"state": "exited", "exit_code": 1} if working else {"started_at": OLD})
        host_infos["agent-1"]["busy_projects"] = ["aztec-prover-agent"] if working else []

    return noted(change)


def left_out(address: str) -> Lines:
    """Return what verify.yml reports on an agent with this address, which is left out of a run if it is wrong."""

    def lines() -> list[str]:
        wrong = row(resolve, agent=f"aztec_address: {address}\n")()
        host_infos = fleet()
        for line in wrong:
            host_infos["agent-1"] = LEFT_OUT.format(f"aztec_address {line.partition(': ')[0]}")
        return [line for _host, _component, line in fleet_report(host_infos, FLEET).problems]

    return lines


DC1 = "prover_agent_count: 4"
ONE = "prover_agent_count: 1"

FLEETS = cases(
    # names
    (
        "the host name agnet.lan does not resolve on the controller: correct the name, or set aztec_address",
        row(resolve, agent="aztec_address: agnet.lan\n"),
        row(resolve, agent="aztec_address: agent.lan\n"),
        row(resolve, agent="aztec_address: 10.0.0.21\n"),
    ),
    (
        "the host name nod.lan does not resolve on the controller: correct the name, or use an IP address",
        row(resolve, node="prover_broker_publish_addresses: [nod.lan]\n"),
        row(resolve, node="prover_broker_publish_addresses: [node.lan]\n"),
        row(resolve, node="prover_broker_publish_addresses: [10.0.0.10]\n"),
    ),
    # registries
    (
        "(queried from node-1): set aztec_version to a published release",
        image("azteclabs/aztec:9.9.9"),
        image("azteclabs/aztec:6.0.0"),
    ),
    (
        "a published release, or correct aztec_image",
        image("azteclab/aztec:6.0.0"),
        image("azteclabs/aztec:6.0.0"),
    ),
    # several places that set a variable
    (
        "set it in group_vars/dc1, which takes precedence over group_vars/all, or in one place only",
        variables(("", DC1, ""), all=ONE),
        variables(all=ONE, dc1=DC1),
        variables(("", DC1, "")),
        variables(all=ONE),
    ),
    (
        "set it in one of these places only",
        variables(("", DC1, ONE)),
        variables(("", DC1, "")),
        variables(("", "", ONE)),
    ),
    # a fleet that runs
    ("run verify.yml again after that run ends", replaced(True), replaced(False)),
    (
        "still trying to reach the broker: 10.9.0.3: stop the agent there",
        clients("10.9.0.3", tried=("10.9.0.3",)),
        clients("10.9.0.3", tried=("10.9.0.3",), stopped=True),
    ),
    (
        "agent-1 connects from 10.8.0.2, which is not admitted",
        misplaced(),
        misplaced(address="10.8.0.2"),
        misplaced(("10.8.0.2/32",)),
    ),
    (
        "not of a host with a known address, and using the broker: 10.0.0.7",
        without_address(),
        without_address("10.0.0.7"),
        without_address(stopped=True),
    ),
    (
        "not of a host with a known address, not admitted, and still trying",
        without_address(tried=True),
        without_address("10.0.0.7", tried=True),
        without_address(tried=True, stopped=True),
    ),
    (
        "if you removed an agent there, stop it",
        clients("10.0.0.7"),
        clients("10.0.0.7", stopped=True),
    ),
    ("was left out of this run: aztec_address the host name agnet.lan", left_out("agnet.lan"), left_out("agent.lan")),
)
