# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host's container engine tells: asked over its socket, so that a look forks almost nothing."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import socket
from pathlib import Path
from typing import Any, Callable
from urllib.parse import quote, urlencode

from ansible_collections.aztec_ops.prover.plugins.module_utils.docker_networks import DEFAULT_MTU, OPTION_MTU
from ansible_collections.aztec_ops.prover.plugins.module_utils.host_hardware import read

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
MARKER = "etc/docker/.aztec_ops_prover"
DAEMON_JSON = "etc/docker/daemon.json"
CONTAINERD_CONF = "etc/systemd/system/containerd.service.d/aztec.conf"
CONTAINERD_VARIABLES = ("XDG_RUNTIME_DIR",)
BRIDGE_OPTION = "com.docker.network.bridge.name"
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
PACKAGES = ("docker-ce", "docker.io", "docker-cli", "podman-docker", "containerd.io", "docker-compose",
            "docker-compose-v2", "docker-compose-plugin", "nftables", "ca-certificates")
PREFERENCES = "etc/apt/preferences.d/docker-engine"
Runner = Callable[[list], tuple]


class EngineError(Exception):
    """The engine did not answer, or answered with an error; the text is one line."""


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        """Keep the socket's path."""
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Engine:
    """The engine's API, for reading alone."""

    def __init__(self, host: str = "", timeout: float = 10) -> None:
        """Take an address as in DOCKER_HOST (unix:// or tcp://); the default is the usual socket."""
        self.host = host or DEFAULT_SOCKET
        self.timeout = timeout

    def get(self, path: str, **query: Any) -> bytes:
        """The body of a GET, or EngineError; the status code is the error's second argument."""
        scheme, _sep, target = self.host.partition("://")
        if scheme == "unix":
            connection: http.client.HTTPConnection = SocketConnection(target, self.timeout)
        elif scheme == "tcp":
            connection = http.client.HTTPConnection(target.rstrip("/"), timeout=self.timeout)
        else:
            raise EngineError(f"DOCKER_HOST of kind {scheme} cannot be asked", 0)
        try:
            connection.request("GET", path + ("?" + urlencode(query) if query else ""))
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise EngineError(getattr(error, "strerror", None) or str(error) or type(error).__name__, 0) from error
        finally:
            connection.close()
        if response.status >= 400:
            raise EngineError(f"the engine answers {response.status}", response.status)
        return body

    def json(self, path: str, **query: Any) -> Any:
        """The same as JSON."""
        try:
            return json.loads(self.get(path, **query))
        except ValueError as error:
            raise EngineError("the engine's answer is no JSON", 0) from error


def parse_dpkg_status(text: str, names: tuple) -> dict[str, str]:
    """Name and version of those packages that are installed, out of dpkg's status file."""
    wanted = "|".join(re.escape(name) for name in names)
    found = {}
    for match in re.finditer(rf"^Package: ({wanted})\n((?:.+\n)*)", text, re.MULTILINE):
        body = match.group(2)
        version = re.search(r"^Version: (.+)$", body, re.MULTILINE)
        if re.search(r"^Status: \S+ \S+ installed$", body, re.MULTILINE) and version:
            found[match.group(1)] = version.group(1)
    return found


def parse_apt_sources(path: str, text: str) -> list[dict[str, str]]:
    """The entries of one apt source file (one-line or deb822): file, URI, suite and key of each that is in force."""
    found = []

    def add(uri: str, suite: str, key: str) -> None:
        # A mirror's address may hold a password; a key that stands in the file itself has many lines.
        plain = re.sub(r"//[^/@]*@", "//", uri)
        found.append({"path": path, "uri": plain, "suite": suite, "signed_by": "embedded" if "\n" in key else key})

    if path.endswith(".sources"):
        for stanza in re.split(r"\n\s*\n", text):
            plain = "\n".join(line for line in stanza.splitlines() if not line.startswith("#"))
            fields = {
                name.lower(): value.strip()
                for name, value in re.findall(r"^([A-Za-z-]+):((?:.*\n?)(?:[ \t].*\n?)*)", plain, re.MULTILINE)
            }
            if fields.get("enabled", "yes").lower() in ("no", "false", "0"):
                continue
            for uri in fields.get("uris", "").split():
                for suite in fields.get("suites", "").split():
                    add(uri, suite, fields.get("signed-by", ""))
        return found
    for line in text.splitlines():
        match = re.match(r"^\s*deb(?:-src)?\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)", line)
        if match:
            signed = re.search(r"signed-by=(\S+)", match.group(1) or "", re.IGNORECASE)
            add(match.group(2), match.group(3), signed.group(1) if signed else "")
    return found


