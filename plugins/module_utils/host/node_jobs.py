# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a node on this host is submitting a proof."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.api_client import (
    ApiClient,
    ErrorResponse,
    RequestError,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import bracketed, number
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import is_service_of
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import docker_engine

SECONDS = 10
# Of release line 4, on the RPC port. From 5 on it is on the admin port and requires a key.
METHOD = "prover_getJobs"


def node_jobs(engine: docker_engine.Engine, projects: list[str]) -> dict[str, Any]:
    """Return the states of the proving jobs of the nodes that run in these Compose projects.

    running: the number of nodes. states: those of their jobs. error: why the states are not known, '' where they are.
    """
    found: dict[str, Any] = {"running": 0, "states": [], "error": ""}
    try:
        for project in projects:
            for facts, inspected in docker_engine.project_containers(engine, project):
                status = (inspected.get("State") or {}).get("Status")
                if is_service_of(facts["service"], "prover_node") and status not in ("exited", "created", "dead"):
                    found["running"] += 1
                    found["states"] += job_states(inspected)
    except (docker_engine.EngineError, RequestError, ErrorResponse) as error:
        found["error"] = str(error)
    return found


def job_states(inspected: dict[str, Any]) -> list[str]:
    """Return the states of a node's jobs. Raise RequestError or ErrorResponse."""
    port = number(docker_engine.environment(inspected).get("AZTEC_PORT"), 16) or 8080
    url = f"http://{bracketed(docker_engine.container_address(inspected))}:{port}/"
    with closing(ApiClient(url, SECONDS)) as client:
        jobs = client.rpc(METHOD)
    if not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
        raise RequestError("other", f"returns no list of jobs for {METHOD}")
    return [str(job.get("status")) for job in jobs]
