# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What compose_stack decides, as pure functions: files to write, what states mean, when waiting is over."""

from __future__ import annotations

import copy
import hashlib
import ipaddress
import json
import posixpath
import re
from dataclasses import dataclass

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import dotenv
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import nft

LABEL_FILES = "aztec_ops.prover.files"
LABEL_CONFIG = "aztec_ops.prover.config"
LABEL_PROJECT = "com.docker.compose.project"
LABEL_SERVICE = "com.docker.compose.service"
LABEL_NUMBER = "com.docker.compose.container-number"
LABEL_HASH = "com.docker.compose.config-hash"
OPTION_BRIDGE = "com.docker.network.bridge.name"

ENV_FILE = ".env"

# Keys that tell Compose how to run a service and are no part of the container.
_NOT_IN_THE_CONTAINER = ("depends_on", "profiles", "pull_policy", "scale", "deploy")
# A process that answers for a shorter time than this has not shown that it stays.
SETTLED = 10.0
# Older starts than this are no part of a restart loop that goes on now.
LOOP_AGE = 300.0

_MEANINGS = {
    0: "it ended by itself, without an error",
    1: "the program gave up, its last log lines say why",
    2: "the program was called with wrong arguments",
    78: "update needed: the network has a new rollup",
    79: "update needed: the network wants a newer version",
    125: "Docker could not start the container",
    126: "the entrypoint is there but cannot be run",
    127: "the entrypoint is not in the image",
    130: "it was interrupted (SIGINT)",
    132: "the processor lacks an instruction that the program needs (SIGILL)",
    134: "the program broke off (SIGABRT)",
    137: "it was killed (SIGKILL): memory ran out on the host, or it did not stop in time",
    139: "the program crashed (SIGSEGV)",
    143: "it was asked to stop (SIGTERM)",
}
# Trying again does not help with these.
_DEFINITE = (78, 79, 125, 126, 127)


class Problem(Exception):
    """Something that stops the work; the text is one line for a person."""


def meaning(exit_code: int, oom_killed: bool = False, error: str = "") -> str:
    """Take how a container ended, give in words what that means."""
    if oom_killed:
        text = "the kernel killed it because it ran out of memory"
    elif exit_code in _MEANINGS:
        text = _MEANINGS[exit_code]
    elif 128 < exit_code < 160:
        text = f"it was ended by signal {exit_code - 128}"
    else:
        text = "the program failed, its last log lines say why"
    return f"{text} ({one_line(error)})" if error else text


def one_line(text: str, limit: int = 400) -> str:
    """Return any text on one printable line, shortened."""
    return printable(text, limit)


# --- the files -----------------------------------------------------------------------------------------------------

_BARE = re.compile(r"[A-Za-z_/.](?:[A-Za-z0-9_./@ -]|:(?=[A-Za-z0-9/]))*\Z")
_WORDS = {"", "y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "~", ".inf", ".nan"}


def _quoted(text: str) -> str:
    """Take a text, give it as a double-quoted YAML scalar (JSON's form, with what YAML wants escaped besides)."""
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda found: f"\\u{ord(found.group()):04x}", quoted)


def _scalar(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return json.dumps(value)
    text = str(value)
    numeric = re.match(r"[-+.]?[0-9]|\.", text) and not re.match(r"\.{0,2}/|\.env\Z", text)
    if _BARE.match(text) and text.lower() not in _WORDS and not numeric and text == text.strip() and text != "---":
        return text
    return _quoted(text)


def to_yaml(value: object, indent: int = 0) -> str:
    """Take mappings, lists and scalars, give YAML text; the target's Python need not have a YAML library."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        lines = []
        for key, item in value.items():
            if isinstance(item, (dict, list)) and item:
                lines.append(f"{pad}{_scalar(str(key))}:\n{to_yaml(item, indent + 1)}")
            else:
                lines.append(f"{pad}{_scalar(str(key))}: {_flow(item)}\n")
        return "".join(lines)
    if isinstance(value, list) and value:
        lines = []
        for item in value:
            if isinstance(item, (dict, list)) and item:
                # The first line of the item stands behind the dash.
                inner = to_yaml(item, indent + 1)
                lines.append(f"{pad}- {inner[len(pad) + 2 :]}")
            else:
                lines.append(f"{pad}- {_flow(item)}\n")
        return "".join(lines)
    return f"{pad}{_flow(value)}\n"


def _flow(value: object) -> str:
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list):
        return "[]"
    return _scalar(value)


def digest(*parts: str) -> str:
    """Take texts, give one short digest over all of them and where each ends."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape")
        whole.update(f"{len(data)}:".encode("ascii"))
        whole.update(data)
    return whole.hexdigest()[:32]


