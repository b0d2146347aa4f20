# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has to be done about a host's container engine, decided from a look at the host alone."""

from __future__ import annotations

import hashlib
import re

COMPOSE_MINIMUM = (2, 20, 0)

# The distributions that Docker's own repository is used for, and what their own packages are called.
DOCKER_SUITES = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04")}
DOCKER_PACKAGES = ["docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin"]
DISTRIBUTION_COMPOSE = {"debian": "docker-compose", "ubuntu": "docker-compose-v2"}

# What each source's version stands in: Docker's own packages carry an epoch.
VERSIONED = {"docker": (["docker-ce", "docker-ce-cli"], "5:"), "distribution": (["docker.io"], "")}
SOURCES = {"docker": "docker-ce", "distribution": "docker.io"}
REPOSITORY_FILE = "/etc/apt/sources.list.d/docker.sources"
KEYRING = "/etc/apt/keyrings/docker.asc"


def version_tuple(text: str | None) -> tuple[int, ...]:
    """Give the leading numbers of a version: v2.26.1-4 is (2, 26, 1). Empty for none."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text or "")
    return tuple(int(part) for part in match.group(1).split(".")) if match else ()


def compose_serves(look: dict) -> bool:
    """Whether the host has a Compose plugin that is new enough."""
    return version_tuple(look["engine"]["compose"]) >= COMPOSE_MINIMUM


def host_system(look: dict) -> str:
    """Give the host's distribution as a person calls it."""
    system = look["os"]
    return f"{system['id'] or 'unknown'} {system['version_id'] or system['codename']}".strip()


def system_problem(look: dict, source: str) -> str:
    """Give what is wrong with the host's distribution for this source of an engine, or ''."""
    system = look["os"]
    name, version = system["id"], system["version_id"]
    if not system["apt"] or name not in DOCKER_SUITES:
        return f"{host_system(look)} is not supported: use Debian or Ubuntu, or install Docker and Compose yourself"
    # Where neither source serves, the other one is no way out. Debian's testing and unstable have no number: they are
    # newer than any that has.
    in_suites = version in DOCKER_SUITES[name]
    old = bool(version) and version_tuple(version) < ((13,) if name == "debian" else (22, 4))
    if source == "docker":
        if in_suites:
            return ""
        other = "" if old else "set docker_engine_source to distribution, "
        return (
            f"{host_system(look)} is not supported with Docker's repository: "
            f"use {' or '.join(DOCKER_SUITES[name])}, {other}or install Docker and Compose yourself"
        )
    if not old:
        return ""
    if in_suites:
        return f"{host_system(look)} has Compose v1 alone: set docker_engine_source to docker"
    newer = "Debian 13" if name == "debian" else "Ubuntu 22.04"
    return f"{host_system(look)} has no Compose v2: use {newer} or later, or install Docker and Compose yourself"


def is_supported(look: dict) -> bool:
    """Whether an engine could be installed on the host's distribution, from one source or the other."""
    return not all(system_problem(look, source) for source in SOURCES)


def repository_of(apt_url: str, look: dict) -> str:
    """Give the repository for the host's distribution below Docker's address for all of them."""
    return f"{apt_url.rstrip('/')}/{look['os']['id']}"


def same_repository(look: dict, url: str) -> tuple[list[str], str]:
    """Give the source files of somebody else that name nothing but this repository, and what is wrong with another one.

    apt refuses to work at all when two sources of one repository and suite disagree about the key.
    """
    entries, wanted = look["engine"]["apt_sources"], url.rstrip("/")
    aside, problem = [], ""
    for entry in entries:
        path, key = entry["path"], entry["signed_by"]
        if path == REPOSITORY_FILE or (entry["uri"].rstrip("/"), entry["suite"]) != (wanted, look["os"]["codename"]):
            continue
        if all(other["uri"].rstrip("/") == wanted for other in entries if other["path"] == path):
            aside.append(path)
        elif key != KEYRING:
            problem = problem or (
                f"{path} names {url} with another key ({key or 'none'}), among other sources: "
                "take that entry out, the role writes its own"
            )
    return sorted(set(aside)), problem


def compose_packages(look: dict, wanted: str) -> tuple[list[str], str]:
    """Return the packages that bring Compose to the engine that is here, and what is wrong where there are none.

    wanted: the source of an engine that would be installed where there is none.
    """
    source = look["engine"]["source"]
    if source == "docker-ce":
        return ["docker-compose-plugin"], ""
    if source == "docker.io":
        if not system_problem(look, "distribution"):
            # Debian's docker.io may be there without the docker command.
            return distribution_packages(look)[1:], ""
        # The setting alone changes nothing while this engine is here.
        remedy = "install Compose 2.20 or later as a plugin of it"
        if not system_problem(look, "docker"):
            setting = "" if wanted == "docker" else "set docker_engine_source to docker, "
            remedy += f", or {setting}remove docker.io (apt-get remove docker.io) and run again"
        return [], f"{host_system(look)} has no package of it for docker.io: {remedy}"
    return [], "its Docker is from no package: install Compose 2.20 or later as a plugin of it"


