# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has to be done about a host's container engine, decided from a look at the host alone."""

from __future__ import annotations

import hashlib
import posixpath
import re
import shlex
from collections.abc import Mapping

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import bypass_list
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_engine import CONTAINERD_ROOT, DATA_ROOT

COMPOSE_MINIMUM = (2, 20, 0)

# The distributions that Docker's own repository is used for, and what their own packages are called.
DOCKER_SUITES = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04")}
DOCKER_PACKAGES = ["docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin"]
DISTRIBUTION_COMPOSE = {"debian": "docker-compose", "ubuntu": "docker-compose-v2"}

# What each source's version stands in: Docker's own packages carry an epoch.
VERSIONED = {"docker": (["docker-ce", "docker-ce-cli"], "5:"), "distribution": (["docker.io"], "")}
SOURCES = {"docker": "docker-ce", "distribution": "docker.io"}
# What stands in the way of each source's packages: apt would remove them, or two packages bring one file. The first of
# a source's own packages tells whether they are past that. Debian's docker-compose below 2 is a program apart.
IN_THE_WAY = {
    "docker": (
        "containerd.io", ("docker.io", "containerd", "runc", "docker-cli", "docker-compose", "docker-compose-v2"),
    ),
    "distribution": ("docker.io", ("containerd.io", "docker-ce", "docker-ce-cli", "docker-compose-plugin")),
}
REPOSITORY_FILE = "/etc/apt/sources.list.d/docker.sources"
KEYRING = "/etc/apt/keyrings/docker.asc"
DAEMON_JSON = "/etc/docker/daemon.json"

# Short names of dockerd's flags, and what those are called in daemon.json that are not called alike or with an s.
SHORT_FLAGS = {
    "H": "host", "D": "debug", "G": "group", "b": "bridge", "l": "log-level", "p": "pidfile", "s": "storage-driver",
}
SETTINGS_OF_FLAGS = {"insecure-registry": "insecure-registries"}

# A new engine of this version or later keeps its images in containerd, unless its settings say otherwise.
CONTAINERD_STORE_SINCE = (29,)


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


def packages_in_the_way(look: dict, source: str) -> list[str]:
    """Return a problem where packages are installed that this source's packages would push out."""
    first, names = IN_THE_WAY[source]
    packages = look["engine"]["packages"]
    found = [name for name in names if name in packages]
    if "docker-compose" in found and version_tuple(packages["docker-compose"]) < (2,):
        found.remove("docker-compose")
    if not found or first in packages:
        return []
    other = "distribution" if source == "docker" else "docker"
    instead = "" if system_problem(look, other) else f", or set docker_engine_source to {other}"
    wrong = f"{' and '.join(found)} cannot be installed beside the packages of docker_engine_source {source}"
    return [f"{wrong}: remove what nothing else needs of them (apt-get remove {' '.join(found)}){instead}"]


def unusable(look: dict) -> list[str]:
    """Return the problems of an engine that may answer and cannot run the fleet's containers, or of its host."""
    engine, problems = look["engine"], []
    if not engine["systemd"]:
        problems.append(
            "the host does not run systemd, which starts the engine and the port guard: boot it with systemd, or use "
            "another machine"
        )
    if engine["snap"]:
        problems.append(
            "snap's Docker sees only a part of the host's files, and the port guard cannot hold it back: remove it "
            "with its containers (snap remove docker) and run again"
        )
    if engine["desktop"]:
        problems.append(
            "Docker Desktop runs containers in a virtual machine, which the port guard does not reach: stop it, "
            "install Docker Engine instead, and run again"
        )
    if "rootless" in engine["security"]:
        problems.append(
            "the engine is rootless and hides the sources that the port guard admits: stop it, unset DOCKER_HOST, "
            "run the engine as root (systemctl enable --now docker.service) and run again"
        )
    # What the role's own engine runs with, the role changes.
    if engine["managed"]:
        return problems
    if "userns" in engine["security"]:
        problems.append(
            "the engine maps the users of containers (userns-remap), which then cannot read files of root: take "
            f"userns-remap out of {DAEMON_JSON} or the unit's flags, and run systemctl restart docker.service"
        )
    if engine["selinux_enforcing"] and "selinux" in engine["security"]:
        problems.append(
            "the engine labels containers for SELinux, which then cannot read the fleet's files: set selinux-enabled "
            f"to false in {DAEMON_JSON} or the unit's flags, and run systemctl restart docker.service"
        )
    return problems


def flags_of(command: list[str]) -> list[str]:
    """Return the names of the flags of a command line, short ones by their long names."""
    found = []
    for word in command[1:]:
        match = re.match(r"--([a-z0-9-]+)|-([A-Za-z])", word)
        if match:
            found.append(match[1] or SHORT_FLAGS.get(match[2], match[2]))
    return list(dict.fromkeys(found))


def config_file(command: list[str]) -> str:
    """Return the file that a command line has dockerd read, by the last --config-file in it or by default."""
    found = DAEMON_JSON
    for word, following in zip(command, [*command[1:], ""]):
        name, equals, value = word.partition("=")
        if name == "--config-file":
            found = value if equals else following
    return posixpath.normpath(found)


