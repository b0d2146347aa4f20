"""Problems of a change of the version, and of the hosts' own updates: a row is (a part of the line, before, after)."""

from __future__ import annotations

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.upgrade import (
    downgrade_problems,
    engine_problems,
    split_problems,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.automatic_update_checks import (
    automatic_update_problems,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.status.logs import lines_problem, log_blocks

from tests.remedies.case import Lines, cases, problem_lines, returned

STORES = {"archiver": 5}
FLEET = {"node": {"host": "node-1"}, "broker": {"host": "broker-1"}, "agents": ["agent-1", "agent-2"]}

ALL = ("node-1", "broker-1", "agent-1", "agent-2")


def version(own: str, schemas: dict | None = None, allowed: bool = False, recorded: dict | None = None) -> Lines:
    """Return what checks a version on a host on which 4.1.3 runs. schemas: those of the data, {} for an empty one."""
    data = {"path": "/data", "schemas": STORES if schemas is None else schemas, "recorded": recorded or {}}
    project = {"containers": [{"image": "aztec:4.1.3", "state": "running"}], "data": data}
    return lambda: problem_lines(downgrade_problems("node-1", "prover_node", f"aztec:{own}", project, allowed))


def limit(*hosts: str) -> Lines:
    """Return what checks a change of the version on these hosts."""
    changed = {host: [component] for host, component in (("node-1", "prover_node"), ("broker-1", "prover_broker"))}
    own = {host: components for host, components in changed.items() if host in hosts}
    return lambda: problem_lines(split_problems(own, hosts, FLEET))


def agent_limit(*hosts: str) -> Lines:
    """Return what checks the change of the version of an agent on these hosts."""
    return lambda: problem_lines(split_problems({"agent-1": ["prover_agent"]}, hosts, FLEET))


def docker_change(image: str, *restarts: str) -> Lines:
    """Return what checks a run of 4.1.3 that stops containers on some hosts. image: that of the running broker."""
    containers = [{"image": image, "state": "running"}]
    host_infos = {"broker-1": {"projects": {"aztec-prover-broker": {"containers": containers}}}}
    changed = {"broker-1": ["prover_broker"] if image != "aztec:4.1.3" else []}
    return lambda: problem_lines(engine_problems(changed, restarts, host_infos, {**FLEET, "version": "4.1.3"}))


def updates(origins: tuple = (), blocked: tuple = (), kept: tuple | None = None) -> Lines:
    """Return what checks the updates of a host with Docker's packages. kept: those of needrestart, None without it."""
    upgrades = {"enabled": True, "origins": list(origins), "blocked": list(blocked)}
    restarts = None if kept is None else {"mode": "", "kept": list(kept)}
    engine = {"packages": {"docker-ce": "28", "containerd.io": "1.7"}}
    host_info = {"engine": engine, "automatic_updates": {"upgrades": upgrades, "restarts": restarts}}
    return lambda: problem_lines(automatic_update_problems("node-1", host_info))


def logs(host_info: dict) -> Lines:
    """Return the lines on a host whose log cannot be displayed."""
    blocks = log_blocks("agent-1", host_info, {"aztec-prover-agent": "prover_agent"})
    return lambda: [line for block in blocks for line in block if not line.startswith(("===", "("))]


def agent(serves: bool = True, containers: tuple = ()) -> dict:
    """Return the host info of an agent's host."""
    engine = {"serves": serves, "error": "connection refused"}
    return {"engine": engine, "projects": {"aztec-prover-agent": {"containers": list(containers)}}}


RUNNING = {"name": "agent", "image": "aztec:4.1.2", "state": "running", "log": {"lines": [], "error": ""}}
OLDER = {"4.1.2": {"archiver": 4}}
DOCKER_ORIGIN = ("Docker:noble",)

UPGRADES = cases(
    (
        "but aztec_version is the older 4.1.2: set aztec_version to 4.1.3, or add -e aztec_allow_downgrade=true",
        version("4.1.2", recorded={"4.1.2": STORES}),
        version("4.1.3"),
        version("4.1.2", allowed=True, recorded={"4.1.2": STORES}),
    ),
    (
        "has changed archiver in /data, which 4.1.2 would delete and synchronize again",
        version("4.1.2", allowed=True, recorded=OLDER),
        version("4.1.3", allowed=True, recorded=OLDER),
        version("4.1.2", {"archiver": 4}, allowed=True, recorded=OLDER),
        version("4.1.2", {}, recorded=OLDER),
    ),
    (
        "which is of another release line than 2.1.11",
        version("2.1.11", allowed=True),
        version("4.1.3"),
        version("2.1.11", {}),
    ),
    ("it is the first run of 4.1.2 here", version("4.1.2", allowed=True), version("4.1.3")),
    ("the node changes its version, but the broker is not", limit("node-1"), limit(*ALL)),
    (
        "the version changes, and a change of Docker stops containers",
        docker_change("aztec:4.1.2", "agent-1"),
        docker_change("aztec:4.1.3", "agent-1"),
        docker_change("aztec:4.1.2"),
    ),
    (
        "set the previous image, run site.yml",
        docker_change("aztec:latest", "agent-1"),
        docker_change("aztec:4.1.3", "agent-1"),
    ),
    ("a running agent changes its version, but the", agent_limit("agent-1"), agent_limit("agent-1", "broker-1")),
    (
        "unattended-upgrades may update docker-ce and containerd.io",
        updates(DOCKER_ORIGIN),
        updates(DOCKER_ORIGIN, ("docker-ce$", "containerd.io$")),
    ),
    (
        "needrestart may restart docker.service and containerd.service",
        updates(kept=()),
        updates(kept=("^docker", "^containerd")),
    ),
    ("logs_lines 0 is not a number of lines", returned(lines_problem, 0), returned(lines_problem, 10000)),
    ("agent-1: Docker does not respond", logs(agent(serves=False)), logs(agent(containers=(RUNNING,)))),
    ("agent-1: prover_agent: no container", logs(agent()), logs(agent(containers=(RUNNING,)))),
)
