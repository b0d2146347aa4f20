"""A small disk in a machine of the lab, which a test fills instead of the disk on which the lab runs.

The machine may not use block devices. Therefore the mount is made from outside, in the machine's mount namespace.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

MEGABYTE = 1_000_000


def run(*command: str) -> str:
    """Run a command and return its output. Raise subprocess.CalledProcessError if it fails."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@dataclass
class SmallDisk:
    """A file with an ext4 file system, mounted in the mount namespace of a process. path: where it is mounted."""

    process: int
    path: str = "/srv/small"
    megabytes: int = 64
    device: str = ""
    folder: tempfile.TemporaryDirectory[str] = field(default_factory=tempfile.TemporaryDirectory)

    def inside(self, *command: str) -> str:
        """Run a command in the mount namespace."""
        return run("nsenter", "--mount", "--target", str(self.process), *command)

    def mount(self) -> None:
        """Create the file and mount it."""
        image = Path(self.folder.name) / "disk.img"
        with image.open("wb") as file:
            file.truncate(self.megabytes * MEGABYTE)
        run("mkfs.ext4", "-q", "-m", "0", str(image))
        self.device = run("losetup", "--find", "--show", str(image))
        major, minor = run("stat", "--format", "%Hr %Lr", self.device).split()
        self.inside("mkdir", "-p", self.path)
        self.inside("mknod", "/dev/small-disk", "b", major, minor)
        self.inside("mount", "-t", "ext4", "/dev/small-disk", self.path)
        self.inside("chmod", "755", self.path)

    def fill(self, megabytes: int) -> None:
        """Write a file of this size to the disk."""
        self.inside("dd", "if=/dev/zero", f"of={self.path}/file", "bs=1MB", f"count={megabytes}", "status=none")
        self.inside("sync", "-f", self.path)

    def unmount(self) -> None:
        """Unmount the disk."""
        self.inside("umount", self.path)

    def remove(self) -> None:
        """Remove the disk, which may be mounted, and its file."""
        if self.path in Path(f"/proc/{self.process}/mounts").read_text():
            self.unmount()
        self.inside("rm", "-f", "/dev/small-disk")
        self.inside("rmdir", self.path)
        run("losetup", "--detach", self.device)
        self.folder.cleanup()
