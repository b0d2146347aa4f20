"""The operator's folder, written by init of the built collection, which is installed from a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.bad_input.harness import Endpoint

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
VERSION = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
# The folder's template, and the inventory of a clone, which has the same text.
SAME = {"hosts.yml": "hosts.yml", "main.yml": "group_vars/all/main.yml"}
SAME |= {"vault.yml.example": "group_vars/all/vault.yml.example"}


class Operator:
    """A user with a home directory of their own. The collection is installed there, from the built file."""

    def __init__(self, home: Path, artifact: Path) -> None:
        self.home = home
        self.artifact = artifact
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHONPATH"))}
        self.environment = {**kept, "HOME": str(home), "PATH": f"{TOOLS}:{kept['PATH']}", "ANSIBLE_NOCOLOR": "1"}
        self.environment["COLUMNS"] = "500"

    def run(self, folder: Path, *command: str, **more: str) -> subprocess.CompletedProcess:
        """Run a command in a folder. Its stdout and stderr are in stdout."""
        merged = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        environment = {**self.environment, **more}
        return subprocess.run(command, cwd=folder, env=environment, text=True, check=False, timeout=120, **merged)

    def init(self, folder: Path, *variables: str, code: int = 0) -> str:
        """Run init in a folder and return its output."""
        extra = [part for one in variables for part in ("-e", one)]
        done = self.run(folder, "ansible-playbook", "aztec_ops.prover.init", *extra)
        assert done.returncode == code, done.stdout
        assert "Traceback" not in done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    home, built = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("built")
    build = [TOOLS / "ansible-galaxy", "collection", "build", "--output-path", built, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (artifact,) = built.glob("*.tar.gz")
    user = Operator(home, artifact)
    done = user.run(home, "ansible-galaxy", "collection", "install", "--offline", str(artifact))
    assert done.returncode == 0, done.stdout
    assert (home / ".ansible/collections/ansible_collections/aztec_ops/prover/MANIFEST.json").is_file()
    return user


def contents(folder: Path) -> dict[str, str]:
    """Return the text of each file below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and ".ansible" not in path.parts)
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in paths}


def edit(path: Path, *pairs: tuple[str, str]) -> None:
    """Replace texts in a file, each of which must be in it."""
    text = path.read_text(encoding="utf-8")
    for old, new in pairs:
        assert old in text, f"{path}: {old}"
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", SAME)
def test_the_inventory_of_a_clone_has_the_same_text(name: str) -> None:
    """Copy a change of inventories/prod to playbooks/files/project/inventory, or the other way round."""
    template = (ROOT / "playbooks/files/project/inventory" / name).read_text(encoding="utf-8")
    assert template == (ROOT / "inventories/prod" / SAME[name]).read_text(encoding="utf-8")


def test_from_an_empty_folder_to_the_first_connection(operator: Operator, tmp_path: Path) -> None:
    """init, an edited inventory, keys and preflight, in a folder with several environments."""
    shown = operator.init(tmp_path, "dest=prover")
    folder = tmp_path / "prover"
    assert f"wrote {folder}/ansible.cfg" in shown
    assert f"Next, in {folder}: edit inventories/prod/hosts.yml and group_vars/all/main.yml, then run" in shown
    entries = yaml.safe_load((folder / "requirements.yml").read_text(encoding="utf-8"))["collections"]
    assert entries == [{"name": "aztec_ops.prover", "version": VERSION}]
    operator.init(folder, "dest=.", "env=testnet")
    assert sorted(path.name for path in (folder / "inventories").iterdir()) == ["prod", "testnet"]

    # The folder's ansible.cfg applies: the collection's callback shows no header of a play that succeeds.
    preflight = ("ansible-playbook", "aztec_ops.prover.preflight", "-i", "inventories/prod")
    shown = operator.run(folder, *preflight).stdout
    assert "all 3 hosts  ansible_host                       is still the example value" in shown
    assert "4 problems in the inventory, in the table above; no host was contacted." in shown

    endpoint = Endpoint(tmp_path)
    inventory = folder / "inventories/prod"
    edit(
        inventory / "hosts.yml",
        *(("203.0.113.10\n      aztec", "127.0.0.10\n      prover_node_p2p_ip: 9.9.9.9\n      aztec"),),
        *((f"203.0.113.{number}", f"127.0.0.{number}") for number in (21, 22)),
    )
    urls = (("https://l1.example", "https://rpc.lan"), ("https://beacon.example", "https://beacon.lan"))
    edit(inventory / "group_vars/all/main.yml", *urls)
    text = "".join(f"{name}: {json.dumps(value)}\n" for name, value in endpoint.variables().items())
    (inventory / "group_vars/all/endpoint.yml").write_text(text, encoding="utf-8")

    # The password file that ansible.cfg and .gitignore name.
    (folder / ".vault-pass").write_text("test", encoding="utf-8")
    edit(folder / "ansible.cfg", ("# vault_password_file", "vault_password_file"))
    done = operator.run(folder, "ansible-playbook", "aztec_ops.prover.keys", "-i", "inventories/prod")
    assert done.returncode == 0, done.stdout
    vault = (inventory / "group_vars/all/vault.yml").read_text(encoding="utf-8")
    assert vault.startswith("$ANSIBLE_VAULT;") or "!vault" in vault

    shown = operator.run(folder, *preflight).stdout
    assert "in the inventory, in the table above" not in shown, shown
    assert sorted(endpoint.connections) == ["127.0.0.10 22", "127.0.0.21 22", "127.0.0.22 22"]

    # Git takes the vault and the settings, not the password and not the installed collection.
    subprocess.run(["git", "init", "-q", folder], check=True)
    (folder / "collections").mkdir()
    (folder / "collections/x").touch()
    status = subprocess.run(
        ["git", "-C", folder, "status", "--porcelain", "-uall"], check=True, capture_output=True, text=True
    ).stdout
    assert "inventories/prod/group_vars/all/vault.yml\n" in status
    assert "vault-pass" not in status and "collections/" not in status


