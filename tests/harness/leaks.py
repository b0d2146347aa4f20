"""The search for secrets: places and forms. Findings contain the secret's name, never its text."""

from __future__ import annotations

import base64
import os
import re
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.redaction import forms, pieces

# A truncated text is recognized by any run of this many characters plus three.
BLOCK = 12
WORDS = 4
SHORTEST = 8
LARGEST_SAMPLE = 4_000_000
HEX = re.compile(r"(?:0x)?[0-9a-f]{32,}\Z")
# Files that grep may fail to read: a file that no longer exists, or one of another namespace.
UNREADABLE = re.compile(r"No such file or directory|Invalid argument|Stale file handle|Transport endpoint")


def _base64_inside(piece: str) -> set[str]:
    """Return the forms of a text inside the base64 of a longer text, for each offset."""
    raw = piece.encode()
    found = set()
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        # The first and the last characters also depend on the neighbours.
        found.add(whole[(0, 2, 3)[before] : -2])
    return found


def _parts(piece: str) -> set[str]:
    """Return the parts that identify a truncated text."""
    if " " in piece:
        words = piece.split(" ")
        return {" ".join(words[at : at + WORDS]) for at in range(len(words) - WORDS + 1)}
    return {piece[at : at + BLOCK] for at in range(0, len(piece) - BLOCK + 1, 4)}


class Secrets:
    """Secrets by name, recognized in every form in which a program may write them."""

    def __init__(self, named: Mapping[str, str], directory: Path) -> None:
        """Store secrets by name. directory: for grep's list of patterns; it is never searched."""
        self._forms: dict[bytes, str] = {}
        for name, value in named.items():
            for piece in {value, *pieces(value)}:
                texts = {*forms(piece), *_base64_inside(piece), *_parts(piece)}
                if HEX.match(piece):
                    texts |= {text.upper() for text in _parts(piece)} | {str(int(piece, 16))}
                for text in texts:
                    if len(text) >= SHORTEST:
                        self._forms[text.encode()] = name
        self._patterns = directory / "patterns"
        self._patterns.touch(mode=0o600)
        self._patterns.write_bytes(b"\n".join(self._forms) + b"\n")

    def in_text(self, data: bytes) -> set[str]:
        """Return the names of the secrets in data."""
        return {name for form, name in self._forms.items() if form in data}

    def in_files(self, roots: Iterable[Path]) -> dict[Path, set[str]]:
        """Return the names of the secrets in the files below these paths, by path."""
        there = [str(root) for root in roots if root.exists()]
        if not there:
            return {}
        command = ["grep", "-rlaF", "--devices=skip", "-f", str(self._patterns), "--", *there]
        done = subprocess.run(command, env={**os.environ, "LC_ALL": "C"}, capture_output=True, check=False)
        unread = [line for line in done.stderr.decode().splitlines() if not UNREADABLE.search(line)]
        assert not unread, unread
        found = {Path(os.fsdecode(line)) for line in done.stdout.splitlines()}
        return {path: self.in_text(path.read_bytes()) for path in found if path.exists()}


class Sampler(threading.Thread):
    """Continuously reads the arguments of all processes and the files in places for temporary files."""

    def __init__(self, secrets: Secrets, places: Callable[[], list[Path]]) -> None:
        """Store the secrets, and the function that returns the directories to read, which can change."""
        super().__init__(daemon=True)
        self._secrets, self._places = secrets, places
        self._ending = threading.Event()
        self._known_arguments: set[bytes] = set()
        self._known_files: set[tuple] = set()
        self.finds: set[str] = set()
        self.passes = 0
        self.processes = 0
        self.files = 0

    def run(self) -> None:
        """Search until the end of the thread is requested."""
        while not self._ending.is_set():
            self.read_processes()
            if self.passes % 4 == 0:
                self.read_files()
            self.passes += 1
            time.sleep(0.01)

    def end(self) -> set[str]:
        """Stop the thread, and return the findings."""
        self._ending.set()
        self.join()
        return self.finds

    def read_processes(self) -> None:
        """Read the arguments of all processes of this machine, which include those of its hosts."""
        for number in filter(str.isdigit, os.listdir("/proc")):
            try:
                arguments = Path(f"/proc/{number}/cmdline").read_bytes()
            except OSError:
                continue
            if arguments in self._known_arguments:
                continue
            self._known_arguments.add(arguments)
            self.processes += 1
            for name in self._secrets.in_text(arguments):
                program = arguments.split(b"\0")[0].decode(errors="replace")
                self.finds.add(f"{name} in the arguments of {program}")

    def read_files(self) -> None:
        """Read each new file in the places."""
        for place in self._places():
            for directory, _directories, names in os.walk(place):
                for name in names:
                    self._read_file(os.path.join(directory, name))

    def _read_file(self, path: str) -> None:
        try:
            found = os.lstat(path)
            key = (path, found.st_ino, found.st_size, found.st_mtime_ns)
            if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_SAMPLE or key in self._known_files:
                return
            data = Path(path).read_bytes()
        except OSError:
            return
        self._known_files.add(key)
        self.files += 1
        for name in self._secrets.in_text(data):
            self.finds.add(f"{name} in {re.sub(r'^/proc/[0-9]+/root', 'host:', path)}")


