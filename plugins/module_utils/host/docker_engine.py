# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""State of a host's container engine, read over its API socket and from files, with few subprocesses."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Callable
from urllib.parse import quote, urlencode

from ansible_collections.aztec_ops.prover.plugins.module_utils.common import http_client
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.files import read_text
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.redaction import MASK, redact_patterns
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.containers import container
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_networks import bridge_network

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
MARKER = "etc/docker/.aztec_ops_prover"
DAEMON_JSON = "etc/docker/daemon.json"
CONTAINERD_CONF = "etc/systemd/system/containerd.service.d/aztec.conf"
CONTAINERD_VARIABLES = ("XDG_RUNTIME_DIR",)
CONTAINERD_TOML = "etc/containerd/config.toml"
CONTAINERD_UNIT = "etc/systemd/system/containerd.service"
# Default data directories of dockerd and containerd.
DATA_ROOT = "/var/lib/docker"
CONTAINERD_ROOT = "/var/lib/containerd"
# Paths of images, containers and volumes. An engine creates the rest of its data directory at its first start.
DATA_PATTERNS = ("image/*/imagedb/content/sha256/*", "containers/*", "volumes/*/_data")
CONTAINERD_PATTERNS = ("*.content.v1.content/blobs/sha256/*", "*.snapshotter.v1.*/snapshots/*", "*.runtime.v2.task/*/*")
PROJECT_LABEL = "com.docker.compose.project"
DIRECTORY_LABEL = "com.docker.compose.project.working_dir"
PACKAGES = ("docker-ce", "docker-ce-cli", "docker.io", "docker-cli", "podman-docker", "containerd.io", "containerd",
            "runc", "docker-compose", "docker-compose-v2", "docker-compose-plugin", "nftables", "ca-certificates")
PREFERENCES = "etc/apt/preferences.d/docker-engine"
# Directories of systemd units and their drop-ins, in order of precedence.
UNIT_FOLDERS = ("etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system",
                "lib/systemd/system")
# The unit of the packages of Docker and of the distributions, for a host without an installed engine.
UNIT = "[Service]\nExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock\n"
# Bytes of a response. The longest are a list of many images, and 400 log lines of up to 16 KiB each.
MAX_RESPONSE = 32 * 2**20
# Factor of the time limit for /info, for which the engine counts containers and images.
INFO_TIMEOUT_FACTOR = 3
# Time limit for the key of Docker's packages, of 4 KB.
KEY_SECONDS = 30
Runner = Callable[[list], tuple]
# Exit codes of timeout(1), which limits the time of the runner's commands. With SIGKILL, it kills itself as well.
ENDED_BY_TIMEOUT = (124, 137, -9)


class EngineError(Exception):
    """A request that the engine did not answer, or answered with an error. Arguments: a one-line text, the status."""


