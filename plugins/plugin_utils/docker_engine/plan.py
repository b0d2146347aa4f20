# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What to do about a host's container engine, derived from its host info."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Mapping

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import bypass_list
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_engine import (
    CONTAINERD_ROOT,
    DATA_ROOT,
    without_credentials,
)

COMPOSE_MINIMUM = (2, 20, 0)

# The releases that Docker's repository supports.
DOCKER_SUITES = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04")}

# By the option docker_engine_source: the engine's package, the packages that take its version, and the epoch in it.
SOURCES = {"docker": "docker-ce", "distribution": "docker.io"}
VERSIONED = {"docker": (["docker-ce", "docker-ce-cli"], "5:"), "distribution": (["docker.io"], "")}
# Packages that conflict with those of each source: apt would remove them, or both contain the same file. They do not
# conflict if the first package is installed. Debian's docker-compose below 2 is another program.
CONFLICTS = {
    "docker": (
        "containerd.io", ("docker.io", "containerd", "runc", "docker-cli", "docker-compose", "docker-compose-v2"),
    ),
    "distribution": ("docker.io", ("containerd.io", "docker-ce", "docker-ce-cli", "docker-compose-plugin")),
}
REPOSITORY_FILE = "/etc/apt/sources.list.d/docker.sources"
KEYRING = "/etc/apt/keyrings/docker.asc"
DAEMON_JSON = "/etc/docker/daemon.json"

# The long names of dockerd's short flags, and the settings in daemon.json whose names differ from their flags.
SHORT_FLAGS = {
    "H": "host", "D": "debug", "G": "group", "b": "bridge", "l": "log-level", "p": "pidfile", "s": "storage-driver",
}
SETTINGS_OF_FLAGS = {"insecure-registry": "insecure-registries"}

# A new engine of this version or later keeps its images in containerd by default.
CONTAINERD_STORE_SINCE = (29,)


def version_tuple(text: str | None) -> tuple[int, ...]:
    """Return the leading numbers of a version: (2, 26, 1) for v2.26.1-4. Empty if there are none."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text or "")
    return tuple(int(part) for part in match.group(1).split(".")) if match else ()


def host_system(host_info: Mapping) -> str:
    """Return the name and version of the host's distribution."""
    system = host_info["os"]
    return f"{system['id'] or 'unknown'} {system['version_id'] or system['codename']}".strip()


def system_problem(host_info: Mapping, source: str) -> str:
    """Return why this source of an engine does not support the host's distribution, or ''."""
    system = host_info["os"]
    name, version = system["id"], system["version_id"]
    if not system["apt"] or name not in DOCKER_SUITES:
        wrong = f"{host_system(host_info)} is not supported"
        return f"{wrong}: use Debian or Ubuntu, or install Docker and Compose yourself"
    # The other source is only a remedy if it supports the release. Debian testing and unstable have no version: they
    # are newer than all that have one.
    in_suites = version in DOCKER_SUITES[name]
    old = bool(version) and version_tuple(version) < ((13,) if name == "debian" else (22, 4))
    if source == "docker":
        if in_suites:
            return ""
        other = "" if old else "set docker_engine_source to distribution, "
        return (
            f"{host_system(host_info)} is not supported with Docker's repository: "
            f"use {' or '.join(DOCKER_SUITES[name])}, {other}or install Docker and Compose yourself"
        )
    if not old:
        return ""
    if in_suites:
        return f"{host_system(host_info)} has only Compose v1: set docker_engine_source to docker"
    newer = "Debian 13" if name == "debian" else "Ubuntu 22.04"
    wrong = f"{host_system(host_info)} does not have Compose v2"
    return f"{wrong}: use {newer} or later, or install Docker and Compose yourself"


def is_supported(host_info: Mapping) -> bool:
    """Return whether an engine can be installed on the host's distribution from any source."""
    return not all(system_problem(host_info, source) for source in SOURCES)


def other_sources(host_info: Mapping, url: str) -> tuple[list[str], list[str]]:
    """Return (source files not written by the role that have only this repository, problems with mixed ones).

    apt does not work at all if two sources of a repository and suite have different keys.
    """
    # Host info has no credentials.
    plain, codename = without_credentials(url).rstrip("/"), host_info["os"]["codename"]
    entries = host_info["engine"]["apt_sources"]
    disabled, problems = set(), []
    for entry in entries:
        path, key = entry["path"], entry["signed_by"]
        if path == REPOSITORY_FILE or (entry["uri"].rstrip("/"), entry["suite"]) != (plain, codename):
            continue
        if all(other["uri"].rstrip("/") == plain for other in entries if other["path"] == path):
            disabled.add(path)
        elif key != KEYRING and not problems:
            problems.append(
                f"{path} has {plain} with another key ({key or 'none'}), and other repositories: "
                "remove that entry, the role writes its own"
            )
    return sorted(disabled), problems


