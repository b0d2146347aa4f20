# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_stack
short_description: Bring one Docker Compose project to a state, or leave it as it was
description:
  - Writes a project's files, lets Docker Compose validate them, starts the project and waits until it is seen whether
    its containers live. When they do not, the last files and images that were good are brought back.
  - Makes one remote call when nothing is to be changed. Otherwise the work runs as a job on the host, whose progress is
    shown. A run that is broken off and run again ends in the same state as one that was not.
  - Secrets are written to files of mode 0600 only, and hidden in messages, logs and differences. On their way to the
    host they lie in no file, so that a connection or a become method that cannot pass a module through its input, such
    as C(su), is refused where there are secrets.
author:
  - Aztec Ops (@aztec-ops)
options:
  project:
    description: Name of the Compose project.
    type: str
    required: true
  directory:
    description:
      - Absolute path of the project's directory, which holds C(compose.yml), C(.env) and the key files, with mode 0700.
      - Its subdirectory C(.stack) is the module's own and holds the last files that were good.
    type: path
    required: true
  compose:
    description:
      - The whole Compose model, written as C(compose.yml). Its services read C(.env) by C(env_file).
      - Compose interpolates it as it does any of its files, so that a literal dollar sign is written twice.
      - Needed unless O(state=absent).
    type: dict
  compose_variable:
    description: Name of the variable by which keys of O(compose) were set, named when Compose refuses them.
    type: str
    default: ""
  environment:
    description:
      - Public environment variables, written to C(.env) so that each value reaches the process byte for byte.
      - Empty values are refused.
    type: dict
    default: {}
  secrets:
    description: Secret environment variables, as the text of a JSON object. Written to C(.env) as well.
    type: str
  files:
    description:
      - Key files, as the text of a JSON object that has paths below O(directory) as keys and contents as values.
      - Each is replaced alone, so that a directory mounted into a container stays the same. A change of any makes every
        container anew.
    type: str
  directories:
    description:
      - Directories for data that are made, with mode 0700, where they are missing. Relative ones lie in O(directory).
    type: list
    elements: path
    default: []
  network:
    description: A bridge network that several projects share, made when it is missing.
    type: dict
    suboptions:
      name:
        description: Name of the network.
        type: str
        required: true
      bridge:
        description: Name of the bridge's interface on the host.
        type: str
        required: true
      ipv4_subnet:
        description:
          - IPv4 subnet of the network. When it is not given, Docker chooses one. Where its choice could overlap
            O(network.avoid) or a route of the host, it is the first of Docker's address pools that overlaps none.
        type: str
      ipv6_subnet:
        description: IPv6 subnet of the network, which has no IPv6 when it is not given.
        type: str
      mtu:
        description:
          - MTU of the network. 0 takes the smallest of 1500 and of the interfaces that lead to the default route and to
            O(network.avoid), when the network is made.
        type: int
        default: 0
      avoid:
        description: Addresses that containers reach outside of the host, and that no subnet of the network may hold.
        type: list
        elements: str
        default: []
  no_proxy:
    description:
      - Names and addresses that the containers reach without a proxy, besides loopback.
      - Added to C(NO_PROXY) and C(no_proxy) of each service whose environment has a proxy, by C(.env), by
        O(compose), or by C(proxies) in the C(config.json) of the user's Docker CLI. Nothing is added to others.
    type: list
    elements: str
    default: []
  state:
    description:
      - V(present) brings the project up.
      - V(pulled) only pulls the images that are missing.
      - V(absent) takes the project down and removes its files. Data directories and the shared network stay.
    type: str
    choices: [present, pulled, absent]
    default: present
  wait_timeout:
    description:
      - Seconds to wait until the containers are healthy.
      - One that runs and is not healthy by then is V(starting), which is no failure. A failure is to have exited,
        to be restarted over and over, or to have lost health.
    type: int
    default: 120
  data_directory:
    description:
      - A data directory. When a new version has changed anything in it, the old version is not brought back over it.
      - Without it the old version is always brought back.
    type: path
  _phase:
    description: Which part of the work is done. Set by the action plugin, never by hand.
    type: str
    choices: [inspect, apply, start, progress, forget]
    default: apply
  _job:
    description: Name of the job that is started or asked for. Set by the action plugin, never by hand.
    type: str
    default: ""
notes:
  - Needs Docker Compose 2.20 or newer on the host. In check mode Docker may be missing.
attributes:
  check_mode:
    description: Says what would be done and changes nothing.
    support: full
  diff_mode:
    description: Shows the files, with secrets hidden.
    support: full
"""

EXAMPLES = r"""
- name: Run the agent
  aztec_ops.prover.compose_stack:
    project: aztec-prover-agent
    directory: /opt/aztec/prover-agent
    compose:
      services:
        prover-agent:
          image: aztecprotocol/aztec:2.1.5
          env_file: [.env]
          restart: unless-stopped
    environment:
      PROVER_BROKER_HOST: http://10.0.0.10:8080

- name: Pull what the node needs
  aztec_ops.prover.compose_stack:
    project: aztec-prover-node
    directory: /opt/aztec/prover-node
    compose:
      services:
        prover-node:
          image: aztecprotocol/aztec:2.1.5
    state: pulled

- name: Take the agent away
  aztec_ops.prover.compose_stack:
    project: aztec-prover-agent
    directory: /opt/aztec/prover-agent
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode, one line each.
  returned: always
  type: list
  elements: str
differs:
  description:
    - Whether there was more to do than to make or start containers from the files, images and network that were there.
  returned: in check mode, and where nothing was done
  type: bool
engine:
  description: Whether Docker serves on the host.
  returned: in check mode, and where nothing was done
  type: bool
status:
  description:
    - The state of each service. C(state) is V(running), V(starting), V(failed), or V(exited) for one that ended well.
  returned: always
  type: dict
  sample:
    prover-agent:
      {state: running, health: healthy, image: "aztecprotocol/aztec:2.1.5", image_id: "sha256:0f3a", restarts: 0,
       exit_code: null, meaning: ""}
