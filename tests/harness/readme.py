"""An operator who follows README.md with the built collection, from an empty folder to a running prover."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from lab import terminal

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PASSWORD = "a password of the test"
ANSWERS = {r"Vault password:": PASSWORD, r"\(input is hidden\):": PASSWORD}
# The addresses of the README's hosts
ADDRESSES = {"node-1": ("203.0.113.10", "10.0.0.10"), "agent-1": ("203.0.113.21", "10.0.0.21")}


def section(title: str) -> str:
    """Return the text of a section of the README."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(title: str, language: str) -> list[str]:
    """Return the blocks of code of a section."""
    return re.findall(rf"^```{language}\n(.*?)^```$", section(title), re.MULTILINE | re.DOTALL)


def install_command() -> str:
    """Return the README's command that installs a built file, in place of the one that needs Galaxy."""
    (command,) = re.findall(r"^\| from a built file \| `([^`]*)` \|$", section("Installation"), re.MULTILINE)
    return command


def build(folder: Path) -> Path:
    """Build the collection and return the file."""
    command = [TOOLS / "ansible-galaxy", "collection", "build", "--output-path", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.tar.gz")
    return built


@dataclass(frozen=True)
class Values:
    """What an operator fills in.

    addresses: host of the README -> its address for ssh, and the one for the fleet.
    settings: values of the README's main.yml, by name.
    more: other variables: the user and key for ssh, and what the machines of the test require.
    """

    addresses: Mapping[str, tuple[str, str]]
    settings: Mapping[str, object]
    more: Mapping[str, object] = field(default_factory=dict)


class Operator:
    """A user with an empty folder and a home directory of their own."""

    def __init__(self, place: Path, values: Values) -> None:
        self.values = values
        self.folder = place / "prover"
        self.folder.mkdir()
        (place / "home").mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHONPATH"))}
        self.environment = {**kept, "HOME": str(place / "home"), "PATH": f"{TOOLS}:{kept['PATH']}"}
        self.environment |= {"ANSIBLE_NOCOLOR": "1", "TERM": "xterm"}
        self.environment.pop("COLUMNS", None)

    def run(self, command: str, code: int = 0) -> str:
        """Run a command of the README in the folder, type the vault password, and assert the exit code."""
        output, ended = terminal.run(command, self.folder, self.environment, columns=300, answers=ANSWERS)
        output = output.replace("\r\n", "\n")
        assert ended == code, f"{command} ended with {ended}:\n{output[-20000:]}"
        return output

    def install(self, built: Path) -> None:
        """Follow the section Installation with the built file: requirements.yml, collection, files of the folder."""
        (requirements,) = blocks("Installation", "yaml")
        (self.folder / "requirements.yml").write_text(requirements, encoding="utf-8")
        command = install_command()
        shutil.copy(built, self.folder / command.split()[-1])
        _from_galaxy, init = blocks("Installation", "bash")[0].splitlines()
        self.run(command)
        self.run(init)

    def describe(self) -> None:
        """Fill in the two files of the inventory as the README shows them."""
        hosts, main = blocks("Run a production prover", "yaml")
        for name, examples in ADDRESSES.items():
            for example, own in zip(examples, self.values.addresses[name], strict=True):
                assert example in hosts
                hosts = hosts.replace(example, own)
        inventory = self.folder / "inventories/prod"
        assert (inventory / "hosts.yml").is_file()
        (inventory / "hosts.yml").write_text(hosts, encoding="utf-8")
        settings = yaml.safe_load(main)
        assert set(settings) == set(self.values.settings)
        text = yaml.safe_dump({**self.values.settings, **self.values.more})
        (inventory / "group_vars/all/main.yml").write_text(text, encoding="utf-8")

    def commands(self) -> dict[str, str]:
        """Return the commands of the section "Run a production prover", by playbook; ansible: the ping."""
        first, status = blocks("Run a production prover", "bash")
        found = {}
        for line in [*first.splitlines(), *status.splitlines()]:
            name = re.match(r"ansible-playbook aztec_ops\.prover\.(\w+) ", line)
            found[name[1] if name else line.split()[0]] = line
        return found


def address_in(output: str) -> str:
    """Return the address that the playbook keys shows."""
    return re.findall(r"\b0x[0-9a-fA-F]{40}\b", output)[0]