class Engine:
    """A client of the engine's API that only reads."""

    def __init__(self, host: str = "", timeout: float = 10) -> None:
        """Set the address as in DOCKER_HOST (unix:// or tcp://). The default is the standard socket."""
        self.host = host or DEFAULT_SOCKET
        self.timeout = timeout

    def get(self, path: str, **query: Any) -> bytes:
        """Return the body of a response. Raise EngineError."""
        scheme, _sep, target = self.host.partition("://")
        seconds = self.timeout * (INFO_TIMEOUT_FACTOR if path == "/info" else 1)
        if scheme == "unix":
            connection = http_client.Connection("localhost", None, seconds, socket_path=target)
        elif scheme == "tcp":
            connection = http_client.connection_to(f"http://{target}", seconds)
        else:
            raise EngineError(f"DOCKER_HOST with scheme {scheme} is not supported", 0)
        with closing(connection):
            try:
                path += "?" + urlencode(query) if query else ""
                response = connection.request("GET", path, limit=MAX_RESPONSE)
            except http_client.REQUEST_ERRORS as error:
                raise EngineError(http_client.error_text(error), 0) from error
        if response.status >= 400:
            raise EngineError(f"the engine returns {response.status}", response.status)
        return response.body

    def json(self, path: str, **query: Any) -> Any:
        """Return the body of a response as JSON. Raise EngineError."""
        try:
            return http_client.parse_json(self.get(path, **query))
        except ValueError as error:
            raise EngineError("the engine returns a response that is not JSON", 0) from error

    def inspect(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return an object of a kind (images, containers), None where it does not exist. Raise EngineError."""
        try:
            return self.json(f"/{kind}/{quote(name, safe='/:@')}/json")
        except EngineError as error:
            if error.args[1] == 404:
                return None
            raise


def fetch_key(url: str, seconds: float = KEY_SECONDS) -> dict[str, str]:
    """Return {text, error} of a repository key: the text at a URL, or why it cannot be read, without credentials.

    As apt does, use the proxies of the environment.
    """
    try:
        response = http_client.fetch("GET", url, seconds, proxies=True, redirects=http_client.MAX_REDIRECTS)
    except http_client.REQUEST_ERRORS as error:
        return {"text": "", "error": http_client.error_text(error)}
    error = "" if response.status == 200 else f"returns {response.status}"
    return {"text": "" if error else response.body.decode(errors="replace"), "error": error}


def parse_dpkg_status(text: str, names: tuple) -> dict[str, str]:
    """Return name and version of the installed packages among names, from dpkg's status file."""
    wanted = "|".join(re.escape(name) for name in names)
    found = {}
    for match in re.finditer(rf"^Package: ({wanted})\n((?:.+\n)*)", text, re.MULTILINE):
        body = match.group(2)
        version = re.search(r"^Version: (.+)$", body, re.MULTILINE)
        if re.search(r"^Status: \S+ \S+ installed$", body, re.MULTILINE) and version:
            found[match.group(1)] = version.group(1)
    return found


def without_credentials(url: str) -> str:
    """Return a URL without user name and password."""
    return re.sub(r"//[^/@]*@", "//", url)


def parse_apt_sources(path: str, text: str) -> list[dict[str, str]]:
    """Return file, URI, suite and key of each enabled entry of an apt source file (one-line or deb822 format)."""
    found = []
    if path.endswith(".sources"):
        for stanza in re.split(r"\n\s*\n", text):
            plain = "\n".join(line for line in stanza.splitlines() if not line.startswith("#"))
            fields = {
                name.lower(): value.strip()
                for name, value in re.findall(r"^([A-Za-z-]+):((?:.*\n?)(?:[ \t].*\n?)*)", plain, re.MULTILINE)
            }
            if fields.get("enabled", "yes").lower() not in ("no", "false", "0"):
                uris, suites = (fields.get(name, "").split() for name in ("uris", "suites"))
                found += [(uri, suite, fields.get("signed-by", "")) for uri in uris for suite in suites]
    else:
        for line in text.splitlines():
            match = re.match(r"^\s*deb(?:-src)?\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)", line)
            if match:
                signed = re.search(r"signed-by=(\S+)", match.group(1) or "", re.IGNORECASE)
                found.append((match.group(2), match.group(3), signed.group(1) if signed else ""))
    # A key that is embedded in the file has several lines.
    plain = [(without_credentials(uri), suite, "embedded" if "\n" in key else key) for uri, suite, key in found]
    return [dict(zip(("path", "uri", "suite", "signed_by"), (path, *one))) for one in plain]


def apt_sources(root: Path) -> list[dict[str, str]]:
    """Return all apt sources of the host."""
    folder = root / "etc/apt/sources.list.d"
    files = [root / "etc/apt/sources.list", *sorted([*folder.glob("*.list"), *folder.glob("*.sources")])]
    return [one for file in files for one in parse_apt_sources(f"/{file.relative_to(root)}", read_text(file))]


def engine_source(packages: dict[str, str], version: dict[str, Any], binary: bool) -> str:
    """Return the origin of the engine: docker-ce, docker.io, podman-docker, other or none."""
    components = [str(item.get("Name", "")) for item in version.get("Components") or []]
    if "podman-docker" in packages or any("Podman" in name for name in components):
        return "podman-docker"
    other = "other" if version or binary else "none"
    return next((name for name in ("docker-ce", "docker.io") if name in packages), other)


def compose_version(run: Runner, root: Path) -> str | None:
    """Return the version of the Compose plugin, None where it is not installed."""
    if not any((root / folder / "docker").exists() for folder in ("usr/bin", "usr/local/bin", "bin", "snap/bin")):
        return None
    code, out, _err = run(["docker", "compose", "version", "--short"])
    match = re.match(r"^v?(\d+\.\d+\.\d+\S*)", out.strip())
    return match.group(1) if code == 0 and match else None


def daemon_options(text: str) -> dict[str, Any] | None:
    """Return the options in the text of daemon.json, None where it is not a JSON object."""
    try:
        options = json.loads(text) if text.strip() else {}
    except ValueError:
        return None
    return options if isinstance(options, dict) else None


def translates_ipv6(version: str, daemon: str) -> bool:
    """Return whether private IPv6 addresses of containers are translated: the default from 27 on."""
    return bool((daemon_options(daemon) or {}).get("ip6tables", int(version.partition(".")[0] or 0) >= 27))


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex, '' where it cannot be read."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if os.access(path, os.R_OK) else ""


def containerd_environment(run: Runner, root: Path) -> dict[str, str] | None:
    """Return CONTAINERD_VARIABLES of the running containerd, {} where it does not run, None where it is unknown."""
    if not (root / "run/systemd/system").is_dir():
        return None
    _code, out, _err = run(["systemctl", "show", "--value", "--property", "MainPID", "containerd.service"])
    if out.strip() == "0":
        return {}
    # Other variables can contain the password of a proxy.
    pairs = read_text(root / "proc" / out.strip() / "environ").split("\0")
    found = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    return {name: found[name] for name in CONTAINERD_VARIABLES if name in found} if found else None


def has_match(directory: Path, patterns: tuple) -> bool:
    """Return whether a path below a directory matches one of these patterns."""
    return os.path.isdir(directory) and any(next(directory.glob(pattern), None) is not None for pattern in patterns)


def containerd_roots(root: Path) -> tuple[str, str]:
    """Return containerd's root without the drop-in of docker_engine, and with it. An argument in a unit has precedence.

    In config.toml, root is set before the first table. Before 3.11, Python has no TOML parser.
    """
    head = re.split(r"^\s*\[", read_text(root / CONTAINERD_TOML), maxsplit=1, flags=re.MULTILINE)[0]
    match = re.search(r"""^\s*root\s*=\s*(["'])(/.*?)\1""", head, re.MULTILINE)
    configured = match.group(2).rstrip("/") if match else CONTAINERD_ROOT
    in_file = running = configured
    for path in (root / CONTAINERD_UNIT, *sorted((root / f"{CONTAINERD_UNIT}.d").glob("*.conf"))):
        for command in re.findall(r"^ExecStart=(\S.*)$", read_text(path), re.MULTILINE):
            given = re.search(r"\s--root[= ](\S+)", command)
            running = given.group(1) if given else in_file
            configured = configured if path == root / CONTAINERD_CONF else running
    return configured, running


def root_facts(info: dict[str, Any], root: Path) -> dict[str, Any]:
    """Return the data directories of the engine and of containerd, and whether they contain data.

    root, containerd_root: the directories in use, or used at the next start. data_root: the one in daemon.json.
    containerd_configured: the one without the drop-in of docker_engine. containerd_store: whether the images are in
    containerd, None where the engine does not respond.
    """
    data_root = (daemon_options(read_text(root / DAEMON_JSON)) or {}).get("data-root")
    data_root = data_root if isinstance(data_root, str) and data_root.startswith("/") else DATA_ROOT
    configured, running = containerd_roots(root)
    used = info.get("DockerRootDir") or data_root
    # An engine that starts its own containerd keeps its data below the root of the engine.
    address = (info.get("Containerd") or {}).get("Address") or ""
    if "/docker/containerd/" in address:
        running = f"{used}/containerd/daemon"
    pairs = info.get("DriverStatus") or []
    return {
        "root": used,
        "data_root": data_root,
        "data_root_holds": has_match(root / data_root.lstrip("/"), DATA_PATTERNS),
        "containerd_root": running,
        "containerd_configured": configured,
        "containerd_root_holds": has_match(root / running.lstrip("/"), CONTAINERD_PATTERNS),
        "containerd_store": ["driver-type", "io.containerd.snapshotter.v1"] in pairs if info else None,
    }


def unit_texts(root: Path, unit: str, default: str) -> list[str]:
    """Return the texts of a unit (the default where it does not exist) and of its drop-ins, in systemd's order."""
    folders = [root / folder for folder in UNIT_FOLDERS]
    own = next((folder / unit for folder in folders if os.path.lexists(folder / unit)), None)
    drop_ins: dict[str, Path] = {}
    for folder in reversed(folders):
        drop_ins.update({entry.name: entry for entry in (folder / f"{unit}.d").glob("*.conf")})
    return [read_text(own) if own else default, *(read_text(drop_ins[name]) for name in sorted(drop_ins))]


def words(text: str) -> list[str]:
    """Split a line of a unit as systemd does, or at spaces where its quotes do not match."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def unit_command(texts: list[str], root: Path) -> list[str]:
    """Return the command line of a service from its unit and drop-ins, with variables replaced."""
    command, given, files = "", [], []
    for text in texts:
        section = ""
        for line in re.sub(r"\\\n", " ", text).splitlines():
            name, equals, value = (part.strip() for part in line.partition("="))
            if name.startswith("["):
                section = name
            elif section != "[Service]" or not equals or name.startswith(("#", ";")):
                continue
            elif name == "ExecStart":
                command = value
            elif name == "Environment":
                given = given + words(value) if value else []
            elif name == "EnvironmentFile":
                files = [*files, value.lstrip("-")] if value else []
    for file in files:
        lines = read_text(root / file.lstrip("/")).splitlines()
        given += [" ".join(words(line)) for line in lines if not line.lstrip().startswith(("#", ";"))]
    variables = dict(pair.split("=", 1) for pair in given if "=" in pair)
    found: list[str] = []
    for word in words(command.lstrip("@-:+!")):
        if re.fullmatch(r"\$\w+", word):
            found += words(variables.get(word[1:], ""))
        else:
            found.append(re.sub(r"\$\{(\w+)\}", lambda match: variables.get(match[1], ""), word))
    return found


def redact_argument(word: str) -> str:
    """Return a command-line argument without credentials and without the value of a secret option."""
    word = re.sub(r"//[^/@]*@", f"//{MASK}@", redact_patterns(word))
    return re.sub(r"((?:token|secret|password|key)[\w-]*=).*", rf"\1{MASK}", word, flags=re.IGNORECASE)


def engine_facts(engine: Engine, run: Runner, root: Path) -> dict[str, Any]:
    """Return the state of the engine: whether it responds, version, settings, and whether docker_engine manages it.

    error: why it does not respond, or why it responds without /info.
    """
    version, info, error = {}, {}, ""
    try:
        version = engine.json("/version")
        info = engine.json("/info")
    except EngineError as caught:
        error = str(caught.args[0]).lower()
    packages = parse_dpkg_status(read_text(root / "var/lib/dpkg/status"), PACKAGES)
    binary = any((root / folder / "dockerd").exists() for folder in ("usr/bin", "usr/sbin", "usr/local/bin"))
    marker = root / MARKER
    pin = re.search(r"^Pin: version (\S+)", read_text(root / PREFERENCES), re.MULTILINE)
    daemon = read_text(root / DAEMON_JSON)
    options = daemon_options(daemon)
    command = unit_command(unit_texts(root, "docker.service", UNIT), root)
    # A stopped snap daemon would take over the socket when it starts.
    snap = (root / "snap/bin/docker").exists() if not info else str(info.get("DockerRootDir")).startswith("/var/snap/")
    return {
        "snap": snap,
        "desktop": info.get("OperatingSystem") == "Docker Desktop",
        "security": [str(one).partition("name=")[2].partition(",")[0] for one in info.get("SecurityOptions") or []],
        "selinux_enforcing": read_text(root / "sys/fs/selinux/enforce").strip() == "1",
        "systemd": (root / "run/systemd/system").is_dir(),
        "serves": bool(version),
        "live_restore": bool(info.get("LiveRestoreEnabled")),
        "error": error,
        "version": version.get("Version", ""),
        "api": version.get("ApiVersion", ""),
        "source": engine_source(packages, version, binary),
        "compose": compose_version(run, root),
        "architecture": version.get("Arch", ""),
        **root_facts(info, root),
        "address_pools": info.get("DefaultAddressPools") or [],
        "managed": marker.exists(),
        "daemon_json": file_digest(root / DAEMON_JSON),
        "daemon_json_loaded": read_text(marker).strip(),
        "daemon_json_names": None if options is None else sorted(options),
        "command": [redact_argument(word) for word in command],
        "containerd_conf": file_digest(root / CONTAINERD_CONF),
        "containerd_environment": containerd_environment(run, root) if marker.exists() else None,
        "rules": not version or has_rules(run, root),
        "translates_ipv6": translates_ipv6(version.get("Version", ""), daemon),
        "pin": pin.group(1) if pin else "",
        "packages": packages,
        "apt_sources": apt_sources(root),
    }


def has_rules(run: Runner, root: Path) -> bool:
    """Return whether the kernel has the engine's rules for published ports and masquerading, or cannot be queried."""
    nft = any((root / folder / "nft").exists() for folder in ("usr/sbin", "sbin"))
    if "nat" in read_text(root / "proc/net/ip_tables_names").split() or not nft:
        return True
    places = (["chain", "ip", "nat", "DOCKER"], ["table", "ip", "docker-bridges"])
    return any(run(["nft", "list", *place])[0] in (0, *ENDED_BY_TIMEOUT) for place in places)


def image_facts(engine: Engine, references: list[str]) -> dict[str, Any]:
    """Return ID and digests of the images on the host: of those named, or of all with a tag."""
    if not references:
        found = {}
        for image in engine.json("/images/json"):
            digests = image.get("RepoDigests") or []
            shown = {"id": image["Id"], "digests": digests}
            for tag in (tag for tag in image.get("RepoTags") or [] if tag != "<none>:<none>"):
                own = [item.partition("@")[2] for item in digests if item.partition("@")[0] == tag.rpartition(":")[0]]
                found.update(dict.fromkeys([tag, *(f"{tag}@{digest}" for digest in own)], shown))
        return found
    found = {reference: engine.inspect("images", reference) for reference in references}
    return {name: {"id": one["Id"], "digests": one.get("RepoDigests") or []} for name, one in found.items() if one}


def network_facts(engine: Engine) -> list[dict[str, Any]]:
    """Return bridge_network of each of the engine's bridge networks."""
    return [bridge_network(network) for network in engine.json("/networks") if network.get("Driver") == "bridge"]


def environment(inspected: dict[str, Any]) -> dict[str, str]:
    """Return the environment of a container. It contains secrets: do not return it from a module."""
    pairs = (item.partition("=") for item in (inspected.get("Config") or {}).get("Env") or [])
    return {name: value for name, _sep, value in pairs}


def container_address(inspected: dict[str, Any]) -> str:
    """Return the address of a container on its first network, IPv4 before IPv6, or loopback with the host network."""
    if (inspected.get("HostConfig") or {}).get("NetworkMode") == "host":
        return "127.0.0.1"
    networks = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
    found = (network.get(name) for name in ("IPAddress", "GlobalIPv6Address") for network in networks.values())
    return next(filter(None, found), "")


def container_facts(inspected: dict[str, Any], digests: list[str]) -> dict[str, Any]:
    """Return the state of a container, without its environment."""
    found = container(inspected)
    names = ("service", "name", "id", "image", "image_id", "restarts", "started_at", "exit_code", "oom_killed")
    facts = {name: getattr(found, name) for name in names}
    return {**facts, "image_digests": digests, "state": found.status, "health": found.health.replace("none", "")}


def project_containers(engine: Engine, project: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return (container_facts, the engine's complete inspection) of each container of a Compose project."""
    filters = json.dumps({"label": [f"{PROJECT_LABEL}={project}"]})
    found = []
    for summary in engine.json("/containers/json", all="1", filters=filters):
        inspected = engine.inspect("containers", summary["Id"])
        if inspected is None:
            continue
        digests: list[str] = []
        with suppress(EngineError):
            digests = (engine.inspect("images", inspected["Image"]) or {}).get("RepoDigests") or []
        found.append((container_facts(inspected, digests), inspected))
    return sorted(found, key=lambda pair: (pair[0]["service"], pair[0]["name"]))


def project_directory(inspected: dict[str, Any]) -> str:
    """Return the directory of the Compose project that a container belongs to, '' if Docker does not know it."""
    return ((inspected.get("Config") or {}).get("Labels") or {}).get(DIRECTORY_LABEL, "")


def published_ports(engine: Engine) -> list[dict[str, Any]]:
    """Return the published ports of all running containers, each once for IPv4 and IPv6."""
    found = {
        (port["Type"], port["PublicPort"]): {
            "protocol": port["Type"],
            "port": port["PublicPort"],
            "container": (summary.get("Names") or [""])[0].lstrip("/"),
            "project": (summary.get("Labels") or {}).get(PROJECT_LABEL, ""),
        }
        for summary in engine.json("/containers/json")
        for port in summary.get("Ports") or []
        if port.get("PublicPort")
    }
    return [found[key] for key in sorted(found)]


def all_containers(engine: Engine) -> list[dict[str, Any]]:
    """Return name, Compose project ('' without one) and state of all containers, by name."""
    found = [
        {
            "name": ", ".join(one.get("Names") or []).lstrip("/") or str(one.get("Id", ""))[:12],
            "project": (one.get("Labels") or {}).get(PROJECT_LABEL, ""),
            "state": one.get("State", ""),
        }
        for one in engine.json("/containers/json?all=1")
    ]
    return sorted(found, key=lambda one: one["name"])


def volumes(engine: Engine) -> list[str]:
    """Return the names of all volumes."""
    return sorted(one["Name"] for one in engine.json("/volumes").get("Volumes") or [])


def decode_log(raw: bytes, tty: bool) -> str:
    """Return the text of an engine log. Without a terminal, stdout and stderr are sent in frames."""
    if tty:
        return raw.decode(errors="replace")
    text, offset = [], 0
    while offset + 8 <= len(raw):
        size = int.from_bytes(raw[offset + 4:offset + 8], "big")
        text.append(raw[offset + 8:offset + 8 + size])
        offset += 8 + size
    return b"".join(text).decode(errors="replace")