def files_digest(files: dict[str, str]) -> str:
    """Take key files by path, give their digest."""
    return digest(*[part for path in sorted(files) for part in (path, files[path])])


def file_problem(path: str) -> str | None:
    """Take the path of a key file, give one line on why it cannot lie under the project's directory, or None."""
    plain = path == posixpath.normpath(path) and "\0" not in path
    if not plain or path in ("", ".") or path.startswith(("/", "..")):
        return f"{path!r} in files must be a path below the project's directory, without . and .. in it"
    if path.split("/", 1)[0] in (".stack", ENV_FILE, "compose.yml"):
        return f"{path!r} in files is taken by the project itself: choose another name"
    return None


def model_problem(model: object) -> str | None:
    """Take the Compose model, give one line on why it cannot be used, or None. Compose itself checks the rest."""
    services = model.get("services") if isinstance(model, dict) else None
    if not isinstance(services, dict) or not services:
        return "compose has no services: give a Compose model with at least one"
    for name, service in services.items():
        if not isinstance(service, dict) or not isinstance(service.get("image"), str) or not service["image"]:
            return f"service {name} in compose has no image: name one"
        wrong = _service_problem(service)
        if wrong:
            return f"service {name} in compose: {wrong}"
    return None


def _service_problem(service: dict) -> str | None:
    """Give what is wrong with the keys of a service that are read here."""
    for key in ("labels", "environment"):
        found = service.get(key) or {}
        if not isinstance(found, dict) and not (isinstance(found, list) and all(isinstance(one, str) for one in found)):
            return f"{key} must be a mapping, or a list of texts"
    if not all(isinstance(one, (str, dict)) for one in _env_files(service)):
        return "env_file must be a path, or a list of paths"
    if not isinstance(service.get("container_name") or "", str):
        return "container_name must be a text"
    if not isinstance(service.get("deploy") or {}, dict):
        return "deploy must be a mapping"
    for key, count in (("scale", service.get("scale")), ("replicas", (service.get("deploy") or {}).get("replicas"))):
        if count is not None and not re.fullmatch(r"[0-9]{1,6}", str(count)):
            return f"{key} must be a number from 0"
    return None


def files_problem(paths: list) -> str | None:
    """Take the paths of all key files, give one line on why they cannot lie beside each other, or None."""
    for path in paths:
        wrong = file_problem(path)
        if wrong:
            return wrong
        above = [other for other in paths if path.startswith(f"{other}/")]
        if above:
            return f"{above[0]!r} in files is a file, and {path!r} lies in it: rename one of them"
    return None


def _is_texts(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(one, str) for one in found)


def _is_text_map(found: object) -> bool:
    return isinstance(found, dict) and all(isinstance(one, (str, type(None))) for one in found.values())


def _is_service(found: object) -> bool:
    lists = ("hashes", "networks")
    return isinstance(found, dict) and all(
        _is_texts(value) if key in lists else isinstance(value, str) for key, value in found.items()
    )