def engine_validation(look: dict) -> str:
    """Return the command that checks a daemon.json, with %s for its path.

    It has the flags of the unit, as a setting must not be both, where the unit runs dockerd itself: another program,
    such as a wrapper, may do anything with --validate.
    """
    command = look["engine"]["command"]
    own = posixpath.basename(command[0] if command else "") == "dockerd"
    words = [*(command if own else ["dockerd"]), "--validate", "--config-file"]
    return f"{' '.join(map(shlex.quote, words)).replace('%', '%%')} %s"


def settings_problems(look: dict, daemon: dict) -> list[str]:
    """Return what is wrong with the content of daemon.json that the role would write on this host.

    The engine does not start with a setting that is a flag of its unit as well.
    """
    engine, problems = look["engine"], []
    names = {*daemon, *(daemon["proxies"] if isinstance(daemon.get("proxies"), dict) else ())}
    from_unit = "the flag out of its unit (systemctl cat docker.service shows where it is)"
    for flag in flags_of(engine["command"]):
        for name in sorted(names & {flag, f"{flag}s", SETTINGS_OF_FLAGS.get(flag, flag)}):
            # The role's own settings are there whatever the options say.
            own = name in engine_daemon([], {"log-driver": daemon["log-driver"]})
            either = "" if own else f"{name} out of docker_engine_daemon_options, or "
            problems.append(
                f"docker.service has the flag --{flag}, and the engine does not start where {DAEMON_JSON} sets {name} "
                f"too: take {either}{from_unit}"
            )
        if flag == "config-file" and config_file(engine["command"]) != DAEMON_JSON:
            problems.append(f"docker.service reads another file than {DAEMON_JSON} (--config-file): take {from_unit}")
    if daemon.get("userns-remap"):
        problems.append(
            "userns-remap maps the users of containers, which then cannot read files of root: take it out of "
            "docker_engine_daemon_options"
        )
    if daemon.get("selinux-enabled") and engine["selinux_enforcing"]:
        problems.append(
            "selinux-enabled keeps containers from the fleet's files on a host where SELinux is enforcing: take it "
            "out of docker_engine_daemon_options"
        )
    return problems


def prepared_problems(look: dict, given: list) -> list[str]:
    """Return a problem where somebody wrote a daemon.json for an engine to come, with settings that are not given."""
    names = look["engine"]["daemon_json_names"]
    if names is None:
        return [f"{DAEMON_JSON} is not a JSON object, and no engine is there yet: correct it, or remove it"]
    lost = [name for name in names if name not in given]
    if not lost:
        return []
    wrong = f"{DAEMON_JSON} is there before the engine and sets {', '.join(lost)}"
    return [f"{wrong}: set the same in docker_engine_daemon_options, or remove the file"]


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


def containerd_store(source: str, version: str, options: Mapping) -> bool:
    """Return whether a new engine would keep its images in containerd, by source, version and options of daemon.json.

    Which version a distribution has is not known here. Debian 13 has 26, which does not by itself.
    """
    features = options.get("features")
    named = features.get("containerd-snapshotter") if isinstance(features, Mapping) else None
    if isinstance(named, bool):
        return named
    if options.get("storage-driver") or options.get("userns-remap"):
        return False
    return version_tuple(version) >= CONTAINERD_STORE_SINCE if version else source == "docker"


def moved_root(look: dict, data_root: str, containerd_root: str) -> str:
    """Return what is wrong where a root would change that holds images, containers or volumes, or ''."""
    engine = look["engine"]
    configured = engine.get("containerd_configured", CONTAINERD_ROOT)
    roots = (
        ("docker_engine_data_root", engine.get("data_root", DATA_ROOT), data_root or DATA_ROOT, "data_root_holds"),
        (
            "docker_engine_containerd_root",
            engine.get("containerd_root", configured),
            containerd_root or configured,
            "containerd_root_holds",
        ),
    )
    for option, current, wanted, holds in roots:
        if posixpath.normpath(current) != posixpath.normpath(wanted) and engine.get(holds):
            return (
                f"{current} holds images, containers or volumes, which would not be found in {wanted}: "
                f"set {option} to {current}, or stop all containers, Docker and containerd, move {current} to "
                f"{wanted}, and run again"
            )
    return ""


