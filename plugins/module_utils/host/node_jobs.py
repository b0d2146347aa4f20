# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proving jobs of a node on this host: whether it is submitting a proof, and starting a proof again."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.api_client import (
    ApiClient,
    ErrorResponse,
    RequestError,
    rpc_body,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import bracketed, number
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import is_service_of
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import docker_engine

SECONDS = 10
# Before a proof begins, the node collects the epoch's transactions, for 2 minutes at most by default.
START_SECONDS = 180
# The states of a job that has ended (EpochProvingJobTerminalState of 2.1 to 6).
ENDED = ("completed", "failed", "stopped", "timed-out", "reorg")


def node_jobs(engine: docker_engine.Engine, query: dict[str, Any]) -> dict[str, Any]:
    """Return the states of the proving jobs of nodes that run.

    query: their Compose projects, and jobs, admin and admin_key as for start_proof.
    running: the number of nodes. states: those of their jobs. error: why the states are not known, '' where they are.
    """
    found: dict[str, Any] = {"running": 0, "states": [], "error": ""}
    try:
        for project in query["projects"]:
            for facts, inspected in docker_engine.project_containers(engine, project):
                status = (inspected.get("State") or {}).get("Status")
                if is_service_of(facts["service"], "prover_node") and status not in ("exited", "created", "dead"):
                    found["running"] += 1
                    found["states"] += job_states(inspected, query)
    except (docker_engine.EngineError, RequestError, ErrorResponse) as error:
        found["error"] = str(error)
    return found


def job_states(inspected: dict[str, Any], query: dict[str, Any]) -> list[str]:
    """Return the states of a node's jobs. Raise RequestError or ErrorResponse."""
    url, headers = port_of(inspected, query)
    with closing(ApiClient(url, SECONDS, headers)) as client:
        return [str(job.get("status")) for job in jobs_of(client, query["jobs"])]


def port_of(inspected: dict[str, Any], query: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Return URL and headers for the port of a node that has the jobs."""
    return node_url(inspected, query["admin"]), admin_headers(query["admin_key"] if query["admin"] else "")


def node_url(inspected: dict[str, Any], admin: bool) -> str:
    """Return the URL of a node's RPC or admin port, as it is reachable from its host."""
    name, default = ("AZTEC_ADMIN_PORT", 8880) if admin else ("AZTEC_PORT", 8080)
    port = number(docker_engine.environment(inspected).get(name), 16) or default
    return f"http://{bracketed(docker_engine.container_address(inspected))}:{port}/"


def admin_headers(key: str) -> dict[str, str]:
    """Return the headers of a request to the admin API. key: its key, '' for none."""
    return {"x-api-key": key} if key else {}


def jobs_of(client: ApiClient, method: str) -> list[dict[str, Any]]:
    """Return a node's jobs. Raise RequestError or ErrorResponse."""
    jobs = client.rpc(method)
    if not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
        raise RequestError("other", f"returns no list of jobs for {method}")
    return jobs


def state_of(jobs: list[dict[str, Any]], epoch: int) -> str:
    """Return the state of the job that works on an epoch, '' for none."""
    states = [str(job.get("status")) for job in jobs if str(job.get("epochNumber")) == str(epoch)]
    return next((state for state in states if state not in ENDED), "")


def start_proof(inspected: dict[str, Any], query: dict[str, Any]) -> dict[str, str]:
    """Start the proof of an epoch, unless the node works on it already.

    query: jobs and start (methods), admin (whether they are at the admin port), admin_key (of the admin API, '' for
    none) and epoch. Return before and after, the states of the epoch's job ('' for none), and kind and error if the
    node does not start it.
    """
    found = {"before": "", "after": "", "kind": "", "error": ""}
    url, headers = port_of(inspected, query)
    epoch = query["epoch"]
    try:
        with closing(ApiClient(url, SECONDS, headers)) as client:
            found["before"] = state_of(jobs_of(client, query["jobs"]), epoch)
        if found["before"]:
            return found
        with closing(ApiClient(url, START_SECONDS, headers)) as client:
            # The method returns nothing, so that the response of a success has no result.
            status, response = client.json("POST", body=rpc_body(query["start"], epoch))
            if response.get("error") or status != 200:
                raise ErrorResponse(f"rejects {query['start']}{client.reason(json.dumps(response).encode())}")
        with closing(ApiClient(url, SECONDS, headers)) as client:
            found["after"] = state_of(jobs_of(client, query["jobs"]), epoch)
    except RequestError as error:
        found.update(kind=error.kind, error=error.text)
    except ErrorResponse as error:
        found.update(kind="rejected", error=str(error))
    return found


def running_node(engine: docker_engine.Engine, project: str) -> dict[str, Any] | None:
    """Return the engine's inspection of the running node in a Compose project, None for none. Raise EngineError."""
    for facts, inspected in docker_engine.project_containers(engine, project):
        if is_service_of(facts["service"], "prover_node") and (inspected.get("State") or {}).get("Status") == "running":
            return inspected
    return None
