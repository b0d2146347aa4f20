# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_info
short_description: Gather information about a host of an Aztec prover
version_added: 1.0.0
description:
  - Returns in one call what the checks and roles of this collection need to know about a host, such as its hardware,
    addresses, container engine, port guard, images and containers.
  - Changes nothing. Works without Docker, and without root as far as the kernel permits.
options:
  images:
    description: Images to return, with tag or digest. An empty list returns all images with a tag.
    type: list
    elements: str
    default: []
  projects:
    description: Compose projects whose containers are returned.
    type: list
    elements: str
    default: []
  project_directories:
    description:
      - Directories of O(projects), by project. C(compose.yml) in them names the inventory that manages the project, in
        addition to the one in the directory of the project's containers.
    type: dict
    default: {}
  data_directories:
    description: Data directories of O(projects), by project, whose stores' schemas are returned.
    type: dict
    default: {}
  paths:
    description:
      - Paths whose disks are returned, in addition to those of the engine, containerd and packages.
      - For a path that does not exist, the disk of its nearest existing parent is returned.
    type: list
    elements: str
    default: [/]
  list_directories:
    description: Directories whose files are returned with their sizes.
    type: list
    elements: str
    default: []
  digest_files:
    description: Files whose SHA-256 is returned. They must not contain secrets.
    type: list
    elements: str
    default: []
  connect:
    description: HTTP servers to connect to from the host. The module sends C(GET /status) to each.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: Name, IPv4 or IPv6 address.
        type: str
        required: true
      port:
        description: TCP port.
        type: int
        required: true
  connect_timeout:
    description: Time limit for each connection of O(connect), in seconds.
    type: float
    default: 3
  probe:
    description: Whether to query the containers of O(projects) and, for a node, the L1.
    type: bool
    default: false
  log_lines:
    description: How many of the last lines in the log of each container of O(projects) are returned, without secrets.
    type: int
    default: 0
  rpc:
    description:
      - JSON-RPC methods of the release line. C(l2_tips) and C(epoch_jobs) are called on a node, C(agent_status) on an
        agent, and with O(earning) C(peers) on a node. An empty method is not called.
      - C(admin_jobs) is called at the node's admin port with O(earning) or O(admin_key), unless C(epoch_jobs) has
        returned the jobs.
    type: dict
    default: {}
  earning:
    description:
      - With O(probe), also query whether the prover earns. C(prover_id) is the address that receives the
        rewards, C(epochs) is of how many of the last epochs the proofs are read from the L1.
      - A node then also has C(peers) and C(proofs), a broker C(open_jobs), by its log.
    type: dict
    default: {}
  admin_key:
    description:
      - Key of the node's admin API, to which C(admin_jobs) of O(rpc) is sent. Empty if it has no key.
    type: str
    default: ""
  rollup_slots:
    description:
      - Storage slots of the rollup with the values that a working program sends as headers, by the header's name in
        lower case. Empty where the storage layout of the release line is not known.
    type: dict
    default: {}
  l1_urls:
    description:
      - URLs of L1 execution clients to compare a node with, separated by commas.
      - By default, the URLs of the node itself are used.
    type: str
    default: ""
  l1:
    description:
      - Queries to L1 clients and a signer, as JSON text of the filter P(aztec_ops.prover.l1_queries#filter). The text
        contains API keys and is never shown. Without it, no client is queried.
      - All clients are queried in parallel, each for at most C(seconds).
      - With C(network), the C(network_config.json) of the network is read as well.
    type: str
    default: ""
  registry:
    description:
      - C(images) to search for in their registries, and C(mirrors) of Docker Hub. Images on the host are not searched
        for. The mirrors of the engine are used as well.
    type: dict
    default: {}
  left_out:
    description:
      - Why the host is left out of the run. If set, the host is reported as unreachable and is not contacted.
    type: str
    default: ""
  repository_key_url:
    description:
      - URL of the key of a package repository to fetch from the host, over the proxies of the environment.
      - The module fails where the key cannot be fetched.
    type: str
    default: ""
seealso:
  - module: aztec_ops.prover.compose_stack
  - module: aztec_ops.prover.port_guard
author:
  - Aztec Ops (@aztec-ops)
attributes:
  check_mode:
    description: The module changes nothing and runs in check mode as well.
    support: full
  diff_mode:
    description: The module changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: Gather information about the host
  aztec_ops.prover.host_info:
    paths: [/, /opt/aztec]
    projects: [aztec-prover-agent]
    connect:
      - host: 10.0.0.10
        port: 8080
  register: result

- name: Query the running containers as well
  aztec_ops.prover.host_info:
    projects: [aztec-prover-node]
    probe: true
    rpc:
      l2_tips: node_getL2Tips
"""

RETURN = r"""
host_info:
  description: Information about the host. Unknown values are null.
  returned: always
  type: dict
  contains:
    hostname:
      description: Hostname.
      type: str
    time:
      description: Time of the host's clock, in seconds since 1970.
      type: float
    addresses:
      description: Addresses of the host, without loopback and link-local ones. C(default_address) is the source address
        of the default route.
      type: list
      elements: str
    os:
      description: C(id), C(version_id), C(codename), C(architecture), C(kernel), C(apt), C(apparmor).
      type: dict
    hardware:
      description:
        - C(vcpus), C(cores), C(cpu_model), C(cpu_flags), C(memory_bytes), C(memory_limited) (by the host's cgroups),
          C(link_mbps) and C(interface) of the default route.
        - C(disks) by path, each with C(size_bytes), C(free_bytes), C(kind), C(device), C(filesystem).
      type: dict
    engine:
      description:
        - C(serves) is whether the engine responds, C(error) why not. C(managed) is whether docker_engine manages it.
          C(live_restore) is whether containers keep running while the engine restarts. C(containers) are all of its
          containers, each with C(name), C(project) (of Compose) and C(state), and C(volumes) the names of its volumes.
        - Its version and packages, data directories, configuration files, command without secrets, address pools, and
          what can make it unusable.
      type: dict
    guard:
      description:
        - C(installed), C(enabled), C(loaded), C(outdated), C(owner) of the tables, C(sections), C(problems) with their
          files, C(saved_rulesets) that contain the tables, and C(denied) addresses, which were removed from the sources
          and tried to connect. C(table_problem) is why the tables cannot be read.
        - What M(aztec_ops.prover.port_guard) compares. C(section_texts) are the files of the sections by name, also of
          files that are not valid. C(files) is the SHA-256 of the rules, the program, the unit and the drop-in of
          Docker by path, without files that cannot be read. C(unit) contains C(ActiveState), C(UnitFileState) and
          C(NeedDaemonReload), and is empty where C(systemctl) fails. C(daemon) contains the digests C(program) and
          C(digest) (of the rules), and C(intact), whether the kernel has the rules unchanged. It is null where no
          daemon responds. C(nft_path) is the path of C(nft), empty where it is not installed, and C(python_path) is the
          interpreter that runs the daemon.
      type: dict
    automatic_updates:
      description:
        - What C(unattended-upgrades) and C(needrestart) do on their own, as C(upgrades) and C(restarts). Null for a
          program that is not installed.
      type: dict
    nft:
      description: C(installed) and C(version) of nftables.
      type: dict
    networks:
      description: Bridge networks of the engine, each with C(name), C(bridge), C(interface), C(subnets), C(mtu).
      type: list
      elements: dict
    routes:
      description: Routes, each with C(network), C(gateway), C(interface), C(mtu). C(interfaces) are all interfaces.
      type: list
      elements: dict
    listening:
      description: Listening sockets, each with C(protocol), C(address), C(port), C(process).
      type: list
      elements: dict
    files:
      description: Sizes of the files in O(list_directories) in bytes, by path.
      type: dict
    digests:
      description: SHA-256 of O(digest_files) in hexadecimal digits, by path. Empty for a file that does not exist.
      type: dict
    images:
      description: C(id) and C(digests) of the images on the host, by reference.
      type: dict
    projects:
      description:
        - C(containers) of each project, each with C(service), C(name), C(id), C(image), C(image_id), C(image_digests),
          C(state), C(health), C(restarts), C(started_at), C(exit_code), C(oom_killed) and, with O(probe), the responses
          to the queries. With O(log_lines), C(log) is its log, with C(lines), each a time in seconds since 1970 and a
          text, and C(error), why the engine does not return it.
        - C(inventories) are the names of the inventories that manage the project, by the first lines of its files.
        - C(compared) is what the plan compares with the project's desired state, with salted digests of the files
          instead of their content.
        - C(data), for a project in O(data_directories), contains the C(path), the C(schemas) of the stores by their
          names, and the C(recorded) schemas that each earlier version used.
        - C(busy_projects) are those that a job of M(aztec_ops.prover.compose_stack) is changing.
      type: dict
    running_projects:
      description: Names of the Compose projects, of this collection or not, that have a running container.
      type: list
      elements: str
    directories:
      description: Paths of O(paths) that are directories.
      type: list
      elements: str
    timed_out:
      description: Commands that did not end within 15 seconds, so that what they report is not known.
      type: list
      elements: str
    proxies:
      description: Variables that Docker's CLI adds to each container, without the URLs of the proxies.
      type: dict
    connect:
      description: C(host), C(port), C(ok), C(status), C(source), C(error) of each connection of O(connect).
      type: list
      elements: dict
    l1:
      description:
        - Results of the queries in O(l1) without URLs, as C(execution), C(consensus), C(signer) and C(debug), in the
          same order. C(fault) is why a client cannot be queried, C(refused) the reason of each missing value.
      type: dict
    repository_key:
      description: Text of the key at O(repository_key_url), else empty.
      type: str
    network:
      description: C(where), C(cached), C(version), C(registry), C(errors) of the C(network_config.json).
      type: dict
    registry:
      description: C(image), C(found), C(missing_at), C(errors) for each image of O(registry) that is not on the host.
      type: list
      elements: dict
"""

import json
import os
import platform
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.network_config import query_network
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.files import read_text
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import containers as states
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.desired_state import host_proxies
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.inventory_header import inventory_of
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.job import working
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import COMPOSE_FILE, NO_PROXY, Problem
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project_directory import ProjectDirectory
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import docker_engine as docker
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import hardware, network
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.automatic_updates import automatic_update_facts
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.data_schemas import (
    recorded_schemas,
    store_schemas,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.health import Prober, last_lines
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.image_registry import find_images
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.port_guard import guard_facts, nft_facts
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.client import origin, query_l1
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.host import NFT_DIRECTORIES

# Directories to which apt downloads and installs packages.
PACKAGE_PATHS = ("/usr", "/var/cache/apt")

# Upper limit of connect_timeout, in seconds.
MAX_TIMEOUT = 3600
# Upper limit of log_lines: the lines of all containers arrive in one response.
MAX_LOG_LINES = 10000
# Time limit for a command, in seconds.
COMMAND_SECONDS = 15


def invalid_argument(params: dict) -> str | None:
    """Return what is wrong with the values of the options in one line without a URL, None for nothing."""
    for path in params["paths"]:
        if not path.startswith("/") or "\0" in path:
            return f"paths: {path!r} is not an absolute path: begin it with /"
    for target in params["connect"]:
        if not re.fullmatch(r"[A-Za-z0-9_.:%-]+", target["host"]):
            return f"connect: {target['host']!r} is not a name or an address: remove scheme, port and brackets"
        if not 1 <= target["port"] <= 65535:
            return f"connect: {target['port']} is not a port: use a number from 1 to 65535"
    if not 0 <= params["log_lines"] <= MAX_LOG_LINES:
        return f"log_lines {params['log_lines']} is out of range: use a number from 0 to {MAX_LOG_LINES}"
    if not 0 <= params["connect_timeout"] < MAX_TIMEOUT:
        return f"connect_timeout {params['connect_timeout']} is out of range: use seconds from 0 to below {MAX_TIMEOUT}"
    for name, texts in params["registry"].items():
        texts = texts if isinstance(texts, list) else [None]
        if name not in ("images", "mirrors") or not all(isinstance(text, str) for text in texts):
            return "registry: is not a dict with the lists images and mirrors: set each to a list of strings"
    for name, method in params["rpc"].items():
        if not isinstance(method, str):
            return f"rpc: {name} is not a string: use the name of a method"
    earning = params["earning"]
    if earning and not (
        re.fullmatch(r"0x[0-9a-fA-F]{40}", str(earning.get("prover_id"))) and isinstance(earning.get("epochs"), int)
    ):
        return "earning: does not contain an address and a number: set prover_id and epochs"
    for name, slot in params["rollup_slots"].items():
        if not isinstance(slot, str) or not re.fullmatch(r"0x[0-9a-f]{1,64}", slot):
            return f"rollup_slots: {name} is not a slot: use 0x and up to 64 hex digits"
    for number, url in enumerate(params["l1_urls"].split(",") if params["l1_urls"] else [], 1):
        if not re.fullmatch(r"\s*https?://[^/\s]\S*\s*", url):
            return f"l1_urls: entry {number} is not a URL: write it as http://host or https://host, without spaces"
    if params["repository_key_url"] and not re.fullmatch(r"https?://[^/\s]\S*", params["repository_key_url"]):
        return "repository_key_url: is not a URL: write it as http://host or https://host, without spaces"
    return None


def search_registries(engine: docker.Engine, query: dict, facts: dict) -> list:
    """Return find_images for the images that are not on the host. facts: engine_facts."""
    missing, mirrors = query.get("images") or [], query.get("mirrors") or []
    if missing and facts["serves"]:
        present = docker.image_facts(engine, missing)
        missing = [image for image in missing if image not in present]
        # Do not query an engine again that did not return its info in time.
        info = engine.json("/info") if missing and not facts["error"] else {}
        mirrors = [*mirrors, *map(str, (info.get("RegistryConfig") or {}).get("Mirrors") or [])]
    return find_images(missing, mirrors) if missing else []


def inventories(root: Path, directories: set) -> list:
    """Return the names of the inventories that the Compose files in a project's directories name."""
    texts = [read_text(root / one.lstrip("/") / COMPOSE_FILE) for one in directories if one]
    return sorted({inventory_of(text) for text in texts} - {""})


def comparison(directory: str, inspected: list[dict]) -> dict:
    """Return the values of OnHost that the engine's other facts do not contain.

    If the project cannot be compared, `problem` is the reason. inspected: the engine's inspections of its containers.
    """
    storage = ProjectDirectory(directory)
    try:
        summary = storage.summary()
    except Problem as problem:
        return {"problem": str(problem)}
    healthy = summary["state"].get("healthy", {})
    lasting = [one for one in inspected if (one["Config"].get("Labels") or {}).get(states.LABEL_ONEOFF) != "True"]
    found = [states.container(one, healthy.get(one["Id"]) == one["State"]["StartedAt"]) for one in lasting]
    return {**summary, "containers": [asdict(one) for one in found]}


def proxies() -> dict[str, str]:
    """Return the variables that Docker's CLI adds to each container, without the URLs, which can contain a password."""
    return {name: value if name in NO_PROXY else "set" for name, value in host_proxies().items()}


def limited_runner(module: AnsibleModule, timed_out: list[str]) -> Callable:
    """Return a function that runs a command for at most COMMAND_SECONDS: the engine can hang.

    timed_out: receives the commands that did not end in this time, whose result is not known.
    """
    timeout = module.get_bin_path("timeout", opt_dirs=["/usr/bin", "/bin"], required=True)

    def run(command: list) -> tuple:
        done = module.run_command([timeout, "--kill-after=2", str(COMMAND_SECONDS), *command])
        if done[0] in docker.ENDED_BY_TIMEOUT:
            timed_out.append(" ".join(command))
        return done

    return run


def collect(module: AnsibleModule, root: Path) -> dict:
    """Return the information about the host."""
    params, timed_out = module.params, []
    run = limited_runner(module, timed_out)
    engine = docker.Engine(os.environ.get("DOCKER_HOST", ""))
    with ThreadPoolExecutor(max_workers=8) as pool:
        connections = [
            pool.submit(network.try_connection, target["host"], target["port"], params["connect_timeout"])
            for target in params["connect"]
        ]
        queries = json.loads(params["l1"]) if params["l1"] else {}
        l1 = pool.submit(query_l1, queries) if queries else None
        config = pool.submit(query_network, queries["network"]) if "network" in queries else None
        key = pool.submit(docker.fetch_key, params["repository_key_url"]) if params["repository_key_url"] else None
        engine_found = pool.submit(docker.engine_facts, engine, run, root)
        nft = pool.submit(nft_facts, run, root)
        updates = pool.submit(automatic_update_facts, run, root)
        found = engine_found.result()
        # The disks of images and packages as well.
        paths = dict.fromkeys([*params["paths"], found["root"], found["containerd_root"], *PACKAGE_PATHS])
        info = {
            "hostname": platform.node(),
            "time": time.time(),
            "addresses": network.addresses(root),
            "interfaces": network.interfaces(root),
            "routes": network.routes(root),
            "nonlocal_bind": network.nonlocal_bind(root),
            "default_address": network.default_address(),
            "os": hardware.operating_system(root),
            "hardware": hardware.hardware(root, list(paths)),
            "files": hardware.file_sizes(root, params["list_directories"]),
            "digests": {path: docker.file_digest(root / path.lstrip("/")) for path in params["digest_files"]},
            "listening": network.listening(root),
            "nft": nft.result(),
            "engine": {**found, "containers": [], "volumes": []},
            "automatic_updates": updates.result(),
            "images": {},
            "networks": [],
            "projects": {name: {"containers": []} for name in params["projects"]},
            "published": [],
            "running_projects": [],
            "busy_projects": working(),
            "proxies": proxies(),
            "directories": [path for path in paths if (root / path.lstrip("/")).is_dir()],
            "timed_out": timed_out,
        }
        nft_path = module.get_bin_path("nft", opt_dirs=list(NFT_DIRECTORIES))
        info["guard"] = guard_facts(run, root, nft_path)
        directories = {name: {str(params["project_directories"].get(name, ""))} for name in params["projects"]}
        if info["engine"]["serves"]:
            info["images"] = docker.image_facts(engine, params["images"])
            info["networks"] = docker.network_facts(engine)
            info["published"] = docker.published_ports(engine)
            info["engine"]["containers"] = docker.all_containers(engine)
            info["engine"]["volumes"] = docker.volumes(engine)
            running = (one["project"] for one in info["engine"]["containers"] if one["state"] == "running")
            info["running_projects"] = sorted({*running} - {""})
            pairs = [
                (name, shown, inspected)
                for name in params["projects"]
                for shown, inspected in docker.project_containers(engine, name)
            ]
            if params["probe"]:
                l1_urls = [url.strip() for url in params["l1_urls"].split(",") if url.strip()]
                prober = Prober(
                    *(engine, run, params["rpc"], l1_urls, root, info["time"], params["rollup_slots"]),
                    earning=params["earning"],
                    admin_key=params["admin_key"],
                )
                probes = [pool.submit(prober.probe, shown["service"], inspected) for _name, shown, inspected in pairs]
                for (_name, shown, _inspected), probe in zip(pairs, probes):
                    shown.update(probe.result())
            if params["log_lines"]:
                lines = params["log_lines"]
                logs = [pool.submit(last_lines, engine, inspected, lines) for _name, _shown, inspected in pairs]
                for (_name, shown, _inspected), log in zip(pairs, logs):
                    shown["log"] = log.result()
            for name, shown, inspected in pairs:
                info["projects"][name]["containers"].append(shown)
                directories[name].add(docker.project_directory(inspected))
            inspected_of = {name: [one for project, _shown, one in pairs if project == name] for name in directories}
        else:
            inspected_of = {}
        for name, path in params["project_directories"].items():
            if name in info["projects"] and path:
                compared = comparison(path, inspected_of.get(name, []))
                info["projects"][name]["compared"] = compared
        for name, path in params["data_directories"].items():
            if name in info["projects"] and path:
                own = str(params["project_directories"].get(name, ""))
                recorded = recorded_schemas(root / own.lstrip("/")) if own else {}
                found_schemas = store_schemas(root / str(path).lstrip("/"))
                info["projects"][name]["data"] = {"path": path, "schemas": found_schemas, "recorded": recorded}
        for name, project in info["projects"].items():
            project["inventories"] = inventories(root, directories[name])
        info["connect"] = [connection.result() for connection in connections]
        info["l1"] = l1.result() if l1 else None
        info["registry"] = search_registries(engine, params["registry"], info["engine"])
        info["network"] = config.result() if config else None
        info["repository_key"] = key.result() if key else {"text": "", "error": ""}
    return info


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "images": {"type": "list", "elements": "str", "default": []},
            "projects": {"type": "list", "elements": "str", "default": []},
            "project_directories": {"type": "dict", "default": {}},
            "data_directories": {"type": "dict", "default": {}},
            "paths": {"type": "list", "elements": "str", "default": ["/"]},
            "list_directories": {"type": "list", "elements": "str", "default": []},
            "digest_files": {"type": "list", "elements": "str", "default": []},
            "connect": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"host": {"type": "str", "required": True}, "port": {"type": "int", "required": True}},
            },
            "connect_timeout": {"type": "float", "default": 3},
            "probe": {"type": "bool", "default": False},
            "log_lines": {"type": "int", "default": 0},
            "rpc": {"type": "dict", "default": {}},
            "rollup_slots": {"type": "dict", "default": {}},
            "earning": {"type": "dict", "default": {}},
            "admin_key": {"type": "str", "default": "", "no_log": True},
            "l1_urls": {"type": "str", "default": "", "no_log": True},
            "l1": {"type": "str", "default": "", "no_log": True},
            "registry": {"type": "dict", "default": {}},
            "left_out": {"type": "str", "default": ""},
            "repository_key_url": {"type": "str", "default": "", "no_log": True},
        },
        supports_check_mode=True,
    )
    problem = invalid_argument(module.params)
    if problem:
        module.fail_json(msg=problem)
    try:
        info = collect(module, Path("/"))
        if info["repository_key"]["error"]:
            where = origin(module.params["repository_key_url"])
            module.fail_json(msg=f"the key at {where} cannot be read ({info['repository_key']['error']})")
        module.exit_json(changed=False, host_info={**info, "repository_key": info["repository_key"]["text"]})
    except docker.EngineError as error:
        module.fail_json(msg=f"the container engine stopped responding: {error.args[0]}; read its log and run again")


if __name__ == "__main__":
    main()