def test_a_second_run_changes_nothing(operator: Operator, tmp_path: Path) -> None:
    operator.init(tmp_path, "dest=prover")
    folder = tmp_path / "prover"
    edit(folder / "ansible.cfg", ("forks = 50", "forks = 5"))
    (folder / "inventories/prod/hosts.yml").write_text("mine", encoding="utf-8")
    (folder / "inventories/prod/group_vars/all/vault.yml.example").unlink()
    before = contents(folder)
    shown = operator.init(tmp_path, "dest=prover")
    added = "inventories/prod/group_vars/all/vault.yml.example"
    assert contents(folder) == {**before, added: contents(folder)[added]}
    assert f"kept  {folder}/inventories/prod/hosts.yml, which exists" in shown
    shown = operator.init(folder, "dest=.")
    assert "The environment prod is complete. To add another one, use -e env=NAME." in shown
    assert contents(folder) == {**before, added: contents(folder)[added]}


@pytest.mark.parametrize(
    ("given", "line", "then"),
    [
        ([], "dest is not set: name the folder to write, such as -e dest=prover", ["dest=prover"]),
        (["dest=new", "env=Test net"], "env is not a name of an environment: use lower", ["dest=new", "env=testnet"]),
        (["dest=file"], "/file is not a folder: choose another name", ["dest=other"]),
        (["dest=file/prover"], "/file/prover cannot be written (Not a directory): choose a folder", ["dest=other"]),
        (["dest=other"], "/other has other files (site.yml): choose a new or an empty folder", ["dest=new"]),
        (["dest=shared"], "/shared is writable by all users, so Ansible would ignore its ansible.cfg", ["dest=shared"]),
    ],
)
def test_refused_and_then_as_the_line_states(
    operator: Operator, tmp_path: Path, given: list, line: str, then: list
) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for name in ("shared", *(["other"] if "dest=other" in given else [])):
        (tmp_path / name).mkdir()
    if (tmp_path / "other").is_dir():
        (tmp_path / "other/site.yml").write_text("mine", encoding="utf-8")
    (tmp_path / "shared").chmod(0o777)
    before = contents(tmp_path)
    shown = operator.init(tmp_path, *(f"{json.dumps(dict([one.split('=')]))}" for one in given), code=2)
    assert line in shown
    assert contents(tmp_path) == before
    (tmp_path / "shared").chmod(0o755)
    operator.init(tmp_path, *then)
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before and len(after) == len(before) + 6


def test_check_mode_writes_nothing(operator: Operator, tmp_path: Path) -> None:
    done = operator.run(tmp_path, "ansible-playbook", "aztec_ops.prover.init", "-e", "dest=a/b", "--check")
    assert done.returncode == 0 and f"would write {tmp_path}/a/b/ansible.cfg" in done.stdout
    assert list(tmp_path.iterdir()) == []
    operator.init(tmp_path, "dest=a/b")
    assert (tmp_path / "a/b/ansible.cfg").is_file()


