# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_info
short_description: Look once at a host of an Aztec prover
description:
  - Returns in one call all that the checks and roles of this collection need to know of a host, its hardware,
    addresses, container engine, port guard, images and containers.
  - Changes nothing. Works without Docker, and without root as far as the kernel shows things.
options:
  images:
    description:
      - Images to look for, with tag or digest. Empty lists all that have a tag.
    type: list
    elements: str
    default: []
  projects:
    description: Compose projects whose containers are shown.
    type: list
    elements: str
    default: []
  paths:
    description:
      - Paths whose disk is shown, besides those of the engine's and containerd's data and of packages.
      - A path that is not there yet counts as the nearest directory above it.
    type: list
    elements: str
    default: [/]
  list_directories:
    description: Directories whose files are shown with their sizes.
    type: list
    elements: str
    default: []
  connect:
    description: HTTP servers to connect to from this host, asking each for C(/status).
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: Name or address, IPv4 or IPv6.
        type: str
        required: true
      port:
        description: TCP port.
        type: int
        required: true
  connect_timeout:
    description: Seconds that a connection of O(connect) may take.
    type: float
    default: 3
  probe:
    description: Also ask the containers of O(projects) how they are, and the L1 how far a node is behind it.
    type: bool
    default: false
  rpc:
    description:
      - Names of the JSON-RPC methods that the running release line has.
      - C(l2_tips) is asked of a node, C(agent_status) of an agent.
    type: dict
    default: {}
  rollup_slots:
    description:
      - Slots in the rollup's storage whose values a working program sends as headers, by the header's name in lower
        case. Empty where the release line's layout is not known.
    type: dict
    default: {}
  l1_urls:
    description:
      - URLs of L1 execution clients, separated by commas, to compare a node with.
      - Empty takes those that the node itself has.
    type: str
    default: ""
  l1:
    description:
      - What to ask of L1 clients and of a signer, as JSON text of the filter P(aztec_ops.prover.l1_queries#filter).
        It holds API keys and is never shown. Empty asks nothing.
      - All clients are asked at a time, and each for its C(seconds) at most.
      - With C(network) in it, the network's C(network_config.json) is read as well.
    type: str
    default: ""
  registry:
    description:
      - Images to look for in their registries, as C(images), and mirrors of Docker Hub, as C(mirrors). Images that are
        here already are not looked for. The engine's own mirrors are asked as well. Empty asks nothing.
    type: dict
    default: {}
  left_out:
    description:
      - Why the host takes no part in the run. Where it is not empty, the host counts as one that cannot be reached, and
        nothing is asked of it.
    type: str
    default: ""
  repository_key_url:
    description:
      - URL of the key of a package repository, which is fetched from this host. Empty fetches nothing.
      - The module fails where it cannot be fetched. The environment's proxies are used.
    type: str
    default: ""
author:
  - Aztec Ops (@aztec-ops)
attributes:
  check_mode:
    description: Looks in check mode just the same.
    support: full
  diff_mode:
    description: There is never a difference to show.
    support: none
"""

EXAMPLES = r"""
- name: Look at the host
  aztec_ops.prover.host_info:
    paths: [/, /opt/aztec]
    projects: [aztec-prover-agent]
    connect:
      - host: 10.0.0.10
        port: 8080
  register: result

- name: Ask the running containers too
  aztec_ops.prover.host_info:
    projects: [aztec-prover-node]
    probe: true
    rpc:
      l2_tips: node_getL2Tips
"""

RETURN = r"""
host_info:
  description: What was seen.
  returned: always
  type: dict
  contains:
    hostname:
      description: The host's own name.
      type: str
    time:
      description: The host's clock, in seconds since 1970.
      type: float
    addresses:
      description: The host's addresses, without loopback and link-local ones.
      type: list
      elements: str
    default_address:
      description: The address that it speaks from over its default route.
      type: str
    os:
      description: id, version_id, codename, architecture, kernel, and whether it has apt.
      type: dict
    hardware:
      description:
        - vcpus, cores, memory_bytes, memory_limited, link_mbps, interface, cpu_model, cpu_flags, disks.
        - Unknown is null. memory_limited shows that a limit of the host's cgroups is what counts.
      type: dict
    engine:
      description:
        - Whether an engine serves, its version and source, Compose's version, and who installed it.
        - root, containerd_root and containerd_store show where it keeps images and data.
        - What its service runs (command), the names of the settings in daemon.json, and what keeps the engine from
          being used, such as rootless in security.
      type: dict
    nft:
      description: Whether nftables is installed, and its version.
      type: dict
    guard:
      description:
        - State of the port guard. C(installed), C(enabled), C(loaded) and C(outdated), the C(owner) of its tables, its
          C(sections), C(problems) with the files of sections, C(saved_rulesets) that contain its tables, and the
          C(denied) addresses, which were removed from the sources and tried to connect.
      type: dict
    interfaces:
      description: Names of the network interfaces.
      type: list
      elements: str
    nonlocal_bind:
      description: Whether sockets bind to addresses that the host does not have yet, now and after a reboot.
      type: bool
    networks:
      description:
        - The engine's bridge networks, each with name, bridge, which is empty where it is not set, interface (the
          bridge's name in any case), subnets and mtu.
      type: list
      elements: dict
    routes:
      description: The host's routes, each with network, gateway, which is empty for none, interface and its mtu.
      type: list
      elements: dict
    listening:
      description: Sockets that listen, with protocol, address, port and process.
      type: list
      elements: dict
    files:
      description: Bytes of each file of the directories of O(list_directories), by path.
      type: dict
    images:
      description: Id and digests of the images that are here, by reference.
      type: dict
    projects:
      description:
        - Containers of the projects. With O(probe) each has its status, rpc, broker_contact, clients, tips, l1,
          waiting.
      type: dict
    busy_projects:
      description: Names of the Compose projects that a run of P(aztec_ops.prover.compose_stack#module) is changing now.
      type: list
      elements: str
    connect:
      description: Result of each connection of O(connect), with the source address that it used.
      type: list
      elements: dict
    l1:
      description: Answers of the L1 clients of O(l1), in the same order, without URLs. Null where none was asked.
      type: dict
      contains:
        execution:
          description:
            - chain_id, head, timestamp, syncing, code_bytes, balances, fees, and traces where asked for; fault
              or refused where one is missing.
          type: list
          elements: dict
        debug:
          description: chain_id, head, traces of clients that are asked for traces alone.
          type: list
          elements: dict
        consensus:
          description: chain_id, head, sync, blobs, custody_groups; fault or refused where one is missing.
          type: list
          elements: dict
    repository_key:
      description: The text of the key of O(repository_key_url). Empty where none was asked for.
      type: str
    network:
      description:
        - What C(network_config.json) says of the network, with where, cached, version, registry, errors. Null where it
          was not asked.
      type: dict
    registry:
      description: For each image of O(registry) that is not here, whether it was found, missing_at and errors.
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
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.network_config import query_network
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.job import working
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_engine import (
    Engine,
    EngineError,
    engine_facts,
    fetch_key,
    hub_mirrors,
    image_facts,
    network_facts,
    project_containers,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.hardware import (
    file_sizes,
    hardware,
    operating_system,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.health import Prober
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.image_registry import find_images
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.network import (
    addresses,
    default_address,
    interfaces,
    listening,
    nonlocal_bind,
    routes,
    try_connection,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.port_guard import guard_facts, nft_facts
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.client import origin, query_l1

# Where apt downloads packages to, and where they are installed
PACKAGE_PATHS = ("/usr", "/var/cache/apt")

# Seconds above which a connection is not waited for by anybody.
LONGEST = 3600
# Seconds for a command of the host's.
COMMAND_SECONDS = 15


def is_text(value: object) -> bool:
    """Return whether a value is a text."""
    return isinstance(value, str)


def wrong_argument(params: dict) -> str | None:
    """Give one line on what is wrong with the arguments beyond their types, or None; no line holds an URL."""
    for path in params["paths"]:
        if not path.startswith("/") or "\0" in path:
            return f"paths: {path!r} is not an absolute path: begin it with /"
    for target in params["connect"]:
        if not re.fullmatch(r"[A-Za-z0-9_.:%-]+", target["host"]):
            return f"connect: {target['host']!r} is no name or address: give it without scheme, port and brackets"
        if not 1 <= target["port"] <= 65535:
            return f"connect: {target['port']} is no port: give a number from 1 to 65535"
    if not 0 <= params["connect_timeout"] < LONGEST:
        return f"connect_timeout {params['connect_timeout']} is out of range: give seconds from 0 and below {LONGEST}"
    for name, texts in params["registry"].items():
        if name not in ("images", "mirrors") or not isinstance(texts, list) or not all(map(is_text, texts)):
            return "registry: is not a dict with the lists images and mirrors: set each to a list of strings"
    for name, method in params["rpc"].items():
        if not isinstance(method, str):
            return f"rpc: {name} is no text: give the name of a method"
    for name, slot in params["rollup_slots"].items():
        if not isinstance(slot, str) or not re.fullmatch(r"0x[0-9a-f]{1,64}", slot):
            return f"rollup_slots: {name} is not a slot: use 0x and up to 64 hex digits"
    for number, url in enumerate(params["l1_urls"].split(",") if params["l1_urls"] else [], 1):
        if not re.fullmatch(r"\s*https?://[^/\s]\S*\s*", url):
            return f"l1_urls: entry {number} is not a URL: write it as http://host or https://host, without spaces"
    if params["repository_key_url"] and not re.fullmatch(r"https?://[^/\s]\S*", params["repository_key_url"]):
        return "repository_key_url: is not a URL: write it as http://host or https://host, without spaces"
    return None


def ask_registry(engine: Engine, question: dict, here_is: dict) -> list:
    """Return what registries say of the images that are asked for and are not here. here_is: the look at the engine."""
    wanted, mirrors = question.get("images") or [], question.get("mirrors") or []
    if wanted and here_is["serves"]:
        here = image_facts(engine, wanted)
        wanted = [image for image in wanted if image not in here]
        # An engine that did not describe itself in time is not asked again.
        mirrors = [*mirrors, *(hub_mirrors(engine) if wanted and not here_is["error"] else [])]
    return find_images(wanted, mirrors) if wanted else []


def bounded(module: AnsibleModule) -> Callable:
    """Return a runner of commands that each end within COMMAND_SECONDS: an engine that hangs answers no command."""
    timeout = module.get_bin_path("timeout", opt_dirs=["/usr/bin", "/bin"], required=True)
    return lambda command: module.run_command([timeout, "--kill-after=2", str(COMMAND_SECONDS), *command])


def collect(module: AnsibleModule, root: Path) -> dict:
    """Everything that the module returns as look."""
    params, run = module.params, bounded(module)
    engine = Engine(os.environ.get("DOCKER_HOST", ""))
    with ThreadPoolExecutor(max_workers=8) as pool:
        connections = [
            pool.submit(try_connection, target["host"], target["port"], params["connect_timeout"])
            for target in params["connect"]
        ]
        questions = json.loads(params["l1"]) if params["l1"] else {}
        l1 = pool.submit(query_l1, questions) if questions else None
        network = pool.submit(query_network, questions["network"]) if "network" in questions else None
        key = pool.submit(fetch_key, params["repository_key_url"]) if params["repository_key_url"] else None
        engine_found = pool.submit(engine_facts, engine, run, root)
        nft = pool.submit(nft_facts, run, root)
        found = engine_found.result()
        # Also where images and packages go.
        paths = dict.fromkeys([*params["paths"], found["root"], found["containerd_root"], *PACKAGE_PATHS])
        seen = {
            "hostname": platform.node(),
            "time": time.time(),
            "addresses": addresses(root),
            "interfaces": interfaces(root),
            "routes": routes(root),
            "nonlocal_bind": nonlocal_bind(root),
            "default_address": default_address(),
            "os": operating_system(root),
            "hardware": hardware(root, list(paths)),
            "files": file_sizes(root, params["list_directories"]),
            "listening": listening(root),
            "nft": nft.result(),
            "engine": found,
            "images": {},
            "networks": [],
            "projects": {name: {"containers": []} for name in params["projects"]},
            "busy_projects": working(),
        }
        seen["guard"] = guard_facts(root)
        if seen["engine"]["serves"]:
            seen["images"] = image_facts(engine, params["images"])
            seen["networks"] = network_facts(engine)
            pairs = [
                (name, shown, inspected)
                for name in params["projects"]
                for shown, inspected in project_containers(engine, name)
            ]
            if params["probe"]:
                l1_urls = [url.strip() for url in params["l1_urls"].split(",") if url.strip()]
                prober = Prober(engine, run, params["rpc"], l1_urls, root, seen["time"], params["rollup_slots"])
                probes = [pool.submit(prober.probe, shown["service"], inspected) for _name, shown, inspected in pairs]
                for (_name, shown, _inspected), probe in zip(pairs, probes):
                    shown.update(probe.result())
            for name, shown, _inspected in pairs:
                seen["projects"][name]["containers"].append(shown)
        seen["connect"] = [connection.result() for connection in connections]
        seen["l1"] = l1.result() if l1 else None
        seen["registry"] = ask_registry(engine, params["registry"], seen["engine"])
        seen["network"] = network.result() if network else None
        seen["repository_key"] = key.result() if key else {"text": "", "error": ""}
    return seen


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "images": {"type": "list", "elements": "str", "default": []},
            "projects": {"type": "list", "elements": "str", "default": []},
            "paths": {"type": "list", "elements": "str", "default": ["/"]},
            "list_directories": {"type": "list", "elements": "str", "default": []},
            "connect": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"host": {"type": "str", "required": True}, "port": {"type": "int", "required": True}},
            },
            "connect_timeout": {"type": "float", "default": 3},
            "probe": {"type": "bool", "default": False},
            "rpc": {"type": "dict", "default": {}},
            "rollup_slots": {"type": "dict", "default": {}},
            "l1_urls": {"type": "str", "default": "", "no_log": True},
            "l1": {"type": "str", "default": "", "no_log": True},
            "registry": {"type": "dict", "default": {}},
            "left_out": {"type": "str", "default": ""},
            "repository_key_url": {"type": "str", "default": "", "no_log": True},
        },
        supports_check_mode=True,
    )
    wrong = wrong_argument(module.params)
    if wrong:
        module.fail_json(msg=wrong)
    try:
        seen = collect(module, Path("/"))
        if seen["repository_key"]["error"]:
            where = origin(module.params["repository_key_url"])
            module.fail_json(msg=f"the repository's key: {where} {seen['repository_key']['error']}")
        module.exit_json(changed=False, host_info={**seen, "repository_key": seen["repository_key"]["text"]})
    except EngineError as error:
        module.fail_json(msg=f"the container engine stopped answering: {error.args[0]}; look at its log and try again")


if __name__ == "__main__":
    main()