# What each file of the module's own may hold, by key.
_STATE_FORMS = {
    "state.json": {
        "good": lambda found: isinstance(found, str) and re.fullmatch(r"good-[0-9]{1,9}", found),
        "services": lambda found: isinstance(found, dict) and all(map(_is_service, found.values())),
        "files": lambda found: _is_texts(found) and not any(map(file_problem, found)),
        "secret_keys": _is_texts,
        "healthy": _is_text_map,
    },
    "pending.json": {
        "mark": lambda found: found is None or isinstance(found, str),
        "images": _is_text_map,
    },
}


def state_problem(name: str, found: object) -> str | None:
    """Return what is wrong with the content of a file of the module's own, None where it can be worked with."""
    if not isinstance(found, dict):
        return "it is not an object"
    wrong = [key for key, form in _STATE_FORMS.get(name, {}).items() if key in found and not form(found[key])]
    return f"{wrong[0]} is of another form" if wrong else None


def network_problem(network: dict) -> str | None:
    """Take the shared network that is asked for, give one line on why Docker cannot make it, or None."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", network["name"]):
        return f"network.name {network['name']!r} is no name of a Docker network: use letters, digits, -, . and _"
    if not nft.BRIDGE.fullmatch(network["bridge"]):
        return f"network.bridge {network['bridge']!r} is no name of a bridge: use 1 to 15 letters, digits, - and _"
    for key, version in (("ipv4_subnet", 4), ("ipv6_subnet", 6)):
        try:
            found = ipaddress.ip_network(network[key]) if network[key] else None
        except ValueError:
            return f"network.{key} {network[key]!r} is no subnet: write it in CIDR form, without host bits"
        if found is not None and found.version != version:
            return f"network.{key} {network[key]!r} is of IPv{found.version}: give an IPv{version} subnet"
    if network.get("mtu") and not 68 <= network["mtu"] <= 65535:
        return f"network.mtu {network['mtu']} is not an MTU: use 68 to 65535, or 0 for what fits the host"
    return None


def _env_files(service: dict) -> list:
    wanted = service.get("env_file") or []
    return list(wanted) if isinstance(wanted, list) else [wanted]


def reads_env(service: dict, directory: str) -> bool:
    """Take a service, give whether it reads the project's own .env."""
    return any(_is_own(item, directory) for item in _env_files(service))


def _is_own(item: object, directory: str) -> bool:
    path = item.get("path") if isinstance(item, dict) else item
    return isinstance(path, str) and posixpath.normpath(posixpath.join(directory, path)) == posixpath.join(
        posixpath.normpath(directory), ENV_FILE
    )


def with_labels(model: dict, env_text: str, files: dict[str, str], directory: str) -> dict:
    """Take the Compose model and the other files, give the model with digests as labels on every service.

    Compose recreates a container when its labels change, so that it does when a key file changes, of which it knows
    nothing. The second label lets a look at the containers alone tell whether they were made from these files.
    """
    model = copy.deepcopy(model)
    around = to_yaml({key: value for key, value in model.items() if key != "services"})
    of_files = files_digest(files) if files else ""
    for service in model["services"].values():
        inside = {key: value for key, value in service.items() if key not in _NOT_IN_THE_CONTAINER}
        resources = {key: value for key, value in (service.get("deploy") or {}).items() if key != "replicas"}
        env = env_text if reads_env(service, directory) else ""
        labels = service.get("labels") or {}
        if isinstance(labels, list):
            labels = dict(label.partition("=")[::2] for label in labels)
        own = {LABEL_FILES: of_files} if of_files else {}
        own[LABEL_CONFIG] = digest(around, to_yaml(inside), to_yaml(resources), env, of_files)
        service["labels"] = {**labels, **own}
    return model