def compose_packages(host_info: Mapping, wanted: str) -> tuple[list[str], str]:
    """Return (the packages of Compose for the installed engine, the problem if there are none).

    wanted: the source of an engine that the role would install.
    """
    source = host_info["engine"]["source"]
    if source == "docker-ce":
        return ["docker-compose-plugin"], ""
    if source == "docker.io":
        if not system_problem(host_info, "distribution"):
            # Debian's docker.io may be installed without the docker command.
            return distribution_packages(host_info)[1:], ""
        # The setting has no effect while this engine is installed.
        remedy = "install Compose 2.20 or later as its plugin"
        if not system_problem(host_info, "docker"):
            setting = "" if wanted == "docker" else "set docker_engine_source to docker, "
            remedy += f", or {setting}remove docker.io (apt-get remove docker.io) and run again"
        return [], f"{host_system(host_info)} does not have a package of it for docker.io: {remedy}"
    return [], "its Docker is not from a package: install Compose 2.20 or later as its plugin"


def distribution_packages(host_info: Mapping) -> list[str]:
    """Return the distribution's packages of the engine, Compose and the docker command."""
    if host_info["os"]["id"] == "debian":
        return ["docker.io", "docker-compose", "docker-cli"]
    return ["docker.io", "docker-compose-v2"]


def conflicting_packages(host_info: Mapping, source: str) -> list[str]:
    """Return a problem if installed packages conflict with those of this source."""
    first, names = CONFLICTS[source]
    packages = host_info["engine"]["packages"]
    found = [name for name in names if name in packages]
    if "docker-compose" in found and version_tuple(packages["docker-compose"]) < (2,):
        found.remove("docker-compose")
    if not found or first in packages:
        return []
    other = "distribution" if source == "docker" else "docker"
    instead = "" if system_problem(host_info, other) else f", or set docker_engine_source to {other}"
    wrong = f"{' and '.join(found)} cannot be installed together with the packages of docker_engine_source {source}"
    return [f"{wrong}: remove those that nothing else needs (apt-get remove {' '.join(found)}){instead}"]


def usability_problems(host_info: Mapping) -> list[str]:
    """Return why the host, or an engine that responds, cannot run the fleet's containers."""
    engine, security = host_info["engine"], host_info["engine"]["security"]
    # The role changes the settings of an engine that it manages.
    fixed = not engine["managed"]
    problems = {
        "the host does not run systemd, which starts the engine and the port guard: boot it with systemd, or use "
        "another machine": not engine["systemd"],
        "snap's Docker sees only a part of the host's files, and the port guard cannot delay its start: remove it "
        "with its containers (snap remove docker) and run again": engine["snap"],
        "Docker Desktop runs containers in a virtual machine, which the port guard does not reach: stop it, "
        "install Docker Engine instead, and run again": engine["desktop"],
        "the engine is rootless and hides the sources that the port guard admits: stop it, unset DOCKER_HOST, "
        "run the engine as root (systemctl enable --now docker.service) and run again": "rootless" in security,
        "the engine maps the users of containers (userns-remap), which then cannot read root's files: remove "
        f"userns-remap from {DAEMON_JSON} or the unit's flags, and run systemctl restart docker.service": (
            fixed and "userns" in security
        ),
        "the engine labels containers for SELinux, which then cannot read the fleet's files: set selinux-enabled "
        f"to false in {DAEMON_JSON} or the unit's flags, and run systemctl restart docker.service": (
            fixed and engine["selinux_enforcing"] and "selinux" in security
        ),
    }
    return [problem for problem, found in problems.items() if found]


def flags_of(command: list[str]) -> list[str]:
    """Return the long names of the flags in a command line."""
    matches = (re.match(r"--([a-z0-9-]+)|-([A-Za-z])", word) for word in command[1:])
    return list(dict.fromkeys(one[1] or SHORT_FLAGS.get(one[2], one[2]) for one in matches if one))


def config_file(command: list[str]) -> str:
    """Return the path of the settings file that a dockerd command line reads."""
    found = DAEMON_JSON
    for word, following in zip(command, [*command[1:], ""]):
        name, equals, value = word.partition("=")
        if name == "--config-file":
            found = value if equals else following
    return posixpath.normpath(found)


