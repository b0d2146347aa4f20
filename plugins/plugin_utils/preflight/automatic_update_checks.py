# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check whether a program of the host may update or restart Docker or containerd in the middle of a proof."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem

# The packages whose update restarts the engine. Those of Docker's own repository come from another origin.
_OF_DOCKER = ("docker-ce", "containerd.io")
_OF_DISTRIBUTION = ("docker.io", "containerd")
_SERVICES = ("docker.service", "containerd.service")
BLOCKED_FILE = "/etc/apt/apt.conf.d/52aztec-docker"
KEPT_FILE = "/etc/needrestart/conf.d/aztec-docker.conf"


def _excluded(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a regular expression of the host matches the start of a name. An invalid one does not."""
    for pattern in patterns:
        try:
            if re.match(pattern, name):
                return True
        except re.error:
            continue
    return False


def updated_packages(packages: Mapping, upgrades: Mapping) -> list[str]:
    """Return the installed packages of the engine that unattended-upgrades may update.

    packages: name -> version. upgrades: upgrade_facts. It takes packages of Docker's repository only where an origin
    names it, and those of the distribution from the archive with security updates.
    """
    named = any(re.search(r"docker|\*", origin, re.IGNORECASE) for origin in upgrades["origins"])
    names = [*_OF_DISTRIBUTION, *(_OF_DOCKER if named else ())]
    return [name for name in names if name in packages and not _excluded(name, upgrades["blocked"])]


def automatic_update_problems(host: str, host_info: Mapping) -> Iterator[Problem]:
    """Yield a warning for each program that may restart Docker or containerd without a drain."""
    found = host_info.get("automatic_updates") or {}
    upgrades, restarts = found.get("upgrades"), found.get("restarts")
    engine = host_info["engine"]
    if upgrades and upgrades["enabled"]:
        names = updated_packages(engine["packages"], upgrades)
        if names:
            lines = " ".join(f'"{name}$";' for name in names)
            wrong = f"unattended-upgrades may update {' and '.join(names)}, "
            wrong += "which restarts Docker in the middle of a proof"
            remedy = f"write Unattended-Upgrade::Package-Blacklist {{ {lines} }}; to {BLOCKED_FILE} on the host"
            yield Problem(host, "container engine", wrong, remedy, "warning")
    # Without an engine, the run installs one under these names.
    services = [name for name in _SERVICES if restarts and not _excluded(name, restarts["kept"])]
    if restarts and restarts["mode"] != "l" and services:
        wrong = f"needrestart may restart {' and '.join(services)} after an update, in the middle of a proof"
        text = " ".join(f"$nrconf{{override_rc}}{{qr(^{name.partition('.')[0]})}} = 0;" for name in services)
        yield Problem(host, "container engine", wrong, f"write {text} to {KEPT_FILE} on the host", "warning")
