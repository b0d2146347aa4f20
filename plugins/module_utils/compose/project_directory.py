# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The directory of a Compose project on its host, for compose_stack: files that change in one step, and one lock."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import posixpath
import re
import secrets
import stat
import time
from collections.abc import Iterable
from contextlib import suppress

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.files import write_atomically
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.inventory_header import (
    inventory_of,
    without_header,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import (
    COMPOSE_FILE,
    PROJECT_FILES,
    Problem,
    digest,
    state_problem,
)

# Seconds to wait for another run, which may pull several gigabytes.
LOCK_WAIT = 3600.0
# How often the project may be removed while a run waits for it. After that, the cause is something else.
MAX_REMOVALS = 3
SALT_FILE = ".stack/salt"
# Exists while the project stays stopped.
STOPPED_FILE = ".stack/stopped"


class ProjectDirectory:
    """The project's directory, and the module's own directory in it."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.own = posixpath.join(directory, ".stack")
        self.lock_descriptor: int | None = None
        self._new_salt = secrets.token_hex(16)

    def path(self, name: str) -> str:
        return posixpath.join(self.directory, name)

    def read(self, name: str) -> str | None:
        """Return the text of a file below the directory, or None if it is not a regular file."""
        path = self.path(name)
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode):
                return None
            with open(path, "rb") as handle:
                return handle.read().decode("utf-8", "surrogateescape")
        except OSError:
            return None

    def is_secure(self, name: str, mode: int) -> bool:
        """Return whether a path has this mode and belongs to this user."""
        try:
            found = os.lstat(self.path(name))
        except OSError:
            return False
        return stat.S_IMODE(found.st_mode) == mode and found.st_uid == os.geteuid()

    def make_own(self) -> None:
        """Create the module's own directory. Another run may do the same at this moment."""
        os.makedirs(self.directory, mode=0o755, exist_ok=True)
        os.makedirs(self.own, mode=0o700, exist_ok=True)
        secure(self.own, 0o700)

    def write(self, name: str, text: str) -> None:
        """Replace a file below the directory atomically. Its mode is 0600."""
        path = self.directory
        for part in filter(None, posixpath.dirname(name).split("/")):
            path = posixpath.join(path, part)
            if not os.path.isdir(path):
                os.mkdir(path, 0o700)
        path = self.path(name)
        if os.path.isdir(path) and not os.path.islink(path):
            raise Problem(f"{path} is a directory and must be a file: move it away")
        # Not in the directory of the file: a program that reads all keys of a directory would read an incomplete one.
        write_atomically(path, text, directory=self.own, prefix=f"writing.{os.getpid()}.")

    def remove(self, name: str, keep: list) -> None:
        """Remove a file below the directory, and the directories that are empty then, except those to keep."""
        path = self.path(name)
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(path)
        parent = posixpath.dirname(path)
        # A directory that is mounted into a container must stay the same.
        while parent.startswith(self.directory + "/") and parent not in keep:
            try:
                os.rmdir(parent)
            except OSError:
                return
            parent = posixpath.dirname(parent)

    def load(self, name: str) -> dict:
        """Return the content of a file in .stack, {} if it does not exist. Raise Problem if its content is invalid."""
        text = self.read(f".stack/{name}")
        if text is None:
            return {}
        try:
            found = json.loads(text)
            wrong = state_problem(name, found)
        except (ValueError, RecursionError):
            wrong = "it is not JSON"
        if wrong:
            path = posixpath.join(self.own, name)
            raise Problem(f"{path} was not written by this module ({wrong}): move it away, then run again")
        return found

    def save(self, name: str, value: dict) -> None:
        self.write(f".stack/{name}", json.dumps(value, indent=1, sort_keys=True) + "\n")

    def summary(self, names: Iterable[str] = ()) -> dict:
        """Return what the directory contains, without a secret, for OnHost. names: more key files.

        state: the content of state.json. salt: that of the digests. inventory: the one that the Compose file names.
        files: salted digests of the existing files without their headers, by name; an unreadable one is ''.
        secure: names of the files with mode 0600, and of the directories with mode 0700, '' for the project's own.
        directories: paths of the directories that exist in it. pending: whether a run was interrupted. stopped: whether
        it stays stopped. busy: whether another run works on it.
        Raise Problem if a file of the module itself is invalid.
        """
        state, salt = self.load("state.json"), self.salt()
        known = dict.fromkeys([*PROJECT_FILES, *state.get("files", []), *names])
        parents = sorted({posixpath.dirname(name) for name in known})
        existing = [name for name in known if os.path.lexists(self.path(name))]
        texts = {name: self.read(name) for name in existing}
        return {
            "state": state,
            "salt": salt,
            "inventory": inventory_of(texts.get(COMPOSE_FILE)),
            "files": {n: "" if text is None else digest(salt, without_header(text) or "") for n, text in texts.items()},
            "secure": [*(one for one in parents if self.is_secure(one, 0o700)),
                       *(name for name in existing if self.is_secure(name, 0o600))],
            "directories": [one.path for one in _entries(self.directory) if one.is_dir()],
            "pending": bool(self.load("pending.json")),
            "stopped": os.path.exists(self.path(STOPPED_FILE)),
            "busy": self.lock_descriptor is None and self.busy(),
        }

    def salt(self) -> str:
        """Return the salt of the digests in labels: the stored one, else a new one, which save_salt stores."""
        return (self.read(SALT_FILE) or "").strip() or self._new_salt

    def save_salt(self) -> None:
        """Store the salt, if none is stored."""
        if self.salt() == self._new_salt:
            self.write(SALT_FILE, self._new_salt + "\n")

    def forget(self, name: str) -> None:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(posixpath.join(self.own, name))

    def busy(self) -> bool:
        """Return whether another run works on the project. Change nothing."""
        return held(posixpath.join(self.own, "lock"))

    def lock(self, report_progress) -> None:
        """Wait until no other run works on the project. Commands that this run starts keep the lock while they run."""
        end, removals = time.monotonic() + LOCK_WAIT, 0
        while self.lock_descriptor is None:
            # A run that removes the project also removes the directory and the lock, perhaps at this moment.
            try:
                self.make_own()
                self.lock_descriptor = _locked(posixpath.join(self.own, "lock"))
            except FileNotFoundError:
                removals += 1
                if removals > MAX_REMOVALS:
                    raise
            if self.lock_descriptor is None:
                if time.monotonic() > end:
                    raise Problem(
                        f"another run works on {self.directory} for {LOCK_WAIT:.0f} s: check what hangs on the host"
                    )
                report_progress("waiting for another run that works on this project")
                time.sleep(1)
        for name in os.listdir(self.own):
            path, own = posixpath.join(self.own, name), re.fullmatch(r"writing\.([0-9]+)(\..*)?", name)
            # A running process is about to rename its file: a run that waits, or one that only inspects.
            if own and not os.path.isdir(path) and not os.path.exists(f"/proc/{own[1]}"):
                # It may be renamed since the directory was read.
                with suppress(FileNotFoundError):
                    os.unlink(path)


def _entries(directory: str) -> list[os.DirEntry]:
    """Return the entries of a directory, [] if it cannot be read."""
    try:
        with os.scandir(directory) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError:
        return []


def _locked(path: str) -> int | None:
    """Lock a file and return its descriptor, None if another process has locked or removed it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        """Held by another run, or removed by it."""
    os.close(descriptor)
    return None


def held(path: str) -> bool:
    """Return whether another process holds the lock of a file. Change nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    finally:
        os.close(descriptor)
    return False


def secure(path: str, mode: int) -> None:
    """Set the mode of a path, and this user as its owner."""
    found = os.stat(path)
    if stat.S_IMODE(found.st_mode) != mode:
        os.chmod(path, mode)
    if found.st_uid != os.geteuid():
        os.chown(path, os.geteuid(), os.getegid())


def fingerprint(path: str | None) -> str:
    """Return a text that changes if anything in a directory is created, removed or written to."""
    if not path or not os.path.isdir(path):
        return "none"
    whole = hashlib.sha256()
    for base, directories, names in os.walk(path):
        directories.sort()
        for name in [".", *sorted(names)]:
            try:
                found = os.lstat(os.path.join(base, name))
            except OSError:
                continue
            state = (os.path.join(base, name), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            whole.update(repr(state).encode("utf-8", "surrogateescape"))
    return whole.hexdigest()