# As programs read them in lower or upper case; Docker's CLI passes both on to every container that it creates.
PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy")
NO_PROXY = ("NO_PROXY", "no_proxy")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def client_proxies(config: str, engine: str) -> dict[str, str]:
    """Return the variables that Docker's CLI adds to each container: those of `proxies` in its config.json.

    config: the file's text; the CLI ignores one that it cannot read. engine: the engine's address, which may have
    settings of its own.
    """
    try:
        proxies = json.loads(config or "{}").get("proxies") or {}
        chosen = proxies[engine] if engine in proxies else proxies.get("default") or {}
        named = {key.lower(): value for key, value in chosen.items() if isinstance(value, str) and value}
    except (ValueError, AttributeError, TypeError):
        return {}
    found = {}
    for variable in (*PROXIES, "no_proxy"):
        value = named.get(variable.replace("_", ""))
        found.update({variable: value, variable.upper(): value} if value else {})
    return found


def bypass_list(existing: list[str], names: list[str]) -> str:
    """Return the value of NO_PROXY: the entries of existing values, then loopback and names that are missing.

    IPv6 addresses are listed with and without brackets, as some programs need one form and some the other.
    """
    found = dict.fromkeys(one for value in existing for one in re.split(r"[,\s]+", value) if one)
    if "*" in found:
        return "*"
    for name in [*LOOPBACK, *names]:
        found.update(dict.fromkeys([name, f"[{name}]"] if ":" in name else [name]))
    return ",".join(found)


def with_no_proxy(model: dict, values: dict, client: dict, names: list[str], directory: str) -> dict:
    """Return the Compose model with NO_PROXY, in both cases, in each service whose environment has a proxy.

    values: the project's .env. client: what Docker's CLI adds. names: what is reached without a proxy besides loopback.
    """
    model = copy.deepcopy(model)
    for service in model["services"].values():
        own = service.get("environment") or {}
        if isinstance(own, list):
            own = {key: value if sep else None for key, sep, value in (one.partition("=") for one in own)}
        # Compose replaces variables in its own file alone.
        env = {**client, **(values if reads_env(service, directory) else {})}
        seen = {**{key: str(value).replace("$", "$$") for key, value in env.items()}, **own}
        # One without a value is taken from the environment of the command.
        if not any(key.lower() in PROXIES and (value is None or value != "") for key, value in seen.items()):
            continue
        existing = [str(seen[key]) for key in NO_PROXY if seen.get(key)]
        service["environment"] = {**own, **dict.fromkeys(NO_PROXY, bypass_list(existing, names))}
    return model


def with_env_at(model: dict, directory: str, staged: str) -> dict:
    """Take the Compose model, give it with the project's .env read from where it is staged; for validation only."""
    model = copy.deepcopy(model)
    for service in model["services"].values():
        if reads_env(service, directory):
            service["env_file"] = [
                ({**item, "path": staged} if isinstance(item, dict) else staged) if _is_own(item, directory) else item
                for item in _env_files(service)
            ]
    return model


def garbled(resolved: dict, model: dict, values: dict[str, str], directory: str) -> list[str]:
    """Take what Compose made of the files, give the names whose value would not reach the process as it was given.

    `resolved` is the answer of `docker compose config --format json`, in which every $ stands doubled.
    """
    wrong = set()
    for name, service in model["services"].items():
        if not reads_env(service, directory):
            continue
        own = service.get("environment") or {}
        overridden = {str(item).partition("=")[0] for item in own}
        seen = (resolved.get("services", {}).get(name) or {}).get("environment") or {}
        for key, value in values.items():
            if key not in overridden and seen.get(key) != value.replace("$", "$$"):
                wrong.add(key)
    return sorted(wrong)


def images_of(model: dict) -> dict[str, str]:
    """Take the Compose model, give each service's image."""
    return {name: service["image"] for name, service in model["services"].items()}


def scale_of(service: dict) -> int:
    """Take a service, give how many containers it wants."""
    if service.get("scale") is not None:
        return int(service["scale"])
    replicas = (service.get("deploy") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)


def names_of(project: str, name: str, service: dict) -> list[str]:
    """Take a service, give the names that its containers have."""
    if service.get("container_name"):
        return [service["container_name"]]
    return [f"{project}-{name}-{number}" for number in range(1, scale_of(service) + 1)]