def distribution_packages(look: dict) -> list[str]:
    """Give the distribution's packages of an engine and of what commands it, Compose among them."""
    name = look["os"]["id"]
    return ["docker.io", DISTRIBUTION_COMPOSE[name], *(["docker-cli"] if name == "debian" else [])]


def engine_packages(look: dict, source: str, version: str) -> list[str]:
    """Give the packages of an engine and Compose as apt takes them, pinned ones with their version."""
    names = list(DOCKER_PACKAGES) if source == "docker" else distribution_packages(look)
    versioned, _epoch = VERSIONED[source]
    packages = [f"{name}={pin_of(source, version)}" if version and name in versioned else name for name in names]
    # An engine on a kernel with AppArmor wants its parser.
    return packages + (["apparmor"] if look["os"].get("apparmor") else [])


def pin_of(source: str, version: str) -> str:
    """Give apt's pattern for a version such as 28.5.1, '' for none. 28.5.1 is not 28.5.10."""
    if not version:
        return ""
    end = "-*" if source == "docker" and "-" not in version else "*"
    return f"{VERSIONED[source][1]}{version}{end}"


def engine_plan(look: dict, source: str = "docker", version: str = "", url: str = "") -> dict:
    """Decide from a look what to do about the engine: {action, packages, pin, aside, problem}.

    action: leave (an engine and Compose serve), install (the whole), compose (Compose alone, to an engine of somebody
    else's) or refuse (problem says why, in one line). url: the apt repository's. aside: other files that name it.
    """
    plan = {
        "action": "leave", "packages": [], "pin": pin_of(source, version), "versioned": VERSIONED[source][0],
        "aside": [],
    }
    engine = look["engine"]

    def refuse(problem: str) -> dict:
        return {**plan, "action": "refuse", "problem": problem}

    def install() -> dict:
        aside, problem = same_repository(look, url) if source == "docker" else ([], "")
        problem = system_problem(look, source) or problem
        if problem:
            return refuse(problem)
        packages = engine_packages(look, source, version)
        return {**plan, "action": "install", "packages": packages, "aside": aside, "problem": ""}

    if engine["source"] == "podman-docker":
        return refuse("podman-docker stands in Docker's place: remove it (apt-get remove podman-docker) and run again")
    if "permission denied" in engine["error"]:
        return refuse("the engine may not be asked by this user: run with become")
    if engine["serves"] and compose_serves(look):
        own_source = engine["ours"] and engine["source"] == SOURCES[source]
        return install() if own_source and plan["pin"] != engine["pin"] else {**plan, "problem": ""}
    if engine["ours"]:
        return install()
    if engine["serves"]:
        packages, problem = compose_packages(look, source)
        if problem:
            return refuse(f"Compose here is {engine['compose'] or 'missing'}, 2.20 or later is needed: {problem}")
        return {**plan, "action": "compose", "packages": packages, "problem": ""}
    if engine["source"] in (SOURCES[source], "none"):
        return install()
    name = engine["source"] if engine["source"] != "other" else "a Docker from no package"
    return refuse(f"{name} is installed and does not serve: start it, or remove it, and run again")


def engine_daemon(registry_mirrors: list, options: dict | None = None) -> dict:
    """Give the content of daemon.json: containers outlive the engine's restart, logs rotate; options win over these."""
    daemon = {
        "live-restore": True,
        "log-driver": "json-file",
        "log-opts": {"max-size": "100m", "max-file": "3"},
    }
    if registry_mirrors:
        daemon["registry-mirrors"] = list(registry_mirrors)
    for name, value in (options or {}).items():
        if isinstance(value, dict) and isinstance(daemon.get(name), dict):
            daemon[name] = {**daemon[name], **value}
        else:
            daemon[name] = value
    return daemon


def engine_stale(look: dict, daemon_json: str, containerd_conf: str) -> list[str]:
    """Say which services of the role's own engine want their settings and a restart: containerd, docker, both or none.

    daemon_json, containerd_conf: what their files should hold. A service may still run without what its file holds, and
    Docker without its firewall rules: it writes them when it starts, and never again after somebody has flushed them.
    """
    engine = look["engine"]
    wanted = dict(re.findall(r"^Environment=(\w+)=(.*)$", containerd_conf, re.MULTILINE))
    # Where none runs, it is started with what its file says.
    runs_with = wanted if engine["containerd_environment"] is None else engine["containerd_environment"]
    holds = {
        "containerd": engine["containerd_conf"] == sha256(containerd_conf) and runs_with == wanted,
        "docker": engine["daemon_json"] == engine["daemon_json_loaded"] == sha256(daemon_json) and engine["rules"],
    }
    return [name for name, held in holds.items() if not held]


def sha256(text: str) -> str:
    """Give the SHA-256 of a text in hex."""
    return hashlib.sha256(text.encode()).hexdigest()