def apt_sources(root: Path) -> list[dict[str, str]]:
    """All apt sources of the host."""
    files = [root / "etc/apt/sources.list"]
    folder = root / "etc/apt/sources.list.d"
    if folder.is_dir():
        files += sorted(entry for entry in folder.iterdir() if entry.suffix in (".list", ".sources"))
    return [
        source for entry in files for source in parse_apt_sources("/" + str(entry.relative_to(root)), read(entry))
    ]


def engine_source(packages: dict[str, str], version: dict[str, Any], binary: bool) -> str:
    """Where the engine comes from: docker-ce, docker.io, podman-docker, other or none."""
    components = [str(item.get("Name", "")) for item in version.get("Components") or []]
    if "podman-docker" in packages or any("Podman" in name for name in components):
        return "podman-docker"
    for name in ("docker-ce", "docker.io"):
        if name in packages:
            return name
    return "other" if version or binary else "none"


def compose_version(run: Runner, root: Path) -> str | None:
    """Version of Compose's plugin, or None where the docker command has none."""
    if not any((root / folder / "docker").exists() for folder in ("usr/bin", "usr/local/bin", "bin", "snap/bin")):
        return None
    code, out, _err = run(["docker", "compose", "version", "--short"])
    match = re.match(r"^v?(\d+\.\d+\.\d+\S*)", out.strip())
    return match.group(1) if code == 0 and match else None


def translates_ipv6(version: str, daemon: str) -> bool:
    """Whether containers with private IPv6 addresses reach others: from 27 on, before when daemon.json says so."""
    try:
        options = json.loads(daemon or "{}")
    except ValueError:
        options = {}
    default = int(version.partition(".")[0] or 0) >= 27
    return bool(options.get("ip6tables", default)) if isinstance(options, dict) else default


def file_digest(path: Path) -> str:
    """The SHA-256 of a file in hex, '' where there is none to be read."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if os.access(path, os.R_OK) else ""


def containerd_environment(run: Runner, root: Path) -> dict[str, str] | None:
    """What systemd's containerd runs with of the variables that the role sets; None where none runs or shows it."""
    if not (root / "run/systemd/system").is_dir():
        return None
    _code, out, _err = run(["systemctl", "show", "--value", "--property", "MainPID", "containerd.service"])
    # Unset variables leave others, of which one may hold a proxy's password.
    pairs = read(root / "proc" / out.strip() / "environ").split("\0")
    found = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    return {name: found[name] for name in CONTAINERD_VARIABLES if name in found} if found else None


def engine_facts(engine: Engine, run: Runner, root: Path) -> dict[str, Any]:
    """All about the engine: whether it serves, which it is, and whether the role docker_engine installed it."""
    version: dict[str, Any] = {}
    info: dict[str, Any] = {}
    error = ""
    try:
        version, info = engine.json("/version"), engine.json("/info")
    except EngineError as caught:
        error = str(caught.args[0]).lower()
    packages = parse_dpkg_status(read(root / "var/lib/dpkg/status"), PACKAGES)
    binary = any((root / folder / "dockerd").exists() for folder in ("usr/bin", "usr/sbin", "usr/local/bin"))
    marker = root / MARKER
    pin = re.search(r"^Pin: version (\S+)", read(root / PREFERENCES), re.MULTILINE)
    return {
        "serves": bool(version),
        "error": error,
        "version": version.get("Version", ""),
        "api": version.get("ApiVersion", ""),
        "source": engine_source(packages, version, binary),
        "compose": compose_version(run, root),
        "root": info.get("DockerRootDir", ""),
        "address_pools": info.get("DefaultAddressPools") or [],
        "ours": marker.exists(),
        "daemon_json": file_digest(root / DAEMON_JSON),
        "daemon_json_loaded": read(marker).strip(),
        "containerd_conf": file_digest(root / CONTAINERD_CONF),
        "containerd_environment": containerd_environment(run, root) if marker.exists() else None,
        "rules": not version or has_rules(run, root),
        "translates_ipv6": translates_ipv6(version.get("Version", ""), read(root / DAEMON_JSON)),
        "pin": pin.group(1) if pin else "",
        "packages": packages,
        "apt_sources": apt_sources(root),
    }


def has_rules(run: Runner, root: Path) -> bool:
    """Tell whether the engine's rules for published ports and masquerading are in the kernel, as far as can be seen."""
    if "nat" in read(root / "proc/net/ip_tables_names").split():
        return True
    if not any((root / folder / "nft").exists() for folder in ("usr/sbin", "sbin")):
        return True
    places = (["chain", "ip", "nat", "DOCKER"], ["table", "ip", "docker-bridges"])
    return any(run(["nft", "list", *place])[0] == 0 for place in places)