# --- containers ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Container:
    """What one container is found to be."""

    id: str
    name: str
    service: str
    image: str
    image_id: str
    status: str
    health: str
    restarts: int
    exit_code: int
    oom_killed: bool
    error: str
    started_at: str
    policy: str
    config: str
    config_hash: str
    networks: tuple
    was_healthy: bool = False

    @property
    def state(self) -> str:
        """running, starting, failed, or exited (ended well, and meant to)."""
        if self.status == "running":
            if self.health == "healthy" or self.health == "none":
                return "running"
            # Docker says unhealthy of a node that still syncs, too: only health that is lost is a failure.
            return "failed" if self.health == "unhealthy" and self.was_healthy else "starting"
        if self.status == "exited" and self.exit_code == 0 and self.policy in ("no", "", "on-failure"):
            return "exited"
        return "failed"

    @property
    def meaning(self) -> str:
        """What the state means, in words; empty for a container that is well."""
        if self.state != "failed" or self.status == "running":
            return "it was healthy and is no longer" if self.state == "failed" else ""
        if self.status == "created":
            return f"it was made and never started ({one_line(self.error)})" if self.error else "it was never started"
        if self.status == "paused":
            return "it was paused by hand"
        return meaning(self.exit_code, self.oom_killed, self.error)

    @property
    def definite(self) -> bool:
        """Whether Docker will not, or need not, try again."""
        return self.status not in ("running", "restarting") or self.exit_code in _DEFINITE


