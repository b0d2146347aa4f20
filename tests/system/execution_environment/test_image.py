"""The execution environment of docs/execution_environment.md: built with ansible-builder, and run up to a proof.

Needs BUILDER, the path of ansible-builder.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import docker
import pytest
import requests

from lab.fleet.images import Images
from lab.fleet.system import need
from tests.harness.readme import PASSWORD, ROOT, Operator, Values, build
from tests.system.fleet import Fleet
from tests.system.readme_to_proof import connection, follow, lab_values

PAGE = (ROOT / "docs/execution_environment.md").read_text(encoding="utf-8")
TAG = "prover-ee:1.0.0"
ENVVARS = 'ANSIBLE_HOST_KEY_CHECKING: "True"\n'
# The user of the image, and the group that can write to its files.
USER, GROUP = 1000, 0
SECONDS = 1200


def yaml_blocks(title: str) -> list[str]:
    """Return the YAML of a section of the page."""
    text = PAGE.partition(f" {title}\n")[2]
    return re.findall(r"^```yaml\n(.*?)^```$", re.split(r"^#+ ", text, flags=re.MULTILINE)[0], re.MULTILINE | re.DOTALL)


def test_the_page_has_the_setting_for_host_keys() -> None:
    assert ENVVARS in PAGE


@pytest.fixture(scope="module")
def image(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the page's definition for Debian with the built collection, and return the image's tag."""
    folder = tmp_path_factory.mktemp("definition")
    (definition,) = yaml_blocks("From Debian")
    requirements, files = yaml_blocks("From a built file")
    (folder / "execution-environment.yml").write_text(definition + files, encoding="utf-8")
    (folder / "requirements.yml").write_text(requirements, encoding="utf-8")
    build(folder)
    # The base image of the definition, made by the lab.
    base = fleet.client.images.get(Images(fleet.client, fleet.settings).execution_environment_base())
    name, tag = re.findall(r"name: (\S+):(\w+)$", definition, re.MULTILINE)[0]
    base.tag(name, tag)
    need({"docker": "docker.io"})
    host = (fleet.settings.state / "docker_host").read_text(encoding="utf-8").strip()
    # BuildKit would look for the base image in a registry.
    environment = {**os.environ, "DOCKER_HOST": host, "DOCKER_BUILDKIT": "0"}
    environment["PATH"] = f"{Path(os.environ['BUILDER']).parent}:{environment['PATH']}"
    (command,) = re.findall(r"^ansible-builder build .*$", PAGE, re.MULTILINE)
    assert TAG in command
    done = subprocess.run(
        shlex.split(f"{command} --container-runtime docker --verbosity 3"),
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout[-8000:]}"
    return TAG


class ImageOperator(Operator):
    """An operator whose commands run in the image, with its ansible-runner, as the image's user.

    The folder is the project of ansible-runner. The vault password is in the file that ansible.cfg names.
    """

    def __init__(self, place: Path, values: Values, client: docker.DockerClient, image: str, key: Path) -> None:
        super().__init__(place, values)
        self.client, self.image, self.data = client, image, place / "data"
        (self.data / "env").mkdir(parents=True)
        self.folder.rename(self.data / "project")
        self.folder = self.data / "project"
        shutil.copy(key, self.data / "env/ssh_key")
        (self.data / "env/envvars").write_text(ENVVARS, encoding="utf-8")

    def install(self, built: Path) -> None:
        """Write the folder's files. The image contains the collection."""
        super().install(built)
        (self.folder / ".vault-pass").write_text(f"{PASSWORD}\n", encoding="utf-8")
        (self.folder / ".vault-pass").chmod(0o600)
        settings = self.folder / "ansible.cfg"
        text = settings.read_text(encoding="utf-8")
        assert "# vault_password_file" in text
        settings.write_text(text.replace("# vault_password_file", "vault_password_file"), encoding="utf-8")

    def run(self, command: str, code: int = 0) -> str:
        """Run a command of the README with ansible-runner, and assert its exit code."""
        words = [word for word in shlex.split(command) if word != "--ask-vault-pass"]
        if words[0] == "ansible-galaxy":
            return ""
        runner = ["ansible-runner", "run", "/runner"]
        if words[0] == "ansible":
            hosts, module = words[words.index("-m") - 1], words[words.index("-m") + 1]
            # Without a playbook, the current directory is not the project.
            runner += ["--hosts", hosts, "-m", module, f"--cmdline=-i project/{words[words.index('-i') + 1]}"]
        else:
            runner += ["-p", words[1], f"--cmdline={shlex.join(words[2:])}"]
        for path in (self.data, *self.data.rglob("*")):
            os.chown(path, USER, GROUP, follow_symlinks=False)
        container = self.client.containers.run(
            self.image,
            runner,
            detach=True,
            network_mode="host",
            volumes={str(self.data): {"bind": "/runner", "mode": "rw"}},
        )
        try:
            ended = container.wait(timeout=SECONDS)["StatusCode"]
        except requests.exceptions.RequestException:
            ended = -1  # It did not end in this time.
        output = container.logs().decode(errors="replace")
        container.remove(force=True)
        assert ended == code, f"{shlex.join(runner)} in {self.image} ended with {ended}:\n{output[-20000:]}"
        return output


def test_content_of_the_image(fleet: Fleet, image: str) -> None:
    """The image has the collection, its Python packages and programs, and runs as an ordinary user."""
    assert fleet.client.images.get(image).labels["ansible-execution-environment"] == "true"
    command = "id -u; ansible-galaxy collection list aztec_ops.prover; python3 -c 'import eth_account, segno'; ssh -V"
    shown = fleet.client.containers.run(image, ["bash", "-ec", command], remove=True).decode()
    assert shown.startswith(f"{USER}\n") and re.search(r"^aztec_ops\.prover +1\.0\.0", shown, re.MULTILINE), shown


def test_from_an_empty_folder_to_a_proof(fleet: Fleet, image: str, tmp_path: Path) -> None:
    """The README's playbooks in the image, with its ansible-runner."""
    (tmp_path / "built").mkdir()
    values = lab_values(fleet.settings, connection(None, "/runner/project/known_hosts"))
    operator = ImageOperator(tmp_path, values, fleet.client, image, fleet.settings.ssh_key)
    shutil.copy(fleet.settings.known_hosts, operator.folder / "known_hosts")
    follow(operator, fleet, tmp_path / "built")
