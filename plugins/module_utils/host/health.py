# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Questions to running Aztec containers: are they well, do agents reach the broker, how far is the node."""

from __future__ import annotations

import http.client
import json
import re
import time
from contextlib import closing
from datetime import datetime, timezone
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Callable
from urllib.parse import urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.network_config import read_cached
from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.networks import NETWORKS
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import (
    Connection,
    ProxyRefused,
    TooLong,
    basic,
    connection_to,
    number,
    parse_json,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import is_service_of
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_engine import (
    Engine,
    EngineError,
    container_address,
    decode_log,
    environment,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.hardware import read
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.network import error_text, parse_sockets

# An agent that proves answers nothing for many seconds: the same thread does both.
TIMEOUT = 10
# For all questions to one L1 URL, and to all agents of a process, together.
TIMEOUT_TOGETHER = 3 * TIMEOUT
LOG_SECONDS = 600
LOG_LINES = 400
# A contact older than this is lost: many times the longest poll interval that anybody sets.
CONTACT_SECONDS = 60
TIME_WAIT_SECONDS = 60
LONGEST_HEADER = 200
CANONICAL_ROLLUP = "0x971b0e6b"
# Checkpoints are what 4 and later prove; for 2.1 a block was one. (pending, proven) each.
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
# What may be shown of a URL (and of it the userinfo is taken off), and the rest.
USERINFO = re.compile(r"\b((?:https?|wss?)://)[^\s/\"']*@")
URL = re.compile(r"\b((?:https?|wss?)://(?:\[[0-9a-fA-F:.]+\]|[^\s/\"'?#:]+)(?::\d+)?)([^\s\"']*)")
# Levels of the library that Aztec logs with (pino).
LEVELS = {10: "TRACE", 20: "DEBUG", 30: "INFO", 40: "WARN", 50: "ERROR", 60: "FATAL"}
SECRET_WORDS = ("KEY", "SECRET", "PASSWORD", "TOKEN", "MNEMONIC")


def parse_time(text: str) -> float:
    """Unix time of the engine's RFC 3339 time; 0 for none."""
    match = re.match(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?", text)
    if not match or match.group(1).startswith("0001"):
        return 0.0
    zone = (match.group(3) or "Z").replace("Z", "+00:00")
    base = datetime.fromisoformat(match.group(1) + zone).astimezone(timezone.utc).timestamp()
    return base + float("0." + (match.group(2) or "0"))


def mask(text: str, secrets: list[str]) -> str:
    """A text without these secrets, and with URLs cut to scheme, host and port."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, "***")
    text = USERINFO.sub(r"\1", text)
    text = URL.sub(lambda match: match.group(1) + ("/***" if len(match.group(2)) > 1 else match.group(2)), text)
    return re.sub(r"\b0x[0-9a-fA-F]{64}\b", "0x***", text)


def secrets_of(env: dict[str, str]) -> list[str]:
    """The values of a container's environment that are secret: keys, L1 URLs and the hosts in them."""
    found = []
    for name, value in env.items():
        if any(word in name for word in SECRET_WORDS):
            found += [value, *value.split(",")]
        elif name.startswith(("ETHEREUM_", "L1_")) and "://" in value:
            for url in value.split(","):
                found += [url, urlsplit(url).netloc]
    return [value for value in found if value]


class RpcError(Exception):
    """A JSON-RPC call that brought no result; the text names no URL."""


def ask(url: str, method: str, params: list, timeout: float = TIMEOUT, proxies: bool = False) -> Any:
    """The result of a JSON-RPC call, or RpcError. User and password of the URL become a header, as clients do.

    timeout: seconds for the whole call. proxies: whether the environment's proxies are used.
    """
    parts = urlsplit(url)
    headers = {"Content-Type": "application/json", **basic("Authorization", parts)}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    try:
        with closing(connection_to(url, timeout, proxies)) as connection:
            got = connection.ask("POST", path, body, headers).body
    except TooLong as error:
        raise RpcError("the answer is too long") from error
    except ProxyRefused as error:
        raise RpcError(str(error)) from error
    except (http.client.InvalidURL, ValueError) as error:
        # Its text holds the URL.
        raise RpcError("the URL is not one of http, or holds characters that no request may have") from error
    except (OSError, http.client.HTTPException) as error:
        raise RpcError(error_text(error)) from error
    try:
        answer = parse_json(got)
    except ValueError as error:
        raise RpcError(f"answers with {error}") from error
    if not isinstance(answer, dict) or answer.get("error"):
        fault = answer.get("error") if isinstance(answer, dict) else None
        code = fault.get("code") if isinstance(fault, dict) else None
        raise RpcError(f"{method} is refused (code {code})" if isinstance(code, int) else f"{method} is refused")
    return answer.get("result")


def ask_number(url: str, method: str, params: list, until: float) -> int:
    """Return the number in a call's result, of 256 bits at most; until: the moment (monotonic) at which time is over.

    Raise RpcError where there is no number.
    """
    found = number(ask(url, method, params, min(TIMEOUT, until - time.monotonic())), 256)
    if found is None:
        raise RpcError(f"answers {method} without a number")
    return found


def ask_status(host: str, port: int, timeout: float = TIMEOUT) -> dict[str, Any]:
    """GET /status of a container: code (None when nothing answers), body's start, x-aztec-* headers, error."""
    result: dict[str, Any] = {"code": None, "body": "", "headers": {}, "error": ""}
    connection = Connection(host, port, timeout)
    try:
        answer = connection.ask("GET", "/status", longest=2000, whole=False)
        result["body"] = printable(answer.body.decode(errors="replace"), 300)
        result["code"] = answer.status
        result["headers"] = {
            name: printable(value[:LONGEST_HEADER])
            for name, value in answer.headers.items()
            if name.startswith("x-aztec-")
        }
    except (OSError, http.client.HTTPException) as error:
        result["error"] = error_text(error)
    finally:
        connection.close()
    return result


def ask_post(host: str, port: int, timeout: float = TIMEOUT) -> int | None:
    """Return the status code of a POST to / without a question in it, which does nothing; None without an answer."""
    connection = Connection(host, port, timeout)
    try:
        return connection.ask("POST", "/", "{}", {"Content-Type": "application/json"}, longest=0, whole=False).status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def waiting_of(log: list[tuple[float, str]], started: float) -> dict[str, Any] | None:
    """Return what a container's log says of its waiting, from its last start on (Unix time), or None where it works.

    kind is "standby" or "soft shutdown". For standby also the rollup that the L1 names as the canonical one, and
    mismatches: what, expected (the program's own value) and got (the rollup's).
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
    """Return whether a container is kept at a rollup by hand and does not follow the canonical one."""
    version = env.get("ROLLUP_VERSION", "")
    return "--rollup-version" in (inspected.get("Args") or []) or version not in ("", "canonical")


def agent_methods(method: str, count: int) -> list[str]:
    """The names that ask each agent of a process: agent_getStatus for one, agent0_getStatus... for several."""
    if count == 1:
        return [method]
    space, sep, name = method.partition("_")
    return [f"{space}{index}{sep}{name}" for index in range(count)]


def broker_target(env: dict[str, str]) -> tuple[str, int]:
    """Host and port of the container's broker."""
    parts = urlsplit(env.get("PROVER_BROKER_HOST", ""))
    try:
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", 0


def is_peer(address: str, host: str) -> bool:
    """Whether a connection's other end may be the broker: its address, or any when the broker goes by a name."""
    named = not re.match(r"^[0-9.]+$|:", host)
    return named or address.strip("[]").lower().replace("::ffff:", "") == host.lower()


def parse_ss(text: str, host: str, port: int) -> list[dict[str, Any]]:
    """Established connections to the broker in the output of `ss -Htino state established`.

    Gives each one's milliseconds since data came, bytes received, and bytes that wait for an acknowledgement.
    """
    rows = []
    for line in re.sub(r"\n\s+", " ", text).splitlines():
        fields = line.split()
        # Filtered by state, ss leaves its column out: Recv-Q, Send-Q, local, peer.
        if len(fields) < 4:
            continue
        address, _sep, peer_port = fields[3].rpartition(":")
        if peer_port != str(port) or not is_peer(address, host):
            continue
        received = re.search(r"\blastrcv:(\d+)", line)
        amount = re.search(r"\bbytes_received:(\d+)", line)
        if received and amount:
            rows.append({"last_ms": int(received.group(1)), "received": int(amount.group(1)), "unsent": int(fields[1])})
    return rows


def contact_of_connections(rows: list[dict[str, Any]], now: float) -> tuple[float, str]:
    """(unix time, source) of the newest contact that the kernel's sockets prove; (0, '') for none.

    rows are parse_ss's. A connection over which nothing ever came back proves nothing.
    """
    times = [now - row["last_ms"] / 1000 for row in rows if row["received"] > 0]
    return (max(times), "connection") if times else (0.0, "")


def contact_of_table(rows: list[dict[str, Any]], host: str, port: int, now: float) -> tuple[float, str]:
    """The same out of /proc/net/tcp: a connection in TIME_WAIT was closed in good order so many seconds ago.

    An established one without unacknowledged data counts as seen now, since this table has no finer word.
    """
    times = []
    for row in rows:
        if row["remote_port"] != port or not is_peer(row["remote_address"], host):
            continue
        if row["state"] == "time_wait":
            times.append(now - max(0.0, TIME_WAIT_SECONDS - row["timer"]))
        elif row["state"] == "established" and not row["retransmits"] and not row["unsent"]:
            times.append(now)
    return (max(times), "connection") if times else (0.0, "")


def clients_of(rows: list[dict[str, Any]], port: int, beside: list) -> list[str]:
    """Return the remote addresses of connections to a port that are open or ended within the last minute.

    rows: from parse_sockets. beside: the container's own networks, whose addresses do not count.
    """
    found = set()
    for row in rows:
        address = ip_address(row["remote_address"])
        used = row["port"] == port and row["state"] in ("established", "time_wait")
        if used and not address.is_loopback and not any(address in network for network in beside):
            found.add(str(address))
    return sorted(found)


def container_subnets(inspected: dict[str, Any]) -> list:
    """Return the IPv4 and IPv6 subnets of a container's networks."""
    found = []
    for network in ((inspected.get("NetworkSettings") or {}).get("Networks") or {}).values():
        for address, length in (("IPAddress", "IPPrefixLen"), ("GlobalIPv6Address", "GlobalIPv6PrefixLen")):
            if network.get(address) and network.get(length):
                found.append(ip_network(f"{network[address]}/{network[length]}", strict=False))
    return found


def split_log(text: str) -> list[tuple[float, str]]:
    """(unix time, line) of a log that the engine gave with its timestamps; the lines are printable."""
    rows = []
    for line in text.split("\n"):
        stamp, _sep, rest = line.partition(" ")
        at = parse_time(stamp)
        if at:
            rows.append((at, printable(plain_line(printable(rest)))))
    return rows


def plain_line(text: str) -> str:
    """Return a log line of LOG_JSON in the form that Aztec writes without it; any other line as it is."""
    if not text.startswith('{"level":'):
        return text
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return text
    level = entry["level"] if isinstance(entry["level"], int) else 30
    return f"{LEVELS.get(level, 'INFO')}: {entry.get('module', '')} {entry.get('msg', '')}"


def last_match(log: list[tuple[float, str]], pattern: re.Pattern) -> tuple[float, str]:
    """Time and text of the last line that a pattern is found in; (0, '') for none."""
    for at, line in reversed(log):
        if pattern.search(line):
            return at, line
    return 0.0, ""


def broker_contact(
    connections: tuple[float, str], log: list[tuple[float, str]], port: int, env: dict[str, str], now: float
) -> dict[str, Any]:
    """An agent's last contact with its broker: when (unix, None for never), what tells so, and its state."""
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
    """The word in a log line that says why a connection failed."""
    match = re.search(r"\b(?:E[A-Z]{5,}|UND_ERR_\w+)\b", line.replace("ERROR", "")) or BROKER_ERROR.search(line)
    return match.group(0) if match else ""


def poll_seconds(env: dict[str, str]) -> float:
    """The agent's poll interval in seconds."""
    found = number(env.get("PROVER_AGENT_POLL_INTERVAL_MS", "1000"))
    return 1.0 if found is None else found / 1000


def tips_of(answer: Any) -> dict[str, Any]:
    """The node's own tips out of any line's answer: latest and proven number, in blocks and in checkpoints.

    2.1 answers {latest: {number}, proven: {number}}, 4 and later
    {proposed: {number}, checkpointed: {block, checkpoint}, proven: {block, checkpoint}}.
    """
    tips: dict[str, Any] = {"block": None, "proven_block": None, "checkpoint": None, "proven_checkpoint": None}
    if not isinstance(answer, dict):
        return tips

    def at(*path: str) -> int | None:
        value: Any = answer
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, int) and not isinstance(value, bool):
            return value if 0 <= value < 2**64 else None
        return number(value)

    def first(*values: int | None) -> int | None:
        return next((value for value in values if value is not None), None)

    tips["block"] = first(at("proposed", "number"), at("latest", "number"), at("latest", "block", "number"))
    tips["proven_block"] = first(at("proven", "number"), at("proven", "block", "number"))
    tips["checkpoint"] = first(at("checkpointed", "checkpoint", "number"))
    tips["proven_checkpoint"] = at("proven", "checkpoint", "number")
    return tips


def network_of(env: dict[str, str], inspected: dict[str, Any]) -> str:
    """Return the name of a container's network, '' where it has none."""
    command = [str(word) for word in (inspected.get("Path"), *(inspected.get("Args") or [])) if word]
    if "--network" in command[:-1]:
        return command[command.index("--network") + 1]
    return env.get("NETWORK", "")


def network_value(env: dict[str, str], inspected: dict[str, Any], root: Path, name: str) -> Any:
    """Return a value that the network's configuration, as a container has read it, gives its network; None for none."""
    network = network_of(env, inspected)
    inside = root / "proc" / str((inspected.get("State") or {}).get("Pid", 0)) / "root"
    location = env.get("NETWORK_CONFIG_LOCATION", "")
    files = [inside / env.get("DATA_DIRECTORY", "").lstrip("/") / "cache" / network / "network_config.json"]
    if location and not location.startswith(("http://", "https://")):
        files.insert(0, inside / location.replace("file://", "").lstrip("/"))
    for path in files:
        try:
            return read_cached(str(path))[0][network][name]
        except (ValueError, KeyError, TypeError):
            continue
    return None


def registry_address(env: dict[str, str], inspected: dict[str, Any], root: Path) -> str:
    """The registry that a node goes by: set by hand, from its network's configuration, or the known one."""
    if env.get("REGISTRY_CONTRACT_ADDRESS"):
        return env["REGISTRY_CONTRACT_ADDRESS"]
    found = network_value(env, inspected, root, "registryAddress")
    known = NETWORKS.get(network_of(env, inspected))
    return found if isinstance(found, str) else known.registry if known else ""


def rollup_roots(url: str, rollup: str, slots: dict[str, str], until: float | None = None) -> dict[str, str]:
    """Return the values in a rollup's storage by the name of the header that has the same: 0x and 64 hex digits each.

    An empty slot is left out: the rollup then lays its storage out in another way. until: as in ask_number.
    """
    found = {}
    until = time.monotonic() + TIMEOUT_TOGETHER if until is None else until
    for name, slot in slots.items():
        try:
            value = ask_number(url, "eth_getStorageAt", [rollup, slot, "latest"], until)
        except RpcError:
            continue
        if value:
            found[name] = f"0x{value:064x}"
    return found


def l1_tips(urls: list[str], registry: str, slots: dict[str, str] | None = None) -> dict[str, Any]:
    """What the L1 says of the canonical rollup. Tries each URL in turn, each for TIMEOUT_TOGETHER at most.

    block (the L1's own), rollup (address), pending and proven number in unit, and roots, as rollup_roots returns them.
    """
    result: dict[str, Any] = {
        "block": None, "rollup": "", "roots": {}, "unit": None, "pending": None, "proven": None, "error": "",
    }
    for position, url in enumerate(urls, 1):
        until = time.monotonic() + TIMEOUT_TOGETHER
        try:
            result["block"] = ask_number(url, "eth_blockNumber", [], until)
            if not registry:
                result["error"] = "the rollup's registry is not known"
                return result
            called = ask_number(url, "eth_call", [{"to": registry, "data": CANONICAL_ROLLUP}, "latest"], until)
            rollup = f"0x{called % 2**160:040x}"
            result.update(rollup=rollup, roots=rollup_roots(url, rollup, slots or {}, until))
            for unit, selectors in TIP_SELECTORS.items():
                try:
                    pending, proven = (
                        ask_number(url, "eth_call", [{"to": rollup, "data": data}, "latest"], until)
                        for data in selectors
                    )
                except RpcError:
                    continue
                result.update(unit=unit, pending=pending, proven=proven, error="")
                return result
            result["error"] = "the rollup does not tell its blocks"
        except RpcError as error:
            result["error"] = f"L1 URL {position}: {error}"
    return result


def sync_progress(log: list[tuple[float, str]]) -> int | None:
    """The last block (or checkpoint) that a node's log says it has taken in, while its port is still shut."""
    match = SYNCED.search(last_match(log, SYNCED)[1])
    return number(match.group(1) or match.group(2)) if match else None


class Prober:
    """Asks one container all that a probe wants to know."""

    def __init__(
        self,
        engine: Engine,
        run: Callable,
        rpc: dict[str, str],
        l1_urls: list[str],
        root: Path,
        now: float,
        slots: dict[str, str] | None = None,
    ) -> None:
        """Take the engine, a runner of commands, RPC names, L1 URLs (else the container's own), the time and the
        rollup's slots by header.
        """
        self.engine, self.run, self.rpc, self.l1_urls, self.root, self.now = engine, run, rpc, l1_urls, root, now
        self.slots = slots or {}

    def log(self, inspected: dict[str, Any], seconds: float = LOG_SECONDS) -> list[tuple[float, str]]:
        """The container's last log lines, of so many seconds; none where the engine keeps none."""
        try:
            raw = self.engine.get(
                f"/containers/{inspected['Id']}/logs", stdout="1", stderr="1", timestamps="1",
                tail=str(LOG_LINES), since=str(max(0, int(self.now - seconds))),
            )
        except EngineError:
            return []
        return split_log(decode_log(raw, bool((inspected.get("Config") or {}).get("Tty"))))

    def connections(self, pid: int, host: str, port: int) -> tuple[float, str]:
        """The newest contact over the sockets of a container's network: by ss, or without it by the kernel's table."""
        tables = self.root / "proc" / str(pid) / "net"
        rows = parse_sockets(read(tables / "tcp")) + parse_sockets(read(tables / "tcp6"))
        waiting = contact_of_table([row for row in rows if row["state"] == "time_wait"], host, port, self.now)
        code, out, _err = self.run(
            ["nsenter", f"--net=/proc/{pid}/ns/net", "ss", "-Htin", "state", "established", "dport", "=", f":{port}"]
        )
        if code != 0:
            return contact_of_table(rows, host, port, self.now)
        return max(contact_of_connections(parse_ss(out, host, port), self.now), waiting)

    def probe(self, service: str, inspected: dict[str, Any]) -> dict[str, Any]:
        """status, rpc, and by the service's kind broker_contact or tips, l1 and synced; log_error for any."""
        env = environment(inspected)
        host = container_address(inspected)
        port = number(env.get("AZTEC_PORT"), 16) or 8080
        log = self.log(inspected)
        running = (inspected.get("State") or {}).get("Status") == "running" and host
        found: dict[str, Any] = {
            "status": ask_status(host, port) if running else {"code": None, "body": "", "headers": {}, "error": ""},
            "rpc": {},
            "log_error": mask(last_match(log, re.compile(r"\b(?:ERROR|FATAL)\b"))[1], secrets_of(env))[:200],
        }
        url = f"http://{'[' + host + ']' if ':' in host else host}:{port}/"
        if is_service_of(service, "prover_agent"):
            self.probe_agent(found, url, env, inspected, log)
        elif is_service_of(service, "prover_node"):
            self.probe_node(found, url, env, inspected, log)
            self.probe_waiting(found, host, port, env, inspected)
        elif is_service_of(service, "prover_broker"):
            self.probe_waiting(found, host, port, env, inspected)
            found["clients"] = self.clients(inspected, port)
        return found

    def clients(self, inspected: dict[str, Any], port: int) -> list[str]:
        """Return the addresses from which others use a container's port, by the sockets of its network."""
        pid = (inspected.get("State") or {}).get("Pid", 0)
        tables = self.root / "proc" / str(pid) / "net"
        rows = parse_sockets(read(tables / "tcp")) + parse_sockets(read(tables / "tcp6")) if pid else []
        return clients_of(rows, port, container_subnets(inspected))

    def probe_waiting(self, found: dict[str, Any], host: str, port: int, env: dict, inspected: dict) -> None:
        """Add whether a node or broker that answers works or waits: pinned, waiting, network_version and, where the
        headers of a working program are missing, the code of a POST.
        """
        found.update(pinned=is_pinned(env, inspected), waiting=None, network_version="")
        status = found["status"]
        if status["code"] != 200:
            return
        silent = not status["headers"]
        if silent:
            status["post"] = ask_post(host, port)
        if silent or any(isinstance(answer, dict) and "error" in answer for answer in found["rpc"].values()):
            # A program that has stopped its work logs nothing any more: its last word may be days old.
            started = parse_time((inspected.get("State") or {}).get("StartedAt") or "")
            found["waiting"] = waiting_of(self.log(inspected, self.now), started)
        runs = network_value(env, inspected, self.root, "nodeVersion")
        found["network_version"] = printable(runs[:LONGEST_HEADER]) if isinstance(runs, str) else ""

    def probe_agent(self, found: dict[str, Any], url: str, env: dict, inspected: dict, log: list) -> None:
        """Each agent's word on itself, and the contact with the broker."""
        count = number(env.get("PROVER_AGENT_COUNT", "1"), 16)
        if found["status"]["code"] is not None:
            until = time.monotonic() + TIMEOUT_TOGETHER
            for method in agent_methods(self.rpc.get("agent_status", "agent_getStatus"), 1 if count is None else count):
                found["rpc"][method] = self.answer(url, method, min(TIMEOUT, until - time.monotonic()))
        broker, port = broker_target(env)
        if broker:
            pid = (inspected.get("State") or {}).get("Pid", 0)
            seen = self.connections(pid, broker, port) if pid else (0.0, "")
            found["broker_contact"] = dict(broker_contact(seen, log, port, env, self.now), host=broker)

    def probe_node(self, found: dict[str, Any], url: str, env: dict, inspected: dict, log: list) -> None:
        """The node's tips beside what the L1 says."""
        answer = None
        if found["status"]["code"] is not None and self.rpc.get("l2_tips"):
            answer = self.answer(url, self.rpc["l2_tips"])
            found["rpc"][self.rpc["l2_tips"]] = answer
        found["tips"] = tips_of(answer)
        found["synced"] = sync_progress(log)
        urls = self.l1_urls or [item for item in env.get("ETHEREUM_HOSTS", "").split(",") if item]
        found["l1"] = l1_tips(urls, registry_address(env, inspected, self.root), self.slots)

    def answer(self, url: str, method: str, timeout: float = TIMEOUT) -> Any:
        """A call's result, or its error as {error: text}."""
        try:
            return ask(url, method, [], timeout)
        except RpcError as error:
            return {"error": str(error)}