def engine_plan(
    look: dict,
    source: str = "docker",
    version: str = "",
    url: str = "",
    mirrors: list | None = None,
    options: dict | None = None,
    containerd_root: str = "",
) -> dict:
    """Decide from a look what to do about the engine: {action, packages, pin, aside, problems}.

    action: leave (an engine and Compose serve), install (the whole), compose (Compose alone, to an engine of somebody
    else's) or refuse (problems say why, a line each). url: the apt repository's. aside: other files that name it.
    mirrors, options: what daemon.json should hold besides the role's own settings, where the engine is the role's.
    containerd_root: where its containerd should keep its data, empty for the default.
    """
    plan = {
        "action": "leave", "packages": [], "pin": pin_of(source, version), "versioned": VERSIONED[source][0],
        "aside": [], "problems": [],
    }
    engine = look["engine"]

    def refuse(*problems: str) -> dict:
        return {**plan, "action": "refuse", "problems": list(problems)}

    def settle(settled: dict, problems: list) -> dict:
        # Of an engine that is somebody else's no settings are written.
        new = settled["action"] == "install" and engine["source"] == "none" and not engine["managed"]
        if new:
            given = [*(options or {}), *(["registry-mirrors"] if mirrors else [])]
            problems = problems + prepared_problems(look, given)
        if new or engine["managed"]:
            problems = problems + settings_problems(look, engine_daemon(mirrors or [], options))
        return refuse(*problems) if problems else settled

    def install() -> dict:
        aside, problem = same_repository(look, url) if source == "docker" else ([], "")
        foreign = system_problem(look, source)
        if foreign:
            return refuse(foreign)
        packages = engine_packages(look, source, version)
        problems = ([problem] if problem else []) + packages_in_the_way(look, source)
        return settle({**plan, "action": "install", "packages": packages, "aside": aside}, problems)

    if engine["serves"] and engine["error"]:
        # Of what it does not tell, nothing may be taken as not there.
        return refuse(
            f"the engine answers and does not tell about itself (docker info: {engine['error']}): see systemctl status "
            "docker, and if it hangs, run systemctl restart docker on the host"
        )
    problems = unusable(look)
    if problems:
        return refuse(*problems)
    if engine["source"] == "podman-docker":
        return refuse("podman-docker stands in Docker's place: remove it (apt-get remove podman-docker) and run again")
    if "permission denied" in engine["error"]:
        return refuse("the engine may not be asked by this user: run with become")
    if engine["managed"] or engine["source"] == "none":
        problem = moved_root(look, (options or {}).get("data-root", ""), containerd_root)
        if problem:
            return refuse(problem)
    if engine["serves"] and compose_serves(look):
        own_source = engine["managed"] and engine["source"] == SOURCES[source]
        return install() if own_source and plan["pin"] != engine["pin"] else settle(plan, [])
    if engine["managed"]:
        return install()
    if engine["serves"]:
        packages, problem = compose_packages(look, source)
        if problem:
            return refuse(f"Compose here is {engine['compose'] or 'missing'}, 2.20 or later is needed: {problem}")
        return {**plan, "action": "compose", "packages": packages}
    if engine["source"] in (SOURCES[source], "none"):
        return install()
    name = engine["source"] if engine["source"] != "other" else "a Docker from no package"
    return refuse(f"{name} is installed and does not serve: start it, or remove it, and run again")


def engine_daemon(registry_mirrors: list, options: dict | None = None, no_proxy: list | None = None) -> dict:
    """Give the content of daemon.json: containers outlive the engine's restart, logs rotate; options win over these.

    no_proxy: names and addresses that the engine reaches without a proxy, added where the options set one.
    """
    daemon = {
        "live-restore": True,
        "log-driver": "json-file",
        "log-opts": {"max-size": "100m", "max-file": "3"},
    }
    # The engine does not start with a log driver that does not know these.
    if (options or {}).get("log-driver", "json-file") != "json-file":
        del daemon["log-opts"]
    if registry_mirrors:
        daemon["registry-mirrors"] = list(registry_mirrors)
    for name, value in (options or {}).items():
        if isinstance(value, dict) and isinstance(daemon.get(name), dict):
            daemon[name] = {**daemon[name], **value}
        else:
            daemon[name] = value
    proxies = daemon.get("proxies")
    if isinstance(proxies, dict) and any(proxies.get(name) for name in ("http-proxy", "https-proxy")):
        bypassed = bypass_list([str(proxies.get("no-proxy") or "")], list(no_proxy or []))
        daemon["proxies"] = {**proxies, "no-proxy": bypassed}
    return daemon


def engine_stale(look: dict, daemon_json: str, containerd_conf: str) -> list[str]:
    """Say which services of the role's own engine want their settings and a restart: containerd, docker, both or none.

    daemon_json, containerd_conf: what their files should hold. A service may still run without what its file holds, and
    Docker without its firewall rules: it writes them when it starts, and never again after somebody has flushed them.
    """
    engine = look["engine"]
    wanted = dict(re.findall(r"^Environment=(\w+)=(.*)$", containerd_conf, re.MULTILINE))
    # Where it cannot be seen, as it was started with what its file says.
    runs_with = wanted if engine["containerd_environment"] is None else engine["containerd_environment"]
    holds = {
        "containerd": engine["containerd_conf"] == sha256(containerd_conf) and runs_with == wanted,
        "docker": engine["daemon_json"] == engine["daemon_json_loaded"] == sha256(daemon_json) and engine["rules"],
    }
    return [name for name, held in holds.items() if not held]


def sha256(text: str) -> str:
    """Give the SHA-256 of a text in hex."""
    return hashlib.sha256(text.encode()).hexdigest()