logs:
  description: Last log lines of the containers that failed, with secrets hidden.
  returned: on failure
  type: list
  elements: str
rolled_back:
  description: Whether the last good files and images run again.
  returned: on failure
  type: bool
known:
  description:
    - V(false), as nobody knows how the project stands now. The connection was lost for longer than a minute while the
      work went on by itself on the host, or the work broke off there after it had begun to change the project.
    - Of every other failure it is known how the project stands.
  returned: when the work was not seen to its end
  type: bool
"""

import json
import os
import posixpath
import re
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import remove_values
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable, printable_lines
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.redaction import MASK, Redactor
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import dotenv
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import project as logic
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.job import (
    JOBS,
    PULL_LOG,
    Job,
    job_limit,
    progress,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import Problem
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project_directory import (
    ProjectDirectory,
    fingerprint,
    secure,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import docker_networks
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.network import name_servers
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.network import routes as host_routes

NO_LOG_SHORTEST = 8
LOG_LINES = 40
# Seconds for a question to Docker; an engine that hangs gives no answer at all.
QUESTION = 60
# The same for what is only reported of a failure: it must not keep the last good version waiting.
REPORT = 15
RESTART = "see systemctl status docker, and if it hangs, run systemctl restart docker on the host"
LEAVE = (
    "set KillUserProcesses=no in /etc/systemd/logind.conf on the host, and run systemctl restart systemd-logind there"
)
# Seconds of a job's limit that are kept for going back and for the report, besides the waiting for containers.
RESERVE = 300
DOCKER_SOCKET = "unix:///var/run/docker.sock"
# Seconds to wait for the next end of a container that is restarted over and over, to learn its exit code.
LOOP_PATIENCE = 20.0
# What Docker says of an image or a container that is not there; any other failure leaves that open.
MISSING = re.compile(r"no such (?:image|container|object)|not found", re.IGNORECASE)


class DesiredState:
    """The whole state asked for: texts of all files, and what is needed to say it."""

    def __init__(self, params: dict) -> None:
        self.project = params["project"]
        self.directory = posixpath.normpath(params["directory"])
        self.state = params["state"]
        self.secrets = _json_object(params["secrets"], "secrets")
        self.files = _json_object(params["files"], "files")
        self.masker = Redactor(
            {key: str(value) for key, value in self.secrets.items()}, list(map(str, self.files.values()))
        )
        self.network = params["network"]
        self.timeout = float(max(params["wait_timeout"], 1))
        self.data_directory = self._below(params["data_directory"]) if params["data_directory"] else None
        self.directories = [self._below(path) for path in params["directories"]]
        self._check(params)
        values = {**params["environment"], **self.secrets}
        self.values = {key: dotenv.as_text(value) for key, value in values.items()}
        self.env_text = dotenv.encode(self.values)
        self.model: dict = {}
        if self.state != "absent":
            client = logic.client_proxies(docker_config(), os.environ.get("DOCKER_HOST") or DOCKER_SOCKET)
            model = logic.with_no_proxy(params["compose"], self.values, client, params["no_proxy"], self.directory)
            self.model = logic.with_labels(model, self.env_text, self.files, self.directory)
        self.images = logic.images_of(self.model) if self.model else {}
        self.contents = {"compose.yml": logic.to_yaml(self.model), logic.ENV_FILE: self.env_text, **self.files}

    def _below(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self.directory, path))

    def _check(self, params: dict) -> None:
        """Raise Problem with one line for the first thing that is wrong about the arguments."""
        if not re.match(r"[a-z0-9][a-z0-9_-]*\Z", self.project):
            raise Problem(f"project {self.project!r} must be of lower-case letters, digits, - and _")
        if not posixpath.isabs(self.directory) or not self.directory.strip("/"):
            raise Problem(f"directory {self.directory!r} must be an absolute path below /")
        for path in (self.directory, *self.directories, self.data_directory or ""):
            if "\0" in path:
                raise Problem(f"directory {path!r} holds a NUL character: no path can carry it")
        if params["wait_timeout"] < 0:
            raise Problem(f"wait_timeout {params['wait_timeout']} is below 0: give seconds from 0")
        wrong = logic.network_problem(self.network) if self.network else None
        if wrong:
            raise Problem(wrong)
        both = sorted(set(params["environment"]) & set(self.secrets))
        if both:
            raise Problem(f"{', '.join(both)} stands in environment and in secrets: leave it in one of them")
        for where, values in (("environment", params["environment"]), ("secrets", self.secrets)):
            for key, value in values.items():
                wrong = dotenv.problem(key, value)
                if wrong:
                    raise Problem(f"{where}: {wrong}")
        wrong = logic.files_problem(list(self.files))
        if wrong:
            raise Problem(wrong)
        for path, content in self.files.items():
            if not isinstance(content, str):
                raise Problem(f"files: the content of {path} must be a text")
        if self.state != "absent":
            wrong = logic.model_problem(params["compose"])
            if wrong:
                raise Problem(wrong)


def docker_config() -> str:
    """Return the text of the Docker CLI's config.json, '' where there is none: the CLI goes on without it, too."""
    directory = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
    try:
        with open(os.path.join(directory, "config.json"), encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""


def _json_object(text: str | None, option: str) -> dict:
    """Take the text of an option, give the object in it; the message of a failure says nothing of the text."""
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError as wrong:
        raise Problem(f"{option} must be the text of a JSON object: use the filter to_json") from wrong
    if not isinstance(found, dict):
        raise Problem(f"{option} must be the text of a JSON object: use the filter to_json")
    return found


def seconds_since(stamp: str, now: float) -> float:
    """Take Docker's time stamp and the time now, give the seconds between; 0 for a stamp that says nothing."""
    found = re.match(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)", stamp)
    if not found or found.group(1) == "0001":
        return 0.0
    return now - datetime(*map(int, found.groups()), tzinfo=timezone.utc).timestamp()


class Stack:
    """One project on one host."""

    def __init__(self, module: AnsibleModule, wanted: DesiredState) -> None:
        self.module = module
        self.wanted = wanted
        self.disk = ProjectDirectory(wanted.directory)
        self.done: list[str] = []
        self.touched = False
        self.docker_path = module.get_bin_path("docker")
        self.timeout_path = module.get_bin_path("timeout", opt_dirs=["/usr/bin", "/bin"])
        self.end = time.monotonic() + job_limit(module.params["wait_timeout"])
        self.job = module.params["_job"]
        self._told = ""

    # --- the engine --------------------------------------------------------------------------------------------

    def run(self, *arguments: str, seconds: float = 0, before: tuple = ()) -> tuple:
        """Take arguments for the docker command, give exit code, output and errors; raise Problem when time is over.

        seconds: the limit, QUESTION without one. before: a command that the docker command is appended to.
        """
        if not self.docker_path:
            return 127, "", "no docker command on this host"
        descriptor, begun, limit = self.disk.lock_descriptor, time.monotonic(), int(seconds or QUESTION)
        found = self.module.run_command(
            [self.timeout_path, "--kill-after=10", str(limit), *before, self.docker_path, *arguments],
            environ_update={"DOCKER_CLI_HINTS": "false", "COMPOSE_ANSI": "never", "COMPOSE_PROGRESS": "plain"},
            errors="surrogateescape",
            pass_fds=[] if descriptor is None else [descriptor],
        )
        # With KILL, timeout ends itself too: a negative code where nothing stands between it and Python.
        if (found[0] in (124, 137) or found[0] < 0) and time.monotonic() - begun >= limit:
            words = " ".join(word for word in arguments[:2] if not word.startswith("-"))
            raise Problem(f"docker {words} did not end within {limit} s: {RESTART}")
        return found

    def work_seconds(self) -> float:
        """Return the limit of a command that pulls, makes, starts or stops: the rest of the job's but a reserve."""
        reserve = RESERVE + self.wanted.timeout
        return max(RESERVE, self.end - time.monotonic() - reserve)

    def must(self, what: str, *arguments: str, seconds: float = 0) -> str:
        """Take what is being done in words and the docker command's arguments, give its output or raise Problem."""
        code, out, err = self.run(*arguments, seconds=seconds)
        if code:
            raise Problem(f"{what} failed: {self.last_error(err or out)}")
        return out

    def last_error(self, text: str) -> str:
        """Take what a command printed, give the lines that tell of errors, on one line, masked."""
        lines = [line.strip() for line in self.wanted.masker.lines(text) if line.strip()]
        telling = [line for line in lines if re.search(r"error|invalid|fail|denied|cannot|not |no ", line, re.I)]
        return logic.one_line("; ".join((telling or lines)[-3:])) or "it said nothing"

    def compose(self, *arguments: str) -> tuple:
        return self.run(
            "compose",
            "--project-name",
            self.wanted.project,
            "--project-directory",
            self.wanted.directory,
            "--file",
            self.disk.path("compose.yml"),
            *arguments,
            seconds=self.work_seconds(),
        )

    def serves(self) -> str | None:
        """Give None when the engine answers, or one line on why not."""
        try:
            code, out, err = self.run("version", "--format", "{{.Server.Version}}")
        except Problem as problem:
            return str(problem).partition(": ")[0]
        return None if code == 0 and out.strip() else self.last_error(err or out)

    def inspect(self, ids: list, seconds: float = 0) -> list:
        """Take ids of containers, give what Docker says of those that are there; raise Problem when it does not."""
        if not ids:
            return []
        code, out, err = self.run("container", "inspect", *ids, seconds=seconds)
        found = json.loads(out or "[]")
        if code and len(found) + len(MISSING.findall(err)) < len(ids):
            raise Problem(f"Asking Docker for containers failed: {self.last_error(err or out)}")
        return found

    def containers(self) -> list:
        """Give the project's containers; raise Problem when the engine does not answer."""
        out = self.must(
            "Asking Docker for containers",
            "ps",
            "--all",
            "--quiet",
            "--no-trunc",
            "--filter",
            f"label={logic.LABEL_PROJECT}={self.wanted.project}",
            "--filter",
            "label=com.docker.compose.oneoff=False",
        )
        healthy = self.disk.load("state.json").get("healthy", {})
        return [
            logic.container(found, healthy.get(found["Id"]) == (found.get("State") or {}).get("StartedAt"))
            for found in self.inspect(out.split())
        ]

    def image_ids(self, references: list) -> dict:
        """Take image references, give the ids of those that are here; raise Problem when Docker does not say."""
        found = {}
        for reference in sorted(set(references)):
            code, out, err = self.run("image", "inspect", "--format", "{{.Id}}", reference)
            if code == 0:
                found[reference] = out.strip()
            elif not MISSING.search(err):
                raise Problem(f"Asking Docker for image {reference} failed: {self.last_error(err or out)}")
        return found

    def network_problem(self) -> str | None:
        """Give None when the network is as it should be, `missing`, or raise Problem when it is another."""
        wanted = self.wanted.network
        if not wanted:
            return None
        code, out, err = self.run("network", "inspect", wanted["name"])
        if code:
            if "no such network" in err.lower() or "not found" in err.lower():
                return "missing"
            raise Problem(f"Asking Docker for network {wanted['name']} failed: {self.last_error(err)}")
        found = json.loads(out)[0]
        bridge = (found.get("Options") or {}).get(logic.OPTION_BRIDGE) or f"br-{found['Id'][:12]}"
        remedy = docker_networks.recreation_steps(wanted["name"])
        if bridge != wanted["bridge"]:
            raise Problem(f"network {wanted['name']} has bridge {bridge}, not {wanted['bridge']}: {remedy}")
        subnets = [item.get("Subnet") for item in (found.get("IPAM") or {}).get("Config") or []]
        for key in ("ipv4_subnet", "ipv6_subnet"):
            if wanted[key] and wanted[key] not in subnets:
                raise Problem(
                    f"network {wanted['name']} has {', '.join(map(str, subnets))}, not {wanted[key]}: {remedy}"
                )
        mtu = int((found.get("Options") or {}).get(docker_networks.OPTION_MTU) or docker_networks.DEFAULT_MTU)
        if wanted["mtu"] and wanted["mtu"] != mtu:
            raise Problem(f"network {wanted['name']} has MTU {mtu}, not {wanted['mtu']}: {remedy}")
        return None

    # --- looking -----------------------------------------------------------------------------------------------

    def look(self) -> dict:
        """Give what is to be done and how things stand; changes nothing."""
        wanted, state = self.wanted, self.disk.load("state.json")
        engine_problem = None
        containers: list = []
        images: dict = {}
        network = None
        if self.docker_path:
            try:
                containers = self.containers() if wanted.state != "pulled" else []
                images = self.image_ids(list(wanted.images.values()))
            except Problem as problem:
                engine_problem = self.serves()
                if engine_problem is None:
                    raise problem
        else:
            engine_problem = "there is no docker command"
        if engine_problem and not self.module.check_mode:
            hangs = "did not end" in engine_problem
            remedy = RESTART if hangs else "install and start it first"
            raise Problem(f"Docker does not serve on this host ({engine_problem}): {remedy}")
        actions: list[dict] = []
        if wanted.state == "absent":
            actions += self._absent_actions(containers, state)
        else:
            for reference in sorted(set(wanted.images.values()) - set(images)):
                actions.append({"do": "pull", "what": reference})
        if wanted.state == "present":
            network = "missing" if engine_problem and wanted.network else None
            if not engine_problem:
                network = self.network_problem()
            if network:
                actions.append({"do": "network", "what": wanted.network["name"]})
            actions += self._file_actions(state)
            if not engine_problem and self.disk.load("pending.json"):
                actions.append({"do": "finish", "what": "what an earlier run left undone"})
            now = time.time()
            running_for = {each.id: seconds_since(each.started_at, now) for each in containers}
            actions += logic.container_actions(
                wanted.project,
                wanted.model,
                logic.Engine(tuple(containers), images),
                state.get("services", {}),
                running_for,
            )
        if self.disk.lock_descriptor is None and self.disk.busy():
            actions.append({"do": "wait", "service": wanted.project, "why": "another run works on it"})
        return {"actions": actions, "containers": containers, "images": images, "engine": engine_problem is None}

    def _file_actions(self, state: dict) -> list:
        wanted, actions = self.wanted, []
        if not self.disk.right("", 0o700):
            actions.append({"do": "directory", "what": wanted.directory})
        for path in wanted.directories:
            if not os.path.isdir(path):
                actions.append({"do": "directory", "what": path})
        for name, text in wanted.contents.items():
            if self.disk.read(name) != text or not self.disk.right(name, 0o600):
                actions.append({"do": "write", "what": name})
        for parent in sorted({posixpath.dirname(name) for name in wanted.files} - {""}):
            if os.path.isdir(self.disk.path(parent)) and not self.disk.right(parent, 0o700):
                actions.append({"do": "directory", "what": self.disk.path(parent)})
        for name in state.get("files", []):
            if name not in wanted.files and os.path.lexists(self.disk.path(name)):
                actions.append({"do": "unlink", "what": name})
        return actions

    def _absent_actions(self, containers: list, state: dict) -> list:
        actions = [{"do": "remove", "service": each.service, "why": each.name} for each in containers]
        names = ["compose.yml", logic.ENV_FILE, *state.get("files", []), *self.wanted.files]
        for name in dict.fromkeys(names):
            if os.path.lexists(self.disk.path(name)):
                actions.append({"do": "unlink", "what": name})
        if os.path.isdir(self.disk.own):
            actions.append({"do": "unlink", "what": ".stack"})
        return actions

    def diff(self, state: dict) -> list:
        """Give before and after of every file that differs, with secrets hidden."""
        wanted, found = self.wanted, []
        shown = [("compose.yml", self.disk.read("compose.yml") or "", wanted.contents["compose.yml"])]
        if wanted.state == "absent":
            shown = [("compose.yml", self.disk.read("compose.yml") or "", "")]
        before = self.disk.read(logic.ENV_FILE) or ""
        after = wanted.env_text if wanted.state == "present" else ""
        secret = set(wanted.secrets) | set(state.get("secret_keys", []))
        # What was set by another hand may be a secret, too.
        secret |= set(dotenv.lines_by_key(before)) - set(self.module.params["environment"])
        shown.append(
            (
                logic.ENV_FILE,
                logic.env_lines(before, "", secret, MASK),
                logic.env_lines(after, before, secret, MASK) if after else "",
            )
        )
        names = dict.fromkeys([*wanted.files, *state.get("files", [])])
        for name in names:
            old, new = self.disk.read(name), wanted.files.get(name)
            marked = f"{MASK} (changed)\n" if old is not None and old != new else f"{MASK}\n"
            shown.append((name, "" if old is None else f"{MASK}\n", "" if new is None else marked))
        for name, old, new in shown:
            if old != new:
                title = self.disk.path(name)
                found.append(
                    {
                        "before_header": title,
                        "after_header": title,
                        "before": wanted.masker(printable_lines(wanted.masker(old))),
                        "after": wanted.masker(printable_lines(wanted.masker(new))),
                    }
                )
        return found

    # --- doing -------------------------------------------------------------------------------------------------

    def tell(self, text: str) -> None:
        """Take what is going on, leave it where the controller asks for it."""
        if text != self._told and os.path.isdir(self.disk.own):
            self._told = text
            found = {"job": self.job, "text": self.wanted.masker(text), "at": time.time()}
            # While this run waits, another may take the project away.
            with suppress(FileNotFoundError):
                self.disk.save("progress.json", found)

    def note(self, text: str) -> None:
        """Take what is about to be done, tell it and keep it for the result."""
        self.done.append(text)
        self.tell(text)

    def validate(self) -> None:
        """Let Compose read the new files with the final project directory, before anything is put in place."""
        wanted = self.wanted
        # In memory, as there are secrets among them; and Ansible's own place warns when it is the first to use it.
        with tempfile.TemporaryDirectory(prefix="compose_stack.", dir="/run") as staging:
            env = posixpath.join(staging, ".env")
            model = posixpath.join(staging, "compose.yml")
            for path, text in (
                (env, wanted.env_text),
                (model, logic.to_yaml(logic.with_env_at(wanted.model, wanted.directory, env))),
            ):
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
                    handle.write(text.encode("utf-8", "surrogateescape"))
            code, out, err = self.run(
                "compose",
                "--project-name",
                wanted.project,
                "--project-directory",
                wanted.directory,
                "--env-file",
                env,
                "--file",
                model,
                "config",
                "--format",
                "json",
            )
        if code:
            error = self.last_error(err or out).replace(staging, wanted.directory)
            remedy = (
                f": correct {self.module.params['compose_variable']}" if self.module.params["compose_variable"] else ""
            )
            raise Problem(f"Compose refuses the files of {wanted.project}: {error}{remedy}")
        wrong = logic.garbled(json.loads(out), wanted.model, wanted.values, wanted.directory)
        if wrong:
            raise Problem(
                f"Compose of this host would garble the value of {', '.join(wrong)} in {wanted.project}: "
                "install a newer Docker Compose, or choose a value without special characters"
            )

    def pull(self, references: list) -> None:
        for reference in references:
            self.note(f"pull {reference}")
            log = posixpath.join(self.disk.own, PULL_LOG)
            self.disk.save(
                "progress.json", {"job": self.job, "text": f"pull {reference}", "log": True, "at": time.time()}
            )
            into = ("sh", "-c", 'umask 077; log=$1; shift; exec "$@" >"$log" 2>&1', "sh", log)
            code, dummy, dummy2 = self.run("pull", reference, seconds=self.work_seconds(), before=into)
            with open(log, encoding="utf-8", errors="replace") as handle:
                text = handle.read()
            self.disk.forget(PULL_LOG)
            if code:
                raise Problem(f"Pulling {reference} failed: {self.last_error(text)}")

    def free_subnet(self, routes: list) -> str:
        """Return the IPv4 subnet to make the network with, '' where Docker may choose it."""
        pools = self.must("Asking Docker for its address pools", "info", "--format", "{{json .DefaultAddressPools}}")
        names = self.must("Asking Docker for networks", "network", "ls", "--quiet").split()
        networks = json.loads(self.must("Asking Docker for networks", "network", "inspect", *names)) if names else []
        subnets = [one.get("Subnet", "") for net in networks for one in (net.get("IPAM") or {}).get("Config") or []]
        taken = [*subnets, *name_servers(Path("/"))]
        try:
            return docker_networks.choose_subnet(
                docker_networks.pools_of(json.loads(pools)), routes, self.wanted.network["avoid"], taken
            )
        except ValueError as wrong:
            raise Problem(f"{wrong}: set aztec_docker_ipv4_subnet to a subnet that is free") from wrong

    def make_network(self) -> None:
        wanted = self.wanted.network
        routes = host_routes(Path("/"))
        fitting, dummy = docker_networks.path_mtu(routes, wanted["avoid"])
        mtu = wanted["mtu"] or (fitting if fitting < docker_networks.DEFAULT_MTU else 0)
        ipv4_subnet = wanted["ipv4_subnet"] or self.free_subnet(routes)
        self.note(f"make network {wanted['name']} on bridge {wanted['bridge']}")
        arguments = ["network", "create", "--driver", "bridge", "--opt", f"{logic.OPTION_BRIDGE}={wanted['bridge']}"]
        arguments += ["--label", "aztec_ops.prover=true"]
        if wanted["ipv6_subnet"]:
            arguments += ["--ipv6", "--subnet", wanted["ipv6_subnet"]]
        if ipv4_subnet:
            arguments += ["--subnet", ipv4_subnet]
        if mtu:
            arguments += ["--opt", f"{docker_networks.OPTION_MTU}={mtu}"]
        code, out, err = self.run(*arguments, wanted["name"], seconds=self.work_seconds())
        # Another project's run may have made it at the same moment.
        if code and ("already exists" not in err or self.network_problem()):
            what = f"Making network {wanted['name']} on bridge {wanted['bridge']}"
            raise Problem(f"{what} failed: {self.last_error(err or out)}")

    def put(self, contents: dict, unlink: list) -> None:
        """Take files by name and names of files that must go, make the directory so."""
        secure(self.disk.directory, 0o700)
        for parent in sorted({posixpath.dirname(name) for name in contents} - {""}):
            if os.path.isdir(self.disk.path(parent)):
                secure(self.disk.path(parent), 0o700)
        order = [name for name in contents if name not in ("compose.yml", logic.ENV_FILE)]
        # compose.yml last: its labels tell whether all that it goes with is in place.
        for name in [*order, logic.ENV_FILE, "compose.yml"]:
            if self.disk.read(name) != contents[name] or not self.disk.right(name, 0o600):
                self.disk.write(name, contents[name])
        for name in unlink:
            self.disk.remove(name, self.wanted.directories)

    def up(self, model: dict, force: list) -> None:
        """Make and start what is not as the files say; raise Problem when Compose cannot."""
        for each in self.containers():
            known = each.service in model["services"]
            if known and each.name not in logic.names_of(
                self.wanted.project, each.service, model["services"][each.service]
            ):
                # What a recreation that was broken off leaves behind.
                self.must(f"Removing container {each.name}", "rm", "--force", each.id, seconds=self.work_seconds())
            elif each.status == "paused":
                self.must(f"Unpausing container {each.name}", "unpause", each.id)
        if force:
            code, out, err = self.compose("up", "--detach", "--no-deps", "--force-recreate", *sorted(set(force)))
            if code:
                raise Problem(self.last_error(err or out))
        code, out, err = self.compose("up", "--detach", "--remove-orphans")
        if code:
            raise Problem(self.last_error(err or out))

    def watch(self, before: dict, timeout: float) -> tuple:
        """Take restarts counted before (by container) and a time, give the verdict, who failed and all containers."""
        begun = time.monotonic()
        pause = 0.3
        healthy: set = set()
        while True:
            now = time.time()
            waited = time.monotonic() - begun
            containers = [self._recall(each, healthy) for each in self.containers()]
            watched = [
                logic.Watched(
                    each,
                    before.get(each.id, 0),
                    seconds_since(each.started_at, now),
                    (each.id, each.started_at) in healthy,
                )
                for each in containers
            ]
            found, failed = logic.verdict(watched, waited, timeout)
            if found != "wait":
                return found, [each.now for each in failed], containers
            states = [
                f"{name} is {item['state']}"
                for name, item in logic.status_of(containers).items()
                if item["state"] != "exited"
            ]
            self.tell(f"waiting: {', '.join(states)}")
            time.sleep(min(pause, max(timeout - waited, 0.05)))
            pause = min(pause * 1.3, 2.0)

    @staticmethod
    def _recall(each, healthy: set):
        key = (each.id, each.started_at)
        if each.health == "healthy":
            healthy.add(key)
        if key in healthy and not each.was_healthy:
            return replace(each, was_healthy=True)
        return each

    # What is only reported never keeps a run from going back: none of these three raises Problem.

    def seen(self) -> list:
        """Return the project's containers, none where Docker does not say."""
        try:
            return self.containers()
        except Problem:
            return []

    def ended(self, each):
        """Take a container that failed, give it as it is when it has ended: in a loop it may run just now."""
        end = time.monotonic() + LOOP_PATIENCE
        now = each
        with suppress(Problem):
            while now.status == "running" and now.restarts and now.health != "unhealthy" and time.monotonic() < end:
                time.sleep(0.1)
                now = next((logic.container(found) for found in self.inspect([each.id], REPORT)), each)
        return now if now.status in ("restarting", "exited") else each

    def logs(self, containers: list) -> list:
        """Take containers, give their last log lines, masked; those that were read before Docker does not answer."""
        found = []
        for each in containers:
            # One stream, so that lines stay in the order in which they were written.
            together = ("sh", "-c", 'exec "$@" 2>&1', "sh")
            try:
                code, out, dummy = self.run("logs", "--tail", str(LOG_LINES), each.id, seconds=REPORT, before=together)
            except Problem:
                break
            if code == 0:
                found += self.wanted.masker.lines(out)
        return found[-2 * LOG_LINES :]

    def apply(self) -> dict:
        """Bring the project to what is asked for; give the result."""
        wanted = self.wanted
        if wanted.state == "absent" and not os.path.isdir(self.disk.own):
            seen = self.look()
            if not seen["actions"]:
                return self.result(seen)
        self.disk.lock(self.tell)
        seen = self.look()
        actions = seen["actions"]
        if not actions:
            return self.result(seen)
        if wanted.state == "absent":
            return self.absent(actions)
        missing = [action["what"] for action in actions if action["do"] == "pull"]
        if wanted.state == "present":
            self.validate()
        self.pull(missing)
        if wanted.state == "pulled":
            return {"changed": bool(missing), "actions": self.done, "status": {}}
        return self.present(actions, seen["containers"])

    def present(self, actions: list, containers: list) -> dict:
        self.touched = True
        wanted = self.wanted
        state = self.disk.load("state.json")
        images = self.image_ids(list(wanted.images.values()))
        if any(action["do"] == "network" for action in actions):
            self.make_network()
        for path in wanted.directories:
            if not os.path.isdir(path):
                self.note(f"make directory {path}")
                os.makedirs(path, mode=0o700)
        for action in actions:
            if action["do"] not in ("pull", "network", "directory"):
                self.done.append(describe(action))
        only_wait = all(action["do"] == "wait" for action in actions)
        before = {each.id: each.restarts for each in containers}
        error = ""
        if not only_wait:
            self.prepare(state, containers, images)
            unlink = [action["what"] for action in actions if action["do"] == "unlink"]
            force = [action["service"] for action in actions if action.get("force")]
            self.put(wanted.contents, unlink)
            self.tell(f"starting {wanted.project}")
            try:
                self.up(wanted.model, force)
            except Problem as problem:
                error = str(problem)
        if error:
            verdict, containers = "failed", self.containers()
            failed = [each for each in containers if each.state == "failed"]
        else:
            verdict, failed, containers = self.watch(before, wanted.timeout)
        if verdict == "ok":
            self.promote(state, containers, images)
            changed = not only_wait
            return {"changed": changed, "actions": self.done, "status": logic.status_of(containers)}
        return self.failed(state, containers, failed, images, error, only_wait)

    def prepare(self, state: dict, containers: list, images: dict) -> None:
        """Stop an older version and note what its data looks like before the newer one is let in."""
        pending = self.disk.load("pending.json")
        good = {name: item.get("image_id") for name, item in state.get("services", {}).items()}
        new_image = any(good.get(name) not in (None, images.get(ref)) for name, ref in self.wanted.images.items())
        # While only the good version was there, what it wrote is what it can read again.
        only_good = all(each.image_id == good.get(each.service) for each in containers)
        mark = pending.get("mark")
        if self.wanted.data_directory and new_image and (mark is None or (only_good and containers)):
            if any(each.status in ("running", "restarting", "paused") for each in containers):
                self.tell(f"stopping the version before of {self.wanted.project}")
                for each in containers:
                    if each.status == "paused":
                        self.must(f"Unpausing container {each.name}", "unpause", each.id)
                stop = ("compose", "--project-name", self.wanted.project, "stop")
                self.must(f"Stopping {self.wanted.project}", *stop, seconds=self.work_seconds())
            mark = fingerprint(self.wanted.data_directory)
        self.disk.save("pending.json", {"mark": mark, "images": images})
        # Known to be ours before they are written, so that a run that is broken off leaves none behind.
        state["files"] = sorted({*state.get("files", []), *self.wanted.files})
        state["secret_keys"] = sorted({*state.get("secret_keys", []), *self.wanted.secrets})
        self.disk.save("state.json", state)

    def promote(self, state: dict, containers: list, images: dict) -> None:
        """Keep what came up as what to go back to."""
        wanted = self.wanted
        current = state.get("good")
        good = f"good-{int((current or 'good-0').rpartition('-')[2]) + 1}"
        if not current or any(
            self.disk.read(f".stack/{current}/{name}") != text for name, text in wanted.contents.items()
        ):
            shutil.rmtree(posixpath.join(self.disk.own, good), ignore_errors=True)
            for name, text in wanted.contents.items():
                self.disk.write(f".stack/{good}/{name}", text)
        else:
            good = current
        services: dict = {}
        for each in containers:
            item = services.setdefault(each.service, {"hashes": [], "networks": list(each.networks)})
            item["hashes"] = sorted({*item["hashes"], each.config_hash})
            item.update(image=each.image, image_id=each.image_id)
        self.disk.save(
            "state.json",
            {
                "good": good,
                "services": services,
                "files": sorted(wanted.files),
                "secret_keys": sorted(wanted.secrets),
                "healthy": {each.id: each.started_at for each in containers if each.was_healthy},
            },
        )
        self.disk.forget("pending.json")
        for name in os.listdir(self.disk.own):
            if name.startswith("good-") and name != good:
                shutil.rmtree(posixpath.join(self.disk.own, name), ignore_errors=True)

    def failed(self, state: dict, containers: list, failed: list, images: dict, error: str, only_wait: bool) -> dict:
        """Go back to what was good if that is possible; give the result of the failure."""
        # One that waits in vain for another is not what failed.
        failed = [each for each in failed if each.status != "created" or each.error] or failed
        failed = [self.ended(each) for each in failed]
        logs = self.logs(failed)
        said = [
            f"{each.name} is {each.status}"
            + (f" with exit code {each.exit_code}" if each.status not in ("running", "created") else "")
            + (f" after {each.restarts} restarts" if each.restarts else "")
            + (f", {each.meaning}" if each.meaning else "")
            for each in failed
        ]
        if error and not (failed and any(each.error for each in failed)):
            said.append(error)
        status = logic.status_of(containers)
        result = {"changed": not only_wait, "actions": self.done, "status": status, "logs": logs, "rolled_back": False}
        told = [line for line in logs if line.strip()]
        last = f"; last log line: {logic.one_line(told[-1], 200)}" if told else ""
        after, rolled_back = self.go_back(state, containers, images, only_wait)
        result["rolled_back"] = rolled_back
        if rolled_back:
            result["status"] = logic.status_of(self.seen())
        result["msg"] = self.wanted.masker(f"{self.wanted.project} does not run: {'; '.join(said)}{last}. {after}")
        result["failed"] = True
        return result

    def go_back(self, state: dict, containers: list, images: dict, only_wait: bool) -> tuple:
        """Give what was done about going back, in words, and whether the good version runs."""
        wanted, good = self.wanted, state.get("good")
        services = state.get("services", {})
        if not good or only_wait:
            return (
                "Nothing was changed: see its log" if only_wait else "There is no earlier state to go back to"
            ), False
        names = self._good_names(good)
        contents = {name: self.disk.read(f".stack/{good}/{name}") for name in names}
        good_images = {name: item.get("image_id") for name, item in services.items()}
        if contents == wanted.contents and all(
            images.get(ref) == good_images.get(n) for n, ref in wanted.images.items()
        ):
            self.disk.forget("pending.json")
            return "It is what ran well before: see what has changed around it", False
        pending = self.disk.load("pending.json")
        newer = any(good_images.get(n) not in (None, images.get(ref)) for n, ref in wanted.images.items())
        if newer and wanted.data_directory and pending.get("mark") != fingerprint(wanted.data_directory):
            return (
                f"The version before is not brought back, since the new one has opened {wanted.data_directory}: "
                "mend the new one, or restore a backup of that directory and ask for the version before"
            ), False
        self.note("bring the last good files and images back")
        try:
            for item in services.values():
                reference, image_id = item.get("image") or "", item.get("image_id") or ""
                if "@" not in reference and self.image_ids([reference]).get(reference) != image_id:
                    self.must(f"Bringing image {reference} back", "tag", image_id, reference)
            self.put(contents, [name for name in [*wanted.files, *state.get("files", [])] if name not in contents])
            before = {each.id: each.restarts for each in self.containers()}
            code, out, err = self.compose("up", "--detach", "--remove-orphans")
            if code != 0:
                raise Problem(self.last_error(err or out))
            found, failed, now = self.watch(before, wanted.timeout)
        except Problem as problem:
            return f"Going back failed too: {problem}", False
        if found != "ok" or not now:
            states = ", ".join(f"{each.name} is {each.status}" for each in failed)
            return f"Going back failed too: {states or 'no container came up'}", False
        self.promote_good(state, now, good)
        return "The last good files and images are back and run", True

    def _good_names(self, good: str) -> list:
        base = posixpath.join(self.disk.own, good)
        return [
            posixpath.relpath(posixpath.join(root, name), base)
            for root, dummy, names in os.walk(base)
            for name in names
        ]

    def promote_good(self, state: dict, containers: list, good: str) -> None:
        """Note that the good state runs again, in containers that were made anew."""
        names = [name for name in self._good_names(good) if name not in ("compose.yml", logic.ENV_FILE)]
        for each in containers:
            item = state["services"].setdefault(each.service, {})
            item.update(
                hashes=[each.config_hash], networks=list(each.networks), image=each.image, image_id=each.image_id
            )
        state["files"] = sorted(names)
        state["healthy"] = {each.id: each.started_at for each in containers if each.was_healthy}
        self.disk.save("state.json", state)
        self.disk.forget("pending.json")

    def absent(self, actions: list) -> dict:
        self.touched = True
        self.done += [describe(action) for action in actions]
        if any(action["do"] == "remove" for action in actions):
            self.tell(f"taking {self.wanted.project} down")
            self.must(
                f"Taking {self.wanted.project} down",
                "compose",
                "--project-name",
                self.wanted.project,
                "down",
                "--remove-orphans",
                seconds=self.work_seconds(),
            )
        for action in actions:
            if action["do"] == "unlink" and action["what"] != ".stack":
                self.disk.remove(action["what"], [])
        shutil.rmtree(self.disk.own, ignore_errors=True)
        if os.path.isdir(self.disk.directory) and not os.listdir(self.disk.directory):
            os.rmdir(self.disk.directory)
        return {"changed": bool(actions), "actions": self.done, "status": {}}

    def result(self, seen: dict) -> dict:
        """Take what a look has found, give it as the result of a run that does nothing."""
        return {
            "changed": any(action["do"] != "wait" for action in seen["actions"]),
            "actions": [describe(action) for action in seen["actions"]],
            "status": logic.status_of(seen["containers"]),
            "differs": logic.differs(seen["actions"]),
            "engine": seen["engine"],
        }

    def remember_health(self, containers: list) -> None:
        """Keep that a container was healthy, which Docker forgets: only health that is lost is a failure."""
        state = self.disk.load("state.json")
        if not state or self.disk.busy():
            return
        healthy = {each.id: each.started_at for each in containers if each.was_healthy}
        if healthy != state.get("healthy"):
            state["healthy"] = healthy
            self.disk.save("state.json", state)


def describe(action: dict) -> str:
    """Take an action, give it in words."""
    if "service" in action:
        return f"{action['do']} {action['service']}: {action['why']}"
    words = {"directory": "make directory", "unlink": "remove", "network": "make network"}
    return f"{words.get(action['do'], action['do'])} {action['what']}"


def follow(module: AnsibleModule) -> dict:
    """Take a call that only asks for a job or ends it, give its answer."""
    if module.params["_phase"] == "forget":
        Job(module.params["_job"]).forget()
        return {}
    return progress(module.params["directory"], module.params["_job"])


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "directory": {"type": "path", "required": True},
            "compose": {"type": "dict"},
            "compose_variable": {"type": "str", "default": ""},
            "environment": {"type": "dict", "default": {}},
            "secrets": {"type": "str", "no_log": True},
            "files": {"type": "str", "no_log": True},
            "directories": {"type": "list", "elements": "path", "default": []},
            "network": {
                "type": "dict",
                "options": {
                    "name": {"type": "str", "required": True},
                    "bridge": {"type": "str", "required": True},
                    "ipv4_subnet": {"type": "str"},
                    "ipv6_subnet": {"type": "str"},
                    "mtu": {"type": "int", "default": 0},
                    "avoid": {"type": "list", "elements": "str", "default": []},
                },
            },
            "no_proxy": {"type": "list", "elements": "str", "default": []},
            "state": {"type": "str", "choices": ["present", "pulled", "absent"], "default": "present"},
            "wait_timeout": {"type": "int", "default": 120},
            "data_directory": {"type": "path"},
            "_phase": {
                "type": "str",
                "choices": ["inspect", "apply", "start", "progress", "forget"],
                "default": "apply",
            },
            "_job": {"type": "str", "default": ""},
        },
        required_if=[("state", "present", ["compose"]), ("state", "pulled", ["compose"])],
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    phase = module.params["_phase"]
    try:
        if phase in ("progress", "forget"):
            module.exit_json(changed=False, **follow(module))
        wanted = DesiredState(module.params)
    except Problem as problem:
        module.fail_json(msg=str(problem))
    module.no_log_values = {
        value for value in module.no_log_values | wanted.masker.plain if len(value) >= NO_LOG_SHORTEST
    }
    stack = Stack(module, wanted)
    result = started(stack) if phase == "start" else outcome(stack, phase)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