def host_temporary(root: Path) -> list[Path]:
    """Return the places for temporary files on a host. root: its root directory."""
    return [root / place for place in ("tmp", "var/tmp", "dev/shm", "root", "home", "run/aztec-compose-stack")]


def host_places(root: Path) -> list[Path]:
    """Return the paths to search on a host. root: its root directory.

    These are all files except for the kernel's and the read-only layers of images, which no run writes.
    """
    docker = root / "var/lib/docker"
    found = [path for path in root.iterdir() if path.name not in ("proc", "sys", "dev", "var")]
    found += [root / "dev/shm"]
    found += [path for path in (root / "var").iterdir() if path.name != "lib"]
    found += [path for path in (root / "var/lib").iterdir() if path.name != "docker"]
    if docker.is_dir():
        found += [path for path in docker.iterdir() if path.name != "overlay2"]
        for layer in docker.glob("image/overlay2/layerdb/mounts/*/*-id"):
            found.append(docker / "overlay2" / layer.read_text().strip() / "diff")
    return [path for path in found if not path.is_symlink()]


# Where a secret is allowed on a host. Docker keeps its files below directories that only root can enter.
MANAGED_FILES = re.compile(
    r"/opt/aztec/prover-(?:node|broker)/(?:\.stack/good-[0-9]+/)?(?:\.env|keys/prover\.json)\Z"
    r"|/opt/aztec/prover-monitor/(?:\.stack/good-[0-9]+/)?(?:alertmanager|grafana)/secrets/\w+\Z"
)
DOCKER_FILES = re.compile(
    r"/var/lib/docker/containers/[0-9a-f]{64}/config\.v2\.json\Z"
    r"|/var/lib/containerd/io\.containerd\.metadata\.v1\.bolt/meta\.db\Z"
    r"|/run/(?:docker/)?containerd/(?:.+/)?[0-9a-f]{64}/config\.json\Z"
    r"|/run/containerd/runc-process[0-9]+\Z"
)


def misplaced(root: Path, found: Mapping[Path, set[str]], more: str = "") -> list[str]:
    """Return a line for each file with secrets that is in a wrong place or has wrong permissions.

    `more` is a pattern of other files of Docker's in which secrets are expected.
    """
    lines = []
    for path, names in sorted(found.items()):
        inside = "/" + str(path.relative_to(root))
        what = f"{inside}: {', '.join(sorted(names))}"
        mode = path.lstat()
        if MANAGED_FILES.match(inside):
            if (mode.st_uid, stat.S_IMODE(mode.st_mode)) != (0, 0o600):
                lines.append(f"{what} (mode {stat.S_IMODE(mode.st_mode):04o}, owner {mode.st_uid})")
        elif DOCKER_FILES.match(inside) or (more and re.fullmatch(more, inside)):
            if not _behind_root(root, path):
                lines.append(f"{what} (readable by others)")
        else:
            lines.append(what)
    return lines


def _behind_root(root: Path, path: Path) -> bool:
    """Return whether the file or a directory above it belongs to root and is closed to others."""
    while path != root:
        found = path.lstat()
        if (found.st_uid, found.st_gid) == (0, 0) and not stat.S_IMODE(found.st_mode) & 0o007:
            return True
        path = path.parent
    return False
