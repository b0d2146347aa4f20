"""The built collection contains the product, and no file that an operator added to the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MARK = "added by the test of the artifact"
# The product, independent of galaxy.yml: each committed file in these directories, and these files.
FOLDERS = ("docs/", "meta/", "playbooks/", "plugins/", "roles/", "tests/unit/")
FILES = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "bindep.txt", "requirements.txt")
FILES += ("changelogs/changelog.yaml", "changelogs/config.yaml")
# Written by `ansible-galaxy collection build` itself
WRITTEN = {"MANIFEST.json", "FILES.json"}

ADDED = (
    # Inventories, in each place where Ansible looks for them
    "group_vars/all/vault.yml",
    "host_vars/node-1.yml",
    "hosts",
    "hosts.ini",
    "inventories/mine/group_vars/all/secrets.sops.json",
    "inventories/mine/hosts.yml",
    "inventories/prod.bak/group_vars/all/vault.yml",
    "inventories/prod/group_vars/all/secrets.yml",
    "inventories/prod/group_vars/all/vault.yml",
    "inventories/prod/host_vars/node-1/vault.yml",
    "inventories/prod/keystore.json",
    "inventory.yml",
    "playbooks/group_vars/all/vault.yml",
    "playbooks/host_vars/node-1.yml",
    "playbooks/hosts.yml",
    # Passwords, keys, settings of tools
    ".env",
    ".envrc",
    ".sops.yaml",
    ".ssh/id_ed25519",
    ".vault-pass",
    ".vault_password",
    "age-key.txt",
    "credentials.json",
    "id_ed25519",
    "id_ed25519.pub",
    "secrets.yml",
    "vault-pass.txt",
    # An operator's own playbooks, roles, plugins and notes inside the product's directories
    "docs/images/fleet.png",
    "docs/network.svg",
    "docs/notes.md",
    "docs/notes.txt",
    "meta/vault.yml",
    "playbooks/files/key.pem",
    "playbooks/mine.yml",
    "playbooks/tasks/mine.yml",
    "playbooks/vars/main.yml",
    "playbooks/vault.yml",
    "plugins/filter/keys.json",
    "plugins/inventory/mine.py",
    "plugins/module_utils/fleet.json",
    "plugins/modules/key.pem",
    "plugins/vars.yml",
    "roles/mine/tasks/main.yml",
    "roles/mine/vars/main.yml",
    "roles/prover_node/defaults/main/vault.yml",
    "roles/prover_node/defaults/vault.yml",
    "roles/prover_node/files/key.pem",
    "roles/prover_node/notes.md",
    "roles/prover_node/templates/env.j2.bak",
    "roles/prover_node/vars/main/vault.yml",
    "roles/prover_node/vars/vault.yml",
    "tests/secrets.yml",
    "tests/unit/keys.json",
    "tests/unit/plugins/module_utils/vault.yml",
    # Files that programs write
    ".ansible/facts/node-1",
    ".cache/molecule/default/hosts.yml",
    ".lab/ssh/id_ed25519",
    ".pytest_cache/v/cache/lastfailed",
    ".venv/lib/site.py",
    "README.md.orig",
    "README.md~",
    "ansible.log",
    "aztec_ops-prover-0.0.1.tar.gz",
    "collections/ansible_collections/somebody/other/plugins/modules/other.py",
    "collections/requirements.yml",
    "playbooks/site.retry",
    "playbooks/site.yml.bak",
    "plugins/module_utils/__pycache__/fleet.cpython-313.pyc",
    "roles/prover_node/tasks/.main.yml.swp",
    "roles/prover_node/tasks/main.yml.orig",
    "tests/output/molecule-default.log",
)
# Files of the repository that an operator edits in place
EDITED = ("inventories/prod/group_vars/all/main.yml", "inventories/prod/hosts.yml", "ansible.cfg")


def committed() -> list[str]:
    """Return the paths of all files that git tracks, relative to the checkout."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.rstrip("\0").split("\0")


def used_clone(where: Path) -> Path:
    """Copy the committed files into a directory, and add files of an operator, each with the mark."""
    for name in committed():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, where / name, follow_symlinks=False)
    for name in ADDED:
        assert not (where / name).exists(), f"{name} is in the repository: choose another name"
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_text(MARK)
    for name in EDITED:
        with (where / name).open("a") as file:
            file.write(f"\n# {MARK}\n")
    (where / "docs/elsewhere.md").symlink_to(where / "id_ed25519")
    (where / "roles/prover_node/meta/prover").symlink_to(where)
    return where


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return {path: content} of the collection that is built from a used clone. A link has no content."""
    clone = used_clone(tmp_path_factory.mktemp("clone"))
    output = tmp_path_factory.mktemp("built")
    program = Path(sys.executable).with_name("ansible-galaxy")
    command = [program, "collection", "build", "--output-path", output, clone]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=output)
    assert done.returncode == 0, done.stderr
    # distlib warns about a directive that matches no file.
    assert "no files found" not in done.stderr
    (artifact,) = output.glob("*.tar.gz")
    with tarfile.open(artifact) as archive:
        members = [member for member in archive if not member.isdir()]
        return {one.name: archive.extractfile(one).read() if one.isfile() else b"" for one in members}


def test_artifact_is_the_product(built: dict[str, bytes]) -> None:
    """Each committed file of the product is in the artifact, and nothing else is."""
    product = {name for name in committed() if name.startswith(FOLDERS) or name in FILES}
    assert sorted(built.keys() - WRITTEN - product) == [], "packed, and not a part of the product"
    assert sorted(product - built.keys()) == [], "a part of the product that no directive in galaxy.yml names"


def test_artifact_holds_nothing_of_the_operator(built: dict[str, bytes]) -> None:
    """No file of the artifact contains the mark."""
    assert [name for name, content in built.items() if MARK.encode() in content] == []
