# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host's container engine tells: asked over its socket, so that a look forks almost nothing."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shlex
from contextlib import closing
from pathlib import Path
from typing import Any, Callable
from urllib.parse import quote, urlencode

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.http_client import (
    Connection,
    ProxyRefused,
    RedirectRefused,
    TooLong,
    connection_to,
    get,
    parse_json,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_networks import DEFAULT_MTU, OPTION_MTU
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.hardware import read
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.network import error_text

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
MARKER = "etc/docker/.aztec_ops_prover"
DAEMON_JSON = "etc/docker/daemon.json"
CONTAINERD_CONF = "etc/systemd/system/containerd.service.d/aztec.conf"
CONTAINERD_VARIABLES = ("XDG_RUNTIME_DIR",)
CONTAINERD_TOML = "etc/containerd/config.toml"
CONTAINERD_UNIT = "etc/systemd/system/containerd.service"
# Where dockerd and containerd keep what they have unless something says otherwise.
DATA_ROOT = "/var/lib/docker"
CONTAINERD_ROOT = "/var/lib/containerd"
# What is there once a root holds images, containers or volumes; an engine makes the rest of it at its first start.
DATA_HELD = ("image/*/imagedb/content/sha256/*", "containers/*", "volumes/*/_data")
CONTAINERD_HELD = ("*.content.v1.content/blobs/sha256/*", "*.snapshotter.v1.*/snapshots/*", "*.runtime.v2.task/*/*")
BRIDGE_OPTION = "com.docker.network.bridge.name"
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
PACKAGES = ("docker-ce", "docker-ce-cli", "docker.io", "docker-cli", "podman-docker", "containerd.io", "containerd",
            "runc", "docker-compose", "docker-compose-v2", "docker-compose-plugin", "nftables", "ca-certificates")
PREFERENCES = "etc/apt/preferences.d/docker-engine"
# Where systemd looks for units and their drop-ins, in its order.
UNIT_FOLDERS = ("etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system",
                "lib/systemd/system")
# What the unit of Docker's packages and the distributions' runs; for a host where none is installed yet.
UNIT = "[Service]\nExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock\n"
# Bytes of an answer. The longest are a list of many images, and 400 log lines, of up to 16 KiB each.
LONGEST = 32 * 2**20
# How much longer than for other answers the engine has to tell of itself, for which it counts containers and images.
INFO_SHARE = 3
# For the key of Docker's packages, of 4 KB.
KEY_SECONDS = 30
Runner = Callable[[list], tuple]


class EngineError(Exception):
    """The engine did not answer, or answered with an error; the text is one line."""


class Engine:
    """The engine's API, for reading alone."""

    def __init__(self, host: str = "", timeout: float = 10) -> None:
        """Take an address as in DOCKER_HOST (unix:// or tcp://); the default is the usual socket."""
        self.host = host or DEFAULT_SOCKET
        self.timeout = timeout

    def get(self, path: str, **query: Any) -> bytes:
        """The body of a GET, or EngineError; the status code is the error's second argument."""
        scheme, _sep, target = self.host.partition("://")
        seconds = self.timeout * (INFO_SHARE if path == "/info" else 1)
        if scheme == "unix":
            connection = Connection("localhost", None, seconds, socket_path=target)
        elif scheme == "tcp":
            connection = connection_to(f"http://{target}", seconds)
        else:
            raise EngineError(f"DOCKER_HOST of kind {scheme} cannot be asked", 0)
        with closing(connection):
            try:
                answer = connection.ask("GET", path + ("?" + urlencode(query) if query else ""), longest=LONGEST)
            except (OSError, http.client.HTTPException) as error:
                raise EngineError(error_text(error), 0) from error
        if answer.status >= 400:
            raise EngineError(f"the engine answers {answer.status}", answer.status)
        return answer.body

    def json(self, path: str, **query: Any) -> Any:
        """The same as JSON."""
        try:
            return parse_json(self.get(path, **query))
        except ValueError as error:
            raise EngineError("the engine's answer is no JSON", 0) from error


def fetch_key(url: str, seconds: float = KEY_SECONDS) -> dict[str, str]:
    """Return {text, error} of a repository's key: the text that a URL serves, or in one line why there is none.

    The environment's proxies are used, as apt's own transfers go by them too. No user or password is in the error.
    """
    try:
        answer = get(url, seconds, proxies=True)
    except ProxyRefused as caught:
        error = f"cannot be asked: {caught}"
    except (http.client.InvalidURL, ValueError):
        error = "cannot be asked: the URL is not one of http"
    except (TooLong, RedirectRefused) as caught:
        error = f"answers with {caught}"
    except (OSError, http.client.HTTPException) as caught:
        error = f"cannot be asked: {error_text(caught)}"
    else:
        error = "" if answer.status == 200 else f"answers {answer.status}"
    return {"text": "" if error else answer.body.decode(errors="replace"), "error": error}


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
    """Where the engine comes from: docker-ce, docker.io, podman-docker, snap, other or none."""
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
    """What systemd's containerd runs with of the variables that the role sets, {} where none runs; None if not seen."""
    if not (root / "run/systemd/system").is_dir():
        return None
    _code, out, _err = run(["systemctl", "show", "--value", "--property", "MainPID", "containerd.service"])
    if out.strip() == "0":
        return {}
    # Unset variables leave others, of which one may hold a proxy's password.
    pairs = read(root / "proc" / out.strip() / "environ").split("\0")
    found = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    return {name: found[name] for name in CONTAINERD_VARIABLES if name in found} if found else None


def holds(place: Path, patterns: tuple) -> bool:
    """Return whether anything below a directory matches one of these patterns."""
    return os.path.isdir(place) and any(next(place.glob(pattern), None) is not None for pattern in patterns)


def configured_data_root(daemon: str) -> str:
    """Return where daemon.json has the engine keep its data, by the text of the file."""
    try:
        options = json.loads(daemon or "{}")
    except ValueError:
        return DATA_ROOT
    found = options.get("data-root") if isinstance(options, dict) else None
    return found if isinstance(found, str) and found.startswith("/") else DATA_ROOT


def containerd_roots(root: Path) -> tuple[str, str]:
    """Return containerd's root without this role's drop-in, and with it: an argument of its unit has precedence.

    root stands ahead of the first table of config.toml, which Python reads by itself from 3.11 on only.
    """
    head = re.split(r"^\s*\[", read(root / CONTAINERD_TOML), maxsplit=1, flags=re.MULTILINE)[0]
    match = re.search(r"""^\s*root\s*=\s*(["'])(/.*?)\1""", head, re.MULTILINE)
    configured = match.group(2).rstrip("/") if match else CONTAINERD_ROOT
    in_file = running = configured
    for path in (root / CONTAINERD_UNIT, *sorted((root / f"{CONTAINERD_UNIT}.d").glob("*.conf"))):
        for command in re.findall(r"^ExecStart=(\S.*)$", read(path), re.MULTILINE):
            given = re.search(r"\s--root[= ](\S+)", command)
            running = given.group(1) if given else in_file
            configured = configured if path == root / CONTAINERD_CONF else running
    return configured, running


def root_facts(info: dict[str, Any], root: Path) -> dict[str, Any]:
    """Return where the engine and containerd keep images and data, and whether anything is there.

    root, containerd_root: what is in use, or will be. data_root: what daemon.json says. containerd_configured: what
    would be in use without this role's drop-in. containerd_store: whether the images are containerd's; None where no
    engine serves.
    """
    data_root = configured_data_root(read(root / DAEMON_JSON))
    configured, running = containerd_roots(root)
    used = info.get("DockerRootDir") or data_root
    # An engine that starts a containerd of its own keeps it below its own root.
    address = (info.get("Containerd") or {}).get("Address") or ""
    if "/docker/containerd/" in address:
        running = f"{used}/containerd/daemon"
    pairs = info.get("DriverStatus") or []
    return {
        "root": used,
        "data_root": data_root,
        "data_root_holds": holds(root / data_root.lstrip("/"), DATA_HELD),
        "containerd_root": running,
        "containerd_configured": configured,
        "containerd_root_holds": holds(root / running.lstrip("/"), CONTAINERD_HELD),
        "containerd_store": ["driver-type", "io.containerd.snapshotter.v1"] in pairs if info else None,
    }


def hub_mirrors(engine: Engine) -> list[str]:
    """Return the mirrors of Docker Hub that the engine pulls from."""
    return [str(one) for one in (engine.json("/info").get("RegistryConfig") or {}).get("Mirrors") or []]


def unit_texts(root: Path, unit: str, default: str) -> list[str]:
    """Return the text of a unit, the default where there is none, and those of its drop-ins, in systemd's order."""
    folders = [root / folder for folder in UNIT_FOLDERS]
    own = next((folder / unit for folder in folders if os.path.lexists(folder / unit)), None)
    drop_ins: dict[str, Path] = {}
    for folder in reversed(folders):
        drop_ins.update({entry.name: entry for entry in (folder / f"{unit}.d").glob("*.conf")})
    return [read(own) if own else default, *(read(drop_ins[name]) for name in sorted(drop_ins))]


def words(text: str) -> list[str]:
    """Split a line of a unit as systemd does, or at each space where its quotes do not match."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def unit_command(texts: list[str], root: Path) -> list[str]:
    """Return the command line that a service runs, out of its unit and drop-ins, with its variables replaced."""
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
        lines = read(root / file.lstrip("/")).splitlines()
        given += [" ".join(words(line)) for line in lines if not line.lstrip().startswith(("#", ";"))]
    variables = dict(pair.split("=", 1) for pair in given if "=" in pair)
    found: list[str] = []
    for word in words(command.lstrip("@-:+!")):
        if re.fullmatch(r"\$\w+", word):
            found += words(variables.get(word[1:], ""))
        else:
            found.append(re.sub(r"\$\{(\w+)\}", lambda match: variables.get(match[1], ""), word))
    return found


def without_secrets(word: str) -> str:
    """Return a word of a command line without a URL's user and password, and without the value of a secret option."""
    word = re.sub(r"//[^/@]*@", "//***@", word)
    return re.sub(r"((?:token|secret|password|key)[\w-]*=).*", r"\1***", word, flags=re.IGNORECASE)


def settings_names(text: str) -> list[str] | None:
    """Return the names of the settings in daemon.json, whose values may be secret; None where it is not an object."""
    try:
        settings = json.loads(text) if text.strip() else {}
    except ValueError:
        return None
    return sorted(settings) if isinstance(settings, dict) else None


def engine_kind(info: dict[str, Any], root: Path) -> dict[str, Any]:
    """Return what keeps an engine from being used as it is: who packaged it, how it separates containers, the host."""
    options = [str(option).partition("name=")[2].partition(",")[0] for option in info.get("SecurityOptions") or []]
    # Its daemon may be down, and would take the socket from another one when it starts.
    snap = (root / "snap/bin/docker").exists() if not info else str(info.get("DockerRootDir")).startswith("/var/snap/")
    return {
        "snap": snap,
        "desktop": info.get("OperatingSystem") == "Docker Desktop",
        "security": options,
        "selinux_enforcing": read(root / "sys/fs/selinux/enforce").strip() == "1",
        "systemd": (root / "run/systemd/system").is_dir(),
    }


def engine_facts(engine: Engine, run: Runner, root: Path) -> dict[str, Any]:
    """All about the engine: whether it serves, which it is, and whether the role docker_engine installed it.

    error: why it does not serve, or where it does, why it tells nothing else of itself.
    """
    version: dict[str, Any] = {}
    info: dict[str, Any] = {}
    error = ""
    try:
        version = engine.json("/version")
        info = engine.json("/info")
    except EngineError as caught:
        error = str(caught.args[0]).lower()
    packages = parse_dpkg_status(read(root / "var/lib/dpkg/status"), PACKAGES)
    binary = any((root / folder / "dockerd").exists() for folder in ("usr/bin", "usr/sbin", "usr/local/bin"))
    marker = root / MARKER
    pin = re.search(r"^Pin: version (\S+)", read(root / PREFERENCES), re.MULTILINE)
    command = unit_command(unit_texts(root, "docker.service", UNIT), root)
    return {
        **engine_kind(info, root),
        "serves": bool(version),
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
        "daemon_json_loaded": read(marker).strip(),
        "daemon_json_names": settings_names(read(root / DAEMON_JSON)),
        "command": [without_secrets(word) for word in command],
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
