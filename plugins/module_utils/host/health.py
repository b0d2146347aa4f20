# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""State of running Aztec containers: health, contact of agents with their broker, and progress of the node."""

from __future__ import annotations

import json
import re
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Callable
from urllib.parse import urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec import broker_queue
from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.agent_status import agent_methods
from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.network_config import read_cached
from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.networks import NETWORKS
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.api_client import (
    ApiClient,
    ErrorResponse,
    RequestError,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.files import read_text
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import (
    REQUEST_ERRORS,
    Connection,
    bracketed,
    number,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.redaction import Redactor, redact_patterns
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import is_service_of
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.containers import parse_time
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import docker_engine
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.network import (
    NO_STATUS,
    parse_sockets,
    query_status,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.node_jobs import admin_headers, node_url
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.client import inside
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.proofs import L1_SLOT_SECONDS, read_proofs

# Seconds. While an agent computes a proof it does not respond: the same thread does both.
TIMEOUT = 10
# For all requests to one L1 URL, and to all agents of a process, together.
TOTAL_TIMEOUT = 3 * TIMEOUT
LOG_SECONDS = 600
LOG_LINES = 400
# Of a broker's log, since its start: two or three lines for each of the hundreds of jobs of an epoch.
QUEUE_LINES = 5000
# Characters of a log line that is shown to the operator.
LINE_LENGTH = 2000
# Seconds after which a contact counts as lost: many times the longest usual poll interval.
CONTACT_SECONDS = 60
TIME_WAIT_SECONDS = 60
CANONICAL_ROLLUP = "0x971b0e6b"
# Selectors of (pending, proven). From 4 on checkpoints are proven, with 2.1 blocks.
TIP_SELECTORS = {"checkpoint": ("0x9891be8e", "0x1f8352e9"), "block": ("0x48b9e57b", "0xb67d057b")}
BROKER_ERROR = re.compile(
    r"fetch failed|ECONNREFUSED|ECONNRESET|EHOSTUNREACH|ETIMEDOUT|UND_ERR|Error (?:while )?fetching", re.IGNORECASE
)
BROKER_WORK = re.compile(r"Job id=\S+ .*completed|Starting job id=")
SYNCED = re.compile(r"Downloaded (?:L2 )?(?:block|checkpoint) (\d+)|World state updated with L2 block (\d+)")
# What a program logs that waits for its rollup (cli/cmds/standby.ts of 4.1.2 and 6; seen with 4.1.2), and one of 5 or 6
# that has stopped its work with ENABLE_AUTO_SHUTDOWN (cli/util.ts of 6, not seen running).
WAITS = re.compile(r"Entering standby mode|Still waiting\. Rollup at 0x|Exiting standby mode|"
                   r"Subsystems stopped due to rollup upgrade|Canonical rollup upgrade detected: stopping subsystems")
WAITS_FOR = re.compile(r"Rollup at (0x[0-9a-fA-F]{40})\b")
MISMATCH = re.compile(
    r"(genesis archive root|VK tree root|protocol contracts hash) "
    r"\(expected (0x[0-9a-fA-F]{1,64}), got (0x[0-9a-fA-F]{1,64})\)"
)
# Levels of Aztec's logging library (pino).
LEVELS = {10: "TRACE", 20: "DEBUG", 30: "INFO", 40: "WARN", 50: "ERROR", 60: "FATAL"}
SECRET_WORDS = ("KEY", "SECRET", "PASSWORD", "TOKEN", "MNEMONIC")


def environment_redactor(env: dict[str, str]) -> Redactor:
    """Return the redactor for the secrets in a container's environment: keys, and L1 URLs with their hosts."""
    secrets = {name: value for name, value in env.items() if any(word in name for word in SECRET_WORDS)}
    for name, value in env.items():
        if name.startswith(("ETHEREUM_", "L1_")) and "://" in value:
            hosts = re.findall(r"://(?:[^/,]*@)?([^/,]+)", value)
            secrets.update({name: value, **{f"{name} {host}": host for host in hosts}})
    return Redactor(secrets)


def call(url: str, method: str, *params: Any, seconds: float = TIMEOUT, headers: dict | None = None) -> Any:
    """Return the result of a JSON-RPC call. Raise RequestError or ErrorResponse."""
    with closing(ApiClient(url, seconds, headers)) as client:
        return client.rpc(method, *params)


def call_for_number(url: str, method: str, *params: Any, deadline: float) -> int:
    """Return the number of at most 256 bits that a JSON-RPC call returns before a deadline (monotonic time)."""
    found = number(call(url, method, *params, seconds=max(0, min(TIMEOUT, deadline - time.monotonic()))), 256)
    if found is None:
        raise ErrorResponse(f"returns no number for {method}")
    return found


def post_status(host: str, port: int, seconds: float = TIMEOUT) -> int | None:
    """Return the status code of a POST without a JSON-RPC call, which has no effect, None without a response."""
    headers = {"Content-Type": "application/json"}
    try:
        with closing(Connection(host, port, seconds)) as connection:
            return connection.request("POST", "/", "{}", headers, limit=0, truncate=True).status
    except REQUEST_ERRORS:
        return None


def waiting_state(log: list[tuple[float, str]], started: float) -> dict[str, Any] | None:
    """Return why a container waits, by its log since its last start (Unix time), None where it works.

    kind: "standby" or "soft shutdown". For standby also the canonical rollup on the L1, and mismatches: what, expected
    (the value of the program) and got (the value of the rollup).
    """
    at, line = last_match([row for row in log if row[0] >= started], WAITS)
    if not at or "Exiting standby mode" in line:
        return None
    if "rollup upgrade" in line:
        return {"kind": "soft shutdown", "rollup": "", "mismatches": []}
    rollup = WAITS_FOR.search(line)
    return {
        "kind": "standby",
        "rollup": rollup.group(1) if rollup else "",
        "mismatches": [dict(zip(("what", "expected", "got"), found)) for found in MISMATCH.findall(line)[:3]],
    }


def is_pinned(env: dict[str, str], inspected: dict[str, Any]) -> bool:
    """Return whether a container is configured for a fixed rollup instead of the canonical one."""
    version = env.get("ROLLUP_VERSION", "")
    return "--rollup-version" in (inspected.get("Args") or []) or version not in ("", "canonical")


def broker_target(env: dict[str, str]) -> tuple[str, int]:
    """Return host and port of the container's broker."""
    parts = urlsplit(env.get("PROVER_BROKER_HOST", ""))
    try:
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", 0


def is_broker(address: str, host: str) -> bool:
    """Return whether a remote address can be the broker. Where the broker is set by name, any address can."""
    named = not re.match(r"^[0-9.]+$|:", host)
    return named or address.strip("[]").lower().replace("::ffff:", "") == host.lower()


def latest_connection(text: str, host: str, port: int, now: float) -> tuple[float, str]:
    """Return (Unix time, source) of the latest contact in the output of `ss -Htin state connected`, (0, '') for none.

    A connection that never received data does not count. One that the broker closed does, since an agent that is busy
    closes it late: the end itself counts as one byte, but not in the time of the last data.
    """
    times = []
    for line in re.sub(r"\n\s+", " ", text).splitlines():
        fields = line.split()
        # State, Recv-Q, Send-Q, local, peer.
        address, _sep, peer_port = fields[4].rpartition(":") if len(fields) > 4 else ("", "", "")
        last, received = (re.search(rf"\b{name}:(\d+)", line) for name in ("lastrcv", "bytes_received"))
        with_data = last and received and int(received.group(1)) > (fields[0] != "ESTAB")
        if peer_port == str(port) and is_broker(address, host) and with_data:
            times.append(now - int(last.group(1)) / 1000)
    return (max(times), "connection") if times else (0.0, "")


def latest_table_entry(rows: list[dict[str, Any]], host: str, port: int, now: float) -> tuple[float, str]:
    """Return the same for rows of parse_sockets. A connection in TIME_WAIT was closed normally some seconds ago.

    An established connection without unacknowledged data counts as a contact now: the table contains no time.
    """
    rows = [row for row in rows if row["remote_port"] == port and is_broker(row["remote_address"], host)]
    times = [now - max(0.0, TIME_WAIT_SECONDS - row["timer"]) for row in rows if row["state"] == "time_wait"]
    live = [row for row in rows if row["state"] == "established"]
    times += [now for row in live if not row["retransmits"] and not row["unsent"]]
    return (max(times), "connection") if times else (0.0, "")


def remote_clients(rows: list[dict[str, Any]], port: int, own_subnets: list) -> list[str]:
    """Return the remote addresses of connections to a port that are open or ended within the last minute.

    rows: from parse_sockets. own_subnets: the container's networks, whose addresses do not count.
    """
    used = [row for row in rows if row["port"] == port and row["state"] in ("established", "time_wait")]
    found = {ip_address(row["remote_address"]) for row in used}
    own = {one for one in found if one.is_loopback or any(one in network for network in own_subnets)}
    return sorted(map(str, found - own))


def container_subnets(inspected: dict[str, Any]) -> list:
    """Return the IPv4 and IPv6 subnets of a container's networks."""
    networks = ((inspected.get("NetworkSettings") or {}).get("Networks") or {}).values()
    fields = (("IPAddress", "IPPrefixLen"), ("GlobalIPv6Address", "GlobalIPv6PrefixLen"))
    pairs = [(network.get(address), network.get(length)) for network in networks for address, length in fields]
    return [ip_network(f"{address}/{length}", strict=False) for address, length in pairs if address and length]


def split_log(text: str) -> list[tuple[float, str]]:
    """Return (Unix time, printable line) of each line of an engine log with timestamps."""
    lines = (line.partition(" ") for line in text.split("\n"))
    rows = ((parse_time(stamp), rest) for stamp, _sep, rest in lines)
    return [(at, printable(plain_line(printable(rest)))) for at, rest in rows if at]


def last_lines(engine: docker_engine.Engine, inspected: dict[str, Any], lines: int) -> dict[str, Any]:
    """Return the last lines of a container's log without secrets, and the error if the engine does not return it.

    lines: (time, text) of each, with the time in seconds since 1970. A long text is cut to LINE_LENGTH characters.
    """
    redactor = environment_redactor(docker_engine.environment(inspected))
    path = f"/containers/{inspected['Id']}/logs"
    try:
        raw = engine.get(path, stdout="1", stderr="1", timestamps="1", tail=str(lines))
    except docker_engine.EngineError as error:
        return {"lines": [], "error": str(error.args[0])}
    # A secret can contain what split_log replaces, such as an escape sequence: redact before and after.
    text = redactor(docker_engine.decode_log(raw, bool((inspected.get("Config") or {}).get("Tty"))))
    found = split_log(text)[-lines:]
    return {"lines": [(at, printable(redact_patterns(redactor(line)), LINE_LENGTH)) for at, line in found], "error": ""}


def plain_line(text: str) -> str:
    """Return a log line in Aztec's JSON format (LOG_JSON) as Aztec's text format, any other line unchanged."""
    if not text.startswith('{"level":'):
        return text
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return text
    level = entry["level"] if isinstance(entry["level"], int) else 30
    return f"{LEVELS.get(level, 'INFO')}: {entry.get('module', '')} {entry.get('msg', '')}"


def last_match(log: list[tuple[float, str]], pattern: re.Pattern) -> tuple[float, str]:
    """Return (time, line) of the last line that matches a pattern, (0, '') for none."""
    return next((row for row in reversed(log) if pattern.search(row[1])), (0.0, ""))


def broker_contact(
    connections: tuple[float, str], log: list[tuple[float, str]], port: int, env: dict[str, str], now: float
) -> dict[str, Any]:
    """Return an agent's last contact with its broker: time (None for never), source, and whether it is lost."""
    worked = last_match(log, BROKER_WORK)[0]
    failed, line = last_match(log, BROKER_ERROR)
    at, source = max(connections, (worked, "log" if worked else ""))
    fresh = at > 0 and now - at <= CONTACT_SECONDS + poll_seconds(env) * 3
    lost = not fresh or (failed > at and now - failed < CONTACT_SECONDS)
    return {
        "at": round(at, 1) if at else None,
        "seconds_ago": round(max(0.0, now - at), 1) if at else None,
        "source": source,
        "state": "lost" if lost else "ok",
        "port": port,
        "error": error_code(line) if lost else "",
    }


def error_code(line: str) -> str:
    """Return the error code of a failed connection in a log line."""
    match = re.search(r"\b(?:E[A-Z]{5,}|UND_ERR_\w+)\b", line.replace("ERROR", "")) or BROKER_ERROR.search(line)
    return match.group(0) if match else ""


def poll_seconds(env: dict[str, str]) -> float:
    """Return the agent's poll interval in seconds."""
    found = number(env.get("PROVER_AGENT_POLL_INTERVAL_MS", "1000"))
    return 1.0 if found is None else found / 1000


def node_tips(result: Any) -> dict[str, Any]:
    """Return the latest and the proven number, in blocks and in checkpoints, from the tips that a node returns.

    2.1 returns {latest: {number}, proven: {number}}, 4 and later
    {proposed: {number}, checkpointed: {block, checkpoint}, proven: {block, checkpoint}}.
    """

    def at(*path: str) -> int | None:
        value = inside(result, *path)
        if isinstance(value, int) and not isinstance(value, bool):
            return value if 0 <= value < 2**64 else None
        return number(value)

    def first(*paths: tuple) -> int | None:
        return next((value for value in (at(*path, "number") for path in paths) if value is not None), None)

    return {
        "block": first(("proposed",), ("latest",), ("latest", "block")),
        "proven_block": first(("proven",), ("proven", "block")),
        "checkpoint": at("checkpointed", "checkpoint", "number"),
        "proven_checkpoint": at("proven", "checkpoint", "number"),
    }


def epoch_jobs(result: Any) -> list[dict[str, Any]]:
    """Return {epoch, state} of each epoch that a node works on, from its jobs. Others than jobs are omitted."""
    jobs = result if isinstance(result, list) else []
    found = [(inside(job, "epochNumber"), inside(job, "status")) for job in jobs if isinstance(job, dict)]
    return [{"epoch": number(str(epoch)), "state": printable(str(state), 40)} for epoch, state in found]


def connected_peers(result: Any) -> int | None:
    """Return how many peers a node is connected to, by the result of p2p_getPeers, None where it is something else."""
    return sum(inside(one, "status") == "connected" for one in result) if isinstance(result, list) else None


def l1_proofs(urls: list[str], rollup: dict[str, Any], prover: str, epochs: int, slot_seconds: int) -> dict[str, Any]:
    """Return the result of read_proofs from the first URL that responds, or {error}. rollup: from l1_tips."""
    error = rollup["error"] or ("" if urls else "no L1 URL is known")
    for position, url in enumerate(urls if not error else [], 1):
        try:
            with closing(ApiClient(url, TIMEOUT)) as client:
                return {**read_proofs(client.rpc, rollup, prover, epochs, slot_seconds), "error": ""}
        except (RequestError, ErrorResponse) as problem:
            error = f"L1 URL {position} {problem}"
    return {"error": error}


def network_name(env: dict[str, str], inspected: dict[str, Any]) -> str:
    """Return the name of a container's Aztec network, '' for none."""
    command = [str(word) for word in (inspected.get("Path"), *(inspected.get("Args") or [])) if word]
    if "--network" in command[:-1]:
        return command[command.index("--network") + 1]
    return env.get("NETWORK", "")


def network_value(env: dict[str, str], inspected: dict[str, Any], root: Path, name: str) -> Any:
    """Return a value of the network configuration that a container has read, None for none."""
    network = network_name(env, inspected)
    container = root / "proc" / str((inspected.get("State") or {}).get("Pid", 0)) / "root"
    location = env.get("NETWORK_CONFIG_LOCATION", "")
    files = [container / env.get("DATA_DIRECTORY", "").lstrip("/") / "cache" / network / "network_config.json"]
    if location and not location.startswith(("http://", "https://")):
        files.insert(0, container / location.replace("file://", "").lstrip("/"))
    for path in files:
        with suppress(ValueError, KeyError, TypeError):
            return read_cached(str(path))[0][network][name]
    return None


def registry_address(env: dict[str, str], inspected: dict[str, Any], root: Path) -> str:
    """Return the registry that a node uses: from its environment, the network configuration, or the published one."""
    if env.get("REGISTRY_CONTRACT_ADDRESS"):
        return env["REGISTRY_CONTRACT_ADDRESS"]
    found = network_value(env, inspected, root, "registryAddress")
    known = NETWORKS.get(network_name(env, inspected))
    return found if isinstance(found, str) else known.registry if known else ""


def rollup_roots(url: str, rollup: str, slots: dict[str, str], deadline: float) -> dict[str, str]:
    """Return values of a rollup's storage by the name of the header with the same value: 0x and 64 hex digits each.

    An empty slot is omitted: the storage of this rollup has another layout.
    """
    found = {}
    for name, slot in slots.items():
        with suppress(RequestError, ErrorResponse):
            found[name] = call_for_number(url, "eth_getStorageAt", rollup, slot, "latest", deadline=deadline)
    return {name: f"0x{value:064x}" for name, value in found.items() if value}


def l1_tips(urls: list[str], registry: str, slots: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the state of the canonical rollup on the L1, from the first URL that responds within TOTAL_TIMEOUT.

    block (of the L1), rollup (address), pending and proven number in unit, and roots, as rollup_roots returns them.
    """
    result: dict[str, Any] = {
        "block": None, "rollup": "", "roots": {}, "unit": None, "pending": None, "proven": None, "error": "",
    }
    for position, url in enumerate(urls, 1):
        deadline = time.monotonic() + TOTAL_TIMEOUT

        def eth_call(address: str, data: str, url: str = url, deadline: float = deadline) -> int:
            return call_for_number(url, "eth_call", {"to": address, "data": data}, "latest", deadline=deadline)

        try:
            result["block"] = call_for_number(url, "eth_blockNumber", deadline=deadline)
            if not registry:
                return {**result, "error": "the address of the registry is not known"}
            rollup = f"0x{eth_call(registry, CANONICAL_ROLLUP) % 2**160:040x}"
            result.update(rollup=rollup, roots=rollup_roots(url, rollup, slots or {}, deadline))
            for unit, selectors in TIP_SELECTORS.items():
                with suppress(RequestError, ErrorResponse):
                    pending, proven = (eth_call(rollup, data) for data in selectors)
                    return {**result, "unit": unit, "pending": pending, "proven": proven, "error": ""}
            result["error"] = "the rollup does not return its tips"
        except (RequestError, ErrorResponse) as error:
            result["error"] = f"L1 URL {position} {error}"
    return result


def sync_progress(log: list[tuple[float, str]]) -> int | None:
    """Return the last block or checkpoint that a node has synchronized, by its log. Its port is closed until then."""
    match = SYNCED.search(last_match(log, SYNCED)[1])
    return number(match.group(1) or match.group(2)) if match else None


@dataclass
class Prober:
    """Queries the state of containers.

    run: runs commands. rpc: RPC methods. l1_urls: the container's own if empty. slots: the rollup's storage, by header.
    earning: {prover_id, epochs} to query whether the prover earns, {} otherwise. admin_key: of the node's
    admin API, '' for none.
    """

    engine: docker_engine.Engine
    run: Callable
    rpc: dict[str, str]
    l1_urls: list[str]
    root: Path
    now: float
    slots: dict[str, str] = field(default_factory=dict)
    earning: dict[str, Any] = field(default_factory=dict)
    admin_key: str = field(default="", repr=False)

    def log(
        self, inspected: dict[str, Any], seconds: float = LOG_SECONDS, lines: int = LOG_LINES
    ) -> list[tuple[float, str]]:
        """Return a container's last log lines of so many seconds, none where the engine keeps no log."""
        try:
            raw = self.engine.get(
                f"/containers/{inspected['Id']}/logs", stdout="1", stderr="1", timestamps="1",
                tail=str(lines), since=str(max(0, int(self.now - seconds))),
            )
        except docker_engine.EngineError:
            return []
        return split_log(docker_engine.decode_log(raw, bool((inspected.get("Config") or {}).get("Tty"))))

    def sockets(self, pid: int) -> list[dict[str, Any]]:
        """Return the TCP sockets in the network namespace of a process."""
        tables = self.root / "proc" / str(pid) / "net"
        return parse_sockets(read_text(tables / "tcp")) + parse_sockets(read_text(tables / "tcp6")) if pid else []

    def last_connection(self, pid: int, host: str, port: int) -> tuple[float, str]:
        """Return the latest contact over the sockets of a container: from ss, without it from the kernel's table."""
        rows = self.sockets(pid)
        code, out, _err = self.run(
            ["nsenter", f"--net=/proc/{pid}/ns/net", "ss", "-Htin", "state", "connected", "dport", "=", f":{port}"]
        )
        if code != 0:
            return latest_table_entry(rows, host, port, self.now)
        closed = [row for row in rows if row["state"] == "time_wait"]
        return max(latest_connection(out, host, port, self.now), latest_table_entry(closed, host, port, self.now))

    def probe(self, service: str, inspected: dict[str, Any]) -> dict[str, Any]:
        """Return status, rpc and log_error, and by the kind of service broker_contact, clients, or tips, l1, synced."""
        env = docker_engine.environment(inspected)
        host = docker_engine.container_address(inspected)
        port = number(env.get("AZTEC_PORT"), 16) or 8080
        log = self.log(inspected)
        state = inspected.get("State") or {}
        pid = state.get("Pid", 0)
        running = state.get("Status") == "running" and host
        error = last_match(log, re.compile(r"\b(?:ERROR|FATAL)\b"))[1]
        found: dict[str, Any] = {
            "status": query_status(host, port, TIMEOUT) if running else dict(NO_STATUS),
            "rpc": {},
            "log_error": redact_patterns(environment_redactor(env)(error))[:200],
        }
        url = f"http://{bracketed(host)}:{port}/"
        if is_service_of(service, "prover_agent"):
            self.probe_agent(found, url, env, pid, log)
        elif is_service_of(service, "prover_node"):
            self.probe_node(found, url, env, inspected, log)
            self.probe_waiting(found, host, port, env, inspected)
        elif is_service_of(service, "prover_broker"):
            self.probe_waiting(found, host, port, env, inspected)
            found["clients"] = remote_clients(self.sockets(pid), port, container_subnets(inspected))
            if self.earning:
                kept = number(env.get("PROVER_BROKER_MAX_EPOCHS_TO_KEEP_RESULTS_FOR", ""), 16)
                rows = self.log(inspected, self.now, QUEUE_LINES)
                jobs = broker_queue.open_jobs(rows, broker_queue.KEPT_EPOCHS if kept is None else kept)
                found["open_jobs"] = None if jobs is None else len(jobs)
        return found

    def probe_waiting(self, found: dict[str, Any], host: str, port: int, env: dict, inspected: dict) -> None:
        """Add pinned, waiting, network_version, and a POST's status where a working program's headers are missing."""
        found.update(pinned=is_pinned(env, inspected), waiting=None, network_version="")
        status = found["status"]
        if status["code"] != 200:
            return
        silent = not status["headers"]
        if silent:
            status["post"] = post_status(host, port)
        if silent or any(isinstance(result, dict) and "error" in result for result in found["rpc"].values()):
            # A program that has stopped its work no longer logs: its last line can be days old.
            started = parse_time((inspected.get("State") or {}).get("StartedAt") or "")
            found["waiting"] = waiting_state(self.log(inspected, self.now), started)
        version = network_value(env, inspected, self.root, "nodeVersion")
        found["network_version"] = printable(version[:200]) if isinstance(version, str) else ""

    def probe_agent(self, found: dict[str, Any], url: str, env: dict, pid: int, log: list) -> None:
        """Add the status of each agent, and the contact with the broker."""
        count = number(env.get("PROVER_AGENT_COUNT", "1"), 16)
        if found["status"]["code"] is not None:
            deadline = time.monotonic() + TOTAL_TIMEOUT
            for method in agent_methods(self.rpc.get("agent_status", "agent_getStatus"), 1 if count is None else count):
                found["rpc"][method] = self.rpc_result(url, method, min(TIMEOUT, deadline - time.monotonic()))
        broker, port = broker_target(env)
        if broker:
            contact = self.last_connection(pid, broker, port) if pid else (0.0, "")
            found["broker_contact"] = dict(broker_contact(contact, log, port, env, self.now), host=broker)

    def probe_node(self, found: dict[str, Any], url: str, env: dict, inspected: dict, log: list) -> None:
        """Add the tips of the node and those of the L1, and the epochs that the node works on."""
        method = self.rpc.get("l2_tips")
        if found["status"]["code"] is not None and method:
            found["rpc"][method] = self.rpc_result(url, method)
        found["tips"] = node_tips(found["rpc"].get(method))
        running = found["status"]["code"] is not None
        jobs, admin_jobs = (self.rpc.get(name) for name in ("epoch_jobs", "admin_jobs"))
        result = self.rpc_result(url, jobs) if running and jobs else None
        # An earlier release reports them at the RPC port.
        if running and admin_jobs and (self.earning or self.admin_key) and not isinstance(result, list):
            result = self.rpc_result(node_url(inspected, True), admin_jobs, headers=admin_headers(self.admin_key))
            found["jobs_error"] = str(inside(result, "error") or "")
        if isinstance(result, list):
            found["epoch_jobs"] = epoch_jobs(result)
        found["synced"] = sync_progress(log)
        urls = self.l1_urls or [item for item in env.get("ETHEREUM_HOSTS", "").split(",") if item]
        found["l1"] = l1_tips(urls, registry_address(env, inspected, self.root), self.slots)
        if self.earning:
            peers = self.rpc.get("peers")
            listed = self.rpc_result(url, peers) if found["status"]["code"] is not None and peers else None
            found["peers"] = connected_peers(listed)
            slot_seconds = number(env.get("ETHEREUM_SLOT_DURATION", ""), 16) or L1_SLOT_SECONDS
            wanted = str(self.earning["prover_id"]), int(self.earning["epochs"])
            found["proofs"] = l1_proofs(urls, found["l1"], *wanted, slot_seconds)

    def rpc_result(self, url: str, method: str, seconds: float = TIMEOUT, headers: dict | None = None) -> Any:
        """Return the result of a JSON-RPC call, or {error: text}."""
        try:
            return call(url, method, seconds=max(0, seconds), headers=headers)
        except (RequestError, ErrorResponse) as error:
            return {"error": "timed out" if getattr(error, "kind", "") == "timeout" else str(error)}
