"""Ansible's commands, each in its own process, forked from one that has Ansible and the collection's plugins loaded.

Loading takes most of the time of a run that ends at its first check, and there are hundreds of runs. Run as a program,
it reads one command per line in JSON, and prints its exit code.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLASSES = {"ansible-playbook": ("ansible.cli.playbook", "PlaybookCLI"), "ansible": ("ansible.cli.adhoc", "AdHocCLI")}
COLLECTION = "ansible_collections.aztec_ops.prover"
LONGEST = 600


def variables() -> dict:
    """Return the environment of each command."""
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "500"}
    environment["ANSIBLE_ACTION_PLUGINS"] = str(ROOT / "tests/plugins/action")
    environment["ANSIBLE_CALLBACK_PLUGINS"] = str(ROOT / "tests/plugins/callback")
    environment["ANSIBLE_CALLBACKS_ENABLED"] = "dump_results"
    environment["DUMP_RESULTS_REPORT"] = os.devnull
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return environment


@functools.cache
def loaded() -> subprocess.Popen:
    """Start the program once per process. It ends with the process that started it."""
    return subprocess.Popen(
        [sys.executable, __file__],
        cwd=ROOT,
        env=variables(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run(*command: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a command with additional variables. Its stdout and stderr are in stdout, all task results in stderr."""
    program = loaded()
    temporary = functools.partial(tempfile.NamedTemporaryFile, "r", encoding="utf-8")
    with temporary() as output, temporary() as results:
        environment["DUMP_RESULTS_REPORT"] = results.name
        order = {"command": command, "environment": environment, "output": output.name}
        program.stdin.write(json.dumps(order) + "\n")
        program.stdin.flush()
        code = int(program.stdout.readline())
        return subprocess.CompletedProcess(command, code, output.read(), results.read())


def obey(command: list, environment: dict, output: str) -> int:
    """Replace this process with the command."""
    signal.alarm(LONGEST)
    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), *[os.open(output, os.O_WRONLY)] * 2)):
        os.dup2(descriptor, number)
    os.environ.update(environment)
    module, name = CLASSES[command[0]]
    try:
        getattr(import_module(module), name).cli_executor(command)
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def load() -> None:
    """Load Ansible, and the plugins with which a run begins. Each run finds them as if it had loaded them itself."""
    for module in ("eth_keys", "eth_utils", *(module for module, _name in CLASSES.values())):
        import_module(module)
    loader = import_module("ansible.plugins.loader")
    loader.init_plugin_loader()
    # Each command calls it again.
    warnings.filterwarnings("ignore", "AnsibleCollectionFinder has already been configured")
    for kind in ("become", "callback", "connection", "inventory", "shell", "strategy"):
        list(getattr(loader, f"{kind}_loader").all(class_only=True))
    for path in (ROOT / "plugins").glob("plugin_utils/**/*.py"):
        import_module(".".join((COLLECTION, *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"))
    for path in (ROOT / "plugins").glob("action/*.py"):
        loader.action_loader.get(f"aztec_ops.prover.{path.stem}", class_only=True)
    for path in (ROOT / "plugins").glob("filter/*.yml"):
        loader.filter_loader.get(f"aztec_ops.prover.{path.stem}")
    specs = import_module(f"{COLLECTION}.plugins.plugin_utils.inventory.argument_specs")
    specs.read_specs(specs.ROLES)


def main() -> None:
    """Load Ansible and the plugins, then run commands."""
    load()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os._exit(obey(**json.loads(line)))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
