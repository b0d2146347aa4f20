# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Host info at file systems of their own below the engine's and containerd's roots, in a mount namespace."""

from __future__ import annotations

import json
import os
import subprocess
import sys

MOUNTS = (
    "mount -t tmpfs -o size=400m none /var/lib && mkdir /var/lib/containerd"
    " && mount -t tmpfs -o size=300m none /var/lib/containerd"
)
LOOK = f"""
import sys; sys.path[:0] = {sys.path!r}
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = b'{{"ANSIBLE_MODULE_ARGS": {{"paths": ["/"]}}}}'
basic._ANSIBLE_PROFILE = "legacy"
from ansible_collections.aztec_ops.prover.plugins.modules.host_info import main
main()
"""


def test_free_space_of_the_roots_is_seen() -> None:
    """Without an engine the defaults count, and two file systems without a drive are two."""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{MOUNTS} && exec "$0" -c "$1"', sys.executable, LOOK],
        env={**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"},
        capture_output=True,
        text=True,
        check=True,
    )
    disks = json.loads(done.stdout)["host_info"]["hardware"]["disks"]
    docker, containerd = disks["/var/lib/docker"], disks["/var/lib/containerd"]
    assert (docker["size_bytes"], containerd["size_bytes"]) == (400 * 1024**2, 300 * 1024**2)
    assert docker["filesystem"] != containerd["filesystem"]
    assert disks["/"]["free_bytes"] > docker["free_bytes"]
