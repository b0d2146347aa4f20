"""Problems of a running fleet: a row is (a part of the line, the fleet with the problem, the fleet after the remedy).

`seen(node={...}, broker={...}, agent={...})` is the host info of a healthy fleet, with these changes to its containers;
`agent_host(...)` is one with changes to the agent's host, by section of the host info.
"""

from __future__ import annotations

import copy

from ansible_collections.aztec_ops.prover.plugins.action.fleet_status import FAILED_EARLIER, UNREACHABLE
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.fleet_status import fleet_report

from tests.remedies.case import Lines, cases
from tests.unit.plugins.plugin_utils.status.test_fleet_status import (
    FLEET,
    HEADERS,
    L1,
    NAMED,
    NEXT,
    ROOTS,
    STANDBY,
    answers,
    container,
    fleet,
    host_info,
)


def problems_of(host_infos: dict, wanted: dict) -> list[str]:
    """Return the problems of a fleet without the names of host and component."""
    return list(dict.fromkeys(line for _host, _component, line in fleet_report(host_infos, wanted).problems))


def seen(wanted: dict | None = None, **parts: dict) -> Lines:
    """Return what checks a fleet with these changes to its containers."""
    return lambda: problems_of(fleet(**parts), {**FLEET, **(wanted or {})})


def agent_host(**changes: dict) -> Lines:
    """Return what checks a fleet with these changes to parts of the host info of the agent."""

    def lines() -> list[str]:
        host_infos = fleet()
        for part, values in changes.items():
            host_infos["agent-1"][part] = {**host_infos["agent-1"][part], **values}
        return problems_of(host_infos, FLEET)

    return lines


def at_agent(*services: str, count: int = 1, components: tuple = ("prover_agent",)) -> Lines:
    """Return what checks an agent's host with containers of these services, of which count are in the inventory."""

    def lines() -> list[str]:
        wanted = copy.deepcopy(FLEET)
        wanted["hosts"]["agent-1"].update(components=list(components), agents={"count": count, "separate": count > 1})
        return problems_of({"agent-1": host_info(components, *(container(service) for service in services))}, wanted)

    return lines


def waits(runs: str = "", kind: str = "standby", known: bool = True) -> dict:
    """Return a node that waits, of a network that runs this version."""
    if kind != "standby":
        waiting = {"kind": kind, "rollup": "", "mismatches": []}
        return {"status": answers(dict(NAMED)), "waiting": waiting, "network_version": runs, "l1": L1}
    return {**STANDBY, "network_version": runs, **({} if known else {"waiting": None})}


def follows(runs: str = "", rollup: str = NEXT) -> dict:
    """Return a node that follows a rollup, of a network that runs this version."""
    return {"status": answers({**NAMED, "x-aztec-l1rollupaddress": rollup}), "l1": L1, "network_version": runs}


def differs(runs: str = "", own: str = "0x9") -> dict:
    """Return a node whose protocol is another than the rollup's, of a network that runs this version."""
    root = sorted(ROOTS)[0]
    l1 = {**L1, "roots": {**ROOTS, root: "0x9"}}
    return {"status": answers({**HEADERS, root: own if own != "0x9" else "0x8"}), "l1": l1, "network_version": runs}


# A node of the version that the network runs, and of the current rollup.
WELL = seen(node={"status": answers(dict(NAMED)), "l1": L1})
FIVE = {"line": "5"}
RUNS = ("6.0.0", "4.1.1", "4.1.2")


def node(**changes: object) -> Lines:
    """Return what checks only the node's host, for a node like this."""

    def lines() -> list[str]:
        host_infos = fleet(node=changes)
        return problems_of(
            {
                "node-1": host_info(
                    ["prover_node"], host_infos["node-1"]["projects"]["aztec-prover-node"]["containers"][0]
                )
            },
            {**FLEET, "hosts": {"node-1": {**FLEET["hosts"]["node-1"], "components": ["prover_node"]}}},
        )

    return lines


FILE = "/etc/aztec-port-guard/x.json was changed by somebody else"
GUARD = agent_host()

RUNNING = cases(
    # standby and other rollups
    *(
        (expected, seen(node=waits(runs, known=known)), WELL)
        for known, what in ((True, "differs in VK tree root"), (False, "its log no longer shows why"))
        for runs, expected in (
            ("4.1.1", "wait until the network, which runs 4.1.1"),
            ("4.1.2", "compare 4.1.2 with docs"),
            ("6.0.0", "set aztec_version to 6.0.0"),
            ("", "if it was started ahead of a hard fork, wait"),
        )
    ),
    ("compare 4.1.2 with docs", seen(FIVE, node=waits("4.1.2", "soft shutdown")), WELL),
    ("set aztec_version to 6.0.0", seen(FIVE, node=waits("6.0.0", "soft shutdown")), WELL),
    ("compare 4.1.2 with docs", node(**follows("4.1.2")), WELL),
    ("set aztec_version to 6.0.0", node(**follows("6.0.0")), WELL),
    ("compare 4.1.2 with docs", node(**differs("4.1.2")), WELL),
    ("set aztec_version to 6.0.0", node(**differs("6.0.0")), WELL),
    # images, containers, hosts
    ("but the inventory contains", seen(agent={"image": "aztecprotocol/aztec:4.1.1"}), seen()),
    ("is another image than on", seen(agent={"image_digests": ["aztecprotocol/aztec@sha256:ff"]}), seen()),
    (
        "they reject each other",
        seen(agent={"status": answers({**HEADERS, "x-aztec-packageversion": "9"})}),
        seen(),
    ),
    ("does not have a container: run site.yml", at_agent(), at_agent("prover-agent")),
    (
        "is not in the inventory",
        at_agent("prover-agent-1", "prover-agent-2", "prover-agent-3", count=2),
        at_agent("prover-agent-1", "prover-agent-2", count=2),
    ),
    (
        "runs on a host that is not in its group",
        at_agent("prover-agent", "prover-broker"),
        at_agent("prover-agent", "prover-broker", components=("prover_broker", "prover_agent")),
        at_agent("prover-agent"),
    ),
    ("Docker's firewall rules are missing", agent_host(engine={"rules": False}), seen()),
    ("is unreachable: see the error above", lambda: problems_of({**fleet(), "agent-1": UNREACHABLE}, FLEET), seen()),
    ("failed earlier in this run", lambda: problems_of({**fleet(), "agent-1": FAILED_EARLIER}, FLEET), seen()),
    # the port guard; tests/system and test_port_guard.py check the kernel's state after these actions
    ("is not installed: run site.yml", agent_host(guard={"installed": False, "loaded": False, "owner": ""}), GUARD),
    ("tables are missing: run systemctl", agent_host(guard={"loaded": False, "owner": ""}), GUARD),
    ("the port guard's tables do not have an owner", agent_host(guard={"owner": "none"}), GUARD),
    ("belongs to process 9 (x): end that process", agent_host(guard={"owner": "process 9 (x)"}), GUARD),
    ("delete the file, then run site.yml", agent_host(guard={"problems": [FILE]}), GUARD),
    ("does not have a section for this component", agent_host(guard={"sections": []}), GUARD),
    ("differ from its sections", agent_host(guard={"outdated": True}), GUARD),
    ("does not start after a reboot", agent_host(guard={"enabled": False}), GUARD),
)
