# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of a Compose project: what is wrong with them, how Compose merges them, and their digests."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import posixpath
import re

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import dotenv
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import nft

LABEL_FILES = "aztec_ops.prover.files"
LABEL_CONFIG = "aztec_ops.prover.config"
LABEL_PROJECT = "com.docker.compose.project"

COMPOSE_FILE = "compose.yml"
OVERRIDE_FILE = "compose.override.yml"
ENV_FILE = ".env"
# In the order in which they are written: the labels in the override file show that everything else is in place.
PROJECT_FILES = (ENV_FILE, COMPOSE_FILE, OVERRIDE_FILE)

# Keys that tell Compose how to run a service. A change of them does not change the container.
_NOT_IN_THE_CONTAINER = ("depends_on", "profiles", "pull_policy", "scale", "deploy")


class Problem(Exception):
    """An error that ends the work. Its text is one line for the operator."""


def digest(*parts: str) -> str:
    """Return a short digest of texts and of the length of each."""
    encoded = [part.encode("utf-8", "surrogateescape") for part in parts]
    return hashlib.sha256(b"".join(b"%d:%b" % (len(data), data) for data in encoded)).hexdigest()[:32]


def file_problem(path: str) -> str | None:
    """Return why a path cannot be that of a key file below the project's directory, or None."""
    plain = path == posixpath.normpath(path) and "\0" not in path
    if not plain or path in ("", ".") or path.startswith(("/", "..")):
        return f"{path!r} in files must be a path below the project's directory, without . and .. in it"
    if path.split("/", 1)[0] in (".stack", *PROJECT_FILES):
        return f"{path!r} in files is used by the project itself: choose another name"
    return None


def merged(base: dict, override: dict) -> dict:
    """Return what Compose makes of a file and its override: mappings by key, lists appended, other values replaced.

    The few keys that Compose merges in another way are not read here.
    """
    result = dict(base)
    for key, value in override.items():
        before = result.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            result[key] = merged(before, value)
        elif isinstance(value, list) and isinstance(before, list):
            result[key] = [*before, *value]
        else:
            result[key] = value
    return result


def mapping(value: object) -> dict:
    """Return the `labels` or `environment` of a service as a mapping. Compose accepts a list of texts as well."""
    if isinstance(value, list):
        return {name: found if equals else None for name, equals, found in (one.partition("=") for one in value)}
    return dict(value or {})


def merged_model(model: dict, override: dict) -> dict:
    """Return the Compose model of both files. Its `labels` and `environment` are mappings, and `env_file` is a list."""
    sides = [
        {**side, "services": {name: _same_forms(service) for name, service in side.get("services", {}).items()}}
        for side in (model, override)
    ]
    return merged(*sides)


def _same_forms(service: dict) -> dict:
    forms = {"labels": mapping, "environment": mapping, "env_file": _as_list}
    return {key: forms[key](value) if key in forms else value for key, value in service.items()}


def _as_list(value: object) -> list:
    return list(value) if isinstance(value, list) else [value] if value else []


def model_problem(model: object, option: str = "compose") -> str | None:
    """Return why the Compose model in an option cannot be used, or None. Compose itself checks the rest."""
    services = model.get("services") if isinstance(model, dict) else None
    if not isinstance(services, dict) or not services:
        return f"{option} does not have services: define at least one"
    for name, service in services.items():
        if not isinstance(service, dict):
            return f"service {name} in {option} is not a mapping: define its keys"
        wrong = _service_problem(service)
        if wrong:
            return f"service {name} in {option}: {wrong}"
    return None


def image_problem(model: dict) -> str | None:
    """Return which service of the merged model does not have an image, or None."""
    for name, service in model["services"].items():
        if not isinstance(service.get("image"), str) or not service["image"]:
            return f"service {name} in compose does not have an image: set one"
    return None


def _service_problem(service: dict) -> str | None:
    """Return what is wrong with the keys of a service that are read here, or None."""
    for key in ("labels", "environment"):
        found = service.get(key) or {}
        if not isinstance(found, dict) and not _is_texts(found):
            return f"{key} must be a mapping or a list of texts"
    if not all(isinstance(one, (str, dict)) for one in _as_list(service.get("env_file"))):
        return "env_file must be a path or a list of paths"
    if not isinstance(service.get("container_name") or "", str):
        return "container_name must be a text"
    if not isinstance(service.get("deploy") or {}, dict):
        return "deploy must be a mapping"
    for key, count in (("scale", service.get("scale")), ("replicas", (service.get("deploy") or {}).get("replicas"))):
        if count is not None and not re.fullmatch(r"[0-9]{1,6}", str(count)):
            return f"{key} must be a number from 0"
    return None


def files_problem(contents: dict) -> str | None:
    """Return what is wrong with key files, by path, or None."""
    for path, content in contents.items():
        wrong = file_problem(path)
        if wrong:
            return wrong
        above = [other for other in contents if path.startswith(f"{other}/")]
        if above:
            return f"{above[0]!r} in files is a file, and {path!r} is below it: rename one of them"
        if not isinstance(content, str):
            return f"files: the content of {path} must be a text"
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


# What the module's own state files may contain, by key.
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
    """Return what is wrong with the content of a state file of the module, or None."""
    if not isinstance(found, dict):
        return "it is not an object"
    wrong = [key for key, form in _STATE_FORMS.get(name, {}).items() if key in found and not form(found[key])]
    return f"{wrong[0]} has an unexpected type" if wrong else None


