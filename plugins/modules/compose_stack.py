# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_stack
short_description: Apply a Docker Compose project, with rollback
version_added: 1.0.0
description:
  - Writes a project's files, lets Docker Compose validate them, starts the project and waits for its containers. If
    they fail, the last good files and images are restored.
  - Makes one remote call when nothing has to be changed. Otherwise the work runs as a job on the host, and its progress
    is shown. A run that was interrupted and is run again ends in the same state as an uninterrupted one.
  - Secrets are written only to files of mode 0600, and hidden in messages, logs and differences. They are not written
    to a file during the transfer to the host. A connection or a become method that cannot pass a module through its
    input, such as C(su), is therefore rejected if there are secrets.
seealso:
  - module: aztec_ops.prover.host_info
  - module: community.docker.docker_compose_v2
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
      - The module keeps its state and the last good files in the subdirectory C(.stack).
    type: path
    required: true
  compose:
    description:
      - Text of C(compose.yml), usually a template that is rendered on the controller. Its services read C(.env) by
        C(env_file).
      - Compose interpolates it as any of its files, so that a literal dollar sign is written twice.
      - Required if O(state) is V(present) or V(pulled).
    type: str
  override:
    description:
      - Compose keys that are merged over O(compose), as a Compose model. They are written to C(compose.override.yml),
        together with the labels and the C(NO_PROXY) that the module adds. Compose reads that file by itself.
    type: dict
    default: {}
  override_variable:
    description: Name of the variable that set O(override). It is named when Compose rejects the files.
    type: str
    default: ""
  header:
    description:
      - Comment in the first line of C(compose.override.yml). O(compose) and O(env) usually begin with it.
      - A header of the collection's roles names the inventory. If C(compose.yml) on the host names another one, the
        project is left as it is and the module fails.
      - Files that differ only in a header of the roles do not differ. They get the new one with the next change.
    type: str
    default: ""
  env:
    description:
      - Text of C(.env), usually a template that is rendered on the controller. Each value is encoded by
        P(aztec_ops.prover.dotenv#filter), so that it reaches the process byte for byte.
      - Empty values are rejected.
    type: str
    default: ""
  secret_variables:
    description: Names of the variables in O(env) whose values are secret.
    type: list
    elements: str
    default: []
  files:
    description:
      - Key files, as the text of a JSON object that has paths below O(directory) as keys and contents as values.
      - Each file is replaced in place, so that a directory that is mounted into a container stays the same. A change of
        any file recreates every container.
    type: str
  directories:
    description:
      - Data directories, created with mode 0700 if they do not exist. Relative paths are below O(directory).
    type: list
    elements: path
    default: []
  network:
    description: A bridge network that several projects share, created if it does not exist.
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
          - IPv4 subnet of the network. By default, Docker chooses one. If its choice could overlap O(network.avoid) or
            a route of the host, the module takes the first subnet of Docker's address pools that overlaps none.
        type: str
      ipv6_subnet:
        description: IPv6 subnet of the network. Without it the network does not have IPv6.
        type: str
      mtu:
        description:
          - MTU of the network. 0 takes the smallest of 1500 and of the interfaces that lead to the default route and to
            O(network.avoid), when the network is created.
        type: int
        default: 0
      avoid:
        description: Addresses outside the host that containers connect to. No subnet of the network contains them.
        type: list
        elements: str
        default: []
  no_proxy:
    description:
      - Names and addresses that the containers reach without a proxy, in addition to loopback.
      - Added to C(NO_PROXY) and C(no_proxy) of each service whose environment has a proxy, by C(.env), by
        O(compose), or by C(proxies) in the C(config.json) of the user's Docker CLI. Nothing is added to others.
    type: list
    elements: str
    default: []
  state:
    description:
      - V(present) brings the project up.
      - V(pulled) only pulls missing images.
      - V(absent) removes the containers and files of the project. O(network), images and O(directories) stay, unless
        O(remove_network), O(remove_images) and O(remove_data) are set.
      - V(stopped) stops its containers, V(started) starts them again, V(restarted) does both. They use the files on the
        host, and fail if the project is not deployed there.
    type: str
    choices: [present, pulled, absent, stopped, started, restarted]
    default: present
  stay_stopped:
    description:
      - Whether a project that is V(stopped) stays so until it is V(started), also if it is V(present) or V(restarted)
        in between.
    type: bool
    default: true
  remove_network:
    description: Whether V(absent) also removes O(network). It stays if a container of another project uses it.
    type: bool
    default: false
  remove_images:
    description:
      - Repositories, such as V(aztecprotocol/aztec), whose images V(absent) also removes, in all versions. Images that
        a container of another project uses stay.
    type: list
    elements: str
    default: []
  remove_data:
    description:
      - Whether V(absent) also removes O(directories) with their content. A directory that a container of another
        project uses stays, with a warning.
    type: bool
    default: false
  drain_method:
    description:
      - JSON-RPC method of an agent that returns its status. Before a container with agents is stopped or recreated, the
        module waits until they are idle or have just begun a job, so that no proving time is lost.
      - Without it, the module does not wait.
    type: str
    default: ""
  drain_timeout:
    description: Seconds after which a container with agents is stopped anyway, with a warning. 0 does not wait.
    type: int
    default: 0
  wait_timeout:
    description:
      - Seconds to wait until the containers are healthy.
      - A container that runs and is not healthy by then is V(starting), which is not a failure. It has failed if it has
        exited, is in a restart loop, or has lost its health.
    type: int
    default: 120
  data_directory:
    description:
      - A data directory. If a new version has changed anything in it, the old version is not restored.
      - Without it, the old version is always restored.
    type: path
  _model:
    description: The content of O(compose). Set by the action plugin, never manually.
    type: dict
  _phase:
    description: Which part of the work is done. Set by the action plugin, never manually.
    type: str
    choices: [inspect, apply, start, progress, forget]
    default: apply
  _job:
    description: Name of the job. Set by the action plugin, never manually.
    type: str
    default: ""
  _wait:
    description: Seconds to wait for the end of the job. Set by the action plugin, never manually.
    type: float
    default: 0
notes:
  - Needs Docker Compose 2.20 or newer on the host. In check mode Docker may be missing.
attributes:
  check_mode:
    description: Reports planned changes and changes nothing.
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
    compose: "{{ lookup('ansible.builtin.template', 'compose.yml.j2') }}"
    env: "{{ lookup('ansible.builtin.template', 'env.j2') }}"

- name: Pull the image of the node
  aztec_ops.prover.compose_stack:
    project: aztec-prover-node
    directory: /opt/aztec/prover-node
    compose: |
      services:
        prover-node:
          image: aztecprotocol/aztec:2.1.5
    state: pulled

- name: Stop the agent when it loses the least proving time
  aztec_ops.prover.compose_stack:
    project: aztec-prover-agent
    directory: /opt/aztec/prover-agent
    state: stopped
    drain_method: agent_getStatus
    drain_timeout: 900

- name: Remove the agent
  aztec_ops.prover.compose_stack:
    project: aztec-prover-agent
    directory: /opt/aztec/prover-agent
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode, one line each.
  returned: always
  type: list
  elements: str
differs:
  description:
    - Whether more has to be done than to create or start containers from existing files, images and network.
  returned: in check mode, and if nothing was done
  type: bool
stopped:
  description: Whether the project stays stopped until it is V(started), so that nothing else is done.
  returned: in check mode, and if nothing was done
  type: bool
engine:
  description: Whether Docker runs on the host.
  returned: in check mode, and if nothing was done
  type: bool
status:
  description:
    - The state of each service. C(state) is V(running), V(starting), V(failed), or V(exited) (ended successfully).
  returned: always
  type: dict
logs:
  description: Last log lines of the containers that failed, with secrets hidden.
  returned: on failure
  type: list
  elements: str
rolled_back:
  description: Whether the last good files and images were restored and run.
  returned: on failure
  type: bool
known:
  description:
    - V(false) if the state of the project is unknown. The connection was lost for longer than a minute while the work
      continued on the host, or the work was interrupted there after it had begun to change the project.
  returned: if the end of the work is unknown
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import remove_values
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.compose_project import ComposeProject
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.desired_state import DesiredState
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.job import (
    JOBS,
    Job,
    progress,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import Problem

NO_LOG_SHORTEST = 8
KEEP_USER_PROCESSES = (
    "set KillUserProcesses=no in /etc/systemd/logind.conf on the host, and run systemctl restart systemd-logind there"
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "directory": {"type": "path", "required": True},
            "compose": {"type": "str"},
            "override": {"type": "dict", "default": {}},
            "override_variable": {"type": "str", "default": ""},
            "header": {"type": "str", "default": ""},
            "env": {"type": "str", "no_log": True, "default": ""},
            "secret_variables": {"type": "list", "elements": "str", "default": [], "no_log": False},
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
            "state": {
                "type": "str",
                "choices": ["present", "pulled", "absent", "stopped", "started", "restarted"],
                "default": "present",
            },
            "stay_stopped": {"type": "bool", "default": True},
            "remove_network": {"type": "bool", "default": False},
            "remove_images": {"type": "list", "elements": "str", "default": []},
            "remove_data": {"type": "bool", "default": False},
            "drain_method": {"type": "str", "default": ""},
            "drain_timeout": {"type": "int", "default": 0},
            "wait_timeout": {"type": "int", "default": 120},
            "data_directory": {"type": "path"},
            "_model": {"type": "dict"},
            "_phase": {
                "type": "str",
                "choices": ["inspect", "apply", "start", "progress", "forget"],
                "default": "apply",
            },
            "_job": {"type": "str", "default": ""},
            "_wait": {"type": "float", "default": 0},
        },
        required_if=[("state", "present", ["compose"]), ("state", "pulled", ["compose"])],
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    phase = module.params["_phase"]
    try:
        if phase == "progress":
            values = (module.params[name] for name in ("directory", "_job", "_wait"))
            module.exit_json(changed=False, **progress(*values))
        if phase == "forget":
            Job(module.params["_job"]).forget()
            module.exit_json(changed=False)
        desired = DesiredState(module.params)
    except Problem as problem:
        module.fail_json(msg=str(problem))
    # The secrets in these texts are hidden one by one: a text as a whole may be public, and a difference shows it.
    module.params["env"] = module.params["files"] = None
    module.no_log_values = {value for value in desired.redactor.plain if len(value) >= NO_LOG_SHORTEST}
    stack = ComposeProject(module, desired)
    result = started(stack) if phase == "start" else outcome(stack, phase)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


def started(stack: ComposeProject) -> dict:
    """Return the result of the inspection if nothing has to be done, else start the work as a job."""
    module, found = stack.module, outcome(stack, "inspect")
    if found.get("failed") or not found.pop("_todo"):
        return found

    def work() -> dict:
        return remove_values(outcome(stack, "apply"), module.no_log_values)

    try:
        kept = Job(stack.job).start(work, stack.limit, stack.desired.project)
    except Problem as problem:
        return {"failed": True, "started": False, "msg": str(problem)}
    except OSError as wrong:
        how = f"the job could not be started: {wrong.strerror}: {wrong.filename or JOBS}"
        return {"failed": True, "started": False, "msg": how}
    if kept:
        what = f"the work on {stack.desired.project} ends with the login session where logind has KillUserProcesses=yes"
        module.warn(f"{what}, as systemd does not take it into a unit of its own ({kept}): {KEEP_USER_PROCESSES}")
    return {"changed": True, "started": True, **({"diff": found["diff"]} if "diff" in found else {})}


def outcome(stack: ComposeProject, phase: str) -> dict:
    """Return the result of a phase, also if it fails."""
    result = result_of(stack, phase)
    return {**result, "warnings": stack.warnings} if stack.warnings else result


def result_of(stack: ComposeProject, phase: str) -> dict:
    """Return the result of a phase without its warnings."""
    desired = stack.desired
    try:
        return run(stack, phase)
    except Problem as problem:
        message = str(problem)
    except OSError as wrong:
        where = f": {wrong.filename}" if wrong.filename else ""
        message = f"{desired.directory}: {wrong.strerror}{where}"
    message = desired.redactor(printable(desired.redactor(message)))
    result = {"failed": True, "changed": stack.touched, "msg": message, "actions": stack.done}
    result.update(status={}, logs=[], rolled_back=False)
    # The work was interrupted after it had changed something.
    return {**result, "known": False} if stack.touched else result


def run(stack: ComposeProject, phase: str) -> dict:
    """Return the result of a phase."""
    module = stack.module
    if phase == "apply" and not module.check_mode:
        return stack.apply()
    seen = stack.inspect()
    result = stack.result(seen)
    if module._diff:
        has_files = stack.desired.state in ("present", "absent")
        result["diff"] = stack.diff(stack.storage.load("state.json")) if has_files else []
    writes = any(action["do"] == "write" for action in seen["actions"])
    if writes and seen["engine"] and stack.run("compose", "version", "--short")[0] == 0:
        stack.validate()
    if not module.check_mode and not seen["actions"]:
        stack.remember_health(seen["containers"])
    result["_todo"] = bool(seen["actions"])
    return result


if __name__ == "__main__":
    main()
