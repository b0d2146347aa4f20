# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The operator's folder: its files, and writing those that do not exist yet."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.project.requirements import (
    COLLECTION,
    REQUIREMENTS,
    ROOT,
    required_version,
    requirements_problem,
)

SOURCES = ROOT / "playbooks/files/project"
# Names in the collection, because the build leaves out hidden files and an installed ansible.cfg would have no use.
NAMES = {"gitignore": ".gitignore", "inventory/hosts.yml": "inventories/{}/hosts.yml"}
NAMES |= {f"inventory/{name}": f"inventories/{{}}/group_vars/all/{name}" for name in ("main.yml", "vault.yml.example")}
# What a folder may contain before init writes to it, in addition to hidden files.
HARMLESS = ("collections", "LICENSE", "README.md", "venv")

_ENVIRONMENT = re.compile(r"[a-z0-9][a-z0-9_-]*")


def environment_problem(environment: str) -> str:
    """Return why a text is not a name of an environment, or an empty text."""
    if _ENVIRONMENT.fullmatch(environment):
        return ""
    return "env is not a name of an environment: use lower-case letters, digits, - and _, such as -e env=testnet"


def folder_files(environment: str, version: str) -> dict[str, str]:
    """Return the content of each file of a folder, by its path in the folder. requirements.yml is the first."""
    files = {}
    for source in ("requirements.yml", "ansible.cfg", *NAMES):
        text = (SOURCES / source).read_text(encoding="utf-8")
        text = text.replace("inventories/prod", f"inventories/{environment}").replace("@version@", version)
        files[NAMES.get(source, source).format(environment)] = text
    return files


def folder_problem(folder: Path, version: str) -> str:
    """Return why the files cannot be written to a folder, or an empty text. The folder may be missing."""
    if not folder.exists():
        return ""
    if not folder.is_dir():
        return f"{folder} is not a folder: choose another name"
    if folder.stat().st_mode & stat.S_IWOTH:
        return f"{folder} is writable by all users, so Ansible would ignore its ansible.cfg: run chmod o-w on it"
    problem = requirements_problem(folder, version)
    if problem:
        return problem
    path = folder / REQUIREMENTS
    if path.is_file() and required_version(path.read_text(encoding="utf-8", errors="replace")) is not None:
        return ""
    others = sorted(one.name for one in folder.iterdir() if not one.name.startswith(".") and one.name not in HARMLESS)
    if others:
        return f"{folder} has other files ({', '.join(others[:3])}): choose a new or an empty folder"
    return ""


def write_new_files(folder: Path, files: dict[str, str], *, check_mode: bool) -> list[str]:
    """Write the files that do not exist, and return their paths in the folder. Existing files are never opened.

    Raise OSError if a file cannot be written.
    """
    written = []
    for name, text in files.items():
        path = folder / name
        # A link counts as existing even if it leads nowhere.
        if path.is_symlink() or path.exists():
            continue
        written.append(name)
        if check_mode:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    return written


def unpinned_notice(folder: Path, version: str) -> str:
    """Return a line if the requirements.yml of a folder does not require a version of this collection."""
    path = folder / REQUIREMENTS
    if not path.is_file() or required_version(path.read_text(encoding="utf-8", errors="replace")) != "":
        return ""
    return f'{path} does not set the version of {COLLECTION}: add version: "{version}" to its entry'
