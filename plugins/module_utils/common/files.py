# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read files that may be missing, and write files atomically."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def read_text(path: Path) -> str:
    """Return the text of a file, '' where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return ""


def write_atomically(
    path: str | os.PathLike,
    content: str | bytes,
    mode: int = 0o600,
    directory: str | os.PathLike | None = None,
    prefix: str | None = None,
    keep_owner: bool = False,
) -> None:
    """Replace a file in one step: readers see the previous content or the new one, also after a power failure.

    A symbolic link at path is replaced, not followed.

    path: the file. Its directory must exist.
    content: text is written in UTF-8, with surrogates as the bytes that they stand for.
    directory: where the temporary file is created, on the same file system as path. Default: the directory of path.
    prefix: how the name of the temporary file begins.
    keep_owner: whether owner and group of an existing file are kept.
    """
    parent, name = os.path.split(os.path.abspath(path))
    descriptor, temporary = tempfile.mkstemp(dir=directory or parent, prefix=prefix or f".{name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            if keep_owner and os.path.exists(path):
                found = os.stat(path)
                os.fchown(file.fileno(), found.st_uid, found.st_gid)
            file.write(content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
