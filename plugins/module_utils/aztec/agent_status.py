# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What prover agents report about their work."""

from __future__ import annotations

import math
import socket
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.api_client import (
    ApiClient,
    ErrorResponse,
    RequestError,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.containers import parse_time


@dataclass(frozen=True)
class Work:
    """The work of one agent. job: the id of its job, '' while it is idle. kind: the type of the proof.

    started: when the job began, in Unix time, -inf if the agent does not report it.
    """

    job: str = ""
    kind: str = ""
    started: float = -math.inf


def agent_methods(method: str, count: int) -> list[str]:
    """Return the method for each agent of a process: agent_getStatus for one, agent0_getStatus... for several."""
    if count == 1:
        return [method]
    space, sep, name = method.partition("_")
    return [f"{space}{index}{sep}{name}" for index in range(count)]


def parse_work(result: Any) -> Work | None:
    """Return the work in a result of agent_getStatus, None if it is not such a result."""
    if not isinstance(result, dict) or not isinstance(result.get("status"), str):
        return None
    if result["status"] != "proving":
        return Work()
    kind, started = (printable(str(result.get(key) or ""), 60) for key in ("proofType", "startedAtISO"))
    return Work(printable(str(result.get("jobId") or "unknown"), 100), kind, parse_time(started) or -math.inf)


def query_work(url: str, methods: list[str], seconds: float) -> list[Work | None]:
    """Return the work of each agent of a process, None for one that does not respond.

    Agents of a process that does not listen yet count as idle. seconds: the limit for all responses together.
    """
    found: list[Work | None] = []
    with closing(ApiClient(url, seconds)) as client:
        for method in methods:
            try:
                found.append(parse_work(client.rpc(method)))
            except (RequestError, ErrorResponse):
                found.append(Work() if _refuses(url, seconds) else None)
    return found


def _refuses(url: str, seconds: float) -> bool:
    """Return whether nothing listens on the port of a URL."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port), seconds).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False