def started(stack: Stack) -> dict:
    """Take the project, start its work as a job, give whether it was started."""
    module = stack.module

    def work() -> dict:
        return remove_values(outcome(stack, "apply"), module.no_log_values)

    try:
        kept = Job(stack.job).start(work, job_limit(module.params["wait_timeout"]), stack.wanted.project)
    except Problem as problem:
        return {"failed": True, "started": False, "msg": str(problem)}
    except OSError as wrong:
        how = f"the job could not be started: {wrong.strerror}: {wrong.filename or JOBS}"
        return {"failed": True, "started": False, "msg": how}
    if kept:
        what = f"the work on {stack.wanted.project} ends with the login session where logind has KillUserProcesses=yes"
        module.warn(f"{what}, as systemd does not take it into a unit of its own ({kept}): {LEAVE}")
    return {"changed": True, "started": True}


def outcome(stack: Stack, phase: str) -> dict:
    """Take the project and the phase asked for, give the result, be it a failure."""
    wanted = stack.wanted
    try:
        return run(stack, phase)
    except Problem as problem:
        message = str(problem)
    except OSError as wrong:
        where = f": {wrong.filename}" if wrong.filename else ""
        message = f"{wanted.directory}: {wrong.strerror}{where}"
    message = wanted.masker(printable(wanted.masker(message)))
    result = {"failed": True, "changed": stack.touched, "msg": message, "actions": stack.done}
    # What was begun was not seen to its end.
    known = {"known": False} if stack.touched else {}
    return {**result, "status": {}, "logs": [], "rolled_back": False, **known}


def run(stack: Stack, phase: str) -> dict:
    """Take the project and the phase asked for, give the result."""
    module = stack.module
    if phase == "apply" and not module.check_mode:
        return stack.apply()
    seen = stack.look()
    result = stack.result(seen)
    if module._diff:
        result["diff"] = stack.diff(stack.disk.load("state.json")) if stack.wanted.state != "pulled" else []
    writes = any(action["do"] == "write" for action in seen["actions"])
    if writes and seen["engine"] and stack.run("compose", "version", "--short")[0] == 0:
        stack.validate()
    if not module.check_mode and not seen["actions"]:
        stack.remember_health(seen["containers"])
    result["_todo"] = bool(seen["actions"])
    return result


if __name__ == "__main__":
    main()
