# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The desired state of a Compose project, from the arguments of compose_stack."""

from __future__ import annotations

import json
import os
import posixpath
import re
from pathlib import Path

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.files import read_text
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.redaction import Redactor
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import dotenv
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import project as files
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.inventory_header import inventory_of
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import Problem
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.yaml_text import override_text

DOCKER_SOCKET = "unix:///var/run/docker.sock"


class DesiredState:
    """The texts of all files of the project, what is derived from them, and the redactor of their secrets."""

    def __init__(self, params: dict, proxies: dict | None = None) -> None:
        """Read the arguments of compose_stack. proxies: host_proxies of the host, those of this machine by default."""
        self._proxies = host_proxies() if proxies is None else proxies
        self.project = params["project"]
        self.directory = posixpath.normpath(params["directory"])
        self.state = params["state"]
        self.stay_stopped = bool(params.get("stay_stopped"))
        self.env_text = params["env"]
        try:
            self.values = dotenv.parse(self.env_text)
        except ValueError as wrong:
            raise Problem(str(wrong)) from wrong
        self.secrets = {name: self.values[name] for name in params["secret_variables"] if name in self.values}
        self.files = key_files(params["files"])
        self.redactor = Redactor(self.secrets, list(map(str, self.files.values())))
        # The plan, other than the module, receives numbers of the command line (-e) as text.
        network = params["network"]
        self.network = network and {**network, "mtu": int(network.get("mtu") or 0)}
        wait = int(params["wait_timeout"])
        if wait < 0:
            raise Problem(f"wait_timeout {wait} is below 0: use seconds from 0")
        self.timeout = float(max(wait, 1))
        self.inventory = inventory_of(f"# {params['header']}")
        self.data_directory = self._below(params["data_directory"]) if params["data_directory"] else None
        self.directories = [self._below(path) for path in params["directories"]]
        self._check(params)
        self.model: dict = {}
        self.contents = {files.ENV_FILE: self.env_text, **self.files}
        if self.state in ("present", "pulled"):
            self.contents[files.COMPOSE_FILE] = params["compose"]
            self._header, self._base = params["header"], params["_model"]
            self._override = self._with_proxies(params["override"], params["no_proxy"])
            self.use_salt("")
        self.images = {name: service["image"] for name, service in self.model.get("services", {}).items()}

    def use_salt(self, salt: str) -> None:
        """Derive the labels of the services, and what contains them, with the salt that is stored on the host."""
        model = files.merged_model(self._base, self._override)
        labels = files.label_digests(model, self.values, self.files, self.directory, salt)
        override = files.with_settings(self._override, "labels", labels)
        self.model = files.merged_model(self._base, override)
        self.contents[files.OVERRIDE_FILE] = override_text(self._header, override)

    def _with_proxies(self, override: dict, no_proxy: list) -> dict:
        """Return the user's keys with NO_PROXY where a service has a proxy."""
        model = files.merged_model(self._base, override)
        proxies = files.no_proxy_settings(model, self.values, self._proxies, no_proxy, self.directory)
        return files.with_settings(override, "environment", proxies)

    def _below(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self.directory, path))

    def _check(self, params: dict) -> None:
        """Raise Problem for the first argument that is wrong."""
        if not re.match(r"[a-z0-9][a-z0-9_-]*\Z", self.project):
            raise Problem(f"project {self.project!r} must consist of lower-case letters, digits, - and _")
        if not posixpath.isabs(self.directory) or not self.directory.strip("/"):
            raise Problem(f"directory {self.directory!r} must be an absolute path below /")
        for path in (self.directory, *self.directories, self.data_directory or ""):
            if "\0" in path:
                raise Problem(f"directory {path!r} contains a NUL character: remove it, a path cannot contain one")
        wrong = (self.network and files.network_problem(self.network)) or files.files_problem(self.files)
        if not wrong and self.state in ("present", "pulled"):
            base, override = params["_model"], params["override"]
            wrong = files.model_problem(base) or (override and files.model_problem(override, "override"))
            wrong = wrong or files.image_problem(files.merged_model(base, override))
        if wrong:
            raise Problem(wrong)


def host_proxies() -> dict[str, str]:
    """Return the variables that the Docker CLI of this machine adds to each container."""
    return files.client_proxies(docker_config(), os.environ.get("DOCKER_HOST") or DOCKER_SOCKET)


def docker_config() -> str:
    """Return the text of the Docker CLI's config.json, '' if it cannot be read. The CLI continues without it, too."""
    return read_text(Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker", "config.json"))


def key_files(text: str | None) -> dict:
    """Return the files in the option `files`. The message of an error does not quote the text."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Problem("files must be the text of a JSON object: use the filter to_json")
    return found