def network_problem(network: dict) -> str | None:
    """Return why Docker cannot create the shared network, or None."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", network["name"]):
        return f"network.name {network['name']!r} is not a name of a Docker network: use letters, digits, -, . and _"
    if not nft.BRIDGE.fullmatch(network["bridge"]):
        return f"network.bridge {network['bridge']!r} is not a name of a bridge: use 1 to 15 letters, digits, - and _"
    for key, version in (("ipv4_subnet", 4), ("ipv6_subnet", 6)):
        try:
            found = ipaddress.ip_network(network[key]) if network[key] else None
        except ValueError:
            return f"network.{key} {network[key]!r} is not a subnet: use CIDR notation without host bits"
        if found is not None and found.version != version:
            return f"network.{key} {network[key]!r} is an IPv{found.version} subnet: use an IPv{version} subnet"
    if network.get("mtu") and not 68 <= network["mtu"] <= 65535:
        return f"network.mtu {network['mtu']} is not an MTU: use 68 to 65535, or 0 for the MTU that fits the host"
    return None


def reads_env(service: dict, directory: str) -> bool:
    """Return whether a service reads the project's own .env."""
    own = posixpath.join(posixpath.normpath(directory), ENV_FILE)
    paths = [one.get("path") if isinstance(one, dict) else one for one in _as_list(service.get("env_file"))]
    return any(isinstance(one, str) and posixpath.normpath(posixpath.join(directory, one)) == own for one in paths)


def label_digests(
    model: dict, values: dict[str, str], files: dict[str, str], directory: str, salt: str
) -> dict[str, dict]:
    """Return for each service the labels that hold the digests of the files that its container is created from.

    salt: a random text of the project. Without it, anybody who reads a label could test guesses of the secrets.

    Compose recreates a container when its labels change. With these labels it does so too when a key file changes,
    which Compose does not see. They also show on a container whether it was created from these files.
    """
    around = json.dumps({key: value for key, value in model.items() if key != "services"})
    of_files = digest(salt, *[part for pair in sorted(files.items()) for part in pair]) if files else ""
    labels = {}
    for name, service in model["services"].items():
        inside = {key: value for key, value in service.items() if key not in _NOT_IN_THE_CONTAINER}
        resources = {key: value for key, value in (service.get("deploy") or {}).items() if key != "replicas"}
        env = json.dumps(values, sort_keys=True) if reads_env(service, directory) else ""
        own = {LABEL_FILES: of_files} if of_files else {}
        whole = digest(salt, around, json.dumps(inside), json.dumps(resources), env, of_files)
        labels[name] = {**own, LABEL_CONFIG: whole}
    return labels


# Programs read them in lower or upper case. Docker's CLI passes both to every container that it creates.
PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy")
NO_PROXY = ("NO_PROXY", "no_proxy")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def client_proxies(config: str, engine: str) -> dict[str, str]:
    """Return the variables that Docker's CLI adds to each container: those of `proxies` in its config.json.

    config: the file's text; the CLI ignores a file that it cannot read. engine: the engine's address, which may have
    its own settings.
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


def no_proxy_settings(model: dict, values: dict, client: dict, names: list[str], directory: str) -> dict[str, dict]:
    """Return NO_PROXY, in both cases, for each service of the merged model whose environment has a proxy.

    values: the project's .env. client: what Docker's CLI adds. names: what is reached without a proxy, in addition to
    loopback.
    """
    settings = {}
    for name, service in model["services"].items():
        own = mapping(service.get("environment"))
        # Compose interpolates only its own files.
        env = {**client, **(values if reads_env(service, directory) else {})}
        seen = {**{key: str(value).replace("$", "$$") for key, value in env.items()}, **own}
        # A variable without a value gets the one of the docker command's environment.
        if any(key.lower() in PROXIES and (value is None or value != "") for key, value in seen.items()):
            existing = [str(seen[key]) for key in NO_PROXY if seen.get(key)]
            settings[name] = dict.fromkeys(NO_PROXY, bypass_list(existing, names))
    return settings


def with_settings(override: dict, key: str, settings: dict[str, dict]) -> dict:
    """Return the override with more `labels` or `environment` in its services."""
    services = dict(override.get("services") or {})
    for name, added in settings.items():
        service = services.get(name) or {}
        services[name] = {**service, key: {**mapping(service.get(key)), **added}}
    return {**override, "services": services}


def garbled(resolved: dict, model: dict, values: dict[str, str], directory: str) -> list[str]:
    """Return the names whose value would not reach the process as it was given.

    resolved: the output of `docker compose config --format json`, in which every $ is doubled.
    """
    wrong = set()
    for name, service in model["services"].items():
        if reads_env(service, directory):
            own = values.keys() - mapping(service.get("environment")).keys()
            seen = (resolved.get("services", {}).get(name) or {}).get("environment") or {}
            wrong |= {key for key in own if seen.get(key) != values[key].replace("$", "$$")}
    return sorted(wrong)


def names_of(project: str, name: str, service: dict) -> list[str]:
    """Return the names of a service's containers."""
    if service.get("container_name"):
        return [service["container_name"]]
    counts = (service.get("scale"), (service.get("deploy") or {}).get("replicas"), 1)
    count = next(count for count in counts if count is not None)
    return [f"{project}-{name}-{number}" for number in range(1, int(count) + 1)]


def env_lines(text: str, other: str, secret: set, mask: str) -> str:
    """Return the lines of a .env file with secret values hidden.

    A hidden value that differs from the one in the other file is marked, so that a diff shows the change.
    """
    others = dotenv.lines_by_key(other)
    shown = []
    for key, line in dotenv.lines_by_key(text).items():
        if key in secret:
            line = f"{key}={mask}" + ("" if others.get(key, line) == line else " (changed)")
        shown.append(line + "\n")
    return "".join(shown)