def validation_command(host_info: Mapping) -> str:
    """Return the command that validates a daemon.json, with %s for its path.

    It has the flags of the unit, since dockerd rejects a setting that is also a flag. If the unit runs another program,
    such as a wrapper, it is not used: what it does with --validate is unknown.
    """
    command = host_info["engine"].get("command") or [""]
    if posixpath.basename(command[0]) != "dockerd":
        command = ["dockerd"]
    return shlex.join([*command, "--validate", "--config-file"]).replace("%", "%%") + " %s"


def settings_problems(host_info: Mapping, settings: Mapping) -> list[str]:
    """Return why the engine would not start, or not be usable, with these settings in daemon.json."""
    engine, problems = host_info["engine"], []
    names = {*settings, *(settings["proxies"] if isinstance(settings.get("proxies"), dict) else ())}
    from_unit = "the flag from its unit (systemctl cat docker.service shows it)"
    for flag in flags_of(engine["command"]):
        for name in sorted(names & {flag, f"{flag}s", SETTINGS_OF_FLAGS.get(flag, flag)}):
            # The role's own settings do not depend on the options.
            own = name in daemon_settings([], {"log-driver": settings["log-driver"]})
            either = "" if own else f"{name} from docker_engine_daemon_options, or "
            problems.append(
                f"docker.service has the flag --{flag}, and the engine does not start if {DAEMON_JSON} sets {name} "
                f"too: remove {either}{from_unit}"
            )
        if flag == "config-file" and config_file(engine["command"]) != DAEMON_JSON:
            problems.append(f"docker.service reads another file than {DAEMON_JSON} (--config-file): remove {from_unit}")
    if settings.get("userns-remap"):
        problems.append(
            "userns-remap maps the users of containers, which then cannot read root's files: remove it from "
            "docker_engine_daemon_options"
        )
    if settings.get("selinux-enabled") and engine["selinux_enforcing"]:
        problems.append(
            "with selinux-enabled containers cannot read the fleet's files on a host where SELinux is enforcing: "
            "remove it from docker_engine_daemon_options"
        )
    return problems


def existing_settings_problems(host_info: Mapping, options: set) -> list[str]:
    """Return a problem if a host without an engine has a daemon.json with settings that these options do not name."""
    names = host_info["engine"]["daemon_json_names"]
    if names is None:
        return [f"{DAEMON_JSON} is not a JSON object, and no engine is installed yet: correct it, or remove it"]
    lost = [name for name in names if name not in options]
    if not lost:
        return []
    wrong = f"{DAEMON_JSON} was there before the engine and sets {', '.join(lost)}"
    return [f"{wrong}: set the same in docker_engine_daemon_options, or remove the file"]


def engine_packages(host_info: Mapping, source: str, pin: str) -> list[str]:
    """Return the packages of an engine and Compose for apt, those with a pinned version with it."""
    names = distribution_packages(host_info)
    if source == "docker":
        names = ["docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin"]
    packages = [f"{name}={pin}" if pin and name in VERSIONED[source][0] else name for name in names]
    # An engine on a kernel with AppArmor needs its parser.
    return packages + (["apparmor"] if host_info["os"].get("apparmor") else [])


def pin_of(source: str, version: str) -> str:
    """Return apt's pattern for a version such as 28.5.1, which does not match 28.5.10, or ''."""
    if not version:
        return ""
    end = "-*" if source == "docker" and "-" not in version else "*"
    return f"{VERSIONED[source][1]}{version}{end}"


def containerd_store(source: str, version: str, options: Mapping) -> bool:
    """Return whether a new engine keeps its images in containerd, by source, version and options of daemon.json.

    The version of a distribution's engine is not known. Debian 13 has 26, which does not by default.
    """
    features = options.get("features")
    enabled = features.get("containerd-snapshotter") if isinstance(features, Mapping) else None
    if isinstance(enabled, bool):
        return enabled
    if options.get("storage-driver") or options.get("userns-remap"):
        return False
    return version_tuple(version) >= CONTAINERD_STORE_SINCE if version else source == "docker"


def changed_root_problem(host_info: Mapping, data_root: str, containerd_root: str) -> str:
    """Return the problem with a change of a root that contains images, containers or volumes, or ''."""
    engine = host_info["engine"]
    configured = engine.get("containerd_configured", CONTAINERD_ROOT)
    for name, current, wanted in (
        ("data_root", engine.get("data_root", DATA_ROOT), data_root or DATA_ROOT),
        ("containerd_root", engine.get("containerd_root", configured), containerd_root or configured),
    ):
        if posixpath.normpath(current) != posixpath.normpath(wanted) and engine.get(f"{name}_holds"):
            return (
                f"{current} contains images, containers or volumes, which would not be found in {wanted}: "
                f"set docker_engine_{name} to {current}, or stop all containers, Docker and containerd, move {current} "
                f"to {wanted}, and run again"
            )
    return ""