def image_facts(engine: Engine, references: list[str]) -> dict[str, Any]:
    """Identity and digests of the images that are here: of those named, or of all that have a tag."""
    if not references:
        found = {}
        for image in engine.json("/images/json"):
            for tag in image.get("RepoTags") or []:
                if tag == "<none>:<none>":
                    continue
                digests = image.get("RepoDigests") or []
                shown = {"id": image["Id"], "digests": digests}
                found[tag] = shown
                for name, _sep, digest in (item.partition("@") for item in digests):
                    if tag.rpartition(":")[0] == name:
                        found[f"{tag}@{digest}"] = shown
        return found
    found = {}
    for reference in references:
        try:
            image = engine.json(f"/images/{quote(reference, safe='/:@')}/json")
        except EngineError as error:
            if error.args[1] == 404:
                continue
            raise
        found[reference] = {"id": image["Id"], "digests": image.get("RepoDigests") or []}
    return found


def network_facts(engine: Engine) -> list[dict[str, Any]]:
    """Return the engine's bridge networks.

    name, and the bridge's name where it is set; interface: the bridge's name in any case; subnets; mtu.
    """
    found = []
    for network in engine.json("/networks"):
        if network.get("Driver") != "bridge":
            continue
        options = network.get("Options") or {}
        bridge = options.get(BRIDGE_OPTION, "")
        mtu = str(options.get(OPTION_MTU, ""))
        subnets = [config.get("Subnet") for config in (network.get("IPAM") or {}).get("Config") or []]
        found.append({
            "name": network["Name"],
            "bridge": bridge,
            "interface": bridge or f"br-{network.get('Id', '')[:12]}",
            "subnets": [subnet for subnet in subnets if subnet],
            "mtu": int(mtu) if mtu.isdigit() else DEFAULT_MTU,
        })
    return found


def environment(inspected: dict[str, Any]) -> dict[str, str]:
    """A container's environment. Holds secrets: for use inside of a look only."""
    pairs = (item.partition("=") for item in (inspected.get("Config") or {}).get("Env") or [])
    return {name: value for name, _sep, value in pairs}


def container_address(inspected: dict[str, Any]) -> str:
    """The container's own address on its first network, IPv4 before IPv6; loopback with the host's network."""
    if (inspected.get("HostConfig") or {}).get("NetworkMode") == "host":
        return "127.0.0.1"
    networks = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
    for field in ("IPAddress", "GlobalIPv6Address"):
        for network in networks.values():
            if network.get(field):
                return network[field]
    return ""


def container_facts(inspected: dict[str, Any], digests: list[str]) -> dict[str, Any]:
    """What a look shows of a container; nothing of its environment."""
    labels = (inspected.get("Config") or {}).get("Labels") or {}
    state = inspected.get("State") or {}
    return {
        "service": labels.get(SERVICE_LABEL, ""),
        "name": inspected.get("Name", "").lstrip("/"),
        "id": inspected.get("Id", ""),
        "image": (inspected.get("Config") or {}).get("Image", ""),
        "image_id": inspected.get("Image", ""),
        "image_digests": digests,
        "state": state.get("Status", ""),
        "health": (state.get("Health") or {}).get("Status", ""),
        "restarts": inspected.get("RestartCount", 0),
        "started_at": state.get("StartedAt", ""),
        "exit_code": state.get("ExitCode", 0),
        "oom_killed": bool(state.get("OOMKilled", False)),
    }


def project_containers(engine: Engine, project: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(what a look shows, the engine's whole inspection) of each container of a Compose project."""
    filters = json.dumps({"label": [f"{PROJECT_LABEL}={project}"]})
    found = []
    for summary in engine.json("/containers/json", all="1", filters=filters):
        try:
            inspected = engine.json(f"/containers/{summary['Id']}/json")
        except EngineError as error:
            if error.args[1] == 404:
                continue
            raise
        try:
            digests = engine.json(f"/images/{inspected['Image']}/json").get("RepoDigests") or []
        except EngineError:
            digests = []
        found.append((container_facts(inspected, digests), inspected))
    return sorted(found, key=lambda pair: (pair[0]["service"], pair[0]["name"]))


def decode_log(raw: bytes, tty: bool) -> str:
    """The text of an engine's log answer: without a terminal, stdout and stderr come in framed pieces."""
    if tty:
        return raw.decode(errors="replace")
    text, offset = [], 0
    while offset + 8 <= len(raw):
        size = int.from_bytes(raw[offset + 4:offset + 8], "big")
        text.append(raw[offset + 8:offset + 8 + size])
        offset += 8 + size
    return b"".join(text).decode(errors="replace")
