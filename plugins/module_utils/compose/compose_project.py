# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One Compose project on one host: what differs from its desired state, and applying it with rollback."""

from __future__ import annotations

import json
import os
import posixpath
import re
import shutil
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.files import write_atomically
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable, printable_lines
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.redaction import MASK
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import containers as states
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import dotenv, removal, running
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import project as files
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.actions import (
    RUN_STATES,
    OnHost,
    check_inventory,
    describe,
    network_exists,
    project_actions,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.desired_state import DesiredState
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.inventory_header import (
    without_header,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.job import job_limit
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import Problem
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project_directory import (
    ProjectDirectory,
    fingerprint,
    secure,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.pull import pull
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import docker_networks
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.network import name_servers
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.network import routes as host_routes

LOG_LINES = 40
# Seconds for a query to Docker. An engine that hangs never replies.
QUERY_TIMEOUT = 60
# The same for the report of a failure, which must not delay the rollback.
REPORT_TIMEOUT = 15
RESTART_DOCKER = "see systemctl status docker, and if it hangs, run systemctl restart docker on the host"
# Seconds of a job's limit that are reserved for the rollback and the report, in addition to the wait for containers.
RESERVED_SECONDS = 300
# Seconds to wait for the next exit of a container in a restart loop, to read its exit code.
LOOP_PATIENCE = 20.0
CLI_ENVIRONMENT = {"DOCKER_CLI_HINTS": "false", "COMPOSE_ANSI": "never", "COMPOSE_PROGRESS": "plain"}
# Exit codes of timeout if the command did not end in time.
TIMED_OUT = (124, 137)
# What Docker prints for an object that does not exist. After any other failure it may exist.
MISSING = re.compile(r"no such (?:image|container|object|network)|not found", re.IGNORECASE)


class ComposeProject:
    """One Compose project on one host."""

    def __init__(self, module: AnsibleModule, desired: DesiredState) -> None:
        self.module = module
        self.desired = desired
        self.storage = ProjectDirectory(desired.directory)
        self.done: list[str] = []
        self.warnings: list[str] = []
        # The ids of the containers that a drain stopped.
        self.drained: list[str] = []
        self.touched = False
        self.docker_path = module.get_bin_path("docker")
        self.timeout_path = module.get_bin_path("timeout", opt_dirs=["/usr/bin", "/bin"])
        self.limit = job_limit(module.params["wait_timeout"], module.params["drain_timeout"])
        self.end = time.monotonic() + self.limit
        self.job = module.params["_job"]
        self._reported = ("", "")

    # --- the engine --------------------------------------------------------------------------------------------

    def command(self, *arguments: str, seconds: float, before: tuple = ()) -> list:
        """Return the docker command with a time limit in seconds. before: a command that it is appended to."""
        return [self.timeout_path, "--kill-after=10", str(int(seconds)), *before, self.docker_path, *arguments]

    def run(self, *arguments: str, seconds: float = 0, before: tuple = ()) -> tuple:
        """Run the docker command. Return exit code, output and errors. Raise Problem if it does not end in time.

        seconds: the limit, QUERY_TIMEOUT by default. before: a command that the docker command is appended to.
        """
        if not self.docker_path:
            return 127, "", "no docker command on this host"
        descriptor, begun, limit = self.storage.lock_descriptor, time.monotonic(), int(seconds or QUERY_TIMEOUT)
        found = self.module.run_command(
            self.command(*arguments, seconds=limit, before=before),
            environ_update=CLI_ENVIRONMENT,
            errors="surrogateescape",
            pass_fds=[] if descriptor is None else [descriptor],
        )
        # With KILL, timeout kills itself too: Python gets a negative code if timeout is its direct child.
        if (found[0] in TIMED_OUT or found[0] < 0) and time.monotonic() - begun >= limit:
            words = " ".join(word for word in arguments[:2] if not word.startswith("-"))
            raise Problem(f"docker {words} did not end within {limit} s: {RESTART_DOCKER}")
        return found

    def work_seconds(self) -> float:
        """Return the limit of a command that changes the project: the time left in the job, minus a reserve."""
        reserve = RESERVED_SECONDS + self.desired.timeout
        return max(RESERVED_SECONDS, self.end - time.monotonic() - reserve)

    def run_checked(self, what: str, *arguments: str, seconds: float = 0, missing: re.Pattern | None = None) -> str:
        """Run the docker command and return its output. Raise Problem if it fails.

        what: the action, for the error. missing: errors that mean that the object does not exist, which returns ''.
        """
        code, out, err = self.run(*arguments, seconds=seconds)
        if code and missing and missing.search(err):
            return ""
        if code:
            raise Problem(f"{what} failed: {self.error_summary(err or out)}")
        return out

    def error_summary(self, text: str) -> str:
        """Return the lines of a command's output that report errors, on one line, redacted."""
        lines = [line.strip() for line in self.desired.redactor.lines(text) if line.strip()]
        relevant = [line for line in lines if re.search(r"error|invalid|fail|denied|cannot|not |no ", line, re.I)]
        return printable("; ".join((relevant or lines)[-3:]), 400) or "no error output"

    def compose_words(self, directory: str) -> list:
        """Return the compose command for the files in a directory."""
        paths = [posixpath.join(directory, name) for name in (files.COMPOSE_FILE, files.OVERRIDE_FILE)]
        words = ["compose", "--project-name", self.desired.project, "--project-directory", directory]
        return words + [word for path in paths if os.path.exists(path) for word in ("--file", path)]

    def compose_up(self, *arguments: str) -> None:
        """Create and start containers. Raise Problem if Compose fails."""
        words = [*self.compose_words(self.desired.directory), "up", "--detach", *arguments]
        code, out, err = self.run(*words, seconds=self.work_seconds())
        if code:
            raise Problem(self.error_summary(err or out))

    def engine_problem(self) -> str | None:
        """Return None if the engine replies, else why it does not."""
        try:
            code, out, err = self.run("version", "--format", "{{.Server.Version}}")
        except Problem as problem:
            return str(problem).partition(": ")[0]
        return None if code == 0 and out.strip() else self.error_summary(err or out)

    def inspect_containers(self, ids: list, seconds: float = 0) -> list:
        """Return what `docker inspect` prints for the containers that exist. Raise Problem if Docker does not reply."""
        if not ids:
            return []
        code, out, err = self.run("container", "inspect", *ids, seconds=seconds)
        found = json.loads(out or "[]")
        if code and len(found) + len(MISSING.findall(err)) < len(ids):
            raise Problem(f"Querying Docker for containers failed: {self.error_summary(err or out)}")
        return found

    def containers(self) -> list:
        """Return the project's containers. Raise Problem if the engine does not reply."""
        labels = (f"label={files.LABEL_PROJECT}={self.desired.project}", "label=com.docker.compose.oneoff=False")
        filters = [word for label in labels for word in ("--filter", label)]
        what = "Querying Docker for containers"
        out = self.run_checked(what, "ps", "--all", "--quiet", "--no-trunc", *filters)
        healthy = self.storage.load("state.json").get("healthy", {})
        return [
            states.container(found, healthy.get(found["Id"]) == (found.get("State") or {}).get("StartedAt"))
            for found in self.inspect_containers(out.split())
        ]

    def image_ids(self, references: list) -> dict:
        """Return the ids of the images that exist, by reference. Raise Problem if Docker does not reply."""
        found = {}
        for reference in sorted(set(references)):
            words = ("image", "inspect", "--format", "{{.Id}}", reference)
            found[reference] = self.run_checked(f"Querying Docker for image {reference}", *words, missing=MISSING)
        return {reference: out.strip() for reference, out in found.items() if out}

    def network(self) -> dict | None:
        """Return the project's network, None if it does not exist. Raise Problem if Docker does not reply."""
        if not self.desired.network:
            return None
        what = f"Querying Docker for network {self.desired.network['name']}"
        out = self.run_checked(what, "network", "inspect", self.desired.network["name"], missing=MISSING)
        return docker_networks.bridge_network(json.loads(out)[0]) if out else None

    # --- inspecting --------------------------------------------------------------------------------------------

    def inspect(self) -> dict:
        """Return the actions that are needed and the current state. Change nothing."""
        desired = self.desired
        found = OnHost(**self.storage.summary(desired.files))
        check_inventory(desired, found)
        found.directories = [*found.directories, *(path for path in desired.directories if os.path.isdir(path))]
        engine_problem = None
        try:
            found.containers = self.containers() if desired.state != "pulled" else []
            found.images = self.image_ids(list(desired.images.values()))
            found.network = self.network() if desired.state == "present" else None
            found.unused = removal.unused(self) if desired.state == "absent" else []
        except Problem:
            engine_problem = self.engine_problem()
            if engine_problem is None:
                raise
        # Without Docker, only files are left to remove.
        if engine_problem and desired.state == "absent" and not self.docker_path:
            found.unused = removal.unused_data(self, [])
        elif engine_problem and not self.module.check_mode:
            hangs = "did not end" in engine_problem
            remedy = RESTART_DOCKER if hangs else "install and start it first"
            raise Problem(f"Docker does not serve on this host ({engine_problem}): {remedy}")
        found.engine = engine_problem is None
        actions = project_actions(desired, found, time.time())
        return {
            "actions": actions,
            "containers": found.containers,
            "images": found.images,
            "engine": found.engine,
            "stopped": found.stopped,
        }

    def diff(self, state: dict) -> list:
        """Return before and after of each file that differs, with secrets hidden."""
        desired, found = self.desired, []
        present = desired.state == "present"
        shown = [
            (name, self.storage.read(name) or "", desired.contents[name] if present else "")
            for name in (files.COMPOSE_FILE, files.OVERRIDE_FILE)
        ]
        before = self.storage.read(files.ENV_FILE) or ""
        after = desired.env_text if present else ""
        # A variable that was set manually may be secret, too.
        manual = set(dotenv.lines_by_key(before)) - set(desired.values)
        secret = {*desired.secrets, *state.get("secret_keys", []), *manual}
        texts = [files.env_lines(text, other, secret, MASK) for text, other in ((before, ""), (after, before))]
        shown.append((files.ENV_FILE, *texts))
        for name in dict.fromkeys([*desired.files, *state.get("files", [])]):
            old, new = self.storage.read(name), desired.files.get(name)
            marked = f"{MASK} (changed)\n" if old is not None and old != new else f"{MASK}\n"
            shown.append((name, "" if old is None else f"{MASK}\n", "" if new is None else marked))
        for name, *texts in shown:
            if without_header(texts[0]) != without_header(texts[1]):
                title = self.storage.path(name)
                old, new = (desired.redactor(printable_lines(desired.redactor(text))) for text in texts)
                found.append({"before_header": title, "after_header": title, "before": old, "after": new})
        return found

    # --- applying ----------------------------------------------------------------------------------------------

    def report_progress(self, text: str, detail: str = "") -> None:
        """Write what is in progress to the file that the controller reads. detail: what changes all the time."""
        if (text, detail) != self._reported and os.path.isdir(self.storage.own):
            self._reported = text, detail
            found = {"job": self.job, "text": self.desired.redactor(text), "detail": detail, "at": time.time()}
            # While this run waits, another one may remove the project.
            with suppress(FileNotFoundError):
                self.storage.save("progress.json", found)

    def record(self, text: str) -> None:
        """Report an action that begins, and keep it for the result."""
        self.done.append(text)
        self.report_progress(text)

    def validate(self) -> None:
        """Check the new files with Compose before they replace the current ones."""
        desired = self.desired
        # In memory, since they contain secrets. Ansible's own temporary directory causes a warning when it is created.
        with tempfile.TemporaryDirectory(prefix="compose_stack.", dir="/run") as staging:
            for name in files.PROJECT_FILES:
                write_atomically(posixpath.join(staging, name), desired.contents[name])
            code, out, err = self.run(*self.compose_words(staging), "config", "--format", "json")
        if code:
            error = self.error_summary(err or out).replace(staging, desired.directory)
            variable = self.module.params["override_variable"]
            remedy = f": correct {variable}" if variable else ""
            raise Problem(f"Compose rejects the files of {desired.project}: {error}{remedy}")
        wrong = files.garbled(json.loads(out), desired.model, desired.values, desired.directory)
        if wrong:
            raise Problem(
                f"Docker Compose on this host would change the value of {', '.join(wrong)} in {desired.project}: "
                "install a newer Docker Compose, or choose a value without special characters"
            )

    def pull(self, references: list) -> None:
        for reference in references:
            what = f"pull {reference}"
            self.record(what)
            seconds = self.work_seconds()
            descriptor = self.storage.lock_descriptor
            code, text = pull(
                self.command("pull", reference, seconds=seconds),
                {**os.environ, **CLI_ENVIRONMENT},
                [] if descriptor is None else [descriptor],
                lambda detail, what=what: self.report_progress(what, detail),
            )
            if code in TIMED_OUT:
                raise Problem(f"docker pull did not end within {int(seconds)} s: {RESTART_DOCKER}")
            if code:
                raise Problem(f"Pulling {reference} failed: {self.error_summary(text)}")

    def free_subnet(self, routes: list) -> str:
        """Return the IPv4 subnet of a new network, '' if Docker may choose it."""
        what = "Querying Docker for networks"
        pools = self.run_checked(what, "info", "--format", "{{json .DefaultAddressPools}}")
        names = self.run_checked(what, "network", "ls", "--quiet").split()
        networks = json.loads(self.run_checked(what, "network", "inspect", *names)) if names else []
        subnets = [one.get("Subnet", "") for net in networks for one in (net.get("IPAM") or {}).get("Config") or []]
        taken = [*subnets, *name_servers(Path("/"))]
        available = docker_networks.pools_of(json.loads(pools))
        try:
            return docker_networks.choose_subnet(available, routes, self.desired.network["avoid"], taken)
        except ValueError as wrong:
            raise Problem(f"{wrong}: set aztec_docker_ipv4_subnet to a subnet that is free") from wrong

    def make_network(self) -> None:
        desired = self.desired.network
        routes = host_routes(Path("/"))
        fitting, dummy = docker_networks.path_mtu(routes, desired["avoid"])
        mtu = desired["mtu"] or (fitting if fitting < docker_networks.DEFAULT_MTU else 0)
        ipv4_subnet = desired["ipv4_subnet"] or self.free_subnet(routes)
        self.record(f"create network {desired['name']} on bridge {desired['bridge']}")
        bridge = f"{docker_networks.OPTION_BRIDGE}={desired['bridge']}"
        arguments = ["network", "create", "--driver", "bridge", "--opt", bridge]
        arguments += ["--label", "aztec_ops.prover=true"]
        if desired["ipv6_subnet"]:
            arguments += ["--ipv6", "--subnet", desired["ipv6_subnet"]]
        if ipv4_subnet:
            arguments += ["--subnet", ipv4_subnet]
        if mtu:
            arguments += ["--opt", f"{docker_networks.OPTION_MTU}={mtu}"]
        code, out, err = self.run(*arguments, desired["name"], seconds=self.work_seconds())
        # The run of another project may have created it at the same moment.
        if code and ("already exists" not in err or not network_exists(desired, self.network())):
            what = f"Creating network {desired['name']} on bridge {desired['bridge']}"
            raise Problem(f"{what} failed: {self.error_summary(err or out)}")

    def outdated_files(self, contents: dict) -> list:
        """Return the names of the files that do not have this content or mode 0600."""
        found = {name: self.storage.read(name) for name in contents}
        return [n for n, text in contents.items() if found[n] != text or not self.storage.is_secure(n, 0o600)]

    def write_files(self, contents: dict, unlink: list) -> None:
        """Write files, by name, and remove others from the directory."""
        secure(self.storage.directory, 0o700)
        for parent in sorted({posixpath.dirname(name) for name in contents} - {""}):
            if os.path.isdir(self.storage.path(parent)):
                secure(self.storage.path(parent), 0o700)
        outdated = self.outdated_files(contents)
        last = [name for name in files.PROJECT_FILES if name in outdated]
        for name in [*(name for name in outdated if name not in last), *last]:
            self.storage.write(name, contents[name])
        for name in unlink:
            self.storage.remove(name, self.desired.directories)

    def up(self, model: dict, force: list) -> None:
        """Create and start the containers that differ from the files. Raise Problem if Compose fails."""
        for each in self.containers():
            service = model["services"].get(each.service)
            if service is not None and each.name not in files.names_of(self.desired.project, each.service, service):
                # An interrupted recreation leaves it behind.
                what = f"Removing container {each.name}"
                self.run_checked(what, "rm", "--force", each.id, seconds=self.work_seconds())
            else:
                self.unpause(each)
        if force:
            self.compose_up("--no-deps", "--force-recreate", *sorted(set(force)))
        self.compose_up("--remove-orphans")

    def unpause(self, each) -> None:
        """Unpause a container that is paused."""
        if each.status == "paused":
            self.run_checked(f"Unpausing container {each.name}", "unpause", each.id)

    def watch(self, before: dict, timeout: float) -> tuple:
        """Wait for the containers. Return the verdict, the failed containers and all containers.

        before: restarts at the start of the wait, by container.
        """
        begun, pause, healthy = time.monotonic(), 0.3, set()
        while True:
            now, waited = time.time(), time.monotonic() - begun
            containers = self.containers()
            healthy |= {(each.id, each.started_at) for each in containers if each.health == "healthy"}
            recalled = [(each, (each.id, each.started_at) in healthy) for each in containers]
            containers = [replace(each, was_healthy=each.was_healthy or seen) for each, seen in recalled]
            watched = [
                states.Watched(each, before.get(each.id, 0), each.running_for(now), seen)
                for each, (_each, seen) in zip(containers, recalled)
            ]
            found, failed = states.verdict(watched, waited, timeout)
            if found != "wait":
                return found, [each.now for each in failed], containers
            services = states.status_of(containers).items()
            waiting = [f"{name} is {item['state']}" for name, item in services if item["state"] != "exited"]
            self.report_progress(f"waiting: {', '.join(waiting)}")
            time.sleep(min(pause, max(timeout - waited, 0.05)))
            pause = min(pause * 1.3, 2.0)

    # These two only report, and must not prevent a rollback: neither of them raises Problem.

    def after_exit(self, each):
        """Return a failed container after its next exit: in a restart loop, it may run at this moment."""
        end = time.monotonic() + LOOP_PATIENCE
        now = each
        with suppress(Problem):
            while now.status == "running" and now.restarts and now.health != "unhealthy" and time.monotonic() < end:
                time.sleep(0.1)
                found = self.inspect_containers([each.id], REPORT_TIMEOUT)
                now = states.container(found[0]) if found else each
        return now if now.status in ("restarting", "exited") else each

    def logs(self, containers: list) -> list:
        """Return the last log lines of containers, redacted. Stop when Docker does not reply."""
        found = []
        for each in containers:
            # One stream keeps the lines in order.
            together = ("sh", "-c", 'exec "$@" 2>&1', "sh")
            try:
                words = ("logs", "--tail", str(LOG_LINES), each.id)
                code, out, dummy = self.run(*words, seconds=REPORT_TIMEOUT, before=together)
            except Problem:
                break
            if code == 0:
                found += self.desired.redactor.lines(out)
        return found[-2 * LOG_LINES :]

    def apply(self) -> dict:
        """Bring the project to the desired state and return the result."""
        try:
            return self._apply()
        except (Problem, OSError) as wrong:
            if self.drained and self.desired.state in ("present", "restarted"):
                try:
                    running.start_drained(self)
                except Problem as second:
                    raise Problem(f"{wrong}; {second}") from wrong
            raise

    def _apply(self) -> dict:
        desired = self.desired
        if desired.state in ("absent", *RUN_STATES) and not os.path.isdir(self.storage.own):
            seen = self.inspect()
            if not seen["actions"]:
                return self.result(seen)
        self.storage.lock(self.report_progress)
        seen = self.inspect()
        actions = seen["actions"]
        if not actions:
            return self.result(seen)
        if desired.state in RUN_STATES:
            return running.apply_run_state(self, actions, seen["containers"])
        if desired.state == "absent":
            return removal.remove(self, actions, seen["containers"])
        missing = [action["what"] for action in actions if action["do"] == "pull"]
        if desired.state == "present":
            self.validate()
        self.pull(missing)
        if desired.state == "pulled":
            return {"changed": bool(missing), "actions": self.done, "status": {}}
        return self.present(actions, seen["containers"])

    def present(self, actions: list, containers: list) -> dict:
        self.touched = True
        desired = self.desired
        state = self.storage.load("state.json")
        images = self.image_ids(list(desired.images.values()))
        if any(action["do"] == "network" for action in actions):
            self.make_network()
        for path in desired.directories:
            if not os.path.isdir(path):
                self.record(f"create directory {path}")
                os.makedirs(path, mode=0o700)
        for action in actions:
            if action["do"] not in ("pull", "network", "directory"):
                self.done.append(describe(action))
        only_wait = all(action["do"] == "wait" for action in actions)
        before, error = {each.id: each.restarts for each in containers}, ""
        if not only_wait:
            ending = {action["service"] for action in actions if action["do"] in ("recreate", "replace", "remove")}
            running.drain(self, [each for each in containers if each.service in ending])
            self.prepare(state, containers, images)
            unlink = [action["what"] for action in actions if action["do"] == "unlink"]
            force = [action["service"] for action in actions if action.get("force")]
            self.write_files(desired.contents, unlink)
            self.report_progress(f"starting {desired.project}")
            try:
                self.up(desired.model, force)
            except Problem as problem:
                error = str(problem)
        if error:
            verdict, containers = "failed", self.containers()
            failed = [each for each in containers if each.state == "failed"]
        else:
            verdict, failed, containers = self.watch(before, desired.timeout)
        if verdict == "ok":
            self.save_good_state(state, desired.contents, desired.secrets, containers)
            return {"changed": not only_wait, "actions": self.done, "status": states.status_of(containers)}
        return self.failed(state, containers, failed, images, error, only_wait)

    def prepare(self, state: dict, containers: list, images: dict) -> None:
        """Stop the previous version, and store the fingerprint of its data before the new version starts."""
        pending = self.storage.load("pending.json")
        good = {name: item.get("image_id") for name, item in state.get("services", {}).items()}
        new_image = any(good.get(name) not in (None, images.get(ref)) for name, ref in self.desired.images.items())
        # As long as only the last good version ran, it can read the data.
        only_good = all(each.image_id == good.get(each.service) for each in containers)
        mark = pending.get("mark")
        if self.desired.data_directory and new_image and (mark is None or (only_good and containers)):
            if any(each.status in ("running", "restarting", "paused") for each in containers):
                self.report_progress(f"stopping the previous version of {self.desired.project}")
                for each in containers:
                    self.unpause(each)
                stop = ("compose", "--project-name", self.desired.project, "stop")
                self.run_checked(f"Stopping {self.desired.project}", *stop, seconds=self.work_seconds())
            mark = fingerprint(self.desired.data_directory)
        self.storage.save_salt()
        self.storage.save("pending.json", {"mark": mark, "images": images})
        # Listed before they are written, so that an interrupted run does not leave them behind.
        state["files"] = sorted({*state.get("files", []), *self.desired.files})
        state["secret_keys"] = sorted({*state.get("secret_keys", []), *self.desired.secrets})
        self.storage.save("state.json", state)

    def save_good_state(self, state: dict, contents: dict, secret_keys: Iterable, containers: list) -> None:
        """Store the files and images that are running as the last good state."""
        current = state.get("good")
        good = f"good-{int((current or 'good-0').rpartition('-')[2]) + 1}"
        if current and all(self.storage.read(f".stack/{current}/{name}") == text for name, text in contents.items()):
            good = current
        else:
            shutil.rmtree(posixpath.join(self.storage.own, good), ignore_errors=True)
            for name, text in contents.items():
                self.storage.write(f".stack/{good}/{name}", text)
        services: dict = {}
        for each in containers:
            item = services.setdefault(each.service, {"hashes": [], "networks": list(each.networks)})
            item["hashes"] = sorted({*item["hashes"], each.config_hash})
            item.update(image=each.image, image_id=each.image_id)
        self.storage.save(
            "state.json",
            {
                "good": good,
                "services": services,
                "files": sorted(set(contents).difference(files.PROJECT_FILES)),
                "secret_keys": sorted(secret_keys),
                "healthy": states.healthy_starts(containers),
            },
        )
        self.storage.forget("pending.json")
        for name in os.listdir(self.storage.own):
            if name.startswith("good-") and name != good:
                shutil.rmtree(posixpath.join(self.storage.own, name), ignore_errors=True)

    def failed(self, state: dict, containers: list, failed: list, images: dict, error: str, only_wait: bool) -> dict:
        """Roll back to the last good state if possible, and return the result of the failure."""
        # A container that waits for another one is not the one that failed.
        failed = [each for each in failed if each.status != "created" or each.error] or failed
        failed = [self.after_exit(each) for each in failed]
        logs = self.logs(failed)
        reasons = [
            f"{each.name} is {each.status}"
            + (f" with exit code {each.exit_code}" if each.status not in ("running", "created") else "")
            + (f" after {each.restarts} restarts" if each.restarts else "")
            + (f", {each.meaning}" if each.meaning else "")
            for each in failed
        ]
        if error and not (failed and any(each.error for each in failed)):
            reasons.append(error)
        printed = [line for line in logs if line.strip()]
        last = f"; last log line: {printable(printed[-1], 200)}" if printed else ""
        after, rolled_back = self.roll_back(state, containers, images, only_wait)
        if rolled_back:
            containers = []
            with suppress(Problem):
                containers = self.containers()
        message = f"{self.desired.project} does not run: {'; '.join(reasons)}{last}. {after}"
        return {
            "failed": True,
            "changed": not only_wait,
            "actions": self.done,
            "status": states.status_of(containers),
            "logs": logs,
            "rolled_back": rolled_back,
            "msg": self.desired.redactor(message),
        }

    def roll_back(self, state: dict, containers: list, images: dict, only_wait: bool) -> tuple:
        """Roll back if possible. Return in words what was done, and whether the last good version runs."""
        desired, good = self.desired, state.get("good")
        services = state.get("services", {})
        if not good or only_wait:
            why = "Its files were not changed: see its log" if only_wait else "There is no earlier state to restore"
            return why, False
        base = Path(self.storage.own, good)
        names = [str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()]
        contents = {name: self.storage.read(f".stack/{good}/{name}") for name in names}
        same = {name: without_header(text) for name, text in contents.items()} == {
            name: without_header(text) for name, text in desired.contents.items()
        }
        good_images = {name: item.get("image_id") for name, item in services.items()}
        if same and all(images.get(ref) == good_images.get(n) for n, ref in desired.images.items()):
            self.storage.forget("pending.json")
            return "These files and images ran before: check what else has changed on the host", False
        pending = self.storage.load("pending.json")
        newer = any(good_images.get(n) not in (None, images.get(ref)) for n, ref in desired.images.items())
        if newer and desired.data_directory and pending.get("mark") != fingerprint(desired.data_directory):
            return (
                f"The previous version was not restored, since the new one has opened {desired.data_directory}: "
                "fix the new one, or restore a backup of that directory and set the previous version"
            ), False
        self.record("restore the last good files and images")
        try:
            for item in services.values():
                reference, image_id = item.get("image") or "", item.get("image_id") or ""
                if "@" not in reference and self.image_ids([reference]).get(reference) != image_id:
                    self.run_checked(f"Restoring image {reference}", "tag", image_id, reference)
            self.write_files(
                contents, [name for name in [*desired.contents, *state.get("files", [])] if name not in contents]
            )
            before = {each.id: each.restarts for each in self.containers()}
            self.compose_up("--remove-orphans")
            found, failed, now = self.watch(before, desired.timeout)
        except Problem as problem:
            return f"The rollback failed too: {problem}", False
        if found != "ok" or not now:
            stopped = ", ".join(f"{each.name} is {each.status}" for each in failed)
            return f"The rollback failed too: {stopped or 'no container started'}", False
        self.save_good_state(state, contents, state.get("secret_keys", []), now)
        return "The last good files and images are back and run", True

    def result(self, seen: dict) -> dict:
        """Return the result of a run that changes nothing."""
        return {
            "changed": any(action["do"] != "wait" for action in seen["actions"]),
            "actions": [describe(action) for action in seen["actions"]],
            "status": states.status_of(seen["containers"]),
            "differs": states.differs(seen["actions"]),
            "engine": seen["engine"],
            "stopped": seen["stopped"],
        }

    def remember_health(self, containers: list) -> None:
        """Store which containers were healthy, which Docker does not keep: only health that is lost is a failure."""
        state, healthy = self.storage.load("state.json"), states.healthy_starts(containers)
        if state and healthy != state.get("healthy") and not self.storage.busy():
            self.storage.save("state.json", {**state, "healthy": healthy})
