"""All supported versions of ansible-core are tested, and no undeclared collection is used."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.plan import DOCKER_SUITES
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).parents[2]
CORE = re.compile(r"^ansible-core==([\d.]+)", re.MULTILINE)
NAME = r"([a-z]\w*\.[a-z]\w*)\.[a-z]\w*"
# In a template: after a pipe, after `is`, and the first argument of a lookup
TEMPLATED = re.compile(rf"(?:\|\s*|\bis\s+(?:not\s+)?|\b(?:lookup|query|q)\(\s*['\"]){NAME}\b")


def supported() -> SpecifierSet:
    """Return the range of meta/runtime.yml."""
    return SpecifierSet(yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["requires_ansible"])


def versions_in_use() -> list[Version]:
    """Return the versions that tests/run and its stage `cores` use. The stage reads the oldest one from the range."""
    cores = (ROOT / "tests/stages/cores").read_text()
    between = re.findall(r"^between=([\d.]+)$", cores, re.MULTILINE)
    floor = [one.version for one in supported() if one.operator == ">="] if "$floor" in cores else []
    pinned = CORE.findall((ROOT / "tests/requirements.txt").read_text())
    return [Version(one) for one in pinned + between + floor]


def test_each_minor_version_is_tested() -> None:
    """The range has no upper bound. The oldest version, and each minor version up to the newest in use, is tested."""
    versions = versions_in_use()
    (floor,) = supported()
    assert floor.operator == ">=" and Version(floor.version) in versions
    minors = {version.release[:2] for version in versions}
    assert minors == {(2, minor) for minor in range(Version(floor.version).minor, max(versions).minor + 1)}


def test_documentation_installs_the_range() -> None:
    """The controller's command in the documentation installs a supported version."""
    (wanted,) = re.findall(r"pip install 'ansible-core([^']*)'", (ROOT / "docs/getting_started.md").read_text())
    assert SpecifierSet(wanted) == supported()


@pytest.mark.parametrize("path", sorted(ROOT.glob("roles/*/meta/main.yml")), ids=lambda path: path.parts[-3])
def test_roles_name_the_floor(path: Path) -> None:
    """Each role's metadata names the oldest minor version."""
    (floor,) = (Version(one.version) for one in supported() if one.operator == ">=")
    assert yaml.safe_load(path.read_text())["galaxy_info"]["min_ansible_version"] == f"{floor.major}.{floor.minor}"


def support_table() -> dict[tuple[str, str], str]:
    """Return the tests of each system in the README's table: (system, version) -> text."""
    row = re.compile(r"^\| (Debian|Ubuntu) ([\d., ]+) \|[^|]*\| ([^|]*) \|$", re.MULTILINE)
    rows = row.findall((ROOT / "README.md").read_text())
    return {(name.lower(), one): how for name, versions, how in rows for one in versions.split(", ")}


def test_readme_names_the_tests_of_each_system() -> None:
    """Every system with Docker's repository is in the table, with a stage or as not tested."""
    rows = support_table()
    assert set(rows) == {(name, one) for name, versions in DOCKER_SUITES.items() for one in versions}
    stages = subprocess.run(["tests/run", "-l"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for (name, _version), how in rows.items():
        assert (how == "not tested") is (name == "ubuntu")
        assert set(re.findall(r"`tests/run (\w+)`", how)) <= set(stages)
    assert rows["debian", "12"].startswith("`tests/run bookworm`")


def collections_in_yaml(node: Any) -> Iterator[str]:
    """Yield the collections of actions, roles and playbooks in tasks, and of plugins in their templates."""
    if isinstance(node, dict):
        yield from collections_in_yaml([*node, *node.values()])
    elif isinstance(node, list):
        for item in node:
            yield from collections_in_yaml(item)
    elif isinstance(node, str):
        yield from re.findall(rf"^{NAME}$", node)
        yield from TEMPLATED.findall(node)


def collections_in_python(source: str) -> Iterator[str]:
    """Yield the collections that Python code imports from, and those of the modules that it names."""
    yield from re.findall(r"\bansible_collections\.([a-z]\w*\.[a-z]\w*)", source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            # File names and D-Bus names look like names of a collection's modules.
            yield from re.findall(rf"^(?!.*\.(?:dat|example|yml)$|org\.freedesktop\.){NAME}$", node.value)


def collections_in(path: Path) -> set[str]:
    """Return the collections that a file uses."""
    text = path.read_text()
    return set(collections_in_python(text) if path.suffix == ".py" else collections_in_yaml(yaml.safe_load(text)))


USED = sorted(
    path
    for directory in ("roles", "playbooks", "plugins")
    for path in (ROOT / directory).rglob("*")
    if path.suffix in (".py", ".yml")
)


@pytest.mark.parametrize("path", USED, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_named_collections_are_used(path: Path) -> None:
    """A file uses only ansible-core, this collection, and the dependencies in galaxy.yml (none today)."""
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    own = f"{galaxy['namespace']}.{galaxy['name']}"
    assert collections_in(path) <= {"ansible.builtin", "ansible.legacy", own, *galaxy["dependencies"]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("x.yml", "- {name: Run, community.docker.docker_compose_v2: {}}", id="action"),
        pytest.param("x.yml", "- {block: [{community.docker.docker_image: }]}", id="action in a block"),
        pytest.param("x.yml", "- {hosts: all, roles: [{role: community.docker.engine}]}", id="role"),
        pytest.param("x.yml", "a: \"{{ b | community.docker.filter('x') }}\"", id="filter"),
        pytest.param("x.yml", "a: \"{{ lookup('community.docker.secret', 'x') }}\"", id="lookup"),
        pytest.param("x.yml", 'a: "{{ b is not community.docker.test }}"', id="test"),
        pytest.param("x.py", "from ansible_collections.community.docker.plugins.module_utils import x", id="import"),
        pytest.param("x.py", "run(module_name='community.docker.docker_container')", id="module"),
    ],
)
def test_use_of_another_collection_is_found(tmp_path: Path, name: str, text: str) -> None:
    """Each form of using a collection is found."""
    (tmp_path / name).write_text(text)
    assert collections_in(tmp_path / name) == {"community.docker"}