def daemon_settings(mirrors: list | None, options: Mapping | None = None, no_proxy: list | None = None) -> dict:
    """Return the content of daemon.json: the role's own settings, overridden by the options.

    no_proxy: names and addresses to reach without a proxy, added if the options set a proxy.
    """
    settings: dict = {"live-restore": True, "log-driver": "json-file"}
    # The engine does not start if its log driver does not support these.
    if (options or {}).get("log-driver", "json-file") == "json-file":
        settings["log-opts"] = {"max-size": "100m", "max-file": "3"}
    if mirrors:
        settings["registry-mirrors"] = list(mirrors)
    for name, value in (options or {}).items():
        if isinstance(value, dict) and isinstance(settings.get(name), dict):
            value = {**settings[name], **value}
        settings[name] = value
    proxies = settings.get("proxies")
    if isinstance(proxies, dict) and any(proxies.get(name) for name in ("http-proxy", "https-proxy")):
        bypassed = bypass_list([str(proxies.get("no-proxy") or "")], list(no_proxy or []))
        settings["proxies"] = {**proxies, "no-proxy": bypassed}
    return settings


def engine_plan(
    host_info: Mapping,
    source: str = "docker",
    version: str = "",
    apt_url: str = "",
    mirrors: list | None = None,
    options: Mapping | None = None,
    containerd_root: str = "",
    no_proxy: list | None = None,
) -> dict:
    """Return what the role does about a host's engine. The filter's documentation describes arguments and result.

    action: leave (engine and Compose are usable), install (both), compose (only Compose, for an engine that the role
    does not manage), or refuse. old_sources: files not written by the role that have only this repository.
    """
    engine, options = host_info["engine"], options or {}
    settings = daemon_settings(mirrors, options, no_proxy)
    plan = {
        "action": "leave", "packages": [], "pin": pin_of(source, version), "versioned": VERSIONED[source][0],
        "repository": f"{apt_url.rstrip('/')}/{host_info['os']['id']}", "old_sources": [], "problems": [],
        "settings": settings, "validate": validation_command(host_info),
    }

    def refuse(*problems: str) -> dict:
        return {**plan, "action": "refuse", "problems": list(problems)}

    if engine["serves"] and engine["error"]:
        # Facts are missing, so no conclusion from them is valid.
        return refuse(
            f"the engine responds but does not return its state (docker info: {engine['error']}): see systemctl status "
            "docker, and if it hangs, run systemctl restart docker on the host"
        )
    if host_info.get("timed_out"):
        return refuse(f"{', '.join(host_info['timed_out'])} did not end in time: run again when the host is less busy")
    problems = usability_problems(host_info)
    if problems:
        return refuse(*problems)
    if engine["source"] == "podman-docker":
        wrong = "podman-docker provides the docker command"
        return refuse(f"{wrong}: remove it (apt-get remove podman-docker) and run again")
    if "permission denied" in engine["error"]:
        return refuse("permission denied on the Docker socket: run with become")
    if engine["managed"] or engine["source"] == "none":
        problem = changed_root_problem(host_info, options.get("data-root", ""), containerd_root)
        if problem:
            return refuse(problem)
    usable = engine["serves"] and version_tuple(engine["compose"]) >= COMPOSE_MINIMUM
    if usable:
        repinned = engine["managed"] and engine["source"] == SOURCES[source] and plan["pin"] != engine["pin"]
        action = "install" if repinned else "leave"
    elif engine["managed"]:
        action = "install"
    elif engine["serves"]:
        packages, problem = compose_packages(host_info, source)
        if problem:
            return refuse(f"Compose is {engine['compose'] or 'missing'}, but 2.20 or later is required: {problem}")
        return {**plan, "action": "compose", "packages": packages}
    elif engine["source"] in (SOURCES[source], "none"):
        action = "install"
    else:
        name = engine["source"] if engine["source"] != "other" else "a Docker that is not from a package"
        return refuse(f"{name} is installed but does not respond: start it, or remove it, and run again")
    if action == "install":
        problem = system_problem(host_info, source)
        if problem:
            return refuse(problem)
        if source == "docker":
            plan["old_sources"], problems = other_sources(host_info, plan["repository"])
        plan["packages"] = engine_packages(host_info, source, plan["pin"])
        problems += conflicting_packages(host_info, source)
    # The role does not write the settings of an engine that it does not manage.
    new = action == "install" and engine["source"] == "none" and not engine["managed"]
    if new:
        problems += existing_settings_problems(host_info, {*options, *(["registry-mirrors"] if mirrors else [])})
    if new or engine["managed"]:
        problems += settings_problems(host_info, settings)
    return refuse(*problems) if problems else {**plan, "action": action}