@pytest.mark.parametrize("required", [">=99.0.0", "main"])
def test_folder_for_another_version(operator: Operator, tmp_path: Path, required: str) -> None:
    """Each playbook that reads the inventory ends with one line, and so does init, until the versions fit."""
    operator.init(tmp_path, "dest=.")
    edit(tmp_path / "requirements.yml", (f'"{VERSION}"', f'"{required}"'))
    before = contents(tmp_path)
    path = tmp_path / "requirements.yml"
    line = f"{path} requires aztec_ops.prover {required}, and this run uses {VERSION}: run ansible-galaxy"
    if required == "main":
        line = f"the version of aztec_ops.prover in {path} is not valid: write one such as"
    for playbook in ("preflight", "site", "verify"):
        done = operator.run(tmp_path, "ansible-playbook", f"aztec_ops.prover.{playbook}", "-i", "inventories/prod")
        assert done.returncode == 2 and line in done.stdout, done.stdout
        assert "WHAT IS WRONG" not in done.stdout
    assert line in operator.init(tmp_path, "dest=.", "env=testnet", code=2)
    assert contents(tmp_path) == before
    edit(path, (f'"{required}"', f'">={VERSION}"'))
    operator.init(tmp_path, "dest=.", "env=testnet")
    done = operator.run(tmp_path, "ansible-playbook", "aztec_ops.prover.preflight", "-i", "inventories/prod")
    assert "WHAT IS WRONG" in done.stdout


def test_requirements_without_a_version(operator: Operator, tmp_path: Path) -> None:
    """The README's first step: a requirements.yml, and the collection installed from it, here from the built file."""
    path = tmp_path / "requirements.yml"
    path.write_text(f"collections: [{{name: {operator.artifact}, type: file}}]", encoding="utf-8")
    install = ("ansible-galaxy", "collection", "install", "--offline", "-r", "requirements.yml", "-p", "collections")
    done = operator.run(tmp_path, *install)
    assert done.returncode == 0, done.stdout
    path.write_text("collections: [aztec_ops.prover]", encoding="utf-8")
    shown = operator.init(tmp_path, "dest=.")
    assert f'{path} does not set the version of aztec_ops.prover: add version: "{VERSION}" to its entry' in shown
    path.write_text(f'collections: [{{name: aztec_ops.prover, version: "{VERSION}"}}]', encoding="utf-8")
    assert "does not set the version" not in operator.init(tmp_path, "dest=.")


@pytest.mark.parametrize(
    ("plugin", "remedy"),
    [
        ("amazon.aws.aws_ec2", "run ansible-galaxy collection install amazon.aws, or correct the name"),
        ("hetzner.hcloud.hcloud", "run ansible-galaxy collection install hetzner.hcloud, or correct the name"),
        ("aztec_ops.prover.missing", "run ansible-galaxy collection install aztec_ops.prover, or correct the name"),
        ("missing", "write its full name with the collection, such as amazon.aws.aws_ec2"),
    ],
)
def test_inventory_plugin_that_is_not_installed(operator: Operator, tmp_path: Path, plugin: str, remedy: str) -> None:
    """The run ends before any play, with one line, and so do Ansible's other commands."""
    operator.init(tmp_path, "dest=.")
    cloud = tmp_path / "inventories/prod/cloud.yml"
    cloud.write_text(f"plugin: {plugin}\n", encoding="utf-8")
    preflight = ("ansible-playbook", "aztec_ops.prover.preflight", "-i", "inventories/prod")
    line = f"[ERROR]: {cloud} uses the inventory plugin {plugin}, which is not installed: {remedy}\n"
    for command in (preflight, ("ansible-inventory", "-i", "inventories/prod", "--graph")):
        done = operator.run(tmp_path, *command)
        assert (done.returncode, done.stdout) == (1, line)
    # From another folder, without this ansible.cfg, the checks find it. Ansible displays its own warnings before.
    done = operator.run(operator.home, *preflight[:-1], str(tmp_path / "inventories/prod"))
    assert done.returncode == 2 and line.removeprefix("[ERROR]: ").strip() in done.stdout, done.stdout
    assert "WHAT IS WRONG" not in done.stdout
    cloud.write_text("plugin: ansible.builtin.constructed\n", encoding="utf-8")
    assert "WHAT IS WRONG" in operator.run(tmp_path, *preflight).stdout


def test_inventory_plugin_that_fails(operator: Operator, tmp_path: Path) -> None:
    """Ansible's own error ends the run: without it, the broker's port would be closed to the hosts of the plugin."""
    operator.init(tmp_path, "dest=.")
    cloud = tmp_path / "inventories/prod/later.yml"
    cloud.write_text("plugin: ansible.builtin.constructed\nstrict: true\ngroups: {x: missing}\n", encoding="utf-8")
    done = operator.run(tmp_path, "ansible-playbook", "aztec_ops.prover.preflight", "-i", "inventories/prod")
    assert done.returncode == 1 and f"Completely failed to parse inventory source {cloud}" in done.stdout, done.stdout
    assert "PLAY" not in done.stdout
