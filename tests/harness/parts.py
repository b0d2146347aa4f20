"""Real programs that the tests need on this machine: docker CLI, Compose v2, an engine, anvil, other collections.

Run as a program, it prints shell commands for a stage: python -m tests.harness.parts compose, engine or clouds.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import closing, redirect_stdout
from pathlib import Path

import docker

from lab.fleet.engine import start_engine
from lab.fleet.images import Images
from lab.fleet.settings import LabError, cache_directory, load
from lab.fleet.system import need, run

SUITE = "trixie"  # the first Debian suite with docker-compose version 2
# PyPI's package of all collections, for ansible-core 2.19. Its collections also support newer versions.
GALAXY_PACKAGE = "ansible==12.3.0"
GALAXY = ("community.sops", "community.hashi_vault", "community.library_inventory_filtering_v1")
CLOUDS = ("amazon.aws", "google.cloud", "hetzner.hcloud", "openstack.cloud")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def has_compose(environment: dict[str, str]) -> bool:
    """Return whether the docker CLI finds Compose v2."""
    if shutil.which("docker") is None:
        return False
    result = subprocess.run(["docker", "compose", "version"], env=environment, capture_output=True, check=False)
    return result.returncode == 0


def unpack(mirror: str, package: str, work: Path) -> Path:
    """Extract a Debian package, which apt downloads to a separate directory and verifies. Return the directory.

    work: a directory that is emptied first and removed by the caller.
    """
    shutil.rmtree(work, ignore_errors=True)
    for directory in ("lists/partial", "archives/partial"):
        (work / directory).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {SUITE} main\n")
    options = {
        "Dir::State::lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::Cache": work,
        "Dir::Etc::sourcelist": work / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in options.items())]
    run([*apt, "update"], cwd=work)
    run([*apt, "download", package], cwd=work)
    (file,) = work.glob(f"{package}_*.deb")
    run(["dpkg", "-x", file, work / "root"])
    return work / "root"


def debian_mirror() -> str:
    """Return the Debian mirror of this machine's apt. Raise LabError if there is none."""
    mirror = load().mirror
    if mirror is None:
        raise LabError("this machine's apt names no Debian mirror: set AZTEC_LAB_MIRROR to one")
    return mirror


def compose() -> dict[str, str]:
    """Return the environment variables with which `docker compose` is version 2."""
    need({"docker": "docker.io", "xz": "xz-utils"})
    if has_compose(dict(os.environ)):
        return {}
    config = cache_directory() / "docker-config"
    if not has_compose({**os.environ, "DOCKER_CONFIG": str(config)}):
        work = config / "compose.work"
        (program,) = (unpack(debian_mirror(), "docker-compose", work) / "usr").glob("**/cli-plugins/docker-compose")
        (config / "cli-plugins").mkdir(exist_ok=True)
        shutil.copy(program, config / "cli-plugins" / "docker-compose")
        shutil.rmtree(work)
    return {"DOCKER_CONFIG": str(config)}


# Programs of the monitor by their Debian package. They are the ones that the lab's monitor runs.
MONITOR_PROGRAMS = {
    "prometheus": ("usr/bin/prometheus",),
    "promtool": ("usr/bin/promtool",),
    "prometheus-alertmanager": ("usr/bin/prometheus-alertmanager", "usr/bin/amtool"),
}


# Debian's Alertmanager reads its templates from this directory, whatever its settings are.
TEMPLATES = Path("/usr/share/prometheus/alertmanager")


def monitor() -> Path:
    """Return a directory with prometheus, promtool, prometheus-alertmanager and amtool, from Debian's packages.

    The templates of Alertmanager are installed on this machine.
    """
    directory = cache_directory() / f"monitor-{SUITE}"
    cache_directory().mkdir(parents=True, exist_ok=True)
    with (cache_directory() / "monitor.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.is_dir():
            with tempfile.TemporaryDirectory(dir=cache_directory()) as work:
                made = Path(work) / "made"
                made.mkdir()
                for package, programs in MONITOR_PROGRAMS.items():
                    root = unpack(debian_mirror(), package, Path(work) / package)
                    for program in programs:
                        shutil.copy(root / program, made)
                templates = Path(work) / "prometheus-alertmanager/root" / TEMPLATES.relative_to("/")
                shutil.copytree(templates, made / "templates")
                made.rename(directory)
        if not TEMPLATES.is_dir():
            shutil.copytree(directory / "templates", TEMPLATES)
    return directory


def galaxy(wanted: tuple[str, ...] = GALAXY, suffix: str = "") -> Path:
    """Return a directory with other collections, from PyPI's package of all collections. suffix: of its name."""
    directory = cache_directory() / f"collections-{GALAXY_PACKAGE.partition('==')[2]}{suffix}"
    cache_directory().mkdir(parents=True, exist_ok=True)
    with (cache_directory() / "collections.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.is_dir():
            with tempfile.TemporaryDirectory(dir=cache_directory()) as work:
                pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
                run([*pip, "--dest", work, GALAXY_PACKAGE])
                (package,) = Path(work).glob("*.whl")
                prefixes = tuple(f"ansible_collections/{name.replace('.', '/')}/" for name in wanted)
                with zipfile.ZipFile(package) as archive:
                    names = [name for name in archive.namelist() if name.startswith(prefixes)]
                    archive.extractall(Path(work) / "made", names)
                (Path(work) / "made").rename(directory)
    return directory


def clouds() -> dict[str, str]:
    """Return the environment variable with the directory of the collections with inventory plugins of clouds."""
    return {"CLOUD_COLLECTIONS": str(galaxy(CLOUDS, "-clouds"))}


def engine() -> dict[str, str]:
    """Return the environment variables for docker with a running engine, and the path of anvil, the tests' L1."""
    settings = load()
    need({"nft": "nftables", "busybox": "busybox-static"})
    client = start_engine(settings)
    anvil = Images(client, settings).anvil()
    client.close()
    return {**compose(), "DOCKER_HOST": (settings.state / "docker_host").read_text().strip(), "ANVIL": str(anvil)}


def bridge_address() -> str:
    """Return this machine's address on the engine's default bridge: private, and not a loopback address.

    `docker network inspect` shows the address only after the engine's second start.
    """
    with closing(docker.from_env()) as client:
        options = client.networks.get("bridge").attrs["Options"]
    shown = run(["ip", "-json", "-4", "address", "show", "dev", options["com.docker.network.bridge.name"]])
    return str(json.loads(shown)[0]["addr_info"][0]["local"])


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        found = {"clouds": clouds, "compose": compose, "engine": engine}[sys.argv[1]]()
    for name, value in found.items():
        print(f"export {name}={shlex.quote(value)}")