def container(found: dict, was_healthy: bool = False) -> Container:
    """Take one item of `docker inspect`, give what matters of it."""
    state = found.get("State") or {}
    config = found.get("Config") or {}
    labels = config.get("Labels") or {}
    health = state.get("Health") or {}
    checks = health.get("Log") or []
    return Container(
        id=found["Id"],
        name=(found.get("Name") or "").lstrip("/"),
        service=labels.get(LABEL_SERVICE, ""),
        image=config.get("Image", ""),
        image_id=found.get("Image", ""),
        status=state.get("Status", ""),
        health=health.get("Status") or "none",
        restarts=int(found.get("RestartCount") or 0),
        exit_code=int(state.get("ExitCode") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        error=state.get("Error") or "",
        started_at=state.get("StartedAt") or "",
        policy=((found.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no",
        config=labels.get(LABEL_CONFIG, ""),
        config_hash=labels.get(LABEL_HASH, ""),
        networks=tuple(sorted((found.get("NetworkSettings") or {}).get("Networks") or {})),
        was_healthy=was_healthy or any(check.get("ExitCode") == 0 for check in checks),
    )


_ORDER = ("failed", "starting", "running", "exited")


def status_of(containers: list[Container]) -> dict[str, dict]:
    """Take containers, give the state of each service: of several containers the worst."""
    found: dict[str, dict] = {}
    for each in sorted(containers, key=lambda item: (_ORDER.index(item.state), item.name), reverse=True):
        found[each.service] = {
            "state": each.state,
            "health": each.health,
            "image": each.image,
            "image_id": each.image_id,
            "restarts": each.restarts,
            "exit_code": None if each.status == "running" else each.exit_code,
            "meaning": each.meaning,
        }
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Watched:
    """One container over the time that it is waited for."""

    now: Container
    restarts_before: int
    running_for: float
    seen_healthy: bool = False


def verdict(watched: list[Watched], waited: float, timeout: float) -> tuple[str, list[Watched]]:
    """Take the containers and how long they are waited for, give `ok`, `wait` or `failed` and which have failed.

    One restart is forgiven, since a program may come up before what it needs; two are a loop. Health that was lost
    before the waiting began may come back while it lasts.
    """
    failed, open_ = [], False
    over = waited >= timeout
    for each in watched:
        again = each.now.restarts - each.restarts_before
        if each.now.state == "failed":
            lost = each.now.status == "running"
            if over or again >= 2 or (each.seen_healthy if lost else each.now.definite):
                failed.append(each)
            else:
                open_ = True
        elif each.now.state in ("running", "starting") and each.now.health != "healthy":
            if again >= 2 or (again and over):
                failed.append(each)
            elif each.now.health != "none" or each.running_for < SETTLED:
                open_ = True
    if failed:
        return "failed", failed
    return ("wait" if open_ and not over else "ok"), []


# --- what is to be done --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Engine:
    """What the engine holds of this project."""

    containers: tuple
    images: dict


def container_actions(project: str, model: dict, engine: Engine, memory: dict, running_for: dict) -> list[dict]:
    """Take the labelled model and what the engine holds, give what is to be done about containers.

    Each is {do, service, why}. `memory` is what was noted when the project last came up well ({service: {hashes,
    networks}}), `running_for` how long each container runs (by id).
    """
    actions = []
    known = model["services"]
    for each in engine.containers:
        if each.service not in known:
            actions.append({"do": "remove", "service": each.service, "why": "it is no service of the project any more"})
    for name, service in known.items():
        mine = [each for each in engine.containers if each.service == name]
        wanted = names_of(project, name, service)
        if len(mine) < len(wanted):
            actions.append({"do": "create", "service": name, "why": "it is not there"})
        strange = [each.name for each in mine if each.name not in wanted]
        if strange:
            actions.append({"do": "replace", "service": name, "why": f"{', '.join(strange)} is not its name"})
        noted = memory.get(name) or {}
        for each in mine:
            why = _why_recreate(each, service, engine, noted)
            if why:
                actions.append({"do": "recreate", "service": name, "why": why[0], "force": why[1]})
            elif each.status == "paused":
                actions.append({"do": "start", "service": name, "why": "it was paused"})
            elif each.state == "failed" and each.status in ("exited", "created", "dead"):
                actions.append({"do": "start", "service": name, "why": f"it was {each.status}"})
            elif each.state == "failed":
                actions.append({"do": "wait", "service": name, "why": f"it is {each.status}, {each.health}"})
            elif each.state == "starting" and each.restarts and running_for.get(each.id, 0.0) < LOOP_AGE:
                actions.append({"do": "wait", "service": name, "why": f"it was restarted {each.restarts} times"})
    unique = []
    for action in actions:
        if action not in unique:
            unique.append(action)
    return unique


_IMAGE_CHANGED = "its image changed"


def differs(actions: list[dict]) -> bool:
    """Take what is to be done, give whether more is wanted than containers made, or started, from what is there."""
    return any(
        ("service" not in action and action["do"] != "finish") or action.get("why") == _IMAGE_CHANGED
        for action in actions
    )


def _why_recreate(each: Container, service: dict, engine: Engine, noted: dict) -> tuple[str, bool] | None:
    """Give why a container must be made anew and whether Compose must be forced to, or None."""
    if each.config != service["labels"][LABEL_CONFIG]:
        return "its configuration changed", False
    if each.image_id != engine.images.get(service["image"], each.image_id):
        return _IMAGE_CHANGED, False
    if noted.get("hashes") and each.config_hash not in noted["hashes"]:
        return "it was made from other files", True
    if noted.get("networks") and each.status == "running" and list(each.networks) != noted["networks"]:
        return "its networks were changed", True
    return None


# --- what a person reads -------------------------------------------------------------------------------------------


def env_lines(text: str, other: str, secret: set, mask: str) -> str:
    """Take one .env and the one to compare it with, give its lines with secret values hidden.

    A hidden value that differs from the other side's is marked, so that a diff shows that it changed.
    """
    theirs = dotenv.lines_by_key(other)
    shown = []
    for key, line in dotenv.lines_by_key(text).items():
        if key in secret:
            line = f"{key}={mask}" + ("" if theirs.get(key, line) == line else " (changed)")
        shown.append(line + "\n")
    return "".join(shown)
