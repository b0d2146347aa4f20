# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs that update packages or restart services on their own: unattended-upgrades and needrestart.

Functions take texts or the root of a file system, so that tests can use recorded samples.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.files import read_text

# A line of `apt-config dump`, such as Unattended-Upgrade::Package-Blacklist:: "docker-ce";
_SETTING = re.compile(r'^([A-Za-z0-9:._/-]+?)(?:::)? "(.*)";$')
_ORIGINS = ("unattended-upgrade::allowed-origins", "unattended-upgrade::origins-pattern")
# Perl: $nrconf{restart} = 'a';
_RESTART_MODE = re.compile(r"^\s*\$nrconf\{['\"]?restart['\"]?\}\s*=\s*['\"]([a-z])['\"]", re.MULTILINE)
# Perl: qr(^docker) => 0, or $nrconf{override_rc}{q(docker.service)} = 0;
_KEPT = re.compile(r"(?:\bqr?\s*[({/|]|['\"])([^\n]+?)(?:[)}/|]|['\"])[a-z]*\s*(?:=>|\}\s*=)\s*0\b")


def apt_settings(dump: str) -> dict[str, list[str]]:
    """Return the values in the output of `apt-config dump`, by their names in lower case. apt ignores the case."""
    found: dict[str, list[str]] = {}
    for match in map(_SETTING.match, dump.splitlines()):
        if match and match.group(2):
            found.setdefault(match.group(1).lower(), []).append(match.group(2))
    return found


def upgrade_facts(dump: str) -> dict[str, Any]:
    """Return what unattended-upgrades does, by apt's settings.

    enabled: whether it runs on its own. origins: from where it takes packages. blocked: regular expressions of the
    names of the packages that it does not update.
    """
    settings = apt_settings(dump)
    period = settings.get("apt::periodic::unattended-upgrade", ["0"])[-1]
    on = settings.get("apt::periodic::enable", ["1"])[-1] != "0"
    return {
        "enabled": on and period.lower() not in ("0", "false"),
        "origins": [value for name in _ORIGINS for value in settings.get(name, [])],
        "blocked": settings.get("unattended-upgrade::package-blacklist", []),
    }


def restart_facts(texts: list[str]) -> dict[str, Any]:
    """Return what needrestart does, by its configuration files in the order in which they apply.

    mode: l (only list), i (interactive), a (restart), or empty for the default of the distribution. kept: regular
    expressions of the services that it does not restart.
    """
    text = "\n".join(line for one in texts for line in one.splitlines() if not line.lstrip().startswith("#"))
    modes = _RESTART_MODE.findall(text)
    return {"mode": modes[-1] if modes else "", "kept": _KEPT.findall(text)}


def automatic_update_facts(run: Callable, root: Path) -> dict[str, Any]:
    """Return `upgrades` (upgrade_facts) and `restarts` (restart_facts). A program that is not installed is None."""
    upgrades = restarts = None
    if (root / "usr/bin/unattended-upgrade").exists():
        code, out, _err = run(["apt-config", "dump"])
        upgrades = upgrade_facts(out if code == 0 else "")
    if (root / "usr/sbin/needrestart").exists():
        folder = root / "etc/needrestart"
        files = [folder / "needrestart.conf", *sorted(folder.glob("conf.d/*.conf"))]
        restarts = restart_facts([read_text(path) for path in files])
    return {"upgrades": upgrades, "restarts": restarts}
