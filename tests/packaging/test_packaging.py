"""The programs that read the repository's metadata accept it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
PAGE = (ROOT / "docs/execution_environment.md").read_text(encoding="utf-8")
DEFINITIONS = dict(re.findall(r"^### From (\w+)\n.*?```yaml\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE))
VERSION = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]


def run(folder: Path, *command: str | Path) -> str:
    """Run a program of this environment, without the settings of the checkout, and return its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment["PATH"] = f"{TOOLS}:{environment['PATH']}"
    program = TOOLS / command[0] if isinstance(command[0], str) else command[0]
    merged = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    arguments = [program, *command[1:]]
    done = subprocess.run(arguments, cwd=folder, env=environment, text=True, check=False, timeout=300, **merged)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a copy of the committed files."""
    copy = tmp_path / "prover"
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    for name in listed.rstrip("\0").split("\0"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    return copy


def test_the_page_has_two_definitions() -> None:
    assert sorted(DEFINITIONS) == ["Debian", "Fedora"]


@pytest.mark.parametrize("base", DEFINITIONS)
def test_execution_environment_is_created(base: str, tmp_path: Path) -> None:
    """ansible-builder accepts the definition. The image is not built."""
    (tmp_path / "execution-environment.yml").write_text(DEFINITIONS[base], encoding="utf-8")
    template = (ROOT / "playbooks/files/project/requirements.yml").read_text(encoding="utf-8")
    (tmp_path / "requirements.yml").write_text(template.replace("@version@", VERSION), encoding="utf-8")
    run(tmp_path, "ansible-builder", "create", "--output-filename", "Containerfile")
    image = (tmp_path / "context/Containerfile").read_text(encoding="utf-8")
    assert f'"{yaml.safe_load(DEFINITIONS[base])["images"]["base_image"]["name"]}"' in image
    collections = yaml.safe_load((tmp_path / "context/_build/requirements.yml").read_text(encoding="utf-8"))
    assert collections == {"collections": [{"name": "aztec_ops.prover", "version": VERSION}]}


def test_requirements_of_the_installed_collection() -> None:
    """ansible-builder finds the Python packages and programs in the built file."""
    found = yaml.safe_load(run(ROOT, "ansible-builder", "introspect", "--sanitize", os.environ["INSTALLED"]))
    assert sorted(re.match(r"[a-z-]+", line)[0] for line in found["python"]) == ["eth-account", "segno"]
    assert sorted(line.split()[0] for line in found["system"]) == ["openssh-client", "openssh-clients", "sshpass"]


def test_requirements_have_only_lower_bounds() -> None:
    """Upper bounds conflict with other collections of an execution environment, which brings its own ansible-core."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    assert packages and all(re.fullmatch(r"(?!ansible)[a-z-]+(>=[0-9.]+)?", line) for line in packages)


def test_changelog_is_generated_from_the_fragments(clone: Path) -> None:
    """Each fragment is valid and part of the release of galaxy.yml, and CHANGELOG.md is what the fragments give."""
    run(clone, "antsibull-changelog", "lint")
    releases = yaml.safe_load((clone / "changelogs/changelog.yaml").read_text(encoding="utf-8"))["releases"]
    assert VERSION in releases
    remedy = "remove the changes and fragments of this release from changelog.yaml, then release --update-existing"
    recorded = {entry for release in releases.values() for entries in release["changes"].values() for entry in entries}
    for path in (clone / "changelogs/fragments").iterdir():
        for entries in yaml.safe_load(path.read_text(encoding="utf-8")).values():
            missing = [entry for entry in entries if isinstance(entries, list) and entry not in recorded]
            assert missing == [], f"{path.name}: {remedy}"
    date = releases[VERSION]["release_date"]
    run(clone, "antsibull-changelog", "release", "--update-existing", "--date", str(date))
    for name in ("CHANGELOG.md", "changelogs/changelog.yaml"):
        assert (clone / name).read_text(encoding="utf-8") == (ROOT / name).read_text(encoding="utf-8"), remedy


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("github-workflows", ".github/workflows/*.yml"),
        ("github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
    ],
)
def test_files_for_github(schema: str, pattern: str) -> None:
    files = [str(path) for path in ROOT.glob(pattern)]
    assert files
    run(ROOT, "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)


def test_stages_of_the_workflow() -> None:
    """The workflow runs every stage of tests/run without arguments, and others, each once."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    stages = " ".join([*commands, *jobs["fleet"]["strategy"]["matrix"]["stages"]])
    named = [one for one in re.findall(r"[a-z_]+", stages.replace("tests/run", "")) if one not in ("matrix", "stages")]
    default = re.findall(r"^stages\+?=\((.*)\)$", (ROOT / "tests/run").read_text(encoding="utf-8"), re.MULTILINE)
    assert {*" ".join(default[:2]).split(), "clouds", "packaging"} <= {*named}
    assert len(named) == len({*named})


def test_pre_commit(clone: Path) -> None:
    run(clone, "pre-commit", "validate-config")
    (hook,) = yaml.safe_load((clone / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    assert hook["entry"].endswith("tests/run lint") and (clone / "tests/stages/lint").is_file()


def test_site(clone: Path) -> None:
    """The site builds without warnings. It has a page for each role and module, and its index leads to them."""
    run(clone, clone / "site/build")
    html = clone / "site/html"
    assert "collections/aztec_ops/prover/index.html" in (html / "index.html").read_text(encoding="utf-8")
    pages = {path.name for path in (html / "collections/aztec_ops/prover").iterdir()}
    roles = {f"{path.parents[1].name}_role.html" for path in clone.glob("roles/*/meta/argument_specs.yml")}
    modules = {f"{path.stem}_module.html" for path in clone.glob("plugins/modules/*.py")}
    assert roles | modules <= pages
